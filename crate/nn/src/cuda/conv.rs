//! Convolutions as matrix products, each in the way that suits its sizes ([`Way`]).

use crate::cuda::kernels::{self, Factor, Numbers, POINTS, matrix, product, products, tiles};
use crate::cuda::{Backend, Buffer, Done, Fault};
use crate::ops::Size3;
use crate::ops::geometry::{Geometry, Window};
use crate::precision::Precision;
use std::sync::Arc;

/// Numbers of the matrix that a convolution gathers its inputs in: some stay in the card's second cache, none take
/// memory without bound.
const GATHERED: usize = 12 << 20;
/// Transformed numbers of inputs and outputs at a time: all of a batch of 128 small images.
const TRANSFORMED: usize = 32 << 20;
/// Blocks of 64 x 64 sums that the product for the gradient of weights is split into, about: some for each multiprocessor.
const BLOCKS: usize = 1024;

/// Images at a time: the first and how many.
type Parts = Vec<(usize, usize)>;

/// How a convolution is computed on a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// 1x1 pixels every pixel: one product of the inputs as they lie.
    Pointwise,
    /// 3x3 or 5x5 pixels every pixel, by Winograd's transforms: the numbers of a tile of output are transformed and multiplied once
    /// for 16 (or 4) pixels and not gathered once a pixel.
    Winograd,
    /// Any other: the inputs under each output pixel are gathered side by side, and multiplied.
    Gathered,
}

impl Way {
    /// The way of a convolution that makes of images of height, width and channels `from` as many with `outputs` channels.
    ///
    /// Errors: [`crate::Error::Shape`] where an image is smaller than the window.
    pub fn of(from: Size3, window: Window, outputs: usize) -> crate::Result<Way> {
        let [height, width, channels] = from;
        Ok(of(&Geometry::new("way of a convolution", (1, height, width, channels), window, outputs)?))
    }
}

/// Winograd's costs reading and writing of 36 numbers for every 16 (or 4) of inputs and outputs, and saves multiplications
/// by the number of channels; so it needs some channels, and tiles that are not mostly edge.
fn of(g: &Geometry) -> Way {
    const FEWEST: usize = 16;
    let side = g.kernel.0;
    if g.pointwise() {
        Way::Pointwise
    } else if matches!(g.kernel, (3, 3) | (5, 5))
        && g.stride == (1, 1)
        && g.channels.min(g.outputs) >= FEWEST
        && 2 * POINTS * tiles(g) <= side * side * g.out_pixels()
    {
        Way::Winograd
    } else {
        Way::Gathered
    }
}

/// Images at a time, the first and how many, where each needs so many numbers of `room`.
fn parts(g: &Geometry, each: usize, room: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (images, at_once) = (g.images, (room / each).clamp(1, g.images.max(1)));
    (0..images).step_by(at_once).map(move |first| (first, at_once.min(images - first)))
}

/// Images whose inputs are gathered at a time, and memory for them in `precision`.
fn gathered<B: Backend>(b: &B, g: &Geometry, precision: Precision) -> Result<(Buffer<B>, Parts), Fault<B>> {
    let each = g.out_pixels() * g.inner();
    let parts: Parts = parts(g, each, GATHERED).collect();
    let most = parts.first().map_or(0, |(_, images)| images * each);
    Ok((kernels::alloc(b, kernels::stored(precision, most))?, parts))
}

/// Images that are transformed at a time.
fn transformed(g: &Geometry) -> impl Iterator<Item = (usize, usize)> + use<> {
    parts(g, POINTS * tiles(g) * (g.channels + g.outputs), TRANSFORMED)
}

/// What the way back of a convolution reads again, as its products take it.
pub(super) struct Factors<B: Backend> {
    x: Numbers<B>,
    weight: Numbers<B>,
}

/// The precision of numbers that `g`'s products take as they lie, where that is so: transforms and gathering read float32.
fn taken(g: &Geometry, as_they_lie: bool) -> Precision {
    if as_they_lie { g.precision } else { Precision::Float32 }
}

/// The precision in which the way back takes the gradient of the output.
pub(super) fn of_gradient(g: &Geometry) -> Precision {
    taken(g, of(g) != Way::Winograd)
}

/// `y` becomes the convolution of `x` with `weight`.
pub(super) fn forward<B: Backend>(
    b: &B,
    g: &Geometry,
    x: &Arc<Buffer<B>>,
    weight: &Arc<Buffer<B>>,
    y: &mut Buffer<B>,
) -> Result<Factors<B>, Fault<B>> {
    let (way, inner, pixels, o) = (of(g), g.inner(), g.out_pixels(), g.outputs);
    let numbers =
        |of: &Arc<Buffer<B>>, as_they_lie, all| Numbers::new(b, taken(g, as_they_lie), of.clone(), all);
    let x = numbers(x, way == Way::Pointwise, g.images * g.pixels() * g.channels)?;
    let weight = numbers(weight, way != Way::Winograd, inner * o)?;
    match way {
        Way::Pointwise => {
            let left = x.matrix(0, g.images * pixels, inner);
            product(b, (y, 0), left, weight.matrix(0, inner, o), false)?;
        }
        Way::Winograd => {
            let weights = kernels::winograd_weights(b, g, &weight.buffer, false)?;
            let weights = matrix(b, &weights, 0, g.channels, o).stored(g.precision);
            winograd(b, g, &x.buffer, weights, y, false)?;
        }
        Way::Gathered => {
            let (mut room, parts) = gathered(b, g, g.precision)?;
            for (first, images) in parts {
                kernels::im2col(b, g, &x.buffer, &mut room, (first, images))?;
                let left = matrix(b, &room, 0, images * pixels, inner).stored(g.precision);
                product(b, (y, first * pixels * o), left, weight.matrix(0, inner, o), false)?;
            }
        }
    }
    Ok(Factors { x, weight })
}

