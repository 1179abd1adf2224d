//! Figure 1a: training loss of the small Inception against steps, for the five settings of section 2.1.
//!
//! Expected at paper scale: all five go to zero; true labels first, random labels last.

use crate::data::Dataset;
use crate::data::corruption::Corruption;
use crate::paper::reported;
use crate::paper::{Parts, Product, Recipe, Setting, Verdict, curves, mean};
use crate::run::appendix_a::{Size, config_of_size, size_at};
use crate::run::config::{RunConfig, Scale, Seeds};
use crate::store::Run;
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::models::ModelKind;
use rethink_plot::columns::{all_numbers, need, numbers};
use rethink_plot::theme::round_up;
use rethink_plot::{Chart, Drawing, Note, axis};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "fig1a",
    title: "Figure 1a: learning curves",
    notebook: "01-fitting-random-labels.ipynb",
    source: Parts::Runs { runs, make, verdict },
};

/// The figure's network.
const MODEL: ModelKind = ModelKind::Inception;

/// A loss that counts as fitted, for comparing the settings: reproductions give steps to 0.1.
pub const FITTED_LOSS: f64 = 0.1;
/// A loss, nats, near the end of the curves.
const LAST_LOSS: f64 = 0.01;

/// Where the settings' order is read off: half of the way down from the loss of guessing among the classes of `run`'s data set.
/// `None` where its record does not say how many there are.
pub fn half_loss(run: &Run) -> Option<f64> {
    Some(0.5 * (run.record.classes()? as f64).ln())
}

/// Last step of the paper's horizontal axis.
pub const PAPER_STEPS: usize = 25_000;

/// Epochs of a curve of one length at scale smoke, and of the horizontal axis at paper scale (64 times 391 steps of 128 images).
/// There and at scale small, curves end with their runs, when these are fitted.
pub fn epochs(scale: Scale) -> usize {
    match scale {
        Scale::Smoke => 3,
        Scale::Small => 80,
        Scale::Paper => 64,
    }
}

/// What `model` gets for a curve. At scale small Inception is narrower than elsewhere, and has more images and more of them a step:
/// with 64 of 500, true labels come to a loss of 0.1 after random and shuffled pixels. A narrower network takes longer over what it
/// can only learn by heart. At an eighth of the width, Gaussian noise comes before true labels on CIFAR-10; at a sixteenth,
/// random labels of shapes10 are not fitted. Measurements: `crate/notes/fidelity.md`.
pub fn size(scale: Scale, model: ModelKind) -> Size {
    let size = size_at(scale, model);
    match (scale, model == MODEL) {
        (Scale::Small, true) => {
            let (train, test, epochs) = (1_000, 1_000, epochs(scale));
            Size { train, test, epochs, width_factor: 3.0 / 32.0, batch_size: None, ..size }
        }
        (Scale::Smoke, _) => Size { epochs: epochs(scale), ..size },
        (Scale::Small, false) | (Scale::Paper, _) => size,
    }
}

/// A run that goes on to the end, for curves of one length, tested every `eval_every` epochs.
pub(super) fn curve(
    data: &Dataset,
    size: Size,
    model: ModelKind,
    corruption: Corruption,
    eval_every: usize,
) -> RunConfig {
    let mut config = RunConfig { eval_every, ..fitted(data, size, model, corruption) };
    config.hyper.keep_going();
    config
}

/// A run that ends when it is fitted: the time in which nothing more happens is not trained. At paper scale it is table 1's and
/// figure 1b's.
pub(super) fn fitted(data: &Dataset, size: Size, model: ModelKind, corruption: Corruption) -> RunConfig {
    config_of_size(data.id(size.train, size.test), size, model, corruption, Seeds::repeat(0))
}

fn runs(setting: &Setting) -> Vec<RunConfig> {
    let (data, scale) = (setting.data(), setting.scale);
    let of = |model: ModelKind| {
        let size = size(scale, model);
        Corruption::FIGURE_1A.map(|corruption| match scale {
            Scale::Smoke => curve(data, size, model, corruption, 1),
            Scale::Small | Scale::Paper => fitted(data, size, model, corruption),
        })
    };
    [MODEL].into_iter().chain(setting.own.iter().copied()).flat_map(of).collect()
}

/// As the legend has it: one of [`SETTINGS`], with the network where it is not the paper's.
fn title(config: &RunConfig) -> String {
    let title = config.corruption.title();
    if config.model == MODEL { title } else { format!("{}, {title}", config.model.title()) }
}

/// `setting` (str), `seed` (u64), and all columns of [`Run::frame`] but the seconds: the rows of all runs, one below the other.
///
/// Errors: [`crate::Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    curves(runs, "figure 1a's frame", "setting", title)
}

