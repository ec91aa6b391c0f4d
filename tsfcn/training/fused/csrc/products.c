/* Matrix products for one processor core, of some rows that lie in its cache: what kernels.c makes layers of.

   A convolution is a product over the timepoints that a kernel sees. These lie side by side in its padded input already,
   channels last, so that the rows of the left operand overlap: row r begins at value r * channels.

   The right operand is packed into panels of COLUMNS columns, filled up with zeros. A tile of rows by COLUMNS is added
   up in registers over the whole depth of a panel. kernels.c includes this file once without types, then once for each:

     S   of the operands, PAIR of which are multiplied and added up by one instruction
     A   of sums and of weights */

#ifndef OF

#if defined(__AMX_BF16__) && defined(__AVX512F__) && defined(__linux__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#define AMX 1
#elif defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VECTOR 64 /* bytes */
#define TILE_ROWS 14
#elif defined(__AVX__)
#define VECTOR 32
#define TILE_ROWS 6
#else
#define VECTOR 16
#define TILE_ROWS 6
#endif

#ifdef AMX
#define AMX_ROWS 32
#define AMX_DEPTH 32
#else
#define AMX_ROWS TILE_ROWS
#define AMX_DEPTH 2
#endif

#define ALWAYS static inline __attribute__((always_inline))
#define ROUND_UP(count, of) (((count) + (of) - 1) / (of) * (of))
#define LANES ((int64_t)(VECTOR / sizeof(A)))
#define COLUMNS (2 * LANES)                     /* of a panel */
#define ROWS (PAIR == 2 ? AMX_ROWS : TILE_ROWS) /* of a tile */
#define DEPTH (PAIR == 2 ? AMX_DEPTH : 1)       /* that panels are filled up to a multiple of */
#define TO_DEPTH(depth) ROUND_UP((int64_t)(depth), DEPTH)
#define SUM_ROWS (512 / (int64_t)sizeof(S))           /* of slopes that are added up at once */
#define SUM_NEXT (SUM_ROWS + 64 / (int64_t)sizeof(S)) /* an odd number of cache lines */
#define SUM_PANEL(kernel) ((ROUND_UP(SUM_ROWS + kernel, PAIR) + PAIR) * COLUMNS)

/* Memory of this thread that stays for the next call, and after the thread: for few threads that live long. For `count`
   bytes; NULL where there is too little. */
static void *scratch(size_t count)
{
    static _Thread_local void *memory;
    static _Thread_local size_t size;
    if (count > size) {
        free(memory);
        size = ROUND_UP(count, 1 << 16);
        memory = aligned_alloc(64, size);
        size = memory ? size : 0;
    }
    return memory;
}

/* to[c][r] = from[r][c], 16 by 16; next_from and next_to values lie between rows. WHOLE: what to do first in a block. */
#define TURN(WHOLE)                                                                                                    \
    for (int64_t c = 0; c < columns; c += 16)                                                                          \
        for (int64_t r = 0; r < rows; r += 16) {                                                                       \
            int64_t last_c = c + 16 < columns ? c + 16 : columns, last_r = r + 16 < rows ? r + 16 : rows;              \
            WHOLE                                                                                                      \
            for (int64_t i = c; i < last_c; i++)                                                                       \
                for (int64_t j = r; j < last_r; j++)                                                                   \
                    to[i * next_to + j] = from[j * next_from + i];                                                     \
        }

/* Values of any type by their bits. */
typedef uint64_t unit_64 __attribute__((may_alias));
typedef uint32_t unit_32 __attribute__((may_alias));

static void turn_64(const unit_64 *restrict from, int64_t next_from, int64_t rows, int64_t columns,
                    unit_64 *restrict to, int64_t next_to)
{
    TURN()
}

#ifdef __AVX512F__
/* 16 rows of 16 columns: pairs of rows, of pairs, and so on change places. */
static void turn_16(const unit_32 *from, int64_t next_from, unit_32 *to, int64_t next_to)
{
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i++)
        a[i] = _mm512_loadu_si512(from + i * next_from);
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
        _mm512_storeu_si512(to + j * next_to, _mm512_shuffle_i32x4(b[j], b[8 + j], 0x88));
        _mm512_storeu_si512(to + (8 + j) * next_to, _mm512_shuffle_i32x4(b[j], b[8 + j], 0xdd));
    }
}
#define TURN_16                                                                                                     \
    if (last_c - c == 16 && last_r - r == 16) {                                                                        \
        turn_16(from + r * next_from + c, next_from, to + c * next_to + r, next_to);                                   \
        continue;                                                                                                      \
    }
