"""Small tables of two classes for tests of the user's own data, and writers of the forms that such tables have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsfcn.data.formats import Float64


@dataclass(frozen=True)
class Cases:
    """Cases of one channel, (n_cases, n_timepoints), and their labels."""

    values: Float64
    labels: list[str]


def noise(n_cases: int, seed: int, n_timepoints: int = 8, labels: Sequence[str] = ("walk", "run")) -> Cases:
    """Return random cases with three decimals, their labels in turn."""
    values = np.round(np.random.RandomState(seed).standard_normal((n_cases, n_timepoints)), 3)
    return Cases(values, [labels[i % len(labels)] for i in range(n_cases)])


TRAIN, TEST = noise(12, seed=0), noise(10, seed=1)


def header(n_timepoints: int = 8, before: str = "") -> str:
    """Return the header of a wide table: `before`, label, t0, t1, ..."""
    return before + ",".join(["label", *(f"t{i}" for i in range(n_timepoints))])


def wide(cases: Cases, head: str | None = None, ids: Sequence[object] | None = None, end: str = "") -> str:
    """Return a table of commas with a row for each case.

    Args:
        cases: The cases.
        head: The header; None: there is none.
        ids: The first field of each row; None: it is the label.
        end: What follows the last value of each row.
    """
    rows = [] if head is None else [head]
    for i, (label, row) in enumerate(zip(cases.labels, cases.values.tolist(), strict=True)):
        first = [] if ids is None else [str(ids[i])]
        rows.append(",".join([*first, label, *map(str, row)]) + end)
    return "\n".join(rows) + "\n"


def long(cases: Cases, head: str = "case,label,time,value", seed: int | None = None) -> str:
    """Return a table with a row for each value: case, label, time, value. seed: of the order; None: sorted."""
    rows = [
        f"{i},{cases.labels[i]},{t},{value}"
        for i, row in enumerate(cases.values.tolist())
        for t, value in enumerate(row)
    ]
    order = range(len(rows)) if seed is None else np.random.RandomState(seed).permutation(len(rows))
    return "\n".join([head, *(rows[i] for i in order)]) + "\n"


def write_pair(folder: Path, train: str, test: str, suffix: str = ".csv", encoding: str = "utf-8") -> Path:
    """Write Toy_TRAIN and Toy_TEST and return the folder.

    Args:
        folder: Where to.
        train: The text of the training file.
        test: The text of the test file.
        suffix: Of both files.
        encoding: Of both files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, text in (("TRAIN", train), ("TEST", test)):
        (folder / f"Toy_{split}{suffix}").write_bytes(text.encode(encoding))
    return folder
