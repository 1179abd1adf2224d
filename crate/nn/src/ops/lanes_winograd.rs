//! 3x3 convolutions in lanes, Winograd's way along rows: F(4, 3), half of the multiplications.
//!
//! Four output pixels side by side need six pixels of each input row under them. Those become six numbers a channel, whose products
//! with six numbers of a row of weights are summed over the channels and the window's three rows, and then make the four pixels: 18
//! products a pair of channels, not 36. Winograd's way along both axes ([`crate::ops::winograd::square`]) has 9, but the transforms of few
//! channels cost what that saves (crate/notes/speed.md).

use crate::instructions::arch;
use crate::ops::add_to;
use crate::ops::geometry::{Geometry, LANES};
use crate::ops::lanes::{Pixel, Run, Walk, all_products, fold, inside, under};
use crate::ops::matrix::Shared;
use crate::ops::memory::Scratch;
use crate::ops::simd::{load, store};
use crate::ops::winograd::square::{input_1d, output_1d, output_gradient_1d, weight_gradient_1d, weights_1d};
use crate::threads;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Pixels a side of the window.
const KERNEL: usize = 3;
/// Output pixels of a tile.
const OUT: usize = 4;
/// Input pixels under a tile, and transformed numbers of them.
const IN: usize = OUT + KERNEL - 1;
/// Rows of output that a thread takes at a time; two more of input are transformed. What is transformed of them stays in the second cache.
const ROWS: usize = 7;

/// Whether this convolution can be done so.
pub(super) fn suits(g: &Geometry) -> bool {
    g.lanes && g.kernel == (KERNEL, KERNEL) && g.stride == (1, 1)
}

/// `out` becomes the convolution of `x` with `weights` (`kh x kw x C x O`), or has it added.
pub(super) fn forward(g: &Geometry, x: &[f32], weights: &[f32], out: &mut [f32], add: bool) {
    let (size, out_size) = (g.pixels() * g.channels * LANES, g.out_pixels() * g.outputs * LANES);
    let weights = transformed(weights, g.channels, g.outputs);
    let bands = g.out_height.div_ceil(ROWS);
    assert!(out.len() >= g.images * out_size);
    let places = Shared(out.as_mut_ptr());
    let arch = arch();
    threads::each(g.images * bands, |task| {
        let (block, first) = (task / bands, task % bands * ROWS);
        let rows = first..(first + ROWS).min(g.out_height);
        let row = g.out_width * g.outputs * LANES;
        // SAFETY: inside `out`, as its length says; no other task has these rows.
        let out = unsafe {
            std::slice::from_raw_parts_mut(places.at(block * out_size + rows.start * row), rows.len() * row)
        };
        arch.dispatch(Band { g, x: &x[block * size..][..size], weights: &weights, rows, out, add });
    });
}

/// `6 x 3 x C x O`: every row of the window's weights.
fn transformed(weights: &[f32], c: usize, o: usize) -> Vec<f32> {
    let mut to = vec![0.0; IN * KERNEL * c * o];
    for (ky, line) in weights.chunks_exact(KERNEL * c * o).enumerate() {
        for i in 0..c * o {
            let of = weights_1d(std::array::from_fn::<f32, KERNEL, _>(|kx| line[kx * c * o + i]));
            for (point, value) in of.into_iter().enumerate() {
                to[(point * KERNEL + ky) * c * o + i] = value;
            }
        }
    }
    to
}

/// Some rows of output of sixteen images.
struct Band<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    /// Transformed.
    weights: &'a [f32],
    rows: Range<usize>,
    out: &'a mut [f32],
    add: bool,
}

