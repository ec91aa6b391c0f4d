/* Transposes of matrices of any type, as bits. */

#ifndef TSFCN_TRANSPOSE_H
#define TSFCN_TRANSPOSE_H

#include "common.h"

#define transpose_units CAT(transpose_units, TYPE)
#define transpose_units_float32 transpose_32
#define transpose_units_float64 transpose_64
#define transpose_units_bfloat16 transpose_32

#ifdef __AVX512F__
/* 16 rows of 16 columns: elements are exchanged between pairs of rows, then between pairs of pairs, and so on. */
static void transpose_16x16(const unit_32 *from, int64_t from_stride, unit_32 *to, int64_t to_stride)
{
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i++)
        a[i] = _mm512_loadu_si512(from + i * from_stride);
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            a[i + 2 * j] = _mm512_unpacklo_epi64(b[i + j], b[i + 2 + j]);
            a[i + 2 * j + 1] = _mm512_unpackhi_epi64(b[i + j], b[i + 2 + j]);
        }
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; j++) {
            b[i + j] = _mm512_shuffle_i32x4(a[i + j], a[i + 4 + j], 0x88);
            b[i + 4 + j] = _mm512_shuffle_i32x4(a[i + j], a[i + 4 + j], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        _mm512_storeu_si512(to + j * to_stride, _mm512_shuffle_i32x4(b[j], b[8 + j], 0x88));
        _mm512_storeu_si512(to + (8 + j) * to_stride, _mm512_shuffle_i32x4(b[j], b[8 + j], 0xdd));
    }
}
#endif

/* to[c][r] = from[r][c], in blocks of 16 by 16; the strides are the numbers of values between rows. */
static void transpose_32(const unit_32 *restrict from, int64_t from_stride, int64_t rows, int64_t columns,
                         unit_32 *restrict to, int64_t to_stride)
{
    for (int64_t c = 0; c < columns; c += 16)
        for (int64_t r = 0; r < rows; r += 16) {
            int64_t end_c = MIN(c + 16, columns), end_r = MIN(r + 16, rows);
#ifdef __AVX512F__
            if (end_c - c == 16 && end_r - r == 16) {
                transpose_16x16(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
                continue;
            }
#endif
            for (int64_t i = c; i < end_c; i++)
                for (int64_t j = r; j < end_r; j++)
                    to[i * to_stride + j] = from[j * from_stride + i];
        }
}

static void transpose_64(const unit_64 *restrict from, int64_t from_stride, int64_t rows, int64_t columns,
                         unit_64 *restrict to, int64_t to_stride)
{
    for (int64_t c = 0; c < columns; c += 16)
        for (int64_t r = 0; r < rows; r += 16) {
            int64_t end_c = MIN(c + 16, columns), end_r = MIN(r + 16, rows);
            for (int64_t i = c; i < end_c; i++)
                for (int64_t j = r; j < end_r; j++)
                    to[i * to_stride + j] = from[j * from_stride + i];
        }
}

#endif
