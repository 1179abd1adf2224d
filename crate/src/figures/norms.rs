//! Section 5: test error against the norm of the solution.

use super::theme::{Axis, Key, Look, Mark, Plot, round_up};
use super::{Drawing, Note, all_numbers, distinct, need, texts};
use crate::{Error, Result};
use polars::prelude::DataFrame;

const DRAW: &str = "draw the norms";
/// In the name of a series along which the kernel's width varies, and not n.
const GAMMA: &str = ", gamma ";

/// Draws test error against norm, the norm on a logarithmic axis, a curve a series in the order of n, then of the rows; hollow
/// markers are regularised solutions.
///
/// `frame`, one row a solution: `series` (text, as the legend shows it), `n`, `ridge` (0 without regularisation), `norm` (above
/// 0), `test_error` (0 to 1).
///
/// Errors: absent or mistyped columns, numbers out of range, no row.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["series", "n", "ridge", "norm", "test_error"])?;
    let series = texts(frame, DRAW, "series")?;
    let n = all_numbers(frame, DRAW, "n")?;
    let ridge = all_numbers(frame, DRAW, "ridge")?;
    let norm = all_numbers(frame, DRAW, "norm")?;
    let error = all_numbers(frame, DRAW, "test_error")?;
    for row in 0..series.len() {
        if norm[row] <= 0.0 || !(0.0..=1.0).contains(&error[row]) {
            let problem = format!("row {row}: norm {}, test error {}", norm[row], error[row]);
            return Err(Error::argument(DRAW, problem));
        }
    }
    if series.is_empty() {
        return Err(Error::argument(DRAW, "the frame has no row"));
    }
    let names = distinct(&series);
    let (mut marks, mut points) = (Vec::new(), Vec::new());
    for (index, name) in names.iter().enumerate() {
        let look = Look::new(index);
        let mut rows: Vec<usize> = (0..series.len()).filter(|r| series[*r] == *name).collect();
        rows.sort_by(|a, b| n[*a].total_cmp(&n[*b]));
        let plain = rows.iter().filter(|r| ridge[**r] == 0.0).map(|r| (norm[*r], error[*r]));
        marks.push(Mark::Line { points: plain.collect(), look, fine: false });
        for row in rows {
            let at = (norm[row], error[row]);
            points.push(Mark::Point { at, look, hollow: ridge[row] > 0.0, shift: 0.0 });
        }
    }
    marks.extend(points);
    // From a tick to a tick, so that there are two at least.
    let low = norm.iter().copied().fold(f64::INFINITY, f64::min) / 1.05;
    let high = norm.iter().copied().fold(0.0, f64::max) * 1.05;
    let power = |v: f64| 10f64.powf(v.log10().floor());
    let ticks = |v: f64| [1.0, 2.0, 5.0, 10.0].map(|step| step * power(v));
    let ends = (
        ticks(low).into_iter().filter(|t| *t <= low).fold(0.0, f64::max),
        ticks(high).into_iter().filter(|t| *t >= high).fold(f64::INFINITY, f64::min),
    );
    let top = round_up(1.05 * error.iter().copied().fold(0.0, f64::max)).min(1.0);
    let mut notes = vec![note.scale_line.clone()];
    if ridge.iter().any(|r| *r > 0.0) {
        notes.push(
            "Hollow: regularised, by l2 or because the matrix is singular in single precision without."
                .into(),
        );
    }
    if names.iter().any(|name| name.contains(GAMMA)) {
        notes.push(
            "Where gamma varies, n is the same: the norm follows gamma, the error hardly. The paper gives neither gamma nor \
             the coding of labels, so its norms (220 and 390) cannot be compared: 220 answers to a gamma of about 0.012 with \
             one-hot labels, or to labels of -1 and 1."
                .into(),
        );
    }
    let caption = format!(
        "Test error of the kernel equation's solution against its norm, as the number of training images (where it says gamma: \
         the kernel's width) grows along each curve: {}.",
        names.join("; ")
    );
    let plot = Plot {
        x: Axis::log("norm of the solution", ends.0, ends.1)?,
        y: Axis::linear("test error", 0.0, top, 6)?,
        legend: names.iter().enumerate().map(|(i, n)| (n.clone(), Look::new(i), Key::Marked)).collect(),
        marks,
        notes,
        description: caption,
    };
    plot.drawing("norms", note, frame)
}
