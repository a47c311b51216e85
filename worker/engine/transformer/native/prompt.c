/* Attention of the tokens of prompts: each sees its row up to itself. Every number is a sum in an order that follows from
 * the token's own place, so that its bits do not depend on what is computed together.
 *
 * Queries are taken ROWS at a time, with two vectors of keys or of values: as many sums as there are registers for. What
 * they are multiplied by, their own numbers and then their weights, lies in blocks [ROWS][KEYS].
 */
#include "attention.h"

#include <string.h>

#define FEW 4 /* queries at a time, of those that do not fill ROWS */
#define BLOCK (ROWS * KEYS)

/* A square of 8 by 8 floats. */
static inline void transpose(const int halves, const void *from, int64_t from_apart, float *to, int64_t to_apart) {
    __m256 rows[8], pairs[8], fours[8];
    for (int i = 0; i < 8; i++) {
        const void *row = at(halves, from, i * from_apart);
        rows[i] = halves ? _mm256_cvtph_ps(_mm_loadu_si128(row)) : _mm256_loadu_ps(row);
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

/* keys [count][size] to panels [count / KEYS][size][KEYS], the last one filled up with zeros. */
static inline __attribute__((always_inline)) void pack(const int halves, const void *keys, int64_t count, int64_t size,
                                                       float *panels) {
    const int64_t last = count / KEYS * KEYS, filled = (count + KEYS - 1) / KEYS * KEYS;
    if (last < count) memset(panels + last * size, 0, (size_t)(KEYS * size) * sizeof(float));
    for (int64_t j = 0; j < filled; j += 8) {
        float *to = panels + j / KEYS * KEYS * size + j % KEYS;
        if (j + 8 <= count)
            for (int64_t d = 0; d < size; d += 8) transpose(halves, at(halves, keys, j * size + d), size, to + d * KEYS, KEYS);
        else
            for (int64_t one = j; one < count; one++)
                for (int64_t d = 0; d < size; d += LANES) {
                    float some[LANES];
                    STORE_FLOATS(some, load(halves, keys, one * size + d));
                    for (int i = 0; i < LANES; i++) to[(d + i) * KEYS + one - j] = some[i];
                }
    }
}

/* sums [rows][vectors] of a [rows] times b [count], of which each is so many vectors wide. */
static inline __attribute__((always_inline)) void multiply(const int rows, const int vectors, const int halves,
                                                           const float *a, const void *b, int64_t b_apart,
                                                           int64_t count, floats sums[ROWS][2]) {
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = REPEAT_FLOAT(0.0f);
    for (; count > 0; count -= KEYS, a += BLOCK) {
        const int64_t some = count < KEYS ? count : KEYS;
        for (int64_t k = 0; k < some; k++, b = at(halves, b, b_apart)) {
            floats wide[2];
            for (int v = 0; v < vectors; v++) wide[v] = load(halves, b, v * LANES);
#pragma GCC unroll 12
            for (int r = 0; r < rows; r++) {
                const floats x = REPEAT_FLOAT(a[r * KEYS + k]);
                for (int v = 0; v < vectors; v++) sums[r][v] = MULTIPLY_ADD(x, wide[v], sums[r][v]);
            }
        }
    }
}

/* out, for each query, [vectors]: its weighed values over its total. */
static inline __attribute__((always_inline)) void weigh(const int rows, const int vectors, const int halves,
                                                        const float *weights, const void *values, int64_t size,
                                                        int64_t count, const float *totals, float *const *out, int64_t d) {
    floats sums[ROWS][2];
    multiply(rows, vectors, halves, weights, at(halves, values, d), size, count, sums);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) STORE_FLOATS(out[r] + d + v * LANES, sums[r][v] / REPEAT_FLOAT(totals[r]));
}

/* Queries, in blocks, of which each sees `seen` keys from the first on, the last `window` of them if it is not 0. */
static inline __attribute__((always_inline)) void attend(const int rows, const int halves, const memory *m,
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
        if (m->softcap > 0) squeeze(own, BLOCK, hidden, seen[r], m->softcap);
        totals[r] = soften(own, BLOCK, hidden, seen[r]);
        fill(own, BLOCK, first, hidden / KEYS * KEYS, 0);
        fill(own, BLOCK, (seen[r] + KEYS - 1) / KEYS * KEYS, end, 0);
    }
    const float *weights = scores + first * ROWS;
    int64_t d = 0;
    for (values = at(halves, values, first * m->size); d + KEYS <= m->size; d += KEYS)
        weigh(rows, 2, halves, weights, values, m->size, end - first, totals, out, d);
    if (d < m->size) weigh(rows, 1, halves, weights, values, m->size, end - first, totals, out, d);
}

#define ATTEND(name, rows, halves)                                                                                        \
    static void name(const memory *m, const float *queries, const int64_t *seen, const float *panels, const void *values, \
                     float *scores, float *const *out) {                                                                  \
        attend(rows, halves, m, queries, seen, panels, values, scores, out);                                              \
    }
ATTEND(attend_rows, ROWS, 0)
ATTEND(attend_few, FEW, 0)
ATTEND(attend_rows_of_halves, ROWS, 1)
ATTEND(attend_few_of_halves, FEW, 1)

/* The tokens of one row after its first `known`, whose queries begin at `queries` and answers at `out`. */
static void attend_row(const memory *m, const float *queries, int64_t tokens_apart, int64_t heads_apart, int64_t known,
                       int64_t row, int64_t head, float *scratch, int64_t width, float *out) {
    const int64_t length = m->lengths[row], count = (length - known) * m->repeats;
    const int64_t start = (m->starts[row] * m->shared + head * m->capacities[row]) * m->size;
    float *scores = scratch + width * m->size, *blocks = scores + width * ROWS, unwanted[m->size];
    const void *keys = at((int)m->halves, m->keys, start), *values = at((int)m->halves, m->values, start);
    if (m->halves) pack(1, keys, length, m->size, scratch);
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
        (m->halves ? is_full ? attend_rows_of_halves : attend_few_of_halves : is_full ? attend_rows : attend_few)(
            m, blocks, seen, scratch, values, scores, answers);
    }
}

/* Rows lie one behind the other in `queries` and in `out` [tokens][heads][size]; the first token of each is in `firsts`.
 * All rows have `known` tokens already. scratch: for each thread [width][size + ROWS] and [size + KEYS][ROWS], a width of
 * whole panels that holds the longest row.
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
