//! Headless Chromium, for the tests of pages: where it is, and the Python that drives it.

use crate::root;
use crate::skips::{Need, skip};
use rethink_cli::jupyter;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIREMENTS: &str = include_str!("../browser/requirements.txt");

/// Chromium on `PATH`; without it, `None`, and `test` is said to be skipped.
pub fn chromium(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut places = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    let found = places.find(|program| program.is_file());
    if found.is_none() {
        skip(test, Need::Chromium, "no Chromium on PATH (Debian's package `chromium`)");
    }
    found
}

/// A Python with the driver's package, installed into `folder` the first time.
pub fn python(folder: &Path) -> PathBuf {
    let venv = folder.join("venv");
    let (python, mark) = (venv.join("bin/python"), venv.join("rethink-requirements"));
    if fs::read_to_string(&mark).is_ok_and(|found| found == REQUIREMENTS) {
        return python;
    }
    let _ = fs::remove_dir_all(&venv);
    let ensured = jupyter::setup::python(root()).unwrap_or_else(|e| panic!("set-up: {e}"));
    let requirements = root().join("tests/browser/requirements.txt");
    let run = |command: &mut Command| {
        let said = command.output().expect("Python runs");
        assert!(said.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said.stderr));
    };
    run(Command::new(ensured).args(["-m", "venv"]).arg(&venv));
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(&python).args(pip).arg(requirements));
    fs::write(mark, REQUIREMENTS).unwrap();
    python
}
