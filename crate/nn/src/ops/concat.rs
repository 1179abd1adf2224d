//! Side by side: the channels of several images of one size.
//!
//! What a convolution gives is normalised, or has its bias and is rectified, on the way to its place here, and its gradient is read among
//! the other parts': neither is copied.

use crate::ops::activation::{self, Activation};
use crate::ops::columns::{Columns, ColumnsMut, GradientColumns, Place};
use crate::ops::linear::InputGradient;
use crate::ops::memory::{give_back_last, lent};
use crate::ops::norm::Channels;
use crate::ops::{Image, address, elements, take_gradient};
use crate::{Error, Result, threads};
use dfdx::prelude::{Cpu, HasShape, PutTape, ReshapeTo, Tape, TensorFromVec};
use std::sync::Arc;

/// Pixels that a thread takes at a time.
const PIXELS: usize = 128;

/// A convolution's sums, and what is to follow them: a concatenation does that where it wants the result, and says where its gradient lies.
pub struct PendingConv {
    pub(super) shape: (usize, usize, usize, usize),
    pub(super) device: Cpu,
    pub(super) sums: Arc<Vec<f32>>,
    pub(super) epilogue: Arc<Epilogue>,
    pub(super) gradient: Place,
}

/// What follows a convolution's sums.
pub(super) enum Epilogue {
    /// Batch normalisation and its rectifier.
    Norm(Channels),
    /// A bias for every number of a pixel, and the activation.
    Bias(Vec<f32>, Activation),
}

impl Epilogue {
    /// The rows `sums`, into the columns of `to`.
    fn write(&self, sums: &[f32], to: ColumnsMut) {
        match self {
            Epilogue::Norm(channels) => channels.apply_to(sums, to),
            Epilogue::Bias(bias, activation) => activation::finish_to(sums, to, bias, *activation),
        }
    }

    /// Whether the gradient depends on the result.
    pub(super) fn wants_result(&self) -> bool {
        matches!(self, Epilogue::Bias(_, Activation::Relu))
    }
}

/// What a concatenation is made of.
pub enum Part {
    /// Images as they are, and whether the concatenation is the first to give them a gradient in the backward pass: whatever else uses
    /// them comes before it on the tape, or is the same concatenation.
    Image(Image, InputGradient),
    /// Those of a convolution.
    PendingConv(PendingConv),
}

impl Part {
    fn shape(&self) -> (usize, usize, usize, usize) {
        match self {
            Part::Image(image, _) => *image.shape(),
            Part::PendingConv(part) => part.shape,
        }
    }

    fn device(&self) -> Cpu {
        match self {
            Part::Image(image, _) => image.device().clone(),
            Part::PendingConv(part) => part.device.clone(),
        }
    }

    /// It is written, and nothing else is wanted of it.
    fn done(self) {
        if let Part::PendingConv(part) = self {
            give_back_last(part.sums);
        }
    }

    /// The rows from `row` on, into the columns of `to`.
    fn write(&self, row: usize, to: ColumnsMut) {
        match self {
            Part::Image(image, _) => {
                let width = image.shape().3;
                let from = elements(image).unwrap_or_default()[row * width..].chunks_exact(width);
                for (to, from) in to.rows.chunks_exact_mut(to.width).map(|r| &mut r[to.first..]).zip(from) {
                    to[..width].copy_from_slice(from);
                }
            }
            Part::PendingConv(part) => part.epilogue.write(&part.sums[row * part.shape.3..], to),
        }
    }

    fn wants_result(&self) -> bool {
        matches!(self, Part::PendingConv(part) if part.epilogue.wants_result())
    }
}

