//! Tests, and parts of tests, that need something that a machine may lack.
//!
//! libtest keeps what a passing test prints, so that nobody sees what was skipped. Here it is said on standard error itself, and
//! kept for `summary.rs`, the last program of a `cargo test`.

use crate::root;
use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// Where it is set, as in CI, a skip fails, but for those of the needs in it (separated by spaces).
const MAY_SKIP: &str = "RETHINK_MAY_SKIP";

/// What a test needs beside Rust, Python and the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A processor with AVX512-BF16.
    Bf16,
    /// A C++ compiler.
    Compiler,
    /// Chromium.
    Chromium,
    /// NVIDIA's compiler and libraries, installed or from PyPI.
    CudaToolkit,
    /// A real data set in `RETHINK_DATA`.
    Data,
    /// `faketime`.
    Faketime,
    /// LaTeX with the packages of the venues' styles.
    Latex,
    /// OpenMPI and libclang.
    Mpi,
    /// A file system, or a namespace, of the test's own.
    Mounts,
    /// OpenSSL's program.
    Openssl,
    /// Packages of PyPI beside the environment's.
    Packages,
    /// Poppler's programs, which read PDF.
    Poppler,
    /// Slurm's daemons, and the right to start them.
    Slurm,
    /// A Python with TensorBoard's package, which `RETHINK_TENSORBOARD` names.
    Tensorboard,
}

impl Need {
    /// In [`MAY_SKIP`].
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Says that `test`, or a part of it, is skipped, and why.
///
/// # Panics
/// Where `RETHINK_MAY_SKIP` is set and does not name `need`.
pub fn skip(test: &str, need: Need, why: impl Display) {
    let line = format!("{test}: {why}");
    say(&format!("skipped: {line}"));
    let expected = std::env::var(MAY_SKIP);
    assert!(
        expected.as_ref().map_or(true, |names| names.split_whitespace().any(|name| name == need.name())),
        "{line}; {MAY_SKIP} does not name {}",
        need.name()
    );
    let path = file();
    let kept = fs::create_dir_all(path.parent().expect("a file lies in a folder"))
        .and_then(|()| OpenOptions::new().create(true).append(true).open(&path))
        .and_then(|mut file| writeln!(file, "{line}"));
    kept.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// To standard error, past libtest.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "\n{text}");
}

/// What has been skipped since this was last asked, by the programs of one `cargo test`.
pub fn take() -> Vec<String> {
    let path = file();
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    text.lines().map(String::from).collect()
}

/// The programs of a `cargo test` are children of one process.
fn file() -> PathBuf {
    root().join("target/skipped").join(std::os::unix::process::parent_id().to_string())
}
