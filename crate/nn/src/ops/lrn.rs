//! Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3), with the constants
//! of the TensorFlow tutorial that the paper's Alexnet is from.

use crate::instructions::arch;
use crate::ops::geometry::Order;
use crate::ops::memory::{give_back, lent};
use crate::ops::simd::{load, store};
use crate::ops::{Image, add_to, elements, take_gradient};
use crate::{Error, Result, threads};
use dfdx::prelude::{Cpu, HasShape, PutTape, ReshapeTo, SplitTape, Tape, TensorFromVec};
use pulp::{Simd, WithSimd};

/// Channels on either side: a window of nine.
pub const RADIUS: usize = 4;
/// Factor of a square; not divided by the window once more.
pub const ALPHA: f32 = 0.001 / 9.0;
/// Constant under the power. The power is 3/4, so that two roots make it.
pub const K: f32 = 1.0;
const BETA: f32 = 0.75;

/// Pixels that a thread takes at a time.
const PIXELS: usize = 64;

/// A pixel of `numbers` with zeros before and behind it that stand for channels beyond the first and the last; from a channel to the next
/// it is `lanes` numbers.
fn with_edges(numbers: usize, lanes: usize) -> Vec<f32> {
    vec![0.0; numbers + 2 * RADIUS * lanes]
}

/// The sum over the window around number `k` and those beside it in the vector, from the first channel to the last.
#[inline(always)]
fn window_sum<S: Simd>(s: S, row: &[f32], k: usize, lanes: usize) -> S::f32s {
    let mut sum = load(s, row, k);
    for beside in 1..2 * RADIUS + 1 {
        sum = s.add_f32s(sum, load(s, row, k + beside * lanes));
    }
    sum
}

/// `k + alpha * sums` and its power -3/4.
#[inline(always)]
fn power<S: Simd>(s: S, sums: S::f32s) -> (S::f32s, S::f32s) {
    let d = s.add_f32s(s.splat_f32s(K), s.mul_f32s(s.splat_f32s(ALPHA), sums));
    let root = s.sqrt_f32s(d);
    (d, s.div_f32s(s.splat_f32s(1.0), s.mul_f32s(root, s.sqrt_f32s(root))))
}

/// Writes the squares of `x` between the edges of `row`.
#[inline(always)]
fn square<S: Simd>(s: S, x: &[f32], row: &mut [f32], lanes: usize) {
    let row = &mut row[RADIUS * lanes..][..x.len()];
    for k in (0..x.len()).step_by(S::F32_LANES) {
        let x = load(s, x, k);
        store(s, row, k, s.mul_f32s(x, x));
    }
}

/// Some pixels of the result, of `c` numbers.
struct Forward<'a> {
    c: usize,
    lanes: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Forward { c, lanes, x, y } = self;
        let mut squares = with_edges(c, lanes);
        for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
            square(s, x, &mut squares, lanes);
            for k in (0..c).step_by(S::F32_LANES) {
                let (_, power) = power(s, window_sum(s, &squares, k, lanes));
                store(s, y, k, s.mul_f32s(load(s, x, k), power));
            }
        }
    }
}

/// The gradient of some pixels' `x`, in place of that of the result.
struct Backward<'a> {
    c: usize,
    lanes: usize,
    x: &'a [f32],
    dy: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Backward { c, lanes, x, dy } = self;
        let (mut squares, mut spread, mut powers) =
            (with_edges(c, lanes), with_edges(c, lanes), vec![0.0; c]);
        let factor = s.splat_f32s(2.0 * ALPHA * BETA);
        for (x, dy) in x.chunks_exact(c).zip(dy.chunks_exact_mut(c)) {
            square(s, x, &mut squares, lanes);
            {
                let spread = &mut spread[RADIUS * lanes..][..c];
                for k in (0..c).step_by(S::F32_LANES) {
                    let (d, power) = power(s, window_sum(s, &squares, k, lanes));
                    store(s, &mut powers, k, power);
                    let along = s.mul_f32s(s.mul_f32s(load(s, dy, k), load(s, x, k)), power);
                    store(s, spread, k, s.div_f32s(along, d));
                }
            }
            for k in (0..c).step_by(S::F32_LANES) {
                let others = s.mul_f32s(s.mul_f32s(factor, load(s, x, k)), window_sum(s, &spread, k, lanes));
                let own = s.mul_f32s(load(s, dy, k), load(s, &powers, k));
                store(s, dy, k, s.sub_f32s(own, others));
            }
        }
    }
}

/// `y_i = x_i / (k + alpha * sum of x_j^2 over the window around i)^beta`, `n x H x W x C`, or as `order` has it.
///
/// Errors: [`Error::Tensor`] when memory is short.
pub fn local_response_norm<T: Tape<f32, Cpu>>(x: Image<T>, order: Order) -> Result<Image<T>> {
    let operation = "local response normalisation";
    let shape = *x.shape();
    let (c, lanes) = (shape.3, order.lanes());
    let (x, mut tape) = x.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let xs = elements(&x).unwrap_or_default();
    let mut out = lent(xs.len());
    let arch = arch();
    threads::each_chunk(&mut out, PIXELS * c, |part, out| {
        let x = &xs[part * PIXELS * c..][..out.len()];
        arch.dispatch(Forward { c, lanes, x, y: out });
    });
    let y = x.device().try_tensor_from_vec(out, shape).map_err(Error::tensor(operation))?;
    if T::OWNS_TAPE {
        let (x_ghost, y_ghost) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let mut dy = take_gradient(gradients.get_or_alloc_mut(&y_ghost)?);
            let xs = elements(&x).unwrap_or_default();
            threads::each_chunk(&mut dy, PIXELS * c, |part, dy| {
                let x = &xs[part * PIXELS * c..][..dy.len()];
                arch.dispatch(Backward { c, lanes, x, dy });
            });
            add_to(gradients.get_or_alloc_mut(&x_ghost)?, &dy);
            give_back(dy);
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}
