static void FN(adam_some)(struct thread thread, const struct task *task)
{
    const struct adam_args *args = task->args;
    acc_t beta1 = args->beta1, one_minus_beta1 = 1 - args->beta1;
    acc_t beta2 = args->beta2, one_minus_beta2 = 1 - args->beta2;
    acc_t scale = 1 / args->root, eps = args->eps;
    struct range some = share(thread, args->count, ADAM_UNIT);
    for (int64_t i = 0; i < args->n; i++) {
        int64_t start = i * args->count;
        acc_t *restrict w = (acc_t *)args->weights + start, *restrict m = (acc_t *)args->exp_avg + start;
        acc_t *restrict v = (acc_t *)args->exp_avg_sq + start;
        const acc_t *restrict g = (const acc_t *)args->gradient + start;
        acc_t rate = args->rates[i];
        for (int64_t p = some.start; p < some.end; p++) {
            m[p] = beta1 * m[p] + one_minus_beta1 * g[p];
            v[p] = beta2 * v[p] + one_minus_beta2 * g[p] * g[p];
            w[p] -= rate * m[p] / ((acc_t)sqrt(v[p]) * scale + eps);
        }
    }
}

/* A step of Adam: see struct adam_args. Returns 0, or 1 if memory cannot be allocated.

     m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2,   w = w - rate m / (sqrt(v) / root + eps) */
int FN(adam)(const struct adam_args *args, int n_threads)
{
    struct task task = {.args = args};
    return execute(useful_threads(n_threads, args->n * args->count), FN(adam_some), &task);
}
