//! Convolution, batch normalisation and ReLU (the paper's "Conv module", figure 3) as one operation.
//!
//! Between the three, nothing goes on the tape: the gradient of the normalisation is made in place of
//! the gradient that comes in, and goes straight into the convolution's.

use crate::ops::activation::Activation;
use crate::ops::conv::{self, Conv2d};
use crate::ops::geometry::Geometry;
use crate::ops::linear::InputGradient;
use crate::ops::memory::{give_back, lent};
use crate::ops::norm::{BatchNorm, Channels};
use crate::ops::{DynSize, ForwardContext, Image, add_to, elements, take_gradient};
use crate::{Error, Result};
use dfdx::prelude::{Cpu, HasShape, PutTape, ReshapeTo, SplitTape, Tape, TensorFromVec};

/// [`conv::conv2d`], then [`crate::ops::norm::batch_norm`] with a ReLU: `n x H x W x C` to `n x H' x W' x O`,
/// or as the pass has them in order.
///
/// Errors: as theirs.
pub fn conv_norm<T: Tape<f32, Cpu>>(
    conv: &Conv2d<f32, Cpu>,
    norm: &BatchNorm<f32, Cpu>,
    x: Image<T>,
    input_gradient: InputGradient,
    pass: &mut ForwardContext,
) -> Result<Image<T>> {
    let operation = "convolution with batch normalisation";
    let shape = *x.shape();
    let (_, _, DynSize(inputs), DynSize(outputs)) = *conv.weight.shape();
    let order = pass.order();
    if shape.3 != inputs * order.lanes() || norm.shift.shape().0.0 != outputs {
        return Err(Error::Shape { operation, expected: vec![inputs, outputs], got: vec![shape.3] });
    }
    let g = Geometry::new(operation, shape, conv.window, outputs)?.ordered(order).rounded(conv.precision);
    let width = outputs * order.lanes();
    let (x, mut tape) = x.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let weight = conv.weight.clone();
    let mut middle = lent(g.images * g.out_pixels() * width);
    if let (Some(x), Some(weight)) = (elements(&x), elements(&weight)) {
        conv::forward(&g, x, weight, &mut middle, false);
    }
    let made = Channels::new(norm, None, &middle, Activation::Relu, pass);
    let shape = (g.images, g.out_height, g.out_width, width);
    let y = x.device().try_tensor_from_vec(made.apply(&middle), shape).map_err(Error::tensor(operation))?;
    if T::OWNS_TAPE {
        let (x_ghost, w_ghost, y_ghost) = (x.ghost(), weight.ghost(), y.ghost());
        let shift_ghost = norm.shift.ghost();
        tape.add_backward_op(move |gradients| {
            let mut dy = take_gradient(gradients.get_or_alloc_mut(&y_ghost)?);
            let (shift, _) = made.gradient(&middle, &mut dy);
            give_back(middle);
            add_to(gradients.get_or_alloc_mut(&shift_ghost)?, &shift);
            if let (Some(x), Some(weight)) = (elements(&x), elements(&weight)) {
                conv::weight_gradient(&g, x, &dy, gradients.get_or_alloc_mut(&w_ghost)?);
                if input_gradient != InputGradient::Skipped {
                    input_gradient.give(gradients.get_or_alloc_mut(&x_ghost)?, |dx, add| {
                        conv::input_gradient(&g, &dy, weight, dx, add);
                    });
                }
            }
            give_back(dy);
            Ok(())
        });
    } else {
        give_back(middle);
    }
    Ok(y.put_tape(tape))
}
