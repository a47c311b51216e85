/* The linear layer y = x W' + b with int8 weights. Inputs are quantized row by row, each row by its own range, and sums are
 * exact because they are of integers: a row's answer has the same bits in any batch.
 *
 * Weights are stored in panels of COLUMNS outputs; a panel holds four inputs at a time, [inputs / 4][COLUMNS][4].
 */
#if defined(__AVX512VNNI__)
#define WIDE
#endif
#include "quantize.h"
#include "vectors.h"
#if defined(WIDE) && defined(__AMX_INT8__) && defined(__linux__)
#define TILES
#include "tiles.h"
#endif

#include <stdint.h>

#if defined(WIDE)
typedef __m512i ints;
#define ZERO _mm512_setzero_si512()
#define LOAD(from) _mm512_loadu_si512(from)
#define KEEP(to, value) _mm512_storeu_si512(to, value)
#define REPEAT(four) _mm512_set1_epi32(four)
/* Adds to each 32-bit sum four products of bytes. In assembly, here and below: with intrinsics gcc runs out of registers
 * and keeps the sums in memory. */
static inline __attribute__((always_inline)) ints add_products(ints sum, ints x, ints w) {
    __asm__("vpdpbusd %[w], %[x], %[sum]" : [sum] "+v"(sum) : [x] "v"(x), [w] "v"(w));
    return sum;
}
#define TO_FLOAT(sum) _mm512_cvtepi32_ps(sum)
#define SUBTRACT(a, b) _mm512_sub_epi32(a, b)
#define TIMES(a, b) _mm512_mullo_epi32(a, b)
#else
typedef __m256i ints;
#define ZERO _mm256_setzero_si256()
#define LOAD(from) _mm256_loadu_si256((const __m256i *)(from))
#define KEEP(to, value) _mm256_storeu_si256((__m256i *)(to), value)
#define REPEAT(four) _mm256_set1_epi32(four)
#if defined(__AVXVNNI__)
static inline __attribute__((always_inline)) ints add_products(ints sum, ints x, ints w) {
    __asm__("%{vex%} vpdpbusd %[w], %[x], %[sum]" : [sum] "+x"(sum) : [x] "x"(x), [w] "x"(w));
    return sum;
}
#else
static inline __attribute__((always_inline)) ints add_products(ints sum, ints x, ints w) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i pairs;
    __asm__("vpmaddubsw %[w], %[x], %[pairs]\n\t"
            "vpmaddwd %[ones], %[pairs], %[pairs]\n\t"
            "vpaddd %[pairs], %[sum], %[sum]"
            : [sum] "+x"(sum), [pairs] "=&x"(pairs)
            : [x] "x"(x), [w] "xm"(w), [ones] "x"(ones));
    return sum;
}
#endif
#define TO_FLOAT(sum) _mm256_cvtepi32_ps(sum)
#define SUBTRACT(a, b) _mm256_sub_epi32(a, b)
#define TIMES(a, b) _mm256_mullo_epi32(a, b)
#endif

/* Bytes of quantized rows that stay in the second-level cache while all panels are computed. Processors with AMX tiles
 * have a larger cache. */
#define BLOCK_BYTES (128 * 1024)
#define TILED_BLOCK_BYTES (1024 * 1024)
#define MOST_ROWS 32 /* rows of two AMX tiles */

typedef struct {
    const int8_t *panels;  /* [outputs / COLUMNS][padded / 4][COLUMNS][4]; outputs are padded with zeros, and inputs too
                              unless they are transformed */
    const int32_t *totals; /* for each output, the sum of its quantized weights */
    const float *scales;   /* one per output */
    const float *bias;     /* one per output */
    int64_t inputs;        /* as in x, without padding */
    int64_t padded;        /* inputs rounded up to whole chunks */
    int64_t outputs;
    int64_t activation;    /* applied to an input before it is quantized */
    int64_t transforms;    /* whether an input is Hadamard-transformed after that, as the weights were */
} layer;

typedef struct {
    float *scales;   /* for each row, the value of one step */
    int32_t *zeros;  /* for each row, the step that stands for zero */
    uint8_t *values; /* [rows][padded]; for AMX tiles [rows / height][padded / CHUNK][height][CHUNK] */
} quantized;

