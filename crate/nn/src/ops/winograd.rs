//! Winograd's minimal filtering: F(4x4, 3x3), a 3x3 convolution of stride 1 with a quarter of the multiplications, and
//! F(2x2, 5x5), a 5x5 one with a little more than a third.
//!
//! An output of 4x4 pixels of a 3x3 kernel needs 6x6 pixels of input, and so does one of 2x2 of a 5x5 kernel. Input and weights are
//! transformed to 36 numbers a channel (`V = B' d B`, `U = G g G'`), multiplied channel by channel in 36 small matrix products, and
//! the result is transformed back (`Y = A' M A`). `B` is the same for both. The gradients are the same bilinear form turned round: of
//! the input, the convolution with flipped weights; of the weights, `G' [sum of V (A dY A')] G`.
//! Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", sections 4.1 and 4.3;
//! interpolation points 0, 3/4, -3/4, 3/2, -3/2 and infinity.

#![expect(clippy::needless_range_loop, reason = "indices run along columns of small matrices, not rows")]

use crate::instructions::{arch, bf16};
use crate::ops::gemm::{Matrix, Right, SLACK, product_alone};
use crate::ops::geometry::Geometry;
use crate::ops::matrix::Shared;
use crate::ops::memory::{LINE, Scratch};
use crate::ops::simd::{load_at, store_at};
use crate::precision::Precision;
use crate::threads;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Pixels a side of the input that a tile of output needs.
const IN: usize = 6;
/// Most pixels a side of a tile of output.
const MOST: usize = 4;
/// Transformed numbers of a tile and channel.
const POINTS: usize = IN * IN;
/// Tiles that a thread takes at a time, about: two rows of the products' tiles, and little enough for the second cache.
const TILES: usize = 28;
/// The same for the gradient of the weights, whose sums are read and written each time.
const TILES_OF_GRADIENT: usize = 56;

/// Pixels a side of a tile of output: 4 of a 3x3 kernel, 2 of a 5x5 one.
fn side(g: &Geometry) -> usize {
    IN + 1 - g.kernel.0
}

/// Tiles of output that cover an image.
fn tiles(g: &Geometry) -> (usize, usize) {
    (g.out_height.div_ceil(side(g)), g.out_width.div_ceil(side(g)))
}

/// How transformed numbers are stored for the products.
type Form = u8;
/// As they are.
const PLAIN: Form = 0;
/// Rounded to bf16, pairs of channels.
const OF_CHANNELS: Form = 1;
/// Rounded to bf16, pairs of tiles: the second tile fills the upper halves.
const OF_TILES: Form = 2;

/// Elements of a tile with so many channels.
const fn elements(form: Form, channels: usize) -> usize {
    if form == OF_CHANNELS { channels.div_ceil(2) } else { channels }
}

/// Rows of so many tiles.
const fn rows(form: Form, tiles: usize) -> usize {
    if form == OF_TILES { tiles.div_ceil(2) } else { tiles }
}

/// Sends a transform that stores in `form` to its instructions.
fn dispatch<O: WithSimd>(form: Form, operation: O) -> O::Output {
    if form == PLAIN { arch().dispatch(operation) } else { bf16::dispatch(operation) }
}

/// `$call::<OUT, K, FORM>`, with pixels a side of a tile of output and of the kernel as constants; in bf16, transformed numbers are
/// stored in the form `$rounded`.
macro_rules! of_kernel {
    ($g:expr, $rounded:ident, $call:ident, $arguments:tt) => {
        match ($g.kernel.0, $g.precision) {
            (3, Precision::Float32) => $call::<4, 3, PLAIN> $arguments,
            (3, Precision::Bf16) => $call::<4, 3, $rounded> $arguments,
            (5, Precision::Float32) => $call::<2, 5, PLAIN> $arguments,
            (5, Precision::Bf16) => $call::<2, 5, $rounded> $arguments,
            (other, _) => unreachable!("a kernel of {other} pixels a side"),
        }
    };
}

/// Some rows of tiles, one after the other through all images.
#[derive(Clone, Copy)]
struct Tiles<'a> {
    g: &'a Geometry,
    first: usize,
    rows: usize,
}

