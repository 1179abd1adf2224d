//! Theorem 1: two layers and 2n + d weights fit any labels of n points in d dimensions.
//!
//! Expected: random labels of n images are taken to within rounding, whatever n; the weights stay below the
//! bound that lemma 1's smallest eigenvalue gives.

use crate::measure::{Measured, Measurement, Quantity, stack};
use crate::paper::Setting;
use crate::paper::reported;
use crate::paper::{Parts, Product, Recipe, Verdict};
use crate::run::config::Scale;
use crate::{Error, Result};
use polars::prelude::DataFrame;
use rethink_nn::text::thousands;
use rethink_plot::columns::{all_numbers, need};
use rethink_plot::{Chart, Drawing, Note, axis};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "theorem1",
    title: "Theorem 1: finite-sample expressivity",
    notebook: "07-expressivity.ipynb",
    source: Parts::Measurements { plan, make, verdict },
};

/// Sizes of the sample.
pub fn sizes(scale: Scale) -> &'static [usize] {
    match scale {
        Scale::Smoke => &[10, 50, 200],
        Scale::Small => &[10, 30, 100, 300, 1_000, 2_000],
        Scale::Paper => &[10, 30, 100, 300, 1_000, 3_000, 10_000],
    }
}

/// Images of the smallest sample: with fewer, nothing is measured.
pub(super) fn fewest(scale: Scale) -> usize {
    sizes(scale)[0]
}

fn plan(setting: &Setting) -> Vec<Measurement> {
    let size = |&n: &usize| Measurement::new(setting.data(), (n, 1), Quantity::Theorem1, 1);
    sizes(setting.scale).iter().filter(|n| **n <= setting.data().train.len()).map(size).collect()
}

/// One row per sample size: `n`, `repeated`, `d`, `weights`, `largest_error`, `smallest_eigenvalue`, `largest_weight`,
/// `weight_bound` (f64).
///
/// Errors: [`crate::Error::Argument`] for no measurement.
pub fn frame(measured: &[Measured]) -> Result<DataFrame> {
    stack(measured)
}

const DRAW: &str = "draw theorem 1";

/// Draws the largest weight of the constructed network, lemma 1's bound on it and the largest error of the fit
/// against the number of points, both axes logarithmic.
///
/// `frame`, one row per sample: `n`, `largest_weight`, `weight_bound`, `largest_error` (above 0; an exact fit
/// is drawn at the foot of the axis and said under the plot).
///
/// Errors: absent or mistyped columns, numbers that are not positive, no row.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["n", "largest_weight", "weight_bound", "largest_error"])?;
    let n = all_numbers(frame, DRAW, "n")?;
    let series = [
        ("weight_bound", "bound on weights"),
        ("largest_weight", "largest weight"),
        ("largest_error", "largest error"),
    ];
    for (column, _) in series {
        let values = all_numbers(frame, DRAW, column)?;
        if let Some(row) = (0..n.len()).find(|row| values[*row] < 0.0 || n[*row] < 1.0) {
            let problem = format!("column {column}, row {row}: {} at n = {}", values[row], n[row]);
            return Err(Error::argument(DRAW, problem));
        }
    }
    let drawing = Chart::of_columns(frame, "n", &series)?
        .markers()
        .x(axis("points n").log())
        .y(axis("largest weight or error").log())
        .note(
            "Weights are those of the second layer; errors are of the labels, which are the classes' numbers (0, 1, 2, ...).",
        )
        .caption(
            "Theorem 1's network on random labels: largest weight of the second layer, the bound that lemma 1 gives, and the \
             largest error of the fit, against the number of points.",
        )
        .draw("theorem1", note)?;
    Ok(Drawing { frame: frame.clone(), ..drawing })
}

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    Ok(Product::Figure(draw(&frame(measured)?, note)?))
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
    Verdict::new(reported::THEOREM1, last)
}
