/* A block, forward and backward: convolution without bias, batch norm, ReLU. See struct conv_block_args.

     x = relu(batch_norm(before_y))        the padded input, which is not stored
     y = conv(x, weight)                   stored for the backward pass
     mean, invstd = statistics of y

   A batch is one long series. It is processed in chunks of rows, so that x and grad_y stay in the cache. Rows in which
   a kernel sees two cases are computed too, and never read.

   TYPE is the type of this block's operands, y and gradients. Besides there are

     BEFORE   the type of the output of the block before, before_t
     AFTER    the type of the gradient from the next block, after_t

   Loops over channels are innermost and independent, so that compilers vectorise them. */

#define before_t CAT(operand, BEFORE)
#define after_t CAT(operand, AFTER)
#define LOAD_BEFORE(value) CAT(load, BEFORE)(value)
#define LOAD_AFTER(value) CAT(load, AFTER)(value)
#define block_t BLOCK_FN(block)
#define forward_buffers_t BLOCK_FN(forward_buffers)
#define backward_buffers_t BLOCK_FN(backward_buffers)

/* Sizes, and the arrays of one training: see struct conv_block_args. */
typedef struct {
    int64_t n_cases, length, c_in, c_out, kernel, left, before_rows, after_rows;
    int64_t rows;       /* of a case */
    int64_t n_rows;     /* of all cases, without the last kernel - 1 */
    int winograd;       /* whether F(m, r) is used */
    int64_t chunk;      /* rows at a time */
    int64_t n_chunks;
    size_t value_bytes; /* of x and of grad_y: acc_t for F(m, r), operand_t for plain products */
    const operand_t *padded;
    const before_t *before_y;
    const acc_t *before_gamma, *before_beta, *before_mean, *before_invstd, *weight, *gamma, *beta;
    operand_t *y, *grad_input;
    acc_t *mean, *invstd, *running_mean, *running_var, *grad_gamma, *grad_beta, *grad_weight;
    const after_t *grad_output;
    const acc_t *grad_pooled;
} block_t;

/* Return training i of a block. */
static block_t BLOCK_FN(select_training)(const struct conv_block_args *args, int backward, int64_t i)
{
    int64_t rows = args->length + args->kernel - 1, n_rows = args->n_cases * rows - args->kernel + 1;
    int winograd = !args->padded && (!backward || args->grad_input) &&
                   FN(use_winograd)(n_rows, args->kernel, args->c_in, args->c_out);
    int64_t chunk = winograd ? FN(winograd_chunk)(n_rows, args->kernel) : ROUND_UP(MC, MR);
    int64_t in = i * args->n_cases * rows * args->c_in, out = i * args->n_cases * rows * args->c_out;
    int64_t w = i * args->weight_stride, c = i * args->c_out;
#define AT(type, name, offset) .name = args->name ? (type *)args->name + (offset) : NULL
    return (block_t){
        .n_cases = args->n_cases,
        .length = args->length,
        .c_in = args->c_in,
        .c_out = args->c_out,
        .kernel = args->kernel,
        .left = args->left,
        .before_rows = args->before_rows,
        .after_rows = args->after_rows,
        .rows = rows,
        .n_rows = n_rows,
        .winograd = winograd,
        .chunk = chunk,
        .n_chunks = (n_rows + chunk - 1) / chunk,
        .value_bytes = winograd ? sizeof(acc_t) : sizeof(operand_t),
        AT(const operand_t, padded, in),
        AT(const before_t, before_y, i * args->n_cases * args->before_rows * args->c_in),
        AT(const acc_t, before_gamma, w),
        AT(const acc_t, before_beta, w),
        AT(const acc_t, before_mean, i * args->c_in),
        AT(const acc_t, before_invstd, i * args->c_in),
        AT(const acc_t, weight, w),
        AT(const acc_t, gamma, w),
        AT(const acc_t, beta, w),
        AT(operand_t, y, out),
        AT(operand_t, grad_input, in),
        AT(acc_t, mean, c),
        AT(acc_t, invstd, c),
        AT(acc_t, running_mean, c),
        AT(acc_t, running_var, c),
        AT(acc_t, grad_gamma, w),
        AT(acc_t, grad_beta, w),
        AT(acc_t, grad_weight, w),
        AT(const after_t, grad_output, i * args->n_cases * args->after_rows * args->c_out),
        AT(const acc_t, grad_pooled, i * args->n_cases * args->c_out),
    };
#undef AT
}