#else
#define TURN_16
#endif

static void turn_32(const unit_32 *restrict from, int64_t next_from, int64_t rows, int64_t columns,
                    unit_32 *restrict to, int64_t next_to)
{
    TURN(TURN_16)
}

#ifdef AMX
/* Whether the system lets us use the tiles. */
static int may_use_tiles(void)
{
    static int allowed = -1;
    if (allowed < 0)
        allowed = syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0;
    return allowed;
}

static void configure_tiles(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16]; /* of a row */
        uint8_t rows[16];
    } settings = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        settings.bytes[i] = 64;
        settings.rows[i] = 16;
    }
    _tile_loadconfig(&settings);
}

ALWAYS void tile_of_amx(int64_t rows, const bfloat16 *a, int64_t next, const bfloat16 *b, int64_t depth, float *found)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t q = 0; q < depth; q += AMX_DEPTH, b += 32 * AMX_DEPTH) {
        _tile_loadd(4, a + q, next * 2);
        _tile_loadd(6, b, 128);
        _tile_loadd(7, b + 32, 128);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        if (rows > 16) {
            _tile_loadd(5, a + 16 * next + q, next * 2);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, found, 128);
    _tile_stored(1, found + 16, 128);
    _tile_stored(2, found + 16 * 32, 128);
    _tile_stored(3, found + 16 * 32 + 16, 128);
}
#endif

#else

typedef A OF(vector) __attribute__((vector_size(VECTOR), aligned(sizeof(A)), may_alias));
#define V OF(vector)
#if UNIT_BITS == 64
#define UNIT unit_64 /* PAIR values */
#define TURNED turn_64
#else
#define UNIT unit_32
#define TURNED turn_32
#endif

/* PAIR times LANES values of a panel, and a sum to which they are added, times PAIR values of the left operand. */
#if PAIR == 1
typedef V OF(operand);

ALWAYS V OF(loaded)(const S *b)
{
    return *(const V *)b;
}

ALWAYS V OF(added)(V sum, const S *a, V b)
{
    return sum + *a * b;
}
#elif defined(__AVX512BF16__)
typedef __m512bh OF(operand);

ALWAYS __m512bh OF(loaded)(const S *b)
{
    return (__m512bh)_mm512_loadu_si512(b);
}

ALWAYS V OF(added)(V sum, const S *a, __m512bh b)
{
    int32_t pair;
    memcpy(&pair, a, sizeof(pair));
    return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair), b);
}
#else
typedef uint32_t OF(bits) __attribute__((vector_size(VECTOR), aligned(4), may_alias));

typedef struct {
    V first, second;
} OF(operand);

ALWAYS OF(operand) OF(loaded)(const S *b)
{
    OF(bits) both = *(const OF(bits) *)b;
    return (OF(operand)){(V)(both << 16), (V)(both & 0xffff0000)};
}

ALWAYS V OF(added)(V sum, const S *a, OF(operand) b)
{
    return sum + LOAD_S(a[0]) * b.first + LOAD_S(a[1]) * b.second;
}
#endif

