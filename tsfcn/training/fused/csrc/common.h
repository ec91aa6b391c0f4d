/* Definitions that all templates share: names by type, scalar types, sizes of vectors and tiles, memory. */

#ifndef TSFCN_COMMON_H
#define TSFCN_COMMON_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif
#if defined(__AMX_BF16__) && defined(__AVX512F__) && defined(__linux__)
#define AMX 1
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define ROUND_UP(count, multiple) (((count) + (multiple)-1) / (multiple) * (multiple))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* Names. A template (*.inc.h) is included with TYPE defined as float32, float64 or bfloat16; the template of a block
   also with BEFORE and AFTER. FN(gemm) is then gemm_float32, for example. */
#define CAT_(a, b) a##_##b
#define CAT(a, b) CAT_(a, b)
#define FN(name) CAT(name, TYPE)
#define BLOCK_FN(name) CAT(name, CAT(TYPE, CAT(BEFORE, AFTER)))

/* Scalars. operand_t is the type of the operands of products, and of stored activations and their gradients. acc_t is
   the type of the sums of products, of weights, statistics and everything else. PAIR is the number of operands that one
   instruction multiplies and adds to one sum: two for bfloat16, so two operands lie side by side in packed matrices.
   unit_t holds the bits of PAIR operands. */
typedef struct {
    uint16_t bits;
} bfloat16;

typedef uint64_t unit_64 __attribute__((may_alias));
typedef uint32_t unit_32 __attribute__((may_alias));

typedef float operand_float32, acc_float32, acc_bfloat16;
typedef double operand_float64, acc_float64;
typedef bfloat16 operand_bfloat16;
typedef unit_32 unit_float32, unit_bfloat16;
typedef unit_64 unit_float64;

#define PAIR_float32 1
#define PAIR_float64 1
#define PAIR_bfloat16 2

#define operand_t CAT(operand, TYPE)
#define acc_t CAT(acc, TYPE)
#define unit_t CAT(unit, TYPE)
#define vec_t CAT(vec, TYPE) /* LANES of acc_t */
#define PAIR CAT(PAIR, TYPE)
#define LOAD(value) CAT(load, TYPE)(value)
#define STORE(value) CAT(store, TYPE)(value)

ALWAYS_INLINE float load_float32(float value) { return value; }
ALWAYS_INLINE float store_float32(float value) { return value; }
ALWAYS_INLINE double load_float64(double value) { return value; }
ALWAYS_INLINE double store_float64(double value) { return value; }

ALWAYS_INLINE float load_bfloat16(bfloat16 value)
{
    uint32_t bits = (uint32_t)value.bits << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

ALWAYS_INLINE bfloat16 store_bfloat16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16; /* to nearest, ties to even */
    bfloat16 result = {(uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded)};
    return result;
}

/* Sizes of vectors and microtiles. An MR x NR microtile of sums stays in registers: VECTOR_MR rows of vectors (28 of
   the 32 registers with AVX-512, 12 of 16 otherwise), or 32 rows of four AMX tiles. */
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define VECTOR_MR 14
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define VECTOR_MR 6
#else
#define VECTOR_BYTES 16
#define VECTOR_MR 6
#endif

#ifdef AMX
#define AMX_MR 32
#define AMX_K 32
#else
#define AMX_MR VECTOR_MR
#define AMX_K 2
#endif

#define LANES ((int64_t)(VECTOR_BYTES / sizeof(acc_t)))
#define NR (2 * LANES)
#define MR (PAIR == 2 ? AMX_MR : VECTOR_MR)
#define K_MULTIPLE (PAIR == 2 ? AMX_K : 1) /* the depth of micropanels is padded with zeros to a multiple */
#define PADDED_K(k) ROUND_UP((int64_t)(k), K_MULTIPLE)

/* The cache budget, in rows (see docs/kernels.md). */
#define MC (1024 / (int64_t)sizeof(operand_t)) /* rows of a block's input and gradients at a time: the L2 cache */
#define KC (512 / (int64_t)sizeof(operand_t))  /* rows of gradients that one product sums over: the L1 cache */
#define STATS_ROWS 128 /* rows that are summed before they are added to the total, so that rounding errors stay small */
#define ROUND_CHANNELS 64 /* channels that are rounded at a time */
#define ADAM_UNIT 1024     /* weights that one thread updates: whole vectors */

/* Return memory of this thread for `count` bytes, or NULL if there is too little. It is reused by the next call and
   never freed, not even when the thread ends: it is meant for a few long-lived threads, and not for those of a team. */
static void *scratch(size_t count)
{
    static _Thread_local void *memory;
    static _Thread_local size_t size;
#ifdef __SANITIZE_ADDRESS__
    ASAN_UNPOISON_MEMORY_REGION(memory, size);
#endif
    if (count > size) {
        free(memory);
        size = ROUND_UP(count, 1 << 16);
        memory = aligned_alloc(64, size);
        size = memory ? size : 0;
    }
    return memory;
}

/* Buffers that share one piece of memory. While base is NULL, `arena_alloc` only adds up the sizes. */
struct arena {
    char *base;
    size_t used;
};

static void *arena_alloc(struct arena *arena, size_t bytes)
{
    char *start = arena->base ? arena->base + arena->used : NULL;
    arena->used += ROUND_UP(bytes, 64);
#ifdef __SANITIZE_ADDRESS__ /* a gap after each buffer, which must not be accessed */
    arena->used += 64;
    if (start)
        ASAN_POISON_MEMORY_REGION(start + bytes, arena->base + arena->used - (start + bytes));
#endif
    return start;
}

#endif
