//! The training loop (appendix A): SGD over a resident data set, a frame of what happened, and
//! checkpoints from which a killed run goes on as if it had never stopped.

use crate::data::Dataset;
use crate::data::imagenet::LeftOut;
use crate::run::config::{Parallel, RunConfig};
use crate::run::history::{self, History, Sitting};
use crate::run::loader::{self, Accuracy, DataLoader};
use crate::run::lock::Lock;
use crate::run::provenance::Provenance;
use crate::run::row::{LogRow, StopReason};
use crate::run::stopping::{self, Fit};
use crate::run::streams::{DRAWS, ORDER, epoch_stream};
use crate::run::strict;
use crate::run::tensorboard::Events;
use crate::{Error, Result};
use rand::seq::SliceRandom;
use rethink_nn::device::Device;
use rethink_nn::distributed::asynchronous::{Taken, Worker};
use rethink_nn::distributed::{Parallelism, Share, synchronous};
use rethink_nn::models::plan::Layer;
use rethink_nn::models::{Network, Parameter, StepOutcome};
use rethink_nn::ops::ForwardContext;
use rethink_nn::optim::DecayOn;
use rethink_nn::optim::{Memory, SgdStep};
use rethink_nn::text::hex;
use rethink_nn::threads;
use rethink_plot::files;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
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
    /// Leave after this epoch's checkpoint, as a kill would; for tests.
    pub leave_after: Option<u32>,
}

