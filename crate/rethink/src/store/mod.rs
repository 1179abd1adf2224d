//! Finished runs: one Parquet file each, named by the key of its configuration.
//!
//! | in the store | what it is |
//! | --- | --- |
//! | `KEY.parquet` | a finished run: its frame as rows, its [`Record`] as JSON in the key-value metadata |
//! | `KEY.partial/` | a run in progress: what it is, checkpoint and live log ([`growing`]) |
//! | `KEY.measured.parquet` | a finished measurement, of the same form as a run |
//! | `KEY.unfinished` | a measurement in progress |
//! | `KEY.lock` | held by the process that is at the run or measurement |
//! | `tensorboard/` | the curves of all runs as TensorBoard's event files |
//!
//! A finished run is never computed again and never overwritten.
//!
//! Every reader compares a file's name with the key of what is in it, and refuses records with fields or of a schema that it does
//! not know. Other files that lie there (copies that synchronising programs make, damaged ones, one's own) are passed over, and named
//! on standard error, once each.

pub mod growing;
pub(crate) mod origin;

use crate::data::imagenet::LeftOut;
use crate::data::{Dataset, read_regular};
use crate::live::Call;
use crate::lock::Lock;
use crate::measure::partial::PartialMeasurement;
use crate::measure::{Measured, MeasuredRecord, Measurement, digest as frame_digest};
use crate::run::checkpoint::Checkpoint;
use crate::run::config::{RunConfig, Scale};
use crate::run::history::{Origin, Sitting};
use crate::run::provenance::Provenance;
use crate::run::row::{LogRow, StopReason};
use crate::run::setup::check;
use crate::run::tensorboard::Events;
use crate::run::train::{Progress, TrainedRun, train};
use crate::run::watch::Watch;
use crate::run::{config, strict};
use crate::{Error, Result};
use origin::Taken;
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::prelude::{KeyValueMetadata, ParquetReader, ParquetWriter};
use rethink_nn::device::Device;
use rethink_nn::precision::Precision;
use rethink_nn::text::{counted, hex};
use rethink_plot::files;
use rethink_plot::frames::{column, find};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

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
    /// Every sitting of the run (the epochs that one process trained without interruption), with the code and machine of each. Empty
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

/// A file in a store that is no run or measurement of it, or cannot be told to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Where it lies.
    pub path: PathBuf,
    /// Why it does not count.
    pub reason: String,
}

/// What [`Store::contents`] finds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Every finished run, by key.
    pub runs: Vec<Run>,
    /// Every finished measurement, by key.
    pub measured: Vec<Measured>,
    /// Files beside them, by name.
    pub passed_over: Vec<PassedOver>,
}

/// A folder of runs.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// What [`Store::run`] tells its caller while it is at work.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run is in the store already.
    Found(Box<Record>),
    /// Another process is at this run; waiting for it.
    Waiting,
    /// Training begins, and goes on after the epochs in a checkpoint, 0 where there is none.
    Training(Arc<Watch>, u32),
    /// An epoch ended.
    Epoch(LogRow),
    /// The run is contained in another one, which went on: it is taken from there, without training.
    Taken(Box<Record>),
    /// The run begins with the epochs of another one, which goes on; the others are trained.
    Begun(Origin),
    /// Another run, from which this one might have been taken, could not be read, for this reason.
    PassedOver(String),
}

/// Seconds between two checkpoints of a run, where not [`CHECKPOINT_EVERY`].
pub const CHECKPOINT_VARIABLE: &str = "RETHINK_CHECKPOINT";
/// Seconds between two checkpoints of a run: what a killed one loses at most, besides an epoch.
pub const CHECKPOINT_EVERY: f64 = 20.0;

fn checkpoint_every() -> Result<Duration> {
    let set = std::env::var_os(CHECKPOINT_VARIABLE).filter(|text| !text.is_empty());
    let Some(text) = set else { return Ok(Duration::from_secs_f64(CHECKPOINT_EVERY)) };
    let seconds = text.to_str().and_then(|text| text.parse::<f64>().ok());
    let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| Error::argument(CHECKPOINT_VARIABLE, format!("{text:?} is no number of seconds")))
}

