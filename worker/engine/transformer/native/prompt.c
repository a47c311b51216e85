/* Attention of prefill: each token of a prompt sees its row up to itself. The order of every sum follows from the token's
 * own position, so that its bits do not depend on what is computed together with it.
 *
 * ROWS queries are computed at a time against two vectors of keys or values, so that all sums stay in registers. Their left
 * factors, first the queries and then the softmax weights, are stored in blocks [ROWS][KEYS].
 */
#include "attention.h"

#include <string.h>

#define FEW 4 /* queries at a time once fewer than ROWS are left */
#define BLOCK (ROWS * KEYS)

/* Transposes a square of 8 by 8 numbers into floats. */
static inline void transpose(const int fp16, const void *from, int64_t from_apart, float *to, int64_t to_apart) {
    __m256 rows[8], pairs[8], fours[8];
    for (int i = 0; i < 8; i++) {
        const void *row = at(fp16, from, i * from_apart);
        rows[i] = fp16 ? _mm256_cvtph_ps(_mm_loadu_si128(row)) : _mm256_loadu_ps(row);
    }
    for (int i = 0; i < 4; i++) {
        pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int half = 0; half < 2; half++) {
            fours[i + 2 * half] = _mm256_shuffle_ps(pairs[i + half], pairs[i + half + 2], 0x44);
            fours[i + 2 * half + 1] = _mm256_shuffle_ps(pairs[i + half], pairs[i + half + 2], 0xEE);
        }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * to_apart, _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * to_apart, _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31));
    }
}

/* Packs keys [count][size] into panels [count / KEYS][size][KEYS]; zeros fill the last panel. */
static inline __attribute__((always_inline)) void pack(const int fp16, const void *keys, int64_t count, int64_t size,
                                                       float *panels) {
    const int64_t last = count / KEYS * KEYS, filled = (count + KEYS - 1) / KEYS * KEYS;
    if (last < count) memset(panels + last * size, 0, (size_t)(KEYS * size) * sizeof(float));
    for (int64_t j = 0; j < filled; j += 8) {
        float *to = panels + j / KEYS * KEYS * size + j % KEYS;
        if (j + 8 <= count)
            for (int64_t d = 0; d < size; d += 8) transpose(fp16, at(fp16, keys, j * size + d), size, to + d * KEYS, KEYS);
        else
            for (int64_t one = j; one < count; one++)
                for (int64_t d = 0; d < size; d += LANES) {
                    float some[LANES];
                    STORE_FLOATS(some, load(fp16, keys, one * size + d));
                    for (int i = 0; i < LANES; i++) to[(d + i) * KEYS + one - j] = some[i];
                }
    }
}

/* Matrix product: sums [rows][vectors] = a [rows][count], in blocks, times b [count], each `vectors` vectors wide. */
static inline __attribute__((always_inline)) void multiply(const int rows, const int vectors, const int fp16,
                                                           const float *a, const void *b, int64_t b_apart,
                                                           int64_t count, floats sums[ROWS][2]) {
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = REPEAT_FLOAT(0.0f);
    for (; count > 0; count -= KEYS, a += BLOCK) {
        const int64_t some = count < KEYS ? count : KEYS;
        for (int64_t k = 0; k < some; k++, b = at(fp16, b, b_apart)) {
            floats wide[2];
            for (int v = 0; v < vectors; v++) wide[v] = load(fp16, b, v * LANES);
#pragma GCC unroll 12
            for (int r = 0; r < rows; r++) {
                const floats x = REPEAT_FLOAT(a[r * KEYS + k]);
                for (int v = 0; v < vectors; v++) sums[r][v] = MULTIPLY_ADD(x, wide[v], sums[r][v]);
            }
        }
    }
}

/* Writes `vectors` vectors of each query's output from number `d` on: its weighted sum of values over its total. */
static inline __attribute__((always_inline)) void weigh(const int rows, const int vectors, const int fp16,
                                                        const float *weights, const void *values, int64_t size,
                                                        int64_t count, const float *totals, float *const *out, int64_t d) {
    floats sums[ROWS][2];
    multiply(rows, vectors, fp16, weights, at(fp16, values, d), size, count, sums);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) STORE_FLOATS(out[r] + d + v * LANES, sums[r][v] / REPEAT_FLOAT(totals[r]));
}

