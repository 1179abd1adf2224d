//! Where data sets are looked for, and which one is taken.

use super::{Dataset, FORMATS, Format, Known, SHAPES10, class_folders, fetch, known, names, shapes10};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Names the folder in which data sets are looked for first.
pub const DATA_VARIABLE: &str = "RETHINK_DATA";
/// Where data sets are looked for.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The environment variable `RETHINK_DATA`.
    pub named: Option<PathBuf>,
    /// What [`fetch`] fills: `rethink/data` in the user's cache folder.
    pub cache: Option<PathBuf>,
}

/// A place of [`Places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// `RETHINK_DATA`.
    Named,
    /// The user's cache.
    Cache,
}

impl Places {
    /// From the environment; an empty `RETHINK_DATA` counts as unset.
    pub fn from_env() -> Places {
        let named = std::env::var_os(DATA_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
        Places { named, cache: fetch::cache() }
    }

    /// The folder of a known data set, and which place it is in.
    pub fn find(&self, known: &Known) -> Option<(Folder, PathBuf)> {
        let inside = |folder: &Path| {
            let sub = folder.join(known.folder);
            (Format::of(&sub) == Some(known.format)).then_some(sub)
        };
        // RETHINK_DATA may be the set's own folder, unless its name says that it is another set's.
        let itself = |folder: &Path| {
            let other = crate::data::known().into_iter().any(|k| k != known && folder.ends_with(k.folder));
            let whole = !known.by_folder || folder.ends_with(known.folder);
            (Format::of(folder) == Some(known.format) && whole && !other).then(|| folder.to_path_buf())
        };
        let named = self.named.as_deref().and_then(|f| inside(f).or_else(|| itself(f)));
        let cached = || self.cache.as_deref().and_then(inside);
        named.map(|p| (Folder::Named, p)).or_else(|| cached().map(|p| (Folder::Cache, p)))
    }

    /// Picks a data set by the rules of [`choose`] without reading it.
    pub fn pick(&self, name: Option<&str>) -> Result<DatasetChoice> {
        match name {
            Some(name) => self.pick_named(name),
            None => self.pick_default(),
        }
    }

    fn pick_named(&self, name: &str) -> Result<DatasetChoice> {
        if name == SHAPES10 {
            let why = "shapes10, the embedded data set, as named".to_string();
            return Ok(DatasetChoice { source: Source::Shapes10, why });
        }
        if let Some(known) = known().into_iter().find(|k| k.name == name) {
            return match self.find(known) {
                Some((place, folder)) => {
                    Ok(DatasetChoice::folder(known.name, known.format, folder, place.title()))
                }
                None => Err(self.missing(known)),
            };
        }
        let mut prefixes =
            FORMATS.iter().flat_map(|format| format.prefixes).filter(|prefix| !prefix.is_empty());
        if let Some((prefix, folder)) = prefixes.find_map(|prefix| Some((prefix, name.strip_prefix(prefix)?)))
        {
            return Self::pick_prefixed(prefix, Path::new(folder));
        }
        let folder = Path::new(name);
        if let Some(format) = Format::of(folder) {
            return Ok(DatasetChoice::folder(format.title, format, folder.to_path_buf(), "as named"));
        }
        if folder.is_dir() {
            let inside = Places { named: Some(folder.to_path_buf()), cache: None };
            if let Some((known, folder)) =
                known().into_iter().find_map(|k| inside.find(k).map(|(_, f)| (k, f)))
            {
                return Ok(DatasetChoice::folder(known.name, known.format, folder, "as named"));
            }
            let problem = class_folders::lacks(folder)
                .unwrap_or_else(|| format!("no {}", Format::signs().join(", no ")));
            return Err(Error::format("open the data set", folder, problem));
        }
        let problem = format!("{name:?} is no folder and none of {}", names().join(", "));
        Err(Error::argument("open the data set", problem))
    }

    /// A folder that was named with `prefix`, which several formats may have.
    fn pick_prefixed(prefix: &str, folder: &Path) -> Result<DatasetChoice> {
        let may_be = FORMATS.iter().copied().filter(|format| format.prefixes.contains(&prefix));
        let Some(format) = may_be.clone().find(|format| (format.is_here)(folder)) else {
            let signs = || may_be.map(|format| format!("no {}", format.sign)).collect::<Vec<_>>().join("; ");
            let problem = class_folders::lacks(folder).unwrap_or_else(signs);
            return Err(Error::format("open the data set", folder, problem));
        };
        let called = if format.prefix() == prefix { prefix.trim_end_matches(':') } else { format.title };
        Ok(DatasetChoice::folder(called, format, folder.to_path_buf(), "as named"))
    }

    fn pick_default(&self) -> Result<DatasetChoice> {
        if let Some(named) = &self.named {
            let only = Places { named: self.named.clone(), cache: None };
            return match known().into_iter().find_map(|k| only.find(k).map(|(_, f)| (k, f))) {
                Some((known, folder)) => {
                    Ok(DatasetChoice::folder(known.name, known.format, folder, Folder::Named.title()))
                }
                None => Err(Error::Missing {
                    what: format!("no data set in RETHINK_DATA={}", named.display()),
                    remedy: format!(
                        "it should hold one of the folders {}; unset it to use what `rethink data fetch` \
                         has fetched, or the embedded shapes10",
                        known().into_iter().map(|k| k.folder).collect::<Vec<_>>().join(", ")
                    ),
                }),
            };
        }
        if let Some((known, (place, folder))) = known().into_iter().find_map(|k| self.find(k).map(|f| (k, f)))
        {
            return Ok(DatasetChoice::folder(known.name, known.format, folder, place.title()));
        }
        let why = "shapes10, the embedded data set, since none is named, RETHINK_DATA is not set and nothing \
                   has been fetched (`rethink data fetch cifar10`)";
        Ok(DatasetChoice { source: Source::Shapes10, why: why.to_string() })
    }

    fn missing(&self, known: &Known) -> Error {
        let mut places = Vec::new();
        match &self.named {
            Some(folder) => places.push(format!("RETHINK_DATA={}", folder.display())),
            None => places.push("RETHINK_DATA (not set)".to_string()),
        }
        if let Some(folder) = &self.cache {
            places.push(folder.join(known.folder).display().to_string());
        }
        let fetch = match fetch::source(known.name) {
            Ok(_) => format!("`rethink data fetch {}` downloads it; or ", known.name),
            Err(_) => String::new(),
        };
        Error::Missing {
            what: format!("the data set {} is not in {}", known.name, places.join(" nor in ")),
            remedy: format!("{fetch}set RETHINK_DATA to a folder that holds {}", known.folder),
        }
    }
}

impl Folder {
    fn title(self) -> &'static str {
        match self {
            Folder::Named => "from RETHINK_DATA",
            Folder::Cache => "from the cache that `rethink data fetch` fills",
        }
    }
}

