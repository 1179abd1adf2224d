//! The files of a figure or a table: one name, several formats, each whole or absent.

use crate::files::write_whole;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Writes each (extension, bytes) as `dir/id.extension`; returns the paths.
pub fn write_all(dir: &Path, id: &str, files: Vec<(&str, Vec<u8>)>) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::with_capacity(files.len());
    for (extension, bytes) in files {
        let path = dir.join(format!("{id}.{extension}"));
        write_whole(&path, &bytes)?;
        paths.push(path);
    }
    Ok(paths)
}

/// Pretty JSON with a final newline, keys sorted.
pub fn json_bytes(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// What is saved in several formats goes into a folder: a name that ends as theirs do is a file's.
pub fn check_folder(operation: &'static str, dir: &Path, id: &str) -> Result<()> {
    let formats = ["svg", "png", "pdf", "csv", "json", "md", "tex"];
    let extension = dir.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if formats.contains(&extension) && !dir.is_dir() {
        let problem = format!(
            "{}: a folder is expected, in which the files are called {id}.{extension} and so on",
            dir.display()
        );
        return Err(Error::argument(operation, problem));
    }
    Ok(())
}

/// An id names files, so it may not name another folder.
pub fn check_id(operation: &'static str, id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || !id.chars().all(plain) {
        let problem = format!("the id {id:?} may hold letters, digits, '-' and '_' only");
        return Err(Error::argument(operation, problem));
    }
    Ok(())
}
