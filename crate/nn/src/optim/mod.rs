//! SGD with momentum and weight decay (appendix A), in one pass over the memory; RMSProp or Adam in its place ([`step`] has the
//! formulas of all three); and the average of the weights.
//!
//! The average is `tf.train.ExponentialMovingAverage`'s with `num_updates`: `a -= (1 - d) (a - w)` from the first weights
//! on, `d` the smaller one of the run's and `(1 + t) / (10 + t)` after `t` earlier steps. As in TensorFlow's
//! `inception_train.py`, batch normalisation's running statistics, which are averages already, are among what is averaged.

mod choice;
pub mod step;

use crate::ops::elements_mut;
use crate::ops::factored::Collected;
use crate::ops::gemm::tile_rows;
use crate::ops::norm::follow;
use crate::precision::Precision;
use crate::threads;
pub use choice::{DecayOn, NORM_MEMORY, Optimizer, SLIM_NORM_MEMORY, is_share, is_size};
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::*;
use rayon::prelude::*;
use std::cell::RefCell;
use step::Rule;
pub use step::SgdStep;

/// What holds for all steps of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// What weight decay acts on.
    pub decay_on: DecayOn,
    /// The share of batch normalisation's running statistics that is kept at a step, 0 to below 1.
    pub norm_memory: f32,
    /// What a step does with a gradient.
    pub optimizer: Optimizer,
    /// Share of every label that is spread over all classes alike, 0 to below 1.
    pub label_smoothing: f32,
    /// The share of the weights' moving average that is kept at a step, 0 to below 1; `None` without one.
    pub average: Option<f32>,
    /// What products round their factors to.
    pub precision: Precision,
}

impl Rules {
    /// The labels of `classes` classes that a loss is taken against: what the right class has, and each other one.
    pub(crate) fn targets(&self, classes: usize) -> (f32, f32) {
        let other = self.label_smoothing / classes as f32;
        (1.0 - self.label_smoothing + other, other)
    }

    /// The share of the average that is kept at a step after `steps` earlier ones; `None` where there is none.
    pub(crate) fn average_at(&self, steps: u64) -> Option<f32> {
        let ramp = (1.0 + steps as f64) / (10.0 + steps as f64);
        self.average.map(|average| average.min(ramp as f32))
    }
}

impl Default for Rules {
    /// SGD, weight decay on everything, a memory of [`NORM_MEMORY`], no smoothing, no average, nothing rounded.
    fn default() -> Rules {
        Rules {
            decay_on: DecayOn::All,
            norm_memory: NORM_MEMORY as f32,
            optimizer: Optimizer::Sgd,
            label_smoothing: 0.0,
            average: None,
            precision: Precision::Float32,
        }
    }
}

/// What an optimiser remembers beside velocities, one list per tensor of [`crate::models::Network::parameters`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// RMSProp's and Adam's mean squares, empty ones for running statistics; none at all for SGD, or before the first step.
    pub squares: Vec<Vec<f32>>,
    /// Averages of all tensors; none at all without averaging, or before the first step.
    pub average: Vec<Vec<f32>>,
    /// Steps so far.
    pub steps: u64,
}

/// What weight decay acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decay {
    /// Every parameter.
    #[default]
    All,
    /// The first so many matrices (the weights of fully connected layers), and nothing else.
    Matrices(usize),
    /// Every weight: what has more than one dimension, as biases, shifts and scales have.
    Weights,
}

impl Decay {
    /// In a network of so many fully connected layers, of which the last one is not hidden.
    pub(crate) fn on(on: DecayOn, linears: usize) -> Decay {
        match on {
            DecayOn::All => Decay::All,
            DecayOn::Fc => Decay::Matrices(linears.saturating_sub(1)),
            DecayOn::Weights => Decay::Weights,
        }
    }

    /// Whether it acts on the next parameter, one of `dimensions`; `matrices` counts those that have been passed.
    pub(crate) fn acts_on(self, dimensions: usize, matrices: &mut usize) -> bool {
        let is_matrix = dimensions == 2;
        *matrices += usize::from(is_matrix);
        match self {
            Decay::All => true,
            Decay::Matrices(first) => is_matrix && *matrices <= first,
            Decay::Weights => dimensions > 1,
        }
    }
}

