"""The steps of the fused engine in C, on the CPU."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from tsfcn.training.fused.backend import Block, Head, Operation, Rule, Schedule
from tsfcn.training.fused.torch_backend import Torch


class Native(Torch):
    """By the functions of kernels.c, in this process's memory, on one core."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        pointer, integer, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
        self.arguments = {
            "forward": [integer] * 9 + [pointer] * 12 + [real] * 2,
            "pooled": [integer] * 6 + [pointer] * 6,
            "backward": [integer] * 10 + [pointer] * 18,
            "scored": [integer] * 5 + [pointer] * 10,
            "adam": [integer] * 2 + [pointer] * 5 + [real] * 4,
        }

    def call(self, name: str, kinds: Sequence[Tensor], *arguments: float | Tensor | None) -> Callable[..., None]:
        """Return the call of a function for the types of `kinds`; it takes the arguments that are missing here.

        It raises MemoryError where the function has too little.
        """
        types = [str(each.dtype).removeprefix("torch.") for each in kinds]
        function = getattr(self.library, "_".join([name, *types]))
        function.argtypes = self.arguments[name]
        values = [each.data_ptr() if isinstance(each, Tensor) else each for each in arguments]

        def run(*others: float, _held: Any = arguments) -> None:  # tensors live as long as what is to be done on them
            if function(*values, *others):
                raise MemoryError

        return run

    def forward(self, block: Block, before: Block | None) -> Operation:
        """Do as Torch does."""
        y, norm = (None, (None,) * 4) if before is None else (before.y, before.norm)
        return self.call(
            *("forward", [block.y, block.y if y is None else y, block.y]),
            *(*block.sizes, 0 if y is None else y.shape[2], block.scale.stride(0)),
            *(block.padded, y, *norm, block.weights, block.y, block.mean, block.inverse),
            *(block.running_mean, block.running_variance, block.momentum, block.eps),
        )

    def pool(self, block: Block, pooled: Tensor) -> Operation:
        """Do as Torch does."""
        n, n_cases, rows, c_out = block.y.shape
        sizes = n, n_cases, block.length, c_out, rows, block.scale.stride(0)
        return self.call("pooled", [block.y], *sizes, block.y, *block.norm, pooled)

    def backward(self, block: Block, before: Block | None, after: Block | None, of_pooled: Tensor | None) -> Operation:
        """Do as Torch does."""
        y, norm = (None, (None,) * 4) if before is None else (before.y, before.norm)
        back = None if after is None else after.back
        rows = 0 if y is None else y.shape[2], 0 if back is None else back.shape[2]
        return self.call(
            *("backward", [block.y, block.y if y is None else y, block.y if back is None else back]),
            *(*block.sizes, *rows, block.scale.stride(0), block.padded, y, *norm, block.weights, block.y, *block.norm),
            *(back, of_pooled, block.of_scale, block.of_shift, block.of_weights, block.back),
        )

    def score(self, head: Head) -> Operation:
        """Do as Torch does."""
        n, n_cases, width = head.features.shape
        return self.call(
            *("scored", [head.features], n, n_cases, width, head.bias.shape[1], head.bias.stride(0)),
            *(head.features, head.weights, head.bias, head.y, head.case_weights),
            *(head.of_features, head.of_weights, head.of_bias, head.total, head.numbers),
        )

    def adam(self, weights: Tensor, first: Tensor, second: Tensor, gradient: Tensor, rule: Rule) -> Operation:
        """Do as Torch does."""
        rates = (ctypes.c_double * len(weights))()
        pointer = ctypes.addressof(rates)
        step = self.call("adam", [weights], *weights.shape, weights, first, second, gradient, pointer)
        lr, steps = rule.lr.numpy(), rule.steps.numpy()

        def run() -> None:
            corrections = [1 - beta ** int(steps[0]) for beta in rule.betas]
            rates[:] = [rate / corrections[0] for rate in lr.tolist()]
            step(*rule.betas, math.sqrt(corrections[1]), rule.eps)

        return run

    def end_epoch(self, schedule: Schedule) -> Operation:
        """Do as Torch does; on the host, weights are copied only where they are to be kept."""
        s = schedule
        epoch, total, lr, plateau_best, waited, least, best_epoch, better, losses, rates = (
            each.numpy() for each in schedule.changing().values()
        )

        def run() -> None:
            losses[epoch[0]], rates[epoch[0]] = total / s.n_cases, lr
            epoch[0] += 1
            for i, loss in enumerate(losses[epoch[0] - 1].tolist()):
                better[i] = loss < least[i]
                if better[i]:
                    least[i], best_epoch[i] = loss, epoch[0]
                    for values, kept in s.kept:
                        kept[i].copy_(values[i])
                waited[i] += 1
                if loss < plateau_best[i] - s.min_delta:
                    plateau_best[i], waited[i] = loss, 0
                elif 0 < s.patience <= waited[i]:
                    waited[i] = 0
                    if lr[i] > s.min_lr:
                        lr[i] = max(lr[i] * s.factor, s.min_lr)
            total[:] = 0

        return run
