//! Table 4 (the published version's appendix E): training accuracy on random labels with a regulariser switched on.
//!
//! Expected at paper scale: weight decay does not keep Inception and the MLPs from fitting, but Alexnet; random
//! crops and augmentation neither, with a slower decay of the learning rate and more epochs.

use crate::data::Dataset;
use crate::data::augmentation::Augmentation;
use crate::data::corruption::Corruption;
use crate::paper::reported::{Regularizer, TABLE_4, Table4Row};
use crate::paper::table1::{ENDINGS, accuracies, endings, model_named};
use crate::paper::{Parts, Product, Recipe, Setting, Verdict, decay_weights, mean, papers, repeats};
use crate::run::appendix_a::{Size, config_of_size, size_at};
use crate::run::config::{RunConfig, Scale, Seeds};
use crate::store::Run;
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::models::ModelKind;
use rethink_nn::optim::DecayOn;
use rethink_nn::text::thousands;
use rethink_plot::Note;
use rethink_plot::tables::{Align, Table};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "table4",
    title: "Table 4: training accuracy on random labels with regularisers",
    notebook: "05-regularizers-on-random-labels.ipynb",
    source: Parts::Runs { runs, make, verdict },
};

/// Factor on the learning rate of the rows whose images change from epoch to epoch; 0.95 would end the training
/// before each version of an image has been seen.
pub const SLOW_DECAY: f64 = 0.999;

/// What comes of a training accuracy below this is "failed to converge" in the verdict.
const CONVERGED: f64 = 0.95;

/// Steps in which weight decay alone takes a weight down to 1 / e of what it was, at the initial rate: 2,500 for Alexnet's
/// coefficient. A run of many fewer cannot tell whether weight decay keeps a network from fitting: at scale small Alexnet has
/// fitted random labels before it acts, on shapes10 and on CIFAR-10 (`crate/notes/fidelity.md`).
pub fn decay_steps(config: &RunConfig) -> f64 {
    let hyper = &config.hyper;
    (1.0 - hyper.momentum) / (hyper.learning_rate * hyper.weight_decay)
}

/// Steps that `run` has done.
pub fn steps(run: &Run) -> usize {
    run.record.epochs as usize * run.record.config.steps_per_epoch()
}

/// [`steps`], where they are fewer than [`decay_steps`]; else `None`.
pub fn too_few_steps(run: &Run) -> Option<usize> {
    let steps = steps(run);
    ((steps as f64) < decay_steps(&run.record.config)).then_some(steps)
}

/// Epochs of the rows whose images change from epoch to epoch, at most. At scale small they are fitted after 163 and 184 with
/// augmentation (shapes10, two seeds).
pub fn long_epochs(scale: Scale, model: ModelKind) -> usize {
    match scale {
        Scale::Smoke => size_at(scale, model).epochs,
        Scale::Small => 260,
        Scale::Paper => 300,
    }
}

/// What `model` gets at `scale` where images do not change from epoch to epoch.
pub fn plain_size(scale: Scale, model: ModelKind) -> Size {
    let size = size_at(scale, model);
    match scale {
        // A fresh version of each image an epoch takes long to learn by heart.
        Scale::Small => Size { train: 128, test: 1_000, ..size },
        _ => size,
    }
}

/// A control of Alexnet with weight decay, whose coefficient and place were chosen because with them it fails to fit
/// random labels, as the paper's does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Without weight decay: it must fit, or the failure is not weight decay's.
    Undecayed,
    /// With [`CONTROL_DECAY`] on its weights.
    OtherDecay,
}

/// L2 coefficient of [`Control::OtherDecay`]: that of Krizhevsky, Sutskever and Hinton's Alexnet (2012), on all weights.
pub const CONTROL_DECAY: f64 = 5e-4;

impl Control {
    /// All, in the order of the table's lines.
    pub const ALL: [Control; 2] = [Control::Undecayed, Control::OtherDecay];

