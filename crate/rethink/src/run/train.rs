//! The training loop (appendix A): SGD over a resident data set, a frame of what happened, and
//! checkpoints from which a killed run goes on as if it had never stopped.
//!
//! ```text
//! setup        values, images, network; what an earlier sitting left
//! each epoch   steps (steps.rs)  ->  evaluation, whether the run ends (stopping.rs)  ->  log, events, checkpoint
//! the end      weights, rows, and why it ended
//! ```

use crate::data::Dataset;
use crate::data::photographs::LeftOut;
use crate::lock::Lock;
use crate::run::checkpoint::{Checkpoint, PartialEpoch, Position};
use crate::run::config::RunConfig;
use crate::run::history::{self, History, Sitting};
use crate::run::loader::{Accuracy, DataLoader, Subset};
use crate::run::provenance::Provenance;
use crate::run::row::{LogRow, StopReason};
use crate::run::setup::{DataSizes, check_parallelism, network, sizes};
use crate::run::steps::{Epoch, EpochLog, Steps};
use crate::run::stopping::{self, Fit};
use crate::run::streams::{ORDER, epoch_stream};
use crate::run::tensorboard::Events;
use crate::run::watch::Watch;
use crate::{Error, Result};
use rand::seq::SliceRandom;
use rethink_nn::device::Device;
use rethink_nn::distributed::{Parallelism, ProcessGroup};
use rethink_nn::interrupt;
use rethink_nn::models::{Network, Parameter};
use rethink_nn::optim::{Memory, SgdStep};
use rethink_nn::precision::Precision;
use rethink_nn::threads;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What training gives.
#[derive(Clone, Debug)]
pub struct TrainedRun {
    /// The frame's rows.
    pub rows: Vec<LogRow>,
    /// How it ended.
    pub ending: StopReason,
    /// Final weights, with which the network is tested: their average where there is one.
    pub parameters: Vec<Parameter>,
    /// How many numbers were trained.
    pub parameter_count: usize,
    /// Files of the data set that are no photographs; `None` where none is.
    pub left_out: Option<LeftOut>,
    /// Classes of the data set, where they are known.
    pub classes: Option<usize>,
    /// Where its parts were trained.
    pub history: History,
}

/// Where and how often progress is kept, and who is told.
pub struct Progress<'a> {
    /// Folder of the checkpoint and the live log; none keeps nothing.
    pub folder: Option<PathBuf>,
    /// The lock under which both folders are written; without one, they are this process's own. Where it
    /// [stands](Lock::stands) no more at an epoch's end, nothing more is written to them, and training ends with
    /// [`Lock::check`]'s error, unless it is at its end.
    pub lock: Option<&'a Lock>,
    /// Folder of the TensorBoard event file; none writes none.
    pub events: Option<PathBuf>,
    /// Least time between two checkpoints (they come at an epoch's end).
    pub checkpoint_every: Duration,
    /// Called after every epoch.
    pub on_epoch: &'a mut dyn FnMut(&LogRow),
    /// Is told of every step and row; several processes tell it nothing.
    pub watch: Option<Arc<Watch>>,
    /// Leave after this epoch's checkpoint, as a kill would; for tests.
    pub leave_after: Option<u32>,
    /// Sees the network before the first epoch, as epoch 0, and after each: as it is tested, with its averages where it has any. In
    /// training that goes on from a checkpoint, from there on.
    pub observer: Option<&'a mut Observer<'a>>,
}

/// Is called with the number of an epoch and the network after it.
pub type Observer<'a> = dyn FnMut(u32, &dyn Network) -> Result<()> + 'a;

