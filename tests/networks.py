"""Networks as users write them, which draw whatever they draw from global generators."""

from __future__ import annotations

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Pooled(nn.Module):
    """A convolution and a dense layer."""

    def __init__(
        self, n_channels: int, n_timepoints: int, n_classes: int, width: int = 4, kernels: tuple[int, ...] = (3,)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_channels, width, kernels[0])
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        out: Tensor = self.head(F.relu(self.conv(x)).mean(dim=2))
        return out


class Mixed(nn.Module):
    """Layers of many kinds. Its initial weights and masks come from PyTorch, numpy and Python."""

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, width: int = 4, rate: float = 0.3) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_channels, width, 3, padding="same")
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(rate)
        self.lstm = nn.LSTM(width, width, 2, batch_first=True, dropout=rate)
        self.attention = nn.MultiheadAttention(width, 2, dropout=rate, batch_first=True)
        self.scale = nn.Parameter(torch.from_numpy(np.random.normal(size=width)).float() * random.uniform(0.5, 2.0))
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        x = self.drop(F.relu(self.norm(self.conv(x)))).transpose(1, 2)
        x = self.lstm(x)[0] * self.scale
        x = F.dropout(x + self.attention(x, x, x)[0], 0.2, self.training)
        if self.training:
            x = x * random.uniform(0.9, 1.1) + 0.01 * float(np.random.normal()) * torch.randn_like(x)
        out: Tensor = self.head(x.mean(dim=1))
        return out
