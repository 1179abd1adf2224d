//! Figure 1a: training loss against steps, for the five settings of section 2.1.
//!
//! Expected at paper scale: all five go to zero; true labels first, random labels last.

use super::{Product, Recipe, Source, Verdict, setting};
use crate::config::{RunConfig, Scale, Seeds};
use crate::corruption::Corruption;
use crate::data::Dataset;
use crate::figures::{self, Note};
use crate::models::ModelKind;
use crate::store::Run;
use crate::{Error, Result, paper};
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

fn runs(data: &Dataset, scale: Scale) -> Vec<RunConfig> {
    let run = |corruption| {
        let mut config = setting(data, scale, ModelKind::Mlp3x512, corruption, Seeds::repeat(0));
        // Curves of one length, and finer than an epoch where the epochs are long.
        config.hyper.stop_when_fitted = false;
        config.hyper.epochs = match scale {
            Scale::Smoke => 12,
            Scale::Small => 60,
            Scale::Paper => 64,
        };
        config.eval_every = 5;
        config
    };
    Corruption::FIGURE_1A.map(run).to_vec()
}

/// `setting` (str), `seed` (u64), `step` (u32), `loss` (f32): the rows of all runs, one below the
/// other.
///
/// Errors: [`Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    let operation = "figure 1a's frame";
    let mut whole: Option<DataFrame> = None;
    for run in runs {
        let n = run.frame.height();
        let column = |name: &str| run.frame.column(name).cloned().map_err(Error::frame(operation));
        let loss = column("loss")?.cast(&DataType::Float32).map_err(Error::frame(operation))?;
        let columns = vec![
            Column::new("setting".into(), vec![run.record.config.corruption.title(); n]),
            Column::new("seed".into(), vec![run.record.config.seeds.init; n]),
            column("step")?,
            loss,
        ];
        let part = DataFrame::new(n, columns).map_err(Error::frame(operation))?;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => {
                whole.vstack_mut(&part).map_err(Error::frame(operation))?;
            }
        }
    }
    whole.ok_or_else(|| Error::argument(operation, "no runs"))
}

/// The first step whose interval has an average loss of at most [`FITTED_LOSS`].
pub fn steps_to_fit(run: &Run) -> Option<u32> {
    let loss = run.frame.column("loss").ok()?.f64().ok()?;
    let step = run.frame.column("step").ok()?.u32().ok()?;
    loss.iter().zip(step.iter()).find(|(loss, _)| loss.is_some_and(|l| l <= FITTED_LOSS))?.1
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    Ok(Product::Figure(figures::fig1a::draw(&frame(runs)?, note)?))
}

fn verdict(runs: &[Run]) -> Verdict {
    let mut fitted: Vec<(u32, String)> = Vec::new();
    for run in runs {
        if let Some(step) = steps_to_fit(run) {
            fitted.push((step, run.record.config.corruption.title()));
        }
    }
    fitted.sort();
    let last = fitted.last().map_or("none".into(), |(step, title)| format!("{title} last, {step} steps"));
    Verdict { paper: paper::FIG1A.into(), ours: format!("{} of {} fit; {last}", fitted.len(), runs.len()) }
}
