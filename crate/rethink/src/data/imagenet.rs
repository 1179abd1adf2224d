//! Photographs in ILSVRC-2012's layout: `train/WNID/*.JPEG`, and `val/WNID/*.JPEG` or `val/*.JPEG` with a list of
//! their labels. Imagenette and other subsets have the same one. ImageNet's are those whose classes are all among ILSVRC-2012's;
//! other classes are [`class_folders`](crate::data::class_folders).
//!
//! A class is a folder of `train`; its label is the place of its WordNet id among all, sorted, as in the Keras and
//! PyTorch conventions. A flat `val` takes its labels from, in this order: `LOC_val_solution.csv` (the form in which
//! the validation labels are published with WordNet ids); `ILSVRC2012_validation_ground_truth.txt`, the development
//! kit's, whose numbers are those of the kit's `meta.mat`, which has to be there too. Both are looked for beside `val`, in it,
//! and in `ILSVRC2012_devkit_t12/data`.
//!
//! Files that are no photographs are left out, counted and named ([`Photographs::skipped`]); grey ones and those in
//! CMYK become red, green and blue. A file that cannot be read, or that changes once the set is open, is an error that names
//! it: it is never left out, since with it, or without the change, numbers would be others.

use crate::data::format::{Format, Known};
use crate::data::preprocessing::Photograph;
use crate::data::published::Published;
use crate::data::{Dataset, Split};
use crate::{Error, Result};
use rayon::prelude::*;
use rethink_nn::text::{counted, hex, thousands};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::SystemTime;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Training photographs of ILSVRC-2012.
pub const ILSVRC_TRAIN: usize = 1_281_167;
/// Its classes.
pub const ILSVRC_CLASSES: usize = 1_000;
/// Training photographs of Imagenette, ten classes of ILSVRC-2012.
pub const IMAGENETTE_TRAIN: usize = 9_469;
/// The WordNet ids of ILSVRC-2012's classes, sorted.
pub static ILSVRC_IDS: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("ilsvrc_classes.txt").lines().collect());
/// Imagenette's classes, sorted, and what they are.
pub const IMAGENETTE: [(&str, &str); 10] = [
    ("n01440764", "tench"),
    ("n02102040", "English springer"),
    ("n02979186", "cassette player"),
    ("n03000684", "chain saw"),
    ("n03028079", "church"),
    ("n03394916", "French horn"),
    ("n03417042", "garbage truck"),
    ("n03425413", "gas pump"),
    ("n03445777", "golf ball"),
    ("n03888257", "parachute"),
];

/// The format.
pub static FORMAT: Format = Format {
    title: "ILSVRC folders",
    sign: "train, and val or test, with folders named by ImageNet's WordNet ids (n01440764)",
    is_here,
    reader: read,
    counter: count,
    files: |_| Vec::new(),
    slow: true,
    prefixes: &["imagenet:"],
    // A part of ImageNet is called by the number of its classes.
    unknown: None,
    archive: None,
    known: &[
        Known {
            name: "imagenette",
            folder: "imagenette",
            format: &FORMAT,
            about: "photographs of ten classes of ImageNet",
            priority: 40,
            by_folder: false,
            download: None,
        },
        Known {
            name: "imagenet",
            folder: "imagenet",
            format: &FORMAT,
            about: "ILSVRC-2012's photographs of 1,000 classes; the paper's second data set",
            priority: 50,
            by_folder: false,
            download: None,
        },
    ],
    published: &[SUBSET, ILSVRC],
};
/// The part of Imagenette with 200 training and 50 test photographs a class, at 224x224 pixels.
pub const SUBSET: Published = Published {
    name: "imagenette",
    title: "Imagenette subset",
    fingerprint: Some("8db211a9c30f121764b758faf8b449239fa0f50baa821afbeb4b1ba6208300f1"),
    paper_name: None,
    comparable: true,
    fetched: false,
    verdict: "the images are those of the name, by their checksum",
};
/// ILSVRC-2012. No checksum of its 1.3 million files is published: known by the numbers of its classes and photographs.
pub const ILSVRC: Published = Published {
    name: "imagenet",
    title: "ImageNet (ILSVRC-2012)",
    fingerprint: None,
    paper_name: Some("ImageNet"),
    comparable: true,
    fetched: false,
    verdict: "there are as many classes and photographs as in the name's set; no checksums are published",
};

