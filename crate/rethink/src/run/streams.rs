//! Streams of random numbers of a run's order seed, so that a resumed run draws what it would have drawn.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Orders of the training images, a stream an epoch.
pub(crate) const ORDER: u64 = 0;
/// Random crops, a stream an epoch.
pub(crate) const CROPS: u64 = 1;
/// What layers draw, a stream a step.
pub(crate) const DRAWS: u64 = 2;
/// Augmentation, a stream an epoch.
pub(crate) const AUGMENT: u64 = 3;

/// The stream of `what`, one of the above, in the epoch or step `number`.
pub(crate) fn stream(what: u64, number: u32) -> u64 {
    what << 40 | u64::from(number)
}

/// The generator of the order seed `seed` for `what`, one of the above, in `epoch`.
pub(crate) fn epoch_stream(seed: u64, what: u64, epoch: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream(what, epoch));
    rng
}
