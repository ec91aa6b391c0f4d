/* What lies between the matrix products of a training step, each as one pass over memory: see kernels.py.

   Compiled for the processor at hand. This file includes itself once for each combination of types:

     Y   of a convolution's output and of its gradient
     S   of what the next convolution sees, and of the gradient of that
     A   of sums, statistics, weights and everything else

   Arrays are contiguous, channels last. Weights and their gradients lie `stride` values apart from one training to the
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

#define NAME(function) function##_float32
#define Y float
#define LOAD_Y AS_IS
#define STORE_Y AS_IS
#define S float
#define LOAD_S AS_IS
#define STORE_S AS_IS
#define A float
#define ROOT sqrtf
#include "kernels.c"

#define NAME(function) function##_float64
#define Y double
#define LOAD_Y AS_IS
#define STORE_Y AS_IS
#define S double
#define LOAD_S AS_IS
#define STORE_S AS_IS
#define A double
#define ROOT sqrt
#include "kernels.c"

#define NAME(function) function##_bfloat16
#define Y bfloat16
#define LOAD_Y load_bfloat16
#define STORE_Y round_bfloat16
#define S bfloat16
#define LOAD_S load_bfloat16
#define STORE_S round_bfloat16
#define A float
#define ROOT sqrtf
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
#include "kernels.c"

#else

/* Batch norm with the statistics of the batch, and ReLU. For each of n trainings, y: (cases, length, channels).

   Moves the running statistics, and leaves the batch's mean and 1 / sqrt(variance + eps), (n, channels) each. The
   outcome goes to `seen`, (cases, length, kernel, channels): the timepoints that a kernel of the next convolution
   sees, `left` of them before its own; those outside a case are not touched. Without a next convolution, seen is NULL
   and the mean over the timepoints goes to `pooled`, (cases, channels). Returns 0, or 1 where memory is short. */