/// For errors.
pub(super) const OPEN: &str = "open the photographs";
/// Sets of at most so many bytes of files are decoded at once, when they are opened.
const DECODED_AT_ONCE: u64 = 1 << 30;
/// So many bytes, where not `DECODED_AT_ONCE`.
pub const AT_ONCE_VARIABLE: &str = "RETHINK_DECODED_AT_ONCE";
/// Decoded photographs are kept as long as they take no more than so many bytes.
const CACHED_BYTES: usize = 3 << 30;
/// Larger files are no photographs of this set (the largest has 15 MB).
const LARGEST_FILE: u64 = 64 << 20;
/// Larger pictures are refused before anything is allocated for them.
const MOST_PIXELS: usize = 1 << 27;
const MOST_SIDE: usize = 1 << 15;

/// The files of a data set and, where they fit, what is in them.
#[derive(Debug)]
pub struct Photographs {
    root: PathBuf,
    /// In the order of the labels' splits.
    train: Vec<PhotographFile>,
    test: Vec<PhotographFile>,
    /// [`UNKNOWN`], [`GOOD`] or [`LEFT_OUT`]: training photographs, then test ones.
    known: Vec<AtomicU8>,
    /// Decoded, in the same order. Empty where they are too many.
    kept: Vec<Photograph>,
    /// Files that are in neither split.
    at_start: LeftOut,
    skipped: Mutex<BTreeMap<PathBuf, String>>,
}

/// A file that has not been decoded.
const UNKNOWN: u8 = 0;
/// One that is a photograph.
const GOOD: u8 = 1;
/// One that is none.
const LEFT_OUT: u8 = 2;

/// A file as it was when the data set was opened.
#[derive(Clone, Debug, Default)]
struct PhotographFile {
    /// Below the data set's folder.
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
}

impl PhotographFile {
    /// What is in it.
    ///
    /// Errors: [`Error::Io`] where it cannot be read, [`Error::Format`] where it is no longer what it was.
    fn read(&self, root: &Path) -> Result<Vec<u8>> {
        let path = root.join(&self.path);
        let operation = "read the photograph";
        let changed = || Error::format(operation, &path, "it has changed since the data set was opened");
        let now = fs::metadata(&path).map_err(Error::io(operation, &path))?;
        if (now.len(), now.modified().ok()) != (self.size, self.modified) {
            return Err(changed());
        }
        let bytes = crate::data::read_regular(&path, operation, LARGEST_FILE)?;
        if bytes.len() as u64 == self.size { Ok(bytes) } else { Err(changed()) }
    }
}

/// How many files of a run's data set are no photographs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Of `train`.
    pub train: usize,
    /// Of `val`, or of `test` where there is no `val`.
    pub test: usize,
}

impl LeftOut {
    /// "3 files left out (2 training, 1 test)".
    pub fn describe(self) -> String {
        let [train, test] = [self.train, self.test].map(thousands);
        let files = counted(self.train + self.test, "file");
        format!("{files} left out ({train} training, {test} test)")
    }
}

/// A photograph's place in its data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhotographId {
    /// Number so much of the training photographs.
    Train(usize),
    /// Number so much of the test photographs.
    Test(usize),
}

impl Photographs {
    /// Small images as photographs: what a network with an input of its own size sees of them.
    pub fn of_small(data: &Dataset) -> Photographs {
        let [channels, height, width] = data.shape;
        let photograph = |planes: &[u8]| {
            let size = height * width;
            // A grey image has one plane for all three colours.
            let pixel = |i: usize| [0, 1, 2].map(|c: usize| planes[c.min(channels - 1) * size + i]);
            Photograph { width, height, rgb: (0..size).flat_map(pixel).collect() }
        };
        let all = data.train.images.par_chunks(data.shape.iter().product());
        let kept =
            all.chain(data.test.images.par_chunks(data.shape.iter().product())).map(photograph).collect();
        Photographs {
            root: PathBuf::new(),
            // Names that are never read.
            train: vec![PhotographFile::default(); data.train.len()],
            test: Vec::new(),
            known: Vec::new(),
            kept,
            at_start: LeftOut::default(),
            skipped: Mutex::default(),
        }
    }

