//! Notebooks without outputs, as they are committed.

use crate::jupyter::setup;
use crate::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAM: &str = include_str!("clean.py");

/// The notebooks of `paths` that are not clean: that have outputs, execution counts, an injected cell or a record of
/// an execution, or are not written as JupyterLab writes them. Unless `check`, they are made clean, each whole or
/// not at all. Needs the Python environment of the workspace `root`, not the kernel.
///
/// Errors: those of [`setup::python`]; [`Error::Program`] naming the file that is no notebook or cannot be written.
pub fn clean(root: &Path, paths: &[PathBuf], check: bool) -> Result<Vec<PathBuf>> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let python = setup::python(root)?;
    let failed = |path: &Path, problem: String| Error::Program {
        program: path.display().to_string(),
        problem,
        remedy: "give notebooks (*.ipynb) that can be read and written".into(),
    };
    // No path may be taken for an option.
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(Error::io("find the notebook", path));
    let absolute = paths.iter().map(absolute).collect::<Result<Vec<_>>>()?;
    let said = Command::new(&python)
        .args(["-I", "-c", PROGRAM])
        .args(check.then_some("--check"))
        .args(&absolute)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(&python, e.to_string()))?;
    let mut dirty = Vec::new();
    let mut seen = 0;
    for line in said.stdout.split(|b| *b == b'\n') {
        let Ok(event) = serde_json::from_slice::<Value>(line) else { continue };
        let path = PathBuf::from(event["path"].as_str().unwrap_or_default());
        if let Some(problem) = event["failed"].as_str() {
            return Err(failed(&path, problem.into()));
        }
        seen += 1;
        if event["clean"] != true {
            dirty.push(path);
        }
    }
    if seen != paths.len() {
        return Err(failed(&python, String::from_utf8_lossy(&said.stderr).trim().to_string()));
    }
    Ok(dirty)
}
