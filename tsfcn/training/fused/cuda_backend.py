"""The operations of backend.py on an NVIDIA GPU, as the Triton kernels of triton_kernels.py.

`CudaBackend` does not keep the output of the first convolution, since it is cheaper to compute again. It holds a
rounded copy of the weights, and for each block its padded input, the slopes of its output, and partial sums. All is
allocated once, so that a step can be recorded in a CUDA graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tsfcn.training.fused import triton_kernels as triton
from tsfcn.training.fused.backend import Block, Head, Operation, Rule, Schedule

TAPS = 32  # values that a first kernel may see
CLASSES = 128
WIDTH = 512  # of the features
NEVER = 2**31 - 1  # epochs of patience
PARTS = 264  # programs that share rows: two a multiprocessor of an H100


def serves(shape: Any, precision: str) -> bool:
    """Return whether `CudaBackend` is for networks of a stacked.Shape in this precision."""
    filters = shape.filters[1:]
    fits = all(c & (c - 1) == 0 and 16 <= c <= 512 for c in filters)
    first = shape.kernels[0] * shape.filters[0] <= TAPS
    return (
        precision in ("bfloat16", "tf32")
        and fits
        and first
        and shape.n_classes <= CLASSES
        and shape.cells + filters[-1] <= WIDTH
    )


def power_of_two(n: int, least: int = 16) -> int:
    """Return the least power of two that is at least n and `least`; products are of 16 and more."""
    return max(least, 1 << (n - 1).bit_length())


def divisor(n: int, most: int) -> int:
    """Return the largest power of two that divides n, up to `most`."""
    return min(n & -n, most)


@dataclass(frozen=True)
class Tiles:
    """The sizes of a product's tiles, and how it is run."""

    rows: int = 128
    columns: int = 128
    depth: int = 64
    warps: int = 8
    stages: int = 3


