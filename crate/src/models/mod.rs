//! The architectures, one file each, and the one interface through which they are trained.

pub mod mlp;

use crate::config::Init;
use crate::ops::{elements, elements_mut, factored};
use crate::optim::{Sgd, SgdStep};
use crate::preprocess::CROP;
use crate::{Error, Result};
use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// An architecture of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// One hidden layer of 512 units: 1,209,866 parameters on 28x28x3.
    Mlp1x512,
    /// Three hidden layers of 512 units: 1,735,178 parameters on 28x28x3.
    Mlp3x512,
}

impl ModelKind {
    /// Every architecture.
    pub const ALL: [ModelKind; 2] = [ModelKind::Mlp1x512, ModelKind::Mlp3x512];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ModelKind::Mlp1x512 => "mlp1x512",
            ModelKind::Mlp3x512 => "mlp3x512",
        }
    }

    /// The name in the paper's tables.
    pub fn title(self) -> &'static str {
        match self {
            ModelKind::Mlp1x512 => "MLP 1x512",
            ModelKind::Mlp3x512 => "MLP 3x512",
        }
    }

    /// Appendix A's initial learning rate: 0.01 for MLPs.
    pub fn learning_rate(self) -> f64 {
        match self {
            ModelKind::Mlp1x512 | ModelKind::Mlp3x512 => 0.01,
        }
    }

    /// Images a step; the paper states none. 64 for MLPs: with 128 and the paper's decay, MLP 1x512 ends
    /// at 98.5 % on random labels of CIFAR-10 (JPEG q75), where the paper has 99.34 %.
    pub fn batch_size(self) -> usize {
        match self {
            ModelKind::Mlp1x512 | ModelKind::Mlp3x512 => 64,
        }
    }

    /// The network for `channels x 28 x 28` inputs and `classes` outputs, with weights drawn from
    /// `seed`.
    ///
    /// Errors: [`Error::Argument`] for sizes that the architecture is not built for.
    pub fn build(self, channels: usize, classes: usize, init: Init, seed: u64) -> Result<Box<dyn Network>> {
        if classes != mlp::CLASSES {
            let problem =
                format!("{} has {} outputs, the data has {classes} classes", self.title(), mlp::CLASSES);
            return Err(Error::argument("build the model", problem));
        }
        const GREY: usize = CROP * CROP;
        const COLOUR: usize = 3 * CROP * CROP;
        match (self, channels) {
            (ModelKind::Mlp1x512, 1) => boxed::<mlp::Mlp1<GREY, f32, Cpu>, GREY>(init, seed),
            (ModelKind::Mlp1x512, 3) => boxed::<mlp::Mlp1<COLOUR, f32, Cpu>, COLOUR>(init, seed),
            (ModelKind::Mlp3x512, 1) => boxed::<mlp::Mlp3<GREY, f32, Cpu>, GREY>(init, seed),
            (ModelKind::Mlp3x512, 3) => boxed::<mlp::Mlp3<COLOUR, f32, Cpu>, COLOUR>(init, seed),
            _ => {
                let problem = format!("{} takes images of 1 or 3 channels, not {channels}", self.title());
                Err(Error::argument("build the model", problem))
            }
        }
    }
}

impl std::fmt::Display for ModelKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ModelKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<ModelKind> {
        ModelKind::ALL.into_iter().find(|m| m.name() == text).ok_or_else(|| {
            let names = ModelKind::ALL.map(ModelKind::name).join(", ");
            Error::argument("model", format!("{text:?} is none of {names}"))
        })
    }
}

/// What a step of training saw, before it changed the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOutcome {
    /// Cross-entropy, averaged over the batch, in nats.
    pub loss: f32,
    /// How many of the batch were classified as labelled.
    pub correct: usize,
}

/// A named parameter tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Path in the model (`hidden.weight`).
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<f32>,
}

/// A network and its optimiser, whatever its layers are.
pub trait Network: Send + Sync {
    /// One step of SGD on a batch of `n` whitened images (`n x C x 28 x 28`).
    ///
    /// Errors: [`Error::Shape`] for a batch of another size, [`Error::Tensor`] for lack of memory.
    fn train_step(&mut self, images: Vec<f32>, labels: &[u16], step: SgdStep) -> Result<StepOutcome>;

    /// `n x classes` scores of `n` whitened images.
    ///
    /// Errors: as for [`Network::train_step`].
    fn logits(&self, images: Vec<f32>) -> Result<Vec<f32>>;

    /// How many numbers are trained.
    fn parameter_count(&self) -> usize;

    /// Weights and biases, in a fixed order.
    fn parameters(&self) -> Vec<Parameter>;

