//! Figure 1c: test error on clean labels against the share of corrupted training labels.
//!
//! Expected at paper scale: rises steadily to 90 %, the error of guessing among ten classes; on other data sets, to 1 - 1 / classes.

use super::{Product, Recipe, Source, Verdict, batch_note, extended, fig1b, mean, norm_note};
use crate::figures::{self, Note};
use crate::models::ModelKind;
use crate::store::Run;
use crate::{Result, paper};

/// The recipe; its frame is [`fig1b::frame`].
pub const RECIPE: Recipe = Recipe {
    id: "fig1c",
    title: "Figure 1c: test error",
    notebook: "02-partially-corrupted-labels.ipynb",
    source: Source::Runs { runs: fig1b::runs, make, verdict },
};

/// Share of wrongly classified test images, 0 to 1; `None` for a diverged run.
pub fn test_error(run: &Run) -> Option<f64> {
    run.record.test_accuracy.map(|accuracy| 1.0 - accuracy)
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    let note = extended(note, norm_note(runs.iter()).into_iter().chain(batch_note(runs.iter())));
    Ok(Product::Figure(figures::fig1c::draw(&fig1b::frame(runs)?, &note)?))
}

fn verdict(runs: &[Run]) -> Verdict {
    let model = |m: ModelKind| {
        let at = |p: f64| {
            let of = |r: &&Run| r.record.config.model == m && r.record.config.corruption.label_noise() == p;
            let error = mean(runs.iter().filter(of).filter_map(test_error));
            error.map_or("-".into(), |error| format!("{:.0}", 100.0 * error))
        };
        format!("{} {} to {} %", m.title(), at(0.0), at(1.0))
    };
    Verdict {
        paper: paper::FIG1C.into(),
        ours: fig1b::models(runs).map(model).collect::<Vec<_>>().join(", "),
    }
}
