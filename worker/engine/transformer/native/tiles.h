/* int8 products on AMX (Intel Advanced Matrix Extensions), whose tile registers hold up to 16 rows of 16 sums. Of the eight
 * registers, four hold sums, two inputs and two weights. All input tiles of a call have the same height in rows, so that
 * one configuration serves the whole call.
 */
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TILE_ROWS 16
#define TILE_BYTES 64 /* bytes in one row of a tile, be it inputs or sums */

enum { ASK_FOR_STATE = 0x1023, TILE_STATE = 18 }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */

/* Whether this process may use the tile registers: Linux grants them to processes that ask. */
static int has_tiles(void) {
    static int answer = -1;
    if (answer < 0) answer = syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_STATE) == 0;
    return answer;
}

/* Configures the tile registers of this thread, until _tile_release. */
static void configure_tiles(int64_t height) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } tiles = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        tiles.bytes[i] = TILE_BYTES;
        tiles.rows[i] = i < 6 ? height : TILE_BYTES / 4;
    }
    /* gcc assumes that _tile_loadconfig reads only eight bytes, and would drop the other stores. */
    __asm__ volatile("" : : "r"(&tiles) : "memory");
    _tile_loadconfig(&tiles);
}

/* Multiplies one panel of weights with `count` tiles of rows, one or two, which are `size` bytes each and adjacent. The
 * sums stay in the tile registers.
 *
 * At each chunk of the panel it prefetches `lines` cache lines from `ahead`: into the first-level cache for one tile, into
 * the second-level cache for two, which take longer.
 */
static inline __attribute__((always_inline)) void multiply_tiles(const int count, const uint8_t *x, int64_t size,
                                                                 int64_t height, const int8_t *w, const int8_t *ahead,
                                                                 int64_t lines) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    const int64_t step = height * TILE_BYTES;
    for (const uint8_t *end = x + size; x < end; x += step, w += 32 * TILE_BYTES) {
        for (int64_t i = 0; i < lines; i++, ahead += 64) {
            if (count == 1)
                _mm_prefetch(ahead, _MM_HINT_T0);
            else
                _mm_prefetch(ahead, _MM_HINT_T1);
        }
        _tile_loadd(6, w, 2 * TILE_BYTES);
        _tile_loadd(4, x, TILE_BYTES);
        _tile_loadd(7, w + TILE_BYTES, 2 * TILE_BYTES);
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        if (count == 1) continue;
        _tile_loadd(5, x + size, TILE_BYTES);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
}

/* Copies the sums of two tiles of rows to sums [2 * height][32]. */
static inline void store_tiles(int64_t height, int32_t *sums) {
    _tile_stored(0, sums, 2 * TILE_BYTES);
    _tile_stored(1, sums + 16, 2 * TILE_BYTES);
    _tile_stored(2, sums + height * 32, 2 * TILE_BYTES);
    _tile_stored(3, sums + height * 32 + 16, 2 * TILE_BYTES);
}
