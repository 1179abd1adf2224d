//! Photographs in ILSVRC-2012's layout: `train/WNID/*.JPEG`, and `val/WNID/*.JPEG` or `val/*.JPEG` with a list of
//! their labels. Imagenette and other subsets have the same one. ImageNet's are those whose classes are all among ILSVRC-2012's;
//! other classes are [`class_folders`](crate::data::class_folders).
//!
//! A class is a folder of `train`; its label is the place of its WordNet id among all, sorted, as in the Keras and
//! PyTorch conventions. A flat `val` takes its labels from, in this order: `LOC_val_solution.csv` (the form in which
//! the validation labels are published with WordNet ids); `ILSVRC2012_validation_ground_truth.txt`, the development
//! kit's, whose numbers are those of the kit's `meta.mat`, which has to be there too. Both are looked for beside `val`, in it,
//! and in `ILSVRC2012_devkit_t12/data`.

use crate::data::Dataset;
use crate::data::format::{Format, Known};
use crate::data::photographs::{
    Listed, ListedSplit, OPEN, at_once, entries, holds_pictures, is_hidden, open, pictures,
};
use crate::data::published::Published;
use crate::{Error, Result};
use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

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
pub(super) fn class_ids(train: &Path) -> Result<Option<Vec<String>>> {
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

/// Reads the data set in `folder`.
///
/// Errors: [`Error::Io`], [`Error::Format`] naming the file: no class, a class that is none of ILSVRC-2012's, a class of `val` that
/// `train` lacks, labels that do not fit the files, a split in which nothing is a photograph; [`Error::Argument`] for an
/// [`AT_ONCE_VARIABLE`](crate::data::photographs::AT_ONCE_VARIABLE) that is no number.
pub fn read(folder: &Path) -> Result<Dataset> {
    read_as(folder, at_once()?)
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
    if wnids.len() < 2 {
        return Err(Error::format(OPEN, train_folder, "one folder of a class; there have to be two or more"));
    }
    let mut train = Vec::new();
    for (label, wnid) in wnids.iter().enumerate() {
        let files = pictures(entries(&train_folder.join(wnid))?);
        train.extend(files.into_iter().map(|path| (path, label as u16)));
    }
    let test_folder = test_folder(folder).unwrap_or_else(|| folder.join("val"));
    let test = test_files(folder, &test_folder, &labels(&wnids))?;
    let train = ListedSplit { folder: train_folder, files: train };
    let test = ListedSplit { folder: test_folder, files: test };
    let mut data = open(folder, Listed { classes: wnids, train, test }, at_once)?;
    (data.name, data.title) = names(&data.classes, data.train.len());
    data.classes.iter_mut().for_each(|wnid| *wnid = class_name(wnid));
    Ok(data)
}

/// The label of each class by its name.
pub(super) fn labels(classes: &[String]) -> HashMap<&str, u16> {
    classes.iter().enumerate().map(|(label, class)| (class.as_str(), label as u16)).collect()
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