    fn index(&self, place: PhotographId) -> usize {
        match place {
            PhotographId::Train(i) => i,
            PhotographId::Test(i) => self.train.len() + i,
        }
    }

    fn file(&self, place: PhotographId) -> Option<(&PhotographFile, &AtomicU8)> {
        let file = match place {
            PhotographId::Train(i) => self.train.get(i),
            PhotographId::Test(i) => self.test.get(i),
        };
        file.zip(self.known.get(self.index(place)))
    }

    /// The file of a photograph, below the data set's folder; `None` for small images, which have none.
    pub fn path(&self, place: PhotographId) -> Option<&Path> {
        self.file(place).map(|(file, _)| file.path.as_path())
    }

    /// Calls `look` with a photograph, which is read and decoded unless it is in memory. `None` for a file that is no
    /// photograph: it is in [`Photographs::skipped`] from now on.
    ///
    /// Errors: [`Error::Io`] for a file that cannot be read, [`Error::Format`] for one that has changed since the data set
    /// was opened; both name it.
    pub fn with<R>(&self, place: PhotographId, look: impl FnOnce(&Photograph) -> R) -> Result<Option<R>> {
        if let Some(kept) = self.kept.get(self.index(place)) {
            return Ok(Some(look(kept)));
        }
        let Some((file, known)) = self.file(place) else { return Ok(None) };
        let was = known.load(Ordering::Relaxed);
        if was == LEFT_OUT {
            return Ok(None);
        }
        match decode_bytes(&file.read(&self.root)?) {
            Ok(photograph) => {
                known.store(GOOD, Ordering::Relaxed);
                Ok(Some(look(&photograph)))
            }
            Err(problem) if was == GOOD => {
                let problem = format!("{problem}, and was a photograph before");
                Err(Error::format("read the photograph", self.root.join(&file.path), problem))
            }
            Err(problem) => {
                known.store(LEFT_OUT, Ordering::Relaxed);
                self.skip(file.path.clone(), problem);
                Ok(None)
            }
        }
    }

    /// Reads and decodes those of `places` that have not been yet, in parallel: those that are no photographs are known
    /// ([`Photographs::is_left_out`]) afterwards.
    ///
    /// Errors: those of [`Photographs::with`], of the first place that has one.
    pub fn check(&self, places: &[PhotographId]) -> Result<()> {
        let unknown = |place: &&PhotographId| {
            self.file(**place).is_some_and(|(_, known)| known.load(Ordering::Relaxed) == UNKNOWN)
        };
        if !self.kept.is_empty() {
            return Ok(());
        }
        let unknown: Vec<&PhotographId> = places.iter().filter(unknown).collect();
        let failed = |place: &&PhotographId| self.with(**place, |_| ()).err();
        unknown.par_iter().find_map_first(failed).map_or(Ok(()), Err)
    }

    /// Whether a file is known to be no photograph.
    pub fn is_left_out(&self, place: PhotographId) -> bool {
        self.file(place).is_some_and(|(_, known)| known.load(Ordering::Relaxed) == LEFT_OUT)
    }

    /// What another process has found out about a file.
    pub(crate) fn learn(&self, place: PhotographId, left_out: bool) {
        let Some((file, known)) = self.file(place).filter(|_| self.kept.is_empty()) else { return };
        known.store(if left_out { LEFT_OUT } else { GOOD }, Ordering::Relaxed);
        if left_out && !self.skipped().iter().any(|(path, _)| *path == file.path) {
            self.skip(file.path.clone(), "as another process says".into());
        }
    }

    /// How many files are no photographs: of those that are in neither split, and of the first `train` and `test`.
    pub fn left_out(&self, train: usize, test: usize) -> LeftOut {
        let count = |of: usize, place: fn(usize) -> PhotographId| {
            (0..of).filter(|&i| self.is_left_out(place(i))).count()
        };
        LeftOut {
            train: self.at_start.train + count(train, PhotographId::Train),
            test: self.at_start.test + count(test, PhotographId::Test),
        }
    }

