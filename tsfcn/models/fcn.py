"""The fully convolutional network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.config.models import FCNConfig
from tsfcn.models.layers import ConvNorm, concatenate_cases, global_average_pool


class FCN(nn.Module):
    """Fully convolutional network: three blocks of convolution, batch norm and ReLU, global average pooling, softmax.

    Wang, Yan and Oates 2017, section II.B: filters 128/256/128, kernels 8/5/3, no pooling between blocks, no dropout.
    With one channel and the published sizes it has 264,704 + 129 * n_classes trainable parameters. It takes series of
    any length.

    Args:
        n_channels: The channels of a case.
        n_timepoints: Without effect.
        n_classes: The number of logits.
        config: Filters, kernels and the constants of batch norm.
    """

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: FCNConfig) -> None:
        super().__init__()
        sizes = [n_channels, *config.filters]
        self.blocks = nn.ModuleList(
            ConvNorm(n_in, n_out, kernel, config.bn_momentum, config.bn_eps)
            for n_in, n_out, kernel in zip(sizes, config.filters, config.kernels, strict=False)
        )
        self.head = nn.Linear(sizes[-1], n_classes)

    def feature_maps(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, list[int] | None]:
        """Return the activations of the last block, (n, filters[-1], t), and sizes, both as in `concatenate_cases`."""
        x, sizes = concatenate_cases(x, lengths)
        for block in self.blocks:
            x = F.relu(block(x, sizes))
        return x, sizes

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the activations of the last block, averaged over time. (n, c, t) -> (n, filters[-1])."""
        return global_average_pool(*self.feature_maps(x, lengths))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        logits: Tensor = self.head(self.features(x, lengths))
        return logits
