//! Photographs of one's own in folders named by their classes: `train/CLASS/*.jpg`, and `val/CLASS/*.jpg` or `test/CLASS/*.jpg`.
//! Files end in `.jpg`, `.jpeg` or `.png`; any names of folders are classes, in the order of the sorted names.
//!
//! Photographs are decoded, and broken ones left out, as ImageNet's are ([`crate::data::imagenet`]), whose layout this is. A set whose
//! folders are all named by ImageNet's classes is read there, and called ImageNet's; the sets here never are.

use crate::data::Dataset;
use crate::data::format::{Format, Unknown, short_path};
use crate::data::imagenet::{self, Listed, OPEN, entries, holds_pictures, is_hidden, pictures};
use crate::{Error, Result};
use rethink_nn::text::thousands;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// How such sets are called.
const UNKNOWN: Unknown = Unknown { name: "photographs-", title: "Photographs in folder", in_brackets: false };

/// The format.
pub static FORMAT: Format = Format {
    title: "photographs in class folders",
    sign: "train, and val or test, with a folder of .jpg, .jpeg or .png files for each class (train/cat/1.jpg)",
    is_here,
    reader: read,
    counter: imagenet::count,
    files: |_| Vec::new(),
    slow: true,
    prefixes: &["", "imagenet:"],
    unknown: Some(UNKNOWN),
    archive: None,
    known: &[],
    published: &[],
};

/// Whether `folder` has this layout, and is not known to be ImageNet's: a folder with photographs in `train`, and `val` or `test`.
pub fn is_here(folder: &Path) -> bool {
    let with_photographs = |path: &PathBuf| !is_hidden(path) && holds_pictures(path);
    imagenet::test_folder(folder).is_some()
        && entries(&folder.join("train")).is_ok_and(|paths| paths.iter().any(with_photographs))
        && !imagenet::is_here(folder)
}

/// What keeps `folder` from being such a data set, where it nearly is one.
pub(super) fn lacks(folder: &Path) -> Option<String> {
    let of_classes = |path: &Path| entries(path).is_ok_and(|all| all.iter().any(|path| holds_pictures(path)));
    if of_classes(&folder.join("train")) {
        return Some("photographs in train, but no val or test beside it".into());
    }
    let inside = entries(folder).ok()?;
    if let Some(split) = inside.iter().find(|path| of_classes(path)) {
        let name = split.file_name()?.to_string_lossy().into_owned();
        return Some(format!("photographs in {name}, where train, and val or test, are expected"));
    }
    of_classes(folder).then(|| {
        "folders of photographs, which are expected one further down: train/CLASS, and val/CLASS or test/CLASS".into()
    })
}

/// Reads the data set in `folder`. It is titled "Photographs in folder FOLDER (2 classes)".
///
/// Errors: [`Error::Io`]; [`Error::Format`] naming the folder that holds no photographs, is no class of `train`, or has photographs
/// beside those of the classes; [`Error::Argument`] for an [`imagenet::AT_ONCE_VARIABLE`] that is no number.
pub fn read(folder: &Path) -> Result<Dataset> {
    read_as(folder, imagenet::at_once()?)
}

/// As [`read`], with another limit: sets of more than `at_once` bytes of files are decoded as they are needed, and what is
/// no photograph is found when a run begins.
///
/// Errors: as for [`read`].
pub fn read_as(folder: &Path, at_once: u64) -> Result<Dataset> {
    let train_folder = folder.join("train");
    let of_train = classes(&train_folder)?;
    if of_train.is_empty() || of_train.len() > usize::from(u16::MAX) {
        let problem =
            format!("{} folders of photographs, expected one for each class", thousands(of_train.len()));
        return Err(Error::format(OPEN, train_folder, problem));
    }
    let names: Vec<String> = of_train.iter().map(|(class, _)| class.clone()).collect();
    let train = of_train.into_iter().enumerate();
    let train = train.flat_map(|(label, (_, files))| files.into_iter().map(move |file| (file, label as u16)));
    let train: Vec<(PathBuf, u16)> = train.collect();

    let test_folder = imagenet::test_folder(folder).unwrap_or_else(|| folder.join("val"));
    let labels = imagenet::labels(&names);
    let mut test = Vec::new();
    for (class, files) in classes(&test_folder)? {
        let Some(&label) = labels.get(class.as_str()) else {
            let problem = "train has no class of this name; both have to have the same folders";
            return Err(Error::format(OPEN, test_folder.join(class), problem));
        };
        test.extend(files.into_iter().map(|file| (file, label)));
    }
    if test.is_empty() {
        if entries(&test_folder)?.iter().all(|path| is_hidden(path)) {
            return Err(Error::format(
                OPEN,
                test_folder,
                "empty; it holds the test photographs, in folders named as those of train",
            ));
        }
        test = imagenet::listed_files(folder, &test_folder, &labels)?;
    }
    if let Some(said) = untested(&names, &test) {
        rethink_plot::tell!("{}: {said}", test_folder.display());
    }
    let mut data = imagenet::open(folder, Listed { classes: names, train, test_folder, test }, at_once)?;
    // The number of classes is in the labels, and so in the fingerprint, where each class has a photograph.
    let mut seen = vec![false; data.classes.len()];
    data.train.labels.iter().for_each(|label| seen[usize::from(*label)] = true);
    if let Some(empty) = seen.iter().position(|seen| !seen) {
        let problem = "none of its files is a photograph; remove the folder where the class is not wanted";
        return Err(Error::format(OPEN, train_folder.join(&data.classes[empty]), problem));
    }
    data.name = UNKNOWN.name_of(&data.fingerprint);
    let count = match data.classes.len() {
        1 => "1 class".to_string(),
        count => format!("{} classes", thousands(count)),
    };
    data.title = format!("{} {} ({count})", UNKNOWN.title, short_path(folder));
    Ok(data)
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
