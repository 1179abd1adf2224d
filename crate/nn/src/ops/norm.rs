//! Batch normalisation over all but the channels (Ioffe and Szegedy 2015), with the ReLU that follows it.
//!
//! As TF-Slim has it, and the paper's Inception: a shift but no scale unless asked for, epsilon 0.001.

use crate::instructions::arch;
use crate::ops::activation::{Activation, ROWS, total};
use crate::ops::batch::BatchPart;
use crate::ops::columns::{ColumnsMut, ColumnsView};
use crate::ops::geometry::{LANES, Order};
use crate::ops::memory::{give_back, lent};
use crate::ops::simd::{load, store};
use crate::ops::{DynSize, ForwardContext, Image, address, elements, take_gradient};
use crate::{Error, Result, threads};
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::TensorFromVec;
use dfdx::prelude::{Cpu, Device, Dtype, HasShape, PutTape, ReshapeTo, SplitTape, Storage, Tape, Tensor};
use pulp::{Simd, WithSimd};
use std::sync::Arc;

/// Added to a variance before its root is taken.
pub const EPSILON: f32 = 1e-3;

/// A running statistic after a batch that had `now`; `memory` is the share that is kept
/// ([`crate::optim::Rules::norm_memory`]).
pub(crate) fn follow(memory: f32, running: f32, now: f32) -> f32 {
    memory * running + (1.0 - memory) * now
}

/// A shift a channel, and the running statistics that stand in for the batch's in evaluation.
#[derive(Clone, Debug)]
pub struct BatchNorm<E: Dtype, D: Storage<E>> {
    /// `C`; the paper's beta.
    pub shift: Tensor<(DynSize,), E, D>,
    /// `C`: running mean.
    pub mean: Tensor<(DynSize,), E, D>,
    /// `C`: running variance.
    pub variance: Tensor<(DynSize,), E, D>,
}

impl<E: Dtype, D: Device<E>> BatchNorm<E, D> {
    /// A shift and no statistics: a bias, where nothing is normalised.
    ///
    /// Errors: dfdx's, when memory is short.
    pub fn shift_only(device: &D, channels: usize) -> std::result::Result<BatchNorm<E, D>, D::Err> {
        let none = (DynSize(0),);
        Ok(BatchNorm {
            shift: device.try_zeros_like(&(DynSize(channels),))?,
            mean: device.try_zeros_like(&none)?,
            variance: device.try_zeros_like(&none)?,
        })
    }

    /// No shift; a running mean of 0 and variance of 1.
    ///
    /// Errors: dfdx's, when memory is short.
    pub fn new(device: &D, channels: usize) -> std::result::Result<BatchNorm<E, D>, D::Err> {
        let shape = (DynSize(channels),);
        Ok(BatchNorm {
            shift: device.try_zeros_like(&shape)?,
            mean: device.try_zeros_like(&shape)?,
            variance: device.try_ones_like(&shape)?,
        })
    }
}

impl<E: Dtype, D: Device<E>> TensorCollection<E, D> for BatchNorm<E, D> {
    type To<E2: Dtype, D2: Device<E2>> = BatchNorm<E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> std::result::Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        let zeros = TensorOptions::detached(|t| t.try_fill_with_zeros());
        let ones = TensorOptions::detached(|t| t.try_fill_with_ones());
        visitor.visit_fields(
            (
                Self::tensor("shift", |l| &l.shift, |l| &mut l.shift, TensorOptions::reset_to_zeros()),
                Self::tensor("mean", |l| &l.mean, |l| &mut l.mean, zeros),
                Self::tensor("variance", |l| &l.variance, |l| &mut l.variance, ones),
            ),
            |(shift, mean, variance)| BatchNorm { shift, mean, variance },
        )
    }
}

/// What the normalisation of one batch does to a channel: `(x - mean) * inverse_deviation * scale + shift`. The vectors have
/// a number for every lane of a channel; the scale has one a channel.
pub(super) struct Channels {
    order: Order,
    mean: Vec<f32>,
    /// `1 / sqrt(variance + epsilon)`.
    inverse_deviation: Vec<f32>,
    scale: Option<Vec<f32>>,
    /// `a x + b`, the same in two operations.
    a: Vec<f32>,
    b: Vec<f32>,
    relu: bool,
    /// Whether mean and deviation are the batch's own, and so depend on `x`.
    own: bool,
    /// Where other processes have the rest of the batch.
    part: Option<Arc<dyn BatchPart>>,
}

