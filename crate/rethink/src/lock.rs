//! Locks of a store's runs and measurements, and of downloads. One process at a time holds a lock file. While it does, somebody may
//! delete the folder and another process make it again, with a lock file of its own: the first then holds a file that is no longer
//! there, which [`Lock::stands`] finds out.

use crate::{Error, Result};
use rethink_nn::interrupt;
use rethink_plot::files::remove_if_there;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two looks at a lock that another process holds.
const LOOK: Duration = Duration::from_millis(100);
/// Between two words about it.
const REMIND: Duration = Duration::from_secs(300);

/// A lock that this process holds, until this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock whose file is `path`, and creates the folder. Where another process holds it, calls `waiting`, and every
    /// few minutes again, and waits.
    ///
    /// Errors: [`Error::Interrupted`] while it waits; I/O errors naming the file.
    pub fn take(path: &Path, waiting: &mut dyn FnMut()) -> Result<Lock> {
        let mut told: Option<Instant> = None;
        loop {
            let file = open(path)?;
            while let Err(error) = file.try_lock() {
                if let TryLockError::Error(error) = error {
                    return Err(Error::io("take the lock", path)(error));
                }
                if told.is_none_or(|told| told.elapsed() >= REMIND) {
                    waiting();
                    told = Some(Instant::now());
                }
                interrupt::check("wait for another process")?;
                std::thread::sleep(LOOK);
            }
            let lock = Lock { file, path: path.to_path_buf() };
            // The process that held it may have removed the file: a new one at the path is then the lock.
            if lock.stands()? {
                return Ok(lock);
            }
        }
    }

    /// Takes the lock whose file is `path`, and creates the folder; `None` where another process holds it.
    ///
    /// Errors: I/O errors naming the file, also where the file system has no locks.
    pub fn try_take(path: &Path) -> Result<Option<Lock>> {
        // The process that held it may remove the file after it is opened here: the next look makes a new one.
        for _ in 0..2 {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(Error::io("take the lock", path)(error)),
            }
            let lock = Lock { file, path: path.to_path_buf() };
            if lock.stands()? {
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    /// Whether the file at the lock's path is still the one that is held. Where it is not, the run or measurement is another process's,
    /// or nobody's.
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

impl Drop for Lock {
    /// Closing the file is not enough: a child process that another thread is about to start has it too, until it becomes its own program.
    fn drop(&mut self) {
        let _ = self.file.unlock();
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

/// Elsewhere files have no number by which they could be compared: one at the lock's path is taken for it.
#[cfg(not(unix))]
fn is_same(_held: &fs::Metadata, _there: &fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::Lock;

    #[test]
    fn a_lock_is_given_up_even_where_a_child_process_still_has_its_file() {
        let path = std::env::temp_dir().join(format!("rethink-lock-{}/lock", std::process::id()));
        let lock = Lock::try_take(&path).unwrap().expect("nobody has it");
        assert!(Lock::try_take(&path).unwrap().is_none(), "one at a time");
        // What a fork does to open files.
        let of_a_child = lock.file.try_clone().unwrap();
        drop(lock);
        assert!(Lock::try_take(&path).unwrap().is_some());
        drop(of_a_child);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
