"""Triton kernels of the operations of cuda_backend.py: a step of the stacked FCN on an NVIDIA GPU.

Layouts, all contiguous, channels last; m is the training in the stack, r counts rows:

    series   (n, n_cases, length + kernel - 1, c_in)   input of the first block, zero outside a case; float32
    inputs   (n, rows + slack, c_in)                   of a later block, likewise; rows: n_cases * (length + kernel - 1)
    y        (n, n_cases, length + kernel - 1, c_out)  output of a convolution; the first `length` rows of a case count
    grad_y   (n, rows + slack, c_out)                  gradient of y, padded for the gradient of the input
    partials (n, n_parts, 2, c)                        mean and sum of squares (or two sums) of each part of the rows

Since the cases are padded, the timepoints that a kernel sees lie side by side: row r of the convolution's input matrix
consists of the `kernel * c_in` values from row r of `inputs` on. So a convolution is a matrix product whose left
operand has overlapping rows (implicit im2col). Rows between two cases are computed and never read. The part of each
training ends with `slack` rows of zeros, so that the last tile needs no mask.

Parameters that kernels share, besides these arrays:

    gamma, beta, mean, invstd  (n, c), batch norm of y; gamma and beta lie `stride` values apart per training
    weights                    the filters, (c_out, kernel, c_in) of each training
    grad_output                gradient of the next block's input, or of the pooled features if POOLED
    counts                     (n, n_parts), the rows of each part
    terms                      (n, 2, c), the two means that the backward pass of batch norm subtracts
    n_cases, length            cases of the batch, timepoints of a case
    rows_per_case              rows of a case in y or series; next_rows_per_case, grad_rows_per_case: in the next array
    n_rows                     rows that are read or written; without padding unless stated
    n_parts, tiles_per_part    how the rows are divided; a part has tiles_per_part tiles of BM rows
    rows_per_training          rows of one training in inputs or grad_y
    stride                     values between the weights of two trainings
    sixteens                   the same for rounded weights, divided by 16 so that the compiler knows their alignment
    C, C_IN, C_OUT             channels; TAPS: kernel * C_IN of the first block; KK: kernel * C_IN of the others
    BM, BN, BK                 rows, columns and depth of a tile; BC, BP, BT, BLOCK: other sizes of tiles
    LEFT, BEFORE               rows of padding before a case in inputs and in grad_y
    EXACT                      whether products of float32 keep all bits, instead of those of TF32

Sums over rows are computed in parts of fixed order, without atomics, so the same input gives the same bits.

Apart from the speed nothing here depends on a GPU: with TRITON_INTERPRET=1 the kernels run on the CPU, and
tests/parity/test_triton.py compares them with PyTorch operations in this way. The sizes of datasets are run-time
arguments, so that one compilation serves the whole archive; the sizes of networks are constants.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl


def kernel(*sizes: str) -> Any:
    """Return a decorator that compiles a function. sizes: names of integers for which it is not specialised."""
    return triton.jit(do_not_specialize=list(sizes), do_not_specialize_on_alignment=list(sizes))


# ---------------------------------------------------------------------------------------------------------------------
# The batch, and the first block, whose convolution is cheaper to recompute than to store


@kernel("order_stride", "n_cases", "n_values")
def take_batch(order, cases, index, series, steps, order_stride, n_cases, n_values, BLOCK: tl.constexpr):
    """Copy the padded cases with the numbers in `order` to `series`, the numbers to `index`, and count the step.

    cases: (n_all, n_values); order_stride: between the orders of two trainings.
    """
    b, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    case = tl.load(order + m * order_stride + b)
    row = m * n_cases + b
    tl.store(index + row, case)
    if (b == 0) & (m == 0):
        tl.store(steps, tl.load(steps) + 1)
    for start in range(0, n_values, BLOCK):
        at = start + tl.arange(0, BLOCK)
        value = tl.load(cases + case * n_values + at, mask=at < n_values)
        tl.store(series + row * n_values + at, value, mask=at < n_values)


@triton.jit
def first_convolution(
    series,
    weights,
    m,
    rows,
    valid,
    n_cases,
    length,
    rows_per_case,
    stride,
    C_IN: tl.constexpr,
    TAPS: tl.constexpr,
    C: tl.constexpr,
):
    """Return the first convolution at `rows` (of n_cases * length), float32 (rows, C). valid: which rows exist."""
    case, t = rows // length, rows % length
    start = ((m * n_cases + case) * rows_per_case + t) * C_IN
    channels = tl.arange(0, C)
    y = tl.zeros((rows.shape[0], C), tl.float32)
    for tap in tl.static_range(TAPS):
        x = tl.load(series + start + tap, mask=valid, other=0.0)
        w = tl.load(weights + m * stride + channels * TAPS + tap)
        y += x[:, None] * w[None, :]
    return y


@triton.jit
def bn_factors(gamma, beta, mean, invstd, m, stride, channels, C: tl.constexpr):
    """Return batch norm as (factor, offset): batch_norm(y) = y * factor + offset."""
    inv = tl.load(invstd + m * C + channels)
    factor = tl.load(gamma + m * stride + channels) * inv
    return factor, tl.load(beta + m * stride + channels) - tl.load(mean + m * C + channels) * factor


@triton.jit
def merge_statistics(count, mean, m2, n, some):
    """Return count, mean and sum of squares around the mean of two sets of rows (Chan, Golub and LeVeque 1983).

    count, mean, m2: of the first set; n: rows of the second; some: (values, valid as 0 or 1) of the second.
    """
    values, valid = some
    part = tl.sum(values * valid, axis=0) / tl.maximum(n, 1.0)
    centred = (values - part[None, :]) * valid
    total = count + n
    share = n / tl.maximum(total, 1.0)
    delta = part - mean
    return total, mean + delta * share, m2 + tl.sum(centred * centred, axis=0) + delta * delta * count * share


@kernel("n_cases", "length", "rows_per_case", "n_rows", "n_parts", "tiles_per_part", "stride")
def first_statistics(
    series,
    weights,
    partials,
    counts,
    n_cases,
    length,
    rows_per_case,
    n_rows,
    n_parts,
    tiles_per_part,
    stride,
    C_IN: tl.constexpr,
    TAPS: tl.constexpr,
    C: tl.constexpr,
    BM: tl.constexpr,
):
    """Fill partials with mean and sum of squares of the first convolution, and counts with the rows of each part."""
    part, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    count = 0.0
    mean, m2 = tl.zeros((C,), tl.float32), tl.zeros((C,), tl.float32)
    for tile in range(tiles_per_part):
        rows = (part * tiles_per_part + tile) * BM + tl.arange(0, BM)
        valid = rows < n_rows
        y = first_convolution(series, weights, m, rows, valid, n_cases, length, rows_per_case, stride, C_IN, TAPS, C)
        ones = valid.to(tl.float32)
        count, mean, m2 = merge_statistics(count, mean, m2, tl.sum(ones, axis=0), (y, ones[:, None]))
    at = partials + (m * n_parts + part) * 2 * C + tl.arange(0, C)
    tl.store(at, mean)
    tl.store(at + C, m2)
    tl.store(counts + m * n_parts + part, count)


@kernel("n_cases", "length", "rows_per_case", "n_rows", "next_rows_per_case", "stride", "rows_per_training")
def first_bn_relu(
    series,
    weights,
    gamma,
    beta,
    mean,
    invstd,
    inputs,
    n_cases,
    length,
    rows_per_case,
    n_rows,
    next_rows_per_case,
    stride,
    rows_per_training,
    LEFT: tl.constexpr,
    C_IN: tl.constexpr,
    TAPS: tl.constexpr,
    C: tl.constexpr,
    BM: tl.constexpr,
):
    """Fill the inputs of the second block with relu(batch_norm(first convolution))."""
    tile, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    rows = tile * BM + tl.arange(0, BM)
    valid = rows < n_rows
    channels = tl.arange(0, C)
    y = first_convolution(series, weights, m, rows, valid, n_cases, length, rows_per_case, stride, C_IN, TAPS, C)
    factor, offset = bn_factors(gamma, beta, mean, invstd, m, stride, channels, C)
    value = tl.maximum(y * factor[None, :] + offset[None, :], 0.0, propagate_nan=tl.PropagateNan.ALL)
    target = (rows // length) * next_rows_per_case + rows % length + LEFT
    at = inputs + (m * rows_per_training + target[:, None]) * C + channels[None, :]
    tl.store(at, value.to(inputs.dtype.element_ty), mask=valid[:, None])


# ---------------------------------------------------------------------------------------------------------------------
# Forward


@kernel("n_parts", "n_rows")
def finish_statistics(
    partials,
    counts,
    mean,
    invstd,
    running_mean,
    running_var,
    n_parts,
    n_rows,
    momentum,
    eps,
    C: tl.constexpr,
    BC: tl.constexpr,
    BP: tl.constexpr,
):
    """Fill mean and invstd from partials, and update the running statistics with `momentum`."""
    channels, m = tl.program_id(0) * BC + tl.arange(0, BC), tl.program_id(1).to(tl.int64)
    base = partials + m * n_parts * 2 * C + channels
    total = n_rows.to(tl.float32)
    added = tl.zeros((BC,), tl.float32)
    for start in range(0, n_parts, BP):
        part = start + tl.arange(0, BP)
        inside = part < n_parts
        count = tl.load(counts + m * n_parts + part, mask=inside, other=0.0)
        value = tl.load(base[None, :] + part[:, None] * 2 * C, mask=inside[:, None], other=0.0)
        added += tl.sum(value * count[:, None], axis=0)
    centre = added / total
    squares = tl.zeros((BC,), tl.float32)
    for start in range(0, n_parts, BP):
        part = start + tl.arange(0, BP)
        inside = part < n_parts
        count = tl.load(counts + m * n_parts + part, mask=inside, other=0.0)
        value = tl.load(base[None, :] + part[:, None] * 2 * C, mask=inside[:, None], other=0.0)
        m2 = tl.load(base[None, :] + part[:, None] * 2 * C + C, mask=inside[:, None], other=0.0)
        apart = value - centre[None, :]
        squares += tl.sum(tl.where(inside[:, None], m2 + count[:, None] * apart * apart, 0.0), axis=0)
    variance = squares / total
    at = m * C + channels
    tl.store(mean + at, centre)
    tl.store(invstd + at, 1.0 / tl.sqrt(variance + eps))
    before = tl.load(running_mean + at)
    tl.store(running_mean + at, before + momentum * (centre - before))
    before = tl.load(running_var + at)
    tl.store(running_var + at, before + momentum * (variance * (total / (total - 1.0)) - before))


@kernel("n_cases", "length", "rows_per_case", "n_rows", "next_rows_per_case", "stride", "rows_per_training")
def bn_relu(
    y,
    gamma,
    beta,
    mean,
    invstd,
    inputs,
    n_cases,
    length,
    rows_per_case,
    n_rows,
    next_rows_per_case,
    stride,
    rows_per_training,
    LEFT: tl.constexpr,
    C: tl.constexpr,
    BM: tl.constexpr,
):
    """Fill the inputs of the next block with relu(batch_norm(y))."""
    tile, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    rows = tile * BM + tl.arange(0, BM)
    valid = rows < n_rows
    channels = tl.arange(0, C)
    case, t = rows // length, rows % length
    factor, offset = bn_factors(gamma, beta, mean, invstd, m, stride, channels, C)
    source = y + m * n_cases * rows_per_case * C + (case * rows_per_case + t)[:, None] * C + channels[None, :]
    value = tl.load(source, mask=valid[:, None], other=0.0).to(tl.float32)
    value = tl.maximum(value * factor[None, :] + offset[None, :], 0.0, propagate_nan=tl.PropagateNan.ALL)
    target = inputs + (m * rows_per_training + (case * next_rows_per_case + t + LEFT)[:, None]) * C + channels[None, :]
    tl.store(target, value.to(inputs.dtype.element_ty), mask=valid[:, None])


@kernel("length", "rows_per_case", "n_rows", "n_parts", "sixteens", "rows_per_training")
def conv_forward(
    inputs,
    weights,
    y,
    partials,
    counts,
    length,
    rows_per_case,
    n_rows,
    n_parts,
    sixteens,
    rows_per_training,
    C_IN: tl.constexpr,
    KK: tl.constexpr,
    C_OUT: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    EXACT: tl.constexpr,
):
    """Fill y with the convolution of inputs by weights (C_OUT, KK), and partials with the statistics of each tile.

    n_rows: rows of one training, with padding; a part has BM rows.
    """
    pid, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    tiles: tl.constexpr = C_OUT // BN
    part = pid // tiles
    rows = part * BM + tl.arange(0, BM)
    channels = (pid % tiles) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    left = inputs + (m * rows_per_training + rows[:, None]) * C_IN + k[None, :]
    right = weights + m * sixteens * 16 + channels[:, None] * KK + k[None, :]
    total = tl.zeros((BM, BN), tl.float32)
    for start in range(0, KK, BK):
        a = tl.load(left + start)
        b = tl.load(right + start)
        if EXACT:
            total = tl.dot(a, tl.trans(b), total, input_precision="ieee")
        else:
            total = tl.dot(a, tl.trans(b), total)
    out = total.to(y.dtype.element_ty)
    tl.store(y + m * n_rows * C_OUT + rows[:, None] * C_OUT + channels[None, :], out, mask=(rows < n_rows)[:, None])
    valid = ((rows < n_rows) & (rows % rows_per_case < length)).to(tl.float32)
    count = tl.sum(valid, axis=0)
    value = out.to(tl.float32) * valid[:, None]
    mean = tl.sum(value, axis=0) / tl.maximum(count, 1.0)
    centred = (out.to(tl.float32) - mean[None, :]) * valid[:, None]
    at = partials + (m * n_parts + part) * 2 * C_OUT + channels
    tl.store(at, mean)
    tl.store(at + C_OUT, tl.sum(centred * centred, axis=0))
    tl.store(counts + m * n_parts + part, count)


@kernel("n_cases", "length", "rows_per_case", "stride")
def pool(
    y,
    gamma,
    beta,
    mean,
    invstd,
    pooled,
    n_cases,
    length,
    rows_per_case,
    stride,
    C: tl.constexpr,
    BC: tl.constexpr,
    BT: tl.constexpr,
):
    """Fill pooled (n, n_cases, C) with the mean over time of relu(batch_norm(y))."""
    channels, case, m = tl.program_id(0) * BC + tl.arange(0, BC), tl.program_id(1), tl.program_id(2).to(tl.int64)
    factor, offset = bn_factors(gamma, beta, mean, invstd, m, stride, channels, C)
    source = y + (m * n_cases + case) * rows_per_case * C + channels
    total = tl.zeros((BT, BC), tl.float32)
    for start in range(0, length, BT):
        t = start + tl.arange(0, BT)
        value = tl.load(source[None, :] + t[:, None] * C, mask=(t < length)[:, None], other=0.0).to(tl.float32)
        value = tl.maximum(value * factor[None, :] + offset[None, :], 0.0, propagate_nan=tl.PropagateNan.ALL)
        total += tl.where((t < length)[:, None], value, 0.0)
    tl.store(pooled + (m * n_cases + case) * C + channels, tl.sum(total, axis=0) / length)


@kernel("n_cases", "stride")
def loss(
    features,
    weights,
    bias,
    labels,
    case_weights,
    index,
    grad_features,
    grad_weights,
    grad_bias,
    total,
    n_cases,
    stride,
    WIDTH: tl.constexpr,
    N_CLASSES: tl.constexpr,
    BW: tl.constexpr,
    BL: tl.constexpr,
    BB: tl.constexpr,
    WEIGHTED: tl.constexpr,
):
    """Add the cross-entropies of a batch to total, and fill the gradients of their mean: see Backend.loss.

    The parameters are the fields of backend.Head; WEIGHTED: whether there are case_weights.
    """
    m = tl.program_id(0).to(tl.int64)
    wide, classes = tl.arange(0, BW), tl.arange(0, BL)
    inner = (wide < WIDTH)[:, None] & (classes < N_CLASSES)[None, :]
    at = wide[:, None] * N_CLASSES + classes[None, :]
    w = tl.load(weights + m * stride + at, mask=inner, other=0.0)
    constant = tl.load(bias + m * stride + classes, mask=classes < N_CLASSES, other=0.0)
    grad_w, grad_b = tl.zeros((BW, BL), tl.float32), tl.zeros((BL,), tl.float32)
    added = 0.0
    for start in range(0, n_cases, BB):
        b = start + tl.arange(0, BB)
        here = b < n_cases
        place = (m * n_cases + b)[:, None] * WIDTH + wide[None, :]
        x = tl.load(features + place, mask=here[:, None] & (wide < WIDTH)[None, :], other=0.0)
        logits = tl.dot(x, w, input_precision="ieee") + constant[None, :]
        logits = tl.where((classes < N_CLASSES)[None, :], logits, -float("inf"))
        shifted = logits - tl.max(logits, axis=1)[:, None]
        exponentials = tl.exp(shifted)
        norm = tl.sum(exponentials, axis=1)
        case = tl.load(index + m * n_cases + b, mask=here, other=0)
        target = classes[None, :] == tl.load(labels + case, mask=here, other=0)[:, None]
        losses = tl.log(norm) - tl.sum(tl.where(target, shifted, 0.0), axis=1)
        grad_logits = exponentials / norm[:, None] - target.to(tl.float32)
        if WEIGHTED:
            weight = tl.load(case_weights + case, mask=here, other=0.0)
            losses, grad_logits = losses * weight, grad_logits * weight[:, None]
        grad_logits = tl.where(here[:, None], grad_logits / n_cases, 0.0)
        added += tl.sum(tl.where(here, losses, 0.0), axis=0)
        grad_w += tl.dot(tl.trans(x), grad_logits, input_precision="ieee")
        grad_b += tl.sum(grad_logits, axis=0)
        grad_x = tl.dot(grad_logits, tl.trans(w), input_precision="ieee")
        tl.store(grad_features + place, grad_x, mask=here[:, None] & (wide < WIDTH)[None, :])
    tl.store(grad_weights + m * stride + at, grad_w, mask=inner)
    tl.store(grad_bias + m * stride + classes, grad_b, mask=classes < N_CLASSES)
    tl.store(total + m, tl.load(total + m) + added.to(tl.float64))


# ---------------------------------------------------------------------------------------------------------------------
# Backward


@triton.jit
def relu_backward(
    y,
    grad_output,
    factor,
    offset,
    m,
    case,
    t,
    valid,
    n_cases,
    length,
    grad_rows_per_case,
    channels,
    C: tl.constexpr,
    POOLED: tl.constexpr,
):
    """Return the gradient of batch norm's output, float32 (rows, C), 0 for rows that are not valid."""
    if POOLED:
        at = grad_output + (m * n_cases + case)[:, None] * C + channels[None, :]
        value = tl.load(at, mask=valid[:, None], other=0.0) / length
    else:
        at = (
            grad_output
            + (m * n_cases * grad_rows_per_case + case * grad_rows_per_case + t)[:, None] * C
            + channels[None, :]
        )
        value = tl.load(at, mask=valid[:, None], other=0.0).to(tl.float32)
    active = (y * factor[None, :] + offset[None, :] > 0.0) & valid[:, None]
    return tl.where(active, value, 0.0)


