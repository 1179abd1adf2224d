//! Figure 1a: average training loss against training steps, one curve for each setting of section 2.1.

use super::theme::{Axis, Key, Look, Mark, Plot, round_up};
use super::{Drawing, Note, all_numbers, distinct, mean_sd, need, numbers, texts};
use crate::{Error, Result};
use polars::prelude::DataFrame;
use std::collections::{BTreeMap, BTreeSet};

const DRAW: &str = "draw figure 1a";

/// The paper's settings in the order of its legend; each has its look in every figure.
pub const SETTINGS: [&str; 5] =
    ["true labels", "random labels", "shuffled pixels", "random pixels", "gaussian"];

/// The end of the paper's vertical axis, a little above ln 10, the loss of guessing one of ten.
const PAPER_TOP: f64 = 2.5;

/// Draws figure 1a.
///
/// `frame`, one row a measurement: `setting` (text: one of [`SETTINGS`]; others are drawn after them),
/// `step` (training steps done, 0 or more), `loss` (cross-entropy in nats, averaged since the row
/// before), `seed` (which repetition). Rows may be in any order; of two rows with one setting, seed and
/// step the later counts; a row without a loss is passed over.
///
/// Nothing is smoothed or thinned out. Several seeds give the mean with a band of one sample standard
/// deviation, over the steps that all of them have; what single seeds have beyond is drawn thin. A run
/// whose loss is no longer finite is drawn alone up to there, ends in a cross, stays out of the mean, and
/// is named under the plot, as is anything above the vertical axis.
///
/// Errors: absent or mistyped columns, negative steps, no finite loss at all.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    draw_up_to(frame, note, None)
}

/// The same with a horizontal axis that ends with step `end`, wherever the curves do: what lies beyond is not drawn,
/// and the settings that go on there are named under the plot. `None`: with the last step.
///
/// Errors: as for [`draw`]; [`Error::Argument`] for an end that is not above 0 and finite.
pub fn draw_up_to(frame: &DataFrame, note: &Note, end: Option<f64>) -> Result<Drawing> {
    if let Some(end) = end.filter(|end| !(*end > 0.0 && end.is_finite())) {
        return Err(Error::argument(DRAW, format!("an axis that ends with step {end}")));
    }
    need(frame, DRAW, &["setting", "step", "loss", "seed"])?;
    let settings = texts(frame, DRAW, "setting")?;
    let steps = all_numbers(frame, DRAW, "step")?;
    let losses = numbers(frame, DRAW, "loss")?;
    let seeds = all_numbers(frame, DRAW, "seed")?;
    if let Some(row) = steps.iter().position(|s| *s < 0.0) {
        return Err(Error::argument(DRAW, format!("column step, row {row}: {}", steps[row])));
    }

    let mut runs: BTreeMap<(String, u64), Run> = BTreeMap::new();
    let mut beyond = BTreeSet::new();
    for (row, setting) in settings.iter().enumerate() {
        if end.is_some_and(|end| steps[row] > end) {
            beyond.insert(setting);
        } else if let Some(loss) = losses[row] {
            let run = runs.entry((setting.clone(), seeds[row].to_bits())).or_default();
            run.insert(steps[row].to_bits(), loss);
        }
    }
    let finite = || runs.values().flat_map(alive);
    let last = end.unwrap_or_else(|| finite().fold(0.0f64, |m, p| m.max(p.0)));
    if finite().next().is_none() {
        return Err(Error::argument(DRAW, "the frame holds no finite loss"));
    }

    let mut names: Vec<String> =
        SETTINGS.iter().map(|s| s.to_string()).filter(|s| settings.contains(s)).collect();
    names.extend(distinct(&settings).into_iter().filter(|s| !SETTINGS.contains(&s.as_str())));
    let mut extra = SETTINGS.len()..;
    let mut notes = vec![note.scale_line.clone()];
    let mut marks = Vec::new();
    let mut legend = Vec::new();
    let mut several = false;
    // Steps are drawn in thousands once there are thousands of them.
    let unit = if last >= 2000.0 { 1000.0 } else { 1.0 };
    for name in &names {
        let place = SETTINGS.iter().position(|s| s == name);
        let look = Look::new(place.unwrap_or_else(|| extra.next().unwrap_or_default()));
        legend.push((name.clone(), look, Key::Line));
        let runs: Vec<&Run> = runs.iter().filter(|(key, _)| key.0 == *name).map(|(_, run)| run).collect();
        let (whole, lost): (Vec<&Run>, Vec<&Run>) =
            runs.iter().partition(|run| run.values().all(|loss| loss.is_finite()));
        for run in &lost {
            let points: Vec<_> = alive(run).map(|(step, loss)| (step / unit, loss)).collect();
            marks.extend(points.last().map(|at| Mark::Cross { at: *at, look }));
            // Without a mean beside it, it is the setting's curve.
            marks.push(Mark::Line { points, look, fine: !whole.is_empty() });
        }
        if !lost.is_empty() {
            let count =
                format!("{} of {} {}", lost.len(), runs.len(), if runs.len() == 1 { "run" } else { "seeds" });
            notes.push(format!("{name}: the loss of {count} became infinite or undefined (cross)."));
        }
        several |= whole.len() > 1;
        curve(&whole, unit, look, &mut marks);
    }

    if let Some(end) = end.filter(|_| !beyond.is_empty()) {
        let names: Vec<&str> = beyond.into_iter().map(String::as_str).collect();
        notes.push(format!("Beyond step {end:.0}, not drawn: {}.", names.join(", ")));
    }
    let top = top(finite().map(|p| p.1).collect());
    let above = finite().map(|p| p.1).fold(0.0, f64::max);
    if above > top {
        notes.push(format!("Loss above {top} is cut off (highest {}).", significant(above)));
    }

    let title = if unit == 1.0 { "training steps" } else { "thousand steps" };
    let caption = format!(
        "Training loss against training steps: {}.{}",
        names.join(", "),
        if several { " Mean over seeds; the band is one standard deviation." } else { "" }
    );
    let plot = Plot {
        x: Axis::linear(title, 0.0, if last > 0.0 { last / unit } else { 1.0 }, 7)?,
        y: Axis::linear("average training loss", 0.0, top, 7)?,
        legend,
        marks,
        notes,
        description: caption,
    };
    plot.drawing("fig1a", note, frame)
}

