//! Section 4 and appendix C: networks, written down rather than trained, that fit any labels of a finite
//! sample.

use crate::data::Dataset;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;

/// Distinct points and a label each.
pub struct Sample {
    /// `n x d`, row-major: pixels in 0 to 1.
    pub points: Vec<f64>,
    /// Numbers to be fitted, one a point.
    pub targets: Vec<f64>,
    /// Dimensions of a point.
    pub d: usize,
    /// Images left out because an earlier one is the same: a function has one value there.
    pub repeated: usize,
}

impl Sample {
    /// The first `n` training images of `data`, each with a random class (0, 1, ... as a number), drawn
    /// from `seed`. The images are told apart by their bytes.
    pub fn random_labels(data: &Dataset, n: usize, seed: u64) -> Sample {
        let d = data.shape.iter().product();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut seen = HashSet::new();
        let mut sample = Sample { points: Vec::new(), targets: Vec::new(), d, repeated: 0 };
        for image in data.train.images.chunks_exact(d).take(n) {
            let label = rng.random_range(0..data.classes.len());
            if !seen.insert(image) {
                sample.repeated += 1;
                continue;
            }
            sample.points.extend(image.iter().map(|&byte| f64::from(byte) / 255.0));
            sample.targets.push(label as f64);
        }
        sample
    }
}
