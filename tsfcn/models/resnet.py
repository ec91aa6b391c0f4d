"""The residual network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.config.models import ResNetConfig
from tsfcn.models.layers import ConvNorm, Norm, concatenate_cases, global_average_pool


class Residual(nn.Module):
    """Three convolutions and a shortcut, which has a convolution of kernel 1 where the number of channels changes.

    Args:
        n_in: Input channels.
        n_out: Output channels.
        config: Kernels and the constants of batch norm.
        input_norm: Whether the input of the convolutions is normalised.
    """

    def __init__(self, n_in: int, n_out: int, config: ResNetConfig, input_norm: bool) -> None:
        super().__init__()
        momentum, eps = config.bn_momentum, config.bn_eps
        sizes = [n_in] + [n_out] * len(config.kernels)
        self.input_norm = Norm(n_in, momentum, eps) if input_norm else nn.Identity()
        self.convs = nn.ModuleList(
            ConvNorm(a, b, kernel, momentum, eps)
            for a, b, kernel in zip(sizes, sizes[1:], config.kernels, strict=False)
        )
        self.shortcut: nn.Module
        if n_in == n_out:
            self.shortcut = Norm(n_out, momentum, eps)
        else:
            self.shortcut = ConvNorm(n_in, n_out, 1, momentum, eps)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the block's activations. (n, n_in, t) -> (n, n_out, t); sizes: as for ConvNorm."""
        y = self.input_norm(x)
        for conv in self.convs[:-1]:
            y = F.relu(conv(y, sizes))
        return F.relu(self.shortcut(x) + self.convs[-1](y, sizes))  # the shortcut has kernel 1 and needs no sizes


class ResNet(nn.Module):
    """Three residual blocks, global average pooling, softmax. Wang et al. 2017, section II.C. Takes any length.

    Args:
        n_channels: The channels of a case.
        n_timepoints: Without effect.
        n_classes: The number of logits.
        config: Filters, kernels and the constants of batch norm.
    """

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: ResNetConfig) -> None:
        super().__init__()
        sizes = [n_channels, *config.filters]
        self.blocks = nn.ModuleList(
            Residual(a, b, config, input_norm=config.input_norm and index == 0)
            for index, (a, b) in enumerate(zip(sizes, config.filters, strict=False))
        )
        self.head = nn.Linear(sizes[-1], n_classes)

    def feature_maps(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, list[int] | None]:
        """Return the activations of the last block, (n, filters[-1], t), and sizes, both as in `concatenate_cases`."""
        x, sizes = concatenate_cases(x, lengths)
        for block in self.blocks:
            x = block(x, sizes)
        return x, sizes

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        logits: Tensor = self.head(global_average_pool(*self.feature_maps(x, lengths)))
        return logits
