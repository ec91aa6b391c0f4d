/* Convolutions with fewer multiplications, after Toom, Cook and Winograd 1980.

   A product of polynomials with `kernel` and with m = POINTS + 1 - kernel coefficients is known from its values at POINTS
   points: here 0, 1, -1, 2, -2, 1/2, -1/2 and infinity, which stands for the last coefficient. That takes POINTS
   multiplications instead of m * kernel, and so does the transpose of it, which makes m rows of a convolution of POINTS rows
   and a kernel. The gradient of an input is a convolution of slopes by the kernels turned round; the gradient of kernels
   makes `kernel` sums of POINTS rows and m slopes.

     rows_at_points         POINTS rows: the transpose of finding coefficients from values
     values_at_points       kernels, or m slopes: their values
     interpolated           sums from products: the transpose of finding values

   Between them is a product of matrices for each point; there and back are a tenth of the arithmetic. Rounding errors are
   up to twice those of products.c.

   Channels are multiples of COLUMNS. Included by kernels.c after products.c, for operands of type A. */

#ifndef POINTS

#define POINTS 8
#define LEAST_KERNEL 3 /* from here to MOST_KERNEL, m * kernel is more than twice POINTS */
#define MOST_KERNEL 6
#define LEAST_ROWS 70                      /* below, what is done to weights and gradients outweighs the gain */
#define TILES (70 / TILE_ROWS * TILE_ROWS) /* groups of m rows that are taken at once, to stay in the cache */
#define SUMMED (TILE_ROWS > 8 ? 8 : 4)     /* rows of a tile of gradients */

/* Of the pairs of points 1, 2, 1/2 and their negatives, i = 0, 1, 2: */
#define OF_PAIR(i, first, second, third) ((A)((i) == 0 ? (first) : (i) == 1 ? (second) : (third)))
#define POINT(i) OF_PAIR(i, 1, 2, 0.5)
#define SCALE(i) OF_PAIR(i, -1 / 4.5, 1 / 90., 1 / 1.40625) /* 1 over the product of differences to all others */
#define SQUARES(i) OF_PAIR(i, 4.25, 1.25, 5)                /* the sum of squares of the other two */
#define PRODUCT(i) OF_PAIR(i, 1, 0.25, 4)                   /* and their product */

/* DO with a count of coefficients, of a kernel or m, that is known when this is compiled. */
#define FOR_COUNT(count, DO)                                                                                           \
    switch (count) {                                                                                                   \
    case 3:                                                                                                            \
        DO(3);                                                                                                         \
        break;                                                                                                         \
    case 4:                                                                                                            \
        DO(4);                                                                                                         \
        break;                                                                                                         \
    case 5:                                                                                                            \
        DO(5);                                                                                                         \
        break;                                                                                                         \
    default:                                                                                                           \
        DO(6);                                                                                                         \
    }

#endif

#define V OF(vector)

/* `count` coefficients, `next` values apart -> values, next_to apart; LANES channels of each. */
ALWAYS void OF(evaluated)(const int count, const A *from, int64_t next, A *to, int64_t next_to)
{
    V own[POINTS];
#pragma GCC unroll 8
    for (int j = 0; j < count; j++)
        own[j] = *(const V *)(from + j * next);
    *(V *)to = -own[0];
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
        *(V *)(to + (1 + 2 * i) * next_to) = (even + odd) * SCALE(i);
        *(V *)(to + (2 + 2 * i) * next_to) = (even - odd) * SCALE(i);
    }
    *(V *)(to + 7 * next_to) = own[count - 1];
}

/* Products, `next` values apart -> the first `some` of `count` sums, next_to apart; LANES channels of each. */
ALWAYS void OF(interpolated)(const int count, int64_t some, const A *from, int64_t next, A *to, int64_t next_to)
{
    V own[POINTS];
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
#pragma GCC unroll 8
    for (int j = 0; j < count; j++)
        if (j < some)
            *(V *)(to + j * next_to) = own[j];
}

/* What a kernel sees, (m * tiles + kernel - 1, channels) -> `to`, of which points lie next_to values apart, tiles
   next_tile, and each COLUMNS channels next_panel. */
