/* RMS norm and layer norm. Sums are in double precision and one row at a time, so that a row's result does not depend on
 * its neighbours. */
#include <math.h>
#include <stdint.h>

/* out = weight * x / sqrt(mean(x^2) + epsilon), row by row. x and out [rows][size], weight [size]. */
void lengthwise_rms_norm(const float *x, const float *weight, float *out, int64_t rows, int64_t size, float epsilon,
                         int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows > 8)
    for (int64_t row = 0; row < rows; row++) {
        const float *from = x + row * size;
        float *to = out + row * size;
        double squares = 0;
        for (int64_t i = 0; i < size; i++) squares += (double)from[i] * from[i];
        const float scale = (float)(1 / sqrt(squares / (double)size + epsilon));
        for (int64_t i = 0; i < size; i++) to[i] = weight[i] * (from[i] * scale);
    }
}

/* out = weight * (x - mean(x)) / sqrt(variance(x) + epsilon) + bias, row by row. x and out [rows][size]. */
void lengthwise_layer_norm(const float *x, const float *weight, const float *bias, float *out, int64_t rows, int64_t size,
                           float epsilon, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows > 8)
    for (int64_t row = 0; row < rows; row++) {
        const float *from = x + row * size;
        float *to = out + row * size;
        double total = 0, squares = 0;
        for (int64_t i = 0; i < size; i++) total += from[i];
        const float mean = (float)(total / (double)size);
        for (int64_t i = 0; i < size; i++) {
            const double apart = from[i] - mean;
            squares += apart * apart;
        }
        const float scale = (float)(1 / sqrt(squares / (double)size + epsilon));
        for (int64_t i = 0; i < size; i++) to[i] = weight[i] * ((from[i] - mean) * scale) + bias[i];
    }
}
