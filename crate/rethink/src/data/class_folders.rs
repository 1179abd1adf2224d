//! Photographs of one's own in folders named by their classes: `train/CLASS/*.jpg`, and `val/CLASS/*.jpg` or `test/CLASS/*.jpg`. Where there is
//! `train` alone, or where the classes' folders lie in the data set's folder itself, a fifth of each class is held out for tests.
//!
//! Files end in `.jpg`, `.jpeg` or `.png`; any names of folders are classes, in the order of the sorted names. A set whose
//! folders in `train` are all named by ImageNet's classes is [`imagenet`]'s, and called so; the sets here never are.

use crate::data::Dataset;
use crate::data::format::{Format, Unknown, short_path};
use crate::data::photographs::{
    self, Listed, ListedSplit, OPEN, entries, holds_pictures, is_hidden, pictures,
};
use crate::data::{imagenet, sha256_hex};
use crate::{Error, Result};
use rethink_nn::text::{counted, thousands};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// How such sets are called.
const UNKNOWN: Unknown = Unknown { name: "photographs-", title: "Photographs in folder", in_brackets: false };

/// The format.
pub static FORMAT: Format = Format {
    title: "photographs in class folders",
    sign: "a folder of .jpg, .jpeg or .png files for each class (cat/1.jpg), or train, and val or test, with these",
    is_here,
    reader: read,
    counter: count,
    files: |_| Vec::new(),
    slow: true,
    prefixes: &["", "imagenet:"],
    unknown: Some(UNKNOWN),
    archive: None,
    known: &[],
    published: &[],
};

/// The folders of a data set's splits.
const SPLITS: [&str; 3] = ["train", "val", "test"];
/// Of each class, one photograph in so many is held out for tests where they have no folder.
const HELD_OUT: usize = 5;

/// Where a set's photographs lie.
enum Layout {
    /// In `train`, and those for tests in this folder.
    TestFolder(PathBuf),
    /// In folders of classes in this one, those for tests among them.
    Together(PathBuf),
}

impl Layout {
    fn of(folder: &Path) -> Option<Layout> {
        let train = folder.join("train");
        if has_classes(&train) {
            return match imagenet::test_folder(folder) {
                Some(test) => Some(Layout::TestFolder(test)),
                None => Layout::together(train),
            };
        }
        let of_one_split = is_split(folder) || SPLITS.iter().any(|split| folder.join(split).exists());
        if of_one_split { None } else { Layout::together(folder.to_path_buf()) }
    }

    /// ImageNet's classes have test photographs of their own, which are to be found.
    fn together(folder: PathBuf) -> Option<Layout> {
        let own = has_classes(&folder) && imagenet::class_ids(&folder).is_ok_and(|ids| ids.is_none());
        own.then_some(Layout::Together(folder))
    }
}

/// Whether there is a folder with photographs in `folder`.
fn has_classes(folder: &Path) -> bool {
    let class = |path: &PathBuf| !is_hidden(path) && holds_pictures(path);
    entries(folder).is_ok_and(|paths| paths.iter().any(class))
}

fn is_split(folder: &Path) -> bool {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    SPLITS.iter().any(|split| whole.ends_with(split))
}

/// Whether `folder` has this layout, and is not known to be ImageNet's.
pub fn is_here(folder: &Path) -> bool {
    Layout::of(folder).is_some() && !imagenet::is_here(folder)
}

/// Training and test files, without a look into them.
fn count(folder: &Path) -> Option<(usize, usize)> {
    match Layout::of(folder)? {
        Layout::TestFolder(_) => imagenet::count(folder),
        Layout::Together(all) => {
            let of_class = |path: &PathBuf| {
                let files = pictures(entries(path).ok()?);
                let held_out = held_out(files.len());
                Some((files.len() - held_out, held_out))
            };
            let shown = entries(&all).ok()?.into_iter().filter(|path| !is_hidden(path) && path.is_dir());
            shown.map(|path| of_class(&path)).try_fold((0, 0), |sum, of| Some((sum.0 + of?.0, sum.1 + of?.1)))
        }
    }
}

