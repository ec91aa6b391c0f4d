"""The layers of the networks: convolutions, batch norm, pooling, dropout, and the concatenation of cases."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.common.device import upload


def same_padding(kernel: int, dilation: int = 1) -> tuple[int, int]:
    """Return the zeros (left, right) that keep the length at stride 1, as in TensorFlow: an odd zero goes right.

    A kernel of 8 gets 3 and 4. (The Theano backend of old Keras pads the other side.)
    """
    zeros = (kernel - 1) * dilation
    return zeros // 2, zeros - zeros // 2


def concatenate_cases(x: Tensor, lengths: Tensor | None) -> tuple[Tensor, list[int] | None]:
    """Return the real timepoints of x, concatenated to (1, c, sum of lengths), and the lengths.

    Where all lengths are equal, or `lengths` is None, the result is x up to that length, (n, c, t), and None.
    """
    if lengths is None:
        return x, None
    sizes: list[int] = lengths.tolist()
    if min(sizes) == max(sizes):
        return x[:, :, : sizes[0]], None
    return torch.cat([case[:, :size] for case, size in zip(x, sizes, strict=True)], dim=1).unsqueeze(0), sizes


def global_average_pool(x: Tensor, sizes: list[int] | None) -> Tensor:
    """Return the mean over the timepoints of each case, (n, c). x, sizes: as `concatenate_cases` returns them."""
    if sizes is None:
        return x.mean(dim=-1)
    return torch.stack([case.mean(dim=-1) for case in x[0].split(sizes, dim=-1)])


class Norm(nn.BatchNorm1d):
    """Batch normalisation over cases and timepoints. (n, c, t) -> (n, c, t).

    The running variance takes n / (n - 1) times the variance of a batch with n values in each channel, as in PyTorch
    and, except for eps, in later Keras. PyTorch raises an error for a batch of one value; here, as in Keras, such a
    batch has its value as mean and a variance of 0.
    """

    def __init__(self, n_channels: int, bn_momentum: float, bn_eps: float) -> None:
        # The momentum of Keras is the fraction of the old statistics that is kept, that of PyTorch the fraction of the
        # new ones that is taken.
        super().__init__(n_channels, eps=bn_eps, momentum=1 - bn_momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised by the statistics of the batch in training, by the running ones in evaluation."""
        if not self.training or x.shape[0] * x.shape[2] != 1:
            return super().forward(x)
        mean, variance, count = self.running_mean, self.running_var, self.num_batches_tracked
        assert self.momentum is not None and mean is not None and variance is not None and count is not None
        mean.lerp_(x[0, :, 0].detach(), self.momentum)
        variance.mul_(1 - self.momentum)
        count.add_(1)
        return self.weight[:, None] * (0 * x) + self.bias[:, None]


def pad_series(x: Tensor, sizes: list[int], padding: tuple[int, int], value: float = 0.0) -> Tensor:
    """Return concatenated series with a constant before the first, between two and after the last, (n, c, longer).

    Args:
        x: (n, c, sum of sizes); `concatenate_cases` returns n = 1.
        sizes: The timepoints of each series.
        padding: How often the constant stands (before the first series, after each).
        value: The constant.
    """
    left, right = padding
    gap = x.new_full((*x.shape[:2], right), value)
    parts = [gap[:, :, :left]]
    for series in x.split(sizes, dim=2):
        parts += [series, gap]
    return torch.cat(parts, dim=2)


def drop_gaps(x: Tensor, sizes: list[int], gap: int) -> Tensor:
    """Return concatenated series without the `gap` timepoints between two of them, (n, c, sum of sizes)."""
    sizes_with_gaps = [size for series in sizes for size in (series, gap)][:-1]
    return torch.cat(x.split(sizes_with_gaps, dim=2)[::2], dim=2)


def max_pool(x: Tensor, kernel: int, sizes: list[int] | None = None) -> Tensor:
    """Return the maximum of the `kernel` timepoints around each, as far as the series has them; kernel: an odd number.

    This is Keras' MaxPooling1D with strides=1 and padding='same'. x, sizes: as `concatenate_cases` returns them.
    """
    ends = kernel // 2
    if sizes is not None:
        x = pad_series(x, sizes, (ends, ends), -torch.inf)
    padding = ends if sizes is None else 0
    # max_pool1d does the same, but torch.export takes the length for a constant there.
    x = F.max_pool2d(x.unsqueeze(2), (1, kernel), stride=1, padding=(0, padding)).squeeze(2)
    return x if sizes is None else drop_gaps(x, sizes, ends)


