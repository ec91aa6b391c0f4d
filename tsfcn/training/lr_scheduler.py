"""The schedule of the learning rate: reduction on a plateau."""

from __future__ import annotations

import math

from tsfcn.config.protocol import Settings


class Plateau:
    """Reduce the learning rate when the training loss stops falling, as Keras' ReduceLROnPlateau does.

    A loss below best - min_delta is a new best and resets the count of epochs without improvement. When `patience`
    epochs in a row bring no improvement, the rate is multiplied by `factor`, but not below `min_lr`, and the count is
    reset. So the first reduction comes one epoch earlier than with PyTorch's scheduler of the same patience, whose
    threshold is also relative instead of absolute.

    Args:
        lr: The initial learning rate.
        factor: What a reduction multiplies the rate by.
        patience: The number of epochs without improvement before a reduction; 0: the rate is never reduced.
        min_lr: The lower bound of the rate.
        min_delta: The least improvement of the loss that counts.
    """

    def __init__(self, lr: float, factor: float, patience: int, min_lr: float, min_delta: float) -> None:
        self.lr, self.factor, self.patience, self.min_lr, self.min_delta = lr, factor, patience, min_lr, min_delta
        self.best = math.inf
        self.num_bad_epochs = 0

    @classmethod
    def from_settings(cls, settings: Settings) -> Plateau:
        """Return the schedule of the settings, before the first epoch."""
        return cls(
            settings.lr,
            settings.plateau_factor,
            settings.plateau_patience,
            settings.plateau_min_lr,
            settings.plateau_min_delta,
        )

    def step(self, loss: float) -> float:
        """Return the learning rate of the next epoch, given the loss of the epoch that ended."""
        if loss < self.best - self.min_delta:
            self.best, self.num_bad_epochs = loss, 0
        else:
            self.num_bad_epochs += 1
            if self.patience > 0 and self.num_bad_epochs >= self.patience:
                if self.lr > self.min_lr:
                    self.lr = max(self.lr * self.factor, self.min_lr)
                self.num_bad_epochs = 0
        return self.lr
