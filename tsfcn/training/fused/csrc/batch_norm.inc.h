/* Batch norm over the rows of a batch, and the mean over time of relu(batch_norm(y)). */

/* Batch norm as a factor and an offset: gamma * (y - mean) * invstd + beta = y * factor + offset. */
static void FN(bn_factors)(int64_t channels, const acc_t *gamma, const acc_t *beta, const acc_t *mean,
                           const acc_t *invstd, acc_t *restrict factor, acc_t *restrict offset)
{
    for (int64_t c = 0; c < channels; c++) {
        factor[c] = gamma[c] * invstd[c];
        offset[c] = beta[c] - mean[c] * factor[c];
    }
}

/* Compute the mean of `rows` rows of y, and the sum of squares around it. */
static void FN(bn_stats_rows)(int64_t rows, int64_t channels, const operand_t *restrict y, acc_t *restrict mean,
                              acc_t *restrict square)
{
    for (int64_t c = 0; c < channels; c++)
        mean[c] = square[c] = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c++)
            mean[c] += LOAD(y[r * channels + c]);
    for (int64_t c = 0; c < channels; c++)
        mean[c] /= rows;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c++) {
            acc_t delta = LOAD(y[r * channels + c]) - mean[c];
            square[c] += delta * delta;
        }
}

/* The statistics of parts of the rows. */
typedef struct {
    int64_t *rows; /* of each part; 0: it is not used */
    acc_t *values; /* (parts, 2, channels): their mean, and the sum of squares around it */
} FN(stats);

/* The number of parts in which bn_stats divides at most `n_rows` rows of cases of `rows` rows each. */
static int64_t FN(bn_stats_parts)(int64_t n_rows, int64_t rows)
{
    return n_rows / STATS_ROWS + n_rows / rows + 2;
}

/* Compute the statistics of rows `start` to `end` of all cases of y, in `n_parts` parts. Only the first `length` of the
   `rows` rows of a case are used. */
static void FN(bn_stats)(int64_t start, int64_t end, int64_t rows, int64_t length, int64_t channels, const operand_t *y,
                         int64_t n_parts, FN(stats) parts)
{
    memset(parts.rows, 0, n_parts * sizeof(int64_t));
    for (int64_t r = start, n_rows; r < end; r += n_rows) { /* up to the end of the case, and at most STATS_ROWS */
        int64_t t = r % rows;
        n_rows = rows - t;
        if (t >= length)
            continue;
        n_rows = MIN(end - r, length - t);
        n_rows = MIN(n_rows, STATS_ROWS);
        FN(bn_stats_rows)(n_rows, channels, y + r * channels, parts.values, parts.values + channels);
        *parts.rows++ = n_rows;
        parts.values += 2 * channels;
    }
}

/* Merge the statistics of all parts, in order, for some channels (Chan, Golub and LeVeque 1983): the mean of all rows
   and the sum of squares around it. Returns the number of rows. */
static double FN(bn_merge_stats)(struct range some, int64_t channels, int64_t n_parts, FN(stats) parts,
                                 double *restrict mean, double *restrict square)
{
    double count = 0;
    for (int64_t c = some.start; c < some.end; c++)
        mean[c] = square[c] = 0;
    for (int64_t part = 0; part < n_parts; part++, parts.values += 2 * channels) {
        int64_t n_rows = parts.rows[part];
        if (!n_rows)
            continue;
        const acc_t *restrict part_mean = parts.values, *restrict part_square = part_mean + channels;
        double fraction = n_rows / (count + n_rows);
        for (int64_t c = some.start; c < some.end; c++) {
            double delta = part_mean[c] - mean[c];
            mean[c] += delta * fraction;
            square[c] += part_square[c] + delta * delta * count * fraction;
        }
        count += n_rows;
    }
    return count;
}

/* Set mean and 1 / sqrt(variance + eps) of some channels, and update the running statistics with the unbiased variance.
   */
static void FN(bn_finish_stats)(struct range some, double count, const double *all_mean, const double *square,
                                double momentum, double eps, acc_t *mean, acc_t *invstd, acc_t *running_mean,
                                acc_t *running_var)
{
    for (int64_t c = some.start; c < some.end; c++) {
        mean[c] = all_mean[c];
        invstd[c] = 1 / sqrt(square[c] / count + eps);
        running_mean[c] += momentum * (all_mean[c] - running_mean[c]);
        running_var[c] += momentum * (square[c] / (count - 1) - running_var[c]);
    }
}

static void FN(pool_some)(struct thread thread, const struct task *task)
{
    const struct pool_args *args = task->args;
    int64_t channels = args->channels, length = args->length, n_cases = args->n_cases, of_training = -1;
    struct arena arena = {own_memory(thread, task), 0};
    acc_t *restrict sum = arena_alloc(&arena, channels * sizeof(acc_t));
    acc_t *restrict factor = arena_alloc(&arena, channels * sizeof(acc_t));
    acc_t *restrict offset = arena_alloc(&arena, channels * sizeof(acc_t));
    struct range cases = share(thread, args->n * n_cases, 1);
    for (int64_t b = cases.start; b < cases.end; b++) {
        int64_t i = b / n_cases;
        if (i != of_training)
            FN(bn_factors)(channels, (const acc_t *)args->gamma + i * args->weight_stride,
                           (const acc_t *)args->beta + i * args->weight_stride,
                           (const acc_t *)args->mean + i * channels, (const acc_t *)args->invstd + i * channels, factor,
                           offset);
        of_training = i;
        const operand_t *restrict from = (const operand_t *)args->y + b * args->rows * channels;
        acc_t *restrict pooled = (acc_t *)args->pooled + b * channels;
        for (int64_t c = 0; c < channels; c++)
            sum[c] = 0;
        for (int64_t t = 0; t < length; t++)
            for (int64_t c = 0; c < channels; c++) {
                acc_t value = LOAD(from[t * channels + c]) * factor[c] + offset[c];
                sum[c] += value < 0 ? 0 : value;
            }
        for (int64_t c = 0; c < channels; c++)
            pooled[c] = sum[c] / length;
    }
}

/* pooled = mean over time of relu(batch_norm(y)): see struct pool_args. Returns 0, or 1 if memory cannot be allocated.
   */
int FN(pool)(const struct pool_args *args, int n_threads)
{
    struct task task = {.args = args, .own_bytes = 3 * ROUND_UP(args->channels * sizeof(acc_t), 64) + 256};
    n_threads = useful_threads(n_threads, args->n * args->n_cases * args->length * args->channels);
    return execute(n_threads, FN(pool_some), &task);
}
