/* The last layer with softmax and cross-entropy, and its gradients: see struct loss_args.

     logits      = features weight + bias
     loss        = -log softmax(logits)[label]
     grad_logits = (softmax(logits) - onehot(label)) / n_cases

   The gradients are those of the mean over the cases; the sum of the losses is added to total. Returns 0, or 1 if
   memory cannot be allocated. */
int FN(loss)(const struct loss_args *args, int n_threads)
{
    (void)n_threads; /* one is enough */
    int64_t n_cases = args->n_cases, width = args->width, n_classes = args->n_classes, stride = args->weight_stride;
    const acc_t *weight = args->weight, *bias = args->bias, *features = args->features;
    const acc_t *case_weights = args->case_weights;
    acc_t *grad_weight = args->grad_weight, *grad_bias = args->grad_bias, *grad_features = args->grad_features;
    const int64_t *labels = args->labels, *number = args->numbers;
    acc_t *restrict grad_logits = scratch(n_classes * sizeof(acc_t)); /* first the logits, then their softmax */
    if (!grad_logits)
        return 1;
    for (int64_t i = 0; i < args->n; i++) {
        memset(grad_weight, 0, width * n_classes * sizeof(acc_t));
        memset(grad_bias, 0, n_classes * sizeof(acc_t));
        for (int64_t b = 0; b < n_cases; b++, number++, features += width, grad_features += width) {
            for (int64_t k = 0; k < n_classes; k++)
                grad_logits[k] = bias[k];
            for (int64_t f = 0; f < width; f++)
                for (int64_t k = 0; k < n_classes; k++)
                    grad_logits[k] += features[f] * weight[f * n_classes + k];
            int64_t label = labels[*number];
            acc_t max_logit = grad_logits[0], label_logit = grad_logits[label], sum = 0;
            acc_t case_weight = case_weights ? case_weights[*number] : 1;
            for (int64_t k = 1; k < n_classes; k++)
                max_logit = grad_logits[k] > max_logit ? grad_logits[k] : max_logit;
            for (int64_t k = 0; k < n_classes; k++) {
                grad_logits[k] = exp(grad_logits[k] - max_logit);
                sum += grad_logits[k];
            }
            args->total[i] += case_weight * (acc_t)(log(sum) + max_logit - label_logit);
            for (int64_t k = 0; k < n_classes; k++)
                grad_logits[k] = (grad_logits[k] / sum - (k == label)) * case_weight / n_cases;
            for (int64_t k = 0; k < n_classes; k++)
                grad_bias[k] += grad_logits[k];
            for (int64_t f = 0; f < width; f++) {
                acc_t grad_feature = 0;
                for (int64_t k = 0; k < n_classes; k++) {
                    grad_weight[f * n_classes + k] += features[f] * grad_logits[k];
                    grad_feature += grad_logits[k] * weight[f * n_classes + k];
                }
                grad_features[f] = grad_feature;
            }
        }
        weight += stride, bias += stride, grad_weight += stride, grad_bias += stride;
    }
    return 0;
}
