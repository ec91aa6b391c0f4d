/* What a training step does, for one processor core: see backend.py.

   A layer takes some hundred rows at a time: its input, batch norm and ReLU of what the layer before left, is made of them
   in the cache, multiplied (products.c; where that pays, winograd.c) and forgotten. What all layers leave is stored once
   for the way back.

   Compiled for the processor at hand. This file includes itself once for each combination of types:

     S   of a layer's operands, of its output y and of the gradient of that
     B   of the output of the layer before
     F   of the gradient of the input of the layer that follows
     A   of sums, statistics, weights and everything else

   Arrays are contiguous, channels last. Each case has length + kernel - 1 rows in a layer's input, which is padded, in its
   output and in their gradients, so that a batch is one long series; the rows in which a kernel sees two cases are
   computed too and never looked at. Weights and their gradients lie `stride` values apart from one training to the next.
   Loops over channels are innermost and independent, so that compilers make vector instructions of them. */

#ifndef OF

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint16_t bits;
} bfloat16;

static inline float load_bfloat16(bfloat16 value)
{
    uint32_t bits = (uint32_t)value.bits << 16;
    float found;
    memcpy(&found, &bits, 4);
    return found;
}

static inline bfloat16 round_bfloat16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16; /* to nearest, ties to even */
    bfloat16 found = {(uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded)};
    return found;
}

#define AS_IS(value) (value)
#define CHUNK 128 /* rows that are added up before they go to the total, so that rounding errors stay small */

#include "products.c"

#define CHUNK_ROWS (1024 / (int64_t)sizeof(S)) /* of a layer's input and slopes that stay in the cache */
#define BEHIND (ROWS > SEEN ? ROWS : SEEN)     /* rows of zeros behind them that may be read */
#define STRETCH 64                             /* channels that are rounded at once */

/* A place for `bytes` behind what has its place already. */
static size_t place(size_t *total, size_t bytes)
{
    size_t at = *total;
    *total += ROUND_UP(bytes, 64);
    return at;
}

#define OF(function) function##_float32
#define NAME(function) function##_float32_float32_float32
#define S float
#define LOAD_S AS_IS
#define STORE_S AS_IS
#define B float
#define LOAD_B AS_IS
#define F float
#define LOAD_F AS_IS
#define A float
#define PAIR 1
#define UNIT_BITS 32
#define ALONE
#include "kernels.c"

#define OF(function) function##_float64
#define NAME(function) function##_float64_float64_float64
#define S double
#define LOAD_S AS_IS
#define STORE_S AS_IS
#define B double
#define LOAD_B AS_IS
#define F double
#define LOAD_F AS_IS
#define A double
#define PAIR 1
#define UNIT_BITS 64
#define ALONE
#include "kernels.c"

#define OF(function) function##_bfloat16
#define NAME(function) function##_bfloat16_bfloat16_bfloat16
#define S bfloat16
#define LOAD_S load_bfloat16
#define STORE_S round_bfloat16
#define B bfloat16
#define LOAD_B load_bfloat16
#define F bfloat16
#define LOAD_F load_bfloat16
#define A float
#define PAIR 2
#define UNIT_BITS 32
#define ALONE
#include "kernels.c"

#define OF(function) function##_float32
#define NAME(function) function##_float32_float32_bfloat16
#define S float
#define LOAD_S AS_IS
#define STORE_S AS_IS
#define B float
#define LOAD_B AS_IS
#define F bfloat16
#define LOAD_F load_bfloat16
#define A float
#define PAIR 1
#define UNIT_BITS 32
#include "kernels.c"

#define OF(function) function##_bfloat16
#define NAME(function) function##_bfloat16_float32_bfloat16
#define S bfloat16
#define LOAD_S load_bfloat16
#define STORE_S round_bfloat16
#define B float
#define LOAD_B AS_IS
#define F bfloat16
#define LOAD_F load_bfloat16
#define A float
#define PAIR 2
#define UNIT_BITS 32
#include "kernels.c"