@triton.jit
def conv_output(
    y,
    weights,
    m,
    rows,
    valid,
    n_cases,
    length,
    rows_per_case,
    stride,
    channels,
    C_IN: tl.constexpr,
    TAPS: tl.constexpr,
    C: tl.constexpr,
    FIRST: tl.constexpr,
):
    """Return the convolution's output at `rows`, float32 (rows, C): loaded from y, or if FIRST computed."""
    if FIRST:
        return first_convolution(y, weights, m, rows, valid, n_cases, length, rows_per_case, stride, C_IN, TAPS, C)
    else:
        case, t = rows // length, rows % length
        at = y + m * n_cases * rows_per_case * C + (case * rows_per_case + t)[:, None] * C + channels[None, :]
        return tl.load(at, mask=valid[:, None], other=0.0).to(tl.float32)


@kernel("n_cases", "length", "rows_per_case", "grad_rows_per_case", "n_rows", "n_parts", "tiles_per_part", "stride")
def bn_backward_sums(
    y,
    weights,
    grad_output,
    gamma,
    beta,
    mean,
    invstd,
    partials,
    n_cases,
    length,
    rows_per_case,
    grad_rows_per_case,
    n_rows,
    n_parts,
    tiles_per_part,
    stride,
    C_IN: tl.constexpr,
    TAPS: tl.constexpr,
    C: tl.constexpr,
    BM: tl.constexpr,
    FIRST: tl.constexpr,
    POOLED: tl.constexpr,
):
    """Fill partials with the sums over rows of dy and of dy * (y - mean), dy the gradient of batch norm's output."""
    part, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channels = tl.arange(0, C)
    factor, offset = bn_factors(gamma, beta, mean, invstd, m, stride, channels, C)
    centre = tl.load(mean + m * C + channels)
    plain, product = tl.zeros((C,), tl.float32), tl.zeros((C,), tl.float32)
    for tile in range(tiles_per_part):
        rows = (part * tiles_per_part + tile) * BM + tl.arange(0, BM)
        valid = rows < n_rows
        out = conv_output(
            y, weights, m, rows, valid, n_cases, length, rows_per_case, stride, channels, C_IN, TAPS, C, FIRST
        )
        dy = relu_backward(
            out,
            grad_output,
            factor,
            offset,
            m,
            rows // length,
            rows % length,
            valid,
            n_cases,
            length,
            grad_rows_per_case,
            channels,
            C,
            POOLED,
        )
        plain += tl.sum(dy, axis=0)
        product += tl.sum(dy * (out - centre[None, :]), axis=0)
    at = partials + (m * n_parts + part) * 2 * C + channels
    tl.store(at, plain)
    tl.store(at + C, product)


