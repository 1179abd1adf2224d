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
use rethink_nn::numbers::parsed;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Declares [`Corruption`] and, with the same variants, [`Kind`], so that none can be left out of what lists them all.
macro_rules! corruptions {
    (
        $(#[$of_all:meta])*
        pub enum $name:ident {
            $( $(#[$of_one:meta])* $variant:ident $({ $( $(#[$of_field:meta])* $field:ident: $type:ty, )* })?, )*
        }
    ) => {
        $(#[$of_all])*
        pub enum $name {
            $( $(#[$of_one])* $variant $({ $( $(#[$of_field])* $field: $type, )* })?, )*
        }

        /// A [`Corruption`] without its numbers.
        #[derive(Clone, Copy)]
        enum Kind { $( $variant, )* }

        impl Kind {
            const ALL: &[Kind] = &[$( Kind::$variant, )*];
        }
    };
}

corruptions! {
    /// What is done to the data before training.
    ///
    /// **To add one:** a variant here; the compiler then asks for it in [`Corruption::description`] (what it is called),
    /// `Kind::forms` and `Kind::parse` (how it is asked for) and `Corruption::change` (what it does). Nothing else lists
    /// corruptions: the command line's help, its errors and the tests go through [`Corruption::forms`].
    ///
    /// **Published keys.** A run's key is made of this enum's JSON: the names of variants (in kebab-case) and fields, and the
    /// fields' values. Another name, another field, or a field more in a variant that there is gives every run with it another
    /// key, under which nobody finds what took hours. A new variant changes no key.
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
}

/// What a [`Corruption`] is called, and its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The name in the paper's figures ("true labels").
    pub title: String,
    /// The name on the command line, with numbers ("partial-labels:0.5").
    pub name: String,
    /// With which probability each label is changed, where that is a number of the corruption's: 0 to 1.
    pub probability: Option<f64>,
    /// The fraction of labels that become uniform classes, figure 1b's level: 0 for true labels. `None` for a modification of
    /// another kind, which has no place on that axis.
    pub label_noise: Option<f64>,
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

    /// What it is called.
    pub fn description(self) -> Description {
        let (title, name, probability, label_noise) = match self {
            Corruption::TrueLabels => ("true labels".into(), "true-labels".into(), None, Some(0.0)),
            Corruption::PartialLabels { p } => {
                (format!("{p} of the labels corrupted"), format!("partial-labels:{p}"), Some(p), Some(p))
            }
            Corruption::RandomLabels => ("random labels".into(), "random-labels".into(), None, Some(1.0)),
            Corruption::ShuffledPixels => ("shuffled pixels".into(), "shuffled-pixels".into(), None, None),
            Corruption::RandomPixels => ("random pixels".into(), "random-pixels".into(), None, None),
            Corruption::Gaussian { per_channel } => (
                "gaussian".into(),
                if per_channel { "gaussian" } else { "gaussian:overall" }.into(),
                None,
                None,
            ),
        };
        Description { title, name, probability, label_noise }
    }

    /// Every name that the command line takes, numbers as capitals: "true-labels", "partial-labels:P", ...
    pub fn forms() -> Vec<&'static str> {
        Kind::ALL.iter().flat_map(|kind| kind.forms()).copied().collect()
    }

    /// The name in the paper's figures ("true labels").
    pub fn title(self) -> String {
        self.description().title
    }

    /// The fraction of labels that are drawn anew, uniformly: figure 1b's level. `None` for a modification of another kind.
    pub fn label_noise(self) -> Option<f64> {
        self.description().label_noise
    }

    /// What is wrong with its numbers.
    pub(crate) fn problem(self) -> Option<String> {
        let Description { name, probability, .. } = self.description();
        let p = probability.filter(|p| !(0.0..=1.0).contains(p))?;
        Some(format!("{name}: probability {p} is not in 0 to 1"))
    }

    /// The training labels after the modification: the only part of it that photographs can have.
    ///
    /// Errors: [`Error::Argument`] for `p` outside 0 to 1, and for a modification of pixels.
    pub fn labels(self, labels: &[u16], classes: usize, seed: u64) -> Result<Vec<u16>> {
        let mut labels = labels.to_vec();
        self.change(&mut labels, None, classes, seed)?;
        Ok(labels)
    }

    /// Applies the modification to the first `train` and `test` images of `data`.
    ///
    /// Errors: [`Error::Argument`] for `p` outside 0 to 1, and for photographs.
    pub fn apply(self, data: &Dataset, train: usize, test: usize, seed: u64) -> Result<Corrupted> {
        data.pixels("corruption")?;
        let size: usize = data.shape.iter().product();
        let [mut train, test] = [(&data.train, train), (&data.test, test)].map(|(split, n)| {
            let n = n.min(split.len());
            Split { images: split.images[..n * size].to_vec(), labels: split.labels[..n].to_vec() }
        });
        let mut images = Images { shape: data.shape, splits: [train.images, test.images].map(Pixels::Bytes) };
        self.change(&mut train.labels, Some(&mut images), data.classes.len(), seed)?;
        let [train_pixels, test_pixels] = images.splits;
        Ok(Corrupted {
            shape: data.shape,
            train: train_pixels,
            train_labels: train.labels,
            test: test_pixels,
            test_labels: test.labels,
        })
    }

    /// The modification itself, of the training labels and, where these are small images, of both splits' pixels: the one place
    /// that says what each corruption does, for small images and for photographs (`images`: none).
    fn change(
        self,
        labels: &mut Vec<u16>,
        images: Option<&mut Images>,
        classes: usize,
        seed: u64,
    ) -> Result<()> {
        let small = images.ok_or_else(|| {
            let problem = format!("{} of photographs: only labels can be corrupted", self.title());
            Error::argument("corruption", problem)
        });
        match self {
            Corruption::TrueLabels => (),
            Corruption::PartialLabels { p } => *labels = partially_corrupted(labels, classes, p, seed)?,
            Corruption::RandomLabels => *labels = random_labels(labels.len(), classes, seed),
            Corruption::ShuffledPixels => small?.shuffle(seed),
            Corruption::RandomPixels => small?.shuffle_each(seed),
            Corruption::Gaussian { per_channel } => small?.replace_by_noise(per_channel, seed),
        }
        Ok(())
    }
}

impl Kind {
    /// The names that the command line takes, numbers as capitals.
    fn forms(self) -> &'static [&'static str] {
        match self {
            Kind::TrueLabels => &["true-labels"],
            Kind::PartialLabels => &["partial-labels:P"],
            Kind::RandomLabels => &["random-labels"],
            Kind::ShuffledPixels => &["shuffled-pixels"],
            Kind::RandomPixels => &["random-pixels"],
            Kind::Gaussian => &["gaussian", "gaussian:overall"],
        }
    }

    /// The corruption of this kind whose name has `number` after the colon, one of [`Kind::forms`]; `None` for no number of it.
    fn parse(self, number: Option<&str>) -> Option<Corruption> {
        Some(match self {
            Kind::TrueLabels => Corruption::TrueLabels,
            Kind::PartialLabels => Corruption::PartialLabels { p: parsed(number?).ok()? },
            Kind::RandomLabels => Corruption::RandomLabels,
            Kind::ShuffledPixels => Corruption::ShuffledPixels,
            Kind::RandomPixels => Corruption::RandomPixels,
            Kind::Gaussian => Corruption::Gaussian { per_channel: number.is_none() },
        })
    }
}

/// Training and test images of one size.
struct Images {
    /// Channels, height, width.
    shape: [usize; 3],
    splits: [Pixels; 2],
}

impl Images {
    fn size(&self) -> usize {
        self.shape.iter().product()
    }

    fn positions(&self) -> usize {
        self.shape[1] * self.shape[2]
    }

    /// The bytes of each split, as they are before the one change of pixels.
    fn bytes(&mut self) -> [&mut Vec<u8>; 2] {
        self.splits.each_mut().map(|split| match split {
            Pixels::Bytes(bytes) => bytes,
            Pixels::Floats(_) => unreachable!("pixels are changed once"),
        })
    }

    fn shuffle(&mut self, seed: u64) {
        let size = self.size();
        let order = permutation(self.positions(), &mut stream(seed, Draw::Shuffle, 0));
        for split in self.bytes() {
            split.par_chunks_mut(size).for_each(|image| permute(image, &order));
        }
    }

    fn shuffle_each(&mut self, seed: u64) {
        let (size, positions) = (self.size(), self.positions());
        for (draw, split) in [Draw::TrainPixels, Draw::TestPixels].into_iter().zip(self.bytes()) {
            split.par_chunks_mut(size).enumerate().for_each(|(index, image)| {
                permute(image, &permutation(positions, &mut stream(seed, draw, index)));
            });
        }
    }

    fn replace_by_noise(&mut self, per_channel: bool, seed: u64) {
        let (shape, size, positions) = (self.shape, self.size(), self.positions());
        let [train, test] = self.bytes();
        let moments = if per_channel {
            channel_moments(train, shape)
        } else {
            vec![channel_moments(train, [1, 1, size])[0]; shape[0]]
        };
        self.splits = [(Draw::TrainNoise, train.len() / size), (Draw::TestNoise, test.len() / size)]
            .map(|(draw, n)| Pixels::Floats(gaussian(n, positions, &moments, seed, draw)));
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
///
/// **Published keys.** The numbers here, how a stream is made of them ([`stream`]) and the order of draws within a stream are part
/// of what every run with a corruption was trained on. A new draw gets the next number; one that there is keeps its own, used or
/// not. Whoever has to change one raises [`SCHEMA`](crate::run::config::SCHEMA). `tests/corruption.rs` pins each corruption's
/// first numbers.
#[derive(Clone, Copy)]
enum Draw {
    Labels = 0,
    Shuffle = 1,
    TrainPixels = 2,
    TestPixels = 3,
    TrainNoise = 4,
    TestNoise = 5,
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
        f.write_str(&self.description().name)
    }
}

impl FromStr for Corruption {
    type Err = Error;

    /// One of [`Corruption::forms`], with numbers for the capitals.
    fn from_str(text: &str) -> Result<Corruption> {
        let number = text.split_once(':').map(|(_, number)| number);
        // A capital stands for any number, all else for itself.
        let is = |form: &str| match form.split_once(':') {
            Some((name, capital)) if capital.chars().all(|c| c.is_ascii_uppercase()) => {
                number.is_some() && text.split(':').next() == Some(name)
            }
            Some(_) | None => form == text,
        };
        let mut kinds = Kind::ALL.iter().filter(|kind| kind.forms().iter().any(|form| is(form)));
        let Some(corruption) = kinds.find_map(|kind| kind.parse(number)) else {
            let problem = format!("{text:?} is none of {}", Corruption::forms().join(", "));
            return Err(Error::argument("corruption", problem));
        };
        match corruption.problem() {
            Some(problem) => Err(Error::argument("corruption", problem)),
            None => Ok(corruption),
        }
    }
}