#else

#ifdef ALONE /* functions of S and A only, once for each */
#include "products.c"
#include "winograd.c"

#undef UNIT
#undef TURNED

#if PAIR == 1
/* Softmax, cross-entropy and the way back. For each of n trainings, features: (cases, width); head: (width, classes) and
   bias: (classes), whose gradients go to of_head and of_bias, that of the features to of_features.

   index: of each case of each training among all, (n, cases), whose classes are y and whose losses are multiplied by
   `weight`, or are not where that is NULL. The losses are added to total, (n). Returns 0, or 1 where memory is short. */
int OF(scored)(int64_t n, int64_t cases, int64_t width, int64_t classes, int64_t stride, const A *features,
               const A *head, const A *bias, const int64_t *y, const A *weight, A *of_features, A *of_head, A *of_bias,
               double *total, const int64_t *index)
{
    A *restrict slope = scratch(classes * sizeof(A));
    if (!slope)
        return 1;
    for (int64_t i = 0; i < n; i++, head += stride, bias += stride, of_head += stride, of_bias += stride) {
        memset(of_head, 0, width * classes * sizeof(A));
        memset(of_bias, 0, classes * sizeof(A));
        for (int64_t b = 0; b < cases; b++, index++, features += width, of_features += width) {
            for (int64_t k = 0; k < classes; k++)
                slope[k] = bias[k];
            for (int64_t f = 0; f < width; f++)
                for (int64_t k = 0; k < classes; k++)
                    slope[k] += features[f] * head[f * classes + k];
            A most = slope[0], right = slope[y[*index]], sum = 0, share = weight ? weight[*index] : 1;
            for (int64_t k = 1; k < classes; k++)
                most = slope[k] > most ? slope[k] : most;
            for (int64_t k = 0; k < classes; k++) {
                slope[k] = exp(slope[k] - most);
                sum += slope[k];
            }
            total[i] += share * (A)(log(sum) + most - right);
            for (int64_t k = 0; k < classes; k++)
                slope[k] = (slope[k] / sum - (k == y[*index])) * share / cases;
            for (int64_t k = 0; k < classes; k++)
                of_bias[k] += slope[k];
            for (int64_t f = 0; f < width; f++) {
                A of_feature = 0;
                for (int64_t k = 0; k < classes; k++) {
                    of_head[f * classes + k] += features[f] * slope[k];
                    of_feature += slope[k] * head[f * classes + k];
                }
                of_features[f] = of_feature;
            }
        }
    }
    return 0;
}

/* A step of Adam on the `count` weights of each of n trainings.

   rates: of each training, with the correction of the first moment's bias; root: the root of that of the second's. */
int OF(adam)(int64_t n, int64_t count, A *weights, A *first, A *second, const A *gradient, const double *rates,
             double beta1, double beta2, double root, double eps)
{
    A keep = beta1, take = 1 - beta1, keep2 = beta2, take2 = 1 - beta2, scale = 1 / root, least = eps;
    for (int64_t i = 0; i < n; i++) {
        A *restrict w = weights + i * count, *restrict m = first + i * count, *restrict v = second + i * count;
        const A *restrict g = gradient + i * count;
        A rate = rates[i];
        for (int64_t p = 0; p < count; p++) {
            m[p] = keep * m[p] + take * g[p];
            v[p] = keep2 * v[p] + take2 * g[p] * g[p];
            w[p] -= rate * m[p] / ((A)sqrt(v[p]) * scale + least);
        }
    }
    return 0;
}
#endif

/* The mean of some rows of y, and the sum of squares around it. */
static void OF(observed)(int64_t rows, int64_t channels, const S *restrict y, A *restrict mean, A *restrict square)
{
    for (int64_t c = 0; c < channels; c++)
        mean[c] = square[c] = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c++)
            mean[c] += LOAD_S(y[r * channels + c]);
    for (int64_t c = 0; c < channels; c++)
        mean[c] /= rows;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c++) {
            A off = LOAD_S(y[r * channels + c]) - mean[c];
            square[c] += off * off;
        }
}

