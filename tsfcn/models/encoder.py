"""The encoder of Serrà et al. 2018."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.common.errors import UserError
from tsfcn.config.models import EncoderConfig
from tsfcn.models.layers import Dropout, SameConv


class InstanceNorm(nn.Module):
    """Instance normalisation of each case by itself: over time and channels, or of each channel over time.

    (n, c, t) -> (n, c, t). Over time and channels it is that of keras_contrib: x - mean is divided by deviation + eps,
    and there is one gamma and one beta. Of each channel it is that of tensorflow_addons: x - mean is divided by
    sqrt(variance + eps), and each channel has a gamma and a beta.

    Args:
        n_channels: The channels.
        over: case or channel.
        eps: Added to the deviation or to the variance.
    """

    def __init__(self, n_channels: int, over: str, eps: float) -> None:
        super().__init__()
        self.over, self.eps = over, eps
        size = n_channels if over == "channel" else 1
        self.gamma = nn.Parameter(torch.ones(size, 1))
        self.beta = nn.Parameter(torch.zeros(size, 1))

    def initialise(self, initialiser: str, generator: torch.Generator) -> None:
        """Set gamma to one and beta to zero."""
        nn.init.ones_(self.gamma)
        nn.init.zeros_(self.beta)

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised, the same in training and in evaluation."""
        axes = (2,) if self.over == "channel" else (1, 2)
        variance, mean = torch.var_mean(x, dim=axes, correction=0, keepdim=True)
        if self.over == "channel":
            scale = torch.rsqrt(variance + self.eps)
        else:  # the root of 0 has no gradient
            scale = 1 / (variance.clamp_min(torch.finfo(x.dtype).tiny).sqrt() + self.eps)
        return (x - mean) * (scale * self.gamma) + self.beta


class PReLU(nn.PReLU):
    """Keras' PReLU with a slope for each channel that starts at zero. (n, c, t) -> (n, c, t)."""

    def initialise(self, initialiser: str, generator: torch.Generator) -> None:
        """Set the slopes to zero."""
        nn.init.zeros_(self.weight)


class EncoderBlock(nn.Module):
    """Convolution with bias, instance normalisation, PReLU and dropout. (n, n_in, t) -> (n, n_out, t).

    Args:
        n_in: Input channels.
        n_out: Output channels.
        kernel: The width of the kernel in timepoints.
        config: The normalisation and the rate of dropout.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, config: EncoderConfig) -> None:
        super().__init__()
        self.conv = SameConv(n_in, n_out, kernel, bias=True)
        self.norm = InstanceNorm(n_out, config.norm_over, config.norm_eps)
        self.activation = PReLU(n_out)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activations."""
        activations: Tensor = self.dropout(self.activation(self.norm(self.conv(x))))
        return activations


class Encoder(nn.Module):
    """Convolutions with a maximum over pairs of timepoints between them, attention, a dense layer, softmax.

    Serrà et al. 2018, as in hfawaz/dl-4-tsc classifiers/encoder.py. The attention multiplies half of the channels of
    the last convolution by the softmax of the other half over the channels. The dense layer takes each
    timepoint by itself; its outputs, normalised, go into the last layer all together, so the length is fixed.

    Args:
        n_channels: The channels of a case.
        n_timepoints: The timepoints of a case, at least 2 for each convolution but the last (4).
        n_classes: The number of logits.
        config: Filters, kernels, the dense layer, the normalisation and the rate of dropout.
    """

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: EncoderConfig) -> None:
        super().__init__()
        n_left = config.pooled_timepoints(n_timepoints)[-1]
        if n_left == 0:
            least = 2 ** (len(config.filters) - 1)
            raise UserError(f"series of {n_timepoints} timepoints are too short for encoder: give {least} or more")
        sizes = [n_channels, *config.filters]
        self.blocks = nn.ModuleList(
            EncoderBlock(n_in, n_out, kernel, config)
            for n_in, n_out, kernel in zip(sizes, config.filters, config.kernels, strict=False)
        )
        self.dense = nn.Linear(config.filters[-1] // 2, config.units)
        self.norm = InstanceNorm(config.units, config.norm_over, config.norm_eps)
        self.head = nn.Linear(n_left * config.units, n_classes)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        for block in self.blocks[:-1]:
            x = F.max_pool1d(block(x), 2)
        values, scores = self.blocks[-1](x).chunk(2, dim=1)
        attended = values * torch.softmax(scores, dim=1)
        units = torch.sigmoid(self.dense(attended.transpose(1, 2)))  # (n, t, units)
        normalised = self.norm(units.transpose(1, 2)).transpose(1, 2)
        logits: Tensor = self.head(normalised.flatten(1))  # the units of the first timepoint come first
        return logits
