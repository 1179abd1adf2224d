//! Winograd's minimal filtering F(4x4, 3x3): a 3x3 convolution of stride 1 with a quarter of the
//! multiplications.
//!
//! An output of 4x4 pixels needs 6x6 pixels of input. Input and weights are transformed to 36 numbers a
//! channel (`V = B' d B`, `U = G g G'`), multiplied channel by channel in 36 small matrix products, and the
//! result is transformed back (`Y = A' M A`). The gradients are the same bilinear form turned round: of
//! the input, the convolution with flipped weights; of the weights, `G' [sum of V (A dY A')] G`.
//! Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", sections 4.1 and 4.3;
//! interpolation points 0, 3/4, -3/4, 3/2, -3/2 and infinity.

#![expect(clippy::needless_range_loop, reason = "indices run along columns of small matrices, not rows")]

use crate::ops::gemm::{Matrix, Right, SLACK, Scratch, Shared, product_alone};
use crate::ops::geometry::Geometry;
use crate::ops::simd::{load, store};
use crate::threads;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// Pixels a side of a tile of output, and of the input that it needs.
const OUT: usize = 4;
const IN: usize = 6;
/// Transformed numbers of a tile and channel.
const POINTS: usize = IN * IN;
/// Tiles that a thread takes at a time: enough rows for the products, few enough for the second cache.
const TILES: usize = 56;

/// Tiles of output that cover an image.
fn tiles(g: &Geometry) -> (usize, usize) {
    (g.out_height.div_ceil(OUT), g.out_width.div_ceil(OUT))
}

/// Whether this convolution can be done so, and is faster so: fewer channels than a vector, and the
/// transforms cost more than they save.
pub(super) fn suits(g: &Geometry) -> bool {
    g.kernel == (3, 3) && g.stride == (1, 1) && g.channels >= 16 && g.outputs >= 16
}

/// `out` (`n x H' x W' x O`) becomes the convolution of `x` (`n x H x W x C`) with `weights`
/// (`3 x 3 x C x O`), or has it added.
pub(super) fn forward(g: &Geometry, x: &[f32], weights: &[f32], out: &mut [f32], add: bool) {
    let (c, o) = (g.channels, g.outputs);
    let mut transformed = Scratch::new(POINTS * c * o + SLACK);
    transform_weights(weights, c, o, transformed.as_mut());
    let weights = transformed.as_ref();
    let (down, across) = tiles(g);
    let images = (TILES / (down * across)).max(1);
    let arch = Arch::new();
    threads::each_chunk(out, images * g.out_pixels() * o, |part, out| {
        let n = out.len() / (g.out_pixels() * o);
        let count = n * down * across;
        let x = &x[part * images * g.pixels() * c..][..n * g.pixels() * c];
        let mut v = Scratch::new(POINTS * count * c);
        let mut m = Scratch::new(POINTS * count * o);
        arch.dispatch(Input { g, x, images: n, channels: 0..c, to: v.as_mut() });
        for point in 0..POINTS {
            let left = Matrix::new(&v.as_ref()[point * count * c..][..count * c], count, c);
            let right = Right::rows(&weights[point * c * o..], c, o);
            product_alone(&mut m.as_mut()[point * count * o..][..count * o], o, left, 0..count, right, false);
        }
        arch.dispatch(Output { g, m: m.as_ref(), images: n, out, add });
    });
}

