/* The last layer with softmax and cross-entropy, and its gradients: see struct loss_args.

     logits = features weight + bias
     loss   = -log softmax(logits)[label]
     slope  = (softmax(logits) - onehot(label)) / n_cases

   Gradients are of the mean over the cases; total gets their sum. Returns 0, or 1 where memory is short. */
int FN(loss)(const struct loss_args *args)
{
    int64_t n_cases = args->n_cases, width = args->width, n_classes = args->n_classes, stride = args->weight_stride;
    const acc_t *weight = args->weight, *bias = args->bias, *features = args->features, *shares = args->case_weights;
    acc_t *grad_weight = args->grad_weight, *grad_bias = args->grad_bias, *grad_features = args->grad_features;
    const int64_t *labels = args->labels, *number = args->numbers;
    acc_t *restrict slope = scratch(n_classes * sizeof(acc_t)); /* at first logits, then their softmax */
    if (!slope)
        return 1;
    for (int64_t i = 0; i < args->n; i++) {
        memset(grad_weight, 0, width * n_classes * sizeof(acc_t));
        memset(grad_bias, 0, n_classes * sizeof(acc_t));
        for (int64_t b = 0; b < n_cases; b++, number++, features += width, grad_features += width) {
            for (int64_t k = 0; k < n_classes; k++)
                slope[k] = bias[k];
            for (int64_t f = 0; f < width; f++)
                for (int64_t k = 0; k < n_classes; k++)
                    slope[k] += features[f] * weight[f * n_classes + k];
            int64_t label = labels[*number];
            acc_t most = slope[0], of_label = slope[label], sum = 0, share = shares ? shares[*number] : 1;
            for (int64_t k = 1; k < n_classes; k++)
                most = slope[k] > most ? slope[k] : most;
            for (int64_t k = 0; k < n_classes; k++) {
                slope[k] = exp(slope[k] - most);
                sum += slope[k];
            }
            args->total[i] += share * (acc_t)(log(sum) + most - of_label);
            for (int64_t k = 0; k < n_classes; k++)
                slope[k] = (slope[k] / sum - (k == label)) * share / n_cases;
            for (int64_t k = 0; k < n_classes; k++)
                grad_bias[k] += slope[k];
            for (int64_t f = 0; f < width; f++) {
                acc_t grad_feature = 0;
                for (int64_t k = 0; k < n_classes; k++) {
                    grad_weight[f * n_classes + k] += features[f] * slope[k];
                    grad_feature += slope[k] * weight[f * n_classes + k];
                }
                grad_features[f] = grad_feature;
            }
        }
        weight += stride, bias += stride, grad_weight += stride, grad_bias += stride;
    }
    return 0;
}
