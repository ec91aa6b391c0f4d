/* A convolution and its gradients as plain matrix products.

     y           = windows of the padded input (rows, kernel * c_in)  times  filters (kernel * c_in, c_out)
     grad_input  = windows of the padded grad_y (rows, kernel * c_out)  times  flipped filters (kernel * c_out, c_in)
     grad_weight = grad_y transposed (c_out, rows)  times  windows of the padded input (rows, kernel * c_in) */

/* Return the weights as operands: the weights themselves, or rounded in `memory`, which has room for `count` values. */
static const operand_t *FN(as_operands)(const acc_t *weight, int64_t count, operand_t *memory)
{
#if PAIR == 1
    (void)count, (void)memory;
    return weight;
#else
    FN(round_row)(weight, count, memory);
    return memory;
#endif
}

/* The number of values of the packed filters of a convolution from `k` = kernel * channels to n channels. */
static int64_t FN(packed_filters_size)(int64_t k, int64_t n)
{
    return ROUND_UP(n, NR) / NR * PADDED_K(k) * NR;
}

/* Pack weight (c_out, kernel, c_in) as the right operand (kernel * c_in, c_out). memory: for as many values. */
static void FN(pack_filters)(const acc_t *weight, int64_t kernel, int64_t c_in, int64_t c_out, operand_t *panels,
                             operand_t *memory)
{
    int64_t k = kernel * c_in, panel_stride = PADDED_K(k) * NR;
    const operand_t *operands = FN(as_operands)(weight, c_out * k, memory);
    if (c_out % NR || k % PAIR)
        memset(panels, 0, FN(packed_filters_size)(k, c_out) * sizeof(operand_t));
    for (int64_t p = 0; p < c_out; p += NR) {
        int64_t width = MIN(c_out - p, NR);
        operand_t *to = panels + p / NR * panel_stride;
        const operand_t *from = operands + p * k;
        if (k % PAIR == 0)
            transpose_units((const unit_t *)from, k / PAIR, width, k / PAIR, (unit_t *)to, NR);
        else
            for (int64_t j = 0; j < width; j++)
                for (int64_t q = 0; q < k; q++)
                    to[(q / PAIR * NR + j) * PAIR + q % PAIR] = from[j * k + q];
    }
    FN(pack_zeros)(k, c_out, panels, panel_stride);
}

/* The number of values of memory that pack_flipped_filters needs. */
static int64_t FN(flipped_filters_memory)(int64_t kernel, int64_t c_in, int64_t c_out)
{
    return 2 * kernel * c_in * c_out + 2;
}

/* Pack weight (c_out, kernel, c_in) as the right operand (kernel * c_out, c_in) of grad_input, last timepoint first. */
static void FN(pack_flipped_filters)(const acc_t *weight, int64_t kernel, int64_t c_in, int64_t c_out,
                                     operand_t *panels, operand_t *memory)
{
    int64_t k = kernel * c_out, panel_stride = PADDED_K(k) * NR;
    const operand_t *operands = FN(as_operands)(weight, k * c_in, memory);
    operand_t *gathered = memory + ROUND_UP(k * c_in, PAIR);
    for (int64_t tap = 0; tap < kernel; tap++) {
        const operand_t *from = operands + (kernel - 1 - tap) * c_in;
        if (c_out % PAIR == 0)
            FN(pack)(from, kernel * c_in, c_out, c_in, panels, panel_stride, tap * c_out);
        else /* pairs extend from one timepoint to the next */
            for (int64_t o = 0; o < c_out; o++)
                memcpy(gathered + (tap * c_out + o) * c_in, from + o * kernel * c_in, c_in * sizeof(operand_t));
    }
    if (c_out % PAIR)
        FN(pack)(gathered, c_in, k, c_in, panels, panel_stride, 0);
    FN(pack_zeros)(k, c_in, panels, panel_stride);
}

/* One product of grad_weight sums over KC rows of grad_y and of the input. KC_STRIDE, the stride of the transposed
   rows, is an odd number of cache lines. A micropanel of the other operand also holds the rows that the kernel extends
   to. */
#define KC_STRIDE (KC + 64 / (int64_t)sizeof(operand_t))
#define KC_PANEL(kernel) ((ROUND_UP(KC + kernel, PAIR) + PAIR) * NR)

/* Return whether whole windows fill fewer micropanels than the channels of each timepoint of the kernel by themselves.
   */
static int FN(use_windows)(int64_t kernel, int64_t c_in)
{
    return ROUND_UP(kernel * c_in, NR) < kernel * ROUND_UP(c_in, NR);
}

/* The number of values of memory that grad_weight_gemm needs. */
static int64_t FN(grad_weight_memory)(int64_t kernel, int64_t c_in, int64_t c_out)
{
    int64_t panels_in = PAIR * ROUND_UP(c_in, NR) / NR * KC_PANEL(kernel);
    int64_t panels_out = ROUND_UP(c_out, NR) / NR * KC_PANEL(kernel);
    if (c_in == 1)
        return panels_out + ROUND_UP(MR + KC, 64) + PAIR * kernel * c_out;
    if (FN(use_windows)(kernel, c_in))
        panels_in = ROUND_UP(kernel * c_in, NR) * KC;
    return ROUND_UP(c_out, MR) * KC_STRIDE + panels_in + KC * c_out;
}

