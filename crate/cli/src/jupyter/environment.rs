//! A finished set-up: where its programs and folders are.

use crate::jupyter::home;
use rethink_nn::device::DEVICE_VARIABLE;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A finished set-up. Every path is absolute.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The workspace.
    pub root: PathBuf,
    /// The virtual environment's Python.
    pub python: PathBuf,
    /// The kernel program, `evcxr_jupyter`.
    pub evcxr: PathBuf,
    /// cargo's folder for intermediate artifacts, shared by the command line and the cells.
    pub build: PathBuf,
}

impl Environment {
    /// Where everything is set up.
    pub(crate) fn folder(root: &Path) -> PathBuf {
        root.join(".rethink")
    }

    /// The virtual environment.
    pub fn venv(&self) -> PathBuf {
        Environment::folder(&self.root).join("venv")
    }

    /// The Python files of this module, as installed.
    pub fn home(&self) -> PathBuf {
        Environment::folder(&self.root).join("jupyter")
    }

    /// The environment's Python, seeing this environment's packages and kernel specs before any of
    /// the user's own.
    pub fn python(&self) -> Command {
        let mut command = Command::new(&self.python);
        command
            .env("JUPYTER_PATH", self.venv().join("share/jupyter"))
            .env("RETHINK_ROOT", &self.root)
            .env("PYTHONNOUSERSITE", "1")
            .env_remove("PYTHONPATH")
            .env_remove("PYTHONHOME")
            .env_remove("PYTHONSTARTUP")
            .envs(home::stand_ins(&self.root))
            // The kernel is built without CUDA.
            .env_remove(DEVICE_VARIABLE);
        outside_cargo(&mut command);
        command
    }
}

/// Takes from the command's environment what cargo has put there for the program that it runs
/// (`CARGO_MANIFEST_DIR`, `CARGO_PKG_NAME`, ...). Build scripts watch some of these: a cargo that inherits
/// them compiles TLS and all that needs it anew, and so does the next one without them.
pub fn outside_cargo(command: &mut Command) {
    let starts = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n == "OUT_DIR" || starts.iter().any(|s| n.starts_with(s))) {
            command.env_remove(name);
        }
    }
}
