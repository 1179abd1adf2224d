//! Winograd's minimal filtering: convolutions of stride 1 with fewer multiplications.
//!
//! F(4x4, 3x3) has a quarter of them, F(2x2, 5x5) a little more than a third ([`square`]); F(4, 7), for 1x7 and 7x1 kernels, has
//! 10 where the plain sums have 28 ([`line`]).
//!
//! A tile of output needs a somewhat larger tile of input. That, and the weights, are transformed to a few numbers a channel, the
//! filter's points; these are multiplied channel by channel, in a small matrix product for every point; the result is transformed
//! back. The gradients are the same bilinear form turned round: of the input, the convolution with flipped weights; of the weights,
//! the transform of the output's gradient times that of the input, summed over all tiles, and transformed back.
//! Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", sections 4.1 and 4.3.

mod line;
pub(super) mod square;

use crate::instructions::{arch, bf16};
use crate::ops::add_to;
use crate::ops::gemm::{Matrix, Right, SLACK, product_alone};
use crate::ops::geometry::Geometry;
use crate::ops::matrix::Shared;
use crate::ops::memory::{Scratch, fetch};
use crate::ops::simd::{load_at, store_at};
use crate::precision::Precision;
use crate::threads;
use line::Line;
use pulp::{Simd, WithSimd};
use square::Square;
use std::marker::PhantomData;
use std::ops::Range;

/// Most points of a filter, which are as many as the pixels of input of a tile.
const MOST_POINTS: usize = 36;
/// Most pixels of output of a tile.
const MOST_OUT: usize = 16;
/// Weights of a point up to which each half of a batch has sums of its own.
const SUMS_OF_HALVES: usize = 10_000;

/// A minimal filtering algorithm: its tiles, and its transforms of a vector of channels at a time.
trait Filter {
    /// Transformed numbers of a tile and channel.
    const POINTS: usize = Self::IN.0 * Self::IN.1;
    /// Height and width of the pixels of input that a tile needs.
    const IN: (usize, usize);
    /// Height and width of a tile of output.
    const OUT: (usize, usize);
    /// Tiles that a thread takes at a time, about: little enough for the second cache.
    const TILES: usize;
    /// The same for the gradient of the weights, whose sums are read and written each time.
    const TILES_OF_GRADIENT: usize;

    /// Transforms a vector of channels of a tile of input, from `c` on of `many`.
    ///
    /// # Safety
    /// `many` channels can be read at `from`, and those from `c` on written to `to`, as [`Places::store`] wants it.
    unsafe fn input<S: Simd, const FORM: Form, const WHOLE: bool>(
        s: S,
        from: &[*const f32; MOST_POINTS],
        c: usize,
        many: usize,
        to: Places,
    );

    /// The same of a tile of the output's gradient.
    ///
    /// # Safety
    /// As for [`Filter::input`].
    unsafe fn output_gradient<S: Simd, const FORM: Form, const WHOLE: bool>(
        s: S,
        from: &[*const f32; MOST_OUT],
        c: usize,
        many: usize,
        to: Places,
    );

    /// Transforms back a vector of channels of a tile of output, from `c` on of `many`, from as many places as there are points,
    /// which are `apart`: to as many rows and columns of pixels as `size` says, from the place `to` on, which has the distance of
    /// two rows and of two pixels beside it.
    ///
    /// # Safety
    /// `many` channels can be read at each of the places from `from` on, and read and written at the pixels.
    #[expect(clippy::too_many_arguments, reason = "the innermost loop: places and distances")]
    unsafe fn output<S: Simd, const WHOLE: bool>(
        s: S,
        from: *const f32,
        apart: usize,
        c: usize,
        many: usize,
        to: (*mut f32, usize, usize),
        size: (usize, usize),
        add: bool,
    );

    /// The transform of `kh x kw x C x O` weights: `points x C x O`, or pairs of input channels.
    fn weights<const FORM: Form>(weights: &[f32], c: usize, o: usize, to: &mut [f32]);

