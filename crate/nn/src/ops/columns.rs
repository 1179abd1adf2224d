//! Columns of rows: where a part lies in what several parts are together.

use crate::ops::memory::give_back_last;
use std::sync::{Arc, Mutex, PoisonError};

/// Some columns of rows that are `width` long, from column `first` on.
#[derive(Clone, Copy)]
pub(super) struct ColumnsView<'a> {
    rows: &'a [f32],
    first: usize,
    width: usize,
}

impl ColumnsView<'_> {
    /// Copies `columns` numbers of each row from `row` on, as many rows as `to` has, or adds them.
    pub fn give(self, row: usize, columns: usize, to: &mut [f32], add: bool) {
        let rows = self.rows[row * self.width..].chunks_exact(self.width);
        for (to, row) in to.chunks_exact_mut(columns).zip(rows) {
            let from = &row[self.first..][..columns];
            if add {
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            } else {
                to.copy_from_slice(from);
            }
        }
    }
}

/// The same to be written.
pub(super) struct ColumnsMut<'a> {
    pub rows: &'a mut [f32],
    pub first: usize,
    pub width: usize,
}

/// The same, which several have.
pub(super) struct Columns {
    pub rows: Arc<Vec<f32>>,
    pub first: usize,
    pub width: usize,
}

impl Columns {
    /// The rows themselves, where all columns are meant and nobody else has them.
    pub fn whole(self, columns: usize) -> std::result::Result<Vec<f32>, Columns> {
        if columns != self.width {
            return Err(self);
        }
        let Columns { rows, first, width } = self;
        Arc::try_unwrap(rows).map_err(|rows| Columns { rows, first, width })
    }

    pub fn view(&self) -> ColumnsView<'_> {
        ColumnsView { rows: &self.rows, first: self.first, width: self.width }
    }

    /// Nothing more is wanted of them.
    pub fn done(self) {
        give_back_last(self.rows);
    }
}

/// Where a part is told which columns of the gradient are its own.
#[derive(Clone, Default)]
pub(super) struct Place(Arc<Mutex<Option<Columns>>>);

impl Place {
    pub fn put(&self, columns: Columns) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(columns);
    }

    pub fn take(&self) -> Option<Columns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
