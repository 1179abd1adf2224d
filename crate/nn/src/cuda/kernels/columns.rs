//! How numbers lie: pixels and channels, columns beside others.

use super::{Arg, at, count, from, into, kernel, length, run};
use crate::cuda::{Backend, Buffer, Done};

/// `n` images of `channels` and `area` pixels, channel by channel, pixel by pixel.
pub fn pixels<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    to: &mut Buffer<B>,
    [n, area, channels]: [usize; 3],
) -> Done<B> {
    let all = n * area * channels;
    kernel!(b, "pixels", all; x => all, to => all; at::<B>(x), into::<B>(to), count(channels), count(area))
}

/// Columns of a matrix: how many there are in all, and the first of those meant.
pub type Columns = (usize, usize);

/// What a layer gives, or its gradient: columns of a matrix of pixels, which may have others beside them.
pub struct ColumnSlice<'a, B: Backend> {
    pub(super) buffer: &'a Buffer<B>,
    /// Numbers of a row of the matrix.
    pub(super) apart: usize,
    first: usize,
}

impl<B: Backend> Clone for ColumnSlice<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for ColumnSlice<'_, B> {}

impl<'a, B: Backend> ColumnSlice<'a, B> {
    /// These columns of a matrix.
    pub fn new(buffer: &'a Buffer<B>, (apart, first): Columns) -> Self {
        ColumnSlice { buffer, apart, first }
    }

    /// Numbers of the whole matrix of `rows` rows, of which `columns` columns are meant.
    pub(super) fn length(&self, rows: usize, columns: usize) -> usize {
        assert!(
            self.first + columns <= self.apart,
            "{columns} columns from {} of {}",
            self.first,
            self.apart
        );
        rows * self.apart
    }

    /// Where the first one lies, to be read or written.
    pub(super) fn arg(&self) -> Arg<'static> {
        from::<B>(self.buffer, self.first)
    }

    /// The memory, where no other columns are in it.
    pub fn alone(self) -> &'a Buffer<B> {
        assert_eq!(self.first, 0, "columns beside others");
        self.buffer
    }
}

/// `width` columns of `rows` rows of `x` become those of `to`, or are added.
pub fn columns<B: Backend>(
    b: &B,
    x: ColumnSlice<B>,
    to: ColumnSlice<B>,
    [rows, width]: [usize; 2],
    add: bool,
) -> Done<B> {
    kernel!(
        b, "columns", rows * width; x.buffer => x.length(rows, width), to.buffer => to.length(rows, width);
        x.arg(), count(x.apart), to.arg(), count(to.apart), count(width), count(usize::from(add))
    )
}
