//! Several runs as one frame: a row each, or the curves of all.

use super::record::Run;
use crate::run::config::RunConfig;
use crate::run::row::StopReason;
use crate::{Error, Result};
use polars::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A row for each of `runs`: what it was (`key`, `data`, `n`, `model`, `width`, `corruption`, `corrupted`: the share of labels that were
/// redrawn, null for other corruptions, `batch_size`, `learning_rate`, `momentum`, `rate_decay`, `rate_decay_every` epochs,
/// `weight_decay`, `random_crop`, `optimizer`, then each other setting in which the runs differ, by its name in a record (`input`, `flip`,
/// `label_smoothing`, `most_epochs`, ...), `seed`: of the initial weights, `scale`) and what came of it (`ended`: "fitted",
/// "completed", "diverged" or "interrupted", `epochs`, `fitted_at`: the first epoch at which 99 % of the training images were right, null
/// where there was none, `train_accuracy` and `test_accuracy`, 0 to 1, `seconds`). The accuracies of a run that has diverged are
/// null: scores that are no numbers count as wrong.
///
/// Errors: [`Error::Frame`], which would be a fault of this function.
pub fn frame_of(runs: &[Run]) -> Result<DataFrame> {
    let config =
        |value: fn(&RunConfig) -> f64| runs.iter().map(|r| value(&r.record.config)).collect::<Vec<_>>();
    let count = |value: fn(&RunConfig) -> usize| {
        runs.iter().map(|r| value(&r.record.config) as u32).collect::<Vec<_>>()
    };
    let text = |value: &dyn Fn(&Run) -> String| runs.iter().map(value).collect::<Vec<_>>();
    let accuracy = |value: fn(&Run) -> Option<f64>| {
        runs.iter().map(|r| value(r).filter(|_| r.record.ending != StopReason::Diverged)).collect::<Vec<_>>()
    };
    let mut columns = vec![
        Column::new("key".into(), text(&|r| r.record.config.key())),
        Column::new("data".into(), text(&|r| r.record.config.data.title.clone())),
        Column::new("n".into(), count(|c| c.data.train)),
        Column::new("model".into(), text(&|r| r.record.config.model.title().into())),
        Column::new("width".into(), config(|c| c.width_factor)),
        Column::new("corruption".into(), text(&|r| r.record.config.corruption.title())),
        Column::new(
            "corrupted".into(),
            runs.iter().map(|r| r.record.config.corruption.label_noise()).collect::<Vec<_>>(),
        ),
        Column::new("batch_size".into(), count(|c| c.hyper.batch_size)),
        Column::new("learning_rate".into(), config(|c| c.hyper.learning_rate)),
        Column::new("momentum".into(), config(|c| c.hyper.momentum)),
        Column::new("rate_decay".into(), config(|c| c.hyper.rate_decay)),
        Column::new("rate_decay_every".into(), count(|c| c.hyper.rate_decay_every)),
        Column::new("weight_decay".into(), config(|c| c.hyper.weight_decay)),
        Column::new(
            "random_crop".into(),
            runs.iter().map(|r| r.record.config.hyper.random_crop).collect::<Vec<_>>(),
        ),
        Column::new("optimizer".into(), text(&|r| r.record.config.hyper.optimizer.to_string())),
    ];
    columns.extend(further(runs));
    columns.extend([
        Column::new("seed".into(), runs.iter().map(|r| r.record.config.seeds.init).collect::<Vec<_>>()),
        Column::new("scale".into(), text(&|r| r.record.scale.to_string())),
        Column::new("ended".into(), text(&|r| r.record.ending.name().into())),
        Column::new("epochs".into(), runs.iter().map(|r| r.record.epochs).collect::<Vec<_>>()),
        Column::new("fitted_at".into(), runs.iter().map(Run::fitted_at).collect::<Vec<_>>()),
        Column::new("train_accuracy".into(), accuracy(|r| r.record.train_accuracy)),
        Column::new("test_accuracy".into(), accuracy(|r| r.record.test_accuracy)),
        Column::new("seconds".into(), runs.iter().map(|r| r.record.seconds).collect::<Vec<_>>()),
    ]);
    DataFrame::new(runs.len(), columns).map_err(Error::frame("frame of runs"))
}

/// The frames of `runs` one below the other, each row after its run's settings, which are [`frame_of`]'s columns up to `scale`. The
/// learning rate of a row is called `rate`, and `learning_rate` is the run's.
///
/// Errors: [`Error::Argument`] for no runs; [`Error::Frame`], which would be a fault of this function.
pub fn curves_of(runs: &[Run]) -> Result<DataFrame> {
    const OPERATION: &str = "curves of runs";
    let all = frame_of(runs)?;
    let settings = 1 + all.get_column_index("scale").unwrap_or_default();
    let photographs = runs.iter().all(|run| run.frame.column("test_top5").is_ok());
    let part = |(at, run): (usize, &Run)| {
        let height = run.frame.height();
        let mut columns: Vec<Column> =
            all.columns().iter().take(settings).map(|column| column.new_from_index(at, height)).collect();
        for column in run.frame.columns() {
            match column.name().as_str() {
                "train_top5" | "test_top5" if !photographs => (),
                "learning_rate" => columns.push(column.clone().with_name("rate".into())),
                _ => columns.push(column.clone()),
            }
        }
        DataFrame::new(height, columns).map_err(Error::frame(OPERATION))
    };
    stacked(runs.iter().enumerate().map(part), OPERATION)
}

/// The `parts`, one for each of several runs, below each other.
///
/// Errors: those of the parts; [`Error::Frame`] for different columns; [`Error::Argument`] for no part.
pub(crate) fn stacked(
    parts: impl Iterator<Item = Result<DataFrame>>,
    operation: &'static str,
) -> Result<DataFrame> {
    let mut whole: Option<DataFrame> = None;
    for part in parts {
        let part = part?;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => {
                whole.vstack_mut(&part).map_err(Error::frame(operation))?;
            }
        }
    }
    whole.ok_or_else(|| Error::argument(operation, "no runs"))
}

