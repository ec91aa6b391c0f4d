/* What a training step does, for one processor core: see kernels.py. Matrix products are in products.c, what lies
   between them is here, in few passes over memory.

   Compiled for the processor at hand. This file includes itself once for each combination of types:

     Y   of a convolution's output and of its gradient
     S   of the next convolution's input and of the gradient of that
     A   of sums, statistics, weights and everything else

   Arrays are contiguous, channels last. A convolution's input is padded; its output and the gradients have as many rows
   for each case, `length` of which count. Weights and their gradients lie `stride` values apart from one training to the
   next. Loops over channels are innermost and independent, so that compilers make vector instructions of them. */

#ifndef NAME

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

#define NAME(function) function##_float32
#define PAIR 1
#define UNIT_BITS 32
#define Y float
#define LOAD_Y AS_IS
#define STORE_Y AS_IS
#define S float
#define LOAD_S AS_IS
#define STORE_S AS_IS
#define A float
#define ROOT sqrtf
#define POWER expf
#include "kernels.c"

#define NAME(function) function##_float64
#define PAIR 1
#define UNIT_BITS 64
#define Y double
#define LOAD_Y AS_IS
#define STORE_Y AS_IS
#define S double
#define LOAD_S AS_IS
#define STORE_S AS_IS
#define A double
#define ROOT sqrt
#define POWER exp
#include "kernels.c"

#define NAME(function) function##_bfloat16
#define PAIR 2
#define UNIT_BITS 32
#define Y bfloat16
#define LOAD_Y load_bfloat16
#define STORE_Y round_bfloat16
#define S bfloat16
#define LOAD_S load_bfloat16
#define STORE_S round_bfloat16
#define A float
#define ROOT sqrtf
#define POWER expf
#include "kernels.c"

#define NAME(function) function##_float32_bfloat16
#define Y float
#define LOAD_Y AS_IS
#define STORE_Y AS_IS
#define S bfloat16
#define LOAD_S load_bfloat16
#define STORE_S round_bfloat16
#define A float
#define ROOT sqrtf
#define POWER expf
#include "kernels.c"

#else

#ifdef PAIR
#include "products.c"
#endif

/* The mean of some rows of y, and the sum of squares around it. */
static void NAME(observed)(int64_t rows, int64_t channels, const Y *restrict y, A *restrict mean, A *restrict square)
{
    for (int64_t c = 0; c < channels; c++)
        mean[c] = square[c] = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c++)
            mean[c] += LOAD_Y(y[r * channels + c]);
    for (int64_t c = 0; c < channels; c++)
        mean[c] /= rows;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c++) {
            A off = LOAD_Y(y[r * channels + c]) - mean[c];
            square[c] += off * off;
        }
}

/* Batch norm with the statistics of the batch, and ReLU. For each of n trainings, y: (cases, y_rows, channels), of which
   the first `length` rows of a case count.

   Moves the running statistics, and leaves the batch's mean and 1 / sqrt(variance + eps), (n, channels) each. The
   outcome goes to `padded`, (cases, padded_rows, channels), from row `left` of each case on; the others are not touched.
   Without a next convolution, padded is NULL and the mean over the timepoints goes to `pooled`, (cases, channels).
   Returns 0, or 1 where memory is short. */
