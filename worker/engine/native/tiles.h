/* Products on AMX: sums of up to 16 rows by 16 outputs to a tile. All tiles of a call are of one height, and the last may
 * begin among the rows of the one before it, which are then computed twice: one configuration serves them all.
 *
 * Of a panel's tiles the first three places below hold sums; of inputs and weights there are two tiles each.
 */
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TILE_ROWS 16
#define TILE_DEPTH 64 /* inputs of a tile */

enum { ASK_FOR_STATE = 0x1023, TILE_STATE = 18 }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */

/* Linux gives the tiles' registers to processes that have asked. */
static int may_use_tiles(void) {
    static int answer = -1;
    if (answer < 0) answer = syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_STATE) == 0;
    return answer;
}

/* For this thread, until _tile_release. */
static void configure_tiles(int64_t height) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16]; /* of a tile's row */
        uint8_t rows[16];
    } __attribute__((packed)) tiles = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        tiles.bytes[i] = TILE_DEPTH;
        tiles.rows[i] = i < 6 ? height : TILE_DEPTH / 4;
    }
    _tile_loadconfig(&tiles);
}

/* sums [2 × height][32] of the rows of `above`, then those of `below`, over `depth` inputs of a panel. */
static inline void two_tiles(const uint8_t *above, const uint8_t *below, int64_t depth, const int8_t *w, int64_t height,
                             int32_t *sums) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < depth; k += TILE_DEPTH, w += TILE_DEPTH * 32) {
        _tile_loadd(6, w, 128);
        _tile_loadd(4, above + k, depth);
        _tile_loadd(7, w + 64, 128);
        _tile_loadd(5, below + k, depth);
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    _tile_stored(0, sums, 128);
    _tile_stored(1, sums + 16, 128);
    _tile_stored(2, sums + height * 32, 128);
    _tile_stored(3, sums + height * 32 + 16, 128);
}

/* The same for one tile of rows: sums [height][32]. */
static inline void one_tile(const uint8_t *x, int64_t depth, const int8_t *w, int32_t *sums) {
    _tile_zero(0);
    _tile_zero(1);
    for (int64_t k = 0; k < depth; k += TILE_DEPTH, w += TILE_DEPTH * 32) {
        _tile_loadd(4, x + k, depth);
        _tile_loadd(6, w, 128);
        _tile_loadd(7, w + 64, 128);
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
    }
    _tile_stored(0, sums, 128);
    _tile_stored(1, sums + 16, 128);
}
