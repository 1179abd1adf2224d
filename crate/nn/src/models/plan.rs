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
    /// [`Error::Argument`] for layers without outputs, for more channels than can be counted, and, with its place, for what
    /// is wrong inside the layer.
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
            Layer::Auxiliary(layers) => {
                output(layers, from).map(|_| from).map_err(|error| at("auxiliary classifier", error))
            }
            Layer::Branches(branches) => {
                let mut all: Option<Size3> = None;
                for (number, branch) in (1..).zip(branches) {
                    let [h, w, c] =
                        output(branch, from).map_err(|error| at(&format!("branch {number}"), error))?;
                    let sum = all.get_or_insert([h, w, 0]);
                    if sum[..2] != [h, w] {
                        return Err(Error::Shape { operation, expected: sum[..2].to_vec(), got: vec![h, w] });
                    }
                    // Branches that pass their input on need no layers to double its channels again and again.
                    let channels = sum[2].checked_add(c);
                    sum[2] = channels
                        .ok_or_else(|| Error::argument(operation, "more channels than can be counted"))?;
                }
                all.ok_or_else(|| Error::argument(operation, "no branches"))
            }
        }
    }
}

/// What a list of layers makes of an image.
///
/// Errors: [`Error::Argument`], with the number of the layer, for what is one of [`Layer::output`]'s.
pub fn output(layers: &[Layer], from: Size3) -> Result<Size3> {
    (1..).zip(layers).try_fold(from, |from, (number, layer)| {
        layer.output(from).map_err(|error| at(&format!("layer {number}"), error))
    })
}

/// An error of a plan that says where it is.
pub(super) fn at(place: &str, error: Error) -> Error {
    match error {
        Error::Shape { operation, expected, got } => {
            Error::argument(operation, format!("{place}: expected shape {expected:?}, got {got:?}"))
        }
        Error::Argument { operation, problem } => Error::argument(operation, format!("{place}: {problem}")),
        other => other,
    }
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

/// How many times lists of layers lie inside one another: 0 of a list without branches, 1 where no branch has branches.
pub fn depth(layers: &[Layer]) -> usize {
    let inside = layers.iter().map(|layer| match layer {
        Layer::Branches(branches) => 1 + branches.iter().map(|branch| depth(branch)).max().unwrap_or(0),
        Layer::Auxiliary(layers) => 1 + depth(layers),
        _ => 0,
    });
    inside.max().unwrap_or(0)
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

/// Trained numbers and multiply-adds for one image of a layer by itself, those inside it included. A network of one's own may have
/// more of them than `usize` counts, and is refused for want of memory; beyond `u128`, the largest number stands.
pub(super) fn costs(layer: &Layer, from: Size3) -> Result<(u128, u128)> {
    let to = layer.output(from)?;
    match layer {
        Layer::Conv { window, outputs, .. } => {
            let weights = product(&[window.kernel.0, window.kernel.1, from[2], *outputs]);
            let work = weights.saturating_mul(product(&to[..2]));
            Ok((weights.saturating_add(*outputs as u128), work))
        }
        Layer::Linear { outputs, .. } => {
            let weights = product(&from).saturating_mul(*outputs as u128);
            Ok((weights.saturating_add(*outputs as u128), weights))
        }
        Layer::Auxiliary(layers) => costs_of_all(layers, from),
        Layer::Branches(branches) => branches
            .iter()
            .try_fold((0, 0), |sum, branch| costs_of_all(branch, from).map(|costs| added(sum, costs))),
        _ => Ok((0, 0)),
    }
}

/// [`costs`] of a list of layers.
fn costs_of_all(layers: &[Layer], mut from: Size3) -> Result<(u128, u128)> {
    let mut sum = (0, 0);
    for layer in layers {
        sum = added(sum, costs(layer, from)?);
        from = layer.output(from)?;
    }
    Ok(sum)
}

fn added(a: (u128, u128), b: (u128, u128)) -> (u128, u128) {
    (a.0.saturating_add(b.0), a.1.saturating_add(b.1))
}

fn product(sizes: &[usize]) -> u128 {
    sizes.iter().fold(1, |product: u128, &size| product.saturating_mul(size as u128))
}

/// Trained numbers of a list of layers for images of `from`; `usize::MAX` where there are more.
///
/// Errors: as for [`Layer::output`].
pub fn parameters(layers: &[Layer], from: Size3) -> Result<usize> {
    Ok(usize::try_from(all_parameters(layers, from)?).unwrap_or(usize::MAX))
}

/// [`parameters`], as many as there are.
///
/// Errors: as for [`Layer::output`].
pub fn all_parameters(layers: &[Layer], from: Size3) -> Result<u128> {
    costs_of_all(layers, from).map(|(parameters, _)| parameters)
}

/// Multiply-adds of a list of layers for one image of `from`; `usize::MAX` where there are more.
///
/// Errors: as for [`Layer::output`].
pub fn work(layers: &[Layer], from: Size3) -> Result<usize> {
    costs_of_all(layers, from).map(|(_, work)| usize::try_from(work).unwrap_or(usize::MAX))
}

/// Numbers of the largest of what the layers make of one image of `from`, and of that image.
///
/// Errors: as for [`Layer::output`].
pub fn largest(layers: &[Layer], mut from: Size3) -> Result<u128> {
    let mut most = product(&from);
    for layer in layers {
        let inside: &[Vec<Layer>] = match layer {
            Layer::Branches(branches) => &branches[..],
            Layer::Auxiliary(layers) => std::slice::from_ref(layers),
            _ => &[],
        };
        for layers in inside {
            most = most.max(largest(layers, from)?);
        }
        from = layer.output(from)?;
        most = most.max(product(&from));
    }
    Ok(most)
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
