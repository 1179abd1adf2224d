//! What is known of a network before it is built: its names, its layers, and what it is trained with unless something else
//! is asked for.

use crate::Result;
use crate::models::initial::Init;
use crate::models::plan::{Layer, Size3};

/// Everything about one network of [`ModelKind`](crate::models::ModelKind), in one place.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// On the command line, in records and so in keys.
    pub name: &'static str,
    /// In the paper's tables; one's own network's name.
    pub title: &'static str,
    /// Which networks it is trained like.
    pub family: Family,
    /// Its layers.
    pub layers: Layers,
    /// Whether a layer has batch normalisation.
    pub normalised: bool,
    /// Initial learning rate.
    pub learning_rate: f64,
    /// Images a step.
    pub batch_size: usize,
    /// How the weights start.
    pub init: Init,
    /// The expression that makes the same network of what `torch_models.py` defines; `None`: there is none.
    pub pytorch: Option<&'static str>,
}

/// Networks that are trained alike: how many images, epochs and repetitions they get at a reduced scale, how wide they are
/// there, and what weight decay they have follows from it, not from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// No convolutions.
    Mlp,
    /// Convolutions with local response normalisation, as the TensorFlow tutorial's.
    Alexnet,
    /// The small Inception.
    Inception,
    /// Inception V3, for photographs.
    InceptionV3,
    /// Networks of one's own.
    Own,
}

/// Where a network's layers come from.
#[derive(Clone, Copy, Debug)]
pub enum Layers {
    /// From the number of units of each hidden layer.
    Hidden(&'static [usize]),
    /// From height, width and channels of the images, the number of classes, and the factor on channels and units.
    Planned(fn(Size3, usize, f64) -> Result<Vec<Layer>>),
    /// These, with as many times their channels and units in all but the last one.
    Own(&'static [Layer]),
}
