//! Images by sixteens, each in a lane of its own: how narrow networks are computed.
//!
//! Stored pixel by pixel, an image of six channels fills six of eight lanes of a vector, and the inputs under a window
//! are copied together in pieces of eighteen numbers. Here a vector has one number of each of sixteen images, and all
//! lanes do the same, whatever the number of channels: convolutions read the inputs where they lie, with products in
//! registers as in [`crate::ops::gemm`]. Pooling and concatenation need no code of their own: to them a lane is a channel.
//!
//! Where channels are many, pixels are better: Winograd's products share their weights among all pixels.

use crate::instructions::arch;
use crate::ops::geometry::Geometry;
pub use crate::ops::geometry::{LANES, Order};
use crate::ops::matrix::Shared;
use crate::ops::memory::Scratch;
use crate::ops::simd::{load, store};
use crate::ops::{Image, Rows, Size3, add_to, elements, take_gradient};
use crate::{Error, Result, threads};
use dfdx::prelude::{Cpu, HasShape, PutTape, ReshapeTo, SplitTape, Tape, TensorFromVec};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Images as they are read (`n x (C * H * W)`, channel by channel) in `order`. Images have no gradient.
///
/// Errors: [`Error::Tensor`] when memory is short.
pub fn arrange<T: Tape<f32, Cpu>>(
    images: Rows<T>,
    [height, width, channels]: Size3,
    order: Order,
) -> Result<Image<T>> {
    let operation = "order of the pixels";
    let (n, lanes) = (images.shape().0, order.lanes());
    let (images, tape) = images.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let from = elements(&images).unwrap_or_default();
    let pixels = height * width;
    let size = pixels * channels;
    let shape = (n.div_ceil(lanes), height, width, channels * lanes);
    let mut to = vec![0.0; shape.0 * size * lanes];
    threads::each_chunk(&mut to, size * lanes, |block, to| {
        for (lane, from) in from[block * lanes * size..].chunks_exact(size).take(lanes).enumerate() {
            for (channel, from) in from.chunks_exact(pixels).enumerate() {
                let to = to[channel * lanes + lane..].iter_mut().step_by(channels * lanes);
                to.zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    });
    let y = images.device().try_tensor_from_vec(to, shape).map_err(Error::tensor(operation))?;
    Ok(y.put_tape(tape))
}

/// From rows in `order` (in lanes `ceil(n / 16) x (size * 16)`) to one row per image (`n x size`).
///
/// Errors: [`Error::Shape`] where there are fewer lanes than images; [`Error::Tensor`] when memory is short.
pub fn by_image<T: Tape<f32, Cpu>>(x: Rows<T>, order: Order) -> Result<Rows<T>> {
    let operation = "images from lanes";
    let Order::Lanes { images } = order else { return Ok(x) };
    let (blocks, size) = (x.shape().0, x.shape().1 / LANES);
    if blocks != images.div_ceil(LANES) {
        let expected = vec![images.div_ceil(LANES)];
        return Err(Error::Shape { operation, expected, got: vec![blocks] });
    }
    let (x, mut tape) = x.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let from = elements(&x).unwrap_or_default();
    let mut to = vec![0.0; images * size];
    for (image, to) in to.chunks_exact_mut(size).enumerate() {
        let from = from[image / LANES * size * LANES + image % LANES..].iter().step_by(LANES);
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
    let y = x.device().try_tensor_from_vec(to, (images, size)).map_err(Error::tensor(operation))?;
    if T::OWNS_TAPE {
        let (x_ghost, y_ghost) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let dy = take_gradient(gradients.get_or_alloc_mut(&y_ghost)?);
            let dx = gradients.get_or_alloc_mut(&x_ghost)?;
            for (image, dy) in dy.chunks_exact(size).enumerate() {
                let to = dx[image / LANES * size * LANES + image % LANES..].iter_mut().step_by(LANES);
                to.zip(dy).for_each(|(to, from)| *to += *from);
            }
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}

/// A stretch of the sum that makes a pixel: `steps` inputs that lie one after the other, and their weights.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// Where the inputs start, in lanes.
    pub x: usize,
    /// The first row of weights.
    pub row: usize,
    pub steps: usize,
}

/// Adds a run, to the last one where it goes on there.
fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if (last.x + last.steps, last.row + last.steps) == (run.x, run.row) => {
            last.steps += run.steps
        }
        _ => runs.push(run),
    }
}

/// The positions of a window of `kernel` pixels whose `first + position` is within `0..size`, `first` counted from the
/// `padding` before the edge.
pub(super) fn inside(first: usize, padding: usize, kernel: usize, size: usize) -> Range<usize> {
    let start = padding.saturating_sub(first).min(kernel);
    start..(size + padding).saturating_sub(first).clamp(start, kernel)
}

/// `out` becomes the convolution of `x` with `weights` (`kh x kw x C x O`), or has it added.
pub(super) fn forward(g: &Geometry, x: &[f32], weights: &[f32], out: &mut [f32], add: bool) {
    let c = g.channels;
    let runs = |y: usize, column: usize, runs: &mut Vec<Run>| {
        let (y, column) = (y * g.stride.0, column * g.stride.1);
        let across = inside(column, g.left, g.kernel.1, g.width);
        for ky in inside(y, g.top, g.kernel.0, g.height) {
            let pixel = (y + ky - g.top) * g.width + (column + across.start).saturating_sub(g.left);
            let row = (ky * g.kernel.1 + across.start) * c;
            push(runs, Run { x: pixel * c, row, steps: across.len() * c });
        }
    };
    let (rows, columns) = (g.out_height, g.out_width);
    pixels(x, g.pixels() * c, weights, g.outputs, out, (rows, columns), add, runs);
}

/// `dx` becomes the gradient of the input, or has it added.
pub(super) fn input_gradient(g: &Geometry, dy: &[f32], weights: &[f32], dx: &mut [f32], add: bool) {
    let (c, o, across) = (g.channels, g.outputs, g.kernel.1);
    // O rows of C weights for a position of the window, the positions of a line from right to left: so they come along
    // the gradient's pixels.
    let mut turned = vec![0.0; weights.len()];
    for (at, from) in weights.chunks_exact(c * o).enumerate() {
        let to = &mut turned[(at / across * across + across - 1 - at % across) * c * o..][..c * o];
        for (i, from) in from.chunks_exact(o).enumerate() {
            to[i..].iter_mut().step_by(c).zip(from).for_each(|(to, from)| *to = *from);
        }
    }
    // Output pixels under whose window the input pixel is: `at + padding = pixel * stride + position`.
    let seen = |at: usize, padding: usize, kernel: usize, stride: usize, outputs: usize| {
        let last = at + padding;
        (last.saturating_sub(kernel - 1).div_ceil(stride)..outputs.min(last / stride + 1))
            .map(move |pixel| (pixel, last - pixel * stride))
    };
    let runs = |y: usize, column: usize, runs: &mut Vec<Run>| {
        for (out_y, ky) in seen(y, g.top, g.kernel.0, g.stride.0, g.out_height) {
            for (out_x, kx) in seen(column, g.left, across, g.stride.1, g.out_width) {
                let row = (ky * across + across - 1 - kx) * o;
                push(runs, Run { x: (out_y * g.out_width + out_x) * o, row, steps: o });
            }
        }
    };
    pixels(dy, g.out_pixels() * o, &turned, c, dx, (g.height, g.width), add, runs);
}

/// Each pixel of `rows` and `columns` becomes a sum over its `runs` through `x`, which has `size` numbers an image, by
/// rows of `outputs` weights; or has it added.
#[expect(clippy::too_many_arguments, reason = "one loop for the convolution and for its gradient")]
fn pixels(
    x: &[f32],
    size: usize,
    weights: &[f32],
    outputs: usize,
    out: &mut [f32],
    (rows, columns): (usize, usize),
    add: bool,
    runs: impl Fn(usize, usize, &mut Vec<Run>) + Sync,
) {
    let arch = arch();
    threads::each_chunk(out, columns * outputs * LANES, |part, out| {
        let (block, y) = (part / rows, part % rows);
        let x = &x[block * size * LANES..][..size * LANES];
        let mut of_pixel = Vec::new();
        for (column, out) in out.chunks_exact_mut(outputs * LANES).enumerate() {
            of_pixel.clear();
            runs(y, column, &mut of_pixel);
            arch.dispatch(Pixel { runs: &of_pixel, x, weights, outputs, out, add });
        }
    });
}

/// One pixel of sixteen images: all outputs.
pub(super) struct Pixel<'a> {
    pub runs: &'a [Run],
    pub x: &'a [f32],
    pub weights: &'a [f32],
    pub outputs: usize,
    pub out: &'a mut [f32],
    pub add: bool,
}