@kernel("n_parts", "n_rows", "stride")
def finish_bn_backward_sums(
    partials,
    invstd,
    grad_gamma,
    grad_beta,
    terms,
    n_parts,
    n_rows,
    stride,
    C: tl.constexpr,
    BC: tl.constexpr,
    BP: tl.constexpr,
):
    """Fill the gradients of gamma and beta, and terms (n, 2, C), which the backward pass of batch norm subtracts."""
    channels, m = tl.program_id(0) * BC + tl.arange(0, BC), tl.program_id(1).to(tl.int64)
    base = partials + m * n_parts * 2 * C + channels
    plain, product = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    for start in range(0, n_parts, BP):
        part = start + tl.arange(0, BP)
        inside = (part < n_parts)[:, None]
        plain += tl.sum(tl.load(base[None, :] + part[:, None] * 2 * C, mask=inside, other=0.0), axis=0)
        product += tl.sum(tl.load(base[None, :] + part[:, None] * 2 * C + C, mask=inside, other=0.0), axis=0)
    inv = tl.load(invstd + m * C + channels)
    tl.store(grad_gamma + m * stride + channels, product * inv)
    tl.store(grad_beta + m * stride + channels, plain)
    at = terms + m * 2 * C + channels
    tl.store(at, plain / n_rows)
    tl.store(at + C, product / n_rows * inv * inv)