    fn skip(&self, path: PathBuf, problem: String) {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).insert(path, problem);
    }

    /// Files that were left out so far, below the data set's folder, each with the reason. Where a set is too large
    /// to be decoded when it is opened, a run finds them before its first step.
    pub fn skipped(&self) -> Vec<(PathBuf, String)> {
        let skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.iter().map(|(path, why)| (path.clone(), why.clone())).collect()
    }

    /// "3 files left out: val/n01440764/x.JPEG (empty), ..."; nothing where none was.
    pub fn report(&self) -> Option<String> {
        let skipped = self.skipped();
        let mut names: Vec<String> =
            skipped.iter().take(5).map(|(path, why)| format!("{} ({why})", path.display())).collect();
        if skipped.len() > 5 {
            names.push("...".into());
        }
        let files = counted(skipped.len(), "file");
        (!skipped.is_empty()).then(|| format!("{files} left out: {}", names.join(", ")))
    }

    /// [`Photographs::check`] of all.
    ///
    /// Errors: as there.
    pub fn decode_all(&self) -> Result<()> {
        let places = (0..self.train.len())
            .map(PhotographId::Train)
            .chain((0..self.test.len()).map(PhotographId::Test));
        self.check(&places.collect::<Vec<_>>())
    }
}

/// Whether `folder` has this layout: `train` with folders of ILSVRC-2012's classes and no photographs in other folders, and
/// `val` or `test`.
pub fn is_here(folder: &Path) -> bool {
    test_folder(folder).is_some() && class_ids(&folder.join("train")).is_ok_and(|ids| ids.is_some())
}

/// The folder of the test photographs: `val`, as ILSVRC has it, else, or where that is empty, `test`.
pub(super) fn test_folder(folder: &Path) -> Option<PathBuf> {
    let both = ["val", "test"].map(|name| folder.join(name)).into_iter().filter(|path| path.is_dir());
    let filled = |path: &PathBuf| entries(path).is_ok_and(|all| all.iter().any(|path| !is_hidden(path)));
    both.clone().find(filled).or_else(|| both.into_iter().next())
}

/// The WordNet ids by which the folders in `train` are named, sorted. `None` where there are none, or a folder that holds
/// photographs is named otherwise: then nobody knows that the photographs are ImageNet's.
///
/// Errors: [`Error::Io`] where `train` cannot be listed; a folder in it that cannot be, and is no class, is passed over.
fn class_ids(train: &Path) -> Result<Option<Vec<String>>> {
    let mut ids = Vec::new();
    for path in entries(train)?.into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if ILSVRC_IDS.binary_search(&name.as_str()).is_ok() {
            ids.push(name);
        } else if !is_hidden(&path) && holds_pictures(&path) {
            return Ok(None);
        }
    }
    Ok((!ids.is_empty()).then_some(ids))
}

/// Whether a name is that of what programs put beside one's files (`.ipynb_checkpoints`, `._1.jpg`).
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn is_wnid(name: &str) -> bool {
    name.len() == 9 && name.starts_with('n') && name[1..].bytes().all(|b| b.is_ascii_digit())
}

/// Training and test files, without a look into them.
pub fn count(folder: &Path) -> Option<(usize, usize)> {
    let files = |folder: &Path| -> usize {
        let shown = |paths: Vec<PathBuf>| paths.into_iter().filter(|path| !is_hidden(path));
        let (inner, flat): (Vec<_>, Vec<_>) =
            shown(entries(folder).unwrap_or_default()).partition(|path| path.is_dir());
        let count = |paths: Vec<PathBuf>| pictures(shown(paths).collect()).len();
        inner.iter().map(|path| entries(path).map_or(0, count)).sum::<usize>() + count(flat)
    };
    let (train, test) = (files(&folder.join("train")), files(&test_folder(folder)?));
    (train > 0 && test > 0).then_some((train, test))
}

