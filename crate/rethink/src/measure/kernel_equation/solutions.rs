//! Solutions of the kernel equation: what they share, and the frame that they are recorded in.

use super::{Choice, KernelEquation, OPERATION};
use crate::data::{DataId, Dataset};
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::kernel_methods::dense::Dense;
use rethink_nn::kernel_methods::solve::Solution;
use rethink_nn::models::count_correct;

/// What is the same for all solutions of a measurement.
pub(super) struct Problem<'a> {
    pub(super) dense: Option<&'a dyn Dense>,
    pub(super) data: &'a Dataset,
    pub(super) id: &'a DataId,
    pub(super) classes: usize,
    pub(super) targets: Vec<f64>,
}

/// One row of the frame.
pub(super) struct Row {
    pub(super) dimensions: usize,
    pub(super) filters: usize,
    pub(super) gamma: f64,
    pub(super) ridge: f64,
    /// Ends of the grids of gamma and of l2.
    pub(super) ends: [(f64, f64); 2],
    pub(super) unknowns: usize,
    pub(super) train_error: f64,
    pub(super) test_error: f64,
    pub(super) norm: f64,
    pub(super) solution: Option<Solution>,
    pub(super) features: f64,
}

/// Of each solution that is asked for, whether it has l2.
pub(super) fn wanted(what: &KernelEquation) -> impl Iterator<Item = bool> {
    [(what.plain, false), (what.ridge, true)]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, ridge)| ridge)
}

/// A row for each of the solutions that are asked for.
pub(super) fn rows(
    what: &KernelEquation,
    say: &mut dyn FnMut(&str),
    mut row: impl FnMut(bool, &mut dyn FnMut(&str)) -> Result<Row>,
) -> Result<Vec<Row>> {
    wanted(what).map(|ridge| row(ridge, say)).collect()
}

pub(super) fn frame(choice: Choice, id: &DataId, rows: Vec<Row>) -> Result<DataFrame> {
    let count = |name: &str, value: &dyn Fn(&Row) -> usize| {
        Column::new(name.into(), rows.iter().map(|row| value(row) as f64).collect::<Vec<_>>())
    };
    let number = |name: &str, value: &dyn Fn(&Row) -> f64| {
        Column::new(name.into(), rows.iter().map(value).collect::<Vec<_>>())
    };
    let of = |value: fn(&Solution) -> f64| move |row: &Row| row.solution.as_ref().map_or(f64::NAN, value);
    let mut columns = vec![
        count("n", &|_| id.train),
        count("test", &|_| id.test),
        count("dimensions", &|r| r.dimensions),
        count("filters", &|r| r.filters),
        number("gamma", &|r| r.gamma),
        number("ridge", &|r| r.ridge),
        count("unknowns", &|r| r.unknowns),
        number("train_error", &|r| r.train_error),
        number("test_error", &|r| r.test_error),
        number("norm", &|r| r.norm),
        number("residual", &of(|s| s.residual)),
        number("steps", &of(|s| s.steps as f64)),
        number("jitter", &of(|s| s.jitter)),
        number("floor", &of(|s| s.floor)),
    ];
    if choice == Choice::Inside {
        columns.extend([
            number("gamma_low", &|r| r.ends[0].0),
            number("gamma_high", &|r| r.ends[0].1),
            number("ridge_low", &|r| r.ends[1].0),
            number("ridge_high", &|r| r.ends[1].1),
        ]);
    }
    columns.extend([
        number("seconds_features", &|r| r.features),
        number("seconds_matrix", &of(|s| s.seconds[0])),
        number("seconds_factor", &of(|s| s.seconds[1])),
        number("seconds_steps", &of(|s| s.seconds[2])),
    ]);
    DataFrame::new(rows.len(), columns).map_err(Error::frame(OPERATION))
}

/// The share of rows whose largest output is not the label's: as [`count_correct`], a row with a NaN is wrong, and of equal outputs the
/// first wins.
pub fn error(outputs: &[f64], labels: &[u16], columns: usize) -> f64 {
    let rows = outputs.len() / columns;
    (rows - count_correct(outputs, labels, columns)) as f64 / rows.max(1) as f64
}

/// An inner product that is 0 or more but for rounding; NaN where one of the numbers is.
pub(super) fn inner(a: &[f64], b: &[f64]) -> f64 {
    let sum = a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    if sum < 0.0 { 0.0 } else { sum }
}
