"""One training by the engine that is chosen for it: what the runner and the estimators share."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import torch
from torch import Tensor

from tsfcn.common.errors import UserError
from tsfcn.config.models import ModelConfig
from tsfcn.config.protocol import Settings, fast_trains
from tsfcn.config.schema import FAST_PRECISIONS
from tsfcn.training import search
from tsfcn.training.checkpoint import Checkpoint
from tsfcn.training.fused import build, stacked
from tsfcn.training.loop import Fit, Progress
from tsfcn.training.select_engine import select_engine


@dataclass(frozen=True)
class Task:
    """What is to be trained, and on what.

    Args:
        architecture: The name of a registered model.
        config: The model's settings.
        settings: The protocol, resolved for this model.
        x: float (n_cases, n_channels, n_timepoints), prepared; its dtype and device are the training's.
        y: int64 (n_cases,), on the same device.
        n_classes: The number of classes.
        seed: All random numbers follow from it.
        lengths: int64 (n_cases,) on the CPU, the timepoints of each case that count (length=mask); None: all.
        oracle: x, y and lengths of the TEST set, for select=test_oracle only.
        sample_weight: float (n_cases,), a factor for the loss of each case, for the reference loop only; None: 1.
        patience: Stop after so many epochs without a smaller loss on held-out cases, for the reference loop only; 0:
            train all epochs.
    """

    architecture: str
    config: ModelConfig
    settings: Settings
    x: Tensor
    y: Tensor
    n_classes: int
    seed: int
    lengths: Tensor | None = None
    oracle: tuple[Tensor, Tensor, Tensor] | None = None
    sample_weight: Tensor | None = None
    patience: int = 0


def choose_engine(task: Task, requested: str, precision: str, device: str) -> str:
    """Return the name of the engine for a training, compiling the kernels where it needs them.

    Args:
        task: What is to be trained.
        requested: One of schema.ENGINES.
        precision: The numeric precision.
        device: torch's name of it.

    Raises:
        UserError: The precision is not available for it.
    """
    may_be_fast = torch.device(device).type == "cpu" and fast_trains(task.architecture, task.config, task.settings)
    needs_reference = task.sample_weight is not None or task.patience > 0
    choice = select_engine(
        *(task.architecture, task.config, task.settings, "reference" if needs_reference else requested),
        precision=precision,
        n_timepoints=task.x.shape[2],
        device=device,
        compiled=may_be_fast and build.library() is not None,  # compiling takes a minute, the first time
    )
    if choice.name == "reference" and precision in FAST_PRECISIONS:
        reason = "sample weights and early stopping need the reference loop" if needs_reference else choice.reason
        raise UserError(f"engine.precision={precision} is for the fast engine ({reason}): leave it out")
    if choice.name == "reference":
        importlib.import_module("torch._dynamo")  # torch's optimisers need it: seconds that are no training
    return choice.name


def train(
    task: Task,
    engine: str,
    *,
    precision: str = "float32",
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[Fit, list[Fit]]:
    """Train every LSTM size that is asked for, and return the fit to keep and all of them (see search.search).

    Args:
        task: What is to be trained.
        engine: What `choose_engine` returned.
        precision: The numeric precision, for the fast engine; the reference loop takes that of x.
        progress: Called with epochs done, epochs in all and the training loss.
        checkpoint: Where the training goes on, and what keeps its state.

    Raises:
        Diverged: The loss, or what the kept weights predict, is not finite.
    """
    arguments = (task.architecture, task.config, task.settings, task.x, task.y, task.n_classes, task.seed)
    if engine != "reference":
        return stacked.search(*arguments, precision=precision, progress=progress, checkpoint=checkpoint)
    return search.search(
        *arguments,
        lengths=task.lengths,
        oracle=task.oracle,
        sample_weight=task.sample_weight,
        patience=task.patience,
        progress=progress,
        checkpoint=checkpoint,
    )
