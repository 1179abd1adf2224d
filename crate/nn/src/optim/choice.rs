//! What a run chooses of its optimiser: which one, and what weight decay acts on.

use crate::numbers::parsed;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The share of batch normalisation's running statistics that is kept at a step where nothing is said, and of all runs from before it could be chosen.
pub const NORM_MEMORY: f64 = 0.9;

/// TF-Slim's `batch_norm_decay`, of Inception V3.
pub const SLIM_NORM_MEMORY: f64 = 0.9997;

/// Which parameters weight decay acts on. The names of variants are part of the keys of published runs, and stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayOn {
    /// All: weights, biases, shifts.
    #[default]
    All,
    /// The weights of the fully connected hidden layers, without biases and last layer: TensorFlow's CIFAR-10
    /// tutorial, Alexnet's.
    Fc,
    /// The weights of all convolutions and fully connected layers, without biases and shifts: TF-Slim's
    /// `weights_regularizer`, Inception's.
    Weights,
}

impl DecayOn {
    /// The name on the command line: `all`, `fc` or `weights`.
    pub fn name(self) -> &'static str {
        match self {
            DecayOn::All => "all",
            DecayOn::Fc => "fc",
            DecayOn::Weights => "weights",
        }
    }

    /// For a reader: "all parameters", "the fully connected hidden layers' weights", "weights alone".
    pub fn title(self) -> &'static str {
        match self {
            DecayOn::All => "all parameters",
            DecayOn::Fc => "the fully connected hidden layers' weights",
            DecayOn::Weights => "weights alone, no biases and shifts",
        }
    }

    /// [`DecayOn::All`].
    pub fn is_all(&self) -> bool {
        *self == DecayOn::All
    }
}

impl FromStr for DecayOn {
    type Err = Error;
    fn from_str(text: &str) -> Result<DecayOn> {
        let named = [DecayOn::All, DecayOn::Fc, DecayOn::Weights].into_iter().find(|on| on.name() == text);
        named.ok_or_else(|| Error::argument("weight decay", format!("{text:?} is none of all, fc, weights")))
    }
}

/// What a step does with a gradient. The names of variants and fields are part of the keys of published runs, and stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Optimizer {
    /// SGD with momentum (appendix A): `v = momentum v + g`, `w -= rate v`.
    #[default]
    Sgd,
    /// TensorFlow's RMSProp, with which its Inception V3 was trained: `s += (1 - decay) (g^2 - s)` from 1 on,
    /// `v = momentum v + rate g / sqrt(s + epsilon)`, `w -= v`.
    RmsProp {
        /// Share of the mean of squared gradients that is kept at a step, 0 to below 1.
        decay: f64,
        /// Added to that mean under the root, above 0.
        epsilon: f64,
    },
}

impl Optimizer {
    /// Of TensorFlow's Inception V3.
    pub const INCEPTION_V3: Optimizer = Optimizer::RmsProp { decay: 0.9, epsilon: 1.0 };

    /// [`Optimizer::Sgd`].
    pub fn is_sgd(&self) -> bool {
        *self == Optimizer::Sgd
    }

    /// The name for a reader: "SGD", "RMSProp (decay 0.9, epsilon 1)".
    pub fn title(self) -> String {
        match self {
            Optimizer::Sgd => "SGD".into(),
            Optimizer::RmsProp { decay, epsilon } => format!("RMSProp (decay {decay}, epsilon {epsilon})"),
        }
    }
}

/// As on the command line: `sgd`, `rmsprop`, `rmsprop+DECAY+EPSILON`.
impl std::fmt::Display for Optimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Optimizer::Sgd => f.write_str("sgd"),
            own if *own == Optimizer::INCEPTION_V3 => f.write_str("rmsprop"),
            Optimizer::RmsProp { decay, epsilon } => write!(f, "rmsprop+{decay}+{epsilon}"),
        }
    }
}

impl FromStr for Optimizer {
    type Err = Error;
    fn from_str(text: &str) -> Result<Optimizer> {
        let bad = || {
            let problem = format!(
                "{text:?} is none of sgd, rmsprop (decay 0.9, epsilon 1) and rmsprop+DECAY+EPSILON (0 to below 1; above 0)"
            );
            Error::argument("optimizer", problem)
        };
        let optimizer = match text {
            "sgd" => Optimizer::Sgd,
            "rmsprop" => Optimizer::INCEPTION_V3,
            _ => {
                let numbers =
                    text.strip_prefix("rmsprop+").and_then(|rest| rest.split_once('+')).ok_or_else(bad)?;
                let number = |text: &str| parsed(text).map_err(|_| bad());
                Optimizer::RmsProp { decay: number(numbers.0)?, epsilon: number(numbers.1)? }
            }
        };
        if optimizer.problem().is_some() { Err(bad()) } else { Ok(optimizer) }
    }
}

impl Optimizer {
    /// What is wrong with its numbers, in the type that it computes in.
    pub fn problem(self) -> Option<String> {
        let Optimizer::RmsProp { decay, epsilon } = self else { return None };
        let good = is_share(decay) && is_size(epsilon);
        (!good)
            .then(|| format!("optimizer rmsprop: decay {decay} (0 to below 1), epsilon {epsilon} (above 0)"))
    }
}

/// A number from 0 to below 1, in single precision too.
pub fn is_share(x: f64) -> bool {
    (0.0..1.0).contains(&x) && (x as f32) < 1.0
}

/// A number above 0 that is neither 0 nor infinite in single precision.
pub fn is_size(x: f64) -> bool {
    x > 0.0 && x as f32 > 0.0 && (x as f32).is_finite()
}