/// Sorted paths of what is in `folder`.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let operation = "list the photographs";
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(operation, folder))? {
        paths.push(entry.map_err(Error::io(operation, folder))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Those of `paths` that are named as JPEG and PNG files are.
pub(super) fn pictures(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let picture = |p: &PathBuf| {
        let ending = p.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        ["jpeg", "jpg", "png"].contains(&ending.as_str())
    };
    paths.retain(picture);
    paths
}

/// Whether there are such files in `folder`, as far as that can be seen.
pub(super) fn holds_pictures(folder: &Path) -> bool {
    entries(folder).is_ok_and(|files| !pictures(files).is_empty())
}

/// Reads the data set in `folder`.
///
/// Errors: [`Error::Io`], [`Error::Format`] naming the file: no class, a class that is none of ILSVRC-2012's, a class of `val` that
/// `train` lacks, labels that do not fit the files, a split in which nothing is a photograph; [`Error::Argument`] for an
/// [`AT_ONCE_VARIABLE`] that is no number.
pub fn read(folder: &Path) -> Result<Dataset> {
    read_as(folder, at_once()?)
}

/// Sets of up to so many bytes of files are decoded when they are opened: [`AT_ONCE_VARIABLE`], 1 GiB where it is not set.
///
/// Errors: [`Error::Argument`] for a value that is no number.
pub(super) fn at_once() -> Result<u64> {
    let set = std::env::var(AT_ONCE_VARIABLE).ok().filter(|text| !text.is_empty());
    let Some(text) = set else { return Ok(DECODED_AT_ONCE) };
    let problem = |_| Error::argument(AT_ONCE_VARIABLE, format!("{text:?} is no number of bytes"));
    text.parse().map_err(problem)
}

/// As [`read`], with another limit: sets of more than `at_once` bytes of files are decoded as they are needed, and what is
/// no photograph is found when a run begins.
///
/// Errors: as for [`read`].
pub fn read_as(folder: &Path, at_once: u64) -> Result<Dataset> {
    let train_folder = folder.join("train");
    let Some(wnids) = class_ids(&train_folder)? else {
        let problem =
            "expected folders named by ImageNet's WordNet ids (n01440764), and photographs in no others";
        return Err(Error::format(OPEN, train_folder, problem));
    };
    let mut train = Vec::new();
    for (label, wnid) in wnids.iter().enumerate() {
        let files = pictures(entries(&train_folder.join(wnid))?);
        train.extend(files.into_iter().map(|path| (path, label as u16)));
    }
    let test_folder = test_folder(folder).unwrap_or_else(|| folder.join("val"));
    let test = test_files(folder, &test_folder, &labels(&wnids))?;
    let mut data = open(folder, Listed { classes: wnids, train, test_folder, test }, at_once)?;
    (data.name, data.title) = names(&data.classes, data.train.len());
    data.classes.iter_mut().for_each(|wnid| *wnid = class_name(wnid));
    Ok(data)
}

/// What a data set of photographs consists of.
pub(super) struct Listed {
    /// In the order of the labels.
    pub classes: Vec<String>,
    /// Files and their labels.
    pub train: Vec<(PathBuf, u16)>,
    /// Where the test photographs lie.
    pub test_folder: PathBuf,
    /// As `train`.
    pub test: Vec<(PathBuf, u16)>,
}

/// The label of each class by its name.
pub(super) fn labels(classes: &[String]) -> HashMap<&str, u16> {
    classes.iter().enumerate().map(|(label, class)| (class.as_str(), label as u16)).collect()
}

/// The data set of the photographs that are listed, all below `folder`; without a name.
///
/// Errors: [`Error::Io`] for a file that cannot be read; [`Error::Format`] for a split in which nothing is a photograph.
pub(super) fn open(folder: &Path, listed: Listed, at_once: u64) -> Result<Dataset> {
    let Listed { classes, train, test_folder, test } = listed;
    let [train, test] = [train, test].map(|files| in_turns(files, classes.len()));

    let mut skipped = BTreeMap::new();
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut splits = [Vec::new(), Vec::new()];
    for (split, files) in splits.iter_mut().zip([train, test]) {
        for (path, label) in files {
            let status = fs::metadata(&path).map_err(Error::io(OPEN, &path))?;
            let size = status.len();
            let below = path.strip_prefix(folder).unwrap_or(&path).to_path_buf();
            if size == 0 {
                skipped.insert(below, "empty".to_string());
                continue;
            }
            bytes += size;
            hash.update(below.to_string_lossy().replace('\\', "/").as_bytes());
            hash.update([0]);
            hash.update(size.to_le_bytes());
            hash.update(label.to_le_bytes());
            let problem = match size > LARGEST_FILE {
                true => Some(format!("{size} bytes")),
                false => (!status.is_file()).then(|| "not a regular file".to_string()),
            };
            match problem {
                Some(problem) => {
                    skipped.insert(below, problem);
                }
                None => split
                    .push((PhotographFile { path: below, size, modified: status.modified().ok() }, label)),
            }
        }
    }
    let mut kept = Vec::new();
    if bytes <= at_once {
        let files: Vec<&PhotographFile> = splits.iter().flatten().map(|(file, _)| file).collect();
        let decoded = files.par_iter().map(|file| {
            let bytes = file.read(folder)?;
            Ok((Sha256::digest(&bytes), decode_bytes(&bytes)))
        });
        let decoded = decoded.collect::<Result<Vec<_>>>()?;
        let mut good = Vec::with_capacity(decoded.len());
        for ((sum, photograph), file) in decoded.into_iter().zip(&files) {
            // The contents count too, where they are few enough to be read.
            hash.update(sum);
            good.push(photograph.is_ok());
            match photograph {
                Ok(photograph) => kept.push(photograph),
                Err(problem) => {
                    skipped.insert(file.path.clone(), problem);
                }
            }
        }
        let mut good = good.into_iter();
        for split in &mut splits {
            split.retain(|_| good.next() == Some(true));
        }
        if kept.iter().map(|p| p.rgb.len()).sum::<usize>() > CACHED_BYTES {
            kept = Vec::new();
        }
    }
    let [train, test] = splits;
    for (place, split) in [(folder.join("train"), &train), (test_folder, &test)] {
        if split.is_empty() {
            return Err(Error::format(OPEN, place, "no photograph"));
        }
    }
    let (train, train_labels): (Vec<PhotographFile>, Vec<u16>) = train.into_iter().unzip();
    let (test, test_labels): (Vec<PhotographFile>, Vec<u16>) = test.into_iter().unzip();
    let known = if bytes <= at_once { GOOD } else { UNKNOWN };
    let known = (0..train.len() + test.len()).map(|_| AtomicU8::new(known)).collect();
    let of_train = skipped.keys().filter(|path| path.starts_with("train")).count();
    let at_start = LeftOut { train: of_train, test: skipped.len() - of_train };
    let (root, skipped) = (folder.to_path_buf(), Mutex::new(skipped));
    let photographs = Photographs { root, train, test, known, kept, at_start, skipped };
    Ok(Dataset {
        name: String::new(),
        title: String::new(),
        classes,
        shape: [3, 299, 299],
        train: Split { images: Vec::new(), labels: train_labels },
        test: Split { images: Vec::new(), labels: test_labels },
        fingerprint: hex(&hash.finalize()),
        before: None,
        photographs: Some(Arc::new(photographs)),
    })
}

/// The first file of each class, then the second of each, and so on: any first part has about as many of each.
fn in_turns(files: Vec<(PathBuf, u16)>, classes: usize) -> Vec<(PathBuf, u16)> {
    let mut seen = vec![0; classes];
    let mut numbered: Vec<(usize, (PathBuf, u16))> = Vec::with_capacity(files.len());
    for file in files {
        let count = &mut seen[usize::from(file.1)];
        numbered.push((*count, file));
        *count += 1;
    }
    numbered.sort_by_key(|(number, file)| (*number, file.1));
    numbered.into_iter().map(|(_, file)| file).collect()
}

fn class_name(wnid: &str) -> String {
    IMAGENETTE.iter().find(|(known, _)| *known == wnid).map_or(wnid, |(_, name)| name).to_string()
}

/// A part is never called by the whole's name.
fn names(wnids: &[String], train: usize) -> (String, String) {
    let imagenette = wnids.iter().map(String::as_str).eq(IMAGENETTE.iter().map(|(wnid, _)| *wnid));
    let (name, title) = match (wnids.len(), train) {
        (ILSVRC_CLASSES, ILSVRC_TRAIN) => (ILSVRC.name, ILSVRC.title.to_string()),
        (_, IMAGENETTE_TRAIN) if imagenette => ("imagenette", "Imagenette".to_string()),
        _ if imagenette => (SUBSET.name, SUBSET.title.to_string()),
        (classes, _) => ("imagenet-subset", format!("ImageNet subset of {classes} classes")),
    };
    (name.into(), title)
}

/// The test photographs in `val` and their labels: those in its folders, or, where these hold none, those in it by a list.
fn test_files(folder: &Path, val: &Path, labels: &HashMap<&str, u16>) -> Result<Vec<(PathBuf, u16)>> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut files = Vec::new();
    for path in entries(val)?.iter().filter(|path| path.is_dir() && is_wnid(&name(path))) {
        let Some(&label) = labels.get(name(path).as_str()) else {
            return Err(Error::format(OPEN, path, "train has no class of this name"));
        };
        files.extend(pictures(entries(path)?).into_iter().map(|p| (p, label)));
    }
    if files.is_empty() { listed_files(folder, val, labels) } else { Ok(files) }
}

/// The test photographs that lie in `val` itself, with the labels that a list beside them gives.
///
/// Errors: [`Error::Format`] where there is no list, or for a list that does not fit.
pub(super) fn listed_files(
    folder: &Path,
    val: &Path,
    labels: &HashMap<&str, u16>,
) -> Result<Vec<(PathBuf, u16)>> {
    let mut flat = pictures(entries(val)?);
    flat.retain(|path| !path.is_dir());
    let places = [folder.to_path_buf(), val.to_path_buf(), folder.join("ILSVRC2012_devkit_t12/data")];
    let find = |file: &str| places.iter().map(|place| place.join(file)).find(|path| path.exists());
    if let Some(csv) = find("LOC_val_solution.csv") {
        let text = fs::read_to_string(&csv).map_err(Error::io(OPEN, &csv))?;
        // "ILSVRC2012_val_00000001,n02110185 x1 y1 x2 y2 ..."
        let known: HashMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once(','))
            .filter_map(|(image, boxes)| Some((image, boxes.split_whitespace().next()?)))
            .collect();
        let label = |path: &PathBuf| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let Some(wnid) = known.get(stem.as_str()) else {
                return Err(Error::format(OPEN, &csv, format!("no line for {stem}")));
            };
            labels.get(wnid).copied().ok_or_else(|| {
                Error::format(OPEN, &csv, format!("{stem} is a {wnid}, of which train has none"))
            })
        };
        return flat.iter().map(|path| Ok((path.clone(), label(path)?))).collect();
    }
    let Some(truth) = find("ILSVRC2012_validation_ground_truth.txt") else {
        let problem = "neither photographs in folders named as those of train nor LOC_val_solution.csv nor \
                       ILSVRC2012_validation_ground_truth.txt beside it";
        return Err(Error::format(OPEN, val, problem));
    };
    let Some(meta) = find("meta.mat") else {
        let problem = "its numbers are those of the development kit's meta.mat, which is not beside it";
        return Err(Error::format(OPEN, &truth, problem));
    };
    let order = synsets(&meta)?;
    let text = fs::read_to_string(&truth).map_err(Error::io(OPEN, &truth))?;
    let numbers: Vec<&str> = text.split_whitespace().collect();
    if numbers.len() != flat.len() {
        let problem = format!("{} labels for {} photographs in {}", numbers.len(), flat.len(), val.display());
        return Err(Error::format(OPEN, &truth, problem));
    }
    let label = |(line, number): (usize, &&str)| {
        let wnid = number.parse().ok().and_then(|n: usize| order.get(n.checked_sub(1)?));
        let label = wnid.and_then(|wnid| labels.get(wnid.as_str())).copied();
        label.ok_or_else(|| {
            let problem = format!("line {}: {number} is no class of train", line + 1);
            Error::format(OPEN, &truth, problem)
        })
    };
    let labels: Result<Vec<u16>> = numbers.iter().enumerate().map(label).collect();
    Ok(flat.into_iter().zip(labels?).collect())
}

