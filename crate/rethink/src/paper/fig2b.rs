//! Figure 2b: training and test accuracy of the small Inception with batch normalisation and without, against steps,
//! all explicit regularisers off; shaded, the best test accuracy so far.
//!
//! Expected at paper scale: the network without batch normalisation learns later and less steadily, and ends 3 to 4
//! points lower; the best test accuracy so far is no higher than the last one.

use crate::data::corruption::Corruption;
use crate::paper::reported;
use crate::paper::{Parts, Product, Recipe, Setting, Verdict, curves, fig1a, mean};
use crate::run::appendix_a::{Size, size_at};
use crate::run::config::{RunConfig, Scale};
use crate::store::Run;
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::models::ModelKind;
use rethink_plot::columns::{all_numbers, distinct, need, numbers, texts};
use rethink_plot::{Chart, Drawing, Note, axis};
use std::collections::BTreeMap;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "fig2b",
    title: "Figure 2b: batch normalisation and early stopping",
    notebook: "06-batch-normalization.ipynb",
    source: Parts::Runs { runs, make, verdict },
};

/// The figure's models.
pub const MODELS: [ModelKind; 2] = [ModelKind::Inception, ModelKind::InceptionNoBn];

/// Epochs of a curve of one length. At scale small as many as the network without batch normalisation takes to fit and some
/// more. At paper scale the runs end when they are fitted, as figure 1a's, whose run on true labels is one of them: what early
/// stopping could have won by then.
pub fn epochs(scale: Scale) -> usize {
    if scale == Scale::Small { 110 } else { fig1a::epochs(scale) }
}

fn runs(setting: &Setting) -> Vec<RunConfig> {
    let (data, scale) = (setting.data(), setting.scale);
    let (size, labels) = (|model| size_at(scale, model), Corruption::TrueLabels);
    let run = |model| {
        let long = Size { epochs: epochs(scale), ..size(model) };
        match scale {
            Scale::Smoke => fig1a::curve(data, long, model, labels, 1),
            // Tested often, so on fewer images.
            Scale::Small => fig1a::curve(data, Size { test: 1_000, ..long }, model, labels, 4),
            Scale::Paper => fig1a::fitted(data, size(model), model, labels),
        }
    };
    MODELS.into_iter().chain(setting.own.iter().copied()).map(run).collect()
}

/// `model` (str), `seed` (u64), and all columns of [`Run::frame`] but the seconds: the rows of all runs, one below the other.
///
/// Errors: [`crate::Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    curves(runs, "figure 2b's frame", "model", |config| config.model.title().into())
}

/// The best test accuracy during a run less the one at its end, 0 to 1: what early stopping could have won.
pub fn early_stopping_gain(run: &Run) -> Option<f64> {
    Some(run.best("test_accuracy")? - run.record.test_accuracy?)
}

const DRAW: &str = "draw accuracies against steps";

/// Draws figure 2b.
///
/// `frame`, one row per measurement: `model` (text, as the legend shows it), `seed`, `step` (training steps done),
/// `epoch`, `loss` (nats; infinite or undefined where a run diverged), `batch_accuracy` (0 to 1, on the batches
/// since the row before), `test_accuracy` (0 to 1, absent where it was not measured). Rows may be in any order.
///
/// A model's training curve is the mean of `batch_accuracy` in each epoch, as the paper's: each image before its
/// own update. Shaded between its test curve and the best test accuracy so far: what early stopping could have
/// won. Several seeds give the mean over the steps that all of them have, with a band of one sample standard
/// deviation around the training curve and thin bars on the test curve. A run that diverged is drawn alone up to
/// there, ends in a cross, stays out of the mean, and is named under the plot.
///
/// Errors: absent or mistyped columns, no accuracy at all.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    draw_as("fig2b", "model", frame, note)
}

/// The same drawing for another figure: `id` names it, `column` what its curves differ in.
pub(super) fn draw_as(id: &str, column: &str, frame: &DataFrame, note: &Note) -> Result<Drawing> {
    let runs = read(frame, column)?;
    let shown = stacked(column, &runs)?;
    if shown.height() == 0 {
        return Err(Error::argument(DRAW, "the frame holds no accuracy"));
    }
    let names: Vec<&str> = runs.iter().map(|(name, _)| name.as_str()).collect();
    let last = all_numbers(frame, DRAW, "step")?.into_iter().fold(0.0, f64::max);
    let (unit, title) = if last >= 2000.0 { (1000.0, "thousand steps") } else { (1.0, "training steps") };
    let chart = Chart::new(&shown, "step", "accuracy")
        .colour(column)
        .dashes("set")
        .over("seed")
        .shade_to("best")
        .x(axis(title).unit(unit).from(0.0).to(if last > 0.0 { last / unit } else { 1.0 }))
        .y(axis("accuracy").from(0.0).to(1.0).padded(0.0, 0.02))
        .caption(&format!(
            "Training and test accuracy against training steps: {}. Shaded: the best test accuracy so far.",
            names.join(", ")
        ));
    let mut plot = chart.plot(note)?;
    // A run diverges as a whole, and not each of its two curves.
    plot.notes = [note.scale_line.clone()].into_iter().chain(diverged(&runs)).collect();
    Ok(plot.drawing(id, note, frame)?)
}

/// What figure 2b's lines go through, of a frame as [`draw`] takes it whose curves differ in the text column `column`: that
/// column, `set` ("test" or "train"), `seed`, `step`, `accuracy` (0 to 1), and for test curves `best` so far. The curve of a run that
/// diverged ends in an accuracy that is undefined.
///
/// Errors: absent or mistyped columns.
pub fn accuracies(frame: &DataFrame, column: &str) -> Result<DataFrame> {
    stacked(column, &read(frame, column)?)
}

