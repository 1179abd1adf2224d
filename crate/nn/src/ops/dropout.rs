//! Dropout (Srivastava et al. 2014): units are left out at random in training, and the others made
//! larger by as much, so that evaluation needs no change.

use crate::ops::{ForwardContext, elements, take_gradient};
use crate::{Error, Result};
use dfdx::prelude::{Cpu, HasShape, PutTape, ReshapeTo, Shape, SplitTape, Tape, Tensor, TensorFromVec};
use rand::RngExt;

/// Keeps each element with probability `kept` and divides it by `kept`, in training.
///
/// Errors: [`Error::Argument`] where `kept` is not above 0 and at most 1; [`Error::Tensor`] when memory is short.
pub fn dropout<S: Shape, T: Tape<f32, Cpu>>(
    x: Tensor<S, f32, Cpu, T>,
    kept: f32,
    pass: &mut ForwardContext,
) -> Result<Tensor<S, f32, Cpu, T>> {
    let operation = "dropout";
    if !(kept > 0.0 && kept <= 1.0) {
        return Err(Error::argument(operation, format!("units kept with probability {kept}")));
    }
    if !pass.training() || kept == 1.0 {
        return Ok(x);
    }
    let (x, mut tape) = x.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let xs = elements(&x).unwrap_or_default();
    // Elements of an image; a process that has a part of the batch draws what one process would for these images.
    let each = xs.len() / x.shape().concrete().into_iter().next().unwrap_or(1).max(1);
    let (before, after) =
        pass.part().map_or((0, 0), |part| (part.images().start, part.of() - part.images().end));
    pass.skip(before * each);
    let draws = pass.draws();
    let factors: Vec<f32> =
        xs.iter().map(|_| if draws.random::<f32>() < kept { 1.0 / kept } else { 0.0 }).collect();
    pass.skip(after * each);
    let out = xs.iter().zip(&factors).map(|(x, f)| x * f).collect();
    let y = x.device().try_tensor_from_vec(out, *x.shape()).map_err(Error::tensor(operation))?;
    if T::OWNS_TAPE {
        let (x_ghost, y_ghost) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let dy = take_gradient(gradients.get_or_alloc_mut(&y_ghost)?);
            let dx = gradients.get_or_alloc_mut(&x_ghost)?;
            for ((dx, dy), factor) in dx.iter_mut().zip(dy).zip(factors) {
                *dx += dy * factor;
            }
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}
