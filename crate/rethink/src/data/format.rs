//! What a format of files is, and a data set that has a name. Each file of [`data`](crate::data) that reads a format says all of
//! that format in one [`Format`], and [`FORMATS`](crate::data::FORMATS) lists them: everything else goes through the list.

use crate::Result;
use crate::data::Dataset;
use crate::data::published::Published;
use std::path::{Path, PathBuf};

/// A format that a folder can hold.
pub struct Format {
    /// For people: "CIFAR-10 binary".
    pub title: &'static str,
    /// By which files it is recognised, for people: "data_batch_1.bin".
    pub sign: &'static str,
    /// Whether a folder has such files: enough to say which reader to try. No two formats may take the same folder.
    pub is_here: fn(&Path) -> bool,
    /// Reads the data set in a folder, and calls it what it is.
    pub reader: fn(&Path) -> Result<Dataset>,
    /// Training and test images in a folder without reading them.
    pub counter: fn(&Path) -> Option<(usize, usize)>,
    /// The files whose checksums [`verify`](crate::data::verify) gives.
    pub files: fn(&Path) -> Vec<PathBuf>,
    /// Reading takes minutes: a list of data sets does without.
    pub slow: bool,
    /// What may be written before the folder where a folder of this format is named (`imagenet:DIR`); the first is what the program
    /// itself writes.
    pub prefixes: &'static [&'static str],
    /// What files are called that are no published set, if they have a name of their own.
    pub unknown: Option<Unknown>,
    /// The archive in which its authors publish the files, if they do.
    pub archive: Option<Archive>,
    /// Data sets of this format that have a name on the command line.
    pub known: &'static [Known],
    /// Those whose files are known to be what their title says.
    pub published: &'static [Published],
}

/// What files are called that are no published set. It is part of the keys of runs on them: published ones are no longer found
/// under another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The short name, before the first digits of the fingerprint: `cifar10-format-`.
    pub name: &'static str,
    /// The title, before the folder, which is for people and no part of a key: "CIFAR-10 format".
    pub title: &'static str,
    /// Whether the folder is in brackets behind the title; if not, the rest of the title is its name and what else there is to say.
    pub in_brackets: bool,
}

impl Unknown {
    /// The part of a set's `title` that belongs to keys, if the set is called so.
    fn keyed(self, title: &str) -> Option<&str> {
        let rest = title.strip_prefix(self.title)?;
        if self.in_brackets {
            return title.split(" (").next();
        }
        rest.starts_with(' ').then_some(self.title)
    }

    /// The short name of files with this fingerprint.
    pub(super) fn name_of(self, fingerprint: &str) -> String {
        format!("{}{}", self.name, &fingerprint[..DIGITS.min(fingerprint.len())])
    }
}

/// A data set that is looked for in folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// On the command line.
    pub name: &'static str,
    /// The folder's name inside `RETHINK_DATA` and the cache.
    pub folder: &'static str,
    /// What the folder holds.
    pub format: &'static Format,
    /// One line for people.
    pub about: &'static str,
    /// Where no data set is named, the one of those that are there with the lowest number is taken. No two have the same.
    pub priority: u8,
    /// Taken for this set by its folder's name alone: a part in the layout of a whole one.
    pub by_folder: bool,
    /// From where `rethink data fetch` has it.
    pub download: Option<Download>,
}

/// Where a data set is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download {
    /// The files' address without their names.
    pub base: &'static str,
    /// What is downloaded.
    pub files: &'static [OfficialFile],
}

/// A file as it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfficialFile {
    /// Its name, at the address and on disk.
    pub name: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its official MD5, in hexadecimal.
    pub md5: &'static str,
}

/// An archive (`.tar.gz`) of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The archive itself.
    pub file: OfficialFile,
    /// The one folder in it.
    pub folder: &'static str,
    /// The files in it that hold images and labels.
    pub data: &'static [&'static str],
    /// All other files in it.
    pub others: &'static [&'static str],
    /// Bytes of an unpacked file, at most.
    pub largest: u64,
}

impl Format {
    /// The format of the files in `folder`, by their names.
    pub fn of(folder: &Path) -> Option<&'static Format> {
        crate::data::FORMATS.iter().copied().find(|format| (format.is_here)(folder))
    }

    /// Reads the data set in `folder`.
    ///
    /// Errors: those of the format's reader.
    pub fn read(&self, folder: &Path) -> Result<Dataset> {
        (self.reader)(folder)
    }

    /// Training and test images in `folder` without reading them.
    pub fn count(&self, folder: &Path) -> Option<(usize, usize)> {
        (self.counter)(folder)
    }

    /// Each format's files and title: "data_batch_1.bin (CIFAR-10 binary), ...".
    pub(crate) fn signs() -> Vec<String> {
        let sign = |format: &Format| format!("{} ({})", format.sign, format.title);
        crate::data::FORMATS.iter().copied().map(sign).collect()
    }

    /// What is written before a folder of this format; nothing for most.
    pub(super) fn prefix(&self) -> &'static str {
        self.prefixes.first().copied().unwrap_or_default()
    }

    /// Name and title of files in `folder` with this fingerprint that are no published set.
    pub(super) fn called_by(&self, fingerprint: &str, folder: &Path) -> (String, String) {
        let unknown = self.unknown.unwrap_or(Unknown { name: "", title: self.title, in_brackets: true });
        (unknown.name_of(fingerprint), format!("{} ({})", unknown.title, short_path(folder)))
    }

    /// The part of a data set's `title` that belongs to keys, if the set is called by this format, for want of a name.
    pub(super) fn keyed<'a>(&self, title: &'a str) -> Option<&'a str> {
        self.unknown.and_then(|unknown| unknown.keyed(title))
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Format) -> bool {
        self.title == other.title
    }
}

impl Eq for Format {}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.title)
    }
}

/// As many of a fingerprint's digits as tell one's data sets apart.
pub(crate) const DIGITS: usize = 8;

/// The folder's name, after its parent's where the name is that of a format's layout and says nothing of what is in it.
pub(super) fn short_path(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let last = name(&whole).unwrap_or_else(|| whole.display().to_string());
    let known = crate::data::known().into_iter().map(|known| known.folder);
    match whole
        .parent()
        .and_then(name)
        .filter(|_| ["raw", "data"].into_iter().chain(known).any(|u| u == last))
    {
        Some(parent) => format!("{parent}/{last}"),
        None => last,
    }
}
