"""Labelled streams: long series with a class for each timepoint, drawn from cases or read from files of the user.

A user's file has a row for each timepoint: columns of values, a column of labels (label, class, target, y, or the one
that label= names; an empty cell is a timepoint without label), and perhaps the columns `stream` (another text begins
another stream) and `split` (train or test). A .npz file has arrays of the same names: `x`, float (n_timepoints,) or
(n_timepoints, n_channels), `label` or `y`, `stream`, `split`, each (n_timepoints,).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsfcn.common import files as common_files
from tsfcn.common import npz
from tsfcn.common.errors import UserError
from tsfcn.config.segmentation import BACKGROUND, SegmentationConfig
from tsfcn.config.segmentation_models import STRIDE
from tsfcn.data.formats import LabelUse, arrays, suffix_of, text
from tsfcn.data.locate import DEFAULT_TEST_SIZE, ReadOptions
from tsfcn.data.preprocess import Arrays, Float32, Int64, Labels, Preparation, encode_labels, fit_preparation
from tsfcn.data.user_data import Source, kept_path

NO_LABEL = -1  # of a timepoint: counted neither by the loss nor by a metric
LABEL_NAMES = ("label", "class", "target", "y")
WITHOUT_VALUES = "is without values: give a row for each timepoint, with a column for each channel"
NO_GAPS = "fill missing values, or end the stream there"
KIND = "streams"  # of a passport
SUFFIXES = (".csv", ".csv.gz", ".npz")

Stream = tuple[Float32, Int64]  # x (n_channels, n_timepoints) and y (n_timepoints,), positions of classes or NO_LABEL


@dataclass(frozen=True, eq=False)
class StreamData:
    """The streams of a job, and the cases from which a classifier for them is trained.

    classes: the labels as text. x_cases: float32 (n_cases, n_channels, n_timepoints). y_cases: int64 (n_cases,).
    preparation: how further streams are prepared (`prepared`), with the timepoints of x_cases.
    """

    train: list[Stream]
    test: list[Stream]
    classes: list[str]
    x_cases: Float32
    y_cases: Int64
    preparation: Preparation

    @property
    def median_segment(self) -> float:
        """The median length in timepoints of the segments of one class in the test streams, without background."""
        lengths = [
            stop - start
            for _, y in self.test
            for label, start, stop in runs(y)
            if label != NO_LABEL and self.classes[label] != BACKGROUND
        ]
        return float(np.median(lengths)) if lengths else 0.0


def runs(y: npt.NDArray[Any]) -> list[tuple[Any, int, int]]:
    """Return label, start and end of each run of equal labels.

    >>> runs(np.array([0, 0, 2]))
    [(0, 0, 2), (2, 2, 3)]
    """
    ends = [*(np.flatnonzero(y[1:] != y[:-1]) + 1).tolist(), len(y)] if len(y) else []
    return [(y[start].item(), start, stop) for start, stop in zip([0, *ends], ends, strict=False)]


def prepared(x: npt.NDArray[np.float64], preparation: Preparation) -> Float32:
    """Return a stream as the networks take it, float32 (n_channels, n_timepoints). x: of the same shape.

    Raises:
        UserError: A value is infinite or too large for float32.
        ValueError: It has other channels than the training streams.
    """
    n_timepoints = x.shape[1]
    whole: Float32 = preparation.transform(x[None], np.array([n_timepoints])).x[0]
    return whole[:, :n_timepoints]


def check_lengths(what: str, lengths: Iterable[int]) -> None:
    """Raise UserError for a stream that is shorter than the stride of the networks.

    what: has the streams, for the message. lengths: timepoints of each.
    """
    shortest = min(lengths)
    if shortest < STRIDE:
        raise UserError(
            f"{what} has a stream of {shortest} timepoints, fewer than the stride of {STRIDE} of the "
            "networks: join short streams, or leave them out"
        )


# ---------------------------------------------------------------------------------------------------------------------
# From cases


def of_cases(name: str, data: Arrays, settings: SegmentationConfig, seed: int) -> StreamData:
    """Return streams of consecutive cases, training streams of training cases only, test streams of test cases only.

    Order and gaps follow from the seed, by another random stream for each split. Each training case is used
    `settings.passes` times, each test case once. With a background, the classifier's cases are the training cases and
    as many gaps as a class has cases on average.

    Args:
        name: The dataset, for messages.
        data: Its prepared cases, each at its own length (length=mask), or cut to one.
        settings: How streams are drawn.
        seed: Of the job.
    """
    train_random, test_random, gap_random = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(3))
    classes = [str(label) for label in data.classes]
    label = len(classes) if settings.background else NO_LABEL
    if settings.background and BACKGROUND in classes:
        raise UserError(f"dataset '{name}' has a class '{BACKGROUND}', as gaps do: add segmentation.background=false")
    train = list(zip(_cut(data.x_train, data.train_lengths), data.y_train.tolist(), strict=True))
    test = list(zip(_cut(data.x_test, data.test_lengths), data.y_test.tolist(), strict=True))
    longest_gap = round(settings.gap * float(np.median(data.train_lengths)))
    drawn = [
        draw(cases, settings.cases, passes, longest_gap, settings.gap_noise, label, random)
        for cases, passes, random in ((train, settings.passes, train_random), (test, 1, test_random))
    ]
    x, y = data.x_train, data.y_train
    if settings.background:
        classes = [*classes, BACKGROUND]
        n_gaps = max(1, round(len(x) / len(data.classes)))
        ends = gap_random.integers(0, len(train), (n_gaps, 2))
        gaps = [_gap(train[a][0], train[b][0], x.shape[2], settings.gap_noise, gap_random) for a, b in ends.tolist()]
        x, y = np.concatenate([x, np.stack(gaps)]), np.concatenate([y, np.full(n_gaps, label)])
    check_lengths(f"dataset '{name}'", (stream.shape[1] for streams in drawn for stream, _ in streams))
    return StreamData(drawn[0], drawn[1], classes, x, y, _as_given(data.preparation))


def _as_given(preparation: Preparation) -> Preparation:
    """Return how further streams are prepared for networks whose streams are drawn from prepared cases.

    They are scaled by the training set under normalisation=train. Under normalisation=series each case was scaled by
    itself; where the cases of a further stream begin is not known, so it is used as it is.
    """
    normalisation = "none" if preparation.normalisation == "series" else preparation.normalisation
    return replace(preparation, normalisation=normalisation, length="mask", fixed_length=False)


def _cut(x: Float32, lengths: Int64) -> list[Float32]:
    """Return each case up to its length, at least one timepoint."""
    return [case[:, : max(1, length)] for case, length in zip(x, lengths.tolist(), strict=True)]


def draw(
    cases: Sequence[tuple[Float32, int]],
    n_cases: int,
    passes: int,
    longest_gap: int,
    noise: float,
    label: int,
    random: np.random.Generator,
) -> list[Stream]:
    """Return streams of cases in random order, with a gap before each case and after the last.

    Args:
        cases: (n_channels, n_timepoints) and the class of each.
        n_cases: The most cases of a stream; streams differ by one case at most.
        passes: How many times each case is used.
        longest_gap: Timepoints; the length of a gap is uniform from 0 to this.
        noise: The standard deviation of the noise in gaps.
        label: Of gaps.
        random: The source of order, lengths and noise.
    """
    order = np.concatenate([random.permutation(len(cases)) for _ in range(passes)])
    streams = []
    for part in np.array_split(order, -(-len(order) // n_cases)):
        chosen = [cases[number] for number in part.tolist()]
        values: list[Float32] = []
        labels: list[Int64] = []
        for number in range(len(chosen) + 1):
            before, after = chosen[max(0, number - 1)][0], chosen[min(number, len(chosen) - 1)][0]
            length = int(random.integers(0, longest_gap + 1))
            before = after[:, :1] if number == 0 else before
            after = before[:, -1:] if number == len(chosen) else after
            values.append(_gap(before, after, length, noise, random))
            labels.append(np.full(length, label, dtype=np.int64))
            if number < len(chosen):
                case, case_label = chosen[number]
                values.append(case)
                labels.append(np.full(case.shape[1], case_label, dtype=np.int64))
        streams.append((np.concatenate(values, axis=1), np.concatenate(labels)))
    return streams


def _gap(before: Float32, after: Float32, length: int, noise: float, random: np.random.Generator) -> Float32:
    """Return a straight line from the end of one case to the start of the next, with noise, (n_channels, length).

    Args:
        before: (n_channels, n_timepoints), the case before the gap.
        after: The case behind it.
        length: Timepoints of the gap.
        noise: The standard deviation of the noise.
        random: The source of the noise.
    """
    share = (np.arange(length) + 1) / (length + 1)
    line = before[:, -1:] * (1 - share) + after[:, :1] * share
    return (line + noise * random.standard_normal(line.shape)).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# From files


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of a user's file, or of two."""

    values: npt.NDArray[np.float64]  # (n_timepoints, n_channels)
    labels: Labels  # (n_timepoints,), '' without label
    streams: Labels  # (n_timepoints,)
    splits: Labels  # (n_timepoints,), train, test, or '' where the file does not say
    channels: tuple[str, ...] = ()  # names of the columns of values; () of arrays