impl WithSimd for Pixel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Pixel { runs, x, weights, outputs, out, add } = self;
        for run in runs {
            assert!(
                (run.x + run.steps) * LANES <= x.len() && (run.row + run.steps) * outputs <= weights.len()
            );
        }
        // As many outputs at a time as stay in registers, beside the vectors of an input and a weight.
        let most = if S::REGISTER_COUNT >= 32 { 12 } else { 6 };
        let tiles = outputs.div_ceil(most);
        let mut rest = out;
        let mut first = 0;
        for number in 0..tiles {
            let height = (outputs - first).div_ceil(tiles - number);
            let (out, after) = rest.split_at_mut(height * LANES);
            rest = after;
            // SAFETY: just compared: the runs are inside `x` and the weights, `first + height` outputs inside a row.
            macro_rules! of_height { ($($m:literal)*) => { match height {
                $($m => unsafe {
                    let weights = (&weights[first..], outputs);
                    if const { S::F32_LANES < LANES } {
                        tile::<S, $m, 2>(s, runs, x, weights, out, add)
                    } else {
                        tile::<S, $m, 1>(s, runs, x, weights, out, add)
                    }
                },)*
                _ => unreachable!("at most {most} outputs"),
            } } }
            if const { S::REGISTER_COUNT >= 32 } {
                of_height!(1 2 3 4 5 6 7 8 9 10 11 12);
            } else {
                of_height!(1 2 3 4 5 6);
            }
            first += height;
        }
    }
}

