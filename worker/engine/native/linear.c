/* y = x W' + b with int8 weights, and inputs quantized row by row: each row by its own range, so that its answer is the
 * same bits in any batch. Sums are of integers, and exact.
 *
 * Weights come in panels of COLUMNS outputs; of a panel, four inputs at a time, [inputs / 4][COLUMNS][4].
 */
#if defined(__AVX512VNNI__)
#define WIDE
#endif
#include "exponential.h"
#include "vectors.h"
#if defined(__AMX_INT8__)
#include "tiles.h"
#ifndef FROM
#define FROM 1
#endif
#define TILED_BLOCK_BYTES (1024 * 1024)
#endif

#include <stddef.h>
#include <stdint.h>

#if defined(WIDE)
typedef __m512i ints;
#define ZERO _mm512_setzero_si512()
#define LOAD(from) _mm512_loadu_si512(from)
#define REPEAT(four) _mm512_set1_epi32(four)
/* In assembly, here and below, for gcc would run short of registers and keep the sums in memory. */
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
#define REPEAT(four) _mm256_set1_epi32(four)
#if defined(__AVXVNNI__)
static inline __attribute__((always_inline)) ints add_products(ints sum, ints x, ints w) {
    __asm__("{vex} vpdpbusd %[w], %[x], %[sum]" : [sum] "+x"(sum) : [x] "x"(x), [w] "x"(w));
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

/* Without VNNI pairs of products are added in 16 bits, which 8-bit inputs overflow. */
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
#define STEPS 255
#else
#define STEPS 127
#endif
#define BLOCK_BYTES (128 * 1024) /* rows that stay in the second-level cache while all panels pass */

/* What is done to an input before it is quantized. */
enum { NOTHING, RELU, SILU, GATED_SILU /* x is [rows][2 * inputs]: SiLU of the first half, times the second */ };

typedef struct {
    const int8_t *panels;  /* [outputs / COLUMNS][inputs / 4][COLUMNS][4], both padded with zeros */
    const int32_t *totals; /* of each output, the sum of its weights */
    const float *scales;   /* of each output */
    const float *bias;     /* of each output */
    int64_t inputs;        /* as they are in x */
    int64_t padded;        /* inputs, rounded up to fours */
    int64_t outputs;
    int64_t before; /* one of the above */
} layer;

typedef struct {
    float *scales;   /* of each row: what one step is worth */
    int32_t *zeros;  /* of each row: the step that stands for zero */
    uint8_t *values; /* [rows][padded] */
} quantized;

int64_t lengthwise_columns(void) { return COLUMNS; }

static void quantize(const float *x, int64_t inputs, int64_t padded, uint8_t *values, float *scale, int32_t *zero) {
    float least = 0, most = 0;
    for (int64_t i = 0; i < inputs; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    const float range = most - least > 1e-30f ? most - least : 1e-30f, steps = STEPS / range;
    const int32_t origin = (int32_t)(-least * steps + 0.5f);
    for (int64_t i = 0; i < inputs; i++) {
        const int32_t step = (int32_t)(x[i] * steps + (origin + 0.5f)); /* never below zero: cutting off rounds */
        values[i] = (uint8_t)(step > STEPS ? STEPS : step);
    }
    for (int64_t i = inputs; i < padded; i++) values[i] = 0;
    *scale = range / STEPS;
    *zero = origin;
}

static inline __m256 silu8(__m256 x) {
    /* e^-|x| is never more than 1: 1 / (1 + e^-x) is that of |x|, or what is left of 1. */
    const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
    const __m256 e = exponential(_mm256_or_ps(x, sign));
    const __m256 least = _mm256_div_ps(e, _mm256_add_ps(one, e)); /* of -|x| */
    return _mm256_mul_ps(x, _mm256_blendv_ps(_mm256_sub_ps(one, least), least, x));
}

/* x / (1 + e^-x), times the values of `times` where there are any. */
static void silu(const float *x, const float *times, int64_t count, float *out) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const __m256 v = _mm256_loadu_ps(x + i);
        __m256 y = silu8(v);
        if (times) y = _mm256_mul_ps(y, _mm256_loadu_ps(times + i));
        _mm256_storeu_ps(out + i, y);
    }
    if (i == count) return;
    float few[8] = {0};
    for (int64_t j = i; j < count; j++) few[j - i] = x[j];
    _mm256_storeu_ps(few, silu8(_mm256_loadu_ps(few)));
    for (int64_t j = i; j < count; j++) out[j] = times ? few[j - i] * times[j] : few[j - i];
}

/* LANES outputs from `first` on. */
typedef struct {
    ints totals;
    floats scales, bias;
} lanes;

static inline lanes lanes_of(const layer *l, int64_t first) {
    return (lanes){LOAD(l->totals + first), LOAD_FLOATS(l->scales + first), LOAD_FLOATS(l->bias + first)};
}

