//! A finished run: its record and its frame.

use crate::data::photographs::LeftOut;
use crate::run::config::{RunConfig, Scale};
use crate::run::history::{Origin, Sitting};
use crate::run::provenance::Provenance;
use crate::run::row::{LogRow, StopReason};
use crate::run::train::TrainedRun;
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::device::Device;
use rethink_nn::text::{counted, hex};
use rethink_plot::frames::{column, find};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What is known of a finished run beside its frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Every choice that can change the numbers.
    pub config: RunConfig,
    /// The scale it was run for. Not part of the key: equal configurations are one run.
    pub scale: Scale,
    /// How it ended.
    pub ending: StopReason,
    /// Number of the model's trained parameters.
    pub parameters: usize,
    /// Epochs run.
    pub epochs: u32,
    /// Accuracy on the whole training set at the end, 0 to 1.
    pub train_accuracy: Option<f64>,
    /// Accuracy on the test set at the end, 0 to 1.
    pub test_accuracy: Option<f64>,
    /// Top-5 accuracy on the whole training set at the end; of photographs alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_top5: Option<f64>,
    /// Top-5 accuracy on the test set at the end; of photographs alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_top5: Option<f64>,
    /// How many files of the data set were left out because they are no readable photographs, counted before the first step; `None`
    /// where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// Seconds of training and evaluation.
    pub seconds: f64,
    /// Classes of the data set; absent in records of earlier versions ([`Record::classes`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// SHA-256 of the frame without `seconds`: equal for equal runs.
    pub digest: String,
    /// Code, libraries and machine of the last sitting; where that is not recorded, of the program that wrote this file.
    pub provenance: Provenance,
    /// Every sitting of the run (the epochs that one process trained to their ends without interruption), with the code and machine of each; an
    /// epoch that was begun by one and ended by another is the latter's. Empty
    /// in files of versions that did not record them; `provenance` is then that of the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sittings: Vec<Sitting>,
    /// The run that its first epochs, or all of them, were taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Record {
    /// How the run ended: "fitted (5 epochs)" after so many epochs in a row with every training image right, "completed",
    /// "diverged".
    pub fn ended(&self) -> String {
        match (self.ending, self.config.hyper.fitted_epochs) {
            (StopReason::Fitted, epochs) => format!("fitted ({})", counted(epochs, "epoch")),
            (StopReason::Completed, _) => "completed".into(),
            (StopReason::Diverged, _) => "diverged".into(),
            (StopReason::Interrupted, _) => "interrupted".into(),
        }
    }
}

impl Record {
    /// Classes of the data set. Records of earlier versions do not hold the number, but all their sets of small images had ten, and
    /// Imagenette has ten too.
    pub fn classes(&self) -> Option<usize> {
        let photographs = self.config.model.is_for_photographs();
        let known = match (photographs, self.config.data.name.as_str()) {
            (false, _) | (true, "imagenette") => Some(10),
            (true, "imagenet") => Some(1_000),
            _ => None,
        };
        self.classes.or(known)
    }

    /// Error of guessing among the classes, 0 to 1.
    pub fn error_of_guessing(&self) -> Option<f64> {
        self.classes().map(|classes| 1.0 - 1.0 / classes as f64)
    }
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is known of it.
    pub record: Record,
    /// `step` u32, `epoch` u32, `loss`, `batch_accuracy`, `train_accuracy` (nulls), `test_accuracy`
    /// (nulls), `learning_rate`, `seconds`: f64; of photographs also `train_top5` and `test_top5` (nulls). See
    /// [`LogRow`].
    pub frame: DataFrame,
}

/// Training accuracy from which a network counts as fitted: those that the paper calls fitted end between 99.34 % (MLP 1x512 on
/// random labels) and 100 % (table 1).
pub const FITTED: f64 = 0.99;

impl Run {
    /// The column `name`, in any cell: see [`frames`](rethink_plot::frames).
    ///
    /// Errors: [`Error::Frame`] for an absent column.
    pub fn column(&self, name: &str) -> Result<&Column> {
        Ok(column(&self.frame, name)?)
    }

    /// The frame's rows.
    ///
    /// Errors: [`Error::Frame`] for a frame that is no run's.
    pub fn rows(&self) -> Result<Vec<LogRow>> {
        rows(&self.frame).map_err(Error::frame("read the run's rows"))
    }

    /// The largest value of the column `name` along the run; `None` where it has no numbers.
    pub(crate) fn best(&self, name: &str) -> Option<f64> {
        let values = self.column(name).ok()?.f64().ok()?;
        values.iter().flatten().fold(None, |best: Option<f64>, v| Some(best.map_or(v, |b| b.max(v))))
    }

    /// The first epoch at whose end at least [`FITTED`] of the whole training set is right; `None` if there is none. The set is
    /// measured where the epoch's batches were nearly right, and at the run's end.
    pub fn fitted_at(&self) -> Option<u32> {
        let accuracy = self.column("train_accuracy").ok()?.f64().ok()?;
        let epoch = self.column("epoch").ok()?.u32().ok()?;
        accuracy.iter().zip(epoch.iter()).find(|(accuracy, _)| accuracy.is_some_and(|a| a >= FITTED))?.1
    }

