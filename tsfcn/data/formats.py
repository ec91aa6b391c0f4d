"""What a file of one split holds: cases and labels, out of each format in which the UCR archive circulates.

    .tsv         the 2018 archive: a case a line, its label first, tabs between, NaN for no value
    (no suffix)  the 2015 archive: the same with commas; also .txt, with commas, tabs or blanks
    .ts          sktime and aeon: '@' header, ':' between channels, the label last; lengths may differ
    .arff        Weka: '@attribute' header, commas, the label last; several channels as a relational attribute
    .csv         a user's own: a header that names the label column, or no header and the label first

Every reader gives the nearest float64 of each number and a label's one spelling, so that the same data is the same
whatever file it came from, and names a mistake with its file, line and column.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsfcn.common.errors import UserError

Float64 = npt.NDArray[np.float64]

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
NAN = re.compile(r"[+-]?nan", re.IGNORECASE)
GAP = re.compile(r"(?<![^,\s])\?(?![^,\s])")  # a '?' that is all of a value
# Python, and numpy through it, reads '1_0' as 10; numpy drops NUL, which a broken disk or copy leaves in a file.
MISREAD = re.compile(r"[_\0]")
LABEL_COLUMNS = ("label", "class", "target", "y")


@dataclass(frozen=True)
class Split:
    """The cases of one file, each float64 (n_channels, n_timepoints) with NaN where no value is, and their labels."""

    cases: list[Float64]
    labels: list[str]


def read(path: Path) -> Split:
    """Read one split from a file of any format in FORMATS, told by its suffix.

    Raises UserError, with line and column, for what cannot be read, and for a file without cases.
    """
    split = FORMATS[path.suffix](path)
    if not split.cases:
        raise UserError(f"file '{path}' is without cases: download it again")
    return split


def canonical_label(text: str) -> str:
    """Return the one spelling of a label: integral numbers as integers, other numbers as Python's repr, else as is.

    >>> [canonical_label(label) for label in ("1.0000000e+00", "-1", "03", "1.50", "walk", "1_0", "nan")]
    ['1', '-1', '3', '1.5', 'walk', '1_0', 'nan']
    """
    if not NUMBER.fullmatch(text):
        return text
    number = float(text)
    if abs(number) >= 2**53:  # neighbouring integers are one float from here on
        return text
    return str(int(number)) if number.is_integer() else repr(number)


def _label(text: str, where: str, how: str) -> str:
    """Return a label in its one spelling. Raises UserError, with how to write it, where there is none."""
    if not text or text == "?" or NAN.fullmatch(text):
        raise UserError(f"{where} is without a label: {how}")
    return canonical_label(text)


# ---------------------------------------------------------------- label first: .tsv, .txt, no suffix


def read_tsv(path: Path) -> Split:
    """Read the 2018 layout.

    By line rather than with numpy.loadtxt: a quarter slower, once, but a mistake is named with its line, and labels
    may be text. Both give the nearest float64 of every number.
    """
    return _label_first(path, "\t")


def read_text(path: Path) -> Split:
    """Read the 2015 layout, or a .txt: separated by what the first line has, commas, else tabs, else blanks."""
    first = next((line for _, line in _lines(path)), "")
    return _label_first(path, "," if "," in first else "\t" if "\t" in first else None)


def _label_first(path: Path, separator: str | None) -> Split:
    """Read a case a line, its label first. separator: between values; None: any run of blanks."""
    split = Split([], [])
    word = {"\t": "tabs", ",": "commas", None: "blanks"}[separator]
    n_columns = 0
    for number, line in _lines(path):
        where = f"file '{path}' line {number}"
        fields = line.split(separator)
        if len(fields) < 2:
            raise UserError(f"{where} is of one column: write label and values with {word} between them")
        label = _label(fields[0].strip(), where, "write it in the first column")
        if n_columns not in (0, len(fields)):
            raise UserError(
                f"{where} is of {len(fields)} columns: the lines before it have {n_columns}, end short cases with NaN"
            )
        n_columns = len(fields)
        split.cases.append(_numbers(fields[1:], line, where, first_column=2)[None, :])  # (1, n_timepoints)
        split.labels.append(label)
    return split


# ---------------------------------------------------------------- .csv


def read_csv(path: Path) -> Split:
    """Read a user's own table: a case a line, commas between, one column of labels, the others timepoints in order.

    The label column is the one that the first line calls label, class, target or y (in any case); where no column is
    called so the first line is a case as well, and labels stand in the first column. Empty and '?' are missing values.
    """
    split = Split([], [])
    column, n_columns = 0, 0
    named: list[int] = []
    for number, line in _lines(path):
        where = f"file '{path}' line {number}"
        fields = next(csv.reader([line])) if '"' in line else line.split(",")
        if n_columns == 0:
            n_columns = len(fields)
            if n_columns < 2:
                raise UserError(f"{where} is of one column: write label and values with commas between them")
            named = [i for i, field in enumerate(fields) if field.strip().lower() in LABEL_COLUMNS]
            if len(named) > 1:
                raise UserError(f"{where} is with {len(named)} columns of labels: keep one of {fields[named[0]]!r} ...")
            if named and "" in map(str.strip, fields):
                raise UserError(
                    f"{where} is with a column without a name: leave out row numbers (index=False in pandas)"
                )
            if named:
                column = named[0]
                continue
            if not any(NUMBER.fullmatch(field.strip()) for field in fields[1:]):
                raise UserError(f"{where} is neither a case nor a header with a label column: call that one 'label'")
        if len(fields) != n_columns:
            raise UserError(f"{where} is of {len(fields)} columns: the lines before it have {n_columns}")
        label = _label(fields.pop(column).strip(), where, f"write it in column {column + 1}")
        values = ["NaN" if field.strip() in ("", "?") else field for field in fields]
        split.cases.append(_numbers(values, line, where, first_column=1 if column else 2)[None, :])
        split.labels.append(label)
    if split.labels and not named:
        word, first = split.labels[0], split.cases[0][0]
        counted = len(first) > 2 and first[0] in (0, 1) and bool((np.diff(first) == 1).all())
        if counted and split.labels.count(word) == 1 and not NUMBER.fullmatch(word):
            raise UserError(
                f"file '{path}' line 1 is a header, as it seems, whose columns have numbers for names: "
                f"call that of the labels 'label' instead of {word[:40]!r}"
            )
    return split


# ---------------------------------------------------------------- label last: .ts, .arff


def read_ts(path: Path) -> Split:
    """Read the .ts format of sktime and aeon: '@' header, then a case a line, ':' between channels, the label last.

    Tags and booleans in any case; '#' comments anywhere; '?' or NaN for a missing value; cases may differ in length,
    the channels of one case may not. Time stamps and regression targets are refused.
    """
    split = Split([], [])
    n_channels, declared, in_data = 0, set[str](), False
    for number, line in _lines(path):
        where = f"file '{path}' line {number}"
        text = line.strip()
        if text.startswith("#"):
            continue
        if text.startswith("@"):
            tag, *words = text.lower().split()
            if tag == "@data":
                in_data = True
            elif tag == "@timestamps" and words[:1] == ["true"]:
                raise UserError(f"{where} is {text[:40]!r}: files with time stamps are not read, write plain values")
            elif tag == "@targetlabel" and words[:1] == ["true"]:
                raise UserError(f"{where} is {text[:40]!r}: this is regression, take a dataset with classes")
            elif tag == "@classlabel":
                if words[:1] != ["true"]:
                    raise UserError(f"{where} is {text[:40]!r}: this dataset has no classes, take one that has")
                declared = {canonical_label(label) for label in text.split()[2:]}
            elif tag in ("@dimensions", "@dimension") and words and words[0].isdecimal():
                n_channels = int(words[0])
            continue
        if not in_data:
            raise UserError(f"{where} is neither '@' header nor '#' comment: put '@data' before the first case")
        *channels, label = (part.strip() for part in text.split(":"))
        label = _label(label if channels else "", where, "end it with ':' and the class")
        if channels[0].startswith("("):
            raise UserError(f"{where} is with time stamps: files with time stamps are not read, write plain values")
        if declared and label not in declared:
            raise UserError(f"{where} is of class {label[:40]!r}: '@classLabel' does not name it, mend one of the two")
        n_channels = n_channels or len(channels)
        if len(channels) != n_channels:
            raise UserError(f"{where} is of {len(channels)} channels: the file has {n_channels}")
        split.cases.append(_channels(channels, where))
        split.labels.append(label)
    return split


def read_arff(path: Path) -> Split:
    """Read Weka's .arff as the archive's makers write it: '@attribute' header, then a case a line, the label last.

    '%' comments anywhere; '?' or NaN for a missing value. Several channels stand in one quoted relational value,
    with a backslash and an n between them. A last attribute that is not nominal (regression) and sparse data are
    refused.
    """
    split = Split([], [])
    n_channels, n_columns, in_data = 0, 0, False
    declared: set[str] = set()
    for number, line in _lines(path):
        where = f"file '{path}' line {number}"
        text = line.strip()
        if text.startswith("%"):
            continue
        if not in_data:
            tag = text.split(maxsplit=1)[0].lower()
            if tag == "@data":
                if not declared:
                    raise UserError(f"{where} is '@data' after no class: declare the last attribute as {{A,B}}")
                in_data = True
            elif tag == "@attribute":
                nominal = re.search(r"\{(.*)\}\s*$", text)
                words = next(csv.reader([nominal[1]], quotechar="'", skipinitialspace=True)) if nominal else []
                declared = {canonical_label(_unquoted(word)) for word in words}
            elif not tag.startswith("@"):
                raise UserError(f"{where} is neither '@' header nor '%' comment: put '@data' before the first case")
            continue
        if text.startswith("{"):
            raise UserError(f"{where} is sparse: write all values of the case")
        if text[0] in "'\"":
            relation, _, rest = text[1:].partition(text[0])
            channels, (before, comma, label) = relation.split("\\n"), rest.partition(",")
        else:
            values, comma, label = text.rpartition(",")
            channels, before = [values], ""
        label = _label("" if before.strip() or not comma else _unquoted(label), where, "end it with ',' and the class")
        if label not in declared:
            raise UserError(
                f"{where} is of class {label[:40]!r}: the last '@attribute' does not name it, mend one of the two"
            )
        case = _channels(channels, where)
        if case.shape[0] != (n_channels or case.shape[0]):
            raise UserError(f"{where} is of {case.shape[0]} channels: the lines before it have {n_channels}")
        if case.shape[1] != (n_columns or case.shape[1]):
            raise UserError(
                f"{where} is of {case.shape[1]} values: the lines before it have {n_columns}, end short cases with '?'"
            )
        n_channels, n_columns = case.shape
        split.cases.append(case)
        split.labels.append(label)
    return split


def _unquoted(word: str) -> str:
    word = word.strip()
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def _channels(channels: list[str], where: str) -> Float64:
    """Return the channels of a case, each a text of values with commas between, as (n_channels, n_timepoints)."""
    values = [_numbers(GAP.sub("NaN", channel).split(","), channel, where, first_column=1) for channel in channels]
    if len({len(channel) for channel in values}) > 1:
        raise UserError(f"{where} is of channels that differ in length: end the shorter with '?'")
    return np.stack(values)


# ---------------------------------------------------------------- lines and numbers


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank."""
    try:
        # utf-8-sig: some files begin with a byte order mark. Bytes that are not UTF-8 occur in comments of .ts files.
        with path.open(encoding="utf-8-sig", errors="backslashreplace") as file:
            for number, line in enumerate(file, start=1):
                if not line.isspace():
                    yield number, line.rstrip("\r\n")
    except OSError as error:
        raise UserError(f"file '{path}' is not readable ({error.strerror}): mend its rights or its disk") from error


def _numbers(fields: list[str], line: str, where: str, first_column: int) -> Float64:
    """Return the numbers of a case. line: the text that they are from; first_column: where the first stands in it."""
    if not MISREAD.search(line):
        with contextlib.suppress(ValueError):
            values = np.array(fields, dtype=np.float64)
            if not np.isinf(values).any():  # the word, or a number too large
                return values
    for column, field in enumerate(fields, start=first_column):
        word = field.strip(" ")
        if not NUMBER.fullmatch(word) and not NAN.fullmatch(word):
            raise UserError(f"{where} column {column} is {field[:40]!r}: write a number, or NaN for a missing value")
        if np.isinf(float(word)):
            raise UserError(f"{where} column {column} is {field[:40]!r}: too large for float64, write a smaller number")
    return np.array(fields, dtype=np.float64)


FORMATS: dict[str, Callable[[Path], Split]] = {
    ".tsv": read_tsv,
    ".ts": read_ts,
    ".arff": read_arff,
    ".txt": read_text,
    ".csv": read_csv,
    "": read_text,
}
"""The reader of each suffix, in the order in which they are looked for."""
