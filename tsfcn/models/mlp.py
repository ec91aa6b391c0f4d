"""The multilayer perceptron."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.config.models import MLPConfig
from tsfcn.models.layers import Dropout


class MLP(nn.Module):
    """Three hidden layers of 500 rectified units with dropout. Wang et al. 2017, section II.A. The length is fixed.

    Args:
        n_channels: The channels of a case.
        n_timepoints: The timepoints of a case.
        n_classes: The number of logits.
        config: Units and dropout rates.
    """

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: MLPConfig) -> None:
        super().__init__()
        sizes = [n_channels * n_timepoints, *config.units]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, config.units, strict=False))
        self.dropouts = nn.ModuleList(Dropout(rate) for rate in config.dropout)
        self.head = nn.Linear(sizes[-1], n_classes)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes). Raises ValueError for lengths other than t: there is no mask."""
        if lengths is not None and bool((lengths != x.shape[2]).any()):
            raise ValueError(f"lengths are not all {x.shape[2]}: an MLP takes one length")
        x = x.flatten(1)
        for dropout, layer in zip(self.dropouts, self.hidden, strict=False):  # the last dropout precedes the head
            x = F.relu(layer(dropout(x)))
        logits: Tensor = self.head(self.dropouts[-1](x))
        return logits
