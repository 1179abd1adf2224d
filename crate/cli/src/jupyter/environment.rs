//! A finished set-up: where its programs and folders are.

use crate::jupyter::home;
use rethink_nn::device::DEVICE_VARIABLE;
use std::ffi::{OsStr, OsString};
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
/// (`CARGO_MANIFEST_DIR`, `CARGO_PKG_NAME`, ..., folders of libraries). Build scripts watch some of these: a cargo that inherits
/// them compiles TLS and all that needs it anew, and so does the next one without them.
pub fn outside_cargo(command: &mut Command) {
    let starts = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n == "OUT_DIR" || starts.iter().any(|s| n.starts_with(s))) {
            command.env_remove(name);
        }
    }
    for name in ["LD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"] {
        let Some(paths) = std::env::var_os(name) else { continue };
        match without_cargos(&paths, &std::env::current_exe().unwrap_or_default()) {
            Some(others) => command.env(name, others),
            None => command.env_remove(name),
        };
    }
}

/// The folders of `paths` without those that cargo puts there for a `program` that it starts, of the build and of the toolchain; `None`
/// where no other is left. What finds a library there would not find it when it is started without cargo.
fn without_cargos(paths: &OsStr, program: &Path) -> Option<OsString> {
    let built = program.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    let is_cargos = |path: &PathBuf| {
        built.is_some_and(|built| path.starts_with(built))
            || path.components().any(|part| part.as_os_str() == "rustlib")
            || path.join("rustlib").is_dir()
    };
    let others: Vec<PathBuf> = std::env::split_paths(paths).filter(|path| !is_cargos(path)).collect();
    let others = std::env::join_paths(others).ok()?;
    (!others.is_empty()).then_some(others)
}

#[cfg(test)]
mod tests {
    use super::without_cargos;
    use std::ffi::OsStr;
    use std::path::Path;

    #[test]
    fn cargos_folders_of_libraries_are_left_out_and_the_users_stay() {
        let toolchain = "/home/a/.rustup/toolchains/stable/lib/rustlib/x86_64-unknown-linux-gnu/lib";
        let built = "/home/a/rethink/target/release";
        let all = format!("{built}/build/ring-1/out:{built}/deps:/opt/cuda/lib64:{built}:{toolchain}");
        for program in ["rethink", "deps/quick-1"] {
            let program = Path::new(built).join(program);
            let left = without_cargos(OsStr::new(&all), &program);
            assert_eq!(left.as_deref(), Some(OsStr::new("/opt/cuda/lib64")), "{}", program.display());
            assert_eq!(without_cargos(OsStr::new(toolchain), &program), None);
        }
    }
}
