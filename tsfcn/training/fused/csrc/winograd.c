/* Convolutions with fewer multiplications, after Toom, Cook and Winograd 1980.

   A product of polynomials with `kernel` and with m = SEEN + 1 - kernel coefficients has SEEN of them, and is known from what
   it is modulo polynomials of degree SEEN in all. That takes POINTS multiplications instead of m * kernel, and so does the
   transpose of it, which makes m rows of a convolution of SEEN rows and a kernel. The gradient of an input is a convolution of
   slopes by the kernels turned round; the gradient of kernels makes `kernel` sums of SEEN rows and m slopes.

     where PAIR is 1   the values at 0, 1, -1, 2, -2, 1/2, -1/2 and infinity, which stands for the last coefficient
     otherwise         the values at 0, infinity and the eighth roots of unity: 1, -1 and three complex ones, since the others
                       are conjugate to these. A complex product takes three real ones, so that there are 13 points for 10
                       coefficients; but rounding errors are a third of those at the real points, which bfloat16 needs.

     evaluated         kernels, or m slopes -> their values
     seen_at_points    SEEN rows -> what these are multiplied by: the transpose of finding coefficients from values
     interpolated      products -> sums: the transpose of finding values

   Between them is a product of matrices for each point; there and back are a tenth of the arithmetic.

   Channels are multiples of COLUMNS. Included by kernels.c after products.c, for operands of type S and sums of type A. */

#ifndef POINTS

#define SEEN (PAIR == 1 ? 8 : 10)
#define POINTS (PAIR == 1 ? 8 : 13)
#define LEAST_KERNEL 3
#define MOST_KERNEL (PAIR == 1 ? 6 : 8)
#define LEAST_ROWS (PAIR == 1 ? 70 : 200)  /* below, what is done to weights and gradients outweighs the gain */
#define TILES (70 / TILE_ROWS * TILE_ROWS) /* groups of m rows that are taken at once, to stay in the cache */
#define SUMMED (TILE_ROWS > 8 ? 8 : 4)     /* rows of a tile of gradients */

/* Of the pairs of points 1, 2, 1/2 and their negatives, i = 0, 1, 2: */
#define OF_PAIR(i, first, second, third) ((A)((i) == 0 ? (first) : (i) == 1 ? (second) : (third)))
#define POINT(i) OF_PAIR(i, 1, 2, 0.5)
#define SCALE(i) OF_PAIR(i, -1 / 4.5, 1 / 90., 1 / 1.40625) /* 1 over the product of differences to all others */
#define SQUARES(i) OF_PAIR(i, 4.25, 1.25, 5)                /* the sum of squares of the other two */
#define PRODUCT(i) OF_PAIR(i, 1, 0.25, 4)                   /* and their product */

#define HALF_ROOT 0.70710678118654752440 /* cosine and sine of the first eighth root of unity */

/* DO with a count of coefficients, of a kernel or m, that is known when this is compiled. */
#define FOR_COUNT(count)                                                                                               \
    switch (count) {                                                                                                   \
        IF_COUNT(3)                                                                                                    \
        IF_COUNT(4)                                                                                                    \
        IF_COUNT(5)                                                                                                    \
        IF_COUNT(6)                                                                                                    \
        IF_COUNT(7)                                                                                                    \
    default:                                                                                                           \
        DO(8);                                                                                                         \
    }
#define IF_COUNT(count)                                                                                                \
    case count:                                                                                                        \
        DO(count);                                                                                                     \
        break;

#endif

#define V OF(vector)

#if PAIR == 1
/* `count` coefficients, `next` values apart -> their values, LANES channels of each. */
ALWAYS void OF(evaluated)(const int count, const A *from, int64_t next, V *to)
{
    V own[POINTS];
#pragma GCC unroll 8
    for (int j = 0; j < count; j++)
        own[j] = *(const V *)(from + j * next);
    to[0] = -own[0];
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        V even = own[0], odd = POINT(i) * own[1];
        A power = POINT(i);
#pragma GCC unroll 8
        for (int j = 2; j < count; j++) {
            power *= POINT(i);
            if (j % 2)
                odd += power * own[j];
            else
                even += power * own[j];
        }
        to[1 + 2 * i] = (even + odd) * SCALE(i);
        to[2 + 2 * i] = (even - odd) * SCALE(i);
    }
    to[7] = own[count - 1];
}

