"""The operations of cuda_backend.py as Triton kernels: what a step of the stacked FCN does on an NVIDIA GPU.

Layouts, all contiguous, channels last; m is the training in the stack, r counts rows:

    series   (n, n_cases, length + kernel - 1, c_in)   input of the first block, zero outside a case; float32
    inputs   (n, rows + slack, c_in)                   of a later block, likewise; rows: n_cases * (length + kernel - 1)
    y        (n, n_cases, length + kernel - 1, c_out)  output of a convolution; the first `length` rows of a case count
    slopes   (n, rows + slack, c_out)                  gradient of y, padded for the convolution back to the input
    partials (n, n_parts, 2, c)                        mean and summed squares (or two sums) of each part of the rows

With cases padded, the timepoints that a kernel sees lie side by side: row r of the convolution's input matrix is
`kernel * c_in` values from row r of `inputs` on, so a convolution is a matrix product whose left operand has
overlapping rows (implicit im2col). Rows between two cases are computed and never read. `slack` rows of zeros end each
training's part, so that the last tile needs no mask.

Sums over rows are made in parts of fixed order, without atomics: the same input gives the same bits.

Nothing here depends on a GPU but its speed: under TRITON_INTERPRET=1 the kernels run on the CPU, which is how
tests/parity/test_triton.py holds them to torch. Sizes of datasets are run-time arguments, so that one compilation
serves the whole archive; sizes of networks are constants.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl


def kernel(*sizes: str) -> Any:
    """Return a decorator that compiles a function; `sizes` names run-time integers that must not be specialised on."""
    return triton.jit(do_not_specialize=list(sizes), do_not_specialize_on_alignment=list(sizes))


# ---------------------------------------------------------------------------------------------------------------------
# A batch and the first block, whose convolution is cheaper to compute again than to keep


@kernel("order_stride", "n_cases", "n_values")
def take_batch(order, cases, index, series, steps, order_stride, n_cases, n_values, BLOCK: tl.constexpr):
    """Copy the padded cases that `order` names to `series`, their numbers to `index`, and count the step."""
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
    """Return the first convolution at `rows` (of n_cases * length), float32 (rows, C). TAPS: kernel * C_IN values."""
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
def norm_terms(scale, shift, mean, inverse, m, stride, channels, C: tl.constexpr):
    """Return batch norm as (factor, offset): what it makes of y is y * factor + offset."""
    inv = tl.load(inverse + m * C + channels)
    factor = tl.load(scale + m * stride + channels) * inv
    return factor, tl.load(shift + m * stride + channels) - tl.load(mean + m * C + channels) * factor


@triton.jit
def joined(count, mean, m2, n, some):
    """Return count, mean and summed squares of two sets of rows; `some`: (values, valid as 0 or 1) of the second."""
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
    """Fill partials with mean and summed squares of the first convolution, counts with the rows of each part."""
    part, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    count = 0.0
    mean, m2 = tl.zeros((C,), tl.float32), tl.zeros((C,), tl.float32)
    for tile in range(tiles_per_part):
        rows = (part * tiles_per_part + tile) * BM + tl.arange(0, BM)
        valid = rows < n_rows
        y = first_convolution(series, weights, m, rows, valid, n_cases, length, rows_per_case, stride, C_IN, TAPS, C)
        ones = valid.to(tl.float32)
        count, mean, m2 = joined(count, mean, m2, tl.sum(ones, axis=0), (y, ones[:, None]))
    at = partials + (m * n_parts + part) * 2 * C + tl.arange(0, C)
    tl.store(at, mean)
    tl.store(at + C, m2)
    tl.store(counts + m * n_parts + part, count)


@kernel("n_cases", "length", "rows_per_case", "n_rows", "next_rows_per_case", "stride", "member_rows")
def first_activate(
    series,
    weights,
    scale,
    shift,
    mean,
    inverse,
    inputs,
    n_cases,
    length,
    rows_per_case,
    n_rows,
    next_rows_per_case,
    stride,
    member_rows,
    LEFT: tl.constexpr,
    C_IN: tl.constexpr,
    TAPS: tl.constexpr,
    C: tl.constexpr,
    BM: tl.constexpr,
):
    """Fill the second block's inputs with what batch norm and ReLU make of the first convolution."""
    tile, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    rows = tile * BM + tl.arange(0, BM)
    valid = rows < n_rows
    channels = tl.arange(0, C)
    y = first_convolution(series, weights, m, rows, valid, n_cases, length, rows_per_case, stride, C_IN, TAPS, C)
    factor, offset = norm_terms(scale, shift, mean, inverse, m, stride, channels, C)
    value = tl.maximum(y * factor[None, :] + offset[None, :], 0.0, propagate_nan=tl.PropagateNan.ALL)
    target = (rows // length) * next_rows_per_case + rows % length + LEFT
    at = inputs + (m * member_rows + target[:, None]) * C + channels[None, :]
    tl.store(at, value.to(inputs.dtype.element_ty), mask=valid[:, None])


# ---------------------------------------------------------------------------------------------------------------------
# Forward


@kernel("n_parts", "n_rows")
def finish_statistics(
    partials,
    counts,
    mean,
    inverse,
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
    """Fill mean and inverse from partials, and move the running statistics by `momentum`."""
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
    tl.store(inverse + at, 1.0 / tl.sqrt(variance + eps))
    before = tl.load(running_mean + at)
    tl.store(running_mean + at, before + momentum * (centre - before))
    before = tl.load(running_var + at)
    tl.store(running_var + at, before + momentum * (variance * (total / (total - 1.0)) - before))


@kernel("n_cases", "length", "rows_per_case", "n_rows", "next_rows_per_case", "stride", "member_rows")
def activate(
    y,
    scale,
    shift,
    mean,
    inverse,
    inputs,
    n_cases,
    length,
    rows_per_case,
    n_rows,
    next_rows_per_case,
    stride,
    member_rows,
    LEFT: tl.constexpr,
    C: tl.constexpr,
    BM: tl.constexpr,
):
    """Fill the next block's inputs with what batch norm and ReLU make of y."""
    tile, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    rows = tile * BM + tl.arange(0, BM)
    valid = rows < n_rows
    channels = tl.arange(0, C)
    case, t = rows // length, rows % length
    factor, offset = norm_terms(scale, shift, mean, inverse, m, stride, channels, C)
    source = y + m * n_cases * rows_per_case * C + (case * rows_per_case + t)[:, None] * C + channels[None, :]
    value = tl.load(source, mask=valid[:, None], other=0.0).to(tl.float32)
    value = tl.maximum(value * factor[None, :] + offset[None, :], 0.0, propagate_nan=tl.PropagateNan.ALL)
    target = inputs + (m * member_rows + (case * next_rows_per_case + t + LEFT)[:, None]) * C + channels[None, :]
    tl.store(target, value.to(inputs.dtype.element_ty), mask=valid[:, None])


@kernel("length", "rows_per_case", "n_rows", "n_parts", "sixteens", "member_rows")
def convolve(
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
    member_rows,
    C_IN: tl.constexpr,
    KK: tl.constexpr,
    C_OUT: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    EXACT: tl.constexpr,
):
    """Fill y with the convolution of inputs by weights (C_OUT, KK), and partials with each tile's statistics.

    KK: kernel * C_IN. n_rows: of one training, padding included; one part is BM rows. EXACT: for float32 operands.
    sixteens: values between the weights of two trainings, divided by 16, so that the compiler knows their alignment.
    """
    pid, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    tiles: tl.constexpr = C_OUT // BN
    part = pid // tiles
    rows = part * BM + tl.arange(0, BM)
    channels = (pid % tiles) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    left = inputs + (m * member_rows + rows[:, None]) * C_IN + k[None, :]
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
    scale,
    shift,
    mean,
    inverse,
    pooled,
    n_cases,
    length,
    rows_per_case,
    stride,
    C: tl.constexpr,
    BC: tl.constexpr,
    BT: tl.constexpr,
):
    """Fill pooled (n, n_cases, C) with the mean over time of what batch norm and ReLU make of y."""
    channels, case, m = tl.program_id(0) * BC + tl.arange(0, BC), tl.program_id(1), tl.program_id(2).to(tl.int64)
    factor, offset = norm_terms(scale, shift, mean, inverse, m, stride, channels, C)
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
    """Add the cross-entropies of a batch to total, and fill the gradients of their mean by head and features."""
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
        slope = exponentials / norm[:, None] - target.to(tl.float32)
        if WEIGHTED:
            weight = tl.load(case_weights + case, mask=here, other=0.0)
            losses, slope = losses * weight, slope * weight[:, None]
        slope = tl.where(here[:, None], slope / n_cases, 0.0)
        added += tl.sum(tl.where(here, losses, 0.0), axis=0)
        grad_w += tl.dot(tl.trans(x), slope, input_precision="ieee")
        grad_b += tl.sum(slope, axis=0)
        back = tl.dot(slope, tl.trans(w), input_precision="ieee")
        tl.store(grad_features + place, back, mask=here[:, None] & (wide < WIDTH)[None, :])
    tl.store(grad_weights + m * stride + at, grad_w, mask=inner)
    tl.store(grad_bias + m * stride + classes, grad_b, mask=classes < N_CLASSES)
    tl.store(total + m, tl.load(total + m) + added.to(tl.float64))


# ---------------------------------------------------------------------------------------------------------------------
# Backward


@triton.jit
def rectified_gradient(
    y,
    grad,
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
    """Return the gradient by what batch norm made of y, float32 (rows, C), 0 for rows that are not valid.

    grad: gradient of the next block's input, or with POOLED that of the pooled features.
    """
    if POOLED:
        at = grad + (m * n_cases + case)[:, None] * C + channels[None, :]
        value = tl.load(at, mask=valid[:, None], other=0.0) / length
    else:
        at = grad + (m * n_cases * grad_rows_per_case + case * grad_rows_per_case + t)[:, None] * C + channels[None, :]
        value = tl.load(at, mask=valid[:, None], other=0.0).to(tl.float32)
    active = (y * factor[None, :] + offset[None, :] > 0.0) & valid[:, None]
    return tl.where(active, value, 0.0)


@triton.jit
def output_of(
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
    """Return the convolution's output at `rows`, float32 (rows, C): kept in y, or computed from the series there."""
    if FIRST:
        return first_convolution(y, weights, m, rows, valid, n_cases, length, rows_per_case, stride, C_IN, TAPS, C)
    else:
        case, t = rows // length, rows % length
        at = y + m * n_cases * rows_per_case * C + (case * rows_per_case + t)[:, None] * C + channels[None, :]
        return tl.load(at, mask=valid[:, None], other=0.0).to(tl.float32)


@kernel("n_cases", "length", "rows_per_case", "grad_rows_per_case", "n_rows", "n_parts", "tiles_per_part", "stride")
def norm_sums(
    y,
    weights,
    grad,
    scale,
    shift,
    mean,
    inverse,
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
    """Fill partials with the sums over rows of the gradient, and of the gradient times centred y."""
    part, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channels = tl.arange(0, C)
    factor, offset = norm_terms(scale, shift, mean, inverse, m, stride, channels, C)
    centre = tl.load(mean + m * C + channels)
    plain, product = tl.zeros((C,), tl.float32), tl.zeros((C,), tl.float32)
    for tile in range(tiles_per_part):
        rows = (part * tiles_per_part + tile) * BM + tl.arange(0, BM)
        valid = rows < n_rows
        out = output_of(
            y, weights, m, rows, valid, n_cases, length, rows_per_case, stride, channels, C_IN, TAPS, C, FIRST
        )
        slope = rectified_gradient(
            out,
            grad,
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
        plain += tl.sum(slope, axis=0)
        product += tl.sum(slope * (out - centre[None, :]), axis=0)
    at = partials + (m * n_parts + part) * 2 * C + channels
    tl.store(at, plain)
    tl.store(at + C, product)


@kernel("n_parts", "n_rows", "stride")
def finish_norm_sums(
    partials,
    inverse,
    grad_scale,
    grad_shift,
    terms,
    n_parts,
    n_rows,
    stride,
    C: tl.constexpr,
    BC: tl.constexpr,
    BP: tl.constexpr,
):
    """Fill the gradients of scale and shift, and terms (n, 2, C) by which batch norm's backward pass corrects."""
    channels, m = tl.program_id(0) * BC + tl.arange(0, BC), tl.program_id(1).to(tl.int64)
    base = partials + m * n_parts * 2 * C + channels
    plain, product = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    for start in range(0, n_parts, BP):
        part = start + tl.arange(0, BP)
        inside = (part < n_parts)[:, None]
        plain += tl.sum(tl.load(base[None, :] + part[:, None] * 2 * C, mask=inside, other=0.0), axis=0)
        product += tl.sum(tl.load(base[None, :] + part[:, None] * 2 * C + C, mask=inside, other=0.0), axis=0)
    inv = tl.load(inverse + m * C + channels)
    tl.store(grad_scale + m * stride + channels, product * inv)
    tl.store(grad_shift + m * stride + channels, plain)
    at = terms + m * 2 * C + channels
    tl.store(at, plain / n_rows)
    tl.store(at + C, product / n_rows * inv * inv)


@triton.jit
def output_gradient(out, slope, scale, inverse, mean, terms, m, stride, channels, C: tl.constexpr):
    """Return the gradient by the convolution's output from that by batch norm's, (rows, C)."""
    factor = tl.load(scale + m * stride + channels) * tl.load(inverse + m * C + channels)
    centre = tl.load(mean + m * C + channels)
    average = tl.load(terms + m * 2 * C + channels)
    along = tl.load(terms + m * 2 * C + C + channels)
    return factor[None, :] * (slope - average[None, :] - (out - centre[None, :]) * along[None, :])


@kernel("n_cases", "length", "rows_per_case", "grad_rows_per_case", "n_rows", "stride", "member_rows")
def output_slopes(
    y,
    grad,
    scale,
    shift,
    mean,
    inverse,
    terms,
    slopes,
    n_cases,
    length,
    rows_per_case,
    grad_rows_per_case,
    n_rows,
    stride,
    member_rows,
    BEFORE: tl.constexpr,
    C: tl.constexpr,
    BM: tl.constexpr,
    POOLED: tl.constexpr,
):
    """Fill slopes with the gradient of y, BEFORE rows of zeros before each case."""
    tile, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    rows = tile * BM + tl.arange(0, BM)
    valid = rows < n_rows
    channels = tl.arange(0, C)
    case, t = rows // length, rows % length
    factor, offset = norm_terms(scale, shift, mean, inverse, m, stride, channels, C)
    out = output_of(y, y, m, rows, valid, n_cases, length, rows_per_case, stride, channels, 1, 1, C, False)
    slope = rectified_gradient(
        out, grad, factor, offset, m, case, t, valid, n_cases, length, grad_rows_per_case, channels, C, POOLED
    )
    slope = output_gradient(out, slope, scale, inverse, mean, terms, m, stride, channels, C)
    target = slopes + (m * member_rows + (case * rows_per_case + t + BEFORE)[:, None]) * C + channels[None, :]
    tl.store(target, slope.to(slopes.dtype.element_ty), mask=valid[:, None])


@kernel("n_rows", "sixteens", "member_rows")
def convolve_back(
    slopes,
    weights,
    grad_input,
    n_rows,
    sixteens,
    member_rows,
    KERNEL: tl.constexpr,
    C_IN: tl.constexpr,
    C_OUT: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    EXACT: tl.constexpr,
):
    """Fill grad_input with the convolution of slopes by the weights turned round, (C_OUT, KERNEL, C_IN)."""
    pid, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    tiles: tl.constexpr = C_IN // BN
    rows = (pid // tiles) * BM + tl.arange(0, BM)
    channels = (pid % tiles) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    left = slopes + (m * member_rows + rows[:, None]) * C_OUT + k[None, :]
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


@kernel("chunk", "n_chunks", "member_rows")
def weight_gradient(
    slopes,
    inputs,
    partials,
    chunk,
    n_chunks,
    member_rows,
    BEFORE: tl.constexpr,
    C_IN: tl.constexpr,
    KK: tl.constexpr,
    C_OUT: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    EXACT: tl.constexpr,
):
    """Fill partials (n, n_chunks, C_OUT, KK) with slopes turned times inputs, over `chunk` rows each."""
    pid, part, m = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    tiles: tl.constexpr = KK // BN
    out = (pid // tiles) * BM + tl.arange(0, BM)
    seen = (pid % tiles) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    left = slopes + (m * member_rows + (part * chunk + BEFORE + k)[:, None]) * C_OUT + out[None, :]
    right = inputs + (m * member_rows + (part * chunk + k)[:, None]) * C_IN + seen[None, :]
    total = tl.zeros((BM, BN), tl.float32)
    for start in range(0, chunk, BK):
        a = tl.load(left + start * C_OUT)
        b = tl.load(right + start * C_IN)
        if EXACT:
            total = tl.dot(tl.trans(a), b, total, input_precision="ieee")
        else:
            total = tl.dot(tl.trans(a), b, total)
    tl.store(partials + ((m * n_chunks + part) * C_OUT + out[:, None]) * KK + seen[None, :], total)


@kernel("n_cases", "length", "rows_per_case", "grad_rows_per_case", "n_rows", "n_parts", "tiles_per_part", "stride")
def first_weight_gradient(
    series,
    weights,
    grad,
    scale,
    shift,
    mean,
    inverse,
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
    """Fill partials (n, n_parts, C, TAPS) with the gradient of the first block's weights. BT: TAPS or more, 2**i."""
    part, m = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channels, taps = tl.arange(0, C), tl.arange(0, BT)
    factor, offset = norm_terms(scale, shift, mean, inverse, m, stride, channels, C)
    total = tl.zeros((BM, BT, C), tl.float32)
    for tile in range(tiles_per_part):
        rows = (part * tiles_per_part + tile) * BM + tl.arange(0, BM)
        valid = rows < n_rows
        case, t = rows // length, rows % length
        out = first_convolution(series, weights, m, rows, valid, n_cases, length, rows_per_case, stride, C_IN, TAPS, C)
        slope = rectified_gradient(
            out, grad, factor, offset, m, case, t, valid, n_cases, length, grad_rows_per_case, channels, C, POOLED
        )
        slope = output_gradient(out, slope, scale, inverse, mean, terms, m, stride, channels, C)
        slope = tl.where(valid[:, None], slope, 0.0)
        start = ((m * n_cases + case) * rows_per_case + t) * C_IN
        window = tl.load(
            series + start[:, None] + taps[None, :], mask=valid[:, None] & (taps < TAPS)[None, :], other=0.0
        )
        total += window[:, :, None] * slope[:, None, :]
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
# Optimiser, learning rate, and the weights to keep


@kernel("count", "sixteens")
def adam(
    weights,
    first,
    second,
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
    """Take the `steps`-th step of Adam, and round the new weights to the type of `rounded`. shares: 1 - beta."""
    at, m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1).to(tl.int64)
    inside = at < count
    n = tl.load(steps).to(tl.float64)
    correction1 = 1.0 - tl.exp(n * tl.load(log_beta1))
    correction2 = tl.sqrt(1.0 - tl.exp(n * tl.load(log_beta2))).to(tl.float32)
    rate = (tl.load(lr + m) / correction1).to(tl.float32)
    place = m * count + at
    g = tl.load(gradient + place, mask=inside, other=0.0)
    m1 = tl.load(first + place, mask=inside, other=0.0)
    m1 += share1 * (g - m1)
    m2 = tl.load(second + place, mask=inside, other=0.0) * beta2 + share2 * g * g
    w = tl.load(weights + place, mask=inside, other=0.0) - rate * m1 / (tl.sqrt(m2) / correction2 + eps)
    tl.store(first + place, m1, mask=inside)
    tl.store(second + place, m2, mask=inside)
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
    """End an epoch as backend.Schedule says, but for the values to keep. constants: factor, min_lr, min_delta."""
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
    fell = loss < before - min_delta
    tl.store(plateau_best + i, loss, mask=inside & fell)
    count = tl.where(fell, 0, tl.load(waited + i, mask=inside, other=0) + 1)
    due = count >= patience
    lower = tl.maximum(rate * factor, min_lr)
    tl.store(lr + i, lower, mask=inside & due & (rate > min_lr))
    tl.store(waited + i, tl.where(due, 0, count), mask=inside)
    tl.store(total + i, tl.zeros((BLOCK,), tl.float64), mask=inside)
    tl.store(epoch, number + 1)


@kernel("count")
def keep_better(values, kept, better, count, BLOCK: tl.constexpr):
    """Copy values (n, count) to kept for the trainings that are `better`."""
    m = tl.program_id(1).to(tl.int64)
    if tl.load(better + m) != 0:
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        inside = at < count
        tl.store(kept + m * count + at, tl.load(values + m * count + at, mask=inside, other=0.0), mask=inside)
