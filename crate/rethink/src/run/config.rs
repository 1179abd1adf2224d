//! What a run is: every choice that can change its numbers, and the key made of them.

use crate::data::DataId;
use crate::data::augmentation::Augmentation;
use crate::data::corruption::Corruption;
use crate::{Error, Result};
use rethink_nn::image::CROP;
use rethink_nn::models::{Init, ModelKind};
use rethink_nn::optim::{DecayOn, NORM_MEMORY, Optimizer, Rules, is_share, is_size};
use rethink_nn::precision::Precision;
use rethink_nn::text::{counted, every, hex, thousands};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::str::FromStr;

/// How much of the paper's experiment is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Seconds: shows that everything works, not what the paper claims.
    Smoke,
    /// Minutes on a laptop: the paper's orderings show.
    Small,
    /// The paper's sizes, epochs and hyper-parameters.
    Paper,
}

impl Scale {
    /// The name on the command line: `smoke`, `small` or `paper`.
    pub fn name(self) -> &'static str {
        match self {
            Scale::Smoke => "smoke",
            Scale::Small => "small",
            Scale::Paper => "paper",
        }
    }
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scale {
    type Err = Error;
    fn from_str(text: &str) -> Result<Scale> {
        [Scale::Smoke, Scale::Small, Scale::Paper]
            .into_iter()
            .find(|s| s.name() == text)
            .ok_or_else(|| Error::argument("scale", format!("{text:?} is none of smoke, small, paper")))
    }
}

/// One seed for each source of chance, so that each can be varied alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeds {
    /// Of the corruption: which labels, which permutation, which noise.
    pub data: u64,
    /// Of the initial weights.
    pub init: u64,
    /// Of the order of the examples in each epoch, and of augmentation.
    pub order: u64,
}

impl Default for Seeds {
    fn default() -> Self {
        Seeds { data: 1, init: 2, order: 3 }
    }
}

impl Seeds {
    /// Three different seeds for repetition number `repeat` (0, 1, ...) of an experiment.
    pub fn repeat(repeat: u64) -> Seeds {
        Seeds { data: 3 * repeat + 1, init: 3 * repeat + 2, order: 3 * repeat + 3 }
    }
}
/// Optimisation, after appendix A of the paper. What the paper leaves open is a field too.
///
/// **Published keys.** The JSON of this is part of every run's key. A new field needs the value that all runs had before it as its
/// default, and is left out of the JSON where it has that: `#[serde(default, skip_serializing_if)]`. Without that, every
/// published run has another key, under which nobody finds it. Names in the JSON and order of the fields stay; a field that is
/// renamed keeps its name there by `#[serde(rename)]`. `tests/schema.rs` holds the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Images a step. Not stated in the paper; 128 in most reproductions.
    pub batch_size: usize,
    /// Initial learning rate: 0.1 for Inception, 0.01 for Alexnet and MLPs.
    pub learning_rate: f64,
    /// Momentum, 0.9.
    pub momentum: f64,
    /// Factor on the learning rate, above 0, at most 1: 0.95 in the paper.
    #[serde(rename = "decay")]
    pub rate_decay: f64,
    /// Epochs between two applications of `rate_decay`: 1 in the paper. Smaller data sets have shorter
    /// epochs; with fewer images, scale `paper` and `smoke` keep the number of *steps* between decays near the paper's 391
    /// (Inception without batch normalisation: at most 2 epochs), `small` has 4 epochs.
    #[serde(rename = "decay_every")]
    pub rate_decay_every: usize,
    /// L2 coefficient: so many times the weight is added to its gradient; 0 switches it off.
    pub weight_decay: f64,
    /// What `weight_decay` acts on.
    #[serde(default, skip_serializing_if = "DecayOn::is_all")]
    pub weight_decay_on: DecayOn,
    /// How the weights start. Not stated in the paper.
    pub init: Init,
    /// Train on random 28x28 crops, test on the centre crop. Photographs: train on random areas, test on the central
    /// 87.5 % ([`crate::data::preprocessing::Area`]).
    pub random_crop: bool,
    /// Other random changes of the training images.
    #[serde(default, skip_serializing_if = "Augmentation::is_off")]
    pub augment: Augmentation,
    /// Leave out the network's dropout (Inception V3 has one; table 2).
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_dropout: bool,
    /// Batch normalisation's memory: the share of a running mean or variance that is kept at a step, 0 to below 1. It
    /// changes no weight, only what the network is tested with. Not stated in the paper; TF-Slim's is 0.9997, in places
    /// 0.999, which need thousands of steps before a network can be tested.
    #[serde(default = "norm_memory", skip_serializing_if = "is_norm_memory")]
    pub norm_memory: f64,
    /// What a step does with a gradient.
    #[serde(default, skip_serializing_if = "Optimizer::is_sgd")]
    pub optimizer: Optimizer,
    /// Share of every label that is spread over all classes alike, 0 to below 1 (Szegedy et al. 2016: 0.1 for Inception
    /// V3); on an auxiliary classifier's labels too. The loss of a run's frame is the one with smoothed labels, whose
    /// least value is above 0: 0.50 nats for 0.1 and ten classes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// Exponential moving average of weights and running statistics with which the network is tested: the share that is
    /// kept at a step, 0 to below 1 (0.9999 for Inception V3), at step `t` (from 0) at most `(1 + t) / (10 + t)`, as
    /// TensorFlow's. `None`: tested with the weights as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// At most this many epochs.
    pub epochs: usize,
    /// Stop when the network is fitted: at the end of an epoch, once the whole training set was right in
    /// `fitted_epochs` epochs in a row.
    pub stop_when_fitted: bool,
    /// How many; 1 in a run that goes on, where it is not used. One epoch is often a lucky one, and which it is depends on
    /// what is compared (`crate/notes/fidelity.md`).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub fitted_epochs: usize,
    /// What products round their factors to. Bit for bit repeatable with either, on processors alone.
    #[serde(default, skip_serializing_if = "Precision::is_float32")]
    pub precision: Precision,
}

