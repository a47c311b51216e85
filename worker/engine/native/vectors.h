/* Vectors of floats, and the tiles that both kinds of linear layer are computed in: ROWS rows by COLUMNS outputs, as
 * many sums as there are registers for. Who includes it defines WIDE where its kernels are for AVX-512.
 */
#ifndef LENGTHWISE_VECTORS_H
#define LENGTHWISE_VECTORS_H

#include <immintrin.h>
#include <stdint.h>

#if defined(WIDE)
#define LANES 16
#define ROWS 12
typedef __m512 floats;
#define LOAD_FLOATS(from) _mm512_loadu_ps(from)
#define STORE_FLOATS(to, value) _mm512_storeu_ps(to, value)
#define REPEAT_FLOAT(value) _mm512_set1_ps(value)
#define MULTIPLY(a, b) _mm512_mul_ps(a, b)
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define LESSER(a, b) _mm512_min_ps(a, b)
#define GREATER(a, b) _mm512_max_ps(a, b)
#define LEAST(v) _mm512_reduce_min_ps(v)
#define GREATEST(v) _mm512_reduce_max_ps(v)
#define SUM(v) _mm512_reduce_add_ps(v)
#else
#define LANES 8
#define ROWS 6
typedef __m256 floats;
#define LOAD_FLOATS(from) _mm256_loadu_ps(from)
#define STORE_FLOATS(to, value) _mm256_storeu_ps(to, value)
#define REPEAT_FLOAT(value) _mm256_set1_ps(value)
#define MULTIPLY(a, b) _mm256_mul_ps(a, b)
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define LESSER(a, b) _mm256_min_ps(a, b)
#define GREATER(a, b) _mm256_max_ps(a, b)
#define LEAST(v) -greatest(-v)
#define GREATEST(v) greatest(v)
#define SUM(v) sum(v)

static inline float sum(__m256 v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

static inline float greatest(__m256 v) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}
#endif

#define COLUMNS (2 * LANES)

/* Rows in tiles of like heights, ROWS at most. While they compute, they fetch the weights of the next panel: the first
 * `shares` of them, a power of two, a share each, for no more than some lines can be on their way to a core at once.
 */
typedef struct {
    int64_t height;
    int64_t shares;
} tiling;

static inline tiling tiles_of(int64_t rows) {
    const int64_t tiles = (rows + ROWS - 1) / ROWS;
    tiling t = {(rows + tiles - 1) / tiles, 1};
    while (2 * t.shares <= tiles) t.shares *= 2;
    return t;
}

/* Of a tile, by its number: it fetches a step's weights whenever the number of steps so far has none of these bits. */
static inline int64_t mask_of(tiling t, int64_t number) { return number < t.shares ? t.shares - 1 : -1; }

/* A step's weights, COLUMNS by four bytes, on their way to the second-level cache; returns where the next step's are. */
static inline __attribute__((always_inline)) const char *fetch(const char *weights) {
    for (int i = 0; i < 4 * COLUMNS; i += 64) _mm_prefetch(weights + i, _MM_HINT_T1);
    return weights + 4 * COLUMNS;
}

/* TILE(n) for a tile's n rows: n is a constant in each, so that its sums stay in registers. */
#define CASE(n) case n: TILE(n); break;
#define UP_TO_SIX CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if defined(WIDE)
#define FOR_ROWS(n) switch (n) { UP_TO_SIX CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) }
#else
#define FOR_ROWS(n) switch (n) { UP_TO_SIX }
#endif

#endif
