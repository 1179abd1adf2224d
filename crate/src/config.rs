//! What a run is: every choice that can change its numbers, and the key made of them.

use crate::augment::Augmentation;
use crate::corruption::Corruption;
use crate::data::hex;
use crate::models::ModelKind;
use crate::preprocess::CROP;
use crate::{Error, Result};
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

/// The data set of a run, as the run's key and its record hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataId {
    /// Short name (`cifar10`, `shapes10`).
    pub name: String,
    /// Name for figures ("CIFAR-10 (JPEG q75)").
    pub title: String,
    /// SHA-256 of the images and labels, in hexadecimal.
    pub fingerprint: String,
    /// The first this many training images are used.
    pub train: usize,
    /// The first this many test images are used.
    pub test: usize,
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

/// Initial weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Uniform within sqrt(6 / (inputs + outputs)), biases zero: TF-Slim's default at the time.
    Glorot,
    /// Weights and biases uniform within 1 / sqrt(inputs): PyTorch's and dfdx's default.
    FanIn,
    /// Truncated normals of deviation 0.05 (convolutions), 0.04 (fully connected) and 1/192 (last layer), biases 0.1
    /// but for the first and the last layer: TensorFlow's CIFAR-10 tutorial, Alexnet's.
    Tutorial,
}

impl FromStr for Init {
    type Err = Error;
    fn from_str(text: &str) -> Result<Init> {
        match text {
            "glorot" => Ok(Init::Glorot),
            "fan-in" => Ok(Init::FanIn),
            "tutorial" => Ok(Init::Tutorial),
            _ => Err(Error::argument(
                "initial weights",
                format!("{text:?} is none of glorot, fan-in, tutorial"),
            )),
        }
    }
}

/// Which parameters weight decay acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayOn {
    /// All: weights, biases, shifts.
    #[default]
    All,
    /// The weights of the fully connected hidden layers, without biases and last layer: TensorFlow's CIFAR-10
    /// tutorial, Alexnet's.
    Fc,
}

impl DecayOn {
    /// [`DecayOn::All`].
    pub fn is_all(&self) -> bool {
        *self == DecayOn::All
    }
}

impl FromStr for DecayOn {
    type Err = Error;
    fn from_str(text: &str) -> Result<DecayOn> {
        match text {
            "all" => Ok(DecayOn::All),
            "fc" => Ok(DecayOn::Fc),
            _ => Err(Error::argument("weight decay", format!("{text:?} is none of all, fc"))),
        }
    }
}

/// Optimisation, after appendix A of the paper. What the paper leaves open is a field too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hyper {
    /// Images a step. Not stated in the paper; 128 in most reproductions.
    pub batch_size: usize,
    /// Initial learning rate: 0.1 for Inception, 0.01 for Alexnet and MLPs.
    pub learning_rate: f64,
    /// Momentum, 0.9.
    pub momentum: f64,
    /// Factor on the learning rate, 0.95.
    pub decay: f64,
    /// Epochs between two applications of `decay`: 1 in the paper. Smaller data sets have shorter
    /// epochs; a reduced scale keeps the number of *steps* between decays near the paper's 391.
    pub decay_every: usize,
    /// L2 coefficient: so many times the weight is added to its gradient; 0 switches it off.
    pub weight_decay: f64,
    /// What `weight_decay` acts on.
    #[serde(default, skip_serializing_if = "DecayOn::is_all")]
    pub weight_decay_on: DecayOn,
    /// How the weights start. Not stated in the paper.
    pub init: Init,
    /// Train on random 28x28 crops, test on the centre crop. Photographs: train on random areas, test on the central
    /// 87.5 % ([`crate::preprocess::Area`]).
    pub random_crop: bool,
    /// Other random changes of the training images.
    #[serde(default, skip_serializing_if = "Augmentation::is_off")]
    pub augment: Augmentation,
    /// Leave out the network's dropout (Inception V3 has one; table 2).
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_dropout: bool,
    /// At most this many epochs.
    pub epochs: usize,
    /// Stop when the network is fitted: at the end of an epoch, once the whole training set was right in
    /// `fitted_epochs` epochs in a row.
    pub stop_when_fitted: bool,
    /// How many; 1 in a run that goes on, where it is not used. One epoch is often a lucky one, and which it is depends on
    /// what is compared (`crate/notes/fidelity.md`).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub fitted_epochs: usize,
}

impl Hyper {
    /// All epochs are run, whatever the training accuracy.
    pub fn keep_going(&mut self) {
        (self.stop_when_fitted, self.fitted_epochs) = (false, 1);
    }
}

/// How several processes train one model (`rethink-mpi`).
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Rises when a change of code changes what equal configurations give.
    pub schema: u32,
    /// Data set, by content.
    pub data: DataId,
    /// Architecture.
    pub model: ModelKind,
    /// Factor on the channels and units of every hidden layer; 1 in the paper.
    #[serde(default = "unchanged")]
    pub width: f64,
    /// Height and width of what the network sees: 28 for small images (a crop), 299 for photographs in the paper.
    #[serde(default = "cropped", skip_serializing_if = "is_crop")]
    pub input: usize,
    /// Section 2.1's modification of labels or images.
    pub corruption: Corruption,
    /// Optimisation.
    pub hyper: Hyper,
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
pub const SCHEMA: u32 = 1;

impl RunConfig {
    /// The run's name in the store: the first 16 hexadecimal digits of the SHA-256 of the
    /// configuration's JSON.
    pub fn key(&self) -> String {
        let json = serde_json::to_vec(self).expect("a configuration of plain values is JSON");
        hex(&Sha256::digest(&json)[..8])
    }
}
