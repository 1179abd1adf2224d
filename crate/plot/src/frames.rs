//! Columns and rows of result frames.

use crate::{Error, Result};
use polars::prelude::{BooleanChunked, Column, DataFrame, NewChunkedArray, PolarsError, PolarsResult};

/// The column `name` of `frame`: as [`DataFrame::column`], with an error that names the columns that there are.
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
