//! Layers as operations on dfdx's tape, built on matrix products that use the whole processor.
//!
//! dfdx 0.13 records a forward operation's gradient with [`Tape::add_backward_op`]; that, and the
//! two borrowing functions below, is all that an operation from outside the crate needs.

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

/// Row-major `rows x cols` matrix, or its transpose, as an operand of [`product`].
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
}

impl<'a> Matrix<'a> {
    /// A view of `rows * cols` elements stored row after row.
    ///
    /// # Panics
    /// When `data` has another length: that is a defect of the caller, not an input.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Matrix<'a> {
        assert_eq!(data.len(), rows * cols, "a {rows}x{cols} matrix");
        Matrix { data, rows, cols, row_stride: cols as isize, col_stride: 1 }
    }

    /// The transpose, without moving anything.
    pub fn t(self) -> Matrix<'a> {
        Matrix {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// `out = left * right`, or `out += left * right` with `add`; `out` is row-major.
///
/// Runs on the current rayon pool. Threads divide the rows and columns of `out`, never the sum, so
/// the result does not depend on their number.
pub fn product(out: &mut [f32], left: Matrix, right: Matrix, add: bool) {
    let (rows, inner, cols) = (left.rows, left.cols, right.cols);
    assert_eq!(inner, right.rows, "product of {rows}x{inner} and {}x{cols}", right.rows);
    assert_eq!(out.len(), rows * cols, "product into a {rows}x{cols} matrix");
    let threads = gemm::Parallelism::Rayon(rayon::current_num_threads());
    // SAFETY: the strides are those of `Matrix::new` over slices of exactly rows * cols elements,
    // and `out` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            rows,
            cols,
            inner,
            out.as_mut_ptr(),
            1,
            cols as isize,
            add,
            left.data.as_ptr(),
            left.col_stride,
            left.row_stride,
            right.data.as_ptr(),
            right.col_stride,
            right.row_stride,
            1.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}
