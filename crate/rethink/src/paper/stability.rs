//! Section 2.2: uniform stability, which does not look at the labels, estimated for true and for random ones.
//!
//! Expected: the largest change of a loss grows with the passes over the data, to more than a nat, for either labelling:
//! training for many passes is not uniformly stable.

use crate::data::corruption::Corruption;
use crate::measure::complexity::Class;
use crate::measure::{Measured, Measurement, Quantity, stack};
use crate::paper::Setting;
use crate::paper::reported;
use crate::paper::{Parts, Product, Recipe, Verdict, extended};
use crate::run::config::Scale;
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::models::ModelKind;
use rethink_nn::text::counted;
use rethink_plot::columns::{all_numbers, distinct, need, texts};
use rethink_plot::{Chart, Drawing, Note, axis};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "stability",
    title: "Section 2.2: uniform stability",
    notebook: "03-complexity-measures.ipynb",
    source: Parts::Measurements { plan, make, verdict },
};

/// Training images (of more, from which replacements come), test images, epochs, replaced examples.
fn sizes(scale: Scale) -> (usize, usize, &'static [usize], usize) {
    match scale {
        Scale::Smoke => (100, 100, &[1, 5], 2),
        Scale::Small => (500, 1_000, &[1, 3, 10, 20], 4),
        Scale::Paper => (10_000, 10_000, &[1, 3, 10, 30, 60], 10),
    }
}

fn plan(setting: &Setting) -> Vec<Measurement> {
    let (n, m, epochs, replaced) = sizes(setting.scale);
    let n = n.min(setting.data().train.len() / 2);
    let class = Class::new(ModelKind::Mlp1x512, 1.0);
    let labelling = |corruption| {
        let what = Quantity::Stability { class, corruption, epochs: epochs.to_vec(), replaced };
        Measurement::new(setting.data(), (n, m), what, 1)
    };
    [Corruption::TrueLabels, Corruption::RandomLabels].map(labelling).to_vec()
}

/// One row per replaced example and number of epochs: `labels` (text), `epochs`, `example`, `largest_change`, `mean_change`,
/// `changed` (f64).
///
/// Errors: [`crate::Error::Argument`] for no measurement.
pub fn frame(measured: &[Measured]) -> Result<DataFrame> {
    stack(measured)
}

const DRAW: &str = "draw the stability";

/// Draws, for each labelling, the largest change of a test image's cross-entropy over all replaced examples against the
/// epochs of training, and thin below it the mean change.
///
/// `frame`, one row per replaced example: `labels` (text, as the legend shows it), `epochs` (1 or more),
/// `largest_change`, `mean_change` (nats, 0 or more), `changed` (share, stated under the plot).
///
/// Errors: absent or mistyped columns, numbers out of range, no row.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["labels", "epochs", "example", "largest_change", "mean_change", "changed"])?;
    let labels = texts(frame, DRAW, "labels")?;
    let epochs = all_numbers(frame, DRAW, "epochs")?;
    let largest = all_numbers(frame, DRAW, "largest_change")?;
    let mean = all_numbers(frame, DRAW, "mean_change")?;
    let changed = all_numbers(frame, DRAW, "changed")?;
    for row in 0..labels.len() {
        if epochs[row] < 1.0 || largest[row] < 0.0 || mean[row] < 0.0 {
            let problem =
                format!("row {row}: changes {} and {} after {} epochs", largest[row], mean[row], epochs[row]);
            return Err(Error::argument(DRAW, problem));
        }
    }
    if labels.is_empty() {
        return Err(Error::argument(DRAW, "the frame has no row"));
    }
    let names = distinct(&labels);
    let most = (0..changed.len()).max_by(|a, b| changed[*a].total_cmp(&changed[*b])).unwrap_or(0);
    let examples =
        distinct(&all_numbers(frame, DRAW, "example")?.iter().map(f64::to_string).collect::<Vec<_>>());
    let drawing = Chart::new(frame, "epochs", "largest_change")
        .colour("labels")
        .over("example")
        .greatest()
        .markers()
        .thin("mean_change")
        .x(axis("epochs").log())
        .y(axis("largest change of a loss (nats)"))
        .note(&format!(
            "{} replaced, one at a time. Thick: largest change over test images and replaced examples. Thin: mean over both. One example changes up to {:.1} % of predictions ({}, {}).",
            counted(examples.len(), "training example"),
            100.0 * changed[most],
            labels[most],
            counted(epochs[most] as usize, "epoch")
        ))
        .caption(&format!(
            "Uniform stability: the largest change of a test image's cross-entropy when one training example is replaced, \
             against epochs of training: {}.",
            names.join(", ")
        ))
        .draw("stability", note)?;
    Ok(drawing)
}

/// What the small print says of the networks: which, how they were trained, and what is the same in all trainings.
fn training(measured: &[Measured]) -> Option<String> {
    let class = |m: &Measured| match &m.record.measurement.what {
        Quantity::Stability { class, .. } => {
            Some(format!("{}, mini-batches of {}", class.title(), class.model.batch_size()))
        }
        _ => None,
    };
    let classes = distinct(&measured.iter().filter_map(class).collect::<Vec<_>>());
    let same = "the same initial weights and the same order of examples in every training";
    (!classes.is_empty()).then(|| format!("{}; {same}.", classes.join(", ")))
}

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    let note = &extended(note, training(measured));
    Ok(Product::Figure(draw(&frame(measured)?, note)?))
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
            "{}: {:.2} nats after {}, {:.2} after {last}",
            corruption.title(),
            at(first),
            counted(first as usize, "epoch"),
            at(last)
        ))
    };
    Verdict::of_parts(reported::STABILITY, measured.iter().filter_map(text).collect())
}
