/* Attention of one new token a row to the keys and values that its row has in memory: each row its own number of them,
 * nothing padded. A row's answer follows from that row alone.
 */
#include "attention.h"

#define CHUNK 64 /* vectors that stay in the first-level cache for all queries that share them */

static inline float product(const float *a, const float *b, int64_t size) {
    __m256 total = _mm256_setzero_ps();
    for (int64_t d = 0; d < size; d += LANES)
        total = _mm256_fmadd_ps(_mm256_loadu_ps(a + d), _mm256_loadu_ps(b + d), total);
    return sum(total);
}

/* out [vectors] += weights [count] times values [count][size], of which `vectors` vectors of LANES. */
static inline __attribute__((always_inline)) void add_values(const int vectors, const float *weights, const float *values,
                                                             int64_t count, int64_t size, float *out) {
    __m256 totals[8];
    for (int v = 0; v < vectors; v++) totals[v] = _mm256_loadu_ps(out + v * LANES);
    for (int64_t j = 0; j < count; j++, values += size) {
        const __m256 weight = _mm256_set1_ps(weights[j]);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            totals[v] = _mm256_fmadd_ps(weight, _mm256_loadu_ps(values + v * LANES), totals[v]);
    }
    for (int v = 0; v < vectors; v++) _mm256_storeu_ps(out + v * LANES, totals[v]);
}

static void weigh(const float *weights, const float *values, int64_t count, int64_t size, float *out) {
    int64_t d = 0;
    for (; d + 64 <= size; d += 64) add_values(8, weights, values + d, count, size, out + d);
    for (; d + 32 <= size; d += 32) add_values(4, weights, values + d, count, size, out + d);
    for (; d < size; d += LANES) add_values(1, weights, values + d, count, size, out + d);
}

/* The queries of one row that share a head of keys and values. */
static void attend(const memory *m, const float *queries, int64_t apart, int64_t row, int64_t head, float *scores,
                   int64_t width, float *out) {
    const int64_t length = m->lengths[row], seen = m->window && m->window < length ? m->window : length;
    const int64_t first = m->starts[row] * m->shared + head * m->capacities[row] + length - seen;
    const float *keys = m->keys + first * m->size, *values = m->values + first * m->size;
    for (int64_t j = 0; j < seen; j++)
        for (int64_t r = 0; r < m->repeats; r++)
            scores[r * width + j] = m->scale * product(queries + r * apart, keys + j * m->size, m->size);
    float totals[m->repeats];
    for (int64_t r = 0; r < m->repeats; r++) {
        if (m->softcap > 0) squeeze(scores + r * width, seen, m->softcap);
        if (m->bias) {
            const float *bias = m->bias + (head * m->repeats + r) * m->bias_apart + length - seen;
            for (int64_t j = 0; j < seen; j++) scores[r * width + j] += bias[j];
        }
        totals[r] = soften(scores + r * width, seen);
        for (int64_t d = 0; d < m->size; d++) out[r * m->size + d] = 0;
    }
    for (int64_t j = 0; j < seen; j += CHUNK)
        for (int64_t r = 0; r < m->repeats; r++)
            weigh(scores + r * width + j, values + j * m->size, seen - j < CHUNK ? seen - j : CHUNK, m->size, out + r * m->size);
    for (int64_t r = 0; r < m->repeats; r++)
        for (int64_t d = 0; d < m->size; d++) out[r * m->size + d] /= totals[r];
}

/* queries: `rows_apart` and `queries_apart` floats from one row's, and one head's, to the next. out [rows][heads][size].
 * scores: for each thread [repeats][width], a width of whole vectors that holds the longest row. */
void lengthwise_attend(const memory *m, const float *queries, int64_t rows_apart, int64_t queries_apart, float *out,
                       float *scores, int64_t width, int64_t rows, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 8)
    for (int64_t i = 0; i < rows * m->shared; i++) {
        const int64_t row = i / m->shared, head = i % m->shared;
        attend(m, queries + row * rows_apart + head * m->repeats * queries_apart, queries_apart, row, head,
               scores + omp_get_thread_num() * m->repeats * width, width, out + i * m->repeats * m->size);
    }
}