/* Attention of `rows` queries, in blocks. Query r sees the first seen[r] keys, or the last `window` of these. */
static inline __attribute__((always_inline)) void attend(const int rows, const int fp16, const memory *m,
                                                         const float *queries, const int64_t *seen, const float *panels,
                                                         const void *values, float *scores, float *const *out) {
    floats sums[ROWS][2];
    int64_t first = seen[0], end = 0;
    for (int r = 0; r < rows; r++) {
        const int64_t hidden = m->window && seen[r] > m->window ? seen[r] - m->window : 0;
        first = hidden < first ? hidden : first;
        end = seen[r] > end ? seen[r] : end;
    }
    first = first / KEYS * KEYS;
    for (int64_t j = first; j < end; j += KEYS) {
        multiply(rows, 2, 0, queries, panels + j * m->size, KEYS, m->size, sums);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < 2; v++) STORE_FLOATS(scores + j * ROWS + r * KEYS + v * LANES, sums[r][v]);
    }
    float totals[ROWS];
    for (int r = 0; r < rows; r++) {
        float *own = scores + r * KEYS;
        const int64_t hidden = m->window && seen[r] > m->window ? seen[r] - m->window : 0;
        if (m->softcap > 0) softcap_scores(own, BLOCK, hidden, seen[r], m->softcap);
        totals[r] = softmax_numerators(own, BLOCK, hidden, seen[r]);
        fill_scores(own, BLOCK, first, hidden / KEYS * KEYS, 0);
        fill_scores(own, BLOCK, (seen[r] + KEYS - 1) / KEYS * KEYS, end, 0);
    }
    const float *weights = scores + first * ROWS;
    int64_t d = 0;
    for (values = at(fp16, values, first * m->size); d + KEYS <= m->size; d += KEYS)
        weigh(rows, 2, fp16, weights, values, m->size, end - first, totals, out, d);
    if (d < m->size) weigh(rows, 1, fp16, weights, values, m->size, end - first, totals, out, d);
}

#define ATTEND(name, rows, fp16)                                                                                          \
    static void name(const memory *m, const float *queries, const int64_t *seen, const float *panels, const void *values, \
                     float *scores, float *const *out) {                                                                  \
        attend(rows, fp16, m, queries, seen, panels, values, scores, out);                                                \
    }
ATTEND(attend_rows, ROWS, 0)
ATTEND(attend_few, FEW, 0)
ATTEND(attend_rows_fp16, ROWS, 1)
ATTEND(attend_few_fp16, FEW, 1)

/* Attention of the tokens of one row after its first `known`, for one key-value head. The row's queries start at `queries`
 * and its output at `out`. */
static void attend_row(const memory *m, const float *queries, int64_t tokens_apart, int64_t heads_apart, int64_t known,
                       int64_t row, int64_t head, float *scratch, int64_t width, float *out) {
    const int64_t length = m->lengths[row], count = (length - known) * m->repeats;
    const int64_t start = (m->starts[row] * m->shared + head * m->capacities[row]) * m->size;
    float *scores = scratch + width * m->size, *blocks = scores + width * ROWS, unwanted[m->size];
    const void *keys = at((int)m->fp16, m->keys, start), *values = at((int)m->fp16, m->values, start);
    if (m->fp16) pack(1, keys, length, m->size, scratch);
    else pack(0, keys, length, m->size, scratch);
    for (int64_t first = 0, some; first < count; first += some) {
        float *answers[ROWS];
        int64_t seen[ROWS];
        some = count - first < ROWS ? FEW : ROWS;
        for (int64_t r = 0; r < some; r++) {
            const int64_t query = first + r < count ? first + r : count - 1, token = query / m->repeats;
            const int64_t own_head = head * m->repeats + query % m->repeats;
            const float *asked = queries + token * tokens_apart + own_head * heads_apart;
            for (int64_t d = 0; d < m->size; d += LANES)
                STORE_FLOATS(blocks + d / KEYS * BLOCK + r * KEYS + d % KEYS,
                             MULTIPLY(LOAD_FLOATS(asked + d), REPEAT_FLOAT(m->scale)));
            seen[r] = known + token + 1;
            answers[r] = first + r < count ? out + (token * m->shared * m->repeats + own_head) * m->size : unwanted;
        }
        const int is_full = some == ROWS;
        (m->fp16 ? is_full ? attend_rows_fp16 : attend_few_fp16 : is_full ? attend_rows : attend_few)(
            m, blocks, seen, scratch, values, scores, answers);
    }
}

/* Attention of packed prompts. The rows' new tokens follow each other in `queries` and in out [tokens][heads][size]; `firsts`
 * has the index of each row's first token. All rows have `known` earlier tokens in memory. scratch has, for each thread,
 * [width][size + ROWS] and [size + KEYS][ROWS]; `width` is a multiple of KEYS and holds the longest row.
 */
void lengthwise_attend_prompts(const memory *m, const float *queries, int64_t tokens_apart, int64_t heads_apart,
                               float *out, const int64_t *firsts, int64_t known, float *scratch, int64_t width,
                               int64_t rows, int threads) {
    const int64_t vectors = m->shared * m->repeats * m->size;
    const int64_t room = width * (m->size + ROWS) + (m->size + KEYS) * ROWS;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic)
    for (int64_t i = 0; i < rows * m->shared; i++) {
        const int64_t row = i / m->shared;
        attend_row(m, queries + firsts[row] * tokens_apart, tokens_apart, heads_apart, known, row, i % m->shared,
                   scratch + omp_get_thread_num() * room, width, out + firsts[row] * vectors);
    }
}