/// Where a chosen data set comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Drawn by [`shapes10`].
    Shapes10,
    /// Read from a folder.
    Folder(&'static Format, PathBuf),
}

/// A data set picked, not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetChoice {
    /// Where it comes from.
    pub source: Source,
    /// For people: which data set, from where, and why.
    pub why: String,
}

impl DatasetChoice {
    fn folder(name: &str, format: &'static Format, folder: PathBuf, why: &str) -> DatasetChoice {
        let why = format!("{name}, {why}: {}", folder.display());
        DatasetChoice { source: Source::Folder(format, folder), why }
    }

    /// A name by which it is found again, from another folder and by another process: that of a known data set where
    /// it was `asked` for or would be found by it, else its folder.
    pub fn name(&self, asked: Option<&str>) -> String {
        let Source::Folder(format, folder) = &self.source else { return SHAPES10.into() };
        let places = Places::from_env();
        let found = |known: &&'static Known| match asked {
            Some(asked) => asked == known.name,
            None => places.find(known).is_some_and(|(_, found)| found == *folder),
        };
        if let Some(known) = known().into_iter().find(found) {
            return known.name.into();
        }
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        format!("{}{}", format.prefix(), folder.display())
    }

    /// Reads or draws it.
    pub fn read(&self) -> Result<Dataset> {
        match &self.source {
            Source::Shapes10 => Ok(shapes10::dataset()),
            Source::Folder(format, folder) => format.read(folder),
        }
    }
}

/// Opens the data set `name`: one of [`names`], `imagenet:DIR`, or a folder that holds a known format ([`FORMATS`]), photographs of
/// one's own in class folders among them. A name is looked for in the folder `RETHINK_DATA`, then in the cache that [`fetch`] fills. Without a name: the first data set of `RETHINK_DATA` where that is set, else the first of
/// the cache, else `shapes10`.
///
/// Errors: [`Error::Missing`] with the remedy for a data set that is nowhere, [`Error::Argument`] for an
/// unknown name, and the readers' own.
pub fn open(name: Option<&str>) -> Result<Dataset> {
    Ok(choose(name)?.0)
}

/// As [`open`], with a line that says which data set is used and why.
pub fn choose(name: Option<&str>) -> Result<(Dataset, String)> {
    let choice = Places::from_env().pick(name)?;
    Ok((choice.read()?, choice.why))
}