def read(source: Source, options: ReadOptions) -> Table:
    """Return the table of a user's streams. Raises UserError for what is none."""
    assert source.files is not None
    paths, named = source.files.paths, ("train", "test")
    tables = [read_file(path, options.columns.label) for path in paths]
    if len(tables) == 2:
        tables = [
            replace(table, splits=np.full(len(table.labels), split)) for table, split in zip(tables, named, strict=True)
        ]
    if len({(table.values.shape[1], table.channels) for table in tables}) > 1:
        raise UserError(f"'{paths[0]}' and '{paths[1]}' differ in channels: give the same columns in both")
    joined = [np.concatenate([getattr(table, name) for table in tables]) for name in ("values", *TEXTS)]
    table = Table(joined[0], joined[1], joined[2], joined[3], tables[0].channels)
    if not (table.splits != "").any():
        table = replace(table, splits=last_part_as_test(table.streams, options.test_size or DEFAULT_TEST_SIZE))
    return table


def last_part_as_test(streams: Labels, test_size: float) -> Labels:
    """Return 'train' or 'test' for each timepoint: the last streams are for testing, of one stream its end."""
    begins = [start for _, start, _ in runs(streams)]
    n = len(begins) if len(begins) > 1 else len(streams)
    first = min(n - 1, max(1, n - round(test_size * n)))  # at least one of each
    start = begins[first] if len(begins) > 1 else first
    return np.where(np.arange(len(streams)) < start, "train", "test")


