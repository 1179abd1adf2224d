//! SGD with momentum and weight decay (appendix A), in one pass over the memory.
//!
//! The update is dfdx's `Sgd` with classic momentum and L2 weight decay, to the bit:
//! `g += wd * w; v = g + mu * v; w -= lr * v`. dfdx's own kernel is single-threaded and leaves the
//! gradients to be cleared by another pass; this one divides each tensor among the threads and
//! clears the gradient while it is in the cache.

use crate::config::DecayOn;
use crate::ops::elements_mut;
use crate::ops::factored::Collected;
use crate::ops::norm::follow;
use crate::threads;
use dfdx::nn::tensor_collection::*;
use dfdx::prelude::*;
use rayon::prelude::*;
use std::cell::RefCell;

/// Coefficients of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Step size.
    pub learning_rate: f32,
    /// Share of the last velocity that is kept.
    pub momentum: f32,
    /// L2 coefficient on what [`Sgd::decay`] names.
    pub weight_decay: f32,
}

/// What weight decay acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decay {
    /// Every parameter.
    #[default]
    All,
    /// The first so many matrices (the weights of fully connected layers), and nothing else.
    Matrices(usize),
}

impl Decay {
    /// In a network of so many fully connected layers, of which the last one is not hidden.
    pub(crate) fn on(on: DecayOn, linears: usize) -> Decay {
        match on {
            DecayOn::All => Decay::All,
            DecayOn::Fc => Decay::Matrices(linears.saturating_sub(1)),
        }
    }

    /// Whether it acts on the next parameter, one of `dimensions`; `matrices` counts those that have been passed.
    pub(crate) fn acts_on(self, dimensions: usize, matrices: &mut usize) -> bool {
        let is_matrix = dimensions == 2;
        *matrices += usize::from(is_matrix);
        match self {
            Decay::All => true,
            Decay::Matrices(first) => is_matrix && *matrices <= first,
        }
    }
}

/// The optimiser's memory: a velocity for every parameter, in the order the model names them.
#[derive(Clone, Debug, Default)]
pub struct Sgd {
    /// One entry a parameter tensor, an empty one for a running statistic; filled at the first update.
    pub velocity: Vec<Vec<f32>>,
    /// What weight decay acts on.
    pub decay: Decay,
}

impl Sgd {
    /// Moves every parameter of `model` against its gradient, and leaves the gradients zero.
    ///
    /// Errors: dfdx's, when memory is short.
    pub fn update<M: TensorCollection<f32, Cpu>>(
        &mut self,
        model: &mut M,
        gradients: &mut Gradients<f32, Cpu>,
        mut factored: Collected,
        step: SgdStep,
    ) -> Result<(), CpuError> {
        let Sgd { velocity, decay } = self;
        let decay = *decay;
        let mut visitor =
            Update { velocity, gradients, factored: &mut factored, step, decay, at: 0, matrices: 0 };
        M::iter_tensors(&mut RecursiveWalker { m: model, f: &mut visitor })?;
        Ok(())
    }
}

impl Sgd {
    /// Moves every parameter of `model` against the gradients that are given, one a parameter tensor in the model's
    /// order; in the place of a running statistic stands what the batch had, towards which it moves.
    ///
    /// Errors: dfdx's, when memory is short.
    pub(crate) fn apply<M: TensorCollection<f32, Cpu>>(
        &mut self,
        model: &mut M,
        gradients: &[Vec<f32>],
        step: SgdStep,
    ) -> Result<(), CpuError> {
        let Sgd { velocity, decay } = self;
        let mut visitor = Apply { velocity, gradients, step, decay: *decay, at: 0, matrices: 0 };
        M::iter_tensors(&mut RecursiveWalker { m: model, f: &mut visitor })?;
        Ok(())
    }
}