/* Batch norm as a factor and an offset. */
static void OF(norm)(int64_t channels, const A *scale, const A *shift, const A *mean, const A *inverse,
                     A *restrict factor, A *restrict offset)
{
    for (int64_t c = 0; c < channels; c++) {
        factor[c] = scale[c] * inverse[c];
        offset[c] = shift[c] - mean[c] * factor[c];
    }
}

/* The mean over the timepoints of what batch norm and ReLU make of y (cases, y_rows, channels), of which the first `length`
   rows of a case count: pooled, (cases, channels). Returns 0, or 1 where memory is short. */
int OF(pooled)(int64_t n, int64_t cases, int64_t length, int64_t channels, int64_t y_rows, int64_t stride, const S *y,
               const A *scale, const A *shift, const A *mean, const A *inverse, A *pooled)
{
    A *restrict sum = scratch(3 * channels * sizeof(A));
    if (!sum)
        return 1;
    A *restrict factor = sum + channels, *restrict offset = factor + channels;
    for (int64_t i = 0; i < n; i++) {
        OF(norm)(channels, scale + i * stride, shift + i * stride, mean + i * channels, inverse + i * channels, factor,
                 offset);
        for (int64_t b = 0; b < cases; b++) {
            const S *restrict from = y + (i * cases + b) * y_rows * channels;
            for (int64_t c = 0; c < channels; c++)
                sum[c] = 0;
            for (int64_t t = 0; t < length; t++)
                for (int64_t c = 0; c < channels; c++) {
                    A value = LOAD_S(from[t * channels + c]) * factor[c] + offset[c];
                    sum[c] += value < 0 ? 0 : value;
                }
            for (int64_t c = 0; c < channels; c++)
                pooled[(i * cases + b) * channels + c] = sum[c] / length;
        }
    }
    return 0;
}
#endif

/* A row of batch norm and ReLU, of type S, or A where it is `wide`. */
static void NAME(outcome)(int64_t channels, const B *restrict from, const A *restrict factor, const A *restrict offset,
                          int wide, void *restrict to)
{
    for (int64_t start = 0; start < channels; start += STRETCH) {
        int64_t some = channels - start < STRETCH ? channels - start : STRETCH;
        A not_rounded[STRETCH], *restrict values = wide ? (A *)to + start : not_rounded;
        for (int64_t j = 0, c = start; j < some; j++, c++) {
            A value = LOAD_B(from[c]) * factor[c] + offset[c];
            values[j] = value < 0 ? 0 : value;
        }
        if (!wide)
            OF(put)(values, some, (S *)to + start);
    }
}

/* The padded input of a layer, rows `start` to `end` of all cases, from what the layer before left; `wide` as above. */
static void NAME(seen)(int64_t start, int64_t end, int64_t length, int64_t rows, int64_t left, int64_t before_rows,
                       int64_t channels, const B *before, const A *factor, const A *offset, int wide, char *to)
{
    int64_t b = start / rows, t = start % rows - left, next = channels * (wide ? sizeof(A) : sizeof(S));
    for (int64_t r = start; r < end; r++, to += next) {
        if (t >= 0 && t < length)
            NAME(outcome)(channels, before + (b * before_rows + t) * channels, factor, offset, wide, to);
        else
            memset(to, 0, next);
        if (++t == rows - left) {
            t = -left;
            b++;
        }
    }
}

/* A layer: y (cases, length + kernel - 1, c_out), of which the first `length` rows of a case count, from its input, which
   is padded by `left` rows before a case, and weights (c_out, kernel, c_in).

   The input is `padded`, (cases, length + kernel - 1, c_in); or where that is NULL, made of what the layer before left,
   (cases, before_rows, c_in), by the batch norm of which four arrays (c_in) are given. Leaves the mean of y and
   1 / sqrt(variance + eps), (n, c_out) each, and moves the running statistics. Returns 0, or 1 where memory is short. */
