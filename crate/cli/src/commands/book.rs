//! `rethink book`: the executed notebooks as pages to browse.

use crate::{Result, book, jupyter};
use rethink::study::Study;
use std::path::PathBuf;

/// Writes the book of `study`'s executed notebooks, and of those `given`, into `to` (where absent, `book` in the study's folder).
///
/// Errors: those of [`jupyter::ensure`] and [`book::write`].
pub fn book(study: &Study, given: &[PathBuf], to: Option<PathBuf>) -> Result<()> {
    book::check(study, given)?;
    let environment = jupyter::ensure(&jupyter::root()?)?;
    let to = match to {
        Some(folder) => folder,
        None => study.own_folder()?.join("book"),
    };
    let index = book::write(study, given, &environment, &to)?;
    for notebook in book::altered(study, given)? {
        rethink_plot::tell!("warning: {} is not what its execution wrote", notebook.display());
    }
    println!("{}", index.display());
    Ok(())
}