/// The parts' rows side by side, `all` numbers each.
fn written(parts: &mut [Part], widths: &[usize], rows: usize, all: usize) -> Vec<f32> {
    if let [Part::PendingConv(part)] = parts
        && let Epilogue::Bias(bias, activation) = &*part.epilogue
        && let Some(sums) = Arc::get_mut(&mut part.sums)
    {
        // Nobody wants the sums any more: the result takes their place.
        let mut out = std::mem::take(sums);
        activation::finish(&mut out, all, Some(bias), *activation);
        return out;
    }
    let mut out = lent(rows * all);
    threads::each_chunk(&mut out, PIXELS * all, |chunk, out| {
        let mut first = 0;
        for (part, width) in parts.iter().zip(widths) {
            part.write(chunk * PIXELS, ColumnsMut { rows: out, first, width: all });
            first += width;
        }
    });
    out
}

/// Who takes a part's gradient.
enum GradientTaker<Ghost> {
    Image(Ghost, InputGradient),
    PendingConv(Place),
}

/// `n x H x W x (C1 + C2 + ...)` from parts of `n x H x W x C1`, `C2`, ...; `tape` is the one that the
/// parts were made on.
///
/// Errors: [`Error::Shape`] where the parts differ in more than their channels, [`Error::Argument`] without any;
/// [`Error::Tensor`] when memory is short.
pub fn concat<T: Tape<f32, Cpu>>(parts: Vec<Part>, mut tape: T) -> Result<Image<T>> {
    let operation = "concatenation of channels";
    let Some(first) = parts.first() else { return Err(Error::argument(operation, "no parts")) };
    let (n, h, w, _) = first.shape();
    for part in &parts {
        let (a, b, c, _) = part.shape();
        if (a, b, c) != (n, h, w) {
            return Err(Error::Shape { operation, expected: vec![n, h, w], got: vec![a, b, c] });
        }
    }
    let device = first.device();
    let whole = |part| match part {
        Part::Image(image, gradient) => {
            let image = image.try_contiguous().map_err(Error::tensor(operation))?;
            Ok(Part::Image(image, gradient))
        }
        part => Ok(part),
    };
    let mut parts: Vec<Part> = parts.into_iter().map(whole).collect::<Result<_>>()?;
    let widths: Vec<usize> = parts.iter().map(|p| p.shape().3).collect();
    let all: usize = widths.iter().sum();
    let out = written(&mut parts, &widths, n * h * w, all);
    let y = device.try_tensor_from_vec(out, (n, h, w, all)).map_err(Error::tensor(operation))?;
    if T::OWNS_TAPE {
        let taker = |(i, part): (usize, &Part)| match part {
            Part::Image(image, gradient) => {
                // A part that is there twice has two gradients.
                let same = |other: &Part| matches!(other, Part::Image(o, _) if address(o) == address(image));
                let again = parts[..i].iter().any(same);
                let mode = if again { InputGradient::Needed } else { *gradient };
                GradientTaker::Image(image.ghost(), mode)
            }
            Part::PendingConv(part) => GradientTaker::PendingConv(part.gradient.clone()),
        };
        let takers: Vec<_> = parts.iter().enumerate().map(taker).collect();
        let y_ghost = y.ghost();
        let y_kept = parts.iter().any(Part::wants_result).then(|| y.clone());
        tape.add_backward_op(move |gradients| {
            let rows = Arc::new(take_gradient(gradients.get_or_alloc_mut(&y_ghost)?));
            let mut first = 0;
            for (taker, width) in takers.into_iter().zip(widths) {
                let from = Columns { rows: rows.clone(), first, width: all };
                match taker {
                    GradientTaker::PendingConv(place) => {
                        place.put(GradientColumns { columns: from, result: y_kept.clone() })
                    }
                    GradientTaker::Image(ghost, mode) => {
                        let from = from.view();
                        mode.give(gradients.get_or_alloc_mut(&ghost)?, |dx, add| {
                            threads::each_chunk(dx, PIXELS * width, |chunk, dx| {
                                from.give(chunk * PIXELS, width, dx, add);
                            });
                        });
                    }
                }
                first += width;
            }
            give_back_last(rows);
            Ok(())
        });
    }
    parts.into_iter().for_each(Part::done);
    Ok(y.put_tape(tape))
}
