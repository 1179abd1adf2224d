//! What an execution of a notebook wrote, by checksums: whether all of it is there and as it was, and how what is not
//! comes back without an execution.

use crate::{Error, Result};
use rethink::data::sha256_hex;
use rethink::paper;
use rethink::study::{Stored, Study};
use rethink_plot::files::{keep_old, write_whole};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of an execution with their SHA-256, by their names below the study's folder (with `/`). On disk: a line with the
/// execution's fingerprint, then lines as `sha256sum` writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Of what was executed.
    pub fingerprint: String,
    sums: BTreeMap<String, String>,
}

/// A file that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Below the study's folder.
    pub name: String,
    /// How it differs.
    pub kind: DamageKind,
}

/// How a file differs from what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// It is not there, or cannot be read.
    Missing,
    /// It has no bytes.
    Empty,
    /// It has other bytes.
    Changed,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.kind {
            DamageKind::Missing => "missing",
            DamageKind::Empty => "empty",
            DamageKind::Changed => "not what was written (edited or damaged)",
        };
        write!(f, "{}: {how}", self.name)
    }
}

impl Manifest {
    /// Of the files `names` in `folder` as they are.
    ///
    /// Errors: [`Error::Io`] naming the file that cannot be read.
    pub fn of(folder: &Path, fingerprint: &str, names: &[String]) -> Result<Manifest> {
        let sum = |name: &String| {
            let path = folder.join(name);
            let bytes = fs::read(&path).map_err(Error::io("read the product", &path))?;
            Ok((name.clone(), sha256_hex(&bytes)))
        };
        let sums = names.iter().map(sum).collect::<Result<_>>()?;
        Ok(Manifest { fingerprint: fingerprint.into(), sums })
    }

    /// The one at `path`; `None` where there is none, or it is not whole.
    pub fn read(path: &Path) -> Option<Manifest> {
        let text = fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))?;
        let (fingerprint, rest) = text.split_once('\n')?;
        let pair = |line: &str| line.split_once("  ").map(|(sum, name)| (name.to_string(), sum.to_string()));
        let sums: BTreeMap<String, String> = rest.lines().map(pair).collect::<Option<_>>()?;
        Some(Manifest { fingerprint: fingerprint.into(), sums })
    }

    /// Writes it to `path`.
    ///
    /// Errors: [`Error::Io`] naming the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let lines = self.sums.iter().map(|(name, sum)| format!("{sum}  {name}\n"));
        Ok(write_whole(path, format!("{}\n{}", self.fingerprint, lines.collect::<String>()).as_bytes())?)
    }

    /// Whether it has the file `name`.
    pub fn has(&self, name: &str) -> bool {
        self.sums.contains_key(name)
    }

    /// The files in `folder` that are not what was written.
    pub fn damaged(&self, folder: &Path) -> Vec<Damage> {
        let damage = |(name, sum): (&String, &String)| {
            let kind = match fs::read(folder.join(name)) {
                Err(_) => DamageKind::Missing,
                Ok(bytes) if sha256_hex(&bytes) == *sum => return None,
                Ok(bytes) if bytes.is_empty() => DamageKind::Empty,
                Ok(_) => DamageKind::Changed,
            };
            Some(Damage { name: name.clone(), kind })
        };
        self.sums.iter().filter_map(damage).collect()
    }

    /// The bytes of the figures' and tables' files among `damaged`, made from the study's stored results; `None` unless
    /// they are to the byte those that were written. Of every other file, `None`.
    pub fn remade(&self, study: &Study, damaged: &[Damage]) -> Option<Vec<(PathBuf, Vec<u8>)>> {
        let mut made: BTreeMap<&str, Vec<(&'static str, Vec<u8>)>> = BTreeMap::new();
        let mut files = Vec::with_capacity(damaged.len());
        for Damage { name, .. } in damaged {
            let (id, extension) = name.rsplit_once('.')?;
            if !made.contains_key(id) {
                let recipe = paper::find(id).ok()?;
                let Stored::Whole(results) = study.stored(recipe).ok()? else { return None };
                let product = recipe.make(&results, &study.note_of(&results)).ok()?;
                made.insert(id, product.files().ok()?);
            }
            let (_, bytes) = made[id].iter().find(|(other, _)| *other == extension)?;
            if self.sums.get(name) != Some(&sha256_hex(bytes)) {
                return None;
            }
            files.push((study.folder().join(name), bytes.clone()));
        }
        Some(files)
    }
}

/// The files of recipes' figures and tables in `folder`, by name: `ID.EXTENSION`.
///
/// Errors: [`Error::Io`] naming the folder.
pub fn files_of(folder: &Path, ids: &[&str]) -> Result<Vec<String>> {
    let operation = "list the products";
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(operation, folder))? {
        let path = entry.map_err(Error::io(operation, folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let product = name.rsplit_once('.').is_some_and(|(id, _)| ids.contains(&id));
        if product && path.is_file() {
            names.push(name.to_string());
        }
    }
    names.sort();
    Ok(names)
}

/// Copies what was changed to names that end in `.old`, before it is written anew; says so, one line per file.
///
/// Errors: those of [`keep_old`].
pub fn keep_changed(folder: &Path, damaged: &[Damage], say: &mut dyn FnMut(&str)) -> Result<()> {
    for damage in damaged.iter().filter(|damage| damage.kind == DamageKind::Changed) {
        let kept = keep_old(&folder.join(&damage.name))?;
        say(&format!("{}: as it is now, kept as {}", damage.name, kept.display()));
    }
    Ok(())
}

/// The file beside an executed notebook that has its [`Manifest`].
pub fn mark(executed: &Path) -> PathBuf {
    executed.with_extension("executed")
}

/// Whether the executed notebook at `path`, in a folder below its study's, is not what its execution wrote; of one without a
/// manifest nothing is known.
pub fn is_altered(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::parent);
    let name = path.file_name().map(|name| format!("notebooks/{}", name.to_string_lossy()));
    let (Some(folder), Some(name)) = (folder, name) else { return false };
    Manifest::read(&mark(path))
        .is_some_and(|manifest| manifest.damaged(folder).iter().any(|damage| damage.name == name))
}
