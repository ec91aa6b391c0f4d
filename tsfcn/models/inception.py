"""The Inception network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.config.inception_models import InceptionConfig
from tsfcn.models.layers import ConvNorm, Norm, SameConv, concatenate_cases, global_average_pool, max_pool


class InceptionModule(nn.Module):
    """Convolutions of several widths behind a bottleneck, beside a maximum over three timepoints; norm and ReLU.

    Ismail Fawaz et al. 2020, section 3.1 and figure 2. No convolution has a bias or an activation of its own. One
    channel has no bottleneck.

    Args:
        n_in: Input channels.
        config: Filters, kernels, the width of the bottleneck and the constants of batch norm.
    """

    def __init__(self, n_in: int, config: InceptionConfig) -> None:
        super().__init__()
        width = config.bottleneck_width(n_in)
        self.bottleneck = SameConv(n_in, width, 1) if config.has_bottleneck(n_in) else nn.Identity()
        self.convs = nn.ModuleList(SameConv(width, config.filters, kernel) for kernel in config.kernels)
        self.pooled = SameConv(n_in, config.filters, 1)
        self.norm = Norm(config.module_width(), config.bn_momentum, config.bn_eps)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the activations. (n, n_in, t) -> (n, (n_kernels + 1) * filters, t); sizes: as for `same_conv`."""
        narrow = self.bottleneck(x)
        parts = [conv(narrow, sizes) for conv in self.convs] + [self.pooled(max_pool(x, 3, sizes))]
        return F.relu(self.norm(torch.cat(parts, dim=1)))


class Inception(nn.Module):
    """The Inception network: six modules, a shortcut around every three, global average pooling, softmax.

    Ismail Fawaz et al. 2020, section 3.1 and figure 1; InceptionTime averages the probabilities of five of them. With
    one channel and the published sizes it has 420,192 + 129 * n_classes trainable parameters. It takes series of any
    length.

    Args:
        n_channels: The channels of a case.
        n_timepoints: Without effect.
        n_classes: The number of logits.
        config: Filters, kernels, depth and the constants of batch norm.
    """

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: InceptionConfig) -> None:
        super().__init__()
        width, momentum, eps = config.module_width(), config.bn_momentum, config.bn_eps
        sizes = [n_channels] + [width] * (config.depth - 1)
        self.blocks = nn.ModuleList(InceptionModule(n_in, config) for n_in in sizes)
        self.shortcuts = nn.ModuleList(
            ConvNorm(sizes[first], width, 1, momentum, eps, bias=False) for first in config.shortcut_starts()
        )
        self.head = nn.Linear(width, n_classes)

    def feature_maps(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, list[int] | None]:
        """Return the activations of the last module, (n, width, t), and sizes, both as in `concatenate_cases`."""
        x, sizes = concatenate_cases(x, lengths)
        before = x
        for index, block in enumerate(self.blocks):
            x = block(x, sizes)
            if index % 3 == 2 and len(self.shortcuts) > 0:
                x = before = F.relu(self.shortcuts[index // 3](before) + x)
        return x, sizes

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        logits: Tensor = self.head(global_average_pool(*self.feature_maps(x, lengths)))
        return logits
