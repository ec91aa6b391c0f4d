"""What the networks consist of: convolution with batch norm, pooling, dropout, padding that is not seen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsfcn.common.device import upload


def same_padding(kernel: int) -> tuple[int, int]:
    """Return (left, right) zeros that keep the length at stride 1, TensorFlow's way: the extra one goes right.

    A kernel of 8 gets 3 and 4. (The Theano backend of old Keras pads the other side.)
    """
    return (kernel - 1) // 2, kernel // 2


def end_to_end(x: Tensor, lengths: Tensor | None) -> tuple[Tensor, list[int] | None]:
    """Return the real timepoints of x alone: (1, c, sum of lengths) and the lengths, where those differ.

    Where they are all the same, or None, there is nothing to lay end to end: x up to that length (n, c, t), and None.
    """
    if lengths is None:
        return x, None
    sizes: list[int] = lengths.tolist()
    if min(sizes) == max(sizes):
        return x[:, :, : sizes[0]], None
    return torch.cat([case[:, :size] for case, size in zip(x, sizes, strict=True)], dim=1).unsqueeze(0), sizes


def pooled(x: Tensor, sizes: list[int] | None) -> Tensor:
    """Return the mean over the timepoints of each case, (n, c), from what `end_to_end` and the layers made of them."""
    if sizes is None:
        return x.mean(dim=-1)
    return torch.stack([case.mean(dim=-1) for case in x[0].split(sizes, dim=-1)])


class Norm(nn.BatchNorm1d):
    """Batch normalisation over cases and timepoints. (n, c, t) -> (n, c, t).

    The running variance takes n / (n - 1) times that of a batch of n values a channel, as in PyTorch and, but for eps,
    later Keras. A batch of one value, at which PyTorch stops, is at its mean and has variance 0, as in Keras.
    """

    def __init__(self, n_channels: int, bn_momentum: float, bn_eps: float) -> None:
        # Keras' momentum is the share that is kept, PyTorch's the share that is taken.
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
    """Convolution over time with 'same' padding and bias, then batch normalisation. (n, c_in, t) -> (n, c_out, t)."""

    def __init__(self, n_in: int, n_out: int, kernel: int, bn_momentum: float, bn_eps: float) -> None:
        super().__init__()
        self.padding = same_padding(kernel)
        self.conv = nn.Conv1d(n_in, n_out, kernel)
        self.norm = Norm(n_out, bn_momentum, bn_eps)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the normalised convolution; batch statistics in training, running ones in evaluation.

        sizes: of the series that x (1, c_in, sum of sizes) holds end to end; None: each case of x is one series.
        """
        left, right = self.padding
        if sizes is not None and right > 0:
            x = self.convolve_apart(x, sizes)
        elif left == right:  # the convolution pads by itself, which saves a copy
            x = F.conv1d(x, self.conv.weight, self.conv.bias, padding=left)
        else:
            x = self.conv(F.pad(x, (left, right)))
        out: Tensor = self.norm(x)
        return out

    def convolve_apart(self, x: Tensor, sizes: list[int]) -> Tensor:
        """Convolve series that lie end to end: zeros between them keep them apart, and what falls there is dropped."""
        left, right = self.padding  # left <= right: so many zeros do for the end of one and the start of the next
        zeros = x.new_zeros(1, x.shape[1], right)
        spread = [zeros[:, :, :left]]
        for series in x.split(sizes, dim=2):
            spread += [series, zeros]
        y: Tensor = self.conv(torch.cat(spread, dim=2))  # (1, c_out, sum of sizes + right * (n - 1))
        with_gaps = [size for series in sizes for size in (series, right)][:-1]
        return torch.cat(y.split(with_gaps, dim=2)[::2], dim=2)


class Dropout(nn.Module):
    """Zero each value with probability `rate` in training and scale the others by 1 / (1 - rate).

    The masks come from `generator`, which must be set before training, so that they depend on the job's seed alone.
    It is one of the CPU's on every device, so that the masks are the same on all.
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
        kept = torch.rand(x.shape, generator=self.generator, dtype=x.dtype) >= self.rate
        return x * upload(kept, x.device) / (1 - self.rate)
