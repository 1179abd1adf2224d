//! Gradients of weight matrices as their two factors, until the update multiplies them.
//!
//! A fully connected layer's weights have the gradient `dy' x`: as large as the weights, used once. Written to
//! memory by the backward pass, added to zeros and read again by the update, it costs as much time as a
//! third of the matrix products. So a trainer may ask for the factors instead ([`collect`]), and its
//! optimiser makes the gradient a few rows at a time, in the cache ([`Gradient::rows`]). Whoever does
//! not ask gets gradients in dfdx's `Gradients` as ever.

use crate::ops::gemm::{Matrix, Packed};
use crate::ops::{Flat, address};
use crate::precision::Precision;
use dfdx::prelude::{Cpu, Shape, Tensor};
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// `dy' x`, the gradient of an `O x I` weight matrix over a batch of `n`.
pub struct Factors {
    /// `n x O`: the gradient of the layer's result.
    pub dy: Vec<f32>,
    /// `n x I`: the layer's input.
    pub x: Box<dyn Flat>,
    /// Images in the batch.
    pub n: usize,
    /// Whether the weights are used once more: what that adds is in dfdx's `Gradients`.
    pub shared: bool,
    /// What the product rounds them to.
    pub precision: Precision,
}

impl Factors {
    /// Lays `x` out for [`Gradient::rows`].
    pub fn ready(&self) -> Gradient<'_> {
        let x = self.x.flat();
        let dy = Matrix::new(&self.dy, self.n, self.dy.len() / self.n).t();
        Gradient { dy, x: Packed::with(self.precision, Matrix::new(x, self.n, x.len() / self.n)) }
    }
}

/// [`Factors`], ready to be multiplied.
pub struct Gradient<'a> {
    dy: Matrix<'a>,
    x: Packed,
}

impl Gradient<'_> {
    /// Adds all rows to `out`, `O x I`, on all threads.
    pub fn add_to(&self, out: &mut [f32]) {
        self.x.product(out, self.dy, true);
    }

    /// Writes some rows of the gradient, one after the other.
    pub fn rows(&self, rows: std::ops::Range<usize>, out: &mut [f32]) {
        self.x.product_rows(out, self.dy, rows, false);
    }
}

/// Factors by weight matrix.
#[derive(Default)]
pub struct Collected(HashMap<usize, Factors>);

impl Collected {
    /// Takes what was collected for `weight`.
    pub fn take<S: Shape>(&mut self, weight: &Tensor<S, f32, Cpu>) -> Option<Factors> {
        self.0.remove(&address(weight))
    }
}

thread_local! {
    static COLLECTING: RefCell<Option<Collected>> = const { RefCell::new(None) };
}

/// Runs a backward pass whose weight gradients may stay factored.
pub fn collect<R>(backward: impl FnOnce() -> R) -> (R, Collected) {
    COLLECTING.set(Some(Collected::default()));
    let result = backward();
    (result, COLLECTING.take().unwrap_or_default())
}

/// Hands factors to whoever collects them; gives them back where nobody does.
pub(super) fn offer<S: Shape>(weight: &Tensor<S, f32, Cpu>, factors: Factors) -> Option<Factors> {
    COLLECTING.with_borrow_mut(|collecting| match collecting {
        Some(Collected(map)) => match map.entry(address(weight)) {
            Entry::Vacant(entry) => {
                entry.insert(factors);
                None
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().shared = true;
                Some(factors)
            }
        },
        None => Some(factors),
    })
}