def same_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    sizes: list[int] | None = None,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """Return the convolution over time with 'same' padding, (n, c_out, t), in which no series sees another.

    Args:
        x: (n, c_in, t).
        weight: (c_out, c_in / groups, kernel).
        bias: (c_out,), or None.
        sizes: The lengths of the series that x (n, c_in, sum of sizes) holds one after another; None: each case of x is
            one series.
        dilation: The distance of two neighbours in the kernel, in timepoints.
        groups: The groups of channels that are convolved by themselves.
    """
    left, right = same_padding(weight.shape[2], dilation)  # left <= right: `right` zeros suffice between two series
    if sizes is not None and right > 0:
        y = F.conv1d(pad_series(x, sizes, (left, right)), weight, bias, dilation=dilation, groups=groups)
        return drop_gaps(y, sizes, right)
    if left == right:  # the convolution itself can pad, which saves a copy
        return F.conv1d(x, weight, bias, padding=left, dilation=dilation, groups=groups)
    return F.conv1d(F.pad(x, (left, right)), weight, bias, dilation=dilation, groups=groups)


class SameConv(nn.Conv1d):
    """Convolution over time with 'same' padding. (n, c_in, t) -> (n, c_out, t).

    Args:
        n_in: Input channels.
        n_out: Output channels.
        kernel: The width of the kernel in timepoints.
        bias: Whether a bias is added.
        dilation: The distance of two neighbours in the kernel, in timepoints.
        groups: The groups of channels that are convolved by themselves.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel: int, bias: bool = False, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__(n_in, n_out, kernel, bias=bias, dilation=dilation, groups=groups)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the convolution; sizes: as for `same_conv`."""
        return same_conv(x, self.weight, self.bias, sizes, self.dilation[0], self.groups)


class DepthwiseConv(SameConv):
    """Convolution of each channel by a kernel of its own, without bias. (n, c, t) -> (n, c, t).

    Args:
        n_channels: The channels.
        kernel: The width of the kernels in timepoints.
        dilation: The distance of two neighbours in a kernel, in timepoints.
    """

    def __init__(self, n_channels: int, kernel: int, dilation: int = 1) -> None:
        super().__init__(n_channels, n_channels, kernel, dilation=dilation, groups=n_channels)


class SeparableConv(nn.Module):
    """Keras' SeparableConv1D with 'same' padding, without bias: depthwise, then of kernel 1. (n, c, t) -> (n, o, t).

    Args:
        n_in: Input channels.
        n_out: Output channels.
        kernel: The width of the depthwise kernels in timepoints.
        dilation: The distance of two neighbours in a depthwise kernel, in timepoints.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(n_in, kernel, dilation)
        self.pointwise = SameConv(n_in, n_out, 1)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the convolution; sizes: as for `same_conv`."""
        out: Tensor = self.pointwise(self.depthwise(x, sizes))
        return out


class ConvNorm(nn.Module):
    """Convolution over time with 'same' padding, then batch normalisation. (n, c_in, t) -> (n, c_out, t).

    Args:
        n_in: Input channels.
        n_out: Output channels.
        kernel: The width of the kernel in timepoints.
        bn_momentum: The fraction of the running statistics that a batch leaves, as in Keras.
        bn_eps: Added to the variance.
        bias: Whether the convolution has a bias.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel: int, bn_momentum: float, bn_eps: float, bias: bool = True
    ) -> None:
        super().__init__()
        self.conv = SameConv(n_in, n_out, kernel, bias)
        self.norm = Norm(n_out, bn_momentum, bn_eps)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the normalised convolution; batch statistics in training, running ones in evaluation.

        sizes: as for `same_conv`.
        """
        out: Tensor = self.norm(self.conv(x, sizes))
        return out


class Dropout(nn.Module):
    """Set each value to zero with probability `rate` in training and scale the others by 1 / (1 - rate).

    The masks come from `generator`, which must be set before training, so that they depend on the seed of the job only.
    The generator is on the CPU whatever the device of the network, so that all devices use the same masks.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return x unchanged in evaluation or at rate 0. Raises RuntimeError in training without a generator."""
        if not self.training or self.rate == 0:
            return x
        if self.generator is None:
            raise RuntimeError("dropout has no generator: call models.seed_dropout(model, generator) before training")
        mask = torch.rand(x.shape, generator=self.generator, dtype=x.dtype) >= self.rate
        return x * upload(mask, x.device) / (1 - self.rate)