impl<'a> Tiles<'a> {
    /// All of a batch's by so many tiles, about.
    fn blocks(g: &'a Geometry, many: usize) -> impl ExactSizeIterator<Item = Tiles<'a>> + Clone + use<'a> {
        let (down, across) = tiles(g);
        let (all, rows) = (g.images * down, (many / across).max(1));
        (0..all.div_ceil(rows)).map(move |block| Tiles {
            g,
            first: block * rows,
            rows: rows.min(all - block * rows),
        })
    }

    fn count(self) -> usize {
        self.rows * tiles(self.g).1
    }

    /// Image, row and column of each.
    fn each(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (down, across) = tiles(self.g);
        (self.first..self.first + self.rows)
            .flat_map(move |row| (0..across).map(move |column| (row / down, row % down, column)))
    }

    /// The pixels of all images that these tiles cover.
    fn pixels(self) -> Range<usize> {
        let (down, side) = (tiles(self.g).0, side(self.g));
        let start = |row: usize| {
            row / down * self.g.out_pixels() + (row % down * side).min(self.g.out_height) * self.g.out_width
        };
        start(self.first)..start(self.first + self.rows)
    }
}

/// Whether this convolution can be done so, and is faster so: fewer channels than a vector, and the
/// transforms cost more than they save.
pub(super) fn suits(g: &Geometry) -> bool {
    let fewest = match g.kernel {
        (3, 3) => 16,
        (5, 5) => 32,
        _ => return false,
    };
    // Of a small image and many channels, the weights' transforms are more than the images'. Whatever the number of images, for
    // parts of a batch to be computed as the whole.
    let weights_weigh_more = g.pixels() <= 64 && g.channels * g.outputs >= 1 << 17;
    g.stride == (1, 1) && g.channels >= fewest && g.outputs >= fewest && !weights_weigh_more
}

/// Multiplications for each output channel.
pub(super) fn products(g: &Geometry) -> usize {
    let (down, across) = tiles(g);
    g.images * down * across * POINTS * g.channels
}

/// `out` (`n x H' x W' x O`) becomes the convolution of `x` (`n x H x W x C`) with `weights`
/// (`kh x kw x C x O`), or has it added.
pub(super) fn forward(g: &Geometry, x: &[f32], weights: &[f32], out: &mut [f32], add: bool) {
    of_kernel!(g, OF_CHANNELS, forward_of, (g, x, weights, out, add));
}

fn forward_of<const OUT: usize, const K: usize, const FORM: Form>(
    g: &Geometry,
    x: &[f32],
    weights: &[f32],
    out: &mut [f32],
    add: bool,
) {
    let (c, o) = (g.channels, g.outputs);
    // Steps of the products.
    let steps = elements(FORM, c);
    let mut transformed = Scratch::new(POINTS * steps * o + SLACK);
    transform_weights::<K, FORM>(weights, c, o, transformed.as_mut());
    let weights = transformed.as_ref();
    let blocks: Vec<Tiles> = Tiles::blocks(g, TILES).collect();
    let places = Shared(out.as_mut_ptr());
    assert!(out.len() >= g.images * g.out_pixels() * o);
    threads::each(blocks.len(), |block| {
        let tiles = blocks[block];
        let (count, pixels) = (tiles.count(), tiles.pixels());
        // SAFETY: inside `out`, as its length says; no other block has these pixels.
        let out = unsafe { std::slice::from_raw_parts_mut(places.at(pixels.start * o), pixels.len() * o) };
        let mut v = Scratch::new(POINTS * count * steps);
        let mut m = Scratch::new(POINTS * count * o);
        dispatch(FORM, Input::<FORM> { tiles, x, channels: 0..c, to: v.as_mut() });
        for point in 0..POINTS {
            let left = Matrix::new(&v.as_ref()[point * count * steps..][..count * steps], count, steps);
            let right = Right::rows(&weights[point * steps * o..], steps, o);
            let (left, right) = formed(FORM, left, right);
            product_alone(&mut m.as_mut()[point * count * o..][..count * o], o, left, 0..count, right, false);
        }
        arch().dispatch(Output::<OUT> { tiles, m: m.as_ref(), out, add });
    });
}