/// Adds the gradient of `3 x 3 x C x O` weights to `dw`.
pub(super) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (c, o) = (g.channels, g.outputs);
    let (down, across) = tiles(g);
    let images = (TILES / (down * across)).max(1);
    let mut transformed = Scratch::new(POINTS * c * o);
    // Each thread has some input channels to itself, so that nothing is summed up across threads. What that
    // costs is the output's transform, which every thread makes.
    let parts = threads::count().min(c.div_ceil(16));
    let places = Shared(transformed.as_mut().as_mut_ptr());
    let arch = Arch::new();
    threads::each(parts, |part| {
        let channels = part * c / parts..(part + 1) * c / parts;
        let many = channels.len();
        let most = images.min(g.images) * down * across;
        let mut v = Scratch::new(POINTS * most * many);
        let mut q = Scratch::new(POINTS * most * o + SLACK);
        for first in (0..g.images).step_by(images) {
            let n = images.min(g.images - first);
            let count = n * down * across;
            let x = &x[first * g.pixels() * c..][..n * g.pixels() * c];
            let dy = &dy[first * g.out_pixels() * o..][..n * g.out_pixels() * o];
            let to = &mut v.as_mut()[..POINTS * count * many];
            arch.dispatch(Input { g, x, images: n, channels: channels.clone(), to });
            arch.dispatch(OutputGradient { g, dy, images: n, to: &mut q.as_mut()[..POINTS * count * o] });
            for point in 0..POINTS {
                let left = Matrix::new(&v.as_ref()[point * count * many..][..count * many], count, many).t();
                let right = Right::rows(&q.as_ref()[point * count * o..], count, o);
                // SAFETY: these channels of this point are inside `transformed` and this thread's own.
                let sum = unsafe {
                    let at = places.at((point * c + channels.start) * o);
                    std::slice::from_raw_parts_mut(at, many * o)
                };
                product_alone(sum, o, left, 0..many, right, first > 0);
            }
        }
    });
    transform_weight_gradient(transformed.as_ref(), c, o, dw);
}

/// Interpolation points beside 0 and infinity are these two and their negatives. The usual 1 and 2 have twice
/// the rounding error; squares and products of these are exact, too.
const P: f32 = 0.75;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;

#[inline(always)]
fn input_1d<S: Simd>(s: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
    let k = |v: f32| s.splat_f32s(v);
    let (even_p, odd_p) = (s.mul_add_f32s(k(-Q2), d[2], d[4]), s.mul_add_f32s(k(-Q2), d[1], d[3]));
    let (even_q, odd_q) = (s.mul_add_f32s(k(-P2), d[2], d[4]), s.mul_add_f32s(k(-P2), d[1], d[3]));
    [
        s.mul_add_f32s(k(P2 * Q2), d[0], s.mul_add_f32s(k(-P2 - Q2), d[2], d[4])),
        s.mul_add_f32s(k(P), odd_p, even_p),
        s.mul_add_f32s(k(-P), odd_p, even_p),
        s.mul_add_f32s(k(Q), odd_q, even_q),
        s.mul_add_f32s(k(-Q), odd_q, even_q),
        s.mul_add_f32s(k(P2 * Q2), d[1], s.mul_add_f32s(k(-P2 - Q2), d[3], d[5])),
    ]
}

#[inline(always)]
fn output_1d<S: Simd>(s: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
    let k = |v: f32| s.splat_f32s(v);
    let (even_p, odd_p) = (s.add_f32s(m[1], m[2]), s.sub_f32s(m[1], m[2]));
    let (even_q, odd_q) = (s.add_f32s(m[3], m[4]), s.sub_f32s(m[3], m[4]));
    [
        s.add_f32s(m[0], s.add_f32s(even_p, even_q)),
        s.mul_add_f32s(k(Q), odd_q, s.mul_f32s(k(P), odd_p)),
        s.mul_add_f32s(k(Q2), even_q, s.mul_f32s(k(P2), even_p)),
        s.mul_add_f32s(k(Q * Q2), odd_q, s.mul_add_f32s(k(P * P2), odd_p, m[5])),
    ]
}

#[inline(always)]
fn output_gradient_1d<S: Simd>(s: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
    let k = |v: f32| s.splat_f32s(v);
    let (even_p, even_q) = (s.mul_add_f32s(k(P2), y[2], y[0]), s.mul_add_f32s(k(Q2), y[2], y[0]));
    let odd_p = s.mul_add_f32s(k(P * P2), y[3], s.mul_f32s(k(P), y[1]));
    let odd_q = s.mul_add_f32s(k(Q * Q2), y[3], s.mul_f32s(k(Q), y[1]));
    [
        y[0],
        s.add_f32s(even_p, odd_p),
        s.sub_f32s(even_p, odd_p),
        s.add_f32s(even_q, odd_q),
        s.sub_f32s(even_q, odd_q),
        y[3],
    ]
}

/// `V`: `36 x tiles x channels`.
struct Input<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    images: usize,
    channels: Range<usize>,
    to: &'a mut [f32],
}

