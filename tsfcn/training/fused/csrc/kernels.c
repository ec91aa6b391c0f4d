/* The operations of a training step, for one or several processor cores: see c_backend.py, and docs/kernels.md for how they work.

   build.py compiles this file for the processor of the machine. The templates are included once for each type.

     args.h               arguments of the exported functions
     common.h             names by type, scalars, sizes of vectors, tiles and chunks, memory
     threads.h            threads that execute a function together
     transpose.h          transposes
     amx.h                the matrix tiles of AMX
     gemm.inc.h           packing, microkernel, matrix product over overlapping rows
     conv_gemm.inc.h      a convolution and its gradients as such products
     winograd.h           the constants of the fast convolutions F(m, r)
     winograd.inc.h       the transforms of F(m, r)
     conv_winograd.inc.h  a convolution and its gradients by F(m, r)
     batch_norm.inc.h     statistics, and the pooled output
     conv_block.inc.h     a block, forward and backward
     loss.inc.h           the last layer, softmax, cross-entropy
     adam.inc.h           a step of the optimiser
     testing.inc.h        internal functions for tests, with -DTSFCN_TESTING */

#include "args.h"
#include "common.h"
#include "threads.h"
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
#define AFTER bfloat16 /* the first block of a bfloat16 network */
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
#define BEFORE float32 /* the second block of a bfloat16 network */
#include "conv_block.inc.h"
#undef BEFORE
#undef AFTER
#undef TYPE
