/* Matrix products C = A B, in the manner and with the terms of BLIS.

   A, the left operand, is not packed. Its rows may overlap: row r begins at value r * stride. So the timepoints that a
   kernel sees at each position are rows of A as they lie in memory, channels last (docs/kernels.md has a picture).

   B, the right operand, is packed into micropanels of NR columns. A micropanel holds PAIR rows of B at a time, column
   by column: value (q, j) lies at (q / PAIR * NR + j) * PAIR + q % PAIR. Columns beyond the matrix and rows up to
   PADDED_K(k) are zero.

   C is computed in microtiles of MR rows by NR columns, which stay in registers over the whole depth k. */

typedef acc_t FN(vec) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(acc_t)), may_alias));

typedef struct {
    const operand_t *values;
    int64_t stride; /* values between the beginnings of rows */
    int64_t size;   /* how many values may be read; later ones count as zeros */
} FN(left);

typedef struct {
    const operand_t *panels;
    int64_t stride; /* values between micropanels */
} FN(right);

typedef struct {
    operand_t *rounded; /* where the rounded product is stored; or NULL: */
    acc_t *sums;        /* where the product is stored without rounding */
    int accumulate;     /* whether the product is added to `sums` */
    int64_t stride;     /* values between rows */
} FN(result);

/* packed_vec: PAIR times LANES values of a micropanel. multiply_add: adds PAIR values of A times these to a sum. */
#if PAIR == 1
typedef vec_t FN(packed_vec);

ALWAYS_INLINE vec_t FN(load_packed)(const operand_t *b)
{
    return *(const vec_t *)b;
}

ALWAYS_INLINE vec_t FN(multiply_add)(vec_t sum, const operand_t *a, vec_t b)
{
    return sum + *a * b;
}
#elif defined(__AVX512BF16__)
typedef __m512bh FN(packed_vec);

ALWAYS_INLINE __m512bh FN(load_packed)(const operand_t *b)
{
    return (__m512bh)_mm512_loadu_si512(b);
}

ALWAYS_INLINE vec_t FN(multiply_add)(vec_t sum, const operand_t *a, __m512bh b)
{
    int32_t pair;
    memcpy(&pair, a, sizeof(pair));
    return (vec_t)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair), b);
}
#else
typedef uint32_t FN(bits) __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));

typedef struct {
    vec_t first, second;
} FN(packed_vec);

ALWAYS_INLINE FN(packed_vec) FN(load_packed)(const operand_t *b)
{
    FN(bits) both = *(const FN(bits) *)b;
    return (FN(packed_vec)){(vec_t)(both << 16), (vec_t)(both & 0xffff0000)};
}

ALWAYS_INLINE vec_t FN(multiply_add)(vec_t sum, const operand_t *a, FN(packed_vec) b)
{
    return sum + LOAD(a[0]) * b.first + LOAD(a[1]) * b.second;
}
#endif

/* Round `count` values. */
ALWAYS_INLINE void FN(round_row)(const acc_t *from, int64_t count, operand_t *to)
{
#if PAIR == 2 && defined(__AVX512BF16__)
    for (; count >= 32; count -= 32, from += 32, to += 32)
        _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from)));
#endif
    for (int64_t j = 0; j < count; j++)
        to[j] = STORE(from[j]);
}

