/* Vectors of floats (AVX-512 or AVX2), and the tile size of the linear layers: ROWS rows by COLUMNS outputs, so that all
 * sums of a tile stay in registers. A file defines WIDE before it includes this if its kernels use AVX-512.
 */
#ifndef LENGTHWISE_VECTORS_H
#define LENGTHWISE_VECTORS_H

#include <immintrin.h>

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

/* Prefetches one step's weights of a panel, COLUMNS times four bytes, into the second-level cache. */
static inline __attribute__((always_inline)) void fetch(const void *weights) {
    for (int i = 0; i < 4 * COLUMNS; i += 64) _mm_prefetch((const char *)weights + i, _MM_HINT_T1);
}

/* Runs TILE(n) for the last n rows, fewer than ROWS. Each n is a constant of its own code, so that the compiler keeps the
 * sums in registers. */
#define CASE(n) case n: TILE(n); break;
#define UP_TO_FIVE CASE(1) CASE(2) CASE(3) CASE(4) CASE(5)
#if defined(WIDE)
#define FEWER_ROWS(left) switch (left) { UP_TO_FIVE CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) }
#else
#define FEWER_ROWS(left) switch (left) { UP_TO_FIVE }
#endif

#endif