impl WithSimd for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Band { g, x, weights, rows, out, add } = self;
        let (c, o) = (g.channels, g.outputs);
        let lines = lines(g, &rows);
        let mut v = Scratch::new(IN * lines.len() * c * LANES);
        let mut m = Scratch::new(IN * o * LANES);
        for tile in 0..g.out_width.div_ceil(OUT) {
            let input = Input { g, x, lines: lines.clone(), channels: 0..c };
            input.transform(s, tile, v.as_mut(), lines.len() * c * LANES);
            for (y, out) in rows.clone().zip(out.chunks_exact_mut(g.out_width * o * LANES)) {
                let down = inside(y, g.top, KERNEL, g.height);
                let line = (y + down.start).saturating_sub(g.top + lines.start);
                for (point, m) in m.as_mut().chunks_exact_mut(o * LANES).enumerate() {
                    let run = Run {
                        x: (point * lines.len() + line) * c,
                        row: (point * KERNEL + down.start) * c,
                        steps: down.len() * c,
                    };
                    Pixel { runs: &[run], x: v.as_ref(), weights, outputs: o, out: m, add: false }
                        .with_simd(s);
                }
                let wide = OUT.min(g.out_width - tile * OUT);
                output(s, m.as_ref(), o, &mut out[tile * OUT * o * LANES..][..wide * o * LANES], add);
            }
        }
    }
}

/// The input's rows under `rows` of the output.
fn lines(g: &Geometry, rows: &Range<usize>) -> Range<usize> {
    let at = |row: usize| row.saturating_sub(g.top).min(g.height);
    at(rows.start)..at(rows.end + KERNEL - 1)
}

/// What is transformed of sixteen images.
struct Input<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    lines: Range<usize>,
    channels: Range<usize>,
}

impl Input<'_> {
    /// The pixels under a column of tiles: six times `lines x channels` vectors, which are `apart`.
    #[inline(always)]
    fn transform<S: Simd>(&self, s: S, tile: usize, to: &mut [f32], apart: usize) {
        let Input { g, x, lines, channels } = self;
        let width = channels.len() * LANES;
        let outside = vec![0.0; width];
        for (number, y) in lines.clone().enumerate() {
            let from: [&[f32]; IN] = std::array::from_fn(|i| {
                // Unsigned: what is left of the image wraps round and is too large.
                let column = (tile * OUT + i).wrapping_sub(g.left);
                if column < g.width {
                    &x[((y * g.width + column) * g.channels + channels.start) * LANES..][..width]
                } else {
                    &outside
                }
            });
            for k in (0..width).step_by(S::F32_LANES) {
                let d = [
                    load(s, from[0], k),
                    load(s, from[1], k),
                    load(s, from[2], k),
                    load(s, from[3], k),
                    load(s, from[4], k),
                    load(s, from[5], k),
                ];
                for (point, value) in input_1d(s, d).into_iter().enumerate() {
                    store(s, to, point * apart + number * width + k, value);
                }
            }
        }
    }
}

/// Sixteens of images whose products are summed in the same lanes: the sums are cleared before, and folded after them.
const SIXTEENS: usize = 4;

/// Adds the gradient of the weights to `dw`.
pub(super) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (c, o) = (g.channels, g.outputs);
    let (size, out_size) = (g.pixels() * c * LANES, g.out_pixels() * o * LANES);
    let each = IN * KERNEL * o;
    // Whose number does not depend on the threads'. Where there are many threads, a task has some of the channels.
    let parts = g.images.div_ceil(SIXTEENS);
    let groups = (2 * threads::count()).div_ceil(parts.max(1)).clamp(1, c.div_ceil(4).max(1));
    let mut sums_of = Scratch::new(parts * c * each);
    let places = Shared(sums_of.as_mut().as_mut_ptr());
    let arch = arch();
    threads::each(parts * groups, |task| {
        let (part, group) = (task / groups, task % groups);
        let channels = group * c / groups..(group + 1) * c / groups;
        let many = channels.len() * each;
        // SAFETY: these channels' sums of this part are inside the memory and this task's own.
        let to = unsafe {
            std::slice::from_raw_parts_mut(places.at(part * c * each + channels.start * each), many)
        };
        let mut sums = Scratch::new(many * LANES);
        sums.as_mut().fill(0.0);
        for block in part * SIXTEENS..((part + 1) * SIXTEENS).min(g.images) {
            arch.dispatch(Gradient {
                g,
                x: &x[block * size..][..size],
                dy: &dy[block * out_size..][..out_size],
                channels: channels.clone(),
                sums: sums.as_mut(),
            });
        }
        fold(sums.as_ref(), to);
    });
    let (sums, rest) = sums_of.as_mut().split_at_mut(c * each);
    rest.chunks_exact(c * each).for_each(|part| add_to(sums, part));
    for (channel, sums) in sums.chunks_exact(each).enumerate() {
        for ky in 0..KERNEL {
            for k in 0..o {
                let u = std::array::from_fn(|point| sums[(point * KERNEL + ky) * o + k]);
                for (kx, value) in weight_gradient_1d::<KERNEL>(u).into_iter().enumerate() {
                    dw[((ky * KERNEL + kx) * c + channel) * o + k] += value;
                }
            }
        }
    }
}

