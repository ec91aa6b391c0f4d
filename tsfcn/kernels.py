"""What a step of the fast engine consists of, twice: in C for one processor core, in torch for any device.

    convolve      a block's padded input -> what its convolution makes of it
    rectify       that -> the next block's padded input, or the mean over time: batch norm and ReLU
    score         features -> the loss, and its gradients as far as the features
    send_back     the way back through batch norm and ReLU
    to_weights    the gradient of a convolution's weights
    to_input      the gradient of its input
    adam          a step of the optimiser

Each returns an operation on memory that stays where it is, to be done step after step. `Native` has them in C
(kernels.c and products.c, which native.py compiles), `Torch` does the same by torch's own operations, up to rounding.
`best` returns the one to take.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tsfcn import native

Operation = Callable[[], None]
Score = Callable[[Tensor], None]  # of the cases' numbers among all, int64 (n, n_cases)


class Block(NamedTuple):
    """A block of n trainings: convolution without bias, batch norm, ReLU; and the memory that a batch needs there.

    Each case has length + kernel - 1 rows: in its padded input, in the convolution's output, and in their gradients.
    """

    length: int  # timepoints
    kernel: int
    left: int  # rows of padding before a case's own
    padded: Tensor  # (n, n_cases, rows, c_in); zero outside a case
    weights: Tensor  # (n, c_out, kernel * c_in)
    of_weights: Tensor  # gradient
    y: Tensor  # (n, n_cases, rows, c_out); the first `length` rows count
    slope: Tensor  # gradient of y, from row `lead` on; zero before and behind
    back: Tensor  # gradient of the input: as padded; the first `length` rows count
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
    def lead(self) -> int:
        """How many rows of zeros come before a case's own in `slope`."""
        return self.kernel - 1 - self.left

    @property
    def sizes(self) -> tuple[int, ...]:
        """n, n_cases, length, c_in, c_out, kernel."""
        n, n_cases, _, c_in = self.padded.shape
        return n, n_cases, self.length, c_in, self.y.shape[3], self.kernel


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


def windows(rows: Tensor, length: int, kernel: int) -> Tensor:
    """Return the `kernel` rows that are seen from each of `length` timepoints, (n_cases * length, kernel * c)."""
    n_cases, _, c = rows.shape
    return rows.as_strided((n_cases, length, kernel * c), (rows.stride(0), c, 1)).reshape(-1, kernel * c)


