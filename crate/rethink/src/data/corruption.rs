//! Section 2.1's modifications of the labels and images.
//!
//! Each is a pure function of the data and a seed: drawn once, before training, and the same in
//! every epoch and after a resumed run. Labels of the test set are never touched (figure 1c's test
//! error is on clean labels). Pixel modifications apply to training and test images alike and come
//! before cropping and whitening; a permutation moves positions, the channels of a pixel together.

use crate::data::{Dataset, Split};
use crate::{Error, Result};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;
use rethink_nn::image::Pixels;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What is done to the data before training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Corruption {
    /// The original data.
    TrueLabels,
    /// Each training label, with probability `p`, becomes a uniform class (the true one included,
    /// so that 0.9 p of the labels of ten classes change).
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
    /// Every pixel of every image is drawn from a Gaussian with the mean and variance of the
    /// training images. The paper does not say whether "matching" means in each channel or over
    /// all of them; whitening follows either way.
    Gaussian {
        /// Moments of each channel by itself, or of all values together.
        per_channel: bool,
    },
}

impl Corruption {
    /// Figure 1a's five settings, in its legend's order.
    pub const FIGURE_1A: [Corruption; 5] = [
        Corruption::TrueLabels,
        Corruption::RandomLabels,
        Corruption::ShuffledPixels,
        Corruption::RandomPixels,
        Corruption::Gaussian { per_channel: true },
    ];

    /// The name in the paper's figures ("true labels").
    pub fn title(self) -> String {
        match self {
            Corruption::TrueLabels => "true labels".into(),
            Corruption::PartialLabels { p } => format!("{p} of the labels corrupted"),
            Corruption::RandomLabels => "random labels".into(),
            Corruption::ShuffledPixels => "shuffled pixels".into(),
            Corruption::RandomPixels => "random pixels".into(),
            Corruption::Gaussian { .. } => "gaussian".into(),
        }
    }

    /// The fraction of labels that are redrawn: 0 where labels are left alone.
    pub fn label_noise(self) -> f64 {
        match self {
            Corruption::PartialLabels { p } => p,
            Corruption::RandomLabels => 1.0,
            _ => 0.0,
        }
    }

    /// The training labels after the modification: the only part of it that photographs can have.
    ///
    /// Errors: [`Error::Argument`] for `p` outside 0 to 1, and for a modification of pixels.
    pub fn labels(self, labels: &[u16], classes: usize, seed: u64) -> Result<Vec<u16>> {
        match self {
            Corruption::TrueLabels => Ok(labels.to_vec()),
            Corruption::PartialLabels { p } => partially_corrupted(labels, classes, p, seed),
            Corruption::RandomLabels => Ok(random_labels(labels.len(), classes, seed)),
            _ => {
                let problem = format!("{} of photographs: only labels can be corrupted", self.title());
                Err(Error::argument("corruption", problem))
            }
        }
    }

    /// Applies the modification to the first `train` and `test` images of `data`.
    ///
    /// Errors: [`Error::Argument`] for `p` outside 0 to 1, and for photographs.
    pub fn apply(self, data: &Dataset, train: usize, test: usize, seed: u64) -> Result<Corrupted> {
        data.pixels("corruption")?;
        let size: usize = data.shape.iter().product();
        let [train, test] = [(&data.train, train), (&data.test, test)].map(|(split, n)| {
            let n = n.min(split.len());
            Split { images: split.images[..n * size].to_vec(), labels: split.labels[..n].to_vec() }
        });
        let labels = match self {
            Corruption::PartialLabels { p } => {
                partially_corrupted(&train.labels, data.classes.len(), p, seed)?
            }
            Corruption::RandomLabels => random_labels(train.labels.len(), data.classes.len(), seed),
            _ => train.labels,
        };
        let positions = data.shape[1] * data.shape[2];
        let mut images = [train.images, test.images];
        let pixels = match self {
            Corruption::ShuffledPixels => {
                let order = permutation(positions, &mut stream(seed, Draw::Shuffle, 0));
                for split in &mut images {
                    split.par_chunks_mut(size).for_each(|image| permute(image, &order));
                }
                images.map(Pixels::Bytes)
            }
            Corruption::RandomPixels => {
                for (draw, split) in [Draw::TrainPixels, Draw::TestPixels].into_iter().zip(&mut images) {
                    split.par_chunks_mut(size).enumerate().for_each(|(index, image)| {
                        permute(image, &permutation(positions, &mut stream(seed, draw, index)));
                    });
                }
                images.map(Pixels::Bytes)
            }
            Corruption::Gaussian { per_channel } => {
                let moments = if per_channel {
                    channel_moments(&images[0], data.shape)
                } else {
                    vec![channel_moments(&images[0], [1, 1, size])[0]; data.shape[0]]
                };
                let [train, test] = images.map(|split| split.len() / size);
                [(Draw::TrainNoise, train), (Draw::TestNoise, test)]
                    .map(|(draw, n)| Pixels::Floats(gaussian(n, positions, &moments, seed, draw)))
            }
            _ => images.map(Pixels::Bytes),
        };
        let [train_pixels, test_pixels] = pixels;
        Ok(Corrupted {
            shape: data.shape,
            train: train_pixels,
            train_labels: labels,
            test: test_pixels,
            test_labels: test.labels,
        })
    }
}