/* SEEN rows, `next` values apart, as they are multiplied by such values. */
ALWAYS void OF(seen_at_points)(const A *from, int64_t next, V *to)
{
    V own[SEEN];
#pragma GCC unroll 8
    for (int j = 0; j < SEEN; j++)
        own[j] = *(const V *)(from + j * next);
    to[0] = own[6] - own[0] + (A)5.25 * (own[2] - own[4]);
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        V even = own[6] + PRODUCT(i) * own[2] - SQUARES(i) * own[4];
        V odd = POINT(i) * (own[5] + PRODUCT(i) * own[1] - SQUARES(i) * own[3]);
        to[1 + 2 * i] = even + odd;
        to[2 + 2 * i] = even - odd;
    }
    to[7] = own[7] - own[1] + (A)5.25 * (own[3] - own[5]);
}

/* Products, `next` values apart -> `count` sums, LANES channels of each. */
ALWAYS void OF(interpolated)(const int count, const A *from, int64_t next, V *own)
{
#pragma GCC unroll 8
    for (int j = 0; j < count; j++)
        own[j] = (V){0};
    own[0] = *(const V *)from;
    own[count - 1] = *(const V *)(from + 7 * next);
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        V one = *(const V *)(from + (1 + 2 * i) * next), other = *(const V *)(from + (2 + 2 * i) * next);
        V even = one + other, odd = one - other;
        A power = 1;
#pragma GCC unroll 8
        for (int j = 0; j < count; j++, power *= POINT(i))
            own[j] += power * (j % 2 ? odd : even);
    }
}
#else
/* The i-th of `count` coefficients, and `sign` times the one that lies four behind it. */
ALWAYS V OF(joined)(const int count, const V *own, const int i, const A sign)
{
    if (i >= count)
        return (V){0};
    if (i + 4 >= count)
        return own[i];
    return own[i] + sign * own[i + 4];
}

/* The values of a polynomial with `count` <= 8 coefficients at eighth roots of unity: at 1 and -1, and the real and
   imaginary parts at the second, first and third power of the first root. */
ALWAYS void OF(at_roots)(const int count, const V *own, V *found)
{
    V even = OF(joined)(count, own, 0, 1), even_2 = OF(joined)(count, own, 2, 1);
    V odd = OF(joined)(count, own, 1, 1), odd_2 = OF(joined)(count, own, 3, 1);
    V real = OF(joined)(count, own, 0, -1), imaginary = OF(joined)(count, own, 2, -1);
    V one = OF(joined)(count, own, 1, -1), three = OF(joined)(count, own, 3, -1);
    V less = (A)HALF_ROOT * (one - three), more = (A)HALF_ROOT * (one + three);
    found[0] = even + even_2 + (odd + odd_2);
    found[1] = even + even_2 - (odd + odd_2);
    found[2] = even - even_2;
    found[3] = odd - odd_2;
    found[4] = real + less;
    found[5] = more + imaginary;
    found[6] = real - less;
    found[7] = more - imaginary;
}

/* As above; of complex values the real part, the imaginary part with its sign changed, and the sum of both. Here are the
   factors that finding coefficients from values takes. */
ALWAYS void OF(evaluated)(const int count, const A *from, int64_t next, V *to)
{
    V own[8], values[8];
#pragma GCC unroll 8
    for (int j = 0; j < count; j++)
        own[j] = *(const V *)(from + j * next);
    to[11] = own[0];
    to[12] = own[count - 1];
    OF(at_roots)(count, own, values);
    to[0] = (A)0.125 * values[0];
    to[1] = (A)0.125 * values[1];
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        V real = (A)0.25 * values[2 + 2 * i], imaginary = (A)0.25 * values[3 + 2 * i];
        to[2 + 3 * i] = real;
        to[3 + 3 * i] = -imaginary;
        to[4 + 3 * i] = real + imaginary;
    }
}

ALWAYS void OF(seen_at_points)(const A *from, int64_t next, V *to)
{
    V own[SEEN], values[8];
#pragma GCC unroll 10
    for (int j = 0; j < SEEN; j++)
        own[j] = *(const V *)(from + j * next);
    to[11] = own[0] - own[8];
    to[12] = own[9] - own[1];
    own[0] = own[8];
    OF(at_roots)(8, own, values);
    to[0] = values[0];
    to[1] = values[1];
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        V cosine = values[2 + 2 * i], sine = values[3 + 2 * i];
        to[2 + 3 * i] = cosine - sine;
        to[3 + 3 * i] = cosine + sine;
        to[4 + 3 * i] = sine;
    }
}

