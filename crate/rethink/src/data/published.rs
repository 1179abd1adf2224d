//! Which published data set some images are: by their checksum, never by a folder's name or a file's form.
//!
//! Many data sets come in the files of CIFAR-10 and MNIST (ciFAIR-10, Fashion-MNIST, Kuzushiji-MNIST, a copy with other
//! labels). Only what is known to be the published one, to the byte, bears its name and is set beside the paper's numbers; all else is
//! "CIFAR-10 format (FOLDER)".

use crate::data::DataId;
use crate::data::Format;
use std::path::Path;

/// A data set that is known by its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The official CIFAR-10, known by the archive's checksum ([`crate::data::cifar::is_official`]).
    Cifar10,
    /// CIFAR-10 after JPEG at quality 75 ([`crate::data::cifar::JPEG_Q75`]).
    Cifar10JpegQ75,
    /// The first 1,017 images of each of CIFAR-10's files, with the official pixels.
    Cifar10Lossless,
    /// MNIST.
    Mnist,
    /// The part of Imagenette with 200 training and 50 test photographs a class, at 224x224 pixels.
    ImagenetteSubset,
    /// ILSVRC-2012. No checksum of its 1.3 million files is published: known by the numbers of its classes and photographs.
    Imagenet,
    /// The data set that this program draws.
    Shapes10,
}

/// Fingerprints ([`crate::data::Dataset::fingerprint`]), names and titles. CIFAR-10's and ImageNet's are not here: see [`Published`].
const KNOWN: [(Published, &str, &str, &str); 5] = [
    (
        Published::Cifar10JpegQ75,
        "f43bf6a33f958776c1159c2d0d6dde911aefbf835befaf4056b208d0463966e8",
        "cifar10",
        "CIFAR-10 (JPEG q75)",
    ),
    (
        Published::Cifar10Lossless,
        "2fd9f50fad53242561db543a679bd31b135652081cac656e2bd154149a7f3b93",
        "cifar10-lossless",
        "CIFAR-10 (5,085 images)",
    ),
    (Published::Mnist, "4d3a268456b92b699446d4f8b263110d7ebad47ebd05242357372b14804f3bf6", "mnist", "MNIST"),
    (
        Published::ImagenetteSubset,
        "8db211a9c30f121764b758faf8b449239fa0f50baa821afbeb4b1ba6208300f1",
        "imagenette",
        "Imagenette subset",
    ),
    (
        Published::Shapes10,
        "49e9b45bab1365d36f328a46a9228462db51f74cde4d49a86fa9c469b3201ad7",
        "shapes10",
        "shapes10 (embedded)",
    ),
];
/// Name and title of the official CIFAR-10.
pub(super) const CIFAR10: (&str, &str) = ("cifar10", "CIFAR-10");
/// Name and title of the whole ILSVRC-2012.
pub(super) const IMAGENET: (&str, &str) = ("imagenet", "ImageNet (ILSVRC-2012)");

impl Published {
    /// The set with this fingerprint, its name and its title.
    pub(super) fn by_fingerprint(fingerprint: &str) -> Option<(Published, &'static str, &'static str)> {
        let known = KNOWN.iter().find(|(_, known, ..)| *known == fingerprint)?;
        Some((known.0, known.2, known.3))
    }

    /// Whether `title` is one that only a published set's own images bear.
    pub(super) fn is_reserved(title: &str) -> bool {
        KNOWN.iter().map(|known| known.3).chain([CIFAR10.1, IMAGENET.1]).any(|known| known == title)
    }

    /// The data set's name in the paper's tables, where the set is one of the paper's or a part or copy of it that says so in its
    /// title.
    pub fn in_paper(self) -> Option<&'static str> {
        match self {
            Published::Cifar10 | Published::Cifar10JpegQ75 | Published::Cifar10Lossless => Some("CIFAR10"),
            Published::Mnist => Some("MNIST"),
            Published::Imagenet => Some("ImageNet"),
            Published::ImagenetteSubset | Published::Shapes10 => None,
        }
    }
}

impl DataId {
    /// The published data set whose first images these are; `None` for all others, whatever they are called.
    pub fn published(&self) -> Option<Published> {
        let called = (self.name.as_str(), self.title.as_str());
        match Published::by_fingerprint(&self.fingerprint) {
            Some((published, ..)) => Some(published),
            None if called == CIFAR10 => Some(Published::Cifar10),
            None if called == IMAGENET => Some(Published::Imagenet),
            None => None,
        }
    }

    /// Whether these are a published set's files or the embedded images, or one's own set under a name of one's own: not files in
    /// the format of a published set that are not it. Those stand in no comparison with the paper.
    pub fn is_comparable(&self) -> bool {
        self.published().is_some() || !self.is_of_format()
    }

    /// Whether the set is called by its format, for want of a name.
    fn is_of_format(&self) -> bool {
        let title = [Format::Cifar, Format::Mnist].map(title_of_format);
        title.iter().any(|title| self.title.starts_with(title.as_str()))
    }

    /// The title as far as it belongs to a run's key: without the folder of a set that is called by it. The same bytes in another
    /// folder are the same runs.
    pub(crate) fn keyed_title(&self) -> &str {
        match self.is_of_format() {
            true => self.title.split(" (").next().unwrap_or(&self.title),
            false => &self.title,
        }
    }
}

fn title_of_format(format: Format) -> String {
    let name = match format {
        Format::Cifar => "CIFAR-10",
        Format::Mnist => "MNIST",
        Format::Photographs => "ILSVRC",
    };
    format!("{name} format")
}

/// Name and title of a data set that is read from `folder` and is none that is known.
pub(super) fn of_format(format: Format, fingerprint: &str, folder: &Path) -> (String, String) {
    let short = match format {
        Format::Cifar => "cifar10",
        Format::Mnist => "mnist",
        Format::Photographs => "ilsvrc",
    };
    let digits = &fingerprint[..DIGITS.min(fingerprint.len())];
    let title = format!("{} ({})", title_of_format(format), short_path(folder));
    (format!("{short}-format-{digits}"), title)
}

/// As many of a fingerprint's digits as tell one's data sets apart.
pub(crate) const DIGITS: usize = 8;

/// The folder's name, after its parent's where the name is that of a format's layout and says nothing of what is in it.
fn short_path(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let last = name(&whole).unwrap_or_else(|| whole.display().to_string());
    let usual = ["raw", "data"].into_iter().chain(crate::data::KNOWN.iter().map(|known| known.folder));
    match whole.parent().and_then(name).filter(|_| usual.into_iter().any(|usual| usual == last)) {
        Some(parent) => format!("{parent}/{last}"),
        None => last,
    }
}
