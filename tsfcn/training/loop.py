"""The one epoch loop, the protocol of what trains in it, and the result of a training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from tsfcn.common.errors import UserError
from tsfcn.training.checkpoint import State

Weights = dict[str, Tensor]
Progress = Callable[[int, int, float], None]  # epochs done, epochs in all, training loss
OnEpochEnd = Callable[[Callable[[], State]], None]  # gets a function that returns the state to resume from


class Diverged(UserError):
    """The training loss became infinite or NaN."""


@dataclass(frozen=True)
class Start:
    """Where a training starts if not from random weights.

    weights: by name; what a network has beyond them stays as it was drawn. round: 0 for a first training, k for the
    k-th round of refinement, whose orders and dropout masks are others than those before. cells: the LSTM size.
    """

    weights: Weights
    round: int = 0
    cells: int = 0


@dataclass(frozen=True)
class Curve:
    """The learning curve: for each epoch the training loss, and the learning rate that the epoch was trained with."""

    loss: list[float]
    lr: list[float]


@dataclass(frozen=True)
class Fit:
    """The result of a training: the network (with the last weights), the weights of each selection, and the curve."""

    network: nn.Module
    weights: dict[str, Weights]  # 'least_train_loss', 'last', and 'validation' or 'test_oracle' if requested
    best_epoch: dict[str, int]  # for each of these, the epoch (from 1) after which the network had these weights
    curve: Curve
    cells: int
    train_cross_entropy: float  # of the weights with the least training loss, in inference mode, over the fitted cases
    # What `least_train_loss` and `validation` were selected by: loss of the epoch, cross-entropy on held-out cases.
    least: dict[str, float]

    def load(self, selection: str) -> nn.Module:
        """Return the network with the weights of `selection`, in evaluation mode."""
        self.network.load_state_dict(self.weights[selection])
        return self.network.eval()


class Training(Protocol):
    """One or more networks in training, as the epoch loop uses them."""

    @property
    def n_epochs(self) -> int:
        """The number of epochs in all."""

    @property
    def epochs_done(self) -> int:
        """The number of epochs that have ended."""

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to train."""

    def advance(self) -> float:
        """Train one or more epochs and return the training loss of the last one. Raises Diverged."""

    def state(self) -> State:
        """Return the state from which the training can be resumed with the same bits."""


def train_epochs(training: Training, progress: Progress | None, on_epoch_end: OnEpochEnd | None) -> None:
    """Train all remaining epochs. All engines use this loop."""
    while not training.is_finished:
        loss = training.advance()
        if progress is not None:
            progress(training.epochs_done, training.n_epochs, loss)
        if on_epoch_end is not None and not training.is_finished:
            on_epoch_end(training.state)


def check_finite(loss: float, epoch: int) -> None:
    """Raise Diverged unless the training loss of an epoch is finite."""
    if not math.isfinite(loss):
        raise Diverged(f"training loss is {loss} in epoch {epoch}: try a smaller protocol.lr")