/// What has tensors to be trained.
pub trait Tensors {
    /// Has `visitor` visit every tensor, trained or not, in a fixed order.
    ///
    /// Errors: the visitor's.
    fn visit_mut<V>(&mut self, visitor: &mut V) -> Result<(), V::Err>
    where
        V: TensorVisitor<f32, Cpu, Viewer = ViewTensorMut>;
}

/// The optimiser, with its memory in the order in which the model names its tensors.
#[derive(Clone, Debug, Default)]
pub struct Descent {
    /// One entry per parameter tensor, an empty one for a running statistic; filled at the first update.
    pub velocity: Vec<Vec<f32>>,
    /// The rest of it.
    pub memory: Memory,
    rules: Rules,
    decay: Decay,
}

impl Descent {
    /// From now on by these rules, of a network of so many fully connected layers.
    pub(crate) fn set_rules(&mut self, rules: Rules, linears: usize) {
        (self.rules, self.decay) = (rules, Decay::on(rules.decay_on, linears));
    }

    /// What holds for all steps.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// What weight decay acts on.
    pub fn decay(&self) -> Decay {
        self.decay
    }

    /// Moves every parameter of `model` against its gradient, and leaves the gradients zero.
    ///
    /// Errors: dfdx's, when memory is short.
    pub fn update<M: Tensors>(
        &mut self,
        model: &mut M,
        gradients: &mut Gradients<f32, Cpu>,
        mut factored: Collected,
        step: SgdStep,
    ) -> Result<(), CpuError> {
        self.begin(model)?;
        let mut visitor = Update { walk: Walk::new(self, step), gradients, factored: &mut factored };
        model.visit_mut(&mut visitor)
    }

    /// Moves every parameter of `model` against the gradients that are given, one a parameter tensor in the model's
    /// order; in the place of a running statistic stands what the batch had, towards which it moves.
    ///
    /// Errors: dfdx's, when memory is short.
    pub(crate) fn apply<M: Tensors>(
        &mut self,
        model: &mut M,
        gradients: &[Vec<f32>],
        step: SgdStep,
    ) -> Result<(), CpuError> {
        self.begin(model)?;
        let norm_memory = self.rules.norm_memory;
        let mut visitor = Apply { walk: Walk::new(self, step), gradients, norm_memory };
        model.visit_mut(&mut visitor)?;
        self.end(model)
    }

    /// Before the first step: the average begins with the first weights.
    fn begin<M: Tensors>(&mut self, model: &mut M) -> Result<(), CpuError> {
        if self.rules.average.is_none() || !self.memory.average.is_empty() {
            return Ok(());
        }
        let average = &mut self.memory.average;
        each(model, &mut |_, weights| average.push(weights.to_vec()))
    }

    /// After a step, when the running statistics have been moved too.
    ///
    /// Errors: dfdx's, when memory is short.
    pub(crate) fn end<M: Tensors>(&mut self, model: &mut M) -> Result<(), CpuError> {
        let kept = self.rules.average_at(self.memory.steps);
        self.memory.steps += 1;
        let Some(kept) = kept else { return Ok(()) };
        let average = &mut self.memory.average;
        each(model, &mut |at, weights| {
            threads::each_item(
                average[at].par_chunks_mut(CHUNK).zip(weights.par_chunks(CHUNK)),
                |(average, now)| {
                    average.iter_mut().zip(now).for_each(|(a, w)| *a -= (1.0 - kept) * (*a - *w));
                },
            );
        })
    }

    /// Exchanges the weights of `model` and their averages, where there are any.
    ///
    /// Errors: dfdx's, when memory is short.
    pub(crate) fn exchange<M: Tensors>(&mut self, model: &mut M) -> Result<(), CpuError> {
        let average = &mut self.memory.average;
        if average.is_empty() {
            return Ok(());
        }
        each(model, &mut |at, weights| weights.swap_with_slice(&mut average[at]))
    }
}

