/* What both kinds of attention share. */
#pragma once

#include "exponential.h"

#include <omp.h>
#include <stdint.h>

#define LANES 8

/* One layer's keys and values. */
typedef struct {
    const float *keys, *values; /* vectors of `size` */
    const int64_t *starts;      /* of each row, the positions that lie before it */
    const int64_t *capacities;  /* of each row, the positions that it has room for: from one head's first to the next's */
    const int64_t *lengths;     /* of each row, the positions that are seen ... */
    int64_t window;             /* ... of which the last so many, or all if 0 */
    int64_t shared;             /* heads of keys and values */
    int64_t repeats;            /* heads of queries to each of them */
    int64_t size;
    float scale;
    float softcap;       /* scores are squeezed between minus this and this by a tanh, or left alone if 0 */
    const float *bias;   /* added to the scores of each head of queries, or NULL */
    int64_t bias_apart;  /* from one head's to the next's */
} memory;

static inline float sum(__m256 v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

/* `scores` has room for whole vectors. */
static inline void squeeze(float *scores, int64_t length, float cap) {
    const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f), twice = _mm256_set1_ps(2.0f / cap);
    for (int64_t j = 0; j < length; j += LANES) {
        const __m256 x = _mm256_loadu_ps(scores + j);
        const __m256 e = exponential(_mm256_or_ps(_mm256_mul_ps(x, twice), sign)); /* e^-2|x| */
        const __m256 y = _mm256_div_ps(_mm256_sub_ps(one, e), _mm256_add_ps(one, e));
        _mm256_storeu_ps(scores + j, _mm256_mul_ps(_mm256_set1_ps(cap), _mm256_or_ps(y, _mm256_and_ps(x, sign))));
    }
}

/* Scores to their exponentials; returns the sum of these. `scores` has room for whole vectors. */
static inline float soften(float *scores, int64_t length) {
    float most = scores[0];
    for (int64_t j = 1; j < length; j++) most = scores[j] > most ? scores[j] : most;
    const int64_t end = (length + LANES - 1) / LANES * LANES;
    for (int64_t j = length; j < end; j++) scores[j] = most - 1e3f; /* e^-87 at the end: nothing */
    __m256 total = _mm256_setzero_ps();
    for (int64_t j = 0; j < end; j += LANES) {
        const __m256 e = exponential(_mm256_sub_ps(_mm256_loadu_ps(scores + j), _mm256_set1_ps(most)));
        _mm256_storeu_ps(scores + j, e);
        total = _mm256_add_ps(total, e);
    }
    return sum(total);
}