const METADATA: &str = "rethink";
/// A measurement's file ends in this, a run's in `.parquet` alone.
const MEASURED: &str = ".measured.parquet";

impl Store {
    /// The store in `folder`, which is created with the first run.
    pub fn new(folder: impl Into<PathBuf>) -> Store {
        Store { folder: folder.into() }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the run named `key` lies, or will.
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.parquet"))
    }

    /// The folder of the unfinished run named `key`.
    pub(crate) fn partial(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.partial"))
    }

    /// When the last checkpoint of the unfinished run named `key` was written; `None` where there is none.
    pub fn checkpoint_written(&self, key: &str) -> Option<SystemTime> {
        Checkpoint::new(self.partial(key), key.into()).written()
    }

    /// The lock of the run or measurement named `key`.
    fn lock(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.lock"))
    }

    /// The folder of the TensorBoard event file of `config`, kept after the run.
    pub fn events(&self, config: &RunConfig) -> PathBuf {
        let name = format!("{}-{}-{}", config.model, config.corruption, config.key()).replace(':', "-");
        self.folder.join("tensorboard").join(name)
    }

    /// The finished run of `config`, if there is one; a file of its name that is damaged or another run is passed over, as by
    /// [`Store::contents`].
    ///
    /// Errors: [`Error::Io`] for a file that cannot be read, [`Error::Later`] for one that a later version wrote.
    pub fn get(&self, config: &RunConfig) -> Result<Option<Run>> {
        self.found(&self.path(&config.key()), read)
    }

    fn found<T>(&self, path: &Path, read: fn(&Path) -> Result<T>) -> Result<Option<T>> {
        if !is_there(path) {
            return Ok(None);
        }
        match read(path) {
            Ok(found) => Ok(Some(found)),
            Err(error @ (Error::Io { .. } | Error::Later { .. })) => Err(error),
            Err(error) => {
                warn(&PassedOver::because(path, &error));
                Ok(None)
            }
        }
    }

    /// Moves away what lies at `path` and has been passed over, so that nothing is overwritten.
    fn set_aside(&self, path: &Path) -> Result<()> {
        if !is_there(path) {
            return Ok(());
        }
        let mut aside = (1u32..).map(|n| path.with_added_extension(format!("passed-over-{n}")));
        let aside =
            aside.find(|aside| !is_there(aside)).unwrap_or_else(|| path.with_added_extension("passed-over"));
        fs::rename(path, &aside).map_err(Error::io("move away", path))?;
        rethink_plot::tell!("warning: {} is kept as {}", path.display(), aside.display());
        Ok(())
    }

