//! Section 2.2: how far losses move when one example is replaced.

use super::theme::{Axis, Key, Look, Mark, Plot, round_up};
use super::{Drawing, Note, all_numbers, distinct, need, texts};
use crate::{Error, Result};
use polars::prelude::DataFrame;

const DRAW: &str = "draw the stability";

/// Draws, for each labelling, the largest change of a test image's cross-entropy over all replaced examples against the
/// epochs of training, and thin below it the mean change.
///
/// `frame`, one row a replaced example: `labels` (text, as the legend shows it), `epochs` (1 or more),
/// `largest_change`, `mean_change` (nats, 0 or more), `changed` (share, stated under the plot).
///
/// Errors: absent or mistyped columns, numbers out of range, no row.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["labels", "epochs", "largest_change", "mean_change", "changed"])?;
    let labels = texts(frame, DRAW, "labels")?;
    let epochs = all_numbers(frame, DRAW, "epochs")?;
    let largest = all_numbers(frame, DRAW, "largest_change")?;
    let mean = all_numbers(frame, DRAW, "mean_change")?;
    let changed = all_numbers(frame, DRAW, "changed")?;
    for row in 0..labels.len() {
        if epochs[row] < 1.0 || largest[row] < 0.0 || mean[row] < 0.0 {
            let problem =
                format!("row {row}: changes {} and {} after {} epochs", largest[row], mean[row], epochs[row]);
            return Err(Error::argument(DRAW, problem));
        }
    }
    if labels.is_empty() {
        return Err(Error::argument(DRAW, "the frame has no row"));
    }
    let names = distinct(&labels);
    let (mut marks, mut points, mut top) = (Vec::new(), Vec::new(), 0.0f64);
    for (index, name) in names.iter().enumerate() {
        let look = Look::new(index);
        let mut times: Vec<f64> =
            (0..epochs.len()).filter(|r| labels[*r] == *name).map(|r| epochs[r]).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let (mut upper, mut lower) = (Vec::new(), Vec::new());
        for at in times {
            let rows: Vec<usize> =
                (0..epochs.len()).filter(|r| labels[*r] == *name && epochs[*r] == at).collect();
            let most = rows.iter().map(|r| largest[*r]).fold(0.0, f64::max);
            top = top.max(most);
            upper.push((at, most));
            lower.push((at, rows.iter().map(|r| mean[*r]).sum::<f64>() / rows.len() as f64));
        }
        points.extend(upper.iter().map(|&at| Mark::Point { at, look, hollow: false, shift: 0.0 }));
        marks.push(Mark::Line { points: upper, look, fine: false });
        marks.push(Mark::Line { points: lower, look, fine: true });
    }
    marks.extend(points);
    let ends =
        (epochs.iter().copied().fold(f64::INFINITY, f64::min), epochs.iter().copied().fold(0.0, f64::max));
    let most = changed.iter().copied().fold(0.0, f64::max);
    let notes = vec![
        note.scale_line.clone(),
        format!(
            "Thin: mean over test images. One example changes up to {:.1} % of predictions.",
            100.0 * most
        ),
    ];
    let caption = format!(
        "Uniform stability: the largest change of a test image's cross-entropy when one training example is replaced, against \
         epochs of training: {}.",
        names.join(", ")
    );
    let plot = Plot {
        x: Axis::log("epochs", ends.0 / 1.2, ends.1 * 1.2)?,
        y: Axis::linear("change of loss (nats)", 0.0, round_up(1.05 * top), 6)?,
        legend: names.iter().enumerate().map(|(i, n)| (n.clone(), Look::new(i), Key::Marked)).collect(),
        marks,
        notes,
        description: caption,
    };
    plot.drawing("stability", note, frame)
}
