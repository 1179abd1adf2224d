//! Columns of rows: where a part lies in what several parts are together.

use crate::ops::memory::give_back_last;
use crate::ops::{Image, elements};
use std::sync::{Arc, Mutex, PoisonError};

/// Some columns of rows that are `width` long, from column `first` on.
#[derive(Clone, Copy)]
pub(super) struct ColumnsView<'a> {
    rows: &'a [f32],
    first: usize,
    width: usize,
}

impl<'a> ColumnsView<'a> {
    /// All columns of `rows`.
    pub fn all(rows: &'a [f32], width: usize) -> ColumnsView<'a> {
        ColumnsView { rows, first: 0, width }
    }

    /// The columns of each row from `row` on, `columns` of them.
    pub fn rows(self, row: usize, columns: usize) -> impl Iterator<Item = &'a [f32]> {
        let rows = self.rows[row * self.width..].chunks_exact(self.width);
        rows.map(move |row| &row[self.first..][..columns])
    }

    /// Copies `columns` numbers of each row from `row` on, as many rows as `to` has, or adds them.
    pub fn give(self, row: usize, columns: usize, to: &mut [f32], add: bool) {
        for (to, from) in to.chunks_exact_mut(columns).zip(self.rows(row, columns)) {
            if add {
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            } else {
                to.copy_from_slice(from);
            }
        }
    }
}

/// Mutable columns of rows.
pub(super) struct ColumnsMut<'a> {
    pub rows: &'a mut [f32],
    pub first: usize,
    pub width: usize,
}

/// Columns of rows that several operations share.
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

    /// These columns of other rows.
    pub fn of<'a>(&self, image: &'a Image) -> ColumnsView<'a> {
        ColumnsView { rows: elements(image).unwrap_or_default(), first: self.first, width: self.width }
    }

    /// Nothing more is wanted of them.
    pub fn done(self) {
        give_back_last(self.rows);
    }
}

/// The columns of the gradient that are a part's own, and what they are the gradient of, where one of the parts wants it.
pub(super) struct GradientColumns {
    pub columns: Columns,
    pub result: Option<Image>,
}

/// Where a part is told them.
#[derive(Clone, Default)]
pub(super) struct Place(Arc<Mutex<Option<GradientColumns>>>);

impl Place {
    pub fn put(&self, gradient_columns: GradientColumns) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient_columns);
    }

    pub fn take(&self) -> Option<GradientColumns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
