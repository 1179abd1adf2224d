//! Convolution of images stored pixel by pixel (`N x H x W x C`), as matrix products.
//!
//! 3x3, 5x5, 1x7 and 7x1 kernels of stride 1 go Winograd's way; 1x1 kernels are one product as they lie; all others gather
//! the pixels under the window, some hundred at a time so that they stay in the cache, and multiply. The
//! gradient of the input of a convolution of stride 1 is a convolution with the flipped weights.
//! Images in lanes have ways of their own.

use crate::ops::activation::{self, Activation};
use crate::ops::columns::{Columns, GradientColumns, Place};
use crate::ops::concat::{Epilogue, Part, PendingConv, concat};
use crate::ops::gemm::{Matrix, Packed, Right, SLACK, product_alone};
use crate::ops::geometry::{Geometry, Order};
pub use crate::ops::geometry::{Padding, Window};
use crate::ops::linear::InputGradient;
use crate::ops::memory::{LINE, Scratch, give_back, give_back_last, lent};
use crate::ops::pairs::Pairs;
use crate::ops::{DynSize, Image, add_to, elements, lanes, lanes_winograd, winograd};
use crate::precision::Precision;
use crate::{Error, Result, threads};
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::{Cpu, Device, Dtype, HasShape, ReshapeTo, SplitTape, Storage, Tape, Tensor};
use std::sync::Arc;

/// Elements gathered at a time: they stay in the second cache.
const GATHERED: usize = 64 * 1024;

/// Output pixels side by side from which on they are rows enough for a product of their own.
const ROW: usize = 14;

/// Output pixels a time, for so many inputs of each.
fn at_once(inner: usize) -> usize {
    (GATHERED / inner / 14 * 14).clamp(14, 28 * 28)
}

/// `out` (`n x H' x W' x O`) becomes the convolution of `x` (`n x H x W x C`) with `weights`
/// (`kh x kw x C x O`), or has it added.
pub(super) fn forward(g: &Geometry, x: &[f32], weights: &[f32], out: &mut [f32], add: bool) {
    let (inner, o) = (g.inner(), g.outputs);
    if lanes_winograd::suits(g) {
        return lanes_winograd::forward(g, x, weights, out, add);
    }
    if g.lanes {
        return lanes::forward(g, x, weights, out, add);
    }
    if winograd::suits(g) {
        return winograd::forward(g, x, weights, out, add);
    }
    if g.out_width >= ROW && !g.pointwise() {
        return by_rows(g, x, weights, out, add);
    }
    let weights = Packed::with(g.precision, Matrix::new(weights, inner, o));
    if g.pointwise() {
        return weights.product(out, Matrix::new(x, g.images * g.pixels(), inner), add);
    }
    let rows = at_once(inner);
    threads::each_chunk(out, rows * o, |part, out| {
        let many = out.len() / o;
        let mut gathered = Scratch::new(many * inner);
        g.gather(x, part * rows..part * rows + many, 0..inner, gathered.as_mut());
        weights.product_rows(out, Matrix::new(gathered.as_ref(), many, inner), 0..many, add);
    });
}

/// [`forward`] without gathering: with zeros around each image, the inputs under the windows of a row of output are rows of a matrix as
/// they lie, for each line of the window one.
fn by_rows(g: &Geometry, x: &[f32], weights: &[f32], out: &mut [f32], add: bool) {
    let (c, o, line) = (g.channels, g.outputs, g.kernel.1 * g.channels);
    let lines = weights
        .chunks_exact(line * o)
        .map(|of_line| Packed::with(g.precision, Matrix::new(of_line, line, o)));
    let lines: Vec<Packed> = lines.collect();
    // As far as the windows reach, which may be less than the image.
    let reach = |outputs: usize, stride: usize, kernel: usize| (outputs - 1) * stride + kernel;
    let high = reach(g.out_height, g.stride.0, g.kernel.0);
    let wide = reach(g.out_width, g.stride.1, g.kernel.1) * c;
    threads::each_chunk(out, g.out_pixels() * o, |image, out| {
        let mut padded = Scratch::new(high * wide);
        g.pad(&x[image * g.pixels() * c..][..g.pixels() * c], wide, padded.as_mut());
        for (y, out) in out.chunks_exact_mut(g.out_width * o).enumerate() {
            for (ky, weights) in lines.iter().enumerate() {
                let from = &padded.as_ref()[(y * g.stride.0 + ky) * wide..][..wide];
                let left = Matrix::windows(from, g.out_width, line, g.stride.1 * c);
                weights.product_rows(out, left, 0..g.out_width, add || ky > 0);
            }
        }
    });
}