    /// Adds what a gradient of transformed weights (`points x C x O`) is for the weights themselves.
    fn weight_gradient(transformed: &[f32], c: usize, o: usize, dw: &mut [f32]);
}

/// `$call::<filter, form>`: the filter that suits the kernel, and in bf16 the form `$rounded` of transformed numbers.
macro_rules! of_kernel {
    ($g:expr, $rounded:ident, $call:ident, $arguments:tt) => {
        match ($g.kernel, $g.precision) {
            ((3, 3), Precision::Float32) => $call::<Square<4, 3>, PLAIN> $arguments,
            ((3, 3), Precision::Bf16) => $call::<Square<4, 3>, $rounded> $arguments,
            ((5, 5), Precision::Float32) => $call::<Square<2, 5>, PLAIN> $arguments,
            ((5, 5), Precision::Bf16) => $call::<Square<2, 5>, $rounded> $arguments,
            ((1, 7), Precision::Float32) => $call::<Line<false>, PLAIN> $arguments,
            ((7, 1), Precision::Float32) => $call::<Line<true>, PLAIN> $arguments,
            (other, precision) => unreachable!("a kernel of {other:?} pixels in {precision:?}"),
        }
    };
}

/// Points, and height and width of a tile of output, of the filter for this convolution.
fn filter(g: &Geometry) -> (usize, (usize, usize)) {
    fn sizes<F: Filter, const FORM: Form>() -> (usize, (usize, usize)) {
        (F::POINTS, F::OUT)
    }
    of_kernel!(g, PLAIN, sizes, ())
}

/// Tiles of output that cover an image, of so many pixels.
fn tiles(g: &Geometry, (high, wide): (usize, usize)) -> (usize, usize) {
    (g.out_height.div_ceil(high), g.out_width.div_ceil(wide))
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

/// Some rows of tiles, one after the other through all images.
#[derive(Clone, Copy)]
struct Tiles<'a> {
    g: &'a Geometry,
    /// Height and width of a tile.
    size: (usize, usize),
    first: usize,
    rows: usize,
}

impl<'a> Tiles<'a> {
    /// All of a batch's by so many tiles, about.
    fn blocks(
        g: &'a Geometry,
        size: (usize, usize),
        many: usize,
    ) -> impl ExactSizeIterator<Item = Tiles<'a>> + Clone + use<'a> {
        let (down, across) = tiles(g, size);
        let (all, rows) = (g.images * down, (many / across).max(1));
        (0..all.div_ceil(rows)).map(move |block| Tiles {
            g,
            size,
            first: block * rows,
            rows: rows.min(all - block * rows),
        })
    }

    fn count(self) -> usize {
        self.rows * tiles(self.g, self.size).1
    }

    /// Image, row and column of each.
    fn each(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (down, across) = tiles(self.g, self.size);
        (self.first..self.first + self.rows)
            .flat_map(move |row| (0..across).map(move |column| (row / down, row % down, column)))
    }

    /// The pixels of all images that these tiles cover.
    fn pixels(self) -> Range<usize> {
        let (down, high) = (tiles(self.g, self.size).0, self.size.0);
        let start = |row: usize| {
            row / down * self.g.out_pixels() + (row % down * high).min(self.g.out_height) * self.g.out_width
        };
        start(self.first)..start(self.first + self.rows)
    }
}

/// Whether this convolution can be done so, and is faster so: of fewer channels than a vector, or than a line's transforms are worth,
/// the transforms cost more than they save.
pub(super) fn suits(g: &Geometry) -> bool {
    let fewest = match g.kernel {
        (3, 3) => 16,
        (5, 5) => 32,
        // Ten points are too many for bf16: rounding them would be a few per cent of the result.
        (1, 7) | (7, 1) if g.precision.is_float32() => 64,
        _ => return false,
    };
    // Of a small image and many channels, the weights' transforms are more than the images'. Whatever the number of images, for
    // parts of a batch to be computed as the whole.
    let weights_weigh_more = g.pixels() <= 64 && g.channels * g.outputs >= 1 << 17;
    g.stride == (1, 1) && g.channels >= fewest && g.outputs >= fewest && !weights_weigh_more
}

