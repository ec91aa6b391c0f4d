"""The Inception network and H-Inception."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.config.inception_models import POOL, InceptionConfig
from tsfcn.models.hand_crafted import HandCraftedFilters
from tsfcn.models.layers import ConvNorm, Norm, SameConv, concatenate_cases, global_average_pool, max_pool


class InceptionModule(nn.Module):
    """Convolutions of several widths behind a bottleneck, beside a maximum over three timepoints; norm and ReLU.

    Ismail Fawaz et al. 2020, as in hfawaz/InceptionTime classifiers/inception.py. No convolution has a bias or an
    activation of its own. One channel has no bottleneck.

    Args:
        n_in: Input channels.
        n_out: Output channels.
        config: Filters, kernels, the width of the bottleneck and the constants of batch norm.
    """

    def __init__(self, n_in: int, n_out: int, config: InceptionConfig) -> None:
        super().__init__()
        width = config.bottleneck_width(n_in)
        self.bottleneck = SameConv(n_in, width, 1) if config.has_bottleneck(n_in) else nn.Identity()
        self.convs = nn.ModuleList(SameConv(width, config.filters, kernel) for kernel in config.kernels)
        self.pooled = SameConv(n_in, config.filters, 1)
        self.norm = Norm(n_out, config.bn_momentum, config.bn_eps)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the activations. (n, n_in, t) -> (n, n_out, t); sizes: as for `same_conv`."""
        return F.relu(self.norm(torch.cat(self.branches(x, sizes), dim=1)))

    def branches(self, x: Tensor, sizes: list[int] | None = None) -> list[Tensor]:
        """Return what stands side by side, each (n, filters, t)."""
        narrow = self.bottleneck(x)
        return [conv(narrow, sizes) for conv in self.convs] + [self.pooled(max_pool(x, POOL, sizes))]


class HybridModule(InceptionModule):
    """An Inception module with hand-crafted filters as a further branch. Ismail-Fawaz et al. 2022."""

    def __init__(self, n_in: int, n_out: int, config: InceptionConfig) -> None:
        super().__init__(n_in, n_out, config)
        self.hand_crafted = HandCraftedFilters()

    def branches(self, x: Tensor, sizes: list[int] | None = None) -> list[Tensor]:
        """Return what stands side by side; a hand-crafted filter is the same for all channels and takes their sum."""
        return [*super().branches(x, sizes), self.hand_crafted(x.sum(dim=1, keepdim=True), sizes)]


class Inception(nn.Module):
    """The Inception network: six modules, a shortcut around every three, global average pooling, softmax.

    Ismail Fawaz et al. 2020, as in hfawaz/InceptionTime classifiers/inception.py; InceptionTime averages the
    probabilities of five of them. With one channel and the published sizes it has 420,192 + 129 * n_classes trainable
    parameters. It takes series of any length.

    Args:
        n_channels: The channels of a case.
        n_timepoints: Without effect.
        n_classes: The number of logits.
        config: Filters, kernels, depth and the constants of batch norm.
    """

    first_module: ClassVar[type[InceptionModule]] = InceptionModule

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: InceptionConfig) -> None:
        super().__init__()
        n_out = config.output_widths()
        n_in = [n_channels, *n_out[:-1]]
        kinds = [self.first_module] + [InceptionModule] * (config.depth - 1)
        self.blocks = nn.ModuleList(kind(a, b, config) for kind, a, b in zip(kinds, n_in, n_out, strict=True))
        self.shortcuts = nn.ModuleList(
            ConvNorm(n_in[start], n_out[start + 2], 1, config.bn_momentum, config.bn_eps, bias=False)
            for start in config.shortcut_starts()
        )
        self.head = nn.Linear(n_out[-1], n_classes)

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


class HInception(Inception):
    """H-Inception: the Inception network whose first module has hand-crafted filters beside its convolutions.

    Ismail-Fawaz et al. 2022, as in MSD-IRIMAS/CF-4-TSC classifiers/H_Inception.py. With one channel and the published
    sizes it has 421,314 + 129 * n_classes trainable parameters. Takes any length. Parameters: those of Inception.
    """

    first_module = HybridModule
