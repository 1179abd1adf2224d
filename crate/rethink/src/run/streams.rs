//! Streams of random numbers of a run's order seed, so that a resumed run draws what it would have drawn.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Streams of the order seed: orders, an epoch each; random crops, an epoch each; a layer's draws, a step each;
/// augmentation, an epoch each. A resumed run draws what it would have drawn.
pub(crate) const ORDER: u64 = 0;
pub(crate) const CROPS: u64 = 1;
pub(crate) const DRAWS: u64 = 2;
pub(crate) const AUGMENT: u64 = 3;

pub(crate) fn epoch_stream(seed: u64, what: u64, epoch: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(what << 40 | u64::from(epoch));
    rng
}
