"""The operations of an epoch of the fused engine, as a protocol that every backend implements.

`TorchBackend` consists of PyTorch operations and runs on any device, `CBackend` runs in C on processor cores, and
`CudaBackend` runs Triton kernels on a GPU. All agree up to rounding (tests/parity); none inherits from another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Operation = Callable[[], None]
DTYPES = {  # of activations and of the operands of matrix products, by precision
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "tf32": torch.float32,
}


class Block(NamedTuple):
    """A block of n trainings: convolution without bias, batch norm, ReLU; its parameters, gradients and buffers.

    Each case has length + kernel - 1 rows in the padded input, in y and in their gradients. The output of batch norm
    and ReLU is not stored.
    """

    length: int  # timepoints
    kernel: int
    left: int  # rows of padding before those of a case
    padded: Tensor | None  # (n, n_cases, rows, c_in): the input, zero outside a case; None: output of the block before
    weights: Tensor  # (n, c_out, kernel * c_in)
    grad_weight: Tensor
    y: Tensor  # output of the convolution, (n, n_cases, rows, c_out); the first `length` rows of a case are used
    grad_input: Tensor | None  # (n, n_cases, rows, c_in), the first `length` rows are used; None: not needed
    gamma: Tensor  # of batch norm, (n, c_out), like all tensors that follow
    beta: Tensor
    grad_gamma: Tensor
    grad_beta: Tensor
    running_mean: Tensor
    running_var: Tensor
    mean: Tensor  # of the batch
    invstd: Tensor  # 1 / sqrt(variance + eps)
    momentum: float  # the fraction of the batch statistics that the running ones take, as in PyTorch
    eps: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """n, n_cases, length, c_in, c_out, kernel, left."""
        n, n_cases, _, c_out = self.y.shape
        return n, n_cases, self.length, self.weights.shape[2] // self.kernel, c_out, self.kernel, self.left

    @property
    def norm(self) -> tuple[Tensor, ...]:
        """The tensors that batch norm needs besides y: gamma, beta, mean, invstd."""
        return self.gamma, self.beta, self.mean, self.invstd


class Head(NamedTuple):
    """The last layer of n trainings, and the buffers that a batch needs there."""

    features: Tensor  # (n, n_cases, width)
    grad_features: Tensor
    weights: Tensor  # (n, width, n_classes)
    grad_weight: Tensor
    bias: Tensor  # (n, n_classes)
    grad_bias: Tensor
    total: Tensor  # float64, (n,): losses are added to it
    y: Tensor  # int64, the labels of all cases
    case_weights: Tensor | None  # of all cases: their losses are multiplied by them
    numbers: Tensor  # int64 (n, n_cases): which cases are in the batch


class AdamOptions(NamedTuple):
    """The options of Adam; what changes from step to step is a tensor."""

    lr: Tensor  # float64 (n,): the learning rate of each training
    steps: Tensor  # int64 (1,): the number of this step, from 1
    betas: tuple[float, float]
    eps: float


class Schedule(NamedTuple):
    """What the end of an epoch reads and writes, for n trainings; see `Plateau` for the rule of the learning rate."""

    n_cases: int
    factor: float
    patience: int
    min_lr: float
    min_delta: float
    epoch: Tensor  # int64 (1,): epochs that have ended
    total: Tensor  # float64 (n,): the sum of the losses of the cases in this epoch
    lr: Tensor  # float64 (n,)
    plateau_best: Tensor  # float64 (n,): the best loss of the plateau rule
    waited: Tensor  # int64 (n,): epochs without improvement
    least: Tensor  # float64 (n,): the least loss of an epoch
    best_epoch: Tensor  # int64 (n,): the epoch with this loss, from 1
    better: Tensor  # int64 (n,): 1 where this epoch has the least loss
    losses: Tensor  # float64 (n_epochs, n): the loss of each epoch
    rates: Tensor  # float64 (n_epochs, n): the learning rate of each epoch
    snapshots: Sequence[tuple[Tensor, Tensor]]  # (values, their copy after best_epoch), both (n, ...)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name, without the snapshots."""
        return {name: each for name, each in self._asdict().items() if isinstance(each, Tensor)}


class Backend(Protocol):
    """The operations of an epoch. All methods except the first two return an operation that is called at every step.

    Operations work on memory that stays in place. The operations of TorchBackend and CudaBackend read no tensor on the
    host, so that an epoch can be captured in a CUDA graph and replayed.
    """

    def refresh(self) -> None:
        """Update copies of the weights, after the weights were changed by something else than `adam`."""

    def take_batch(self, order: Tensor, cases: Tensor, index: Tensor, series: Tensor, steps: Tensor) -> None:
        """Copy a batch to its place and count the step.

        Args:
            order: The numbers of the cases, int64 (n, n_cases), with any strides.
            cases: All cases, padded, (n_all, values).
            index: Filled with `order`.
            series: Filled with the cases, (n, n_cases, rows, c_in).
            steps: int64 (1,), increased by one.
        """

    def forward(self, block: Block, before: Block | None) -> Operation:
        """Return the operation that fills y, mean and invstd, and updates the running statistics.

        Args:
            block: The block; a backend may leave y of the first block unchanged where recomputing it is cheaper.
            before: The block before; the input is its output after batch norm and ReLU. None: `block.padded` is.
        """

    def pool(self, block: Block, pooled: Tensor) -> Operation:
        """Return the operation that fills pooled (n, n_cases, c_out) with the mean over time of relu(batch_norm(y))."""

    def loss(self, head: Head) -> Operation:
        """Return the operation that adds the cross-entropies of a batch to head.total and fills the gradients.

        The gradients (grad_features, grad_weight, grad_bias) are those of the mean over the batch.
        """

    def backward(
        self,
        block: Block,
        before: Block | None,
        after: Block | None,
        grad_pooled: Tensor | None,
    ) -> Operation:
        """Return the operation that fills grad_gamma, grad_beta, grad_weight and grad_input of a block.

        Args:
            block: The block.
            before: The block before, None for the first.
            after: The block after, whose grad_input is the gradient of the output; None for the last.
            grad_pooled: For the last block, the gradient of the pooled output, (n, n_cases, c_out).
        """

    def adam(
        self,
        weights: Tensor,
        exp_avg: Tensor,
        exp_avg_sq: Tensor,
        gradient: Tensor,
        options: AdamOptions,
    ) -> Operation:
        """Return the operation that takes a step of Adam (Kingma and Ba 2015, algorithm 1).

        Args:
            weights: (n, count), one row per training, like all tensors that follow.
            exp_avg: The first moment.
            exp_avg_sq: The second moment.
            gradient: The gradient.
            options: Learning rates and constants.
        """

    def end_epoch(self, schedule: Schedule) -> Operation:
        """Return the operation that ends an epoch: it stores losses, rates and best values, and sets the next rates."""


def windows(rows: Tensor, length: int, kernel: int) -> Tensor:
    """Return the windows of a kernel at `length` timepoints of (n_cases, rows, c), (n_cases * length, kernel * c)."""
    n_cases, _, c = rows.shape
    return rows.as_strided((n_cases, length, kernel * c), (rows.stride(0), c, 1)).reshape(-1, kernel * c)
