"""One training by the engine that is chosen for it: what the runner and the estimators share."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tsfcn.common.errors import UserError
from tsfcn.config.models import ModelConfig
from tsfcn.config.protocol import Settings, fast_trains
from tsfcn.config.schema import FAST_PRECISIONS
from tsfcn.models import registry
from tsfcn.training import refine, search
from tsfcn.training.checkpoint import Checkpoint, SavedState
from tsfcn.training.fused import build, stacked
from tsfcn.training.loop import Fit, Progress, Start
from tsfcn.training.reference import Cases, held_out_split, hold_out, random_streams
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
        start: The weights that the training starts from; None: random ones.
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
    start: Start | None = None

    @property
    def n_fit(self) -> int:
        """The number of cases that are fitted."""
        return len(held_out_split(self.y, self.settings.validation, random_streams(self.seed)[3])[0])

    def held_out(self) -> Cases | None:
        """Return the training cases that are held out, with their classes on the CPU; None where none are."""
        if self.settings.validation == 0:
            return None
        cases = self.x, self.y, self.lengths
        return hold_out(cases, None, self.settings.validation, random_streams(self.seed)[3])[2]


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

    With `refine_rounds`, the fit to keep is then refined (refine.py); all engines can do this, and start from weights.

    Args:
        task: What is to be trained.
        engine: What `choose_engine` returned.
        precision: The numeric precision, for the fast engine; the reference loop takes that of x.
        progress: Called with epochs done, epochs in all and the training loss.
        checkpoint: Where the training goes on, and what keeps its state.

    Raises:
        Diverged: The loss, or what the kept weights predict, is not finite.
    """
    if task.start is not None and task.settings.cells:  # its LSTM has one size
        task = replace(task, settings=replace(task.settings, cells=(task.start.cells,)))
    if not task.settings.refine_rounds:
        return train_sizes(task, engine, precision, progress, checkpoint)

    def build(cells: int) -> nn.Module:
        sizes = (task.x.shape[1], task.x.shape[2], task.n_classes, cells)
        return registry.build(task.architecture, task.config, *sizes).to(dtype=task.x.dtype, device=task.x.device)

    def train_stage(stage: refine.Stage, before: Fit | None) -> tuple[Fit, list[Fit]]:
        part = task
        if before is not None:
            settings = task.settings.refinement(stage.number, n_fit, before.cells)
            start = Start(before.weights[settings.select], stage.number, before.cells)
            part = replace(task, settings=settings, start=start)
        return train_sizes(part, engine, precision, stage.report_progress, stage)

    n_fit = task.n_fit
    return refine.in_stages(task.settings, build, task.x.device, train_stage, progress, checkpoint)


def train_sizes(
    task: Task, engine: str, precision: str, progress: Progress | None, checkpoint: SavedState | None
) -> tuple[Fit, list[Fit]]:
    """Train every LSTM size once, without refinement. Arguments, return value and errors are those of `train`."""
    arguments = (task.architecture, task.config, task.settings, task.x, task.y, task.n_classes, task.seed)
    if engine != "reference":
        return stacked.search(
            *arguments, precision=precision, start=task.start, progress=progress, checkpoint=checkpoint
        )
    return search.search(
        *arguments,
        lengths=task.lengths,
        oracle=task.oracle,
        sample_weight=task.sample_weight,
        patience=task.patience,
        start=task.start,
        progress=progress,
        checkpoint=checkpoint,
    )