impl<'a> Progress<'a> {
    /// Keeps nothing, tells `on_epoch`.
    pub fn quiet(on_epoch: &'a mut dyn FnMut(&LogRow)) -> Progress<'a> {
        let (folder, lock, events, leave_after) = (None, None, None, None);
        Progress { folder, lock, events, checkpoint_every: Duration::MAX, on_epoch, leave_after }
    }
}

struct DataSizes {
    train: usize,
    test: usize,
}

/// Whether `config` can be trained on `data`: its values, its images, its network.
///
/// Errors: [`Error::Argument`] for a value out of its range or for other data; those of
/// [`rethink_nn::models::ModelKind::plan`].
pub fn check(config: &RunConfig, data: &Dataset) -> Result<()> {
    sizes(config, data)?;
    plan(config, data).map(|_| ())
}

/// Checks the configuration's values against the data, before anything is spent.
fn sizes(config: &RunConfig, data: &Dataset) -> Result<DataSizes> {
    let operation = "training run";
    let hyper = &config.hyper;
    let (train, test) = (config.data.train, config.data.test);
    let problem = if config.data.fingerprint != data.fingerprint {
        format!("configured for {}, given {data:?}", config.data.title)
    } else if train == 0 || train > data.train.len() || test == 0 || test > data.test.len() {
        format!("{train} training and {test} test images of {} and {}", data.train.len(), data.test.len())
    } else if let Some(problem) = hyper.problem() {
        problem
    } else if train
        .div_ceil(hyper.batch_size)
        .checked_mul(hyper.epochs)
        .is_none_or(|all| u32::try_from(all).is_err())
    {
        format!(
            "{} epochs of {} steps each: more than {} in all",
            hyper.epochs,
            train.div_ceil(hyper.batch_size),
            u32::MAX
        )
    } else if hyper.fitted_epochs == 0 {
        "fitted after 0 epochs in a row: 1 or more".into()
    } else if config.log_every == 0 || config.eval_every == 0 {
        format!(
            "a row every {} steps, a test every {} epochs: none may be 0",
            config.log_every, config.eval_every
        )
    } else if let (Some(Parallel::Asynchronous { .. }), false) =
        (config.parallel, hyper.optimizer.is_sgd() && hyper.average.is_none())
    {
        let option = if hyper.optimizer.is_sgd() { "average" } else { "optimizer rmsprop" };
        format!("{option} is not for asynchronous workers, whose server keeps weights and velocities alone")
    } else if let Some(problem) = config.corruption.problem() {
        problem
    } else {
        return Ok(DataSizes { train, test });
    };
    Err(Error::argument(operation, problem))
}

/// The network of a configuration, at its start, on the device that is trained on.
///
/// Errors: those of [`rethink_nn::models::ModelKind::plan`] and [`Device::place`].
pub fn network(config: &RunConfig, data: &Dataset) -> Result<Box<dyn Network>> {
    let (plan, input) = plan(config, data)?;
    let network = config.model.build_plan(plan, input, config.hyper.init, config.seeds.init)?;
    let mut network = Device::current()?.take(network)?;
    network.set_rules(config.hyper.rules());
    Ok(network)
}

/// The layers of a configuration's network, and the height, width and channels of what it sees.
fn plan(config: &RunConfig, data: &Dataset) -> Result<(Vec<Layer>, [usize; 3])> {
    // Photographs have three colours, and so has what is seen as they are.
    let channels = if loader::as_photographs(config, data) { 3 } else { data.shape[0] };
    let input = [config.input, config.input, channels];
    let mut plan = config.model.plan(input, data.classes.len(), config.width)?;
    if config.hyper.without_dropout {
        plan.retain(|layer| !matches!(layer, Layer::Dropout(_)));
    }
    let linears = plan.iter().filter(|layer| matches!(layer, Layer::Linear { .. })).count();
    if config.hyper.weight_decay > 0.0 && config.hyper.weight_decay_on == DecayOn::Fc && linears < 2 {
        let problem = format!("weight decay on fc, but {} has no fully connected hidden layer", config.model);
        return Err(Error::argument("training run", problem));
    }
    Ok((plan, input))
}

/// Everything that a run carries from one epoch to the next, but for weights and velocities.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    pub epoch: u32,
    step: u32,
    seconds: f64,
    pub rows: Vec<LogRow>,
    pub ending: Option<StopReason>,
    /// Without sittings in checkpoints from before they were kept.
    #[serde(default)]
    pub history: History,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

/// What an interval of steps has seen so far.
#[derive(Default)]
struct Interval {
    loss: f64,
    correct: usize,
    seen: usize,
    batches: usize,
}

impl Interval {
    /// Counts a batch of `images`; one without any is none. Gives the interval's row where it ends: it has `log_every`
    /// steps or the epoch, with `left` steps to go, ends.
    fn add(
        &mut self,
        (loss, correct): (f64, usize),
        images: usize,
        log_every: usize,
        left: usize,
    ) -> Option<LogRow> {
        self.loss += loss;
        self.correct += correct;
        self.seen += images;
        self.batches += usize::from(images > 0);
        // The epoch's end closes the last interval, which is never shorter than half.
        let full = self.batches >= log_every && left >= log_every.div_ceil(2);
        if self.batches == 0 || !(full || left == 0 || !loss.is_finite()) {
            return None;
        }
        let Interval { loss, correct, seen, batches } = std::mem::take(self);
        Some(LogRow {
            step: 0,
            epoch: 0,
            loss: loss / f64::from(batches as u32),
            batch_accuracy: correct as f64 / seen as f64,
            train_accuracy: None,
            test_accuracy: None,
            train_top5: None,
            test_top5: None,
            learning_rate: 0.0,
            seconds: 0.0,
        })
    }
}

/// Trains `config` on `data`, in this process.
///
/// With a folder in `progress`, goes on from the checkpoint found there; the result is bit for bit
/// that of a run never interrupted, `seconds` apart. Returns `None` when told to leave early.
///
/// Errors: [`Error::Argument`] for a configuration that does not fit the data, those of
/// [`rethink_nn::models::ModelKind::build`], and I/O errors of the checkpoint.
pub fn train(config: &RunConfig, data: &Dataset, progress: Progress) -> Result<Option<TrainedRun>> {
    train_by(config, data, progress, &mut Parallelism::Alone)
}

/// The same by a crew, which is the one that `config.parallel` names. All its processes call it; rank 0's `progress`
/// is kept and told, the others' is [`Progress::quiet`].
///
/// Errors: as for [`train`]; [`Error::Argument`] for another crew than the configuration's.
pub fn train_by(
    config: &RunConfig,
    data: &Dataset,
    progress: Progress,
    crew: &mut Parallelism,
) -> Result<Option<TrainedRun>> {
    let fits = match (config.parallel, &*crew) {
        (None, Parallelism::Alone) => true,
        (Some(Parallel::Synchronous { ranks }), Parallelism::Synchronous(team)) => ranks == team.size(),
        (Some(Parallel::Asynchronous { workers }), Parallelism::Asynchronous(team, _)) => {
            workers == team.size()
        }
        _ => false,
    };
    if !fits {
        let wanted = config.parallel.map_or("one process".into(), Parallel::describe);
        let problem =
            format!("of {wanted}: `rethink run` trains with one process, `rethink-mpi run` with several");
        return Err(Error::argument("training run", problem));
    }
    let processes = crew.team().cloned();
    let team = processes.as_deref();
    let synchronous = processes.as_ref().filter(|_| matches!(crew, Parallelism::Synchronous(_)));
    let DataSizes { train, test } = sizes(config, data)?;
    let mut examples = DataLoader::new(config, data, train, test)?;
    let left_out = examples.check(team)?;
    let hyper = &config.hyper;
    let mut network = network(config, data)?;
    let mut at = Position { left_out, ..Position::default() };
    let checkpoint = progress.folder.as_ref().map(|f| Checkpoint::new(f.clone(), config.key()));
    let mut found = checkpoint.as_ref().map(Checkpoint::read).transpose()?.flatten();
    if let Some(team) = team {
        found = team.broadcast(found);
    }
    if let Some(bytes) = found {
        let of = Checkpoint::new(progress.folder.clone().unwrap_or_default(), config.key());
        let found = of.parse(&bytes)?;
        network.restore(&found.parameters, found.velocity)?;
        network.remember(Memory { steps: found.position.step.into(), ..found.memory })?;
        at = found.position;
    }
    if at.left_out != left_out {
        let said = |left: Option<LeftOut>| left.map_or("nothing left out".into(), LeftOut::describe);
        let (then, now) = (said(at.left_out), said(left_out));
        let folder = progress.folder.as_deref().unwrap_or(Path::new("its folder")).display();
        return Err(Error::Different {
            what: format!("{}: {now}, but the run began with {then}", data.title),
            remedy: format!("bring the files back, or remove {folder} to start this run again"),
        });
    }
    let may_write = || progress.lock.map_or(Ok(()), Lock::check);
    may_write()?;
    if at.ending.is_none() {
        if let Some(folder) = progress.folder.as_ref().filter(|_| at.history.known() < at.epoch) {
            at.history.extend(history::read(folder, at.epoch)?.unwrap_or_default());
        }
        at.history = at.history.until(at.epoch);
        let provenance = Some(Provenance::on(Device::current()?)?);
        at.history.sittings.push(Sitting { first: at.epoch + 1, last: at.epoch, provenance });
        if let Some(checkpoint) = &checkpoint {
            // Later epochs of an earlier sitting go from the log: they come again, in this one.
            checkpoint.log(&at)?;
            history::write(&checkpoint.folder, &at.history.sittings)?;
        }
    }
    let mut worker = match &mut *crew {
        Parallelism::Asynchronous(_, make) => Some(Worker::new(network.as_ref(), make)?),
        _ => None,
    };
    examples.keep_in(network.as_mut(), team.is_none())?;
    let examples = examples;
    let mut events = progress.events.as_ref().map(|f| Events::create(f, &at.rows)).transpose()?;
    let n = examples.len();
    let steps = n.div_ceil(hyper.batch_size);
    let mut saved = Instant::now();
    while at.ending.is_none() {
        let started = Instant::now();
        let seconds_before = at.seconds;
        let rows_before = at.rows.len();
        at.epoch += 1;
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.shuffle(&mut epoch_stream(config.seeds.order, ORDER, at.epoch));
        let choices = examples.choices(at.epoch)?;
        let rate =
            hyper.learning_rate * hyper.decay.powi(((at.epoch - 1) as usize / hyper.decay_every) as i32);
        let step = SgdStep {
            learning_rate: rate as f32,
            momentum: hyper.momentum as f32,
            weight_decay: hyper.weight_decay as f32,
        };
        let mut interval = Interval::default();
        let (mut epoch_correct, mut epoch_seen, mut diverged) = (0, 0, false);
        // Counts a step, or a batch of nothing but files that are no photographs; false where the run ends with it.
        let mut count =
            |at: &mut Position, index: usize, outcome: (f64, usize), images: usize, seconds: f64| {
                at.step += u32::from(images > 0);
                epoch_correct += outcome.1;
                epoch_seen += images;
                diverged = !outcome.0.is_finite();
                if let Some(row) = interval.add(outcome, images, config.log_every, steps - index - 1) {
                    let (step, epoch, seconds) = (at.step, at.epoch, seconds_before + seconds);
                    at.rows.push(LogRow { step, epoch, learning_rate: rate, seconds, ..row });
                }
                !diverged
            };
        let batches = || order.chunks(hyper.batch_size).enumerate();
        let draws =
            |step: u32| ForwardContext::training_step(config.seeds.order, DRAWS << 40 | u64::from(step));
        threads::awake(|| -> Result<()> {
            let Some(worker) = &mut worker else {
                for (index, order) in batches() {
                    let order = &examples.present(order)[..];
                    let pass = draws(at.step);
                    let (StepOutcome { loss, correct }, seen) = match synchronous {
                        Some(_) if order.is_empty() => (StepOutcome { loss: 0.0, correct: 0 }, 0),
                        Some(team) => {
                            let share = Share::new(team, order.len());
                            let (images, labels) = examples.batch(&order[share.images.clone()], &choices)?;
                            let outcome =
                                synchronous::step(network.as_mut(), images, &labels, step, pass, &share)?;
                            (outcome, order.len())
                        }
                        None => match examples.views(order, &choices) {
                            Some((views, labels)) => {
                                (network.train_views(&views, &labels, step, pass)?, labels.len())
                            }
                            None => {
                                let (images, labels) = examples.batch(order, &choices)?;
                                let outcome = match labels.len() {
                                    0 => StepOutcome { loss: 0.0, correct: 0 },
                                    _ => network.train_step(images, &labels, step, pass)?,
                                };
                                (outcome, labels.len())
                            }
                        },
                    };
                    let seconds = started.elapsed().as_secs_f64();
                    if !count(&mut at, index, (f64::from(loss), correct), seen, seconds) {
                        break;
                    }
                }
                return Ok(());
            };
            let Some(team) = team else { return Ok(()) };
            let first = at.step;
            let batch = |index: usize| -> Result<_> {
                let from = index * hyper.batch_size;
                let (images, labels) =
                    examples.batch(&order[from..n.min(from + hyper.batch_size)], &choices)?;
                Ok((images, labels, draws(first + index as u32)))
            };
            let taken = worker.epoch(network.as_mut(), team, steps, step, &batch)?;
            let mut latest = 0.0f64;
            for ((index, order), Taken { loss, correct, seconds }) in batches().zip(taken) {
                latest = latest.max(seconds);
                if !count(&mut at, index, (loss, correct), examples.present(order).len(), latest) {
                    break;
                }
            }
            Ok(())
        })?;
        if let Some(team) = synchronous {
            synchronous::same_weights(network.as_ref(), team.as_ref())?;
        }
        // A loss is taken before its step's update: what the epoch's last step ruined shows in the weights, or, where these
        // are numbers still, in the scores of an evaluation.
        let diverged = diverged || !network.is_finite()?;
        let last = stopping::is_last(config, at.epoch) || diverged;
        let network = network.as_mut();
        let on_training = |network: &mut dyn Network| {
            by_average(network, |network| examples.train_accuracy(network, team)).map(Some)
        };
        let on_test = |network: &mut dyn Network| {
            by_average(network, |network| examples.test_accuracy(network, team)).map(Some)
        };
        let nearly = epoch_correct as f64 >= stopping::NEARLY * epoch_seen as f64;
        let before = Fit::of(&at.rows[..rows_before]);
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
        at.seconds = seconds_before + started.elapsed().as_secs_f64();
        if let Some(sitting) = at.history.sittings.last_mut() {
            sitting.last = at.epoch;
        }
        if let Some(row) = at.rows[rows_before..].last_mut() {
            let (top1, top5) = (|a: Accuracy| a.top1, |a: Accuracy| a.top5);
            (row.train_accuracy, row.train_top5) = (measured.map(top1), measured.and_then(top5));
            (row.test_accuracy, row.test_top5) = (tested.map(top1), tested.and_then(top5));
            row.seconds = at.seconds;
            (progress.on_epoch)(row);
        }
        let leave = progress.leave_after.is_some_and(|epoch| at.epoch >= epoch) && at.ending.is_none();
        match (may_write(), at.ending) {
            (Ok(()), _) => {}
            (Err(lost), None) => return Err(lost),
            // What has come to its end is a result, which needs none of what is written here.
            (Err(_), Some(_)) => break,
        }
        if let Some(events) = &mut events {
            events.append(&at.rows[rows_before..])?;
        }
        if let Some(checkpoint) = &checkpoint {
            checkpoint.log(&at)?;
            if saved.elapsed() >= progress.checkpoint_every || leave {
                checkpoint.save(network, &at)?;
                saved = Instant::now();
            }
        }
        if leave {
            return Ok(None);
        }
    }
    if let Some(worker) = worker {
        worker.close();
    }
    let ending = at.ending.unwrap_or(StopReason::Completed);
    let parameters = by_average(network.as_mut(), |network| Ok(network.parameters()?))?;
    let (rows, history, parameter_count) = (at.rows, at.history, network.parameter_count());
    let classes = Some(data.classes.len());
    Ok(Some(TrainedRun { rows, ending, parameters, parameter_count, classes, history, left_out }))
}

/// What `work` says of the network with the averages in the place of its weights, where it has averages.
fn by_average<T>(network: &mut dyn Network, work: impl FnOnce(&dyn Network) -> Result<T>) -> Result<T> {
    network.exchange_average()?;
    let said = work(network);
    network.exchange_average()?;
    said
}

/// A run's unfinished state on disk: `checkpoint.safetensors`, whole or absent, and `log.csv`, to
/// which each epoch's rows are appended for whoever watches.
pub(crate) struct Checkpoint {
    folder: PathBuf,
    key: String,
}

pub(crate) struct Found {
    pub parameters: Vec<Parameter>,
    velocity: Vec<Vec<f32>>,
    memory: Memory,
    pub position: Position,
}

impl Checkpoint {
    /// In `folder`, of the run named `key`.
    pub fn new(folder: PathBuf, key: String) -> Checkpoint {
        Checkpoint { folder, key }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How far it is; 0 where there is none.
    pub fn epoch(&self) -> Result<u32> {
        let found = self.read()?.map(|bytes| self.parse(&bytes)).transpose()?;
        Ok(found.map_or(0, |found| found.position.epoch))
    }

    /// Writes the checkpoint that these bytes are.
    pub fn keep(&self, bytes: &[u8]) -> Result<()> {
        Ok(files::write_whole(&self.path(), bytes)?)
    }

    /// The checkpoint in `bytes`, of another run at `position`, as one of this run, which goes on from there.
    pub fn adopt(&self, bytes: &[u8], position: Position, history: History) -> Result<Vec<u8>> {
        let failed = |e: safetensors::SafeTensorError| Error::argument("take the checkpoint", e.to_string());
        let (_, header) = safetensors::SafeTensors::read_metadata(bytes).map_err(failed)?;
        let file = safetensors::SafeTensors::deserialize(bytes).map_err(failed)?;
        let tensors = file.tensors();
        let mut metadata = header.metadata().clone().unwrap_or_default();
        let position = Position { ending: None, history, ..position };
        let position = serde_json::to_string(&position).expect("plain values are JSON");
        metadata.extend([("key".to_string(), self.key.clone()), ("position".to_string(), position)]);
        let parts = tensors.iter().map(|(name, view)| (name.as_str(), view.data()));
        metadata.insert(CHECKSUM.into(), checksum(&metadata, parts));
        safetensors::serialize(tensors, Some(metadata)).map_err(failed)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("checkpoint.safetensors")
    }

    fn save(&self, network: &dyn Network, at: &Position) -> Result<()> {
        let parameters = network.parameters()?;
        let velocity = network.velocity()?;
        let metadata = HashMap::from([
            ("key".to_string(), self.key.clone()),
            ("position".to_string(), serde_json::to_string(at).expect("plain values are JSON")),
        ]);
        write_tensors(&self.path(), &parameters, &velocity, &network.memory()?, metadata)
    }

    fn log(&self, at: &Position) -> Result<()> {
        let path = self.folder.join(LOG);
        let mut text = String::from(
            "step,epoch,loss,batch_accuracy,train_accuracy,test_accuracy,learning_rate,seconds\n",
        );
        let optional = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
        for r in &at.rows {
            text += &format!(
                "{},{},{},{},{},{},{},{:.3}\n",
                r.step,
                r.epoch,
                r.loss,
                r.batch_accuracy,
                optional(r.train_accuracy),
                optional(r.test_accuracy),
                r.learning_rate,
                r.seconds
            );
        }
        // Rewritten whole: rows later than a checkpoint come again after a kill, never twice.
        Ok(files::write_whole(&path, text.as_bytes())?)
    }

    /// The last checkpoint; `None` where there is none.
    pub fn read(&self) -> Result<Option<Vec<u8>>> {
        let path = self.path();
        match fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(Error::io("read the checkpoint", &path)),
        }
    }