int64_t lengthwise_columns(void) { return COLUMNS; }

/* Turns integer sums [rows][COLUMNS] into outputs: subtracts what the zero step contributed, scales, adds the bias. Takes
 * up to MOST_ROWS rows. */
static void finish(const layer *l, const quantized *q, int64_t row, int64_t rows, int64_t column, const int32_t *sums,
                   float *out) {
    float few[MOST_ROWS * COLUMNS];
    const int64_t outputs = l->outputs, wanted = outputs - column;
    const int64_t apart = wanted < COLUMNS ? COLUMNS : outputs; /* floats from one row to the next */
    float *to = wanted < COLUMNS ? few : out + row * outputs + column;
    const int32_t *totals = l->totals + column, *zeros = q->zeros + row;
    const float *scales = q->scales + row;
    const ints left_total = LOAD(totals), right_total = LOAD(totals + LANES);
    const floats left_scale = LOAD_FLOATS(l->scales + column), right_scale = LOAD_FLOATS(l->scales + column + LANES);
    const floats left_bias = LOAD_FLOATS(l->bias + column), right_bias = LOAD_FLOATS(l->bias + column + LANES);
    for (int64_t r = 0; r < rows; r++) {
        const ints zero = REPEAT(zeros[r]);
        const floats scale = REPEAT_FLOAT(scales[r]);
        const floats left = TO_FLOAT(SUBTRACT(LOAD(sums + r * COLUMNS), TIMES(zero, left_total)));
        const floats right = TO_FLOAT(SUBTRACT(LOAD(sums + r * COLUMNS + LANES), TIMES(zero, right_total)));
        STORE_FLOATS(to + r * apart, MULTIPLY_ADD(left, MULTIPLY(scale, left_scale), left_bias));
        STORE_FLOATS(to + r * apart + LANES, MULTIPLY_ADD(right, MULTIPLY(scale, right_scale), right_bias));
    }
    if (wanted < COLUMNS)
        for (int64_t r = 0; r < rows; r++)
            memcpy(out + (row + r) * outputs + column, few + r * COLUMNS, wanted * sizeof(float));
}

/* Computes COLUMNS outputs of up to ROWS rows. The `first` tile of a panel also prefetches the next panel's weights. */
static inline __attribute__((always_inline)) void tile(const int rows, const layer *l, const quantized *q, int64_t row,
                                                       int64_t column, int first, float *out) {
    ints sums[ROWS][2];
    const int8_t *w = l->panels + column * l->padded;
    const uint8_t *x = q->values + row * l->padded;
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = ZERO;
    for (int64_t k = 0; k < l->padded; k += 4, w += 4 * COLUMNS) {
        if (first) fetch(w + COLUMNS * l->padded);
        const ints left = LOAD(w), right = LOAD(w + 4 * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, x + r * l->padded + k, 4);
            sums[r][0] = add_products(sums[r][0], REPEAT(four), left);
            sums[r][1] = add_products(sums[r][1], REPEAT(four), right);
        }
    }
    int32_t kept[ROWS * COLUMNS];
    for (int r = 0; r < rows; r++)
        for (int half = 0; half < 2; half++) KEEP(kept + r * COLUMNS + half * LANES, sums[r][half]);
    finish(l, q, row, rows, column, kept, out);
}

/* Computes COLUMNS outputs of the rows from `row` to `last`. */
static void panel(const layer *l, const quantized *q, int64_t row, int64_t last, int64_t column, float *out) {
    int first = 1;
    for (; row + ROWS <= last; row += ROWS, first = 0) tile(ROWS, l, q, row, column, first, out);
#define TILE(n) tile(n, l, q, row, column, first, out)
    FEWER_ROWS(last - row)
}

