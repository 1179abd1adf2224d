//! Theorem 1: weights, their bound and the error of the fit against the size of the sample.

use super::theme::{Axis, Key, Look, Mark, Plot};
use super::{Drawing, Note, all_numbers, need};
use crate::{Error, Result};
use polars::prelude::DataFrame;

const DRAW: &str = "draw theorem 1";

/// Draws the largest weight of the constructed network, lemma 1's bound on it and the largest error of the fit
/// against the number of points, both axes logarithmic.
///
/// `frame`, one row a sample: `n`, `largest_weight`, `weight_bound`, `largest_error` (above 0; an exact fit
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
    let (mut notes, mut marks, mut points) = (vec![note.scale_line.clone()], Vec::new(), Vec::new());
    let (mut low, mut high) = (f64::INFINITY, 0.0f64);
    let mut columns = Vec::new();
    for (_, column) in series {
        let values = all_numbers(frame, DRAW, column)?;
        for (row, &v) in values.iter().enumerate() {
            if v < 0.0 || n[row] < 1.0 {
                return Err(Error::argument(
                    DRAW,
                    format!("column {column}, row {row}: {v} at n = {}", n[row]),
                ));
            }
            if v > 0.0 {
                (low, high) = (low.min(v), high.max(v));
            }
        }
        columns.push(values);
    }
    if n.is_empty() || high == 0.0 {
        return Err(Error::argument(DRAW, "the frame holds no sample"));
    }
    let low = low / 3.0;
    let mut exact = 0;
    for (index, values) in columns.iter().enumerate() {
        let look = Look::new(index);
        exact += values.iter().filter(|v| **v == 0.0).count();
        let line: Vec<(f64, f64)> = n.iter().zip(values).map(|(&n, &v)| (n, v.max(low))).collect();
        for (&at, &v) in line.iter().zip(values) {
            points.push(Mark::Point { at, look, hollow: v == 0.0, shift: 0.0 });
        }
        marks.push(Mark::Line { points: line, look, fine: false });
    }
    if exact > 0 {
        notes.push(format!("Hollow: {exact} exact, error 0."));
    }
    marks.extend(points);
    let ends = (n.iter().copied().fold(f64::INFINITY, f64::min), n.iter().copied().fold(0.0, f64::max));
    let caption =
        "Theorem 1's network on random labels: largest weight of the second layer, the bound that lemma 1 \
                   gives, and the largest error of the fit, against the number of points."
            .to_string();
    let plot = Plot {
        x: Axis::log("points n", ends.0 / 1.3, ends.1 * 1.3)?,
        y: Axis::log("value", low, high * 3.0)?,
        legend: series.iter().enumerate().map(|(i, s)| (s.0.into(), Look::new(i), Key::Marked)).collect(),
        marks,
        notes,
        description: caption,
    };
    plot.drawing("theorem1", note, frame)
}
