//! A fully connected layer, with the ReLU that follows it, as one operation on the tape.

use super::elements;
use super::factored::{Factors, offer};
use super::gemm::{Matrix, product};
use crate::threads;
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::{
    Const, Cpu, CpuError, Device, Dtype, HasShape, PutTape, Rank1, Rank2, ReshapeTo, SplitTape, Storage,
    Tape, Tensor, TensorFromVec,
};

/// Weights and biases, seen by dfdx's counting, building and optimisers. Built as zeros; the model
/// draws its initial values itself, from a seed of its own.
#[derive(Clone, Debug)]
pub struct Linear<const I: usize, const O: usize, E: Dtype, D: Storage<E>> {
    /// `O x I`.
    pub weight: Tensor<Rank2<O, I>, E, D>,
    /// `O`.
    pub bias: Tensor<Rank1<O>, E, D>,
}

impl<const I: usize, const O: usize, E: Dtype, D: Device<E>> TensorCollection<E, D> for Linear<I, O, E, D> {
    type To<E2: Dtype, D2: Device<E2>> = Linear<I, O, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::tensor("weight", |l| &l.weight, |l| &mut l.weight, TensorOptions::reset_to_zeros()),
                Self::tensor("bias", |l| &l.bias, |l| &mut l.bias, TensorOptions::reset_to_zeros()),
            ),
            |(weight, bias)| Linear { weight, bias },
        )
    }
}

/// Rows, and columns, that a thread takes at a time where it is a matter of memory alone.
const ROWS: usize = 16;
const COLS: usize = 128;

/// Whether an operation computes the gradient of its input. The first layer of a network need not:
/// nobody asks for the gradient of an image, and it costs as much as the layer's forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputGradient {
    /// Compute it.
    Needed,
    /// Leave it out.
    Skipped,
}

/// What follows the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// max(x, 0).
    Relu,
}

/// `x W' + b`, then the activation. `x` is `n x I`, the result `n x O`.
///
/// Errors: dfdx's, when memory is short.
pub fn linear<const I: usize, const O: usize, T: Tape<f32, Cpu>>(
    layer: &Linear<I, O, f32, Cpu>,
    x: Tensor<(usize, Const<I>), f32, Cpu, T>,
    activation: Activation,
    input_gradient: InputGradient,
) -> Result<Tensor<(usize, Const<O>), f32, Cpu, T>, CpuError> {
    // Before the tape is taken off: for a view this is an operation with a gradient of its own.
    let (x, mut tape) = x.try_contiguous()?.split_tape();
    let n = x.shape().0;
    let device = x.device().clone();
    let weight = layer.weight.clone();

    let mut out = vec![0.0; n * O];
    if let (Some(xs), Some(ws)) = (elements(&x), elements(&weight)) {
        product(&mut out, Matrix::new(xs, n, I), Matrix::new(ws, O, I).t(), false);
    }
    let bias = layer.bias.clone();
    if let Some(bias) = elements(&bias) {
        threads::each_chunk(&mut out, ROWS * O, |_, rows| {
            for row in rows.chunks_exact_mut(O) {
                for (y, b) in row.iter_mut().zip(bias) {
                    *y += b;
                    if activation == Activation::Relu {
                        // Not `max`: that would turn a NaN, the mark of divergence, into a zero.
                        *y = if *y < 0.0 { 0.0 } else { *y };
                    }
                }
            }
        });
    }
    let y = device.try_tensor_from_vec(out, (n, Const::<O>))?;

    if T::OWNS_TAPE {
        let (x_ghost, w_ghost, b_ghost, y_ghost) = (x.ghost(), weight.ghost(), bias.ghost(), y.ghost());
        let y_kept = (activation == Activation::Relu).then(|| y.clone());
        tape.add_backward_op(move |grads| {
            // Taken out of the map while other gradients are written.
            let mut dy = std::mem::take(&mut **grads.get_or_alloc_mut(&y_ghost)?);
            if let Some(ys) = y_kept.as_ref().and_then(elements) {
                threads::each_chunk(&mut dy, ROWS * O, |i, dy| {
                    for (d, y) in dy.iter_mut().zip(&ys[i * ROWS * O..]) {
                        *d = if *y <= 0.0 { 0.0 } else { *d };
                    }
                });
            }
            let db = grads.get_or_alloc_mut(&b_ghost)?;
            threads::each_chunk(db, COLS, |i, db| {
                for row in dy.chunks_exact(O) {
                    for (b, d) in db.iter_mut().zip(&row[i * COLS..]) {
                        *b += d;
                    }
                }
            });
            if let (InputGradient::Needed, Some(ws)) = (input_gradient, elements(&weight)) {
                let dx = grads.get_or_alloc_mut(&x_ghost)?;
                product(dx, Matrix::new(&dy, n, O), Matrix::new(ws, O, I), true);
            }
            let factors = Factors { dy, x: Box::new(x.clone()), n, shared: false };
            if let Some(factors) = offer(&weight, factors) {
                factors.ready().add_to(grads.get_or_alloc_mut(&w_ghost)?);
                **grads.get_or_alloc_mut(&y_ghost)? = factors.dy;
            }
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}
