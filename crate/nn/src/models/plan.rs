//! A network as a list of layers: the one description that builds it, runs it, counts it and draws it.

use crate::ops::activation::Activation;
use crate::ops::conv::{Padding, Window};
use crate::ops::layer_passes::Product;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A layer of a network. In JSON: `{"linear": {"outputs": 10, "activation": "none"}}`, `"global-mean"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Layer {
    /// Convolution and ReLU, between them batch normalisation with a shift (the paper's "Conv module"), or a
    /// bias where it is not `normalised`.
    Conv {
        /// How the window moves.
        window: Window,
        /// Filters.
        outputs: usize,
        /// Batch normalisation, or a bias.
        normalised: bool,
    },
    /// Every output a weighted sum of every input, with biases.
    Linear {
        /// Units.
        outputs: usize,
        /// What follows.
        activation: Activation,
    },
    /// The largest pixel under the window.
    MaxPool(Window),
    /// The mean of the pixels under the window.
    #[serde(rename = "mean-pool")]
    AvgPool(Window),
    /// The mean of all pixels.
    #[serde(rename = "global-mean")]
    GlobalAvgPool,
    /// Local response normalisation.
    LocalResponseNorm,
    /// Leaves elements out in training.
    Dropout(DropoutRate),
    /// Lists of layers that see the same input; their channels are put side by side.
    Branches(Vec<Vec<Layer>>),
    /// A second classifier beside the network, whose loss counts too, [`AUXILIARY`] times, in training.
    Auxiliary(Vec<Layer>),
}

/// Weight of an auxiliary classifier's loss (Szegedy et al. 2016; TF-Slim).
pub const AUXILIARY: f32 = 0.4;

/// How likely dropout leaves an element out. In JSON `{"drop_probability": 0.2}`; as a number alone, with which files were
/// written before, it is the probability that an element is kept. Each is written as it was read: it is part of runs' keys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "dropout is {\"drop_probability\": 0.2}; a number alone is the probability of keeping an element"
)]
pub enum DropoutRate {
    /// The probability that an element is left out: at least 0, below 1.
    Drop(Dropped),
    /// The probability that an element is kept: above 0, at most 1.
    Keep(f32),
}

/// The inside of [`DropoutRate::Drop`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    /// The probability that an element is left out: at least 0, below 1.
    pub drop_probability: f32,
}

impl DropoutRate {
    /// The probability that an element is left out.
    pub fn drop_probability(self) -> f32 {
        match self {
            DropoutRate::Drop(Dropped { drop_probability }) => drop_probability,
            DropoutRate::Keep(kept) => 1.0 - kept,
        }
    }

    /// The probability that an element is kept.
    pub fn keep_probability(self) -> f32 {
        match self {
            DropoutRate::Drop(Dropped { drop_probability }) => 1.0 - drop_probability,
            DropoutRate::Keep(kept) => kept,
        }
    }
}

pub use crate::ops::Size3;

impl Layer {
    /// `outputs` filters of `side` x `side` pixels with biases and ReLU, stride 1, zeros at the edge.
    pub fn conv(side: usize, outputs: usize) -> Layer {
        Layer::Conv { window: Window::square(side, 1, Padding::Same), outputs, normalised: false }
    }

    /// [`Layer::conv`] with batch normalisation.
    pub fn conv_norm(side: usize, outputs: usize) -> Layer {
        Layer::Conv { window: Window::square(side, 1, Padding::Same), outputs, normalised: true }
    }

    /// The largest of `side` x `side` pixels, every `side` pixels.
    pub fn max_pool(side: usize) -> Layer {
        Layer::MaxPool(Window::square(side, side, Padding::Valid))
    }

    /// Leaves each element out with `drop_probability` (at least 0, below 1) in training.
    pub fn dropout(drop_probability: f32) -> Layer {
        Layer::Dropout(DropoutRate::Drop(Dropped { drop_probability }))
    }

    /// A fully connected hidden layer: `units` and ReLU.
    pub fn hidden(units: usize) -> Layer {
        Layer::Linear { outputs: units, activation: Activation::Relu }
    }

    /// The last layer: a score for each of `classes`.
    pub fn scores(classes: usize) -> Layer {
        Layer::Linear { outputs: classes, activation: Activation::None }
    }

    /// What the layer makes of an image of height, width and channels `from`.
    ///
    /// Errors: [`Error::Shape`] where a window is larger than the image, or branches end with different sizes;
    /// [`Error::Argument`] for layers without outputs.
    pub fn output(&self, from: Size3) -> Result<Size3> {
        let operation = "plan the network";
        let [height, width, channels] = from;
        let under = |window: &Window, channels: usize| match window.output(height, width) {
            Some((height, width)) => Ok([height, width, channels]),
            None => {
                let expected = vec![window.kernel.0, window.kernel.1];
                Err(Error::Shape { operation, expected, got: vec![height, width] })
            }
        };
        match self {
            Layer::Conv { outputs: 0, .. } | Layer::Linear { outputs: 0, .. } => {
                Err(Error::argument(operation, format!("{self:?} has no outputs")))
            }
            Layer::Conv { window, outputs, .. } => under(window, *outputs),
            Layer::MaxPool(window) | Layer::AvgPool(window) => under(window, channels),
            Layer::Linear { outputs, .. } => Ok([1, 1, *outputs]),
            Layer::GlobalAvgPool => Ok([1, 1, channels]),
            Layer::LocalResponseNorm | Layer::Dropout(_) => Ok(from),
            Layer::Auxiliary(layers) => output(layers, from).map(|_| from),
            Layer::Branches(branches) => {
                let mut all: Option<Size3> = None;
                for branch in branches {
                    let [h, w, c] = output(branch, from)?;
                    let sum = all.get_or_insert([h, w, 0]);
                    if sum[..2] != [h, w] {
                        return Err(Error::Shape { operation, expected: sum[..2].to_vec(), got: vec![h, w] });
                    }
                    sum[2] += c;
                }
                all.ok_or_else(|| Error::argument(operation, "no branches"))
            }
        }
    }
}

/// What a list of layers makes of an image.
///
/// Errors: as for [`Layer::output`].
pub fn output(layers: &[Layer], from: Size3) -> Result<Size3> {
    layers.iter().try_fold(from, |from, layer| layer.output(from))
}

/// Convolutions and fully connected layers in a list, those inside others included.
pub fn count(layers: &[Layer]) -> (usize, usize) {
    layers.iter().fold((0, 0), |(convs, linears), layer| {
        let (c, l) = match layer {
            Layer::Conv { .. } => (1, 0),
            Layer::Linear { .. } => (0, 1),
            Layer::Auxiliary(layers) => count(layers),
            Layer::Branches(branches) => {
                branches.iter().map(|b| count(b)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
            }
            _ => (0, 0),
        };
        (convs + c, linears + l)
    })
}

/// Layers in a list, those inside others included.
pub fn number(layers: &[Layer]) -> usize {
    layers.iter().fold(layers.len(), |sum, layer| {
        sum + match layer {
            Layer::Branches(branches) => branches.iter().map(|branch| number(branch)).sum(),
            Layer::Auxiliary(layers) => number(layers),
            _ => 0,
        }
    })
}

/// A list of layers without dropout, in branches and beside the network too.
pub fn without_dropout(layers: Vec<Layer>) -> Vec<Layer> {
    let one = |layer| match layer {
        Layer::Dropout(_) => None,
        Layer::Branches(branches) => {
            Some(Layer::Branches(branches.into_iter().map(without_dropout).collect()))
        }
        Layer::Auxiliary(layers) => Some(Layer::Auxiliary(without_dropout(layers))),
        other => Some(other),
    };
    layers.into_iter().filter_map(one).collect()
}

/// Whether there is batch normalisation in a list of layers.
pub fn is_normalised(layers: &[Layer]) -> bool {
    layers.iter().any(|layer| match layer {
        Layer::Conv { normalised, .. } => *normalised,
        Layer::Branches(branches) => branches.iter().any(|branch| is_normalised(branch)),
        Layer::Auxiliary(layers) => is_normalised(layers),
        _ => false,
    })
}

/// Trained numbers and multiply-adds for one image of a layer by itself, those inside it included.
pub(super) fn costs(layer: &Layer, from: Size3) -> Result<(usize, usize)> {
    let to = layer.output(from)?;
    let all = |layers: &[Layer]| {
        let mut from = from;
        layers.iter().try_fold((0, 0), |sum: (usize, usize), layer| {
            let (parameters, work) = costs(layer, from)?;
            from = layer.output(from)?;
            Ok::<_, Error>((sum.0 + parameters, sum.1 + work))
        })
    };
    match layer {
        Layer::Conv { window, outputs, .. } => {
            let weights = window.kernel.0 * window.kernel.1 * from[2] * outputs;
            Ok((weights + outputs, weights * to[0] * to[1]))
        }
        Layer::Linear { outputs, .. } => {
            let weights = from.iter().product::<usize>() * outputs;
            Ok((weights + outputs, weights))
        }
        Layer::Auxiliary(layers) => all(layers),
        Layer::Branches(branches) => branches.iter().try_fold((0, 0), |sum, branch| {
            let (parameters, work) = all(branch)?;
            Ok((sum.0 + parameters, sum.1 + work))
        }),
        _ => Ok((0, 0)),
    }
}

/// Trained numbers of a list of layers for images of `from`.
///
/// Errors: as for [`Layer::output`].
pub fn parameters(layers: &[Layer], from: Size3) -> Result<usize> {
    costs(&Layer::Branches(vec![layers.to_vec()]), from).map(|(parameters, _)| parameters)
}

/// Multiply-adds of a list of layers for one image of `from`.
///
/// Errors: as for [`Layer::output`].
pub fn work(layers: &[Layer], from: Size3) -> Result<usize> {
    costs(&Layer::Branches(vec![layers.to_vec()]), from).map(|(_, work)| work)
}

/// `channels * width`, rounded, at least 1: the sizes of a reduced network.
pub fn scaled(channels: usize, width: f64) -> usize {
    ((channels as f64 * width).round() as usize).max(1)
}

/// The layers of a plan for images of `input` that multiply, in the order of the plan.
///
/// Errors: those of [`Layer::output`].
pub fn products(plan: &[Layer], mut input: Size3) -> Result<Vec<Product>> {
    let mut all = Vec::new();
    for layer in plan {
        match layer {
            Layer::Conv { window, outputs, .. } => {
                all.push(Product::Conv { input, window: *window, outputs: *outputs });
            }
            Layer::Linear { outputs, .. } => {
                all.push(Product::Linear { inputs: input.iter().product(), outputs: *outputs });
            }
            Layer::Branches(branches) => {
                for branch in branches {
                    all.extend(products(branch, input)?);
                }
            }
            Layer::Auxiliary(layers) => all.extend(products(layers, input)?),
            _ => (),
        }
        input = layer.output(input)?;
    }
    Ok(all)
}
