"""Writers of every format that `readers` reads, for tests: no cleverer than the files that circulate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Cases = Sequence[npt.NDArray[np.float64]]  # (n_channels, n_timepoints) each


def number(value: float) -> str:
    """Return the shortest text that reads back as the same float64, NaN as 'NaN'."""
    return "NaN" if np.isnan(value) else repr(float(value))


def rectangular(cases: Cases) -> Cases:
    """Return the cases with NaN after the end of the shorter ones."""
    width = max(case.shape[1] for case in cases)
    return [np.pad(case, ((0, 0), (0, width - case.shape[1])), constant_values=np.nan) for case in cases]


def label_first(separator: str, gap: str = "NaN") -> Callable[[Cases, Sequence[str]], str]:
    """Return the writer of a line a case: label, values, with `separator` between."""

    def write(cases: Cases, labels: Sequence[str]) -> str:
        rows = zip(rectangular(cases), labels, strict=True)
        return "".join(
            separator.join([label, *(gap if np.isnan(v) else number(v) for v in case[0])]) + "\n"
            for case, label in rows
        )

    return write


def ts(cases: Cases, labels: Sequence[str]) -> str:
    """Return a .ts file."""
    lines = [
        ":".join([*(",".join(map(number, channel)) for channel in case), label])
        for case, label in zip(cases, labels, strict=True)
    ]
    head = ["#written by a test", "@problemName Toy", "@timeStamps false", f"@dimensions {cases[0].shape[0]}"]
    return "\n".join([*head, f"@classLabel true {' '.join(sorted(set(labels)))}", "@data", *lines, ""])


def arff(cases: Cases, labels: Sequence[str]) -> str:
    """Return an .arff file; relational where there are several channels."""
    cases = rectangular(cases)
    n_channels, width = cases[0].shape
    values = [f"@attribute t{i} numeric" for i in range(width)]
    head = ["% written by a test", "@relation Toy"]
    if n_channels == 1:
        head += values
    else:
        head += ["@attribute series relational", *values, "@end series"]

    def line(case: npt.NDArray[np.float64]) -> str:
        channels = [",".join("?" if np.isnan(v) else number(v) for v in channel) for channel in case]
        return channels[0] if n_channels == 1 else "'" + "\\n".join(channels) + "'"

    head += [f"@attribute target {{{','.join(sorted(set(labels)))}}}", "", "@data"]
    rows = zip(cases, labels, strict=True)
    return "\n".join([*head, *(f"{line(case)},{label}" for case, label in rows), ""])


def csv_named(cases: Cases, labels: Sequence[str]) -> str:
    """Return a .csv whose header names the label column, which is the last one; no value is an empty cell."""
    cases = rectangular(cases)
    head = ",".join([*(f"t{i}" for i in range(cases[0].shape[1])), "Class"])
    rows = zip(cases, labels, strict=True)
    lines = [",".join([*("" if np.isnan(v) else number(v) for v in case[0]), label]) for case, label in rows]
    return "\n".join([head, *lines, ""])


WRITERS: dict[str, tuple[str, Callable[[Cases, Sequence[str]], str]]] = {
    "tsv": (".tsv", label_first("\t")),
    "ucr2015": ("", label_first(",")),
    "txt": (".txt", label_first("  ")),
    "ts": (".ts", ts),
    "arff": (".arff", arff),
    "csv": (".csv", csv_named),
    "csv without a header": (".csv", label_first(",", gap="")),
}
"""Suffix and writer of each format."""

SEVERAL_CHANNELS = ("ts", "arff")


def write(
    root: Path, name: str, form: str, train: tuple[Cases, Sequence[str]], test: tuple[Cases, Sequence[str]]
) -> None:
    """Write both splits of a dataset to root/NAME."""
    suffix, writer = WRITERS[form]
    (root / name).mkdir(parents=True, exist_ok=True)
    # One width for both, as official files have it.
    width = max(case.shape[1] for case in (*train[0], *test[0]))
    for split, (cases, labels) in (("TRAIN", train), ("TEST", test)):
        wide = cases if form == "ts" else rectangular([*cases, np.zeros((cases[0].shape[0], width))])[:-1]
        (root / name / f"{name}_{split}{suffix}").write_text(writer(wide, labels), encoding="utf-8")