def read_file(path: Path, label: str | None, use: LabelUse = "needed") -> Table:
    """Return the rows of a file. Raises UserError for a file that is no table of timepoints.

    label: the name of the column of labels; None: one of LABEL_NAMES. use: whether the file has it.
    """
    if suffix_of(path).lower() not in SUFFIXES:
        raise UserError(f"'{path}' is of a format that is not read for streams: write .csv or .npz")
    channels: tuple[str, ...] = ()
    if path.suffix.lower() == ".npz":
        columns = arrays.read_npz(path)
        name = _label_name(path, columns, label, use)
        if "x" not in columns:
            raise UserError(f"'{path}' has no array x: save the values as x, (n_timepoints,) or with channels")
        values = np.asarray(columns["x"])
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or values.dtype.kind not in "iuf":
            raise UserError(f"'{path}' has x of shape {values.shape}: give numbers, (n_timepoints, n_channels)")
        rest = {key: np.asarray(columns[key]).astype(np.str_) for key in (name, "stream", "split") if key in columns}
    else:
        rest, values, channels = _read_text(path, label, use)
        name = _label_name(path, rest, label, use)
    if not values.size:
        raise UserError(f"'{path}' {WITHOUT_VALUES}")
    if any(column.shape != (len(values),) for column in rest.values()):
        raise UserError(f"'{path}' has columns of other lengths than its {len(values)} timepoints: give one for each")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise UserError(f"'{path}' has a value that is missing or infinite in row {row} (from 0): {NO_GAPS}")
    empty = np.full(len(values), "", dtype=np.str_)
    labels = [text.canonical_label(each.strip()) for each in rest.get(name, empty).tolist()]
    splits = np.char.lower(rest.get("split", empty))
    wrong = sorted(set(splits.tolist()) - {"train", "test"})
    if "split" in rest and wrong:
        raise UserError(f"'{path}' has '{wrong[0]}' in its column split: write train or test")
    streams = rest.get("stream", empty)
    return Table(values.astype(np.float64), np.array(labels, dtype=np.str_), streams, splits, channels)


