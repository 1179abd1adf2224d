// The layers' operations on a GPU. One thread an element of the result; sums run in a fixed order, without atomic
// additions, so that a run gives the same bits every time on the same card. No shared memory and no headers: NVRTC
// compiles this text for the card that is there, and the tests compile it for the processor (tests/cuda.rs).
//
// Images lie pixel by pixel (n x H x W x C), as on the processor; so matrices are row-major.

// Sizes of a convolution or pooling (Rust: kernels::Sizes).
struct Sizes {
    int images, height, width, channels;
    int kernel_h, kernel_w, stride_h, stride_w;
    int top, left; // padding before the first pixel
    int out_height, out_width, outputs;
};

#define KERNEL extern "C" __global__ void
// What all threads only read need not be copied by each, on cards that can read it where it is (compute capability 7.0).
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 700
#define ARGUMENT const
#else
#define ARGUMENT const __grid_constant__
#endif
#define EACH                                               \
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;    \
    if (i >= n) return;

// ---- images ---------------------------------------------------------------------------------------------------------

const unsigned CROP = 28;

// How an image of a batch is seen (Rust: kernels::ViewWords).
struct ViewWords {
    unsigned index, top, left, flip, recoloured;
    // Sine and cosine of the angle it is turned by, each as the sum of two.
    float sine, sine_rest, cosine, cosine_rest;
    float brightness, saturation, hue, contrast;
};

// The two pixels beside a place along one axis, and the share of the second.
struct Beside {
    int low, high;
    float share;
};

__device__ Beside beside(double place, unsigned size) {
    double low = floor(place - 0.5);
    Beside b;
    b.low = max((int)low, 0);
    b.high = min(max((int)low + 1, 0), (int)size - 1);
    b.share = (float)(place - 0.5 - low);
    return b;
}

// The crops (n x C x 28 x 28) of images (C x H x W, bytes or, where there are none, numbers), turned about their centre
// and flipped; what comes from outside an image is black.
KERNEL view(unsigned n, const unsigned char *bytes, const float *numbers, const ViewWords *seen, float *to, unsigned channels,
            unsigned height, unsigned width) {
    EACH
    unsigned x = i % CROP, y = i / CROP % CROP, c = i / CROP / CROP % channels;
    ViewWords s = seen[i / CROP / CROP / channels];
    unsigned plane = (s.index * channels + c) * height * width;
    double centre_x = width / 2.0, centre_y = height / 2.0;
    double dx = (s.left + (s.flip ? CROP - 1 - x : x)) + 0.5 - centre_x, dy = (s.top + y) + 0.5 - centre_y;
    double sine = (double)s.sine + s.sine_rest, cosine = (double)s.cosine + s.cosine_rest;
    double from_x = centre_x + cosine * dx - sine * dy, from_y = centre_y + sine * dx + cosine * dy;
    if (!(from_x >= 0.0 && from_x < width && from_y >= 0.0 && from_y < height)) {
        to[i] = 0.0f;
        return;
    }
    Beside h = beside(from_x, width), v = beside(from_y, height);
    float values[4];
    for (unsigned k = 0; k < 4; k++) {
        unsigned at = plane + (k < 2 ? v.low : v.high) * width + (k % 2 ? h.high : h.low);
        values[k] = bytes ? bytes[at] / 255.0f : numbers[at];
    }
    float above = values[0] + h.share * (values[1] - values[0]), below = values[2] + h.share * (values[3] - values[2]);
    to[i] = above + v.share * (below - above);
}

__device__ float within(float value) { return fminf(fmaxf(value, 0.0f), 1.0f); }

__device__ float part(float hue, float saturation, float value, float from, float sign, float offset) {
    return ((1.0f - saturation) + saturation * within(offset + sign * fabsf(6.0f * hue - from))) * value;
}

// Brightness, saturation and hue of each pixel of recoloured images, in place (TensorFlow's, through HSV): one thread a
// pixel.
KERNEL recolour(unsigned n, float *images, const ViewWords *seen, unsigned channels) {
    EACH
    const unsigned area = CROP * CROP;
    ViewWords s = seen[i / area];
    if (!s.recoloured) return;
    float *at = images + i / area * channels * area + i % area;
    for (unsigned c = 0; c < channels; c++) at[c * area] += s.brightness;
    if (channels != 3 || (s.saturation == 1.0f && s.hue == 0.0f)) return;
    for (unsigned round = 0; round < 2; round++) {
        if (round == 0 ? s.saturation == 1.0f : s.hue == 0.0f) continue;
        float r = at[0], g = at[area], b = at[2 * area];
        float value = fmaxf(fmaxf(r, g), b), range = value - fminf(fminf(r, g), b);
        float saturation = value > 0.0f ? range / value : 0.0f, hue = 0.0f;
        if (range > 0.0f) {
            float sixth = 1.0f / (6.0f * range);
            hue = r == value ? sixth * (g - b) : g == value ? sixth * (b - r) + 2.0f / 6.0f : sixth * (r - g) + 4.0f / 6.0f;
            if (hue < 0.0f) hue += 1.0f;
        }
        if (round == 0) {
            saturation = within(saturation * s.saturation);
        } else {
            hue = hue + s.hue + 1.0f;
            hue -= floorf(hue);
        }
        at[0] = part(hue, saturation, value, 3.0f, 1.0f, -1.0f);
        at[area] = part(hue, saturation, value, 2.0f, -1.0f, 2.0f);
        at[2 * area] = part(hue, saturation, value, 4.0f, -1.0f, 2.0f);
    }
}