int NAME(rectified)(int64_t n, int64_t cases, int64_t length, int64_t channels, int64_t y_rows, int64_t padded_rows,
                    int64_t left, int64_t stride, const Y *y, const A *scale, const A *shift, A *running_mean,
                    A *running_variance, A *mean, A *inverse, S *padded, A *pooled, double momentum, double eps)
{
    A *restrict sum = scratch(channels * (4 * sizeof(A) + 2 * sizeof(double)));
    if (!sum)
        return 1;
    A *restrict square = sum + channels, *restrict factor = sum + 2 * channels, *restrict offset = sum + 3 * channels;
    double *restrict centre = (double *)(sum + 4 * channels), *restrict squares = centre + channels;
    for (int64_t i = 0; i < n; i++) {
        const Y *restrict values = y + i * cases * y_rows * channels;
        A *restrict m = mean + i * channels, *restrict s = inverse + i * channels;
        for (int64_t c = 0; c < channels; c++)
            centre[c] = squares[c] = 0;
        double seen = 0; /* rows; those to come join them as in Chan, Golub and LeVeque 1983 */
        for (int64_t b = 0; b < cases; b++)
            for (int64_t start = 0; start < length; start += CHUNK) {
                int64_t some = length - start < CHUNK ? length - start : CHUNK;
                NAME(observed)(some, channels, values + (b * y_rows + start) * channels, sum, square);
                double share = some / (seen + some);
                for (int64_t c = 0; c < channels; c++) {
                    double off = sum[c] - centre[c];
                    centre[c] += off * share;
                    squares[c] += square[c] + off * off * seen * share;
                }
                seen += some;
            }
        for (int64_t c = 0; c < channels; c++) {
            A *its_mean = running_mean + i * channels + c, *its_variance = running_variance + i * channels + c;
            m[c] = centre[c];
            s[c] = 1 / sqrt(squares[c] / seen + eps);
            *its_mean += momentum * (centre[c] - *its_mean);
            *its_variance += momentum * (squares[c] / (seen - 1) - *its_variance);
        }
        for (int64_t c = 0; c < channels; c++) {
            factor[c] = scale[i * stride + c] * s[c];
            offset[c] = shift[i * stride + c] - m[c] * factor[c];
        }
        for (int64_t b = 0; b < cases; b++) {
            const Y *restrict from = values + b * y_rows * channels;
            if (padded) {
                S *restrict to = padded + ((i * cases + b) * padded_rows + left) * channels;
                for (int64_t t = 0; t < length; t++)
                    for (int64_t c = 0; c < channels; c++) {
                        A value = LOAD_Y(from[t * channels + c]) * factor[c] + offset[c];
                        to[t * channels + c] = STORE_S(value < 0 ? 0 : value);
                    }
            } else {
                A *restrict to = pooled + (i * cases + b) * channels;
                for (int64_t c = 0; c < channels; c++)
                    sum[c] = 0;
                for (int64_t t = 0; t < length; t++)
                    for (int64_t c = 0; c < channels; c++) {
                        A value = LOAD_Y(from[t * channels + c]) * factor[c] + offset[c];
                        sum[c] += value < 0 ? 0 : value;
                    }
                for (int64_t c = 0; c < channels; c++)
                    to[c] = sum[c] / length;
            }
        }
    }
    return 0;
}

/* The gradient of an outcome, where that is positive. */
#define PASSED(v, gradient) ((v) * factor[c] + offset[c] > 0 ? (gradient) : 0)

/* Adds up the gradients that pass, and those times y around its mean. A row's gradient is `constant` where back is NULL. */
static void NAME(passed)(int64_t rows, int64_t channels, const Y *restrict y, const S *restrict back,
                         const A *restrict constant, const A *restrict factor, const A *restrict offset,
                         const A *restrict mean, A *restrict sum, A *restrict product)
{
    for (int64_t t = 0; t < rows; t++, y += channels)
        if (back)
            for (int64_t c = 0; c < channels; c++) {
                A v = LOAD_Y(y[c]), slope = PASSED(v, LOAD_S(back[t * channels + c]));
                sum[c] += slope;
                product[c] += slope * (v - mean[c]);
            }
        else
            for (int64_t c = 0; c < channels; c++) {
                A v = LOAD_Y(y[c]), slope = PASSED(v, constant[c]);
                sum[c] += slope;
                product[c] += slope * (v - mean[c]);
            }
}

/* The gradient of y from that, which on the whole is at_mean, and `along` times y around its mean. */
static void NAME(normed_back)(int64_t rows, int64_t channels, const Y *restrict y, const S *restrict back,
                              const A *restrict constant, const A *restrict factor, const A *restrict offset,
                              const A *restrict mean, const A *restrict at_mean, const A *restrict along,
                              Y *restrict slope)
{
    for (int64_t t = 0; t < rows; t++, y += channels, slope += channels)
        if (back)
            for (int64_t c = 0; c < channels; c++) {
                A v = LOAD_Y(y[c]), own = PASSED(v, LOAD_S(back[t * channels + c]));
                slope[c] = STORE_Y(factor[c] * (own - at_mean[c] - (v - mean[c]) * along[c]));
            }
        else
            for (int64_t c = 0; c < channels; c++) {
                A v = LOAD_Y(y[c]), own = PASSED(v, constant[c]);
                slope[c] = STORE_Y(factor[c] * (own - at_mean[c] - (v - mean[c]) * along[c]));
            }
}
#undef PASSED

