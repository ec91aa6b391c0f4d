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

/* The statistics of the rows seen so far. */
typedef struct {
    double count, *mean, *square; /* rows, their mean, and the sum of squares around it, (channels) */
    acc_t *part_mean, *part_square; /* the same of the rows that are added next */
} FN(stats);

/* Add rows `start` to `end` of all cases of y to the statistics (Chan, Golub and LeVeque 1983). Only the first `length`
   of the `rows` rows of a case are used. */
static void FN(bn_stats)(int64_t start, int64_t end, int64_t rows, int64_t length, int64_t channels, const operand_t *y,
                         FN(stats) *stats)
{
    acc_t *restrict part_mean = stats->part_mean, *restrict part_square = stats->part_square;
    double *restrict mean = stats->mean, *restrict square = stats->square, count = stats->count;
    for (int64_t r = start, n_rows; r < end; r += n_rows) { /* up to the end of the case, and at most STATS_ROWS */
        int64_t t = r % rows;
        n_rows = rows - t;
        if (t >= length)
            continue;
        n_rows = MIN(end - r, length - t);
        n_rows = MIN(n_rows, STATS_ROWS);
        FN(bn_stats_rows)(n_rows, channels, y + r * channels, part_mean, part_square);
        double fraction = n_rows / (count + n_rows);
        for (int64_t c = 0; c < channels; c++) {
            double delta = part_mean[c] - mean[c];
            mean[c] += delta * fraction;
            square[c] += part_square[c] + delta * delta * count * fraction;
        }
        count += n_rows;
    }
    stats->count = count;
}

/* Set mean and 1 / sqrt(variance + eps), and update the running statistics, whose variance is unbiased. */
static void FN(bn_finish_stats)(int64_t channels, const FN(stats) *stats, double momentum, double eps, acc_t *mean,
                                acc_t *invstd, acc_t *running_mean, acc_t *running_var)
{
    for (int64_t c = 0; c < channels; c++) {
        mean[c] = stats->mean[c];
        invstd[c] = 1 / sqrt(stats->square[c] / stats->count + eps);
        running_mean[c] += momentum * (stats->mean[c] - running_mean[c]);
        running_var[c] += momentum * (stats->square[c] / (stats->count - 1) - running_var[c]);
    }
}

/* pooled = mean over time of relu(batch_norm(y)): see struct pool_args. Returns 0, or 1 if memory cannot be allocated.
   */
int FN(pool)(const struct pool_args *args)
{
    int64_t channels = args->channels, length = args->length;
    struct arena arena = {scratch(3 * ROUND_UP(channels * sizeof(acc_t), 64) + 256), 0};
    if (!arena.base)
        return 1;
    acc_t *restrict sum = arena_alloc(&arena, channels * sizeof(acc_t));
    acc_t *restrict factor = arena_alloc(&arena, channels * sizeof(acc_t));
    acc_t *restrict offset = arena_alloc(&arena, channels * sizeof(acc_t));
    const operand_t *y = args->y;
    acc_t *pooled = args->pooled;
    for (int64_t i = 0; i < args->n; i++) {
        FN(bn_factors)(channels, (const acc_t *)args->gamma + i * args->weight_stride,
                       (const acc_t *)args->beta + i * args->weight_stride, (const acc_t *)args->mean + i * channels,
                       (const acc_t *)args->invstd + i * channels, factor, offset);
        for (int64_t b = 0; b < args->n_cases; b++, y += args->rows * channels, pooled += channels) {
            const operand_t *restrict from = y;
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
    return 0;
}
