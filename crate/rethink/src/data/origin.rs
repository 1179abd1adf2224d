//! Files that are known to come from a published archive: what is noted of them beside them.

use crate::data::{SUMS_FILE, read_regular, sha256_hex};
use std::path::Path;

/// What is noted of a file whose checksum was the official one, and from which the folder's files come: a comment to `sha256sum`.
pub(super) fn origin_line(md5: &str, name: &str) -> String {
    format!("# from {name}, MD5 {md5}")
}

/// The lines of the folder's [`SUMS_FILE`]; none where it has none.
pub(super) fn sums(folder: &Path) -> Vec<String> {
    let bytes = read_regular(&folder.join(SUMS_FILE), "read the checksums", 1 << 20).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().map(String::from).collect()
}

/// Whether the files `names`, whose bytes are `files`, read from `folder`, are noted there, to the byte, as those of the archive of
/// this name and MD5.
pub fn came_from(folder: &Path, (archive, md5): (&str, &str), names: &[&str], files: &[Vec<u8>]) -> bool {
    let sums = sums(folder);
    sums.contains(&origin_line(md5, archive))
        && names
            .iter()
            .zip(files)
            .all(|(name, bytes)| sums.contains(&format!("{}  {name}", sha256_hex(bytes))))
}