/// What keeps `folder` from being such a data set, where it nearly is one.
pub(super) fn lacks(folder: &Path) -> Option<String> {
    if has_classes(&folder.join("train")) {
        return Some("photographs in train, but no val or test beside it".into());
    }
    let inside = entries(folder).ok()?;
    if let Some(split) = inside.iter().find(|path| has_classes(path)) {
        let name = split.file_name()?.to_string_lossy().into_owned();
        return Some(match is_split(split) {
            true => format!("photographs in {name}, but none in train beside it"),
            false => format!(
                "photographs in {name}: name that folder, or have train, and val or test, in its place"
            ),
        });
    }
    if !has_classes(folder) {
        return None;
    }
    Some(match is_split(folder) {
        true => "the photographs of one split; name the folder above it, which holds train, and val or test".into(),
        false => {
            "folders of photographs, which are expected one further down: train/CLASS, and val/CLASS or test/CLASS"
                .into()
        }
    })
}

/// Reads the data set in `folder`. It is titled "Photographs in folder FOLDER (2 classes)", with "a fifth of each held out for tests" where it is
/// so.
///
/// Errors: [`Error::Io`]; [`Error::Format`] naming the folder that holds no photographs, is no class of `train`, or has photographs
/// beside those of the classes; [`Error::Argument`] for an [`photographs::AT_ONCE_VARIABLE`] that is no number.
pub fn read(folder: &Path) -> Result<Dataset> {
    read_as(folder, photographs::at_once()?)
}

/// As [`read`], with another limit: sets of more than `at_once` bytes of files are decoded as they are needed, and what is
/// no photograph is found when a run begins.
///
/// Errors: as for [`read`].
pub fn read_as(folder: &Path, at_once: u64) -> Result<Dataset> {
    let (train_folder, test_folder) = match Layout::of(folder) {
        Some(Layout::Together(all)) => (all, None),
        Some(Layout::TestFolder(test)) => (folder.join("train"), Some(test)),
        None => (folder.join("train"), Some(folder.join("val"))),
    };
    let of_train = classes(&train_folder)?;
    if !(2..=usize::from(u16::MAX)).contains(&of_train.len()) {
        let problem = format!(
            "{}, expected one for each class, two or more",
            counted(of_train.len(), "folder of photographs")
        );
        return Err(Error::format(OPEN, train_folder, problem));
    }
    let names: Vec<String> = of_train.iter().map(|(class, _)| class.clone()).collect();
    let (train, test) = match &test_folder {
        Some(test) => (labelled(of_train), test_photographs(folder, test, &names)?),
        None => with_held_out(&train_folder, of_train),
    };
    if let Some(said) = untested(&names, &test.files) {
        rethink_plot::tell!("{}: {said}", test.folder.display());
    }
    let train = ListedSplit { folder: train_folder.clone(), files: train };
    let mut data = photographs::open(folder, Listed { classes: names, train, test }, at_once)?;
    // The number of classes is in the labels, and so in the fingerprint, where each class has a photograph.
    let mut seen = vec![false; data.classes.len()];
    data.train.labels.iter().for_each(|label| seen[usize::from(*label)] = true);
    if let Some(empty) = seen.iter().position(|seen| !seen) {
        let problem = "none of its files is a photograph; remove the folder where the class is not wanted";
        return Err(Error::format(OPEN, train_folder.join(&data.classes[empty]), problem));
    }
    data.name = UNKNOWN.name_of(&data.fingerprint);
    let held_out = if test_folder.is_none() { "; a fifth of each held out for tests" } else { "" };
    let classes = thousands(data.classes.len());
    data.title = format!("{} {} ({classes} classes{held_out})", UNKNOWN.title, short_path(folder));
    Ok(data)
}

/// The photographs of classes, with the classes' numbers.
fn labelled(classes: Vec<(String, Vec<PathBuf>)>) -> Vec<(PathBuf, u16)> {
    let files = classes.into_iter().enumerate();
    files.flat_map(|(label, (_, files))| files.into_iter().map(move |file| (file, label as u16))).collect()
}

/// So many of `files` photographs of a class are held out.
fn held_out(files: usize) -> usize {
    if files < 2 { 0 } else { (files / HELD_OUT).max(1) }
}

/// Training photographs and those that are held out for tests: of each class the ones whose names have the lowest checksums. When photographs
/// are added, few change sides.
fn with_held_out(folder: &Path, classes: Vec<(String, Vec<PathBuf>)>) -> (Vec<(PathBuf, u16)>, ListedSplit) {
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (class, files) in classes {
        let sum = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            sha256_hex(format!("{class}/{name}").as_bytes())
        };
        let mut by_sum = files.clone();
        by_sum.sort_by_cached_key(sum);
        let lowest: HashSet<PathBuf> = by_sum.into_iter().take(held_out(files.len())).collect();
        let (of_test, of_train) = files.into_iter().partition(|file| lowest.contains(file));
        test.push((class.clone(), of_test));
        train.push((class, of_train));
    }
    let (train, test) = (labelled(train), labelled(test));
    let [all, out] = [train.len() + test.len(), test.len()].map(thousands);
    rethink_plot::tell!(
        "{}: no folder of test photographs; a fifth of each class is held out for tests, {out} of {all}",
        folder.display()
    );
    (train, ListedSplit { folder: folder.to_path_buf(), files: test })
}

