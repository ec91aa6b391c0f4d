"""Rows of text tables: CSV with any usual separator, Markdown, UTF-8 and UTF-16."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tsfcn.analysis.columns import is_multivariate, mostly_datasets
from tsfcn.analysis.foreign.headers import Role, role_of
from tsfcn.common.errors import UserError, first_line

Row = tuple[int, list[str]]  # line number and cells


@dataclass(frozen=True)
class TextTable:
    """A table of text cells: every row has a cell for each title."""

    titles: tuple[str, ...]
    rows: tuple[Row, ...]
    is_transposed: bool  # the file has a row for each model and a column for each dataset
    has_decimal_commas: bool  # ',' is not the separator, so it can be the decimal point

    def cells(self, index: int) -> list[str]:
        """Return the cells of a column."""
        return [row[index] for _, row in self.rows]


def read_table(path: Path) -> TextTable:
    """Return the table in a text file. Raises UserError for a file that is unreadable or no table."""
    text = _text(path)
    separator = _separator(text)
    rows = _markdown_rows(text) if separator == "|" else _csv_rows(text, separator, path)
    if len(rows) < 2 or len(rows[0][1]) < 2:
        raise UserError(f"file '{path}' is without rows or columns: name a CSV with a header, datasets and accuracies")
    rows = _rectangular(rows, path)
    is_transposed = _has_datasets_as_columns(rows)
    if is_transposed:
        columns = zip(*(cells for _, cells in rows), strict=True)
        rows = [(0, list(cells)) for cells in columns]
    titles = tuple(" ".join(title.split()) for title in rows[0][1])
    return TextTable(titles, tuple(rows[1:]), is_transposed, separator != ",")


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        return data.decode("utf-16" if is_utf16 else "utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"file '{path}' is unreadable ({first_line(error)}): name a CSV file in UTF-8") from error


def _separator(text: str) -> str:
    """Return the separator of a table by its first line that is not empty."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.lstrip().startswith("|"):
        return "|"
    unquoted = re.sub(r'"[^"]*"', "", first)
    return max(",;\t", key=unquoted.count)


def _csv_rows(text: str, separator: str, path: Path) -> list[Row]:
    # A cell may hold a whole series. The limit is a C long, 32 bits on some machines.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        return [(reader.line_num, [_plain(cell) for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise UserError(f"file '{path}' is no CSV ({first_line(error)}): name a table of accuracies") from error


def _markdown_rows(text: str) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        cells = [_plain(cell) for cell in line.strip().strip("|").split("|")]
        if line.strip().startswith("|") and not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            rows.append((number, cells))
    return rows


def _plain(cell: str) -> str:
    """Return a cell without blanks around it and without the marks of bold text."""
    return re.sub(r"\*\*|__", "", cell).strip() if cell.strip().startswith(("**", "__")) else cell.strip()


def _rectangular(rows: list[Row], path: Path) -> list[Row]:
    """Return rows of equal length; R leaves out the title of its row names. UserError for another row."""
    width = len(rows[0][1])
    rows = [(line, cells if any(cells[width:]) else cells[:width]) for line, cells in rows]
    has_names = all(len(cells) == width + 1 for _, cells in rows[1:]) and mostly_datasets(c[0] for _, c in rows[1:])
    if has_names and all(role_of(title) != Role.DATASET for title in rows[0][1]):
        rows[0], width = (rows[0][0], ["", *rows[0][1]]), width + 1
    for line, cells in rows:
        if len(cells) != width:
            raise UserError(
                f"line {line} of '{path}' has {len(cells)} cells and the header {width}: "
                "write decimal points, and quote cells that hold the separator"
            )
    return rows


def _has_datasets_as_columns(rows: Sequence[Row]) -> bool:
    titles = [title for title in rows[0][1][1:] if role_of(title) not in (Role.ABOUT, Role.SUMMARY)]
    n_known = sum(role_of(title) == Role.METHOD and mostly_datasets([title]) for title in titles)
    holds_datasets = any(mostly_datasets(cells[i] for _, cells in rows[1:]) for i in range(len(rows[0][1])))
    return n_known > 0 and 2 * n_known > len(titles) and not holds_datasets


def lists_multivariate(names: Sequence[str]) -> bool:
    """Return whether most of the known names of datasets are of the multivariate archive, not of UCR."""
    n_multivariate = sum(map(is_multivariate, set(names)))
    return n_multivariate > 0 and 2 * n_multivariate >= sum(mostly_datasets([name]) for name in set(names))