def _label_name(path: Path, columns: Mapping[str, object], label: str | None, use: LabelUse) -> str:
    """Return the name of the column of labels, '' where there is none. Raises UserError where it is needed."""
    if use == "absent":
        return ""
    found = [name for name in ([label.lower()] if label else LABEL_NAMES) if name in columns]
    if not found and (label or use == "needed"):
        named = f"'{label}'" if label else f"{', '.join(LABEL_NAMES[:-1])} or {LABEL_NAMES[-1]}"
        raise UserError(f"'{path}' has no column {named}: name the column of labels with label=")
    return found[0] if found else ""


def _read_text(
    path: Path, label: str | None, use: LabelUse
) -> tuple[dict[str, Labels], npt.NDArray[np.float64], tuple[str, ...]]:
    """Return the columns of text of a .csv file by their names in lower case, its values, and their names."""
    numbered = text.lines(path)
    _, head = next(numbered, (0, ""))
    if not head:
        raise UserError(f"'{path}' {WITHOUT_VALUES}")
    names = [name.strip().lower() for name in text.quoted_fields(head, f"'{path}' line 1")]
    kinds = {_label_name(path, dict.fromkeys(names), label, use), "stream", "split"}
    text_columns = {name: position for position, name in enumerate(names) if name in kinds}
    value_columns = [position for position in range(len(names)) if position not in text_columns.values()]
    rows: list[list[str]] = []
    values: list[npt.NDArray[np.float64]] = []
    for number, line in numbered:
        where = f"'{path}' line {number}"
        fields = text.quoted_fields(line, where)
        if len(fields) != len(names):
            raise UserError(f"{where} has {len(fields)} fields, the header {len(names)}: give one for each column")
        rows.append(fields)
        numbers = [fields[position] for position in value_columns]
        try:
            at = (position + 1 for position in value_columns)
            values.append(text.parse_numbers(numbers, line, where, at, f"write a number; {NO_GAPS}"))
        except UserError as error:
            if use == "optional" and len(kinds & set(LABEL_NAMES)) == 0 and not label:
                raise UserError(f"{error}; if it is a label, name its column with label=") from error
            raise
        if np.isnan(values[-1]).any():
            raise UserError(f"{where} has a value that is missing: {NO_GAPS}")
    columns = {name: np.array([row[place] for row in rows], dtype=np.str_) for name, place in text_columns.items()}
    channels = tuple(names[position] for position in value_columns)
    return columns, np.array(values).reshape(len(rows), len(value_columns)), channels


def passport(source: Source, options: ReadOptions) -> dict[str, Any]:
    """Return the passport of a user's streams, and keep them in the cache folder for workers.

    Raises UserError for a file that is wrong, streams shorter than the stride, classes that training streams lack.
    """
    table = read(source, options)
    about = [list(table.values.shape), *(getattr(table, name).tolist() for name in TEXTS)]
    content = hashlib.sha256(json.dumps(about).encode())
    content.update(table.values.astype("<f8").tobytes())
    train, test = (_parts(table, split) for split in ("train", "test"))
    for name, parts in (("training", train), ("test", test)):
        if not parts:
            raise UserError(f"dataset '{source.name}' has no {name} stream: mark its rows in a column split")
    lengths = [x.shape[1] for x, _ in [*train, *test]]
    check_lengths(f"dataset '{source.name}'", lengths)
    labels = [[label for _, y in parts for label in np.unique(y).tolist() if label] for parts in (train, test)]
    known = sorted(set(labels[0]))
    unknown = sorted(set(labels[1]) - set(known))
    if unknown:
        raise UserError(
            f"dataset '{source.name}' has the label '{unknown[0]}' in its test streams, outside the classes of the "
            f"training streams ({', '.join(known)}): correct it, leave the cell empty, or move a stream to training"
        )
    if len(known) < 2:
        raise UserError(f"dataset '{source.name}' has {len(known)} class in its training streams: label two or more")
    known_passport: dict[str, Any] = {
        "name": source.name,
        "archive": "user",
        "revision": "user",
        "source": source.files.source if source.files else "",
        "kind": KIND,
        "split": "user",
        "files_split": "user",
        "n_train": len(train),
        "n_test": len(test),
        "n_channels": table.values.shape[1],
        "n_classes": len(known),
        "length": max(lengths),
        "shortest": min(lengths),
        "class_counts": {label: sum(int((y == label).sum()) for _, y in train) for label in known},
        "content": content.hexdigest(),
        "channels": "\n".join(table.channels),
    }
    path = kept_path(source.name, known_passport["content"])
    if not path.exists():
        common_files.create_cache_folder()
        columns = {name: getattr(table, name) for name in ("values", *TEXTS)}
        common_files.replace(path, lambda file: npz.write(file, columns))
    return known_passport


