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
use polars::prelude::{Column, DataFrame};
use rethink_nn::text::thousands;
use rethink_plot::columns::{all_numbers, need};
use rethink_plot::frames::with;
use rethink_plot::grammar::stacked;
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
        ("bound on weights", "weight_bound"),
        ("largest weight", "largest_weight"),
        ("largest error", "largest_error"),
    ];
    let mut columns = Vec::new();
    for (name, column) in series {
        let values = all_numbers(frame, DRAW, column)?;
        if let Some(row) = (0..n.len()).find(|row| values[*row] < 0.0 || n[*row] < 1.0) {
            let problem = format!("column {column}, row {row}: {} at n = {}", values[row], n[row]);
            return Err(Error::argument(DRAW, problem));
        }
        columns.push((name, values));
    }
    let all: Vec<f64> = columns.iter().flat_map(|(_, values)| values.iter().copied()).collect();
    let low = all.iter().copied().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min) / 3.0;
    let high = all.iter().copied().fold(0.0, f64::max);
    if high == 0.0 {
        return Err(Error::argument(DRAW, "the frame holds no sample"));
    }
    let exact: Vec<bool> = all.iter().map(|v| *v == 0.0).collect();
    columns.iter_mut().for_each(|(_, values)| values.iter_mut().for_each(|v| *v = v.max(low)));
    let shown = with(&stacked(("n", &n), &columns)?, Column::new("exact".into(), &exact))?;
    let ends = (n.iter().copied().fold(f64::INFINITY, f64::min), n.iter().copied().fold(0.0, f64::max));
    let mut chart = Chart::new(&shown, "n", "value")
        .colour("series")
        .markers()
        .hollow("exact")
        .x(axis("points n").log().from(ends.0 / 1.3).to(ends.1 * 1.3))
        .y(axis("value").log().from(low).to(high * 3.0))
        .caption(
            "Theorem 1's network on random labels: largest weight of the second layer, the bound that lemma 1 gives, and the \
             largest error of the fit, against the number of points.",
        );
    let exact = exact.iter().filter(|exact| **exact).count();
    if exact > 0 {
        chart = chart.note(&format!("Hollow: {exact} exact, error 0."));
    }
    Ok(Drawing { frame: frame.clone(), ..chart.draw("theorem1", note)? })
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
    Verdict { paper: reported::THEOREM1.into(), ours: last.unwrap_or("not measured".into()) }
}