// Of each of `rows` rows of `length` numbers, the sums of `parts` parts; with `of`, the sums of the rows, the sums of
// the squares of the differences from the row's mean.
KERNEL along(unsigned n, const float *x, const float *of, float *to, unsigned length, unsigned parts) {
    EACH
    unsigned row = i / parts, each = (length + parts - 1) / parts;
    unsigned first = i % parts * each, last = min(first + each, length);
    float mean = of ? of[row] / (float)length : 0.0f, all = 0.0f;
    for (unsigned k = first; k < last; k++) {
        float value = x[row * length + k] - mean;
        all += of ? value * value : value;
    }
    to[i] = all;
}

// The contrast of recoloured images, from the sums of their channels; then values outside [0, 1] become 0 or 1.
KERNEL contrast(unsigned n, float *images, const ViewWords *seen, const float *sums, unsigned channels) {
    EACH
    unsigned plane = i / CROP / CROP;
    ViewWords s = seen[plane / channels];
    if (!s.recoloured) return;
    float mean = sums[plane] / (float)(CROP * CROP);
    float value = s.contrast == 1.0f ? images[i] : (images[i] - mean) * s.contrast + mean;
    images[i] = within(value);
}

// TensorFlow's per-image whitening, from an image's sum and sum of squared differences.
KERNEL whiten(unsigned n, float *images, const float *sums, const float *squares, unsigned length) {
    EACH
    unsigned image = i / length;
    float least = 1.0f / sqrtf((float)length), deviation = sqrtf(squares[image] / (float)length);
    images[i] = (images[i] - sums[image] / (float)length) / fmaxf(deviation, least);
}

// ---- where numbers lie ----------------------------------------------------------------------------------------------

// Images as they are read (n x C x H x W) pixel by pixel.
KERNEL pixels(unsigned n, const float *from, float *to, unsigned channels, unsigned area) {
    EACH
    unsigned c = i % channels, p = i / channels % area, image = i / channels / area;
    to[i] = from[(image * channels + c) * area + p];
}

// Some columns of a matrix become some of another's, or are added to them: `width` columns of each row.
KERNEL columns(unsigned n, const float *from, unsigned from_all, float *to, unsigned to_all, unsigned width,
               unsigned add) {
    EACH
    unsigned row = i / width, column = i % width;
    float value = from[row * from_all + column];
    float *at = to + (row * to_all + column);
    *at = add ? *at + value : value;
}

// The bits of a bfloat16, the upper half of a float32's: rounded to the nearest, half way to the even one; a NaN stays one.
__device__ unsigned short bf16(float value) {
    union {
        float number;
        unsigned bits;
    } as;
    as.number = value;
    if (value != value) return (unsigned short)(as.bits >> 16 | 64);
    return (unsigned short)((as.bits + 0x7fff + (as.bits >> 16 & 1)) >> 16);
}

// Number `i` of a product's factor, as it is or `rounded`.
__device__ void store(float *to, unsigned i, float value, bool rounded) {
    if (rounded) ((unsigned short *)to)[i] = bf16(value);
    else to[i] = value;
}

// The same of four.
__device__ void store(float4 *to, unsigned i, float4 v, bool rounded) {
    typedef unsigned long long Four;
    if (rounded) ((Four *)to)[i] = (Four)bf16(v.w) << 48 | (Four)bf16(v.z) << 32 | (Four)bf16(v.y) << 16 | bf16(v.x);
    else to[i] = v;
}

// A product's factor, rounded.
KERNEL rounded(unsigned n, const float *x, float *to) {
    EACH
    store(to, i, x[i], true);
}

// The inputs under each output pixel of `g.images` images side by side: a row of kernel_h * kernel_w * C a pixel.
template <typename T> __device__ void gather(unsigned i, const T *x, T *to, Sizes g, T zero, bool rounded) {
    unsigned c = i % g.channels, rest = i / g.channels;
    int kx = rest % g.kernel_w;
    rest /= g.kernel_w;
    int ky = rest % g.kernel_h;
    rest /= g.kernel_h;
    int ox = rest % g.out_width;
    rest /= g.out_width;
    int oy = rest % g.out_height, image = rest / g.out_height;
    int y = oy * g.stride_h + ky - g.top, column = ox * g.stride_w + kx - g.left;
    bool inside = y >= 0 && y < g.height && column >= 0 && column < g.width;
    T value = inside ? x[(unsigned)((image * g.height + y) * g.width + column) * g.channels + c] : zero;
    store(to, i, value, rounded);
}

KERNEL im2col(unsigned n, const float *x, float *to, Sizes g, unsigned rounded) {
    EACH
    gather(i, x, to, g, 0.0f, rounded);
}

// The same four channels at a time: `g.channels` and `n` count fours.
KERNEL im2col4(unsigned n, const float4 *x, float4 *to, Sizes g, unsigned rounded) {
    EACH
    gather(i, x, to, g, make_float4(0.0f, 0.0f, 0.0f, 0.0f), rounded);
}

__device__ float sum(float a, float b) { return a + b; }
__device__ float4 sum(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }

// The first and the last of `outputs` windows along an axis that lie over this place, counted from the padding's.
struct Windows {
    int first, last;
};

__device__ Windows windows_over(int place, int kernel, int stride, int outputs) {
    Windows w;
    w.first = max((place - kernel + stride) / stride, 0);
    w.last = min(place / stride, outputs - 1);
    return w;
}

// What the rows of `gather` give back to an input, added to what is there with `add`.
template <typename T> __device__ void give_back(unsigned i, const T *rows, T *dx, Sizes g, unsigned add, T zero) {
    unsigned c = i % g.channels, rest = i / g.channels;
    int x = rest % g.width;
    rest /= g.width;
    int y = rest % g.height, image = rest / g.height;
    T all = add ? dx[i] : zero;
    Windows down = windows_over(y + g.top, g.kernel_h, g.stride_h, g.out_height);
    Windows across = windows_over(x + g.left, g.kernel_w, g.stride_w, g.out_width);
    for (int oy = down.last; oy >= down.first; oy--)
        for (int ox = across.last; ox >= across.first; ox--) {
            int ky = y + g.top - oy * g.stride_h, kx = x + g.left - ox * g.stride_w;
            unsigned row = (image * g.out_height + oy) * g.out_width + ox;
            all = sum(all, rows[((row * g.kernel_h + ky) * g.kernel_w + kx) * g.channels + c]);
        }
    dx[i] = all;
}

