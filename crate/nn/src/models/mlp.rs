//! Multi-layer perceptrons 1x512 and 3x512 (appendix A: "MLP 1x512 means one hidden layer with 512
//! hidden units"; ReLU).

use crate::models::plan::{Layer, scaled};
use crate::ops::activation::Activation;

/// Units of a hidden layer.
pub const HIDDEN: usize = 512;

/// `I -> 512 -> classes`, with as many hidden layers as asked for.
pub fn plan(hidden: usize, classes: usize, width: f64) -> Vec<Layer> {
    let layer = Layer::Linear { outputs: scaled(HIDDEN, width), activation: Activation::Relu };
    let mut layers = vec![layer; hidden];
    layers.push(Layer::Linear { outputs: classes, activation: Activation::None });
    layers
}
