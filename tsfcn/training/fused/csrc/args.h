/* The arguments of the exported functions, one struct for each. c_backend.py has a ctypes.Structure for each of them
   with the same fields in the same order: integers, then reals, then pointers. The sizes are compared when the library
   is loaded; tests/parity/test_c_internals.py compares names and order.

   A void pointer points to values of the type in the function's name. The n trainings lie one after another in every
   array, except for weights and their gradients, which lie `weight_stride` values apart. */

#ifndef TSFCN_ARGS_H
#define TSFCN_ARGS_H

#include <stdint.h>

/* A block: convolution without bias, batch norm, ReLU. The same struct serves its forward and its backward pass.

   A case has rows = length + kernel - 1 rows in `padded`, `y` and `grad_input`. In `y` and `grad_input` the first
   `length` rows of a case are used, the others are never read. */
struct conv_block_args {
    int64_t n; /* trainings */
    int64_t n_cases;
    int64_t length; /* timepoints of a case */
    int64_t c_in;
    int64_t c_out;
    int64_t kernel;
    int64_t left;        /* rows of padding before those of a case */
    int64_t before_rows; /* rows of a case in before_y */
    int64_t after_rows;  /* rows of a case in grad_output */
    int64_t weight_stride;
    double momentum; /* the fraction of the batch in the new running statistics, as in PyTorch */
    double eps;
    const void *padded;   /* (n, n_cases, rows, c_in): the input; or NULL: the output of the block before */
    const void *before_y; /* (n, n_cases, before_rows, c_in): y of that block; its batch norm, (n, c_in) each: */
    const void *before_gamma;
    const void *before_beta;
    const void *before_mean;
    const void *before_invstd;
    const void *weight; /* (n, c_out, kernel, c_in) */
    void *y;            /* (n, n_cases, rows, c_out): the convolution's output */
    const void *gamma;  /* (n, c_out), like the next seven */
    const void *beta;
    void *mean;   /* of the batch */
    void *invstd; /* 1 / sqrt(variance + eps) */
    void *running_mean;
    void *running_var;
    void *grad_gamma;
    void *grad_beta;
    void *grad_weight;
    void *grad_input;        /* (n, n_cases, rows, c_in), or NULL if it is not needed */
    const void *grad_output; /* (n, n_cases, after_rows, c_out): grad_input of the next block; or NULL: */
    const void *grad_pooled; /* (n, n_cases, c_out): the gradient of the mean over time */
};

/* The mean over time of relu(batch_norm(y)). */
struct pool_args {
    int64_t n;
    int64_t n_cases;
    int64_t length;
    int64_t channels;
    int64_t rows; /* of a case in y */
    int64_t weight_stride;
    const void *y; /* (n, n_cases, rows, channels) */
    const void *gamma;
    const void *beta;
    const void *mean;
    const void *invstd;
    void *pooled; /* (n, n_cases, channels) */
};

/* The last layer, softmax and cross-entropy, and their gradients. */
struct loss_args {
    int64_t n;
    int64_t n_cases;
    int64_t width;
    int64_t n_classes;
    int64_t weight_stride;
    const void *features;     /* (n, n_cases, width) */
    const void *weight;       /* (n, width, n_classes) */
    const void *bias;         /* (n, n_classes) */
    const int64_t *labels;    /* of all cases */
    const void *case_weights; /* of all cases, or NULL: losses are multiplied by them */
    const int64_t *numbers;   /* (n, n_cases): which cases are in the batch */
    void *grad_features;
    void *grad_weight;
    void *grad_bias;
    double *total; /* (n): the losses are added to it */
};

/* A step of Adam. */
struct adam_args {
    int64_t n;
    int64_t count; /* weights of a training */
    double beta1;
    double beta2;
    double root; /* sqrt(1 - beta2^t), t: the number of this step */
    double eps;
    void *weights; /* (n, count) */
    void *exp_avg;
    void *exp_avg_sq;
    const void *gradient;
    const double *rates; /* (n): the learning rate / (1 - beta1^t) */
};

#endif
