//! Columns of result frames by name, in every cell of a notebook.
//!
//! polars answers [`DataFrame::column`] of a frame of more than four columns from an index that it builds at the first such
//! call and keeps in the frame, hashed with a seed that each copy of polars draws. The kernel links a copy into every cell:
//! what one cell has looked up by name, a later cell does not find. [`column()`] compares names instead, and leaves the frame
//! without an index.

use crate::{Error, Result};
use polars::prelude::{BooleanChunked, Column, DataFrame, NewChunkedArray, PolarsError, PolarsResult};

/// The column `name` of `frame`: as [`DataFrame::column`], in any cell.
///
/// Errors: [`Error::Frame`] for an absent column, with those that there are.
pub fn column<'a>(frame: &'a DataFrame, name: &str) -> Result<&'a Column> {
    find(frame, name).map_err(Error::frame("look up a column"))
}

/// As [`column()`], with polars' error for the caller to say what was being done.
pub fn find<'a>(frame: &'a DataFrame, name: &str) -> PolarsResult<&'a Column> {
    let found = frame.columns().iter().find(|column| column.name() == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = frame.columns().iter().map(|column| column.name().as_str()).collect();
        PolarsError::ColumnNotFound(format!("{name}; there are {}", names.join(", ")).into())
    })
}

/// `frame` without the index of names that reading or writing it may have left.
pub fn unindexed(frame: DataFrame) -> PolarsResult<DataFrame> {
    DataFrame::new(frame.height(), frame.into_columns())
}

/// The rows of `frame` for which `keep` is true.
///
/// Errors: [`Error::Frame`] where `keep` has another length.
pub fn kept(frame: &DataFrame, keep: &[bool]) -> Result<DataFrame> {
    let mask = BooleanChunked::from_slice("keep".into(), keep);
    frame.filter(&mask).map_err(Error::frame("keep rows of the frame"))
}

/// `frame` with one more column, or with another one of that name.
///
/// Errors: [`Error::Frame`] where it has another length.
pub fn with(frame: &DataFrame, column: Column) -> Result<DataFrame> {
    let mut frame = frame.clone();
    frame.with_column(column).map_err(Error::frame("add a column to the frame"))?;
    Ok(frame)
}