/// Calls `work` with the number and the elements of each tensor of `model` that has any.
fn each<M: Tensors>(model: &mut M, work: &mut dyn FnMut(usize, &mut [f32])) -> Result<(), CpuError> {
    model.visit_mut(&mut Each { work, at: 0 })
}

struct Each<'a> {
    work: &'a mut dyn FnMut(usize, &mut [f32]),
    at: usize,
}

impl TensorVisitor<f32, Cpu> for Each<'_> {
    type Viewer = ViewTensorMut;
    type Err = CpuError;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        _: TensorOptions<S, f32, Cpu>,
        tensor: &mut Tensor<S, f32, Cpu>,
    ) -> Result<Option<Tensor<S, f32, Cpu>>, CpuError> {
        if let Some(elements) = elements_mut(tensor) {
            (self.work)(self.at, elements);
            self.at += 1;
        }
        Ok(None)
    }
}

/// A way through the tensors of a model, beside what the optimiser remembers of each.
struct Walk<'a> {
    velocity: &'a mut Vec<Vec<f32>>,
    squares: &'a mut Vec<Vec<f32>>,
    /// With what mean squares begin.
    first_square: Option<f32>,
    rule: Rule,
    step: SgdStep,
    decay: Decay,
    at: usize,
    matrices: usize,
}

/// What the optimiser remembers of a tensor, and how it moves.
struct TensorState<'a> {
    velocity: &'a mut [f32],
    /// None for SGD.
    squares: &'a mut [f32],
    step: SgdStep,
    rule: Rule,
}

impl<'a> Walk<'a> {
    fn new(of: &'a mut Descent, step: SgdStep) -> Walk<'a> {
        let Descent { velocity, memory, rules, decay } = of;
        let rule = Rule::at(rules.optimizer, memory.steps, step);
        let (squares, first_square) = (&mut memory.squares, rules.optimizer.first_square());
        Walk { velocity, squares, first_square, rule, step, decay: *decay, at: 0, matrices: 0 }
    }

    /// Passes a tensor that is not trained, whose place in the order counts; returns the place.
    fn pass(&mut self) -> usize {
        self.next(0)
    }

    /// The place of the next tensor; at the first step its memory begins.
    fn next(&mut self, length: usize) -> usize {
        if self.velocity.len() == self.at {
            self.velocity.push(vec![0.0; length]);
        }
        if let (Some(square), true) = (self.first_square, self.squares.len() == self.at) {
            self.squares.push(vec![square; length]);
        }
        self.at += 1;
        self.at - 1
    }

    /// The place of the next tensor, one of `dimensions` with `length` numbers that are trained, and what belongs to it.
    fn own(&mut self, length: usize, dimensions: usize) -> (usize, TensorState<'_>) {
        let at = self.next(length);
        let mut step = self.step;
        if !self.decay.acts_on(dimensions, &mut self.matrices) {
            step.weight_decay = 0.0;
        }
        let squares = self.squares.get_mut(at).map(Vec::as_mut_slice).unwrap_or_default();
        (at, TensorState { velocity: &mut self.velocity[at], squares, step, rule: self.rule })
    }
}

/// Some of a tensor's numbers, and how they move.
struct Piece<'a> {
    weights: &'a mut [f32],
    velocity: &'a mut [f32],
    /// None for SGD.
    squares: &'a mut [f32],
    step: SgdStep,
    rule: Rule,
}

impl<'a> TensorState<'a> {
    /// `weights` and what belongs to them in pieces of `size`.
    fn pieces(self, weights: &'a mut [f32], size: usize) -> Vec<Piece<'a>> {
        let TensorState { velocity, squares, step, rule } = self;
        let mut squares = squares.chunks_mut(size);
        let both = weights.chunks_mut(size).zip(velocity.chunks_mut(size));
        let piece = |(weights, velocity)| {
            let squares = squares.next().unwrap_or_default();
            Piece { weights, velocity, squares, step, rule }
        };
        both.map(piece).collect()
    }
}

impl Piece<'_> {
    /// Moves the weights against their gradient.
    fn descend(self, gradient: &[f32]) {
        let Piece { weights, velocity, squares, step, rule } = self;
        match rule {
            Rule::Sgd => step.apply(weights, velocity, gradient),
            Rule::RmsProp { kept, epsilon } => {
                step.rms_prop(weights, velocity, squares, gradient, (kept, epsilon));
            }
            Rule::Adam(moments) => step.adam(weights, velocity, squares, gradient, moments),
        }
    }
}

