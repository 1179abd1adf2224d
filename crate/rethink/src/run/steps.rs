//! The steps of an epoch, by whoever takes them: this process alone, several processes with a share of every batch each, or
//! workers with batches of their own.
//!
//! The path of a batch, alone:
//!
//! ```text
//! the epoch's order --chunks--> indices of a batch
//!   DataLoader::batch          crop, augment, whiten -> images (n x C x H x W), labels
//!   Network::train_step        forward with ForwardContext (dropout's draws), loss, backward, the optimiser's update
//!   StepOutcome                loss and correct, of before the update
//!   EpochLog::count            a row of the frame every `log_every` steps
//! ```

use crate::Result;
use crate::run::checkpoint::{Interval, PartialEpoch, Position};
use crate::run::config::RunConfig;
use crate::run::loader::{Choices, DataLoader};
use crate::run::row::LogRow;
use crate::run::streams::{DRAWS, stream};
use crate::run::watch::Watch;
use rethink_nn::distributed::asynchronous::{Taken, Worker};
use rethink_nn::distributed::{Parallelism, ProcessGroup, Share, synchronous};
use rethink_nn::interrupt;
use rethink_nn::models::{Network, StepOutcome};
use rethink_nn::ops::ForwardContext;
use rethink_nn::optim::SgdStep;
use std::sync::Arc;
use std::time::Instant;

/// What the steps of an epoch are made of.
pub(super) struct Epoch<'a> {
    pub config: &'a RunConfig,
    pub loader: &'a DataLoader,
    /// The training images in this epoch's order.
    pub order: &'a [u32],
    /// The epoch's random crops and changes.
    pub choices: &'a Choices,
    pub update: SgdStep,
    /// Steps before this epoch.
    pub first: u32,
    /// When it began.
    pub started: Instant,
    /// Batches that had their turn in an earlier sitting.
    pub done: usize,
    pub watch: Option<&'a Watch>,
}

impl Epoch<'_> {
    /// The images of each batch, with its number.
    fn batches(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.order.chunks(self.config.hyper.batch_size).enumerate()
    }

    /// How many batches it has.
    pub fn steps(&self) -> usize {
        self.order.len().div_ceil(self.config.hyper.batch_size)
    }

    /// The random numbers that layers draw at a step.
    fn context(&self, step: u32) -> ForwardContext {
        ForwardContext::training_step(self.config.seeds.order, stream(DRAWS, step))
    }
}

/// A batch after its turn: a step, or none where all its files were left out.
pub(super) struct Counted {
    /// Number of the batch within the epoch.
    index: usize,
    loss: f64,
    correct: usize,
    images: usize,
    /// Time since the epoch began.
    seconds: f64,
}

/// Who takes the steps.
pub(super) enum Steps {
    /// This process.
    Alone,
    /// Each process a share of every batch.
    Synchronous(Arc<dyn ProcessGroup>),
    /// Each process batches of its own.
    Asynchronous(Arc<dyn ProcessGroup>, Worker),
}

impl Steps {
    /// With `network` as it is at the run's start or checkpoint.
    ///
    /// Errors: those of [`Worker::new`].
    pub fn new(processes: &mut Parallelism, network: &dyn Network) -> Result<Steps> {
        Ok(match processes {
            Parallelism::Alone => Steps::Alone,
            Parallelism::Synchronous(group) => Steps::Synchronous(group.clone()),
            Parallelism::Asynchronous(group, make) => {
                Steps::Asynchronous(group.clone(), Worker::new(network, make)?)
            }
        })
    }

    /// Takes the steps of `epoch`, until `log` says that the run ends.
    ///
    /// Errors: those of [`DataLoader::batch`] and of the network.
    pub fn take(&mut self, network: &mut dyn Network, epoch: &Epoch, log: &mut EpochLog) -> Result<()> {
        match self {
            Steps::Alone => {
                in_turn(epoch, log, true, |order, context| step_alone(network, epoch, order, context))
            }
            Steps::Synchronous(group) => {
                in_turn(epoch, log, false, |order, context| {
                    step_together(network, epoch, group, order, context)
                })?;
                Ok(synchronous::same_weights(network, group.as_ref())?)
            }
            Steps::Asynchronous(group, worker) => by_workers(network, epoch, group.as_ref(), worker, log),
        }
    }

    /// After the run's last step.
    pub fn close(self) {
        if let Steps::Asynchronous(_, worker) = self {
            worker.close();
        }
    }
}

/// The plain loop: `step` on the images of each batch, in turn; it says what came of it and how many images those were. One
/// process alone may leave within the epoch.
fn in_turn(
    epoch: &Epoch,
    log: &mut EpochLog,
    may_leave: bool,
    mut step: impl FnMut(&[u32], ForwardContext) -> Result<(StepOutcome, usize)>,
) -> Result<()> {
    let mut number = epoch.first;
    for (index, order) in epoch.batches().skip(epoch.done) {
        let (outcome, images) = step(&epoch.loader.present(order), epoch.context(number))?;
        number += u32::from(images > 0);
        if !log.count(Counted::now(epoch, index, outcome, images)) {
            break;
        }
        if let Some(watch) = epoch.watch {
            log.show(watch, index + 1);
        }
        if may_leave && interrupt::is_wanted() && index + 1 < epoch.steps() {
            log.leave(index + 1);
            break;
        }
    }
    Ok(())
}

