/* Constants of the fast convolutions: see winograd.inc.h, and docs/kernels.md for their derivation. */

#ifndef TSFCN_WINOGRAD_H
#define TSFCN_WINOGRAD_H

#define ALPHA (PAIR == 1 ? 8 : 10)  /* timepoints of an input tile: m + r - 1 */
#define POINTS (PAIR == 1 ? 8 : 13) /* products of a tile */
#define MIN_R 3
#define MAX_R (PAIR == 1 ? 6 : 8)
#define MIN_ROWS (PAIR == 1 ? 70 : 200)             /* with fewer rows the transforms cost more than is gained */
#define MAX_TILES (70 / VECTOR_MR * VECTOR_MR)      /* tiles at a time, so that they stay in the cache */
#define GRAD_MR (VECTOR_MR > 8 ? 8 : 4)             /* rows of a microtile of grad_weight */

/* The points are 0, infinity and three pairs of a number and its negative, i = 0, 1, 2. */
#define OF_PAIR(i, first, second, third) ((acc_t)((i) == 0 ? (first) : (i) == 1 ? (second) : (third)))
#define POINT(i) OF_PAIR(i, 1, 2, 0.5)
#define SCALE(i) OF_PAIR(i, -1 / 4.5, 1 / 90., 1 / 1.40625) /* 1 / the product of the differences to all other points */
#define SQUARES(i) OF_PAIR(i, 4.25, 1.25, 5)                /* the sum of the squares of the other two */
#define PRODUCT(i) OF_PAIR(i, 1, 0.25, 4)                   /* the product of these squares */

#define HALF_ROOT 0.70710678118654752440 /* sqrt(1/2): cosine and sine of the first eighth root of unity */

/* CALL with a count that is a compile-time constant. */
#define SWITCH_COUNT(count, CALL)                                                                                      \
    switch (count) {                                                                                                   \
    case 3:                                                                                                            \
        CALL(3);                                                                                                       \
        break;                                                                                                         \
    case 4:                                                                                                            \
        CALL(4);                                                                                                       \
        break;                                                                                                         \
    case 5:                                                                                                            \
        CALL(5);                                                                                                       \
        break;                                                                                                         \
    case 6:                                                                                                            \
        CALL(6);                                                                                                       \
        break;                                                                                                         \
    case 7:                                                                                                            \
        CALL(7);                                                                                                       \
        break;                                                                                                         \
    default:                                                                                                           \
        CALL(8);                                                                                                       \
    }

#endif
