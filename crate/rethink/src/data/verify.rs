//! The check of a folder with a data set.

use super::{Dataset, Format, class_folders, origin, read_regular, sha256_hex};
use crate::{Error, Result};
use std::path::Path;

/// What [`verify`] found in a folder that is whole.
pub struct Verified {
    /// The data set that the folder holds.
    pub data: Dataset,
    /// The files' format.
    pub format: &'static Format,
    /// Each file's name, bytes and SHA-256; none of photographs.
    pub files: Vec<(String, u64, String)>,
    /// What the checksums say, in a sentence.
    pub verdict: String,
}

/// The file in which [`fetch`](super::fetch) leaves the SHA-256 of what it has put in a folder, in the format of
/// `sha256sum`.
pub const SUMS_FILE: &str = "SHA256SUMS";

/// Checks a folder: that every file is there and well-formed, its checksums where some are known (those
/// that [`fetch`](super::fetch) left beside the files), and which published set the images are. Where the format's official archive lies in
/// the folder or beside it, and the files are that archive's, this is noted beside them ([`origin::vouch`]).
///
/// Errors: [`Error::Missing`] when the folder holds no known format; [`Error::Format`] naming the file
/// that is damaged or whose checksum is not that in [`SUMS_FILE`]; [`Error::Io`].
pub fn verify(folder: &Path) -> Result<Verified> {
    let operation = "verify";
    let Some(format) = Format::of(folder) else {
        if !folder.is_dir() {
            return Err(Error::format(operation, folder, "no folder"));
        }
        if let Some(problem) = class_folders::lacks(folder) {
            return Err(Error::format(operation, folder, problem));
        }
        return Err(Error::Missing {
            what: format!("{} holds no known data set", folder.display()),
            remedy: format!("name a folder with {}", Format::signs().join("; or ")),
        });
    };
    if let Some(archive) = &format.archive {
        origin::vouch(folder, archive)?;
    }
    let data = format.read(folder)?;
    if let Some(photographs) = &data.photographs {
        photographs.decode_all()?;
        let verdict = photographs.report().unwrap_or("every file is a photograph".into());
        return Ok(Verified { data, format, files: Vec::new(), verdict });
    }
    let mut files = Vec::new();
    for path in &(format.files)(folder) {
        let bytes = read_regular(path, operation, 4 << 30)?;
        files.push((file_name(path), bytes.len() as u64, sha256_hex(&bytes)));
    }
    let sums = folder.join(SUMS_FILE);
    if sums.exists() {
        check_sums(&sums, &files)?;
    }
    let fetched = format.known.iter().find(|known| known.download.is_some()).map(|known| known.name);
    let verdict = match (data.id(usize::MAX, usize::MAX).published(), format.archive, fetched) {
        (Some(published), ..) => published.verdict.to_string(),
        (None, ..) if sums.exists() => "the files are those that were fetched; they are not known to be those of a published set, and are not \
             compared with the paper's numbers"
            .into(),
        (None, Some(archive), Some(name)) => format!(
            "the structure is right; these files are not known to be the official ones, and are not compared with the paper's \
             numbers. `rethink data fetch {name}` downloads those; where you have their archive, {}, put it beside the folder or in \
             it and verify again",
            archive.file.name
        ),
        (None, ..) if format.published.is_empty() => {
            "the structure is right; the images are none of the paper's, and are not compared with its numbers".into()
        }
        (None, ..) => {
            "the structure is right; these are not the official images, and are not compared with the paper's numbers".into()
        }
    };
    Ok(Verified { data, format, files, verdict })
}

fn check_sums(sums: &Path, files: &[(String, u64, String)]) -> Result<()> {
    let operation = "verify";
    let text = String::from_utf8_lossy(&read_regular(sums, operation, 1 << 20)?).into_owned();
    for (name, _, sha) in files {
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        let Some(expected) = line.and_then(|l| l.split_whitespace().next()) else {
            return Err(Error::format(operation, sums, format!("no checksum of {name}")));
        };
        if expected != sha {
            let path = sums.with_file_name(name);
            let problem = format!(
                "its SHA-256 is {sha}, {SUMS_FILE} has {expected}: it has changed since it was fetched"
            );
            return Err(Error::format(operation, path, problem));
        }
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