KERNEL col2im(unsigned n, const float *rows, float *dx, Sizes g, unsigned add) {
    EACH
    give_back(i, rows, dx, g, add, 0.0f);
}

KERNEL col2im4(unsigned n, const float4 *rows, float4 *dx, Sizes g, unsigned add) {
    EACH
    give_back(i, rows, dx, g, add, make_float4(0.0f, 0.0f, 0.0f, 0.0f));
}

// ---- Winograd's convolution -----------------------------------------------------------------------------------------
//
// F(4x4, 3x3) and F(2x2, 5x5) of stride 1, as on the processor (crate/nn/src/ops/winograd/square.rs): a tile of output needs 6x6
// pixels of input. 36 transformed numbers a tile and channel, each in a matrix of its own with a row a tile, are multiplied as
// 36 products. One thread a tile and channel, or a pair of channels of the weights.

constexpr float P = 0.75f, Q = 1.5f, P2 = P * P, Q2 = Q * Q, P4 = P2 * P2, Q4 = Q2 * Q2;
// What the weights' transform divides by at 0, plus or minus P, plus or minus Q.
constexpr float AT_0 = P2 * Q2, AT_P = 2.0f * P2 * (P2 - Q2), AT_Q = 2.0f * Q2 * (Q2 - P2);
constexpr int IN = 6;

// Along one axis, by the kernel's side K: of the input, from the products to the output, of the output's gradient, of the
// weights, from the products to the weights' gradient.
__device__ void input_1d(const float (&d)[IN], float (&v)[IN]) {
    float even_p = d[4] - Q2 * d[2], odd_p = d[3] - Q2 * d[1];
    float even_q = d[4] - P2 * d[2], odd_q = d[3] - P2 * d[1];
    v[0] = P2 * Q2 * d[0] - (P2 + Q2) * d[2] + d[4];
    v[1] = even_p + P * odd_p;
    v[2] = even_p - P * odd_p;
    v[3] = even_q + Q * odd_q;
    v[4] = even_q - Q * odd_q;
    v[5] = P2 * Q2 * d[1] - (P2 + Q2) * d[3] + d[5];
}

template <int K> __device__ void output_1d(const float (&m)[IN], float (&y)[7 - K]) {
    float even_p = m[1] + m[2], odd_p = m[1] - m[2], even_q = m[3] + m[4], odd_q = m[3] - m[4];
    y[0] = m[0] + even_p + even_q;
    y[1] = P * odd_p + Q * odd_q;
    if constexpr (K == 3) {
        y[2] = P2 * even_p + Q2 * even_q;
        y[3] = P * P2 * odd_p + Q * Q2 * odd_q;
    }
    y[6 - K] += m[5];
}

template <int K> __device__ void output_gradient_1d(const float (&y)[7 - K], float (&v)[IN]) {
    float even_p = y[0], even_q = y[0], odd_p = P * y[1], odd_q = Q * y[1];
    if constexpr (K == 3) {
        even_p += P2 * y[2], even_q += Q2 * y[2];
        odd_p += P * P2 * y[3], odd_q += Q * Q2 * y[3];
    }
    v[0] = y[0];
    v[1] = even_p + odd_p;
    v[2] = even_p - odd_p;
    v[3] = even_q + odd_q;
    v[4] = even_q - odd_q;
    v[5] = y[6 - K];
}

template <int K> __device__ void weights_1d(const float (&g)[K], float (&u)[IN]) {
    float even_p = g[0] + P2 * g[2], odd_p = P * g[1], even_q = g[0] + Q2 * g[2], odd_q = Q * g[1];
    if constexpr (K == 5) {
        even_p += P4 * g[4], odd_p += P * P2 * g[3];
        even_q += Q4 * g[4], odd_q += Q * Q2 * g[3];
    }
    u[0] = g[0] / AT_0;
    u[1] = (even_p + odd_p) / AT_P;
    u[2] = (even_p - odd_p) / AT_P;
    u[3] = (even_q + odd_q) / AT_Q;
    u[4] = (even_q - odd_q) / AT_Q;
    u[5] = g[K - 1];
}

template <int K> __device__ void weight_gradient_1d(const float (&u)[IN], float (&g)[K]) {
    float even_p = (u[1] + u[2]) / AT_P, odd_p = (u[1] - u[2]) / AT_P;
    float even_q = (u[3] + u[4]) / AT_Q, odd_q = (u[3] - u[4]) / AT_Q;
    g[0] = u[0] / AT_0 + even_p + even_q;
    g[1] = P * odd_p + Q * odd_q;
    g[2] = P2 * even_p + Q2 * even_q;
    if constexpr (K == 5) {
        g[3] = P * P2 * odd_p + Q * Q2 * odd_q;
        g[4] = P4 * even_p + Q4 * even_q;
    }
    g[K - 1] += u[5];
}

// Along both axes, columns before rows.
template <int FROM, int TO, void ALONG(const float (&)[FROM], float (&)[TO])>
__device__ void transform(const float (&from)[FROM][FROM], float (&to)[TO][TO]) {
    float half[TO][FROM];
    for (int j = 0; j < FROM; j++) {
        float column[FROM], made[TO];
        for (int i = 0; i < FROM; i++) column[i] = from[i][j];
        ALONG(column, made);
        for (int i = 0; i < TO; i++) half[i][j] = made[i];
    }
    for (int i = 0; i < TO; i++) ALONG(half[i], to[i]);
}