/// `y` becomes the convolution of `x` with transformed weights, or has it added.
fn winograd<B: Backend>(
    b: &B,
    g: &Geometry,
    x: &Buffer<B>,
    weights: Factor<B>,
    y: &mut Buffer<B>,
    add: bool,
) -> Done<B> {
    transformed(g).try_for_each(|part| {
        let rows = part.1 * tiles(g);
        let inputs = kernels::winograd_input(b, g, x, part)?;
        let mut made = kernels::alloc(b, POINTS * rows * g.outputs)?;
        let inputs = matrix(b, &inputs, 0, rows, g.channels).stored(g.precision);
        products(b, POINTS, (&mut made, 0), inputs, weights, false)?;
        kernels::winograd_output(b, g, &made, y, part, add)
    })
}

/// `dw` becomes the gradient of the weights, or has it added; `dy` is in the precision [`of_gradient`].
pub(super) fn weight_gradient<B: Backend>(
    b: &B,
    g: &Geometry,
    Factors { x, .. }: &Factors<B>,
    dy: &Numbers<B>,
    dw: &mut Buffer<B>,
    add: bool,
) -> Done<B> {
    let (inner, pixels, c, o) = (g.inner(), g.out_pixels(), g.channels, g.outputs);
    match of(g) {
        Way::Pointwise => {
            let rows = g.images * pixels;
            product(b, (dw, 0), x.matrix(0, rows, inner).t(), dy.matrix(0, rows, o), add)
        }
        Way::Winograd => transformed(g).try_for_each(|part| {
            let inputs = kernels::winograd_input(b, g, &x.buffer, part)?;
            let outputs = kernels::winograd_output_gradient(b, g, &dy.buffer, part)?;
            let rows = part.1 * tiles(g);
            let slices = slices(rows, c, o);
            let mut sums = kernels::alloc(b, POINTS * slices * c * o)?;
            let left = matrix(b, &inputs, 0, rows / slices, c).t().stored(g.precision);
            let right = matrix(b, &outputs, 0, rows / slices, o).stored(g.precision);
            products(b, POINTS * slices, (&mut sums, 0), left, right, false)?;
            if slices > 1 {
                sums = kernels::sum_groups(b, &sums, [POINTS * slices, c * o], slices)?;
            }
            kernels::winograd_weight_gradient(b, g, &sums, dw, add || part.0 > 0)
        }),
        Way::Gathered => {
            let (mut room, parts) = gathered(b, g, g.precision)?;
            parts.into_iter().try_for_each(|(first, images)| {
                kernels::im2col(b, g, &x.buffer, &mut room, (first, images))?;
                let left = matrix(b, &room, 0, images * pixels, inner).t().stored(g.precision);
                let right = dy.matrix(first * pixels * o, images * pixels, o);
                product(b, (dw, 0), left, right, add || first > 0)
            })
        }
    }
}

/// Parts of equal length of so many tiles whose products are summed up afterwards: so many that the card has enough blocks.
fn slices(tiles: usize, channels: usize, outputs: usize) -> usize {
    let most = BLOCKS / (POINTS * channels.div_ceil(64) * outputs.div_ceil(64));
    (1..=most).rev().find(|slices| tiles.is_multiple_of(*slices)).unwrap_or(1)
}

/// `dx` becomes the gradient of the input, or has it added; `dy` is in the precision [`of_gradient`].
pub(super) fn input_gradient<B: Backend>(
    b: &B,
    g: &Geometry,
    Factors { weight, .. }: &Factors<B>,
    dy: &Numbers<B>,
    dx: &mut Buffer<B>,
    add: bool,
) -> Done<B> {
    let (inner, pixels, o) = (g.inner(), g.out_pixels(), g.outputs);
    match of(g) {
        Way::Pointwise => {
            let left = dy.matrix(0, g.images * pixels, o);
            product(b, (dx, 0), left, weight.matrix(0, inner, o).t(), add)
        }
        Way::Winograd => {
            let weights = kernels::winograd_weights(b, g, &weight.buffer, true)?;
            let weights = matrix(b, &weights, 0, g.channels, o).t().stored(g.precision);
            winograd(b, &g.backwards(), &dy.buffer, weights, dx, add)
        }
        Way::Gathered => {
            let (mut room, parts) = gathered(b, g, Precision::Float32)?;
            parts.into_iter().try_for_each(|(first, images)| {
                let left = dy.matrix(first * pixels * o, images * pixels, o);
                product(b, (&mut room, 0), left, weight.matrix(0, inner, o).t(), false)?;
                kernels::col2im(b, g, &room, dx, (first, images), add)
            })
        }
    }
}