@triton.jit
def bn_backward(out, dy, gamma, invstd, mean, terms, m, stride, channels, C: tl.constexpr):
    """Return the gradient of the convolution's output, (rows, C), from `dy`, the gradient of batch norm's output."""
    factor = tl.load(gamma + m * stride + channels) * tl.load(invstd + m * C + channels)
    centre = tl.load(mean + m * C + channels)
    average = tl.load(terms + m * 2 * C + channels)
    along = tl.load(terms + m * 2 * C + C + channels)
    return factor[None, :] * (dy - average[None, :] - (out - centre[None, :]) * along[None, :])


@kernel("n_cases", "length", "rows_per_case", "grad_rows_per_case", "n_rows", "stride", "rows_per_training")
def bn_relu_backward(
    y,
    grad_output,
    gamma,
    beta,
    mean,
    invstd,
    terms,
    grad_y,
    n_cases,
    length,
    rows_per_case,
    grad_rows_per_case,
    n_rows,
    stride,
    rows_per_training,
    BEFORE: tl.constexpr,
    C: tl.constexpr,
    BM: tl.constexpr,
    POOLED: tl.constexpr,
):
    """Fill grad_y with the gradient of y; the BEFORE rows before each case stay zero."""
    tile, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    rows = tile * BM + tl.arange(0, BM)
    valid = rows < n_rows
    channels = tl.arange(0, C)
    case, t = rows // length, rows % length
    factor, offset = bn_factors(gamma, beta, mean, invstd, m, stride, channels, C)
    out = conv_output(y, y, m, rows, valid, n_cases, length, rows_per_case, stride, channels, 1, 1, C, False)
    dy = relu_backward(
        out, grad_output, factor, offset, m, case, t, valid, n_cases, length, grad_rows_per_case, channels, C, POOLED
    )
    gradient = bn_backward(out, dy, gamma, invstd, mean, terms, m, stride, channels, C)
    target = grad_y + (m * rows_per_training + (case * rows_per_case + t + BEFORE)[:, None]) * C + channels[None, :]
    tl.store(target, gradient.to(grad_y.dtype.element_ty), mask=valid[:, None])


