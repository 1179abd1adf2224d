//! Initial weights.

use crate::models::planned::Planned;
use crate::ops::elements_mut;
use crate::optim::Tensors;
use crate::{Error, Result};
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Initial weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Uniform within sqrt(6 / (inputs + outputs)), biases zero: TF-Slim's default at the time.
    Glorot,
    /// Weights and biases uniform within 1 / sqrt(inputs): PyTorch's and dfdx's default.
    FanIn,
    /// Uniform within sqrt(6 / inputs), biases zero: He et al. 2015, made to keep the size of a signal through layers of ReLUs,
    /// which takes no batch normalisation.
    He,
    /// Truncated normals of deviation 0.05 (convolutions), 0.04 (fully connected) and 1/192 (last layer), biases 0.1
    /// but for the first convolution and the last layer: TensorFlow's CIFAR-10 tutorial, Alexnet's.
    Tutorial,
}

impl Init {
    /// As on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Init::Glorot => "glorot",
            Init::FanIn => "fan-in",
            Init::He => "he",
            Init::Tutorial => "tutorial",
        }
    }
}

impl FromStr for Init {
    type Err = Error;
    fn from_str(text: &str) -> Result<Init> {
        match text {
            "glorot" => Ok(Init::Glorot),
            "fan-in" => Ok(Init::FanIn),
            "he" => Ok(Init::He),
            "tutorial" => Ok(Init::Tutorial),
            _ => Err(Error::argument(
                "initial weights",
                format!("{text:?} is none of glorot, fan-in, he, tutorial"),
            )),
        }
    }
}

/// Draws all weights, each tensor from a stream of `seed` of its own.
pub(super) fn draw(model: &mut Planned, init: Init, seed: u64) -> Result<()> {
    let (convs, linears) = (model.convs().len(), model.linears().len());
    let mut draw = Draw { init, seed, index: 0, inputs: 1, convs, linears, convs_begun: 0, linears_begun: 0 };
    model.visit_mut(&mut draw).map_err(Error::tensor("initialise the weights"))
}

struct Draw {
    init: Init,
    seed: u64,
    index: u64,
    /// Inputs of a unit of the layer whose weights came last.
    inputs: usize,
    convs: usize,
    linears: usize,
    convs_begun: usize,
    linears_begun: usize,
}

/// A tensor's values.
enum Values {
    Constant(f32),
    /// Between minus and plus this.
    Uniform(f32),
    /// Of this standard deviation; what is more than two of them from zero is drawn again.
    TruncatedNormal(f32),
}

impl Draw {
    /// For a tensor of `shape`: weights have four sizes or two, shifts and biases one.
    fn values(&mut self, shape: &[usize]) -> Values {
        // TensorFlow's fans: a filter's pixels count on both sides.
        let (inputs, outputs) = match shape {
            [height, width, inputs, outputs] => {
                self.convs_begun += 1;
                (height * width * inputs, height * width * outputs)
            }
            [outputs, inputs] => {
                self.linears_begun += 1;
                (*inputs, *outputs)
            }
            _ => (self.inputs, 0),
        };
        self.inputs = inputs;
        let (weights, last) = (shape.len() > 1, self.linears_begun == self.linears);
        match self.init {
            Init::Glorot if weights => Values::Uniform((6.0 / (inputs + outputs) as f32).sqrt()),
            Init::He if weights => Values::Uniform((6.0 / inputs as f32).sqrt()),
            Init::Glorot | Init::He => Values::Constant(0.0),
            Init::FanIn => Values::Uniform(1.0 / (inputs as f32).sqrt()),
            Init::Tutorial if shape.len() == 4 => Values::TruncatedNormal(0.05),
            Init::Tutorial if weights && last => Values::TruncatedNormal(1.0 / 192.0),
            Init::Tutorial if weights => Values::TruncatedNormal(0.04),
            // The first and the last layer's biases are zero.
            Init::Tutorial if last || self.linears_begun == 0 && self.convs_begun <= 1 && self.convs > 0 => {
                Values::Constant(0.0)
            }
            Init::Tutorial => Values::Constant(0.1),
        }
    }
}

impl TensorVisitor<f32, Cpu> for Draw {
    type Viewer = ViewTensorMut;
    type Err = CpuError;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, f32, Cpu>,
        tensor: &mut Tensor<S, f32, Cpu>,
    ) -> std::result::Result<Option<Tensor<S, f32, Cpu>>, CpuError> {
        if !options.do_gradient_update {
            return Ok(None);
        }
        let shape: Vec<usize> = tensor.shape().concrete().into_iter().collect();
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.index);
        self.index += 1;
        let values = self.values(&shape);
        let mut next = || match values {
            Values::Constant(value) => value,
            Values::Uniform(limit) => limit * (2.0 * rng.random::<f32>() - 1.0),
            Values::TruncatedNormal(deviation) => loop {
                let value: f32 = StandardNormal.sample(&mut rng);
                if value.abs() <= 2.0 {
                    break deviation * value;
                }
            },
        };
        if let Some(elements) = elements_mut(tensor) {
            elements.iter_mut().for_each(|v| *v = next());
        }
        Ok(None)
    }
}
