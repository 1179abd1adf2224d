//! Side by side: the channels of several images of one size.

use crate::ops::memory::{give_back, lent};
use crate::ops::{Image, elements, take_gradient};
use crate::{Error, Result, threads};
use dfdx::prelude::{Cpu, HasShape, PutTape, ReshapeTo, Tape, TensorFromVec};

/// Pixels that a thread takes at a time.
const PIXELS: usize = 128;

/// `n x H x W x (C1 + C2 + ...)` from parts of `n x H x W x C1`, `C2`, ...; `tape` is the one that the
/// parts were made on.
///
/// Errors: [`Error::Shape`] where the parts differ in more than their channels, [`Error::Argument`] without any;
/// [`Error::Tensor`] when memory is short.
pub fn concat<T: Tape<f32, Cpu>>(parts: &[Image], mut tape: T) -> Result<Image<T>> {
    let operation = "concatenation of channels";
    let Some(first) = parts.first() else { return Err(Error::argument(operation, "no parts")) };
    let (n, h, w, _) = *first.shape();
    for part in parts {
        let (a, b, c, _) = *part.shape();
        if (a, b, c) != (n, h, w) {
            return Err(Error::Shape { operation, expected: vec![n, h, w], got: vec![a, b, c] });
        }
    }
    let device = first.device().clone();
    let widths: Vec<usize> = parts.iter().map(|p| p.shape().3).collect();
    let all: usize = widths.iter().sum();
    let parts: Vec<Image> = parts
        .iter()
        .map(|p| p.clone().try_contiguous().map_err(Error::tensor(operation)))
        .collect::<Result<_>>()?;
    let mut out = lent(n * h * w * all);
    let sources: Vec<&[f32]> = parts.iter().map(|p| elements(p).unwrap_or_default()).collect();
    threads::each_chunk(&mut out, PIXELS * all, |part, out| {
        for (pixel, out) in out.chunks_exact_mut(all).enumerate() {
            let (pixel, mut rest) = (part * PIXELS + pixel, out);
            for (source, &width) in sources.iter().zip(&widths) {
                let (to, after) = rest.split_at_mut(width);
                to.copy_from_slice(&source[pixel * width..][..width]);
                rest = after;
            }
        }
    });
    let y = device.try_tensor_from_vec(out, (n, h, w, all)).map_err(Error::tensor(operation))?;
    if T::OWNS_TAPE {
        let (ghosts, y_ghost) = (parts.iter().map(|p| p.ghost()).collect::<Vec<_>>(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let dy = take_gradient(gradients.get_or_alloc_mut(&y_ghost)?);
            let mut first = 0;
            for (ghost, width) in ghosts.iter().zip(widths) {
                threads::each_chunk(gradients.get_or_alloc_mut(ghost)?, PIXELS * width, |part, dx| {
                    for (pixel, dx) in dx.chunks_exact_mut(width).enumerate() {
                        let from = &dy[(part * PIXELS + pixel) * all + first..][..width];
                        dx.iter_mut().zip(from).for_each(|(d, v)| *d += v);
                    }
                });
                first += width;
            }
            give_back(dy);
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}