/// Multiplications for each output channel.
pub(super) fn products(g: &Geometry) -> usize {
    let (points, size) = filter(g);
    let (down, across) = tiles(g, size);
    g.images * down * across * points * g.channels
}

/// `out` (`n x H' x W' x O`) becomes the convolution of `x` (`n x H x W x C`) with `weights`
/// (`kh x kw x C x O`), or has it added.
pub(super) fn forward(g: &Geometry, x: &[f32], weights: &[f32], out: &mut [f32], add: bool) {
    of_kernel!(g, OF_CHANNELS, forward_of, (g, x, weights, out, add));
}

fn forward_of<F: Filter, const FORM: Form>(
    g: &Geometry,
    x: &[f32],
    weights: &[f32],
    out: &mut [f32],
    add: bool,
) {
    let (c, o) = (g.channels, g.outputs);
    // Steps of the products.
    let steps = elements(FORM, c);
    let mut transformed = Scratch::new(F::POINTS * steps * o + SLACK);
    F::weights::<FORM>(weights, c, o, transformed.as_mut());
    let weights = transformed.as_ref();
    let blocks: Vec<Tiles> = Tiles::blocks(g, F::OUT, F::TILES).collect();
    let places = Shared(out.as_mut_ptr());
    assert!(out.len() >= g.images * g.out_pixels() * o);
    threads::each(blocks.len(), |block| {
        let tiles = blocks[block];
        let (count, pixels) = (tiles.count(), tiles.pixels());
        // SAFETY: inside `out`, as its length says; no other block has these pixels.
        let out = unsafe { std::slice::from_raw_parts_mut(places.at(pixels.start * o), pixels.len() * o) };
        let mut v = Scratch::new(F::POINTS * count * steps);
        let mut m = Scratch::new(F::POINTS * count * o);
        dispatch(FORM, Input::<F, FORM>::new(tiles, x, 0..c, v.as_mut()));
        for point in 0..F::POINTS {
            let left = Matrix::new(&v.as_ref()[point * count * steps..][..count * steps], count, steps);
            let right = Right::rows(&weights[point * steps * o..], steps, o);
            let (left, right) = formed(FORM, left, right);
            product_alone(&mut m.as_mut()[point * count * o..][..count * o], o, left, 0..count, right, false);
        }
        arch().dispatch(Output { tiles, m: m.as_ref(), out, add, filter: PhantomData::<F> });
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

fn weight_gradient_of<F: Filter, const FORM: Form>(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (c, o) = (g.channels, g.outputs);
    let size = F::POINTS * c * o;
    let blocks: Vec<Tiles> = Tiles::blocks(g, F::OUT, F::TILES_OF_GRADIENT).collect();
    let Some(first) = blocks.first() else { return };
    let most = rows(FORM, first.count());
    // Each half of the batch has sums of its own, and in it each thread some input channels to itself, so that the order of a sum does
    // not depend on the number of threads. What further threads cost is the output's transform, which every one of a half makes.
    let halves = if c * o <= SUMS_OF_HALVES { 2.min(blocks.len()) } else { 1 };
    let groups = threads::count().div_ceil(halves).min(c.div_ceil(16));
    let mut transformed = Scratch::new(halves * size);
    let places = Shared(transformed.as_mut().as_mut_ptr());
    threads::each(halves * groups, |part| {
        let (half, group) = (part / groups, part % groups);
        let channels = group * c / groups..(group + 1) * c / groups;
        let many = channels.len();
        let mut v = Scratch::new(F::POINTS * most * many);
        let mut q = Scratch::new(F::POINTS * most * o + SLACK);
        let own = &blocks[half * blocks.len() / halves..(half + 1) * blocks.len() / halves];
        for (block, &tiles) in own.iter().enumerate() {
            let count = rows(FORM, tiles.count());
            let to = &mut v.as_mut()[..F::POINTS * count * many];
            dispatch(FORM, Input::<F, FORM>::new(tiles, x, channels.clone(), to));
            let to = &mut q.as_mut()[..F::POINTS * count * o];
            dispatch(FORM, OutputGradient::<F, FORM> { tiles, dy, to, filter: PhantomData });
            for point in 0..F::POINTS {
                let left = Matrix::new(&v.as_ref()[point * count * many..][..count * many], count, many).t();
                let right = Right::rows(&q.as_ref()[point * count * o..], count, o);
                let (left, right) = formed(FORM, left, right);
                // SAFETY: these channels of this point are inside the half's sums and this thread's own.
                let sum = unsafe {
                    let at = places.at(half * size + (point * c + channels.start) * o);
                    std::slice::from_raw_parts_mut(at, many * o)
                };
                product_alone(sum, o, left, 0..many, right, block > 0);
            }
        }
    });
    let (sums, others) = transformed.as_mut().split_at_mut(size);
    if halves > 1 {
        add_to(sums, others);
    }
    F::weight_gradient(sums, c, o, dw);
}

/// Has some channels of some pixels brought into the cache.
#[inline(always)]
fn fetch_pixels(x: &[f32], pixels: Range<usize>, of: usize, channels: &Range<usize>) {
    if channels.len() == of {
        fetch(std::iter::once(&x[pixels.start * of..pixels.end * of]));
    } else {
        fetch(pixels.map(|pixel| &x[pixel * of..][channels.clone()]));
    }
}

/// Writes a vector, or its first `count` elements, to `at`, or adds it to what is there.
///
/// # Safety
/// So many elements can be read and written there.
#[inline(always)]
unsafe fn put<S: Simd, const WHOLE: bool>(s: S, at: *mut f32, count: usize, value: S::f32s, add: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        let value = if add { s.add_f32s(value, load_at::<S, WHOLE>(s, at, count)) } else { value };
        store_at::<S, WHOLE>(s, at, count, value);
    }
}

/// Where a vector of channels of each transformed number goes: a place for every point, which are `apart`, each with `count` more
/// channels, and the half of its pair, where these are of tiles.
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

/// The transform of some channels of the input: `points x tiles x channels`, or pairs of them.
struct Input<'a, F, const FORM: Form> {
    tiles: Tiles<'a>,
    x: &'a [f32],
    channels: Range<usize>,
    to: &'a mut [f32],
    filter: PhantomData<F>,
}

impl<'a, F, const FORM: Form> Input<'a, F, FORM> {
    fn new(tiles: Tiles<'a>, x: &'a [f32], channels: Range<usize>, to: &'a mut [f32]) -> Self {
        Input { tiles, x, channels, to, filter: PhantomData }
    }
}

impl<F: Filter, const FORM: Form> WithSimd for Input<'_, F, FORM> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Input { tiles, x, channels, to, .. } = self;
        let (g, count, many) = (tiles.g, tiles.count(), channels.len());
        let (high, wide) = F::OUT;
        assert!(
            to.len() >= F::POINTS * rows(FORM, count) * elements(FORM, many) && channels.end <= g.channels
        );
        let outside = vec![0.0; many];
        for (t, (image, ty, tx)) in tiles.each().enumerate() {
            if tx == 0 {
                // The rows under these tiles. Read in order, they come faster than tile by tile.
                let lines = |y: usize| image * g.height + y.saturating_sub(g.top).min(g.height);
                let lines = lines(ty * high) * g.width..lines(ty * high + F::IN.0) * g.width;
                fetch_pixels(x, lines, g.channels, &channels);
            }
            let mut from = [outside.as_ptr(); MOST_POINTS];
            for (i, from) in from[..F::POINTS].iter_mut().enumerate() {
                // Unsigned: what is above or left of the image wraps round and is too large.
                let y = (ty * high + i / F::IN.1).wrapping_sub(g.top);
                let col = (tx * wide + i % F::IN.1).wrapping_sub(g.left);
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
                        F::input::<S, FORM, true>(s, &from, c, many, to);
                    } else {
                        F::input::<S, FORM, false>(s, &from, c, many, to);
                    }
                }
            }
        }
    }
}

