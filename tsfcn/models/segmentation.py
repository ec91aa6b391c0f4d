"""Networks that label every timepoint: convolutionised classifiers, and FCN-32s, -16s and -8s in one dimension.

Long, Shelhamer and Darrell 2015, "Fully convolutional networks for semantic segmentation", sections 3 and 4. Networks
here map x, float (n_cases, n_channels, n_timepoints), to logits (n_cases, n_classes, n_timepoints).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.common.errors import UserError
from tsfcn.config.segmentation_models import STRIDE, FCN32sConfig, PooledFCNConfig
from tsfcn.models.cam import PooledNetwork, RecurrentNetwork, is_layer
from tsfcn.models.layers import ConvNorm, global_average_pool

# ---------------------------------------------------------------------------------------------------------------------
# Fully connected layers as convolutions (section 3.1)


def convolution_of(linear: nn.Linear, n_timepoints: int = 1) -> nn.Conv1d:
    """Return the convolution that is a dense layer on flattened input (n_channels, n_timepoints).

    On input of that length it has one output, that of the dense layer; on longer input one for each position.
    """
    n_channels = linear.in_features // n_timepoints
    has_bias = linear.bias is not None
    conv = nn.Conv1d(n_channels, linear.out_features, n_timepoints, bias=has_bias).to(linear.weight)
    with torch.no_grad():
        conv.weight.copy_(linear.weight.reshape(conv.weight.shape))
        if conv.bias is not None:
            conv.bias.copy_(linear.bias)
    return conv


@torch.no_grad()
def linear_of(conv: nn.Conv1d, n_timepoints: int) -> nn.Linear:
    """Return the dense layer that is a convolution, of any stride, padding, dilation and groups, on one input length.

    It maps flattened input (n_channels, n_timepoints) to flattened output (n_out, n_timepoints_out).
    """
    n_inputs = conv.in_channels * n_timepoints
    unit_inputs = torch.eye(n_inputs).to(conv.weight).reshape(n_inputs, conv.in_channels, n_timepoints)
    constant = conv(torch.zeros_like(unit_inputs[:1]))  # (1, n_out, n_timepoints_out), of the biases alone
    columns = (conv(unit_inputs) - constant).flatten(1)  # (n_inputs, n_outputs)
    linear = nn.Linear(n_inputs, columns.shape[1]).to(conv.weight)
    linear.weight.copy_(columns.T)
    linear.bias.copy_(constant.flatten())
    return linear


class ConvolutionisedClassifier(nn.Module):
    """A classifier without its global average pooling, and with its head as a convolution of width 1.

    The mean of its logits over the positions of the feature maps equals the logits of the classifier.

    Args:
        network: A classifier whose head is linear in the mean of its feature maps over time.

    Raises:
        UserError: The network is of another kind.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        is_pooled = isinstance(network, PooledNetwork) and not isinstance(network, RecurrentNetwork)
        if not isinstance(network, PooledNetwork) or not is_pooled or is_layer(network.feature_maps):
            raise UserError(
                f"network {type(network).__name__} has more than feature maps and a pooled head, so it labels no "
                "timepoints: use fcn, resnet, inception, lite or pooled_fcn"
            )
        self.feature_maps = network.feature_maps
        self.network: nn.Module = network  # for its parameters and its mode
        self.head = convolution_of(network.head)

    def coarse(self, x: Tensor) -> Tensor:
        """Return the logits at the positions of the feature maps, (n, n_classes, n_positions)."""
        maps, _ = self.feature_maps(x)
        logits: Tensor = self.head(maps)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of every timepoint; those of a network with pooling are interpolated."""
        logits, n_timepoints = self.coarse(x), x.shape[2]
        return logits if logits.shape[2] == n_timepoints else interpolate(logits, STRIDE)[:, :, :n_timepoints]


# ---------------------------------------------------------------------------------------------------------------------
# Upsampling (section 3.3)


def interpolation_kernel(factor: int) -> Tensor:
    """Return the kernel (2 * factor,) with which a transposed convolution of stride `factor` interpolates linearly.

    >>> interpolation_kernel(2).tolist()
    [0.25, 0.75, 0.75, 0.25]
    """
    places = torch.arange(2 * factor, dtype=torch.float64)
    return (1 - (places - (2 * factor - 1) / 2).abs() / factor).float()


def transposed(x: Tensor, weight: Tensor, factor: int, groups: int = 1) -> Tensor:
    """Return the transposed convolution of stride `factor`, (n, n_out, factor * t), as if the ends of x went on.

    Position i of x stands for the timepoints factor * i to factor * (i + 1) - 1, and is at their centre.

    Args:
        x: (n, n_in, t).
        weight: (n_in, n_out / groups, 2 * factor), factor even.
        factor: The stride.
        groups: The groups of channels.
    """
    padded = F.pad(x, (1, 1), mode="replicate")
    out = F.conv_transpose1d(padded, weight, stride=factor, padding=factor // 2, groups=groups)
    return out[:, :, factor:-factor]


def interpolate(x: Tensor, factor: int) -> Tensor:
    """Return x interpolated linearly in time, constant beyond the outer positions: (n, c, t) -> (n, c, factor * t)."""
    kernel = interpolation_kernel(factor).to(x).expand(x.shape[1], 1, -1)
    return transposed(x, kernel, factor, groups=x.shape[1])


class LearnedUpsampling(nn.Module):
    """Transposed convolution of stride 2 that starts as linear interpolation. (n, c, t) -> (n, c, 2 * t)."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_channels, n_channels, 4))
        self.initialise()

    @torch.no_grad()
    def initialise(self, initialiser: str = "", generator: torch.Generator | None = None) -> None:
        """Set the weights to linear interpolation of each channel by itself; nothing is drawn."""
        self.weight.zero_()
        for channel in range(len(self.weight)):
            self.weight[channel, channel] = interpolation_kernel(2)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with twice as many timepoints."""
        return transposed(x, self.weight, 2)


class ScoreLayer(nn.Conv1d):
    """Convolution of width 1 from features to scores of the classes, zero at the start (section 4.3)."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__(n_features, n_classes, 1)
        self.initialise()

    def initialise(self, initialiser: str = "", generator: torch.Generator | None = None) -> None:
        """Set weights and bias to zero; nothing is drawn."""
        nn.init.zeros_(self.weight)
        assert self.bias is not None
        nn.init.zeros_(self.bias)


