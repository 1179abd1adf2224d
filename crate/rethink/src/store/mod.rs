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

mod file;
mod frame_of;
pub mod growing;
pub(crate) mod origin;
mod record;

use crate::data::Dataset;
use crate::live::Call;
use crate::lock::Lock;
use crate::measure::partial::PartialMeasurement;
use crate::measure::{Measured, MeasuredRecord, Measurement, digest as frame_digest};
use crate::run::checkpoint::Checkpoint;
use crate::run::config::{RunConfig, Scale};
use crate::run::history::Origin;
use crate::run::provenance::Provenance;
use crate::run::row::{LogRow, StopReason};
use crate::run::setup::check;
use crate::run::tensorboard::Events;
use crate::run::train::{Progress, TrainedRun, train};
use crate::run::watch::Watch;
use crate::{Error, Result};
use file::{MEASURED, is_key, is_there, json, key_in_name, sealed, unnamed};
pub use file::{read, read_measured, with_record};
pub(crate) use frame_of::stacked;
pub use frame_of::{curves_of, frame_of};
use origin::Taken;
pub use record::{FITTED, Record, Run, digest, finish};
use rethink_nn::precision::Precision;
use rethink_plot::files;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

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

/// Bytes of a folder's name before its key: file systems take 255 in all.
const LONGEST_NAME: usize = 200;
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

    /// The folder of the TensorBoard event file of `config`, kept after the run: what it is, as far as a name can be long, and its key.
    pub fn events(&self, config: &RunConfig) -> PathBuf {
        let mut name = format!("{}-{}", config.model, config.corruption).replace(':', "-");
        while name.len() > LONGEST_NAME {
            name.pop();
        }
        self.folder.join("tensorboard").join(format!("{name}-{}", config.key()))
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
        self.run_by((config, data.classes.len()), scale, on_event, &mut |progress| {
            train(config, data, progress)
        })
    }

    /// As [`Store::run`] of a configuration for so many classes, but `training` does the training, as with several processes.
    ///
    /// Errors: those of `training`, I/O errors naming the file, [`Error::Argument`] for a [`CHECKPOINT_VARIABLE`] that is
    /// no number.
    pub fn run_by(
        &self,
        (config, classes): (&RunConfig, usize),
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
            Some(Taken::Whole(mut trained, provenance)) => {
                // A checkpoint does not say of how many classes its data set is.
                trained.classes.get_or_insert(classes);
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
            observer: None,
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

/// Says what is passed over, once for each file.
fn warn(passed_over: &PassedOver) {
    static SAID: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if said.insert(passed_over.path.clone()) {
        rethink_plot::tell!("warning: {passed_over}");
    }
}
