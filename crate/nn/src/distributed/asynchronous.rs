//! Asynchronous SGD: each process fetches the weights as they are, computes the gradient of a batch of its own, and
//! changes the weights, which others have changed meanwhile. So the paper trained Inception V3 on ImageNet
//! (appendix A: "a distributed asynchronous SGD system with 50 workers").
//!
//! Weights and velocities lie on a [`ParameterServer`]; momentum and weight decay act there, on the weights of the moment of
//! the change, as TensorFlow's parameter servers have it. Every batch of an epoch is taken once, by whoever is
//! free. At an epoch's end all wait, the weights are tested and may be written to a checkpoint. Batch
//! normalisation is by each batch's own statistics; running statistics lie on the server too, and each batch moves them.

use crate::distributed::{MakeServer, ParameterServer, ProcessGroup, total};
use crate::models::{Network, Parameter, Role};
use crate::ops::ForwardContext;
use crate::ops::norm::follow;
use crate::optim::SgdStep;
use crate::{Error, Result};
use std::ops::Range;
use std::time::Instant;

/// What a batch gave, by its place in the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Mean over the batch, nats.
    pub loss: f64,
    /// Images classified as labelled.
    pub correct: usize,
    /// Since the epoch's beginning, of whoever took it.
    pub seconds: f64,
}

/// A network whose weights lie on a server.
pub struct Worker {
    server: Box<dyn ParameterServer>,
    /// The tensors as one row of numbers.
    parts: Vec<(Range<usize>, Role)>,
    /// The last that was fetched.
    parameters: Vec<Parameter>,
    weights: Vec<f32>,
    /// The first ticket of the epoch.
    ticket: u64,
    /// [`crate::optim::Rules::norm_memory`].
    norm_memory: f32,
}

/// Images, their labels, and what the step draws.
pub type Batch = (Vec<f32>, Vec<u16>, ForwardContext);

impl Worker {
    /// With `network`'s weights and velocities, which are the same in all processes.
    ///
    /// Errors: those of [`Network::parameters`].
    pub fn new(network: &dyn Network, make: &mut MakeServer) -> Result<Worker> {
        let (parameters, known) = (network.parameters()?, network.velocity()?);
        let mut parts = Vec::with_capacity(parameters.len());
        let (mut weights, mut velocity) = (Vec::new(), Vec::new());
        for (index, (parameter, role)) in parameters.iter().zip(network.roles()).enumerate() {
            let from = weights.len();
            weights.extend(&parameter.values);
            parts.push((from..weights.len(), role));
            match known.get(index) {
                Some(known) if !known.is_empty() => velocity.extend(known),
                _ => velocity.resize(weights.len(), 0.0),
            }
        }
        let norm_memory = network.rules().norm_memory;
        Ok(Worker { server: make(&weights, &velocity), parts, parameters, weights, ticket: 0, norm_memory })
    }

    /// `steps` batches of an epoch, of which this process takes as many as it comes to; returns what each gave, whoever
    /// took it. `network` has the last weights then.
    ///
    /// Errors: those of [`Network::gradients`] and of `batch`.
    pub fn epoch<E: From<Error>>(
        &mut self,
        network: &mut dyn Network,
        team: &dyn ProcessGroup,
        steps: usize,
        step: SgdStep,
        batch: &dyn Fn(usize) -> std::result::Result<Batch, E>,
    ) -> std::result::Result<Vec<Taken>, E> {
        let started = Instant::now();
        let mut taken = vec![Taken::default(); steps];
        let mut failed = None;
        loop {
            let index = (self.server.ticket() - self.ticket) as usize;
            if index >= steps {
                break;
            }
            // Whoever has failed takes its part of the tickets none the less: the others count on it.
            if failed.is_some() {
                continue;
            }
            match batch(index).and_then(|batch| Ok(self.step(network, step, batch)?)) {
                Ok((loss, correct)) => {
                    taken[index] = Taken { loss, correct, seconds: started.elapsed().as_secs_f64() };
                }
                Err(error) => failed = Some(error),
            }
        }
        // Every process has drawn one ticket that was no batch's.
        self.ticket += (steps + team.size()) as u64;
        if let Some(error) = failed {
            return Err(error);
        }
        let mine: Vec<f64> = taken.iter().flat_map(|t| [t.loss, t.correct as f64, t.seconds]).collect();
        // Nobody gets past this before all changes are made.
        let all = total(team, &mine);
        self.load(network)?;
        // Nor past this before all have the weights of the epoch's end, which rank 0 may keep.
        total(team, &[0.0]);
        let taken = |t: &[f64]| Taken { loss: t[0], correct: t[1] as usize, seconds: t[2] };
        Ok(all.chunks_exact(3).map(taken).collect())
    }

