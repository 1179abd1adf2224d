//! Layers as operations on dfdx's tape, built on matrix products that use the whole processor ([`gemm`]).
//!
//! dfdx 0.13 records a forward operation's gradient with [`Tape::add_backward_op`]; that, and the
//! two borrowing functions below, is all that an operation from outside the crate needs.

pub mod activation;
pub mod batch;
mod columns;
pub mod concat;
pub mod conv;
pub mod conv_norm;
pub mod dropout;
pub mod factored;
pub mod gemm;
pub mod geometry;
pub mod lanes;
mod lanes_winograd;
pub mod layer_passes;
pub mod linear;
pub mod lrn;
mod matrix;
pub(crate) mod memory;
pub mod norm;
mod pairs;
pub(crate) mod panels;
pub mod pool;
mod simd;
mod winograd;

use batch::BatchPart;
use dfdx::prelude::*;
use geometry::Order;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;
use std::sync::Arc;

/// Images stored pixel by pixel: `n x H x W x C`.
pub type Image<T = NoneTape> = Tensor<(usize, usize, usize, usize), f32, Cpu, T>;

/// One row of numbers an image: `n x inputs`.
pub type Rows<T = NoneTape> = Tensor<(usize, usize), f32, Cpu, T>;

/// Height, width, channels.
pub type Size3 = [usize; 3];

/// A size that is known when a network is built. dfdx lets a module's tensors have sizes known to the
/// compiler alone ([`ConstShape`]); this one passes for such, so that widths are chosen at run time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DynSize(pub usize);

impl Dim for DynSize {
    fn size(&self) -> usize {
        self.0
    }

    fn from_size(size: usize) -> Option<DynSize> {
        Some(DynSize(size))
    }
}

impl ConstDim for DynSize {
    /// What dfdx's own building would make: nothing. Networks here have constructors.
    const SIZE: usize = 0;
}

/// One pass of a batch through a network: what layers need that behave otherwise in training.
pub struct ForwardContext {
    training: bool,
    draws: ChaCha8Rng,
    /// By the address of a running statistic: what this batch had.
    notes: HashMap<usize, Vec<f32>>,
    /// Where other processes have the rest of the batch.
    part: Option<Arc<dyn BatchPart>>,
    order: Order,
}

impl ForwardContext {
    /// Batch norm uses running statistics, dropout does nothing.
    pub fn evaluation() -> ForwardContext {
        ForwardContext {
            training: false,
            draws: ChaCha8Rng::seed_from_u64(0),
            notes: HashMap::new(),
            part: None,
            order: Order::Pixels,
        }
    }

    /// Batch norm uses the batch's statistics, dropout draws from the stream `step` of `seed`.
    pub fn training_step(seed: u64, step: u64) -> ForwardContext {
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        draws.set_stream(step);
        ForwardContext { training: true, draws, ..ForwardContext::evaluation() }
    }

    /// This pass on a batch of which this process has a part.
    pub(crate) fn of_part(self, part: Arc<dyn BatchPart>) -> ForwardContext {
        ForwardContext { part: Some(part), ..self }
    }

    /// From here on images lie in `order`.
    pub fn set_order(&mut self, order: Order) {
        self.order = order;
    }

    pub(crate) fn order(&self) -> Order {
        self.order
    }

    pub(crate) fn part(&self) -> Option<&Arc<dyn BatchPart>> {
        self.part.as_ref()
    }

    pub(crate) fn training(&self) -> bool {
        self.training
    }

    pub(crate) fn draws(&mut self) -> &mut ChaCha8Rng {
        &mut self.draws
    }

    /// Leaves out so many draws of 32 bits.
    pub(crate) fn skip(&mut self, draws: usize) {
        self.draws.set_word_pos(self.draws.get_word_pos() + draws as u128);
    }

    fn note(&mut self, address: usize, values: Vec<f32>) {
        self.notes.insert(address, values);
    }