/* grad_weight_gemm for one channel: the transposed windows of the input, (kernel, rows), are overlapping rows, which
   are multiplied by grad_y. */
static void FN(grad_weight_gemm_1)(int accumulate, acc_t *grad_weight, int64_t rows, int64_t kernel, int64_t c_out,
                                   const operand_t *grad_y, const operand_t *input, operand_t *memory)
{
    int64_t panel_stride = KC_PANEL(kernel);
    operand_t *panels = memory, *edge = panels + ROUND_UP(c_out, NR) / NR * panel_stride;
    acc_t *sums = (acc_t *)(edge + ROUND_UP(MR + KC, 64 / (int64_t)sizeof(operand_t)));
    for (int64_t start = 0; start < rows; start += KC) {
        int64_t k = MIN(rows - start, KC);
        FN(pack)(grad_y + start * c_out, c_out, k, c_out, panels, panel_stride, 0);
        FN(pack_zeros)(k, c_out, panels, panel_stride);
        FN(left) a = {input + start, 1, rows - start + kernel - 1};
        FN(right) b = {panels, panel_stride};
        FN(gemm)(kernel, c_out, k, a, b, edge, (FN(result)){NULL, sums, start > 0, c_out});
    }
    for (int64_t o = 0; o < c_out; o++)
        for (int64_t tap = 0; tap < kernel; tap++)
            grad_weight[o * kernel + tap] = (accumulate ? grad_weight[o * kernel + tap] : 0) + sums[tap * c_out + o];
}

/* grad_weight_gemm for few channels: the windows of the input are packed as they are, (rows, kernel * c_in). */
static void FN(grad_weight_gemm_windows)(int accumulate, acc_t *grad_weight, int64_t rows, int64_t kernel, int64_t c_in,
                                         int64_t c_out, const operand_t *grad_y, const operand_t *input,
                                         operand_t *memory)
{
    int64_t n = kernel * c_in, stride = KC_STRIDE, panel_stride = KC * NR, n_transposed = ROUND_UP(c_out, MR) * stride;
    operand_t *transposed = memory, *panels = transposed + n_transposed, *pairs = panels + ROUND_UP(n, NR) * KC;
    for (int64_t start = 0; start < rows; start += KC) {
        int64_t k = MIN(rows - start, KC);
        FN(transpose)(grad_y + start * c_out, k, c_out, transposed, stride, (unit_t *)pairs);
        FN(pack)(input + start * c_in, c_in, k, n, panels, panel_stride, 0);
        FN(pack_zeros)(k, n, panels, panel_stride);
        FN(gemm)(c_out, n, k, (FN(left)){transposed, stride, n_transposed}, (FN(right)){panels, panel_stride},
                 transposed, (FN(result)){NULL, grad_weight, accumulate || start > 0, n});
    }
}

/* grad_weight (c_out, kernel, c_in) of some rows of grad_y, (rows, c_out), and of the padded input,
   (rows + kernel - 1, c_in). It is stored, or added if `accumulate`. */
static void FN(grad_weight_gemm)(int accumulate, acc_t *grad_weight, int64_t rows, int64_t kernel, int64_t c_in,
                                 int64_t c_out, const operand_t *grad_y, const operand_t *input, operand_t *memory)
{
    if (c_in == 1) {
        FN(grad_weight_gemm_1)(accumulate, grad_weight, rows, kernel, c_out, grad_y, input, memory);
        return;
    }
    if (FN(use_windows)(kernel, c_in)) {
        FN(grad_weight_gemm_windows)(accumulate, grad_weight, rows, kernel, c_in, c_out, grad_y, input, memory);
        return;
    }
    /* The input is packed once for all timepoints of the kernel: each uses the same micropanel from another row on. If
       rows are packed in pairs, it is packed twice, with pairs that begin at even and at odd rows. */
    int64_t stride = KC_STRIDE, panel_stride = KC_PANEL(kernel);
    int64_t n_panels = ROUND_UP(c_in, NR) / NR * panel_stride, n_transposed = ROUND_UP(c_out, MR) * stride;
    operand_t *transposed = memory, *panels = transposed + n_transposed, *pairs = panels + PAIR * n_panels;
    for (int64_t start = 0; start < rows; start += KC) {
        int64_t k = MIN(rows - start, KC);
        FN(transpose)(grad_y + start * c_out, k, c_out, transposed, stride, (unit_t *)pairs);
        for (int64_t first = 0; first < (kernel > 1 ? PAIR : 1); first++) {
            int64_t n_input = k + kernel - 1 - first;
            FN(pack)(input + (start + first) * c_in, c_in, n_input, c_in, panels + first * n_panels, panel_stride, 0);
            FN(pack_zeros)(n_input, c_in, panels + first * n_panels, panel_stride);
        }
        FN(left) a = {transposed, stride, n_transposed};
        for (int64_t tap = 0; tap < kernel; tap++) {
            FN(right) b = {panels + tap % PAIR * n_panels + tap / PAIR * PAIR * NR, panel_stride};
            FN(result) c = {NULL, grad_weight + tap * c_in, accumulate || start > 0, kernel * c_in};
            FN(gemm)(c_out, c_in, k, a, b, transposed, c);
        }
    }
}
