"""What the fast engine does between matrix products, twice: in C for one processor core, in torch for any device.

    rectified   a convolution's output -> what the next convolution sees, or the mean over time: batch norm and ReLU
    sent_back   the way back through that
    adam        a step of the optimiser

`Native` calls kernels.c (native.py compiles it), `Torch` does the same by torch's own operations, up to rounding.
`best` returns the one to take.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tsfcn import native


class Norm(NamedTuple):
    """The batch norm of a block: weights, running statistics and those of the batch, (n, c) each."""

    scale: Tensor
    shift: Tensor
    running_mean: Tensor
    running_variance: Tensor
    mean: Tensor
    inverse: Tensor  # 1 / sqrt(variance + eps)
    momentum: float  # the share that is taken
    eps: float


class Trained(NamedTuple):
    """A stretch of the vectors of weights and of what moves them, (n, count) each, all rows as far apart."""

    weights: Tensor
    first: Tensor  # moments of Adam
    second: Tensor
    gradient: Tensor
    rounded: Tensor | None  # the weights in bfloat16 too, where wanted


class Rule(NamedTuple):
    """A step of Adam, the `steps`-th."""

    rates: Sequence[float]  # the learning rate of each training
    betas: tuple[float, float]
    steps: int
    eps: float

    @property
    def corrections(self) -> tuple[float, float]:
        """What the bias of the first moment and of the root of the second is divided by."""
        return 1 - self.betas[0] ** self.steps, math.sqrt(1 - self.betas[1] ** self.steps)


class Torch:
    """By torch's operations, on any device."""

    def rectified(self, y: Tensor, norm: Norm, seen: Tensor | None, left: int, pooled: Tensor | None) -> None:
        """Fill `seen` or `pooled`, the statistics of the batch, and move the running ones.

        y: (n, n_cases, t, c). seen: (n, n_cases, t, kernel, c), the timepoints that the next kernel sees, `left` of
        them before its own; those outside a case are zero and stay so. pooled: (n, n_cases, c), the mean over time.
        """
        n, cases, length, c = y.shape
        for i in range(n):
            out, mean, inverse = torch.native_batch_norm(
                y[i].view(-1, c),
                norm.scale[i],
                norm.shift[i],
                norm.running_mean[i],
                norm.running_variance[i],
                True,
                norm.momentum,
                norm.eps,
            )
            norm.mean[i].copy_(mean)
            norm.inverse[i].copy_(inverse)
            out = torch.relu_(out).view(cases, length, c)
            if seen is not None:
                kernel = seen.shape[3]
                padded = F.pad(out, (0, 0, left, kernel - 1 - left)).contiguous()
                windows = padded.as_strided(seen.shape[1:], ((length + kernel - 1) * c, c, c, 1))
                seen[i].copy_(windows)
            if pooled is not None:
                pooled[i].copy_(out.mean(1, dtype=pooled.dtype))

    def sent_back(
        self,
        y: Tensor,
        norm: Norm,
        from_seen: Tensor | None,
        left: int,
        from_pooled: Tensor | None,
        slope: Tensor,
        of_scale: Tensor,
        of_shift: Tensor,
    ) -> None:
        """Fill the gradients of y, `slope`, and of scale and shift (n, c) from that of `seen` or of `pooled`.

        from_seen: None where `pooled` was filled; then from_pooled counts.
        """
        n, cases, length, c = y.shape
        for i in range(n):
            if from_seen is not None:
                kernel = from_seen.shape[3]
                spread = torch.zeros(cases, length + kernel - 1, c, dtype=norm.mean.dtype, device=y.device)
                for tap in range(kernel):
                    spread[:, tap : tap + length] += from_seen[i, :, :, tap]
                back = spread[:, left : left + length]
            else:
                assert from_pooled is not None
                back = (from_pooled[i] / length).unsqueeze(1).expand(cases, length, c)
            factor = norm.scale[i] * norm.inverse[i]
            passed = y[i] * factor + (norm.shift[i] - norm.mean[i] * factor) > 0
            found = torch.ops.aten.native_batch_norm_backward(
                (back * passed).to(y.dtype).view(-1, c),
                y[i].view(-1, c),
                norm.scale[i],
                norm.running_mean[i],
                norm.running_variance[i],
                norm.mean[i],
                norm.inverse[i],
                True,
                norm.eps,
                [True] * 3,
            )
            slope[i].copy_(found[0].view(cases, length, c))
            of_scale[i].copy_(found[1])
            of_shift[i].copy_(found[2])

    def adam(self, trained: Trained, rule: Rule) -> None:
        """Take a step."""
        weights, first, second = trained[:3]
        slope, corrections = trained.gradient.to(weights.dtype), rule.corrections
        first.lerp_(slope, 1 - rule.betas[0])
        second.mul_(rule.betas[1]).addcmul_(slope, slope, value=1 - rule.betas[1])
        spread = second.sqrt().div_(corrections[1]).add_(rule.eps)
        rate = torch.tensor(rule.rates, dtype=weights.dtype, device=weights.device).unsqueeze(1) / corrections[0]
        weights.sub_(rate * first / spread)
        if trained.rounded is not None:
            trained.rounded.copy_(weights)


