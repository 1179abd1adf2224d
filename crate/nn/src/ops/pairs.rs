//! Operands of products in bf16 ([`crate::instructions::bf16`]): two steps of the inner dimension in one element. So a product is packed and
//! walked as one in float32 that is half as many steps long.

use crate::instructions::bf16;
use crate::ops::matrix::{Matrix, SLACK, Shared};
use crate::ops::memory::Scratch;
use crate::threads;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// A block of the left operand: rows `rows` and steps `steps` of `from`, rounded. Returns the distances of two rows and of two pairs in
/// `to`, which has room for `stride` pairs a row.
///
/// # Safety
/// Within [`bf16::dispatch`].
#[inline(always)]
pub(super) unsafe fn pack_left<S: Simd>(
    from: Matrix,
    rows: Range<usize>,
    steps: Range<usize>,
    to: &mut [f32],
    stride: usize,
) -> (usize, usize) {
    let pairs = steps.len().div_ceil(2);
    let Matrix { data, row_stride, col_stride, .. } = from;
    let lanes = S::F32_LANES;
    if col_stride == 1 {
        assert!(pairs <= stride && to.len() >= rows.len() * stride);
        for (row, to) in rows.zip(to.chunks_exact_mut(stride)) {
            let from = &data[row * row_stride + steps.start..][..steps.len()];
            // SAFETY: within `bf16::dispatch`; the pairs of `from` fit.
            unsafe { bf16::neighbours(from, &mut to[..pairs]) };
        }
        return (stride, 1);
    }
    assert!(rows.len() <= lanes && to.len() >= pairs * lanes);
    for (pair, to) in to.chunks_exact_mut(lanes).take(pairs).enumerate() {
        let step = steps.start + 2 * pair;
        let row = |step: usize| &data[step * col_stride + rows.start..][..rows.len()];
        let upper = if step + 1 < steps.end { row(step + 1) } else { &[] };
        // SAFETY: within `bf16::dispatch`; a vector of pairs fits.
        unsafe { bf16::across(row(step), upper, to) };
    }
    (1, lanes)
}

/// A whole right operand, rounded: two rows are one of pairs.
pub(super) struct Pairs {
    memory: Scratch,
    rows: usize,
    cols: usize,
    /// Whether it lies in columns.
    turned: bool,
}

impl Pairs {
    /// Of `from`, which lies in rows or in columns, made in so many parts at once.
    pub(super) fn of_right(from: Matrix, parts: usize) -> Pairs {
        let Matrix { data, rows, cols, row_stride, col_stride, .. } = from;
        let pairs = rows.div_ceil(2);
        let turned = col_stride != 1;
        let mut memory = Scratch::new(pairs * cols + SLACK);
        let places = Shared(memory.as_mut().as_mut_ptr());
        // Lines of the result: rows of pairs, or columns of them.
        let (lines, length) = if turned { (cols, pairs) } else { (pairs, cols) };
        let piece = lines.div_ceil(parts.max(1)).max(1);
        let make = |part: usize| {
            for line in part * piece..((part + 1) * piece).min(lines) {
                // SAFETY: inside the memory; no other part has this line.
                let to = unsafe { std::slice::from_raw_parts_mut(places.at(line * length), length) };
                let operation = if turned {
                    Line::Neighbours { from: &data[line * col_stride..][..rows], to }
                } else {
                    let row = |row: usize| &data[row * row_stride..][..cols];
                    let upper = if 2 * line + 1 < rows { row(2 * line + 1) } else { &[] };
                    Line::Across { lower: row(2 * line), upper, to }
                };
                bf16::dispatch(operation);
            }
        };
        let parts = lines.div_ceil(piece);
        if parts <= 1 {
            (0..parts).for_each(make);
        } else {
            threads::each(parts, make);
        }
        Pairs { memory, rows: pairs, cols, turned }
    }

    /// To multiply with.
    pub(super) fn matrix(&self) -> Matrix<'_> {
        let data = &self.memory.as_ref()[..self.rows * self.cols];
        if self.turned {
            Matrix::new(data, self.cols, self.rows).t()
        } else {
            Matrix::new(data, self.rows, self.cols)
        }
    }

    /// Rows of pairs as they lie, with [`SLACK`] elements behind the last.
    pub(super) fn rows(&self) -> &[f32] {
        self.memory.as_ref()
    }
}

/// A line of a matrix of pairs.
enum Line<'a> {
    Neighbours { from: &'a [f32], to: &'a mut [f32] },
    Across { lower: &'a [f32], upper: &'a [f32], to: &'a mut [f32] },
}

impl WithSimd for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // SAFETY: only sent through `bf16::dispatch`; as many pairs as numbers need.
        unsafe {
            match self {
                Line::Neighbours { from, to } => bf16::neighbours(from, to),
                Line::Across { lower, upper, to } => bf16::across(lower, upper, to),
            }
        }
    }
}
