"""What an epoch of the fused engine consists of, and what a backend must do of it.

`TorchBackend` does it by torch's operations on any device, `CBackend` in C on one core of a processor, `CudaBackend`
in Triton on a GPU. All agree up to rounding (tests/parity); none inherits from another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

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
    grad_weight: Tensor  # gradient
    y: Tensor  # of the convolution, (n, n_cases, rows, c_out); the first `length` rows count
    grad_input: Tensor | None  # gradient of the input, (n, n_cases, rows, c_in), likewise; None: of no use
    gamma: Tensor  # of batch norm, (n, c_out), as all that follows
    beta: Tensor
    grad_gamma: Tensor
    grad_beta: Tensor
    running_mean: Tensor
    running_var: Tensor
    mean: Tensor  # of the batch
    invstd: Tensor  # 1 / sqrt(variance + eps)
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
        return self.gamma, self.beta, self.mean, self.invstd


class Head(NamedTuple):
    """The last layer of n trainings, and the memory that a batch needs there."""

    features: Tensor  # (n, n_cases, width)
    grad_features: Tensor  # gradient
    weights: Tensor  # (n, width, n_classes)
    grad_weight: Tensor
    bias: Tensor  # (n, n_classes)
    grad_bias: Tensor
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


class Backend(Protocol):
    """The operations of an epoch. All but the first two return an operation, to be done step after step.

    Operations work on memory that stays where it is. Those of TorchBackend and CudaBackend read no tensor on the host,
    so that an epoch can be recorded once and replayed (a CUDA graph).
    """

    def refresh(self) -> None:
        """Take note that weights were changed by other means than `adam`."""

    def take_batch(self, order: Tensor, cases: Tensor, index: Tensor, series: Tensor, steps: Tensor) -> None:
        """Copy a batch into place and count the step.

        Args:
            order: Numbers of the cases, int64 (n, n_cases), any strides.
            cases: All cases, padded, (n_all, values).
            index: Filled with order.
            series: Filled with the cases, (n, n_cases, rows, c_in).
            steps: int64 (1,), raised by one.
        """

    def forward(self, block: Block, before: Block | None) -> Operation:
        """Return what fills y, mean and invstd, and moves the running statistics.

        Args:
            block: The block; y of a first block may stay as it is where it is cheaper to compute again.
            before: The block before, of whose output batch norm and ReLU make the input; None: block.padded is it.
        """

    def pool(self, block: Block, pooled: Tensor) -> Operation:
        """Return what fills pooled (n, n_cases, c_out): the mean over time of what batch norm and ReLU make of y."""

    def score(self, head: Head) -> Operation:
        """Return what adds the cross-entropies of a batch to head.total and fills the gradients of their mean."""

    def backward(
        self, block: Block, before: Block | None, after: Block | None, grad_pooled: Tensor | None
    ) -> Operation:
        """Return what fills grad_gamma, grad_beta, grad_weight and grad_input of a block.

        Args:
            block: The block.
            before: The block before, None for the first.
            after: The block behind, whose grad_input it begins at; None for the last.
            grad_pooled: For the last block, the gradient that it begins at, (n, n_cases, c_out).
        """

    def adam(self, weights: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, gradient: Tensor, rule: Rule) -> Operation:
        """Return what takes a step of Adam (Kingma and Ba 2015, algorithm 1).

        Args:
            weights: (n, count), a row a training, as all that follows.
            exp_avg: The first moment.
            exp_avg_sq: The second moment.
            gradient: The gradient.
            rule: Rates and constants.
        """

    def end_epoch(self, schedule: Schedule) -> Operation:
        """Return what ends an epoch: notes its losses and rates, keeps the best values, sets the next rates."""


def windows(rows: Tensor, length: int, kernel: int) -> Tensor:
    """Return the `kernel` rows that are seen from each of `length` timepoints, (n_cases * length, kernel * c)."""
    n_cases, _, c = rows.shape
    return rows.as_strided((n_cases, length, kernel * c), (rows.stride(0), c, 1)).reshape(-1, kernel * c)
