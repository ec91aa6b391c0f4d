"""Refinement: rounds of further training, each from the selected weights, after Karim et al. 2018.

The authors describe rounds whose learning rate is halved each time, and whose batch size is halved every second time.
Their number of rounds, epochs and first values are not public (docs/transfer.md); `Settings.refinement` has ours.
Optimiser and plateau begin anew in each round. The weights of a selection are replaced by those of a later round only
if these are better by that selection's own measure, the training loss or the cross-entropy on held-out cases: the test
set is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tsfcn.config.protocol import Settings
from tsfcn.training.checkpoint import SavedState, State
from tsfcn.training.loop import Curve, Fit, Progress
from tsfcn.training.search import fit_from_state, fit_state


def merged(before: Fit, after: Fit) -> Fit:
    """Return the fit of a training and a round after it: of each selection the better weights, the first of equals.

    The last weights are those of the round; its epochs are counted after those before.
    """
    n_before = len(before.curve.loss)
    later = {name: epoch + n_before for name, epoch in after.best_epoch.items()}
    better = {name for name in after.weights if name == "last" or after.least[name] < before.least[name]}
    return Fit(
        network=after.network,
        weights={name: (after if name in better else before).weights[name] for name in before.weights},
        best_epoch={name: later[name] if name in better else epoch for name, epoch in before.best_epoch.items()},
        curve=Curve(before.curve.loss + after.curve.loss, before.curve.lr + after.curve.lr),
        cells=before.cells,
        train_cross_entropy=(after if "least_train_loss" in better else before).train_cross_entropy,
        least={name: min(value, after.least.get(name, value)) for name, value in before.least.items()},
    )


@dataclass(frozen=True)
class Stage:
    """The first training (number 0) or a round, as a part of the whole: it counts epochs and keeps the state of all.

    Args:
        number: Of the round; 0: the first training.
        epochs_before: Of the stages before.
        epochs_in_all: Of all stages.
        fits: Those of the first training, and after it that of all rounds so far: the last one is refined.
        resume_state: The state of this stage to resume from.
        checkpoint: That of the whole.
        progress: That of the whole.
    """

    number: int
    epochs_before: int
    epochs_in_all: int
    fits: list[Fit]
    resume_state: State | None
    checkpoint: SavedState | None
    progress: Progress | None

    def report_progress(self, epoch: int, _: int, loss: float) -> None:
        """Report the progress of the whole."""
        if self.progress is not None:
            self.progress(self.epochs_before + epoch, self.epochs_in_all, loss)

    def on_epoch_end(self, state: Callable[[], State]) -> None:
        """Give the checkpoint the state of the whole."""
        if self.checkpoint is not None:
            self.checkpoint.on_epoch_end(lambda: self.whole(state()))

    def whole(self, stage: State) -> State:
        """Return the state of the whole. stage: that of this stage."""
        fits = [fit_state(each) for each in self.fits]
        return {"epoch": self.epochs_before + stage["epoch"], "number": self.number, "stage": stage, "done": fits}


def in_stages(
    settings: Settings,
    build: Callable[[int], nn.Module],
    device: torch.device,
    train_stage: Callable[[Stage, Fit | None], tuple[Fit, list[Fit]]],
    progress: Progress | None,
    checkpoint: SavedState | None,
) -> tuple[Fit, list[Fit]]:
    """Train, then refine, and return the refined fit and the fits of all LSTM sizes of the first training.

    Args:
        settings: Those of the first training, with the number of rounds.
        build: Returns a network with an LSTM of the size that it gets, and any weights.
        device: Where it is trained.
        train_stage: Trains a stage from the fit before it, None for the first, and returns the fit to keep and all.
        progress: Called with epochs done, epochs in all and the training loss.
        checkpoint: Where the training resumes from, and what keeps its state.
    """
    first_epochs = settings.epochs * max(1, len(settings.cells))
    in_all = first_epochs + settings.refine_rounds * settings.refine_epochs
    state: dict[str, Any] = (checkpoint.resume_state if checkpoint is not None else None) or {"number": 0, "done": []}
    fits = [fit_from_state(each, build(each["cells"]), device) for each in state["done"]]
    for number in range(state["number"], settings.refine_rounds + 1):
        before = first_epochs + (number - 1) * settings.refine_epochs if number else 0
        resume_state = state.get("stage") if number == state["number"] else None
        stage = Stage(number, before, in_all, fits, resume_state, checkpoint, progress)
        best, sizes = train_stage(stage, fits[-1] if number else None)
        fits = [*sizes, best] if number == 0 else [*fits[:-1], merged(fits[-1], best)]
    return fits[-1], fits[:-1]
