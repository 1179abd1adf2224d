//! The small Alexnet (appendix A): two modules of 5x5 convolution, 3x3 max pooling and local response
//! normalisation, then two fully connected layers of 384 and 192 units; 1,387,786 parameters on 28x28x3.
//!
//! Constants of the TensorFlow CIFAR-10 tutorial of the time, from which the paper's network is taken.

use crate::models::description::{Description, Family, Layers};
use crate::models::initial::Init;
use crate::models::plan::{Layer, scaled};
use crate::ops::activation::Activation;
use crate::ops::conv::{Padding, Window};

/// Appendix A's learning rate; the tutorial's batches and initial weights, of which the paper states nothing.
pub(super) const DESCRIPTION: Description = Description {
    name: "alexnet",
    title: "Alexnet",
    family: Family::Alexnet,
    layers: Layers::Planned(|_, classes, width| Ok(plan(classes, width))),
    normalised: false,
    learning_rate: 0.01,
    batch_size: 128,
    init: Init::Tutorial,
    pytorch: Some("alexnet()"),
};

/// The layers.
pub fn plan(classes: usize, width: f64) -> Vec<Layer> {
    let window = Window::square(5, 1, Padding::Same);
    let conv = Layer::Conv { window, outputs: scaled(64, width), normalised: false };
    let pool = Layer::MaxPool(Window::square(3, 2, Padding::Same));
    let full = |outputs| Layer::Linear { outputs: scaled(outputs, width), activation: Activation::Relu };
    vec![
        conv.clone(),
        pool.clone(),
        Layer::LocalResponseNorm,
        conv,
        pool,
        Layer::LocalResponseNorm,
        full(384),
        full(192),
        Layer::Linear { outputs: classes, activation: Activation::None },
    ]
}
