//! Matrix products, and the numbers that they read as these are stored.

use super::{Arg, address, alloc, at, count, int, into, kernel, length, run};
use crate::cuda::{Backend, Buffer, Done, Fault, Sgemm};
use crate::precision::Precision;
use std::sync::Arc;

/// Room, in numbers of memory, for so many of a product's factor.
pub fn stored(precision: Precision, numbers: usize) -> usize {
    match precision {
        Precision::Float32 => numbers,
        Precision::Bf16 => numbers.div_ceil(2),
    }
}

/// Numbers on the device that products read, as they were made or rounded.
pub struct Numbers<B: Backend> {
    pub buffer: Arc<Buffer<B>>,
    pub(super) precision: Precision,
}

impl<B: Backend> Numbers<B> {
    /// So many of `x`, in `precision`: a copy where that is not float32.
    pub fn new(b: &B, precision: Precision, x: Arc<Buffer<B>>, all: usize) -> Result<Self, Fault<B>> {
        Ok(rounded(b, precision, &x, all)?.unwrap_or(Numbers { buffer: x, precision }))
    }

    /// `rows x columns` of them, row after row, from the number `first` on.
    pub fn matrix(&self, first: usize, rows: usize, columns: usize) -> Factor<'_, B> {
        Factor { buffer: &self.buffer, first, rows, columns, transposed: false, precision: self.precision }
    }
}

/// A copy of so many of `x`, rounded to `precision`; none for float32, where products read `x` itself.
pub fn rounded<B: Backend>(
    b: &B,
    precision: Precision,
    x: &Buffer<B>,
    all: usize,
) -> Result<Option<Numbers<B>>, Fault<B>> {
    if precision.is_float32() {
        return Ok(None);
    }
    let mut to = alloc(b, stored(precision, all))?;
    kernel!(
        b, "rounded", all; x => all, &to => stored(precision, all);
        at::<B>(x), into::<B>(&mut to)
    )?;
    Ok(Some(Numbers { buffer: Arc::new(to), precision }))
}

pub(super) fn is_rounded(precision: Precision) -> Arg<'static> {
    count(usize::from(!precision.is_float32()))
}

/// A row-major matrix in a buffer, from a number on: or its transpose.
pub struct Factor<'a, B: Backend> {
    buffer: &'a Buffer<B>,
    first: usize,
    rows: usize,
    columns: usize,
    transposed: bool,
    /// As its numbers are stored.
    precision: Precision,
}

impl<B: Backend> Clone for Factor<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Factor<'_, B> {}

/// `rows x columns`, row after row, from the number `first` on of a buffer of this backend.
pub fn matrix<'a, B: Backend>(
    _: &B,
    buffer: &'a Buffer<B>,
    first: usize,
    rows: usize,
    columns: usize,
) -> Factor<'a, B> {
    Factor { buffer, first, rows, columns, transposed: false, precision: Precision::Float32 }
}

impl<B: Backend> Factor<'_, B> {
    /// The transpose.
    pub fn t(self) -> Self {
        Factor { transposed: !self.transposed, ..self }
    }

    /// The same of numbers that are stored in `precision`.
    pub fn stored(self, precision: Precision) -> Self {
        Factor { precision, ..self }
    }

    /// Rows and columns of what is multiplied.
    fn sizes(&self) -> (usize, usize) {
        if self.transposed { (self.columns, self.rows) } else { (self.rows, self.columns) }
    }

    fn address(&self) -> u64 {
        match self.precision {
            Precision::Float32 => address::<B>(self.buffer, self.first),
            Precision::Bf16 => B::address(self.buffer) + (self.first * size_of::<u16>()) as u64,
        }
    }
}

/// `to = left * right`, row-major from the number `first` on, or `+=`.
pub fn product<B: Backend>(
    b: &B,
    to: (&mut Buffer<B>, usize),
    left: Factor<B>,
    right: Factor<B>,
    add: bool,
) -> Done<B> {
    products(b, 1, to, left, right, add)
}

/// `batch` products, of factors that lie one after the other, as the results do.
pub fn products<B: Backend>(
    b: &B,
    batch: usize,
    (to, first): (&mut Buffer<B>, usize),
    left: Factor<B>,
    right: Factor<B>,
    add: bool,
) -> Done<B> {
    let ((rows, inner), (inner_too, columns)) = (left.sizes(), right.sizes());
    assert_eq!(inner, inner_too, "inner sizes of a product");
    for factor in [&left, &right] {
        let last = factor.first + batch * factor.rows * factor.columns;
        assert!(length(b, factor.buffer) >= stored(factor.precision, last), "a factor");
    }
    assert_eq!(left.precision, right.precision, "precision of a product's factors");
    assert!(length(b, to) >= first + batch * rows * columns, "a product");
    // Column-major, the transpose of everything: to' = right' left'. A row-major matrix is a column-major transpose.
    let product = Sgemm {
        transpose_a: right.transposed,
        transpose_b: left.transposed,
        m: int(columns),
        n: int(rows),
        k: int(inner),
        a: right.address(),
        lda: int(right.columns),
        b: left.address(),
        ldb: int(left.columns),
        beta: if add { 1.0 } else { 0.0 },
        c: address::<B>(to, first),
        ldc: int(columns),
        batch: int(batch),
        apart: [right.rows * right.columns, left.rows * left.columns, rows * columns].map(|n| n as i64),
        precision: left.precision,
    };
    // SAFETY: lengths have been checked.
    unsafe { b.sgemm(&product) }
}
