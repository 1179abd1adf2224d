//! Photographs in files: which there are, what is in them, and a data set of them. The layouts of folders are
//! [`imagenet`](crate::data::imagenet)'s and [`class_folders`](crate::data::class_folders)'.
//!
//! Files that are no photographs are left out, counted and named ([`Photographs::skipped`]); grey ones and those in
//! CMYK become red, green and blue. A file that cannot be read, or that changes once the set is open, is an error that names
//! it: it is never left out, since with it, or without the change, numbers would be others.

use crate::data::preprocessing::Photograph;
use crate::data::{Dataset, Split};
use crate::{Error, Result};
use rayon::prelude::*;
use rethink_nn::text::{counted, hex, thousands};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

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

/// Sets of up to so many bytes of files are decoded when they are opened: [`AT_ONCE_VARIABLE`], 1 GiB where it is not set.
///
/// Errors: [`Error::Argument`] for a value that is no number.
pub(super) fn at_once() -> Result<u64> {
    let set = std::env::var(AT_ONCE_VARIABLE).ok().filter(|text| !text.is_empty());
    let Some(text) = set else { return Ok(DECODED_AT_ONCE) };
    let problem = |_| Error::argument(AT_ONCE_VARIABLE, format!("{text:?} is no number of bytes"));
    text.parse().map_err(problem)
}

/// What a data set of photographs consists of.
pub(super) struct Listed {
    /// In the order of the labels.
    pub classes: Vec<String>,
    pub train: ListedSplit,
    pub test: ListedSplit,
}

/// A split of a [`Listed`] set.
pub(super) struct ListedSplit {
    /// Where its photographs lie.
    pub folder: PathBuf,
    /// Files and their labels.
    pub files: Vec<(PathBuf, u16)>,
}

/// The data set of the photographs that are listed, all below `folder`; without a name.
///
/// Errors: [`Error::Io`] for a file that cannot be read; [`Error::Format`] for a split in which nothing is a photograph.
pub(super) fn open(folder: &Path, listed: Listed, at_once: u64) -> Result<Dataset> {
    let Listed { classes, train, test } = listed;
    let folders = [train.folder, test.folder];
    let files = [train.files, test.files].map(|files| in_turns(files, classes.len()));

    let mut skipped = BTreeMap::new();
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let (mut splits, mut left_out) = ([Vec::new(), Vec::new()], [0, 0]);
    for (at, files) in files.into_iter().enumerate() {
        for (path, label) in files {
            let status = fs::metadata(&path).map_err(Error::io(OPEN, &path))?;
            let size = status.len();
            let below = path.strip_prefix(folder).unwrap_or(&path).to_path_buf();
            if size == 0 {
                skipped.insert(below, "empty".to_string());
                left_out[at] += 1;
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
                    left_out[at] += 1;
                }
                None => splits[at]
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
        for (split, left_out) in splits.iter_mut().zip(&mut left_out) {
            let listed = split.len();
            split.retain(|_| good.next() == Some(true));
            *left_out += listed - split.len();
        }
        if kept.iter().map(|p| p.rgb.len()).sum::<usize>() > CACHED_BYTES {
            kept = Vec::new();
        }
    }
    let [train, test] = splits;
    for (place, split) in folders.into_iter().zip([&train, &test]) {
        if split.is_empty() {
            return Err(Error::format(OPEN, place, "no photograph"));
        }
    }
    let (train, train_labels): (Vec<PhotographFile>, Vec<u16>) = train.into_iter().unzip();
    let (test, test_labels): (Vec<PhotographFile>, Vec<u16>) = test.into_iter().unzip();
    let known = if bytes <= at_once { GOOD } else { UNKNOWN };
    let known = (0..train.len() + test.len()).map(|_| AtomicU8::new(known)).collect();
    let at_start = LeftOut { train: left_out[0], test: left_out[1] };
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

/// Whether a name is that of what programs put beside one's files (`.ipynb_checkpoints`, `._1.jpg`).
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
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
