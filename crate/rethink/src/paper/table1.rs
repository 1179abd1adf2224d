//! Table 1: training and test accuracy of every model, with and without regularisers, and on random
//! labels.
//!
//! Expected at paper scale: every model fits its training set, random labels too; all test far above
//! chance without any regulariser, and at chance after random labels.

use crate::data::Dataset;
use crate::data::corruption::Corruption;
use crate::paper::reported::{TABLE_1, Table1Row};
use crate::paper::{
    Parts, Product, Recipe, Setting, Verdict, decay_weights, mean, mean_and_deviation, papers, repeats,
};
use crate::run::appendix_a::{Size, config_at, config_of_size, size_at};
use crate::run::config::{RunConfig, Scale, Seeds};
use crate::run::row::StopReason;
use crate::store::Run;
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::models::ModelKind;
use rethink_nn::text::thousands;
use rethink_plot::Note;
use rethink_plot::tables::{Align, Table};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "table1",
    title: "Table 1: training and test accuracy",
    notebook: "04-regularization.ipynb",
    source: Parts::Runs { runs, make, verdict },
};

/// The rows, each with its model.
pub fn rows() -> Vec<(&'static Table1Row, ModelKind)> {
    TABLE_1.iter().filter_map(|row| Some((row, model_named(row.model)?))).collect()
}

/// The model that the paper's tables call so.
pub(super) fn model_named(title: &str) -> Option<ModelKind> {
    ModelKind::ALL.into_iter().find(|m| m.title() == title)
}

fn configure(row: &Table1Row, model: ModelKind, data: &Dataset, scale: Scale, seeds: Seeds) -> RunConfig {
    let corruption = if row.random_labels { Corruption::RandomLabels } else { Corruption::TrueLabels };
    let mut config = config_at(data, scale, model, corruption, seeds);
    config.hyper.random_crop = row.random_crop;
    if row.weight_decay {
        decay_weights(&mut config);
    }
    config
}

/// Images a step of the MLPs' controls: as many as the other networks take. The MLPs' own number was chosen because with
/// it they fit random labels as well as the paper's; the control shows what comes of the other.
pub const CONTROL_BATCH: usize = 128;

/// Whether a run is a control: an MLP on random labels without regularisers, with [`CONTROL_BATCH`] images a step. It
/// belongs to no row of the paper.
pub fn is_control(config: &RunConfig) -> bool {
    let hyper = &config.hyper;
    config.model.is_mlp()
        && config.corruption == Corruption::RandomLabels
        && hyper.batch_size == CONTROL_BATCH
        && !hyper.random_crop
        && hyper.weight_decay == 0.0
        && hyper.augment.is_off()
}

/// The models of the controls, in the rows' order.
fn controls() -> impl Iterator<Item = ModelKind> {
    [ModelKind::Mlp3x512, ModelKind::Mlp1x512].into_iter()
}

fn control(model: ModelKind, data: &Dataset, scale: Scale, seeds: Seeds) -> RunConfig {
    let size = Size { batch_size: Some(CONTROL_BATCH), ..size_at(scale, model) };
    config_of_size(data.id(size.train, size.test), size, model, Corruption::RandomLabels, seeds)
}

fn runs(setting: &Setting) -> Vec<RunConfig> {
    let (data, scale) = (setting.data(), setting.scale);
    let mut configs = Vec::new();
    for (row, model) in rows() {
        for repeat in 0..repeats(scale, model) {
            configs.push(configure(row, model, data, scale, Seeds::repeat(repeat)));
        }
    }
    for model in controls() {
        for repeat in 0..repeats(scale, model) {
            configs.push(control(model, data, scale, Seeds::repeat(repeat)));
        }
    }
    configs
}

/// Whether `run` belongs to `row`.
pub fn belongs(row: &Table1Row, run: &Run) -> bool {
    is_of(row, &run.record.config)
}

/// Whether a run of `config` belongs to `row`.
pub fn is_of(row: &Table1Row, config: &RunConfig) -> bool {
    let labels = if row.random_labels { Corruption::RandomLabels } else { Corruption::TrueLabels };
    config.corruption == labels
        && config.model.title() == row.model
        && config.hyper.random_crop == row.random_crop
        && (config.hyper.weight_decay > 0.0) == row.weight_decay
        && config.hyper.augment.is_off()
        && !is_control(config)
}