/// Adds the gradient of the weights to `dw`.
pub(super) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (inner, o) = (g.inner(), g.outputs);
    if lanes_winograd::suits(g) {
        return lanes_winograd::weight_gradient(g, x, dy, dw);
    }
    if g.lanes {
        return lanes::weight_gradient(g, x, dy, dw);
    }
    if winograd::suits(g) {
        return winograd::weight_gradient(g, x, dy, dw);
    }
    let all = g.images * g.out_pixels();
    if inner * o <= SUMS && (all >= FEW_PIXELS || !g.precision.is_float32()) {
        return weight_gradient_by_pixels(g, x, dy, dw);
    }
    // Each thread has some of the inputs to itself, so that nothing is summed up across threads.
    // Where there are few, as many for each.
    let threads = threads::count();
    let parts = (inner.div_ceil(28) / threads).clamp(1, 4) * threads;
    let piece = inner.div_ceil(parts);
    let rows = at_once(piece).min(384);
    let rounded = (!g.precision.is_float32()).then(|| Pairs::of_right(Matrix::new(dy, all, o), 4 * threads));
    threads::each_chunk(dw, piece * o, |part, dw| {
        let inputs = part * piece..part * piece + dw.len() / o;
        let mut gathered = Scratch::new(if g.pointwise() { 0 } else { rows * inputs.len() });
        for first in (0..all).step_by(rows) {
            let many = rows.min(all - first);
            let left = if g.pointwise() {
                Matrix::strided(&x[first * inner + inputs.start..], many, inputs.len(), inner)
            } else {
                let to = &mut gathered.as_mut()[..many * inputs.len()];
                g.gather(x, first..first + many, inputs.clone(), to);
                Matrix::new(to, many, inputs.len())
            };
            let rows = 0..inputs.len();
            if let Some(rounded) = &rounded {
                // `first` is even, as `rows` is.
                let right = Right::rows(&rounded.rows()[first / 2 * o..], many.div_ceil(2), o).of_pairs();
                product_alone(dw, o, left.t(), rows, right, true);
            } else {
                add_products(dw, left, &dy[first * o..], o);
            }
        }
    });
}

/// Adds `left' right` to `sums`; `right` has as many rows of `o` elements as `left`, or more.
fn add_products(sums: &mut [f32], left: Matrix, right: &[f32], o: usize) {
    let (many, rows) = (left.rows, 0..left.cols);
    if right.len() >= many * o + SLACK {
        product_alone(sums, o, left.t(), rows, Right::rows(right, many, o), true);
    } else {
        let right = Packed::alone(Matrix::new(&right[..many * o], many, o));
        right.product_rows(sums, left.t(), rows, true);
    }
}

/// Weights up to which [`weight_gradient_by_pixels`] has room for the sums of all its parts.
const SUMS: usize = 64 * 1024;
/// Its parts, so many whatever the threads: each has sums of its own, which are added in order.
const PARTS: usize = 16;
/// Output pixels of a batch below which that costs more than it saves, where nothing is rounded.
const FEW_PIXELS: usize = 1024 * PARTS;

