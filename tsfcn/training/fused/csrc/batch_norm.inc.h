/* Batch norm over the rows of a batch, and the mean over time of what it and ReLU make. */

/* Batch norm as a factor and an offset: gamma * (y - mean) * invstd + beta = y * factor + offset. */
static void FN(bn_factors)(int64_t channels, const acc_t *gamma, const acc_t *beta, const acc_t *mean,
                           const acc_t *invstd, acc_t *restrict factor, acc_t *restrict offset)
{
    for (int64_t c = 0; c < channels; c++) {
        factor[c] = gamma[c] * invstd[c];
        offset[c] = beta[c] - mean[c] * factor[c];
    }
}

/* The mean of some rows of y, and the sum of squares around it. */
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
            acc_t off = LOAD(y[r * channels + c]) - mean[c];
            square[c] += off * off;
        }
}

/* The statistics of the rows seen so far. */
typedef struct {
    double count, *mean, *square; /* rows, their mean, and the sum of squares around it, (channels) */
    acc_t *some_mean, *some_square; /* of the rows that join them */
} FN(stats);

/* Let rows `start` to `end` of all cases of y join the statistics, as in Chan, Golub and LeVeque 1983. Of the `rows`
   rows of a case only the first `length` count. */
static void FN(bn_stats)(int64_t start, int64_t end, int64_t rows, int64_t length, int64_t channels, const operand_t *y,
                         FN(stats) *stats)
{
    acc_t *restrict some_mean = stats->some_mean, *restrict some_square = stats->some_square;
    double *restrict mean = stats->mean, *restrict square = stats->square, count = stats->count;
    for (int64_t r = start, some; r < end; r += some) { /* as far as a case reaches, and sums stay small */
        int64_t t = r % rows;
        some = rows - t;
        if (t >= length)
            continue;
        some = MIN(end - r, length - t);
        some = MIN(some, STATS_ROWS);
        FN(bn_stats_rows)(some, channels, y + r * channels, some_mean, some_square);
        double share = some / (count + some);
        for (int64_t c = 0; c < channels; c++) {
            double off = some_mean[c] - mean[c];
            mean[c] += off * share;
            square[c] += some_square[c] + off * off * count * share;
        }
        count += some;
    }
    stats->count = count;
}

/* Leave mean and 1 / sqrt(variance + eps), and move the running statistics, of which the variance is unbiased. */
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

/* pooled = mean over time of relu(batch_norm(y)): see struct pool_args. Returns 0, or 1 where memory is short. */
int FN(pool)(const struct pool_args *args)
{
    int64_t channels = args->channels, length = args->length;
    struct arena arena = {scratch(3 * ROUND_UP(channels * sizeof(acc_t), 64) + 256), 0};
    if (!arena.base)
        return 1;
    acc_t *restrict sum = take(&arena, channels * sizeof(acc_t));
    acc_t *restrict factor = take(&arena, channels * sizeof(acc_t));
    acc_t *restrict offset = take(&arena, channels * sizeof(acc_t));
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
