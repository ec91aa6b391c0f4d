/* A step of Adam: see struct adam_args. Returns 0.

     m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2,   w = w - rate m / (sqrt(v) / root + eps) */
int FN(adam)(const struct adam_args *args)
{
    acc_t beta1 = args->beta1, one_minus_beta1 = 1 - args->beta1;
    acc_t beta2 = args->beta2, one_minus_beta2 = 1 - args->beta2;
    acc_t scale = 1 / args->root, eps = args->eps;
    int64_t count = args->count;
    for (int64_t i = 0; i < args->n; i++) {
        acc_t *restrict w = (acc_t *)args->weights + i * count, *restrict m = (acc_t *)args->exp_avg + i * count;
        acc_t *restrict v = (acc_t *)args->exp_avg_sq + i * count;
        const acc_t *restrict g = (const acc_t *)args->gradient + i * count;
        acc_t rate = args->rates[i];
        for (int64_t p = 0; p < count; p++) {
            m[p] = beta1 * m[p] + one_minus_beta1 * g[p];
            v[p] = beta2 * v[p] + one_minus_beta2 * g[p] * g[p];
            w[p] -= rate * m[p] / ((acc_t)sqrt(v[p]) * scale + eps);
        }
    }
    return 0;
}