impl Channels {
    /// From the batch itself in training, which is noted in `pass`; from the running statistics in evaluation.
    pub fn new(
        layer: &BatchNorm<f32, Cpu>,
        scale: Option<&[f32]>,
        x: &[f32],
        activation: Activation,
        pass: &mut ForwardContext,
    ) -> Channels {
        let shift = elements(&layer.shift).unwrap_or_default();
        let order = pass.order();
        let (mean, variance) = if pass.training() {
            let (mut n, mut mean, mut variance) = statistics(x, shift.len(), order);
            if let Some(part) = pass.part() {
                n = part.moments(n, &mut mean, &mut variance);
            }
            pass.note(address(&layer.mean), mean.clone());
            // The running variance is the unbiased one, as in TensorFlow's and PyTorch's.
            let unbiased = variance.iter().map(|v| v * n / (n - 1.0).max(1.0)).collect();
            pass.note(address(&layer.variance), unbiased);
            (mean, variance)
        } else {
            let running = |t| elements(t).unwrap_or_default().to_vec();
            (running(&layer.mean), running(&layer.variance))
        };
        let inverse_deviation: Vec<f32> = variance.iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect();
        let scale = scale.map(<[f32]>::to_vec);
        let a: Vec<f32> = match &scale {
            Some(scale) => inverse_deviation.iter().zip(scale).map(|(d, s)| d * s).collect(),
            None => inverse_deviation.clone(),
        };
        let b: Vec<f32> = shift.iter().zip(&mean).zip(&a).map(|((s, m), a)| s - m * a).collect();
        let (relu, own) = (activation == Activation::Relu, pass.training());
        let [mean, inverse_deviation, a, b] = [mean, inverse_deviation, a, b].map(|v| order.spread(&v));
        Channels { order, mean, inverse_deviation, scale, a, b, relu, own, part: pass.part().cloned() }
    }

    /// `a x + b` of the channels from `k` on.
    #[inline(always)]
    fn value<S: Simd>(&self, s: S, x: S::f32s, k: usize) -> S::f32s {
        s.add_f32s(s.mul_f32s(load(s, &self.a, k), x), load(s, &self.b, k))
    }

    /// `x`, normalised.
    #[inline(always)]
    fn normal<S: Simd>(&self, s: S, x: S::f32s, k: usize) -> S::f32s {
        s.mul_f32s(s.sub_f32s(x, load(s, &self.mean, k)), load(s, &self.inverse_deviation, k))
    }

    /// The normalised `x`.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let c = self.a.len();
        let mut y = lent(x.len());
        threads::each_chunk(&mut y, ROWS * c, |i, y| {
            self.apply_to(&x[i * ROWS * c..], ColumnsMut { rows: y, first: 0, width: c });
        });
        y
    }

    /// Some rows of [`Channels::apply`], into the columns of `to`; `x` may have more.
    pub fn apply_to(&self, x: &[f32], to: ColumnsMut) {
        arch().dispatch(Apply { of: self, x, to });
    }

    /// Turns the gradient of the result into the gradient of `x`, in place; where it lies elsewhere, `from`, it is read there. Returns the
    /// gradients of shift and scale.
    pub fn gradient(&self, x: &[f32], from: Option<ColumnsView>, dy: &mut [f32]) -> (Vec<f32>, Vec<f32>) {
        let c = self.a.len();
        let mut rows = rows(x.len(), c, self.order);
        let arch = arch();
        let mut parts = vec![0.0f32; x.len().div_ceil(ROWS * c) * 2 * c];
        {
            // Past the ReLU on the way: both sums are of what comes through.
            let sums = crate::ops::matrix::Shared(parts.as_mut_ptr());
            threads::each_chunk(dy, ROWS * c, |i, dy| {
                if let Some(from) = from {
                    from.give(i * ROWS, c, dy, false);
                }
                let x = &x[i * ROWS * c..][..dy.len()];
                // SAFETY: every part has two sums a channel of its own, inside `parts`.
                let sums = unsafe { std::slice::from_raw_parts_mut(sums.at(i * 2 * c), 2 * c) };
                let (plain, weighted) = sums.split_at_mut(c);
                arch.dispatch(Sums { of: self, x, dy, plain, weighted });
            });
        }
        // Lanes without an image have no gradient.
        let sums = self.order.fold(&total(&parts, 2 * c));
        let (shift, scale) = sums.split_at(c / self.order.lanes());
        // The gradients of shift and scale are this process's part; what the mean and the deviation pass on is of the
        // whole batch.
        let mut whole = sums.clone();
        if let Some(part) = self.part.as_ref().filter(|_| self.own) {
            rows = part.totals(rows, &mut whole);
        }
        let (whole_plain, whole_weighted) = whole.split_at(c / self.order.lanes());
        let share = if self.own { 1.0 / rows } else { 0.0 };
        let share_of =
            |sums: &[f32]| self.order.spread(&sums.iter().map(|s| s * share).collect::<Vec<f32>>());
        let (mean_plain, mean_weighted) = (share_of(whole_plain), share_of(whole_weighted));
        threads::each_chunk(dy, ROWS * c, |i, dy| {
            let x = &x[i * ROWS * c..][..dy.len()];
            arch.dispatch(Gradient { of: self, x, dy, plain: &mean_plain, weighted: &mean_weighted });
        });
        self.order.clear(dy);
        if self.part.as_ref().is_some_and(|part| part.idle()) {
            dy.fill(0.0);
        }
        let scale = if self.scale.is_some() { scale.to_vec() } else { Vec::new() };
        (shift.to_vec(), scale)
    }
}

