/* The exponential function of a vector of floats, for softmax, tanh and SiLU. */
#pragma once

#include "vectors.h"

#if defined(WIDE)
#define ROUND(x) _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define TIMES_POWER(p, n) _mm512_scalef_ps(p, n)
#else
#define ROUND(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define TIMES_POWER(p, n) times_power(p, n)
/* p * 2^n, for whole n from -126 to 127. */
static inline __m256 times_power(__m256 p, __m256 n) {
    const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}
#endif

/* e^x for x <= 87, within 2 units in the last place; x below -87 counts as -87. As in Cephes' expf: x = n ln 2 + r, and
 * e^x is 2^n times a polynomial in r. */
static inline floats exponential(floats x) {
    x = GREATER(x, REPEAT_FLOAT(-87.0f));
    const floats n = ROUND(MULTIPLY(x, REPEAT_FLOAT(1.44269504f)));
    floats r = MULTIPLY_ADD(n, REPEAT_FLOAT(-0.693359375f), x);
    r = MULTIPLY_ADD(n, REPEAT_FLOAT(2.12194440e-4f), r);
    floats p = REPEAT_FLOAT(1.9875691500e-4f);
    p = MULTIPLY_ADD(p, r, REPEAT_FLOAT(1.3981999507e-3f));
    p = MULTIPLY_ADD(p, r, REPEAT_FLOAT(8.3334519073e-3f));
    p = MULTIPLY_ADD(p, r, REPEAT_FLOAT(4.1665795894e-2f));
    p = MULTIPLY_ADD(p, r, REPEAT_FLOAT(1.6666665459e-1f));
    p = MULTIPLY_ADD(p, r, REPEAT_FLOAT(5.0000001201e-1f));
    p = MULTIPLY_ADD(p, MULTIPLY(r, r), r + REPEAT_FLOAT(1.0f));
    return TIMES_POWER(p, n);
}