    fn title(self) -> &'static str {
        match self {
            Control::Undecayed => "Control: none",
            Control::OtherDecay => "Control: weight decay of the weights",
        }
    }
}

/// Which control a run is, if any. It belongs to no row of the paper.
pub fn control(config: &RunConfig) -> Option<Control> {
    let hyper = &config.hyper;
    let plain = config.model == ModelKind::Alexnet
        && config.corruption == Corruption::RandomLabels
        && !hyper.random_crop
        && hyper.augment.is_off();
    match (plain, hyper.weight_decay > 0.0, hyper.weight_decay_on) {
        (true, false, _) => Some(Control::Undecayed),
        (true, true, DecayOn::Weights) => Some(Control::OtherDecay),
        _ => None,
    }
}

fn configure_control(control: Control, data: &Dataset, scale: Scale, seeds: Seeds) -> RunConfig {
    let size = plain_size(scale, ModelKind::Alexnet);
    let id = data.id(size.train, size.test);
    let mut config = config_of_size(id, size, ModelKind::Alexnet, Corruption::RandomLabels, seeds);
    if control == Control::OtherDecay {
        (config.hyper.weight_decay, config.hyper.weight_decay_on) = (CONTROL_DECAY, DecayOn::Weights);
    }
    config
}

fn configure(row: &Table4Row, model: ModelKind, data: &Dataset, scale: Scale, seeds: Seeds) -> RunConfig {
    let mut size = plain_size(scale, model);
    if row.regularizer != Regularizer::WeightDecay {
        size.epochs = long_epochs(scale, model);
    }
    let mut config =
        config_of_size(data.id(size.train, size.test), size, model, Corruption::RandomLabels, seeds);
    match row.regularizer {
        Regularizer::WeightDecay => decay_weights(&mut config),
        Regularizer::RandomCrop => config.hyper.random_crop = true,
        Regularizer::Augmentation => config.hyper.augment = Augmentation::TABLE_4,
    }
    if row.regularizer != Regularizer::WeightDecay {
        config.hyper.rate_decay = SLOW_DECAY;
    }
    config
}

fn runs(setting: &Setting) -> Vec<RunConfig> {
    let (data, scale) = (setting.data(), setting.scale);
    let mut configs = Vec::new();
    for row in &TABLE_4 {
        let Some(model) = model_named(row.model) else { continue };
        for repeat in 0..repeats(scale, model) {
            configs.push(configure(row, model, data, scale, Seeds::repeat(repeat)));
        }
    }
    for control in Control::ALL {
        for repeat in 0..repeats(scale, ModelKind::Alexnet) {
            configs.push(configure_control(control, data, scale, Seeds::repeat(repeat)));
        }
    }
    configs
}

/// Whether `run` belongs to `row`.
pub fn belongs(row: &Table4Row, run: &Run) -> bool {
    is_of(row, &run.record.config)
}

/// Whether a run of `config` belongs to `row`.
pub fn is_of(row: &Table4Row, config: &RunConfig) -> bool {
    let hyper = &config.hyper;
    let switches = [
        (Regularizer::WeightDecay, hyper.weight_decay > 0.0),
        (Regularizer::RandomCrop, hyper.random_crop),
        (Regularizer::Augmentation, hyper.augment == Augmentation::TABLE_4),
    ];
    let known = hyper.augment.is_off() || hyper.augment == Augmentation::TABLE_4;
    config.corruption == Corruption::RandomLabels
        && config.model.title() == row.model
        && known
        && control(config).is_none()
        && switches.iter().all(|(regularizer, on)| *on == (*regularizer == row.regularizer))
}