/// The result for some pixels.
struct Apply<'a> {
    of: &'a Channels,
    x: &'a [f32],
    to: ColumnsMut<'a>,
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Apply { of, x, to } = self;
        let (c, zero) = (of.a.len(), s.splat_f32s(0.0));
        for (row, x) in to.rows.chunks_exact_mut(to.width).zip(x.chunks_exact(c)) {
            let y = &mut row[to.first..to.first + c];
            for k in (0..c).step_by(S::F32_LANES) {
                let value = of.value(s, load(s, x, k), k);
                // Not `max`: that would turn a NaN, the mark of divergence, into a zero.
                let low = s.less_than_f32s(value, zero);
                store(s, y, k, if of.relu { s.select_f32s(low, zero, value) } else { value });
            }
        }
    }
}

/// Stops the gradient `dy` of some pixels at the ReLU, and adds it to the sums of their channels: as it is, and
/// times the normalised `x`.
struct Sums<'a> {
    of: &'a Channels,
    x: &'a [f32],
    dy: &'a mut [f32],
    plain: &'a mut [f32],
    weighted: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Sums { of, x, dy, plain, weighted } = self;
        let (c, zero) = (of.a.len(), s.splat_f32s(0.0));
        for (dy, x) in dy.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for k in (0..c).step_by(S::F32_LANES) {
                let x = load(s, x, k);
                let mut d = load(s, dy, k);
                if of.relu {
                    d = s.select_f32s(s.less_than_f32s(zero, of.value(s, x, k)), d, zero);
                    store(s, dy, k, d);
                }
                let sum = s.add_f32s(load(s, plain, k), d);
                store(s, plain, k, sum);
                let sum = s.add_f32s(load(s, weighted, k), s.mul_f32s(d, of.normal(s, x, k)));
                store(s, weighted, k, sum);
            }
        }
    }
}

/// The gradient of some pixels' `x`, in place of that of the normalised ones: `plain` and `weighted` are the means of
/// [`Sums`].
struct Gradient<'a> {
    of: &'a Channels,
    x: &'a [f32],
    dy: &'a mut [f32],
    plain: &'a [f32],
    weighted: &'a [f32],
}

impl WithSimd for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Gradient { of, x, dy, plain, weighted } = self;
        let c = of.a.len();
        for (dy, x) in dy.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for k in (0..c).step_by(S::F32_LANES) {
                let along = s.mul_f32s(of.normal(s, load(s, x, k), k), load(s, weighted, k));
                let d = s.sub_f32s(s.sub_f32s(load(s, dy, k), load(s, plain, k)), along);
                store(s, dy, k, s.mul_f32s(load(s, &of.a, k), d));
            }
        }
    }
}

/// Adds some pixels' differences from `pivot`, and their squares, to the sums of their channels.
struct Moments<'a> {
    x: &'a [f32],
    pivot: &'a [f32],
    plain: &'a mut [f32],
    squares: &'a mut [f32],
}

impl WithSimd for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Moments { x, pivot, plain, squares } = self;
        for x in x.chunks_exact(pivot.len()) {
            for k in (0..pivot.len()).step_by(S::F32_LANES) {
                let d = s.sub_f32s(load(s, x, k), load(s, pivot, k));
                let sum = s.add_f32s(load(s, plain, k), d);
                store(s, plain, k, sum);
                let sum = s.add_f32s(load(s, squares, k), s.mul_f32s(d, d));
                store(s, squares, k, sum);
            }
        }
    }
}

