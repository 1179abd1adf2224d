//! Data sets: what they are, where they are looked for, and the readers of their formats.

pub mod cifar;
pub mod fetch;
pub mod mnist;
pub mod shapes10;

use crate::config::DataId;
use crate::{Error, Result};
use sha2::{Digest, Sha256};

/// Images of one size and their labels.
#[derive(Clone, PartialEq, Eq)]
pub struct Split {
    /// `n x C x H x W` bytes, 0 to 255, image after image, plane after plane, row after row.
    pub images: Vec<u8>,
    /// `n` class indices.
    pub labels: Vec<u16>,
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without any image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// A data set in memory: a training and a test split of `u8` images.
#[derive(Clone)]
pub struct Dataset {
    /// Short name, as on the command line (`cifar10`).
    pub name: String,
    /// Name for figures and tables, with what a reader must know ("CIFAR-10 (JPEG q75)").
    pub title: String,
    /// Class names, in the order of the labels.
    pub classes: Vec<String>,
    /// Channels, height and width of every image.
    pub shape: [usize; 3],
    /// Training images.
    pub train: Split,
    /// Test images.
    pub test: Split,
    /// SHA-256 over shape, labels and images of both splits, in hexadecimal.
    pub fingerprint: String,
}

impl Dataset {
    /// Checks that the parts agree (lengths, label range, nothing empty) and fingerprints them.
    ///
    /// Errors: [`Error::Shape`] where lengths disagree, [`Error::Argument`] for an empty split or
    /// a label that is no class.
    pub fn new(
        name: impl Into<String>,
        title: impl Into<String>,
        classes: Vec<String>,
        shape: [usize; 3],
        train: Split,
        test: Split,
    ) -> Result<Dataset> {
        let operation = "data set";
        let pixels: usize = shape.iter().product();
        for split in [&train, &test] {
            if split.is_empty() || pixels == 0 {
                return Err(Error::argument(operation, "a split without images"));
            }
            if split.images.len() != split.len() * pixels {
                return Err(Error::Shape {
                    operation,
                    expected: vec![split.len(), shape[0], shape[1], shape[2]],
                    got: vec![split.images.len()],
                });
            }
            if let Some(label) = split.labels.iter().find(|&&l| usize::from(l) >= classes.len()) {
                let problem = format!("label {label} with {} classes", classes.len());
                return Err(Error::argument(operation, problem));
            }
        }
        let mut hash = Sha256::new();
        for size in shape.iter().chain([&classes.len()]) {
            hash.update((*size as u64).to_le_bytes());
        }
        for split in [&train, &test] {
            hash.update((split.len() as u64).to_le_bytes());
            for label in &split.labels {
                hash.update(label.to_le_bytes());
            }
            hash.update(&split.images);
        }
        let fingerprint = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Dataset { name: name.into(), title: title.into(), classes, shape, train, test, fingerprint })
    }

    /// The identity of a run's data when only the first `train` and `test` images are used
    /// (as many as there are, where fewer).
    pub fn id(&self, train: usize, test: usize) -> DataId {
        DataId {
            name: self.name.clone(),
            title: self.title.clone(),
            fingerprint: self.fingerprint.clone(),
            train: train.min(self.train.len()),
            test: test.min(self.test.len()),
        }
    }
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [c, h, w] = self.shape;
        write!(
            f,
            "{}: {} train and {} test images of {c}x{h}x{w}, {} classes, sha256 {}",
            self.title,
            self.train.len(),
            self.test.len(),
            self.classes.len(),
            &self.fingerprint[..16]
        )
    }
}