/* Quantizes one row into the layout of tiles of `height` rows; a height of 1 keeps each row in one run of memory. */
static void quantize_row(const layer *l, const float *x, const quantized *q, int64_t row, int64_t height) {
    uint8_t *values = q->values + row / height * height * l->padded + row % height * CHUNK;
#define QUANTIZE_AS(kind, transforms, from) \
    quantize(kind, transforms, from, l->inputs, values, height * CHUNK, q->scales + row, q->zeros + row)
#define QUANTIZE(kind, from) \
    case kind: if (l->transforms) QUANTIZE_AS(kind, 1, from); else QUANTIZE_AS(kind, 0, from); break
    switch (l->activation) {
        QUANTIZE(NOTHING, x + row * l->inputs);
        QUANTIZE(RELU, x + row * l->inputs);
        QUANTIZE(SILU, x + row * l->inputs);
        QUANTIZE(SWIGLU, x + 2 * row * l->inputs);
    }
}

#if defined(TILES)
#define NEAR (4 * CHUNK) /* inputs: a lone tile of rows, limited by memory alone, prefetches its own weights so far ahead */

/* Computes one panel for the rows from `first` to `last`, two AMX tiles at a time, and prefetches the next panel. */
static void tiled_panel(const layer *l, const quantized *q, int64_t first, int64_t last, int64_t height,
                        int64_t column, float *out) {
    int32_t sums[MOST_ROWS * COLUMNS] __attribute__((aligned(64)));
    const int64_t pairs = (last - first + height - 1) / (2 * height), all = COLUMNS * CHUNK / 64;
    const int64_t lines = pairs ? (all + pairs - 1) / pairs : all; /* cache lines that a pass prefetches at each chunk */
    const int8_t *w = l->panels + column * l->padded, *ahead = w + COLUMNS * (pairs ? l->padded : NEAR);
    for (; first < last; first += 2 * height, ahead += lines * l->padded) {
        const uint8_t *x = q->values + first * l->padded;
        if (first + height < last)
            multiply_tiles(2, x, height * l->padded, height, w, ahead, lines);
        else
            multiply_tiles(1, x, height * l->padded, height, w, ahead, pairs ? 0 : lines);
        store_tiles(height, sums);
        finish(l, q, first, last - first < 2 * height ? last - first : 2 * height, column, sums, out);
    }
}

/* Computes the whole layer on AMX tiles of `height` rows. */
static void tiled(const layer *l, const quantized *q, int64_t rows, int64_t height, float *out, int threads) {
    const int64_t fit = TILED_BLOCK_BYTES / l->padded / (2 * height) * (2 * height), block = fit > 0 ? fit : 2 * height;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        configure_tiles(height);
        for (int64_t first = 0; first < rows; first += block) {
            const int64_t last = first + block < rows ? first + block : rows;
#pragma omp for
            for (int64_t column = 0; column < l->outputs; column += COLUMNS)
                tiled_panel(l, q, first, last, height, column, out);
        }
        _tile_release();
    }
}
#endif

/* Computes the layer: x [rows][inputs] (twice as wide for SWIGLU), out [rows][outputs]. scratch holds padded + 8 bytes for
 * each row, and for one more row in every 16: tiles of equal height may need padding rows. */
void lengthwise_linear(const layer *l, const float *x, float *out, void *scratch, int64_t rows, int threads) {
    if (rows == 0) return;
    int64_t tiles = rows, height = 1;
#if defined(TILES)
    if (has_tiles()) {
        tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
        height = (rows + tiles - 1) / tiles;
    }
#endif
    uint8_t *values = scratch, *behind = values + tiles * height * l->padded;
    const quantized q = {(float *)behind, (int32_t *)behind + rows, values};
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows > 1)
    for (int64_t row = 0; row < rows; row++) quantize_row(l, x, &q, row, height);
#if defined(TILES)
    if (has_tiles()) {
        tiled(l, &q, rows, height, out, threads);
        return;
    }
#endif
    const int64_t fit = BLOCK_BYTES / l->padded / ROWS * ROWS, block = fit > ROWS ? fit : ROWS;
    for (int64_t first = 0; first < rows; first += block) {
        const int64_t last = first + block < rows ? first + block : rows;
#pragma omp parallel for num_threads(threads) if (threads > 1)
        for (int64_t column = 0; column < l->outputs; column += COLUMNS) panel(l, &q, first, last, column, out);
    }
}
