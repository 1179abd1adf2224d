//! Convolution, batch normalisation and ReLU (the paper's "Conv module", figure 3) as one operation.
//!
//! Between the three, nothing goes on the tape: the gradient of the normalisation goes straight into the convolution's.

use crate::ops::activation::Activation;
use crate::ops::concat::{Epilogue, Part, PendingConv, concat};
use crate::ops::conv::{self, Conv2d};
use crate::ops::linear::InputGradient;
use crate::ops::norm::{BatchNorm, Channels};
use crate::ops::{ForwardContext, Image};
use crate::{Error, Result};
use dfdx::prelude::{Cpu, HasShape, Tape};

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
    let (part, tape) = pending(conv, norm, x, input_gradient, pass)?;
    concat(vec![Part::PendingConv(part)], tape)
}

/// [`conv_norm`] before its result is written, and the tape.
///
/// Errors: as for [`conv_norm`].
pub(crate) fn pending<T: Tape<f32, Cpu>>(
    conv: &Conv2d<f32, Cpu>,
    norm: &BatchNorm<f32, Cpu>,
    x: Image<T>,
    input_gradient: InputGradient,
    pass: &mut ForwardContext,
) -> Result<(PendingConv, T)> {
    let (outputs, channels) = (conv.outputs(), norm.shift.shape().0.0);
    if channels != outputs {
        let operation = "convolution with batch normalisation";
        return Err(Error::Shape { operation, expected: vec![outputs], got: vec![channels] });
    }
    let order = pass.order();
    let epilogue = |sums: &[f32]| Epilogue::Norm(Channels::new(norm, None, sums, Activation::Relu, pass));
    conv::followed(conv, x, input_gradient, order, Some(&norm.shift), epilogue)
}
