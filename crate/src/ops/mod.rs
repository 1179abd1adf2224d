//! Layers as operations on dfdx's tape, built on matrix products that use the whole processor ([`gemm`]).
//!
//! dfdx 0.13 records a forward operation's gradient with [`Tape::add_backward_op`]; that, and the
//! two borrowing functions below, is all that an operation from outside the crate needs.

pub mod factored;
pub mod gemm;
pub mod linear;

use dfdx::prelude::*;

/// The elements of a contiguous CPU tensor, in row-major order, without a copy.
///
/// `None` where the tensor is a view (permuted, broadcast or sliced) or empty.
pub fn elements<S: Shape, T>(tensor: &Tensor<S, f32, Cpu, T>) -> Option<&[f32]> {
    let (length, first) = contiguous(tensor)?;
    // SAFETY: dfdx keeps a CPU tensor's elements in one `Vec<f32>`; the strides are row-major and
    // without gaps (checked by `contiguous`), so `length` elements start at the first one. They
    // live as long as the tensor is borrowed.
    Some(unsafe { std::slice::from_raw_parts(&tensor[first], length) })
}

/// The elements of a contiguous CPU tensor, to be written. Other holders of the same data keep
/// the old values (dfdx copies on write).
pub fn elements_mut<S: Shape>(tensor: &mut Tensor<S, f32, Cpu>) -> Option<&mut [f32]> {
    let (length, first) = contiguous(tensor)?;
    // SAFETY: as in `elements`; indexing mutably has made this tensor the only owner.
    Some(unsafe { std::slice::from_raw_parts_mut(&mut tensor[first], length) })
}

/// A contiguous tensor's elements, whatever its shape.
pub trait Flat: Send + Sync {
    /// The elements in row-major order; none of a view.
    fn flat(&self) -> &[f32];
}

impl<S: Shape> Flat for Tensor<S, f32, Cpu> {
    fn flat(&self) -> &[f32] {
        elements(self).unwrap_or_default()
    }
}

/// The number of elements and the index of the first, if elements lie row after row without gaps.
/// dfdx keeps strides to itself; where a step along each axis leads tells them.
fn contiguous<S: Shape, T>(tensor: &Tensor<S, f32, Cpu, T>) -> Option<(usize, S::Concrete)> {
    let sizes = tensor.shape().concrete();
    let length = tensor.shape().num_elements();
    let first = S::Concrete::default();
    if length == 0 {
        return None;
    }
    let start = std::ptr::from_ref(&tensor[first]).addr();
    let mut step = length;
    for axis in 0..S::NUM_DIMS {
        step /= sizes[axis];
        if sizes[axis] > 1 {
            let mut next = first;
            next[axis] = 1;
            let reached = std::ptr::from_ref(&tensor[next]).addr();
            if reached != start + step * size_of::<f32>() {
                return None;
            }
        }
    }
    Some((length, first))
}
