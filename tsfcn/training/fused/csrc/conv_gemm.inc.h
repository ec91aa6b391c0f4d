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

/* grad_weight is computed in two steps, each of which several threads can share: each prepares some rows, and then each
   adds all of these to some of the gradients.

   One channel: the sums of these rows are computed already when they are prepared. The transposed windows of the input,
   (kernel, rows), are overlapping rows, which are multiplied by grad_y.

   Several channels: for each KC rows grad_y is transposed and the input is packed. It is packed once for all timepoints
   of the kernel: each uses the same micropanel from another row on. If rows are packed in pairs, it is packed twice,
   with pairs that begin at even and at odd rows. Or, as for few channels, whole windows are packed, (rows, kernel *
   c_in). */
typedef struct {
    int64_t taps;         /* products for each KC rows, */
    int64_t width;        /* the columns of one, */
    int64_t panel_stride; /* and between micropanels of the input */
    int64_t n_panels;     /* values of all micropanels, of which there are `copies` */
    int64_t copies;
    int64_t n_transposed; /* values of transposed grad_y */
} FN(grad_plan);

static FN(grad_plan) FN(plan_grad_weight)(int64_t kernel, int64_t c_in, int64_t c_out)
{
    int windows = FN(use_windows)(kernel, c_in);
    int64_t width = windows ? kernel * c_in : c_in, panel_stride = windows ? KC * NR : KC_PANEL(kernel);
    return (FN(grad_plan)){windows ? 1 : kernel,
                           width,
                           panel_stride,
                           ROUND_UP(width, NR) / NR * panel_stride,
                           windows || kernel == 1 ? 1 : PAIR,
                           ROUND_UP(c_out, MR) * KC_STRIDE};
}

/* The number of values of memory for what is prepared of `rows` rows, and to prepare it. */
static int64_t FN(grad_weight_memory)(int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out)
{
    FN(grad_plan) plan = FN(plan_grad_weight)(kernel, c_in, c_out);
    if (c_in == 1)
        return ROUND_UP(PAIR * kernel * c_out, 64) + ROUND_UP(c_out, NR) / NR * KC_PANEL(kernel) + MR + KC;
    return (rows + KC - 1) / KC * (plan.n_transposed + plan.copies * plan.n_panels) + KC * c_out;
}

/* The number of parts that grad_weight is shared by. */
static int64_t FN(grad_weight_parts)(int64_t kernel, int64_t c_in, int64_t c_out)
{
    FN(grad_plan) plan = FN(plan_grad_weight)(kernel, c_in, c_out);
    return c_in == 1 ? c_out : plan.taps * FN(all_tiles)(c_out, plan.width).end;
}

static void FN(prepare_grad_weight_1)(int64_t rows, int64_t kernel, int64_t c_out, const operand_t *grad_y,
                                      const operand_t *input, operand_t *memory)
{
    int64_t panel_stride = KC_PANEL(kernel);
    operand_t *panels = memory + ROUND_UP(PAIR * kernel * c_out, 64);
    operand_t *edge = panels + ROUND_UP(c_out, NR) / NR * panel_stride;
    for (int64_t start = 0; start < rows; start += KC) {
        int64_t k = MIN(rows - start, KC);
        FN(pack)(grad_y + start * c_out, c_out, k, c_out, panels, panel_stride, 0);
        FN(pack_zeros)(k, c_out, panels, panel_stride);
        FN(left) a = {input + start, 1, rows - start + kernel - 1};
        FN(right) b = {panels, panel_stride};
        FN(gemm)(FN(all_tiles)(kernel, c_out), kernel, c_out, k, a, b, edge,
                 (FN(result)){NULL, (acc_t *)memory, start > 0, c_out});
    }
}

/* Prepare some rows of grad_y, (rows, c_out), and of the padded input, (rows + kernel - 1, c_in). */
static void FN(prepare_grad_weight)(int64_t rows, int64_t kernel, int64_t c_in, int64_t c_out, const operand_t *grad_y,
                                    const operand_t *input, operand_t *memory)
{
    if (c_in == 1) {
        FN(prepare_grad_weight_1)(rows, kernel, c_out, grad_y, input, memory);
        return;
    }
    FN(grad_plan) plan = FN(plan_grad_weight)(kernel, c_in, c_out);
    unit_t *pairs = (unit_t *)(memory + (rows + KC - 1) / KC * (plan.n_transposed + plan.copies * plan.n_panels));
    for (int64_t start = 0; start < rows; start += KC) {
        int64_t k = MIN(rows - start, KC);
        FN(transpose)(grad_y + start * c_out, k, c_out, memory, KC_STRIDE, pairs);
        memory += plan.n_transposed;
        for (int64_t first = 0; first < plan.copies; first++, memory += plan.n_panels) {
            int64_t n_input = plan.taps == 1 ? k : k + kernel - 1 - first;
            FN(pack)(input + (start + first) * c_in, c_in, n_input, plan.width, memory, plan.panel_stride, 0);
            FN(pack_zeros)(n_input, plan.width, memory, plan.panel_stride);
        }
    }
}

/* Compute some parts of grad_weight (c_out, kernel, c_in) from rows that were prepared. They are stored, or added if
   `accumulate`. */
static void FN(add_grad_weight)(struct range parts, int accumulate, acc_t *grad_weight, int64_t rows, int64_t kernel,
                                int64_t c_in, int64_t c_out, const operand_t *memory)
{
    if (c_in == 1) {
        const acc_t *sums = (const acc_t *)memory;
        for (int64_t o = parts.start; o < parts.end; o++)
            for (int64_t tap = 0; tap < kernel; tap++)
                grad_weight[o * kernel + tap] =
                    (accumulate ? grad_weight[o * kernel + tap] : 0) + sums[tap * c_out + o];
        return;
    }
    FN(grad_plan) plan = FN(plan_grad_weight)(kernel, c_in, c_out);
    int64_t n_tiles = FN(all_tiles)(c_out, plan.width).end;
    for (int64_t start = 0; start < rows; start += KC) {
        const operand_t *panels = memory + plan.n_transposed;
        FN(left) a = {memory, KC_STRIDE, plan.n_transposed};
        for (int64_t tap = parts.start / n_tiles; tap * n_tiles < parts.end; tap++) {
            struct range tiles = {parts.start - tap * n_tiles, MIN(parts.end - tap * n_tiles, n_tiles)};
            tiles.start = tiles.start < 0 ? 0 : tiles.start;
            FN(right) b = {panels + tap % PAIR * plan.n_panels + tap / PAIR * PAIR * NR, plan.panel_stride};
            FN(result) c = {NULL, grad_weight + tap * c_in, accumulate || start > 0, kernel * c_in};
            FN(gemm)(tiles, c_out, plan.width, MIN(rows - start, KC), a, b, NULL, c);
        }
        memory = panels + plan.copies * plan.n_panels;
    }
}