/* The first n rows of a tile; n is known when this is compiled. */
ALWAYS void OF(rows)(const int n, const S *a, int64_t next, const S *b, int64_t depth, A *found)
{
    V sums[TILE_ROWS][2];
    const S *base[(TILE_ROWS + 2) / 3]; /* every third row: what processors can address from few registers */
#pragma GCC unroll 16
    for (int i = 0; i < n; i++)
        sums[i][0] = sums[i][1] = (V){0};
#pragma GCC unroll 16
    for (int i = 0; i < n; i += 3)
        base[i / 3] = a + i * next;
    for (int64_t q = 0; q < depth; q += PAIR, b += PAIR * COLUMNS) {
        OF(operand) one = OF(loaded)(b), other = OF(loaded)(b + PAIR * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < n; i++) {
            const S *value = base[i / 3] + i % 3 * next + q;
            sums[i][0] = OF(added)(sums[i][0], value, one);
            sums[i][1] = OF(added)(sums[i][1], value, other);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; i++) {
        *(V *)(found + i * COLUMNS) = sums[i][0];
        *(V *)(found + i * COLUMNS + LANES) = sums[i][1];
    }
}

/* found (rows, COLUMNS) = `rows` rows of a, `next` values apart, times a panel; rows: TILE_ROWS at most. */
static void OF(vector_tile)(int64_t rows, const S *a, int64_t next, const S *b, int64_t depth, A *found)
{
#define CASE(half)                                                                                                     \
    case half:                                                                                                         \
        OF(rows)(2 * half, a, next, b, depth, found);                                                                  \
        break;
    switch ((rows + 1) / 2) {
        CASE(1)
        CASE(2)
#if TILE_ROWS > 6
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#endif
    default:
        OF(rows)(TILE_ROWS, a, next, b, depth, found);
    }
#undef CASE
}

/* The same for ROWS rows at most. */
ALWAYS void OF(tile)(int64_t rows, const S *a, int64_t next, const S *b, int64_t depth, A *found)
{
#if PAIR == 2 && defined(AMX)
    if (may_use_tiles()) {
        tile_of_amx(rows, a, next, b, depth, found);
        return;
    }
#endif
    for (int64_t r = 0; r < rows; r += TILE_ROWS) {
        int64_t some = rows - r < TILE_ROWS ? rows - r : TILE_ROWS;
        OF(vector_tile)(some, a + r * next, next, b, depth, found + r * COLUMNS);
    }
}

ALWAYS void OF(put)(const A *from, int64_t count, S *to)
{
#if PAIR == 2 && defined(__AVX512BF16__)
    for (; count >= 32; count -= 32, from += 32, to += 32)
        _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from)));
#endif
    for (int64_t j = 0; j < count; j++)
        to[j] = STORE_S(from[j]);
}

/* The product of (rows, depth) and (depth, columns), rounded to `out`, or as `sum` or added to it, whose rows are next_out
   apart.

   a: its rows are `next` values apart. panels: as packed, next_panel values apart, zero from `depth` to TO_DEPTH(depth).
   room: how many values of a may be read; those behind count as zeros. edge: memory for ROWS * next + TO_DEPTH(depth). */
static void OF(product)(int64_t rows, int64_t columns, int64_t depth, const S *a, int64_t next, int64_t room,
                        const S *panels, int64_t next_panel, S *edge, S *out, A *sum, int add, int64_t next_out)
{
    A found[ROWS * COLUMNS] __attribute__((aligned(64)));
    depth = TO_DEPTH(depth);
#if PAIR == 2 && defined(AMX)
    if (may_use_tiles())
        configure_tiles();
#endif
    for (int64_t p = 0; p < columns; p += COLUMNS) {
        int64_t width = columns - p < COLUMNS ? columns - p : COLUMNS;
        for (int64_t r = 0; r < rows; r += ROWS) {
            int64_t some = rows - r < ROWS ? rows - r : ROWS, whole = (ROWS - 1) * next + depth;
            const S *from = a + r * next;
            if (r * next + whole > room) {
                int64_t left = room - r * next;
                memcpy(edge, from, left * sizeof(S));
                memset(edge + left, 0, (whole - left) * sizeof(S));
                from = edge;
            }
            OF(tile)(some, from, next, panels + p / COLUMNS * next_panel, depth, found);
            for (int64_t i = 0; i < some; i++) {
                const A *restrict row = found + i * COLUMNS;
                if (out)
                    OF(put)(row, width, out + (r + i) * next_out + p);
                else {
                    A *restrict to = sum + (r + i) * next_out + p;
                    if (add)
                        for (int64_t j = 0; j < width; j++)
                            to[j] += row[j];
                    else
                        memcpy(to, row, width * sizeof(A));
                }
            }
        }
    }
#if PAIR == 2 && defined(AMX)
    if (may_use_tiles())
        _tile_release();
#endif
}

#if PAIR == 2
/* Two rows, value by value side by side; zeros for a second one that is NULL. */
static void OF(paired)(int64_t count, const S *restrict row, const S *restrict second, UNIT *restrict to)
{
    if (second)
        for (int64_t j = 0; j < count; j++)
            to[j] = row[j].bits | (UNIT)second[j].bits << 16;
    else
        for (int64_t j = 0; j < count; j++)
            to[j] = row[j].bits;
}
#endif

/* A (depth, columns) matrix, whose rows are `next` values apart, into panels from their row `start` on; the panels are
   next_panel values apart. Zeros fill the columns of the last panel and the last pair. */
