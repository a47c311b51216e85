/* The linear layer y = x W' + b in fp32. Every output is summed in the same order, from the first input to the last in
 * blocks of DEPTH, whatever rows are computed together: a row's answer has the same bits in any batch.
 *
 * Weights are stored in panels of COLUMNS outputs, [outputs / COLUMNS][inputs][COLUMNS]; zeros fill the last panel.
 */
#if defined(__AVX512F__)
#define WIDE
#endif
#include "vectors.h"

#include <stddef.h>
#include <stdint.h>

#define DEPTH 256       /* inputs in a block: its weights stay in the first-level cache while all rows are computed */
#define BLOCK_ROWS 192  /* rows whose inputs and sums stay in the second-level cache while all panels are computed */

typedef struct {
    const float *panels;
    const float *bias; /* one per output, padded with zeros to whole panels */
    int64_t inputs;
    int64_t outputs;
} layer;

int64_t lengthwise_exact_columns(void) { return COLUMNS; }

/* How rows are cut into tiles of about equal height, ROWS at most. While tiles are computed, the next block of weights is
 * prefetched: the first `shares` tiles, a power of two, fetch one share each, because only a few cache lines can be on
 * their way to a core at once.
 */
typedef struct {
    int64_t height;
    int64_t shares;
} tiling;

static tiling tiles_of(int64_t rows) {
    const int64_t tiles = (rows + ROWS - 1) / ROWS;
    tiling t = {(rows + tiles - 1) / tiles, 1};
    while (2 * t.shares <= tiles) t.shares *= 2;
    return t;
}

/* The tile of this number prefetches whenever its count of inputs has none of these bits set; -1 means never. */
static int64_t mask_of(tiling t, int64_t number) { return number < t.shares ? t.shares - 1 : -1; }

/* Adds the products of `count` more inputs to sums [rows][COLUMNS]. */
static inline __attribute__((always_inline)) void tile(const int rows, const float *x, int64_t inputs, const float *w,
                                                       int64_t count, int64_t mask, const float *next, float *sums) {
    floats totals[ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int half = 0; half < 2; half++) totals[r][half] = LOAD_FLOATS(sums + r * COLUMNS + half * LANES);
    for (int64_t k = 0; k < count; w += COLUMNS) {
        const floats left = LOAD_FLOATS(w), right = LOAD_FLOATS(w + LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            const floats value = REPEAT_FLOAT(x[r * inputs + k]);
            totals[r][0] = MULTIPLY_ADD(value, left, totals[r][0]);
            totals[r][1] = MULTIPLY_ADD(value, right, totals[r][1]);
        }
        if ((++k & mask) == 0) {
            fetch(next);
            next += COLUMNS;
        }
    }
    for (int r = 0; r < rows; r++)
        for (int half = 0; half < 2; half++) STORE_FLOATS(sums + r * COLUMNS + half * LANES, totals[r][half]);
}

/* Adds the products of `count` more inputs to the sums of any number of rows, tile by tile. */
static void block(int64_t rows, const float *x, int64_t inputs, const float *w, int64_t count, float *sums) {
    const tiling t = tiles_of(rows);
    const float *next = w + count * COLUMNS;
    for (int64_t row = 0, i = 0; row < rows; row += t.height, i++) {
#define TILE(n) tile(n, x + row * inputs, inputs, w, count, mask_of(t, i), next, sums + row * COLUMNS)
        const int64_t some_rows = rows - row < t.height ? rows - row : t.height;
        if (some_rows == ROWS) TILE(ROWS);
        FEWER_ROWS(some_rows)
        next += count / t.shares * COLUMNS;
    }
}

/* Computes one panel, COLUMNS outputs, for up to BLOCK_ROWS rows. */
static void panel(const layer *l, const float *x, int64_t rows, int64_t column, float *out) {
    float sums[BLOCK_ROWS * COLUMNS];
    const float *w = l->panels + column * l->inputs;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < COLUMNS; c += 16) __builtin_prefetch(out + r * l->outputs + column + c, 1);
        for (int64_t c = 0; c < COLUMNS; c++) sums[r * COLUMNS + c] = l->bias[column + c];
    }
    for (int64_t k = 0; k < l->inputs; k += DEPTH) {
        const int64_t count = l->inputs - k < DEPTH ? l->inputs - k : DEPTH;
        block(rows, x + k, l->inputs, w + k * COLUMNS, count, sums);
    }
    const int64_t wanted = l->outputs - column < COLUMNS ? l->outputs - column : COLUMNS;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < wanted; c++) out[r * l->outputs + column + c] = sums[r * COLUMNS + c];
}

/* Computes the layer: x [rows][inputs], out [rows][outputs]. */
void lengthwise_exact(const layer *l, const float *x, float *out, int64_t rows, int threads) {
    for (int64_t first = 0; first < rows; first += BLOCK_ROWS) {
        const int64_t some_rows = rows - first < BLOCK_ROWS ? rows - first : BLOCK_ROWS;
#pragma omp parallel for num_threads(threads) if (threads > 1)
        for (int64_t column = 0; column < l->outputs; column += COLUMNS)
            panel(l, x + first * l->inputs, some_rows, column, out + first * l->outputs);
    }
}
