//! Table 2 (appendix B): Inception V3 on ImageNet, with augmentation, dropout and weight decay on and off, on true and
//! on random labels; top-1 and top-5 accuracy.
//!
//! Expected at paper scale: every row fits its training set to some nine tenths, random labels too; without
//! augmentation some ten points of test accuracy are lost, and early stopping would win some back.
//!
//! The paper's data set is ImageNet. Other photographs, and small images enlarged, give the same rows; the table says
//! which they are.

use crate::data::augmentation::Augmentation;
use crate::data::corruption::Corruption;
use crate::data::{DataId, Dataset};
use crate::paper::reported::{ALEXNET_TOP_5, TABLE_2, Table2Row};
use crate::paper::table1::endings;
use crate::paper::{Parts, Product, Recipe, Setting, Verdict, decay_weights, mean, mean_and_deviation};
use crate::run::appendix_a::{Size, config_of_size};
use crate::run::config::{RunConfig, Scale, Seeds, TrainConfig};
use crate::store::Run;
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::models::ModelKind;
use rethink_nn::optim::{Optimizer, SLIM_NORM_MEMORY};
use rethink_nn::text::every;
use rethink_plot::Note;
use rethink_plot::tables::{Align, Table};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "table2",
    title: "Table 2: Inception V3 on photographs",
    notebook: "10-imagenet.ipynb",
    source: Parts::Runs { runs, make, verdict },
};

/// Images, epochs and width, and height and width of the network's input. At scale small a quarter of the width on
/// the smallest images that the network takes, and some more.
pub fn size(scale: Scale) -> (Size, usize) {
    match scale {
        Scale::Smoke => (Size::new(64, 32, 2, 1.0 / 16.0), 75),
        Scale::Small => (Size::new(1_000, 500, 40, 0.25), 80),
        Scale::Paper => (Size::new(usize::MAX, usize::MAX, 100, 1.0), 299),
    }
}

/// Initial learning rate at reduced scales. TF-Slim's 0.045 is for the whole network and set: with 1,000 photographs and a
/// quarter of the width, at 0.045 the loss stays above that of guessing (2.3) for 25 epochs of 40.
pub const REDUCED_RATE: f64 = 0.004;

/// TensorFlow's setting of Inception V3 on ImageNet, which the paper uses ("reuse the data preprocessing and experimental setup
/// from the TensorFlow package"; numbers: `inception_train.py` and `inception_model.py` of that time): RMSProp with decay 0.9,
/// momentum 0.9 and epsilon 1, a rate of 0.1 times 0.16 every 30 epochs, 32 images a step, labels smoothed by 0.1, weights
/// averaged with 0.9999, batch normalisation's memory 0.9997.
pub fn tensorflow(hyper: &mut TrainConfig) {
    hyper.optimizer = Optimizer::INCEPTION_V3;
    (hyper.learning_rate, hyper.rate_decay, hyper.rate_decay_every) = (0.1, 0.16, 30);
    hyper.label_smoothing = 0.1;
    hyper.average = Some(0.9999);
    hyper.norm_memory = SLIM_NORM_MEMORY;
}

/// What the small print says of how the network is trained: TensorFlow's setting, or what there is in its place.
pub(super) fn training_note(runs: &[Run]) -> Option<String> {
    let hyper = &runs.first()?.record.config.hyper;
    let TrainConfig { learning_rate, rate_decay, rate_decay_every, momentum, norm_memory, .. } = *hyper;
    let smoothed = match hyper.label_smoothing {
        0.0 => "labels as they are".to_string(),
        share => format!("label smoothing {share} (losses are with smoothed labels)"),
    };
    let averaged = match hyper.average {
        None => "tested with the weights as they are".to_string(),
        Some(kept) => format!(
            "accuracies by an average of weights and running statistics that keeps {kept} at a step (after t steps at most \
             (1 + t) / (10 + t))"
        ),
    };
    let mut own = hyper.clone();
    tensorflow(&mut own);
    let whose = match own == *hyper {
        true => "TensorFlow's setting of Inception V3, which the paper uses",
        false => {
            "Not TensorFlow's setting of Inception V3, which the paper uses and scale paper takes: RMSProp (decay 0.9, \
             epsilon 1), rate 0.1 times 0.16 every 30 epochs, label smoothing 0.1, weights averaged with 0.9999, batch norm's \
             memory 0.9997"
        }
    };
    Some(format!(
        "Trained by {} with momentum {momentum}, a rate of {learning_rate} times {rate_decay} {}, {smoothed}, \
         {averaged}, batch norm's memory {norm_memory}. {whose}.",
        hyper.optimizer.title(),
        every(rate_decay_every, "epoch"),
    ))
}