impl WithSimd for Input<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Input { g, x, images, channels, to } = self;
        let (down, across) = tiles(g);
        let (count, many) = (images * down * across, channels.len());
        let outside = vec![0.0; many];
        for t in 0..count {
            let (image, ty, tx) = (t / (down * across), t / across % down, t % across);
            let mut from: [&[f32]; POINTS] = [&outside; POINTS];
            for (i, from) in from.iter_mut().enumerate() {
                // Unsigned: what is above or left of the image wraps round and is too large.
                let y = (ty * OUT + i / IN).wrapping_sub(g.top);
                let col = (tx * OUT + i % IN).wrapping_sub(g.left);
                if y < g.height && col < g.width {
                    let pixel = (image * g.height + y) * g.width + col;
                    *from = &x[pixel * g.channels + channels.start..][..many];
                }
            }
            for c in (0..many).step_by(S::F32_LANES) {
                let mut half = [[s.splat_f32s(0.0); IN]; IN];
                for j in 0..IN {
                    let column: [S::f32s; IN] = std::array::from_fn(|i| load(s, from[i * IN + j], c));
                    let column = input_1d(s, column);
                    for i in 0..IN {
                        half[i][j] = column[i];
                    }
                }
                for (i, row) in half.into_iter().enumerate() {
                    for (j, value) in input_1d(s, row).into_iter().enumerate() {
                        let at = ((i * IN + j) * count + t) * many;
                        store(s, &mut to[at..at + many], c, value);
                    }
                }
            }
        }
    }
}

/// `A dY A'`: `36 x tiles x outputs`.
struct OutputGradient<'a> {
    g: &'a Geometry,
    dy: &'a [f32],
    images: usize,
    to: &'a mut [f32],
}

impl WithSimd for OutputGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let OutputGradient { g, dy, images, to } = self;
        let (down, across) = tiles(g);
        let (count, o) = (images * down * across, g.outputs);
        let outside = vec![0.0; o];
        for t in 0..count {
            let (image, ty, tx) = (t / (down * across), t / across % down, t % across);
            let mut from: [&[f32]; OUT * OUT] = [&outside; OUT * OUT];
            for (i, from) in from.iter_mut().enumerate() {
                let (y, col) = (ty * OUT + i / OUT, tx * OUT + i % OUT);
                if y < g.out_height && col < g.out_width {
                    *from = &dy[((image * g.out_height + y) * g.out_width + col) * o..][..o];
                }
            }
            for c in (0..o).step_by(S::F32_LANES) {
                let mut half = [[s.splat_f32s(0.0); OUT]; IN];
                for j in 0..OUT {
                    let column: [S::f32s; OUT] = std::array::from_fn(|i| load(s, from[i * OUT + j], c));
                    let column = output_gradient_1d(s, column);
                    for i in 0..IN {
                        half[i][j] = column[i];
                    }
                }
                for (i, row) in half.into_iter().enumerate() {
                    for (j, value) in output_gradient_1d(s, row).into_iter().enumerate() {
                        let at = ((i * IN + j) * count + t) * o;
                        store(s, &mut to[at..at + o], c, value);
                    }
                }
            }
        }
    }
}

/// `Y = A' M A`, to the pixels.
struct Output<'a> {
    g: &'a Geometry,
    m: &'a [f32],
    images: usize,
    out: &'a mut [f32],
    add: bool,
}

impl WithSimd for Output<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Output { g, m, images, out, add } = self;
        let (down, across) = tiles(g);
        let (count, o) = (images * down * across, g.outputs);
        for t in 0..count {
            let (image, ty, tx) = (t / (down * across), t / across % down, t % across);
            let (high, wide) = ((g.out_height - ty * OUT).min(OUT), (g.out_width - tx * OUT).min(OUT));
            let first = (image * g.out_height + ty * OUT) * g.out_width + tx * OUT;
            for c in (0..o).step_by(S::F32_LANES) {
                let mut half = [[s.splat_f32s(0.0); IN]; OUT];
                for j in 0..IN {
                    let column: [S::f32s; IN] = std::array::from_fn(|i| {
                        let at = ((i * IN + j) * count + t) * o;
                        load(s, &m[at..at + o], c)
                    });
                    let column = output_1d(s, column);
                    for i in 0..OUT {
                        half[i][j] = column[i];
                    }
                }
                for (i, row) in half.into_iter().enumerate().take(high) {
                    for (j, value) in output_1d(s, row).into_iter().enumerate().take(wide) {
                        let at = (first + i * g.out_width + j) * o;
                        let pixel = &mut out[at..at + o];
                        let value = if add { s.add_f32s(value, load(s, pixel, c)) } else { value };
                        store(s, pixel, c, value);
                    }
                }
            }
        }
    }
}

