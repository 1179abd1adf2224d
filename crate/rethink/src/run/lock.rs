//! Locks of a store's runs and measurements. One process holds a lock file at a time; its folder may be deleted, and made
//! again by another process, while it is held.

use crate::{Error, Result};
use rethink_plot::files::remove_if_there;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A lock that this process holds, until this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock whose file is `path`, in a folder that is created; `waiting` is told, once, where another process
    /// holds it, and it is waited for.
    ///
    /// Errors: I/O errors naming the file.
    pub fn take(path: &Path, waiting: &mut dyn FnMut()) -> Result<Lock> {
        let mut told = false;
        loop {
            let file = open(path)?;
            if file.try_lock().is_err() {
                if !told {
                    waiting();
                    told = true;
                }
                file.lock().map_err(Error::io("wait for the lock", path))?;
            }
            let lock = Lock { file, path: path.to_path_buf() };
            // Who held it may have removed the file: then others take another one.
            if lock.stands()? {
                return Ok(lock);
            }
        }
    }

    /// Takes the lock whose file is `path`, in a folder that is created, where nobody holds it.
    ///
    /// Errors: I/O errors naming the file.
    pub fn try_take(path: &Path) -> Result<Option<Lock>> {
        let file = open(path)?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        let lock = Lock { file, path: path.to_path_buf() };
        Ok(lock.stands()?.then_some(lock))
    }

    /// Whether the file at the lock's path is still the one that is held. Where it is not, what it stands for is another
    /// process's, or nobody's.
    ///
    /// Errors: I/O errors naming the file.
    pub fn stands(&self) -> Result<bool> {
        let there = match fs::metadata(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            there => there.map_err(Error::io("look at the lock", &self.path))?,
        };
        // A network file system may forget a file that another machine deleted.
        Ok(self.file.metadata().is_ok_and(|held| is_same(&held, &there)))
    }

    /// To be called before something is written under the lock.
    ///
    /// Errors: [`Error::Different`], which names the folder, where the lock [stands](Lock::stands) no more; I/O errors.
    pub fn check(&self) -> Result<()> {
        if self.stands()? {
            return Ok(());
        }
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = self.path.file_name().unwrap_or_default().display();
        Err(Error::Different {
            what: format!(
                "{}: deleted or replaced while this process was at work there: its lock, {name}, is gone",
                folder.display()
            ),
            remedy: "nothing more is written to it; start this again: it waits for another process that has begun the same, \
                     and goes on from what is there"
                .into(),
        })
    }

    /// Ends the work: `clear` removes what lies under the lock, and the file goes last. Where the lock
    /// [stands](Lock::stands) no more, both are left as they are: they are another process's.
    ///
    /// Errors: those of `clear`; I/O errors naming the file.
    pub fn end(&self, clear: impl FnOnce() -> Result<()>) -> Result<()> {
        if !self.stands()? {
            return Ok(());
        }
        clear()?;
        Ok(remove_if_there(&self.path)?)
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
    }
    File::create(path).map_err(Error::io("create the lock", path))
}

#[cfg(unix)]
fn is_same(held: &fs::Metadata, there: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (held.dev(), held.ino()) == (there.dev(), there.ino())
}

/// Elsewhere a file has no number that would tell; that there is one has to do.
#[cfg(not(unix))]
fn is_same(_held: &fs::Metadata, _there: &fs::Metadata) -> bool {
    true
}