/// The run of `row`: all epochs, since the paper looks at the best test accuracy along the way.
pub fn configure(row: &Table2Row, data: &Dataset, scale: Scale, seeds: Seeds) -> RunConfig {
    let (size, _) = size(scale);
    configure_on(row, data.id(size.train, size.test), scale, seeds)
}

/// The same on so many images of a data set.
pub fn configure_on(row: &Table2Row, id: DataId, scale: Scale, seeds: Seeds) -> RunConfig {
    let (size, input) = size(scale);
    let corruption = if row.random_labels { Corruption::RandomLabels } else { Corruption::TrueLabels };
    let mut config = config_of_size(id, size, ModelKind::InceptionV3, corruption, seeds);
    config.input = input;
    match scale {
        Scale::Paper => tensorflow(&mut config.hyper),
        // Some thousand steps are too few for averages that keep 0.9999, and for a rate that falls every 30 epochs.
        _ => config.hyper.learning_rate = REDUCED_RATE,
    }
    config.eval_every = if scale == Scale::Small { 2 } else { 1 };
    config.hyper.keep_going();
    config.hyper.without_dropout = !row.dropout;
    if row.augmented {
        (config.hyper.random_crop, config.hyper.augment) = (true, Augmentation::IMAGENET);
    }
    if row.weight_decay {
        decay_weights(&mut config);
    }
    config
}

fn runs(setting: &Setting) -> Vec<RunConfig> {
    let (data, scale) = (setting.data(), setting.scale);
    TABLE_2.iter().map(|row| configure(row, data, scale, Seeds::repeat(0))).collect()
}

/// Whether `run` belongs to `row`.
pub fn belongs(row: &Table2Row, run: &Run) -> bool {
    is_of(row, &run.record.config)
}

/// Whether a run of `config` belongs to `row`.
pub fn is_of(row: &Table2Row, config: &RunConfig) -> bool {
    let hyper = &config.hyper;
    let augmented = match (hyper.random_crop, hyper.augment) {
        (true, Augmentation::IMAGENET) => Some(true),
        (false, augment) if augment.is_off() => Some(false),
        _ => None,
    };
    let labels = if row.random_labels { Corruption::RandomLabels } else { Corruption::TrueLabels };
    config.model == ModelKind::InceptionV3
        && augmented == Some(row.augmented)
        && config.corruption == labels
        && hyper.without_dropout != row.dropout
        && (hyper.weight_decay > 0.0) == row.weight_decay
        && !hyper.stop_when_fitted
}

