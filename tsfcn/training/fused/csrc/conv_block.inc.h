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
        .chunk = winograd ? FN(winograd_chunk)(n_rows, args->kernel) : ROUND_UP(MC, MR),
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
    void *memory;       /* for packing, or for winograd_conv */
    operand_t *edge;    /* for gemm */
    char *input;        /* a chunk of x and a tail of zeros */
    acc_t *before_factor, *before_offset;
    FN(stats) stats;
} forward_buffers_t;

static void BLOCK_FN(plan_forward_buffers)(const block_t *b, struct arena *arena, forward_buffers_t *u)
{
    int64_t c_in = b->c_in, c_out = b->c_out, k = b->kernel * c_in;
    int64_t n_filters = b->winograd ? POINTS * c_in * c_out : FN(packed_filters_size)(k, c_out);
    u->filters = arena_alloc(arena, n_filters * sizeof(operand_t));
    u->memory = arena_alloc(arena, b->winograd ? FN(winograd_memory)(c_in, c_out) : c_out * k * sizeof(operand_t));
    u->edge = arena_alloc(arena, (MR * c_in + PADDED_K(k)) * sizeof(operand_t));
    u->input =
        arena_alloc(arena, b->padded ? 0 : ((b->chunk + b->kernel) * c_in + BLOCK_FN(tail)(c_in)) * b->value_bytes);
    u->before_factor = arena_alloc(arena, c_in * sizeof(acc_t));
    u->before_offset = arena_alloc(arena, c_in * sizeof(acc_t));
    u->stats.part_mean = arena_alloc(arena, c_out * sizeof(acc_t));
    u->stats.part_square = arena_alloc(arena, c_out * sizeof(acc_t));
    u->stats.mean = arena_alloc(arena, c_out * sizeof(double));
    u->stats.square = arena_alloc(arena, c_out * sizeof(double));
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
    FN(gemm)(end - start, b->c_out, k, windows, (FN(right)){u->filters, PADDED_K(k) * NR}, u->edge,
             (FN(result)){b->y + start * b->c_out, NULL, 0, b->c_out});
}

static void BLOCK_FN(forward_training)(const block_t *b, forward_buffers_t *u, double momentum, double eps)
{
    if (b->winograd)
        FN(winograd_filters)(b->weight, b->kernel, b->c_in, b->c_out, u->filters, u->memory);
    else
        FN(pack_filters)(b->weight, b->kernel, b->c_in, b->c_out, u->filters, u->memory);
    if (!b->padded)
        FN(bn_factors)(b->c_in, b->before_gamma, b->before_beta, b->before_mean, b->before_invstd, u->before_factor,
                       u->before_offset);
    u->stats.count = 0;
    memset(u->stats.mean, 0, b->c_out * sizeof(double));
    memset(u->stats.square, 0, b->c_out * sizeof(double));
    for (int64_t start = 0; start < b->n_rows; start += b->chunk) {
        int64_t end = MIN(start + b->chunk, b->n_rows), n_input = end - start + b->kernel - 1;
        if (!b->padded) {
            BLOCK_FN(fill_input)(b, start, start + n_input, u->before_factor, u->before_offset, u->input);
            memset(u->input + n_input * b->c_in * b->value_bytes, 0, BLOCK_FN(tail)(b->c_in) * b->value_bytes);
        }
        if (b->winograd)
            BLOCK_FN(conv_forward_winograd)(b, start, end, u);
        else
            BLOCK_FN(conv_forward_gemm)(b, start, end, u);
        FN(bn_stats)(start, end, b->rows, b->length, b->c_out, b->y, &u->stats);
    }
    FN(bn_finish_stats)(b->c_out, &u->stats, momentum, eps, b->mean, b->invstd, b->running_mean, b->running_var);
}

