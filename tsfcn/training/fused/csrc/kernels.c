/* What a training step does, for one processor core: see c_backend.py, and docs/kernels.md for how it works.

   Compiled for the processor at hand (build.py), from templates that are included once for each type.

     args.h               arguments of the exported functions
     common.h             names by type, scalars, sizes of vectors, tiles and chunks, memory
     transpose.h          transposes
     amx.h                the matrix tiles of AMX
     gemm.inc.h           packing, microkernel, matrix product over overlapping rows
     conv_gemm.inc.h      a convolution and its gradients by it
     winograd.h           constants of
     winograd.inc.h       the transforms of F(m, r)
     conv_winograd.inc.h  a convolution and its gradients by these
     batch_norm.inc.h     statistics, and the pooled outcome
     conv_block.inc.h     a block, forward and backward
     loss.inc.h           the last layer, softmax, cross-entropy
     adam.inc.h           a step of the optimiser
     testing.inc.h        what tests see of the inside, under -DTSFCN_TESTING */

#include "args.h"
#include "common.h"
#include "transpose.h"
#include "amx.h"
#include "winograd.h"

const int64_t conv_block_args_size = sizeof(struct conv_block_args);
const int64_t pool_args_size = sizeof(struct pool_args);
const int64_t loss_args_size = sizeof(struct loss_args);
const int64_t adam_args_size = sizeof(struct adam_args);

#define TYPE float32
#include "layers.inc.h"
#include "loss.inc.h"
#include "adam.inc.h"
#define BEFORE float32
#define AFTER float32
#include "conv_block.inc.h"
#undef AFTER
#define AFTER bfloat16 /* the first block, where the others are bfloat16 */
#include "conv_block.inc.h"
#undef BEFORE
#undef AFTER
#undef TYPE

#define TYPE float64
#include "layers.inc.h"
#include "loss.inc.h"
#include "adam.inc.h"
#define BEFORE float64
#define AFTER float64
#include "conv_block.inc.h"
#undef BEFORE
#undef AFTER
#undef TYPE

#define TYPE bfloat16
#include "layers.inc.h"
#define BEFORE bfloat16
#define AFTER bfloat16
#include "conv_block.inc.h"
#undef BEFORE
#define BEFORE float32 /* the second block */
#include "conv_block.inc.h"
#undef BEFORE
#undef AFTER
#undef TYPE