/// One line per row of the paper: `model`, `parameters`, `crop`, `weight decay`, `labels`, `train (paper)`,
/// `train`, `test (paper)`, `test` (text, accuracies in per cent, ours as mean ±
/// standard deviation over seeds; "diverged" where no seed has an end), `seeds` (u32), `ended` (text: how the runs
/// ended). Below them, where there are any, the controls ([`is_control`]), which the paper has not.
///
/// Errors: [`Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    let yes = |b: bool| if b { "yes" } else { "no" }.to_string();
    // The cells of a line before its numbers, the paper's training and test accuracy, and its runs.
    type Line<'a> = ([String; 5], [String; 2], Vec<&'a Run>);
    let mut lines: Vec<Line> = Vec::new();
    for (row, _) in rows() {
        let labels = if row.random_labels { "random" } else { "true" };
        let parameters = thousands(row.parameters as usize);
        let cells =
            [row.model.into(), parameters, yes(row.random_crop), yes(row.weight_decay), labels.into()];
        let theirs = [row.train, row.test].map(|paper| papers(runs, format!("{paper:.2}")));
        lines.push((cells, theirs, runs.iter().filter(|run| belongs(row, run)).collect()));
    }
    for model in controls() {
        let own = |run: &&Run| run.record.config.model == model && is_control(&run.record.config);
        let of: Vec<&Run> = runs.iter().filter(own).collect();
        let Some(first) = of.first() else { continue };
        let name = format!("{} (control: mini-batches of {CONTROL_BATCH})", model.title());
        let parameters = thousands(first.record.parameters);
        let cells = [name, parameters, yes(false), yes(false), "random".into()];
        lines.push((cells, ["-".into(), "-".into()], of));
    }
    let text = |name: &str, value: &dyn Fn(&Line) -> String| {
        Column::new(name.into(), lines.iter().map(value).collect::<Vec<_>>())
    };
    let columns = vec![
        text("model", &|(cells, ..)| cells[0].clone()),
        text("parameters", &|(cells, ..)| cells[1].clone()),
        text("crop", &|(cells, ..)| cells[2].clone()),
        text("weight decay", &|(cells, ..)| cells[3].clone()),
        text("labels", &|(cells, ..)| cells[4].clone()),
        text("train (paper)", &|(_, theirs, _)| theirs[0].clone()),
        text("train", &|(.., of)| accuracies(of, |run| run.record.train_accuracy)),
        text("test (paper)", &|(_, theirs, _)| theirs[1].clone()),
        text("test", &|(.., of)| accuracies(of, |run| run.record.test_accuracy)),
        Column::new("seeds".into(), lines.iter().map(|(.., of)| of.len() as u32).collect::<Vec<_>>()),
        text("ended", &|(.., of)| endings(of)),
    ];
    DataFrame::new(lines.len(), columns).map_err(Error::frame("table 1's frame"))
}

/// Mean and deviation in per cent of the runs that did not diverge; "diverged" if all did, "-" for no runs.
pub(super) fn accuracies(runs: &[&Run], value: fn(&Run) -> Option<f64>) -> String {
    let sound = runs.iter().filter(|run| run.record.ending != StopReason::Diverged);
    let values: Vec<f64> = sound.filter_map(|run| value(run)).map(|v| 100.0 * v).collect();
    match (values.is_empty(), runs.is_empty()) {
        (false, _) => mean_and_deviation(&values),
        (true, false) => "diverged".into(),
        (true, true) => "-".into(),
    }
}

/// How runs ended ([`crate::store::Record::ended`]), in the order fitted, completed, diverged: "fitted (5 epochs)", or
/// "1 fitted (5 epochs), 2 diverged".
pub(super) fn endings(runs: &[&Run]) -> String {
    let order = |run: &&Run| {
        let place = match run.record.ending {
            StopReason::Fitted => 0,
            StopReason::Completed => 1,
            StopReason::Diverged => 2,
            StopReason::Interrupted => 3,
        };
        (place, run.record.config.hyper.fitted_epochs)
    };
    let mut runs = runs.to_vec();
    runs.sort_by_key(order);
    let mut counts: Vec<(usize, String)> = Vec::new();
    for name in runs.iter().map(|run| run.record.ended()) {
        match counts.last_mut() {
            Some((count, last)) if *last == name => *count += 1,
            _ => counts.push((1, name)),
        }
    }
    match &counts[..] {
        [] => "-".into(),
        [(_, name)] => name.clone(),
        _ => counts.iter().map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>().join(", "),
    }
}

/// What the tables' small print says of the column that [`endings`] fills.
pub(super) const ENDINGS: &str = "Fitted (k epochs): stopped once every training image was right in so many epochs in a row, \
                                  accuracies are those of the last; completed: all epochs were run.";

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    let mut table = Table::from_frame(&frame(runs)?, RECIPE.id, RECIPE.title, 2)?;
    for (name, align) in table.header.iter().zip(&mut table.align) {
        if ["train", "test", "parameters"].iter().any(|numbers| name.starts_with(numbers)) {
            *align = Align::Right;
        }
    }
    table.notes = vec![note.scale_line.clone()];
    table.notes.push(format!(
        "Accuracies in per cent. Columns marked (paper) are the paper's, on CIFAR-10 with n = 50,000. {ENDINGS}"
    ));
    table.provenance = note.provenance.clone();
    Ok(Product::Table(table))
}

fn verdict(runs: &[Run]) -> Verdict {
    let cell = |random: bool, values: &dyn Fn(&Table1Row) -> Option<f64>| {
        let plain = |row: &&Table1Row| !row.random_crop && !row.weight_decay && row.random_labels == random;
        let cells = rows().into_iter().map(|(row, _)| row).filter(plain).filter_map(values);
        cells.map(|v| format!("{v:.1}")).collect::<Vec<_>>().join(" / ")
    };
    let ours = |row: &Table1Row| {
        let tests = runs.iter().filter(|run| belongs(row, run)).filter_map(|run| run.record.test_accuracy);
        mean(tests).map(|mean| 100.0 * mean)
    };
    let line = |values: &dyn Fn(&Table1Row) -> Option<f64>| {
        format!("test {} %, random labels {} %", cell(false, values), cell(true, values))
    };
    Verdict::new(line(&|row| Some(row.test)), line(&ours))
}
