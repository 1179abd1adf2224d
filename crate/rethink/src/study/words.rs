//! Runs in a few words, for lines of progress and small print.

use crate::data::corruption::Corruption;
use crate::paper::reported::TABLE_2;
use crate::paper::{table2, table4};
use crate::run::appendix_a;
use crate::run::config::{RunConfig, Scale, TrainConfig};
use crate::run::history::Origin;
use crate::store::Record;
use rethink_nn::models::Family;
use rethink_nn::text::counted;

/// A run in a few words: model, corruption, what is switched on.
pub fn describe(config: &RunConfig) -> String {
    let mut parts = vec![config.model.title().to_string(), corruption(config)];
    parts.extend(switched_on(config));
    if config.width_factor != 1.0 {
        parts.push(format!("width {}", config.width_factor));
    }
    parts.extend(config.parallel.map(|parallel| parallel.describe()));
    parts.push(format!("seed {}", config.seeds.init));
    parts.join(", ")
}

/// The title of its corruption. Of a data set of one's own it is not known whether its labels are the true ones.
pub(super) fn corruption(config: &RunConfig) -> String {
    match config.corruption {
        Corruption::TrueLabels if config.data.published().is_none() => "labels as given".into(),
        corruption => corruption.title(),
    }
}

/// Regularisers, and what else few runs have.
pub fn switched_on(config: &RunConfig) -> Vec<String> {
    let hyper = &config.hyper;
    let mut parts: Vec<String> = hyper.random_crop.then(|| "random crop".into()).into_iter().collect();
    if hyper.weight_decay > 0.0 {
        let on = match hyper.weight_decay_on.is_all() {
            true => String::new(),
            false => format!(" on {}", hyper.weight_decay_on.name()),
        };
        parts.push(format!("weight decay {}{on}", hyper.weight_decay));
    }
    parts.extend(other_steps(config, &of_recipes(config)));
    parts.extend(hyper.further());
    if hyper.batch_size != config.model.batch_size() {
        parts.push(format!("mini-batches of {}", hyper.batch_size));
    }
    parts
}

/// The configurations that the recipes give the network of `config`, at every scale.
fn of_recipes(config: &RunConfig) -> Vec<RunConfig> {
    let RunConfig { data, model, corruption, seeds, .. } = config;
    let mut all = Vec::new();
    for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
        let size = appendix_a::size_at(scale, *model);
        all.push(appendix_a::config_of_size(data.clone(), size, *model, *corruption, *seeds));
        if model.is_for_photographs() {
            all.push(table2::configure_on(&TABLE_2[0], data.clone(), scale, *seeds));
        }
    }
    // Table 4's, where images change from epoch to epoch.
    if *corruption == Corruption::RandomLabels && model.family() == Family::Inception {
        let hyper = TrainConfig { rate_decay: table4::SLOW_DECAY, ..all[0].hyper.clone() };
        all.push(RunConfig { hyper, ..all[0].clone() });
    }
    all
}

/// What it has that no recipe gives this network, at any scale, so that a figure of it has to say so: the optimiser and its numbers, and
/// the size of its input.
pub(super) fn set_here(config: &RunConfig) -> Vec<String> {
    let usual = of_recipes(config);
    let own = config.hyper.choices().into_iter().filter(|choice| {
        // Of products in bf16 there is a sentence of its own.
        !choice.starts_with("products in")
            && !usual.iter().any(|usual| usual.hyper.choices().contains(choice))
    });
    other_steps(config, &usual).into_iter().chain(own).collect()
}

/// What its steps have that none of `usual`, the recipes' for this network, has: the learning rate and its decay, momentum, initial weights,
/// and the size of the images.
fn other_steps(config: &RunConfig, usual: &[RunConfig]) -> Vec<String> {
    let hyper = &config.hyper;
    let other = |same: &dyn Fn(&TrainConfig) -> bool| !usual.iter().any(|usual| same(&usual.hyper));
    let mut parts = Vec::new();
    if other(&|usual| usual.learning_rate == hyper.learning_rate) {
        parts.push(format!("learning rate {}", hyper.learning_rate));
    }
    if other(&|usual| usual.rate_decay == hyper.rate_decay) {
        parts.push(format!("times {} every {}", hyper.rate_decay, counted(hyper.rate_decay_every, "epoch")));
    }
    if other(&|usual| usual.momentum == hyper.momentum) {
        parts.push(format!("momentum {}", hyper.momentum));
    }
    if other(&|usual| usual.init == hyper.init) {
        parts.push(format!("initial weights: {}", hyper.init.name()));
    }
    if !usual.iter().any(|usual| usual.input == config.input) {
        parts.push(format!("input {0}x{0}", config.input));
    }
    parts
}

/// A finished run in a line.
pub fn summary(record: &Record) -> String {
    let percent = |v: Option<f64>| v.map_or("-".into(), |v| format!("{:.2} %", 100.0 * v));
    format!(
        "{}: {} at epoch {}, train {}, test {}{}, {:.1} s",
        describe(&record.config),
        record.ended(),
        record.epochs,
        percent(record.train_accuracy),
        percent(record.test_accuracy),
        left_out([record].into_iter()),
        record.seconds
    )
}

/// Where a run was taken from.
pub fn taken(record: &Record) -> String {
    let Some(origin) = &record.origin else { return String::new() };
    let Origin { key, taken, epochs, .. } = origin;
    match taken == epochs {
        true => format!("taken from {key}, which has the same epochs: nothing to train"),
        false => {
            format!("taken from {key}, which went on (epochs 1 to {taken} of {epochs}): nothing to train")
        }
    }
}

/// Where the first epochs of a run come from.
pub fn begun(origin: &Origin) -> String {
    format!("epochs 1 to {} are taken from {}, which goes on", origin.taken, origin.key)
}

/// ", 3 files left out (2 training, 1 test)" of the runs' data set; of several, the most. Nothing where none was.
pub(super) fn left_out<'a>(records: impl Iterator<Item = &'a Record>) -> String {
    let most = records.filter_map(|record| record.left_out).max_by_key(|left| left.train + left.test);
    most.map_or(String::new(), |left| format!(", {}", left.describe()))
}

/// "40 s", "12 min", "3.5 h".
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
