/* Attention of a decode step: one new token in each row attends to the keys and values of its row. Rows may have different
 * lengths; nothing is padded. A row's answer depends on that row alone.
 */
#include "attention.h"

#define TOGETHER 8 /* keys whose dot products are reduced to sums together */
#define CHUNK 64   /* values that stay in the first-level cache while all queries that share them are computed */
#if defined(WIDE)
#define QUERIES 3 /* queries computed at once: memory is read once for all of them */
#else
#define QUERIES 1
#endif

/* One vector of 8 floats with the same sum as `v`. */
static inline __m256 narrow(floats v) {
#if defined(WIDE)
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#else
    return v;
#endif
}

/* The sum of each of the eight vectors, as one vector. */
static inline __m256 sums(const floats v[TOGETHER]) {
    __m256 pairs[4], fours[2];
    for (int i = 0; i < 4; i++) pairs[i] = _mm256_hadd_ps(narrow(v[2 * i]), narrow(v[2 * i + 1]));
    for (int i = 0; i < 2; i++) fours[i] = _mm256_hadd_ps(pairs[2 * i], pairs[2 * i + 1]);
    return _mm256_add_ps(_mm256_permute2f128_ps(fours[0], fours[1], 0x20), _mm256_permute2f128_ps(fours[0], fours[1], 0x31));
}

/* Scores of `count` queries with TOGETHER keys, of which the first `some` exist; scores of the others are meaningless. A
 * query's scores are `width` floats from the next query's. */
static inline __attribute__((always_inline)) void score(const int fp16, const int count, const float *queries,
                                                        int64_t apart, const void *keys, int64_t some, int64_t size,
                                                        float scale, float *scores, int64_t width) {
    floats totals[QUERIES][TOGETHER];
    for (int r = 0; r < count; r++)
        for (int j = 0; j < TOGETHER; j++) totals[r][j] = REPEAT_FLOAT(0.0f);
    for (int64_t d = 0; d < size; d += LANES)
#pragma GCC unroll 8
        for (int j = 0; j < TOGETHER; j++) {
            const floats key = load(fp16, keys, (j < some ? j : 0) * size + d);
            for (int r = 0; r < count; r++)
                totals[r][j] = MULTIPLY_ADD(LOAD_FLOATS(queries + r * apart + d), key, totals[r][j]);
        }
    for (int r = 0; r < count; r++)
        _mm256_storeu_ps(scores + r * width, _mm256_mul_ps(sums(totals[r]), _mm256_set1_ps(scale)));
}

/* Adds weights [keys] times values [keys][size] to each query's output, for `vectors` vectors of LANES numbers. */
static inline __attribute__((always_inline)) void add_values(const int fp16, const int count, const int vectors,
                                                             const float *weights, int64_t width, const void *values,
                                                             int64_t keys, int64_t size, float *out) {
    floats totals[QUERIES][4];
    for (int r = 0; r < count; r++)
        for (int v = 0; v < vectors; v++) totals[r][v] = LOAD_FLOATS(out + r * size + v * LANES);
    for (int64_t j = 0; j < keys; j++, values = at(fp16, values, size))
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            const floats value = load(fp16, values, v * LANES);
            for (int r = 0; r < count; r++)
                totals[r][v] = MULTIPLY_ADD(REPEAT_FLOAT(weights[r * width + j]), value, totals[r][v]);
        }
    for (int r = 0; r < count; r++)
        for (int v = 0; v < vectors; v++) STORE_FLOATS(out + r * size + v * LANES, totals[r][v]);
}

/* Adds weights [keys] times values [keys][size] to the whole output [size] of each query. */
static inline __attribute__((always_inline)) void weigh(const int fp16, const int count, const float *weights,
                                                        int64_t width, const void *values, int64_t keys, int64_t size,
                                                        float *out) {
    int64_t d = 0;
    for (; d + 4 * LANES <= size; d += 4 * LANES)
        add_values(fp16, count, 4, weights, width, at(fp16, values, d), keys, size, out + d);
    for (; d < size; d += LANES)
        add_values(fp16, count, 1, weights, width, at(fp16, values, d), keys, size, out + d);
}