class Native(Torch):
    """By the functions of kernels.c, in this process's memory, on one core."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        pointer, integer, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
        arguments = {
            "rectified": [integer] * 7 + [pointer] * 9 + [real] * 2,
            "sent_back": [integer] * 7 + [pointer] * 10,
            "adam": [integer] * 3 + [pointer] * 6 + [real] * 4,
        }
        for name, types in arguments.items():
            for kinds in ("float32", "float64", "bfloat16", "float32_bfloat16"):
                getattr(library, f"{name}_{kinds}").argtypes = types

    def call(self, name: str, one: Tensor, other: Tensor | None, *arguments: float | None) -> None:
        """Call a function for the types of one and other. Raises MemoryError where it has too little."""
        types = [str(each.dtype).removeprefix("torch.") for each in (one, other) if each is not None]
        if getattr(self.library, "_".join([name, *dict.fromkeys(types)]))(*arguments):
            raise MemoryError

    def rectified(self, y: Tensor, norm: Norm, seen: Tensor | None, left: int, pooled: Tensor | None) -> None:
        """Do as Torch does."""
        self.call(
            *(
                "rectified",
                y,
                seen,
                *y.shape,
                0 if seen is None else seen.shape[3],
                left,
                norm.scale.stride(0),
                y.data_ptr(),
            ),
            *(part.data_ptr() for part in norm[:6]),
            *(None if to is None else to.data_ptr() for to in (seen, pooled)),
            *(norm.momentum, norm.eps),
        )

    def sent_back(
        self,
        y: Tensor,
        norm: Norm,
        from_seen: Tensor | None,
        left: int,
        from_pooled: Tensor | None,
        slope: Tensor,
        of_scale: Tensor,
        of_shift: Tensor,
    ) -> None:
        """Do as Torch does."""
        kernel = 0 if from_seen is None else from_seen.shape[3]
        self.call(
            *("sent_back", y, from_seen, *y.shape, kernel, left, norm.scale.stride(0), y.data_ptr()),
            *(part.data_ptr() for part in (norm.scale, norm.shift, norm.mean, norm.inverse)),
            *(None if of is None else of.data_ptr() for of in (from_seen, from_pooled)),
            *(slope.data_ptr(), of_scale.data_ptr(), of_shift.data_ptr()),
        )

    def adam(self, trained: Trained, rule: Rule) -> None:
        """Do as Torch does."""
        corrections = rule.corrections
        rates = (ctypes.c_double * len(rule.rates))(*(rate / corrections[0] for rate in rule.rates))
        self.call(
            *("adam", trained.gradient, None, *trained.weights.shape, trained.weights.stride(0)),
            *(None if each is None else each.data_ptr() for each in trained),
            *(ctypes.addressof(rates), *rule.betas, corrections[1], rule.eps),
        )


def best(device: torch.device | str = "cpu") -> Torch:
    """Return Native on a processor where a C compiler is found, otherwise Torch."""
    library = native.library() if torch.device(device).type == "cpu" else None
    return Torch() if library is None else Native(library)