impl<'a> Progress<'a> {
    /// Keeps nothing, tells `on_epoch`.
    pub fn quiet(on_epoch: &'a mut dyn FnMut(&LogRow)) -> Progress<'a> {
        Progress {
            folder: None,
            lock: None,
            events: None,
            checkpoint_every: Duration::MAX,
            on_epoch,
            watch: None,
            leave_after: None,
            observer: None,
        }
    }
}

/// Trains `config` on `data`, in this process.
///
/// With a folder in `progress`, goes on from the checkpoint found there; the result is bit for bit
/// that of a run never interrupted, `seconds` apart. Returns `None` when told to leave early. Where work is to end early
/// ([`rethink_nn::interrupt`]), leaves after the next step, with a checkpoint where there is a folder; the run's ending is then
/// [`StopReason::Interrupted`].
///
/// Errors: [`Error::Argument`] for a configuration that does not fit the data, those of
/// [`rethink_nn::models::ModelKind::build`], and I/O errors of the checkpoint.
pub fn train(config: &RunConfig, data: &Dataset, progress: Progress) -> Result<Option<TrainedRun>> {
    train_by(config, data, progress, &mut Parallelism::Alone)
}

/// Trains `config` on `data`, as [`train`] does, by the processes that `config.parallel` names. All of them call it; rank 0's
/// `progress` is kept and told, the others' is [`Progress::quiet`].
///
/// Errors: as for [`train`]; [`Error::Argument`] for other processes than the configuration's.
pub fn train_by(
    config: &RunConfig,
    data: &Dataset,
    mut progress: Progress,
    processes: &mut Parallelism,
) -> Result<Option<TrainedRun>> {
    check_parallelism(config, processes)?;
    let group = processes.team().cloned();
    let group = group.as_deref();
    let DataSizes { train, test } = sizes(config, data)?;
    let mut loader = DataLoader::new(config, data, train, test)?;
    let left_out = loader.check(group)?;
    let mut network = network(config, data)?;
    let network = network.as_mut();
    let mut recorder = RunRecorder::new(config, &progress);
    let mut at = recorder.resume(network, group)?.unwrap_or(Position { left_out, ..Position::default() });
    check_left_out(data, &progress, at.left_out, left_out)?;
    recorder.begin_sitting(&mut at)?;
    let mut steps = Steps::new(processes, network)?;
    loader.keep_in(network, group.is_none())?;
    let watch = progress.watch.as_deref();
    if let Some(watch) = watch {
        watch.rows(&at.rows);
    }
    observe(&mut progress.observer, at.epoch, network)?;
    let mut interrupted = false;
    while at.ending.is_none() && !interrupted {
        let (started, seconds, rows) = (Instant::now(), at.seconds, at.rows.len());
        at.epoch += 1;
        let trained = train_epoch(config, &loader, network, &mut steps, (&mut at, started, watch))?;
        if let Some(within) = trained.left {
            (at.epoch, at.within) = (at.epoch - 1, Some(within));
            at.seconds = seconds + started.elapsed().as_secs_f64();
            recorder.may_write()?;
            recorder.keep(network, &at, rows, true)?;
            interrupted = true;
            break;
        }
        let accuracies = evaluate(config, (&loader, group), network, &mut at, trained)?;
        at.seconds = seconds + started.elapsed().as_secs_f64();
        at.history.reach(at.epoch);
        if let Some(row) = at.rows[rows..].last_mut() {
            note(row, accuracies, at.seconds);
            (progress.on_epoch)(row);
        }
        observe(&mut progress.observer, at.epoch, network)?;
        let leave = progress.leave_after.is_some_and(|epoch| at.epoch >= epoch) && at.ending.is_none();
        interrupted = group.is_none() && interrupt::is_wanted();
        match (recorder.may_write(), at.ending) {
            (Ok(()), _) => recorder.keep(network, &at, rows, leave || interrupted)?,
            (Err(lost), None) => return Err(lost),
            // A run that has come to its end is a result, whether its folder is still there or not.
            (Err(_), Some(_)) => (),
        }
        if leave {
            return Ok(None);
        }
    }
    steps.close();
    let unended = if interrupted { StopReason::Interrupted } else { StopReason::Completed };
    let ending = at.ending.unwrap_or(unended);
    let parameters = by_average(network, |network| Ok(network.parameters()?))?;
    let (rows, history, parameter_count) = (at.rows, at.history, network.parameter_count());
    let classes = Some(data.classes.len());
    Ok(Some(TrainedRun { rows, ending, parameters, parameter_count, classes, history, left_out }))
}

/// Shows the observer the network, if there is one.
///
/// Errors: the observer's.
fn observe(observer: &mut Option<&mut Observer>, epoch: u32, network: &mut dyn Network) -> Result<()> {
    match observer {
        Some(observer) => by_average(network, |network| observer(epoch, network)),
        None => Ok(()),
    }
}

/// Files that are left out now, but were not when the run began, or the other way round, would make it another run.
///
/// Errors: [`Error::Different`].
fn check_left_out(
    data: &Dataset,
    progress: &Progress,
    then: Option<LeftOut>,
    now: Option<LeftOut>,
) -> Result<()> {
    if then == now {
        return Ok(());
    }
    let said = |left: Option<LeftOut>| left.map_or("nothing left out".into(), LeftOut::describe);
    let folder = progress.folder.as_deref().unwrap_or(Path::new("its folder")).display();
    Err(Error::Different {
        what: format!("{}: {}, but the run began with {}", data.title, said(now), said(then)),
        remedy: format!("bring the files back, or remove {folder} to start this run again"),
    })
}

/// What the steps of an epoch have shown.
struct Trained {
    /// How many images were classified as labelled, each before its own update, and how many there were.
    correct: usize,
    seen: usize,
    /// The last loss was infinite or not a number.
    diverged: bool,
    /// How far it came, where it was left early.
    left: Option<PartialEpoch>,
}

/// The steps of the epoch that `at` says, begun at `started`, of which `watch` is told.
fn train_epoch(
    config: &RunConfig,
    loader: &DataLoader,
    network: &mut dyn Network,
    steps: &mut Steps,
    (at, started, watch): (&mut Position, Instant, Option<&Watch>),
) -> Result<Trained> {
    let hyper = &config.hyper;
    let mut order: Vec<u32> = (0..loader.len() as u32).collect();
    order.shuffle(&mut epoch_stream(config.seeds.order, ORDER, at.epoch));
    let rate = hyper.learning_rate
        * hyper.rate_decay.powi(((at.epoch - 1) as usize / hyper.rate_decay_every) as i32);
    let update = SgdStep {
        learning_rate: rate as f32,
        momentum: hyper.momentum as f32,
        weight_decay: hyper.weight_decay as f32,
    };
    let choices = loader.choices(at.epoch)?;
    let done = at.within.as_ref().map_or(0, |within| within.batches);
    let (order, choices, first) = (&order[..], &choices, at.step);
    let epoch = Epoch { config, loader, order, choices, update, first, started, done, watch };
    let mut log = EpochLog::new(at, config, epoch.steps(), rate);
    threads::awake(|| steps.take(network, &epoch, &mut log))?;
    Ok(Trained { correct: log.correct, seen: log.seen, diverged: log.diverged, left: log.left })
}

/// Measures the accuracies that are due at the epoch's end, on the training and on the test set, and decides whether the run ends.
fn evaluate(
    config: &RunConfig,
    (loader, group): (&DataLoader, Option<&dyn ProcessGroup>),
    network: &mut dyn Network,
    at: &mut Position,
    trained: Trained,
) -> Result<[Option<Accuracy>; 2]> {
    let on_training = |network: &mut dyn Network| {
        by_average(network, |network| loader.accuracy(network, Subset::Train, group)).map(Some)
    };
    let on_test = |network: &mut dyn Network| {
        by_average(network, |network| loader.accuracy(network, Subset::Test, group)).map(Some)
    };
    // A loss is taken before its step's update: what the epoch's last step ruined shows in the weights, or, where these
    // are numbers still, in the scores of an evaluation.
    let diverged = trained.diverged || !network.is_finite()?;
    let last = stopping::is_last(config, at.epoch) || diverged;
    let nearly = trained.correct as f64 >= stopping::NEARLY * trained.seen as f64;
    // An earlier sitting may have left rows of this epoch.
    let before = Fit::of(&at.rows[..at.rows.partition_point(|row| row.epoch < at.epoch)]);
    let (mut measured, mut tested) = (None, None);
    if last || nearly && stopping::measured_if_nearly(config, at.epoch, before) {
        measured = on_training(network)?;
    }
    let fit = before.then(measured.map(|accuracy| accuracy.top1));
    if diverged {
        at.ending = Some(StopReason::Diverged);
    } else if stopping::is_met(config, fit) {
        at.ending = Some(StopReason::Fitted);
    } else if last {
        at.ending = Some(StopReason::Completed);
    }
    if at.ending.is_some() || stopping::test_due(config, at.epoch) {
        tested = on_test(network)?;
    }
    if [measured, tested].iter().flatten().any(|accuracy| !accuracy.finite) {
        at.ending = Some(StopReason::Diverged);
        // A run's end has both.
        if measured.is_none() {
            measured = on_training(network)?;
        }
        if tested.is_none() {
            tested = on_test(network)?;
        }
    }
    Ok([measured, tested])
}

/// Writes an epoch's accuracies, on the training and on the test set, and seconds into its last row.
fn note(row: &mut LogRow, [measured, tested]: [Option<Accuracy>; 2], seconds: f64) {
    let (top1, top5) = (|a: Accuracy| a.top1, |a: Accuracy| a.top5);
    (row.train_accuracy, row.train_top5) = (measured.map(top1), measured.and_then(top5));
    (row.test_accuracy, row.test_top5) = (tested.map(top1), tested.and_then(top5));
    row.seconds = seconds;
}

/// What is kept of a run while it goes.
struct RunRecorder<'a> {
    lock: Option<&'a Lock>,
    /// In no folder where nothing is kept: such a process reads what another one sends.
    checkpoint: Checkpoint,
    kept: bool,
    /// Least time between two checkpoints, and when the last one was written.
    every: Duration,
    saved: Instant,
    events_folder: Option<PathBuf>,
    events: Option<Events>,
    /// Of products, for the record.
    precision: Precision,
}

