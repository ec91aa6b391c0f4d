"""The one epoch loop, what trains in it, and what comes out."""

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
Ended = Callable[[Callable[[], State]], None]  # called after an epoch, with what gives the state to go on from


class Diverged(UserError):
    """The training loss became infinite or not a number."""


@dataclass(frozen=True)
class Curve:
    """The learning curve: for each epoch the training loss, and the learning rate that it was trained with."""

    loss: list[float]
    lr: list[float]


@dataclass(frozen=True)
class Fit:
    """What training left: the network (holding the last weights), the weights of each selection, and the curve."""

    network: nn.Module
    weights: dict[str, Weights]  # 'least_train_loss', 'last', and 'validation' or 'test_oracle' where asked for
    best_epoch: dict[str, int]  # the epoch, from 1 on, that each of these weights ended
    curve: Curve
    cells: int
    train_cross_entropy: float  # of the weights with the least training loss, in inference mode, over the fitted cases

    def load(self, selection: str) -> nn.Module:
        """Return the network with the weights of `selection`, in evaluation mode."""
        self.network.load_state_dict(self.weights[selection])
        return self.network.eval()


class Training(Protocol):
    """One or more networks in training, as the loop over epochs sees them."""

    @property
    def n_epochs(self) -> int:
        """Epochs in all."""

    @property
    def done(self) -> int:
        """Epochs that have ended."""

    def advance(self) -> float:
        """Train one or more further epochs and return the training loss of the last. Raises Diverged."""

    def state(self) -> State:
        """Return what the rest of the training follows from."""


def train_epochs(training: Training, progress: Progress | None, ended: Ended | None) -> None:
    """Train all epochs that are left: the one loop over epochs, whatever the engine."""
    while training.done < training.n_epochs:
        loss = training.advance()
        if progress is not None:
            progress(training.done, training.n_epochs, loss)
        if ended is not None and training.done < training.n_epochs:
            ended(training.state)


def check_finite(loss: float, epoch: int) -> None:
    """Raise Diverged unless the training loss of an epoch is finite."""
    if not math.isfinite(loss):
        raise Diverged(f"training loss is {loss} in epoch {epoch}: try a smaller protocol.lr")
