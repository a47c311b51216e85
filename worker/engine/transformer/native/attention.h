/* What attention of decode steps (attention.c) and of prefill (prompt.c) share: the KV memory and the softmax. Scores are
 * stored in panels of KEYS floats, `apart` floats from one panel to the next. */
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

/* One layer's keys and values, and how attention reads them. Python fills the same struct. */
typedef struct {
    const void *keys, *values; /* vectors of `size` numbers */
    int64_t fp16;               /* whether these are fp16; otherwise fp32 */
    const int64_t *starts;      /* for each row, the number of positions before it in memory */
    const int64_t *capacities;  /* for each row, the positions reserved per head */
    const int64_t *lengths;     /* for each row, the positions in use ... */
    int64_t window;             /* ... of which a token sees the last `window`, or all if 0 */
    int64_t shared;             /* key-value heads */
    int64_t repeats;            /* query heads per key-value head */
    int64_t size;
    float scale;
    float softcap;       /* scores become softcap * tanh(score / softcap), or stay as they are if 0 */
    const float *bias;   /* added to the scores of each query head, or NULL */
    int64_t bias_apart;  /* floats from one head's bias to the next head's */
} memory;

/* The address of number `place`. */
static inline const void *at(const int fp16, const void *numbers, int64_t place) {
    return (const char *)numbers + place * (fp16 ? 2 : 4);
}

/* LANES numbers from `place` on, as floats. */
static inline floats load(const int fp16, const void *numbers, int64_t place) {
    const void *from = at(fp16, numbers, place);
#if defined(WIDE)
    return fp16 ? _mm512_cvtph_ps(_mm256_loadu_si256(from)) : _mm512_loadu_ps(from);
#else
    return fp16 ? _mm256_cvtph_ps(_mm_loadu_si128(from)) : _mm256_loadu_ps(from);
#endif
}

/* Sets the scores from index `from` to `to`, which is not included. */
static inline void fill_scores(float *scores, int64_t apart, int64_t from, int64_t to, float value) {
    for (int64_t j = from; j < to; j++) scores[j / KEYS * apart + j % KEYS] = value;
}

/* cap * tanh(x / cap), which lies between -cap and cap. */
static inline floats softcapped(floats x, float cap) {
    const floats twice = x * REPEAT_FLOAT(2.0f / cap), one = REPEAT_FLOAT(1.0f);
    const floats e = exponential(-GREATER(twice, -twice)), y = (one - e) / (one + e);
    return REPEAT_FLOAT(cap) * (floats)((bits)y | ((bits)x & INT32_MIN));
}

/* Soft-caps the scores from `first` to `end`, and with them the rest of their panels. */
static inline void softcap_scores(float *scores, int64_t apart, int64_t first, int64_t end, float cap) {
    for (int64_t panel = first / KEYS; panel * KEYS < end; panel++)
        for (int half = 0; half < 2; half++) {
            float *some = scores + panel * apart + half * LANES;
            STORE_FLOATS(some, softcapped(LOAD_FLOATS(some), cap));
        }
}

/* The numerators of a softmax over the scores from `first` to `end`, in place: e^(score - greatest score). The rest of their
 * panels becomes zero. Returns the sum, by which the caller divides. */
static inline float softmax_numerators(float *scores, int64_t apart, int64_t first, int64_t end) {
    const int64_t begin = first / KEYS, panels = (end + KEYS - 1) / KEYS;
    fill_scores(scores, apart, begin * KEYS, first, -1e30f);
    fill_scores(scores, apart, end, panels * KEYS, -1e30f);
    floats most = LOAD_FLOATS(scores + begin * apart), total = REPEAT_FLOAT(0.0f);
    for (int64_t panel = begin; panel < panels; panel++)
        for (int half = 0; half < 2; half++) most = GREATER(most, LOAD_FLOATS(scores + panel * apart + half * LANES));
    most = REPEAT_FLOAT(GREATEST(most));
    for (int64_t panel = begin; panel < panels; panel++)
        for (int half = 0; half < 2; half++) {
            float *some = scores + panel * apart + half * LANES;
            const floats e = exponential(LOAD_FLOATS(some) - most); /* hidden scores give e^-87, which is as good as 0 */
            STORE_FLOATS(some, e);
            total = total + e;
        }
    fill_scores(scores, apart, begin * KEYS, first, 0);
    fill_scores(scores, apart, end, panels * KEYS, 0);
    return SUM(total);
}
