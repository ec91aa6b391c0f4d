/* A convolution and its gradients by F(m, r): transforms (winograd.inc.h) and a matrix product for each point.

   The numbers of channels are multiples of NR. Transformed values are rounded to operand_t, products are acc_t. */

/* Return whether a convolution is faster by F(m, r) than by plain products. */
static int FN(use_winograd)(int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out)
{
#if PAIR == 2 && defined(AMX)
    if (may_use_amx())
        return 0;
#endif
    return kernel >= MIN_R && kernel <= MAX_R && c_in % NR == 0 && c_out % NR == 0 && rows >= MIN_ROWS;
}

/* The number of rows of a chunk: whole tiles, at most MAX_TILES, so that all chunks have about the same size. */
static int64_t FN(winograd_chunk)(int64_t rows, int64_t kernel)
{
    int64_t m = ALPHA + 1 - kernel, tiles = (rows + m - 1) / m, parts = (tiles + MAX_TILES - 1) / MAX_TILES;
    return (tiles + parts - 1) / parts * m;
}

/* The bytes of memory that the functions below need. */
static size_t FN(winograd_memory)(int64_t c_in, int64_t c_out)
{
    return POINTS * (MAX_TILES + NR + PAIR) * (c_in + c_out) * sizeof(operand_t) +
           POINTS * (MAX_TILES + 1) * NR * sizeof(acc_t);
}

/* Transform a tile of ALPHA timepoints by B^T, or `count` timepoints of a filter or of grad_y by G. */
ALWAYS_INLINE void FN(transform)(const int count, const acc_t *from, int64_t stride, vec_t *to)
{
    if (count == ALPHA)
        FN(data_transform)(from, stride, to);
    else
        FN(filter_transform)(count, from, stride, to);
}

/* Transform as the left operand: `rows` groups of `count` timepoints (channels), the groups `row_stride` values
   apart, to (POINTS, rows, channels). */
ALWAYS_INLINE void FN(transform_left_of)(const int count, int64_t rows, int64_t channels, const acc_t *from,
                                         int64_t row_stride, operand_t *to)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c += LANES) {
            vec_t values[POINTS];
            FN(transform)(count, from + r * row_stride + c, channels, values);
            for (int i = 0; i < POINTS; i++)
                FN(store_operands)(values[i], to + (i * rows + r) * channels + c);
        }
}

static void FN(transform_left)(int64_t count, int64_t rows, int64_t channels, const acc_t *from, int64_t row_stride,
                               operand_t *to)
{
#define CALL(count) FN(transform_left_of)(count, rows, channels, from, row_stride, to)
    if (count == ALPHA)
        CALL(ALPHA);
    else
        SWITCH_COUNT(count, CALL)
#undef CALL
}

/* Transform as the right operand: for each point, point_stride values apart, micropanels (rows, NR), panel_stride
   apart. The timepoints of a group are `stride` values apart. */
ALWAYS_INLINE void FN(transform_right_of)(const int count, int64_t rows, int64_t channels, const acc_t *from,
                                          int64_t row_stride, int64_t stride, operand_t *to, int64_t point_stride,
                                          int64_t panel_stride)
{
    for (int64_t r = 0; r < rows; r += PAIR)
        for (int64_t c = 0; c < channels; c += LANES) {
            operand_t *at = to + r * NR + c / NR * panel_stride + c % NR * PAIR;
            vec_t values[PAIR][POINTS];
            FN(transform)(count, from + r * row_stride + c, stride, values[0]);
            if (PAIR > 1 && r + 1 < rows)
                FN(transform)(count, from + (r + PAIR - 1) * row_stride + c, stride, values[PAIR - 1]);
            else if (PAIR > 1)
                memset(values[PAIR - 1], 0, sizeof(values[0]));
            for (int i = 0; i < POINTS; i++)
#if PAIR == 1
                FN(store_operands)(values[0][i], at + i * point_stride);
#else
                FN(store_pairs)(values[0][i], values[1][i], at + i * point_stride);
#endif
        }
}