TEXTS = ("labels", "streams", "splits")


def bounds(table: Table) -> list[tuple[str, str, int, int]]:
    """Return split, name, first row and the row after the last of each stream of a table."""
    ranges, start = [], 0
    for (split, name), members in groupby(zip(table.splits.tolist(), table.streams.tolist(), strict=True)):
        stop = start + len(list(members))
        ranges.append((split, name, start, stop))
        start = stop
    return ranges


def _parts(table: Table, split: str) -> list[tuple[npt.NDArray[np.float64], Labels]]:
    """Return the streams of a split: values (n_channels, n_timepoints) and labels as text."""
    return [(table.values[a:b].T, table.labels[a:b]) for kind, _, a, b in bounds(table) if kind == split]


def load_planned(name: str, known: Mapping[str, Any], normalisation: str) -> StreamData:
    """Return the user's streams that a plan saw, normalised, with windows of their segments as the classifier's cases.

    A window is as long as the median segment of the training streams, and stands in the middle of its segment; longer
    segments have several.

    Args:
        name: The dataset.
        known: Its passport.
        normalisation: none; series: each stream by itself; train: all by the training streams.

    Raises:
        UserError: The streams are not in the cache folder any more.
    """
    path = kept_path(name, known["content"])
    try:
        with np.load(path, allow_pickle=False) as content:
            table = Table(*(content[each] for each in ("values", *TEXTS)))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"dataset '{name}' is not in the cache folder any more: start the run again") from error
    parts = [_parts(table, split) for split in ("train", "test")]
    labelled = (np.concatenate([y[y != ""] for _, y in each]) for each in parts)
    classes = [str(label) for label in encode_labels(*labelled)[2]]
    positions = {"": NO_LABEL, **{label: position for position, label in enumerate(classes)}}
    preparation = _fit([x for x, _ in parts[0]], normalisation)
    train, test = (
        [(prepared(x, preparation), np.array([positions[label] for label in y.tolist()])) for x, y in each]
        for each in parts
    )
    x_cases, y_cases = windows(train)
    return StreamData(train, test, classes, x_cases, y_cases, replace(preparation, n_timepoints=x_cases.shape[2]))


def _fit(streams: Sequence[npt.NDArray[np.float64]], normalisation: str) -> Preparation:
    """Return how streams are prepared. streams: those of training, (n_channels, n_timepoints)."""
    joined = np.concatenate(streams, axis=1)
    fitted = fit_preparation(
        *(joined[None], np.array([joined.shape[1]])),
        normalisation=normalisation,
        missing="zero",
        length="mask",
        fixed_length=False,
    )
    return replace(fitted, n_timepoints=1)  # each stream has its own


def windows(streams: Sequence[Stream]) -> tuple[Float32, Int64]:
    """Return windows in the middle of labelled segments, as long as the median segment, and their classes."""
    segments = [(x, *run) for x, y in streams for run in runs(y) if run[0] != NO_LABEL]
    shortest_stream = min(x.shape[1] for x, _ in streams)
    length = min(shortest_stream, max(STRIDE, int(np.median([stop - start for _, _, start, stop in segments]))))
    x_cases, y_cases = [], []
    for x, label, start, stop in segments:
        count = max(1, (stop - start) // length)
        first = min(max(0, (start + stop - count * length) // 2), x.shape[1] - count * length)
        for number in range(count):
            x_cases.append(x[:, first + number * length : first + (number + 1) * length])
            y_cases.append(label)
    return np.stack(x_cases), np.array(y_cases, dtype=np.int64)