    /// The finished run of `config`: from the store, or trained on `data` and put there. Goes on from
    /// a checkpoint where an earlier attempt left one. Two processes that want the same run train it
    /// once. If the store is deleted and made again meanwhile, the first of them stops ([`Lock::check`]), or ends without touching
    /// what the other has written. A run that stops when fitted is taken from one that went on ([`Record::origin`]), as far as the store has
    /// such a run, finished or not. A run that is to end early ([`rethink_nn::interrupt`]) is returned as far as it came, and is not
    /// in the store but for its checkpoint.
    ///
    /// Errors: [`Error::Interrupted`] for one that is to end before it has a row; those of [`train`], and I/O errors naming the file.
    pub fn run(
        &self,
        config: &RunConfig,
        data: &Dataset,
        scale: Scale,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Run> {
        // Before anything is written for it.
        if !self.path(&config.key()).exists() {
            check(config, data)?;
        }
        self.run_by(config, scale, on_event, &mut |progress| train(config, data, progress))
    }

    /// As [`Store::run`], but `training` does the training, as with several processes.
    ///
    /// Errors: those of `training`, I/O errors naming the file, [`Error::Argument`] for a [`CHECKPOINT_VARIABLE`] that is
    /// no number.
    pub fn run_by(
        &self,
        config: &RunConfig,
        scale: Scale,
        on_event: &mut dyn FnMut(Event),
        training: &mut dyn FnMut(Progress) -> Result<Option<TrainedRun>>,
    ) -> Result<Run> {
        let _call = Call::new();
        let key = config.key();
        let partial = self.partial(&key);
        let clear = || -> Result<()> { Ok(files::remove_folder_if_there(&partial)?) };
        if let Some(run) = self.get(config)? {
            on_event(Event::Found(Box::new(run.record.clone())));
            self.clear_left(&key, partial.exists(), clear);
            return Ok(run);
        }
        let lock = Lock::take(&self.lock(&key), &mut || on_event(Event::Waiting))?;
        // Another process may have finished it since the first look, whether this one had to wait or not.
        if let Some(run) = self.get(config)? {
            on_event(Event::Found(Box::new(run.record.clone())));
            lock.end(clear)?;
            return Ok(run);
        }
        self.set_aside(&self.path(&key))?;
        let own = Checkpoint::new(partial.clone(), key.clone());
        // Where its own checkpoint cannot be read, nothing is taken from other runs: training then fails with the reason.
        let far = own.epoch().unwrap_or(u32::MAX);
        match origin::find(self, config, far, &mut |why| on_event(Event::PassedOver(why)))? {
            Some(Taken::Whole(trained, provenance)) => {
                Events::create(&self.events(config), &trained.rows)?;
                let mut run = finish(config, scale, &trained)?;
                if let Some(provenance) = provenance {
                    run.record.provenance = *provenance;
                }
                let run = self.publish_run(run)?;
                on_event(Event::Taken(Box::new(run.record.clone())));
                lock.end(clear)?;
                return Ok(run);
            }
            Some(Taken::Beginning(origin, checkpoint)) => {
                on_event(Event::Begun(origin));
                // Log and sittings of an earlier attempt belong to other epochs than the checkpoint that is taken.
                files::remove_folder_if_there(&partial)?;
                own.keep(&checkpoint)?;
            }
            None => {}
        }
        growing::note(&partial, config, scale)?;
        let watch = Arc::new(Watch::default());
        on_event(Event::Training(watch.clone(), own.epoch()?));
        let mut on_epoch = |row: &LogRow| on_event(Event::Epoch(row.clone()));
        let progress = Progress {
            folder: Some(partial.clone()),
            lock: Some(&lock),
            events: Some(self.events(config)),
            checkpoint_every: checkpoint_every()?,
            on_epoch: &mut on_epoch,
            watch: Some(watch.clone()),
            leave_after: None,
        };
        let trained =
            training(progress)?.ok_or_else(|| Error::argument("training run", "left before its end"))?;
        if trained.ending == StopReason::Interrupted {
            return finish(config, scale, &trained);
        }
        let run = self.publish_run(finish(config, scale, &trained)?)?;
        // Whoever waits on the lock finds the finished run.
        lock.end(clear)?;
        Ok(run)
    }

    /// Every finished run, by key. What else lies there is passed over with a warning.
    ///
    /// Errors: [`Error::Io`] where the folder cannot be listed: it is a file, or a link that leads nowhere.
    pub fn all(&self) -> Result<Vec<Run>> {
        let (runs, passed_over) = self.read_all("list the runs", Kind::Runs, read)?;
        passed_over.iter().for_each(warn);
        Ok(runs)
    }

    /// Every finished measurement, by key. What else lies there is passed over with a warning.
    ///
    /// Errors: as for [`Store::all`].
    pub fn measurements(&self) -> Result<Vec<Measured>> {
        let (measured, passed_over) =
            self.read_all("list the measurements", Kind::Measurements, read_measured)?;
        passed_over.iter().for_each(warn);
        Ok(measured)
    }

    /// Everything in the store, and what is passed over; nothing is printed.
    ///
    /// Errors: as for [`Store::all`].
    pub fn contents(&self) -> Result<Contents> {
        let (runs, mut passed_over) = self.read_all("list the runs", Kind::Runs, read)?;
        let (measured, more) = self.read_all("list the measurements", Kind::Measurements, read_measured)?;
        passed_over.extend(more);
        passed_over.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Contents { runs, measured, passed_over })
    }