/// [`weight_gradient`] of few weights: each thread has pixels of its own, as in most operations, so that they come from its own caches;
/// in bf16, input and gradient are rounded once, some pixels of all channels at a time.
fn weight_gradient_by_pixels(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (inner, o, all) = (g.inner(), g.outputs, g.images * g.out_pixels());
    let rows = (GATHERED / (inner + o) / 2 * 2).clamp(2, 384);
    let size = inner * o;
    let mut sums = Scratch::new(PARTS * size);
    threads::each_chunk(sums.as_mut(), size, |part, sums| {
        sums.fill(0.0);
        let mut gathered = Scratch::new(if g.pointwise() { 0 } else { rows * inner });
        let end = (part + 1) * all / PARTS;
        for first in (part * all / PARTS..end).step_by(rows) {
            let many = rows.min(end - first);
            let inputs = if g.pointwise() {
                &x[first * inner..][..many * inner]
            } else {
                let to = &mut gathered.as_mut()[..many * inner];
                g.gather(x, first..first + many, 0..inner, to);
                to
            };
            let (left, right) = (Matrix::new(inputs, many, inner), &dy[first * o..]);
            if g.precision.is_float32() {
                add_products(sums, left, right, o);
            } else {
                let left = Pairs::of_right(left, 1);
                let right = Pairs::of_right(Matrix::new(&right[..many * o], many, o), 1);
                let left = left.matrix().t().of_pairs();
                let right = Right::rows(right.rows(), many.div_ceil(2), o).of_pairs();
                product_alone(sums, o, left, 0..inner, right, true);
            }
        }
    });
    for part in sums.as_ref().chunks_exact(size) {
        add_to(dw, part);
    }
}

/// Weights (`kh x kw x C x O`) for the convolution that makes the input's gradient: the transpose of the opposite pixel's matrix.
fn flipped(g: &Geometry, weights: &[f32]) -> Scratch {
    /// Rows of weights turned together, so that a whole cache line is written.
    const ROWS: usize = LINE;
    let (c, o) = (g.channels, g.outputs);
    let mut flipped = Scratch::new(weights.len());
    let last = g.kernel.0 * g.kernel.1 - 1;
    threads::each_chunk(flipped.as_mut(), c * o, |at, to| {
        let from = &weights[(last - at) * c * o..][..c * o];
        for (first, rows) in from.chunks(ROWS * o).enumerate() {
            let many = rows.len() / o;
            for (j, to) in to.chunks_exact_mut(c).enumerate() {
                for (i, to) in to[first * ROWS..][..many].iter_mut().enumerate() {
                    *to = rows[i * o + j];
                }
            }
        }
    });
    flipped
}

/// `dx` becomes the gradient of the input, or has it added.
pub(super) fn input_gradient(g: &Geometry, dy: &[f32], weights: &[f32], dx: &mut [f32], add: bool) {
    let (inner, o, c) = (g.inner(), g.outputs, g.channels);
    if g.lanes && !lanes_winograd::suits(g) {
        return lanes::input_gradient(g, dy, weights, dx, add);
    }
    if g.pointwise() {
        let rows = g.images * g.pixels();
        let weights = Packed::with(g.precision, Matrix::new(weights, c, o).t());
        return weights.product(dx, Matrix::new(dy, rows, o), add);
    }
    if g.stride == (1, 1) && g.top < g.kernel.0 && g.left < g.kernel.1 {
        return forward(&g.backwards(), dy, flipped(g, weights).as_ref(), dx, add);
    }
    // Windows that overlap only partly: what each would give, added where it came from.
    let weights = Packed::with(g.precision, Matrix::new(weights, inner, o).t());
    let line = g.kernel.1 * c;
    let rows = at_once(inner);
    threads::each_chunk(dx, g.pixels() * c, |image, dx| {
        if !add {
            dx.fill(0.0);
        }
        let mut made = Scratch::new(rows.min(g.out_pixels()) * inner);
        for first in (0..g.out_pixels()).step_by(rows) {
            let many = rows.min(g.out_pixels() - first);
            let dy = &dy[(image * g.out_pixels() + first) * o..][..many * o];
            let made = &mut made.as_mut()[..many * inner];
            weights.product_rows(made, Matrix::new(dy, many, o), 0..many, false);
            for (row, made) in (first..first + many).zip(made.chunks_exact(inner)) {
                let (_, y, column) = g.corner(row);
                for (ky, made) in made.chunks_exact(line).enumerate() {
                    let y = (y + ky).wrapping_sub(g.top);
                    if y >= g.height {
                        continue;
                    }
                    let to = &mut dx[y * g.width * c..][..g.width * c];
                    let skipped = (g.left * c).saturating_sub(column * c);
                    let start = (column * c).saturating_sub(g.left * c);
                    for (to, value) in to.iter_mut().skip(start).zip(&made[skipped.min(line)..]) {
                        *to += value;
                    }
                }
            }
        }
    });
}