ALWAYS void OF(interpolated)(const int count, const A *from, int64_t next, V *own)
{
#define AT(i) (*(const V *)(from + (i) * next))
    V plus = AT(0) + AT(1), minus = AT(0) - AT(1), both = AT(4), real = AT(2) + both, imaginary = AT(3) + both;
    V first = AT(7), third = AT(10), first_real = AT(5) + first, first_imaginary = AT(6) + first;
    V third_real = AT(8) + third, third_imaginary = AT(9) + third;
    V even = plus + real, reals = first_real + third_real, even_2 = plus - real;
    V imaginaries = first_imaginary - third_imaginary, odd = minus + imaginary, odd_2 = minus - imaginary;
    V off = (A)HALF_ROOT * (first_real - third_real), along = (A)HALF_ROOT * (first_imaginary + third_imaginary);
    V all[8] = {even + reals, odd + (along + off), even_2 + imaginaries, odd_2 + (along - off),
                even - reals, odd - (along + off), even_2 - imaginaries, odd_2 - (along - off)};
#pragma GCC unroll 8
    for (int j = 0; j < count; j++)
        own[j] = all[j];
    own[0] += AT(11);
    own[count - 1] += AT(12);
#undef AT
}
#endif

/* LANES values as operands side by side; or those of two vectors in pairs. */
#if PAIR == 1
ALWAYS void OF(kept)(V values, S *to)
{
    *(V *)to = values;
}
#elif defined(__AVX512BF16__)
ALWAYS void OF(kept)(V values, S *to)
{
    _mm256_storeu_si256((__m256i_u *)to, (__m256i)_mm512_cvtneps_pbh((__m512)values));
}

ALWAYS void OF(kept_in_pairs)(V values, V others, S *to)
{
    __m512i one = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)values));
    __m512i other = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)others));
    _mm512_storeu_si512(to, _mm512_or_si512(one, _mm512_slli_epi32(other, 16)));
}
#else
/* As round_bfloat16, in the upper half, for numbers and for the NaN that arithmetic makes. */
ALWAYS OF(bits) OF(rounded)(V values)
{
    OF(bits) bits = (OF(bits))values;
    return bits + 0x7fff + (bits >> 16 & 1);
}

ALWAYS void OF(kept)(V values, S *to)
{
    typedef uint16_t halves __attribute__((vector_size(VECTOR / 2), aligned(2), may_alias));
    *(halves *)to = __builtin_convertvector(OF(rounded)(values) >> 16, halves);
}

ALWAYS void OF(kept_in_pairs)(V values, V others, S *to)
{
    *(OF(bits) *)to = OF(rounded)(values) >> 16 | (OF(rounded)(others) & 0xffff0000);
}
#endif

/* For LANES channels, from `count` coefficients their values, or from SEEN rows what these are multiplied by. */
ALWAYS void OF(at_points)(const int count, const A *from, int64_t next, V *to)
{
    if (count == SEEN)
        OF(seen_at_points)(from, next, to);
    else
        OF(evaluated)(count, from, next, to);
}

/* `rows` groups of `count` of (channels), next_row values apart -> `to`, (POINTS, rows, channels). */
static void OF(rows_at_points)(int64_t count, int64_t rows, int64_t channels, const A *from, int64_t next_row, S *to)
{
#define DO(count)                                                                                                      \
    for (int64_t r = 0; r < rows; r++)                                                                                 \
        for (int64_t c = 0; c < channels; c += LANES) {                                                                \
            V values[POINTS];                                                                                          \
            OF(at_points)(count, from + r * next_row + c, channels, values);                                           \
            for (int i = 0; i < POINTS; i++)                                                                           \
                OF(kept)(values[i], to + (i * rows + r) * channels + c);                                               \
        }
    if (count == SEEN)
        DO(SEEN)
    else
        FOR_COUNT(count)
#undef DO
}

/* The same, of which each group's members are `next` values apart, as right operands of which rows are the depth: `to`, for
   each point, next_to values apart, panels (rows, COLUMNS), next_panel apart. */
