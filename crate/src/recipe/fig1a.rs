//! Figure 1a: training loss of the small Inception against steps, for the five settings of section 2.1.
//!
//! Expected at paper scale: all five go to zero; true labels first, random labels last.

use super::{
    Product, Recipe, Size, Source, Verdict, curves, extended, mean, norm_note, setting, size, sized,
};
use crate::config::{RunConfig, Scale, Seeds};
use crate::corruption::Corruption;
use crate::data::Dataset;
use crate::figures::{self, Note};
use crate::models::ModelKind;
use crate::store::Run;
use crate::{Result, paper};
use polars::prelude::*;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "fig1a",
    title: "Figure 1a: learning curves",
    notebook: "01-fitting-random-labels.ipynb",
    source: Source::Runs { runs, make, verdict },
};

/// A loss that counts as fitted, for comparing the settings: reproductions give steps to 0.1.
pub const FITTED_LOSS: f64 = 0.1;

/// Where the settings' order is read off: half of the way down from the loss of guessing among the classes of `run`'s data set
/// (ten, where its record does not say).
pub fn half_loss(run: &Run) -> f64 {
    0.5 * (run.record.classes().unwrap_or(10) as f64).ln()
}

/// Last step of the paper's horizontal axis.
pub const PAPER_STEPS: usize = 25_000;

/// Epochs of a curve of one length, and of the horizontal axis at paper scale (64 times 391 steps of 128 images), where
/// curves end with their runs.
pub fn epochs(scale: Scale) -> usize {
    match scale {
        Scale::Smoke => 3,
        Scale::Small => 125,
        Scale::Paper => 64,
    }
}

/// How wide Inception is. At scale small narrower than elsewhere: a narrower network takes longer over what it can
/// only learn by heart. With 1,000 images of CIFAR-10, steps to a loss of 1.0 (of 0.1), one seed: at an eighth of
/// the width Gaussian 120, true labels 144, random labels 192; at a sixteenth true labels 232 (832), shuffled pixels 272
/// (808), Gaussian 280 (552), random pixels 280 (808), random labels 400 (856), which is the paper's order with 50,000.
pub fn width(scale: Scale) -> f64 {
    match scale {
        Scale::Small => 1.0 / 16.0,
        _ => size(scale, ModelKind::Inception).width,
    }
}

/// `size` for a curve, which is tested often: at scale small on as many images as it is trained on.
pub(super) fn of_curve(scale: Scale, size: Size) -> Size {
    if scale == Scale::Small { Size { test: size.train, ..size } } else { size }
}

/// A run that goes on to the end, for curves of one length.
pub(super) fn curve(data: &Dataset, size: Size, model: ModelKind, corruption: Corruption) -> RunConfig {
    let id = data.id(size.train, size.test);
    let mut config = sized(id, size, model, corruption, Seeds::repeat(0));
    config.hyper.keep_going();
    config
}

/// At paper scale runs end when they are fitted, and are table 1's and figure 1b's: the hours in which nothing more
/// happens are not trained.
pub(super) fn fitted(data: &Dataset, scale: Scale, model: ModelKind, corruption: Corruption) -> RunConfig {
    setting(data, scale, model, corruption, Seeds::repeat(0))
}

/// Epochs between two tests of a curve of one length.
pub(super) fn every(scale: Scale) -> usize {
    if scale == Scale::Small { 5 } else { 1 }
}

fn runs(data: &Dataset, scale: Scale) -> Vec<RunConfig> {
    let model = ModelKind::Inception;
    if scale == Scale::Paper {
        return Corruption::FIGURE_1A.map(|corruption| fitted(data, scale, model, corruption)).to_vec();
    }
    let size = of_curve(scale, Size { epochs: epochs(scale), width: width(scale), ..size(scale, model) });
    let run = |corruption| RunConfig { eval_every: every(scale), ..curve(data, size, model, corruption) };
    Corruption::FIGURE_1A.map(run).to_vec()
}

/// `setting` (str), `seed` (u64), and all columns of [`Run::frame`]: the rows of all runs, one below the other.
///
/// Errors: [`crate::Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    curves(runs, "figure 1a's frame", "setting", |config| config.corruption.title())
}

/// The first step whose interval has an average loss of at most [`FITTED_LOSS`].
pub fn steps_to_fit(run: &Run) -> Option<u32> {
    run.steps_to(FITTED_LOSS)
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    let note = extended(note, norm_note(runs.iter()));
    Ok(Product::Figure(figures::fig1a::draw_up_to(&frame(runs)?, &note, axis(runs))?))
}

/// Where the horizontal axis ends, in steps, if not with the runs: at paper scale where the paper's does, or as many epochs
/// of fewer images.
fn axis(runs: &[Run]) -> Option<f64> {
    let steps = |run: &Run| {
        let config = &run.record.config;
        let steps = epochs(Scale::Paper) * config.data.train.div_ceil(config.hyper.batch_size.max(1));
        let ends = run.record.scale == Scale::Paper && config.hyper.stop_when_fitted;
        ends.then_some(steps.min(PAPER_STEPS) as f64)
    };
    runs.iter().map(steps).collect::<Option<Vec<f64>>>()?.into_iter().reduce(f64::max)
}

fn verdict(runs: &[Run]) -> Verdict {
    let mut titles: Vec<String> = runs.iter().map(|run| run.record.config.corruption.title()).collect();
    titles.sort();
    titles.dedup();
    // Mean over seeds of a setting in which every seed comes so far.
    let steps = |title: &String, loss: &dyn Fn(&Run) -> f64| -> Option<f64> {
        let of = runs.iter().filter(|run| run.record.config.corruption.title() == *title);
        let steps: Option<Vec<f64>> = of.map(|run| run.steps_to(loss(run)).map(f64::from)).collect();
        mean(steps?)
    };
    let fitted = titles.iter().filter(|title| steps(title, &|_| FITTED_LOSS).is_some()).count();
    let mut order: Vec<(f64, &String)> =
        titles.iter().filter_map(|title| Some((steps(title, &half_loss)?, title))).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let order: Vec<String> = order.iter().map(|(steps, title)| format!("{title} {steps:.0}")).collect();
    let order = if order.is_empty() { "none".into() } else { order.join(", ") };
    let ours = format!("{fitted} of {} fit; steps to half the loss: {order}", titles.len());
    Verdict { paper: paper::FIG1A.into(), ours }
}