impl<'a> RunRecorder<'a> {
    fn new(config: &RunConfig, progress: &Progress<'a>) -> RunRecorder<'a> {
        RunRecorder {
            lock: progress.lock,
            checkpoint: Checkpoint::new(progress.folder.clone().unwrap_or_default(), config.key()),
            kept: progress.folder.is_some(),
            every: progress.checkpoint_every,
            saved: Instant::now(),
            events_folder: progress.events.clone(),
            events: None,
            precision: config.hyper.precision,
        }
    }

    /// Whether the folders are this process's still.
    ///
    /// Errors: those of [`Lock::check`].
    fn may_write(&self) -> Result<()> {
        self.lock.map_or(Ok(()), Lock::check)
    }

    /// Gives `network` the state in the checkpoint (rank 0's where there are several processes) and returns its position; `None` without
    /// a checkpoint.
    fn resume(
        &self,
        network: &mut dyn Network,
        group: Option<&dyn ProcessGroup>,
    ) -> Result<Option<Position>> {
        let mut found = if self.kept { self.checkpoint.read()? } else { None };
        if let Some(group) = group {
            found = group.broadcast(found);
        }
        let Some(bytes) = found else { return Ok(None) };
        let found = self.checkpoint.parse(&bytes)?;
        network.restore(&found.parameters, found.velocity)?;
        network.remember(Memory { steps: found.position.step.into(), ..found.memory })?;
        Ok(Some(found.position))
    }

    /// Notes where the epochs from here are trained.
    fn begin_sitting(&mut self, at: &mut Position) -> Result<()> {
        self.may_write()?;
        if at.ending.is_none() {
            let folder = self.checkpoint.folder();
            if self.kept && at.history.known() < at.epoch {
                at.history.extend(history::read(folder, at.epoch)?.unwrap_or_default());
            }
            at.history = at.history.until(at.epoch);
            let provenance = Some(Provenance::on(Device::current()?, self.precision)?);
            at.history.sittings.push(Sitting { first: at.epoch + 1, last: at.epoch, provenance });
            if self.kept {
                // Epochs after the checkpoint are removed from the log: this sitting trains them again.
                self.checkpoint.log(at)?;
                history::write(folder, &at.history.sittings)?;
            }
        }
        self.events = self.events_folder.as_ref().map(|f| Events::create(f, &at.rows)).transpose()?;
        Ok(())
    }

    /// Keeps an epoch, whose rows are `at`'s from `rows`; the checkpoint where it is due, or `now`.
    fn keep(&mut self, network: &dyn Network, at: &Position, rows: usize, now: bool) -> Result<()> {
        if let Some(events) = &mut self.events {
            events.append(&at.rows[rows..])?;
        }
        if self.kept {
            self.checkpoint.log(at)?;
            if self.saved.elapsed() >= self.every || now {
                self.checkpoint.save(network, at)?;
                self.saved = Instant::now();
            }
        }
        Ok(())
    }
}

/// What `work` says of the network with the averages in the place of its weights, where it has averages.
fn by_average<T>(network: &mut dyn Network, work: impl FnOnce(&dyn Network) -> Result<T>) -> Result<T> {
    network.exchange_average()?;
    let said = work(network);
    network.exchange_average()?;
    said
}