class Torch:
    """By torch's operations, on any device."""

    def convolve(self, block: Block) -> Operation:
        """Return what fills y from padded and weights."""

        def run() -> None:
            n, n_cases, length, _, c_out, kernel = block.sizes
            for i in range(n):
                weights = block.weights[i].to(block.padded.dtype)
                y = windows(block.padded[i], length, kernel) @ weights.T
                block.y[i, :, :length] = y.view(n_cases, length, c_out)

        return run

    def rectify(self, block: Block, to: Block | None, pooled: Tensor | None) -> Operation:
        """Return what fills mean and inverse, moves the running statistics, and fills the input of block `to`.

        Without such a block it fills pooled, (n, n_cases, c_out), the mean over time.
        """

        def run() -> None:
            n, n_cases, length, _, c_out, _ = block.sizes
            for i in range(n):
                out, mean, inverse = torch.native_batch_norm(
                    block.y[i, :, :length].reshape(-1, c_out),
                    block.scale[i],
                    block.shift[i],
                    block.running_mean[i],
                    block.running_variance[i],
                    True,
                    block.momentum,
                    block.eps,
                )
                block.mean[i].copy_(mean)
                block.inverse[i].copy_(inverse)
                out = torch.relu_(out).view(n_cases, length, c_out)
                if to is not None:
                    to.padded[i, :, to.left : to.left + length] = out
                if pooled is not None:
                    pooled[i].copy_(out.mean(1, dtype=pooled.dtype))

        return run

    def score(self, head: Head) -> Score:
        """Return what adds the cross-entropies of cases to total, and fills the gradients of their mean."""

        def run(index: Tensor) -> None:
            y = head.y[index].unsqueeze(2)
            logits = torch.baddbmm(head.bias.unsqueeze(1), head.features, head.weights)
            slope = torch.softmax(logits, dim=2)
            losses = -torch.log_softmax(logits, dim=2).gather(2, y).squeeze(2)
            slope.scatter_add_(2, y, torch.full_like(slope[:, :, :1], -1))
            if head.case_weights is not None:
                weight = head.case_weights[index]
                losses, slope = losses * weight, slope * weight.unsqueeze(2)
            slope /= index.shape[1]
            head.total.add_(losses.double().sum(dim=1))
            torch.bmm(head.features.transpose(1, 2), slope, out=head.of_weights)
            torch.sum(slope, dim=1, out=head.of_bias)
            torch.bmm(slope, head.weights.transpose(1, 2), out=head.of_features)

        return run

    def send_back(self, block: Block, to: Block | None, of_pooled: Tensor | None) -> Operation:
        """Return what fills slope, of_scale and of_shift from the gradient of block `to`'s input, or that of pooled."""

        def run() -> None:
            n, n_cases, length, _, c_out, _ = block.sizes
            for i in range(n):
                if to is not None:
                    back = to.back[i, :, :length].to(block.mean.dtype)
                else:
                    assert of_pooled is not None
                    back = (of_pooled[i] / length).unsqueeze(1).expand(n_cases, length, c_out)
                y = block.y[i, :, :length]
                factor = block.scale[i] * block.inverse[i]
                passed = y * factor + (block.shift[i] - block.mean[i] * factor) > 0
                found = torch.ops.aten.native_batch_norm_backward(
                    (back * passed).to(y.dtype).reshape(-1, c_out),
                    y.reshape(-1, c_out),
                    block.scale[i],
                    block.running_mean[i],
                    block.running_variance[i],
                    block.mean[i],
                    block.inverse[i],
                    True,
                    block.eps,
                    [True] * 3,
                )
                block.slope[i] = 0
                block.slope[i, :, block.lead : block.lead + length] = found[0].view(n_cases, length, c_out)
                block.of_scale[i].copy_(found[1])
                block.of_shift[i].copy_(found[2])

        return run

    def to_weights(self, block: Block) -> Operation:
        """Return what fills of_weights from slope and padded."""

        def run() -> None:
            n, _, length, _, c_out, kernel = block.sizes
            for i in range(n):
                slope = block.slope[i, :, block.lead : block.lead + length].reshape(-1, c_out)
                block.of_weights[i].copy_(slope.T @ windows(block.padded[i], length, kernel))

        return run

    def to_input(self, block: Block) -> Operation:
        """Return what fills back from slope and weights."""

        def run() -> None:
            n, n_cases, length, c_in, c_out, kernel = block.sizes
            for i in range(n):
                weights = block.weights[i].to(block.slope.dtype).view(c_out, kernel, c_in)
                turned = weights.flip(1).transpose(0, 1).reshape(-1, c_in)
                back = windows(block.slope[i], length, kernel) @ turned
                block.back[i, :, :length] = back.view(n_cases, length, c_in)

        return run

    def adam(self, weights: Tensor, first: Tensor, second: Tensor, gradient: Tensor) -> Callable[[Rule], None]:
        """Return what takes a step; of n trainings each: weights, both moments and gradient, (n, count)."""

        def run(rule: Rule) -> None:
            corrections = rule.corrections
            first.lerp_(gradient, 1 - rule.betas[0])
            second.mul_(rule.betas[1]).addcmul_(gradient, gradient, value=1 - rule.betas[1])
            spread = second.sqrt().div_(corrections[1]).add_(rule.eps)
            rate = torch.tensor(rule.rates, dtype=weights.dtype, device=weights.device).unsqueeze(1) / corrections[0]
            weights.sub_(rate * first / spread)

        return run