/// Data after a [`Corruption`], before cropping and whitening.
#[derive(Clone, Debug, PartialEq)]
pub struct Corrupted {
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Training images.
    pub train: Pixels,
    /// Training labels, as trained on.
    pub train_labels: Vec<u16>,
    /// Test images.
    pub test: Pixels,
    /// Test labels, always the true ones.
    pub test_labels: Vec<u16>,
}

/// Each label, with probability `p` and independently, replaced by a uniform class of `classes`.
///
/// The draws of an image are the same for every `p`: raising `p` corrupts more labels and keeps
/// those that were corrupted before.
///
/// Errors: [`Error::Argument`] for `p` outside 0 to 1.
pub fn partially_corrupted(labels: &[u16], classes: usize, p: f64, seed: u64) -> Result<Vec<u16>> {
    if !(0.0..=1.0).contains(&p) {
        return Err(Error::argument(
            "partially corrupted labels",
            format!("probability {p} is not in 0 to 1"),
        ));
    }
    let mut rng = stream(seed, Draw::Labels, 0);
    Ok(labels
        .iter()
        .map(|&label| {
            let (chance, class) = (rng.random::<f64>(), rng.random_range(0..classes));
            if chance < p { class as u16 } else { label }
        })
        .collect())
}

/// `n` uniform classes of `classes`: those that [`partially_corrupted`] gives at p = 1.
pub fn random_labels(n: usize, classes: usize, seed: u64) -> Vec<u16> {
    partially_corrupted(&vec![0; n], classes, 1.0, seed).expect("1 is a probability")
}

/// Independent streams of one seed, so that changing how one thing is drawn moves no other.
#[derive(Clone, Copy)]
enum Draw {
    Labels,
    Shuffle,
    TrainPixels,
    TestPixels,
    TrainNoise,
    TestNoise,
}

fn stream(seed: u64, draw: Draw, index: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((draw as u64) << 40 | index as u64);
    rng
}

fn permutation(n: usize, rng: &mut impl Rng) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.shuffle(rng);
    order
}

fn permute(image: &mut [u8], order: &[u32]) {
    let old = image.to_vec();
    for (new, old) in image.chunks_exact_mut(order.len()).zip(old.chunks_exact(order.len())) {
        for (to, &from) in new.iter_mut().zip(order) {
            *to = old[from as usize];
        }
    }
}

/// Mean and standard deviation of each channel on the scale of [0, 1].
fn channel_moments(images: &[u8], [channels, height, width]: [usize; 3]) -> Vec<(f64, f64)> {
    let plane = height * width;
    (0..channels)
        .map(|c| {
            // Integer sums: exact, so that no order of addition shows.
            let (sum, squares) = images
                .par_chunks_exact(channels * plane)
                .map(|image| {
                    image[c * plane..(c + 1) * plane].iter().fold((0u64, 0u64), |(s, q), &v| {
                        let v = u64::from(v);
                        (s + v, q + v * v)
                    })
                })
                .reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
            let n = (images.len() / channels) as f64;
            let mean = sum as f64 / n;
            let variance = squares as f64 / n - mean * mean;
            (mean / 255.0, variance.max(0.0).sqrt() / 255.0)
        })
        .collect()
}

fn gaussian(n: usize, plane: usize, moments: &[(f64, f64)], seed: u64, draw: Draw) -> Vec<f32> {
    let mut out = vec![0.0; n * moments.len() * plane];
    out.par_chunks_mut(moments.len() * plane).enumerate().for_each(|(index, image)| {
        let mut rng = stream(seed, draw, index);
        for (channel, &(mean, deviation)) in image.chunks_exact_mut(plane).zip(moments) {
            let normal = Normal::new(mean, deviation).expect("a deviation of bytes is finite");
            channel.iter_mut().for_each(|v| *v = normal.sample(&mut rng) as f32);
        }
    });
    out
}

impl std::fmt::Display for Corruption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Corruption::TrueLabels => f.write_str("true-labels"),
            Corruption::PartialLabels { p } => write!(f, "partial-labels:{p}"),
            Corruption::RandomLabels => f.write_str("random-labels"),
            Corruption::ShuffledPixels => f.write_str("shuffled-pixels"),
            Corruption::RandomPixels => f.write_str("random-pixels"),
            Corruption::Gaussian { per_channel: true } => f.write_str("gaussian"),
            Corruption::Gaussian { per_channel: false } => f.write_str("gaussian:overall"),
        }
    }
}

impl FromStr for Corruption {
    type Err = Error;

    /// `true-labels`, `partial-labels:P`, `random-labels`, `shuffled-pixels`, `random-pixels`,
    /// `gaussian` or `gaussian:overall`.
    fn from_str(text: &str) -> Result<Corruption> {
        let unknown = || {
            let names = "true-labels, partial-labels:P, random-labels, shuffled-pixels, \
                         random-pixels, gaussian, gaussian:overall";
            Error::argument("corruption", format!("{text:?} is none of {names}"))
        };
        if let Some(p) = text.strip_prefix("partial-labels:") {
            let p: f64 = p.parse().map_err(|_| unknown())?;
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::argument("corruption", format!("probability {p} is not in 0 to 1")));
            }
            return Ok(Corruption::PartialLabels { p });
        }
        let overall = Corruption::Gaussian { per_channel: false };
        let known = Corruption::FIGURE_1A.into_iter().chain([overall]);
        known.into_iter().find(|c| c.to_string() == text).ok_or_else(unknown)
    }
}
