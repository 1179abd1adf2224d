//! Corollary 1: depth k, width O(n/k), O(n + d) weights fit any labels of n points in d dimensions.
//!
//! Expected: random labels of n images are taken to within rounding at every depth; the width falls as n / k.

use super::{Product, Recipe, Source, Verdict};
use crate::config::Scale;
use crate::figures::{self, Note};
use crate::measurement::{Measured, Measurement, Quantity, stack};
use crate::study::{Study, thousands};
use crate::{Result, paper};
use polars::prelude::DataFrame;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "corollary1",
    title: "Corollary 1: depth for width",
    notebook: "07-expressivity.ipynb",
    source: Source::Measurements { plan, make, verdict },
};

/// Images and depths.
fn sizes(scale: Scale) -> (usize, &'static [usize]) {
    match scale {
        Scale::Smoke => (200, &[3, 5, 8, 13]),
        Scale::Small => (2_000, &[3, 4, 5, 8, 13, 23, 43, 83]),
        Scale::Paper => (10_000, &[3, 4, 5, 8, 13, 23, 43, 83, 163, 323]),
    }
}

fn plan(study: &Study) -> Vec<Measurement> {
    let (n, depths) = sizes(study.scale);
    let at = |&depth: &usize| Measurement::new(&study.data, (n, 1), Quantity::Corollary1 { depth }, 1);
    depths.iter().map(at).collect()
}

/// A row a depth: `n`, `d`, `depth`, `width`, `weights`, `largest_error` (f64).
///
/// Errors: [`crate::Error::Argument`] for no measurement.
pub fn frame(measured: &[Measured]) -> Result<DataFrame> {
    stack(measured)
}

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    Ok(Product::Figure(figures::corollary1::draw(&frame(measured)?, note)?))
}

fn verdict(measured: &[Measured]) -> Verdict {
    let text = |m: &Measured| {
        let at = |name: &str| m.number(name).ok();
        let (depth, width, weights) = (at("depth")? as usize, at("width")? as usize, at("weights")? as usize);
        let error = at("largest_error")?;
        Some(format!(
            "depth {depth}: width {}, {} weights, error {error:.0e}",
            thousands(width),
            thousands(weights)
        ))
    };
    let ends = [measured.first(), measured.last()].into_iter().flatten().filter_map(text);
    let ours = ends.collect::<Vec<_>>().join("; ");
    Verdict {
        paper: paper::COROLLARY1.into(),
        ours: if ours.is_empty() { "not measured".into() } else { ours },
    }
}
