"""Read tables of text: .csv, .tsv, .txt and the files of the 2015 archive, with or without a header.

Without a header the label is the first field, as in the UCR archive. With one, the label column is the one called
label, class, target or y, or the one that the user names; columns of ids are left out, and a table with a row for each
value (case, time, value) is recognised.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tsfcn.common.errors import UserError
from tsfcn.data.formats import header
from tsfcn.data.formats.long import LongTable
from tsfcn.data.formats.split import Columns, LabelUse
from tsfcn.data.formats.text import (
    NAN,
    NUMBER,
    Float64,
    canonical_label,
    lines,
    parse_label,
    parse_numbers,
    quoted_fields,
    steps_between,
)
from tsfcn.data.formats.wide import WideTable

DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?", re.ASCII)
COUNT = re.compile(r"[0-9]{1,15}", re.ASCII)
GAPS = frozenset(("", "?", "NA", "N/A", "na", "n/a", "null", "None", "-"))  # missing values of a .csv, beside NaN


@dataclass(frozen=True)
class Row:
    """One line of a table: where it is, for errors, its text, and its fields."""

    where: str
    text: str
    fields: list[str]


def read_table(
    path: Path,
    columns: Columns,
    labels: LabelUse = "needed",
    *,
    gaps: bool,
) -> WideTable | LongTable:
    """Read a table of text.

    Args:
        path: The file.
        columns: The names that the user gives.
        labels: Whether it has labels; 'optional': a header shows it, and without one the first column holds them.
        gaps: An empty field and its like (`GAPS`) are missing values; otherwise only NaN is one.

    Raises:
        UserError: For what cannot be read, with line and column.
    """
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        return WideTable(str(path), None, np.empty((0, 1)), [])
    if len(first.fields) < 2:
        raise UserError(
            f"{first.where} has one column: write label and values with tabs, commas or blanks between them"
        )
    names = _trimmed(first.fields)
    if not _is_header(names, columns, first.where, labels):
        layout = _layout_without_names(_width(path, first), labels)
        return _read_wide(path, itertools.chain([first], rows), None, layout, gaps)
    if _counts_up(names) and columns.label is None:
        layout = _layout_without_names(len(names), labels)
        place = "" if labels == "absent" else ", and labels are in the first column"
        notice = f"line 1 ({names[0]}, {names[1]}, ..., {names[-1]}) is a header{place}"
        return _read_wide(path, rows, names, layout, gaps, notice)
    header.check_names(names, columns, first.where)
    long = header.long_layout(names, columns)
    if long is not None and (long.certain or _has_repeats(path, long.case)):
        return _read_long(path, rows, names, long, labels, gaps)
    return _read_wide(path, rows, names, header.wide_layout(names, columns, first.where, labels), gaps)


def _layout_without_names(n_fields: int, labels: LabelUse) -> header.Layout:
    """Return the layout of a table without names of columns: the label is the first field, unless there is none."""
    first = 0 if labels == "absent" else 1
    return header.Layout(first - 1, (), tuple(range(first, n_fields)))


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def _rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file, split at the separator that its first line has."""
    separator: str | None = ""
    for number, line in lines(path):
        if separator == "":
            separator = find_separator(line)
        where = f"file '{path}' line {number}"
        fields = _quoted(line, separator, where) if '"' in line else line.split(separator)
        yield Row(where, line, fields)


def find_separator(line: str) -> str | None:
    """Return the separator of a line of values; None: blanks.

    >>> [find_separator(line) for line in ("a,1,2", "a;0,5;1,5", "1 0,5 0,25", "a b;1,2,3")]
    [',', ';', None, ',']
    """
    outside = re.sub(r'"[^"]*"', "", line)
    n_commas = outside.count(",")
    for separator in ("\t", ";", "|"):
        if outside.count(separator) >= max(1, n_commas):
            return separator
    if outside.count("\t") and not n_commas:
        return "\t"
    words = outside.split()
    decimals = len(words) > 2 and all(NUMBER.fullmatch(word) or DECIMAL_COMMA.fullmatch(word) for word in words)
    return "," if n_commas and not decimals else None


def _quoted(line: str, separator: str | None, where: str) -> list[str]:
    """Return the fields of a line with quotation marks."""
    return quoted_fields(line, where, delimiter=separator or " ", strict=True)


def _trimmed(fields: Sequence[str]) -> list[str]:
    """Return fields without blanks around them, and without the empty ones that separators at the end leave."""
    words = [field.strip() for field in fields]
    while len(words) > 2 and not words[-1]:
        words.pop()
    return words


def _width(path: Path, first: Row) -> int:
    """Return the fields of a table without header, without those that are empty in every line at its end."""
    n_fields = len(first.fields)
    if first.fields[-1].strip():
        return n_fields
    filled = (len(_trimmed(row.fields)) if row.fields[-1].strip() == "" else n_fields for row in _rows(path))
    return max(filled)


