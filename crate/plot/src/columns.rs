//! Columns of a frame as plain numbers and texts, checked before they are drawn.

use crate::frames::find;
use crate::{Error, Result};
use polars::prelude::{DataFrame, DataType};
use std::collections::{HashMap, HashSet};

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

/// A column of text, numbers or booleans as text, as [`names`] has it; every row has a value.
pub fn texts(frame: &DataFrame, operation: &'static str, name: &str) -> Result<Vec<String>> {
    Ok(names(frame, operation, name)?.rows)
}

/// What the values of a column are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Row by row.
    pub rows: Vec<String>,
    /// Each once: of text in order of first appearance, of numbers and booleans in rising order.
    pub distinct: Vec<String>,
}

/// The names of a column of text, numbers ("1", "0.1", "1e-5") or booleans ("false", "true") in which every row has a value.
///
/// Errors: [`Error::Argument`] for a column of another kind, for a row without a value, and for one that is infinite or undefined.
pub fn names(frame: &DataFrame, operation: &'static str, name: &str) -> Result<Names> {
    let column = find(frame, name).map_err(Error::frame(operation))?;
    let dtype = column.dtype();
    if dtype.is_float() {
        // A float32 of 0.1 is called so, and not by its digits as a float64.
        let single = *dtype != DataType::Float64;
        let places = all_numbers(frame, operation, name)?;
        let called = |v: &f64| if single { number_name(*v as f32) } else { number_name(*v) };
        return Ok(Names::rising(places.iter().map(called).collect(), &places));
    }
    if !dtype.is_integer() && !dtype.is_bool() && !is_text(dtype) {
        let problem = format!("column {name} holds {dtype}, not text, numbers or booleans");
        return Err(Error::argument(operation, problem));
    }
    let written = column.cast(&DataType::String).map_err(Error::frame(operation))?;
    let written = written.str().map_err(Error::frame(operation))?;
    let absent = |row| Error::argument(operation, format!("column {name}, row {row}: no value"));
    let value = |(row, v): (usize, Option<&str>)| v.map(String::from).ok_or_else(|| absent(row));
    let rows: Vec<String> = written.iter().enumerate().map(value).collect::<Result<_>>()?;
    if dtype.is_integer() {
        return Ok(Names::rising(rows, &all_numbers(frame, operation, name)?));
    }
    let mut distinct = distinct(&rows);
    if dtype.is_bool() {
        distinct.sort();
    }
    Ok(Names { rows, distinct })
}

impl Names {
    /// Names of rows with a number each, which gives the order.
    fn rising(rows: Vec<String>, places: &[f64]) -> Names {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|&a, &b| places[a].total_cmp(&places[b]));
        let in_order: Vec<String> = order.into_iter().map(|row| rows[row].clone()).collect();
        Names { distinct: distinct(&in_order), rows }
    }
}

/// A number that tells the values of a column apart, row by row: of a column of numbers themselves, of another the place of its
/// name among [`names`].
///
/// Errors: those of [`names`] and [`all_numbers`].
pub fn ranks(frame: &DataFrame, operation: &'static str, name: &str) -> Result<Vec<f64>> {
    let dtype = find(frame, name).map_err(Error::frame(operation))?.dtype();
    if dtype.is_primitive_numeric() {
        return all_numbers(frame, operation, name);
    }
    let names = names(frame, operation, name)?;
    let places: HashMap<&String, usize> = names.distinct.iter().zip(0..).collect();
    Ok(names.rows.iter().map(|name| places[name] as f64).collect())
}

/// Whether a column of this type holds text.
pub fn is_text(dtype: &DataType) -> bool {
    *dtype == DataType::String || dtype.is_categorical()
}

/// As short as it can be read back: "0.1", "1", "1e-5".
fn number_name<T: Into<f64> + Copy + std::fmt::Display + std::fmt::LowerExp>(value: T) -> String {
    match value.into().abs() {
        0.0 => "0".into(),
        v if (1e-4..1e7).contains(&v) => value.to_string(),
        _ => format!("{value:e}"),
    }
}

/// The distinct values in order of first appearance.
pub fn distinct(values: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    values.iter().filter(|value| seen.insert(*value)).cloned().collect()
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
