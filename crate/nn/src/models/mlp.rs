//! Multi-layer perceptrons (appendix A: "MLP 1x512 means one hidden layer with 512 hidden units"; ReLU).

use crate::models::description::{Description, Family, Layers};
use crate::models::initial::Init;
use crate::models::plan::{Layer, scaled};

/// The MLP whose hidden layers have so many units. Appendix A's learning rate; 64 images a step, of which the paper says
/// nothing: with 128 and the paper's decay, MLP 1x512 ends at 98.5 % on random labels of CIFAR-10 (JPEG q75), where the paper
/// has 99.34 %.
pub(super) const fn describe(
    name: &'static str,
    title: &'static str,
    hidden: &'static [usize],
    pytorch: &'static str,
) -> Description {
    Description {
        name,
        title,
        family: Family::Mlp,
        layers: Layers::Hidden(hidden),
        normalised: false,
        learning_rate: 0.01,
        batch_size: 64,
        init: Init::Glorot,
        pytorch: Some(pytorch),
    }
}

/// Inputs, hidden layers, a score for each class.
pub fn plan(hidden: &[usize], classes: usize, width: f64) -> Vec<Layer> {
    let mut layers: Vec<Layer> = hidden.iter().map(|&units| Layer::hidden(scaled(units, width))).collect();
    layers.push(Layer::scores(classes));
    layers
}