/// The factors of a product, of pairs where they are.
fn formed<'a, 'b>(form: Form, left: Matrix<'a>, right: Right<'b>) -> (Matrix<'a>, Right<'b>) {
    if form == PLAIN { (left, right) } else { (left.of_pairs(), right.of_pairs()) }
}

/// Adds the gradient of `kh x kw x C x O` weights to `dw`.
pub(super) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    of_kernel!(g, OF_TILES, weight_gradient_of, (g, x, dy, dw));
}

fn weight_gradient_of<const OUT: usize, const K: usize, const FORM: Form>(
    g: &Geometry,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) {
    let (c, o) = (g.channels, g.outputs);
    let blocks = Tiles::blocks(g, TILES_OF_GRADIENT);
    let most = blocks.clone().next().map_or(0, |tiles| rows(FORM, tiles.count()));
    let mut transformed = Scratch::new(POINTS * c * o);
    // Each thread has some input channels to itself, so that nothing is summed up across threads. What that
    // costs is the output's transform, which every thread makes.
    let parts = threads::count().min(c.div_ceil(16));
    let places = Shared(transformed.as_mut().as_mut_ptr());
    threads::each(parts, |part| {
        let channels = part * c / parts..(part + 1) * c / parts;
        let many = channels.len();
        let mut v = Scratch::new(POINTS * most * many);
        let mut q = Scratch::new(POINTS * most * o + SLACK);
        for (block, tiles) in blocks.clone().enumerate() {
            let count = rows(FORM, tiles.count());
            let to = &mut v.as_mut()[..POINTS * count * many];
            dispatch(FORM, Input::<FORM> { tiles, x, channels: channels.clone(), to });
            let to = &mut q.as_mut()[..POINTS * count * o];
            dispatch(FORM, OutputGradient::<OUT, FORM> { tiles, dy, to });
            for point in 0..POINTS {
                let left = Matrix::new(&v.as_ref()[point * count * many..][..count * many], count, many).t();
                let right = Right::rows(&q.as_ref()[point * count * o..], count, o);
                let (left, right) = formed(FORM, left, right);
                // SAFETY: these channels of this point are inside `transformed` and this thread's own.
                let sum = unsafe {
                    let at = places.at((point * c + channels.start) * o);
                    std::slice::from_raw_parts_mut(at, many * o)
                };
                product_alone(sum, o, left, 0..many, right, block > 0);
            }
        }
    });
    transform_weight_gradient::<K>(transformed.as_ref(), c, o, dw);
}

/// Interpolation points beside 0 and infinity are these two and their negatives. The usual 1 and 2 have twice
/// the rounding error; squares and products of these are exact, too.
const P: f32 = 0.75;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;
const P4: f32 = P2 * P2;
const Q4: f32 = Q2 * Q2;