/* The first `rows` rows of a vector microtile; `rows` is a compile-time constant. */
ALWAYS_INLINE void FN(microkernel_rows)(const int rows, const operand_t *a, int64_t a_stride, const operand_t *b,
                                        int64_t k, acc_t *c)
{
    vec_t sums[VECTOR_MR][2];
    const operand_t *base[(VECTOR_MR + 2) / 3]; /* every third row: the others are addressed from it */
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
        sums[i][0] = sums[i][1] = (vec_t){0};
#pragma GCC unroll 16
    for (int i = 0; i < rows; i += 3)
        base[i / 3] = a + i * a_stride;
    for (int64_t q = 0; q < k; q += PAIR, b += PAIR * NR) {
        FN(packed_vec) b0 = FN(load_packed)(b), b1 = FN(load_packed)(b + PAIR * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const operand_t *value = base[i / 3] + i % 3 * a_stride + q;
            sums[i][0] = FN(multiply_add)(sums[i][0], value, b0);
            sums[i][1] = FN(multiply_add)(sums[i][1], value, b1);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        *(vec_t *)(c + i * NR) = sums[i][0];
        *(vec_t *)(c + i * NR + LANES) = sums[i][1];
    }
}

/* c (rows, NR) = `rows` rows of A, at most VECTOR_MR, times a micropanel. An odd number of rows is rounded up to an
   even one, which a, c and their memory must allow. */
static void FN(microkernel)(int64_t rows, const operand_t *a, int64_t a_stride, const operand_t *b, int64_t k,
                            acc_t *c)
{
#define CASE(half)                                                                                                     \
    case half:                                                                                                         \
        FN(microkernel_rows)(2 * half, a, a_stride, b, k, c);                                                          \
        break;
    switch ((rows + 1) / 2) {
        CASE(1)
        CASE(2)
#if VECTOR_MR > 6
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#endif
    default:
        FN(microkernel_rows)(VECTOR_MR, a, a_stride, b, k, c);
    }
#undef CASE
}

/* The same for at most MR rows, with AMX if it is available. */
ALWAYS_INLINE void FN(microtile)(int64_t rows, const operand_t *a, int64_t a_stride, const operand_t *b, int64_t k,
                                 acc_t *c)
{
#if PAIR == 2 && defined(AMX)
    if (may_use_amx()) {
        amx_microtile(rows, a, a_stride, b, k, c);
        return;
    }
#endif
    for (int64_t r = 0; r < rows; r += VECTOR_MR)
        FN(microkernel)(MIN(rows - r, VECTOR_MR), a + r * a_stride, a_stride, b, k, c + r * NR);
}

/* Store a row of a microtile at its place in C. */
ALWAYS_INLINE void FN(store_row)(const acc_t *restrict row, int64_t width, FN(result) c, int64_t at)
{
    if (c.rounded) {
        FN(round_row)(row, width, c.rounded + at);
        return;
    }
    acc_t *restrict to = c.sums + at;
    if (c.accumulate)
        for (int64_t j = 0; j < width; j++)
            to[j] += row[j];
    else
        memcpy(to, row, width * sizeof(acc_t));
}

/* All microtiles of a matrix (m, n). They are numbered down the columns of microtiles, one column after another. */
static struct range FN(all_tiles)(int64_t m, int64_t n)
{
    return (struct range){0, (m + MR - 1) / MR * ((n + NR - 1) / NR)};
}

/* Compute some microtiles of C (m, n) = A (m, k) B (k, n).

   edge: memory for MR * a.stride + PADDED_K(k) values, to which the last rows of A are copied if whole microtiles would
   reach beyond a.size; it may be NULL if they do not. */
static void FN(gemm)(struct range tiles, int64_t m, int64_t n, int64_t k, FN(left) a, FN(right) b, operand_t *edge,
                     FN(result) c)
{
    int64_t column_tiles = (m + MR - 1) / MR;
    acc_t tile[MR * NR] __attribute__((aligned(64)));
    k = PADDED_K(k);
#if PAIR == 2 && defined(AMX)
    if (may_use_amx())
        configure_amx();
#endif
    for (int64_t next = tiles.start, stop; next < tiles.end; next = stop) {
        int64_t p = next / column_tiles * NR, width = MIN(n - p, NR), column = p / NR * column_tiles;
        stop = MIN(tiles.end, column + column_tiles);
        for (int64_t r = (next - column) * MR; r < (stop - column) * MR; r += MR) {
            int64_t rows = MIN(m - r, MR), needed = (MR - 1) * a.stride + k;
            const operand_t *from = a.values + r * a.stride;
            if (r * a.stride + needed > a.size) {
                int64_t left = a.size - r * a.stride;
                memcpy(edge, from, left * sizeof(operand_t));
                memset(edge + left, 0, (needed - left) * sizeof(operand_t));
                from = edge;
            }
            FN(microtile)(rows, from, a.stride, b.panels + p / NR * b.stride, k, tile);
            for (int64_t i = 0; i < rows; i++)
                FN(store_row)(tile + i * NR, width, c, (r + i) * c.stride + p);
        }
    }
#if PAIR == 2 && defined(AMX)
    if (may_use_amx())
        _tile_release();
#endif
}

#if PAIR == 2
/* Interleave two rows, value by value; a second row that is NULL counts as zeros. */
static void FN(interleave)(int64_t count, const operand_t *restrict first, const operand_t *restrict second,
                           unit_t *restrict to)
{
    if (second)
        for (int64_t j = 0; j < count; j++)
            to[j] = first[j].bits | (unit_t)second[j].bits << 16;
    else
        for (int64_t j = 0; j < count; j++)
            to[j] = first[j].bits;
}
#endif

/* Pack a matrix (k, n), whose rows are `stride` values apart, into micropanels, `panel_stride` values apart, from
   their row `start` on. Zeros fill the columns of the last micropanel and the last pair of rows. */
static void FN(pack)(const operand_t *from, int64_t stride, int64_t k, int64_t n, operand_t *panels,
                     int64_t panel_stride, int64_t start)
{
    for (int64_t p = 0; p < n; p += NR, panels += panel_stride) {
        int64_t width = MIN(n - p, NR);
        for (int64_t q = 0; q < k; q += PAIR) {
            const operand_t *restrict row = from + q * stride + p;
            operand_t *restrict to = panels + (start + q) * NR;
            if (width < NR)
                memset(to, 0, PAIR * NR * sizeof(operand_t));
#if PAIR == 1
            for (int64_t j = 0; j < width; j++)
                to[j] = row[j];
#else
            FN(interleave)(width, row, q + 1 < k ? row + stride : NULL, (unit_t *)to);
#endif
        }
    }
}

/* Fill the rows of micropanels from k on with zeros. */
static void FN(pack_zeros)(int64_t k, int64_t n, operand_t *panels, int64_t panel_stride)
{
    int64_t start = ROUND_UP(k, PAIR) * NR;
    for (int64_t p = 0; p < n; p += NR, panels += panel_stride)
        memset(panels + start, 0, (panel_stride - start) * sizeof(operand_t));
}

/* to (columns, stride) = the transpose of `from` (rows, columns), with zeros after each row.

   pairs: if PAIR is 2, memory for as many values as `from` has, and for one row more if `rows` is odd. */
static void FN(transpose)(const operand_t *restrict from, int64_t rows, int64_t columns, operand_t *restrict to,
                          int64_t stride, unit_t *restrict pairs)
{
    for (int64_t c = 0; c < columns; c++)
        memset(to + c * stride + rows, 0, (stride - rows) * sizeof(operand_t));
#if PAIR == 1
    (void)pairs;
    transpose_units((const unit_t *)from, columns, rows, columns, (unit_t *)to, stride);
#else
    for (int64_t r = 0; r < rows; r += 2) {
        const operand_t *row = from + r * columns;
        FN(interleave)(columns, row, r + 1 < rows ? row + columns : NULL, pairs + r / 2 * columns);
    }
    transpose_units(pairs, columns, (rows + 1) / 2, columns, (unit_t *)to, stride / 2);
#endif
}
