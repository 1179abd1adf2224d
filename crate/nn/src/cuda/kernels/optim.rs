//! Steps of an optimiser, and averages that follow weights and statistics: one launch for many tensors.

use super::{Arg, address, length, run};
use crate::cuda::{Backend, Buffer, Done};

/// Most tensors of a launch: what it is told of them stays below the 4 KB that a kernel's arguments may have.
const TENSORS: usize = 64;

/// Tensors whose numbers one launch works on, as `kernels.cu` has them.
#[repr(C)]
pub(super) struct Tensors {
    count: u32,
    first: [u32; TENSORS],
    decay: [f32; TENSORS],
    memory: [[u64; TENSORS]; 4],
}

/// A tensor of many that a kernel works on.
pub struct Piece<'a, B: Backend> {
    /// Its memory, each from a number on, in the order in which the kernel has it; some of it is written.
    pub memory: Vec<(&'a Buffer<B>, usize)>,
    pub length: usize,
    pub decay: f32,
}

impl Tensors {
    /// [`TENSORS`] pieces at most, and how many numbers they have in all.
    fn of<B: Backend>(b: &B, pieces: &[Piece<B>]) -> (Tensors, usize) {
        let count = u32::try_from(pieces.len()).expect("a few tensors");
        let (mut first, mut decay, mut memory) = ([0; TENSORS], [0.0; TENSORS], [[0; TENSORS]; 4]);
        let mut all = 0;
        for (index, piece) in pieces.iter().enumerate() {
            first[index] = u32::try_from(all).expect("fewer than 2^32 numbers");
            decay[index] = piece.decay;
            for (memory, (buffer, from)) in memory.iter_mut().zip(&piece.memory) {
                assert!(length(b, buffer) >= from + piece.length, "a tensor's memory");
                memory[index] = address::<B>(buffer, *from);
            }
            all += piece.length;
        }
        (Tensors { count, first, decay, memory }, all)
    }
}

/// A kernel of many tensors, each of which has `memory` addresses.
fn on_tensors<B: Backend>(
    b: &B,
    kernel: &'static str,
    pieces: &[Piece<B>],
    memory: usize,
    arguments: &[Arg],
) -> Done<B> {
    assert!(pieces.iter().all(|piece| piece.memory.len() == memory), "{kernel}: memory of a tensor");
    let mut rest = pieces;
    while !rest.is_empty() {
        let (pieces, others) = rest.split_at(at_once(rest.iter().map(|piece| piece.length)));
        rest = others;
        let (tensors, all) = Tensors::of(b, pieces);
        let arguments: Vec<Arg> =
            std::iter::once(Arg::Tensors(&tensors)).chain(arguments.iter().copied()).collect();
        // SAFETY: the types are those of the kernel, which works on `memory` addresses of each tensor; lengths have been
        // checked.
        unsafe { run(b, kernel, all, &arguments)? };
    }
    Ok(())
}

/// How many of the first tensors, of so many numbers each, a launch works on: one at least, [`TENSORS`] at most, whose numbers 32 bits count.
fn at_once(lengths: impl Iterator<Item = usize>) -> usize {
    let sums = lengths.take(TENSORS).scan(0, |sum, length| {
        *sum += length;
        Some(*sum)
    });
    sums.take_while(|&sum| u32::try_from(sum).is_ok()).count().max(1)
}

/// One step of SGD for weights, velocities and gradients.
pub fn sgd<B: Backend>(b: &B, pieces: &[Piece<B>], step: crate::optim::SgdStep) -> Done<B> {
    on_tensors(b, "sgd", pieces, 3, &[Arg::Real(step.learning_rate), Arg::Real(step.momentum)])
}

/// One step of RMSProp for weights, velocities, gradients and mean squares, with the share of these that is kept, and
/// epsilon.
pub fn rms_prop<B: Backend>(
    b: &B,
    pieces: &[Piece<B>],
    step: crate::optim::SgdStep,
    (kept, epsilon): (f32, f32),
) -> Done<B> {
    let numbers = [step.learning_rate, step.momentum, kept, epsilon].map(Arg::Real);
    on_tensors(b, "rms_prop", pieces, 4, &numbers)
}

/// One step of Adam for weights, mean gradients, gradients and mean squares.
pub fn adam<B: Backend>(
    b: &B,
    pieces: &[Piece<B>],
    step: crate::optim::SgdStep,
    moments: crate::optim::step::Moments,
) -> Done<B> {
    let rate = step.learning_rate;
    let (coupled, decoupled) = if moments.decoupled { (0.0, rate) } else { (1.0, 0.0) };
    let numbers = [
        rate * moments.mean_correction,
        step.momentum,
        moments.kept,
        moments.square_correction,
        moments.epsilon,
        coupled,
        decoupled,
    ];
    on_tensors(b, "adam", pieces, 4, &numbers.map(Arg::Real))
}

/// Moves averages towards weights.
pub fn average<B: Backend>(b: &B, pieces: &[Piece<B>], kept: f32) -> Done<B> {
    on_tensors(b, "average", pieces, 2, &[Arg::Real(kept)])
}

/// Moves running statistics towards a batch's.
pub fn follow<B: Backend>(b: &B, pieces: &[Piece<B>], kept: f32) -> Done<B> {
    on_tensors(b, "follow", pieces, 2, &[Arg::Real(kept)])
}