/// One line per row of the paper: `model`, `regulariser`, `train (paper)`, `train` (text, per cent, ours as mean ±
/// standard deviation over seeds), `seeds` (u32), `ended` (text: how the runs ended). Below them, where there are any, the
/// controls ([`control`]), which the paper has not.
///
/// Errors: [`Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    let mut lines: Vec<([String; 3], Vec<&Run>)> = Vec::new();
    for row in &TABLE_4 {
        let paper = papers(runs, row.train.map_or("failed to converge".into(), |v| format!("{v:.2}")));
        let cells = [row.model.into(), row.regularizer.title().into(), paper];
        lines.push((cells, runs.iter().filter(|run| belongs(row, run)).collect()));
    }
    for own in Control::ALL {
        let of: Vec<&Run> = runs.iter().filter(|run| control(&run.record.config) == Some(own)).collect();
        if !of.is_empty() {
            lines.push(([ModelKind::Alexnet.title().into(), own.title().into(), "-".into()], of));
        }
    }
    let cells = |name: &str, at: usize| {
        Column::new(name.into(), lines.iter().map(|(cells, _)| cells[at].clone()).collect::<Vec<_>>())
    };
    let ours = |name: &str, value: &dyn Fn(&[&Run]) -> String| {
        Column::new(name.into(), lines.iter().map(|(_, of)| value(of)).collect::<Vec<_>>())
    };
    let columns = vec![
        cells("model", 0),
        cells("regulariser", 1),
        cells("train (paper)", 2),
        ours("train", &|of| accuracies(of, |run| run.record.train_accuracy)),
        Column::new("seeds".into(), lines.iter().map(|(_, of)| of.len() as u32).collect::<Vec<_>>()),
        ours("ended", &endings),
    ];
    DataFrame::new(lines.len(), columns).map_err(Error::frame("table 4's frame"))
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    let mut table = Table::from_frame(&frame(runs)?, RECIPE.id, RECIPE.title, 2)?;
    for (name, align) in table.header.iter().zip(&mut table.align) {
        if name.starts_with("train") {
            *align = Align::Right;
        }
    }
    table.notes = vec![note.scale_line.clone()];
    table.notes.push(format!(
        "Accuracies in per cent, on the images without crops and augmentation. The column marked (paper) is the \
         paper's, on CIFAR-10 with n = 50,000. Random crop and augmentation: decay {SLOW_DECAY} and more epochs, as \
         in the paper. {ENDINGS}"
    ));
    table.provenance = note.provenance.clone();
    Ok(Product::Table(table))
}

/// What the verdict adds where Alexnet has fitted before its weight decay acts.
fn too_soon(runs: &[Run]) -> String {
    let alexnets = TABLE_4.iter().filter(|row| row.model == ModelKind::Alexnet.title());
    let decayed: Vec<&Run> = alexnets.flat_map(|row| runs.iter().filter(|run| belongs(row, run))).collect();
    let steps: Option<Vec<usize>> = decayed.iter().map(|run| too_few_steps(run)).collect();
    match (decayed.first(), steps.and_then(|steps| steps.into_iter().max())) {
        (Some(run), Some(steps)) => {
            let needed = decay_steps(&run.record.config).round() as usize;
            format!(" before it acts ({} steps of {})", thousands(steps), thousands(needed))
        }
        _ => String::new(),
    }
}

fn verdict(runs: &[Run]) -> Verdict {
    let ours = |row: &Table4Row| {
        mean(runs.iter().filter(|r| belongs(row, r)).filter_map(|r| r.record.train_accuracy))
    };
    let line = |value: &dyn Fn(&Table4Row) -> Option<f64>| {
        let fits = |row: &&Table4Row| value(row).is_some_and(|v| v >= CONVERGED);
        let alexnet = TABLE_4.iter().find(|row| row.model == "Alexnet");
        let fails = alexnet.is_some_and(|row| !fits(&row));
        let others = TABLE_4.iter().filter(|row| row.model != "Alexnet");
        let count = others.clone().filter(fits).count();
        let alexnet = if fails { "fails to converge".into() } else { format!("fits{}", too_soon(runs)) };
        format!("{count} of {} fit; Alexnet with weight decay {alexnet}", others.count())
    };
    let measured = TABLE_4.iter().all(|row| ours(row).is_some());
    Verdict::new(line(&|row| row.train.map(|v| v / 100.0)), measured.then(|| line(&ours)))
}
