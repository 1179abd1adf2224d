//! Convolution, batch normalisation and ReLU (the paper's "Conv module", figure 3) as one operation.
//!
//! Between the three, nothing goes on the tape: the gradient of the normalisation goes straight into the convolution's.

use crate::ops::activation::Activation;
use crate::ops::columns::{Columns, Place};
use crate::ops::concat::{Part, Unwritten, concat};
use crate::ops::conv::{self, Conv2d};
use crate::ops::geometry::Geometry;
use crate::ops::linear::InputGradient;
use crate::ops::memory::{give_back, give_back_last, lent};
use crate::ops::norm::{BatchNorm, Channels};
use crate::ops::{DynSize, ForwardContext, Image, add_to, elements};
use crate::{Error, Result};
use dfdx::prelude::{Cpu, HasShape, ReshapeTo, SplitTape, Tape};
use std::sync::Arc;

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
    let (part, tape) = unwritten(conv, norm, x, input_gradient, pass)?;
    concat(vec![Part::Unwritten(part)], tape)
}

/// [`conv_norm`] before its result is written, and the tape.
///
/// Errors: as for [`conv_norm`].
pub(crate) fn unwritten<T: Tape<f32, Cpu>>(
    conv: &Conv2d<f32, Cpu>,
    norm: &BatchNorm<f32, Cpu>,
    x: Image<T>,
    input_gradient: InputGradient,
    pass: &mut ForwardContext,
) -> Result<(Unwritten, T)> {
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
    let part = Unwritten {
        shape: (g.images, g.out_height, g.out_width, width),
        device: x.device().clone(),
        middle: Arc::new(middle),
        by: Arc::new(made),
        gradient: Place::default(),
    };
    if T::OWNS_TAPE {
        let (x_ghost, w_ghost, shift_ghost) = (x.ghost(), weight.ghost(), norm.shift.ghost());
        let Unwritten { middle, by, gradient, .. } = &part;
        let (middle, by, gradient) = (middle.clone(), by.clone(), gradient.clone());
        tape.add_backward_op(move |gradients| {
            // Without one, nobody asks.
            let Some(columns) = gradient.take() else { return Ok(()) };
            let (mut dy, from) = match columns.whole(width) {
                Ok(dy) => (dy, None),
                Err(columns) => (lent(middle.len()), Some(columns)),
            };
            let (shift, _) = by.gradient(&middle, from.as_ref().map(Columns::view), &mut dy);
            if let Some(columns) = from {
                columns.done();
            }
            give_back_last(middle);
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
    }
    Ok((part, tape))
}