/* The number of zeros after a chunk with `channels` channels, which whole microtiles and tiles may read. */
static int64_t BLOCK_FN(tail)(int64_t channels)
{
    return (MR > ALPHA ? MR : ALPHA) * channels + K_MULTIPLE;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* The input of a block */

/* Compute a row of relu(batch_norm(before_y)), as acc_t or rounded to operand_t. */
static void BLOCK_FN(bn_relu_row)(int64_t channels, const before_t *restrict from, const acc_t *restrict factor,
                                  const acc_t *restrict offset, int as_acc, void *restrict to)
{
    for (int64_t start = 0; start < channels; start += ROUND_CHANNELS) {
        int64_t width = MIN(channels - start, ROUND_CHANNELS);
        acc_t unrounded[ROUND_CHANNELS], *restrict values = as_acc ? (acc_t *)to + start : unrounded;
        for (int64_t j = 0, c = start; j < width; j++, c++) {
            acc_t value = LOAD_BEFORE(from[c]) * factor[c] + offset[c];
            values[j] = value < 0 ? 0 : value;
        }
        if (!as_acc)
            FN(round_row)(values, width, (operand_t *)to + start);
    }
}

/* Fill `to` with rows `start` to `end` of the padded input; factor and offset are those of the block before. */
static void BLOCK_FN(fill_input)(const block_t *b, int64_t start, int64_t end, const acc_t *factor,
                                 const acc_t *offset, char *to)
{
    int64_t n = start / b->rows, t = start % b->rows - b->left, row_bytes = b->c_in * b->value_bytes;
    for (int64_t r = start; r < end; r++, to += row_bytes) {
        if (t >= 0 && t < b->length)
            BLOCK_FN(bn_relu_row)(b->c_in, b->before_y + (n * b->before_rows + t) * b->c_in, factor, offset,
                                  b->winograd, to);
        else
            memset(to, 0, row_bytes);
        if (++t == b->rows - b->left) {
            t = -b->left;
            n++;
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Forward */

typedef struct {
    operand_t *filters; /* packed, or transformed */
    operand_t *packing; /* for packing */
    FN(stats) parts;    /* `chunk_parts` for each chunk */
    int64_t chunk_parts;
    double *mean, *square; /* of all rows */
    /* Of each thread: */
    void *memory;    /* for winograd_filters and winograd_conv */
    operand_t *edge; /* for gemm */
    char *input;     /* a chunk of x and a tail of zeros */
    acc_t *before_factor, *before_offset;
} forward_buffers_t;

static void BLOCK_FN(plan_forward_buffers)(const block_t *b, struct arena *shared, struct arena *own,
                                           forward_buffers_t *u)
{
    int64_t c_in = b->c_in, c_out = b->c_out, k = b->kernel * c_in;
    int64_t n_filters = b->winograd ? POINTS * c_in * c_out : FN(packed_filters_size)(k, c_out);
    u->filters = arena_alloc(shared, n_filters * sizeof(operand_t));
    u->packing = arena_alloc(shared, b->winograd ? 0 : c_out * k * sizeof(operand_t));
    u->chunk_parts = FN(bn_stats_parts)(MIN(b->chunk, b->n_rows), b->rows);
    u->parts.rows = arena_alloc(shared, b->n_chunks * u->chunk_parts * sizeof(int64_t));
    u->parts.values = arena_alloc(shared, b->n_chunks * u->chunk_parts * 2 * c_out * sizeof(acc_t));
    u->mean = arena_alloc(shared, c_out * sizeof(double));
    u->square = arena_alloc(shared, c_out * sizeof(double));
    u->memory = arena_alloc(own, b->winograd ? FN(winograd_memory)(c_in, c_out) : 0);
    u->edge = arena_alloc(own, (MR * c_in + PADDED_K(k)) * sizeof(operand_t));
    u->input =
        arena_alloc(own, b->padded ? 0 : ((b->chunk + b->kernel) * c_in + BLOCK_FN(tail)(c_in)) * b->value_bytes);
    u->before_factor = arena_alloc(own, c_in * sizeof(acc_t));
    u->before_offset = arena_alloc(own, c_in * sizeof(acc_t));
}

/* Compute rows `start` to `end` of y by F(m, r). */
static void BLOCK_FN(conv_forward_winograd)(const block_t *b, int64_t start, int64_t end, const forward_buffers_t *u)
{
    FN(winograd_conv)(end - start, b->kernel, b->c_in, b->c_out, (const acc_t *)u->input, u->filters, u->memory,
                      b->y + start * b->c_out);
}

/* Compute rows `start` to `end` of y: windows of the input times the filters. */
static void BLOCK_FN(conv_forward_gemm)(const block_t *b, int64_t start, int64_t end, const forward_buffers_t *u)
{
    int64_t c_in = b->c_in, k = b->kernel * c_in, n_input = (end - start + b->kernel - 1) * c_in;
    FN(left) windows = {(const operand_t *)u->input, c_in, n_input + BLOCK_FN(tail)(c_in)};
    if (b->padded)
        windows = (FN(left)){b->padded + start * c_in, c_in, (b->n_cases * b->rows - start) * c_in};
    FN(gemm)(FN(all_tiles)(end - start, b->c_out), end - start, b->c_out, k, windows,
             (FN(right)){u->filters, PADDED_K(k) * NR}, u->edge, (FN(result)){b->y + start * b->c_out, NULL, 0, b->c_out});
}

/* Pack or transform some filters of c_out, in whole micropanels. */
static void BLOCK_FN(forward_filters)(struct range some, const block_t *b, const forward_buffers_t *u)
{
    int64_t k = b->kernel * b->c_in, count = some.end - some.start;
    const acc_t *weight = b->weight + some.start * k;
    if (b->winograd)
        FN(winograd_filters)(weight, b->kernel, b->c_in, count, u->filters + some.start * POINTS * b->c_in, u->memory);
    else
        FN(pack_filters)(weight, b->kernel, b->c_in, count, u->filters + some.start * PADDED_K(k),
                         u->packing + some.start * k);
}

static void BLOCK_FN(forward_training)(struct thread thread, const block_t *b, const forward_buffers_t *u,
                                       double momentum, double eps)
{
    BLOCK_FN(forward_filters)(share(thread, b->c_out, NR), b, u);
    if (!b->padded)
        FN(bn_factors)(b->c_in, b->before_gamma, b->before_beta, b->before_mean, b->before_invstd, u->before_factor,
                       u->before_offset);
    barrier(thread);
    struct range chunks = share(thread, b->n_chunks, 1);
    for (int64_t chunk = chunks.start; chunk < chunks.end; chunk++) {
        int64_t start = chunk * b->chunk, end = MIN(start + b->chunk, b->n_rows);
        int64_t n_input = end - start + b->kernel - 1;
        if (!b->padded) {
            BLOCK_FN(fill_input)(b, start, start + n_input, u->before_factor, u->before_offset, u->input);
            memset(u->input + n_input * b->c_in * b->value_bytes, 0, BLOCK_FN(tail)(b->c_in) * b->value_bytes);
        }
        if (b->winograd)
            BLOCK_FN(conv_forward_winograd)(b, start, end, u);
        else
            BLOCK_FN(conv_forward_gemm)(b, start, end, u);
        FN(stats) parts = {u->parts.rows + chunk * u->chunk_parts,
                           u->parts.values + chunk * u->chunk_parts * 2 * b->c_out};
        FN(bn_stats)(start, end, b->rows, b->length, b->c_out, b->y, u->chunk_parts, parts);
    }
    barrier(thread);
    struct range some = share(thread, b->c_out, NR);
    double count = FN(bn_merge_stats)(some, b->c_out, b->n_chunks * u->chunk_parts, u->parts, u->mean, u->square);
    FN(bn_finish_stats)(some, count, u->mean, u->square, momentum, eps, b->mean, b->invstd, b->running_mean,
                        b->running_var);
}

static void BLOCK_FN(forward_trainings)(struct thread thread, const struct task *task)
{
    const struct conv_block_args *args = task->args;
    block_t block = BLOCK_FN(select_training)(args, 0, 0);
    forward_buffers_t buffers;
    struct arena shared = {task->memory, 0}, own = {own_memory(thread, task), 0};
    BLOCK_FN(plan_forward_buffers)(&block, &shared, &own, &buffers);
    for (int64_t i = 0; i < args->n; i++) {
        block = BLOCK_FN(select_training)(args, 0, i);
        BLOCK_FN(forward_training)(thread, &block, &buffers, args->momentum, args->eps);
    }
}

/* Fill y, mean and invstd, and update the running statistics. Returns 0, or 1 if memory cannot be allocated. */
int BLOCK_FN(conv_block_forward)(const struct conv_block_args *args, int n_threads)
{
    block_t block = BLOCK_FN(select_training)(args, 0, 0);
    forward_buffers_t buffers;
    struct arena shared = {0}, own = {0};
    BLOCK_FN(plan_forward_buffers)(&block, &shared, &own, &buffers);
    struct task task = {args, shared.used, own.used, NULL};
    return execute(MIN(n_threads, block.n_chunks), BLOCK_FN(forward_trainings), &task);
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Backward */

typedef struct {
    operand_t *filters;           /* flipped, and packed or transformed */
    operand_t *packing;           /* for pack_flipped_filters */
    acc_t *grad_filters;          /* the gradient of the transformed filters */
    acc_t *grad_row;              /* (n_cases, c_out): the gradient of each row of a case, from grad_pooled */
    acc_t *parts;                 /* (parts of the rows, 2, c_out): sums of dy, the gradient of batch norm's output, and
                                     of dy * (y - mean) */
    double *sum_dy, *sum_dy_xmu;  /* the same of all rows */
    acc_t *mean_dy, *mean_dy_xmu; /* the means over all rows, the second times invstd^2 */
    /* Of each thread: */
    char *memory; /* for winograd_conv; then for what is prepared of a chunk to add it to grad_weight */
    char *input;  /* a chunk of x */
    char *grad_y; /* a chunk of grad_y and a tail of zeros */
    acc_t *before_factor, *before_offset, *factor, *offset;
} backward_buffers_t;

/* The number of parts in which the rows of a case are summed. */
static int64_t BLOCK_FN(case_parts)(const block_t *b)
{
    return (b->length + STATS_ROWS - 1) / STATS_ROWS;
}

static void BLOCK_FN(plan_backward_buffers)(const block_t *b, struct arena *shared, struct arena *own,
                                            backward_buffers_t *u)
{
    int64_t c_in = b->c_in, c_out = b->c_out, kernel = b->kernel, n_transformed = POINTS * c_in * c_out;
    int64_t n_filters = b->winograd ? n_transformed : FN(packed_filters_size)(kernel * c_out, c_in);
    int64_t n_packing = b->winograd ? 0 : FN(flipped_filters_memory)(kernel, c_in, c_out);
    u->filters = arena_alloc(shared, b->grad_input ? n_filters * sizeof(operand_t) : 0);
    u->packing = arena_alloc(shared, b->grad_input ? n_packing * sizeof(operand_t) : 0);
    u->grad_filters = arena_alloc(shared, b->winograd ? n_transformed * sizeof(acc_t) : 0);
    u->grad_row = arena_alloc(shared, b->grad_output ? 0 : b->n_cases * c_out * sizeof(acc_t));
    u->parts = arena_alloc(shared, b->n_cases * BLOCK_FN(case_parts)(b) * 2 * c_out * sizeof(acc_t));
    u->sum_dy = arena_alloc(shared, c_out * sizeof(double));
    u->sum_dy_xmu = arena_alloc(shared, c_out * sizeof(double));
    u->mean_dy = arena_alloc(shared, c_out * sizeof(acc_t));
    u->mean_dy_xmu = arena_alloc(shared, c_out * sizeof(acc_t));
    u->memory = arena_alloc(own, b->winograd ? FN(winograd_memory)(c_in, c_out)
                                             : FN(grad_weight_memory)(MIN(b->chunk, b->n_rows), kernel, c_in, c_out) *
                                                   sizeof(operand_t));
    u->input = arena_alloc(own, b->padded ? 0 : (b->chunk + kernel + ALPHA) * c_in * b->value_bytes);
    u->grad_y = arena_alloc(own, ((b->chunk + kernel) * c_out + BLOCK_FN(tail)(c_out)) * b->value_bytes);
    u->before_factor = arena_alloc(own, c_in * sizeof(acc_t));
    u->before_offset = arena_alloc(own, c_in * sizeof(acc_t));
    u->factor = arena_alloc(own, c_out * sizeof(acc_t));
    u->offset = arena_alloc(own, c_out * sizeof(acc_t));
}

/* dy, the gradient of batch norm's output, if y is v in channel c: `gradient` where the output is positive, else 0. */
#define RELU_GRAD(v, gradient) ((v) * factor[c] + offset[c] > 0 ? (gradient) : 0)

/* Add dy and dy * (y - mean) of some rows to their sums. If grad_output is NULL, grad_row is the gradient of each row.
   */
static void BLOCK_FN(reduce_rows)(int64_t rows, int64_t channels, const operand_t *restrict y,
                                  const after_t *restrict grad_output, const acc_t *restrict grad_row,
                                  const acc_t *restrict factor, const acc_t *restrict offset,
                                  const acc_t *restrict mean, acc_t *restrict sum_dy, acc_t *restrict sum_dy_xmu)
{
    for (int64_t t = 0; t < rows; t++, y += channels)
        if (grad_output)
            for (int64_t c = 0; c < channels; c++) {
                acc_t v = LOAD(y[c]), dy = RELU_GRAD(v, LOAD_AFTER(grad_output[t * channels + c]));
                sum_dy[c] += dy;
                sum_dy_xmu[c] += dy * (v - mean[c]);
            }
        else
            for (int64_t c = 0; c < channels; c++) {
                acc_t v = LOAD(y[c]), dy = RELU_GRAD(v, grad_row[c]);
                sum_dy[c] += dy;
                sum_dy_xmu[c] += dy * (v - mean[c]);
            }
}

/* Compute the sums of dy and dy * (y - mean) of some parts of the rows. */
static void BLOCK_FN(bn_relu_backward_sums)(struct range parts, const block_t *b, const backward_buffers_t *u)
{
    int64_t c_out = b->c_out, of_case = BLOCK_FN(case_parts)(b);
    for (int64_t part = parts.start; part < parts.end; part++) {
        int64_t n = part / of_case, start = part % of_case * STATS_ROWS;
        acc_t *sums = u->parts + part * 2 * c_out;
        memset(sums, 0, 2 * c_out * sizeof(acc_t));
        BLOCK_FN(reduce_rows)(MIN(b->length - start, STATS_ROWS), c_out, b->y + (n * b->rows + start) * c_out,
                              b->grad_output ? b->grad_output + (n * b->after_rows + start) * c_out : NULL,
                              b->grad_output ? NULL : u->grad_row + n * c_out, u->factor, u->offset, b->mean, sums,
                              sums + c_out);
    }
}

/* Compute grad_beta and grad_gamma of some channels, and the means that grad_y needs, from the sums of all parts. */
static void BLOCK_FN(bn_relu_backward_reduce)(struct range some, const block_t *b, const backward_buffers_t *u)
{
    int64_t c_out = b->c_out, length = b->length, n_parts = b->n_cases * BLOCK_FN(case_parts)(b);
    double *restrict sum_dy = u->sum_dy, *restrict sum_dy_xmu = u->sum_dy_xmu;
    for (int64_t c = some.start; c < some.end; c++)
        sum_dy[c] = sum_dy_xmu[c] = 0;
    for (int64_t part = 0; part < n_parts; part++) {
        const acc_t *restrict part_dy = u->parts + part * 2 * c_out, *restrict part_dy_xmu = part_dy + c_out;
        for (int64_t c = some.start; c < some.end; c++) {
            sum_dy[c] += part_dy[c];
            sum_dy_xmu[c] += part_dy_xmu[c];
        }
    }
    for (int64_t c = some.start; c < some.end; c++) {
        acc_t invstd = b->invstd[c];
        b->grad_beta[c] = sum_dy[c];
        b->grad_gamma[c] = sum_dy_xmu[c] * invstd;
        u->mean_dy[c] = sum_dy[c] / (b->n_cases * length);
        u->mean_dy_xmu[c] = sum_dy_xmu[c] / (b->n_cases * length) * invstd * invstd;
    }
}

/* Compute a row of grad_y = gamma * invstd * (dy - mean(dy) - (y - mean) * mean(dy * (y - mean)) * invstd^2), as acc_t
   or rounded to operand_t. */
static void BLOCK_FN(bn_relu_backward_elemt)(int64_t channels, const operand_t *restrict y,
                                             const after_t *restrict grad_output, const acc_t *restrict grad_row,
                                             const acc_t *restrict factor, const acc_t *restrict offset,
                                             const acc_t *restrict mean, const acc_t *restrict mean_dy,
                                             const acc_t *restrict mean_dy_xmu, int as_acc, void *restrict grad_y)
{
    for (int64_t start = 0; start < channels; start += ROUND_CHANNELS) {
        int64_t width = MIN(channels - start, ROUND_CHANNELS);
        acc_t unrounded[ROUND_CHANNELS], *restrict values = as_acc ? (acc_t *)grad_y + start : unrounded;
        if (grad_output)
            for (int64_t j = 0, c = start; j < width; j++, c++) {
                acc_t v = LOAD(y[c]), dy = RELU_GRAD(v, LOAD_AFTER(grad_output[c]));
                values[j] = factor[c] * (dy - mean_dy[c] - (v - mean[c]) * mean_dy_xmu[c]);
            }
        else
            for (int64_t j = 0, c = start; j < width; j++, c++) {
                acc_t v = LOAD(y[c]), dy = RELU_GRAD(v, grad_row[c]);
                values[j] = factor[c] * (dy - mean_dy[c] - (v - mean[c]) * mean_dy_xmu[c]);
            }
        if (!as_acc)
            FN(round_row)(values, width, (operand_t *)grad_y + start);
    }
}
#undef RELU_GRAD

/* Fill u->grad_y with rows `start` to `end` of grad_y and a tail of zeros. Before a case there are kernel - 1 - left
   rows of padding. */
static void BLOCK_FN(fill_grad_y)(const block_t *b, int64_t start, int64_t end, const backward_buffers_t *u)
{
    int64_t c_out = b->c_out, lead = b->kernel - 1 - b->left, row_bytes = c_out * b->value_bytes;
    int64_t n = start / b->rows, t = start % b->rows - lead;
    char *to = u->grad_y;
    for (int64_t r = start; r < end; r++, to += row_bytes) {
        if (t >= 0 && t < b->length)
            BLOCK_FN(bn_relu_backward_elemt)(c_out, b->y + (n * b->rows + t) * c_out,
                                             b->grad_output ? b->grad_output + (n * b->after_rows + t) * c_out : NULL,
                                             b->grad_output ? NULL : u->grad_row + n * c_out, u->factor, u->offset,
                                             b->mean, u->mean_dy, u->mean_dy_xmu, b->winograd, to);
        else
            memset(to, 0, row_bytes);
        if (++t == b->rows - lead) {
            t = -lead;
            n++;
        }
    }
    memset(to, 0, BLOCK_FN(tail)(c_out) * b->value_bytes);
}

/* Compute rows `start` to `end` of grad_input by F(m, r), and prepare these rows for the gradient of the filters. */
static void BLOCK_FN(conv_backward_winograd)(const block_t *b, int64_t start, int64_t end, const backward_buffers_t *u)
{
    int64_t c_in = b->c_in, c_out = b->c_out, n_rows = end - start + b->kernel - 1, lead = b->kernel - 1 - b->left;
    const acc_t *grad_y = (const acc_t *)u->grad_y, *input = (const acc_t *)u->input;
    FN(winograd_conv)(end - start, b->kernel, c_out, c_in, grad_y, u->filters, u->memory, b->grad_input + start * c_in);
    BLOCK_FN(fill_input)(b, start, start + n_rows, u->before_factor, u->before_offset, u->input);
    memset(u->input + n_rows * c_in * b->value_bytes, 0, ALPHA * c_in * b->value_bytes);
    FN(winograd_prepare_grad)(end - start, b->kernel, c_in, c_out, grad_y + lead * c_out, input, u->memory);
}

/* Compute rows `start` to `end` of grad_input, if it is needed, and prepare these rows for grad_weight. */
static void BLOCK_FN(conv_backward_gemm)(const block_t *b, int64_t start, int64_t end, const backward_buffers_t *u)
{
    int64_t c_in = b->c_in, c_out = b->c_out, k = b->kernel * c_out;
    int64_t n_rows = end - start + b->kernel - 1, lead = b->kernel - 1 - b->left;
    const operand_t *grad_y = (const operand_t *)u->grad_y;
    if (b->grad_input) {
        FN(left) windows = {grad_y, c_out, n_rows * c_out + BLOCK_FN(tail)(c_out)};
        FN(gemm)(FN(all_tiles)(end - start, c_in), end - start, c_in, k, windows,
                 (FN(right)){u->filters, PADDED_K(k) * NR}, NULL,
                 (FN(result)){b->grad_input + start * c_in, NULL, 0, c_in});
    }
    if (!b->padded)
        BLOCK_FN(fill_input)(b, start, start + n_rows, u->before_factor, u->before_offset, u->input);
    FN(prepare_grad_weight)(end - start, b->kernel, c_in, c_out, grad_y + lead * c_out,
                            b->padded ? b->padded + start * c_in : (const operand_t *)u->input,
                            (operand_t *)u->memory);
}

/* Add this thread's part of grad_weight, or of the gradient of the transformed filters, of a chunk that was prepared.
   */
static void BLOCK_FN(add_chunk)(struct thread thread, const block_t *b, int64_t chunk, const void *prepared,
                                const backward_buffers_t *u)
{
    int64_t n_rows = MIN(b->chunk, b->n_rows - chunk * b->chunk);
    if (b->winograd)
        FN(winograd_add_grad)(share(thread, POINTS * b->c_out / GRAD_MR, 1), chunk > 0, u->grad_filters, n_rows,
                              b->kernel, b->c_in, b->c_out, prepared);
    else
        FN(add_grad_weight)(share(thread, FN(grad_weight_parts)(b->kernel, b->c_in, b->c_out), 1), chunk > 0,
                            b->grad_weight, n_rows, b->kernel, b->c_in, b->c_out, prepared);
}

/* own_bytes: between the memory of one thread and of the next. */
static void BLOCK_FN(backward_training)(struct thread thread, int64_t own_bytes, const block_t *b,
                                        const backward_buffers_t *u)
{
    struct range channels = share(thread, b->c_out, NR);
    if (!b->padded)
        FN(bn_factors)(b->c_in, b->before_gamma, b->before_beta, b->before_mean, b->before_invstd, u->before_factor,
                       u->before_offset);
    FN(bn_factors)(b->c_out, b->gamma, b->beta, b->mean, b->invstd, u->factor, u->offset);
    if (!b->grad_output) {
        struct range rows = share(thread, b->n_cases * b->c_out, 1);
        for (int64_t j = rows.start; j < rows.end; j++)
            u->grad_row[j] = b->grad_pooled[j] / b->length;
    }
    if (b->winograd)
        FN(winograd_flipped_filters)(channels, b->weight, b->kernel, b->c_in, b->c_out, u->filters);
    else if (b->grad_input && thread.number == 0)
        FN(pack_flipped_filters)(b->weight, b->kernel, b->c_in, b->c_out, u->filters, u->packing);
    barrier(thread);
    BLOCK_FN(bn_relu_backward_sums)(share(thread, b->n_cases * BLOCK_FN(case_parts)(b), 1), b, u);
    barrier(thread);
    BLOCK_FN(bn_relu_backward_reduce)(channels, b, u);
    barrier(thread);
    for (int64_t first = 0; first < b->n_chunks; first += thread.count) { /* a chunk for each thread */
        int64_t end = MIN(first + thread.count, b->n_chunks), start = (first + thread.number) * b->chunk;
        if (first + thread.number < end) {
            int64_t end_row = MIN(start + b->chunk, b->n_rows);
            BLOCK_FN(fill_grad_y)(b, start, end_row + b->kernel - 1, u);
            if (b->winograd)
                BLOCK_FN(conv_backward_winograd)(b, start, end_row, u);
            else
                BLOCK_FN(conv_backward_gemm)(b, start, end_row, u);
        }
        barrier(thread);
        for (int64_t chunk = first; chunk < end; chunk++)
            BLOCK_FN(add_chunk)(thread, b, chunk, u->memory + (chunk - first - thread.number) * own_bytes, u);
        barrier(thread);
    }
    if (b->winograd)
        FN(winograd_grad_weight)(channels, u->grad_filters, b->kernel, b->c_in, b->c_out, b->grad_weight);
}

static void BLOCK_FN(backward_trainings)(struct thread thread, const struct task *task)
{
    const struct conv_block_args *args = task->args;
    block_t block = BLOCK_FN(select_training)(args, 1, 0);
    backward_buffers_t buffers;
    struct arena shared = {task->memory, 0}, own = {own_memory(thread, task), 0};
    BLOCK_FN(plan_backward_buffers)(&block, &shared, &own, &buffers);
    for (int64_t i = 0; i < args->n; i++) {
        block = BLOCK_FN(select_training)(args, 1, i);
        BLOCK_FN(backward_training)(thread, task->own_bytes, &block, &buffers);
    }
}

/* Fill grad_gamma, grad_beta, grad_weight and grad_input. Returns 0, or 1 if memory cannot be allocated. */
int BLOCK_FN(conv_block_backward)(const struct conv_block_args *args, int n_threads)
{
    block_t block = BLOCK_FN(select_training)(args, 1, 0);
    backward_buffers_t buffers;
    struct arena shared = {0}, own = {0};
    BLOCK_FN(plan_backward_buffers)(&block, &shared, &own, &buffers);
    struct task task = {args, shared.used, own.used, NULL};
    return execute(MIN(n_threads, block.n_chunks), BLOCK_FN(backward_trainings), &task);
}

#undef before_t
#undef after_t
#undef LOAD_BEFORE
#undef LOAD_AFTER
#undef block_t
#undef forward_buffers_t
#undef backward_buffers_t
