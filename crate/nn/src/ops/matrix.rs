//! Matrices as they lie in memory, for [`crate::ops::gemm`].

/// Row-major `rows x cols` matrix, or its transpose, as an operand of [`crate::ops::gemm::product`].
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
    /// Its elements are pairs of bf16 numbers already.
    pub(super) pairs: bool,
}

impl<'a> Matrix<'a> {
    /// A view of `rows * cols` elements stored row after row.
    ///
    /// # Panics
    /// When `data` has another length: that is a defect of the caller, not an input.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Matrix<'a> {
        assert_eq!(data.len(), rows * cols, "a {rows}x{cols} matrix");
        Matrix { data, rows, cols, row_stride: cols, col_stride: 1, pairs: false }
    }

    /// A view of rows of `cols` elements, `stride` elements apart.
    ///
    /// # Panics
    /// When `data` ends before the last row does.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Matrix<'a> {
        assert!(cols <= stride && (rows == 0 || data.len() >= (rows - 1) * stride + cols));
        Matrix { data, rows, cols, row_stride: stride, col_stride: 1, pairs: false }
    }

    /// Windows of `cols` elements of a line, `stride` elements apart: a row each, which may have elements in common.
    ///
    /// # Panics
    /// When `data` ends before the last row does.
    pub fn windows(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Matrix<'a> {
        assert!(rows == 0 || data.len() >= (rows - 1) * stride + cols);
        Matrix { data, rows, cols, row_stride: stride, col_stride: 1, pairs: false }
    }

    /// Some of its columns.
    pub(crate) fn columns(self, columns: std::ops::Range<usize>) -> Matrix<'a> {
        assert!(!self.pairs && columns.end <= self.cols, "columns {columns:?} of {}", self.cols);
        Matrix { data: &self.data[columns.start * self.col_stride..], cols: columns.len(), ..self }
    }

    /// As a left operand whose elements are pairs of steps ([`crate::ops::pairs`]).
    pub(super) fn of_pairs(self) -> Matrix<'a> {
        Matrix { pairs: true, ..self }
    }

    /// Steps of the inner dimension that it has as a left operand, in the right operand's elements.
    pub(super) fn steps(&self, right_of_pairs: bool) -> usize {
        if right_of_pairs && !self.pairs { self.cols.div_ceil(2) } else { self.cols }
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

/// Elements that have to be readable behind the last row of a right operand that is not packed and whose columns do not fill panels: whole
/// vectors are read, two of AVX-512.
pub const SLACK: usize = 32;

/// Memory that several threads write, each at places of its own.
#[derive(Clone, Copy)]
pub(super) struct Shared(pub(super) *mut f32);
// SAFETY: a pointer is only dereferenced where its user shows that nobody else has the place.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(super) fn at(self, index: usize) -> *mut f32 {
        self.0.wrapping_add(index)
    }
}