# ---------------------------------------------------------------------------------------------------------------------
# Networks


class PoolingTrunk(nn.Module):
    """Five blocks of convolution, batch norm, ReLU and maximum over two timepoints.

    Args:
        n_channels: The channels of a case.
        config: Filters, kernels and the constants of batch norm.
    """

    def __init__(self, n_channels: int, config: PooledFCNConfig) -> None:
        super().__init__()
        sizes = [n_channels, *config.filters]
        self.blocks = nn.ModuleList(
            ConvNorm(n_in, n_out, kernel, config.bn_momentum, config.bn_eps)
            for n_in, n_out, kernel in zip(sizes, config.filters, config.kernels, strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the activations after each pooling, the finest first: block i has about t / 2**i timepoints."""
        levels = []
        for block in self.blocks:
            x = F.max_pool1d(F.relu(block(x)), 2, ceil_mode=True)
            levels.append(x)
        return levels


class PooledFCN(nn.Module):
    """The classifier that becomes FCN-32s: the trunk, global average pooling and a dense head.

    Args:
        n_channels: The channels of a case.
        n_timepoints: Without effect.
        n_classes: The number of logits.
        config: Of the trunk.
    """

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: PooledFCNConfig) -> None:
        super().__init__()
        self.trunk = PoolingTrunk(n_channels, config)
        self.head = nn.Linear(config.filters[-1], n_classes)

    def feature_maps(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, list[int] | None]:
        """Return the activations after the last pooling, (n, filters[-1], about t / 32), and None."""
        return self.trunk(x)[-1], None

    def forward(self, x: Tensor) -> Tensor:
        """Return logits. (n, c, t) -> (n, n_classes)."""
        logits: Tensor = self.head(global_average_pool(*self.feature_maps(x)))
        return logits


class SegmentationFCN(nn.Module):
    """FCN-32s, FCN-16s or FCN-8s in one dimension, for input of any length.

    Scores of the last pooling are upsampled by learned transposed convolutions of stride 2, each followed by the sum
    with the scores of the next finer pooling (`n_skips` times), and at last by linear interpolation, which is held.
    Input is padded with zeros to a multiple of 32 timepoints; the output is cropped to the length of the input.

    Args:
        n_channels: The channels of a stream.
        n_timepoints: Without effect.
        n_classes: The number of classes.
        config: Of the trunk; its class says how many skips there are and whether the trunk is trained.
    """

    def __init__(self, n_channels: int, n_timepoints: int, n_classes: int, config: FCN32sConfig) -> None:
        super().__init__()
        self.trunk = PoolingTrunk(n_channels, config).requires_grad_(config.trains_trunk)
        self.trains_trunk = config.trains_trunk
        n_skips = config.n_skips
        self.scores = nn.ModuleList(ScoreLayer(n, n_classes) for n in config.filters[::-1][: n_skips + 1])
        self.upsamplings = nn.ModuleList(LearnedUpsampling(n_classes) for _ in range(n_skips))
        self.stride = STRIDE // 2**n_skips

    def train(self, mode: bool = True) -> SegmentationFCN:
        """Set the mode; a trunk that is not trained keeps its running statistics."""
        super().train(mode)
        if not self.trains_trunk:
            self.trunk.eval()
        return self

    def coarse(self, x: Tensor) -> Tensor:
        """Return the logits before the last interpolation, (n, n_classes, ceil(t / 32) * 32 / stride)."""
        levels = self.trunk(F.pad(x, (0, -x.shape[2] % STRIDE)))[::-1]
        scores: Tensor = self.scores[0](levels[0])
        for upsampling, score, level in zip(self.upsamplings, self.scores[1:], levels[1:], strict=False):
            scores = upsampling(scores) + score(level)
        return scores

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of every timepoint. (n, c, t) -> (n, n_classes, t)."""
        return interpolate(self.coarse(x), self.stride)[:, :, : x.shape[2]]


# ---------------------------------------------------------------------------------------------------------------------
# Other ways to label every timepoint


@torch.no_grad()
def shift_and_stitch(coarse: Callable[[Tensor], Tensor], x: Tensor, stride: int) -> Tensor:
    """Return the logits of every timepoint from those of shifted inputs, without interpolation. (n, n_classes, t).

    Section 3.2: the input is shifted by 0 to stride - 1 timepoints, and the outputs are interlaced, so that each is at
    the centre of its receptive field.

    Args:
        coarse: Maps (n, c, t) to logits (n, n_classes, at least t / stride), of which the i-th stands for the
            timepoints from stride * i to stride * (i + 1) - 1.
        x: (n, c, t).
        stride: The timepoints between two outputs.
    """
    n_timepoints, stitched = x.shape[2], None
    for shift in range(stride):
        logits = coarse(F.pad(x, (shift, 0)))
        places = torch.arange(logits.shape[2]) * stride + stride // 2 - shift
        inside = (places >= 0) & (places < n_timepoints)
        stitched = logits.new_empty(*logits.shape[:2], n_timepoints) if stitched is None else stitched
        stitched[:, :, places[inside]] = logits[:, :, inside]
    assert stitched is not None
    return stitched


@torch.no_grad()
def slide(network: nn.Module, x: Tensor, window: int, step: int, batch: int = 64) -> Tensor:
    """Return the logits of every timepoint of one stream from those of a classifier on windows. (n_classes, t).

    A window stands for the `step` timepoints around its centre; beyond the ends of the stream it has zeros.

    Args:
        network: The classifier.
        x: (c, t).
        window: The timepoints of a window, as many as a training case has.
        step: The timepoints between two windows, at most `window`.
        batch: The windows that are predicted at a time.
    """
    n_timepoints = x.shape[1]
    n_windows = -(-n_timepoints // step)
    left = (window - step) // 2
    right = (n_windows - 1) * step + window - left - n_timepoints
    windows = F.pad(x, (left, right)).unfold(1, window, step).transpose(0, 1)  # (n_windows, c, window)
    logits = torch.cat([network(part) for part in windows.split(batch)])
    return logits.T.repeat_interleave(step, dim=1)[:, :n_timepoints]