/// A convolution's weights. TensorFlow's order: `kh x kw x C x O`.
#[derive(Clone, Debug)]
pub struct Conv2d<E: Dtype, D: Storage<E>> {
    /// `kh x kw x C x O`.
    pub weight: Tensor<(DynSize, DynSize, DynSize, DynSize), E, D>,
    /// How the window moves.
    pub window: Window,
    /// What its products round their factors to.
    pub precision: Precision,
}

impl<E: Dtype, D: Device<E>> Conv2d<E, D> {
    /// With weights of zero: the model draws its initial values itself.
    ///
    /// Errors: dfdx's, when memory is short.
    pub fn zeros(
        device: &D,
        window: Window,
        inputs: usize,
        outputs: usize,
    ) -> std::result::Result<Conv2d<E, D>, D::Err> {
        let (height, width) = window.kernel;
        let shape = (DynSize(height), DynSize(width), DynSize(inputs), DynSize(outputs));
        Ok(Conv2d { weight: device.try_zeros_like(&shape)?, window, precision: Precision::Float32 })
    }

    /// Channels of what comes out.
    pub(super) fn outputs(&self) -> usize {
        self.weight.shape().3.0
    }
}

impl<E: Dtype, D: Device<E>> TensorCollection<E, D> for Conv2d<E, D> {
    type To<E2: Dtype, D2: Device<E2>> = Conv2d<E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> std::result::Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            Self::tensor("weight", |l| &l.weight, |l| &mut l.weight, TensorOptions::reset_to_zeros()),
            // Whoever builds a network of another kind keeps window and precision by cloning.
            |weight| Conv2d {
                weight,
                window: Window::square(1, 1, Padding::Same),
                precision: Precision::Float32,
            },
        )
    }
}

/// The convolution of `x` (`n x H x W x C`, or as `order` has it) plus a bias a channel, if there is one, then the
/// activation: `n x H' x W' x O`.
///
/// Errors: [`Error::Shape`] where the channels are not the layer's or the image is smaller than the window;
/// [`Error::Tensor`] when memory is short.
pub fn conv2d<T: Tape<f32, Cpu>>(
    layer: &Conv2d<f32, Cpu>,
    bias: Option<&Tensor<(DynSize,), f32, Cpu>>,
    x: Image<T>,
    activation: Activation,
    input_gradient: InputGradient,
    order: Order,
) -> Result<Image<T>> {
    let (part, tape) = pending(layer, bias, x, activation, input_gradient, order)?;
    concat(vec![Part::PendingConv(part)], tape)
}

/// [`conv2d`] before its result is written, and the tape.
///
/// Errors: as for [`conv2d`].
pub(crate) fn pending<T: Tape<f32, Cpu>>(
    layer: &Conv2d<f32, Cpu>,
    bias: Option<&Tensor<(DynSize,), f32, Cpu>>,
    x: Image<T>,
    activation: Activation,
    input_gradient: InputGradient,
    order: Order,
) -> Result<(PendingConv, T)> {
    let outputs = layer.outputs();
    if let Some(shape) = bias.map(|b| b.shape().0.0).filter(|channels| *channels != outputs) {
        return Err(Error::Shape { operation: "bias", expected: vec![outputs], got: vec![shape] });
    }
    let values = bias.and_then(elements).map_or_else(|| vec![0.0; outputs], <[f32]>::to_vec);
    let epilogue = Epilogue::Bias(order.spread(&values), activation);
    followed(layer, x, input_gradient, order, bias, |_| epilogue)
}

