//! Which data set a run is of, by content.

use serde::{Deserialize, Serialize};

/// The data set of a run, as its record holds it, and its key without the folder that is in some titles. Equal where the keys are.
///
/// **Published keys.** All of it but that folder is part of the key of every run on the set: a data set's name and title, once runs on it
/// are published, stay, and so does what its fingerprint is made of. `tests/schema.rs` holds the text.
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
pub struct DataId {
    /// Short name (`cifar10`, `shapes10`).
    pub name: String,
    /// Name for figures ("CIFAR-10 (JPEG q75)"); of files that are no known set "MNIST format (FOLDER)" or "Photographs in folder
    /// FOLDER (2 classes)", of which what comes after "format" or "folder" is no part of a run's key.
    pub title: String,
    /// SHA-256 of the images and labels, in hexadecimal.
    pub fingerprint: String,
    /// The first this many training images are used.
    pub train: usize,
    /// The first this many test images are used.
    pub test: usize,
}

impl DataId {
    /// What a run's key is made of.
    pub(crate) fn keyed(&self) -> DataId {
        DataId { title: self.keyed_title().into(), ..self.clone() }
    }
}

impl PartialEq for DataId {
    fn eq(&self, other: &DataId) -> bool {
        self.name == other.name
            && self.keyed_title() == other.keyed_title()
            && self.fingerprint == other.fingerprint
            && (self.train, self.test) == (other.train, other.test)
    }
}
