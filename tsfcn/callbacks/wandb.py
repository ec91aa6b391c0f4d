"""A callback that logs the epochs of a training with Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tsfcn.callbacks.library import import_library
from tsfcn.common.errors import UserError


@dataclass(frozen=True)
class WandbLogger:
    """Logs each epoch to the active run, which `wandb.init()` starts. Start a new run for each training.

    Raises:
        UserError: wandb is not installed, or no run is active (when the first epoch ends).
    """

    def __post_init__(self) -> None:
        """Check that wandb is installed before anything is trained."""
        import_library("wandb", "wandb")

    def __call__(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Log an epoch."""
        wandb = import_library("wandb", "wandb")
        if wandb.run is None:
            raise UserError("wandb has no active run: call wandb.init() before fit")
        wandb.run.log(dict(logs), step=epoch, commit=True)
