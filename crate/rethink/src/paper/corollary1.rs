//! Corollary 1: depth k, width O(n/k), O(n + d) weights fit any labels of n points in d dimensions.
//!
//! Expected: random labels of n images are taken to within rounding at every depth; the width falls as n / k.

use crate::measure::corollary1::deepest;
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
use rethink_plot::{Chart, Drawing, Note, axis};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "corollary1",
    title: "Corollary 1: depth for width",
    notebook: "07-expressivity.ipynb",
    source: Parts::Measurements { plan, make, verdict },
};

/// Images and depths.
fn sizes(scale: Scale) -> (usize, &'static [usize]) {
    match scale {
        Scale::Smoke => (200, &[3, 5, 8, 13]),
        Scale::Small => (2_000, &[3, 4, 5, 8, 13, 23, 43, 83]),
        Scale::Paper => (10_000, &[3, 4, 5, 8, 13, 23, 43, 83, 163, 323]),
    }
}

fn plan(setting: &Setting) -> Vec<Measurement> {
    let (n, depths) = sizes(setting.scale);
    let deepest = deepest(n.min(setting.data().train.len()));
    let at = |&depth: &usize| Measurement::new(setting.data(), (n, 1), Quantity::Corollary1 { depth }, 1);
    depths.iter().filter(|depth| **depth <= deepest).map(at).collect()
}

/// One row per depth: `n`, `d`, `depth`, `width`, `weights`, `largest_error` (f64).
///
/// Errors: [`crate::Error::Argument`] for no measurement.
pub fn frame(measured: &[Measured]) -> Result<DataFrame> {
    stack(measured)
}

const DRAW: &str = "draw corollary 1";

/// Draws the width of the constructed networks and their number of weights against their depth, both axes
/// logarithmic, with n / depth beside them.
///
/// `frame`, one row per network: `n`, `depth`, `width`, `weights` (1 or more), `largest_error` (stated under the plot).
///
/// Errors: absent or mistyped columns, numbers below 1, no row.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["n", "depth", "width", "weights", "largest_error"])?;
    let n = all_numbers(frame, DRAW, "n")?;
    let depth = all_numbers(frame, DRAW, "depth")?;
    let width = all_numbers(frame, DRAW, "width")?;
    let weights = all_numbers(frame, DRAW, "weights")?;
    let error = all_numbers(frame, DRAW, "largest_error")?;
    if depth.is_empty() {
        return Err(Error::argument(DRAW, "the frame has no row"));
    }
    if let Some(value) = [&n, &depth, &width, &weights].into_iter().flatten().find(|v| **v < 1.0) {
        return Err(Error::argument(DRAW, format!("{value} is below 1")));
    }
    let share: Vec<f64> = n.iter().zip(&depth).map(|(n, k)| n / k).collect();
    let largest = error.iter().copied().fold(0.0, f64::max);
    let shown = with(frame, Column::new("share".into(), share))?;
    let series = [("weights", "weights"), ("width", "width"), ("share", "n / depth")];
    let drawing = Chart::of_columns(&shown, "depth", &series)?
        .markers()
        .unmarked("n / depth")
        .x(axis("depth k").log())
        .y(axis("weights; width in units").log())
        .note(&format!("Largest error of any fit: {largest:.0e}."))
        .caption(
            "Corollary 1's networks on random labels: width and number of weights against depth. The width falls as \
             n / depth, the number of weights hardly changes.",
        )
        .draw("corollary1", note)?;
    Ok(Drawing { frame: frame.clone(), ..drawing })
}

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    Ok(Product::Figure(draw(&frame(measured)?, note)?))
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
    let last = measured.last().filter(|_| measured.len() > 1);
    let ends = [measured.first(), last].into_iter().flatten().filter_map(text);
    Verdict::of_parts(reported::COROLLARY1, ends.collect())
}