@kernel("n_rows", "sixteens", "rows_per_training")
def conv_grad_input(
    grad_y,
    weights,
    grad_input,
    n_rows,
    sixteens,
    rows_per_training,
    KERNEL: tl.constexpr,
    C_IN: tl.constexpr,
    C_OUT: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    EXACT: tl.constexpr,
):
    """Fill grad_input with the convolution of grad_y by the flipped filters, (C_OUT, KERNEL, C_IN)."""
    pid, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    tiles: tl.constexpr = C_IN // BN
    rows = (pid // tiles) * BM + tl.arange(0, BM)
    channels = (pid % tiles) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    left = grad_y + (m * rows_per_training + rows[:, None]) * C_OUT + k[None, :]
    right = weights + m * sixteens * 16 + k[:, None] * (KERNEL * C_IN) + channels[None, :]
    total = tl.zeros((BM, BN), tl.float32)
    for start in range(0, KERNEL * C_OUT, BK):
        tap, c_out = start // C_OUT, start % C_OUT
        a = tl.load(left + start)
        b = tl.load(right + c_out * (KERNEL * C_IN) + (KERNEL - 1 - tap) * C_IN)
        if EXACT:
            total = tl.dot(a, b, total, input_precision="ieee")
        else:
            total = tl.dot(a, b, total)
    at = grad_input + m * n_rows * C_IN + rows[:, None] * C_IN + channels[None, :]
    tl.store(at, total.to(grad_input.dtype.element_ty), mask=(rows < n_rows)[:, None])


@kernel("chunk", "n_chunks", "rows_per_training")
def conv_grad_weight(
    grad_y,
    inputs,
    partials,
    chunk,
    n_chunks,
    rows_per_training,
    BEFORE: tl.constexpr,
    C_IN: tl.constexpr,
    KK: tl.constexpr,
    C_OUT: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    EXACT: tl.constexpr,
):
    """Fill partials (n, n_chunks, C_OUT, KK) with grad_y transposed times inputs, over `chunk` rows each."""
    pid, part, m = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    tiles: tl.constexpr = KK // BN
    out = (pid // tiles) * BM + tl.arange(0, BM)
    columns = (pid % tiles) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    left = grad_y + (m * rows_per_training + (part * chunk + BEFORE + k)[:, None]) * C_OUT + out[None, :]
    right = inputs + (m * rows_per_training + (part * chunk + k)[:, None]) * C_IN + columns[None, :]
    total = tl.zeros((BM, BN), tl.float32)
    for start in range(0, chunk, BK):
        a = tl.load(left + start * C_OUT)
        b = tl.load(right + start * C_IN)
        if EXACT:
            total = tl.dot(tl.trans(a), b, total, input_precision="ieee")
        else:
            total = tl.dot(tl.trans(a), b, total)
    tl.store(partials + ((m * n_chunks + part) * C_OUT + out[:, None]) * KK + columns[None, :], total)


@kernel("n_cases", "length", "rows_per_case", "grad_rows_per_case", "n_rows", "n_parts", "tiles_per_part", "stride")
def first_grad_weight(
    series,
    weights,
    grad_output,
    gamma,
    beta,
    mean,
    invstd,
    terms,
    partials,
    n_cases,
    length,
    rows_per_case,
    grad_rows_per_case,
    n_rows,
    n_parts,
    tiles_per_part,
    stride,
    C_IN: tl.constexpr,
    TAPS: tl.constexpr,
    BT: tl.constexpr,
    C: tl.constexpr,
    BM: tl.constexpr,
    POOLED: tl.constexpr,
):
    """Fill partials (n, n_parts, C, TAPS) with the gradient of the first weights. BT: power of two, TAPS or more."""
    part, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channels, taps = tl.arange(0, C), tl.arange(0, BT)
    factor, offset = bn_factors(gamma, beta, mean, invstd, m, stride, channels, C)
    total = tl.zeros((BM, BT, C), tl.float32)
    for tile in range(tiles_per_part):
        rows = (part * tiles_per_part + tile) * BM + tl.arange(0, BM)
        valid = rows < n_rows
        case, t = rows // length, rows % length
        out = first_convolution(series, weights, m, rows, valid, n_cases, length, rows_per_case, stride, C_IN, TAPS, C)
        dy = relu_backward(
            out,
            grad_output,
            factor,
            offset,
            m,
            case,
            t,
            valid,
            n_cases,
            length,
            grad_rows_per_case,
            channels,
            C,
            POOLED,
        )
        gradient = bn_backward(out, dy, gamma, invstd, mean, terms, m, stride, channels, C)
        gradient = tl.where(valid[:, None], gradient, 0.0)
        start = ((m * n_cases + case) * rows_per_case + t) * C_IN
        window = tl.load(
            series + start[:, None] + taps[None, :], mask=valid[:, None] & (taps < TAPS)[None, :], other=0.0
        )
        total += window[:, :, None] * gradient[:, None, :]
    at = partials + (m * n_parts + part) * C * TAPS + channels[None, :] * TAPS + taps[:, None]
    tl.store(at, tl.sum(total, axis=0), mask=(taps < TAPS)[:, None])


@kernel("n_parts", "count", "stride")
def add_parts(partials, gradient, n_parts, count, stride, BLOCK: tl.constexpr):
    """Fill gradient (n, count) with the sum of partials (n, n_parts, count)."""
    at, m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1).to(tl.int64)
    inside = at < count
    total = tl.zeros((BLOCK,), tl.float32)
    for part in range(n_parts):
        total += tl.load(partials + (m * n_parts + part) * count + at, mask=inside, other=0.0)
    tl.store(gradient + m * stride + at, total, mask=inside)


# ---------------------------------------------------------------------------------------------------------------------
# Optimiser, learning rate, and copies of the best weights


@kernel("count", "sixteens")
def adam(
    weights,
    exp_avg,
    exp_avg_sq,
    gradient,
    rounded,
    lr,
    steps,
    count,
    sixteens,
    log_beta1,
    log_beta2,
    share1,
    beta2,
    share2,
    eps,
    BLOCK: tl.constexpr,
):
    """Take a step of Adam, the one with the number `steps`, and round the new weights to the type of `rounded`.

    share1, share2: 1 - beta1, 1 - beta2; log_beta1, log_beta2: the logarithms of the betas, as tensors.
    """
    at, m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1).to(tl.int64)
    inside = at < count
    n = tl.load(steps).to(tl.float64)
    correction1 = 1.0 - tl.exp(n * tl.load(log_beta1))
    correction2 = tl.sqrt(1.0 - tl.exp(n * tl.load(log_beta2))).to(tl.float32)
    rate = (tl.load(lr + m) / correction1).to(tl.float32)
    place = m * count + at
    g = tl.load(gradient + place, mask=inside, other=0.0)
    m1 = tl.load(exp_avg + place, mask=inside, other=0.0)
    m1 += share1 * (g - m1)
    m2 = tl.load(exp_avg_sq + place, mask=inside, other=0.0) * beta2 + share2 * g * g
    w = tl.load(weights + place, mask=inside, other=0.0) - rate * m1 / (tl.sqrt(m2) / correction2 + eps)
    tl.store(exp_avg + place, m1, mask=inside)
    tl.store(exp_avg_sq + place, m2, mask=inside)
    tl.store(weights + place, w, mask=inside)
    tl.store(rounded + m * sixteens * 16 + at, w.to(rounded.dtype.element_ty), mask=inside)