def forward_tiles(n_rows: int, c_out: int, n: int) -> Tiles:
    """Return the tiles of a product of n_rows x c_out: small ones where large ones would leave multiprocessors idle."""
    if n * math.ceil(n_rows / 128) * (c_out // 128 or 1) >= 100:
        return Tiles(columns=min(128, c_out))
    if n * math.ceil(n_rows / 64) * max(1, c_out // 128) >= 60:
        return Tiles(rows=64, columns=min(128, c_out), warps=4, stages=4)
    return Tiles(rows=64, columns=min(64, c_out), warps=4, stages=4)


@dataclass
class Space:
    """What a block needs besides a backend.Block."""

    inputs: Tensor | None  # (n, rows + slack, c_in); None for the first block
    slopes: Tensor | None  # (n, rows + slack, c_out)
    partials: Tensor  # of statistics
    counts: Tensor
    terms: Tensor
    gradients: Tensor  # partial gradients of the weights, (n, n_chunks, c_out * kernel * c_in)
    forward: Tiles
    back: Tiles
    chunk: int  # rows of the input that one partial gradient is made of
    n_parts: int
    tiles_per_part: int


class CudaBackend:
    """By Triton kernels.

    weights: of the stack, (n, count); dtype: of activations and of the products' operands; exact: whether products of
    float32 are of float32, not of the 19 bits of TF32.
    """

    def __init__(self, weights: Tensor, dtype: torch.dtype, *, exact: bool = False) -> None:
        self.weights = weights
        n, count = weights.shape
        self.sixteens = math.ceil(count / 16)  # between the rounded weights of two trainings, which are so aligned
        self.rounded = torch.zeros(n, 16 * self.sixteens, dtype=dtype, device=weights.device)
        self.exact = exact
        self.spaces: dict[int, Space] = {}

    def refresh(self) -> None:
        """Round the weights anew."""
        self.rounded[:, : self.weights.shape[1]] = self.weights

    def rounded_part(self, part: Tensor) -> Tensor:
        """Return the rounded copy of a part of the weights, from its first value on."""
        start = part.storage_offset() - self.weights.storage_offset()  # of the first training
        return self.rounded.view(-1)[start:]

    @staticmethod
    def rows_per_program(channels: int, first: bool = False) -> int:
        """Return how many rows of so many channels a program of an elementwise kernel holds."""
        return max(2, (1024 if first else 4096) // channels)

    def space(self, block: Block) -> Space:
        """Return what a block needs besides, made at first use."""
        if id(block.y) in self.spaces:
            return self.spaces[id(block.y)]
        n, n_cases, length, c_in, c_out, kernel, _ = block.sizes
        rows, device, dtype = n_cases * (length + kernel - 1), self.weights.device, self.rounded.dtype
        first = block.padded is not None
        forward, back = forward_tiles(rows, c_out, n), forward_tiles(rows, c_in, n)
        bm = self.rows_per_program(c_out, first)
        tiles = math.ceil(n_cases * length / bm)
        tiles_per_part = math.ceil(tiles / max(1, PARTS // n))
        n_parts = math.ceil(tiles / tiles_per_part)
        n_chunks, chunk = n_parts, 0
        if not first:
            outputs = n * (c_out // divisor(c_out, 128)) * (kernel * c_in // divisor(kernel * c_in, 128))
            depth = 64
            n_chunks = max(1, min(math.ceil(rows / (4 * depth)), math.ceil(PARTS / outputs)))
            chunk = math.ceil(rows / n_chunks / depth) * depth
            n_chunks = math.ceil(rows / chunk)
        slack = max(128, n_chunks * chunk - rows) + 2 * kernel
        found = Space(
            inputs=None if first else torch.zeros(n, rows + slack, c_in, dtype=dtype, device=device),
            slopes=None if first else torch.zeros(n, rows + slack, c_out, dtype=dtype, device=device),
            partials=torch.zeros(n, max(n_parts, math.ceil(rows / forward.rows)), 2, c_out, device=device),
            counts=torch.zeros(n, max(n_parts, math.ceil(rows / forward.rows)), device=device),
            terms=torch.zeros(n, 2, c_out, device=device),
            gradients=torch.zeros(n, n_chunks, c_out * kernel * c_in, device=device),
            forward=forward,
            back=back,
            chunk=chunk,
            n_parts=n_parts,
            tiles_per_part=tiles_per_part,
        )
        self.spaces[id(block.y)] = found
        return found

    def take_batch(self, order: Tensor, cases: Tensor, index: Tensor, series: Tensor, steps: Tensor) -> None:
        """See Backend."""
        n, n_cases = index.shape
        size = order.stride(0), n_cases, cases.shape[1]
        triton.take_batch[n_cases, n](order, cases, index, series, steps, *size, BLOCK=1024, num_warps=4)

    def first_arguments(self, block: Block) -> tuple[Tensor, Tensor, dict[str, int]]:
        """Return the series and weights of a first block, and what its kernels need to compute its output."""
        assert block.padded is not None
        n_in = block.padded.shape[3]
        return block.padded, block.weights, {"C_IN": n_in, "TAPS": n_in * block.kernel}

    def forward(self, block: Block, before: Block | None) -> Operation:
        """See Backend, but leave y of a first block as it was."""
        n, n_cases, length, c_in, c_out, kernel, left = block.sizes
        space, rows_per_case, stride = self.space(block), length + kernel - 1, block.gamma.stride(0)
        bc = min(32, c_out)
        statistics = block.mean, block.invstd, block.running_mean, block.running_var

        def finish(n_parts: int) -> None:
            triton.finish_statistics[c_out // bc, n](
                space.partials, space.counts, *statistics, n_parts, n_cases * length, block.momentum, block.eps,
                C=c_out, BC=bc, BP=64, num_warps=4,
            )  # fmt: skip

        if before is None:
            series, weights, constants = self.first_arguments(block)
            bm = self.rows_per_program(c_out, first=True)

            def run_first() -> None:
                triton.first_statistics[space.n_parts, n](
                    series, weights, space.partials, space.counts, n_cases, length, rows_per_case, n_cases * length,
                    space.n_parts, space.tiles_per_part, stride, **constants, C=c_out, BM=bm, num_warps=4,
                )  # fmt: skip
                finish(space.n_parts)

            return run_first
        inputs = space.inputs
        assert inputs is not None
        member_rows, tiles, rows = inputs.shape[1], space.forward, n_cases * rows_per_case
        n_parts = math.ceil(rows / tiles.rows)
        weights = self.rounded_part(block.weights)
        bm = self.rows_per_program(c_in, before.padded is not None)
        grid = math.ceil(n_cases * length / bm), n
        before_rows = length + before.kernel - 1
        own = before.gamma, before.beta, before.mean, before.invstd, inputs
        sizes = n_cases, length, before_rows, n_cases * length, rows_per_case, stride, member_rows

        def activate() -> None:
            if before.padded is None:
                triton.activate[grid](before.y, *own, *sizes, LEFT=left, C=c_in, BM=bm, num_warps=4)
            else:
                series, first_weights, constants = self.first_arguments(before)
                triton.first_activate[grid](
                    series, first_weights, *own, *sizes, LEFT=left, **constants, C=c_in, BM=bm, num_warps=4
                )

        def run() -> None:
            activate()
            triton.convolve[n_parts * (c_out // tiles.columns), n](
                inputs, weights, block.y, space.partials, space.counts, length, rows_per_case, rows, n_parts,
                self.sixteens, member_rows, C_IN=c_in, KK=kernel * c_in, C_OUT=c_out, BM=tiles.rows, BN=tiles.columns,
                BK=divisor(kernel * c_in, tiles.depth), EXACT=self.exact, num_warps=tiles.warps,
                num_stages=tiles.stages,
            )  # fmt: skip
            finish(n_parts)

        return run

    def pool(self, block: Block, pooled: Tensor) -> Operation:
        """See Backend."""
        n, n_cases, rows, c_out = block.y.shape
        bc = min(32, c_out)

        def run() -> None:
            triton.pool[c_out // bc, n_cases, n](
                block.y, *block.norm, pooled, n_cases, block.length, rows, block.gamma.stride(0),
                C=c_out, BC=bc, BT=128, num_warps=4,
            )  # fmt: skip

        return run

    def score(self, head: Head) -> Operation:
        """See Backend."""
        n, n_cases, width = head.features.shape
        n_classes = head.bias.shape[1]
        arguments = (
            *(head.features, head.weights, head.bias, head.y, head.case_weights, head.numbers),
            *(head.grad_features, head.grad_weight, head.grad_bias, head.total, n_cases, head.bias.stride(0)),
        )
        blocks = {"BW": power_of_two(width), "BL": power_of_two(n_classes), "BB": 16}

        def run() -> None:
            triton.loss[n,](
                *arguments,
                WIDTH=width,
                N_CLASSES=n_classes,
                **blocks,
                WEIGHTED=head.case_weights is not None,
                num_warps=8,
            )

        return run

    def backward(
        self, block: Block, before: Block | None, after: Block | None, grad_pooled: Tensor | None
    ) -> Operation:
        """See Backend."""
        n, n_cases, length, c_in, c_out, kernel, left = block.sizes
        space, rows_per_case, stride = self.space(block), length + kernel - 1, block.gamma.stride(0)
        first = block.padded is not None
        rows, n_rows, bc = n_cases * rows_per_case, n_cases * length, min(32, c_out)
        bm = self.rows_per_program(c_out, first)
        grad = grad_pooled if after is None else after.grad_input
        assert grad is not None
        pooled = after is None
        grad_rows = 0 if after is None else grad.shape[2]
        constants = {"C_IN": 1, "TAPS": 1}
        source, weights = block.y, block.weights
        if first:
            source, weights, constants = self.first_arguments(block)
        sizes = n_cases, length, rows_per_case, grad_rows, n_rows

        def sums() -> None:
            triton.norm_sums[space.n_parts, n](
                source, weights, grad, *block.norm, space.partials, *sizes, space.n_parts, space.tiles_per_part, stride,
                **constants, C=c_out, BM=bm, FIRST=first, POOLED=pooled, num_warps=4,
            )  # fmt: skip
            triton.finish_norm_sums[c_out // bc, n](
                space.partials, block.invstd, block.grad_gamma, block.grad_beta, space.terms, space.n_parts, n_rows,
                stride, C=c_out, BC=bc, BP=64, num_warps=4,
            )  # fmt: skip

        count = c_out * kernel * c_in
        n_chunks = space.gradients.shape[1]

        def add_parts() -> None:
            triton.add_parts[math.ceil(count / 1024), n](
                space.gradients, block.grad_weight, n_chunks, count, stride, BLOCK=1024, num_warps=4
            )

        def run_first() -> None:
            sums()
            triton.first_weight_gradient[space.n_parts, n](
                source, weights, grad, *block.norm, space.terms, space.gradients, *sizes, space.n_parts,
                space.tiles_per_part, stride, **constants, BT=power_of_two(constants["TAPS"], 1), C=c_out, BM=bm,
                POOLED=pooled, num_warps=4,
            )  # fmt: skip
            add_parts()

        if first:
            return run_first
        slopes, inputs, back = space.slopes, space.inputs, block.grad_input
        assert slopes is not None and inputs is not None and back is not None
        rounded, tiles = self.rounded_part(block.weights), space.back
        columns = min(tiles.columns, divisor(c_in, 128))
        width, height = divisor(kernel * c_in, 128), divisor(c_out, 128)
        outputs = (c_out // height) * (kernel * c_in // width)

        def run() -> None:
            sums()
            triton.output_slopes[math.ceil(n_rows / bm), n](
                block.y, grad, *block.norm, space.terms, slopes, *sizes, stride, slopes.shape[1],
                BEFORE=kernel - 1 - left, C=c_out, BM=bm, POOLED=pooled, num_warps=4,
            )  # fmt: skip
            triton.convolve_back[math.ceil(rows / tiles.rows) * (c_in // columns), n](
                slopes, rounded, back, rows, self.sixteens, slopes.shape[1], KERNEL=kernel, C_IN=c_in, C_OUT=c_out,
                BM=tiles.rows, BN=columns, BK=divisor(c_out, tiles.depth), EXACT=self.exact, num_warps=tiles.warps,
                num_stages=tiles.stages,
            )  # fmt: skip
            triton.weight_gradient[outputs, n_chunks, n](
                slopes, inputs, space.gradients, space.chunk, n_chunks, slopes.shape[1],
                BEFORE=kernel - 1 - left, C_IN=c_in, KK=kernel * c_in, C_OUT=c_out, BM=height, BN=width,
                BK=64, EXACT=self.exact, num_warps=8, num_stages=3,
            )  # fmt: skip
            add_parts()

        return run

    def adam(self, weights: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, gradient: Tensor, rule: Rule) -> Operation:
        """See Backend, and round the new weights."""
        n, count = weights.shape
        logs = [torch.tensor([math.log(beta)], dtype=torch.float64, device=weights.device) for beta in rule.betas]

        def run() -> None:
            triton.adam[math.ceil(count / 1024), n](
                weights, exp_avg, exp_avg_sq, gradient, self.rounded, rule.lr, rule.steps, count, self.sixteens, *logs,
                1 - rule.betas[0], rule.betas[1], 1 - rule.betas[1], rule.eps,
                BLOCK=1024, num_warps=4,
            )  # fmt: skip

        return run

    def end_epoch(self, schedule: Schedule) -> Operation:
        """See Backend; weights are copied only where they are to be kept."""
        s = schedule
        n, device = len(s.lr), s.lr.device
        constants = torch.tensor([s.factor, s.min_lr, s.min_delta], dtype=torch.float64, device=device)
        tensors = s.total, s.lr, s.plateau_best, s.waited, s.least, s.best_epoch, s.better, s.losses, s.rates, s.epoch

        def run() -> None:
            triton.end_epoch[1,](
                *tensors, constants, n, s.n_cases, s.patience or NEVER, BLOCK=power_of_two(n, 1), num_warps=1
            )
            for values, kept in schedule.kept:
                count = values.shape[1]
                triton.keep_better[math.ceil(count / 1024), len(values)](
                    values, kept, schedule.better, count, BLOCK=1024, num_warps=4
                )

        return run
