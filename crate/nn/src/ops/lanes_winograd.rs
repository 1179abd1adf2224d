//! 3x3 and 5x5 convolutions in lanes, Winograd's way along rows: F(4, 3), half of the multiplications, and F(2, 5), three fifths of them.
//!
//! Four output pixels side by side of a 3x3 window need six pixels of each input row under them, and so do two of a 5x5 window. Those become
//! six numbers a channel, whose products with six numbers of a row of weights are summed over the channels and the window's rows, and then
//! make the output pixels: 18 products a pair of channels, not 36, and 30, not 50. Winograd's way along both axes
//! ([`crate::ops::winograd::square`]) has 9 and 18, but the transforms of few channels cost what that saves (crate/notes/speed.md).

use crate::instructions::arch;
use crate::ops::add_to;
use crate::ops::geometry::{Geometry, LANES};
use crate::ops::lanes::{Pixel, Run, Walk, all_products, fold, inside, under};
use crate::ops::matrix::Shared;
use crate::ops::memory::{LINE, Scratch, prefetch};
use crate::ops::simd::{load_at, store_at};
use crate::ops::winograd::square::{input_1d, output_1d, output_gradient_1d, weight_gradient_1d, weights_1d};
use crate::threads;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Input pixels under a tile, and transformed numbers of them. A tile has `OUT` output pixels, and `OUT + K - 1` is this number.
const IN: usize = 6;
/// Output pixels of the longest tile.
const MOST_OUT: usize = 4;
/// Rows of output that a thread takes at a time; more of input are transformed. What is transformed of them stays in the second cache.
const ROWS: usize = 7;

/// Whether this convolution can be done so.
pub(super) fn suits(g: &Geometry) -> bool {
    g.lanes && [(3, 3), (5, 5)].contains(&g.kernel) && g.stride == (1, 1)
}

/// Calls a function for the window's pixels a side and its tiles' pixels.
macro_rules! of_kernel {
    ($g:expr, $function:ident($($argument:expr),*)) => {
        if $g.kernel.0 == 3 { $function::<3, 4>($($argument),*) } else { $function::<5, 2>($($argument),*) }
    };
}

/// `out` becomes the convolution of `x` with `weights` (`kh x kw x C x O`), or has it added.
pub(super) fn forward(g: &Geometry, x: &[f32], weights: &[f32], out: &mut [f32], add: bool) {
    of_kernel!(g, forward_of(g, x, weights, out, add));
}

fn forward_of<const K: usize, const OUT: usize>(
    g: &Geometry,
    x: &[f32],
    weights: &[f32],
    out: &mut [f32],
    add: bool,
) {
    let (size, out_size) = (g.pixels() * g.channels * LANES, g.out_pixels() * g.outputs * LANES);
    let weights = transformed::<K>(weights, g.channels, g.outputs);
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
        arch.dispatch(Band::<K, OUT> { g, x: &x[block * size..][..size], weights: &weights, rows, out, add });
    });
}

/// `6 x K x C x O`: every row of the window's weights.
fn transformed<const K: usize>(weights: &[f32], c: usize, o: usize) -> Vec<f32> {
    let mut to = vec![0.0; IN * K * c * o];
    for (ky, line) in weights.chunks_exact(K * c * o).enumerate() {
        for i in 0..c * o {
            let of = weights_1d(std::array::from_fn::<f32, K, _>(|kx| line[kx * c * o + i]));
            for (point, value) in of.into_iter().enumerate() {
                to[(point * K + ky) * c * o + i] = value;
            }
        }
    }
    to
}

/// Some rows of output of sixteen images.
struct Band<'a, const K: usize, const OUT: usize> {
    g: &'a Geometry,
    x: &'a [f32],
    /// Transformed.
    weights: &'a [f32],
    rows: Range<usize>,
    out: &'a mut [f32],
    add: bool,
}

impl<const K: usize, const OUT: usize> WithSimd for Band<'_, K, OUT> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Band { g, x, weights, rows, out, add } = self;
        let (c, o) = (g.channels, g.outputs);
        let lines = lines::<K>(g, &rows);
        let mut v = Scratch::new(IN * lines.len() * c * LANES);
        let mut m = Scratch::new(IN * o * LANES);
        let input = Padded::new(x, g.width, c, 0..c);
        for tile in 0..g.out_width.div_ceil(OUT) {
            let column = (tile * OUT).wrapping_sub(g.left);
            for (number, y) in lines.clone().enumerate() {
                let to = &mut v.as_mut()[number * c * LANES..];
                transform_input(s, input.pixels(y, column), to, lines.len() * c * LANES);
            }
            for (y, out) in rows.clone().zip(out.chunks_exact_mut(g.out_width * o * LANES)) {
                let down = inside(y, g.top, K, g.height);
                let line = (y + down.start).saturating_sub(g.top + lines.start);
                let wide = OUT.min(g.out_width - tile * OUT);
                let out = &mut out[tile * OUT * o * LANES..][..wide * o * LANES];
                // What is written comes into the cache too: it does while the products are summed.
                ask(out);
                for (point, m) in m.as_mut().chunks_exact_mut(o * LANES).enumerate() {
                    let run = Run {
                        x: (point * lines.len() + line) * c,
                        row: (point * K + down.start) * c,
                        steps: down.len() * c,
                    };
                    Pixel { runs: &[run], x: v.as_ref(), weights, outputs: o, out: m, add: false }
                        .with_simd(s);
                }
                output::<S, OUT>(s, m.as_ref(), o, out, add);
            }
        }
    }
}

