//! Files that are known to come from a published archive: what is noted of them beside them.

use crate::data::{SUMS_FILE, read_regular, sha256_hex};
use std::path::Path;

/// MD5 of CIFAR-10's binary version, as its authors publish it.
pub const CIFAR10_ARCHIVE_MD5: &str = "c32a1d4ab5d03f1284b67883e8d87530";
pub(super) const CIFAR10_ARCHIVE: &str = "cifar-10-binary.tar.gz";

/// What is noted of a file whose checksum was the official one, and from which the folder's files come: a comment to `sha256sum`.
pub(super) fn origin_line(md5: &str, name: &str) -> String {
    format!("# from {name}, MD5 {md5}")
}

/// The lines of the folder's [`SUMS_FILE`]; none where it has none.
pub(super) fn sums(folder: &Path) -> Vec<String> {
    let bytes = read_regular(&folder.join(SUMS_FILE), "read the checksums", 1 << 20).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().map(String::from).collect()
}

/// Whether the files `names` of CIFAR-10's format, whose bytes are `files`, read from `folder`, are noted there, to the byte, as those of the
/// archive with this MD5.
pub fn came_from(folder: &Path, md5: &str, names: &[&str], files: &[Vec<u8>]) -> bool {
    let sums = sums(folder);
    sums.contains(&origin_line(md5, CIFAR10_ARCHIVE))
        && names
            .iter()
            .zip(files)
            .all(|(name, bytes)| sums.contains(&format!("{}  {name}", sha256_hex(bytes))))
}
