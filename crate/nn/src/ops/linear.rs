//! A fully connected layer, with the ReLU that follows it, as one operation on the tape.

use crate::large_pages::keep_zeros;
use crate::ops::activation::{self, Activation};
use crate::ops::columns::ColumnsView;
use crate::ops::factored::{Factors, offer};
use crate::ops::gemm::{Matrix, product_in};
use crate::ops::memory::lent;
use crate::ops::{DynSize, add_to, elements, take_gradient};
use crate::precision::Precision;
use crate::{Error, Result};
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::{
    Cpu, Device, Dtype, HasShape, PutTape, ReshapeTo, SplitTape, Storage, Tape, Tensor, TensorFromVec,
};

/// Weights and biases, seen by dfdx's counting, optimisers and safetensors.
#[derive(Clone, Debug)]
pub struct Linear<E: Dtype, D: Storage<E>> {
    /// `O x I`.
    pub weight: Tensor<(DynSize, DynSize), E, D>,
    /// `O`.
    pub bias: Tensor<(DynSize,), E, D>,
    /// What its products round their factors to.
    pub precision: Precision,
}

impl<E: Dtype, D: Device<E>> Linear<E, D> {
    /// All zeros: the model draws its initial values itself, from a seed of its own.
    ///
    /// Errors: dfdx's, when memory is short.
    pub fn zeros(device: &D, inputs: usize, outputs: usize) -> std::result::Result<Linear<E, D>, D::Err> {
        let weight = device.try_zeros_like(&(DynSize(outputs), DynSize(inputs)))?;
        let bias = device.try_zeros_like(&(DynSize(outputs),))?;
        Ok(Linear { weight, bias, precision: Precision::Float32 })
    }
}

impl<E: Dtype, D: Device<E>> TensorCollection<E, D> for Linear<E, D> {
    type To<E2: Dtype, D2: Device<E2>> = Linear<E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> std::result::Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::tensor("weight", |l| &l.weight, |l| &mut l.weight, TensorOptions::reset_to_zeros()),
                Self::tensor("bias", |l| &l.bias, |l| &mut l.bias, TensorOptions::reset_to_zeros()),
            ),
            |(weight, bias)| Linear { weight, bias, precision: Precision::Float32 },
        )
    }
}

/// Whether an operation computes the gradient of its input. The first layer of a network need not:
/// nobody asks for the gradient of an image, and it costs as much as the layer's forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputGradient {
    /// Compute it, and add it to what other operations with the same input have given.
    Needed,
    /// Compute it: nothing has been given before, in the backward pass.
    First,
    /// Leave it out.
    Skipped,
}

impl InputGradient {
    /// Has `made` write the gradient of an operation's input, or add it to what is there (its second argument).
    pub(super) fn give(self, gradient: &mut Vec<f32>, made: impl FnOnce(&mut [f32], bool)) {
        if self == InputGradient::First {
            // What is there are zeros that nobody has looked at yet.
            let mut own = lent(gradient.len());
            made(&mut own, false);
            keep_zeros(std::mem::replace(gradient, own));
        } else {
            made(gradient, true);
        }
    }
}

/// `x W' + b`, then the activation. `x` is `n x I`, the result `n x O`.
///
/// Errors: [`Error::Shape`] where `x` has another width; [`Error::Tensor`] when memory is short.
pub fn linear<T: Tape<f32, Cpu>>(
    layer: &Linear<f32, Cpu>,
    x: Tensor<(usize, usize), f32, Cpu, T>,
    activation: Activation,
    input_gradient: InputGradient,
) -> Result<Tensor<(usize, usize), f32, Cpu, T>> {
    let operation = "fully connected layer";
    let ((n, width), (DynSize(o), DynSize(i))) = (*x.shape(), *layer.weight.shape());
    if width != i {
        return Err(Error::Shape { operation, expected: vec![n, i], got: vec![n, width] });
    }
    // Before the tape is taken off: for a view this is an operation with a gradient of its own.
    let (x, mut tape) = x.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let (weight, precision) = (layer.weight.clone(), layer.precision);
    let mut out = vec![0.0; n * o];
    if let (Some(xs), Some(ws)) = (elements(&x), elements(&weight)) {
        product_in(precision, &mut out, Matrix::new(xs, n, i), Matrix::new(ws, o, i).t(), false);
    }
    activation::finish(&mut out, o, elements(&layer.bias), activation);
    let y = x.device().try_tensor_from_vec(out, (n, o)).map_err(Error::tensor(operation))?;

    if T::OWNS_TAPE {
        let (x_ghost, w_ghost, y_ghost) = (x.ghost(), weight.ghost(), y.ghost());
        let b_ghost = layer.bias.ghost();
        let y_kept = (activation == Activation::Relu).then(|| y.clone());
        tape.add_backward_op(move |gradients| {
            let mut dy = take_gradient(gradients.get_or_alloc_mut(&y_ghost)?);
            let result = y_kept.as_ref().and_then(elements).map(|ys| ColumnsView::all(ys, o));
            let bias = activation::gradient(&mut dy, o, None, result);
            add_to(gradients.get_or_alloc_mut(&b_ghost)?, &bias);
            if let Some(ws) = elements(&weight).filter(|_| input_gradient != InputGradient::Skipped) {
                input_gradient.give(gradients.get_or_alloc_mut(&x_ghost)?, |dx, add| {
                    product_in(precision, dx, Matrix::new(&dy, n, o), Matrix::new(ws, o, i), add);
                });
            }
            let factors = Factors { dy, x: Box::new(x), n, shared: false, precision };
            if let Some(factors) = offer(&weight, factors) {
                factors.ready().add_to(gradients.get_or_alloc_mut(&w_ghost)?);
            }
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}