static void OF(packed)(const S *from, int64_t next, int64_t depth, int64_t columns, S *panels, int64_t next_panel,
                       int64_t start)
{
    for (int64_t p = 0; p < columns; p += COLUMNS, panels += next_panel) {
        int64_t width = columns - p < COLUMNS ? columns - p : COLUMNS;
        for (int64_t q = 0; q < depth; q += PAIR) {
            const S *restrict row = from + q * next + p;
            S *restrict to = panels + (start + q) * COLUMNS;
            if (width < COLUMNS)
                memset(to, 0, PAIR * COLUMNS * sizeof(S));
#if PAIR == 1
            for (int64_t j = 0; j < width; j++)
                to[j] = row[j];
#else
            OF(paired)(width, row, q + 1 < depth ? row + next : NULL, (UNIT *)to);
#endif
        }
    }
}

/* Zeros into the rows of panels from `depth` on. */
static void OF(filled_up)(int64_t depth, int64_t columns, S *panels, int64_t next_panel)
{
    int64_t start = ROUND_UP(depth, PAIR) * COLUMNS;
    for (int64_t p = 0; p < columns; p += COLUMNS, panels += next_panel)
        memset(panels + start, 0, (next_panel - start) * sizeof(S));
}

/* to (columns, next) from (rows, columns): a column's values side by side, zeros behind them. pairs: memory for as many
   values as are turned, where they are turned in pairs. */
static void OF(turned)(const S *restrict from, int64_t rows, int64_t columns, S *restrict to, int64_t next,
                       UNIT *restrict pairs)
{
    for (int64_t c = 0; c < columns; c++)
        memset(to + c * next + rows, 0, (next - rows) * sizeof(S));
#if PAIR == 1
    (void)pairs;
    TURNED((const UNIT *)from, columns, rows, columns, (UNIT *)to, next);
#else
    for (int64_t r = 0; r < rows; r += 2) {
        const S *row = from + r * columns;
        OF(paired)(columns, row, r + 1 < rows ? row + columns : NULL, pairs + r / 2 * columns);
    }
    TURNED(pairs, columns, (rows + 1) / 2, columns, (UNIT *)to, next / 2);
#endif
}

/* Weights as operands: themselves, or rounded to memory for as many. */
static const S *OF(operands)(const A *weights, int64_t count, S *memory)
{
#if PAIR == 1
    (void)count, (void)memory;
    return weights;
#else
    OF(put)(weights, count, memory);
    return memory;
#endif
}

/* Panels of the kernels: (kernel * c_in, c_out) of weights (c_out, kernel, c_in). memory: for as many values. */
static void OF(panels_of)(const A *weights, int64_t kernel, int64_t c_in, int64_t c_out, S *panels, S *memory)
{
    int64_t depth = kernel * c_in, next_panel = TO_DEPTH(depth) * COLUMNS;
    const S *operands = OF(operands)(weights, c_out * depth, memory);
    if (c_out % COLUMNS || depth % PAIR)
        memset(panels, 0, ROUND_UP(c_out, COLUMNS) * TO_DEPTH(depth) * sizeof(S));
    for (int64_t p = 0; p < c_out; p += COLUMNS) {
        int64_t width = c_out - p < COLUMNS ? c_out - p : COLUMNS;
        S *to = panels + p / COLUMNS * next_panel;
        const S *from = operands + p * depth;
        if (depth % PAIR == 0)
            TURNED((const UNIT *)from, depth / PAIR, width, depth / PAIR, (UNIT *)to, COLUMNS);
        else
            for (int64_t j = 0; j < width; j++)
                for (int64_t q = 0; q < depth; q++)
                    to[(q / PAIR * COLUMNS + j) * PAIR + q % PAIR] = from[j * depth + q];
    }
    OF(filled_up)(depth, c_out, panels, next_panel);
}

/* Panels for the way back: (kernel * c_out, c_in), the last timepoint that the kernel sees first. memory: for twice as
   many values. */