int NAME(forward)(int64_t n, int64_t cases, int64_t length, int64_t c_in, int64_t c_out, int64_t kernel, int64_t left,
                  int64_t before_rows, int64_t stride, const S *padded, const B *before, const A *before_scale,
                  const A *before_shift, const A *before_mean, const A *before_inverse, const A *weights, S *y, A *mean,
                  A *inverse, A *running_mean, A *running_variance, double momentum, double eps)
{
    int64_t rows = length + kernel - 1, last = cases * rows - kernel + 1, depth = kernel * c_in;
    int64_t next_panel = TO_DEPTH(depth) * COLUMNS, behind = BEHIND * c_in + DEPTH;
    int points = !padded && OF(points_pay)(last, kernel, c_in, c_out);
    int64_t chunk = points ? OF(rows_at_once)(last, kernel) : ROUND_UP(CHUNK_ROWS, ROWS);
    size_t total = 0, of_seen = points ? sizeof(A) : sizeof(S);
    int64_t n_panels = points ? POINTS * c_in * c_out : ROUND_UP(c_out, COLUMNS) / COLUMNS * next_panel;
    size_t at_panels = place(&total, n_panels * sizeof(S));
    size_t at_memory = place(&total, points ? OF(memory_at_points)(c_in, c_out) : c_out * depth * sizeof(S));
    size_t at_edge = place(&total, (ROWS * c_in + TO_DEPTH(depth)) * sizeof(S));
    size_t at_seen = place(&total, padded ? 0 : ((chunk + kernel) * c_in + behind) * of_seen);
    size_t at_norm = place(&total, 2 * c_in * sizeof(A)), at_sums = place(&total, 2 * c_out * sizeof(A));
    size_t at_totals = place(&total, 2 * c_out * sizeof(double));
    char *memory = scratch(total);
    if (!memory)
        return 1;
    S *panels = (S *)(memory + at_panels), *edge = (S *)(memory + at_edge);
    char *seen = memory + at_seen; /* A at points, otherwise S */
    A *restrict factor = (A *)(memory + at_norm), *restrict offset = factor + c_in;
    A *restrict sum = (A *)(memory + at_sums), *restrict square = sum + c_out;
    double *restrict centre = (double *)(memory + at_totals), *restrict squares = centre + c_out;
    for (int64_t i = 0; i < n; i++) {
        if (points)
            OF(kernels_at_points)(weights + i * stride, kernel, c_in, c_out, panels, (S *)(memory + at_memory));
        else
            OF(panels_of)(weights + i * stride, kernel, c_in, c_out, panels, (S *)(memory + at_memory));
        if (!padded)
            OF(norm)(c_in, before_scale + i * stride, before_shift + i * stride, before_mean + i * c_in,
                     before_inverse + i * c_in, factor, offset);
        for (int64_t c = 0; c < c_out; c++)
            centre[c] = squares[c] = 0;
        double counted = 0; /* rows; those to come join them as in Chan, Golub and LeVeque 1983 */
        S *its_y = y + i * cases * rows * c_out;
        for (int64_t start = 0; start < last; start += chunk) {
            int64_t end = start + chunk < last ? start + chunk : last;
            const S *input = padded ? padded + (i * cases * rows + start) * c_in : (const S *)seen;
            int64_t n_seen = end - start + kernel - 1;
            int64_t room = padded ? (cases * rows - start) * c_in : n_seen * c_in + behind;
            if (!padded) {
                NAME(seen)(start, start + n_seen, length, rows, left, before_rows, c_in,
                           before + i * cases * before_rows * c_in, factor, offset, points, seen);
                memset(seen + n_seen * c_in * of_seen, 0, behind * of_seen);
            }
            if (points)
                OF(convolved)(end - start, kernel, c_in, c_out, (const A *)seen, panels, memory + at_memory,
                              its_y + start * c_out);
            else
                OF(product)(end - start, c_out, depth, input, c_in, room, panels, next_panel, edge,
                            its_y + start * c_out, NULL, 0, c_out);
            for (int64_t r = start, some; r < end; r += some) { /* as far as a case reaches, and sums stay small */
                int64_t t = r % rows;
                some = rows - t;
                if (t >= length)
                    continue;
                some = end - r < length - t ? end - r : length - t;
                some = some < CHUNK ? some : CHUNK;
                OF(observed)(some, c_out, its_y + r * c_out, sum, square);
                double share = some / (counted + some);
                for (int64_t c = 0; c < c_out; c++) {
                    double off = sum[c] - centre[c];
                    centre[c] += off * share;
                    squares[c] += square[c] + off * off * counted * share;
                }
                counted += some;
            }
        }
        for (int64_t c = 0; c < c_out; c++) {
            A *its_mean = running_mean + i * c_out + c, *its_variance = running_variance + i * c_out + c;
            mean[i * c_out + c] = centre[c];
            inverse[i * c_out + c] = 1 / sqrt(squares[c] / counted + eps);
            *its_mean += momentum * (centre[c] - *its_mean);
            *its_variance += momentum * (squares[c] / (counted - 1) - *its_variance);
        }
    }
    return 0;
}