int NAME(rectified)(int64_t n, int64_t cases, int64_t length, int64_t channels, int64_t kernel, int64_t left,
                    int64_t stride, const Y *y, const A *scale, const A *shift, A *running_mean, A *running_variance,
                    A *mean, A *inverse, S *seen, A *pooled, double momentum, double eps)
{
    int64_t rows = cases * length;
    A *restrict sum = malloc(channels * (3 * sizeof(A) + sizeof(S) + sizeof(double)));
    if (!sum)
        return 1;
    A *restrict factor = sum + channels, *restrict offset = factor + channels;
    double *total = (double *)(offset + channels);
    S *restrict row = (S *)(total + channels);
    for (int64_t i = 0; i < n; i++) {
        const Y *restrict values = y + i * rows * channels;
        A *restrict m = mean + i * channels, *restrict s = inverse + i * channels;
        for (int pass = 0; pass < 2; pass++) { /* the mean, then the variance around it */
            for (int64_t c = 0; c < channels; c++)
                total[c] = 0;
            for (int64_t start = 0; start < rows; start += CHUNK) {
                int64_t end = start + CHUNK < rows ? start + CHUNK : rows;
                for (int64_t c = 0; c < channels; c++)
                    sum[c] = 0;
                for (int64_t r = start; r < end; r++) {
                    const Y *restrict at = values + r * channels;
                    if (pass == 0)
                        for (int64_t c = 0; c < channels; c++)
                            sum[c] += LOAD_Y(at[c]);
                    else
                        for (int64_t c = 0; c < channels; c++) {
                            A off = LOAD_Y(at[c]) - m[c];
                            sum[c] += off * off;
                        }
                }
                for (int64_t c = 0; c < channels; c++)
                    total[c] += sum[c];
            }
            for (int64_t c = 0; c < channels; c++) {
                A *running = (pass == 0 ? running_mean : running_variance) + i * channels + c;
                double found = total[c] / rows;
                if (pass == 0)
                    m[c] = found;
                else
                    s[c] = 1 / sqrt(found + eps);
                *running += momentum * ((pass == 0 ? found : total[c] / (rows - 1)) - *running);
            }
        }
        for (int64_t c = 0; c < channels; c++) {
            factor[c] = scale[i * stride + c] * s[c];
            offset[c] = shift[i * stride + c] - m[c] * factor[c];
        }
        for (int64_t b = 0; b < cases; b++) {
            const Y *restrict from = values + b * length * channels;
            if (seen) {
                S *to = seen + (i * cases + b) * length * kernel * channels;
                for (int64_t t = 0; t < length; t++) {
                    for (int64_t c = 0; c < channels; c++) {
                        A value = LOAD_Y(from[t * channels + c]) * factor[c] + offset[c];
                        row[c] = STORE_S(value < 0 ? 0 : value);
                    }
                    int64_t first = t + left - length + 1, last = t + left; /* taps of kernels inside the case */
                    first = first < 0 ? 0 : first;
                    last = last < kernel - 1 ? last : kernel - 1;
                    for (int64_t tap = first; tap <= last; tap++)
                        memcpy(to + ((t + left - tap) * kernel + tap) * channels, row, channels * sizeof(S));
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
    free(sum);
    return 0;
}

/* The way back through that: from the gradient of what it left to that of y, and to those of scale and shift.

   from_seen: (cases, length, kernel, channels), or NULL; from_pooled: (cases, channels). slope: as y. */
int NAME(sent_back)(int64_t n, int64_t cases, int64_t length, int64_t channels, int64_t kernel, int64_t left,
                    int64_t stride, const Y *y, const A *scale, const A *shift, const A *mean, const A *inverse,
                    const S *from_seen, const A *from_pooled, Y *slope, A *of_scale, A *of_shift)
{
    int64_t rows = cases * length;
    A *restrict sum = malloc(channels * (6 * sizeof(A) + 2 * sizeof(double)));
    if (!sum)
        return 1;
    A *restrict product = sum + channels, *restrict factor = sum + 2 * channels, *restrict offset = sum + 3 * channels;
    A *restrict at_mean = sum + 4 * channels, *restrict along = sum + 5 * channels;
    double *total = (double *)(sum + 6 * channels), *products = total + channels;
    for (int64_t i = 0; i < n; i++) {
        const Y *restrict values = y + i * rows * channels;
        Y *restrict out = slope + i * rows * channels;
        const A *restrict m = mean + i * channels, *restrict s = inverse + i * channels;
        for (int64_t c = 0; c < channels; c++) {
            factor[c] = scale[i * stride + c] * s[c];
            offset[c] = shift[i * stride + c] - m[c] * factor[c];
            total[c] = products[c] = 0;
        }
        for (int64_t b = 0; b < cases; b++)
            for (int64_t start = 0; start < length; start += CHUNK) {
                int64_t end = start + CHUNK < length ? start + CHUNK : length;
                for (int64_t c = 0; c < channels; c++)
                    sum[c] = product[c] = 0;
                for (int64_t t = start; t < end; t++) {
                    const Y *restrict value = values + (b * length + t) * channels;
                    Y *restrict to = out + (b * length + t) * channels;
                    A *restrict g = at_mean; /* free until the second pass */
                    if (from_seen) {
                        int64_t first = t + left - length + 1, last = t + left;
                        first = first < 0 ? 0 : first;
                        last = last < kernel - 1 ? last : kernel - 1;
                        for (int64_t c = 0; c < channels; c++)
                            g[c] = 0;
                        for (int64_t tap = first; tap <= last; tap++) {
                            const S *restrict from =
                                from_seen + (((i * cases + b) * length + t + left - tap) * kernel + tap) * channels;
                            for (int64_t c = 0; c < channels; c++)
                                g[c] += LOAD_S(from[c]);
                        }
                    } else {
                        const A *restrict from = from_pooled + (i * cases + b) * channels;
                        for (int64_t c = 0; c < channels; c++)
                            g[c] = from[c] / length;
                    }
                    for (int64_t c = 0; c < channels; c++) {
                        A v = LOAD_Y(value[c]);
                        A passed = v * factor[c] + offset[c] > 0 ? g[c] : 0;
                        sum[c] += passed;
                        product[c] += passed * (v - m[c]);
                        to[c] = STORE_Y(passed);
                    }
                }
                for (int64_t c = 0; c < channels; c++) {
                    total[c] += sum[c];
                    products[c] += product[c];
                }
            }
        for (int64_t c = 0; c < channels; c++) {
            of_shift[i * stride + c] = total[c];
            of_scale[i * stride + c] = products[c] * s[c];
            at_mean[c] = total[c] / rows;
            along[c] = products[c] / rows * s[c] * s[c];
        }
        for (int64_t r = 0; r < rows; r++) {
            const Y *restrict value = values + r * channels;
            Y *restrict to = out + r * channels;
            for (int64_t c = 0; c < channels; c++) {
                A centred = LOAD_Y(value[c]) - m[c];
                to[c] = STORE_Y(factor[c] * (LOAD_Y(to[c]) - at_mean[c] - centred * along[c]));
            }
        }
    }
    free(sum);
    return 0;
}

/* A step of Adam on `count` weights of each of n trainings, `stride` values apart in all arrays.

   Y is the type of the gradient. rates: of each training, with the correction of the first moment's bias; `second`:
   the root of that of the second's. rounded: the weights in bfloat16 too, or NULL. */
int NAME(adam)(int64_t n, int64_t count, int64_t stride, A *weights, A *first, A *second, const Y *gradient,
               bfloat16 *rounded, const double *rates, double beta1, double beta2, double root, double eps)
{
    A keep = beta1, take = 1 - beta1, keep2 = beta2, take2 = 1 - beta2, scale = 1 / root, least = eps;
    for (int64_t i = 0; i < n; i++) {
        A *restrict w = weights + i * stride, *restrict m = first + i * stride, *restrict v = second + i * stride;
        const Y *restrict g = gradient + i * stride;
        A rate = rates[i];
        for (int64_t p = 0; p < count; p++) {
            A slope = LOAD_Y(g[p]);
            m[p] = keep * m[p] + take * slope;
            v[p] = keep2 * v[p] + take2 * slope * slope;
            w[p] -= rate * m[p] / (ROOT(v[p]) * scale + least);
        }
        if (rounded) {
            bfloat16 *restrict to = rounded + i * stride;
            for (int64_t p = 0; p < count; p++)
                to[p] = round_bfloat16(w[p]);
        }
    }
    return 0;
}

#undef NAME
#undef Y
#undef LOAD_Y
#undef STORE_Y
#undef S
#undef LOAD_S
#undef STORE_S
#undef A
#undef ROOT

#endif
