"""The operations of backend.py on an NVIDIA GPU, by the Triton kernels of triton_kernels.py.

`CudaBackend` does not store the output of the first convolution, since it is cheaper to recompute. It holds a rounded
copy of the weights, and for each block its padded input, the gradient of the convolution's output, and partial sums.
All memory is allocated once, so that a step can be captured in a CUDA graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tsfcn.training.fused import triton_kernels as triton
from tsfcn.training.fused.backend import AdamOptions, Block, Head, Operation, Schedule

MAX_TAPS = 32  # values that the kernel of the first block may cover
MAX_CLASSES = 128
MAX_WIDTH = 512  # of the features
NEVER = 2**31 - 1  # epochs of patience, if the rate is never reduced
PARTS = 264  # programs that share the rows: two for each multiprocessor of an H100


def supports(shape: Any, precision: str) -> bool:
    """Return whether `CudaBackend` supports networks with the sizes of a stacked.Shape in this precision."""
    filters = shape.filters[1:]
    powers_of_two = all(c & (c - 1) == 0 and 16 <= c <= 512 for c in filters)
    return (
        precision in ("bfloat16", "tf32")
        and powers_of_two
        and shape.kernels[0] * shape.filters[0] <= MAX_TAPS
        and shape.n_classes <= MAX_CLASSES
        and shape.cells + filters[-1] <= MAX_WIDTH
    )


def power_of_two(n: int, least: int = 16) -> int:
    """Return the least power of two that is at least n and at least `least`; matrix products need 16 or more."""
    return max(least, 1 << (n - 1).bit_length())


def divisor(n: int, most: int) -> int:
    """Return the largest power of two that divides n, up to `most`."""
    return min(n & -n, most)


@dataclass(frozen=True)
class Tiles:
    """The sizes of the tiles of a matrix product, and its launch options."""

    rows: int = 128
    columns: int = 128
    depth: int = 64
    warps: int = 8
    stages: int = 3


def best_tiles(n_rows: int, c_out: int, n: int) -> Tiles:
    """Return the tiles of n products of n_rows x c_out: small ones if large ones would leave multiprocessors idle."""
    if n * math.ceil(n_rows / 128) * (c_out // 128 or 1) >= 100:
        return Tiles(columns=min(128, c_out))
    if n * math.ceil(n_rows / 64) * max(1, c_out // 128) >= 60:
        return Tiles(rows=64, columns=min(128, c_out), warps=4, stages=4)
    return Tiles(rows=64, columns=min(64, c_out), warps=4, stages=4)


@dataclass
class Buffers:
    """The memory that a block needs besides a backend.Block, and the sizes of its products."""

    inputs: Tensor | None  # (n, rows + slack, c_in); None for the first block
    grad_y: Tensor | None  # (n, rows + slack, c_out); None for the first block
    partials: Tensor  # partial sums of statistics
    counts: Tensor  # rows of each partial sum
    terms: Tensor  # (n, 2, c_out): what the backward pass of batch norm subtracts
    gradients: Tensor  # partial gradients of the weights, (n, n_chunks, c_out * kernel * c_in)
    forward_tiles: Tiles
    backward_tiles: Tiles
    chunk: int  # rows of the input that one partial gradient sums over
    n_parts: int
    tiles_per_part: int


class CudaBackend:
    """The backend of Triton kernels.

    Args:
        weights: The weights of the stack, (n, count).
        dtype: The dtype of activations and of the operands of products.
        exact: Whether products of float32 keep all bits, instead of the 19 bits of TF32.
    """

    def __init__(self, weights: Tensor, dtype: torch.dtype, *, exact: bool = False) -> None:
        self.weights = weights
        n, count = weights.shape
        self.sixteens = math.ceil(count / 16)  # the stride of the rounded weights, in units of 16 values for alignment
        self.rounded = torch.zeros(n, 16 * self.sixteens, dtype=dtype, device=weights.device)
        self.exact = exact
        self.buffers_by_block: dict[int, Buffers] = {}

    def refresh(self) -> None:
        """Round the weights again."""
        self.rounded[:, : self.weights.shape[1]] = self.weights

    def rounded_part(self, part: Tensor) -> Tensor:
        """Return the rounded copy of a part of the weights, and all that follows it."""
        start = part.storage_offset() - self.weights.storage_offset()  # in the first training
        return self.rounded.view(-1)[start:]

    @staticmethod
    def rows_per_program(channels: int, first: bool = False) -> int:
        """Return the number of rows that a program of an elementwise kernel holds. first: in the first block."""
        return max(2, (1024 if first else 4096) // channels)

    def buffers(self, block: Block) -> Buffers:
        """Return the buffers of a block, which are allocated at first use."""
        if id(block.y) in self.buffers_by_block:
            return self.buffers_by_block[id(block.y)]
        n, n_cases, length, c_in, c_out, kernel, _ = block.sizes
        rows, device, dtype = n_cases * (length + kernel - 1), self.weights.device, self.rounded.dtype
        first = block.padded is not None
        forward, backward = best_tiles(rows, c_out, n), best_tiles(rows, c_in, n)
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
        buffers = Buffers(
            inputs=None if first else torch.zeros(n, rows + slack, c_in, dtype=dtype, device=device),
            grad_y=None if first else torch.zeros(n, rows + slack, c_out, dtype=dtype, device=device),
            partials=torch.zeros(n, max(n_parts, math.ceil(rows / forward.rows)), 2, c_out, device=device),
            counts=torch.zeros(n, max(n_parts, math.ceil(rows / forward.rows)), device=device),
            terms=torch.zeros(n, 2, c_out, device=device),
            gradients=torch.zeros(n, n_chunks, c_out * kernel * c_in, device=device),
            forward_tiles=forward,
            backward_tiles=backward,
            chunk=chunk,
            n_parts=n_parts,
            tiles_per_part=tiles_per_part,
        )
        self.buffers_by_block[id(block.y)] = buffers
        return buffers

    def take_batch(self, order: Tensor, cases: Tensor, index: Tensor, series: Tensor, steps: Tensor) -> None:
        """See Backend.take_batch."""
        n, n_cases = index.shape
        size = order.stride(0), n_cases, cases.shape[1]
        triton.take_batch[n_cases, n](order, cases, index, series, steps, *size, BLOCK=1024, num_warps=4)

    def first_arguments(self, block: Block) -> tuple[Tensor, Tensor, dict[str, int]]:
        """Return the series, the weights and the constants with which kernels compute the output of a first block."""
        assert block.padded is not None
        n_in = block.padded.shape[3]
        return block.padded, block.weights, {"C_IN": n_in, "TAPS": n_in * block.kernel}

    def forward(self, block: Block, before: Block | None) -> Operation:
        """See Backend.forward. y of a first block is not filled."""
        n, n_cases, length, c_in, c_out, kernel, left = block.sizes
        buffers, rows_per_case, stride = self.buffers(block), length + kernel - 1, block.gamma.stride(0)
        bc = min(32, c_out)
        statistics = block.mean, block.invstd, block.running_mean, block.running_var

        def finish(n_parts: int) -> None:
            triton.finish_statistics[c_out // bc, n](
                buffers.partials, buffers.counts, *statistics, n_parts, n_cases * length, block.momentum, block.eps,
                C=c_out, BC=bc, BP=64, num_warps=4,
            )  # fmt: skip

        if before is None:
            series, weights, constants = self.first_arguments(block)
            bm = self.rows_per_program(c_out, first=True)

            def run_first() -> None:
                triton.first_statistics[buffers.n_parts, n](
                    series, weights, buffers.partials, buffers.counts, n_cases, length, rows_per_case, n_cases * length,
                    buffers.n_parts, buffers.tiles_per_part, stride, **constants, C=c_out, BM=bm, num_warps=4,
                )  # fmt: skip
                finish(buffers.n_parts)

            return run_first
        inputs = buffers.inputs
        assert inputs is not None
        rows_per_training, tiles, rows = inputs.shape[1], buffers.forward_tiles, n_cases * rows_per_case
        n_parts = math.ceil(rows / tiles.rows)
        weights = self.rounded_part(block.weights)
        bm = self.rows_per_program(c_in, before.padded is not None)
        grid = math.ceil(n_cases * length / bm), n
        before_rows = length + before.kernel - 1
        operands = *before.norm, inputs
        sizes = n_cases, length, before_rows, n_cases * length, rows_per_case, stride, rows_per_training

        def fill_inputs() -> None:
            if before.padded is None:
                triton.bn_relu[grid](before.y, *operands, *sizes, LEFT=left, C=c_in, BM=bm, num_warps=4)
            else:
                series, first_weights, constants = self.first_arguments(before)
                triton.first_bn_relu[grid](
                    series, first_weights, *operands, *sizes, LEFT=left, **constants, C=c_in, BM=bm, num_warps=4
                )

        def run() -> None:
            fill_inputs()
            triton.conv_forward[n_parts * (c_out // tiles.columns), n](
                inputs, weights, block.y, buffers.partials, buffers.counts, length, rows_per_case, rows, n_parts,
                self.sixteens, rows_per_training, C_IN=c_in, KK=kernel * c_in, C_OUT=c_out, BM=tiles.rows,
                BN=tiles.columns, BK=divisor(kernel * c_in, tiles.depth), EXACT=self.exact, num_warps=tiles.warps,
                num_stages=tiles.stages,
            )  # fmt: skip
            finish(n_parts)

        return run

    def pool(self, block: Block, pooled: Tensor) -> Operation:
        """See Backend.pool."""
        n, n_cases, rows, c_out = block.y.shape
        bc = min(32, c_out)

        def run() -> None:
            triton.pool[c_out // bc, n_cases, n](
                block.y, *block.norm, pooled, n_cases, block.length, rows, block.gamma.stride(0),
                C=c_out, BC=bc, BT=128, num_warps=4,
            )  # fmt: skip

        return run

    def loss(self, head: Head) -> Operation:
        """See Backend.loss."""
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
        self,
        block: Block,
        before: Block | None,
        after: Block | None,
        grad_pooled: Tensor | None,
    ) -> Operation:
        """See Backend.backward."""
        n, n_cases, length, c_in, c_out, kernel, left = block.sizes
        buffers, rows_per_case, stride = self.buffers(block), length + kernel - 1, block.gamma.stride(0)
        first = block.padded is not None
        rows, n_rows, bc = n_cases * rows_per_case, n_cases * length, min(32, c_out)
        bm = self.rows_per_program(c_out, first)
        grad_output = grad_pooled if after is None else after.grad_input
        assert grad_output is not None
        pooled = after is None
        grad_rows = 0 if after is None else grad_output.shape[2]
        constants = {"C_IN": 1, "TAPS": 1}
        source, weights = block.y, block.weights
        if first:
            source, weights, constants = self.first_arguments(block)
        sizes = n_cases, length, rows_per_case, grad_rows, n_rows

        def reduce() -> None:
            triton.bn_backward_sums[buffers.n_parts, n](
                source, weights, grad_output, *block.norm, buffers.partials, *sizes, buffers.n_parts,
                buffers.tiles_per_part, stride, **constants, C=c_out, BM=bm, FIRST=first, POOLED=pooled, num_warps=4,
            )  # fmt: skip
            triton.finish_bn_backward_sums[c_out // bc, n](
                buffers.partials, block.invstd, block.grad_gamma, block.grad_beta, buffers.terms, buffers.n_parts,
                n_rows, stride, C=c_out, BC=bc, BP=64, num_warps=4,
            )  # fmt: skip

        count = c_out * kernel * c_in
        n_chunks = buffers.gradients.shape[1]
        taps = power_of_two(constants["TAPS"], 1)
        bm_taps = max(1, min(bm, 8 * bm // taps))  # with more than 8 taps fewer rows fit into the registers

        def add_parts() -> None:
            triton.add_parts[math.ceil(count / 1024), n](
                buffers.gradients, block.grad_weight, n_chunks, count, stride, BLOCK=1024, num_warps=4
            )

        def run_first() -> None:
            reduce()
            triton.first_grad_weight[buffers.n_parts, n](
                source, weights, grad_output, *block.norm, buffers.terms, buffers.gradients, *sizes, buffers.n_parts,
                buffers.tiles_per_part * (bm // bm_taps), stride, **constants, BT=taps, C=c_out, BM=bm_taps,
                POOLED=pooled, num_warps=4,
            )  # fmt: skip
            add_parts()

        if first:
            return run_first
        grad_y, inputs, grad_input = buffers.grad_y, buffers.inputs, block.grad_input
        assert grad_y is not None and inputs is not None and grad_input is not None
        rounded, tiles = self.rounded_part(block.weights), buffers.backward_tiles
        columns = min(tiles.columns, divisor(c_in, 128))
        width, height = divisor(kernel * c_in, 128), divisor(c_out, 128)
        outputs = (c_out // height) * (kernel * c_in // width)

        def run() -> None:
            reduce()
            triton.bn_relu_backward[math.ceil(n_rows / bm), n](
                block.y, grad_output, *block.norm, buffers.terms, grad_y, *sizes, stride, grad_y.shape[1],
                BEFORE=kernel - 1 - left, C=c_out, BM=bm, POOLED=pooled, num_warps=4,
            )  # fmt: skip
            triton.conv_grad_input[math.ceil(rows / tiles.rows) * (c_in // columns), n](
                grad_y, rounded, grad_input, rows, self.sixteens, grad_y.shape[1], KERNEL=kernel, C_IN=c_in,
                C_OUT=c_out, BM=tiles.rows, BN=columns, BK=divisor(c_out, tiles.depth), EXACT=self.exact,
                num_warps=tiles.warps, num_stages=tiles.stages,
            )  # fmt: skip
            triton.conv_grad_weight[outputs, n_chunks, n](
                grad_y, inputs, buffers.gradients, buffers.chunk, n_chunks, grad_y.shape[1],
                BEFORE=kernel - 1 - left, C_IN=c_in, KK=kernel * c_in, C_OUT=c_out, BM=height, BN=width,
                BK=64, EXACT=self.exact, num_warps=8, num_stages=3,
            )  # fmt: skip
            add_parts()

        return run

    def adam(
        self,
        weights: Tensor,
        exp_avg: Tensor,
        exp_avg_sq: Tensor,
        gradient: Tensor,
        options: AdamOptions,
    ) -> Operation:
        """See Backend.adam. The new weights are also rounded."""
        n, count = weights.shape
        logs = [torch.tensor([math.log(beta)], dtype=torch.float64, device=weights.device) for beta in options.betas]

        def run() -> None:
            triton.adam[math.ceil(count / 1024), n](
                weights, exp_avg, exp_avg_sq, gradient, self.rounded, options.lr, options.steps, count,
                self.sixteens, *logs, 1 - options.betas[0], options.betas[1], 1 - options.betas[1], options.eps,
                BLOCK=1024, num_warps=4,
            )  # fmt: skip

        return run

    def end_epoch(self, schedule: Schedule) -> Operation:
        """See Backend.end_epoch. Weights are copied only where the loss is the least so far."""
        s = schedule
        n, device = len(s.lr), s.lr.device
        constants = torch.tensor([s.factor, s.min_lr, s.min_delta], dtype=torch.float64, device=device)
        tensors = s.total, s.lr, s.plateau_best, s.waited, s.least, s.best_epoch, s.better, s.losses, s.rates, s.epoch

        def run() -> None:
            triton.end_epoch[1,](
                *tensors, constants, n, s.n_cases, s.patience or NEVER, BLOCK=power_of_two(n, 1), num_warps=1
            )
            for values, snapshot in schedule.snapshots:
                count = values.shape[1]
                triton.copy_better[math.ceil(count / 1024), len(values)](
                    values, snapshot, schedule.better, count, BLOCK=1024, num_warps=4
                )

        return run