    /// Warns on standard error of each file whose name is not that of a run or measurement, once each. For commands that look for
    /// runs by their keys, and would not notice such files.
    ///
    /// Errors: as for [`Store::all`].
    pub fn warn_of_others(&self) -> Result<()> {
        let others = self.files("list the runs")?.into_iter().filter(|path| key_in_name(path).is_none());
        others.map(|path| PassedOver { reason: unnamed(&path), path }).for_each(|other| warn(&other));
        Ok(())
    }

    fn read_all<T>(
        &self,
        operation: &'static str,
        kind: Kind,
        read: fn(&Path) -> Result<T>,
    ) -> Result<(Vec<T>, Vec<PassedOver>)> {
        let (mut all, mut passed_over) = (Vec::new(), Vec::new());
        let mut paths = self.files(operation)?;
        paths.retain(|path| Kind::of(path) == kind);
        for path in paths {
            match read(&path) {
                Ok(one) => all.push(one),
                // Removed since the folder was listed.
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => passed_over.push(PassedOver::because(&path, &error)),
            }
        }
        Ok((all, passed_over))
    }

    /// The files of runs and measurements, and whatever has their extension.
    fn files(&self, operation: &'static str) -> Result<Vec<PathBuf>> {
        self.entries(operation, "parquet")
    }

    /// Files and folders with this extension, by name.
    fn entries(&self, operation: &'static str, extension: &str) -> Result<Vec<PathBuf>> {
        // No run has been made here yet. (A link that leads nowhere is there, and no run can be made.)
        if fs::symlink_metadata(&self.folder).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
            return Ok(Vec::new());
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(Error::io(operation, &self.folder))? {
            let path = entry.map_err(Error::io(operation, &self.folder))?.path();
            if path.extension().is_some_and(|e| e == extension) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Where the measurement named `key` lies, or will.
    pub fn measured_path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}{MEASURED}"))
    }

    /// The finished measurement, if there is one.
    ///
    /// Errors: as for [`Store::get`].
    pub fn get_measured(&self, measurement: &Measurement) -> Result<Option<Measured>> {
        self.found(&self.measured_path(&measurement.key()), read_measured)
    }

    /// The finished measurement: from the store, or made on `data` and put there. A killed one goes
    /// on as [`Measurement::measure`] says, or starts over; two processes that want the same one make it once, or end as those
    /// of [`Store::run`] do. `say` gets lines of progress. The flag says whether it was made now.
    ///
    /// Errors: those of [`Measurement::measure`], and I/O errors naming the file.
    pub fn measure(
        &self,
        measurement: &Measurement,
        data: &Dataset,
        scale: Scale,
        say: &mut dyn FnMut(&str),
    ) -> Result<(Measured, bool)> {
        let _call = Call::new();
        let key = measurement.key();
        let path = self.folder.join(format!("{key}.unfinished"));
        let mut unfinished = PartialMeasurement::new(path, key.clone(), checkpoint_every()?);
        if let Some(measured) = self.get_measured(measurement)? {
            self.clear_left(&key, unfinished.is_there(), || unfinished.remove());
            return Ok((measured, false));
        }
        let lock = Lock::take(&self.lock(&key), &mut || say("another process is measuring it, waiting"))
            .map(Arc::new)?;
        if let Some(measured) = self.get_measured(measurement)? {
            lock.end(|| unfinished.remove())?;
            return Ok((measured, false));
        }
        unfinished.lock = Some(lock.clone());
        self.set_aside(&self.measured_path(&key))?;
        let started = Instant::now();
        let frame = measurement.measure(data, Some(&mut unfinished), say)?;
        let record = MeasuredRecord {
            measurement: measurement.clone(),
            scale,
            seconds: unfinished.earlier + started.elapsed().as_secs_f64(),
            digest: frame_digest(&frame)?,
            provenance: Provenance::on(measurement.device(data)?, Precision::Float32)?,
        };
        let bytes = sealed(&frame, json(&record))?;
        let there =
            self.publish(&self.folder, &self.measured_path(&key), &bytes, || self.get_measured(measurement))?;
        lock.end(|| unfinished.remove())?;
        Ok(there.map_or((Measured { record, frame }, true), |there| (there, false)))
    }