impl TrainConfig {
    /// What holds for all steps of the run.
    pub fn rules(&self) -> Rules {
        Rules {
            decay_on: self.weight_decay_on,
            norm_memory: self.norm_memory as f32,
            optimizer: self.optimizer,
            label_smoothing: self.label_smoothing as f32,
            average: self.average.map(|average| average as f32),
            precision: self.precision,
        }
    }

    /// All epochs are run, whatever the training accuracy.
    pub fn keep_going(&mut self) {
        (self.stop_when_fitted, self.fitted_epochs) = (false, 1);
    }
}

impl TrainConfig {
    /// What is wrong with its numbers: each is checked in the type that it is used in, single precision for all that
    /// a step computes with.
    pub(crate) fn problem(&self) -> Option<String> {
        let TrainConfig {
            batch_size,
            epochs,
            learning_rate,
            momentum,
            rate_decay,
            rate_decay_every,
            weight_decay,
            ..
        } = *self;
        let TrainConfig { norm_memory, optimizer, label_smoothing, average, .. } = *self;
        let single = "in single precision";
        let positive = |count: usize, text: String| (count == 0).then(|| format!("{text} (1 or more)"));
        let share = |value: f64, text: String| {
            (!is_share(value)).then(|| format!("{text} (0 to below 1, {single} too)"))
        };
        let wrong = |is: bool, text: String| is.then_some(text);
        let problems = [
            positive(batch_size, format!("batch size {batch_size}")),
            positive(epochs, format!("{epochs} epochs")),
            wrong(i32::try_from(epochs).is_err(), format!("{epochs} epochs (at most {})", i32::MAX)),
            wrong(
                !is_size(learning_rate),
                format!("learning rate {learning_rate} (above 0, and neither 0 nor infinite {single})"),
            ),
            wrong(
                !(rate_decay > 0.0 && rate_decay <= 1.0),
                format!("decay {rate_decay} of the learning rate (above 0, at most 1)"),
            ),
            positive(rate_decay_every, format!("decay every {rate_decay_every} epochs")),
            share(momentum, format!("momentum {momentum}")),
            wrong(
                !(weight_decay == 0.0 || is_size(weight_decay)),
                format!("weight decay {weight_decay} (0, or above and neither 0 nor infinite {single})"),
            ),
            share(norm_memory, format!("batch norm's memory (norm-memory) {norm_memory}")),
            share(label_smoothing, format!("label smoothing {label_smoothing}")),
            average.and_then(|average| share(average, format!("average {average} of the weights"))),
            optimizer.problem(),
            self.augment.problem(),
        ];
        let problems: Vec<String> = problems.into_iter().flatten().collect();
        (!problems.is_empty()).then(|| problems.join("; "))
    }