static void OF(rows_at_points)(int64_t tiles, int64_t m, int64_t channels, const A *seen, A *to, int64_t next_to,
                               int64_t next_tile, int64_t next_panel)
{
    for (int64_t q = 0; q < tiles; q++)
        for (int64_t c = 0; c < channels; c += LANES) {
            const A *from = seen + q * m * channels + c;
            A *at = to + q * next_tile + c / COLUMNS * next_panel + c % COLUMNS;
            V own[POINTS];
#pragma GCC unroll 8
            for (int j = 0; j < POINTS; j++)
                own[j] = *(const V *)(from + j * channels);
            *(V *)at = own[6] - own[0] + (A)5.25 * (own[2] - own[4]);
#pragma GCC unroll 3
            for (int i = 0; i < 3; i++) {
                V even = own[6] + PRODUCT(i) * own[2] - SQUARES(i) * own[4];
                V odd = POINT(i) * (own[5] + PRODUCT(i) * own[1] - SQUARES(i) * own[3]);
                *(V *)(at + (1 + 2 * i) * next_to) = even + odd;
                *(V *)(at + (2 + 2 * i) * next_to) = even - odd;
            }
            *(V *)(at + 7 * next_to) = own[7] - own[1] + (A)5.25 * (own[3] - own[5]);
        }
}

/* Rows of `count` coefficients, of kernels or m slopes, which lie next_time values apart: their values -> `to`, laid out as
   by rows_at_points. */
static void OF(values_at_points)(int64_t rows, int64_t count, int64_t channels, const A *from, int64_t next_time, A *to,
                                 int64_t next_to, int64_t next_row, int64_t next_panel)
{
#define DO(count)                                                                                                      \
    for (int64_t r = 0; r < rows; r++)                                                                                 \
        for (int64_t c = 0; c < channels; c += LANES)                                                                  \
            OF(evaluated)(count, from + r * count * channels + c, next_time,                                           \
                          to + r * next_row + c / COLUMNS * next_panel + c % COLUMNS, next_to)
    FOR_COUNT(count, DO)
#undef DO
}

/* Whether a layer is better taken at points. */
static int OF(points_pay)(int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out)
{
    return kernel >= LEAST_KERNEL && kernel <= MOST_KERNEL && c_in % COLUMNS == 0 && c_out % COLUMNS == 0 &&
           rows >= LEAST_ROWS;
}

/* How many of its rows to take at once. */
static int64_t OF(rows_at_once)(int64_t rows, int64_t kernel)
{
    int64_t m = POINTS + 1 - kernel, tiles = (rows + m - 1) / m, parts = (tiles + TILES - 1) / TILES;
    return (tiles + parts - 1) / parts * m;
}

/* For how many values the functions below need memory. */
static int64_t OF(memory_at_points)(int64_t c_in, int64_t c_out)
{
    return (POINTS * (TILES + COLUMNS) + 1) * (c_in + c_out + COLUMNS);
}

/* Panels (c_in, COLUMNS) of weights (c_out, kernel, c_in), POINTS for each COLUMNS of c_out. */
static void OF(panels_at_points)(const A *weights, int64_t kernel, int64_t c_in, int64_t c_out, A *panels, A *memory)
{
    int64_t next = COLUMNS * c_in;
    for (int64_t p = 0; p < c_out; p += COLUMNS) {
        OF(values_at_points)(COLUMNS, kernel, c_in, weights + p * kernel * c_in, c_in, memory, next, c_in, COLUMNS);
        for (int64_t i = 0; i < POINTS; i++, panels += next)
            TURNED((const UNIT *)(memory + i * next), c_in, COLUMNS, c_in, (UNIT *)panels, COLUMNS);
    }
}

/* Panels (c_out, COLUMNS) for the way back, POINTS for each COLUMNS of c_in: the last timepoint comes first. */
static void OF(panels_back_at_points)(const A *weights, int64_t kernel, int64_t c_in, int64_t c_out, A *panels)
{
    OF(values_at_points)(c_out, kernel, c_in, weights + (kernel - 1) * c_in, -c_in, panels, c_out * COLUMNS, COLUMNS,
                         POINTS * c_out * COLUMNS);
}

