//! Figure 1a: training loss of the small Inception against steps, for the five settings of section 2.1.
//!
//! Expected at paper scale: all five go to zero; true labels first, random labels last.

use super::{Product, Recipe, Source, Verdict, curves, mean, size, sized};
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

/// Epochs of a curve; the paper's axis ends after 25,000 steps.
pub fn epochs(scale: Scale) -> usize {
    match scale {
        Scale::Smoke => 3,
        Scale::Small => 60,
        Scale::Paper => 64,
    }
}

/// Figures 1a and 2b share the run on true labels.
///
/// The paper's order of all five is not to be had at scale small. With 1,000 images of CIFAR-10 and an eighth of
/// Inception's width, steps to a loss of 0.1 (one seed): Gaussian 232, true labels 280, random labels 328, random
/// pixels 344. Noise is learnt by heart in as many steps as there are images to tell apart, which at 1,000 are few;
/// what true labels win by their rule grows with their number.
pub(super) fn curve(data: &Dataset, scale: Scale, model: ModelKind, corruption: Corruption) -> RunConfig {
    let mut size = size(scale, model);
    size.epochs = epochs(scale);
    let id = data.id(size.train, size.test);
    let mut config = sized(id, size, model, corruption, Seeds::repeat(0));
    // Curves of one length.
    config.hyper.stop_when_fitted = false;
    config.eval_every = if scale == Scale::Small { 2 } else { 1 };
    config
}

fn runs(data: &Dataset, scale: Scale) -> Vec<RunConfig> {
    Corruption::FIGURE_1A.map(|corruption| curve(data, scale, ModelKind::Inception, corruption)).to_vec()
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
    Ok(Product::Figure(figures::fig1a::draw(&frame(runs)?, note)?))
}

fn verdict(runs: &[Run]) -> Verdict {
    // Mean over seeds of a setting that every seed fits.
    let mut fitted: Vec<(f64, String)> = Vec::new();
    let mut titles: Vec<String> = runs.iter().map(|run| run.record.config.corruption.title()).collect();
    titles.sort();
    titles.dedup();
    for title in &titles {
        let of = runs.iter().filter(|run| run.record.config.corruption.title() == *title);
        let steps: Option<Vec<f64>> = of.map(|run| steps_to_fit(run).map(f64::from)).collect();
        if let Some(steps) = steps.and_then(mean) {
            fitted.push((steps, title.clone()));
        }
    }
    fitted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let last = fitted.last().map_or("none".into(), |(step, title)| format!("{title} last, {step:.0} steps"));
    Verdict { paper: paper::FIG1A.into(), ours: format!("{} of {} fit; {last}", fitted.len(), titles.len()) }
}