static void OF(panels_at_points)(int64_t count, int64_t rows, int64_t channels, const A *from, int64_t next_row,
                                 int64_t next, S *to, int64_t next_to, int64_t next_panel)
{
#if PAIR == 1
#define KEEP(i) OF(kept)(values[0][i], at + i * next_to)
#else
#define KEEP(i) OF(kept_in_pairs)(values[0][i], values[1][i], at + i * next_to)
#endif
#define DO(count)                                                                                                      \
    for (int64_t r = 0; r < rows; r += PAIR)                                                                           \
        for (int64_t c = 0; c < channels; c += LANES) {                                                                \
            S *at = to + r * COLUMNS + c / COLUMNS * next_panel + c % COLUMNS * PAIR;                                  \
            V values[PAIR][POINTS];                                                                                    \
            OF(at_points)(count, from + r * next_row + c, next, values[0]);                                            \
            if (PAIR > 1 && r + 1 < rows)                                                                              \
                OF(at_points)(count, from + (r + PAIR - 1) * next_row + c, next, values[PAIR - 1]);                    \
            else if (PAIR > 1)                                                                                         \
                memset(values[PAIR - 1], 0, sizeof(values[0]));                                                        \
            for (int i = 0; i < POINTS; i++)                                                                           \
                KEEP(i);                                                                                               \
        }
    if (count == SEEN)
        DO(SEEN)
    else
        FOR_COUNT(count)
#undef DO
#undef KEEP
}

/* Whether a layer is better taken at points. */
static int OF(points_pay)(int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out)
{
#if PAIR == 2 && defined(AMX)
    if (may_use_tiles())
        return 0;
#endif
    return kernel >= LEAST_KERNEL && kernel <= MOST_KERNEL && c_in % COLUMNS == 0 && c_out % COLUMNS == 0 &&
           rows >= LEAST_ROWS;
}

/* How many of its rows to take at once. */
static int64_t OF(rows_at_once)(int64_t rows, int64_t kernel)
{
    int64_t m = SEEN + 1 - kernel, tiles = (rows + m - 1) / m, parts = (tiles + TILES - 1) / TILES;
    return (tiles + parts - 1) / parts * m;
}

/* How many bytes of memory the functions below need. */
static size_t OF(memory_at_points)(int64_t c_in, int64_t c_out)
{
    return POINTS * (TILES + COLUMNS + PAIR) * (c_in + c_out) * sizeof(S) + POINTS * (TILES + 1) * COLUMNS * sizeof(A);
}

/* Panels (c_in, COLUMNS) of weights (c_out, kernel, c_in), POINTS for each COLUMNS of c_out. */
static void OF(kernels_at_points)(const A *weights, int64_t kernel, int64_t c_in, int64_t c_out, S *panels, S *memory)
{
    int64_t next = COLUMNS * c_in, n = c_in / PAIR;
    for (int64_t p = 0; p < c_out; p += COLUMNS) {
        OF(rows_at_points)(kernel, COLUMNS, c_in, weights + p * kernel * c_in, kernel * c_in, memory);
        for (int64_t i = 0; i < POINTS; i++, panels += next)
            TURNED((const UNIT *)(memory + i * next), n, COLUMNS, n, (UNIT *)panels, COLUMNS);
    }
}

/* Panels (c_out, COLUMNS) for the way back, POINTS for each COLUMNS of c_in: the last timepoint comes first. */
static void OF(kernels_back_at_points)(const A *weights, int64_t kernel, int64_t c_in, int64_t c_out, S *panels)
{
    OF(panels_at_points)(kernel, c_out, c_in, weights + (kernel - 1) * c_in, kernel * c_in, -c_in, panels,
                         c_out * COLUMNS, POINTS * c_out * COLUMNS);
}