/// Loss by step. Steps are not negative, so the order of their bits is their order.
type Run = BTreeMap<u64, f64>;

/// (step, loss) up to the first loss that is not finite.
fn alive(run: &Run) -> impl Iterator<Item = (f64, f64)> + '_ {
    run.iter().map(|(step, loss)| (f64::from_bits(*step), *loss)).take_while(|(_, loss)| loss.is_finite())
}

/// The mean of `runs` with its band over the steps they share, and what single runs have beyond.
fn curve(runs: &[&Run], unit: f64, look: Look, marks: &mut Vec<Mark>) {
    let Some(first) = runs.first() else { return };
    let shared: Vec<u64> =
        first.keys().copied().filter(|step| runs.iter().all(|run| run.contains_key(step))).collect();
    let mut points = Vec::new();
    let mut edges = Vec::new();
    for step in &shared {
        let losses: Vec<f64> = runs.iter().map(|run| run[step]).collect();
        let (mean, sd) = mean_sd(&losses);
        let x = f64::from_bits(*step) / unit;
        points.push((x, mean));
        edges.push((x, mean - sd, mean + sd));
    }
    for run in runs {
        let beyond = run.range(shared.last().copied().unwrap_or(0)..);
        let tail: Vec<_> = beyond.map(|(step, loss)| (f64::from_bits(*step) / unit, *loss)).collect();
        if tail.len() > 1 {
            marks.push(Mark::Line { points: tail, look, fine: true });
        }
    }
    if runs.len() > 1 && edges.len() > 1 {
        marks.push(Mark::Band { edges, look });
    }
    match points[..] {
        [at] => marks.push(Mark::Point { at, look, hollow: false, shift: 0.0 }),
        _ => marks.push(Mark::Line { points, look, fine: false }),
    }
}

/// The vertical axis' end: the paper's, unless more than one value in fifty lies above it; then the
/// least round number that one in fifty exceeds at most.
fn top(mut losses: Vec<f64>) -> f64 {
    losses.sort_by(f64::total_cmp);
    let most = losses[(losses.len() - 1) * 49 / 50];
    if most <= PAPER_TOP { PAPER_TOP } else { round_up(most) }
}

/// Three significant digits.
fn significant(value: f64) -> String {
    if !(1e-2..1e4).contains(&value) {
        return format!("{value:.2e}");
    }
    let digits = (2 - value.log10().floor() as i32).max(0) as usize;
    format!("{value:.digits$}")
}
