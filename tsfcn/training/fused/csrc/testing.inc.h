/* Internal functions of the templates for tests/parity/test_c_internals.py, for each type, with -DTSFCN_TESTING. */

const int64_t FN(test_sizes)[] = {PAIR, VECTOR_MR, MR, NR, K_MULTIPLE, KC, ALPHA, POINTS, MIN_R, MAX_R, MAX_TILES};

void FN(test_round)(const acc_t *from, int64_t count, operand_t *to)
{
    FN(round_row)(from, count, to);
}

void FN(test_transpose)(const operand_t *from, int64_t rows, int64_t columns, operand_t *to, int64_t stride)
{
    unit_t *pairs = malloc((rows + PAIR) * columns * sizeof(operand_t));
    FN(transpose)(from, rows, columns, to, stride, pairs);
    free(pairs);
}

void FN(test_pack)(const operand_t *from, int64_t stride, int64_t k, int64_t n, operand_t *panels)
{
    FN(pack)(from, stride, k, n, panels, PADDED_K(k) * NR, 0);
    FN(pack_zeros)(k, n, panels, PADDED_K(k) * NR);
}

void FN(test_pack_filters)(const acc_t *weight, int64_t kernel, int64_t c_in, int64_t c_out, operand_t *panels)
{
    operand_t *memory = malloc(kernel * c_in * c_out * sizeof(operand_t));
    FN(pack_filters)(weight, kernel, c_in, c_out, panels, memory);
    free(memory);
}

void FN(test_pack_flipped_filters)(const acc_t *weight, int64_t kernel, int64_t c_in, int64_t c_out, operand_t *panels)
{
    operand_t *memory = malloc(FN(flipped_filters_memory)(kernel, c_in, c_out) * sizeof(operand_t));
    FN(pack_flipped_filters)(weight, kernel, c_in, c_out, panels, memory);
    free(memory);
}

/* Either `rounded` or `sums` may be NULL. */
void FN(test_gemm)(int64_t m, int64_t n, int64_t k, const operand_t *a, int64_t stride, int64_t size,
                   const operand_t *panels, operand_t *rounded, acc_t *sums, int accumulate)
{
    operand_t *edge = malloc((MR * stride + PADDED_K(k)) * sizeof(operand_t));
    FN(gemm)(FN(all_tiles)(m, n), m, n, k, (FN(left)){a, stride, size}, (FN(right)){panels, PADDED_K(k) * NR}, edge,
             (FN(result)){rounded, sums, accumulate, n});
    free(edge);
}

void FN(test_grad_weight_gemm)(int accumulate, acc_t *grad_weight, int64_t rows, int64_t kernel, int64_t c_in,
                               int64_t c_out, const operand_t *grad_y, const operand_t *input)
{
    size_t bytes = FN(grad_weight_memory)(rows, kernel, c_in, c_out) * sizeof(operand_t);
    operand_t *memory = aligned_alloc(64, ROUND_UP(bytes, 64));
    FN(prepare_grad_weight)(rows, kernel, c_in, c_out, grad_y, input, memory);
    struct range parts = {0, FN(grad_weight_parts)(kernel, c_in, c_out)};
    FN(add_grad_weight)(parts, accumulate, grad_weight, rows, kernel, c_in, c_out, memory);
    free(memory);
}

/* The three transforms of LANES channels each, without rounding. */
void FN(test_filter_transform)(int64_t count, const acc_t *g, acc_t *to)
{
    vec_t values[POINTS];
#define CALL(count) FN(filter_transform)(count, g, LANES, values)
    SWITCH_COUNT(count, CALL)
#undef CALL
    memcpy(to, values, sizeof(values));
}

void FN(test_data_transform)(const acc_t *d, acc_t *to)
{
    vec_t values[POINTS];
    FN(data_transform)(d, LANES, values);
    memcpy(to, values, sizeof(values));
}

void FN(test_inverse_transform)(int64_t count, const acc_t *products, acc_t *to)
{
    vec_t sums[8];
#define CALL(count) FN(inverse_transform)(count, products, LANES, sums)
    SWITCH_COUNT(count, CALL)
#undef CALL
    memcpy(to, sums, count * sizeof(vec_t));
}

/* input: (rows + kernel - 1 + m - 1, c_in); at most MAX_TILES tiles. */
void FN(test_winograd_conv)(int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out, const acc_t *input,
                            const acc_t *weight, int flipped, operand_t *y)
{
    operand_t *panels = aligned_alloc(64, POINTS * c_in * c_out * sizeof(operand_t));
    void *memory = aligned_alloc(64, ROUND_UP(FN(winograd_memory)(c_in, c_out), 64));
    if (flipped) /* weight: (c_in, kernel, c_out) */
        FN(winograd_flipped_filters)((struct range){0, c_in}, weight, kernel, c_out, c_in, panels);
    else
        FN(winograd_filters)(weight, kernel, c_in, c_out, panels, memory);
    FN(winograd_conv)(rows, kernel, c_in, c_out, input, panels, memory, y);
    free(memory);
    free(panels);
}

/* grad_y: (rows + m - 1, c_out), zeros after `rows`. */
void FN(test_winograd_grad_weight)(int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out, const acc_t *grad_y,
                                   const acc_t *input, acc_t *grad_weight)
{
    acc_t *sums = aligned_alloc(64, POINTS * c_in * c_out * sizeof(acc_t));
    void *memory = aligned_alloc(64, ROUND_UP(FN(winograd_memory)(c_in, c_out), 64));
    FN(winograd_prepare_grad)(rows, kernel, c_in, c_out, grad_y, input, memory);
    FN(winograd_add_grad)((struct range){0, POINTS * c_out / GRAD_MR}, 0, sums, rows, kernel, c_in, c_out, memory);
    FN(winograd_grad_weight)((struct range){0, c_out}, sums, kernel, c_in, c_out, grad_weight);
    free(memory);
    free(sums);
}