/* Rows of a convolution, out (rows, c_out), of what the kernel sees, (rows + kernel - 1, c_in) and m - 1 more. */
static void OF(convolved)(int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out, const A *seen, const A *panels,
                          A *memory, A *out)
{
    int64_t m = POINTS + 1 - kernel, tiles = (rows + m - 1) / m, parts = (tiles + TILE_ROWS - 1) / TILE_ROWS;
    int64_t part = ROUND_UP((tiles + parts - 1) / parts, 2), next = tiles * COLUMNS;
    A *found = memory, *values = found + (POINTS * TILES + 1) * COLUMNS;
    OF(rows_at_points)(tiles, m, c_in, seen, values, tiles * c_in, c_in, COLUMNS);
    for (int64_t p = 0; p < c_out; p += COLUMNS) {
        for (int64_t i = 0; i < POINTS; i++, panels += c_in * COLUMNS)
            for (int64_t q = 0; q < tiles; q += part)
                OF(vector_tile)(tiles - q < part ? tiles - q : part, values + (i * tiles + q) * c_in, c_in, panels, c_in,
                                found + i * next + q * COLUMNS);
#define DO(count)                                                                                                      \
    for (int64_t q = 0; q < tiles; q++)                                                                                \
        for (int64_t c = 0; c < COLUMNS; c += LANES)                                                                   \
            OF(interpolated)(count, rows - q * m, found + q * COLUMNS + c, next,                                       \
                             out + q * m * c_out + p + c, c_out)
        FOR_COUNT(m, DO)
#undef DO
    }
}

/* sum (SUMMED, COLUMNS), or what is added to it: SUMMED columns of a, turned, times b; rows of both are COLUMNS values
   apart. */
static void OF(summed)(int add, int64_t depth, const A *a, const A *b, A *sum)
{
    V sums[SUMMED][2];
#pragma GCC unroll 8
    for (int i = 0; i < SUMMED; i++) {
        sums[i][0] = add ? *(const V *)(sum + i * COLUMNS) : (V){0};
        sums[i][1] = add ? *(const V *)(sum + i * COLUMNS + LANES) : (V){0};
    }
    for (int64_t q = 0; q < depth; q++, a += COLUMNS, b += COLUMNS) {
        V one = *(const V *)b, other = *(const V *)(b + LANES);
#pragma GCC unroll 8
        for (int i = 0; i < SUMMED; i++) {
            sums[i][0] += a[i] * one;
            sums[i][1] += a[i] * other;
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
                                   const A *slope, const A *seen, A *memory)
{
    int64_t m = POINTS + 1 - kernel, tiles = (rows + m - 1) / m, next = tiles * COLUMNS;
    A *values = memory, *slopes = values + POINTS * tiles * c_in;
    OF(rows_at_points)(tiles, m, c_in, seen, values, tiles * c_in, COLUMNS, next);
    OF(values_at_points)(tiles, m, c_out, slope, c_out, slopes, tiles * c_out, COLUMNS, next);
    for (int64_t i = 0; i < POINTS; i++, values += tiles * c_in, slopes += tiles * c_out)
        for (int64_t o = 0; o < c_out; o += SUMMED)
            for (int64_t c = 0; c < c_in; c += COLUMNS, sums += SUMMED * COLUMNS)
                OF(summed)(add, tiles, slopes + o / COLUMNS * next + o % COLUMNS, values + c / COLUMNS * next, sums);
}

/* The gradient (c_out, kernel, c_in) from that. */
static void OF(gradient_from_points)(const A *sums, int64_t kernel, int64_t c_in, int64_t c_out, A *gradient)
{
#define DO(kernel)                                                                                                     \
    for (int64_t o = 0; o < c_out; o++)                                                                                \
        for (int64_t c = 0; c < c_in; c += LANES)                                                                      \
            OF(interpolated)(kernel, kernel,                                                                           \
                             sums + o / SUMMED * SUMMED * c_in + (o % SUMMED + c / COLUMNS * SUMMED) * COLUMNS + c % COLUMNS, \
                             c_out * c_in, gradient + o * kernel * c_in + c, c_in)
    FOR_COUNT(kernel, DO)
#undef DO
}

#undef V