/* Runs `call` for all queries, QUERIES at a time, then one at a time. Inside it, `r` is the first query and `count` their
 * number, a constant. */
#define FOR_QUERIES(call)                                      \
    for (int64_t r = 0; r < m->repeats;) {                     \
        enum { most = QUERIES };                               \
        if (m->repeats - r >= most) {                          \
            enum { count = most };                             \
            call;                                              \
            r += count;                                        \
        } else {                                               \
            enum { count = 1 };                                \
            call;                                              \
            r += count;                                        \
        }                                                      \
    }

/* Attention of the queries of one row that share a key-value head. */
static inline __attribute__((always_inline)) void attend(const int fp16, const memory *m, const float *queries,
                                                         int64_t apart, int64_t row, int64_t head, float *scores,
                                                         int64_t width, float *out) {
    const int64_t length = m->lengths[row], seen = m->window && m->window < length ? m->window : length;
    const int64_t first = (m->starts[row] * m->shared + head * m->capacities[row] + length - seen) * m->size;
    for (int64_t j = 0; j < seen; j += TOGETHER) {
        const int64_t some = seen - j < TOGETHER ? seen - j : TOGETHER, place = first + j * m->size;
        const void *keys = at(fp16, m->keys, place);
#define SCORE(some) score(fp16, count, queries + r * apart, apart, keys, some, m->size, m->scale, scores + r * width + j, width)
        if (some == TOGETHER) FOR_QUERIES(SCORE(TOGETHER))
        else FOR_QUERIES(SCORE(some))
    }
    float totals[m->repeats];
    for (int64_t r = 0; r < m->repeats; r++) {
        float *own = scores + r * width;
        if (m->softcap > 0) softcap_scores(own, KEYS, 0, seen, m->softcap);
        if (m->bias) {
            const float *bias = m->bias + (head * m->repeats + r) * m->bias_apart + length - seen;
            for (int64_t j = 0; j < seen; j++) own[j] += bias[j];
        }
        totals[r] = softmax_numerators(own, KEYS, 0, seen);
        for (int64_t d = 0; d < m->size; d++) out[r * m->size + d] = 0;
    }
    for (int64_t j = 0; j < seen; j += CHUNK) {
        const int64_t some = seen - j < CHUNK ? seen - j : CHUNK;
        const void *values = at(fp16, m->values, first + j * m->size);
        FOR_QUERIES(weigh(fp16, count, scores + r * width + j, width, values, some, m->size, out + r * m->size))
    }
    for (int64_t r = 0; r < m->repeats; r++)
        for (int64_t d = 0; d < m->size; d++) out[r * m->size + d] /= totals[r];
}

static void attend_fp32(const memory *m, const float *queries, int64_t apart, int64_t row, int64_t head, float *scores,
                          int64_t width, float *out) {
    attend(0, m, queries, apart, row, head, scores, width, out);
}

static void attend_fp16(const memory *m, const float *queries, int64_t apart, int64_t row, int64_t head, float *scores,
                          int64_t width, float *out) {
    attend(1, m, queries, apart, row, head, scores, width, out);
}

/* Attention of one query per row and head; out is [rows][heads][size]. Queries are `rows_apart` floats apart from row to
 * row, and `queries_apart` from head to head. scores is scratch memory, [repeats][width] for each thread; `width` is a
 * multiple of KEYS and holds the longest row. */
void lengthwise_attend(const memory *m, const float *queries, int64_t rows_apart, int64_t queries_apart, float *out,
                       float *scores, int64_t width, int64_t rows, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 8)
    for (int64_t i = 0; i < rows * m->shared; i++) {
        const int64_t row = i / m->shared, head = i % m->shared;
        const float *own = queries + row * rows_apart + head * m->repeats * queries_apart;
        float *scratch = scores + omp_get_thread_num() * m->repeats * width;
        (m->fp16 ? attend_fp16 : attend_fp32)(m, own, queries_apart, row, head, scratch, width,
                                                    out + i * m->repeats * m->size);
    }
}
