//! Section 2.2: uniform stability, which does not look at the labels, estimated for true and for random ones.
//!
//! Expected: the largest change of a loss grows with the passes over the data, to more than a nat, for either labelling:
//! training for many passes is not uniformly stable.

use super::{Product, Recipe, Source, Verdict};
use crate::complexity::Class;
use crate::config::Scale;
use crate::corruption::Corruption;
use crate::figures::{self, Note};
use crate::measurement::{Measured, Measurement, Quantity, stack};
use crate::models::ModelKind;
use crate::study::Study;
use crate::{Result, paper};
use polars::prelude::*;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "stability",
    title: "Section 2.2: uniform stability",
    notebook: "03-complexity-measures.ipynb",
    source: Source::Measurements { plan, make, verdict },
};

/// Training images (of more, from which replacements come), test images, epochs, replaced examples.
fn sizes(scale: Scale) -> (usize, usize, &'static [usize], usize) {
    match scale {
        Scale::Smoke => (100, 100, &[1, 5], 2),
        Scale::Small => (1_000, 1_000, &[1, 3, 10, 30], 5),
        Scale::Paper => (10_000, 10_000, &[1, 3, 10, 30, 60], 10),
    }
}

fn plan(study: &Study) -> Vec<Measurement> {
    let (n, m, epochs, replaced) = sizes(study.scale);
    let n = n.min(study.data.train.len() / 2);
    let class = Class::new(ModelKind::Mlp1x512, 1.0);
    let labelling = |corruption| {
        let what = Quantity::Stability { class, corruption, epochs: epochs.to_vec(), replaced };
        Measurement::new(&study.data, (n, m), what, 1)
    };
    [Corruption::TrueLabels, Corruption::RandomLabels].map(labelling).to_vec()
}

/// A row a replaced example and number of epochs: `labels` (text), `epochs`, `example`, `largest_change`, `mean_change`,
/// `changed` (f64).
///
/// Errors: [`crate::Error::Argument`] for no measurement.
pub fn frame(measured: &[Measured]) -> Result<DataFrame> {
    stack(measured)
}

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    Ok(Product::Figure(figures::stability::draw(&frame(measured)?, note)?))
}

fn verdict(measured: &[Measured]) -> Verdict {
    let text = |m: &Measured| {
        let Quantity::Stability { corruption, .. } = &m.record.measurement.what else { return None };
        let column = |name: &str| m.column(name).ok()?.f64().ok().cloned();
        let (epochs, change) = (column("epochs")?, column("largest_change")?);
        let at = |time: f64| {
            let rows = epochs.iter().zip(change.iter()).filter(|(e, _)| *e == Some(time));
            rows.filter_map(|(_, c)| c).fold(0.0, f64::max)
        };
        let (first, last) = (
            epochs.iter().flatten().fold(f64::INFINITY, f64::min),
            epochs.iter().flatten().fold(0.0, f64::max),
        );
        Some(format!(
            "{}: {:.2} nats after {first} epochs, {:.2} after {last}",
            corruption.title(),
            at(first),
            at(last)
        ))
    };
    let ours = measured.iter().filter_map(text).collect::<Vec<_>>().join("; ");
    Verdict {
        paper: paper::STABILITY.into(),
        ours: if ours.is_empty() { "not measured".into() } else { ours },
    }
}
