"""The plateau rule of the learning rate."""

from __future__ import annotations

import math

from tsfcn.config.protocol import Settings


class Plateau:
    """Reduce the learning rate when the training loss stops falling: Keras' ReduceLROnPlateau.

    A loss below best - min_delta (absolute) is a new best and starts the count again; the patience-th epoch in a row
    without one multiplies the rate by `factor`, not below `min_lr`, and starts the count again. The first reduction
    so comes one epoch earlier than with PyTorch's scheduler of the same patience, whose threshold is relative besides.
    """

    def __init__(self, lr: float, factor: float, patience: int, min_lr: float, min_delta: float) -> None:
        self.lr, self.factor, self.patience, self.min_lr, self.min_delta = lr, factor, patience, min_lr, min_delta
        self.best = math.inf
        self.waited = 0

    @classmethod
    def of(cls, settings: Settings) -> Plateau:
        """Return the one of the settings, before the first epoch."""
        return cls(
            settings.lr,
            settings.plateau_factor,
            settings.plateau_patience,
            settings.plateau_min_lr,
            settings.plateau_min_delta,
        )

    def step(self, loss: float) -> float:
        """Take the loss of the epoch that ended and return the learning rate of the next one."""
        if loss < self.best - self.min_delta:
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
            if self.patience > 0 and self.waited >= self.patience:
                if self.lr > self.min_lr:
                    self.lr = max(self.lr * self.factor, self.min_lr)
                self.waited = 0
        return self.lr
