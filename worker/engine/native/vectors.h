/* Vectors of floats, and the tiles that both kinds of linear layer are computed in: ROWS rows by COLUMNS outputs, as
 * many sums as there are registers for. Who includes it defines WIDE where its kernels are for AVX-512.
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
#else
#define LANES 8
#define ROWS 6
typedef __m256 floats;
#define LOAD_FLOATS(from) _mm256_loadu_ps(from)
#define STORE_FLOATS(to, value) _mm256_storeu_ps(to, value)
#define REPEAT_FLOAT(value) _mm256_set1_ps(value)
#define MULTIPLY(a, b) _mm256_mul_ps(a, b)
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#endif

#define COLUMNS (2 * LANES)

/* A step's weights of a panel, COLUMNS by four bytes, on their way to the second-level cache. */
static inline __attribute__((always_inline)) void fetch(const void *weights) {
    for (int i = 0; i < 4 * COLUMNS; i += 64) _mm_prefetch((const char *)weights + i, _MM_HINT_T1);
}

/* TILE(n) for the n rows, fewer than ROWS, that are left: n is a constant in each, so that its sums stay in registers. */
#define CASE(n) case n: TILE(n); break;
#define UP_TO_FIVE CASE(1) CASE(2) CASE(3) CASE(4) CASE(5)
#if defined(WIDE)
#define FEWER_ROWS(left) switch (left) { UP_TO_FIVE CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) }
#else
#define FEWER_ROWS(left) switch (left) { UP_TO_FIVE }
#endif

#endif
