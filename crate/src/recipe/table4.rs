//! Table 4 (the published version's appendix E): training accuracy on random labels with a regulariser switched on.
//!
//! Expected at paper scale: weight decay does not keep Inception and the MLPs from fitting, but Alexnet; random
//! crops and augmentation neither, with a slower decay of the learning rate and more epochs.

use super::table1::{ENDINGS, accuracies, endings, model_named};
use super::{
    Product, Recipe, Size, Source, Verdict, decay_note, decay_weights, mean, narrow, repeats, sized,
};
use crate::augment::Augmentation;
use crate::config::{RunConfig, Scale, Seeds};
use crate::corruption::Corruption;
use crate::data::Dataset;
use crate::figures::Note;
use crate::models::ModelKind;
use crate::paper::{Regularizer, TABLE_4, Table4Row};
use crate::store::Run;
use crate::tables::{Align, Table};
use crate::{Error, Result};
use polars::prelude::*;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "table4",
    title: "Table 4: training accuracy on random labels with regularisers",
    notebook: "05-regularizers-on-random-labels.ipynb",
    source: Source::Runs { runs, make, verdict },
};

/// Factor on the learning rate of the rows whose images change from epoch to epoch; 0.95 would end the training
/// before each version of an image has been seen.
pub const SLOW_DECAY: f64 = 0.999;

/// What comes of a training accuracy below this is "failed to converge" in the verdict.
const CONVERGED: f64 = 0.95;

/// Epochs of the rows whose images change from epoch to epoch.
pub fn long_epochs(scale: Scale, model: ModelKind) -> usize {
    match scale {
        Scale::Smoke => narrow(scale, model).epochs,
        Scale::Small => 130,
        Scale::Paper => 300,
    }
}

fn configure(row: &Table4Row, model: ModelKind, data: &Dataset, scale: Scale, seeds: Seeds) -> RunConfig {
    let mut size = narrow(scale, model);
    if scale == Scale::Small {
        // A fresh version of each image an epoch takes long to learn by heart.
        size = Size { train: 250, test: 250, ..size };
    }
    if row.regularizer != Regularizer::WeightDecay {
        size.epochs = long_epochs(scale, model);
    }
    let mut config = sized(data.id(size.train, size.test), size, model, Corruption::RandomLabels, seeds);
    match row.regularizer {
        Regularizer::WeightDecay => decay_weights(&mut config),
        Regularizer::RandomCrop => config.hyper.random_crop = true,
        Regularizer::Augmentation => config.hyper.augment = Augmentation::TABLE_4,
    }
    if row.regularizer != Regularizer::WeightDecay {
        config.hyper.decay = SLOW_DECAY;
    }
    config
}

fn runs(data: &Dataset, scale: Scale) -> Vec<RunConfig> {
    let mut configs = Vec::new();
    for row in &TABLE_4 {
        let Some(model) = model_named(row.model) else { continue };
        for repeat in 0..repeats(scale, model) {
            configs.push(configure(row, model, data, scale, Seeds::repeat(repeat)));
        }
    }
    configs
}

/// Whether `run` belongs to `row`.
pub fn belongs(row: &Table4Row, run: &Run) -> bool {
    let (config, hyper) = (&run.record.config, &run.record.config.hyper);
    let switches = [
        (Regularizer::WeightDecay, hyper.weight_decay > 0.0),
        (Regularizer::RandomCrop, hyper.random_crop),
        (Regularizer::Augmentation, hyper.augment == Augmentation::TABLE_4),
    ];
    let known = hyper.augment.is_off() || hyper.augment == Augmentation::TABLE_4;
    config.corruption == Corruption::RandomLabels
        && config.model.title() == row.model
        && known
        && switches.iter().all(|(regularizer, on)| *on == (*regularizer == row.regularizer))
}

/// A line a row of the paper: `model`, `regulariser`, `train (paper)`, `train` (text, per cent, ours as mean ±
/// standard deviation over seeds), `seeds` (u32), `ended` (text: how the runs ended).
///
/// Errors: [`Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    let of = |row: &Table4Row| runs.iter().filter(|run| belongs(row, run)).collect::<Vec<_>>();
    let text = |name: &str, value: &dyn Fn(&Table4Row) -> String| {
        Column::new(name.into(), TABLE_4.iter().map(value).collect::<Vec<_>>())
    };
    let columns = vec![
        text("model", &|r| r.model.into()),
        text("regulariser", &|r| r.regularizer.title().into()),
        text("train (paper)", &|r| r.train.map_or("failed to converge".into(), |v| format!("{v:.2}"))),
        text("train", &|r| accuracies(&of(r), |run| run.record.train_accuracy)),
        Column::new("seeds".into(), TABLE_4.iter().map(|r| of(r).len() as u32).collect::<Vec<_>>()),
        text("ended", &|r| endings(&of(r))),
    ];
    DataFrame::new(TABLE_4.len(), columns).map_err(Error::frame("table 4's frame"))
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
         in the paper. {} {ENDINGS}",
        decay_note()
    ));
    table.provenance = note.provenance.clone();
    Ok(Product::Table(table))
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
        let alexnet = if fails { "fails to converge" } else { "fits" };
        format!("{count} of {} fit; Alexnet with weight decay {alexnet}", others.count())
    };
    let measured = TABLE_4.iter().all(|row| ours(row).is_some());
    let ours = if measured { line(&ours) } else { "runs are missing".into() };
    Verdict { paper: line(&|row| row.train.map(|v| v / 100.0)), ours }
}
