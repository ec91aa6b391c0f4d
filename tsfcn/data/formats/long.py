"""A long table: a row for each value, or for each timepoint, with the case that it belongs to."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tsfcn.common.errors import UserError
from tsfcn.data.formats.split import Split
from tsfcn.data.formats.text import NUMBER, Float64

DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?Z?", re.ASCII)
TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,9})?)?", re.ASCII)


@dataclass
class LongTable:
    """The rows of a long table, in the order of the file.

    source: what messages call the file. cases, labels: text of each row. times: text of each row, empty without a
    column of times. dimensions: likewise, of the channel. values: float64 (n_columns,) of each row. names: of the value
    columns.
    """

    source: str
    names: list[str]
    cases: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    dimensions: list[str] = field(default_factory=list)
    values: list[Float64] = field(default_factory=list)


def matched(test: LongTable, train: LongTable) -> LongTable:
    """Return the table of test cases with the channels of the training table, in the same order.

    Raises UserError where one has a channel that the other lacks.
    """
    test_names, train_names = (set(table.dimensions or table.names) for table in (test, train))
    if test_names != train_names and (len(train.names) > 1 or train.dimensions or test.dimensions):
        odd = min(test_names ^ train_names)
        raise UserError(
            f"file '{test.source}' and '{train.source}' differ in channel {odd[:40]!r}: write the same channels in both"
        )
    if len(train.names) == 1 or test.names == train.names:
        return test
    order = [test.names.index(name) for name in train.names]
    return replace(test, names=list(train.names), values=[values[order] for values in test.values])


def to_split(table: LongTable) -> Split:
    """Return the cases of a long table in the order of their first rows, their values in the order of time.

    Raises UserError for a case with two labels, a time that stands twice in one case, and times that have no order.
    """
    names, codes = _codes(table.cases)
    dimensions = sorted(set(table.dimensions), key=_natural) or [""]
    position = {name: i for i, name in enumerate(dimensions)}
    channel_codes = np.array([position[name] for name in table.dimensions] or [0] * len(codes), dtype=np.int64)
    times = _ordered_times(table)
    labels = _labels(table, names, codes)
    values = np.array(table.values)  # (n_rows, n_columns)
    order = np.lexsort((channel_codes, times, codes))
    _check_unique(table, codes[order], times[order], channel_codes[order], order)
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    cases = []
    for first, last in itertools.pairwise(bounds.tolist()):
        rows = order[first:last]
        if len(dimensions) == 1:
            cases.append(np.ascontiguousarray(values[rows].T))
        else:
            cases.append(_pivoted(times[rows], channel_codes[rows], values[rows, 0], len(dimensions)))
    n_channels = cases[0].shape[0]
    longest, shortest = (f(case.shape[1] for case in cases) for f in (max, min))
    length = f"{longest}" if longest == shortest else f"{shortest} to {longest}"
    channels = "" if n_channels == 1 else f", {n_channels} channels"
    return Split(
        cases, labels, [f"a long table: {len(table.cases)} rows, {len(cases)} cases x {length} timepoints{channels}"]
    )


def _codes(words: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the distinct words in the order of their first occurrence, and the position of each word among them."""
    position: dict[str, int] = {}
    codes = [position.setdefault(word, len(position)) for word in words]
    return list(position), np.array(codes, dtype=np.int64)


def _labels(table: LongTable, names: Sequence[str], codes: npt.NDArray[np.int64]) -> list[str]:
    """Return the label of each case. Raises UserError for a case with two."""
    labels: list[str | None] = [None] * len(names)
    for code, label in zip(codes.tolist(), table.labels, strict=True):
        if labels[code] not in (None, label):
            raise UserError(
                f"file '{table.source}' has case {names[code][:40]!r} with two labels, {str(labels[code])[:40]!r} and "
                f"{label[:40]!r}: give each case one label, or name the columns with columns.case=NAME and label=NAME"
            )
        labels[code] = label
    return [str(label) for label in labels]


def _ordered_times(table: LongTable) -> Float64:
    """Return times as numbers that have their order. Raises UserError for times that are neither numbers nor dates."""
    if not table.times:
        return _occurrences(table)
    if all(map(NUMBER.fullmatch, table.times)):
        return np.array(table.times, dtype=np.float64)
    if all(map(DATE.fullmatch, table.times)):
        try:
            dates = np.array([time.removesuffix("Z").replace(" ", "T") for time in table.times], dtype="datetime64[ns]")
        except ValueError as error:
            raise UserError(f"file '{table.source}' has a date that does not exist ({error}): correct it") from error
        return np.unique(dates, return_inverse=True)[1].astype(np.float64)
    if all(map(TIME_OF_DAY.fullmatch, table.times)):
        return np.array([_seconds(time) for time in table.times])
    odd = next(time for time in table.times if not NUMBER.fullmatch(time))
    raise UserError(f"file '{table.source}' has the time {odd[:40]!r}: write numbers, or dates as 2020-01-31T12:00")


def _occurrences(table: LongTable) -> Float64:
    """Return the number of rows of the same case and channel before each row: the order of the file as times."""
    counts: Counter[tuple[str, str]] = Counter()
    times = []
    for pair in zip(table.cases, table.dimensions or [""] * len(table.cases), strict=True):
        times.append(float(counts[pair]))
        counts[pair] += 1
    return np.array(times)


def _natural(word: str) -> tuple[float, str]:
    """Return the key that sorts numbers by value, before text."""
    return (float(word), word) if NUMBER.fullmatch(word) else (np.inf, word)


def _seconds(time: str) -> float:
    """Return a time of day in seconds."""
    return sum(float(part) * unit for part, unit in zip(time.split(":"), (3600, 60, 1), strict=False))


def _check_unique(
    table: LongTable,
    codes: npt.NDArray[np.int64],
    times: Float64,
    channel_codes: npt.NDArray[np.int64],
    order: npt.NDArray[np.intp],
) -> None:
    """Raise UserError where a case has two rows of one time and channel.

    Args:
        table: The table.
        codes: The case of each row, sorted.
        times: The time of each row, in the same order.
        channel_codes: The channel of each row, likewise.
        order: The rows of the file in this order.
    """
    same = (np.diff(codes) == 0) & (np.diff(times) == 0) & (np.diff(channel_codes) == 0)
    if same.any():
        row = int(order[int(np.flatnonzero(same)[0])])
        raise UserError(
            f"file '{table.source}' has case {table.cases[row][:40]!r} twice at time {table.times[row][:40]!r}: give "
            "each case an id of its own, and name a column of channels with columns.dimension=NAME"
        )


def _pivoted(times: Float64, channels: npt.NDArray[np.int64], values: Float64, n_channels: int) -> Float64:
    """Return the values of one case as (n_channels, n_timepoints), NaN where a channel has no value at a time.

    Args:
        times: The time of each row.
        channels: The channel of each row.
        values: The value of each row.
        n_channels: The number of channels of the table.
    """
    distinct, columns = np.unique(times, return_inverse=True)
    case = np.full((n_channels, len(distinct)), np.nan)
    case[channels, columns] = values
    return case