#[inline(always)]
pub(super) fn input_1d<S: Simd>(s: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
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

/// The first `OUT` count.
#[inline(always)]
pub(super) fn output_1d<S: Simd, const OUT: usize>(s: S, m: [S::f32s; 6]) -> [S::f32s; MOST] {
    let k = |v: f32| s.splat_f32s(v);
    let (even_p, odd_p) = (s.add_f32s(m[1], m[2]), s.sub_f32s(m[1], m[2]));
    let (even_q, odd_q) = (s.add_f32s(m[3], m[4]), s.sub_f32s(m[3], m[4]));
    if const { OUT == 2 } {
        let (none, odd) = (s.splat_f32s(0.0), s.mul_add_f32s(k(P), odd_p, m[5]));
        return [s.add_f32s(m[0], s.add_f32s(even_p, even_q)), s.mul_add_f32s(k(Q), odd_q, odd), none, none];
    }
    [
        s.add_f32s(m[0], s.add_f32s(even_p, even_q)),
        s.mul_add_f32s(k(Q), odd_q, s.mul_f32s(k(P), odd_p)),
        s.mul_add_f32s(k(Q2), even_q, s.mul_f32s(k(P2), even_p)),
        s.mul_add_f32s(k(Q * Q2), odd_q, s.mul_add_f32s(k(P * P2), odd_p, m[5])),
    ]
}

/// Of the first `OUT`.
#[inline(always)]
pub(super) fn output_gradient_1d<S: Simd, const OUT: usize>(s: S, y: [S::f32s; MOST]) -> [S::f32s; 6] {
    let k = |v: f32| s.splat_f32s(v);
    if const { OUT == 2 } {
        return [
            y[0],
            s.mul_add_f32s(k(P), y[1], y[0]),
            s.mul_add_f32s(k(-P), y[1], y[0]),
            s.mul_add_f32s(k(Q), y[1], y[0]),
            s.mul_add_f32s(k(-Q), y[1], y[0]),
            y[1],
        ];
    }
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

/// Has some channels of some pixels brought into the cache.
#[inline(always)]
fn fetch(x: &[f32], pixels: Range<usize>, of: usize, channels: &Range<usize>) {
    let mut sum = 0.0;
    if channels.len() == of {
        x[pixels.start * of..pixels.end * of].iter().step_by(LINE).for_each(|v| sum += v);
    } else {
        for pixel in pixels {
            x[pixel * of..][channels.clone()].iter().step_by(LINE).for_each(|v| sum += v);
        }
    }
    std::hint::black_box(sum);
}

/// Where a vector of channels of each transformed number goes: 36 places that are `apart`, each with `count` more channels, and
/// the half of its pair, where these are of tiles.
#[derive(Clone, Copy)]
struct Places {
    first: *mut f32,
    apart: usize,
    count: usize,
    upper: bool,
}

impl Places {
    /// For tile `tile` of `tiles`, from channel `from` of `channels` on.
    #[inline(always)]
    fn new<const FORM: Form>(
        to: &mut [f32],
        (tile, tiles): (usize, usize),
        from: usize,
        channels: usize,
    ) -> Places {
        let row = elements(FORM, channels);
        let number = if FORM == OF_TILES { tile / 2 } else { tile };
        Places {
            first: to[number * row + elements(FORM, from)..].as_mut_ptr(),
            apart: rows(FORM, tiles) * row,
            count: channels - from,
            upper: FORM == OF_TILES && tile % 2 == 1,
        }
    }

    /// # Safety
    /// Inside the memory that it was made of, with [`dispatch`] for `FORM`.
    #[inline(always)]
    unsafe fn store<S: Simd, const FORM: Form, const WHOLE: bool>(self, s: S, point: usize, value: S::f32s) {
        // SAFETY: the caller's promise.
        unsafe {
            let to = self.first.add(point * self.apart);
            let count = if WHOLE { S::F32_LANES } else { self.count };
            match FORM {
                OF_CHANNELS => bf16::store_neighbours::<S>(to, count, value),
                OF_TILES => bf16::store_half::<S>(to, self.upper, count, value),
                _ => store_at::<S, WHOLE>(s, to, count, value),
            }
        }
    }
}

/// `V`: `36 x tiles x channels`, or pairs of them.
struct Input<'a, const FORM: Form> {
    tiles: Tiles<'a>,
    x: &'a [f32],
    channels: Range<usize>,
    to: &'a mut [f32],
}

impl<const FORM: Form> WithSimd for Input<'_, FORM> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Input { tiles, x, channels, to } = self;
        let (g, count, many) = (tiles.g, tiles.count(), channels.len());
        let side = side(g);
        assert!(to.len() >= POINTS * rows(FORM, count) * elements(FORM, many) && channels.end <= g.channels);
        let outside = vec![0.0; many];
        for (t, (image, ty, tx)) in tiles.each().enumerate() {
            if tx == 0 {
                // The rows under these tiles. Read in order, they come faster than tile by tile.
                let lines = |y: usize| image * g.height + y.saturating_sub(g.top).min(g.height);
                fetch(x, lines(ty * side) * g.width..lines(ty * side + IN) * g.width, g.channels, &channels);
            }
            let mut from = [outside.as_ptr(); POINTS];
            for (i, from) in from.iter_mut().enumerate() {
                // Unsigned: what is above or left of the image wraps round and is too large.
                let y = (ty * side + i / IN).wrapping_sub(g.top);
                let col = (tx * side + i % IN).wrapping_sub(g.left);
                if y < g.height && col < g.width {
                    let pixel = (image * g.height + y) * g.width + col;
                    *from = x[pixel * g.channels + channels.start..][..many].as_ptr();
                }
            }
            for c in (0..many).step_by(S::F32_LANES) {
                let to = Places::new::<FORM>(to, (t, count), c, many);
                // SAFETY: `many` channels can be read at each of `from`; `to` has room for all tiles at each point.
                unsafe {
                    if many - c >= S::F32_LANES {
                        input_2d::<S, FORM, true>(s, &from, c, many, to);
                    } else {
                        input_2d::<S, FORM, false>(s, &from, c, many, to);
                    }
                }
            }
        }
    }
}

