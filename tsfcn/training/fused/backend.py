"""What an epoch of the fast engine consists of: by torch for any device, in C for a processor, in Triton for a GPU.

    take_batch a batch's cases, gathered by their numbers
    forward    a convolution, of a series or of what batch norm and ReLU make of the convolution before
    pool       the mean over time of what batch norm and ReLU make of the last one
    score      features -> the loss, and its gradients as far as the features
    backward   the gradients of a block, from the way back through its batch norm and ReLU to its input
    adam       a step of the optimiser
    end_epoch  the loss of an epoch, the weights to keep by it, and the next learning rate

All but the first return an operation on memory that stays where it is, to be done step after step. None of `Torch` and
`cuda_backend.Cuda` reads a tensor on the host, so that an epoch can be recorded once and replayed (a CUDA graph).
`Native` has them in C (kernels.c and what it includes, which build.py compiles), cuda_backend.py as Triton kernels;
`Torch` does the same by torch's own operations, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Operation = Callable[[], None]
DTYPES = {  # of activations and of the operands of products, by precision
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "tf32": torch.float32,
}


class Block(NamedTuple):
    """A block of n trainings: convolution without bias, batch norm, ReLU; and what it leaves of a batch.

    Each case has length + kernel - 1 rows: in the input, which is padded, in y and in their gradients. What batch norm
    and ReLU make of y is not kept.
    """

    length: int  # timepoints
    kernel: int
    left: int  # rows of padding before a case's own
    padded: Tensor | None  # (n, n_cases, rows, c_in): the input, zero outside a case; None: made of the block before
    weights: Tensor  # (n, c_out, kernel * c_in)
    of_weights: Tensor  # gradient
    y: Tensor  # of the convolution, (n, n_cases, rows, c_out); the first `length` rows count
    back: Tensor | None  # gradient of the input, (n, n_cases, rows, c_in), likewise; None: of no use
    scale: Tensor  # of batch norm, (n, c_out), as all that follows
    shift: Tensor
    of_scale: Tensor
    of_shift: Tensor
    running_mean: Tensor
    running_variance: Tensor
    mean: Tensor  # of the batch
    inverse: Tensor  # 1 / sqrt(variance + eps)
    momentum: float  # the share of the batch that running statistics take
    eps: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """n, n_cases, length, c_in, c_out, kernel, left."""
        n, n_cases, _, c_out = self.y.shape
        return n, n_cases, self.length, self.weights.shape[2] // self.kernel, c_out, self.kernel, self.left

    @property
    def norm(self) -> tuple[Tensor, ...]:
        """What makes batch norm of y."""
        return self.scale, self.shift, self.mean, self.inverse


class Head(NamedTuple):
    """The last layer of n trainings, and the memory that a batch needs there."""

    features: Tensor  # (n, n_cases, width)
    of_features: Tensor  # gradient
    weights: Tensor  # (n, width, n_classes)
    of_weights: Tensor
    bias: Tensor  # (n, n_classes)
    of_bias: Tensor
    total: Tensor  # float64, (n,): losses are added to it
    y: Tensor  # int64, of all cases
    case_weights: Tensor | None  # that their losses are multiplied by
    numbers: Tensor  # of the batch's cases, int64 (n, n_cases)


class Rule(NamedTuple):
    """Adam, with all that changes from step to step in tensors."""

    lr: Tensor  # float64 (n,): the learning rate of each training
    steps: Tensor  # int64 (1,): the number of this step, from 1 on
    betas: tuple[float, float]
    eps: float


class Schedule(NamedTuple):
    """What the end of an epoch reads and writes, for n trainings; see `Plateau` for the learning rate's rule."""

    n_cases: int
    factor: float
    patience: int
    min_lr: float
    min_delta: float
    epoch: Tensor  # int64 (1,): epochs that have ended
    total: Tensor  # float64 (n,): the sum of the cases' losses in this epoch
    lr: Tensor  # float64 (n,)
    plateau_best: Tensor  # float64 (n,): the loss that the next has to undercut, by min_delta
    waited: Tensor  # int64 (n,): epochs since then
    least: Tensor  # float64 (n,): the least loss
    best_epoch: Tensor  # int64 (n,): the epoch that had it, from 1 on
    better: Tensor  # int64 (n,): 1 where this epoch is that one
    losses: Tensor  # float64 (n_epochs, n): of each epoch
    rates: Tensor  # float64 (n_epochs, n): the learning rate of each epoch
    kept: Sequence[tuple[Tensor, Tensor]]  # (values, copy of them at best_epoch), both (n, ...)

    def changing(self) -> dict[str, Tensor]:
        """Return the tensors but for `kept`, by name."""
        return {name: each for name, each in self._asdict().items() if isinstance(each, Tensor)}


def windows(rows: Tensor, length: int, kernel: int) -> Tensor:
    """Return the `kernel` rows that are seen from each of `length` timepoints, (n_cases * length, kernel * c)."""
    n_cases, _, c = rows.shape
    return rows.as_strided((n_cases, length, kernel * c), (rows.stride(0), c, 1)).reshape(-1, kernel * c)
