/* Attention of the tokens of prompts: each sees its row up to itself. Every number is a sum in an order that follows from
 * the token's own place, so that its bits do not depend on what is computed together.
 */
#include "attention.h"

#include <string.h>

#define QUERIES 6 /* at once, with two vectors of keys or of values: as many sums as there is room for in registers */
#define KEYS (2 * LANES)

/* keys [count][size] to panels [count / KEYS][size][KEYS], the last one filled up with zeros. */
static void pack(const float *keys, int64_t count, int64_t size, float *panels) {
    for (int64_t first = 0; first < count; first += KEYS, panels += KEYS * size) {
        const int64_t some = count - first < KEYS ? count - first : KEYS;
        if (some < KEYS) memset(panels, 0, (size_t)(KEYS * size) * sizeof(float));
        for (int64_t j = 0; j < some; j++)
            for (int64_t d = 0; d < size; d++) panels[d * KEYS + j] = keys[(first + j) * size + d];
    }
}

/* sums [QUERIES][KEYS] = a [QUERIES], each `apart` from the next, times b [count], of which each is KEYS wide. */
static inline void multiply(const float *const *a, const float *b, int64_t b_apart, int64_t count, __m256 sums[QUERIES][2]) {
    for (int r = 0; r < QUERIES; r++) sums[r][0] = sums[r][1] = _mm256_setzero_ps();
    for (int64_t k = 0; k < count; k++, b += b_apart) {
        const __m256 left = _mm256_loadu_ps(b), right = _mm256_loadu_ps(b + LANES);
#pragma GCC unroll 6
        for (int r = 0; r < QUERIES; r++) {
            const __m256 x = _mm256_broadcast_ss(a[r] + k);
            sums[r][0] = _mm256_fmadd_ps(x, left, sums[r][0]);
            sums[r][1] = _mm256_fmadd_ps(x, right, sums[r][1]);
        }
    }
}

/* QUERIES queries, of which each sees `seen` keys from the first on, the last `window` of them if it is not 0. */
static void attend(const memory *m, const float *const *queries, const int64_t *seen, const float *panels,
                   const float *values, float *scores, int64_t width, float *const *out) {
    __m256 sums[QUERIES][2];
    int64_t most = 0;
    for (int r = 0; r < QUERIES; r++) most = seen[r] > most ? seen[r] : most;
    const __m256 scale = _mm256_set1_ps(m->scale);
    for (int64_t first = 0; first < most; first += KEYS, panels += KEYS * m->size) {
        multiply(queries, panels, KEYS, m->size, sums);
        for (int r = 0; r < QUERIES; r++)
            for (int half = 0; half < 2; half++)
                _mm256_storeu_ps(scores + r * width + first + half * LANES, _mm256_mul_ps(sums[r][half], scale));
    }
    float totals[QUERIES];
    const float *weights[QUERIES];
    for (int r = 0; r < QUERIES; r++) {
        float *own = scores + r * width;
        const int64_t hidden = m->window && seen[r] > m->window ? seen[r] - m->window : 0;
        if (m->softcap > 0) squeeze(own + hidden, seen[r] - hidden, m->softcap);
        totals[r] = soften(own + hidden, seen[r] - hidden);
        memset(own, 0, (size_t)hidden * sizeof(float));
        for (int64_t j = seen[r]; j < most; j++) own[j] = 0;
        weights[r] = own;
    }
    for (int64_t d = 0; d < m->size; d += KEYS) {
        multiply(weights, values + d, m->size, most, sums);
        for (int r = 0; r < QUERIES; r++)
            for (int half = 0; half < 2; half++)
                _mm256_storeu_ps(out[r] + d + half * LANES, _mm256_div_ps(sums[r][half], _mm256_set1_ps(totals[r])));
    }
}

/* The tokens of one row after its first `known`, whose queries begin at `queries` and answers at `out`. */
static void attend_row(const memory *m, const float *queries, int64_t tokens_apart, int64_t heads_apart, int64_t known,
                       int64_t row, int64_t head, float *scratch, int64_t width, float *out) {
    const int64_t length = m->lengths[row], count = (length - known) * m->repeats;
    const int64_t start = (m->starts[row] * m->shared + head * m->capacities[row]) * m->size;
    float *scores = scratch + width * m->size, unwanted[m->size];
    pack(m->keys + start, length, m->size, scratch);
    for (int64_t first = 0; first < count; first += QUERIES) {
        const float *asked[QUERIES];
        float *answers[QUERIES];
        int64_t seen[QUERIES];
        for (int64_t r = 0; r < QUERIES; r++) {
            const int64_t query = first + r < count ? first + r : count - 1, token = query / m->repeats;
            const int64_t own_head = head * m->repeats + query % m->repeats;
            asked[r] = queries + token * tokens_apart + own_head * heads_apart;
            seen[r] = known + token + 1;
            answers[r] = first + r < count ? out + (token * m->shared * m->repeats + own_head) * m->size : unwanted;
        }
        attend(m, asked, seen, scratch, m->values + start, scores, width, answers);
    }
}

/* Rows lie one behind the other in `queries` and in `out` [tokens][heads][size]; the first token of each is in `firsts`.
 * All rows have `known` tokens already. scratch: for each thread [width][size + QUERIES], a width of whole panels that
 * holds the longest row.
 */
void lengthwise_attend_prompts(const memory *m, const float *queries, int64_t tokens_apart, int64_t heads_apart,
                               float *out, const int64_t *firsts, int64_t known, float *scratch, int64_t width,
                               int64_t rows, int threads) {
    const int64_t vectors = m->shared * m->repeats * m->size;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic)
    for (int64_t i = 0; i < rows * m->shared; i++) {
        const int64_t row = i / m->shared;
        attend_row(m, queries + firsts[row] * tokens_apart, tokens_apart, heads_apart, known, row, i % m->shared,
                   scratch + omp_get_thread_num() * width * (m->size + QUERIES), width, out + firsts[row] * vectors);
    }
}