// A tile: its image, and its first pixel of output.
struct Tile {
    int image, y, x;
};

__device__ Tile tile_number(unsigned tile, const Sizes &g) {
    int side = 7 - g.kernel_h, down = (g.out_height + side - 1) / side, across = (g.out_width + side - 1) / side;
    Tile t;
    t.x = (int)(tile % across) * side;
    t.y = (int)(tile / across % down) * side;
    t.image = tile / across / down;
    return t;
}

// Number `i` of each of 36 matrices of `n` numbers, factors of products.
__device__ void spread(const float (&values)[IN][IN], float *to, unsigned i, unsigned n, bool rounded) {
    for (int k = 0; k < IN * IN; k++) store(to, k * n + i, values[k / IN][k % IN], rounded);
}

KERNEL winograd_input(unsigned n, const float *x, float *to, Sizes g, unsigned rounded) {
    EACH
    unsigned c = i % g.channels;
    Tile t = tile_number(i / g.channels, g);
    float d[IN][IN], v[IN][IN];
    for (int ky = 0; ky < IN; ky++)
        for (int kx = 0; kx < IN; kx++) {
            int y = t.y + ky - g.top, column = t.x + kx - g.left;
            bool inside = y >= 0 && y < g.height && column >= 0 && column < g.width;
            d[ky][kx] = inside ? x[(unsigned)((t.image * g.height + y) * g.width + column) * g.channels + c] : 0.0f;
        }
    transform<IN, IN, input_1d>(d, v);
    spread(v, to, i, n, rounded);
}

template <int K> __device__ void output_of(unsigned i, unsigned n, const float *products, float *to, Sizes g, bool add) {
    const int OUT = 7 - K;
    unsigned o = i % g.outputs;
    Tile t = tile_number(i / g.outputs, g);
    float m[IN][IN], y[OUT][OUT];
    for (int k = 0; k < IN * IN; k++) m[k / IN][k % IN] = products[k * n + i];
    transform<IN, OUT, output_1d<K>>(m, y);
    for (int ky = 0; ky < OUT; ky++)
        for (int kx = 0; kx < OUT; kx++) {
            int row = t.y + ky, column = t.x + kx;
            if (row >= g.out_height || column >= g.out_width) continue;
            float *at = to + (unsigned)((t.image * g.out_height + row) * g.out_width + column) * g.outputs + o;
            *at = add ? *at + y[ky][kx] : y[ky][kx];
        }
}

// The output, or what is added to it with `add`.
KERNEL winograd_output(unsigned n, const float *products, float *to, Sizes g, unsigned add) {
    EACH
    if (g.kernel_h == 3) output_of<3>(i, n, products, to, g, add);
    else output_of<5>(i, n, products, to, g, add);
}

template <int K>
__device__ void output_gradient_of(unsigned i, unsigned n, const float *dy, float *to, Sizes g, bool rounded) {
    const int OUT = 7 - K;
    unsigned o = i % g.outputs;
    Tile t = tile_number(i / g.outputs, g);
    float d[OUT][OUT], v[IN][IN];
    for (int ky = 0; ky < OUT; ky++)
        for (int kx = 0; kx < OUT; kx++) {
            int row = t.y + ky, column = t.x + kx;
            bool inside = row < g.out_height && column < g.out_width;
            unsigned pixel = (t.image * g.out_height + row) * g.out_width + column;
            d[ky][kx] = inside ? dy[pixel * g.outputs + o] : 0.0f;
        }
    transform<OUT, IN, output_gradient_1d<K>>(d, v);
    spread(v, to, i, n, rounded);
}

KERNEL winograd_output_gradient(unsigned n, const float *dy, float *to, Sizes g, unsigned rounded) {
    EACH
    if (g.kernel_h == 3) output_gradient_of<3>(i, n, dy, to, g, rounded);
    else output_gradient_of<5>(i, n, dy, to, g, rounded);
}

template <int K>
__device__ void weights_of(unsigned i, unsigned n, const float *weights, float *to, bool flipped, bool rounded) {
    float g[K][K], u[IN][IN];
    for (int k = 0; k < K * K; k++) g[k / K][k % K] = weights[(flipped ? K * K - 1 - k : k) * n + i];
    transform<K, IN, weights_1d<K>>(g, u);
    spread(u, to, i, n, rounded);
}

// Weights (K x K x C x O), with `flipped` those of the convolution that gives the input's gradient, transposed.
KERNEL winograd_weights(unsigned n, const float *weights, float *to, unsigned kernel, unsigned flipped, unsigned rounded) {
    EACH
    if (kernel == 3) weights_of<3>(i, n, weights, to, flipped, rounded);
    else weights_of<5>(i, n, weights, to, flipped, rounded);
}

template <int K> __device__ void weight_gradient_of(unsigned i, unsigned n, const float *products, float *dw, bool add) {
    float u[IN][IN], g[K][K];
    for (int k = 0; k < IN * IN; k++) u[k / IN][k % IN] = products[k * n + i];
    transform<IN, K, weight_gradient_1d<K>>(u, g);
    for (int k = 0; k < K * K; k++) dw[k * n + i] = add ? dw[k * n + i] + g[k / K][k % K] : g[k / K][k % K];
}

// The weights' gradient, or what is added to it with `add`.
KERNEL winograd_weight_gradient(unsigned n, const float *products, float *dw, unsigned kernel, unsigned add) {
    EACH
    if (kernel == 3) weight_gradient_of<3>(i, n, products, dw, add);
    else weight_gradient_of<5>(i, n, products, dw, add);
}

// ---- sums -----------------------------------------------------------------------------------------------------------