/// A step on the training images `order`, and of how many images it was.
fn step_alone(
    network: &mut dyn Network,
    epoch: &Epoch,
    order: &[u32],
    context: ForwardContext,
) -> Result<(StepOutcome, usize)> {
    // A device that keeps the images crops and changes them itself.
    if let Some((kept, labels)) = epoch.loader.views(order, epoch.choices) {
        return Ok((network.train_views(&kept, &labels, epoch.update, context)?, labels.len()));
    }
    let (images, labels) = epoch.loader.batch(order, epoch.choices)?;
    if labels.is_empty() {
        return Ok((NO_STEP, 0));
    }
    Ok((network.train_step(images, &labels, epoch.update, context)?, labels.len()))
}

/// Of a batch without an image.
const NO_STEP: StepOutcome = StepOutcome { loss: 0.0, correct: 0 };

/// A step on this process's share of the training images `order`, and of how many images all shares are.
fn step_together(
    network: &mut dyn Network,
    epoch: &Epoch,
    group: &Arc<dyn ProcessGroup>,
    order: &[u32],
    context: ForwardContext,
) -> Result<(StepOutcome, usize)> {
    if order.is_empty() {
        return Ok((NO_STEP, 0));
    }
    let share = Share::new(group, order.len());
    let (images, labels) = epoch.loader.batch(&order[share.images.clone()], epoch.choices)?;
    Ok((synchronous::step(network, images, &labels, epoch.update, context, &share)?, order.len()))
}

fn by_workers(
    network: &mut dyn Network,
    epoch: &Epoch,
    group: &dyn ProcessGroup,
    worker: &mut Worker,
    log: &mut EpochLog,
) -> Result<()> {
    let size = epoch.config.hyper.batch_size;
    let batch = |index: usize| -> Result<_> {
        let order = &epoch.order[index * size..epoch.order.len().min((index + 1) * size)];
        let (images, labels) = epoch.loader.batch(order, epoch.choices)?;
        Ok((images, labels, epoch.context(epoch.first + index as u32)))
    };
    let taken = worker.epoch(network, group, epoch.steps(), epoch.update, &batch)?;
    let mut latest = 0.0f64;
    for ((index, order), Taken { loss, correct, seconds }) in epoch.batches().zip(taken) {
        latest = latest.max(seconds);
        let images = epoch.loader.present(order).len();
        if !log.count(Counted { index, loss, correct, images, seconds: latest }) {
            break;
        }
    }
    Ok(())
}

impl Counted {
    fn now(epoch: &Epoch, index: usize, outcome: StepOutcome, images: usize) -> Counted {
        let seconds = epoch.started.elapsed().as_secs_f64();
        Counted { index, loss: f64::from(outcome.loss), correct: outcome.correct, images, seconds }
    }
}

/// What an epoch's steps have shown so far.
pub(super) struct EpochLog<'a> {
    at: &'a mut Position,
    log_every: usize,
    /// Batches of the epoch.
    steps: usize,
    rate: f64,
    /// Seconds before this epoch.
    before: f64,
    interval: Interval,
    /// Rows that a [`Watch`] has.
    shown: usize,
    /// How far it came, where it was left early.
    pub left: Option<PartialEpoch>,
    /// How many images were classified as labelled, each before its own update, and how many there were.
    pub correct: usize,
    pub seen: usize,
    /// The last loss was infinite or not a number.
    pub diverged: bool,
}

impl EpochLog<'_> {
    /// At the beginning of an epoch of so many batches, with the learning rate `rate`.
    pub fn new<'a>(at: &'a mut Position, config: &RunConfig, steps: usize, rate: f64) -> EpochLog<'a> {
        let (before, log_every, shown) = (at.seconds, config.log_every, at.rows.len());
        let PartialEpoch { interval, correct, seen, .. } = at.within.take().unwrap_or_default();
        let (left, diverged) = (None, false);
        EpochLog { at, log_every, steps, rate, before, interval, shown, left, correct, seen, diverged }
    }

    /// Tells `watch` that so many batches have had their turn.
    fn show(&mut self, watch: &Watch, batches: usize) {
        watch.step(self.at.epoch, batches, self.steps);
        if self.at.rows.len() > self.shown {
            watch.rows(&self.at.rows[self.shown..]);
            self.shown = self.at.rows.len();
        }
    }

    /// Leaves the epoch after so many batches.
    fn leave(&mut self, batches: usize) {
        let (correct, seen, interval) = (self.correct, self.seen, std::mem::take(&mut self.interval));
        self.left = Some(PartialEpoch { batches, correct, seen, interval });
    }

    /// Counts a step; false where the run ends with it.
    fn count(&mut self, counted: Counted) -> bool {
        let Counted { index, loss, correct, images, seconds } = counted;
        self.at.step += u32::from(images > 0);
        self.correct += correct;
        self.seen += images;
        self.diverged = !loss.is_finite();
        let left = self.steps - index - 1;
        if let Some(Means { loss, batch_accuracy }) =
            self.interval.add((loss, correct), images, self.log_every, left)
        {
            self.at.rows.push(LogRow {
                step: self.at.step,
                epoch: self.at.epoch,
                loss,
                batch_accuracy,
                train_accuracy: None,
                test_accuracy: None,
                train_top5: None,
                test_top5: None,
                learning_rate: self.rate,
                seconds: self.before + seconds,
            });
        }
        !self.diverged
    }
}

/// What a row has of its interval.
struct Means {
    /// In nats, over the steps.
    loss: f64,
    /// Over the images, 0 to 1.
    batch_accuracy: f64,
}

impl Interval {
    /// Counts a batch of `images`; one without any is none. Gives the interval's means where it ends: it has `log_every`
    /// steps or the epoch, with `left` steps to go, ends.
    fn add(
        &mut self,
        (loss, correct): (f64, usize),
        images: usize,
        log_every: usize,
        left: usize,
    ) -> Option<Means> {
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
        Some(Means { loss: loss / f64::from(batches as u32), batch_accuracy: correct as f64 / seen as f64 })
    }
}