/// The WordNet ids of the development kit's `meta.mat`, in the order of its numbers (`ILSVRC2012_ID`, from 1).
///
/// A MATLAB file holds its one array of structures element by element, compressed: the ids, and nothing else of
/// their form, come in the order of the numbers.
fn synsets(path: &Path) -> Result<Vec<String>> {
    let operation = "read the classes";
    let bytes = crate::data::read_regular(path, operation, 64 << 20)?;
    let mut all = Vec::new();
    let mut rest = bytes.get(128..).unwrap_or_default();
    while let Some((tag, after)) = rest.split_at_checked(8) {
        let word = |at: usize| u32::from_le_bytes([tag[at], tag[at + 1], tag[at + 2], tag[at + 3]]);
        let (kind, size) = (word(0), word(4) as usize);
        let Some((element, next)) = after.split_at_checked(size) else {
            return Err(Error::format(operation, path, "it ends in the middle of an element"));
        };
        const COMPRESSED: u32 = 15;
        if kind == COMPRESSED {
            let inflated = flate2::read::ZlibDecoder::new(element).take(256 << 20).read_to_end(&mut all);
            inflated.map_err(Error::io(operation, path))?;
        } else {
            all.extend_from_slice(element);
        }
        rest = next;
    }
    // Characters are stored as one byte or two.
    let narrow: Vec<u8> = all.iter().copied().filter(|b| *b != 0).collect();
    let mut ids: Vec<String> = Vec::new();
    let mut at = 0;
    while at + 9 <= narrow.len() {
        match std::str::from_utf8(&narrow[at..at + 9]).ok().filter(|text| is_wnid(text)) {
            Some(id) => {
                ids.push(id.into());
                at += 9;
            }
            None => at += 1,
        }
    }
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    if ids.is_empty() || distinct.len() != ids.len() {
        let problem = format!("{} WordNet ids, {} of them different", ids.len(), distinct.len());
        return Err(Error::format(operation, path, problem));
    }
    Ok(ids)
}

