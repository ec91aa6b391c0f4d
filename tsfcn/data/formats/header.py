"""Understand the column names of a table: labels, ids, timepoints, channels, and the columns of a long table."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tsfcn.common.errors import UserError
from tsfcn.data.formats.split import Columns, LabelUse

LABELS = ("label", "class", "target", "y", "class_label", "classlabel")
CASES = ("case", "case_id", "caseid", "id", "series", "series_id", "instance", "sample", "sample_id", "unique_id")
TIMES = (
    *("time", "timepoint", "timestamp", "t", "step", "time_step", "timestep", "reading", "reading_id", "time_index"),
    *("datetime", "date", "ds", "seconds", "time_id"),
)
VALUES = ("value", "values", "val", "measurement")
DIMENSIONS = ("dimension", "dim", "dim_id", "dimension_id", "channel", "channel_id", "variable")

IDS = re.compile(
    r"unnamed_?\d*|index|idx|id|ids|uid|uuid|guid|rows?|row_?(id|index|name|names|no|nr|num|number)|rownames|no|nr|num"
    r"|number|samples?|cases?|instances?|subjects?|patients?|participants?|persons?|users?|records?|recordings?"
    r"|sessions?|trials?|files?|file_?names?|names?|keys?|series|folds?|time|timestamp|datetime|date|reading"
    r"|.*_(id|ids|idx|index|uuid|uid|no|nr)"
)
"""Names, as `normalised` gives them, of columns that identify a case and are no timepoint."""

PLAIN_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
LAST_NUMBER = re.compile(r"(?<!\d)\d{1,15}(\.\d{1,15})?(?=[)\]]?\Z)", re.ASCII)
TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?", re.ASCII)
DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?)?", re.ASCII)
MOST_LONG_COLUMNS = 8  # of a table with a row for each value or timepoint, beside labels
REGULAR = 0.8  # share of the columns that follow one pattern, from which on the others are not timepoints


@dataclass(frozen=True)
class Layout:
    """Positions of a wide table's columns: the label, the columns left out, and the values in the order of the file.

    The label is -1 in a table without labels.
    """

    label: int
    left_out: tuple[int, ...]
    values: tuple[int, ...]


@dataclass(frozen=True)
class LongLayout:
    """Positions of a long table's columns; dimension None: one value column for each channel."""

    label: int
    case: int
    time: int | None
    values: tuple[int, ...]
    dimension: int | None
    certain: bool  # False: a wide table, if no case has several rows


def normalised(name: str) -> str:
    """Return a column's name in lower case, its words joined by underscores.

    >>> [normalised(name) for name in ("Case ID", "caseId", "Unnamed: 0", " label ")]
    ['case_id', 'case_id', 'unnamed_0', 'label']
    """
    if name.isalnum() and name.isascii() and name.islower():  # as 't0', of which there may be many
        return name
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def is_id(name: str) -> bool:
    """Return whether a column of this name identifies cases."""
    return bool(IDS.fullmatch(normalised(name)))


def label_positions(names: Sequence[str], columns: Columns) -> list[int]:
    """Return the positions of the columns that hold labels, by their names."""
    if columns.label is not None:
        wanted = columns.label.strip()
        return [i for i, name in enumerate(names) if name.strip() == wanted]
    return [i for i, name in enumerate(names) if normalised(name) in LABELS]


def wide_layout(names: Sequence[str], columns: Columns, where: str, use: LabelUse = "needed") -> Layout:
    """Return the layout of a table with a row for each case.

    Args:
        names: Of the columns.
        columns: The names that the user gives.
        where: What messages call the table.
        use: Whether it has labels; where they are absent, a column that is named like them is left out.

    Raises:
        UserError: For a missing or ambiguous label column and a table without values.
    """
    labels = label_positions(names, columns)
    if len(labels) > 1:
        raise UserError(f"{where} has {len(labels)} columns of labels: keep one of {names[labels[0]].strip()!r} ...")
    if not labels and use == "needed":
        raise UserError(f"{where} has no label column: call it 'label', or name it with label=NAME")
    others = [i for i in range(len(names)) if i not in labels]
    left_out = tuple(i for i in others if is_id(names[i]))
    values = tuple(i for i in others if i not in set(left_out))
    times = [names[i] for i in left_out if normalised(names[i]) in TIMES]
    if times and len(values) <= MOST_LONG_COLUMNS and not any(parsed_name(names[i]) for i in values):
        raise UserError(
            f"{where} has times in {times[0][:40]!r} and no column of cases: call that one 'case', or name it with "
            "columns.case=NAME; or leave the times out"
        )
    if not values:
        raise UserError(f"{where} has no column of values beside its labels and ids: write a column for each timepoint")
    return Layout(labels[0] if labels and use != "absent" else -1, left_out, values)