/// `M` outputs of a pixel, `V` vectors of lanes at a time.
///
/// # Safety
/// The runs are inside `x`; their rows of weights, `stride` apart, have `M` weights; `out` has `M` outputs; `V` vectors
/// have no more lanes than there are.
#[inline(always)]
unsafe fn tile<S: Simd, const M: usize, const V: usize>(
    s: S,
    runs: &[Run],
    x: &[f32],
    (weights, stride): (&[f32], usize),
    out: &mut [f32],
    add: bool,
) {
    for from in (0..LANES).step_by(V * S::F32_LANES) {
        let mut sum = [[s.splat_f32s(0.0); V]; M];
        if add {
            for (i, sum) in sum.iter_mut().enumerate() {
                for (v, sum) in sum.iter_mut().enumerate() {
                    *sum = load(s, out, i * LANES + from + v * S::F32_LANES);
                }
            }
        }
        for run in runs {
            let mut x = x.as_ptr().wrapping_add(run.x * LANES + from);
            let mut weight = weights.as_ptr().wrapping_add(run.row * stride);
            for _ in 0..run.steps {
                // SAFETY: inside `x` and the weights, by the caller's promises.
                unsafe {
                    let x: [S::f32s; V] = std::array::from_fn(|v| {
                        x.wrapping_add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned()
                    });
                    for (i, sum) in sum.iter_mut().enumerate() {
                        let weight = s.splat_f32s(*weight.add(i));
                        for (sum, x) in sum.iter_mut().zip(x) {
                            *sum = s.mul_add_f32s(weight, x, *sum);
                        }
                    }
                }
                x = x.wrapping_add(LANES);
                weight = weight.wrapping_add(stride);
            }
        }
        for (i, sum) in sum.into_iter().enumerate() {
            for (v, sum) in sum.into_iter().enumerate() {
                store(s, out, i * LANES + from + v * S::F32_LANES, sum);
            }
        }
    }
}

/// Inputs and outputs whose products' sums stay in registers together. More are slower, though there are registers for them: along 64
/// pixels, what these seven read stays in the first cache.
const TILE: (usize, usize) = (3, 4);
/// Pixels, at least, between two visits to the sums.
const PIXELS: usize = 64;