/// What curves differ in, in the order in which it first comes, and the curves of each repetition.
type Runs = Vec<(String, BTreeMap<u64, Curves>)>;

fn read(frame: &DataFrame, column: &str) -> Result<Runs> {
    need(frame, DRAW, &[column, "seed", "step", "epoch", "loss", "batch_accuracy", "test_accuracy"])?;
    let of = texts(frame, DRAW, column)?;
    let seeds = all_numbers(frame, DRAW, "seed")?;
    let steps = all_numbers(frame, DRAW, "step")?;
    let epochs = all_numbers(frame, DRAW, "epoch")?;
    let losses = numbers(frame, DRAW, "loss")?;
    let train = numbers(frame, DRAW, "batch_accuracy")?;
    let test = numbers(frame, DRAW, "test_accuracy")?;
    let mut all: Runs = distinct(&of).into_iter().map(|name| (name, BTreeMap::new())).collect();
    let mut order: Vec<usize> = (0..of.len()).collect();
    order.sort_by(|a, b| steps[*a].total_cmp(&steps[*b]));
    for row in order {
        let Some((_, runs)) = all.iter_mut().find(|(name, _)| *name == of[row]) else { continue };
        let run = runs.entry(seeds[row].to_bits()).or_default();
        run.diverged |= losses[row].is_some_and(|loss| !loss.is_finite());
        if run.diverged {
            continue;
        }
        if let Some(accuracy) = train[row].filter(|a| a.is_finite()) {
            run.epochs.entry(epochs[row].to_bits()).or_default().push((steps[row], accuracy));
        }
        if let Some(accuracy) = test[row].filter(|a| a.is_finite()) {
            run.test.insert(steps[row].to_bits(), accuracy);
        }
    }
    Ok(all)
}

fn stacked(column: &str, all: &Runs) -> Result<DataFrame> {
    let (mut names, mut sets, mut seeds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut steps, mut accuracy, mut best) = (Vec::new(), Vec::new(), Vec::new());
    for (name, seed, run) in all.iter().flat_map(|(name, runs)| runs.iter().map(move |(s, r)| (name, s, r))) {
        let mut push = |set: &str, step: f64, value: f64, so_far: Option<f64>| {
            names.push(name.clone());
            sets.push(set.to_string());
            seeds.push(f64::from_bits(*seed));
            steps.push(step);
            accuracy.push(value);
            best.push(so_far);
        };
        for (set, curve) in [("test", &run.test), ("train", &run.train())] {
            for ((step, value), so_far) in curve.iter().zip(best_so_far(curve).values()) {
                push(set, f64::from_bits(*step), *value, (set == "test").then_some(*so_far));
            }
            if let (true, Some((last, _))) = (run.diverged, curve.last_key_value()) {
                push(set, f64::from_bits(*last) + 1.0, f64::NAN, None);
            }
        }
    }
    df!(column => names, "set" => sets, "seed" => seeds, "step" => steps, "accuracy" => accuracy, "best" => best)
        .map_err(Error::frame(DRAW))
}

/// A line of small print for each name with runs that diverged.
fn diverged(all: &Runs) -> Vec<String> {
    let line = |(name, runs): &(String, BTreeMap<u64, Curves>)| {
        let lost = runs.values().filter(|run| run.diverged).count();
        let of = if runs.len() == 1 { "run".into() } else { format!("of {} seeds", runs.len()) };
        (lost > 0).then(|| format!("{name}: the loss of {lost} {of} became infinite or undefined (cross)."))
    };
    all.iter().filter_map(line).collect()
}

/// Accuracy by step, whose bits have its order.
type Curve = BTreeMap<u64, f64>;

#[derive(Default)]
struct Curves {
    /// (step, accuracy) of each epoch's rows.
    epochs: BTreeMap<u64, Vec<(f64, f64)>>,
    test: Curve,
    diverged: bool,
}

impl Curves {
    /// The mean of each epoch at its last step; a row counts as many steps as it closes.
    fn train(&self) -> Curve {
        let mut before = 0.0;
        let epoch = |rows: &Vec<(f64, f64)>| {
            let (mut sum, start) = (0.0, before);
            for (step, accuracy) in rows {
                sum += accuracy * (step - before);
                before = *step;
            }
            let mean = if before > start { sum / (before - start) } else { rows.last()?.1 };
            Some((before.to_bits(), mean))
        };
        self.epochs.values().filter_map(epoch).collect()
    }
}

fn best_so_far(curve: &Curve) -> Curve {
    let mut best = 0.0f64;
    let rising = |(step, accuracy): (&u64, &f64)| {
        best = best.max(*accuracy);
        (*step, best)
    };
    curve.iter().map(rising).collect()
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    Ok(Product::Figure(draw(&frame(runs)?, note)?))
}

fn verdict(runs: &[Run]) -> Verdict {
    let of = |model: ModelKind| runs.iter().filter(move |r| r.record.config.model == model);
    let test = |model| mean(of(model).filter_map(|r| r.record.test_accuracy));
    let [with, without] = MODELS.map(test);
    let stopping = mean(of(MODELS[0]).filter_map(early_stopping_gain));
    let ours = || {
        let (with, without, stopping) = (100.0 * with?, 100.0 * without?, 100.0 * stopping?);
        Some(format!(
            "batch norm {:+.1} points of test accuracy ({with:.1} and {without:.1} %); early stopping {stopping:+.1}",
            with - without
        ))
    };
    Verdict::new(reported::FIG2B, ours())
}
