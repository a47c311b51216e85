/* Root-mean-square norm: each row over its own root mean square, times weights. */
#include <math.h>
#include <stdint.h>

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