    /// Clears what a process left that was killed between the last steps of a run or measurement, if nobody holds it: its folder or file,
    /// where that `is_there`, and its lock. What cannot be removed stays: a folder may be read-only, and the result is there.
    fn clear_left(&self, key: &str, is_there: bool, remove: impl FnOnce() -> Result<()>) {
        let lock = self.lock(key);
        if (is_there || lock.exists())
            && let Ok(Some(lock)) = Lock::try_take(&lock)
        {
            let _ = lock.end(remove);
        }
    }

    fn publish_run(&self, run: Run) -> Result<Run> {
        let config = &run.record.config;
        let bytes = sealed(&run.frame, json(&run.record))?;
        let (key, path) = (config.key(), self.path(&config.key()));
        // What a kill leaves of the file that is being written goes with the unfinished run.
        let aside = Some(self.partial(&key)).filter(|partial| partial.is_dir());
        let aside = aside.as_deref().unwrap_or(&self.folder);
        let there = self.publish(aside, &path, &bytes, || self.get(config))?;
        Ok(there.unwrap_or(run))
    }

    /// Puts the `bytes` of a finished run or measurement at `path`, and returns `None`. Where another process has put one there
    /// meanwhile (which it can if the store, and with it the lock, was deleted and made again), that one is not overwritten but
    /// returned, read by `get`. Until it is whole, it is in the folder `aside`.
    fn publish<T>(
        &self,
        aside: &Path,
        path: &Path,
        bytes: &[u8],
        get: impl FnOnce() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        match files::write_new_from(aside, path, bytes) {
            Err(rethink_plot::Error::Io { source, .. })
                if source.kind() == std::io::ErrorKind::AlreadyExists => {}
            written => return Ok(written.map(|()| None)?),
        }
        if let Some(there) = get()? {
            return Ok(Some(there));
        }
        self.set_aside(path)?;
        files::write_new_from(aside, path, bytes)?;
        Ok(None)
    }
}

/// Whether something is at `path`. A link that leads nowhere is: it keeps a file from being created there.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// A record as JSON, for a file's metadata.
fn json(record: &impl Serialize) -> String {
    serde_json::to_string(record).expect("plain values are JSON")
}

/// What a file is by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Runs,
    Measurements,
}

impl Kind {
    fn of(path: &Path) -> Kind {
        if path.to_string_lossy().ends_with(MEASURED) { Kind::Measurements } else { Kind::Runs }
    }
}

impl PassedOver {
    fn because(path: &Path, error: &Error) -> PassedOver {
        let reason = match error {
            Error::Format { problem, .. } | Error::Later { problem, .. } => problem.clone(),
            Error::Io { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        // A wrong name is the better reason: a copy of a run is whole, and nothing else is wrong with it.
        let reason = if key_in_name(path).is_none() { unnamed(path) } else { reason };
        PassedOver { path: path.to_path_buf(), reason }
    }
}

impl std::fmt::Display for PassedOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is passed over: {}", self.path.display(), self.reason)
    }
}

/// The key that a file is named by: 16 hexadecimal digits before `.parquet` or `.measured.parquet`.
fn key_in_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let key = name.strip_suffix(MEASURED).or_else(|| name.strip_suffix(".parquet"))?;
    is_key(key).then_some(key)
}

