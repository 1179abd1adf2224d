//! Section 2.2: Rademacher complexity against the size of the sample.

use super::theme::{Axis, Key, Look, Mark, Plot};
use super::{Drawing, Note, all_numbers, distinct, mean_sd, need, texts};
use crate::{Error, Result};
use polars::prelude::DataFrame;

const DRAW: &str = "draw the Rademacher complexity";

/// Draws, for each class of networks, the mean correlation with random signs against n, with its standard error; a
/// dotted line at 1, the most there is.
///
/// `frame`, one row a draw: `class` (text, as the legend shows it), `n` (1 or more), `correlation` (-1 to 1).
///
/// Errors: absent or mistyped columns, numbers out of range, no row.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["class", "n", "correlation"])?;
    let class = texts(frame, DRAW, "class")?;
    let n = all_numbers(frame, DRAW, "n")?;
    let correlation = all_numbers(frame, DRAW, "correlation")?;
    for row in 0..class.len() {
        if n[row] < 1.0 || !(-1.0..=1.0).contains(&correlation[row]) {
            let problem = format!("row {row}: correlation {} at n = {}", correlation[row], n[row]);
            return Err(Error::argument(DRAW, problem));
        }
    }
    if class.is_empty() {
        return Err(Error::argument(DRAW, "the frame has no row"));
    }
    let names = distinct(&class);
    let mut marks = vec![Mark::Rule { y: 1.0, label: "every sign fitted".into() }];
    let mut points = Vec::new();
    let mut lowest = 0.0f64;
    for (index, name) in names.iter().enumerate() {
        let look = Look::new(index);
        let mut sizes: Vec<f64> = (0..n.len()).filter(|r| class[*r] == *name).map(|r| n[r]).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        let mut line = Vec::new();
        for at in sizes {
            let rows = (0..n.len()).filter(|r| class[*r] == *name && n[*r] == at);
            let values: Vec<f64> = rows.map(|r| correlation[r]).collect();
            let (mean, sd) = mean_sd(&values);
            let error = sd / (values.len() as f64).sqrt();
            lowest = lowest.min(mean - error);
            line.push((at, mean));
            if error > 0.0 {
                points.push(Mark::Bar { x: at, span: (mean - error, mean + error), look });
            }
            points.push(Mark::Point { at: (at, mean), look, hollow: false, shift: 0.0 });
        }
        marks.push(Mark::Line { points: line, look, fine: false });
    }
    marks.extend(points);
    let ends = (n.iter().copied().fold(f64::INFINITY, f64::min), n.iter().copied().fold(0.0, f64::max));
    let notes = vec![
        note.scale_line.clone(),
        "Trained networks give a lower bound of the supremum. Bars: standard error over draws.".into(),
    ];
    let caption = format!(
        "Empirical Rademacher complexity (equation 1), estimated by training on random signs, against the number of images: \
         {}.",
        names.join("; ")
    );
    let plot = Plot {
        x: Axis::log("images n", ends.0 / 1.2, ends.1 * 1.2)?,
        y: Axis::linear("correlation with signs", lowest.min(0.0), 1.0, 6)?.padded(0.0, 0.12),
        legend: names.iter().enumerate().map(|(i, n)| (n.clone(), Look::new(i), Key::Marked)).collect(),
        marks,
        notes,
        description: caption,
    };
    plot.drawing("rademacher", note, frame)
}