/// A vector of channels of a tile of input, from `c` on of `many`.
///
/// # Safety
/// `many` channels can be read at `from`, and those from `c` on written to `to`, as [`Places::store`] wants it.
#[inline(always)]
unsafe fn input_2d<S: Simd, const FORM: Form, const WHOLE: bool>(
    s: S,
    from: &[*const f32; POINTS],
    c: usize,
    many: usize,
    to: Places,
) {
    // Macros and not closures, which would be called, and be compiled without the vector instructions.
    macro_rules! column {
        ($($at:expr),*) => {
            // SAFETY: the caller's promise.
            input_1d(s, [$(unsafe { load_at::<S, WHOLE>(s, from[$at].add(c), many - c) }),*])
        };
    }
    macro_rules! columns {
        ($($j:literal)*) => {
            [$(column!($j, IN + $j, 2 * IN + $j, 3 * IN + $j, 4 * IN + $j, 5 * IN + $j)),*]
        };
    }
    let columns = columns!(0 1 2 3 4 5);
    for i in 0..IN {
        let row = [columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i]];
        for (j, value) in input_1d(s, row).into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { to.store::<S, FORM, WHOLE>(s, i * IN + j, value) };
        }
    }
}

/// `A dY A'`: `36 x tiles x outputs`, or pairs of them.
struct OutputGradient<'a, const OUT: usize, const FORM: Form> {
    tiles: Tiles<'a>,
    dy: &'a [f32],
    to: &'a mut [f32],
}

impl<const OUT: usize, const FORM: Form> WithSimd for OutputGradient<'_, OUT, FORM> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let OutputGradient { tiles, dy, to } = self;
        let (g, count, o) = (tiles.g, tiles.count(), tiles.g.outputs);
        assert!(to.len() >= POINTS * rows(FORM, count) * elements(FORM, o));
        let outside = vec![0.0; o];
        for (t, (image, ty, tx)) in tiles.each().enumerate() {
            if tx == 0 {
                let lines = |y: usize| image * g.out_height + y.min(g.out_height);
                fetch(dy, lines(ty * OUT) * g.out_width..lines((ty + 1) * OUT) * g.out_width, o, &(0..o));
            }
            let mut from = [outside.as_ptr(); MOST * MOST];
            for (i, from) in from[..OUT * OUT].iter_mut().enumerate() {
                let (y, col) = (ty * OUT + i / OUT, tx * OUT + i % OUT);
                if y < g.out_height && col < g.out_width {
                    *from = dy[((image * g.out_height + y) * g.out_width + col) * o..][..o].as_ptr();
                }
            }
            for c in (0..o).step_by(S::F32_LANES) {
                let to = Places::new::<FORM>(to, (t, count), c, o);
                // SAFETY: `o` channels can be read at each of `from`; `to` has room for all tiles at each point.
                unsafe {
                    if o - c >= S::F32_LANES {
                        output_gradient_2d::<S, OUT, FORM, true>(s, &from, c, o, to);
                    } else {
                        output_gradient_2d::<S, OUT, FORM, false>(s, &from, c, o, to);
                    }
                }
            }
        }
    }
}

const fn is_inside(row: usize, column: usize, side: usize) -> bool {
    row < side && column < side
}