/// The photographs of the folder `val` or `test`.
///
/// Errors: [`Error::Io`]; [`Error::Format`] for a class that is none of `names`, and for a folder without photographs.
fn test_photographs(folder: &Path, test_folder: &Path, names: &[String]) -> Result<ListedSplit> {
    let labels = imagenet::labels(names);
    let mut test = Vec::new();
    for (class, files) in classes(test_folder)? {
        let Some(&label) = labels.get(class.as_str()) else {
            let problem = "train has no class of this name; both have to have the same folders";
            return Err(Error::format(OPEN, test_folder.join(class), problem));
        };
        test.extend(files.into_iter().map(|file| (file, label)));
    }
    if test.is_empty() {
        if entries(test_folder)?.iter().all(|path| is_hidden(path)) {
            return Err(Error::format(
                OPEN,
                test_folder,
                "empty; it holds the test photographs, in folders named as those of train",
            ));
        }
        test = imagenet::listed_files(folder, test_folder, &labels)?;
    }
    Ok(ListedSplit { folder: test_folder.to_path_buf(), files: test })
}

/// Which classes no test photograph is of, in a sentence; `None` where there is one of each.
fn untested(classes: &[String], test: &[(PathBuf, u16)]) -> Option<String> {
    let tested: HashSet<u16> = test.iter().map(|(_, label)| *label).collect();
    let missing: Vec<&str> =
        (0..).zip(classes).filter(|(k, _)| !tested.contains(k)).map(|(_, c)| c.as_str()).collect();
    let said =
        || format!("no photograph of {}; networks are tested on the other classes alone", missing.join(", "));
    (!missing.is_empty()).then(said)
}

/// The folders in `folder` by their sorted names, each with the photographs in it. Hidden ones are not looked at.
///
/// Errors: [`Error::Io`] for a folder that cannot be listed; [`Error::Format`] for one without photographs, for photographs beside folders,
/// which would be left out without a word, and for a name that is not text.
fn classes(folder: &Path) -> Result<Vec<(String, Vec<PathBuf>)>> {
    let (folders, files): (Vec<_>, Vec<_>) =
        entries(folder)?.into_iter().filter(|path| !is_hidden(path)).partition(|path| path.is_dir());
    if let (Some(file), false) = (pictures(files).first(), folders.is_empty()) {
        return Err(Error::format(OPEN, file, "beside folders of classes; move it into one of them"));
    }
    folders.into_iter().map(|path| Ok((class_name(&path)?, photographs(&path)?))).collect()
}

fn class_name(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(String::from).ok_or_else(|| Error::format(OPEN, path, "the name of a class is not UTF-8"))
}

/// The photographs in the folder of a class.
///
/// Errors: [`Error::Format`] where there is none, and for what may have been meant as one: a picture in another format, or in a folder within.
fn photographs(path: &Path) -> Result<Vec<PathBuf>> {
    let (folders, mut files): (Vec<_>, Vec<_>) =
        entries(path)?.into_iter().filter(|path| !is_hidden(path)).partition(|path| path.is_dir());
    if let Some(folder) = folders.iter().find(|path| holds_pictures(path)) {
        let problem = "photographs in a folder within the folder of a class; move them into that one";
        return Err(Error::format(OPEN, folder, problem));
    }
    if let Some(other) = files.iter().find(|path| is_other_picture(path)) {
        let problem =
            "a picture that is neither .jpg, .jpeg nor .png; convert it to one of these, or move it away";
        return Err(Error::format(OPEN, other, problem));
    }
    files = pictures(files);
    if files.is_empty() {
        let problem = "no .jpg, .jpeg or .png file in the folder of a class; convert its pictures to one of these, or remove the folder";
        return Err(Error::format(OPEN, path, problem));
    }
    Ok(files)
}

/// Whether a file is named as pictures are that cannot be decoded here.
fn is_other_picture(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    ["webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif", "jp2", "ppm", "pgm"]
        .contains(&ending.as_str())
}
