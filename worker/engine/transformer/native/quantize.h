/* Inputs as 8-bit steps, each row over its own range: from its least to its greatest value, zero among them. */
#pragma once

#include "exponential.h"
#include "vectors.h"

#include <stdint.h>
#include <string.h>

/* Without VNNI pairs of products are added in 16 bits, which 8-bit inputs overflow. */
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
#define STEPS 255
#else
#define STEPS 127
#endif
#define PAIR (2 * LANES)
#define CHUNK 64 /* inputs that lie together; rows are whole multiples of it */

#if defined(WIDE)
static inline void store_steps(uint8_t *to, floats v) {
    const __m512i steps = _mm512_min_epi32(_mm512_cvttps_epi32(v), _mm512_set1_epi32(STEPS));
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(steps));
}
#else
static inline void store_steps(uint8_t *to, floats v) {
    const __m256i steps = _mm256_min_epi32(_mm256_cvttps_epi32(v), _mm256_set1_epi32(STEPS));
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(steps), _mm256_extracti128_si256(steps, 1));
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(halves, halves));
}
#endif

/* What is done to an input before it is quantized. */
enum { NOTHING, RELU, SILU, GATED_SILU /* x is [rows][2 * inputs]: SiLU of the first half, times the second */ };

/* x / (1 + e^-x): nothing where that would overflow. */
static inline floats silu(floats x) {
    const floats e = exponential(LESSER(-x, REPEAT_FLOAT(87.0f)));
    return x / (REPEAT_FLOAT(1.0f) + e);
}

static inline __attribute__((always_inline)) floats changed(const int before, floats x, const float *gated) {
    if (before == RELU) return GREATER(x, REPEAT_FLOAT(0.0f));
    if (before == SILU) return silu(x);
    if (before == GATED_SILU) return silu(x) * LOAD_FLOATS(gated);
    return x;
}

/* One row, a chunk of it every `apart` bytes of `values`. What fills the last chunk has weights of zero. */
static inline __attribute__((always_inline)) void quantize(const int before, const float *x, int64_t inputs,
                                                           uint8_t *values, int64_t apart, float *scale,
                                                           int32_t *zero) {
    float kept[inputs + PAIR], few[2 * PAIR] = {0};
    const int64_t whole = inputs / PAIR * PAIR;
    floats low = REPEAT_FLOAT(0.0f), high = low;
    for (int64_t i = 0; i < inputs; i += PAIR) {
        const float *from = x + i, *gated = from + inputs;
        if (i == whole) {
            memcpy(few, from, (inputs - i) * sizeof(float));
            if (before == GATED_SILU) memcpy(few + PAIR, gated, (inputs - i) * sizeof(float));
            from = few, gated = few + PAIR;
        }
        const floats left = changed(before, LOAD_FLOATS(from), gated);
        const floats right = changed(before, LOAD_FLOATS(from + LANES), gated + LANES);
        STORE_FLOATS(kept + i, left);
        STORE_FLOATS(kept + i + LANES, right);
        low = LESSER(low, LESSER(left, right));
        high = GREATER(high, GREATER(left, right));
    }
    const float least = LEAST(low), most = GREATEST(high);
    const float range = most - least > 1e-30f ? most - least : 1e-30f, steps = STEPS / range;
    const int32_t origin = (int32_t)(-least * steps + 0.5f);
    /* Never below zero: cutting off rounds. */
    const floats by = REPEAT_FLOAT(steps), half_up = REPEAT_FLOAT(origin + 0.5f);
    for (int64_t i = 0; i < inputs; i += LANES)
        store_steps(values + i / CHUNK * apart + i % CHUNK, MULTIPLY_ADD(LOAD_FLOATS(kept + i), by, half_up));
    *scale = range / STEPS;
    *zero = origin;
}
