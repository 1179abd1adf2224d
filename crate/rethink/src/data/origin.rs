//! Files that are known to come from a published archive: how it is unpacked, and what is noted of them beside them.

use crate::data::format::Archive;
use crate::data::{SUMS_FILE, read_regular, sha256_hex};
use crate::{Error, Result};
use md5::{Digest, Md5};
use rethink_nn::text::hex;
use rethink_plot::files::write_whole;
use std::fs::{self, File};
use std::io::Read;
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

/// Where the official `archive` lies in `folder` or beside it, and the files with images in `folder` are, to the byte, those in it, this is
/// noted in [`SUMS_FILE`]: from then on the data set is called by its name. A file of that name that is there already stays as it is.
///
/// Errors: [`Error::Io`] and [`Error::Format`] naming an archive that has the official checksum and cannot be unpacked, or the file that
/// cannot be written.
pub fn vouch(folder: &Path, archive: &Archive) -> Result<bool> {
    let official = &archive.file;
    if folder.join(SUMS_FILE).exists() {
        return Ok(false);
    }
    let whole = folder.canonicalize().map_err(Error::io("find the folder", folder))?;
    let places = [Some(whole.as_path()), whole.parent()];
    let path = places.into_iter().flatten().map(|place| place.join(official.name));
    let Some(path) = path.into_iter().find(|path| path.is_file() && length(path) == official.bytes) else {
        return Ok(false);
    };
    if md5_of(&path)? != official.md5 {
        return Ok(false);
    }
    let unpacked =
        tempfile::tempdir().map_err(Error::io("create a temporary folder in", &std::env::temp_dir()))?;
    unpack(&path, archive, unpacked.path())?;
    for name in archive.data {
        let [ours, official] = [folder, unpacked.path()].map(|place| fs::read(place.join(name)).ok());
        if ours.is_none() || ours != official {
            return Ok(false);
        }
    }
    write_sums(folder, &[(official.name, official.md5)])?;
    Ok(true)
}

/// Lists the folder's files with their SHA-256, so that [`crate::data::verify`] sees later damage, after the files that they come from
/// (`origin`: names and MD5).
pub(super) fn write_sums(folder: &Path, origin: &[(&str, &str)]) -> Result<()> {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        if entry.path().is_file()
            && !origin.iter().any(|(file, _)| entry.file_name() == **file && file.ends_with(".tar.gz"))
        {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    let mut lines: String = origin.iter().map(|(name, md5)| origin_line(md5, name) + "\n").collect();
    for name in names {
        let path = folder.join(&name);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        lines += &format!("{}  {name}\n", sha256_hex(&bytes));
    }
    Ok(write_whole(&folder.join(SUMS_FILE), lines.as_bytes())?)
}

/// Writes the known files of the archive at `path` into `folder`. Names are compared, never joined, so
/// that no entry can leave the folder; an entry that the official archive does not have is an error.
pub(super) fn unpack(path: &Path, archive: &Archive, folder: &Path) -> Result<()> {
    let operation = "unpack";
    let damaged = |e: std::io::Error| Error::format(operation, path, e.to_string());
    let file = File::open(path).map_err(Error::io(operation, path))?;
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let within = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() && within.trim_end_matches('/') == archive.folder {
            continue;
        }
        let name = within.strip_prefix(archive.folder).and_then(|p| p.strip_prefix('/'));
        let Some(name) = archive.data.iter().chain(archive.others).find(|known| name == Some(known)) else {
            return Err(Error::format(operation, path, format!("an unexpected entry {within:?}")));
        };
        if !kind.is_file() || entry.size() > archive.largest {
            let problem = format!("the entry {within:?} is no file of at most {} bytes", archive.largest);
            return Err(Error::format(operation, path, problem));
        }
        let to = folder.join(name);
        let mut out = File::create_new(&to).map_err(Error::io("create", &to))?;
        std::io::copy(&mut entry, &mut out).map_err(damaged)?;
        out.sync_all().map_err(Error::io("write", &to))?;
    }
    Ok(())
}

/// Bytes of the file at `path`, 0 where there is none.
pub(super) fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |m| m.len())
}

pub(super) fn md5_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut hash = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(Error::io("read", path))? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}