    /// Replaces the weights, biases and the optimiser's velocities (in the same order; none before
    /// the first step).
    ///
    /// Errors: [`Error::Argument`] where names or shapes are not those of this network.
    fn restore(&mut self, parameters: &[Parameter], velocity: Vec<Vec<f32>>) -> Result<()>;

    /// The optimiser's velocities.
    fn velocity(&self) -> &[Vec<f32>];
}

/// An architecture's forward pass on dfdx's tape.
pub trait Forward<const I: usize>: TensorCollection<f32, Cpu> {
    /// `n x I` images to `n x 10` scores.
    ///
    /// Errors: dfdx's, when memory is short.
    fn forward<T: Tape<f32, Cpu>>(
        &self,
        images: Tensor<(usize, Const<I>), f32, Cpu, T>,
    ) -> std::result::Result<Tensor<(usize, Const<{ mlp::CLASSES }>), f32, Cpu, T>, CpuError>;
}

struct Trained<M, const I: usize> {
    model: M,
    device: Cpu,
    gradients: Option<Gradients<f32, Cpu>>,
    sgd: Sgd,
}

fn boxed<M, const I: usize>(init: Init, seed: u64) -> Result<Box<dyn Network>>
where
    M: Forward<I>
        + TensorCollection<f32, Cpu, To<f32, Cpu> = M>
        + BuildModule<Cpu, f32>
        + Send
        + Sync
        + 'static,
{
    let device = Cpu::default();
    let mut model = M::try_build(&device).map_err(Error::tensor("build the model"))?;
    let mut draw = Initialise { init, seed, index: 0, inputs: 1 };
    M::iter_tensors(&mut RecursiveWalker { m: &mut model, f: &mut draw })
        .map_err(Error::tensor("initialise the weights"))?;
    Ok(Box::new(Trained::<M, I> { model, device, gradients: None, sgd: Sgd::default() }))
}

impl<M: Forward<I>, const I: usize> Trained<M, I> {
    fn batch(&self, images: Vec<f32>) -> Result<Tensor<(usize, Const<I>), f32, Cpu>> {
        if images.is_empty() || !images.len().is_multiple_of(I) {
            let (operation, got) = ("batch of images", vec![images.len()]);
            return Err(Error::Shape { operation, expected: vec![images.len() / I, I], got });
        }
        let n = images.len() / I;
        self.device.try_tensor_from_vec(images, (n, Const::<I>)).map_err(Error::tensor("batch of images"))
    }
}

impl<M: Forward<I> + Send + Sync, const I: usize> Network for Trained<M, I> {
    fn train_step(&mut self, images: Vec<f32>, labels: &[u16], step: SgdStep) -> Result<StepOutcome> {
        let operation = "training step";
        let images = self.batch(images)?;
        let n = images.shape().0;
        if labels.len() != n {
            return Err(Error::Shape { operation, expected: vec![n], got: vec![labels.len()] });
        }
        let mut targets = vec![0.0; n * mlp::CLASSES];
        for (row, &label) in targets.chunks_exact_mut(mlp::CLASSES).zip(labels) {
            let Some(target) = row.get_mut(usize::from(label)) else {
                return Err(Error::argument(operation, format!("label {label} of {} classes", mlp::CLASSES)));
            };
            *target = 1.0;
        }
        let shape = (n, Const::<{ mlp::CLASSES }>);
        let targets = self.device.try_tensor_from_vec(targets, shape).map_err(Error::tensor(operation))?;
        let gradients = match self.gradients.take() {
            Some(gradients) => gradients,
            None => self.model.try_alloc_grads().map_err(Error::tensor(operation))?,
        };
        let scores = self.model.forward(images.traced(gradients)).map_err(Error::tensor(operation))?;
        let correct = elements(&scores).map_or(0, |scores| count_correct(scores, labels, mlp::CLASSES));
        let loss = cross_entropy_with_logits_loss(scores, targets);
        let value = loss.array();
        let (gradients, factored) = factored::collect(|| loss.try_backward());
        let mut gradients = gradients.map_err(Error::tensor(operation))?;
        self.sgd.update(&mut self.model, &mut gradients, factored, step).map_err(Error::tensor(operation))?;
        gradients.drop_non_leafs();
        self.gradients = Some(gradients);
        Ok(StepOutcome { loss: value, correct })
    }

    fn logits(&self, images: Vec<f32>) -> Result<Vec<f32>> {
        let scores = self.model.forward(self.batch(images)?).map_err(Error::tensor("forward pass"))?;
        Ok(scores.as_vec())
    }

    fn parameter_count(&self) -> usize {
        self.model.num_trainable_params()
    }

    fn parameters(&self) -> Vec<Parameter> {
        let mut read = Read(Vec::new());
        match M::iter_tensors(&mut RecursiveWalker { m: (&self.model, String::new()), f: &mut read }) {
            Ok(_) => read.0,
            Err(never) => match never {},
        }
    }