/// The transform of the output's gradient: `points x tiles x outputs`, or pairs of them.
struct OutputGradient<'a, F, const FORM: Form> {
    tiles: Tiles<'a>,
    dy: &'a [f32],
    to: &'a mut [f32],
    filter: PhantomData<F>,
}

impl<F: Filter, const FORM: Form> WithSimd for OutputGradient<'_, F, FORM> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let OutputGradient { tiles, dy, to, .. } = self;
        let (g, count, o) = (tiles.g, tiles.count(), tiles.g.outputs);
        let (high, wide) = F::OUT;
        assert!(to.len() >= F::POINTS * rows(FORM, count) * elements(FORM, o));
        let outside = vec![0.0; o];
        for (t, (image, ty, tx)) in tiles.each().enumerate() {
            if tx == 0 {
                let lines = |y: usize| image * g.out_height + y.min(g.out_height);
                let lines = lines(ty * high) * g.out_width..lines((ty + 1) * high) * g.out_width;
                fetch_pixels(dy, lines, o, &(0..o));
            }
            let mut from = [outside.as_ptr(); MOST_OUT];
            for (i, from) in from[..high * wide].iter_mut().enumerate() {
                let (y, col) = (ty * high + i / wide, tx * wide + i % wide);
                if y < g.out_height && col < g.out_width {
                    *from = dy[((image * g.out_height + y) * g.out_width + col) * o..][..o].as_ptr();
                }
            }
            for c in (0..o).step_by(S::F32_LANES) {
                let to = Places::new::<FORM>(to, (t, count), c, o);
                // SAFETY: `o` channels can be read at each of `from`; `to` has room for all tiles at each point.
                unsafe {
                    if o - c >= S::F32_LANES {
                        F::output_gradient::<S, FORM, true>(s, &from, c, o, to);
                    } else {
                        F::output_gradient::<S, FORM, false>(s, &from, c, o, to);
                    }
                }
            }
        }
    }
}