// Sums of every `group` rows: ceil(rows / group) x columns.
KERNEL sum_rows(unsigned n, const float *x, float *to, unsigned rows, unsigned columns, unsigned group) {
    EACH
    unsigned column = i % columns, first = i / columns * group, last = min(first + group, rows);
    float all = 0.0f;
    for (unsigned row = first; row < last; row++) all += x[row * columns + column];
    to[i] = all;
}

// ---- activations and products ---------------------------------------------------------------------------------------
//
// What a layer gives, and its gradient, may be some columns of a larger matrix: its rows are `apart` numbers from each other.

// Adds a bias a column, then ReLU with `relu`. Not fmaxf: that would turn a NaN, the mark of divergence, into a zero.
KERNEL bias(unsigned n, const float *x, float *y, const float *b, unsigned columns, unsigned apart, unsigned relu) {
    EACH
    float value = x[i] + b[i % columns];
    y[i / columns * apart + i % columns] = relu && value < 0.0f ? 0.0f : value;
}

// What a ReLU, which gave y, lets pass of a gradient.
KERNEL relu_back(unsigned n, const float *y, const float *dy, float *dx, unsigned columns, unsigned apart) {
    EACH
    unsigned at = i / columns * apart + i % columns;
    dx[i] = y[at] > 0.0f ? dy[at] : 0.0f;
}

// to = x * factors, or to += with `add`.
KERNEL times(unsigned n, const float *x, const float *factors, float *to, unsigned add) {
    EACH
    float value = x[i] * factors[i];
    to[i] = add ? to[i] + value : value;
}

// to = x * factor[0], or to += with `add`.
KERNEL scaled(unsigned n, const float *x, const float *factor, float *to, unsigned add) {
    EACH
    float value = x[i] * factor[0];
    to[i] = add ? to[i] + value : value;
}

// ---- batch normalisation --------------------------------------------------------------------------------------------

// Of every `group` rows, the sums of the differences from the first row of all, and of their squares: 2 x columns a
// group.
KERNEL moments(unsigned n, const float *x, float *to, unsigned rows, unsigned columns, unsigned group) {
    EACH
    unsigned column = i % columns, part = i / columns, last = min(part * group + group, rows);
    float pivot = x[column], plain = 0.0f, squares = 0.0f;
    for (unsigned row = part * group; row < last; row++) {
        float d = x[row * columns + column] - pivot;
        plain += d;
        squares += d * d;
    }
    to[part * 2 * columns + column] = plain;
    to[part * 2 * columns + columns + column] = squares;
}

// From those sums over all rows, which are still in `parts` parts: mean, 1 / deviation, and b of a x + b, for each channel;
// and what a batch notes for the running statistics, mean and unbiased variance.
KERNEL batch_channels(unsigned n, const float *sums, unsigned parts, const float *x, const float *shift, float *channels,
                      float *noted, float rows, float epsilon) {
    EACH
    float plain = 0.0f, squares = 0.0f;
    for (unsigned part = 0; part < parts; part++) {
        plain += sums[part * 2 * n + i];
        squares += sums[part * 2 * n + n + i];
    }
    float away = plain / rows, mean = x[i] + away;
    float variance = fmaxf(squares / rows - away * away, 0.0f);
    float inverse_deviation = 1.0f / sqrtf(variance + epsilon);
    channels[i] = mean;
    channels[n + i] = inverse_deviation;
    channels[2 * n + i] = shift[i] - mean * inverse_deviation;
    noted[i] = mean;
    noted[n + i] = variance * rows / fmaxf(rows - 1.0f, 1.0f);
}

// The same from the running statistics.
KERNEL running_channels(unsigned n, const float *mean, const float *variance, const float *shift, float *channels,
                        float epsilon) {
    EACH
    float inverse_deviation = 1.0f / sqrtf(variance[i] + epsilon);
    channels[i] = mean[i];
    channels[n + i] = inverse_deviation;
    channels[2 * n + i] = shift[i] - mean[i] * inverse_deviation;
}

// ReLU of a x + b.
KERNEL normalise(unsigned n, const float *x, float *y, const float *channels, unsigned columns, unsigned apart) {
    EACH
    unsigned c = i % columns;
    float value = channels[columns + c] * x[i] + channels[2 * columns + c];
    y[i / columns * apart + c] = value < 0.0f ? 0.0f : value;
}

// Of every `group` rows, the sums of what the ReLU lets pass of the gradient, plain and times the normalised x. (It writes
// nothing else: between writes, a card reads one number after the other.)
KERNEL normalise_sums(unsigned n, const float *x, const float *dy, const float *channels, float *to, unsigned rows,
                      unsigned columns, unsigned apart, unsigned group) {
    EACH
    unsigned c = i % columns, part = i / columns, last = min(part * group + group, rows);
    float mean = channels[c], a = channels[columns + c], b = channels[2 * columns + c];
    float plain = 0.0f, weighted = 0.0f;
    for (unsigned row = part * group; row < last; row++) {
        unsigned at = row * columns + c;
        float d = a * x[at] + b > 0.0f ? dy[row * apart + c] : 0.0f;
        plain += d;
        weighted += d * ((x[at] - mean) * a);
    }
    to[part * 2 * columns + c] = plain;
    to[part * 2 * columns + columns + c] = weighted;
}

// The gradient of x, `rounded` where only products read it. `share`: 1 / rows where mean and deviation are the batch's, 0
// where they are the running ones.
KERNEL normalise_back(unsigned n, const float *x, const float *dy, const float *channels, const float *sums, float *dx,
                      unsigned columns, unsigned apart, float share, unsigned rounded) {
    EACH
    unsigned c = i % columns;
    float a = channels[columns + c], along = (x[i] - channels[c]) * a;
    float passed = a * x[i] + channels[2 * columns + c] > 0.0f ? dy[i / columns * apart + c] : 0.0f;
    store(dx, i, a * (passed - sums[c] * share - along * (sums[columns + c] * share)), rounded);
}

