/* The Hadamard transform of 64 neighbouring numbers, 8 times too large: the caller divides. Its order of additions is the
 * same for vectors of any width, and the same as in weights/hadamard.py, so all give the same bits. */
#pragma once

#include "vectors.h"

#include <stdint.h>

#define GROUP 64
#define GROUP_VECTORS (GROUP / LANES)

/* For lanes that are 1, 2, 4 and 8 apart: the second lane of each pair is subtracted. */
static const float hadamard_signs[4][16] __attribute__((aligned(64))) = {
    {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
    {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1},
    {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1},
    {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1},
};

/* The sums and differences of all pairs of lanes; `swapped` has each lane's partner in its place. */
#define PAIR_LANES(v, swapped, order) MULTIPLY_ADD(v, LOAD_FLOATS(hadamard_signs[order]), swapped)

static inline __attribute__((always_inline)) void hadamard(floats v[GROUP_VECTORS]) {
#pragma GCC unroll 3
    for (int apart = GROUP_VECTORS / 2; apart > 0; apart /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < GROUP_VECTORS; i++)
            if (!(i & apart)) {
                const floats left = v[i], right = v[i + apart];
                v[i] = left + right;
                v[i + apart] = left - right;
            }
#pragma GCC unroll 8
    for (int i = 0; i < GROUP_VECTORS; i++) {
#if defined(WIDE)
        v[i] = PAIR_LANES(v[i], _mm512_shuffle_f32x4(v[i], v[i], 0x4E), 3);
        v[i] = PAIR_LANES(v[i], _mm512_shuffle_f32x4(v[i], v[i], 0xB1), 2);
        v[i] = PAIR_LANES(v[i], _mm512_permute_ps(v[i], 0x4E), 1);
        v[i] = PAIR_LANES(v[i], _mm512_permute_ps(v[i], 0xB1), 0);
#else
        v[i] = PAIR_LANES(v[i], _mm256_permute2f128_ps(v[i], v[i], 0x01), 2);
        v[i] = PAIR_LANES(v[i], _mm256_permute_ps(v[i], 0x4E), 1);
        v[i] = PAIR_LANES(v[i], _mm256_permute_ps(v[i], 0xB1), 0);
#endif
    }
}