/* Fill y, mean and invstd, and update the running statistics. Returns 0, or 1 if memory cannot be allocated. */
int BLOCK_FN(conv_block_forward)(const struct conv_block_args *args)
{
    block_t block = BLOCK_FN(select_training)(args, 0, 0);
    forward_buffers_t buffers;
    struct arena needed = {0}, arena = {0};
    BLOCK_FN(plan_forward_buffers)(&block, &needed, &buffers);
    if (!(arena.base = scratch(needed.used)))
        return 1;
    BLOCK_FN(plan_forward_buffers)(&block, &arena, &buffers);
    for (int64_t i = 0; i < args->n; i++) {
        block = BLOCK_FN(select_training)(args, 0, i);
        BLOCK_FN(forward_training)(&block, &buffers, args->momentum, args->eps);
    }
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Backward */

typedef struct {
    operand_t *filters; /* flipped, and packed or transformed */
    void *memory;       /* for packing, or for transforms */
    void *grad_filters; /* for grad_weight_gemm, or the gradient of the transformed filters */
    char *input;        /* a chunk of x */
    char *grad_y;       /* a chunk of grad_y and a tail of zeros */
    acc_t *before_factor, *before_offset, *factor, *offset;
    double *sum_dy, *sum_dy_xmu;  /* of all rows: dy, the gradient of batch norm's output, and dy * (y - mean) */
    acc_t *part_dy, *part_dy_xmu; /* of some rows, the second right after the first */
    acc_t *mean_dy, *mean_dy_xmu; /* the means over all rows, the second times invstd^2 */
    acc_t *grad_row;              /* (n_cases, c_out): the gradient of each row of a case, from grad_pooled */
} backward_buffers_t;

static void BLOCK_FN(plan_backward_buffers)(const block_t *b, struct arena *arena, backward_buffers_t *u)
{
    int64_t c_in = b->c_in, c_out = b->c_out, kernel = b->kernel, n_transformed = POINTS * c_in * c_out;
    int64_t n_filters = b->winograd ? n_transformed : FN(packed_filters_size)(kernel * c_out, c_in);
    int64_t n_memory = FN(flipped_filters_memory)(kernel, c_in, c_out);
    u->filters = arena_alloc(arena, b->grad_input ? n_filters * sizeof(operand_t) : 0);
    u->memory = arena_alloc(arena, b->winograd     ? FN(winograd_memory)(c_in, c_out)
                            : b->grad_input ? n_memory * sizeof(operand_t)
                                            : 0);
    u->grad_filters = arena_alloc(arena, b->winograd ? n_transformed * sizeof(acc_t)
                                              : FN(grad_weight_memory)(kernel, c_in, c_out) * sizeof(operand_t));
    u->input = arena_alloc(arena, b->padded ? 0 : (b->chunk + kernel + ALPHA) * c_in * b->value_bytes);
    u->grad_y = arena_alloc(arena, ((b->chunk + kernel) * c_out + BLOCK_FN(tail)(c_out)) * b->value_bytes);
    u->before_factor = arena_alloc(arena, c_in * sizeof(acc_t));
    u->before_offset = arena_alloc(arena, c_in * sizeof(acc_t));
    u->factor = arena_alloc(arena, c_out * sizeof(acc_t));
    u->offset = arena_alloc(arena, c_out * sizeof(acc_t));
    u->part_dy = arena_alloc(arena, 2 * c_out * sizeof(acc_t));
    u->part_dy_xmu = u->part_dy ? u->part_dy + c_out : NULL;
    u->mean_dy = arena_alloc(arena, c_out * sizeof(acc_t));
    u->mean_dy_xmu = arena_alloc(arena, c_out * sizeof(acc_t));
    u->sum_dy = arena_alloc(arena, c_out * sizeof(double));
    u->sum_dy_xmu = arena_alloc(arena, c_out * sizeof(double));
    u->grad_row = arena_alloc(arena, b->grad_output ? 0 : b->n_cases * c_out * sizeof(acc_t));
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

/* Compute grad_beta and grad_gamma, and the means that grad_y needs. */
static void BLOCK_FN(bn_relu_backward_reduce)(const block_t *b, backward_buffers_t *u)
{
    int64_t c_out = b->c_out, length = b->length;
    double *restrict sum_dy = u->sum_dy, *restrict sum_dy_xmu = u->sum_dy_xmu;
    const acc_t *restrict part_dy = u->part_dy, *restrict part_dy_xmu = u->part_dy_xmu;
    for (int64_t c = 0; c < c_out; c++)
        sum_dy[c] = sum_dy_xmu[c] = 0;
    for (int64_t n = 0; n < b->n_cases; n++) {
        for (int64_t c = 0; c < c_out && !b->grad_output; c++)
            u->grad_row[n * c_out + c] = b->grad_pooled[n * c_out + c] / length;
        for (int64_t start = 0; start < length; start += STATS_ROWS) {
            memset(u->part_dy, 0, 2 * c_out * sizeof(acc_t));
            BLOCK_FN(reduce_rows)(MIN(length - start, STATS_ROWS), c_out, b->y + (n * b->rows + start) * c_out,
                                  b->grad_output ? b->grad_output + (n * b->after_rows + start) * c_out : NULL,
                                  b->grad_output ? NULL : u->grad_row + n * c_out, u->factor, u->offset, b->mean,
                                  u->part_dy, u->part_dy_xmu);
            for (int64_t c = 0; c < c_out; c++) {
                sum_dy[c] += part_dy[c];
                sum_dy_xmu[c] += part_dy_xmu[c];
            }
        }
    }
    for (int64_t c = 0; c < c_out; c++) {
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

/* Compute rows `start` to `end` of grad_input, and add the part of these rows to the gradient of the transformed
   filters. */
static void BLOCK_FN(conv_backward_winograd)(const block_t *b, int64_t start, int64_t end, const backward_buffers_t *u)
{
    int64_t c_in = b->c_in, c_out = b->c_out, n_rows = end - start + b->kernel - 1, lead = b->kernel - 1 - b->left;
    const acc_t *grad_y = (const acc_t *)u->grad_y, *input = (const acc_t *)u->input;
    FN(winograd_conv)(end - start, b->kernel, c_out, c_in, grad_y, u->filters, u->memory, b->grad_input + start * c_in);
    BLOCK_FN(fill_input)(b, start, start + n_rows, u->before_factor, u->before_offset, u->input);
    memset(u->input + n_rows * c_in * b->value_bytes, 0, ALPHA * c_in * b->value_bytes);
    FN(winograd_grad_filters)(start > 0, u->grad_filters, end - start, b->kernel, c_in, c_out, grad_y + lead * c_out,
                              input, u->memory);
}

/* Compute rows `start` to `end` of grad_input, if it is needed, and add the part of these rows to grad_weight. */
static void BLOCK_FN(conv_backward_gemm)(const block_t *b, int64_t start, int64_t end, const backward_buffers_t *u)
{
    int64_t c_in = b->c_in, c_out = b->c_out, k = b->kernel * c_out;
    int64_t n_rows = end - start + b->kernel - 1, lead = b->kernel - 1 - b->left;
    const operand_t *grad_y = (const operand_t *)u->grad_y;
    if (b->grad_input) {
        FN(left) windows = {grad_y, c_out, n_rows * c_out + BLOCK_FN(tail)(c_out)};
        FN(gemm)(end - start, c_in, k, windows, (FN(right)){u->filters, PADDED_K(k) * NR}, NULL,
                 (FN(result)){b->grad_input + start * c_in, NULL, 0, c_in});
    }
    if (!b->padded)
        BLOCK_FN(fill_input)(b, start, start + n_rows, u->before_factor, u->before_offset, u->input);
    FN(grad_weight_gemm)(start > 0, b->grad_weight, end - start, b->kernel, c_in, c_out, grad_y + lead * c_out,
                         b->padded ? b->padded + start * c_in : (const operand_t *)u->input, u->grad_filters);
}

static void BLOCK_FN(backward_training)(const block_t *b, backward_buffers_t *u)
{
    if (!b->padded)
        FN(bn_factors)(b->c_in, b->before_gamma, b->before_beta, b->before_mean, b->before_invstd, u->before_factor,
                       u->before_offset);
    FN(bn_factors)(b->c_out, b->gamma, b->beta, b->mean, b->invstd, u->factor, u->offset);
    BLOCK_FN(bn_relu_backward_reduce)(b, u);
    if (b->winograd)
        FN(winograd_flipped_filters)(b->weight, b->kernel, b->c_in, b->c_out, u->filters);
    else if (b->grad_input)
        FN(pack_flipped_filters)(b->weight, b->kernel, b->c_in, b->c_out, u->filters, u->memory);
    for (int64_t start = 0; start < b->n_rows; start += b->chunk) {
        int64_t end = MIN(start + b->chunk, b->n_rows);
        BLOCK_FN(fill_grad_y)(b, start, end + b->kernel - 1, u);
        if (b->winograd)
            BLOCK_FN(conv_backward_winograd)(b, start, end, u);
        else
            BLOCK_FN(conv_backward_gemm)(b, start, end, u);
    }
    if (b->winograd)
        FN(winograd_grad_weight)(u->grad_filters, b->kernel, b->c_in, b->c_out, b->grad_weight);
}

/* Fill grad_gamma, grad_beta, grad_weight and grad_input. Returns 0, or 1 if memory cannot be allocated. */
int BLOCK_FN(conv_block_backward)(const struct conv_block_args *args)
{
    block_t block = BLOCK_FN(select_training)(args, 1, 0);
    backward_buffers_t buffers;
    struct arena needed = {0}, arena = {0};
    BLOCK_FN(plan_backward_buffers)(&block, &needed, &buffers);
    if (!(arena.base = scratch(needed.used)))
        return 1;
    BLOCK_FN(plan_backward_buffers)(&block, &arena, &buffers);
    for (int64_t i = 0; i < args->n; i++) {
        block = BLOCK_FN(select_training)(args, 1, i);
        BLOCK_FN(backward_training)(&block, &buffers);
    }
    return 0;
}

#undef before_t
#undef after_t
#undef LOAD_BEFORE
#undef LOAD_AFTER
#undef block_t
#undef forward_buffers_t
#undef backward_buffers_t
