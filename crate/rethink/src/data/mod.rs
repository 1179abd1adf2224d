//! Data sets: what they are, where they are looked for, and the readers of their formats.

pub mod arrays;
pub mod augmentation;
pub mod cifar;
pub mod cifar100;
pub mod class_folders;
pub mod corruption;
mod dataset;
pub mod fetch;
pub mod format;
mod id;
pub mod imagenet;
pub mod mnist;
pub mod origin;
pub mod photographs;
mod places;
pub mod preprocessing;
pub mod published;
mod records;
pub mod samples;
pub mod shapes10;
mod verify;

use crate::{Error, Result};
pub use dataset::{Dataset, Sheet, Split};
pub use format::{Format, Known};
pub use id::DataId;
pub use places::{DATA_VARIABLE, DatasetChoice, Folder, Places, Source, choose, open};
pub use published::Published;
use rethink_nn::text::hex;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;
pub use verify::{SUMS_FILE, Verified, verify};

/// Every format of files. To add one: a file of `data` with its [`Format`], declared above and listed here.
pub static FORMATS: &[&Format] = &[
    &cifar::FORMAT,
    &cifar100::FORMAT,
    &mnist::FORMAT,
    &arrays::FORMAT,
    &imagenet::FORMAT,
    &class_folders::FORMAT,
];

/// Every data set of a folder that has a name, by [`Known::priority`].
pub fn known() -> Vec<&'static Known> {
    let mut all: Vec<&Known> = FORMATS.iter().flat_map(|format| format.known).collect();
    all.sort_by_key(|known| known.priority);
    all
}

/// Every name of a data set, the embedded one's last.
pub fn names() -> Vec<&'static str> {
    known().into_iter().map(|known| known.name).chain([SHAPES10]).collect()
}

/// Every data set that is known to be what its title says.
fn all_published() -> Vec<Published> {
    FORMATS.iter().flat_map(|format| format.published).copied().chain([shapes10::EMBEDDED]).collect()
}

/// The embedded data set's name.
pub const SHAPES10: &str = shapes10::EMBEDDED.name;

/// SHA-256 of bytes, in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The bytes of the file at `path` as [`read_regular`] reads them; `None` where there is none.
pub(crate) fn read_if_there(path: &Path, operation: &'static str, limit: u64) -> Result<Option<Vec<u8>>> {
    match read_regular(path, operation, limit) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// A regular file's bytes (a pipe or a device could block or never end), at most `limit` of them.
pub(crate) fn read_regular(path: &Path, operation: &'static str, limit: u64) -> Result<Vec<u8>> {
    let status = std::fs::metadata(path).map_err(Error::io(operation, path))?;
    if !status.is_file() {
        return Err(Error::format(operation, path, "not a regular file"));
    }
    if status.len() > limit {
        let problem = format!("{} bytes, expected at most {limit}", status.len());
        return Err(Error::format(operation, path, problem));
    }
    let mut bytes = Vec::with_capacity(status.len() as usize);
    let file = std::fs::File::open(path).map_err(Error::io(operation, path))?;
    file.take(limit).read_to_end(&mut bytes).map_err(Error::io(operation, path))?;
    Ok(bytes)
}
