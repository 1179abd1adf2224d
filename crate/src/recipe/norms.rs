//! Section 5's last remark, as a figure: the norm of the minimum-norm solution does not predict its test error.
//!
//! Expected at paper scale on MNIST: the norm is near 220 on pixels and larger with wavelets, whose error is half. On
//! each curve, more images give a larger norm and a smaller error.

use super::table3::{equation, sizes, solved};
use super::{Product, Recipe, Source, Verdict};
use crate::figures::{self, Note};
use crate::kernels::equation::Preprocessing;
use crate::kernels::gabor::Gabor;
use crate::measurement::{Measured, Measurement};
use crate::study::Study;
use crate::{Error, Result, paper};
use polars::prelude::*;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "norms",
    title: "Section 5: norm and test error",
    notebook: "08-kernels.ipynb",
    source: Source::Measurements { plan, make, verdict },
};

/// Sixteenth, fourth and whole of the training images, without l2, and the whole with it.
fn plan(study: &Study) -> Vec<Measurement> {
    let mut all = Vec::new();
    for data in study.datasets() {
        let (train, test) = sizes(study.scale);
        let train = train.min(data.train.len());
        for preprocessing in [Preprocessing::None, Preprocessing::Gabor(Gabor::default())] {
            for n in [train / 16, train / 4, train] {
                // Fewer than that are no sample of ten classes.
                if n >= 100 {
                    all.push(equation(data, (n, test), preprocessing.clone(), (true, false)));
                }
            }
            all.push(equation(data, (train, test), preprocessing, (false, true)));
        }
    }
    all
}

/// A row a solution: `series` (data set and pre-processing), `n`, `ridge`, `norm`, `train_error`, `test_error` (f64, 0 to
/// 1).
///
/// Errors: [`Error::Frame`].
pub fn frame(measured: &[Measured]) -> Result<DataFrame> {
    let solutions = solved(measured);
    let series = solutions.iter().map(|s| {
        let pixels = s.what.preprocessing == Preprocessing::None;
        let what = if pixels { "pixels" } else { s.what.preprocessing.title() };
        format!("{}, {what}", s.measured.record.measurement.data.title)
    });
    let mut columns = vec![Column::new("series".into(), series.collect::<Vec<_>>())];
    for name in ["n", "ridge", "norm", "train_error", "test_error"] {
        let values: Vec<f64> = solutions.iter().map(|s| s.number(name).unwrap_or(f64::NAN)).collect();
        columns.push(Column::new(name.into(), values));
    }
    DataFrame::new(solutions.len(), columns).map_err(Error::frame("the frame of norms"))
}

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    Ok(Product::Figure(figures::norms::draw(&frame(measured)?, note)?))
}

fn verdict(measured: &[Measured]) -> Verdict {
    let solutions = solved(measured);
    let largest = solutions.iter().filter_map(|s| s.number("n")).fold(0.0, f64::max);
    let mut parts = Vec::new();
    for preprocessing in ["none", "gabor filters"] {
        let of = |ridge: bool| {
            let found = solutions.iter().find(|s| {
                s.what.preprocessing.title() == preprocessing
                    && (s.ridge() > 0.0) == ridge
                    && s.number("n") == Some(largest)
            })?;
            Some((found.number("norm")?, 100.0 * found.number("test_error")?))
        };
        if let (Some((norm, error)), Some((_, with))) = (of(false), of(true)) {
            parts.push(format!("{preprocessing}: norm {norm:.0}, {error:.1} % (l2: {with:.1} %)"));
        }
    }
    let ours = if parts.is_empty() { "not measured".into() } else { parts.join("; ") };
    Verdict { paper: paper::NORMS.into(), ours }
}