/// A column for each setting that [`frame_of`] has no column for and in which the runs differ.
fn further(runs: &[Run]) -> Vec<Column> {
    let each: Vec<BTreeMap<String, Value>> = runs.iter().map(|run| settings(&run.record.config)).collect();
    let names: BTreeSet<&String> = each.iter().flat_map(BTreeMap::keys).collect();
    let values = |name: &String| -> Vec<Value> {
        let one = each.iter().find_map(|own| own.get(name)).unwrap_or(&Value::Null);
        // Changes of the images that are off are not in a record.
        let off = match one {
            Value::Bool(_) => false.into(),
            Value::Number(_) => 0.into(),
            _ => Value::Null,
        };
        each.iter().map(|own| own.get(name).unwrap_or(&off).clone()).collect()
    };
    let columns = names.into_iter().map(|name| (name, values(name)));
    let differing = columns.filter(|(_, values)| values.windows(2).any(|pair| pair[0] != pair[1]));
    differing.map(|(name, values)| column_of(name, &values)).collect()
}

/// The settings of a run that have no column of their own, by name.
fn settings(config: &RunConfig) -> BTreeMap<String, Value> {
    const OWN: [&str; 8] = [
        "batch_size",
        "learning_rate",
        "momentum",
        "decay",
        "decay_every",
        "weight_decay",
        "random_crop",
        "optimizer",
    ];
    let parallel = config.parallel.map(|parallel| parallel.describe());
    let mut all = BTreeMap::from([
        ("input".to_string(), config.input.into()),
        ("test_images".into(), config.data.test.into()),
        ("parallel".into(), parallel.into()),
    ]);
    let Value::Object(hyper) = config.hyper.shown() else { return all };
    for (name, value) in hyper {
        match value {
            _ if OWN.contains(&name.as_str()) => (),
            // Flip, rotation and colours.
            Value::Object(parts) => all.extend(parts),
            // The frame's `epochs` are those that a run had.
            value if name == "epochs" => drop(all.insert("most_epochs".into(), value)),
            value => drop(all.insert(name, value)),
        }
    }
    all
}

/// Numbers or booleans where all values are, else text; null where there is no value.
fn column_of(name: &str, values: &[Value]) -> Column {
    let there = || values.iter().filter(|value| !value.is_null());
    if there().all(Value::is_number) {
        return Column::new(name.into(), values.iter().map(Value::as_f64).collect::<Vec<_>>());
    }
    if there().all(Value::is_boolean) {
        return Column::new(name.into(), values.iter().map(Value::as_bool).collect::<Vec<_>>());
    }
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    Column::new(name.into(), values.iter().map(text).collect::<Vec<_>>())
}
