"""LITE, the light Inception network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.config.inception_models import LITEConfig
from tsfcn.models.hand_crafted import HandCraftedFilters
from tsfcn.models.layers import Norm, SameConv, SeparableConv, concatenate_cases, global_average_pool


class SeparableBlock(nn.Module):
    """Depthwise separable convolution without bias, batch norm and ReLU. (n, n_in, t) -> (n, filters, t).

    Args:
        n_in: Input channels.
        kernel: The width of the depthwise kernels in timepoints.
        dilation: The distance of two neighbours in a depthwise kernel, in timepoints.
        config: Filters and the constants of batch norm.
    """

    def __init__(self, n_in: int, kernel: int, dilation: int, config: LITEConfig) -> None:
        super().__init__()
        self.conv = SeparableConv(n_in, config.filters, kernel, dilation)
        self.norm = Norm(config.filters, config.bn_momentum, config.bn_eps)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the activations; sizes: as for `same_conv`."""
        return F.relu(self.norm(self.conv(x, sizes)))


class LITE(nn.Module):
    """LITE: convolutions of several widths beside hand-crafted filters, two separable convolutions, pooling, softmax.

    Ismail-Fawaz et al. 2023, as in MSD-IRIMAS/LITE classifiers/lite.py. With one channel and the published sizes it has
    9,814 + 33 * n_classes trainable parameters. For several channels it is LITEMV (classifiers/litemv.py): the first
    convolutions are separable, and the hand-crafted filters are applied to each channel. It takes series of any length.

    Args:
        n_channels: The channels of a case.
        n_timepoints: Without effect.
        n_classes: The number of logits.
        config: Filters, kernels, dilations and the constants of batch norm.
    """

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: LITEConfig) -> None:
        super().__init__()
        conv = SameConv if n_channels == 1 else SeparableConv
        self.convs = nn.ModuleList(conv(n_channels, config.filters, kernel) for kernel in config.kernels)
        self.hand_crafted = HandCraftedFilters() if config.hand_crafted else None
        width = config.first_width(n_channels)
        self.norm = Norm(width, config.bn_momentum, config.bn_eps)
        sizes = [width] + [config.filters] * (len(config.separable_kernels) - 1)
        self.blocks = nn.ModuleList(
            SeparableBlock(n_in, kernel, dilation, config)
            for n_in, kernel, dilation in zip(sizes, config.separable_kernels, config.dilations, strict=True)
        )
        self.head = nn.Linear(config.filters, n_classes)

    def feature_maps(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, list[int] | None]:
        """Return the activations of the last block, (n, filters, t), and sizes, both as in `concatenate_cases`."""
        x, sizes = concatenate_cases(x, lengths)
        parts = [conv(x, sizes) for conv in self.convs]
        if self.hand_crafted is not None:
            parts.append(self.hand_crafted(x, sizes))
        x = F.relu(self.norm(torch.cat(parts, dim=1)))
        for block in self.blocks:
            x = block(x, sizes)
        return x, sizes

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        logits: Tensor = self.head(global_average_pool(*self.feature_maps(x, lengths)))
        return logits