/// The convolution of `x`, whose sums `epilogue` is yet to finish; `shift` is what has the sum of the gradient over a channel's pixels for its own.
///
/// Errors: as for [`conv2d`].
pub(super) fn followed<T: Tape<f32, Cpu>>(
    layer: &Conv2d<f32, Cpu>,
    x: Image<T>,
    input_gradient: InputGradient,
    order: Order,
    shift: Option<&Tensor<(DynSize,), f32, Cpu>>,
    epilogue: impl FnOnce(&[f32]) -> Epilogue,
) -> Result<(PendingConv, T)> {
    let operation = "convolution";
    let shape = *x.shape();
    let (_, _, DynSize(inputs), DynSize(outputs)) = *layer.weight.shape();
    if shape.3 != inputs * order.lanes() {
        return Err(Error::Shape { operation, expected: vec![inputs, outputs], got: vec![shape.3] });
    }
    let g = Geometry::new(operation, shape, layer.window, outputs)?.ordered(order).rounded(layer.precision);
    let width = outputs * order.lanes();
    let (x, mut tape) = x.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let weight = layer.weight.clone();
    let mut sums = lent(g.images * g.out_pixels() * width);
    if let (Some(x), Some(weight)) = (elements(&x), elements(&weight)) {
        forward(&g, x, weight, &mut sums, false);
    }
    let part = PendingConv {
        shape: (g.images, g.out_height, g.out_width, width),
        device: x.device().clone(),
        epilogue: Arc::new(epilogue(&sums)),
        sums: Arc::new(sums),
        gradient: Place::default(),
    };
    if T::OWNS_TAPE {
        let (x_ghost, w_ghost, shift_ghost) = (x.ghost(), weight.ghost(), shift.map(|s| s.ghost()));
        let (size, epilogue, place) = (part.sums.len(), part.epilogue.clone(), part.gradient.clone());
        let sums = matches!(*epilogue, Epilogue::Norm(_)).then(|| part.sums.clone());
        tape.add_backward_op(move |gradients| {
            // Without one, nobody asks.
            let Some(GradientColumns { columns, result }) = place.take() else { return Ok(()) };
            let result = result.as_ref().filter(|_| epilogue.wants_result()).map(|result| columns.of(result));
            let (mut dy, from) = match columns.whole(width) {
                Ok(dy) => (dy, None),
                Err(columns) => (lent(size), Some(columns)),
            };
            let view = from.as_ref().map(Columns::view);
            let shift = match (&*epilogue, &sums) {
                (Epilogue::Norm(channels), Some(sums)) => channels.gradient(sums, view, &mut dy).0,
                _ => order.fold(&activation::gradient(&mut dy, width, view, result)),
            };
            if let Some(columns) = from {
                columns.done();
            }
            if let Some(sums) = sums {
                give_back_last(sums);
            }
            if let Some(ghost) = &shift_ghost {
                add_to(gradients.get_or_alloc_mut(ghost)?, &shift);
            }
            if let (Some(x), Some(weight)) = (elements(&x), elements(&weight)) {
                weight_gradient(&g, x, &dy, gradients.get_or_alloc_mut(&w_ghost)?);
                if input_gradient != InputGradient::Skipped {
                    input_gradient.give(gradients.get_or_alloc_mut(&x_ghost)?, |dx, add| {
                        self::input_gradient(&g, &dy, weight, dx, add);
                    });
                }
            }
            give_back(dy);
            Ok(())
        });
    }
    Ok((part, tape))
}
