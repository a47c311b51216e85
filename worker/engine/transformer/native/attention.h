/* What both kinds of attention share. Scores are kept in panels of KEYS, so many floats from one to the next. */
#pragma once

#if defined(__AVX512DQ__)
#define WIDE
#endif
#include "exponential.h"
#include "vectors.h"

#include <omp.h>
#include <stdint.h>

#define KEYS (2 * LANES)

typedef int bits __attribute__((vector_size(sizeof(floats))));

/* One layer's keys and values. */
typedef struct {
    const void *keys, *values; /* vectors of `size` */
    int64_t halves;            /* whether of 16 bits */
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

/* Where a number is, and LANES of them as floats. */
static inline const void *at(const int halves, const void *numbers, int64_t place) {
    return (const char *)numbers + place * (halves ? 2 : 4);
}

static inline floats load(const int halves, const void *numbers, int64_t place) {
    const void *from = at(halves, numbers, place);
#if defined(WIDE)
    return halves ? _mm512_cvtph_ps(_mm256_loadu_si256(from)) : _mm512_loadu_ps(from);
#else
    return halves ? _mm256_cvtph_ps(_mm_loadu_si128(from)) : _mm256_loadu_ps(from);
#endif
}

/* From one place among the scores to another. */
static inline void fill(float *scores, int64_t apart, int64_t from, int64_t to, float value) {
    for (int64_t j = from; j < to; j++) scores[j / KEYS * apart + j % KEYS] = value;
}

/* Between -cap and cap. */
static inline floats squeezed(floats x, float cap) {
    const floats twice = x * REPEAT_FLOAT(2.0f / cap), one = REPEAT_FLOAT(1.0f);
    const floats e = exponential(-GREATER(twice, -twice)), y = (one - e) / (one + e);
    return REPEAT_FLOAT(cap) * (floats)((bits)y | ((bits)x & INT32_MIN));
}

static inline void squeeze(float *scores, int64_t apart, int64_t first, int64_t end, float cap) {
    for (int64_t panel = first / KEYS; panel * KEYS < end; panel++)
        for (int half = 0; half < 2; half++) {
            float *some = scores + panel * apart + half * LANES;
            STORE_FLOATS(some, squeezed(LOAD_FLOATS(some), cap));
        }
}

/* The scores from `first` to `end` to their exponentials, and to zeros what else there is in their panels; returns the
 * sum. */
static inline float soften(float *scores, int64_t apart, int64_t first, int64_t end) {
    const int64_t begin = first / KEYS, panels = (end + KEYS - 1) / KEYS;
    fill(scores, apart, begin * KEYS, first, -1e30f);
    fill(scores, apart, end, panels * KEYS, -1e30f);
    floats most = LOAD_FLOATS(scores + begin * apart), total = REPEAT_FLOAT(0.0f);
    for (int64_t panel = begin; panel < panels; panel++)
        for (int half = 0; half < 2; half++) most = GREATER(most, LOAD_FLOATS(scores + panel * apart + half * LANES));
    most = REPEAT_FLOAT(GREATEST(most));
    for (int64_t panel = begin; panel < panels; panel++)
        for (int half = 0; half < 2; half++) {
            float *some = scores + panel * apart + half * LANES;
            const floats e = exponential(LOAD_FLOATS(some) - most); /* e^-87 of what is hidden: nothing */
            STORE_FLOATS(some, e);
            total = total + e;
        }
    fill(scores, apart, begin * KEYS, first, 0);
    fill(scores, apart, end, panels * KEYS, 0);
    return SUM(total);
}
