//! The small Inception (appendix A, figure 3): modules of 1x1 and 3x3 convolutions side by side; 1,649,402
//! parameters on 28x28x3 for 10 classes.
//!
//! As many with batch normalisation as without: it brings a shift a channel, and takes the biases away.

use crate::models::description::{Description, Family, Layers};
use crate::models::initial::Init;
use crate::models::plan::{Layer, scaled};
use crate::ops::activation::Activation;
use crate::ops::conv::{Padding, Window};

/// Appendix A's learning rate; the paper states neither batches, 128 in most reproductions, nor initial weights, here
/// TF-Slim's.
pub(super) const DESCRIPTION: Description = Description {
    name: "inception",
    title: "Inception",
    family: Family::Inception,
    layers: Layers::Planned(|_, classes, width| Ok(plan(true, classes, width))),
    normalised: true,
    learning_rate: 0.1,
    batch_size: 128,
    init: Init::Glorot,
    pytorch: Some("inception()"),
};

/// The same without batch normalisation.
pub(super) const WITHOUT_NORM: Description = Description {
    name: "inception-no-bn",
    title: "Inception w/o BatchNorm",
    layers: Layers::Planned(|_, classes, width| Ok(plan(false, classes, width))),
    normalised: false,
    pytorch: Some("inception(normalised=False)"),
    ..DESCRIPTION
};

/// The layers, with batch normalisation or without ("Inception w/o BatchNorm").
pub fn plan(normalised: bool, classes: usize, width: f64) -> Vec<Layer> {
    let conv = |side, stride, outputs| Layer::Conv {
        window: Window::square(side, stride, Padding::Same),
        outputs: scaled(outputs, width),
        normalised,
    };
    // Figure 3's "Inception module" and "Downsample module".
    let inception = |ones, threes| Layer::Branches(vec![vec![conv(1, 1, ones)], vec![conv(3, 1, threes)]]);
    let down = |outputs| {
        let pool = Layer::MaxPool(Window::square(3, 2, Padding::Same));
        Layer::Branches(vec![vec![conv(3, 2, outputs)], vec![pool]])
    };
    vec![
        conv(3, 1, 96),
        inception(32, 32),
        inception(32, 48),
        down(80),
        inception(112, 48),
        inception(96, 64),
        inception(80, 80),
        inception(48, 96),
        down(96),
        inception(176, 160),
        inception(176, 160),
        // 7x7 pixels are left of 28x28.
        Layer::GlobalAvgPool,
        Layer::Linear { outputs: classes, activation: Activation::None },
    ]
}
