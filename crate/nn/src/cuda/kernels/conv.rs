//! Convolutions beside their products: what lies under each output pixel, and Winograd's transforms.

use super::products::{is_rounded, stored};
use super::{Arg, alloc, at, count, from, into, kernel, length, run};
use crate::cuda::{Backend, Buffer, Done, Fault};
use crate::ops::geometry::Geometry;

/// Sizes of a convolution or pooling, as `kernels.cu` has them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    images: i32,
    height: i32,
    width: i32,
    channels: i32,
    kernel: [i32; 2],
    stride: [i32; 2],
    top: i32,
    left: i32,
    out_height: i32,
    out_width: i32,
    outputs: i32,
}

impl Sizes {
    /// Of `images` of the images.
    pub(super) fn new(g: &Geometry, images: usize) -> Sizes {
        let int = |v: usize| i32::try_from(v).expect("sizes of an image");
        Sizes {
            images: int(images),
            height: int(g.height),
            width: int(g.width),
            channels: int(g.channels),
            kernel: [int(g.kernel.0), int(g.kernel.1)],
            stride: [int(g.stride.0), int(g.stride.1)],
            top: int(g.top),
            left: int(g.left),
            out_height: int(g.out_height),
            out_width: int(g.out_width),
            outputs: int(g.outputs),
        }
    }

    /// The same for threads of so many channels, the second result: four where that divides them.
    fn by_channels(g: &Geometry, images: usize) -> (Sizes, usize) {
        let at_once = if g.channels.is_multiple_of(4) { 4 } else { 1 };
        let sizes = Sizes::new(g, images);
        (Sizes { channels: sizes.channels / at_once as i32, ..sizes }, at_once)
    }
}

/// The inputs under the output pixels of `images` images from the `first` on: rows of `to`, in the precision of products.
pub fn im2col<B: Backend>(
    b: &B,
    g: &Geometry,
    x: &Buffer<B>,
    to: &mut Buffer<B>,
    (first, images): (usize, usize),
) -> Done<B> {
    let size = g.pixels() * g.channels;
    let all = images * g.out_pixels() * g.inner();
    let (sizes, at_once) = Sizes::by_channels(g, images);
    let name = if at_once == 4 { "im2col4" } else { "im2col" };
    kernel!(
        b, name, all / at_once; x => (first + images) * size, to => stored(g.precision, all);
        from::<B>(x, first * size), into::<B>(to), Arg::Sizes(sizes), is_rounded(g.precision)
    )
}

/// The other way: sums of the rows where they came from.
pub fn col2im<B: Backend>(
    b: &B,
    g: &Geometry,
    rows: &Buffer<B>,
    dx: &mut Buffer<B>,
    (first, images): (usize, usize),
    add: bool,
) -> Done<B> {
    let size = g.pixels() * g.channels;
    let (sizes, at_once) = Sizes::by_channels(g, images);
    let name = if at_once == 4 { "col2im4" } else { "col2im" };
    kernel!(
        b, name, images * size / at_once;
        rows => images * g.out_pixels() * g.inner(), dx => (first + images) * size;
        at::<B>(rows), from::<B>(dx, first * size), Arg::Sizes(sizes), count(usize::from(add))
    )
}

/// Transformed numbers of a tile and channel in Winograd's convolution.
pub const POINTS: usize = 36;

/// Pixels a side of a tile of output.
fn tile_side(g: &Geometry) -> usize {
    7 - g.kernel.0
}

/// Tiles of an image of output.
pub fn tiles(g: &Geometry) -> usize {
    g.out_height.div_ceil(tile_side(g)) * g.out_width.div_ceil(tile_side(g))
}

/// Transforms the inputs of some images: a matrix for each of [`POINTS`], with a row of channels a tile.
pub fn winograd_input<B: Backend>(
    b: &B,
    g: &Geometry,
    x: &Buffer<B>,
    (first, images): (usize, usize),
) -> Result<Buffer<B>, Fault<B>> {
    let (size, all) = (g.pixels() * g.channels, images * tiles(g) * g.channels);
    let mut to = alloc(b, stored(g.precision, POINTS * all))?;
    kernel!(
        b, "winograd_input", all; x => (first + images) * size, &to => stored(g.precision, POINTS * all);
        from::<B>(x, first * size), into::<B>(&mut to), Arg::Sizes(Sizes::new(g, images)), is_rounded(g.precision)
    )?;
    Ok(to)
}

/// Transforms products back to the outputs of some images, or adds to them.
pub fn winograd_output<B: Backend>(
    b: &B,
    g: &Geometry,
    products: &Buffer<B>,
    y: &mut Buffer<B>,
    (first, images): (usize, usize),
    add: bool,
) -> Done<B> {
    let (size, all) = (g.out_pixels() * g.outputs, images * tiles(g) * g.outputs);
    kernel!(
        b, "winograd_output", all; products => POINTS * all, y => (first + images) * size;
        at::<B>(products), from::<B>(y, first * size), Arg::Sizes(Sizes::new(g, images)), count(usize::from(add))
    )
}

/// Transforms the gradients of the outputs of some images, for the gradient of the weights.
pub fn winograd_output_gradient<B: Backend>(
    b: &B,
    g: &Geometry,
    dy: &Buffer<B>,
    (first, images): (usize, usize),
) -> Result<Buffer<B>, Fault<B>> {
    let (size, all) = (g.out_pixels() * g.outputs, images * tiles(g) * g.outputs);
    let mut to = alloc(b, stored(g.precision, POINTS * all))?;
    kernel!(
        b, "winograd_output_gradient", all; dy => (first + images) * size, &to => stored(g.precision, POINTS * all);
        from::<B>(dy, first * size), into::<B>(&mut to), Arg::Sizes(Sizes::new(g, images)), is_rounded(g.precision)
    )?;
    Ok(to)
}

/// Transforms the weights; with `flipped`, for the gradient of the input, transposed.
pub fn winograd_weights<B: Backend>(
    b: &B,
    g: &Geometry,
    weights: &Buffer<B>,
    flipped: bool,
) -> Result<Buffer<B>, Fault<B>> {
    let all = g.channels * g.outputs;
    let mut to = alloc(b, stored(g.precision, POINTS * all))?;
    kernel!(
        b, "winograd_weights", all;
        weights => g.inner() * g.outputs, &to => stored(g.precision, POINTS * all);
        at::<B>(weights), into::<B>(&mut to), count(g.kernel.0), count(usize::from(flipped)), is_rounded(g.precision)
    )?;
    Ok(to)
}

/// Transforms products back to the gradient of the weights, or adds to it.
pub fn winograd_weight_gradient<B: Backend>(
    b: &B,
    g: &Geometry,
    products: &Buffer<B>,
    dw: &mut Buffer<B>,
    add: bool,
) -> Done<B> {
    let all = g.channels * g.outputs;
    kernel!(
        b, "winograd_weight_gradient", all; products => POINTS * all, dw => g.inner() * g.outputs;
        at::<B>(products), into::<B>(dw), count(g.kernel.0), count(usize::from(add))
    )
}