class Native(Torch):
    """By the functions of kernels.c and products.c, in this process's memory, on one core."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        pointer, integer, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
        arguments = {
            "convolved": [integer] * 7 + [pointer] * 3,
            "rectified": [integer] * 8 + [pointer] * 9 + [real] * 2,
            "sent_back": [integer] * 8 + [pointer] * 10,
            "to_weights": [integer] * 8 + [pointer] * 3,
            "to_input": [integer] * 7 + [pointer] * 3,
            "scored": [integer] * 5 + [pointer] * 10,
            "adam": [integer] * 2 + [pointer] * 5 + [real] * 4,
        }
        for name, types in arguments.items():
            for kinds in ("float32", "float64", "bfloat16", "float32_bfloat16"):
                if hasattr(library, f"{name}_{kinds}"):
                    getattr(library, f"{name}_{kinds}").argtypes = types

    def call(self, name: str, kinds: Sequence[Tensor], *arguments: float | Tensor | None) -> Callable[..., None]:
        """Return the call of a function for the types of `kinds`; it takes the arguments that are missing here.

        It raises MemoryError where the function has too little.
        """
        types = dict.fromkeys(str(each.dtype).removeprefix("torch.") for each in kinds)
        function = getattr(self.library, "_".join([name, *types]))
        values = [each.data_ptr() if isinstance(each, Tensor) else each for each in arguments]

        def run(*others: float, _held: Any = arguments) -> None:  # tensors live as long as what is to be done on them
            if function(*values, *others):
                raise MemoryError

        return run

    def convolve(self, block: Block) -> Operation:
        """Do as Torch does."""
        sizes = *block.sizes, block.weights.stride(0)
        return self.call("convolved", [block.padded], *sizes, block.padded, block.weights, block.y)

    def rectify(self, block: Block, to: Block | None, pooled: Tensor | None) -> Operation:
        """Do as Torch does."""
        n, n_cases, length, _, c_out, _ = block.sizes
        padded, left = (None, 0) if to is None else (to.padded, to.left)
        rows = block.y.shape[2], 0 if padded is None else padded.shape[2]
        return self.call(
            "rectified",
            [block.y] if padded is None else [block.y, padded],
            *(n, n_cases, length, c_out, *rows, left, block.scale.stride(0), block.y, block.scale, block.shift),
            *(block.running_mean, block.running_variance, block.mean, block.inverse, padded, pooled),
            *(block.momentum, block.eps),
        )

    def send_back(self, block: Block, to: Block | None, of_pooled: Tensor | None) -> Operation:
        """Do as Torch does."""
        n, n_cases, length, _, c_out, _ = block.sizes
        back = None if to is None else to.back
        rows = block.y.shape[2], 0 if back is None else back.shape[2]
        return self.call(
            "sent_back",
            [block.y] if back is None else [block.y, back],
            *(n, n_cases, length, c_out, *rows, block.lead, block.scale.stride(0), block.y, block.scale, block.shift),
            *(block.mean, block.inverse, back, of_pooled, block.slope, block.of_scale, block.of_shift),
        )

    def to_weights(self, block: Block) -> Operation:
        """Do as Torch does."""
        sizes = *block.sizes, block.lead, block.of_weights.stride(0)
        return self.call("to_weights", [block.slope], *sizes, block.slope, block.padded, block.of_weights)

    def to_input(self, block: Block) -> Operation:
        """Do as Torch does."""
        sizes = *block.sizes, block.weights.stride(0)
        return self.call("to_input", [block.slope], *sizes, block.slope, block.weights, block.back)

    def score(self, head: Head) -> Score:
        """Do as Torch does."""
        n, n_cases, width = head.features.shape
        n_classes, total = head.bias.shape[1], head.total
        add = self.call(
            *("scored", [head.features], n, n_cases, width, n_classes, head.bias.stride(0)),
            *(head.features, head.weights, head.bias, head.y, head.case_weights),
            *(head.of_features, head.of_weights, head.of_bias, total),
        )
        return lambda index: add(index.data_ptr())

    def adam(self, weights: Tensor, first: Tensor, second: Tensor, gradient: Tensor) -> Callable[[Rule], None]:
        """Do as Torch does."""
        rates = (ctypes.c_double * len(weights))()
        pointer = ctypes.addressof(rates)
        step = self.call("adam", [weights], *weights.shape, weights, first, second, gradient, pointer)

        def run(rule: Rule) -> None:
            corrections = rule.corrections
            rates[:] = [rate / corrections[0] for rate in rule.rates]
            step(*rule.betas, corrections[1], rule.eps)

        return run


def best(device: torch.device | str = "cpu") -> Torch:
    """Return Native on a processor where a C compiler is found, otherwise Torch."""
    library = native.library() if torch.device(device).type == "cpu" else None
    return Torch() if library is None else Native(library)