struct Apply<'a> {
    velocity: &'a mut Vec<Vec<f32>>,
    gradients: &'a [Vec<f32>],
    step: SgdStep,
    decay: Decay,
    at: usize,
    matrices: usize,
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
        let trained = options.do_gradient_update;
        if self.velocity.len() == self.at {
            self.velocity.push(if trained { vec![0.0; weights.len()] } else { Vec::new() });
        }
        let (velocity, gradient) = (&mut self.velocity[self.at], &self.gradients[self.at]);
        self.at += 1;
        if !trained {
            weights.iter_mut().zip(gradient).for_each(|(running, now)| *running = follow(*running, *now));
            return Ok(None);
        }
        let mut step = self.step;
        if !self.decay.acts_on(S::NUM_DIMS, &mut self.matrices) {
            step.weight_decay = 0.0;
        }
        let chunks = weights.par_chunks_mut(CHUNK).zip(velocity.par_chunks_mut(CHUNK));
        threads::each_item(chunks.zip(gradient.par_chunks(CHUNK)), |((weights, velocity), gradient)| {
            step.apply(weights, velocity, gradient);
        });
        Ok(None)
    }
}

struct Update<'a> {
    velocity: &'a mut Vec<Vec<f32>>,
    gradients: &'a mut Gradients<f32, Cpu>,
    factored: &'a mut Collected,
    step: SgdStep,
    decay: Decay,
    at: usize,
    matrices: usize,
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
            // A running statistic: nothing moves it here, but the order of the velocities is the parameters'.
            if self.velocity.len() == self.at {
                self.velocity.push(Vec::new());
            }
            self.at += 1;
            return Ok(None);
        }
        let factors = self.factored.take(parameter);
        let shape = *parameter.shape();
        let gradient = self.gradients.get_or_alloc_mut(&*parameter)?;
        let Some(weights) = elements_mut(parameter) else { return Ok(None) };
        if self.velocity.len() == self.at {
            self.velocity.push(vec![0.0; weights.len()]);
        }
        let velocity = &mut self.velocity[self.at];
        self.at += 1;
        let mut step = self.step;
        if !self.decay.acts_on(S::NUM_DIMS, &mut self.matrices) {
            step.weight_decay = 0.0;
        }
        let factors = match factors {
            Some(factors) if factors.shared => {
                factors.ready().add_to(gradient);
                None
            }
            other => other,
        };
        let Some(factors) = factors else {
            let chunks = weights.par_chunks_mut(CHUNK).zip(velocity.par_chunks_mut(CHUNK));
            threads::each_item(
                chunks.zip(gradient.par_chunks_mut(CHUNK)),
                |((weights, velocity), gradient)| {
                    step.apply(weights, velocity, gradient);
                    gradient.fill(0.0);
                },
            );
            return Ok(None);
        };
        let rows = shape.concrete()[0];
        let cols = weights.len() / rows;
        let at_once = (CHUNK / cols).clamp(1, rows);
        let made = factors.ready();
        let chunks = weights.par_chunks_mut(at_once * cols).zip(velocity.par_chunks_mut(at_once * cols));
        threads::each_item(chunks.enumerate(), |(i, (weights, velocity))| {
            ROWS.with_borrow_mut(|gradient| {
                gradient.resize(weights.len(), 0.0);
                made.rows(i * at_once..(i * at_once + weights.len() / cols), gradient);
                step.apply(weights, velocity, gradient);
            });
        });
        Ok(None)
    }
}

thread_local! {
    /// Rows of a gradient, between their making and their use.
    static ROWS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl SgdStep {
    /// Moves `weights` and their `velocity`.
    pub(crate) fn apply(self, weights: &mut [f32], velocity: &mut [f32], gradient: &[f32]) {
        let SgdStep { learning_rate, momentum, weight_decay } = self;
        for ((w, v), g) in weights.iter_mut().zip(velocity).zip(gradient) {
            *v = (*g + weight_decay * *w) + momentum * *v;
            *w -= *v * learning_rate;
        }
    }
}
