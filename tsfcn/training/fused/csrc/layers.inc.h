/* The templates that a block needs; this file is included once for each type. */

#include "gemm.inc.h"
#include "conv_gemm.inc.h"
#include "winograd.inc.h"
#include "conv_winograd.inc.h"
#include "batch_norm.inc.h"
#ifdef TSFCN_TESTING
#include "testing.inc.h"
#endif