// ---- pooling --------------------------------------------------------------------------------------------------------

struct Spot {
    int image, oy, ox;
    unsigned c;
};

__device__ Spot output_spot(unsigned i, const Sizes &g) {
    Spot spot;
    spot.c = i % g.channels;
    unsigned rest = i / g.channels;
    spot.ox = rest % g.out_width;
    rest /= g.out_width;
    spot.oy = rest % g.out_height;
    spot.image = rest / g.out_height;
    return spot;
}

// The largest under each window, and where in the window it is; of equal ones the first, a NaN before all.
KERNEL max_pool(unsigned n, const float *x, float *y, float *at, Sizes g, unsigned apart) {
    EACH
    Spot s = output_spot(i, g);
    float best = 0.0f;
    int found = -1;
    for (int ky = 0; ky < g.kernel_h; ky++)
        for (int kx = 0; kx < g.kernel_w; kx++) {
            int row = s.oy * g.stride_h + ky - g.top, column = s.ox * g.stride_w + kx - g.left;
            if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
            float value = x[(unsigned)((s.image * g.height + row) * g.width + column) * g.channels + s.c];
            // Once it is NaN, nothing is larger.
            if (found < 0 || (best == best && !(value <= best))) {
                best = value;
                found = ky * g.kernel_w + kx;
            }
        }
    y[i / g.channels * apart + s.c] = best;
    at[i] = (float)found;
}

// Pixels of an image under the window of an output pixel.
__device__ float under(int oy, int ox, const Sizes &g) {
    int first_y = max(oy * g.stride_h - g.top, 0), last_y = min(oy * g.stride_h - g.top + g.kernel_h, g.height);
    int first_x = max(ox * g.stride_w - g.left, 0), last_x = min(ox * g.stride_w - g.left + g.kernel_w, g.width);
    return (float)((last_y - first_y) * (last_x - first_x));
}

// What windows give back to a pixel: the whole gradient of those of which it is the largest (`at`), or of all, without
// `at`, its share.
KERNEL pool_back(unsigned n, const float *dy, const float *at, float *dx, Sizes g, unsigned apart, unsigned add) {
    EACH
    unsigned c = i % g.channels, rest = i / g.channels;
    int x = rest % g.width;
    rest /= g.width;
    int y = rest % g.height, image = rest / g.height;
    float all = add ? dx[i] : 0.0f;
    Windows down = windows_over(y + g.top, g.kernel_h, g.stride_h, g.out_height);
    Windows across = windows_over(x + g.left, g.kernel_w, g.stride_w, g.out_width);
    for (int oy = down.last; oy >= down.first; oy--)
        for (int ox = across.last; ox >= across.first; ox--) {
            int ky = y + g.top - oy * g.stride_h, kx = x + g.left - ox * g.stride_w;
            unsigned pixel = (image * g.out_height + oy) * g.out_width + ox;
            if (!at) all += dy[pixel * apart + c] / under(oy, ox, g);
            else if (at[pixel * g.channels + c] == (float)(ky * g.kernel_w + kx)) all += dy[pixel * apart + c];
        }
    dx[i] = all;
}

KERNEL mean_pool(unsigned n, const float *x, float *y, Sizes g, unsigned apart) {
    EACH
    Spot s = output_spot(i, g);
    float all = 0.0f;
    for (int ky = 0; ky < g.kernel_h; ky++)
        for (int kx = 0; kx < g.kernel_w; kx++) {
            int row = s.oy * g.stride_h + ky - g.top, column = s.ox * g.stride_w + kx - g.left;
            if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
            all += x[(unsigned)((s.image * g.height + row) * g.width + column) * g.channels + s.c];
        }
    y[i / g.channels * apart + s.c] = all / under(s.oy, s.ox, g);
}

// The mean of all pixels: n x C.
KERNEL global_mean(unsigned n, const float *x, float *y, unsigned area, unsigned channels) {
    EACH
    unsigned c = i % channels, image = i / channels;
    float all = 0.0f;
    for (unsigned p = 0; p < area; p++) all += x[(image * area + p) * channels + c];
    y[i] = all / (float)area;
}

KERNEL global_mean_back(unsigned n, const float *dy, float *dx, unsigned area, unsigned channels, unsigned add) {
    EACH
    unsigned c = i % channels, image = i / channels / area;
    float value = dy[image * channels + c] / (float)area;
    dx[i] = add ? dx[i] + value : value;
}

// ---- local response normalisation -----------------------------------------------------------------------------------

// k + alpha * the sum of squares over the window of channels around i, to the power -3/4 (two roots).
__device__ float lrn_sum(const float *x, unsigned i, unsigned channels, unsigned radius, float alpha) {
    unsigned c = i % channels, start = i - c;
    unsigned first = c < radius ? 0 : c - radius, last = min(c + radius + 1, channels);
    float all = 0.0f;
    for (unsigned j = first; j < last; j++) all += x[start + j] * x[start + j];
    return 1.0f + alpha * all;
}

__device__ float lrn_power(float d) {
    float root = sqrtf(d);
    return 1.0f / (root * sqrtf(root));
}

KERNEL lrn(unsigned n, const float *x, float *y, unsigned channels, unsigned radius, float alpha) {
    EACH
    y[i] = x[i] * lrn_power(lrn_sum(x, i, channels, radius, alpha));
}

// What each channel passes on to its neighbours, before the sum over the window; and its own part of dx.
KERNEL lrn_spread(unsigned n, const float *x, const float *dy, float *spread, float *own, unsigned channels,
                  unsigned radius, float alpha) {
    EACH
    float d = lrn_sum(x, i, channels, radius, alpha), power = lrn_power(d);
    spread[i] = dy[i] * x[i] * power / d;
    own[i] = dy[i] * power;
}