/// The photograph in a JPEG or PNG file's bytes, whatever the file's name ends in (ILSVRC has a PNG that is called JPEG), as
/// red, green and blue; the reason where there is none.
///
/// A JPEG that ends before its end-of-image marker is none: decoders fill what is missing with grey.
pub fn decode_bytes(bytes: &[u8]) -> std::result::Result<Photograph, String> {
    match bytes {
        [0xff, 0xd8, ..] => decode_jpeg(bytes),
        [0x89, b'P', b'N', b'G', ..] => decode_png(bytes),
        _ => Err("neither JPEG nor PNG".into()),
    }
}

fn decode_jpeg(bytes: &[u8]) -> std::result::Result<Photograph, String> {
    // A file may begin with a thumbnail; the last scan is the picture's.
    let marker = |code: u8| bytes.windows(2).rposition(|pair| pair == [0xff, code]);
    match (marker(0xda), marker(0xd9)) {
        (Some(scan), Some(end)) if scan < end => {}
        _ => return Err("JPEG without its end".into()),
    }
    let options = DecoderOptions::default().set_max_width(MOST_SIDE).set_max_height(MOST_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions().ok_or("JPEG without a size")?;
    check_size(width, height)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let colours = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let values = decoder.decode().map_err(|e| e.to_string())?;
    photograph(width, height, values)
}

fn decode_png(bytes: &[u8]) -> std::result::Result<Photograph, String> {
    let limits = png::Limits { bytes: 8 * MOST_PIXELS };
    let mut decoder = png::Decoder::new_with_limits(std::io::Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    check_size(width, height)?;
    let mut values = vec![0; reader.output_buffer_size()];
    let frame = reader.next_frame(&mut values).map_err(|e| e.to_string())?;
    values.truncate(frame.buffer_size());
    let with_alpha = match frame.color_type.samples() {
        2 => 2,
        4 => 4,
        _ => return photograph(width, height, values),
    };
    let opaque = values.chunks_exact(with_alpha).flat_map(|pixel| pixel[..with_alpha - 1].iter().copied());
    photograph(width, height, opaque.collect())
}

fn check_size(width: usize, height: usize) -> std::result::Result<(), String> {
    if width == 0 || height == 0 || width > MOST_SIDE || height > MOST_SIDE || width * height > MOST_PIXELS {
        return Err(format!("{width} x {height} pixels"));
    }
    Ok(())
}

/// From one value per pixel or three.
fn photograph(width: usize, height: usize, values: Vec<u8>) -> std::result::Result<Photograph, String> {
    let pixels = width * height;
    let rgb = match values.len() {
        n if n == 3 * pixels => values,
        n if n == pixels => values.into_iter().flat_map(|v| [v; 3]).collect(),
        n => return Err(format!("{n} values for {width} x {height} pixels")),
    };
    Ok(Photograph { width, height, rgb })
}