struct Apply<'a> {
    walk: Walk<'a>,
    gradients: &'a [Vec<f32>],
    norm_memory: f32,
}

impl TensorVisitor<f32, Cpu> for Apply<'_> {
    type Viewer = ViewTensorMut;
    type Err = CpuError;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, f32, Cpu>,
        parameter: &mut Tensor<S, f32, Cpu>,
    ) -> Result<Option<Tensor<S, f32, Cpu>>, CpuError> {
        let Some(weights) = elements_mut(parameter) else { return Ok(None) };
        if !options.do_gradient_update {
            let (gradient, memory) = (&self.gradients[self.walk.pass()], self.norm_memory);
            let both = weights.iter_mut().zip(gradient);
            both.for_each(|(running, now)| *running = follow(memory, *running, *now));
            return Ok(None);
        }
        let (at, own) = self.walk.own(weights.len(), S::NUM_DIMS);
        let pieces = own.pieces(weights, CHUNK).into_par_iter();
        threads::each_item(pieces.zip(self.gradients[at].par_chunks(CHUNK)), |(piece, gradient)| {
            piece.descend(gradient);
        });
        Ok(None)
    }
}

struct Update<'a> {
    walk: Walk<'a>,
    gradients: &'a mut Gradients<f32, Cpu>,
    factored: &'a mut Collected,
}

/// Elements a thread takes at a time: small enough to share out, large enough to stream.
const CHUNK: usize = 32 * 1024;

impl TensorVisitor<f32, Cpu> for Update<'_> {
    type Viewer = ViewTensorMut;
    type Err = CpuError;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, f32, Cpu>,
        parameter: &mut Tensor<S, f32, Cpu>,
    ) -> Result<Option<Tensor<S, f32, Cpu>>, CpuError> {
        if parameter.shape().num_elements() == 0 {
            return Ok(None);
        }
        if !options.do_gradient_update {
            // A running statistic: nothing moves it here.
            self.walk.pass();
            return Ok(None);
        }
        let factors = self.factored.take(parameter);
        let shape = *parameter.shape();
        let gradient = self.gradients.get_or_alloc_mut(&*parameter)?;
        let Some(weights) = elements_mut(parameter) else { return Ok(None) };
        let (_, own) = self.walk.own(weights.len(), S::NUM_DIMS);
        let factors = match factors {
            Some(factors) if factors.shared => {
                factors.ready().add_to(gradient);
                None
            }
            other => other,
        };
        let Some(factors) = factors else {
            let pieces = own.pieces(weights, CHUNK).into_par_iter();
            threads::each_item(pieces.zip(gradient.par_chunks_mut(CHUNK)), |(piece, gradient)| {
                piece.descend(gradient);
                gradient.fill(0.0);
            });
            return Ok(None);
        };
        let rows = shape.concrete()[0];
        let cols = weights.len() / rows;
        let at_once = (CHUNK / cols).next_multiple_of(tile_rows()).clamp(1, rows);
        let made = factors.ready();
        let pieces = own.pieces(weights, at_once * cols).into_par_iter();
        threads::each_item(pieces.enumerate(), |(i, piece)| {
            ROWS.with_borrow_mut(|gradient| {
                gradient.resize(piece.weights.len(), 0.0);
                made.rows(i * at_once..(i * at_once + piece.weights.len() / cols), gradient);
                piece.descend(gradient);
            });
        });
        Ok(None)
    }
}

thread_local! {
    /// Rows of a gradient, between their making and their use.
    static ROWS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}
