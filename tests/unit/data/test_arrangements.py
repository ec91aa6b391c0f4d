"""A property: a small dataset in any arrangement of the forms that tables have is read back right, or refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tables import Cases
from tsfcn.common.errors import UserError
from tsfcn.data import archive
from tsfcn.data.dataset import Dataset
from tsfcn.data.formats import Columns
from tsfcn.data.locate import ReadOptions

LABELS = st.sampled_from([("walk", "run"), ("1", "2"), ("0", "1"), ("-1", "1"), ("y", "n"), ("a b", "c d"), ("é", "ü")])


@dataclass(frozen=True)
class Arrangement:
    """How a table is written: each field is one thing in which tables of strangers differ."""

    separator: str
    decimal: str
    named: str  # 'no', 't' (t0, t1, ...), 'times' (0.0, 0.5, ...), 'numbers' (0, 1, ...) or 'other' (a, b, ...)
    label_name: str
    label_at: str  # 'first', 'last'
    ids: str  # 'no', 'named', 'odd' (a name that is no id), 'index' (no name)
    end: str  # after the last value
    test_order: str  # 'same', 'reversed'
    long: bool
    shuffled: bool  # of a long table
    encoding: str
    suffix: str
    packed: bool
    told: bool  # the user names the label column


ARRANGEMENTS = st.builds(
    Arrangement,
    separator=st.sampled_from([",", ";", "\t", " "]),
    decimal=st.sampled_from([".", ".", ","]),
    named=st.sampled_from(["no", "t", "times", "numbers", "other"]),
    label_name=st.sampled_from(["label", "Class", "target", "activity"]),
    label_at=st.sampled_from(["first", "last"]),
    ids=st.sampled_from(["no", "no", "named", "odd", "index"]),
    end=st.sampled_from(["", "", "separator"]),
    test_order=st.sampled_from(["same", "same", "reversed"]),
    long=st.booleans(),
    shuffled=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
    suffix=st.sampled_from([".csv", ".txt", ".tsv", ""]),
    packed=st.booleans(),
    told=st.booleans(),
)


@st.composite
def toys(draw: st.DrawFn) -> tuple[Cases, Cases]:
    """Draw training and test cases of two classes, values with three decimals."""
    labels = draw(LABELS)
    n_timepoints = draw(st.integers(4, 12))
    random = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))

    def cases(n_cases: int) -> Cases:
        values = np.round(random.standard_normal((n_cases, n_timepoints)), 3) + 0.0005
        return Cases(np.round(values, 4), [labels[i % 2] for i in range(n_cases)])

    return cases(draw(st.integers(6, 9))), cases(draw(st.integers(6, 9)))


def column_names(way: Arrangement, n_timepoints: int) -> list[str]:
    """Return the names of the timepoints."""
    patterns: dict[str, Callable[[int], str]] = {
        "t": lambda i: f"t{i}",
        "times": lambda i: f"{i / 2}",
        "numbers": str,
        "other": lambda i: chr(ord("a") + i) + "x",
        "no": lambda i: "",
    }
    return [patterns[way.named](i) for i in range(n_timepoints)]


def wide_rows(cases: Cases, way: Arrangement, reverse: bool) -> list[list[str]]:
    """Return the fields of a wide table, its header first if it has one."""
    names = column_names(way, cases.values.shape[1])
    rows = [names, *([str(value).replace(".", way.decimal) for value in row] for row in cases.values.tolist())]
    labels = [way.label_name, *cases.labels]
    at = 0 if way.label_at == "first" else len(names)
    for row, label in zip(rows, labels, strict=True):
        row.insert(at, label)
    if way.ids != "no":
        head = {"named": "subject_id", "odd": "quux", "index": ""}[way.ids]
        for number, row in enumerate(rows, start=-1):
            row.insert(0, head if number < 0 else str(number))
    if reverse:
        rows = [row[::-1] for row in rows]
    return rows[1:] if way.named == "no" else rows


def long_rows(cases: Cases, way: Arrangement) -> list[list[str]]:
    """Return the fields of a long table with its header."""
    rows = [
        [str(i), cases.labels[i], str(t), str(value).replace(".", way.decimal)]
        for i, row in enumerate(cases.values.tolist())
        for t, value in enumerate(row)
    ]
    if way.shuffled:
        order = np.random.RandomState(0).permutation(len(rows))
        rows = [rows[0], *(rows[i] for i in order if i)]
    case = {"no": "case", "named": "id", "odd": "quux", "index": "case_id"}[way.ids]
    return [[case, way.label_name, "time", "value"], *rows]


def write(path: Path, rows: list[list[str]], way: Arrangement) -> None:
    """Write the rows of a table."""
    blanks = any(" " in field for row in rows for field in row)
    end = way.separator if way.end == "separator" else ""
    quote = '"' if (way.separator == " " and blanks) or (way.separator == "," and way.decimal == ",") else ""
    text = "".join(way.separator.join(f"{quote}{field}{quote}" for field in row) + end + "\n" for row in rows)
    content = text.encode(way.encoding)
    path.write_bytes(gzip.compress(content) if way.packed else content)


def is_right(dataset: Dataset, train: Cases, test: Cases) -> bool:
    """Return whether a dataset holds exactly these cases, those of a long table in any order."""
    pairs = ((dataset.x_train, dataset.y_train, train), (dataset.x_test, dataset.y_test, test))
    return all(
        x.shape[1] == 1
        and sorted(zip(map(bytes, x), y.tolist(), strict=True))
        == sorted(zip(map(bytes, np.ascontiguousarray(cases.values)), cases.labels, strict=True))
        for x, y, cases in pairs
    )


def must_be_read(way: Arrangement) -> bool:
    """Return whether nothing about an arrangement is unclear."""
    known = way.label_name != "activity" or way.told
    return (
        known
        and way.named in ("t", "times", "numbers", "other")
        and (way.ids in ("no", "named") or (way.long and way.ids == "index"))
        and not (way.separator == " " and (way.end == "separator" or way.decimal == ","))
        and not (way.named == "numbers" and not way.long)
    )


def read_or_refused(root: Path, toy: tuple[Cases, Cases], way: Arrangement) -> None:
    """Write a dataset, and assert that it is read right or refused with one line."""
    suffix = way.suffix + (".gz" if way.packed else "")
    for file in root.glob("Toy_*"):
        file.unlink()
    for split, cases in zip(("TRAIN", "TEST"), toy, strict=True):
        reverse = split == "TEST" and way.test_order == "reversed" and way.named != "no"
        rows = long_rows(cases, way) if way.long else wide_rows(cases, way, reverse)
        write(root / f"Toy_{split}{suffix}", rows, way)
    told = way.told and (way.long or way.named != "no")
    options = ReadOptions(Columns(label=way.label_name if told else None))
    outcome = load_or_refusal(root, options)
    if isinstance(outcome, str):
        assert "\n" not in outcome and ": " in outcome
        assert not must_be_read(way), (way, outcome)
    else:
        assert is_right(outcome, *toy), (way, outcome.passport)


def load_or_refusal(root: Path, options: ReadOptions) -> Dataset | str:
    """Return the dataset Toy, or the line with which it is refused."""
    try:
        return archive.load("Toy", root, options=options)
    except UserError as error:
        return str(error)


def test_any_arrangement_is_read_right_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.write_text("no cache: nothing is read twice", encoding="utf-8")
    monkeypatch.setenv("TSFCN_CACHE", str(cache))
    monkeypatch.delenv("TSFCN_ARCHIVE", raising=False)
    root = tmp_path / "root"
    root.mkdir()

    @settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(toys(), ARRANGEMENTS)
    def holds(toy: tuple[Cases, Cases], way: Arrangement) -> None:
        read_or_refused(root, toy, way)

    holds()
