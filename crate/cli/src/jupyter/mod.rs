//! The Rust notebook kernel, the Python environment around it, and running notebooks in them.
//!
//! Everything is set up under `.rethink` in the workspace, once, by [`setup::ensure`]:
//!
//! | in `.rethink` | what it is |
//! | --- | --- |
//! | `bin/evcxr_jupyter` | the kernel program, of version [`setup::EVCXR`] |
//! | `venv` | Python with JupyterLab, nbclient and nbval, at versions that were tested |
//! | `venv/share/jupyter/kernels/rethink` | the kernel spec "Rust (rethink)" |
//! | `jupyter` | this folder's Python files, and the `cargo` that cells are built with |
//! | `kernels/N` | the cell crate of the N-th running kernel |
//!
//! Kernels lie elsewhere where that folder cannot be written or has a space in its path (`launch.py`).
//!
//! `book/index.html.j2` is nbconvert's template of [`crate::book`].
//!
//! What notebooks show is compared with what is stored under `tests/expected` ([`expected`]), and they are kept
//! without outputs ([`clean`]).
//!
//! # Why cells are fast
//!
//! evcxr alone would compile polars, plotters and dfdx once more for every kernel, unoptimised and at
//! its own versions, and link them into each cell. `launch.py` starts it on the workspace's `Cargo.lock`, and
//! `tools/bin/cargo` builds each cell with the workspace's release profile in the workspace's build folder: the libraries that
//! the command line was linked from are those of the cells, linked once into a dynamic library that every cell loads
//! (`tools/mirror.py`). So a cell is some 150 KB of its own code, and all cells share one polars, one thread pool, one of
//! every static. And `tools/metadata.py` spares the rust-analyzer inside evcxr the sources of 350 packages.
//!
//! What that leaves to know: a variable that lasts needs its type written (`let runs: Vec<Run> = ...`)
//! where the type is not plain from this crate's sources, unless the standard library's sources are there.
//!
//! # What stands between Jupyter and evcxr
//!
//! `relay.py`, the process that Jupyter starts, passes Jupyter's messages on to evcxr, which it starts, and does what evcxr cannot:
//!
//! - It answers interrupts. evcxr ends the process that runs cells, with all variables, and when it is idle, too. The relay lets
//!   the library end its call early, ends a compilation, and ends the process only where neither is going on.
//! - It makes a panic, and a `?` that returned an error, an `error` message, and answers queued cells as aborted. evcxr writes
//!   both to standard error and answers "ok".
//! - It reads the cells' output itself. evcxr reads lines, and waits for ever for a line of its own behind an unfinished one.
//! - It shows what the library says while a cell runs (progress, a growing curve, `display`), and what is compiled.
//!
//! The library's side of it is [`rethink::live`]. Where either end dies, the other ends, and nothing is left over. A runner gives up a
//! kernel that says nothing and uses no processor time for ten minutes ([`run`]).

pub mod advice;
pub mod clean;
pub mod close;
pub mod environment;
pub mod expected;
mod home;
pub mod kernel;
pub mod lab;
pub mod outputs;
pub mod run;
pub mod sanitize;
pub mod setup;
mod tool;
mod venv;

pub use environment::{Environment, outside_cargo};
pub use lab::lab;
pub use setup::ensure;

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The workspace: `RETHINK_ROOT`, else the nearest folder at or above the current one that holds the
/// notebooks and this crate, else the folder that this program was compiled in.
pub fn root() -> Result<PathBuf> {
    let is_root = |p: &Path| p.join("crate/rethink/Cargo.toml").is_file() && p.join("Cargo.lock").is_file();
    if let Some(named) = std::env::var_os("RETHINK_ROOT") {
        let named = PathBuf::from(named);
        return match named.canonicalize() {
            Ok(path) if is_root(&path) => Ok(path),
            _ => Err(Error::argument(
                "RETHINK_ROOT",
                format!("{} holds no crate/rethink/Cargo.toml beside a Cargo.lock", named.display()),
            )),
        };
    }
    let here = std::env::current_dir().map_err(Error::io("find the current folder", "."))?;
    let compiled_in = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf);
    here.ancestors().map(Path::to_path_buf).chain(compiled_in).find(|p| is_root(p)).ok_or_else(|| {
        Error::Missing {
            what: format!("the notebooks: no rethink workspace at or above {}", here.display()),
            remedy: "run this inside a clone of the repository, or set RETHINK_ROOT to one".into(),
        }
    })
}
