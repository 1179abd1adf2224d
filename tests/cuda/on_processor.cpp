// kernels.cu for the processor: what CUDA's language has beside C++, and a way to start a kernel by its name.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#define __global__
#define __device__ static
#define __grid_constant__
using std::max;
using std::min;

struct float4 {
    float x, y, z, w;
};
static float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

struct Index {
    unsigned x;
};
static thread_local Index blockIdx, threadIdx, blockDim;

#include "kernels.cu"

// The driver's way of passing arguments: an array of pointers to them.
template <class... A, size_t... I>
static void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    kernel(*static_cast<A *>(arguments[I])...);
}

// In whole blocks, as on a card, and backwards: no thread may need what another one has done.
template <class... A> static void each(void (*kernel)(A...), unsigned threads, void **arguments) {
    blockDim.x = 64;
    for (unsigned block = (threads + 63) / 64; block-- > 0;)
        for (unsigned thread = 64; thread-- > 0;) {
            blockIdx.x = block;
            threadIdx.x = thread;
            call(kernel, arguments, std::index_sequence_for<A...>());
        }
}

#define TRY(kernel)                       \
    if (!std::strcmp(name, #kernel)) {    \
        each(kernel, threads, arguments); \
        return 1;                         \
    }

// All else is hidden: a kernel may have the name of a function of the system.
extern "C" __attribute__((visibility("default"))) int start(const char *name, unsigned threads, void **arguments) {
    TRY(view) TRY(recolour) TRY(along) TRY(contrast) TRY(whiten) TRY(pixels) TRY(columns) TRY(im2col) TRY(im2col4)
    TRY(col2im) TRY(col2im4) TRY(sum_rows) TRY(bias) TRY(relu_back) TRY(times) TRY(scaled) TRY(moments) TRY(batch_channels) TRY(running_channels) TRY(normalise)
    TRY(normalise_sums) TRY(normalise_back) TRY(follow) TRY(max_pool) TRY(pool_back) TRY(mean_pool) TRY(global_mean)
    TRY(global_mean_back) TRY(lrn) TRY(lrn_spread) TRY(lrn_back) TRY(cross_entropy) TRY(weigh) TRY(sgd) TRY(rms_prop) TRY(adam) TRY(average)
    TRY(gaussian) TRY(mirror) TRY(raised) TRY(plus) TRY(diagonal) TRY(apply) TRY(whole) TRY(patches) TRY(rectified)
    TRY(centred) TRY(standardised) TRY(winograd_input) TRY(winograd_output) TRY(winograd_output_gradient) TRY(winograd_weights)
    TRY(winograd_weight_gradient) TRY(rounded)
    return 0;
}

// Cholesky of a symmetric matrix (column-major, the lower triangle) in place: 0, or the row that is not positive, counted
// from 1.
extern "C" __attribute__((visibility("default"))) int cholesky(size_t n, float *a) {
    for (size_t j = 0; j < n; j++) {
        float *column = a + j * n;
        for (size_t k = 0; k < j; k++)
            for (size_t i = j; i < n; i++) column[i] -= a[k * n + i] * a[k * n + j];
        if (!(column[j] > 0.0f)) return static_cast<int>(j + 1);
        float root = std::sqrt(column[j]);
        for (size_t i = j; i < n; i++) column[i] /= root;
    }
    return 0;
}

// Columns of `b`, n numbers each, become the inverse of the factorised matrix times them.
extern "C" __attribute__((visibility("default"))) void cholesky_solve(size_t n, const float *a, size_t columns, float *b) {
    for (; columns-- > 0; b += n) {
        for (size_t j = 0; j < n; j++) {
            b[j] /= a[j * n + j];
            for (size_t i = j + 1; i < n; i++) b[i] -= a[j * n + i] * b[j];
        }
        for (size_t j = n; j-- > 0;) {
            for (size_t i = j + 1; i < n; i++) b[j] -= a[j * n + i] * b[i];
            b[j] /= a[j * n + j];
        }
    }
}
