"""A callback that writes the epochs of a training for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsfcn.callbacks.library import import_library

EVENTS = "events.out.tfevents.tsfcn"  # TensorBoard reads files whose name contains 'tfevents'


@dataclass
class TensorBoardLogger:
    """Writes the logs of each epoch to a folder, which `tensorboard --logdir FOLDER` shows.

    Each training writes to a new sub-folder, training-1, training-2 and so on, and is a curve of its own: each fit, and
    each copy that scikit-learn makes of a classifier. The file is closed after each epoch, and no thread is started.

    Args:
        folder: Created if it does not exist.

    Raises:
        UserError: TensorBoard is not installed.
    """

    folder: str | Path
    training: Path | None = field(default=None, init=False, repr=False, compare=False)  # the sub-folder in use

    def __post_init__(self) -> None:
        """Check that TensorBoard is installed before anything is trained."""
        import_library("tensorboard", "tensorboard")

    def __call__(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Write the logs of an epoch; epoch 1 begins a training."""
        if epoch == 1 or self.training is None:
            self.training = new_training(Path(self.folder))
            append_event(self.training / EVENTS, file_version="brain.Event:2")
        values = [{"tag": name, "simple_value": value} for name, value in logs.items()]
        append_event(self.training / EVENTS, step=epoch, summary={"value": values})

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy or a pickle, which begins a training of its own."""
        return {"folder": self.folder, "training": None}


def new_training(folder: Path) -> Path:
    """Create and return the first sub-folder training-1, training-2, ... that does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        training = folder / f"training-{number}"
        try:
            training.mkdir()
        except FileExistsError:  # another training, of this or another process
            number += 1
        else:
            return training


def append_event(path: Path, **content: Any) -> None:
    """Append an event to a file of TensorBoard. content: the fields of its `Event`."""
    events = import_library("tensorboard.compat.proto.event_pb2", "tensorboard")
    records = import_library("tensorboard.summary.writer.record_writer", "tensorboard")
    with path.open("ab") as file:
        records.RecordWriter(file).write(events.Event(wall_time=time.time(), **content).SerializeToString())
