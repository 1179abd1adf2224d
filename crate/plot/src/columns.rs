//! Columns of a frame as plain numbers and texts, checked before they are drawn.

use crate::frames::find;
use crate::{Error, Result};
use polars::prelude::{DataFrame, DataType};

/// The named columns exist, or an error that names the absent ones and what there is.
pub fn need(frame: &DataFrame, operation: &'static str, names: &[&str]) -> Result<()> {
    let absent: Vec<&str> = names.iter().copied().filter(|n| find(frame, n).is_err()).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let found: Vec<&str> = frame.get_column_names().iter().map(|n| n.as_str()).collect();
    let problem = format!(
        "the frame has no column {}; it needs {} and has {}",
        absent.join(", "),
        names.join(", "),
        if found.is_empty() { "none".into() } else { found.join(", ") },
    );
    Err(Error::argument(operation, problem))
}

/// A numeric column as f64, absent values as `None`.
pub fn numbers(frame: &DataFrame, operation: &'static str, name: &str) -> Result<Vec<Option<f64>>> {
    let column = find(frame, name).map_err(Error::frame(operation))?;
    let dtype = column.dtype();
    if !dtype.is_primitive_numeric() && *dtype != DataType::Null {
        return Err(Error::argument(operation, format!("column {name} holds {dtype}, not numbers")));
    }
    let column = column.cast(&DataType::Float64).map_err(Error::frame(operation))?;
    Ok(column.f64().map_err(Error::frame(operation))?.iter().collect())
}

/// A numeric column in which every row has a finite value.
pub fn all_numbers(frame: &DataFrame, operation: &'static str, name: &str) -> Result<Vec<f64>> {
    let values = numbers(frame, operation, name)?.into_iter().enumerate();
    values
        .map(|(row, v)| match v {
            Some(v) if v.is_finite() => Ok(v),
            Some(v) => Err(Error::argument(operation, format!("column {name}, row {row}: {v}"))),
            None => Err(Error::argument(operation, format!("column {name}, row {row}: no value"))),
        })
        .collect()
}

/// A column of text, numbers or booleans as text; every row has a value.
pub fn texts(frame: &DataFrame, operation: &'static str, name: &str) -> Result<Vec<String>> {
    let column = find(frame, name).map_err(Error::frame(operation))?;
    let dtype = column.dtype();
    let plain = dtype.is_primitive_numeric() || dtype.is_bool() || *dtype == DataType::String;
    if !plain && !dtype.is_categorical() {
        let problem = format!("column {name} holds {dtype}, not text, numbers or booleans");
        return Err(Error::argument(operation, problem));
    }
    let column = column.cast(&DataType::String).map_err(Error::frame(operation))?;
    let values = column.str().map_err(Error::frame(operation))?;
    let absent = |row| Error::argument(operation, format!("column {name}, row {row}: no value"));
    values.iter().enumerate().map(|(row, v)| v.map(String::from).ok_or_else(|| absent(row))).collect()
}

/// The distinct values in order of first appearance.
pub fn distinct(values: &[String]) -> Vec<String> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(value) {
            seen.push(value.clone());
        }
    }
    seen
}

/// Mean and sample standard deviation (n - 1; 0 for one value). `values` is not empty.
pub fn mean_sd(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}