    /// What a checkpoint holds.
    pub fn parse(&self, bytes: &[u8]) -> Result<Found> {
        let (operation, path) = ("read the checkpoint", self.path());
        let malformed = |problem: String| {
            let remedy = format!("{problem}; remove {} to start this run again", self.folder.display());
            Error::format(operation, &path, remedy)
        };
        let (_, header) =
            safetensors::SafeTensors::read_metadata(bytes).map_err(|e| malformed(e.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        if metadata.get("key") != Some(&self.key) {
            return Err(malformed("it belongs to another run".into()));
        }
        let position = metadata.get("position").map(String::as_str).unwrap_or_default();
        let position: Position = strict::from_json(position).map_err(malformed)?;
        let file = safetensors::SafeTensors::deserialize(bytes).map_err(|e| malformed(e.to_string()))?;
        let tensors = file.tensors();
        let parts = tensors.iter().map(|(name, view)| (name.as_str(), view.data()));
        if metadata.get(CHECKSUM) != Some(&checksum(&metadata, parts)) {
            return Err(malformed("its checksum is not that of what it holds: it has been damaged".into()));
        }
        let (parameters, velocity, memory) = read_tensors(tensors).map_err(malformed)?;
        Ok(Found { parameters, velocity, memory, position })
    }
}

const LOG: &str = "log.csv";

/// The rows of the log of the unfinished run in `folder`, without top-5 accuracies, seconds to three decimals; none where
/// there is no log, or it is not whole.
pub(crate) fn read_log(folder: &Path) -> Result<Vec<LogRow>> {
    let path = folder.join(LOG);
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(Error::io("read the run's log", &path))?,
    };
    let optional = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let [step, epoch, loss, batch, train, test, rate, seconds] = cells[..] else { return None };
        Some(LogRow {
            step: step.parse().ok()?,
            epoch: epoch.parse().ok()?,
            loss: loss.parse().ok()?,
            batch_accuracy: batch.parse().ok()?,
            train_accuracy: optional(train)?,
            test_accuracy: optional(test)?,
            train_top5: None,
            test_top5: None,
            learning_rate: rate.parse().ok()?,
            seconds: seconds.parse().ok()?,
        })
    };
    let rows: Option<Vec<LogRow>> = text.lines().skip(1).map(row).collect();
    rows.ok_or_else(|| Error::format("read the run's log", &path, "a line is none of a log"))
}

/// The name under which a file's metadata has the SHA-256 of its tensors and its other metadata.
const CHECKSUM: &str = "sha256";

/// SHA-256 of metadata and tensors, each with its name and length, in the order of the names.
fn checksum<'a>(
    metadata: &HashMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> String {
    let mut parts: Vec<(&str, &[u8])> =
        metadata.iter().filter(|(k, _)| *k != CHECKSUM).map(|(k, v)| (k.as_str(), v.as_bytes())).collect();
    parts.sort_unstable();
    let mut tensors: Vec<(&str, &[u8])> = tensors.collect();
    tensors.sort_unstable_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    for (name, bytes) in parts.into_iter().chain(tensors) {
        for part in [name.as_bytes(), bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hex(&hash.finalize())
}

/// Weights (and velocities, under `velocity.NAME`, mean squares, under `squares.NAME`, averages, under `average.NAME`) as
/// one safetensors file, whole or absent, with a checksum.
pub fn write_tensors(
    path: &Path,
    parameters: &[Parameter],
    velocity: &[Vec<f32>],
    memory: &Memory,
    mut metadata: HashMap<String, String>,
) -> Result<()> {
    let operation = "write the tensors";
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let mut tensors = Vec::new();
    for (index, p) in parameters.iter().enumerate() {
        // safetensors sorts by name; the number keeps the order.
        tensors.push((format!("{index:03}.{}", p.name), p.shape.clone(), bytes(&p.values)));
        for (kind, all) in KINDS.iter().zip([velocity, &memory.squares, &memory.average]) {
            if let Some(v) = all.get(index).filter(|v| !v.is_empty()) {
                tensors.push((format!("{kind}.{index:03}.{}", p.name), p.shape.clone(), bytes(v)));
            }
        }
    }
    let parts = tensors.iter().map(|(name, _, data)| (name.as_str(), data.as_slice()));
    metadata.insert(CHECKSUM.into(), checksum(&metadata, parts));
    let views = tensors.iter().map(|(name, shape, data)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data);
        view.map(|view| (name.clone(), view))
    });
    let failed = |e: safetensors::SafeTensorError| Error::argument(operation, e.to_string());
    let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(failed)?;
    Ok(files::write_whole(path, &safetensors::serialize(views, Some(metadata)).map_err(failed)?)?)
}

/// What a tensor that is no parameter begins with.
const KINDS: [&str; 3] = ["velocity", "squares", "average"];

type Tensors = (Vec<Parameter>, Vec<Vec<f32>>, Memory);

fn read_tensors(
    tensors: Vec<(String, safetensors::tensor::TensorView)>,
) -> std::result::Result<Tensors, String> {
    let mut parameters = Vec::new();
    let mut others: [Vec<Vec<f32>>; 3] = Default::default();
    let kind = |name: &str| {
        let (first, rest) = name.split_once('.')?;
        Some((KINDS.iter().position(|kind| *kind == first)?, rest.to_string()))
    };
    let (mut rest, mut own): (Vec<_>, Vec<_>) =
        tensors.into_iter().partition(|(name, _)| kind(name).is_some());
    own.sort_by(|a, b| a.0.cmp(&b.0));
    rest.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, view) in own.into_iter().chain(rest) {
        if view.dtype() != safetensors::Dtype::F32 {
            return Err(format!("tensor {name} is of type {:?}", view.dtype()));
        }
        let (chunks, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = chunks.iter().map(|b| f32::from_le_bytes(*b)).collect();
        if let Some((kind, rest)) = kind(&name) {
            // Numbered as the parameters are, which all have come before. Those that have none, as running statistics
            // have no velocity, keep an empty list.
            let index = rest.split_once('.').and_then(|(number, _)| number.parse().ok());
            others[kind].resize(parameters.len(), Vec::new());
            let slot = index.and_then(|i: usize| others[kind].get_mut(i));
            *slot.ok_or_else(|| format!("tensor {name} belongs to no parameter"))? = values;
        } else {
            let name = name.split_once('.').map_or(name.as_str(), |(_, rest)| rest).to_string();
            parameters.push(Parameter { name, shape: view.shape().to_vec(), values });
        }
    }
    let [velocity, squares, average] = others;
    Ok((parameters, velocity, Memory { squares, average, steps: 0 }))
}
