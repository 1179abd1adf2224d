//! Figure 2b: training and test accuracy of the small Inception with batch normalisation and without, against steps,
//! all explicit regularisers off; shaded, the best test accuracy so far.
//!
//! Expected at paper scale: the network without batch normalisation learns later and less steadily, and ends 3 to 4
//! points lower; the best test accuracy so far is no higher than the last one.

use super::{Product, Recipe, Size, Source, Verdict, curves, fig1a, mean, rate_note, size};
use crate::config::{RunConfig, Scale};
use crate::corruption::Corruption;
use crate::data::Dataset;
use crate::figures::{self, Note};
use crate::models::ModelKind;
use crate::store::Run;
use crate::{Result, paper};
use polars::prelude::DataFrame;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "fig2b",
    title: "Figure 2b: batch normalisation and early stopping",
    notebook: "06-batch-normalization.ipynb",
    source: Source::Runs { runs, make, verdict },
};

/// The figure's models.
pub const MODELS: [ModelKind; 2] = [ModelKind::Inception, ModelKind::InceptionNoBn];

/// Epochs of a curve of one length. At paper scale the runs end when they are fitted, as figure 1a's, whose run on true
/// labels is one of them: what early stopping could have won by then.
pub fn epochs(scale: Scale) -> usize {
    if scale == Scale::Small { 45 } else { fig1a::epochs(scale) }
}

fn runs(data: &Dataset, scale: Scale) -> Vec<RunConfig> {
    if scale == Scale::Paper {
        return MODELS.map(|model| fig1a::fitted(data, scale, model, Corruption::TrueLabels)).to_vec();
    }
    let run = |model| {
        let size = fig1a::of_curve(scale, Size { epochs: epochs(scale), ..size(scale, model) });
        let eval_every = if scale == Scale::Small { 3 } else { fig1a::every(scale) };
        RunConfig { eval_every, ..fig1a::curve(data, size, model, Corruption::TrueLabels) }
    };
    MODELS.map(run).to_vec()
}

/// `model` (str), `seed` (u64), and all columns of [`Run::frame`]: the rows of all runs, one below the other.
///
/// Errors: [`crate::Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    curves(runs, "figure 2b's frame", "model", |config| config.model.title().into())
}

/// The best test accuracy during a run less the one at its end, 0 to 1: what early stopping could have won.
pub fn early_stopping_gain(run: &Run) -> Option<f64> {
    Some(run.best("test_accuracy")? - run.record.test_accuracy?)
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    let mut note = note.clone();
    note.scale_line.extend(rate_note(runs).map(|rate| format!(". {rate}")));
    Ok(Product::Figure(figures::fig2b::draw(&frame(runs)?, &note)?))
}

fn verdict(runs: &[Run]) -> Verdict {
    let of = |model: ModelKind| runs.iter().filter(move |r| r.record.config.model == model);
    let test = |model| mean(of(model).filter_map(|r| r.record.test_accuracy));
    let [with, without] = MODELS.map(test);
    let stopping = mean(of(MODELS[0]).filter_map(early_stopping_gain));
    let ours = match (with, without, stopping) {
        (Some(with), Some(without), Some(stopping)) => format!(
            "batch norm {:+.1} points of test accuracy ({:.1} and {:.1} %); early stopping {:+.1}",
            100.0 * (with - without),
            100.0 * with,
            100.0 * without,
            100.0 * stopping
        ),
        _ => "runs are missing".into(),
    };
    Verdict { paper: paper::FIG2B.into(), ours }
}
