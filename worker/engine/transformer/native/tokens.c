/* Kernels for single tokens: argmax over scores, storing keys and values in a KV cache, rotary embedding. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 1024
#define ABREAST 64 /* running maxima that stay in registers */

static float greatest(const float *scores, int64_t count) {
    float most[ABREAST], found = scores[0];
    int64_t i = 0;
    if (count >= ABREAST) {
        memcpy(most, scores, sizeof most);
        for (i = ABREAST; i + ABREAST <= count; i += ABREAST)
            for (int j = 0; j < ABREAST; j++) most[j] = scores[i + j] > most[j] ? scores[i + j] : most[j];
        for (int j = 0; j < ABREAST; j++) found = most[j] > found ? most[j] : found;
    }
    for (; i < count; i++) found = scores[i] > found ? scores[i] : found;
    return found;
}

/* Argmax: writes to places [rows] the index of each row's greatest score, the first of equal ones. A row without any
 * number (all NaN) gets some valid index. Rows are `rows_apart` floats apart. */
void lengthwise_greatest(const float *scores, int64_t rows_apart, int64_t columns, int64_t *places, int64_t rows,
                         int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t row = 0; row < rows; row++) {
        const float *own = scores + row * rows_apart;
        int64_t block = 0;
        float most = own[0];
        for (int64_t first = 0; first < columns; first += BLOCK) {
            const float found = greatest(own + first, columns - first < BLOCK ? columns - first : BLOCK);
            if (found > most) most = found, block = first;
        }
        int64_t place = block;
        while (place + 1 < columns && place < block + BLOCK - 1 && own[place] != most) place++;
        places[row] = place;
    }
}

/* Writes one vector as fp32, or as fp16 if `fp16`. Numbers beyond the range of fp16 become its largest number. */
static void put(const float *from, void *all, int64_t fp16, int64_t place, int64_t size) {
    if (!fp16) {
        memcpy((float *)all + place, from, (size_t)size * sizeof(float));
        return;
    }
    const __m256 most = _mm256_set1_ps(65504.0f), least = _mm256_set1_ps(-65504.0f);
    for (int64_t d = 0; d < size; d += 8) {
        const __m256 x = _mm256_max_ps(least, _mm256_min_ps(most, _mm256_loadu_ps(from + d)));
        _mm_storeu_si128((__m128i *)((int16_t *)all + place + d), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    }
}

/* Writes the keys and values of new tokens, [tokens][heads][size], into a KV cache. For each token, `places` has the index
 * of its first head's vector in the cache, and `capacities` the number of vectors from one head to the next.
 */
void lengthwise_store(const float *keys, int64_t keys_apart, int64_t key_heads_apart, const float *values,
                      int64_t values_apart, int64_t value_heads_apart, void *all_keys, void *all_values, int64_t fp16,
                      const int64_t *places, const int64_t *capacities, int64_t tokens, int64_t heads, int64_t size) {
    for (int64_t token = 0; token < tokens; token++)
        for (int64_t head = 0; head < heads; head++) {
            const int64_t to = (places[token] + head * capacities[token]) * size;
            put(keys + token * keys_apart + head * key_heads_apart, all_keys, fp16, to, size);
            put(values + token * values_apart + head * value_heads_apart, all_values, fp16, to, size);
        }
}

/* Rotary embedding: rotates each pair (x[i], x[i + size / 2]) of each head by its token's angle. cosines and sines are
 * [tokens][size]. */
void lengthwise_rotate(const float *x, int64_t tokens_apart, int64_t heads_apart, const float *cosines, const float *sines,
                       float *out, int64_t tokens, int64_t heads, int64_t size, int threads) {
    const int64_t half = size / 2;
#pragma omp parallel for num_threads(threads) if (threads > 1 && tokens > 8)
    for (int64_t token = 0; token < tokens; token++) {
        const float *c = cosines + token * size, *s = sines + token * size;
        for (int64_t head = 0; head < heads; head++) {
            const float *from = x + token * tokens_apart + head * heads_apart;
            float *restrict to = out + (token * heads + head) * size;
            for (int64_t i = 0; i < half; i++) to[i] = from[i] * c[i] - from[i + half] * s[i];
            for (int64_t i = half; i < size; i++) to[i] = from[i] * c[i] + from[i - half] * s[i];
        }
    }
}
