//! A store as it grows, for somebody who looks on: finished runs, each read once, and runs in progress. Nothing is written.

use crate::Result;
use crate::data::read_regular;
use crate::run::checkpoint::{LOG, read_log};
use crate::run::config::{RunConfig, Scale};
use crate::run::history::SITTINGS;
use crate::run::row::LogRow;
use crate::run::strict;
use crate::store::{Kind, PassedOver, Run, Store, is_key, read};
use rethink_plot::files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// What an unfinished run is, beside its checkpoint.
#[derive(Serialize, Deserialize)]
struct About {
    config: RunConfig,
    scale: Scale,
}

const ABOUT: &str = "run.json";
/// More bytes than it ever has.
const LARGEST_ABOUT: u64 = 16 << 20;

/// Notes in the folder of an unfinished run, which is created, what it is.
///
/// Errors: [`Error::Io`](crate::Error::Io).
pub(super) fn note(folder: &Path, config: &RunConfig, scale: Scale) -> Result<()> {
    let about = About { config: config.clone(), scale };
    let json = serde_json::to_vec_pretty(&about).expect("plain values are JSON");
    Ok(files::write_whole(&folder.join(ABOUT), &json)?)
}

/// A run that is not finished.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// The run's key.
    pub key: String,
    /// What it is; `None` where an earlier version of this program began it, which did not note that.
    pub config: Option<RunConfig>,
    /// What it is for; `None` likewise.
    pub scale: Option<Scale>,
    /// Its rows up to the last epoch's end.
    pub rows: Vec<LogRow>,
    /// Whether a process is at it.
    pub at_work: bool,
    /// When its last sitting began.
    pub began: Option<SystemTime>,
    /// When its last epoch ended.
    pub last: Option<SystemTime>,
}

/// What [`Growing::look`] finds.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Every finished run, by key.
    pub finished: Vec<Arc<Run>>,
    /// Every other run that has been begun, by key.
    pub unfinished: Vec<Unfinished>,
    /// Files and folders that are no runs, by name.
    pub passed_over: Vec<PassedOver>,
}

/// By what a file is known to be the one that has been read.
type Stamp = (Option<SystemTime>, u64);

/// A store that is looked at again and again.
#[derive(Debug)]
pub struct Growing {
    store: Store,
    known: BTreeMap<PathBuf, (Stamp, std::result::Result<Arc<Run>, PassedOver>)>,
}

impl Growing {
    /// Of `store`, which need not be there yet.
    pub fn new(store: Store) -> Growing {
        Growing { store, known: BTreeMap::new() }
    }

    /// What is there now.
    ///
    /// Errors: [`Error::Io`](crate::Error::Io) where the folder cannot be listed.
    pub fn look(&mut self) -> Result<Look> {
        let operation = "list the runs";
        let mut paths = self.store.files(operation)?;
        paths.retain(|path| Kind::of(path) == Kind::Runs);
        let mut known = std::mem::take(&mut self.known);
        let mut look = Look::default();
        for path in paths {
            // Removed since the folder was listed; a link that leads nowhere is there, and passed over.
            let Ok(about) = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path)) else { continue };
            let stamp = (about.modified().ok(), about.len());
            let found = match known.remove(&path) {
                Some((then, found)) if then == stamp => found,
                _ => read(&path).map(Arc::new).map_err(|e| PassedOver::because(&path, &e)),
            };
            match &found {
                Ok(run) => look.finished.push(run.clone()),
                Err(other) => look.passed_over.push(other.clone()),
            }
            self.known.insert(path, (stamp, found));
        }
        let partial = self.store.entries(operation, "partial")?;
        for folder in partial.iter().filter(|path| path.is_dir()) {
            self.unfinished(folder, &mut look);
        }
        Ok(look)
    }

    fn unfinished(&self, folder: &Path, look: &mut Look) {
        let key = folder.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut pass_over = |path: &Path, reason: String| {
            look.passed_over.push(PassedOver { path: path.to_path_buf(), reason });
        };
        if !is_key(&key) {
            return pass_over(folder, "its name is not that of an unfinished run".into());
        }
        // Finished; what is left of the way there is about to go.
        if look.finished.iter().any(|run| run.record.config.key() == key) {
            return;
        }
        let path = folder.join(ABOUT);
        let about = read_regular(&path, "read what the run is", LARGEST_ABOUT).ok();
        let about = about.map(|bytes| match strict::from_json::<About>(&String::from_utf8_lossy(&bytes)) {
            Ok(about) if about.config.key() == key => Ok(about),
            Ok(_) => Err("it is that of another run".into()),
            Err(problem) => Err(problem),
        });
        let about = match about.transpose() {
            Ok(about) => about,
            Err(problem) => return pass_over(&path, problem),
        };
        let rows = match read_log(folder) {
            Ok(rows) => rows,
            Err(error) => return pass_over(folder, PassedOver::because(folder, &error).reason),
        };
        let time = |name: &str| fs::metadata(folder.join(name)).and_then(|file| file.modified()).ok();
        let (config, scale) = about.map_or((None, None), |about| (Some(about.config), Some(about.scale)));
        let (began, last) = (time(SITTINGS), time(LOG));
        let at_work = is_locked(&self.store.lock(&key));
        look.unfinished.push(Unfinished { key, config, scale, rows, at_work, began, last });
    }
}

/// Whether a process holds the lock. A free one is shared with other lookers-on for a moment; a process that wants it then waits
/// for that long.
fn is_locked(path: &Path) -> bool {
    // To open a pipe waits for whoever writes to it.
    let regular = fs::metadata(path).is_ok_and(|about| about.is_file());
    regular
        && File::open(path)
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}
