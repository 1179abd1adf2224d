//! Several runs as one frame, a row each.

use super::record::Run;
use crate::run::config::RunConfig;
use crate::run::row::StopReason;
use crate::{Error, Result};
use polars::prelude::*;

/// A row for each of `runs`: what it was (`key`, `data`, `n`, `model`, `width`, `corruption`, `corrupted`: the share of labels that were
/// redrawn, null for other corruptions, `batch_size`, `learning_rate`, `momentum`, `rate_decay`, `rate_decay_every` epochs,
/// `weight_decay`, `random_crop`, `optimizer`, `seed`: of the initial weights, `scale`) and what came of it (`ended`: "fitted",
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
    let columns = vec![
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
        Column::new("seed".into(), runs.iter().map(|r| r.record.config.seeds.init).collect::<Vec<_>>()),
        Column::new("scale".into(), text(&|r| r.record.scale.to_string())),
        Column::new("ended".into(), text(&|r| r.record.ending.name().into())),
        Column::new("epochs".into(), runs.iter().map(|r| r.record.epochs).collect::<Vec<_>>()),
        Column::new("fitted_at".into(), runs.iter().map(Run::fitted_at).collect::<Vec<_>>()),
        Column::new("train_accuracy".into(), accuracy(|r| r.record.train_accuracy)),
        Column::new("test_accuracy".into(), accuracy(|r| r.record.test_accuracy)),
        Column::new("seconds".into(), runs.iter().map(|r| r.record.seconds).collect::<Vec<_>>()),
    ];
    DataFrame::new(runs.len(), columns).map_err(Error::frame("frame of runs"))
}