def _is_header(words: Sequence[str], columns: Columns, where: str, use: LabelUse) -> bool:
    """Return whether the first line names the columns. Raises UserError if it is neither a header nor a case.

    Args:
        words: Its fields.
        columns: The names that the user gives.
        where: File and line.
        use: Whether the table has labels.
    """
    if columns or _counts_up(words):
        return True
    labels = header.label_positions(words, columns)
    others = [word for i, word in enumerate(words) if word and i not in labels and not header.is_id(word)]
    if labels and (not any(map(_is_value, others)) or _are_times(others)):
        return True
    if any(_is_value(word) or word in GAPS for word in words[1:]):
        return False
    if use != "needed" or header.long_layout(words, columns) is not None:
        return True
    raise UserError(
        f"{where} is neither a case nor a header with a label column: call that one 'label', or name it with label=NAME"
    )


def _is_value(word: str) -> bool:
    return bool(NUMBER.fullmatch(word) or NAN.fullmatch(word) or DECIMAL_COMMA.fullmatch(word))


def _counts_up(words: Sequence[str]) -> bool:
    """Return whether the fields are 0, 1, 2, ... or 1, 2, 3, ..., as pandas and R name columns without names.

    A short row of 1, 2, 3 may be a case of class 1.
    """
    start = {"0": 0, "1": 1}.get(words[0])
    if start is None or len(words) < (3, 6)[start] or not all(map(COUNT.fullmatch, words)):
        return False
    return [int(word) for word in words] == list(range(start, start + len(words)))


def _are_times(words: Sequence[str]) -> bool:
    """Return whether all fields are numbers that rise or fall throughout, as the times of a header do."""
    if not all(map(NUMBER.fullmatch, words)):
        return False
    steps = steps_between([float(word) for word in words])
    return bool((steps > 0).all() or (steps < 0).all())


def _has_repeats(path: Path, column: int) -> bool:
    """Return whether two rows below the header have the same text in a column."""
    words = [row.fields[column].strip() for row in itertools.islice(_rows(path), 1, None) if column < len(row.fields)]
    return len(set(words)) < len(words)


# ---------------------------------------------------------------------------------------------------------------------
# A row for each case


@dataclass
class _Decimals:
    """The decimal sign of a file, and the line that it was used in first."""

    sign: str = ""
    where: str = ""

    def check(self, sign: str, where: str) -> None:
        """Raise UserError where a file uses both signs, of which one may separate thousands."""
        if self.sign and self.sign != sign:
            raise UserError(f"{where} has decimal {sign!r}, but {self.where} {self.sign!r}: write one decimal sign")
        self.sign, self.where = sign, self.where or where


@dataclass
class _Rows:
    """What `_read_wide` keeps of the rows that it has read."""

    values: list[Float64] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)  # by column, the number in it if it counted the rows so far
    ids: dict[int, set[str]] = field(default_factory=dict)  # by column that is left out, its distinct fields

    def count(self, fields: Sequence[str], columns: Sequence[int]) -> None:
        """Keep the columns that count the rows, this one included."""
        if not self.labels:
            self.counts = {i: int(fields[i]) for i in columns if COUNT.fullmatch(fields[i].strip(" "))}
        else:
            self.counts = {i: n + 1 for i, n in self.counts.items() if fields[i].strip() == str(n + 1)}


def _read_wide(
    path: Path,
    rows: Iterator[Row],
    names: list[str] | None,
    layout: header.Layout,
    gaps: bool,
    *notices: str,
) -> WideTable:
    """Read the rows of a wide table.

    Args:
        path: The file.
        rows: Its rows, without the header.
        names: The header, None without one.
        layout: The positions of the columns.
        gaps: As for `read_table`.
        notices: Sentences about the header.
    """
    n_fields = max(layout.label, *layout.left_out, *layout.values) + 1
    contents, decimals = _Rows(), _Decimals()
    remedy = "write it in the first column" if names is None else f"write it in column {layout.label + 1}"
    for row in rows:
        fields = _checked_width(row, n_fields)
        contents.count(fields, layout.values if layout.label < 0 else (layout.label, *layout.values))
        for i in layout.left_out:
            contents.ids.setdefault(i, set()).add(fields[i])
        label = "" if layout.label < 0 else parse_label(_label_field(fields[layout.label]), row.where, remedy)
        try:
            values = _numbers(row, fields, layout.values, gaps, decimals)
        except UserError as error:
            if names is not None or contents.labels or not str(error).startswith(f"{row.where} column"):
                raise
            raise UserError(f"{error}; the first column is the label unless a header names another") from error
        contents.values.append(values)
        contents.labels.append(label)
    left_out = [repr(name[:40]) for i in layout.left_out if names for name in [names[i]]]
    if left_out:
        notices += (f"column{'s' if len(left_out) > 1 else ''} {', '.join(left_out[:5])} left out as no timepoint",)
    return WideTable(
        source=str(path),
        names=None if names is None else [names[i] for i in layout.values],
        values=np.array(contents.values) if contents.values else np.empty((0, 1)),
        labels=contents.labels,
        counts_rows=tuple(-1 if i == layout.label else layout.values.index(i) for i in contents.counts),
        repeated_id=next((names[i] for i, ids in contents.ids.items() if names and _repeats(ids, contents)), ""),
        header_fault=_header_fault(path, contents) if names is None and layout.label >= 0 else "",
        notices=list(notices),
    )