/// A vector of channels of a tile of the output's gradient, as [`input_2d`].
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn output_gradient_2d<S: Simd, const OUT: usize, const FORM: Form, const WHOLE: bool>(
    s: S,
    from: &[*const f32; MOST * MOST],
    c: usize,
    many: usize,
    to: Places,
) {
    let none = s.splat_f32s(0.0);
    macro_rules! pixel {
        ($row:literal, $column:literal) => {
            if const { is_inside($row, $column, OUT) } {
                // SAFETY: the caller's promise.
                unsafe { load_at::<S, WHOLE>(s, from[$row * OUT + $column].add(c), many - c) }
            } else {
                none
            }
        };
    }
    macro_rules! columns {
        ($($j:literal)*) => {
            [$(output_gradient_1d::<S, OUT>(s, [pixel!(0, $j), pixel!(1, $j), pixel!(2, $j), pixel!(3, $j)])),*]
        };
    }
    let columns = columns!(0 1 2 3);
    for i in 0..IN {
        let row = [columns[0][i], columns[1][i], columns[2][i], columns[3][i]];
        for (j, value) in output_gradient_1d::<S, OUT>(s, row).into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { to.store::<S, FORM, WHOLE>(s, i * IN + j, value) };
        }
    }
}

/// `Y = A' M A`, to the pixels.
struct Output<'a, const OUT: usize> {
    tiles: Tiles<'a>,
    m: &'a [f32],
    /// The tiles' own pixels.
    out: &'a mut [f32],
    add: bool,
}

impl<const OUT: usize> WithSimd for Output<'_, OUT> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Output { tiles, m, out, add } = self;
        let (g, count, o) = (tiles.g, tiles.count(), tiles.g.outputs);
        let start = tiles.pixels().start;
        assert!(m.len() >= POINTS * count * o && out.len() == tiles.pixels().len() * o);
        for (t, (image, ty, tx)) in tiles.each().enumerate() {
            let size = ((g.out_height - ty * OUT).min(OUT), (g.out_width - tx * OUT).min(OUT));
            let first = (image * g.out_height + ty * OUT) * g.out_width + tx * OUT;
            let to = (out[(first - start) * o..].as_mut_ptr(), g.out_width * o, o);
            let from = m[t * o..].as_ptr();
            for c in (0..o).step_by(S::F32_LANES) {
                // SAFETY: `m` has `count * o` numbers for each point, `out` so many pixels of `o` channels in these rows.
                unsafe {
                    if o - c >= S::F32_LANES {
                        output_2d::<S, OUT, true>(s, from, count * o, c, o, to, size, add);
                    } else {
                        output_2d::<S, OUT, false>(s, from, count * o, c, o, to, size, add);
                    }
                }
            }
        }
    }
}

/// A vector of channels of a tile of output, from `c` on of `many`, from 36 places that are `apart`: to as many rows and
/// columns of pixels as `size` says, from the place `to` on, which has the distance of two rows and of two pixels beside it.
///
/// # Safety
/// `many` channels can be read at each of the places from `from` on, and read and written at the pixels.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the innermost loop: places and distances")]
unsafe fn output_2d<S: Simd, const OUT: usize, const WHOLE: bool>(
    s: S,
    from: *const f32,
    apart: usize,
    c: usize,
    many: usize,
    (to, row, pixel): (*mut f32, usize, usize),
    (high, wide): (usize, usize),
    add: bool,
) {
    macro_rules! column {
        ($($at:expr),*) => {
            // SAFETY: the caller's promise.
            output_1d::<S, OUT>(s, [$(unsafe { load_at::<S, WHOLE>(s, from.add($at * apart + c), many - c) }),*])
        };
    }
    macro_rules! columns {
        ($($j:literal)*) => {
            [$(column!($j, IN + $j, 2 * IN + $j, 3 * IN + $j, 4 * IN + $j, 5 * IN + $j)),*]
        };
    }
    let columns = columns!(0 1 2 3 4 5);
    for i in 0..OUT {
        let of = [columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i]];
        let values = output_1d::<S, OUT>(s, of);
        if i < high {
            for (j, value) in values.into_iter().enumerate().take(OUT) {
                if j < wide {
                    // SAFETY: the caller's promise.
                    unsafe {
                        let to = to.add(i * row + j * pixel + c);
                        let value =
                            if add { s.add_f32s(value, load_at::<S, WHOLE>(s, to, many - c)) } else { value };
                        store_at::<S, WHOLE>(s, to, many - c, value);
                    }
                }
            }
        }
    }
}