/// Whether `text` is a run's or measurement's key by its form.
fn is_key(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Why a file whose name is no key does not count.
fn unnamed(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let digits = |part: &&str| part.len() == 16 && part.bytes().all(|b| b.is_ascii_hexdigit());
    match name.split(|c: char| !c.is_ascii_alphanumeric()).find(digits) {
        Some(key) => format!("its name is not that of a run; a copy of {key}, or a part of one"),
        None => "its name is not that of a run".into(),
    }
}

/// Says what is passed over, once for each file.
fn warn(passed_over: &PassedOver) {
    static SAID: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if said.insert(passed_over.path.clone()) {
        rethink_plot::tell!("warning: {passed_over}");
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

/// A store's file: `frame` with a record.
fn sealed(frame: &DataFrame, json: String) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(vec![(METADATA.into(), json)])))
        .finish(&mut frame.clone())
        .map_err(Error::frame("write the run"))?;
    Ok(seal(bytes))
}

/// A seal stands before a Parquet file's footer: these bytes, then the SHA-256 of all other bytes of the file. Readers of Parquet
/// follow the offsets in the footer and never see it. It is checked before polars reads a file, because polars believes damaged
/// lengths, asks for exabytes of memory and ends the process.
const SEAL: &[u8; 16] = b"rethink sha256: ";
/// More bytes than a run's or measurement's file ever has.
const LARGEST: u64 = 4 << 30;
/// Bytes of a seal.
const SEALED: usize = SEAL.len() + 32;

/// Where the footer of a Parquet file begins.
fn footer(bytes: &[u8]) -> Option<usize> {
    let end = bytes.len().checked_sub(8)?;
    let (length, magic) = bytes[end..].split_at(4);
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    end.checked_sub(length).filter(|_| magic == b"PAR1")
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(at) = footer(&bytes) {
        let sum = Sha256::digest(&bytes);
        bytes.splice(at..at, SEAL.iter().copied().chain(sum));
    }
    bytes
}

/// Whether a file has the seal of its bytes: it is as it was written.
fn is_whole(bytes: &[u8]) -> bool {
    let Some((before, after)) = footer(bytes).map(|at| bytes.split_at(at)) else { return false };
    let Some((data, seal)) = before.len().checked_sub(SEALED).map(|at| before.split_at(at)) else {
        return false;
    };
    let mut hash = Sha256::new();
    hash.update(data);
    hash.update(after);
    seal.starts_with(SEAL) && seal[SEAL.len()..] == hash.finalize()[..]
}

/// The bytes of the store's file at `path` with its record changed by `change`, sealed again: a file as another version of this
/// program might have written it. For tests.
///
/// Errors: those of reading a file that is no whole one of a store.
pub fn with_record(path: &Path, change: impl FnOnce(&mut serde_json::Value)) -> Result<Vec<u8>> {
    let operation = "change the record";
    let (mut record, frame) = read_sealed(path, operation)?;
    change(&mut record);
    sealed(&frame, record.to_string())
}

/// Reads a run's file.
///
/// Errors, all naming the file: [`Error::Io`]; [`Error::Later`] for one that a later version wrote; [`Error::Format`] for one that is
/// damaged (its bytes, its frame's digest, or last row and record contradict each other), or whose name is not its configuration's
/// key, and for a folder, a pipe, or a link that leads nowhere.
pub fn read(path: &Path) -> Result<Run> {
    let operation = "read the run";
    let (record, frame): (Record, DataFrame) = read_frame(path, operation, ("config", config::SCHEMA))?;
    check_name(path, operation, &record.config.key())?;
    let damaged = |problem: &str| Error::format(operation, path, format!("{problem}: it has been damaged"));
    let rows = rows(&frame).map_err(|e| Error::format(operation, path, e.to_string()))?;
    if digest(&rows) != record.digest {
        return Err(damaged("its frame has another digest than its record says"));
    }
    let last = rows.last().ok_or_else(|| damaged("it has no rows"))?;
    let ends = [
        (last.train_accuracy, record.train_accuracy),
        (last.test_accuracy, record.test_accuracy),
        (last.train_top5, record.train_top5),
        (last.test_top5, record.test_top5),
        (Some(f64::from(last.epoch)), Some(f64::from(record.epochs))),
    ];
    if ends.iter().any(|(frame, record)| frame != record) {
        return Err(damaged("its record and the last row of its frame do not agree"));
    }
    Ok(Run { record, frame })
}

