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
    /// Adam (Kingma and Ba), whose first decay rate is the run's momentum: `m` and `s` are running means of the gradient and of its square,
    /// without their bias towards 0, and `w -= rate m / (sqrt(s) + epsilon)`.
    Adam {
        /// Share of the mean of squared gradients that is kept at a step, 0 to below 1: the paper's second decay rate.
        decay: f64,
        /// Added to the root of that mean, above 0.
        epsilon: f64,
        /// Weight decay acts on the weights themselves, times the rate, and not through the gradient: AdamW (Loshchilov and Hutter).
        decoupled: bool,
    },
}

impl Optimizer {
    /// Of TensorFlow's Inception V3.
    pub const INCEPTION_V3: Optimizer = Optimizer::RmsProp { decay: 0.9, epsilon: 1.0 };
    /// With Kingma and Ba's numbers; their rate is 0.001.
    pub const ADAM: Optimizer = Optimizer::Adam { decay: 0.999, epsilon: 1e-8, decoupled: false };
    /// AdamW with the same numbers.
    pub const ADAM_W: Optimizer = Optimizer::Adam { decay: 0.999, epsilon: 1e-8, decoupled: true };
    /// What the command line takes, for errors and help.
    pub const FORMS: &str =
        "sgd, rmsprop, adam, adamw, or one of the last three with +DECAY+EPSILON (0 to below 1; above 0)";

    /// [`Optimizer::Sgd`].
    pub fn is_sgd(&self) -> bool {
        *self == Optimizer::Sgd
    }

    /// The name for a reader: "SGD", "RMSProp (decay 0.9, epsilon 1)", "Adam (decay 0.999, epsilon 1e-8)".
    pub fn title(self) -> String {
        match self {
            Optimizer::Sgd => "SGD".into(),
            Optimizer::RmsProp { decay, epsilon } => {
                format!("RMSProp (decay {decay}, epsilon {})", short(epsilon))
            }
            Optimizer::Adam { decay, epsilon, decoupled } => {
                let name = if decoupled { "AdamW" } else { "Adam" };
                format!("{name} (decay {decay}, epsilon {})", short(epsilon))
            }
        }
    }

    /// The name on the command line, without numbers.
    pub fn name(self) -> &'static str {
        match self {
            Optimizer::Sgd => "sgd",
            Optimizer::RmsProp { .. } => "rmsprop",
            Optimizer::Adam { decoupled: false, .. } => "adam",
            Optimizer::Adam { decoupled: true, .. } => "adamw",
        }
    }

    /// With what its mean squares begin, where it has any: TensorFlow's with ones.
    pub(crate) fn first_square(self) -> Option<f32> {
        match self {
            Optimizer::Sgd => None,
            Optimizer::RmsProp { .. } => Some(1.0),
            Optimizer::Adam { .. } => Some(0.0),
        }
    }

    /// Its decay and epsilon.
    fn numbers(self) -> Option<(f64, f64)> {
        match self {
            Optimizer::Sgd => None,
            Optimizer::RmsProp { decay, epsilon } | Optimizer::Adam { decay, epsilon, .. } => {
                Some((decay, epsilon))
            }
        }
    }

    /// The same with another decay and epsilon; SGD has none.
    fn with_numbers(self, decay: f64, epsilon: f64) -> Optimizer {
        match self {
            Optimizer::Sgd => Optimizer::Sgd,
            Optimizer::RmsProp { .. } => Optimizer::RmsProp { decay, epsilon },
            Optimizer::Adam { decoupled, .. } => Optimizer::Adam { decay, epsilon, decoupled },
        }
    }
}

/// Each with its usual numbers.
const USUAL: [Optimizer; 4] = [Optimizer::Sgd, Optimizer::INCEPTION_V3, Optimizer::ADAM, Optimizer::ADAM_W];

/// As on the command line: `sgd`, `rmsprop`, `rmsprop+DECAY+EPSILON`, ...
impl std::fmt::Display for Optimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.numbers() {
            Some((decay, epsilon)) if !USUAL.contains(self) => {
                write!(f, "{}+{decay}+{}", self.name(), short(epsilon))
            }
            _ => f.write_str(self.name()),
        }
    }
}

impl FromStr for Optimizer {
    type Err = Error;
    fn from_str(text: &str) -> Result<Optimizer> {
        let bad = || Error::argument("optimizer", format!("{text:?} is none of {}", Optimizer::FORMS));
        let lower = text.to_ascii_lowercase();
        let (name, numbers) =
            lower.split_once('+').map_or((&*lower, None), |(name, rest)| (name, Some(rest)));
        let usual = USUAL.into_iter().find(|own| own.name() == name).ok_or_else(bad)?;
        let Some(numbers) = numbers else { return Ok(usual) };
        let number = |text: &str| parsed(text).map_err(|_| bad());
        let (decay, epsilon) = numbers.split_once('+').filter(|_| !usual.is_sgd()).ok_or_else(bad)?;
        let optimizer = usual.with_numbers(number(decay)?, number(epsilon)?);
        if optimizer.problem().is_some() { Err(bad()) } else { Ok(optimizer) }
    }
}

impl Optimizer {
    /// What is wrong with its numbers, in the type that it computes in.
    pub fn problem(self) -> Option<String> {
        let (decay, epsilon) = self.numbers()?;
        let good = is_share(decay) && is_size(epsilon);
        let problem = || {
            format!("optimizer {}: decay {decay} (0 to below 1), epsilon {epsilon} (above 0)", self.name())
        };
        (!good).then(problem)
    }
}

/// A number without a row of zeros: "0.5", "1e-8".
fn short(x: f64) -> String {
    if x < 1e-4 { format!("{x:e}") } else { x.to_string() }
}

/// A number from 0 to below 1, in single precision too.
pub fn is_share(x: f64) -> bool {
    (0.0..1.0).contains(&x) && (x as f32) < 1.0
}

/// A number above 0 that is neither 0 nor infinite in single precision.
pub fn is_size(x: f64) -> bool {
    x > 0.0 && x as f32 > 0.0 && (x as f32).is_finite()
}