@kernel("n", "n_cases", "patience")
def end_epoch(
    total,
    lr,
    plateau_best,
    waited,
    least,
    best_epoch,
    better,
    losses,
    rates,
    epoch,
    constants,
    n,
    n_cases,
    patience,
    BLOCK: tl.constexpr,
):
    """End an epoch, except for the snapshots. The tensors are those of backend.Schedule.

    constants: factor, min_lr, min_delta.
    """
    i = tl.arange(0, BLOCK)
    inside = i < n
    factor, min_lr, min_delta = tl.load(constants), tl.load(constants + 1), tl.load(constants + 2)
    number = tl.load(epoch)
    loss = tl.load(total + i, mask=inside, other=0.0) / n_cases
    rate = tl.load(lr + i, mask=inside, other=0.0)
    tl.store(losses + number * n + i, loss, mask=inside)
    tl.store(rates + number * n + i, rate, mask=inside)
    smallest = tl.load(least + i, mask=inside, other=0.0)
    tl.store(better + i, (loss < smallest).to(tl.int64), mask=inside)
    tl.store(least + i, loss, mask=inside & (loss < smallest))
    tl.store(best_epoch + i, tl.zeros((BLOCK,), tl.int64) + number + 1, mask=inside & (loss < smallest))
    before = tl.load(plateau_best + i, mask=inside, other=0.0)
    improved = loss < before - min_delta
    tl.store(plateau_best + i, loss, mask=inside & improved)
    count = tl.where(improved, 0, tl.load(waited + i, mask=inside, other=0) + 1)
    due = count >= patience
    reduced = tl.maximum(rate * factor, min_lr)
    tl.store(lr + i, reduced, mask=inside & due & (rate > min_lr))
    tl.store(waited + i, tl.where(due, 0, count), mask=inside)
    tl.store(total + i, tl.zeros((BLOCK,), tl.float64), mask=inside)
    tl.store(epoch, number + 1)


@kernel("count")
def copy_better(values, snapshot, better, count, BLOCK: tl.constexpr):
    """Copy values (n, count) to snapshot for the trainings where `better` is not 0."""
    m = tl.program_id(1).to(tl.int64)
    if tl.load(better + m) != 0:
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        inside = at < count
        tl.store(snapshot + m * count + at, tl.load(values + m * count + at, mask=inside, other=0.0), mask=inside)