/// Reads a measurement's file.
///
/// Errors: as for [`read`].
pub fn read_measured(path: &Path) -> Result<Measured> {
    let operation = "read the measurement";
    let schema = ("measurement", crate::measure::SCHEMA);
    let (record, frame): (MeasuredRecord, DataFrame) = read_frame(path, operation, schema)?;
    check_name(path, operation, &record.measurement.key())?;
    if frame_digest(&frame)? != record.digest {
        let problem = "its frame has another digest than its record says: it has been damaged";
        return Err(Error::format(operation, path, problem));
    }
    Ok(Measured { record, frame })
}

/// The rows of a frame: the inverse of [`frame`].
fn rows(frame: &DataFrame) -> PolarsResult<Vec<LogRow>> {
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

/// Whether the file at `path` is named by `key`, the key of what is in it.
fn check_name(path: &Path, operation: &'static str, key: &str) -> Result<()> {
    match key_in_name(path) {
        Some(name) if name == key => Ok(()),
        Some(_) => {
            Err(Error::format(operation, path, format!("it has the name of another run: it holds {key}")))
        }
        None => Err(Error::format(operation, path, format!("its name is not that of a run: it holds {key}"))),
    }
}

/// The record and the frame in a file. `field` is the record's field with the configuration or measurement, whose schema may be at
/// most `newest`.
fn read_frame<R: Serialize + DeserializeOwned>(
    path: &Path,
    operation: &'static str,
    (field, newest): (&str, u32),
) -> Result<(R, DataFrame)> {
    let (value, frame) = read_sealed(path, operation)?;
    let later = |problem: String| Error::Later { operation, path: path.to_path_buf(), problem };
    if let Some(schema) = value[field]["schema"].as_u64().filter(|schema| *schema > u64::from(newest)) {
        let versions = format!("schema {schema}; this one reads up to {newest}");
        return Err(later(format!("written by a later version of rethink ({versions})")));
    }
    if value.get(field).is_none() {
        return Err(Error::format(operation, path, format!("its record has no {field:?}")));
    }
    // Its seal has shown that the file is not damaged: a part that cannot be read was written by another version.
    Ok((strict::from_value(value).map_err(later)?, frame))
}

/// The record, as JSON, and the frame of a file, after its seal is checked.
fn read_sealed(path: &Path, operation: &'static str) -> Result<(serde_json::Value, DataFrame)> {
    let malformed = |problem: String| Error::format(operation, path, problem);
    let bytes = read_regular(path, operation, LARGEST).map_err(|error| match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound && is_there(path) => {
            malformed("it is a link to what is not there".into())
        }
        error => error,
    })?;
    if !is_whole(&bytes) {
        return Err(malformed(
            "its bytes are not those that rethink wrote: it has been damaged, or is no run of rethink".into(),
        ));
    }
    let read = move || -> PolarsResult<_> {
        let mut reader = ParquetReader::new(std::io::Cursor::new(bytes));
        let metadata = reader.get_metadata()?.key_value_metadata().clone().unwrap_or_default();
        Ok((metadata, reader.finish()?))
    };
    let (metadata, frame) = read().map_err(|e| malformed(e.to_string()))?;
    let json = metadata.iter().find(|kv| kv.key == METADATA).and_then(|kv| kv.value.as_deref());
    let json = json.ok_or_else(|| malformed("it has no record: not a run of rethink".into()))?;
    Ok((serde_json::from_str(json).map_err(|e| malformed(e.to_string()))?, frame))
}
