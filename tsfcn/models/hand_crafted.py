"""Convolution filters that are written by hand and not trained: for increases, decreases and peaks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tsfcn.config.inception_models import HAND_CRAFTED_KERNEL
from tsfcn.models.layers import same_conv, same_padding

Float32 = npt.NDArray[np.float32]

WIDTHS = (2, 4, 8, 16, 32, 64)  # timepoints of the filters for increases and decreases
PEAK_WIDTHS = WIDTHS[1:]  # timepoints of a peak; its filter is half as wide again


def increasing(width: int) -> Float32:
    """Return -1, 1, -1, 1, ..., (width,), which answers to an increase."""
    return np.where(np.arange(width) % 2 == 0, -1, 1).astype(np.float32)


def peak(width: int) -> Float32:
    """Return the filter that answers to a peak, (3 * width / 2,): a bump between two negative ones half as high.

    A bump has width / 2 timepoints: the squares of equal steps from 0 (left out) to 1, and the same back.
    """
    up = (np.arange(1, width // 4 + 1) / (width // 4)) ** 2
    bump = np.concatenate([up, up[::-1]])
    return np.concatenate([-bump, 2 * bump, -bump]).astype(np.float32)


def kernels() -> Tensor:
    """Return all filters, float32 (17, 1, 96), each placed so that 'same' padding of 96 timepoints is its own.

    The filters for increases come first, then those for decreases, which are their negatives, then those for peaks;
    within each kind the shorter ones come first. As in MSD-IRIMAS/CF-4-TSC and MSD-IRIMAS/LITE.
    """
    rising = [increasing(width) for width in WIDTHS]
    filters = [*rising, *(-each for each in rising), *(peak(width) for width in PEAK_WIDTHS)]
    placed = np.zeros((len(filters), 1, HAND_CRAFTED_KERNEL), dtype=np.float32)
    for row, each in zip(placed, filters, strict=True):
        start = same_padding(HAND_CRAFTED_KERNEL)[0] - same_padding(len(each))[0]
        row[0, start : start + len(each)] = each
    return torch.tensor(placed)


class HandCraftedFilters(nn.Module):
    """The 17 filters of Ismail-Fawaz et al. 2022, rectified, for each channel. (n, c, t) -> (n, 17 * c, t).

    They are constants, not parameters. All channels of the first filter come first, then those of the second.
    """

    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernels", kernels(), persistent=False)

    def forward(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Return the activations; sizes: as for `same_conv`."""
        responses = same_conv(x.flatten(0, 1).unsqueeze(1), self.kernels, sizes=sizes)  # (n * c, 17, t)
        return torch.relu(responses.unflatten(0, (-1, x.shape[1])).transpose(1, 2).flatten(1, 2))