/// Pixels of all images, of which `x` has `width` numbers each, lanes included.
fn rows(numbers: usize, width: usize, order: Order) -> f32 {
    match order {
        Order::Pixels => (numbers / width.max(1)) as f32,
        Order::Lanes { images } => (numbers / width.max(1) / images.div_ceil(LANES).max(1) * images) as f32,
    }
}

/// Number of pixels, mean and variance (of the batch: over n) of each of `channels`.
fn statistics(x: &[f32], channels: usize, order: Order) -> (f32, Vec<f32>, Vec<f32>) {
    let c = channels * order.lanes();
    let rows = rows(x.len(), c, order);
    // Sums are of differences from the first pixel: with a mean far from zero, squares would cancel.
    let Some(first) = x.get(..c) else { return (rows, vec![0.0; channels], vec![1.0; channels]) };
    let pivot: Vec<f32> = first.iter().step_by(order.lanes()).copied().collect();
    let spread = order.spread(&pivot);
    let sums = |x: &[f32]| {
        let mut parts = vec![0.0f32; x.len().div_ceil(ROWS * c) * 2 * c];
        let arch = arch();
        threads::each_chunk(&mut parts, 2 * c, |i, sums| {
            let x = &x[i * ROWS * c..x.len().min((i + 1) * ROWS * c)];
            let (plain, squares) = sums.split_at_mut(c);
            arch.dispatch(Moments { x, pivot: &spread, plain, squares });
        });
        total(&parts, 2 * c)
    };
    // What is in lanes without an image does not count.
    let (full, last) = x.split_at(order.full(x.len()));
    let mut last = sums(last);
    order.clear_last(&mut last);
    let all: Vec<f32> = sums(full).iter().zip(&last).map(|(full, last)| full + last).collect();
    let sums = order.fold(&all);
    let (plain, squares) = sums.split_at(channels);
    let mean = plain.iter().zip(&pivot).map(|(s, p)| p + s / rows).collect();
    let variance = plain.iter().zip(squares).map(|(s, q)| (q / rows - (s / rows).powi(2)).max(0.0)).collect();
    (rows, mean, variance)
}

/// Batch normalisation of `x` (`n x H x W x C`, or as the pass has it), then the activation. `scale` has a factor a channel.
///
/// Errors: [`Error::Shape`] where the channels are not the layer's; [`Error::Tensor`] when memory is short.
pub fn batch_norm<T: Tape<f32, Cpu>>(
    layer: &BatchNorm<f32, Cpu>,
    scale: Option<&Tensor<(DynSize,), f32, Cpu>>,
    x: Image<T>,
    activation: Activation,
    pass: &mut ForwardContext,
) -> Result<Image<T>> {
    let operation = "batch normalisation";
    let shape = *x.shape();
    let channels = layer.shift.shape().0.0;
    if shape.3 != channels * pass.order().lanes() || scale.is_some_and(|s| s.shape().0.0 != channels) {
        return Err(Error::Shape { operation, expected: vec![channels], got: vec![shape.3] });
    }
    let (x, mut tape) = x.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let xs = elements(&x).unwrap_or_default();
    let made = Channels::new(layer, scale.and_then(elements), xs, activation, pass);
    let y = x.device().try_tensor_from_vec(made.apply(xs), shape).map_err(Error::tensor(operation))?;
    if T::OWNS_TAPE {
        let (x_ghost, shift_ghost, y_ghost) = (x.ghost(), layer.shift.ghost(), y.ghost());
        let scale_ghost = scale.map(|s| s.ghost());
        tape.add_backward_op(move |gradients| {
            let mut dy = take_gradient(gradients.get_or_alloc_mut(&y_ghost)?);
            let (shift, scale) = made.gradient(elements(&x).unwrap_or_default(), None, &mut dy);
            crate::ops::add_to(gradients.get_or_alloc_mut(&shift_ghost)?, &shift);
            if let Some(ghost) = &scale_ghost {
                crate::ops::add_to(gradients.get_or_alloc_mut(ghost)?, &scale);
            }
            crate::ops::add_to(gradients.get_or_alloc_mut(&x_ghost)?, &dy);
            give_back(dy);
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}