KERNEL lrn_back(unsigned n, const float *x, const float *spread, const float *own, float *dx, unsigned channels,
                unsigned radius, float alpha, unsigned add) {
    EACH
    unsigned c = i % channels, start = i - c;
    unsigned first = c < radius ? 0 : c - radius, last = min(c + radius + 1, channels);
    float all = 0.0f;
    for (unsigned j = first; j < last; j++) all += spread[start + j];
    float value = own[i] - 1.5f * alpha * x[i] * all;
    dx[i] = add ? dx[i] + value : value;
}

// ---- loss and update ------------------------------------------------------------------------------------------------

// For each row of scores: cross-entropy (nats) and whether the largest is the label's (of equal ones the first wins, a
// row with a NaN is wrong), side by side; and the gradient of `weight` times the mean cross-entropy. A row with an infinite
// score has no cross-entropy: NaN, as on the processor.
KERNEL cross_entropy(unsigned n, const float *scores, const float *labels, float *rows, float *gradient,
                     unsigned classes, float weight, float on, float off) {
    EACH
    const float *s = scores + i * classes;
    unsigned label = (unsigned)labels[i], best = 0;
    bool number = true;
    for (unsigned k = 0; k < classes; k++) {
        number = number && s[k] == s[k];
        if (s[k] > s[best]) best = k;
    }
    float all = 0.0f, none = 0.0f;
    for (unsigned k = 0; k < classes; k++) {
        all += expf(s[k] - s[best]);
        none += s[k] - s[k];
    }
    float others = 0.0f;
    for (unsigned k = 0; off > 0.0f && k < classes; k++)
        if (k != label) others += s[k] - s[best];
    rows[2 * i] = off > 0.0f ? logf(all) - (on * (s[label] - s[best]) + off * others) : logf(all) - (s[label] - s[best]);
    if (none != 0.0f) rows[2 * i] = none;
    rows[2 * i + 1] = number && best == label ? 1.0f : 0.0f;
    for (unsigned k = 0; k < classes; k++)
        gradient[i * classes + k] = weight / (float)n * (expf(s[k] - s[best]) / all - (k == label ? on : off));
}

// to[0] (+)= weight * sums[0]: one thread.
KERNEL weigh(unsigned n, const float *sums, float *to, float weight, unsigned add) {
    EACH
    to[i] = (add ? to[i] : 0.0f) + weight * sums[i];
}

// Tensors whose numbers one launch works on: the place of each one's first number among all, its weight decay, and its
// memory, for each kernel in the order in which that names it (Rust: kernels::Tensors).
const unsigned TENSORS = 64;
struct Tensors {
    unsigned count, first[TENSORS];
    float decay[TENSORS];
    float *memory[4][TENSORS];
};

// The tensor that number `i` of all is in.
__device__ unsigned tensor_of(unsigned i, const Tensors &all) {
    unsigned low = 0, high = all.count;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (all.first[middle] <= i) low = middle;
        else high = middle;
    }
    return low;
}

// Every number of some tensors, `all`: the tensor `t` that it is in, and its place there, `at`.
#define EACH_OF_ALL                \
    EACH                           \
    unsigned t = tensor_of(i, all); \
    unsigned at = i - all.first[t];

// Weights, velocities, gradients. SGD with momentum and weight decay: v = (g + wd * w) + mu * v; w -= lr * v.
KERNEL sgd(unsigned n, ARGUMENT Tensors all, float rate, float momentum) {
    EACH_OF_ALL
    float *w = all.memory[0][t] + at, *v = all.memory[1][t] + at;
    float velocity = (all.memory[2][t][at] + all.decay[t] * *w) + momentum * *v;
    *v = velocity;
    *w -= velocity * rate;
}

// Weights, velocities, gradients, mean squares. TensorFlow's RMSProp: s += (1 - kept) * (g^2 - s);
// v = mu * v + lr * g / sqrt(s + epsilon); w -= v, with g + wd * w for g.
KERNEL rms_prop(unsigned n, ARGUMENT Tensors all, float rate, float momentum, float kept, float epsilon) {
    EACH_OF_ALL
    float *w = all.memory[0][t] + at, *v = all.memory[1][t] + at, *s = all.memory[3][t] + at;
    float own = all.memory[2][t][at] + all.decay[t] * *w;
    float square = *s + (1.0f - kept) * (own * own - *s);
    float velocity = momentum * *v + rate * own / sqrtf(square + epsilon);
    *s = square;
    *v = velocity;
    *w -= velocity;
}

// Weights, mean gradients, gradients, mean squares. Adam: m += (1 - mu) * (g - m); s += (1 - kept) * (g^2 - s);
// w -= corrected * m / (sqrt(s * correction) + epsilon), with g + coupled * wd * w for g; AdamW has 0 for `coupled`, and its rate for
// `decoupled`: w -= decoupled * wd * w.
KERNEL adam(unsigned n, ARGUMENT Tensors all, float corrected, float momentum, float kept, float correction, float epsilon,
            float coupled, float decoupled) {
    EACH_OF_ALL
    float *w = all.memory[0][t] + at, *m = all.memory[1][t] + at, *s = all.memory[3][t] + at;
    float own = all.memory[2][t][at] + coupled * all.decay[t] * *w;
    float mean = *m + (1.0f - momentum) * (own - *m);
    float square = *s + (1.0f - kept) * (own * own - *s);
    *m = mean;
    *s = square;
    *w -= decoupled * all.decay[t] * *w + corrected * mean / (sqrtf(square * correction) + epsilon);
}

// Averages, weights: an average moves towards the weights, a -= (1 - kept) * (a - w).
KERNEL average(unsigned n, ARGUMENT Tensors all, float kept) {
    EACH_OF_ALL
    float *a = all.memory[0][t] + at;
    *a -= (1.0f - kept) * (*a - all.memory[1][t][at]);
}