/// The first step whose interval has an average loss of at most [`FITTED_LOSS`].
pub fn steps_to_fit(run: &Run) -> Option<u32> {
    run.steps_to(FITTED_LOSS)
}

const DRAW: &str = "draw figure 1a";

/// The paper's settings in the order of its legend; each has its look in every figure.
pub const SETTINGS: [&str; 5] =
    ["true labels", "random labels", "shuffled pixels", "random pixels", "gaussian"];

/// The end of the paper's vertical axis, a little above ln 10, the loss of guessing one of ten.
const PAPER_TOP: f64 = 2.5;

/// Draws figure 1a.
///
/// `frame`, one row per measurement: `setting` (text: one of [`SETTINGS`]; others are drawn after them),
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
    let steps = all_numbers(frame, DRAW, "step")?;
    if let Some(row) = steps.iter().position(|s| *s < 0.0) {
        return Err(Error::argument(DRAW, format!("column step, row {row}: {}", steps[row])));
    }
    let losses: Vec<f64> = numbers(frame, DRAW, "loss")?
        .into_iter()
        .zip(&steps)
        .filter(|(_, step)| end.is_none_or(|end| **step <= end))
        .filter_map(|(loss, _)| loss.filter(|loss| loss.is_finite()))
        .collect();
    if losses.is_empty() {
        return Err(Error::argument(DRAW, "the frame holds no finite loss"));
    }
    let last = end.unwrap_or_else(|| steps.iter().copied().fold(0.0, f64::max));
    // Steps are drawn in thousands once there are thousands of them.
    let (unit, title) = if last >= 2000.0 { (1000.0, "thousand steps") } else { (1.0, "training steps") };
    let chart = Chart::new(frame, "step", "loss")
        .colour("setting")
        .order(&SETTINGS)
        .over("seed")
        .x(axis(title).unit(unit).from(0.0).to(if last > 0.0 { last / unit } else { 1.0 }))
        .y(axis("average training loss").from(0.0).to(top(losses)));
    let names = chart.names()?.join(", ");
    let chart = chart.caption(&format!("Training loss against training steps: {names}."));
    Ok(chart.draw("fig1a", note)?)
}

/// The vertical axis' end: the paper's, unless more than one value in fifty lies above it; then the
/// least round number that one in fifty exceeds at most.
fn top(mut losses: Vec<f64>) -> f64 {
    losses.sort_by(f64::total_cmp);
    let most = losses[(losses.len() - 1) * 49 / 50];
    if most <= PAPER_TOP { PAPER_TOP } else { round_up(most) }
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    Ok(Product::Figure(draw_up_to(&frame(runs)?, note, last_step(runs))?))
}

/// Where the horizontal axis ends, in steps, if not with the runs: at paper scale where the paper's does, or as many epochs
/// of fewer images.
fn last_step(runs: &[Run]) -> Option<f64> {
    let steps = |run: &Run| {
        let config = &run.record.config;
        let steps = epochs(Scale::Paper) * config.steps_per_epoch();
        let ends = run.record.scale == Scale::Paper && config.hyper.stop_when_fitted;
        ends.then_some(steps.min(PAPER_STEPS) as f64)
    };
    runs.iter().map(steps).collect::<Option<Vec<f64>>>()?.into_iter().reduce(f64::max)
}

fn verdict(runs: &[Run]) -> Verdict {
    let mut titles: Vec<String> = runs.iter().map(|run| title(&run.record.config)).collect();
    titles.sort();
    titles.dedup();
    // Mean over seeds of a setting in which every seed comes so far.
    let steps = |name: &String, loss: &dyn Fn(&Run) -> Option<f64>| -> Option<f64> {
        let of = runs.iter().filter(|run| title(&run.record.config) == *name);
        let steps: Option<Vec<f64>> = of.map(|run| run.steps_to(loss(run)?).map(f64::from)).collect();
        mean(steps?)
    };
    let fitted = titles.iter().filter(|title| steps(title, &|_| Some(FITTED_LOSS)).is_some()).count();
    let order = |loss: &dyn Fn(&Run) -> Option<f64>| {
        let mut order: Vec<(f64, &String)> =
            titles.iter().filter_map(|title| Some((steps(title, loss)?, title))).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let order: Vec<String> = order.iter().map(|(steps, title)| format!("{title} {steps:.0}")).collect();
        if order.is_empty() { "none".into() } else { order.join(", ") }
    };
    let mut ours = format!("{fitted} of {} fit; steps to half the loss: {}", titles.len(), order(&half_loss));
    // The settings' order is another near the end.
    if titles.iter().all(|title| steps(title, &|_| Some(LAST_LOSS)).is_some()) && !titles.is_empty() {
        ours += &format!("; to a loss of {LAST_LOSS}: {}", order(&|_| Some(LAST_LOSS)));
    }
    Verdict::new(reported::FIG1A, ours)
}
