"""The layers of the networks: convolution with batch norm, pooling, dropout, and the concatenation of cases."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.common.device import upload


def same_padding(kernel: int) -> tuple[int, int]:
    """Return the zeros (left, right) that keep the length at stride 1, as in TensorFlow: an odd zero goes right.

    A kernel of 8 gets 3 and 4. (The Theano backend of old Keras pads the other side.)
    """
    return (kernel - 1) // 2, kernel // 2


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


class ConvNorm(nn.Module):
    """Convolution over time with 'same' padding and bias, then batch normalisation. (n, c_in, t) -> (n, c_out, t).

    Args:
        n_in: Input channels.
        n_out: Output channels.
        kernel: The width of the kernel in timepoints.
        bn_momentum: The fraction of the running statistics that a batch leaves, as in Keras.
        bn_eps: Added to the variance.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, bn_momentum: float, bn_eps: float) -> None:
        super().__init__()
        self.padding = same_padding(kernel)
        self.conv = nn.Conv1d(n_in, n_out, kernel)
        self.norm = Norm(n_out, bn_momentum, bn_eps)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the normalised convolution; batch statistics in training, running ones in evaluation.

        sizes: The lengths of the series that x (1, c_in, sum of sizes) holds one after another; None: each case of x is
        one series.
        """
        left, right = self.padding
        if sizes is not None and right > 0:
            x = self.convolve_concatenated(x, sizes)
        elif left == right:  # the convolution itself can pad, which saves a copy
            x = F.conv1d(x, self.conv.weight, self.conv.bias, padding=left)
        else:
            x = self.conv(F.pad(x, (left, right)))
        out: Tensor = self.norm(x)
        return out

    def convolve_concatenated(self, x: Tensor, sizes: list[int]) -> Tensor:
        """Return the convolutions of concatenated series, (1, c_out, sum of sizes), which do not see each other.

        There are zeros between the series; the outputs at these zeros are dropped.
        """
        left, right = self.padding  # left <= right, so `right` zeros suffice between two series
        zeros = x.new_zeros(1, x.shape[1], right)
        parts = [zeros[:, :, :left]]
        for series in x.split(sizes, dim=2):
            parts += [series, zeros]
        y: Tensor = self.conv(torch.cat(parts, dim=2))  # (1, c_out, sum of sizes + right * (n - 1))
        sizes_with_gaps = [size for series in sizes for size in (series, right)][:-1]
        return torch.cat(y.split(sizes_with_gaps, dim=2)[::2], dim=2)


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