/* Rows of a convolution, out (rows, c_out), of what the kernel sees, (rows + kernel - 1, c_in) and m - 1 more. */
static void OF(convolved)(int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out, const A *seen, const S *panels,
                          void *memory, S *out)
{
    int64_t m = SEEN + 1 - kernel, tiles = (rows + m - 1) / m, parts = (tiles + TILE_ROWS - 1) / TILE_ROWS;
    int64_t part = ROUND_UP((tiles + parts - 1) / parts, 2), next = tiles * COLUMNS;
    A *found = memory;
    S *values = (S *)(found + POINTS * (TILES + 1) * COLUMNS);
    OF(rows_at_points)(SEEN, tiles, c_in, seen, m * c_in, values);
    for (int64_t p = 0; p < c_out; p += COLUMNS) {
        for (int64_t i = 0; i < POINTS; i++, panels += c_in * COLUMNS)
            for (int64_t q = 0; q < tiles; q += part)
                OF(vector_tile)(tiles - q < part ? tiles - q : part, values + (i * tiles + q) * c_in, c_in, panels, c_in,
                                found + i * next + q * COLUMNS);
#define DO(count)                                                                                                      \
    for (int64_t q = 0; q < tiles; q++)                                                                                \
        for (int64_t c = 0; c < COLUMNS; c += LANES) {                                                                 \
            V sums[8];                                                                                                 \
            S *to = out + q * m * c_out + p + c;                                                                       \
            OF(interpolated)(count, found + q * COLUMNS + c, next, sums);                                              \
            for (int j = 0; j < count; j++)                                                                            \
                if (j < rows - q * m)                                                                                  \
                    OF(kept)(sums[j], to + j * c_out);                                                                 \
        }
        FOR_COUNT(m)
#undef DO
    }
}

/* sum (SUMMED, COLUMNS), or what is added to it: SUMMED columns of a, turned, times b; both are panels. */
static void OF(summed)(int add, int64_t depth, const S *a, const S *b, A *sum)
{
    V sums[SUMMED][2];
#pragma GCC unroll 8
    for (int i = 0; i < SUMMED; i++) {
        sums[i][0] = add ? *(const V *)(sum + i * COLUMNS) : (V){0};
        sums[i][1] = add ? *(const V *)(sum + i * COLUMNS + LANES) : (V){0};
    }
    for (int64_t q = 0; q < depth; q += PAIR, a += PAIR * COLUMNS, b += PAIR * COLUMNS) {
        OF(operand) one = OF(loaded)(b), other = OF(loaded)(b + PAIR * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < SUMMED; i++) {
            sums[i][0] = OF(added)(sums[i][0], a + i * PAIR, one);
            sums[i][1] = OF(added)(sums[i][1], a + i * PAIR, other);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < SUMMED; i++) {
        *(V *)(sum + i * COLUMNS) = sums[i][0];
        *(V *)(sum + i * COLUMNS + LANES) = sums[i][1];
    }
}

/* The gradient of the kernels at points, or what is added to it, (POINTS, c_out / SUMMED, c_in / COLUMNS, SUMMED, COLUMNS):
   from slopes (rows, c_out), zeros behind them, and what the kernel sees, as for `convolved`. */
static void OF(gradient_at_points)(int add, A *sums, int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out,
                                   const A *slope, const A *seen, void *memory)
{
    int64_t m = SEEN + 1 - kernel, tiles = (rows + m - 1) / m, depth = ROUND_UP(tiles, PAIR), next = depth * COLUMNS;
    S *values = memory, *slopes = values + POINTS * depth * c_in;
    OF(panels_at_points)(SEEN, tiles, c_in, seen, m * c_in, c_in, values, depth * c_in, next);
    OF(panels_at_points)(m, tiles, c_out, slope, m * c_out, c_out, slopes, depth * c_out, next);
    for (int64_t i = 0; i < POINTS; i++, values += depth * c_in, slopes += depth * c_out)
        for (int64_t o = 0; o < c_out; o += SUMMED)
            for (int64_t c = 0; c < c_in; c += COLUMNS, sums += SUMMED * COLUMNS)
                OF(summed)(add, depth, slopes + o / COLUMNS * next + o % COLUMNS * PAIR, values + c / COLUMNS * next, sums);
}

/* The gradient (c_out, kernel, c_in) from that. */
static void OF(gradient_from_points)(const A *sums, int64_t kernel, int64_t c_in, int64_t c_out, A *gradient)
{
#define DO(kernel)                                                                                                     \
    for (int64_t o = 0; o < c_out; o++)                                                                                \
        for (int64_t c = 0; c < c_in; c += LANES) {                                                                    \
            int64_t at = o / SUMMED * SUMMED * c_in + (o % SUMMED + c / COLUMNS * SUMMED) * COLUMNS + c % COLUMNS;     \
            V found[8];                                                                                                \
            OF(interpolated)(kernel, sums + at, c_out * c_in, found);                                                  \
            for (int j = 0; j < kernel; j++)                                                                           \
                *(V *)(gradient + (o * kernel + j) * c_in + c) = found[j];                                             \
        }
    FOR_COUNT(kernel)
#undef DO
}

#undef V