/// Adds the gradient of the weights to `dw`.
pub(super) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let blocks = g.images;
    let size = dw.len();
    // Sixteen images are a task, with sums of its own: their number does not depend on the threads'. Where there are
    // many threads, a task has some of the window's positions.
    let positions = g.kernel.0 * g.kernel.1;
    let groups = (2 * threads::count()).div_ceil(blocks.max(1)).clamp(1, positions);
    let mut parts = Scratch::new(blocks * size);
    let places = Shared(parts.as_mut().as_mut_ptr());
    let arch = arch();
    threads::each(blocks * groups, |task| {
        let (block, group) = (task / groups, task % groups);
        let positions = group * positions / groups..(group + 1) * positions / groups;
        let each = g.channels * g.outputs;
        let at = block * size + positions.start * each;
        // SAFETY: these positions' weights of this block are inside `parts` and this task's own.
        let to = unsafe { std::slice::from_raw_parts_mut(places.at(at), positions.len() * each) };
        let x = &x[block * g.pixels() * g.channels * LANES..][..g.pixels() * g.channels * LANES];
        let dy = &dy[block * g.out_pixels() * g.outputs * LANES..][..g.out_pixels() * g.outputs * LANES];
        let mut sums = Scratch::new(to.len() * LANES);
        sums.as_mut().fill(0.0);
        arch.dispatch(Products { g, x, dy, positions, sums: sums.as_mut() });
        fold(sums.as_ref(), to);
    });
    for part in parts.as_ref().chunks_exact(size) {
        add_to(dw, part);
    }
}

/// The sum of all lanes of each number.
pub(super) fn fold(sums: &[f32], to: &mut [f32]) {
    arch().dispatch(
        #[inline(always)]
        || {
            for (to, v) in to.iter_mut().zip(sums.chunks_exact(LANES)) {
                // By halves, as a vector would.
                let low = [v[0] + v[8], v[1] + v[9], v[2] + v[10], v[3] + v[11]];
                let high = [v[4] + v[12], v[5] + v[13], v[6] + v[14], v[7] + v[15]];
                let v = [low[0] + high[0], low[1] + high[1], low[2] + high[2], low[3] + high[3]];
                *to = (v[0] + v[2]) + (v[1] + v[3]);
            }
        },
    );
}

/// Products of inputs and gradients of sixteen images, summed over the pixels in every lane: `positions x C x O x 16`.
struct Products<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    dy: &'a [f32],
    positions: Range<usize>,
    sums: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Products { g, x, dy, positions, sums } = self;
        let (c, o) = (g.channels, g.outputs);
        let rows = PIXELS.div_ceil(g.out_width);
        for band in (0..g.out_height).step_by(rows) {
            let band = band..(band + rows).min(g.out_height);
            for (number, position) in positions.clone().enumerate() {
                let (ky, kx) = (position / g.kernel.1, position % g.kernel.1);
                let ys = under(ky, g.top, g.stride.0, g.height, band.clone());
                let xs = under(kx, g.left, g.stride.1, g.width, 0..g.out_width);
                if ys.is_empty() || xs.is_empty() {
                    continue;
                }
                let pixel =
                    (ys.start * g.stride.0 + ky - g.top) * g.width + xs.start * g.stride.1 + kx - g.left;
                let walk = Walk {
                    x: pixel * c,
                    x_step: g.stride.1 * c,
                    x_row: g.stride.0 * g.width * c,
                    dy: (ys.start * g.out_width + xs.start) * o,
                    dy_step: o,
                    dy_row: g.out_width * o,
                    rows: ys.len(),
                    columns: xs.len(),
                };
                let sums = &mut sums[number * c * o * LANES..];
                all_products(s, walk, (x, c), (dy, o), sums, o);
            }
        }
    }
}

/// Output pixels of `outputs` whose input at position `k` of the window is inside an image of `size` pixels, along one axis.
pub(super) fn under(
    k: usize,
    padding: usize,
    stride: usize,
    size: usize,
    outputs: Range<usize>,
) -> Range<usize> {
    let first = padding.saturating_sub(k).div_ceil(stride).max(outputs.start);
    first..(size + padding).saturating_sub(k).div_ceil(stride).clamp(first, outputs.end.max(first))
}