    /// Every field, also those that the JSON leaves out at their defaults. For readers; keys are made of the JSON itself.
    pub fn shown(&self) -> serde_json::Value {
        let mut json = serde_json::json!(self);
        json["weight_decay_on"] = serde_json::json!(self.weight_decay_on);
        json["augment"] = serde_json::json!(self.augment);
        json["without_dropout"] = self.without_dropout.into();
        json["norm_memory"] = self.norm_memory.into();
        json["optimizer"] = serde_json::json!(self.optimizer);
        json["label_smoothing"] = self.label_smoothing.into();
        json["average"] = serde_json::json!(self.average);
        json["fitted_epochs"] = self.fitted_epochs.into();
        json["precision"] = serde_json::json!(self.precision);
        json
    }

    /// What few runs have: changes of the images beside crops, no dropout, [`TrainConfig::choices`].
    pub fn further(&self) -> Vec<String> {
        let augment = (!self.augment.is_off()).then(|| self.augment.describe());
        let dropout = self.without_dropout.then(|| "without dropout".to_string());
        augment.into_iter().chain(dropout).chain(self.choices()).collect()
    }

    /// What it has of the choices that most runs leave alone: "RMSProp (decay 0.9, epsilon 1), label smoothing 0.1".
    pub fn choices(&self) -> Vec<String> {
        let mut all = Vec::new();
        if !self.optimizer.is_sgd() {
            all.push(self.optimizer.title());
        }
        if self.label_smoothing != 0.0 {
            all.push(format!("label smoothing {}", self.label_smoothing));
        }
        if let Some(average) = self.average {
            all.push(format!("weights averaged with {average}"));
        }
        if self.norm_memory != NORM_MEMORY {
            all.push(format!("batch norm's memory {}", self.norm_memory));
        }
        if !self.precision.is_float32() {
            all.push(format!("products in {}", self.precision));
        }
        all
    }
}

fn norm_memory() -> f64 {
    NORM_MEMORY
}

fn is_norm_memory(memory: &f64) -> bool {
    *memory == NORM_MEMORY
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// How several processes train one model (`rethink-mpi`). Part of a run's key: names of variants and fields stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum Parallel {
    /// Each takes its share of every batch, and all make the same update. The sums over a batch are added in another
    /// order than one process adds them, so that frames differ in the last digits; equal configurations give equal frames.
    Synchronous {
        /// Processes, 2 or more.
        ranks: usize,
    },
    /// Each takes a batch of its own, and changes weights that others have changed meanwhile (the paper's appendix A:
    /// "a distributed asynchronous SGD system with 50 workers"). Equal configurations do not give equal frames.
    Asynchronous {
        /// Processes.
        workers: usize,
    },
}

impl Parallel {
    /// "4 synchronous ranks", "50 asynchronous workers".
    pub fn describe(self) -> String {
        match self {
            Parallel::Synchronous { ranks } => format!("{ranks} synchronous ranks"),
            Parallel::Asynchronous { workers } => format!("{workers} asynchronous workers"),
        }
    }
}

