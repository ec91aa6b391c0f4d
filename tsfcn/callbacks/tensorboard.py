"""A callback that writes the epochs of a training for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsfcn.callbacks.library import import_library


@dataclass
class TensorBoardLogger:
    """Writes the logs of each epoch to a folder, which `tensorboard --logdir FOLDER` shows.

    The copies that scikit-learn makes of a classifier write to a file of their own in the same folder.

    Args:
        folder: Created if it does not exist. Give each training its own folder to see it as a curve of its own.

    Raises:
        UserError: TensorBoard is not installed.
    """

    folder: str | Path
    writer: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check that TensorBoard is installed before anything is trained."""
        import_library("tensorboard", "tensorboard")

    def __call__(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Write the logs of an epoch."""
        if self.writer is None:
            tensorboard = import_library("torch.utils.tensorboard", "tensorboard")
            self.writer = tensorboard.SummaryWriter(str(self.folder))
        for name, value in logs.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy or a pickle, which has no open file."""
        return {"folder": self.folder, "writer": None}
