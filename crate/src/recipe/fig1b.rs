//! Figure 1b: time to fit the training set against the share of corrupted labels, relative to the
//! time for clean labels. Fitted is a network with [`crate::store::FITTED`] of the images: the paper draws MLP 1x512 on
//! random labels, of which that fits 99.34 % in the end (table 1).
//!
//! Expected at paper scale: rises with the corruption, by a small constant factor.

use super::{
    Product, Recipe, Size, Source, Verdict, batch_note, extended, fig1c, mean, narrow, norm_note, repeats,
    sized,
};
use crate::config::{RunConfig, Scale, Seeds};
use crate::corruption::Corruption;
use crate::data::Dataset;
use crate::figures::{self, Note};
use crate::frames::find;
use crate::models::ModelKind;
use crate::store::Run;
use crate::{Error, Result, paper};
use polars::prelude::*;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "fig1b",
    title: "Figure 1b: time to fit",
    notebook: "02-partially-corrupted-labels.ipynb",
    source: Source::Runs { runs, make, verdict },
};

/// The figure's models, in its order.
pub const MODELS: [ModelKind; 3] = [ModelKind::Inception, ModelKind::Alexnet, ModelKind::Mlp1x512];

/// Probabilities of corruption.
pub fn levels(scale: Scale) -> &'static [f64] {
    match scale {
        Scale::Smoke => &[0.0, 0.5, 1.0],
        Scale::Small => &[0.0, 0.3, 0.6, 1.0],
        Scale::Paper => &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
    }
}

/// Corruption `p` under the name that other recipes have for its ends, so that they share runs.
fn corruption(p: f64) -> Corruption {
    match p {
        0.0 => Corruption::TrueLabels,
        1.0 => Corruption::RandomLabels,
        p => Corruption::PartialLabels { p },
    }
}

/// What `model` gets at `scale`. At scale small, more images than in table 1, because few cost a network as many epochs
/// with any labels: MLP 1x512 takes 1.0, 1.2 and 1.1 times those of true labels for 0.3, 0.6 and all of 1,000 labels
/// corrupted (three seeds), 1.3, 1.4 and 1.5 times for 4,000 (two seeds), 1.5, 2.0 and 2.3 times for all of CIFAR-10; the narrow
/// Inception 1.1, 1.3 and 1.4 times for 3,000 (58, 61, 76 and 79 epochs, one seed), where table 1's fits 1,000 random labels
/// as soon as true ones (29 epochs); Alexnet 1.0, 1.3, 1.4 and 1.8 for 2,000, but 1.0, 1.2, 1.2 and 1.3 for 1,000 (one seed).
fn size(scale: Scale, model: ModelKind) -> Size {
    let size = narrow(scale, model);
    match (scale, model) {
        (Scale::Small, ModelKind::Mlp1x512) => Size { train: 4_000, ..size },
        (Scale::Small, ModelKind::Alexnet) => Size { train: 2_000, ..size },
        (Scale::Small, ModelKind::Inception) => Size { train: 3_000, ..size },
        _ => size,
    }
}

/// Figures 1b and 1c are made of the same runs.
pub(super) fn runs(data: &Dataset, scale: Scale) -> Vec<RunConfig> {
    let mut configs = Vec::new();
    for model in MODELS {
        let size = size(scale, model);
        for repeat in 0..repeats(scale, model) {
            for &p in levels(scale) {
                let data = data.id(size.train, size.test);
                configs.push(sized(data, size, model, corruption(p), Seeds::repeat(repeat)));
            }
        }
    }
    configs
}

/// A row a run: `model` (str), `p` (f64), `seed` (u64), `epochs_to_fit` (u32, [`Run::fitted_at`], null where it was never
/// fitted), `relative` (f64, null: to the run with the same model and seed at p = 0), `test_error`
/// (f64, null for a diverged run), `train_accuracy` (f64), `chance` (f64: the
/// error of guessing among the data set's classes, null where an old record does not say how many).
///
/// Errors: [`Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    let clean = |run: &Run| {
        let same = |other: &&Run| {
            let (a, b) = (&other.record.config, &run.record.config);
            a.model == b.model && a.seeds == b.seeds && a.corruption.label_noise() == 0.0
        };
        runs.iter().find(same).and_then(Run::fitted_at)
    };
    let relative = |run: &Run| Some(f64::from(run.fitted_at()?) / f64::from(clean(run)?));
    let configs = || runs.iter().map(|r| &r.record.config);
    let columns = vec![
        Column::new("model".into(), configs().map(|c| c.model.title()).collect::<Vec<_>>()),
        Column::new("p".into(), configs().map(|c| c.corruption.label_noise()).collect::<Vec<_>>()),
        Column::new("seed".into(), configs().map(|c| c.seeds.init).collect::<Vec<_>>()),
        Column::new("epochs_to_fit".into(), runs.iter().map(Run::fitted_at).collect::<Vec<_>>()),
        Column::new("relative".into(), runs.iter().map(relative).collect::<Vec<_>>()),
        Column::new("test_error".into(), runs.iter().map(fig1c::test_error).collect::<Vec<_>>()),
        Column::new(
            "train_accuracy".into(),
            runs.iter().map(|r| r.record.train_accuracy).collect::<Vec<_>>(),
        ),
        Column::new("chance".into(), runs.iter().map(|r| r.record.error_of_guessing()).collect::<Vec<_>>()),
    ];
    DataFrame::new(runs.len(), columns).map_err(Error::frame("figure 1b's frame"))
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    let note = extended(note, norm_note(runs.iter()).into_iter().chain(batch_note(runs.iter())));
    Ok(Product::Figure(figures::fig1b::draw(&frame(runs)?, &note)?))
}

fn verdict(runs: &[Run]) -> Verdict {
    let paper = paper::FIG1B.into();
    let Ok(frame) = frame(runs) else { return Verdict { paper, ours: "no runs".into() } };
    let at = |model: &str, p: f64| -> Vec<f64> {
        let rows = runs.iter().enumerate().filter(|(_, r)| {
            let c = &r.record.config;
            c.model.title() == model && c.corruption.label_noise() == p
        });
        let relative = find(&frame, "relative").and_then(|c| c.f64().cloned());
        rows.filter_map(|(i, _)| relative.as_ref().ok()?.get(i)).collect()
    };
    let model = |m: ModelKind| {
        let values = at(m.title(), 1.0);
        let times = mean(values).map_or("not fitted".into(), |mean| format!("{mean:.1}x"));
        format!("{} {times}", m.title())
    };
    Verdict { paper, ours: format!("p = 1: {}", models(runs).map(model).collect::<Vec<_>>().join(", ")) }
}

/// The figure's models of which there are runs.
pub(super) fn models(runs: &[Run]) -> impl Iterator<Item = ModelKind> {
    MODELS.into_iter().filter(|model| runs.iter().any(|run| run.record.config.model == *model))
}
