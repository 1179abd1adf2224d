//! Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3), with the constants
//! of the TensorFlow tutorial that the paper's Alexnet is from.

use crate::ops::memory::give_back;
use crate::ops::{Image, add_to, elements, take_gradient};
use crate::{Error, Result, threads};
use dfdx::prelude::{Cpu, HasShape, PutTape, ReshapeTo, SplitTape, Tape, TensorFromVec};
use pulp::Arch;

/// Channels on either side: a window of nine.
pub const RADIUS: usize = 4;
/// Factor of a square; not divided by the window once more.
pub const ALPHA: f32 = 0.001 / 9.0;
/// Constant under the power. The power is 3/4, so that two roots make it.
pub const K: f32 = 1.0;
const BETA: f32 = 0.75;

/// Pixels that a thread takes at a time.
const PIXELS: usize = 64;

/// `to[i]` = sum of `from[j]` over the window around `i`.
#[inline(always)]
fn window_sums(from: &[f32], to: &mut [f32]) {
    let c = from.len();
    for (i, to) in to.iter_mut().enumerate() {
        *to = from[i.saturating_sub(RADIUS)..(i + RADIUS + 1).min(c)].iter().sum();
    }
}

/// `d^(-3/4)`.
#[inline(always)]
fn power(d: f32) -> f32 {
    let root = d.sqrt();
    1.0 / (root * root.sqrt())
}

/// `y_i = x_i / (k + alpha * sum of x_j^2 over the window around i)^beta`, `n x H x W x C`.
///
/// Errors: [`Error::Tensor`] when memory is short.
pub fn local_response_norm<T: Tape<f32, Cpu>>(x: Image<T>) -> Result<Image<T>> {
    let operation = "local response normalisation";
    let shape = *x.shape();
    let c = shape.3;
    let (x, mut tape) = x.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let xs = elements(&x).unwrap_or_default();
    let mut out = vec![0.0; xs.len()];
    let arch = Arch::new();
    threads::each_chunk(&mut out, PIXELS * c, |part, out| {
        let x = &xs[part * PIXELS * c..][..out.len()];
        let (mut squares, mut sums) = (vec![0.0; c], vec![0.0; c]);
        arch.dispatch(
            #[inline(always)]
            || {
                for (x, y) in x.chunks_exact(c).zip(out.chunks_exact_mut(c)) {
                    squares.iter_mut().zip(x).for_each(|(s, x)| *s = x * x);
                    window_sums(&squares, &mut sums);
                    for ((y, x), s) in y.iter_mut().zip(x).zip(&sums) {
                        *y = x * power(K + ALPHA * s);
                    }
                }
            },
        );
    });
    let y = x.device().try_tensor_from_vec(out, shape).map_err(Error::tensor(operation))?;
    if T::OWNS_TAPE {
        let (x_ghost, y_ghost) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let mut dy = take_gradient(gradients.get_or_alloc_mut(&y_ghost)?);
            let xs = elements(&x).unwrap_or_default();
            threads::each_chunk(&mut dy, PIXELS * c, |part, dy| {
                let x = &xs[part * PIXELS * c..][..dy.len()];
                let mut rows = vec![0.0; 4 * c];
                arch.dispatch(
                    #[inline(always)]
                    || {
                        let (squares, rest) = rows.split_at_mut(c);
                        let (d, rest) = rest.split_at_mut(c);
                        let (spread, sums) = rest.split_at_mut(c);
                        for (x, dy) in x.chunks_exact(c).zip(dy.chunks_exact_mut(c)) {
                            squares.iter_mut().zip(x).for_each(|(s, x)| *s = x * x);
                            window_sums(squares, d);
                            d.iter_mut().for_each(|d| *d = K + ALPHA * *d);
                            for k in 0..c {
                                spread[k] = dy[k] * x[k] * power(d[k]) / d[k];
                            }
                            window_sums(spread, sums);
                            for k in 0..c {
                                dy[k] = dy[k] * power(d[k]) - 2.0 * ALPHA * BETA * x[k] * sums[k];
                            }
                        }
                    },
                );
            });
            add_to(gradients.get_or_alloc_mut(&x_ghost)?, &dy);
            give_back(dy);
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}
