"""Test streams of dense labelling with their true and predicted labels, for `tsfcn streams` and the page.

Streams are drawn again from the seed of their job, and the labels are the stored predictions: nothing is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tsfcn.analysis.segmentation import place, row_name
from tsfcn.common.errors import UserError, first_line
from tsfcn.data.preprocess import Float32, Int64
from tsfcn.data.streams import NO_LABEL, runs
from tsfcn.jobs import artifacts
from tsfcn.jobs.record import Record
from tsfcn.report.charts.streams import Band, bands
from tsfcn.report.html import Chart, csv_text
from tsfcn.report.svg import Label

if TYPE_CHECKING:
    from tsfcn.data.streams import StreamData

LABELLING = ("labelling", "window_step", "sampling", "stages")  # of a task: what does not change its test streams
BROAD, NARROW = 900, 420  # pixels


@dataclass(frozen=True, eq=False)
class LabelledStream:
    """A test stream with the labels that each row of the tables predicts.

    Args:
        dataset: The dataset.
        seed: Of the jobs.
        number: Of the stream, from 0.
        n_streams: The test streams of the job.
        x: float32 (n_channels, n_timepoints), as the networks take it.
        classes: The labels of the classes.
        labels: int64 (n_timepoints,) by name, positions in `classes` or NO_LABEL; the first are the true ones.
    """

    dataset: str
    seed: int
    number: int
    n_streams: int
    x: Float32
    classes: Sequence[str]
    labels: dict[str, Int64]

    @property
    def title(self) -> str:
        """What is drawn."""
        return f"{self.dataset}, seed {self.seed}, test stream {self.number} ({self.n_streams} in all)"

    def chart(self, ident: str, *, is_titled: bool = False) -> Chart:
        """Return the picture, and the segments as CSV.

        Args:
            ident: Its id on a page.
            is_titled: Whether the title is drawn too, for a picture that stands alone.
        """
        rows = [Band(name, [run for run in runs(y) if run[0] != NO_LABEL]) for name, y in self.labels.items()]
        description = f"{self.title}: the values, and a band of classes for each of {', '.join(self.labels)}."
        broad, narrow = (
            bands(
                Label(f"{ident}{end}", self.title, description),
                self.x.tolist(),
                rows,
                self.classes,
                width,
                is_titled=is_titled,
            )
            for end, width in (("", BROAD), ("-narrow", NARROW))
        )
        segments = [(row.name, self.classes[label], start, stop) for row in rows for label, start, stop in row.runs]
        return Chart(broad, csv_text(["labels", "class", "start", "stop"], segments), narrow)


def of_one_stream(records: Iterable[Record], results: Path) -> list[list[Record]]:
    """Return the records with stored predictions that label the same streams, of the least seed of each dataset."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.dataset, r.seed, place(r.model, r.protocol), r.protocol)):
        if not record.is_ok or record.task is None or not artifacts.predictions_path(results, record.key).is_file():
            continue
        task = {key: value for key, value in record.task.items() if key not in LABELLING}
        group = groups.setdefault((record.dataset, repr(sorted(task.items()))), [])
        if not group or record.seed == group[0].seed:
            group.append(record)
    return list(groups.values())


def labelled(records: Sequence[Record], results: Path, root: Path | None, number: int = 0) -> LabelledStream:
    """Return a test stream with the labels of the records of one group of `of_one_stream`.

    Args:
        records: The group.
        results: The results folder.
        root: The folder of the archive, None without one.
        number: Of the stream, from 0.

    Raises:
        UserError: The stream or its data is not there, or predictions are damaged or of other streams.
    """
    from tsfcn.jobs.run_job import stream_data

    first = records[0]
    try:
        data = stream_data(first.job, root)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError) as error:  # of a record by hand
        raise UserError(f"streams of {first.dataset} do not follow from its record ({first_line(error)})") from error
    if not 0 <= number < len(data.test):
        raise UserError(f"--stream {number} is not there: {first.dataset} has test streams 0 to {len(data.test) - 1}")
    x, y = data.test[number]
    rows = {row_name(record.model, record.protocol): predicted(record, results, data, number) for record in records}
    return LabelledStream(first.dataset, first.seed, number, len(data.test), x, data.classes, {"true": y, **rows})


def predicted(record: Record, results: Path, data: StreamData, number: int) -> Int64:
    """Return the predicted class of each timepoint of a test stream, NO_LABEL where it has no label.

    Args:
        record: Of the job.
        results: The results folder.
        data: Its streams.
        number: Of the stream, from 0.

    Raises:
        UserError: The predictions are damaged, or not of these streams.
    """
    where = artifacts.predictions_path(results, record.key)
    try:
        _, _, predictions = artifacts.read_predictions(results, record.key, record.n_test, record.n_classes)
    except Exception as error:  # of many kinds
        raise UserError(f"predictions '{where}' are unreadable ({type(error).__name__}): run the job again") from error
    counts = [int((y != NO_LABEL).sum()) for _, y in data.test]
    if len(predictions) != sum(counts):
        raise UserError(f"predictions '{where}' are of other streams than {record.dataset} has now: run the job again")
    start, y = sum(counts[:number]), data.test[number][1]
    drawn = np.full(len(y), NO_LABEL, dtype=np.int64)
    drawn[y != NO_LABEL] = predictions[start : start + counts[number]]
    return drawn