/* The way back through that: from the gradient of what it left to that of y, and to those of scale and shift.

   back: (cases, padded_rows, channels), of which the first `length` rows of a case count, or NULL; of_pooled: (cases,
   channels). slope: (cases, y_rows, channels), from row `lead` of each case on, zero before and behind. */
int NAME(sent_back)(int64_t n, int64_t cases, int64_t length, int64_t channels, int64_t y_rows, int64_t padded_rows,
                    int64_t lead, int64_t stride, const Y *y, const A *scale, const A *shift, const A *mean,
                    const A *inverse, const S *back, const A *of_pooled, Y *slope, A *of_scale, A *of_shift)
{
    int64_t rows = cases * length, n_constant = back ? 0 : cases * channels;
    A *restrict sum = scratch(channels * (6 * sizeof(A) + 2 * sizeof(double)) + n_constant * sizeof(A));
    if (!sum)
        return 1;
    A *restrict product = sum + channels, *restrict factor = sum + 2 * channels, *restrict offset = sum + 3 * channels;
    A *restrict at_mean = sum + 4 * channels, *restrict along = sum + 5 * channels;
    double *total = (double *)(sum + 6 * channels), *products = total + channels;
    A *constant = back ? NULL : (A *)(products + channels); /* of each case */
    for (int64_t i = 0; i < n; i++) {
        const A *restrict m = mean + i * channels, *restrict s = inverse + i * channels;
        for (int64_t c = 0; c < channels; c++) {
            factor[c] = scale[i * stride + c] * s[c];
            offset[c] = shift[i * stride + c] - m[c] * factor[c];
            total[c] = products[c] = 0;
        }
        for (int64_t b = 0; b < cases; b++) {
            int64_t at = i * cases + b;
            A *from = constant ? constant + b * channels : NULL;
            for (int64_t c = 0; c < channels && from; c++)
                from[c] = of_pooled[at * channels + c] / length;
            for (int64_t start = 0; start < length; start += CHUNK) {
                int64_t some = length - start < CHUNK ? length - start : CHUNK;
                memset(sum, 0, 2 * channels * sizeof(A));
                NAME(passed)(some, channels, y + (at * y_rows + start) * channels,
                             back ? back + (at * padded_rows + start) * channels : NULL, from, factor, offset, m, sum,
                             product);
                for (int64_t c = 0; c < channels; c++) {
                    total[c] += sum[c];
                    products[c] += product[c];
                }
            }
        }
        for (int64_t c = 0; c < channels; c++) {
            of_shift[i * stride + c] = total[c];
            of_scale[i * stride + c] = products[c] * s[c];
            at_mean[c] = total[c] / rows;
            along[c] = products[c] / rows * s[c] * s[c];
        }
        for (int64_t b = 0; b < cases; b++) {
            int64_t at = i * cases + b;
            Y *to = slope + at * y_rows * channels;
            memset(to, 0, lead * channels * sizeof(Y));
            NAME(normed_back)(length, channels, y + at * y_rows * channels,
                              back ? back + at * padded_rows * channels : NULL, constant ? constant + b * channels : NULL,
                              factor, offset, m, at_mean, along, to + lead * channels);
            memset(to + (lead + length) * channels, 0, (y_rows - length - lead) * channels * sizeof(Y));
        }
    }
    return 0;
}

#if PAIR == 1
/* Softmax, cross-entropy and the way back. For each of n trainings, features: (cases, width); head: (width, classes) and
   bias: (classes), whose gradients go to of_head and of_bias, that of the features to of_features.

   index: of each case of each training among all, (n, cases), whose classes are y and whose losses are multiplied by
   `weight`, or are not where that is NULL. The losses are added to total, (n). Returns 0, or 1 where memory is short. */
int NAME(scored)(int64_t n, int64_t cases, int64_t width, int64_t classes, int64_t stride, const A *features,
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
                slope[k] = POWER(slope[k] - most);
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
int NAME(adam)(int64_t n, int64_t count, A *weights, A *first, A *second, const A *gradient, const double *rates,
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
            w[p] -= rate * m[p] / (ROOT(v[p]) * scale + least);
        }
    }
    return 0;
}
#endif

#undef NAME
#undef PAIR
#undef UNIT_BITS
#undef Y
#undef LOAD_Y
#undef STORE_Y
#undef S
#undef LOAD_S
#undef STORE_S
#undef A
#undef ROOT
#undef POWER

#endif