    /// What the batch had for the running statistic `tensor`.
    pub(crate) fn noted<S: Shape>(&self, tensor: &Tensor<S, f32, Cpu>) -> Option<&[f32]> {
        self.notes.get(&address(tensor)).map(Vec::as_slice)
    }
}

/// Frees the scratch buffers that operations cache for the next one: before another network is trained, or after the
/// last.
pub fn release_memory() {
    memory::release();
}

/// Where a tensor's elements lie: as good as a name while it lives. dfdx keeps its own number to itself.
fn address<S: Shape>(tensor: &Tensor<S, f32, Cpu>) -> usize {
    elements(tensor).map_or(0, |e| e.as_ptr().addr())
}

/// Takes the gradient of an operation's result out of the map: it is needed once, and its memory again.
fn take_gradient(gradient: &mut Vec<f32>) -> Vec<f32> {
    std::mem::take(gradient)
}

/// `to += from`, on all threads.
fn add_to(to: &mut [f32], from: &[f32]) {
    const CHUNK: usize = 32 * 1024;
    crate::threads::each_chunk(to, CHUNK, |i, to| {
        to.iter_mut().zip(&from[i * CHUNK..]).for_each(|(t, f)| *t += f);
    });
}

/// The elements of a contiguous CPU tensor, in row-major order, without a copy.
///
/// dfdx 0.13.0 gives a tensor's elements out one by one (indexing) or as a copy (`as_vec`, `copy_into`); the vector that
/// holds them is the crate's own (`Tensor::data`, `Tensorlike::data`). Every operation would copy its input and its weights at
/// every pass; so the reference to the first element is widened here, the one place besides [`elements_mut`].
///
/// `None` where the tensor is a view (permuted, broadcast or sliced) or empty.
pub fn elements<S: Shape, T>(tensor: &Tensor<S, f32, Cpu, T>) -> Option<&[f32]> {
    let (length, first) = contiguous(tensor)?;
    // SAFETY: dfdx keeps a CPU tensor's elements in one `Vec<f32>`; the strides are row-major and
    // without gaps (checked by `contiguous`), so `length` elements start at the first one. They
    // live as long as the tensor is borrowed.
    Some(unsafe { std::slice::from_raw_parts(&tensor[first], length) })
}

/// The elements of a contiguous CPU tensor, to be written. Other holders of the same data keep
/// the old values (dfdx copies on write).
pub fn elements_mut<S: Shape>(tensor: &mut Tensor<S, f32, Cpu>) -> Option<&mut [f32]> {
    let (length, first) = contiguous(tensor)?;
    // SAFETY: as in `elements`; indexing mutably has made this tensor the only owner.
    Some(unsafe { std::slice::from_raw_parts_mut(&mut tensor[first], length) })
}

/// A contiguous tensor's elements, whatever its shape.
pub trait Flat: Send + Sync {
    /// The elements in row-major order; none of a view.
    fn flat(&self) -> &[f32];
}

impl<S: Shape> Flat for Tensor<S, f32, Cpu> {
    fn flat(&self) -> &[f32] {
        elements(self).unwrap_or_default()
    }
}

/// The number of elements and the index of the first, if elements lie row after row without gaps.
/// dfdx keeps strides to itself; where a step along each axis leads tells them.
fn contiguous<S: Shape, T>(tensor: &Tensor<S, f32, Cpu, T>) -> Option<(usize, S::Concrete)> {
    let sizes = tensor.shape().concrete();
    let length = tensor.shape().num_elements();
    let first = S::Concrete::default();
    if length == 0 {
        return None;
    }
    let start = std::ptr::from_ref(&tensor[first]).addr();
    let mut step = length;
    for axis in 0..S::NUM_DIMS {
        step /= sizes[axis];
        if sizes[axis] > 1 {
            let mut next = first;
            next[axis] = 1;
            let reached = std::ptr::from_ref(&tensor[next]).addr();
            if reached != start + step * size_of::<f32>() {
                return None;
            }
        }
    }
    Some((length, first))
}