def check_names(names: Sequence[str], columns: Columns, where: str) -> None:
    """Raise UserError for two columns of one name, one without a name, and a column that was named and is not there."""
    stripped = [name.strip() for name in names]
    if "" in stripped:
        raise UserError(f"{where} has a column without a name: leave out row numbers (index=False in pandas)")
    double = [name for name, count in Counter(stripped).items() if count > 1]
    if double:
        raise UserError(f"{where} has two columns {double[0][:40]!r}: give each a name of its own")
    for setting, name in vars(columns).items():
        if name is not None and name.strip() not in stripped:
            near = difflib.get_close_matches(name, stripped, n=1)
            shown = ", ".join(stripped[:8]) + (", ..." if len(stripped) > 8 else "")
            hint = f"did you mean {near[0]!r}?" if near else f"the columns are {shown}"
            option = "label" if setting == "label" else f"columns.{setting}"
            raise UserError(f"{where} has no column {name!r} ({option}={name}): {hint}")


def long_layout(names: Sequence[str], columns: Columns) -> LongLayout | None:
    """Return the layout of a table with a row for each value or each timepoint, or None for a wide table.

    A long table has a column of cases, and either one of values or one of times and a column for each channel. The
    second form is a wide table with ids where no case has several rows, unless the user names these columns.
    """
    words = [normalised(name) for name in names]
    case = _position(names, words, columns.case, CASES)
    time = _position(names, words, columns.time, TIMES)
    value = _position(names, words, columns.value, VALUES)
    dimension = _position(names, words, columns.dimension, DIMENSIONS)
    labels = [i for i in label_positions(names, columns) if i != value]
    if case is None or len(labels) > 1 or (time is None and value is None):
        return None
    label = labels[0] if labels else -1
    roles = {case, time, dimension, label}
    if value is not None:
        return LongLayout(label, case, time, (value,), dimension, certain=True)
    values = tuple(i for i in range(len(names)) if i not in roles and not is_id(names[i]))
    if dimension is not None or not values:
        return None
    return LongLayout(label, case, time, values, None, certain=columns.case is not None)


def _position(names: Sequence[str], words: Sequence[str], given: str | None, usual: Sequence[str]) -> int | None:
    """Return the position of a column: the one that was named, else the first of the usual names."""
    if given is not None:
        return next((i for i, name in enumerate(names) if name.strip() == given.strip()), None)
    return next((words.index(word) for word in usual if word in words), None)


def parsed_name(name: str) -> tuple[str, float] | None:
    """Return prefix and number of a column's name, ('', 0.5) for '0.5', or None where it has no number at its end."""
    name = name.strip()
    if PLAIN_NUMBER.fullmatch(name):
        return "", float(name)
    match = LAST_NUMBER.search(name[:64])
    prefix = "" if match is None else name[: match.start()].rstrip(" _.-([")
    return (prefix, float(match[0])) if match and any(map(str.isalpha, prefix)) else None


def arrange(names: Sequence[str], where: str) -> tuple[list[list[int]], list[str]]:
    """Return the columns of each channel in the order of time, and sentences about what was changed.

    names: of the value columns. Names of one pattern (t0, t1, ...; 0.0, 0.5, ...) are one channel; several patterns
    with the same numbers (x_0, y_0, x_1, y_1) are as many channels. Columns that are sorted as text (t1, t10, t2) are
    put in the order of their numbers. Raises UserError for a few columns that do not fit to the others.
    """
    everything = [list(range(len(names)))]
    if len(names) < 2 or all(TIME_OF_DAY.fullmatch(name.strip()) or DATE.fullmatch(name.strip()) for name in names):
        return everything, []
    groups: dict[str, list[int]] = {}
    numbers: dict[str, list[float]] = {}
    for position, name in enumerate(names):
        parsed = parsed_name(name)
        if parsed is not None:
            groups.setdefault(parsed[0], []).append(position)
            numbers.setdefault(parsed[0], []).append(parsed[1])
    largest = max(groups.values(), key=len, default=[])
    if REGULAR * len(names) <= len(largest) < len(names) and len(largest) > 2:
        regular = set(largest)
        stray = next(name for position, name in enumerate(names) if position not in regular)
        first, second = (names[position].strip() for position in largest[:2])
        raise UserError(f"{where} has a column {stray[:40]!r} among timepoints ({first}, {second}, ...): leave it out")
    if sum(map(len, groups.values())) < len(names):
        shown = ", ".join(name[:20] for name in names[:3])
        return everything, [f"columns {shown}{', ...' if len(names) > 3 else ''} read as timepoints in this order"]
    if len(groups) > 1:
        alike = len({tuple(sorted(each)) for each in numbers.values()}) == 1 and len(largest) > 1
        if not alike:
            return everything, []
    channels, notices = _ordered(groups, numbers)
    if len(groups) > 1:
        notices.append(f"{len(groups)} channels ({', '.join(list(groups)[:4])}) by the names of the columns")
    return channels, notices


def _ordered(groups: dict[str, list[int]], numbers: dict[str, list[float]]) -> tuple[list[list[int]], list[str]]:
    """Return the columns of each group in the order of their numbers, unless these go one way already."""
    channels, sorted_prefixes = [], []
    for prefix, group in groups.items():
        each = numbers[prefix]
        if each not in (sorted(each), sorted(each, reverse=True)):
            channels.append([group[i] for i in sorted(range(len(each)), key=each.__getitem__)])
            sorted_prefixes.append(prefix)
        else:
            channels.append(group)
    notices = ["columns put in the order of the numbers in their names"] if sorted_prefixes else []
    return channels, notices
