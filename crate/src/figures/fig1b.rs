//! Figure 1b: time to fit 99 % of the training set against the share of corrupted labels, relative to clean labels.

use super::theme::{Axis, Key, Look, Mark, Plot, round_up};
use super::{Drawing, Note, all_numbers, distinct, mean_sd, need, numbers, texts};
use crate::{Error, Result};
use polars::prelude::DataFrame;

const DRAW: &str = "draw figure 1b";

/// Draws figure 1b.
///
/// `frame`, one row a run: `model` (text, as the legend shows it), `p` (share of labels drawn anew, 0 to
/// 1), `seed`, `epochs_to_fit` (epochs until the training set was fitted; absent if it never was),
/// `relative` (that time over the same model's and seed's at p = 0; absent if one of the two is).
///
/// Several seeds give mean and sample standard deviation. Runs that did not fit are hollow markers on a
/// row of their own above the axis ("no fit"), and counted under the plot; runs that fitted but have
/// nothing to be relative to are counted there. If times span more than a factor of 30 the axis is
/// logarithmic.
///
/// Errors: absent or mistyped columns, p outside 0 to 1, a time that is not positive, no row.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["model", "p", "seed", "epochs_to_fit", "relative"])?;
    let models = texts(frame, DRAW, "model")?;
    let p = all_numbers(frame, DRAW, "p")?;
    all_numbers(frame, DRAW, "seed")?;
    let epochs = numbers(frame, DRAW, "epochs_to_fit")?;
    let relative = numbers(frame, DRAW, "relative")?;
    for row in 0..models.len() {
        check_p(DRAW, row, p[row])?;
        // A time of NaN or 0 would be drawn nowhere.
        if let Some(time) = relative[row]
            && !(time > 0.0 && time.is_finite())
        {
            return Err(Error::argument(DRAW, format!("column relative, row {row}: {time}")));
        }
    }
    if models.is_empty() {
        return Err(Error::argument(DRAW, "the frame has no row"));
    }

    let names = distinct(&models);
    let mut notes = vec![note.scale_line.clone()];
    let mut marks = Vec::new();
    let mut bars = Vec::new();
    let mut points = Vec::new();
    let mut unfit = Vec::new();
    let mut several = false;
    for (index, name) in names.iter().enumerate() {
        let look = Look::new(index);
        let mut line = Vec::new();
        let mut lost = Vec::new();
        let mut unscaled = 0;
        for at in levels(&models, &p, name) {
            let rows: Vec<usize> = (0..models.len()).filter(|r| models[*r] == *name && p[*r] == at).collect();
            let times: Vec<f64> = rows.iter().filter_map(|r| relative[*r]).collect();
            let failed = rows.iter().filter(|r| epochs[**r].is_none()).count();
            unscaled += rows.iter().filter(|r| epochs[**r].is_some() && relative[**r].is_none()).count();
            if failed > 0 {
                unfit.push((at, look));
                lost.push(unfitted(at, failed, rows.len()));
            }
            if times.is_empty() {
                continue;
            }
            several |= times.len() > 1;
            let (mean, sd) = mean_sd(&times);
            line.push((at, mean));
            if sd > 0.0 {
                bars.push(Mark::Bar { x: at, span: (mean - sd, mean + sd), look });
            }
            points.push(Mark::Point { at: (at, mean), look, hollow: false, shift: 0.0 });
        }
        marks.push(Mark::Line { points: line, look, fine: false });
        if !lost.is_empty() {
            notes.push(format!("Did not fit (hollow): {name}, {}.", lost.join("; ")));
        }
        if unscaled > 0 {
            let runs = if unscaled == 1 { "run" } else { "runs" };
            notes.push(format!(
                "{name}: {unscaled} fitted {runs} not drawn: nothing at p = 0 to be relative to."
            ));
        }
    }

    let ends = |mark: &Mark| match mark {
        Mark::Point { at, .. } => vec![at.1],
        Mark::Bar { span, .. } => vec![span.0, span.1],
        _ => vec![],
    };
    let drawn: Vec<f64> = points.iter().chain(&bars).flat_map(ends).collect();
    let highest = drawn.iter().copied().fold(1.0, f64::max);
    let lowest = relative.iter().flatten().copied().fold(1.0, f64::min);
    let log = highest / lowest > 30.0;
    let title = "time to fit (relative)";
    let mut y = if log {
        Axis::log(title, lowest / 1.3, highest * 1.2)?
    } else {
        Axis::linear(title, 0.0, round_up(highest * 1.03).max(1.2), 6)?
    };
    if !unfit.is_empty() {
        // A row of its own above the axis' last value, where models at one level stand side by side.
        y = y.tick_at(1.09, "no fit");
        marks.push(Mark::Rule { y: y.value_at(1.0), label: String::new() });
        let row = y.value_at(1.09);
        for (index, (at, look)) in unfit.iter().enumerate() {
            let beside = unfit.iter().filter(|u| u.0 == *at).count();
            let before = unfit[..index].iter().filter(|u| u.0 == *at).count();
            let shift = 7.5 * (before as f64 - (beside - 1) as f64 / 2.0);
            marks.push(Mark::Point { at: (*at, row), look: *look, hollow: true, shift });
        }
        y = y.padded(0.0, 0.17);
    }
    marks.extend(bars);
    marks.extend(points);

    let caption = format!(
        "Time to fit 99 % of the training set against the share of corrupted labels, relative to clean labels: {}.{}{}",
        names.join(", "),
        if several { " Mean over seeds; bars are one standard deviation." } else { "" },
        if unfit.is_empty() { "" } else { " Hollow: did not fit." },
    );
    let plot = Plot {
        x: Axis::linear("label corruption", 0.0, 1.0, 7)?.padded(0.05, 0.05),
        y,
        legend: names.iter().enumerate().map(|(i, n)| (n.clone(), Look::new(i), Key::Marked)).collect(),
        marks,
        notes,
        description: caption,
    };
    plot.drawing("fig1b", note, frame)
}

/// A corruption level is a probability.
pub(super) fn check_p(operation: &'static str, row: usize, p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::argument(operation, format!("column p, row {row}: {p} is outside 0 to 1")))
}

/// "p = 0.8: 1 of 3", or "p = 0.8" for the only run there.
pub(super) fn unfitted(p: f64, failed: usize, runs: usize) -> String {
    if runs == 1 { format!("p = {p}") } else { format!("p = {p}: {failed} of {runs}") }
}

/// The corruption levels that a model has, rising.
pub(super) fn levels(models: &[String], p: &[f64], name: &str) -> Vec<f64> {
    let mut levels: Vec<f64> = models.iter().zip(p).filter(|(m, _)| *m == name).map(|(_, p)| *p).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    levels
}