/* The gradient of an outcome, where that is positive. */
#define PASSED(v, gradient) ((v) * factor[c] + offset[c] > 0 ? (gradient) : 0)

/* Adds up the gradients that pass, and those times y around its mean. A row's gradient is `constant` where back is NULL. */
static void NAME(passed)(int64_t rows, int64_t channels, const S *restrict y, const F *restrict back,
                         const A *restrict constant, const A *restrict factor, const A *restrict offset,
                         const A *restrict mean, A *restrict sum, A *restrict product)
{
    for (int64_t t = 0; t < rows; t++, y += channels)
        if (back)
            for (int64_t c = 0; c < channels; c++) {
                A v = LOAD_S(y[c]), slope = PASSED(v, LOAD_F(back[t * channels + c]));
                sum[c] += slope;
                product[c] += slope * (v - mean[c]);
            }
        else
            for (int64_t c = 0; c < channels; c++) {
                A v = LOAD_S(y[c]), slope = PASSED(v, constant[c]);
                sum[c] += slope;
                product[c] += slope * (v - mean[c]);
            }
}

/* A row of the gradient of y from that, which on the whole is at_mean, and `along` times y around its mean; of type S, or A
   where it is `wide`. */
static void NAME(normed_back)(int64_t channels, const S *restrict y, const F *restrict back, const A *restrict constant,
                              const A *restrict factor, const A *restrict offset, const A *restrict mean,
                              const A *restrict at_mean, const A *restrict along, int wide, void *restrict slope)
{
    for (int64_t start = 0; start < channels; start += STRETCH) {
        int64_t some = channels - start < STRETCH ? channels - start : STRETCH;
        A not_rounded[STRETCH], *restrict values = wide ? (A *)slope + start : not_rounded;
        if (back)
            for (int64_t j = 0, c = start; j < some; j++, c++) {
                A v = LOAD_S(y[c]), own = PASSED(v, LOAD_F(back[c]));
                values[j] = factor[c] * (own - at_mean[c] - (v - mean[c]) * along[c]);
            }
        else
            for (int64_t j = 0, c = start; j < some; j++, c++) {
                A v = LOAD_S(y[c]), own = PASSED(v, constant[c]);
                values[j] = factor[c] * (own - at_mean[c] - (v - mean[c]) * along[c]);
            }
        if (!wide)
            OF(put)(values, some, (S *)slope + start);
    }
}
#undef PASSED