/// The input's rows under `rows` of the output.
fn lines<const K: usize>(g: &Geometry, rows: &Range<usize>) -> Range<usize> {
    let at = |row: usize| row.saturating_sub(g.top).min(g.height);
    at(rows.start)..at(rows.end + K - 1)
}

/// Pixels of sixteen images, and zeros beside them.
struct Padded<'a> {
    x: &'a [f32],
    width: usize,
    channels: usize,
    /// The channels that are read.
    of: Range<usize>,
    outside: Vec<f32>,
}

impl<'a> Padded<'a> {
    fn new(x: &'a [f32], width: usize, channels: usize, of: Range<usize>) -> Padded<'a> {
        let outside = vec![0.0; of.len() * LANES];
        Padded { x, width, channels, of, outside }
    }

    /// What is left of the image has wrapped round: it is too large.
    #[inline(always)]
    fn pixel(&self, y: usize, column: usize) -> &[f32] {
        if column < self.width {
            let at = (y * self.width + column) * self.channels + self.of.start;
            &self.x[at * LANES..][..self.outside.len()]
        } else {
            &self.outside
        }
    }

    #[inline(always)]
    fn pixels<const N: usize>(&self, y: usize, column: usize) -> [&[f32]; N] {
        std::array::from_fn(
            #[inline(always)]
            |i| self.pixel(y, column.wrapping_add(i)),
        )
    }

    /// Asks for so many pixels: those that a tile has and its neighbour has not.
    #[inline(always)]
    fn ask(&self, y: usize, column: usize, many: usize) {
        for i in 0..many {
            ask(self.pixel(y, column.wrapping_add(i)));
        }
    }
}

/// Asks for memory that is soon read or written.
#[inline(always)]
fn ask(memory: &[f32]) {
    for line in memory.iter().step_by(LINE) {
        prefetch(line);
    }
}

/// The pixels of a line under a tile become six times as many vectors as they have channels, `apart` from each other.
#[inline(always)]
fn transform_input<S: Simd>(s: S, from: [&[f32]; IN], to: &mut [f32], apart: usize) {
    each_vector::<S, IN, IN, IN>(
        s,
        from,
        to,
        apart,
        false,
        #[inline(always)]
        |d| input_1d(s, d),
    );
}

/// The same of the output's gradient in a tile.
#[inline(always)]
fn transform_gradient<S: Simd, const OUT: usize>(s: S, from: [&[f32]; OUT], to: &mut [f32], apart: usize) {
    each_vector::<S, OUT, IN, IN>(
        s,
        from,
        to,
        apart,
        false,
        #[inline(always)]
        |of| {
            let mut y = [s.splat_f32s(0.0); MOST_OUT];
            y[..OUT].copy_from_slice(&of);
            output_gradient_1d::<S, OUT>(s, y)
        },
    );
}

/// Makes `ROWS` rows of `to`, which are `apart`, of those of `from`, as `transform` makes numbers of numbers; or adds them. `transform` is
/// an inlined closure: a function handed over by its name is called, without the processor's vectors, and training takes 2.7 times as long.
#[inline(always)]
fn each_vector<S: Simd, const FROM: usize, const MADE: usize, const ROWS: usize>(
    s: S,
    from: [&[f32]; FROM],
    to: &mut [f32],
    apart: usize,
    add: bool,
    transform: impl Fn([S::f32s; FROM]) -> [S::f32s; MADE],
) {
    let width = from[0].len();
    // Once, before the loop: there it would be a branch for every vector that is read or written.
    assert!(width.is_multiple_of(S::F32_LANES) && from.iter().all(|row| row.len() == width));
    assert!(ROWS <= MADE && (ROWS - 1) * apart + width <= to.len());
    let (from, to) = (from.map(<[f32]>::as_ptr), to.as_mut_ptr());
    for k in (0..width).step_by(S::F32_LANES) {
        // SAFETY: whole vectors make up a row, and the rows are inside `from` and `to`, as was just compared.
        unsafe {
            let mut values = [s.splat_f32s(0.0); FROM];
            for (value, from) in values.iter_mut().zip(from) {
                *value = load_at::<S, true>(s, from.add(k), S::F32_LANES);
            }
            for (row, value) in transform(values).into_iter().enumerate().take(ROWS) {
                let to = to.add(row * apart + k);
                let value =
                    if add { s.add_f32s(value, load_at::<S, true>(s, to, S::F32_LANES)) } else { value };
                store_at::<S, true>(s, to, S::F32_LANES, value);
            }
        }
    }
}

/// Sixteens of images whose products are summed in the same lanes: the sums are cleared before, and folded after them.
const SIXTEENS: usize = 4;

/// Adds the gradient of the weights to `dw`.
pub(super) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    of_kernel!(g, weight_gradient_of(g, x, dy, dw));
}

