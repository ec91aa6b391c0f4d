"""The network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from se_resnet import SEResNetConfig
from tsfcn.models.resnet import ResNet


class Gate(nn.Module):
    """Squeeze-and-excitation: scale each channel by what two dense layers make of all channels' means."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, max(1, width // reduction))
        self.excite = nn.Linear(max(1, width // reduction), width)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with its channels scaled. (n, c, t) -> (n, c, t)."""
        scale = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean(dim=2)))))
        return x * scale[:, :, None]


class SEResNet(ResNet):
    """The residual network with a gate behind each block. Takes any length, no mask."""

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: SEResNetConfig) -> None:
        super().__init__(n_channels, n_timepoints, n_classes, config)
        self.gates = nn.ModuleList(Gate(width, config.reduction) for width in config.filters)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes); lengths: all t, since the model does not declare `masks`."""
        for block, gate in zip(self.blocks, self.gates, strict=True):
            x = gate(block(x))
        logits: Tensor = self.head(x.mean(dim=2))
        return logits