/// A whole run. Two equal configurations give equal frames (but for [`Parallel::Asynchronous`]); [`RunConfig::key`]
/// names the file.
///
/// **Published keys.** As for [`TrainConfig`]: a new field is skipped where it has the value that all runs had before, names in the
/// JSON and order stay, and so do the names of the variants of every enum in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// [`SCHEMA`] of the code that made it.
    pub schema: u32,
    /// Data set, by content.
    pub data: DataId,
    /// Architecture.
    pub model: ModelKind,
    /// Factor on the channels and units of every hidden layer; 1 in the paper.
    #[serde(default = "unchanged", rename = "width")]
    pub width_factor: f64,
    /// Height and width of what the network sees: 28 for small images (a crop), 299 for photographs in the paper.
    #[serde(default = "cropped", skip_serializing_if = "is_crop")]
    pub input: usize,
    /// Section 2.1's modification of labels or images.
    pub corruption: Corruption,
    /// Optimisation.
    pub hyper: TrainConfig,
    /// Seeds.
    pub seeds: Seeds,
    /// Steps between two rows of the frame (an epoch's end adds one too).
    pub log_every: usize,
    /// Epochs between two evaluations on the test set.
    pub eval_every: usize,
    /// Several processes; `None`: one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<Parallel>,
}

/// The width of runs that were recorded before it could be chosen.
fn unchanged() -> f64 {
    1.0
}

fn cropped() -> usize {
    CROP
}

fn is_crop(input: &usize) -> bool {
    *input == CROP
}

fn one() -> usize {
    1
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

fn is_false(on: &bool) -> bool {
    !on
}

/// The present [`RunConfig::schema`].
///
/// It is part of every run's key: raised, no stored run is found any more, and everything is trained anew (files of the old schema
/// stay readable). **Raise it** when the same configuration gives other numbers than before and the old ones are to count no
/// longer: another draw of random numbers, a corrected formula. **Do not raise it** for a new field, variant, model or data set:
/// those leave the keys of what there is as they are, if the field is skipped where it has its default.
pub const SCHEMA: u32 = 1;

/// What it is, a line a subject; `{:?}` has every field.
impl std::fmt::Display for RunConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RunConfig { data, model, width_factor, input, corruption, hyper, seeds, .. } = self;
        writeln!(f, "{}, {}", model.title(), corruption.title())?;
        writeln!(
            f,
            "data:   {}, n = {}, {}",
            data.title,
            thousands(data.train),
            counted(data.test, "test image")
        )?;
        writeln!(
            f,
            "inputs: {input}x{input} pixels{}",
            if hyper.random_crop { ", random crops" } else { "" }
        )?;
        writeln!(f, "width:  {width_factor} of the paper's")?;
        writeln!(
            f,
            "steps:  {} each, learning rate {} (times {} {}), momentum {}",
            counted(hyper.batch_size, "image"),
            hyper.learning_rate,
            hyper.rate_decay,
            every(hyper.rate_decay_every, "epoch"),
            hyper.momentum
        )?;
        let decay = (hyper.weight_decay > 0.0)
            .then(|| format!("weight decay {} on {}", hyper.weight_decay, hyper.weight_decay_on.name()));
        let more: Vec<String> = decay.into_iter().chain(hyper.further()).collect();
        if !more.is_empty() {
            writeln!(f, "with:   {}", more.join(", "))?;
        }
        let fitted = match (hyper.stop_when_fitted, hyper.fitted_epochs) {
            (false, _) => ", whatever the training accuracy".to_string(),
            (true, 1) => " at most, or as soon as every training image is right".into(),
            (true, epochs) => format!(" at most, or {epochs} in a row with every training image right"),
        };
        writeln!(f, "ends:   after {}{fitted}", counted(hyper.epochs, "epoch"))?;
        write!(
            f,
            "seeds:  {} of the corruption, {} of the weights, {} of the order",
            seeds.data, seeds.init, seeds.order
        )
    }
}

impl RunConfig {
    /// The run's name in the store: the first 16 hexadecimal digits of the SHA-256 of the
    /// configuration's JSON.
    pub fn key(&self) -> String {
        let keyed = RunConfig { data: self.data.keyed(), ..self.clone() };
        let json = serde_json::to_vec(&keyed).expect("a configuration of plain values is JSON");
        hex(&Sha256::digest(&json)[..8])
    }

    /// Steps of an epoch, the last of them of fewer images where these do not come out even.
    pub fn steps_per_epoch(&self) -> usize {
        self.data.train.div_ceil(self.hyper.batch_size.max(1))
    }
}