/* The outputs of one row that its sums stand for. */
static inline void finish(const layer *l, const quantized *q, const lanes *of, int64_t row, int64_t first, ints sums,
                          float *out) {
    const ints shift = TIMES(REPEAT(q->zeros[row]), of->totals);
    const floats scale = MULTIPLY(REPEAT_FLOAT(q->scales[row]), of->scales);
    const floats y = MULTIPLY_ADD(TO_FLOAT(SUBTRACT(sums, shift)), scale, of->bias);
    float *to = out + row * l->outputs + first;
    if (first + LANES <= l->outputs) {
        STORE_FLOATS(to, y);
    } else {
        float few[LANES];
        STORE_FLOATS(few, y);
        for (int64_t i = 0; i < l->outputs - first; i++) to[i] = few[i];
    }
}

/* COLUMNS outputs of up to ROWS rows. */
static inline __attribute__((always_inline)) void tile(const int rows, const layer *l, const quantized *q, int64_t row,
                                                       int64_t column, float *out) {
    ints sums[ROWS][2];
    const int8_t *w = l->panels + column * l->padded;
    const uint8_t *x = q->values + row * l->padded;
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = ZERO;
    for (int64_t k = 0; k < l->padded; k += 4, w += 4 * COLUMNS) {
        const ints left = LOAD(w), right = LOAD(w + 4 * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            int32_t four;
            __builtin_memcpy(&four, x + r * l->padded + k, 4);
            sums[r][0] = add_products(sums[r][0], REPEAT(four), left);
            sums[r][1] = add_products(sums[r][1], REPEAT(four), right);
        }
    }
    for (int half = 0; half < 2; half++) {
        const lanes of = lanes_of(l, column + half * LANES);
        for (int r = 0; r < rows; r++) finish(l, q, &of, row + r, column + half * LANES, sums[r][half], out);
    }
}

static void panel(const layer *l, const quantized *q, int64_t first, int64_t last, int64_t column, float *out) {
    for (; first + ROWS <= last; first += ROWS) tile(ROWS, l, q, first, column, out);
#define TILE(n) tile(n, l, q, first, column, out)
    FEWER_ROWS(last - first)
}

#if defined(__AMX_INT8__)
static void finish_tiles(const layer *l, const quantized *q, int64_t first, int64_t rows, int64_t column,
                         const int32_t *sums, float *out) {
    for (int half = 0; half < 2; half++) {
        const int64_t from = column + half * LANES;
        const lanes of = lanes_of(l, from);
        for (int64_t r = 0; r < rows; r++)
            finish(l, q, &of, first + r, from, LOAD(sums + r * COLUMNS + half * LANES), out);
    }
}

static void tiled_panel(const layer *l, const quantized *q, int64_t first, int64_t last, int64_t height,
                        int64_t column, float *out) {
    int32_t sums[2 * TILE_ROWS * COLUMNS] __attribute__((aligned(64)));
    const int8_t *w = l->panels + column * l->padded;
    for (; first + height < last; first += 2 * height) {
        const int64_t second = first + 2 * height <= last ? first + height : last - height;
        two_tiles(q->values + first * l->padded, q->values + second * l->padded, l->padded, w, height, sums);
        finish_tiles(l, q, first, height, column, sums, out);
        finish_tiles(l, q, second, height, column, sums + height * COLUMNS, out);
    }
    if (first < last) {
        first = last - height;
        one_tile(q->values + first * l->padded, l->padded, w, sums);
        finish_tiles(l, q, first, height, column, sums, out);
    }
}

static void tiled(const layer *l, const quantized *q, int64_t rows, float *out, int threads) {
    const int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, height = (rows + tiles - 1) / tiles;
    const int64_t fit = TILED_BLOCK_BYTES / l->padded / (2 * height) * (2 * height), block = fit > height ? fit : 2 * height;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        configure_tiles(height);
        for (int64_t first = 0; first < rows; first += block) {
            const int64_t last = first + block < rows ? first + block : rows;
#pragma omp for
            for (int64_t column = 0; column < l->outputs; column += COLUMNS)
                tiled_panel(l, q, last - first < height ? last - height : first, last, height, column, out);
        }
        _tile_release();
    }
}
#endif

static void prepare(const layer *l, const float *x, const quantized *q, int64_t row) {
    uint8_t *values = q->values + row * l->padded;
    if (l->before == NOTHING) {
        quantize(x + row * l->inputs, l->inputs, l->padded, values, q->scales + row, q->zeros + row);
        return;
    }
    float changed[l->inputs];
    if (l->before == RELU)
        for (int64_t i = 0; i < l->inputs; i++) changed[i] = x[row * l->inputs + i] > 0 ? x[row * l->inputs + i] : 0;
    else if (l->before == SILU)
        silu(x + row * l->inputs, NULL, l->inputs, changed);
    else
        silu(x + 2 * row * l->inputs, x + (2 * row + 1) * l->inputs, l->inputs, changed);
    quantize(changed, l->inputs, l->padded, values, q->scales + row, q->zeros + row);
}

/* x [rows][inputs], out [rows][outputs]; scratch holds padded + 8 bytes for each row. */
void lengthwise_linear(const layer *l, const float *x, float *out, void *scratch, int64_t rows, int threads) {
    uint8_t *values = scratch;
    const quantized q = {(float *)(values + rows * l->padded), (int32_t *)(values + rows * l->padded) + rows, values};
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows > 1)
    for (int64_t row = 0; row < rows; row++) prepare(l, x, &q, row);
#if defined(__AMX_INT8__)
    if (rows >= FROM && may_use_tiles()) {
        tiled(l, &q, rows, out, threads);
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