/// Adds the products of all `c` inputs and `o` gradients along `walk` to `c` rows of sums, which are `apart`.
#[inline(always)]
pub(super) fn all_products<S: Simd>(
    s: S,
    walk: Walk,
    (x, c): (&[f32], usize),
    (dy, o): (&[f32], usize),
    sums: &mut [f32],
    apart: usize,
) {
    let (down, across) = (c.div_ceil(TILE.0), o.div_ceil(TILE.1));
    let mut first_c = 0;
    for i in 0..down {
        let height = (c - first_c).div_ceil(down - i);
        let mut first_o = 0;
        for j in 0..across {
            let width = (o - first_o).div_ceil(across - j);
            let walk = Walk { x: walk.x + first_c, dy: walk.dy + first_o, ..walk };
            let to = &mut sums[(first_c * apart + first_o) * LANES..];
            macro_rules! of_size { ($(($a:literal, $b:literal))*) => { match (height, width) {
                $(($a, $b) => products::<S, $a, $b>(s, walk, x, dy, to, apart),)*
                _ => unreachable!("at most {TILE:?} inputs and outputs"),
            } } }
            of_size!((1, 1)(1, 2)(1, 3)(1, 4)(2, 1)(2, 2)(2, 3)(2, 4)(3, 1)(3, 2)(3, 3)(3, 4));
            first_o += width;
        }
        first_c += height;
    }
}

/// A way over the pixels of input and gradient: where it starts, and how far it is to the next column and row, in lanes.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub x: usize,
    pub x_step: usize,
    pub x_row: usize,
    pub dy: usize,
    pub dy_step: usize,
    pub dy_row: usize,
    pub rows: usize,
    pub columns: usize,
}

/// Adds the products of `A` inputs and `B` gradients along `walk` to `A` rows of sums, which are `apart`.
#[inline(always)]
fn products<S: Simd, const A: usize, const B: usize>(
    s: S,
    walk: Walk,
    x: &[f32],
    dy: &[f32],
    sums: &mut [f32],
    apart: usize,
) {
    let end = |first: usize, step: usize, row: usize, many: usize| {
        (first + (walk.columns - 1) * step + (walk.rows - 1) * row + many) * LANES
    };
    assert!(end(walk.x, walk.x_step, walk.x_row, A) <= x.len());
    assert!(end(walk.dy, walk.dy_step, walk.dy_row, B) <= dy.len());
    for lane in (0..LANES).step_by(S::F32_LANES) {
        let at = |a: usize, b: usize| (a * apart + b) * LANES + lane;
        // Loops and no `from_fn`, which would be called.
        let mut sum = [[s.splat_f32s(0.0); B]; A];
        for (a, sum) in sum.iter_mut().enumerate() {
            for (b, sum) in sum.iter_mut().enumerate() {
                *sum = load(s, sums, at(a, b));
            }
        }
        for row in 0..walk.rows {
            let mut x = x.as_ptr().wrapping_add((walk.x + row * walk.x_row) * LANES + lane);
            let mut dy = dy.as_ptr().wrapping_add((walk.dy + row * walk.dy_row) * LANES + lane);
            for _ in 0..walk.columns {
                // SAFETY: the last column of the last row is inside both, as was just compared.
                unsafe {
                    // The inputs stay in registers, one gradient at a time comes to them.
                    let mut inputs = [s.splat_f32s(0.0); A];
                    for (a, input) in inputs.iter_mut().enumerate() {
                        *input = x.add(a * LANES).cast::<S::f32s>().read_unaligned();
                    }
                    for b in 0..B {
                        let dy = dy.add(b * LANES).cast::<S::f32s>().read_unaligned();
                        for (sum, x) in sum.iter_mut().zip(inputs) {
                            sum[b] = s.mul_add_f32s(x, dy, sum[b]);
                        }
                    }
                }
                x = x.wrapping_add(walk.x_step * LANES);
                dy = dy.wrapping_add(walk.dy_step * LANES);
            }
        }
        for (a, sum) in sum.into_iter().enumerate() {
            for (b, sum) in sum.into_iter().enumerate() {
                store(s, sums, at(a, b), sum);
            }
        }
    }
}
