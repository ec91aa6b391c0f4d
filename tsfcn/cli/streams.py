"""`tsfcn streams [RESULTS] [--out FOLDER]`: draw test streams with their true and predicted labels.

The streams are drawn again from their seed, and the labels are the stored predictions: nothing is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tsfcn.common import exit_codes
from tsfcn.common.arguments import Parser, path
from tsfcn.common.errors import UserError
from tsfcn.data import locate
from tsfcn.data.preprocess import Int64
from tsfcn.jobs import artifacts, store
from tsfcn.jobs.record import Record

if TYPE_CHECKING:
    from tsfcn.data.streams import StreamData

LABELLING = ("labelling", "window_step", "sampling", "stages")  # of a task: what does not change its test streams


def main(argv: Sequence[str] | None = None) -> int:
    """Write a figure for each dataset. Returns the exit code."""
    return exit_codes.run(lambda: run(argv))


def run(argv: Sequence[str] | None) -> int:
    """Do what the command line asks for."""
    parser = Parser(
        prog="tsfcn streams",
        description="Draw a test stream of each dataset of a results folder of task=segmentation, with its true "
        "labels and those that each model predicts, from stored predictions.",
    )
    parser.add_argument("results", nargs="?", default="results", type=path, metavar="RESULTS", help="the folder")
    parser.add_argument("--out", type=path, metavar="FOLDER", help="where to write (default: RESULTS/streams)")
    parser.add_argument("--root", type=path, metavar="DIR", help="folder of the archive (default: as for tsfcn run)")
    parser.add_argument("--stream", type=int, default=1, metavar="N", help="which test stream (default: 1, the first)")
    options = parser.parse_args(argv)
    return draw(options.results, options.out or options.results / "streams", options.root, options.stream)


def draw(results: Path, out: Path, root: Path | None, number: int) -> int:
    """Write the figures. Returns the exit code.

    Args:
        results: The results folder.
        out: The folder of the figures.
        root: The folder of the archive; None: the default.
        number: Of the test stream, from 1.
    """
    from tsfcn.jobs.run_job import stream_data
    from tsfcn.report import figures

    figures.check_available()
    groups = of_one_stream(record for record in store.read(results) if predicted(record, results))
    if not groups:
        raise UserError(
            f"results folder '{results}' is without predictions of task=segmentation: run it with "
            "require_predictions=true"
        )
    folder = locate.root_folder(None if root is None else str(root))
    for records in groups:
        first = records[0]
        data = stream_data(first.job, folder)
        if not 1 <= number <= len(data.test):
            raise UserError(f"--stream {number} is not there: {first.dataset} has test streams 1 to {len(data.test)}")
        rows = [(name(record), labels(record, results, data, number - 1)) for record in records]
        x, y = data.test[number - 1]
        title = f"{first.dataset}, seed {first.seed}, test stream {number} of {len(data.test)}"
        file = out / f"{''.join(c if c.isalnum() or c in '-_' else '_' for c in first.dataset)}-seed{first.seed}.png"
        figures.save(figures.stream_bands(x, [("true", y), *rows], data.classes, title), file)
        exit_codes.show(str(file))
    return exit_codes.OK


def predicted(record: Record, results: Path) -> bool:
    """Return whether a record is of dense labelling and has stored predictions."""
    is_dense = record.is_ok and record.task is not None
    return is_dense and artifacts.predictions_path(results, record.key).is_file()


def of_one_stream(records: Iterable[Record]) -> list[list[Record]]:
    """Return the records that label the same streams together, of the least seed of each dataset."""
    records = sorted(records, key=lambda record: (record.dataset, record.seed, record.protocol, record.model))
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        task = {key: value for key, value in (record.task or {}).items() if key not in LABELLING}
        group = groups.setdefault((record.dataset, repr(sorted(task.items()))), [])
        if not group or record.seed == group[0].seed:
            group.append(record)
    return list(groups.values())


def name(record: Record) -> str:
    """Return a model with what was changed in its protocol."""
    return record.model + "".join(record.protocol.partition("[")[1:])


def labels(record: Record, results: Path, data: StreamData, number: int) -> Int64:
    """Return the predicted class of each timepoint of a test stream, NO_LABEL where it has no label.

    Args:
        record: Of the job.
        results: The results folder.
        data: Its streams.
        number: Of the stream, from 0.

    Raises:
        UserError: The predictions are damaged, or not of these streams.
    """
    from tsfcn.data.streams import NO_LABEL

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