/// `U = G g G'` of every pair of channels: `36 x C x O`, or pairs of input channels.
fn transform_weights<const K: usize, const FORM: Form>(weights: &[f32], c: usize, o: usize, to: &mut [f32]) {
    let steps = elements(FORM, c);
    if steps * 2 > c && FORM != PLAIN {
        // The last channel's pairs have no second one.
        (0..POINTS).for_each(|point| to[(point * steps + steps - 1) * o..][..o].fill(0.0));
    }
    let places = Shared(to.as_mut_ptr());
    let arch = arch();
    threads::each(c, |channel| {
        arch.dispatch(
            #[inline(always)]
            || {
                let mut half = vec![[0.0f32; K]; IN * o];
                let g = |i: usize, j: usize| &weights[((i * K + j) * c + channel) * o..][..o];
                for j in 0..K {
                    let rows: [&[f32]; K] = std::array::from_fn(|i| g(i, j));
                    for k in 0..o {
                        for (i, value) in weights_1d(rows.map(|row| row[k])).into_iter().enumerate() {
                            half[i * o + k][j] = value;
                        }
                    }
                }
                for i in 0..IN {
                    for k in 0..o {
                        for (j, value) in weights_1d(half[i * o + k]).into_iter().enumerate() {
                            let at = places.at(((i * IN + j) * steps
                                + if FORM == PLAIN { channel } else { channel / 2 })
                                * o
                                + k);
                            // SAFETY: inside `to`; each thread has channels, and their halves of pairs, of its own.
                            unsafe {
                                match FORM {
                                    PLAIN => *at = value,
                                    _ => *at.cast::<u16>().add(channel % 2) = bf16::round(value),
                                }
                            }
                        }
                    }
                }
            },
        );
    });
}

/// Adds `G' dU G` to `kh x kw x C x O`.
fn transform_weight_gradient<const K: usize>(du: &[f32], c: usize, o: usize, dw: &mut [f32]) {
    let places = Shared(dw.as_mut_ptr());
    let arch = arch();
    threads::each(c, |channel| {
        arch.dispatch(
            #[inline(always)]
            || {
                for k in 0..o {
                    let at = |i: usize, j: usize| du[((i * IN + j) * c + channel) * o + k];
                    let half: [[f32; K]; IN] =
                        std::array::from_fn(|i| weight_gradient_1d(std::array::from_fn(|j| at(i, j))));
                    for j in 0..K {
                        let column: [f32; K] = weight_gradient_1d(std::array::from_fn(|i| half[i][j]));
                        for (i, value) in column.into_iter().enumerate() {
                            // SAFETY: inside `dw`; each thread has channels of its own.
                            unsafe { *places.at(((i * K + j) * c + channel) * o + k) += value };
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
pub(super) fn weights_1d<const K: usize>(g: [f32; K]) -> [f32; 6] {
    let (mut even_p, mut odd_p) = (g[0] + P2 * g[2], P * g[1]);
    let (mut even_q, mut odd_q) = (g[0] + Q2 * g[2], Q * g[1]);
    if const { K == 5 } {
        (even_p, odd_p) = (even_p + P4 * g[K - 1], odd_p + P * P2 * g[K - 2]);
        (even_q, odd_q) = (even_q + Q4 * g[K - 1], odd_q + Q * Q2 * g[K - 2]);
    }
    let (even_p, odd_p, even_q, odd_q) = (even_p / AT_P, odd_p / AT_P, even_q / AT_Q, odd_q / AT_Q);
    [g[0] / AT_0, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, g[K - 1]]
}

#[inline(always)]
pub(super) fn weight_gradient_1d<const K: usize>(u: [f32; 6]) -> [f32; K] {
    let (even_p, odd_p) = ((u[1] + u[2]) / AT_P, (u[1] - u[2]) / AT_P);
    let (even_q, odd_q) = ((u[3] + u[4]) / AT_Q, (u[3] - u[4]) / AT_Q);
    let mut g = [0.0; K];
    (g[0], g[1]) = (u[0] / AT_0 + even_p + even_q, P * odd_p + Q * odd_q);
    g[2] = P2 * even_p + Q2 * even_q;
    if const { K == 5 } {
        g[K - 2] = P * P2 * odd_p + Q * Q2 * odd_q;
        g[K - 1] = P4 * even_p + Q4 * even_q;
    }
    g[K - 1] += u[5];
    g
}