    /// The first step whose interval has an average loss of at most `loss`, in nats.
    pub fn steps_to(&self, loss: f64) -> Option<u32> {
        let losses = self.column("loss").ok()?.f64().ok()?;
        let steps = self.column("step").ok()?.u32().ok()?;
        losses.iter().zip(steps.iter()).find(|(l, _)| l.is_some_and(|l| l <= loss))?.1
    }
}

/// A finished run, with its frame and record, of what training returned.
///
/// Errors: [`Error::Argument`] without rows; those of making the frame and of describing the device.
pub fn finish(config: &RunConfig, scale: Scale, trained: &TrainedRun) -> Result<Run> {
    let frame = frame(&trained.rows)?;
    let none = || match trained.ending {
        StopReason::Interrupted => {
            Error::Interrupted { what: "training: interrupted before its first row".into() }
        }
        _ => Error::argument("finish a run", "it has no rows"),
    };
    let last = trained.rows.last().ok_or_else(none)?;
    Ok(Run {
        record: Record {
            config: config.clone(),
            scale,
            ending: trained.ending,
            parameters: trained.parameter_count,
            epochs: last.epoch,
            train_accuracy: last.train_accuracy,
            test_accuracy: last.test_accuracy,
            train_top5: last.train_top5,
            test_top5: last.test_top5,
            left_out: trained.left_out,
            seconds: last.seconds,
            classes: trained.classes,
            digest: digest(&trained.rows),
            provenance: match trained.history.latest() {
                Some(provenance) => provenance.clone(),
                None => Provenance::on(Device::current()?, config.hyper.precision)?,
            },
            sittings: trained.history.sittings.clone(),
            origin: trained.history.origin.clone(),
        },
        frame,
    })
}

/// SHA-256 of everything in `rows` but `seconds`.
pub fn digest(rows: &[LogRow]) -> String {
    let mut hash = Sha256::new();
    let bits = |v: Option<f64>| v.map_or(u64::MAX, f64::to_bits);
    for r in rows {
        hash.update(r.step.to_le_bytes());
        hash.update(r.epoch.to_le_bytes());
        let values =
            [Some(r.loss), Some(r.batch_accuracy), r.train_accuracy, r.test_accuracy, Some(r.learning_rate)];
        for value in values {
            hash.update(bits(value).to_le_bytes());
        }
        for value in [r.train_top5, r.test_top5].into_iter().flatten() {
            hash.update(value.to_bits().to_le_bytes());
        }
    }
    hex(&hash.finalize())
}

fn frame(rows: &[LogRow]) -> Result<DataFrame> {
    let column = |name: &str, value: fn(&LogRow) -> f64| {
        Column::new(name.into(), rows.iter().map(value).collect::<Vec<_>>())
    };
    let optional = |name: &str, value: fn(&LogRow) -> Option<f64>| {
        Column::new(name.into(), rows.iter().map(value).collect::<Vec<_>>())
    };
    let mut columns = vec![
        Column::new("step".into(), rows.iter().map(|r| r.step).collect::<Vec<_>>()),
        Column::new("epoch".into(), rows.iter().map(|r| r.epoch).collect::<Vec<_>>()),
        column("loss", |r| r.loss),
        column("batch_accuracy", |r| r.batch_accuracy),
        optional("train_accuracy", |r| r.train_accuracy),
        optional("test_accuracy", |r| r.test_accuracy),
        column("learning_rate", |r| r.learning_rate),
        column("seconds", |r| r.seconds),
    ];
    if rows.iter().any(|r| r.test_top5.is_some()) {
        columns.push(optional("train_top5", |r| r.train_top5));
        columns.push(optional("test_top5", |r| r.test_top5));
    }
    DataFrame::new(rows.len(), columns).map_err(Error::frame("build the run's frame"))
}

/// The rows of a frame: the inverse of [`frame`].
pub(super) fn rows(frame: &DataFrame) -> PolarsResult<Vec<LogRow>> {
    let whole = |name: &str| find(frame, name).and_then(|c| c.u32()).cloned();
    let numbers = |name: &str| find(frame, name).and_then(|c| c.f64()).cloned();
    let maybe = |name: &str| if find(frame, name).is_ok() { numbers(name).map(Some) } else { Ok(None) };
    let (steps, epochs) = (whole("step")?, whole("epoch")?);
    let (losses, batches) = (numbers("loss")?, numbers("batch_accuracy")?);
    let (trains, tests) = (numbers("train_accuracy")?, numbers("test_accuracy")?);
    let (rates, seconds) = (numbers("learning_rate")?, numbers("seconds")?);
    let (trains5, tests5) = (maybe("train_top5")?, maybe("test_top5")?);
    let row = |i: usize| LogRow {
        step: steps.get(i).unwrap_or_default(),
        epoch: epochs.get(i).unwrap_or_default(),
        loss: losses.get(i).unwrap_or(f64::NAN),
        batch_accuracy: batches.get(i).unwrap_or(f64::NAN),
        train_accuracy: trains.get(i),
        test_accuracy: tests.get(i),
        train_top5: trains5.as_ref().and_then(|c| c.get(i)),
        test_top5: tests5.as_ref().and_then(|c| c.get(i)),
        learning_rate: rates.get(i).unwrap_or(f64::NAN),
        seconds: seconds.get(i).unwrap_or(f64::NAN),
    };
    Ok((0..frame.height()).map(row).collect())
}
