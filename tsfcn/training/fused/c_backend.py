"""The operations of the fused engine in C, on the CPU."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsfcn.training.fused.backend import AdamOptions, Block, Head, Operation, Schedule
from tsfcn.training.fused.torch_backend import take_batch
from tsfcn.training.threads import step_threads


def fields(integers: str, reals: str, pointers: str) -> list[tuple[str, type[Any]]]:
    """Return the fields of a ctypes.Structure from their names, separated by blanks: integers, reals, pointers."""
    groups = ((integers, ctypes.c_int64), (reals, ctypes.c_double), (pointers, ctypes.c_void_p))
    return [(name, ctype) for names, ctype in groups for name in names.split()]


class ConvBlockArgs(ctypes.Structure):
    """struct conv_block_args of args.h, which explains each field."""

    _fields_ = fields(
        "n n_cases length c_in c_out kernel left before_rows after_rows weight_stride",
        "momentum eps",
        "padded before_y before_gamma before_beta before_mean before_invstd weight y gamma beta mean invstd "
        "running_mean running_var grad_gamma grad_beta grad_weight grad_input grad_output grad_pooled",
    )


class PoolArgs(ctypes.Structure):
    """struct pool_args of args.h."""

    _fields_ = fields("n n_cases length channels rows weight_stride", "", "y gamma beta mean invstd pooled")


class LossArgs(ctypes.Structure):
    """struct loss_args of args.h."""

    _fields_ = fields(
        "n n_cases width n_classes weight_stride",
        "",
        "features weight bias labels case_weights numbers grad_features grad_weight grad_bias total",
    )


class AdamArgs(ctypes.Structure):
    """struct adam_args of args.h."""

    _fields_ = fields("n count", "beta1 beta2 root eps", "weights exp_avg exp_avg_sq gradient rates")


ARGUMENTS = {"conv_block": ConvBlockArgs, "pool": PoolArgs, "loss": LossArgs, "adam": AdamArgs}


class CBackend:
    """The backend that calls the functions of kernels.c, in the memory of this process, in `step_threads()` threads.

    Raises:
        RuntimeError: A struct has another size in the library than here.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        for name, structure in ARGUMENTS.items():
            size, size_here = ctypes.c_int64.in_dll(library, f"{name}_args_size").value, ctypes.sizeof(structure)
            if size != size_here:
                raise RuntimeError(f"{name}_args has {size} bytes in args.h and {size_here} in c_backend.py")

    def call(
        self,
        name: str,
        typed: Sequence[Tensor],
        args: ctypes.Structure,
        **values: float | Tensor | None,
    ) -> Operation:
        """Return an operation that calls a C function, and set fields of its arguments.

        The operation raises MemoryError if the function cannot allocate its memory.

        Args:
            name: The name of the function, without types.
            typed: Tensors whose dtypes are the types at the end of the function's name.
            args: The arguments. They and the tensors in `values` stay alive as long as the operation.
            values: Fields of `args` by name: numbers; tensors for pointers to their memory, None for NULL.
        """
        types = [str(each.dtype).removeprefix("torch.") for each in typed]
        function = getattr(self.library, "_".join([name, *types]))
        for field, value in values.items():
            setattr(args, field, value.data_ptr() if isinstance(value, Tensor) else value)
        reference = ctypes.byref(args)

        def run(_keep_alive: Any = (args, values)) -> None:
            if function(reference, step_threads()):
                raise MemoryError

        return run

    @staticmethod
    def block_values(block: Block, before: Block | None) -> dict[str, float | Tensor | None]:
        """Return the fields of ConvBlockArgs that the forward and the backward pass share."""
        names = ("n", "n_cases", "length", "c_in", "c_out", "kernel", "left")
        gamma, beta, mean, invstd = block.norm
        values: dict[str, float | Tensor | None] = {
            **dict(zip(names, block.sizes, strict=True)),
            "weight_stride": block.gamma.stride(0),
            "momentum": block.momentum,
            "eps": block.eps,
            "padded": block.padded,
            "weight": block.weights,
            "y": block.y,
            "gamma": gamma,
            "beta": beta,
            "mean": mean,
            "invstd": invstd,
        }
        if before is not None:
            gamma, beta, mean, invstd = before.norm
            values |= {"before_gamma": gamma, "before_beta": beta, "before_mean": mean, "before_invstd": invstd}
            values |= {"before_rows": before.y.shape[2], "before_y": before.y}
        return values

    def refresh(self) -> None:
        """See Backend.refresh. This backend keeps no copies."""

    def take_batch(self, order: Tensor, cases: Tensor, index: Tensor, series: Tensor, steps: Tensor) -> None:
        """See Backend.take_batch."""
        take_batch(order, cases, index, series, steps)

    def forward(self, block: Block, before: Block | None) -> Operation:
        """Call conv_block_forward: see Backend.forward."""
        return self.call(
            "conv_block_forward",
            [block.y, block.y if before is None else before.y, block.y],
            ConvBlockArgs(),
            **self.block_values(block, before),
            running_mean=block.running_mean,
            running_var=block.running_var,
        )

    def pool(self, block: Block, pooled: Tensor) -> Operation:
        """Call pool: see Backend.pool."""
        n, n_cases, rows, channels = block.y.shape
        args = PoolArgs(n, n_cases, block.length, channels, rows, block.gamma.stride(0))
        gamma, beta, mean, invstd = block.norm
        return self.call(
            *("pool", [block.y], args), y=block.y, gamma=gamma, beta=beta, mean=mean, invstd=invstd, pooled=pooled
        )

    def backward(
        self,
        block: Block,
        before: Block | None,
        after: Block | None,
        grad_pooled: Tensor | None,
    ) -> Operation:
        """Call conv_block_backward: see Backend.backward."""
        grad_output = None if after is None else after.grad_input
        return self.call(
            "conv_block_backward",
            [block.y, block.y if before is None else before.y, block.y if grad_output is None else grad_output],
            ConvBlockArgs(),
            **self.block_values(block, before),
            after_rows=0 if grad_output is None else grad_output.shape[2],
            grad_gamma=block.grad_gamma,
            grad_beta=block.grad_beta,
            grad_weight=block.grad_weight,
            grad_input=block.grad_input,
            grad_output=grad_output,
            grad_pooled=grad_pooled,
        )

    def loss(self, head: Head) -> Operation:
        """Call loss: see Backend.loss."""
        n, n_cases, width = head.features.shape
        return self.call(
            "loss",
            [head.features],
            LossArgs(n, n_cases, width, head.bias.shape[1], head.bias.stride(0)),
            features=head.features,
            weight=head.weights,
            bias=head.bias,
            labels=head.y,
            case_weights=head.case_weights,
            numbers=head.numbers,
            grad_features=head.grad_features,
            grad_weight=head.grad_weight,
            grad_bias=head.grad_bias,
            total=head.total,
        )

    def adam(
        self,
        weights: Tensor,
        exp_avg: Tensor,
        exp_avg_sq: Tensor,
        gradient: Tensor,
        options: AdamOptions,
    ) -> Operation:
        """Call adam: see Backend.adam."""
        rates = torch.zeros(len(weights), dtype=torch.float64)
        args = AdamArgs(*weights.shape, *options.betas, eps=options.eps)
        step = self.call(
            *("adam", [weights], args),
            weights=weights,
            exp_avg=exp_avg,
            exp_avg_sq=exp_avg_sq,
            gradient=gradient,
            rates=rates,
        )
        lr, steps, step_sizes = options.lr.numpy(), options.steps.numpy(), rates.numpy()

        def run() -> None:
            correction1, correction2 = (1 - beta ** int(steps[0]) for beta in options.betas)
            step_sizes[:] = lr / correction1
            args.root = math.sqrt(correction2)
            step()

        return run

    def end_epoch(self, schedule: Schedule) -> Operation:
        """See Backend.end_epoch. On the host, weights are copied only where the loss is the least so far."""
        s = schedule
        epoch, total, lr, plateau_best, waited, least, best_epoch, better, losses, rates = (
            each.numpy() for each in schedule.tensors().values()
        )

        def run() -> None:
            losses[epoch[0]], rates[epoch[0]] = total / s.n_cases, lr
            epoch[0] += 1
            for i, loss in enumerate(losses[epoch[0] - 1].tolist()):
                better[i] = loss < least[i]
                if better[i]:
                    least[i], best_epoch[i] = loss, epoch[0]
                    for values, snapshot in s.snapshots:
                        snapshot[i].copy_(values[i])
                waited[i] += 1
                if loss < plateau_best[i] - s.min_delta:
                    plateau_best[i], waited[i] = loss, 0
                elif 0 < s.patience <= waited[i]:
                    waited[i] = 0
                    if lr[i] > s.min_lr:
                        lr[i] = max(lr[i] * s.factor, s.min_lr)
            total[:] = 0

        return run