/// One line per row of the paper, and one for Alexnet: `labels`, `augmentation`, `dropout`, `weight decay`, then for training top-1
/// and top-5 and test top-1 and top-5 the paper's and ours (text, per cent, mean ± standard deviation over seeds; of test
/// accuracies the best along the training in parentheses), `seeds` (u32), `ended`.
///
/// Errors: [`Error::Frame`].
pub fn frame(runs: &[Run]) -> Result<DataFrame> {
    let of = |row: &Table2Row| runs.iter().filter(|run| belongs(row, run)).collect::<Vec<_>>();
    let yes = |b: bool| if b { "yes" } else { "no" }.to_string();
    let text = |name: &str, value: &dyn Fn(&Table2Row) -> String, alexnet: &str| {
        let lines = TABLE_2.iter().map(value).chain([alexnet.to_string()]);
        Column::new(name.into(), lines.collect::<Vec<_>>())
    };
    let percent = |values: Vec<f64>| {
        let values: Vec<f64> = values.into_iter().map(|v| 100.0 * v).collect();
        if values.is_empty() { "-".to_string() } else { mean_and_deviation(&values) }
    };
    let ours = |row: &Table2Row, value: &dyn Fn(&Run) -> Option<f64>| {
        percent(of(row).into_iter().filter_map(value).collect())
    };
    let with_best = |row: &Table2Row, value: &dyn Fn(&Run) -> Option<f64>, column: &str| {
        let best = ours(row, &|run| run.best(column));
        let last = ours(row, value);
        if last == "-" { last } else { format!("{last} ({best})") }
    };
    let theirs = |at: usize| {
        move |row: &Table2Row| match row.best {
            Some(best) => format!("{:.2} ({:.2})", row.test[at], best[at]),
            None => format!("{:.2}", row.test[at]),
        }
    };
    let (train1, train5) = (|r: &Run| r.record.train_accuracy, |r: &Run| r.record.train_top5);
    let (test1, test5) = (|r: &Run| r.record.test_accuracy, |r: &Run| r.record.test_top5);
    let alexnet = format!("{ALEXNET_TOP_5:.1}");
    let columns = vec![
        text("labels", &|r| if r.random_labels { "random" } else { "true" }.into(), "Alexnet (2012)"),
        text("augmentation", &|r| yes(r.augmented), "-"),
        text("dropout", &|r| yes(r.dropout), "-"),
        text("weight decay", &|r| yes(r.weight_decay), "-"),
        text("train top-1 (paper)", &|r| format!("{:.2}", r.train[0]), "-"),
        text("train top-1", &|r| ours(r, &train1), "-"),
        text("train top-5 (paper)", &|r| format!("{:.2}", r.train[1]), "-"),
        text("train top-5", &|r| ours(r, &train5), "-"),
        text("test top-1 (paper)", &theirs(0), "-"),
        text("test top-1", &|r| with_best(r, &test1, "test_accuracy"), "-"),
        text("test top-5 (paper)", &theirs(1), &alexnet),
        text("test top-5", &|r| with_best(r, &test5, "test_top5"), "-"),
        Column::new(
            "seeds".into(),
            TABLE_2.iter().map(|r| of(r).len() as u32).chain([0]).collect::<Vec<_>>(),
        ),
        text("ended", &|r| endings(&of(r)), "-"),
    ];
    DataFrame::new(TABLE_2.len() + 1, columns).map_err(Error::frame("table 2's frame"))
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    let mut table = Table::from_frame(&frame(runs)?, RECIPE.id, RECIPE.title, 2)?;
    for (name, align) in table.header.iter().zip(&mut table.align) {
        if name.starts_with("train") || name.starts_with("test") {
            *align = Align::Right;
        }
    }
    let inputs: Vec<String> = runs.iter().map(|run| run.record.config.input.to_string()).collect();
    let input = inputs.first().map_or("no", String::as_str);
    table.notes = vec![format!("{}, input {input}x{input}", note.scale_line)];
    table.notes.push(String::from(
        "Accuracies in per cent; in parentheses the best along the training. Columns marked (paper) are the paper's, on ImageNet, \
         n = 1,281,167, 1,000 classes, 299x299. Augmentation: random areas, flips, brightness, saturation, hue, contrast."
    ));
    table.notes.extend(training_note(runs));
    table.provenance = note.provenance.clone();
    Ok(Product::Table(table))
}

fn verdict(runs: &[Run]) -> Verdict {
    let ours = |row: &Table2Row| {
        let tests = runs.iter().filter(|run| belongs(row, run)).filter_map(|run| run.record.test_accuracy);
        mean(tests).map(|mean| 100.0 * mean)
    };
    let line = |values: &dyn Fn(&Table2Row) -> Option<f64>| {
        let cells = |random: bool| {
            let rows = TABLE_2.iter().filter(|row| row.random_labels == random);
            rows.filter_map(values).map(|v| format!("{v:.1}")).collect::<Vec<_>>().join(" / ")
        };
        format!("top-1 test {} %, random labels {} %", cells(false), cells(true))
    };
    Verdict::new(line(&|row| Some(row.test[0])), line(&ours))
}