// Running statistics, a batch's: running moves towards now.
KERNEL follow(unsigned n, ARGUMENT Tensors all, float kept) {
    EACH_OF_ALL
    float *running = all.memory[0][t] + at;
    *running = kept * *running + (1.0f - kept) * all.memory[1][t][at];
}

// ---- equation 3 -----------------------------------------------------------------------------------------------------
//
// Matrices of images against images are column-major, and may have more than 2^32 numbers.

typedef unsigned long long Place;

// Inner products of points (`rows` rows, `stride` apart) become values of the Gaussian kernel, from the squares of the
// points' lengths. With `same`, the points of the columns are the first ones of the rows.
KERNEL gaussian(unsigned n, float *products, const float *left, const float *right, unsigned rows, unsigned stride,
                float gamma, unsigned same) {
    EACH
    unsigned row = i % rows, column = i / rows;
    float *at = products + (Place)column * stride + row;
    float squared = fmaxf(left[row] + right[column] - 2.0f * *at, 0.0f);
    *at = same && row == column ? 1.0f : expf(-gamma * squared);
}

// What is below the diagonal of a symmetric matrix goes above it: from `width` columns, the `first` and later.
KERNEL mirror(unsigned n, float *matrix, unsigned rows, unsigned first, unsigned width) {
    EACH
    unsigned column = first + i % width, row = first + i / width;
    if (row > column) matrix[(Place)row * rows + column] = matrix[(Place)column * rows + row];
}

// Some columns, the `first` and later, copied with `add` added to the diagonal.
KERNEL raised(unsigned n, const float *from, float *to, unsigned rows, unsigned first, float add) {
    EACH
    Place at = (Place)first * rows + i;
    to[at] = from[at] + (i % rows == first + i / rows ? add : 0.0f);
}

KERNEL plus(unsigned n, float *x, float value) {
    EACH
    x[i] += value;
}

KERNEL diagonal(unsigned n, const float *matrix, float *to) {
    EACH
    to[i] = matrix[(Place)i * n + i];
}

// A matrix times `x` (`columns` rows of `width` numbers), in double precision: for each of `parts` parts of the columns,
// `rows` rows of `width` sums.
KERNEL apply(unsigned n, const float *matrix, const double *x, double *to, unsigned rows, unsigned columns,
             unsigned width, unsigned parts) {
    EACH
    const unsigned AT_ONCE = 16;
    unsigned row = i % rows, each = (columns + parts - 1) / parts;
    unsigned from = min(i / rows * each, columns), end = min(from + each, columns);
    for (unsigned first = 0; first < width; first += AT_ONCE) {
        double sums[AT_ONCE];
        for (unsigned k = 0; k < AT_ONCE; k++) sums[k] = 0.0;
        for (unsigned column = from; column < end; column++) {
            double value = matrix[(Place)column * rows + row];
            const double *factors = x + (Place)column * width + first;
            for (unsigned k = 0; k < AT_ONCE; k++)
                if (first + k < width) sums[k] += value * factors[k];
        }
        for (unsigned k = 0; k < AT_ONCE; k++)
            if (first + k < width) to[(Place)i * width + first + k] = sums[k];
    }
}

// The sums of `parts` parts.
KERNEL whole(unsigned n, const double *parts_sums, double *to, unsigned parts) {
    EACH
    double sum = 0.0;
    for (unsigned part = 0; part < parts; part++) sum += parts_sums[(Place)part * n + i];
    to[i] = sum;
}

// Every patch of images (C x H x W, bytes, to 0 to 1): a row a patch, place after place.
KERNEL patches(unsigned n, const unsigned char *images, float *to, unsigned channels, unsigned height, unsigned width,
               unsigned side) {
    EACH
    unsigned x = i % side, y = i / side % side, c = i / side / side % channels, place = i / side / side / channels;
    unsigned across = width - side + 1, down = height - side + 1;
    x += place % across;
    y += place / across % down;
    to[i] = images[((Place)(place / across / down) * channels + c) * height * width + y * width + x] / 255.0f;
}

// Both rectified sides of filters' responses (n x height x width x filters), averaged over windows.
KERNEL rectified(unsigned n, const float *responses, float *to, unsigned filters, unsigned height, unsigned width,
                 unsigned side, unsigned stride, unsigned down, unsigned across, float bias) {
    EACH
    unsigned filter = i % filters, window = i / filters, x = window % across * stride;
    unsigned y = window / across % down * stride, image = window / across / down;
    float positive = 0.0f, negative = 0.0f;
    for (unsigned dy = 0; dy < side; dy++)
        for (unsigned dx = 0; dx < side; dx++) {
            float c = responses[(((Place)image * height + y + dy) * width + x + dx) * filters + filter];
            positive += fmaxf(c - bias, 0.0f);
            negative += fmaxf(-c - bias, 0.0f);
        }
    float *at = to + (Place)window * 2 * filters + filter;
    at[0] = positive / (float)(side * side);
    at[filters] = negative / (float)(side * side);
}

// Columns less their means, from their sums over `count` rows.
KERNEL centred(unsigned n, float *x, const float *sums, unsigned columns, unsigned count) {
    EACH
    x[i] -= sums[i % columns] / (float)count;
}

// Such columns over their deviations, from `moments` of the columns less their means; one that varies by no more than its mean is
// rounded becomes 0.
KERNEL standardised(unsigned n, float *x, const float *sums, const float *moments, unsigned columns, unsigned count) {
    EACH
    unsigned column = i % columns;
    float mean = sums[column] / (float)count, away = moments[column] / (float)count;
    float variance = moments[columns + column] / (float)count - away * away;
    x[i] = variance > 1e-10f * mean * mean ? x[i] / sqrtf(variance) : 0.0f;
}