fn weight_gradient_of<const K: usize, const OUT: usize>(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (c, o) = (g.channels, g.outputs);
    let (size, out_size) = (g.pixels() * c * LANES, g.out_pixels() * o * LANES);
    let each = IN * K * o;
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
            arch.dispatch(Gradient::<K, OUT> {
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
        for ky in 0..K {
            for k in 0..o {
                let u = std::array::from_fn(|point| sums[(point * K + ky) * o + k]);
                for (kx, value) in weight_gradient_1d::<K>(u).into_iter().enumerate() {
                    dw[((ky * K + kx) * c + channel) * o + k] += value;
                }
            }
        }
    }
}

/// Products of the transformed inputs and gradients of sixteen images, added to the sums: `channels x 6 x K x O` vectors.
struct Gradient<'a, const K: usize, const OUT: usize> {
    g: &'a Geometry,
    x: &'a [f32],
    dy: &'a [f32],
    channels: Range<usize>,
    sums: &'a mut [f32],
}

impl<const K: usize, const OUT: usize> WithSimd for Gradient<'_, K, OUT> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Gradient { g, x, dy, channels, sums } = self;
        let (c, o, tiles) = (channels.len(), g.outputs, g.out_width.div_ceil(OUT));
        let mut v = Scratch::new(IN * tiles * (ROWS + K - 1) * c * LANES);
        let mut q = Scratch::new(IN * tiles * ROWS * o * LANES);
        let input = Padded::new(x, g.width, g.channels, channels);
        let gradient = Padded::new(dy, g.out_width, o, 0..o);
        for first in (0..g.out_height).step_by(ROWS) {
            let rows = first..(first + ROWS).min(g.out_height);
            let lines = lines::<K>(g, &rows);
            // Numbers of a tile of a point.
            let (of_v, of_q) = (lines.len() * c, rows.len() * o);
            // Line by line, as they lie in memory, and asked for in time: it was long ago that they were written.
            for (number, y) in lines.clone().enumerate() {
                for tile in 0..tiles {
                    let column = (tile * OUT).wrapping_sub(g.left);
                    input.ask(y, column.wrapping_add(IN), OUT);
                    let to = &mut v.as_mut()[(tile * of_v + number * c) * LANES..];
                    transform_input(s, input.pixels(y, column), to, tiles * of_v * LANES);
                }
            }
            for (number, y) in rows.clone().enumerate() {
                for tile in 0..tiles {
                    gradient.ask(y, (tile + 1) * OUT, OUT);
                    let to = &mut q.as_mut()[(tile * of_q + number * o) * LANES..];
                    transform_gradient::<S, OUT>(s, gradient.pixels(y, tile * OUT), to, tiles * of_q * LANES);
                }
            }
            for point in 0..IN {
                for ky in 0..K {
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
                    let sums = &mut sums[(point * K + ky) * o * LANES..];
                    all_products(s, walk, (v.as_ref(), c), (q.as_ref(), o), sums, IN * K * o);
                }
            }
        }
    }
}

/// From `6 x O` vectors to the pixels of a tile.
#[inline(always)]
fn output<S: Simd, const OUT: usize>(s: S, m: &[f32], outputs: usize, out: &mut [f32], add: bool) {
    let width = outputs * LANES;
    let from: [&[f32]; IN] = std::array::from_fn(|point| &m[point * width..][..width]);
    macro_rules! of_pixels { ($($pixels:literal)*) => { match out.len() / width {
        $($pixels => each_vector::<S, IN, MOST_OUT, $pixels>(
            s,
            from,
            out,
            width,
            add,
            #[inline(always)]
            |m| output_1d::<S, OUT>(s, m),
        ),)*
        _ => unreachable!("at most {MOST_OUT} pixels"),
    } } }
    of_pixels!(1 2 3 4);
}