    fn restore(&mut self, parameters: &[Parameter], velocity: Vec<Vec<f32>>) -> Result<()> {
        let mut write = Write { parameters, at: 0 };
        M::iter_tensors(&mut RecursiveWalker { m: (&mut self.model, String::new()), f: &mut write })?;
        if write.at != parameters.len() {
            let problem = format!("{} tensors for a model of {}", parameters.len(), write.at);
            return Err(Error::argument("restore the weights", problem));
        }
        let fits = velocity.len() == parameters.len()
            && velocity.iter().zip(parameters).all(|(v, p)| v.len() == p.values.len());
        if !velocity.is_empty() && !fits {
            return Err(Error::argument("restore the velocities", "other sizes than the weights"));
        }
        self.sgd.velocity = velocity;
        self.gradients = None;
        Ok(())
    }

    fn velocity(&self) -> &[Vec<f32>] {
        &self.sgd.velocity
    }
}

/// How many rows of `n x classes` scores have their largest value at the label. A row with a NaN
/// counts as wrong; of equal scores the first wins.
pub fn count_correct(scores: &[f32], labels: &[u16], classes: usize) -> usize {
    let hit = |(row, &label): (&[f32], &u16)| {
        let mut best = 0;
        for (i, v) in row.iter().enumerate() {
            if v.is_nan() {
                return false;
            }
            if *v > row[best] {
                best = i;
            }
        }
        best == usize::from(label)
    };
    scores.chunks_exact(classes).zip(labels).filter(|pair| hit(*pair)).count()
}

struct Initialise {
    init: Init,
    seed: u64,
    index: u64,
    inputs: usize,
}

impl TensorVisitor<f32, Cpu> for Initialise {
    type Viewer = ViewTensorMut;
    type Err = CpuError;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        _: TensorOptions<S, f32, Cpu>,
        tensor: &mut Tensor<S, f32, Cpu>,
    ) -> std::result::Result<Option<Tensor<S, f32, Cpu>>, CpuError> {
        let shape: Vec<usize> = tensor.shape().concrete().into_iter().collect();
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.index);
        self.index += 1;
        let limit = match (self.init, shape.as_slice()) {
            (Init::Glorot, [outputs, inputs]) => (6.0 / (inputs + outputs) as f32).sqrt(),
            (Init::Glorot, _) => 0.0,
            (Init::FanIn, [_, inputs]) => {
                self.inputs = *inputs;
                1.0 / (*inputs as f32).sqrt()
            }
            (Init::FanIn, _) => 1.0 / (self.inputs as f32).sqrt(),
        };
        if let Some(values) = elements_mut(tensor) {
            values.iter_mut().for_each(|v| *v = limit * (2.0 * rng.random::<f32>() - 1.0));
        }
        Ok(None)
    }
}

struct Read(Vec<Parameter>);

impl TensorVisitor<f32, Cpu> for Read {
    type Viewer = (ViewTensorRef, ViewTensorName);
    type Err = std::convert::Infallible;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        _: TensorOptions<S, f32, Cpu>,
        (tensor, name): (&Tensor<S, f32, Cpu>, String),
    ) -> std::result::Result<Option<Tensor<S, f32, Cpu>>, Self::Err> {
        let shape = tensor.shape().concrete().into_iter().collect();
        let values = elements(tensor).map_or_else(|| tensor.as_vec(), <[f32]>::to_vec);
        self.0.push(Parameter { name, shape, values });
        Ok(None)
    }
}

struct Write<'a> {
    parameters: &'a [Parameter],
    at: usize,
}

impl TensorVisitor<f32, Cpu> for Write<'_> {
    type Viewer = (ViewTensorMut, ViewTensorName);
    type Err = Error;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        _: TensorOptions<S, f32, Cpu>,
        (tensor, name): (&mut Tensor<S, f32, Cpu>, String),
    ) -> Result<Option<Tensor<S, f32, Cpu>>> {
        let shape: Vec<usize> = tensor.shape().concrete().into_iter().collect();
        let given = self.parameters.get(self.at);
        let Some(given) = given.filter(|p| {
            p.name == name && p.shape == shape && p.values.len() == shape.iter().product::<usize>()
        }) else {
            let found = given.map_or("nothing".into(), |p| format!("{} {:?}", p.name, p.shape));
            return Err(Error::argument(
                "restore the weights",
                format!("expected {name} {shape:?}, found {found}"),
            ));
        };
        if let Some(values) = elements_mut(tensor) {
            values.copy_from_slice(&given.values);
        }
        self.at += 1;
        Ok(None)
    }
}
