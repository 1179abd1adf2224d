//! Theorem 1: two layers and 2n + d weights fit any labels of n points in d dimensions.
//!
//! Expected: random labels of n images are taken to within rounding, whatever n; the weights stay below the
//! bound that lemma 1's smallest eigenvalue gives.

use super::{Product, Recipe, Source, Verdict};
use crate::config::Scale;
use crate::figures::{self, Note};
use crate::measurement::{Measured, Measurement, Quantity, stack};
use crate::study::{Study, thousands};
use crate::{Result, paper};
use polars::prelude::DataFrame;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "theorem1",
    title: "Theorem 1: finite-sample expressivity",
    notebook: "07-expressivity.ipynb",
    source: Source::Measurements { plan, make, verdict },
};

/// Sizes of the sample.
pub fn sizes(scale: Scale) -> &'static [usize] {
    match scale {
        Scale::Smoke => &[10, 50, 200],
        Scale::Small => &[10, 30, 100, 300, 1_000, 2_000],
        Scale::Paper => &[10, 30, 100, 300, 1_000, 3_000, 10_000],
    }
}

fn plan(study: &Study) -> Vec<Measurement> {
    let size = |&n: &usize| Measurement::new(&study.data, (n, 1), Quantity::Theorem1, 1);
    sizes(study.scale).iter().filter(|n| **n <= study.data.train.len()).map(size).collect()
}

/// A row a sample size: `n`, `repeated`, `d`, `weights`, `largest_error`, `smallest_eigenvalue`, `largest_weight`,
/// `weight_bound` (f64).
///
/// Errors: [`crate::Error::Argument`] for no measurement.
pub fn frame(measured: &[Measured]) -> Result<DataFrame> {
    stack(measured)
}

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    Ok(Product::Figure(figures::theorem1::draw(&frame(measured)?, note)?))
}

fn verdict(measured: &[Measured]) -> Verdict {
    let last = measured.last().and_then(|m| {
        let at = |name: &str| m.number(name).ok();
        let (n, d, weights) = (at("n")? as usize, at("d")? as usize, at("weights")? as usize);
        Some(format!(
            "n = {}, d = {}: {} weights, error {:.0e}",
            thousands(n),
            thousands(d),
            thousands(weights),
            at("largest_error")?
        ))
    });
    Verdict { paper: paper::THEOREM1.into(), ours: last.unwrap_or("not measured".into()) }
}