static void OF(panels_back)(const A *weights, int64_t kernel, int64_t c_in, int64_t c_out, S *panels, S *memory)
{
    int64_t depth = kernel * c_out, next_panel = TO_DEPTH(depth) * COLUMNS;
    const S *operands = OF(operands)(weights, depth * c_in, memory);
    S *grouped = memory + ROUND_UP(depth * c_in, PAIR);
    for (int64_t tap = 0; tap < kernel; tap++) {
        const S *from = operands + (kernel - 1 - tap) * c_in;
        if (c_out % PAIR == 0)
            OF(packed)(from, kernel * c_in, c_out, c_in, panels, next_panel, tap * c_out);
        else /* pairs reach from one timepoint to the next */
            for (int64_t o = 0; o < c_out; o++)
                memcpy(grouped + (tap * c_out + o) * c_in, from + o * kernel * c_in, c_in * sizeof(S));
    }
    if (c_out % PAIR)
        OF(packed)(grouped, c_in, depth, c_in, panels, next_panel, 0);
    OF(filled_up)(depth, c_in, panels, next_panel);
}

/* For how many values `add_to` needs memory. */
static int64_t OF(memory_to_add)(int64_t kernel, int64_t c_in, int64_t c_out)
{
    if (c_in == 1)
        return ROUND_UP(c_out, COLUMNS) / COLUMNS * SUM_PANEL(kernel) + ROUND_UP(ROWS + SUM_ROWS, 64) + PAIR * kernel * c_out;
    return ROUND_UP(c_out, ROWS) * SUM_NEXT + PAIR * ROUND_UP(c_in, COLUMNS) / COLUMNS * SUM_PANEL(kernel) + SUM_ROWS * c_out;
}

/* The gradient of a layer's weights, (c_out, kernel, c_in), or what is added to it, from some rows of slopes, (rows, c_out),
   and of what the kernel sees, (rows + kernel - 1, c_in). */
static void OF(add_to)(int add, A *gradient, int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out, const S *slope,
                       const S *seen, S *memory)
{
    if (c_in == 1) { /* timepoints times slopes: those of the kernel are rows that overlap */
        int64_t next_panel = SUM_PANEL(kernel);
        S *panels = memory, *edge = panels + ROUND_UP(c_out, COLUMNS) / COLUMNS * next_panel;
        A *sum = (A *)(edge + ROUND_UP(ROWS + SUM_ROWS, 64 / (int64_t)sizeof(S)));
        for (int64_t start = 0; start < rows; start += SUM_ROWS) {
            int64_t depth = rows - start < SUM_ROWS ? rows - start : SUM_ROWS;
            OF(packed)(slope + start * c_out, c_out, depth, c_out, panels, next_panel, 0);
            OF(filled_up)(depth, c_out, panels, next_panel);
            OF(product)(kernel, c_out, depth, seen + start, 1, rows - start + kernel - 1, panels, next_panel, edge, NULL,
                        sum, start > 0, c_out);
        }
        for (int64_t o = 0; o < c_out; o++)
            for (int64_t tap = 0; tap < kernel; tap++)
                gradient[o * kernel + tap] = (add ? gradient[o * kernel + tap] : 0) + sum[tap * c_out + o];
        return;
    }
    /* Slopes lie turned, what the kernel sees in panels, where each of its timepoints starts at another row. Pairs of rows
       begin at even and at odd ones. */
    int64_t next = SUM_NEXT, next_panel = SUM_PANEL(kernel), n_panels = ROUND_UP(c_in, COLUMNS) / COLUMNS * next_panel;
    int64_t n_turned = ROUND_UP(c_out, ROWS) * next;
    S *turned = memory, *panels = turned + n_turned, *pairs = panels + PAIR * n_panels;
    for (int64_t start = 0; start < rows; start += SUM_ROWS) {
        int64_t depth = rows - start < SUM_ROWS ? rows - start : SUM_ROWS;
        OF(turned)(slope + start * c_out, depth, c_out, turned, next, (UNIT *)pairs);
        for (int64_t first = 0; first < (kernel > 1 ? PAIR : 1); first++) {
            int64_t some = depth + kernel - 1 - first;
            OF(packed)(seen + (start + first) * c_in, c_in, some, c_in, panels + first * n_panels, next_panel, 0);
            OF(filled_up)(some, c_in, panels + first * n_panels, next_panel);
        }
        for (int64_t tap = 0; tap < kernel; tap++)
            OF(product)(c_out, c_in, depth, turned, next, n_turned,
                        panels + tap % PAIR * n_panels + tap / PAIR * PAIR * COLUMNS, next_panel, turned, NULL,
                        gradient + tap * c_in, add || start > 0, kernel * c_in);
    }
}

#undef V

#endif
