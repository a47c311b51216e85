/* Quantizes inputs to 8-bit steps. Each row has its own range, from its least to its greatest value; the range always
 * contains zero. */
#pragma once

#include "exponential.h"
#include "hadamard.h"
#include "vectors.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Without VNNI the processor adds pairs of products in 16 bits, which 8-bit inputs would overflow: 7 bits are used. */
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
#define STEPS 255
#else
#define STEPS 127
#endif
#define PAIR (2 * LANES)
#define CHUNK 64 /* inputs that are stored side by side; rows are padded to whole chunks */

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

/* The activation that is applied to an input before it is quantized; Python's InputActivation has the same numbers. */
enum { NOTHING, RELU, SILU, SWIGLU /* x is [rows][2 * inputs]: SiLU of the first half times the second half */ };

/* x / (1 + e^-x). The exponent is cut off at 87, before e^-x overflows; the result is then nearly 0. */
static inline floats silu(floats x) {
    const floats e = exponential(LESSER(-x, REPEAT_FLOAT(87.0f)));
    return x / (REPEAT_FLOAT(1.0f) + e);
}

static inline __attribute__((always_inline)) floats activated(const int activation, floats x, const float *up) {
    if (activation == RELU) return GREATER(x, REPEAT_FLOAT(0.0f));
    if (activation == SILU) return silu(x);
    if (activation == SWIGLU) return silu(x) * LOAD_FLOATS(up);
    return x;
}

/* A row's least and greatest numbers, lane by lane. Both begin at zero. */
typedef struct {
    floats low, high;
} extent;

static inline extent extended(extent e, floats a, floats b) {
    return (extent){LESSER(e.low, LESSER(a, b)), GREATER(e.high, GREATER(a, b))};
}

/* Applies the activation to a row x [inputs] and keeps the result, padded with zeros to a whole PAIR. */
static inline __attribute__((always_inline)) extent activate(const int activation, const float *x, int64_t inputs,
                                                             float *kept) {
    float few[2 * PAIR] = {0};
    const int64_t whole = inputs / PAIR * PAIR;
    extent e = {REPEAT_FLOAT(0.0f), REPEAT_FLOAT(0.0f)};
    for (int64_t i = 0; i < inputs; i += PAIR) {
        const float *from = x + i, *up = from + inputs;
        if (i == whole) {
            memcpy(few, from, (inputs - i) * sizeof(float));
            if (activation == SWIGLU) memcpy(few + PAIR, up, (inputs - i) * sizeof(float));
            from = few, up = few + PAIR;
        }
        const floats left = activated(activation, LOAD_FLOATS(from), up);
        const floats right = activated(activation, LOAD_FLOATS(from + LANES), up + LANES);
        STORE_FLOATS(kept + i, left);
        STORE_FLOATS(kept + i + LANES, right);
        e = extended(e, left, right);
    }
    return e;
}

/* Applies the activation, NOTHING or RELU, to a row x [inputs], which may be `kept` itself, transforms the result and keeps
 * it. It fills its last group. */
static inline __attribute__((always_inline)) extent transform(const int activation, const float *x, int64_t inputs,
                                                              float *kept) {
    float few[GROUP] = {0};
    extent e = {REPEAT_FLOAT(0.0f), REPEAT_FLOAT(0.0f)};
    for (int64_t i = 0; i < inputs; i += GROUP) {
        const float *from = x + i;
        if (inputs - i < GROUP) from = memcpy(few, from, (inputs - i) * sizeof(float));
        floats v[GROUP_VECTORS];
#pragma GCC unroll 8
        for (int n = 0; n < GROUP_VECTORS; n++) v[n] = activated(activation, LOAD_FLOATS(from + n * LANES), NULL);
        hadamard(v);
#pragma GCC unroll 8
        for (int n = 0; n < GROUP_VECTORS; n++) STORE_FLOATS(kept + i + n * LANES, v[n]);
#pragma GCC unroll 4
        for (int n = 0; n < GROUP_VECTORS; n += 2) e = extended(e, v[n], v[n + 1]);
    }
    return e;
}

/* Quantizes one row x [inputs] into `values`, whose chunks are `apart` bytes apart. A number is then about
 * (step - *zero) * *scale. Without the transform, bytes that pad the last chunk may hold anything: their weights are
 * zero. */
static inline __attribute__((always_inline)) void quantize(const int activation, const int transforms, const float *x,
                                                           int64_t inputs, uint8_t *values, int64_t apart,
                                                           float *scale, int32_t *zero) {
    float kept[inputs + GROUP];
    int64_t count = inputs;
    extent e;
    if (!transforms) {
        e = activate(activation, x, inputs, kept);
    } else {
        if (activation == SILU || activation == SWIGLU) { /* two passes: one would need more registers than there are */
            activate(activation, x, inputs, kept);
            e = transform(NOTHING, kept, inputs, kept);
        } else {
            e = transform(activation, x, inputs, kept);
        }
        count = (inputs + GROUP - 1) / GROUP * GROUP;
    }
    const float least = LEAST(e.low), most = GREATEST(e.high);
    const float range = most - least > 1e-30f ? most - least : 1e-30f, steps = STEPS / range;
    const int32_t origin = (int32_t)(-least * steps + 0.5f);
    /* All values are now 0 or more, so adding a half and cutting off the fraction rounds to the nearest step. */
    const floats by = REPEAT_FLOAT(steps), half_up = REPEAT_FLOAT(origin + 0.5f);
    for (int64_t i = 0; i < count; i += LANES)
        store_steps(values + i / CHUNK * apart + i % CHUNK, MULTIPLY_ADD(LOAD_FLOATS(kept + i), by, half_up));
    *scale = range / STEPS * (transforms ? 0.125f : 1.0f);
    *zero = origin;
}
