//! When a run ends: the rule of [`TrainConfig::stop_when_fitted`](crate::run::config::TrainConfig::stop_when_fitted), and in which epochs
//! the whole training set is measured for it.
//!
//! Training and the search for a run that another one contains ([`crate::store::origin`]) follow the same functions.

use crate::run::config::RunConfig;
use crate::run::row::{LogRow, StopReason};

/// How far the epochs so far have fitted the training set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fit {
    /// Whether the whole training set was ever right.
    once: bool,
    /// In how many epochs in a row, up to the last one, it was measured and right. An epoch without a measurement
    /// breaks the row: its batches were too often wrong for one.
    streak: usize,
}

impl Fit {
    /// After the epochs of `rows`, which are whole.
    pub fn of(rows: &[LogRow]) -> Fit {
        let epochs = rows.chunk_by(|a, b| a.epoch == b.epoch);
        epochs.filter_map(|rows| rows.last()).fold(Fit::default(), |fit, row| fit.then(row.train_accuracy))
    }

    /// After one more epoch, with the accuracy on the whole training set where it was measured.
    pub fn then(self, measured: Option<f64>) -> Fit {
        let right = measured == Some(1.0);
        Fit { once: self.once || right, streak: if right { self.streak + 1 } else { 0 } }
    }
}

/// Whether the configuration has no epoch after this one.
pub(crate) fn is_last(config: &RunConfig, epoch: u32) -> bool {
    epoch as usize >= config.hyper.epochs
}

/// Whether the test set is measured after this epoch, be it the last or not.
pub(crate) fn test_due(config: &RunConfig, epoch: u32) -> bool {
    (epoch as usize).is_multiple_of(config.eval_every)
}

/// Share of an epoch's images, each before its own update, from which the network may be fitted.
pub(crate) const NEARLY: f64 = 0.98;

/// Whether the whole training set is measured after this epoch, if its batches were [`NEARLY`] right (after the last
/// epoch it always is). A measurement costs as much as half an epoch: it is made until the set is fitted for the first time,
/// then as often as the test set, and in each epoch that could end the run.
pub(crate) fn measured_if_nearly(config: &RunConfig, epoch: u32, before: Fit) -> bool {
    test_due(config, epoch) || !before.once || config.hyper.stop_when_fitted && before.streak > 0
}

/// Whether a run that stops when fitted has come to its end.
pub(crate) fn is_met(config: &RunConfig, fit: Fit) -> bool {
    config.hyper.stop_when_fitted && fit.streak >= config.hyper.fitted_epochs
}

/// What a run has in common with another one, the origin, of which there are rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Common {
    /// The run ends within the origin's rows: with so many of them, in this way.
    Whole(usize, StopReason),
    /// The run begins with all rows of the origin, and goes on after them.
    Beginning,
    /// From this epoch on the two are measured in different epochs, or it cannot be known whether they are.
    Until(u32),
}

/// What a run of `config` has in common with one of `origin`, whose configuration differs in when it ends alone
/// (`stop_when_fitted`, `fitted_epochs`, `epochs`). `rows` are the origin's whole epochs; `ending` is how it ended
/// with the last of them, where it did.
pub(crate) fn common(
    config: &RunConfig,
    origin: &RunConfig,
    rows: &[LogRow],
    ending: Option<StopReason>,
) -> Common {
    let (mut fit, mut count) = (Fit::default(), 0);
    for (before, epoch) in rows.chunk_by(|a, b| a.epoch == b.epoch).enumerate() {
        let Some(row) = epoch.last() else { continue };
        let number = row.epoch;
        if number as usize != before + 1 {
            return Common::Until(before as u32 + 1);
        }
        count += epoch.len();
        let diverged = count == rows.len() && ending == Some(StopReason::Diverged);
        if diverged && row.loss.is_finite() && !is_last(config, number) && !test_due(config, number) {
            // The origin's divergence may have shown in the scores of an evaluation that the run would not have made.
            return Common::Until(number);
        }
        // Whether the batches were nearly right: told by whether the origin measured the training set, where that depended on it,
        // else by its rows.
        let decided = !(diverged || is_last(origin, number)) && measured_if_nearly(origin, number, fit);
        let nearly = if decided { Some(row.train_accuracy.is_some()) } else { nearly(epoch) };
        let last = diverged || is_last(config, number);
        let measured = match (last, measured_if_nearly(config, number, fit)) {
            (true, _) => Some(true),
            (false, true) => nearly,
            (false, false) => Some(false),
        };
        fit = fit.then(row.train_accuracy);
        let end = match (diverged, is_met(config, fit), last) {
            (true, ..) => Some(StopReason::Diverged),
            (_, true, _) => Some(StopReason::Fitted),
            (.., true) => Some(StopReason::Completed),
            _ => None,
        };
        let tested = end.is_some() || test_due(config, number);
        if measured != Some(row.train_accuracy.is_some()) || tested != row.test_accuracy.is_some() {
            return Common::Until(number);
        }
        if let Some(end) = end {
            return Common::Whole(count, end);
        }
    }
    Common::Beginning
}

/// Whether an epoch's batches were [`NEARLY`] right, where all its rows say the same of it.
fn nearly(epoch: &[LogRow]) -> Option<bool> {
    let all = |is: fn(f64) -> bool| epoch.iter().all(|row| is(row.batch_accuracy));
    match (all(|a| a > NEARLY), all(|a| a < NEARLY)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}