def _repeats(ids: set[str], contents: _Rows) -> bool:
    """Return whether each of several ids has three or more rows, on average."""
    return len(ids) > 1 and 3 * len(ids) <= len(contents.labels)


def _checked_width(row: Row, n_fields: int) -> list[str]:
    """Return the fields of a row. Raises UserError where they are not as many as those of the first line."""
    fields = row.fields
    if len(fields) > n_fields and not any(map(str.strip, fields[n_fields:])):
        fields = fields[:n_fields]
    if len(fields) < 2:
        raise UserError(f"{row.where} has one column: the lines before it have {n_fields}")
    if len(fields) != n_fields:
        raise UserError(
            f"{row.where} has {len(fields)} columns: the lines before it have {n_fields}, end short cases with NaN"
        )
    return fields


def _label_field(field: str) -> str:
    """Return the text of a label, a number with a decimal point."""
    word = field.strip()
    return word.replace(",", ".") if DECIMAL_COMMA.fullmatch(word) else word


def _numbers(row: Row, fields: Sequence[str], positions: Sequence[int], gaps: bool, decimals: _Decimals) -> Float64:
    """Return the values of a row.

    Args:
        row: The row.
        fields: Its fields, as many as there are columns.
        positions: The columns of the values.
        gaps: As for `read_table`.
        decimals: The decimal sign of the file so far.
    """
    values = fields[1:] if len(positions) == len(fields) - 1 and positions[0] == 1 else [fields[i] for i in positions]
    if gaps:
        values = ["NaN" if value.strip() in GAPS else value for value in values]
    if "," in row.text and any("," in value for value in values):
        values = _with_points(values, row.where, decimals)
    elif decimals.sign != "." and "." in row.text and any("." in value for value in values):
        decimals.check(".", row.where)
    columns = (position + 1 for position in positions)
    return parse_numbers(values, ",".join(values) if "_" in row.text else row.text, row.where, columns)


def _with_points(values: Sequence[str], where: str, decimals: _Decimals) -> list[str]:
    """Return numbers with decimal points in the place of decimal commas. Raises UserError for a mixture."""
    decimals.check(",", where)
    if any("." in value for value in values):
        raise UserError(f"{where} has decimal ',' and decimal '.': write one decimal sign")
    return [value.replace(",", ".") if DECIMAL_COMMA.fullmatch(value.strip()) else value for value in values]


def _header_fault(path: Path, contents: _Rows) -> str:
    """Return why the table is refused if its first case seems to be a header of numbers, '' if it does not."""
    if not contents.labels:
        return ""
    word, first = contents.labels[0], contents.values[0]
    alone = contents.labels.count(word) == 1 and not NUMBER.fullmatch(word)
    others_rise = any(map(_rises, contents.values[1:3]))
    if alone and _rises(first) and (first[0] in (0, 1) or not others_rise):
        return (
            f"file '{path}' line 1 seems to be a header, whose columns have numbers for names: "
            f"call that of the labels 'label' instead of {word[:40]!r}, or name it with label=NAME"
        )
    return ""


def _rises(values: Float64) -> bool:
    """Return whether three values or more rise in equal steps, or four or more in any."""
    steps = steps_between(values)
    if len(steps) < 2 or not (steps > 0).all():
        return False
    return len(steps) > 2 or bool(np.isclose(steps, steps[0]).all())


# ---------------------------------------------------------------------------------------------------------------------
# A row for each value


def _read_long(
    path: Path,
    rows: Iterator[Row],
    names: list[str],
    layout: header.LongLayout,
    use: LabelUse,
    gaps: bool,
) -> LongTable:
    """Read the rows of a long table.

    Args:
        path: The file.
        rows: Its rows, without the header.
        names: The header.
        layout: The positions of the columns.
        use: Whether the table has labels.
        gaps: As for `read_table`.
    """
    is_labelled = layout.label >= 0 and use != "absent"
    if not is_labelled and use == "needed":
        raise UserError(f"file '{path}' line 1 has no label column: call it 'label', or name it with label=NAME")
    table, decimals = LongTable(str(path), [names[i] for i in layout.values]), _Decimals()
    remedy = f"write it in column {layout.label + 1}"
    for row in rows:
        fields = _checked_width(row, len(names))
        table.cases.append(canonical_label(fields[layout.case].strip()))
        word = _label_field(fields[layout.label])
        table.labels.append(parse_label(word, row.where, remedy) if is_labelled else "")
        if layout.time is not None:
            table.times.append(fields[layout.time].strip())
        if layout.dimension is not None:
            table.dimensions.append(canonical_label(fields[layout.dimension].strip()))
        table.values.append(_numbers(row, fields, layout.values, gaps, decimals))
    return table
