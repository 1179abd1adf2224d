//! Section 5: SGD's way to the solution of least norm.

use super::theme::{Axis, Key, Look, Mark, Plot};
use super::{Drawing, Note, all_numbers, need, numbers, texts};
use crate::{Error, Result};
use polars::prelude::DataFrame;

const DRAW: &str = "draw the way to the minimum norm";

/// Values below are drawn here: they are rounding.
const FLOOR: f64 = 1e-16;

/// Draws, against epochs, SGD's relative distance to the solution of least norm from both starts, and the relative
/// distance of the Hessians from the random start; logarithmic axes, epoch 0 left out.
///
/// `frame`, one row a start and epoch: `start` ("zero" or "random"), `epoch`, `distance`, `hessian` (0 or more); rows
/// whose `epoch` is absent are not drawn.
///
/// Errors: absent or mistyped columns, negative numbers, no epoch above 0.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["start", "epoch", "distance", "hessian"])?;
    let start = texts(frame, DRAW, "start")?;
    let epoch = numbers(frame, DRAW, "epoch")?;
    let distance = all_numbers(frame, DRAW, "distance")?;
    let hessian = all_numbers(frame, DRAW, "hessian")?;
    if let Some(value) = distance.iter().chain(&hessian).find(|v| **v < 0.0) {
        return Err(Error::argument(DRAW, format!("a distance of {value}")));
    }
    let series = [
        ("weights, from zero", "zero", &distance),
        ("weights, from a random start", "random", &distance),
        ("Hessian, from a random start", "random", &hessian),
    ];
    let mut marks = Vec::new();
    let (mut low, mut high, mut last) = (f64::INFINITY, 0.0f64, 0.0f64);
    for (index, (_, from, values)) in series.iter().enumerate() {
        let mut points = Vec::new();
        for row in (0..start.len()).filter(|r| start[*r] == *from) {
            let Some(at) = epoch[row].filter(|e| *e > 0.0) else { continue };
            let value = values[row].max(FLOOR);
            (low, high, last) = (low.min(value), high.max(value), last.max(at));
            points.push((at, value));
        }
        marks.push(Mark::Line { points, look: Look::new(index), fine: false });
    }
    if last == 0.0 {
        return Err(Error::argument(DRAW, "the frame holds no epoch above 0"));
    }
    let notes = vec![note.scale_line.clone()];
    let caption = "SGD on a linear model: relative distance of the weights to the solution of least norm, from zero and from \
                   a random start, and of the Hessian to that solution's. From zero SGD finds the solution; from elsewhere it \
                   fits as well, stays away, and the Hessian is the same."
        .to_string();
    let plot = Plot {
        x: Axis::log("epochs", 1.0, last.max(2.0))?.padded(0.02, 0.02),
        y: Axis::log("relative distance", low / 2.0, high * 3.0)?,
        legend: series.iter().enumerate().map(|(i, s)| (s.0.into(), Look::new(i), Key::Line)).collect(),
        marks,
        notes,
        description: caption,
    };
    plot.drawing("min-norm", note, frame)
}