/// The products (`points x tiles x outputs`), transformed back, to the pixels.
struct Output<'a, F> {
    tiles: Tiles<'a>,
    m: &'a [f32],
    /// The tiles' own pixels.
    out: &'a mut [f32],
    add: bool,
    filter: PhantomData<F>,
}

impl<F: Filter> WithSimd for Output<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Output { tiles, m, out, add, .. } = self;
        let (g, count, o) = (tiles.g, tiles.count(), tiles.g.outputs);
        let (high, wide) = F::OUT;
        let start = tiles.pixels().start;
        assert!(m.len() >= F::POINTS * count * o && out.len() == tiles.pixels().len() * o);
        for (t, (image, ty, tx)) in tiles.each().enumerate() {
            let size = ((g.out_height - ty * high).min(high), (g.out_width - tx * wide).min(wide));
            let first = (image * g.out_height + ty * high) * g.out_width + tx * wide;
            let to = (out[(first - start) * o..].as_mut_ptr(), g.out_width * o, o);
            let from = m[t * o..].as_ptr();
            for c in (0..o).step_by(S::F32_LANES) {
                // SAFETY: `m` has `count * o` numbers for each point, `out` so many pixels of `o` channels in these rows.
                unsafe {
                    if o - c >= S::F32_LANES {
                        F::output::<S, true>(s, from, count * o, c, o, to, size, add);
                    } else {
                        F::output::<S, false>(s, from, count * o, c, o, to, size, add);
                    }
                }
            }
        }
    }
}