static void FN(transform_right)(int64_t count, int64_t rows, int64_t channels, const acc_t *from, int64_t row_stride,
                                int64_t stride, operand_t *to, int64_t point_stride, int64_t panel_stride)
{
#define CALL(count)                                                                                                    \
    FN(transform_right_of)(count, rows, channels, from, row_stride, stride, to, point_stride, panel_stride)
    if (count == ALPHA)
        CALL(ALPHA);
    else
        SWITCH_COUNT(count, CALL)
#undef CALL
}

/* Transform weight (c_out, kernel, c_in) to micropanels (c_in, NR), POINTS for each NR of c_out. */
static void FN(winograd_filters)(const acc_t *weight, int64_t kernel, int64_t c_in, int64_t c_out, operand_t *panels,
                                 operand_t *memory)
{
    int64_t panel_stride = NR * c_in, n_units = c_in / PAIR;
    for (int64_t p = 0; p < c_out; p += NR) {
        FN(transform_left)(kernel, NR, c_in, weight + p * kernel * c_in, kernel * c_in, memory);
        for (int64_t i = 0; i < POINTS; i++, panels += panel_stride)
            transpose_units((const unit_t *)(memory + i * panel_stride), n_units, NR, n_units, (unit_t *)panels, NR);
    }
}

/* The same for grad_input, with the last timepoint first: micropanels (c_out, NR), POINTS for each NR of c_in; of these
   some rows from an even one on. */
static void FN(winograd_flipped_filters)(struct range rows, const acc_t *weight, int64_t kernel, int64_t c_in,
                                         int64_t c_out, operand_t *panels)
{
    const acc_t *last = weight + (rows.start * kernel + kernel - 1) * c_in;
    FN(transform_right)(kernel, rows.end - rows.start, c_in, last, kernel * c_in, -c_in, panels + rows.start * NR,
                        c_out * NR, POINTS * c_out * NR);
}

/* Compute the outputs of NR channels from `products`, (POINTS, tiles, NR); rows from `rows` on are not stored. */
ALWAYS_INLINE void FN(winograd_outputs_of)(const int m, int64_t rows, int64_t tiles, const acc_t *products,
                                           operand_t *y, int64_t c_out)
{
    for (int64_t q = 0; q < tiles; q++)
        for (int64_t c = 0; c < NR; c += LANES) {
            vec_t sums[8];
            operand_t *to = y + q * m * c_out + c;
            FN(inverse_transform)(m, products + q * NR + c, tiles * NR, sums);
            for (int j = 0; j < m; j++)
                if (j < rows - q * m)
                    FN(store_operands)(sums[j], to + j * c_out);
        }
}

/* Compute y (rows, c_out) from the transformed filters and the input (rows + kernel - 1, c_in), which is followed by
   m - 1 more rows. */
static void FN(winograd_conv)(int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out, const acc_t *input,
                              const operand_t *panels, void *memory, operand_t *y)
{
    int64_t m = ALPHA + 1 - kernel, tiles = (rows + m - 1) / m, parts = (tiles + VECTOR_MR - 1) / VECTOR_MR;
    int64_t part = ROUND_UP((tiles + parts - 1) / parts, 2); /* tiles in a microtile */
    acc_t *products = memory;
    operand_t *data = (operand_t *)(products + POINTS * (MAX_TILES + 1) * NR);
    FN(transform_left)(ALPHA, tiles, c_in, input, m * c_in, data);
    for (int64_t p = 0; p < c_out; p += NR) {
        for (int64_t i = 0; i < POINTS; i++, panels += c_in * NR)
            for (int64_t q = 0; q < tiles; q += part)
                FN(microkernel)(MIN(tiles - q, part), data + (i * tiles + q) * c_in, c_in, panels, c_in,
                                products + (i * tiles + q) * NR);
#define CALL(m) FN(winograd_outputs_of)(m, rows, tiles, products, y + p, c_out)
        SWITCH_COUNT(m, CALL)
#undef CALL
    }
}

/* Multiply GRAD_MR columns of micropanel a, transposed, by micropanel b: (GRAD_MR, NR), stored or added if
   `accumulate`. */
