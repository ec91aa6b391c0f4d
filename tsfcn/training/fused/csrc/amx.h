/* The matrix tiles of processors with AMX, which multiply bfloat16. */

#ifndef TSFCN_AMX_H
#define TSFCN_AMX_H

#include "common.h"

#ifdef AMX

#include <sys/syscall.h>
#include <unistd.h>

/* Return whether the system permits the use of the tiles. */
static int may_use_amx(void)
{
    static int allowed = -1;
    if (allowed < 0)
        allowed = syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0;
    return allowed;
}

static void configure_amx(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16]; /* of a row */
        uint8_t rows[16];
    } settings = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        settings.bytes[i] = 64;
        settings.rows[i] = 16;
    }
    _tile_loadconfig(&settings);
}

/* c (32, 32) = up to 32 rows of a, `a_stride` values apart, times a micropanel b (k, 32). */
ALWAYS_INLINE void amx_microtile(int64_t rows, const bfloat16 *a, int64_t a_stride, const bfloat16 *b, int64_t k,
                                 float *c)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t q = 0; q < k; q += AMX_K, b += 32 * AMX_K) {
        _tile_loadd(4, a + q, a_stride * 2);
        _tile_loadd(6, b, 128);
        _tile_loadd(7, b + 32, 128);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        if (rows > 16) {
            _tile_loadd(5, a + 16 * a_stride + q, a_stride * 2);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, c, 128);
    _tile_stored(1, c + 16, 128);
    _tile_stored(2, c + 16 * 32, 128);
    _tile_stored(3, c + 16 * 32 + 16, 128);
}

#endif

#endif