/// Products of the transformed inputs and gradients of sixteen images, added to the sums: `channels x 6 x 3 x O` vectors.
struct Gradient<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    dy: &'a [f32],
    channels: Range<usize>,
    sums: &'a mut [f32],
}

impl WithSimd for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Gradient { g, x, dy, channels, sums } = self;
        let (c, o, tiles) = (channels.len(), g.outputs, g.out_width.div_ceil(OUT));
        let mut v = Scratch::new(IN * tiles * (ROWS + KERNEL - 1) * c * LANES);
        let mut q = Scratch::new(IN * tiles * ROWS * o * LANES);
        for first in (0..g.out_height).step_by(ROWS) {
            let rows = first..(first + ROWS).min(g.out_height);
            let lines = lines(g, &rows);
            // Numbers of a tile of a point.
            let (of_v, of_q) = (lines.len() * c, rows.len() * o);
            let input = Input { g, x, lines: lines.clone(), channels: channels.clone() };
            for tile in 0..tiles {
                let to = &mut v.as_mut()[tile * of_v * LANES..];
                input.transform(s, tile, to, tiles * of_v * LANES);
                let to = &mut q.as_mut()[tile * of_q * LANES..];
                output_gradient(s, g, dy, rows.clone(), tile, to, tiles * of_q * LANES);
            }
            for point in 0..IN {
                for ky in 0..KERNEL {
                    let ys = under(ky, g.top, 1, g.height, rows.clone());
                    if ys.is_empty() {
                        continue;
                    }
                    let walk = Walk {
                        x: point * tiles * of_v + (ys.start + ky - g.top - lines.start) * c,
                        x_step: c,
                        x_row: of_v,
                        dy: point * tiles * of_q + (ys.start - rows.start) * o,
                        dy_step: o,
                        dy_row: of_q,
                        rows: tiles,
                        columns: ys.len(),
                    };
                    let sums = &mut sums[(point * KERNEL + ky) * o * LANES..];
                    all_products(s, walk, (v.as_ref(), c), (q.as_ref(), o), sums, IN * KERNEL * o);
                }
            }
        }
    }
}

/// Transforms `rows` of the output's gradient in a column of tiles: six times `rows x O` vectors, which are `apart`.
#[inline(always)]
fn output_gradient<S: Simd>(
    s: S,
    g: &Geometry,
    dy: &[f32],
    rows: Range<usize>,
    tile: usize,
    to: &mut [f32],
    apart: usize,
) {
    let width = g.outputs * LANES;
    let outside = vec![0.0; width];
    for (number, y) in rows.enumerate() {
        let from: [&[f32]; OUT] = std::array::from_fn(|i| {
            let column = tile * OUT + i;
            if column < g.out_width { &dy[(y * g.out_width + column) * width..][..width] } else { &outside }
        });
        for k in (0..width).step_by(S::F32_LANES) {
            let d = [load(s, from[0], k), load(s, from[1], k), load(s, from[2], k), load(s, from[3], k)];
            for (point, value) in output_gradient_1d::<S, OUT>(s, d).into_iter().enumerate() {
                store(s, to, point * apart + number * width + k, value);
            }
        }
    }
}

/// From `6 x O` vectors to the pixels of a tile.
#[inline(always)]
fn output<S: Simd>(s: S, m: &[f32], outputs: usize, out: &mut [f32], add: bool) {
    let width = outputs * LANES;
    for k in (0..width).step_by(S::F32_LANES) {
        let m = [
            load(s, m, k),
            load(s, m, width + k),
            load(s, m, 2 * width + k),
            load(s, m, 3 * width + k),
            load(s, m, 4 * width + k),
            load(s, m, 5 * width + k),
        ];
        for (pixel, value) in out.chunks_exact_mut(width).zip(output_1d::<S, OUT>(s, m)) {
            let value = if add { s.add_f32s(value, load(s, pixel, k)) } else { value };
            store(s, pixel, k, value);
        }
    }
}