/// `U = G g G'` of every pair of channels: `36 x C x O`.
fn transform_weights(weights: &[f32], c: usize, o: usize, to: &mut [f32]) {
    let places = Shared(to.as_mut_ptr());
    let arch = Arch::new();
    threads::each(c, |channel| {
        arch.dispatch(
            #[inline(always)]
            || {
                let mut half = vec![[0.0f32; 3]; IN * o];
                let g = |i: usize, j: usize| &weights[((i * 3 + j) * c + channel) * o..][..o];
                for j in 0..3 {
                    let rows = g(0, j).iter().zip(g(1, j)).zip(g(2, j));
                    for (k, ((g0, g1), g2)) in rows.enumerate() {
                        for (i, value) in weights_1d([*g0, *g1, *g2]).into_iter().enumerate() {
                            half[i * o + k][j] = value;
                        }
                    }
                }
                for i in 0..IN {
                    for k in 0..o {
                        for (j, value) in weights_1d(half[i * o + k]).into_iter().enumerate() {
                            let at = places.at(((i * IN + j) * c + channel) * o + k);
                            // SAFETY: inside `to`; each thread has channels of its own.
                            unsafe { *at = value };
                        }
                    }
                }
            },
        );
    });
}

/// Adds `G' dU G` to `3 x 3 x C x O`.
fn transform_weight_gradient(du: &[f32], c: usize, o: usize, dw: &mut [f32]) {
    let places = Shared(dw.as_mut_ptr());
    let arch = Arch::new();
    threads::each(c, |channel| {
        arch.dispatch(
            #[inline(always)]
            || {
                for k in 0..o {
                    let at = |i: usize, j: usize| du[((i * IN + j) * c + channel) * o + k];
                    let half: [[f32; 3]; IN] =
                        std::array::from_fn(|i| weight_gradient_1d(std::array::from_fn(|j| at(i, j))));
                    for j in 0..3 {
                        let column = weight_gradient_1d(std::array::from_fn(|i| half[i][j]));
                        for (i, value) in column.into_iter().enumerate() {
                            // SAFETY: inside `dw`; each thread has channels of its own.
                            unsafe { *places.at(((i * 3 + j) * c + channel) * o + k) += value };
                        }
                    }
                }
            },
        );
    });
}

/// What the weights' transform divides by at 0, at plus or minus [`P`], and at plus or minus [`Q`]: the
/// product of a point's distances from the others.
const AT_0: f32 = P2 * Q2;
const AT_P: f32 = 2.0 * P2 * (P2 - Q2);
const AT_Q: f32 = 2.0 * Q2 * (Q2 - P2);

#[inline(always)]
fn weights_1d([g0, g1, g2]: [f32; 3]) -> [f32; 6] {
    let (even_p, odd_p) = ((g0 + P2 * g2) / AT_P, P * g1 / AT_P);
    let (even_q, odd_q) = ((g0 + Q2 * g2) / AT_Q, Q * g1 / AT_Q);
    [g0 / AT_0, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, g2]
}

#[inline(always)]
fn weight_gradient_1d(u: [f32; 6]) -> [f32; 3] {
    let (even_p, odd_p) = ((u[1] + u[2]) / AT_P, (u[1] - u[2]) / AT_P);
    let (even_q, odd_q) = ((u[3] + u[4]) / AT_Q, (u[3] - u[4]) / AT_Q);
    [u[0] / AT_0 + even_p + even_q, P * odd_p + Q * odd_q, P2 * even_p + Q2 * even_q + u[5]]
}