/* The way back through a layer, all as in `forward`: the gradients of its batch norm, (c_out) each, of its weights and,
   unless `back` is NULL, of its input: back (cases, length + kernel - 1, c_in), of which the first `length` rows of a case
   count. It begins at the gradient of the input of the layer that follows, from (cases, after_rows, c_out), or where that
   is NULL at that of the mean over time, of_pooled (cases, c_out). Returns 0, or 1 where memory is short. */
int NAME(backward)(int64_t n, int64_t cases, int64_t length, int64_t c_in, int64_t c_out, int64_t kernel, int64_t left,
                   int64_t before_rows, int64_t after_rows, int64_t stride, const S *padded, const B *before,
                   const A *before_scale, const A *before_shift, const A *before_mean, const A *before_inverse,
                   const A *weights, const S *y, const A *scale, const A *shift, const A *mean, const A *inverse,
                   const F *from, const A *of_pooled, A *of_scale, A *of_shift, A *of_weights, S *back)
{
    int64_t rows = length + kernel - 1, last = cases * rows - kernel + 1, depth = kernel * c_out, lead = kernel - 1 - left;
    int64_t next_panel = TO_DEPTH(depth) * COLUMNS, behind = BEHIND * c_out + DEPTH;
    int points = !padded && back && OF(points_pay)(last, kernel, c_in, c_out);
    int64_t chunk = points ? OF(rows_at_once)(last, kernel) : ROUND_UP(CHUNK_ROWS, ROWS);
    size_t total = 0, of_seen = points ? sizeof(A) : sizeof(S); /* and of slopes */
    int64_t n_panels = points ? POINTS * c_in * c_out : ROUND_UP(c_in, COLUMNS) / COLUMNS * next_panel;
    int64_t n_memory = ROUND_UP(2 * depth * c_in + 2, 64);
    size_t at_panels = place(&total, back ? n_panels * sizeof(S) : 0);
    size_t at_memory = place(&total, points ? OF(memory_at_points)(c_in, c_out) : back ? n_memory * sizeof(S) : 0);
    size_t at_added =
        place(&total, points ? n_panels * sizeof(A) : OF(memory_to_add)(kernel, c_in, c_out) * sizeof(S));
    size_t at_seen = place(&total, padded ? 0 : (chunk + kernel + SEEN) * c_in * of_seen);
    size_t at_slope = place(&total, ((chunk + kernel) * c_out + behind) * of_seen);
    size_t at_norm = place(&total, (2 * c_in + 6 * c_out) * sizeof(A));
    size_t at_totals = place(&total, 2 * c_out * sizeof(double));
    size_t at_constant = place(&total, from ? 0 : cases * c_out * sizeof(A));
    char *memory = scratch(total);
    if (!memory)
        return 1;
    S *panels = (S *)(memory + at_panels);
    char *seen = memory + at_seen, *slope = memory + at_slope; /* A at points, otherwise S */
    A *restrict before_factor = (A *)(memory + at_norm), *restrict before_offset = before_factor + c_in;
    A *restrict factor = before_offset + c_in, *restrict offset = factor + c_out, *restrict sum = offset + c_out;
    A *restrict product = sum + c_out, *restrict at_mean = product + c_out, *restrict along = at_mean + c_out;
    double *restrict sums = (double *)(memory + at_totals), *restrict products = sums + c_out;
    A *constant = (A *)(memory + at_constant); /* of each case */
    for (int64_t i = 0; i < n; i++) {
        const S *its_y = y + i * cases * rows * c_out;
        const F *its_from = from ? from + i * cases * after_rows * c_out : NULL;
        const A *m = mean + i * c_out, *s = inverse + i * c_out;
        if (!padded)
            OF(norm)(c_in, before_scale + i * stride, before_shift + i * stride, before_mean + i * c_in,
                     before_inverse + i * c_in, before_factor, before_offset);
        OF(norm)(c_out, scale + i * stride, shift + i * stride, m, s, factor, offset);
        for (int64_t c = 0; c < c_out; c++)
            sums[c] = products[c] = 0;
        for (int64_t b = 0; b < cases; b++) {
            for (int64_t c = 0; c < c_out && !from; c++)
                constant[b * c_out + c] = of_pooled[(i * cases + b) * c_out + c] / length;
            for (int64_t start = 0; start < length; start += CHUNK) {
                int64_t some = length - start < CHUNK ? length - start : CHUNK;
                memset(sum, 0, 2 * c_out * sizeof(A));
                NAME(passed)(some, c_out, its_y + (b * rows + start) * c_out,
                             from ? its_from + (b * after_rows + start) * c_out : NULL, constant + b * c_out, factor,
                             offset, m, sum, product);
                for (int64_t c = 0; c < c_out; c++) {
                    sums[c] += sum[c];
                    products[c] += product[c];
                }
            }
        }
        for (int64_t c = 0; c < c_out; c++) {
            of_shift[i * stride + c] = sums[c];
            of_scale[i * stride + c] = products[c] * s[c];
            at_mean[c] = sums[c] / (cases * length);
            along[c] = products[c] / (cases * length) * s[c] * s[c];
        }
        A *gradient = of_weights + i * stride, *of_points = (A *)(memory + at_added);
        if (points)
            OF(kernels_back_at_points)(weights + i * stride, kernel, c_in, c_out, panels);
        else if (back)
            OF(panels_back)(weights + i * stride, kernel, c_in, c_out, panels, (S *)(memory + at_memory));
        for (int64_t start = 0; start < last; start += chunk) {
            int64_t end = start + chunk < last ? start + chunk : last, some = end - start + kernel - 1;
            int64_t b = start / rows, t = start % rows - lead; /* slopes: zero but for `length` rows of each case */
            for (int64_t r = 0; r < some; r++) {
                if (t >= 0 && t < length)
                    NAME(normed_back)(c_out, its_y + (b * rows + t) * c_out,
                                      from ? its_from + (b * after_rows + t) * c_out : NULL, constant + b * c_out,
                                      factor, offset, m, at_mean, along, points, slope + r * c_out * of_seen);
                else
                    memset(slope + r * c_out * of_seen, 0, c_out * of_seen);
                if (++t == rows - lead) {
                    t = -lead;
                    b++;
                }
            }
            memset(slope + some * c_out * of_seen, 0, behind * of_seen);
            const S *slopes = (const S *)slope;
            S *its_back = back ? back + (i * cases * rows + start) * c_in : NULL;
            if (points)
                OF(convolved)(end - start, kernel, c_out, c_in, (const A *)slope, panels, memory + at_memory, its_back);
            else if (back)
                OF(product)(end - start, c_in, depth, slopes, c_out, some * c_out + behind, panels, next_panel, NULL,
                            its_back, NULL, 0, c_in);
            if (!padded)
                NAME(seen)(start, start + some, length, rows, left, before_rows, c_in,
                           before + i * cases * before_rows * c_in, before_factor, before_offset, points, seen);
            if (points) {
                memset(seen + some * c_in * of_seen, 0, SEEN * c_in * of_seen);
                OF(gradient_at_points)(start > 0, of_points, end - start, kernel, c_in, c_out,
                                       (const A *)slope + lead * c_out, (const A *)seen, memory + at_memory);
            } else
                OF(add_to)(start > 0, gradient, end - start, kernel, c_in, c_out, slopes + lead * c_out,
                           padded ? padded + (i * cases * rows + start) * c_in : (const S *)seen,
                           (S *)(memory + at_added));
        }
        if (points)
            OF(gradient_from_points)(of_points, kernel, c_in, c_out, gradient);
    }
    return 0;
}

#undef OF
#undef NAME
#undef S
#undef LOAD_S
#undef STORE_S
#undef B
#undef LOAD_B
#undef F
#undef LOAD_F
#undef A
#undef PAIR
#undef UNIT_BITS
#undef ALONE

#endif
