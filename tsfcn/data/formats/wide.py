"""A wide table: a case on each row, its label in one column, a column for each timepoint (and channel)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tsfcn.common.errors import UserError
from tsfcn.data.formats.header import MOST_LONG_COLUMNS, arrange, parsed_name
from tsfcn.data.formats.split import Split
from tsfcn.data.formats.text import Float64, steps_between

FEWEST_LONG_ROWS = 6
MANY_ROWS = 5  # a column that counts fewer rows may do so by chance


@dataclass(frozen=True)
class WideTable:
    """The rows of a wide table.

    source: what messages call the file. names: of the value columns, None without a header. values: float64
    (n_rows, n_columns), NaN for no value. labels: of the rows. counts_rows: the value columns that are written as
    0, 1, 2, ... or 1, 2, 3, ...; -1 stands for the label column. repeated_id: a column of ids that was left out and
    whose ids have several rows each, '' without one. header_fault: why the table is refused if its first row seems to
    be a header, '' if it does not. notices: as for Split.
    """

    source: str
    names: list[str] | None
    values: Float64
    labels: list[str]
    counts_rows: tuple[int, ...] = ()
    repeated_id: str = ""
    header_fault: str = ""
    notices: list[str] = field(default_factory=list)


def matched(test: WideTable, train: WideTable) -> WideTable:
    """Return the table of test cases with its columns in the order of the training table's.

    Columns are matched by their names; a longer series may have further timepoints at its end. Raises UserError for
    names that do not match, and for one header without the other.
    """
    if train.names == test.names:
        return test
    if train.names is None or test.names is None:
        without, other = (train, test) if train.names is None else (test, train)
        raise UserError(
            f"file '{without.source}' has no header, '{other.source}' has one: write the same header in both"
        )
    shorter = min(len(train.names), len(test.names))
    if train.names[:shorter] == test.names[:shorter]:
        return test
    position = {name: i for i, name in enumerate(test.names)}
    lacking = [name for name in train.names if name not in position]
    surplus = sorted(set(test.names) - set(train.names))
    if lacking or surplus:
        lacks = f"lacks column {lacking[0][:40]!r}" if lacking else f"has column {surplus[0][:40]!r}"
        raise UserError(
            f"file '{test.source}' {lacks}, unlike '{train.source}': write the same columns in both, in any order"
        )
    order = [position[name] for name in train.names]
    return replace(
        test,
        names=list(train.names),
        values=test.values[:, order],
        counts_rows=tuple(order.index(i) if i >= 0 else i for i in test.counts_rows),
        notices=[*test.notices, "columns of the test file matched by their names"],
    )


def first_row_is_case(table: WideTable, other: WideTable) -> bool:
    """Return whether the other split shows that the first row is no header: it has the label as a class.

    A header that was written into both files is the first row of both.
    """
    same = other.labels[0] == table.labels[0] and np.array_equal(other.values[0], table.values[0], equal_nan=True)
    return table.labels[0] in other.labels and not same


def to_split(table: WideTable) -> Split:
    """Return the cases of a table, each (n_channels, n_timepoints). Raises UserError for unclear columns."""
    if table.header_fault:
        raise UserError(table.header_fault)
    source = f"file '{table.source}'"
    n_columns = table.values.shape[1]
    if n_columns == 1 and table.names is not None:
        raise UserError(
            f"{source} has one timepoint for each case, {table.names[0][:40]!r}: a table with a row for each value "
            "needs columns case, time and value, or columns.case=NAME and so on"
        )
    channels, notices = ([list(range(n_columns))], []) if table.names is None else arrange(table.names, source)
    return Split(
        [row[np.array(channels)] for row in table.values],
        table.labels,
        [*table.notices, *notices],
        [*counting_faults(table), *long_faults(table)],
        () if table.names is None or len(channels) > 1 else tuple(table.names[i] for i in channels[0]),
    )


def counting_faults(table: WideTable) -> list[str]:
    """Return why a table is refused whose labels, or one of whose columns, count the rows."""
    source, counts = f"file '{table.source}'", table.counts_rows
    if len(table.labels) < 3:
        return []
    if -1 in counts:
        return [f"{source} has row numbers in the place of labels: leave them out (index=False in pandas)"]
    few = len(table.labels) < MANY_ROWS or len(counts) != 1 or table.values.shape[1] == 1
    if few:
        return []
    name = f"column {counts[0] + 2}" if table.names is None else f"column {table.names[counts[0]][:40]!r}"
    return [f"{source} has row numbers in {name}: leave that column out, or call it 'id'"]


def long_faults(table: WideTable) -> list[str]:
    """Return why a table is refused that seems to have a row for each value: its columns hold times or cases."""
    n_rows, n_columns = table.values.shape
    if n_rows < FEWEST_LONG_ROWS or n_columns > MOST_LONG_COLUMNS:
        return []
    if table.repeated_id and table.names is not None and not any(map(parsed_name, table.names)):
        return [_long_fault(table.source, f"column {table.repeated_id[:40]!r}")]
    integers = [i for i in range(n_columns) if bool((table.values[:, i] == np.round(table.values[:, i])).all())]
    position = next((i for i in integers if _restarts(table.values[:, i])), None)
    if position is None:
        pairs = itertools.combinations(integers, 2)
        position = next((i for i, j in pairs if _is_grid(table.values[:, i], table.values[:, j])), None)
    if position is None:
        return []
    name = f"column {position + 2}" if table.names is None else f"column {table.names[position][:40]!r}"
    return [_long_fault(table.source, name)]


def _long_fault(source: str, column: str) -> str:
    """Return why a table is refused whose column holds times or cases."""
    return (
        f"file '{source}' has times or cases in {column}, as a table with a row for each value has: call its columns "
        "case, label, time and value, or name them with columns.case=NAME columns.time=NAME columns.value=NAME"
    )


def _restarts(column: Float64) -> bool:
    """Return whether a column counts up in equal steps, three or more numbers at a time, again and again."""
    steps = steps_between(column)
    ups = steps[steps > 0]
    restarts = np.flatnonzero(steps <= 0)
    if not len(restarts) or not len(ups) or not (ups == ups[0]).all():
        return False
    return bool((column[restarts + 1] == column[0]).all() and len(ups) >= 2 * (len(restarts) + 1))


def _is_grid(first: Float64, second: Float64) -> bool:
    """Return whether two columns hold each pair of their values once, three or more values in each."""
    counts = len(np.unique(first)), len(np.unique(second))
    pairs = len({*zip(first.tolist(), second.tolist(), strict=True)})
    return min(counts) >= 3 and counts[0] * counts[1] == len(first) == pairs


def shuffled_ids(tables: Sequence[WideTable]) -> list[str]:
    """Return why tables are refused whose first or last column numbers the cases of all of them, in any order."""
    n_cases = sum(len(table.labels) for table in tables)
    if n_cases < 2 * MANY_ROWS or min(table.values.shape[1] for table in tables) < 2:
        return []
    for position in (0, -1):
        values = np.sort(np.concatenate([table.values[:, position] for table in tables]))
        if values[0] == np.round(values[0]) and np.array_equal(values, values[0] + np.arange(n_cases)):
            names = tables[0].names
            name = f"column {names[position][:40]!r}" if names else f"the {'last' if position else 'first'} value"
            return [f"file '{tables[0].source}' has a number of each case in {name}: leave it out, or call it 'id'"]
    return []
