//! Convolutions as matrix products, each in the way that suits its sizes ([`Way`]).

use crate::cuda::kernels::{self, Factor, POINTS, matrix, product, product_in, products, rounded, tiles};
use crate::cuda::{Backend, Buffer, Done, Fault};
use crate::ops::Size3;
use crate::ops::geometry::{Geometry, Window};
use crate::precision::Precision;

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

/// `y` becomes the convolution of `x` with `weight`.
pub(super) fn forward<B: Backend>(
    b: &B,
    g: &Geometry,
    x: &Buffer<B>,
    weight: &Buffer<B>,
    y: &mut Buffer<B>,
) -> Done<B> {
    let (inner, pixels, o) = (g.inner(), g.out_pixels(), g.outputs);
    let right = || matrix(b, weight, 0, inner, o);
    match of(g) {
        Way::Pointwise => {
            product_in(b, g.precision, (y, 0), matrix(b, x, 0, g.images * pixels, inner), right(), false)
        }
        Way::Winograd => {
            let weights = kernels::winograd_weights(b, g, weight, false)?;
            winograd(b, g, x, matrix(b, &weights, 0, g.channels, o).stored(g.precision), y, false)
        }
        Way::Gathered => {
            let ((mut room, parts), right) =
                (gathered(b, g, g.precision)?, rounded(b, g.precision, right())?);
            parts.into_iter().try_for_each(|(first, images)| {
                kernels::im2col(b, g, x, &mut room, (first, images))?;
                let left = matrix(b, &room, 0, images * pixels, inner).stored(g.precision);
                product(b, (y, first * pixels * o), left, right.factor(), false)
            })
        }
    }
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

/// `dw` becomes the gradient of the weights, or has it added.
pub(super) fn weight_gradient<B: Backend>(
    b: &B,
    g: &Geometry,
    x: &Buffer<B>,
    dy: &Buffer<B>,
    dw: &mut Buffer<B>,
    add: bool,
) -> Done<B> {
    let (inner, pixels, c, o) = (g.inner(), g.out_pixels(), g.channels, g.outputs);
    match of(g) {
        Way::Pointwise => {
            let rows = g.images * pixels;
            let (left, right) = (matrix(b, x, 0, rows, inner).t(), matrix(b, dy, 0, rows, o));
            product_in(b, g.precision, (dw, 0), left, right, add)
        }
        Way::Winograd => transformed(g).try_for_each(|part| {
            let inputs = kernels::winograd_input(b, g, x, part)?;
            let outputs = kernels::winograd_output_gradient(b, g, dy, part)?;
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
                kernels::im2col(b, g, x, &mut room, (first, images))?;
                let left = matrix(b, &room, 0, images * pixels, inner).t().stored(g.precision);
                let right = rounded(b, g.precision, matrix(b, dy, first * pixels * o, images * pixels, o))?;
                product(b, (dw, 0), left, right.factor(), add || first > 0)
            })
        }
    }
}

/// Parts of equal length of so many tiles whose products are summed up afterwards: so many that the card has enough blocks.
fn slices(tiles: usize, channels: usize, outputs: usize) -> usize {
    let most = BLOCKS / (POINTS * channels.div_ceil(64) * outputs.div_ceil(64));
    (1..=most).rev().find(|slices| tiles.is_multiple_of(*slices)).unwrap_or(1)
}

/// `dx` becomes the gradient of the input, or has it added.
pub(super) fn input_gradient<B: Backend>(
    b: &B,
    g: &Geometry,
    dy: &Buffer<B>,
    weight: &Buffer<B>,
    dx: &mut Buffer<B>,
    add: bool,
) -> Done<B> {
    let (inner, pixels, o) = (g.inner(), g.out_pixels(), g.outputs);
    let right = || matrix(b, weight, 0, inner, o).t();
    match of(g) {
        Way::Pointwise => {
            product_in(b, g.precision, (dx, 0), matrix(b, dy, 0, g.images * pixels, o), right(), add)
        }
        Way::Winograd => {
            let weights = kernels::winograd_weights(b, g, weight, true)?;
            winograd(
                b,
                &g.backwards(),
                dy,
                matrix(b, &weights, 0, g.channels, o).t().stored(g.precision),
                dx,
                add,
            )
        }
        Way::Gathered => {
            let (mut room, parts) = gathered(b, g, Precision::Float32)?;
            let right = rounded(b, g.precision, right())?;
            parts.into_iter().try_for_each(|(first, images)| {
                let left = rounded(b, g.precision, matrix(b, dy, first * pixels * o, images * pixels, o))?;
                product(b, (&mut room, 0), left.factor(), right.factor(), false)?;
                kernels::col2im(b, g, &room, dx, (first, images), add)
            })
        }
    }
}