static void FN(grad_microtile)(int accumulate, int64_t k, const operand_t *a, const operand_t *b, acc_t *to)
{
    vec_t sums[GRAD_MR][2];
#pragma GCC unroll 8
    for (int i = 0; i < GRAD_MR; i++) {
        sums[i][0] = accumulate ? *(const vec_t *)(to + i * NR) : (vec_t){0};
        sums[i][1] = accumulate ? *(const vec_t *)(to + i * NR + LANES) : (vec_t){0};
    }
    for (int64_t q = 0; q < k; q += PAIR, a += PAIR * NR, b += PAIR * NR) {
        FN(packed_vec) b0 = FN(load_packed)(b), b1 = FN(load_packed)(b + PAIR * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < GRAD_MR; i++) {
            sums[i][0] = FN(multiply_add)(sums[i][0], a + i * PAIR, b0);
            sums[i][1] = FN(multiply_add)(sums[i][1], a + i * PAIR, b1);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < GRAD_MR; i++) {
        *(vec_t *)(to + i * NR) = sums[i][0];
        *(vec_t *)(to + i * NR + LANES) = sums[i][1];
    }
}

/* The gradient of the transformed filters, sums (POINTS, c_out / GRAD_MR, c_in / NR, GRAD_MR, NR), is computed in two
   steps, as grad_weight in conv_gemm.inc.h: some rows are transformed and packed, and then added to some parts of the
   sums, of which there are POINTS * c_out / GRAD_MR.

   The rows are those of grad_y, (rows, c_out), followed by zeros, and the input as for winograd_conv. */
static void FN(winograd_prepare_grad)(int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out, const acc_t *grad_y,
                                      const acc_t *input, void *memory)
{
    int64_t m = ALPHA + 1 - kernel, tiles = (rows + m - 1) / m, k = ROUND_UP(tiles, PAIR), panel_stride = k * NR;
    operand_t *data = memory, *grads = data + POINTS * k * c_in;
    FN(transform_right)(ALPHA, tiles, c_in, input, m * c_in, c_in, data, k * c_in, panel_stride);
    FN(transform_right)(m, tiles, c_out, grad_y, m * c_out, c_out, grads, k * c_out, panel_stride);
}

/* Compute some parts of the sums from `rows` rows that were prepared. They are stored, or added if `accumulate`. */
static void FN(winograd_add_grad)(struct range parts, int accumulate, acc_t *sums, int64_t rows, int64_t kernel,
                                  int64_t c_in, int64_t c_out, const void *memory)
{
    int64_t m = ALPHA + 1 - kernel, k = ROUND_UP((rows + m - 1) / m, PAIR), panel_stride = k * NR;
    const operand_t *data = memory, *grads = data + POINTS * k * c_in;
    sums += parts.start * GRAD_MR * c_in;
    for (int64_t part = parts.start; part < parts.end; part++) {
        int64_t i = part / (c_out / GRAD_MR), o = part % (c_out / GRAD_MR) * GRAD_MR;
        for (int64_t c = 0; c < c_in; c += NR, sums += GRAD_MR * NR)
            FN(grad_microtile)(accumulate, k, grads + i * k * c_out + o / NR * panel_stride + o % NR * PAIR,
                               data + i * k * c_in + c / NR * panel_stride, sums);
    }
}

/* Compute some of the c_out rows of grad_weight (c_out, kernel, c_in) from the gradient of the transformed filters. */
ALWAYS_INLINE void FN(winograd_grad_weight_of)(const int kernel, struct range rows, const acc_t *sums, int64_t c_in,
                                               int64_t c_out, acc_t *grad_weight)
{
    for (int64_t o = rows.start; o < rows.end; o++)
        for (int64_t c = 0; c < c_in; c += LANES) {
            int64_t at = o / GRAD_MR * GRAD_MR * c_in + (o % GRAD_MR + c / NR * GRAD_MR) * NR + c % NR;
            vec_t gradient[8];
            FN(inverse_transform)(kernel, sums + at, c_out * c_in, gradient);
            for (int j = 0; j < kernel; j++)
                *(vec_t *)(grad_weight + (o * kernel + j) * c_in + c) = gradient[j];
        }
}

static void FN(winograd_grad_weight)(struct range rows, const acc_t *sums, int64_t kernel, int64_t c_in, int64_t c_out,
                                     acc_t *grad_weight)
{
#define CALL(kernel) FN(winograd_grad_weight_of)(kernel, rows, sums, c_in, c_out, grad_weight)
    SWITCH_COUNT(kernel, CALL)
#undef CALL
}