    /// Ends the server, when all processes have come to the end.
    pub fn close(self) {
        self.server.close();
    }

    fn step(
        &mut self,
        network: &mut dyn Network,
        step: SgdStep,
        (images, labels, pass): (Vec<f32>, Vec<u16>, ForwardContext),
    ) -> Result<(f64, usize)> {
        // Of nothing but files that are no photographs.
        if labels.is_empty() {
            return Ok((0.0, 0));
        }
        self.server.fetch(&mut self.weights, None);
        self.restore(network, Vec::new())?;
        let (outcome, gradients) = network.gradients(images, &labels, pass)?;
        let mut gradient = Vec::with_capacity(self.weights.len());
        gradients.iter().for_each(|part| gradient.extend(part));
        if gradient.len() != self.weights.len() {
            return Err(Error::argument("asynchronous step", "gradients of other sizes than the weights"));
        }
        let (parts, norm_memory) = (&self.parts, self.norm_memory);
        for (number, shard) in self.server.shards().into_iter().enumerate() {
            self.server.update(number, &mut |weights, velocity, change| {
                let from = shard.start;
                for (part, role) in parts {
                    let here = part.start.max(from)..part.end.min(shard.end);
                    if here.is_empty() {
                        continue;
                    }
                    let gradient = &gradient[here.clone()];
                    let here = here.start - from..here.end - from;
                    let (weights, velocity) = (&weights[here.clone()], &mut velocity[here.clone()]);
                    changes((*role, norm_memory), step, weights, velocity, gradient, &mut change[here]);
                }
            });
        }
        Ok((f64::from(outcome.loss), outcome.correct))
    }

    /// Gives `network` the weights and velocities that the server has.
    fn load(&mut self, network: &mut dyn Network) -> Result<()> {
        let mut velocity = vec![0.0; self.weights.len()];
        self.server.fetch(&mut self.weights, Some(&mut velocity));
        let parts = self.parts.iter().map(|(part, role)| match role {
            Role::Trained { .. } => velocity[part.clone()].to_vec(),
            Role::Statistic => Vec::new(),
        });
        self.restore(network, parts.collect())
    }

    fn restore(&mut self, network: &mut dyn Network, velocity: Vec<Vec<f32>>) -> Result<()> {
        for (parameter, (part, _)) in self.parameters.iter_mut().zip(&self.parts) {
            parameter.values.copy_from_slice(&self.weights[part.clone()]);
        }
        network.restore(&self.parameters, velocity)
    }
}

/// The new velocities of a part, and what is added to its weights.
fn changes(
    (role, norm_memory): (Role, f32),
    step: SgdStep,
    weights: &[f32],
    velocity: &mut [f32],
    gradient: &[f32],
    change: &mut [f32],
) {
    let SgdStep { learning_rate, momentum, weight_decay } = step;
    match role {
        Role::Statistic => {
            for ((change, running), now) in change.iter_mut().zip(weights).zip(gradient) {
                *change = follow(norm_memory, *running, *now) - running;
            }
        }
        Role::Trained { decayed } => {
            let weight_decay = if decayed { weight_decay } else { 0.0 };
            for (((change, w), v), g) in change.iter_mut().zip(weights).zip(velocity).zip(gradient) {
                *v = (g + weight_decay * w) + momentum * *v;
                *change = -(*v * learning_rate);
            }
        }
    }
}
