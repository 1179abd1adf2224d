//! A tensor of a network on the device, with what the optimiser remembers of it.

use crate::cuda::{Backend, Buffer, Done, Key, kernels};
use crate::optim::Optimizer;
use std::sync::Arc;

/// A tensor of parameters or running statistics.
pub(super) struct Weight<B: Backend> {
    pub name: String,
    pub shape: Vec<usize>,
    pub trained: bool,
    pub length: usize,
    pub values: Arc<Buffer<B>>,
    /// From the first step on.
    pub velocity: Option<Buffer<B>>,
    /// RMSProp's or Adam's mean squares, from the first step on.
    pub squares: Option<Buffer<B>>,
    /// From the first step on where weights are averaged.
    pub average: Option<Arc<Buffer<B>>>,
    pub key: Key<B>,
}

impl<B: Backend> Weight<B> {
    /// What the optimiser remembers before the first step.
    pub fn begin(&mut self, b: &B, optimizer: Optimizer) -> Done<B> {
        if self.velocity.is_none() {
            self.velocity = Some(kernels::zeros(b, self.length)?);
        }
        if let (Some(square), None) = (optimizer.first_square(), &self.squares) {
            self.squares = Some(kernels::upload(b, &vec![square; self.length])?);
        }
        Ok(())
    }
}
