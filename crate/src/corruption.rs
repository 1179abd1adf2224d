//! Section 2.1's modifications of the labels and images.

use serde::{Deserialize, Serialize};

/// What is done to the data before training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Corruption {
    /// The original data.
    TrueLabels,
    /// Each training label, with probability `p`, becomes a uniform class (the true one included).
    PartialLabels {
        /// 0 to 1.
        p: f64,
    },
    /// Every training label becomes a uniform class.
    RandomLabels,
    /// One permutation of the pixels for all training and test images.
    ShuffledPixels,
    /// A permutation of its own for each image.
    RandomPixels,
    /// Every image is drawn from a Gaussian with the data's mean and variance.
    Gaussian,
}
