//! Corollary 1: depth k, width O(n/k), O(n + d) weights fit any labels of n points in d dimensions.
//!
//! Expected: random labels of n images are taken to within rounding at every depth; the width falls as n / k.

use crate::measure::{Measured, Measurement, Quantity, stack};
use crate::paper::Setting;
use crate::paper::reported;
use crate::paper::{Parts, Product, Recipe, Verdict};
use crate::run::config::Scale;
use crate::{Error, Result};
use polars::prelude::DataFrame;
use rethink_nn::text::thousands;
use rethink_plot::columns::{all_numbers, need};
use rethink_plot::theme::{Axis, Key, Mark, Plot, SeriesStyle};
use rethink_plot::{Drawing, Note};

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
    let at = |&depth: &usize| Measurement::new(setting.data(), (n, 1), Quantity::Corollary1 { depth }, 1);
    depths.iter().map(at).collect()
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
    let series = [("weights", &weights, true), ("width", &width, true), ("n / depth", &share, false)];
    let (mut marks, mut points) = (Vec::new(), Vec::new());
    for (index, (_, values, marked)) in series.iter().enumerate() {
        let look = SeriesStyle::new(index);
        let line: Vec<(f64, f64)> = depth.iter().copied().zip(values.iter().copied()).collect();
        if *marked {
            points.extend(line.iter().map(|&at| Mark::Point { at, look, hollow: false, shift: 0.0 }));
        }
        marks.push(Mark::Line { points: line, look, fine: false });
    }
    marks.extend(points);
    let ends = |values: &[f64]| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        (low, values.iter().copied().fold(0.0, f64::max))
    };
    let (x, y) = (ends(&depth), ends(&[weights.clone(), width.clone(), share.clone()].concat()));
    let largest = error.iter().copied().fold(0.0, f64::max);
    let notes = vec![note.scale_line.clone(), format!("Largest error of any fit: {largest:.0e}.")];
    let caption = "Corollary 1's networks on random labels: width and number of weights against depth. The width falls as \
                   n / depth, the number of weights hardly changes."
        .to_string();
    let keys = [Key::Marked, Key::Marked, Key::Line];
    let plot = Plot {
        x: Axis::log("depth k", x.0 / 1.2, x.1 * 1.2)?,
        y: Axis::log("number", (y.0 / 1.5).max(0.5), y.1 * 1.5)?,
        legend: series
            .iter()
            .zip(keys)
            .enumerate()
            .map(|(i, (s, k))| (s.0.into(), SeriesStyle::new(i), k))
            .collect(),
        marks,
        notes,
        description: caption,
    };
    Ok(plot.drawing("corollary1", note, frame)?)
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
    let ends = [measured.first(), measured.last()].into_iter().flatten().filter_map(text);
    let ours = ends.collect::<Vec<_>>().join("; ");
    Verdict {
        paper: reported::COROLLARY1.into(),
        ours: if ours.is_empty() { "not measured".into() } else { ours },
    }
}
