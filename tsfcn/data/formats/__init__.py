"""Read files of one split or of both, in each format in which datasets circulate.

    .tsv         the 2018 archive: a case on each line, its label first, tabs between, NaN for no value
    (no suffix)  the 2015 archive: the same with commas
    .txt         the same with commas, tabs, semicolons or blanks
    .csv         a table with a header that names the label column, or without one and the label first
    .ts          sktime and aeon: '@' header, ':' between channels, the label last; lengths may differ
    .arff        Weka: '@attribute' header, commas, the label last; several channels as a relational attribute
    .npz, .npy   numpy: arrays X and y; or one array, the label first
    .parquet     a table with named columns; needs pyarrow

All but .npz, .npy and .parquet may be packed with gzip (.csv.gz). A file with '@' tags is read as .ts or .arff whatever
its suffix. Every reader gives the nearest float64 of each number and the one spelling of each label, so that the same
data is the same from every format. Errors name file, line and column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tsfcn.common.errors import UserError
from tsfcn.data.formats import arff, arrays, frames, long, table, ts, wide
from tsfcn.data.formats.long import LongTable
from tsfcn.data.formats.split import Columns, LabelUse, Split
from tsfcn.data.formats.text import Float64, canonical_label, lines
from tsfcn.data.formats.wide import WideTable

__all__ = [
    "SUFFIXES",
    "Columns",
    "Float64",
    "LabelUse",
    "Split",
    "canonical_label",
    "read",
    "read_pair",
    "read_single",
    "splits_of_tables",
    "suffix_of",
]

TEXT = {".tsv": "tsv", ".ts": "ts", ".arff": "arff", ".txt": "txt", ".csv": "csv", "": "ucr2015"}
SUFFIXES = {
    **TEXT,
    **{f"{suffix}.gz": source for suffix, source in TEXT.items()},
    ".parquet": "parquet",
    ".npz": "npz",
    ".npy": "npy",
}
"""What a passport calls the format of each suffix, in the order in which files are looked for."""

NO_NAMES = Columns()

Raw = Split | WideTable | LongTable


def read(path: Path, columns: Columns = NO_NAMES, labels: LabelUse = "needed") -> Split:
    """Read one split from a file of any format.

    Args:
        path: The file.
        columns: The names of a table's columns that the user gives.
        labels: Whether the file has labels.

    Raises:
        UserError: For what cannot be read, with line and column, and for a file without cases.
    """
    return _split(_read_raw(path, columns, labels))


def read_pair(train: Path, test: Path, columns: Columns = NO_NAMES) -> tuple[Split, Split]:
    """Read both splits of a dataset, the columns of tables matched by their names. Errors as for `read`."""
    first, second = splits_of_tables([_read_raw(train, columns), _read_raw(test, columns)])
    return first, second


def read_single(path: Path, columns: Columns = NO_NAMES) -> list[Split]:
    """Read a file that holds a whole dataset: all cases in one split, or both splits. Errors as for `read`."""
    if path.suffix == ".npz":
        splits = arrays.splits_of_npz(path)
        return splits if len(splits) == 2 else splits_of_tables([_checked(splits[0], path)])
    return splits_of_tables([_read_raw(path, columns)])


def splits_of_tables(raw: Sequence[Raw]) -> list[Split]:
    """Return the splits of one or two tables, the columns of the second matched with those of the first.

    Raises UserError for columns that do not match.
    """
    wides = [each for each in raw if isinstance(each, WideTable)]
    longs = [each for each in raw if isinstance(each, LongTable)]
    if len(wides) == len(raw):
        tables = [*wides[:1], *(wide.matched(each, wides[0]) for each in wides[1:])]
        if len(tables) == 2:
            tables = [
                replace(table, header_fault="") if wide.first_row_is_case(table, other) else table
                for table, other in (tables, tables[::-1])
            ]
        splits = list(map(wide.to_split, tables))
        splits[0].faults.extend(wide.shuffled_ids(tables))
        return splits
    if longs and len(longs) < len(raw):
        raise UserError(f"file '{longs[0].source}' has a row for each value, the other file has not: write both alike")
    if longs:
        raw = [*longs[:1], *(long.matched(each, longs[0]) for each in longs[1:])]
    return list(map(_split, raw))


def suffix_of(path: Path) -> str:
    """Return the suffix of a file, '.csv.gz' of a packed one."""
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" and path.suffixes[-2:-1] else path.suffix


def _read_raw(path: Path, columns: Columns, labels: LabelUse = "needed") -> Raw:
    """Return the content of a file, a table before its columns are understood as series."""
    suffix = suffix_of(path).removesuffix(".gz")
    if suffix not in (".npz", ".npy", ".parquet"):
        return _read_text(path, columns, suffix, labels)
    if suffix == ".parquet":
        raw: Raw = frames.read_parquet(path, columns, labels)
    else:
        raw = arrays.split_of_npz(path, labels) if suffix == ".npz" else arrays.split_of_array(path, labels)
    return _checked(raw, path)


def _read_text(path: Path, columns: Columns, suffix: str, labels: LabelUse) -> Raw:
    """Return the content of a file of text: its '@' tags tell its format, otherwise its suffix.

    Args:
        path: The file.
        columns: The names of columns that the user gives.
        suffix: Of the file, without that of gzip.
        labels: Whether it has labels.
    """
    tag = _first_tag(path)
    form = suffix if not tag else ".arff" if tag in ("@relation", "@attribute") else ".ts"
    if columns and form == ".ts":
        raise UserError(
            f"file '{path}' has no named columns: leave out label= and columns, its label is the last field"
        )
    if form == ".ts":
        return _checked(ts.read_ts(path, labels), path)
    if form == ".arff":
        return _checked(arff.read_arff(path, columns, labels), path)
    return _checked(table.read_table(path, columns, labels, gaps=suffix == ".csv"), path)


def _first_tag(path: Path) -> str:
    """Return the first word of a file below its comments if it is an '@' tag, in lower case, else ''."""
    for _, line in lines(path):
        text = line.strip()
        if not text.startswith(("#", "%")):
            return text.split(maxsplit=1)[0].lower() if text.startswith("@") else ""
    return ""


def _checked(raw: Raw, path: Path) -> Raw:
    """Return the content of a file. Raises UserError if it has no cases."""
    if not raw.labels:
        raise UserError(f"file '{path}' has no cases: write or download it again")
    return raw


def _split(raw: Raw) -> Split:
    """Return the cases of a file's content."""
    if isinstance(raw, WideTable):
        return wide.to_split(raw)
    return long.to_split(raw) if isinstance(raw, LongTable) else raw
