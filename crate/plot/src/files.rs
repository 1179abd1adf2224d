//! Files that are whole or absent: written under a temporary name, flushed to disk, renamed.

use crate::{Error, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path` so that a reader, at any moment, sees the old file or the new one.
/// Creates the folder. Errors name the path.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = written(path, bytes, folder_of(path))?;
    part.persist(path).map_err(|e| Error::io("rename to", path)(e.error))?;
    Ok(())
}

/// As [`write_whole`] where there is no file at `path`.
///
/// Errors: [`Error::Io`] with the kind "already exists" where there is one, which stays as it is.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    write_new_from(folder_of(path), path, bytes)
}

/// As [`write_new`], with the temporary file in `folder`, on the same file system: what a kill leaves of it goes with the folder.
///
/// Errors: those of [`write_new`].
pub fn write_new_from(folder: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let part = written(path, bytes, folder)?;
    part.persist_noclobber(path).map_err(|e| Error::io("create", path)(e.error))?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `bytes`, which are to be at `path`, in a temporary file in `folder`, on disk.
fn written(path: &Path, bytes: &[u8], folder: &Path) -> Result<tempfile::NamedTempFile> {
    fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".rethink-").suffix(".partial");
    // A temporary file is private to its user; a result is as readable as the user's mask makes any other file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut part = builder.tempfile_in(folder).map_err(Error::io("create a temporary file in", folder))?;
    part.write_all(bytes).map_err(Error::io("write", path))?;
    part.as_file().sync_all().map_err(Error::io("write", path))?;
    Ok(part)
}

/// Removes the file at `path`, if there is one. Errors name the path.
pub fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes the folder at `path` with all that is in it, if there is one. Errors name the path.
pub fn remove_folder_if_there(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Copies the file at `path` to `NAME.old` beside it (`NAME.old-2` and so on where another file has that name); one that has
/// been kept already is not kept again. Returns the copy's path. Errors name the path.
pub fn keep_old(path: &Path) -> Result<PathBuf> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut number = 1;
    loop {
        let ending = if number == 1 { ".old".into() } else { format!(".old-{number}") };
        let copy = path.with_file_name(format!("{name}{ending}"));
        match fs::read(&copy) {
            Ok(other) if other == bytes => return Ok(copy),
            Ok(_) => number += 1,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                write_whole(&copy, &bytes)?;
                return Ok(copy);
            }
            Err(e) => return Err(Error::io("read", &copy)(e)),
        }
    }
}
