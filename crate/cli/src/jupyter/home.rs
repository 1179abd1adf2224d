//! Jupyter's folders in the user's home, and others in their place where they cannot be written.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Jupyter's data folder of the user, as `jupyter --paths` names it: `JUPYTER_DATA_DIR`, else macOS' `~/Library/Jupyter`, Windows'
/// `%APPDATA%\\jupyter`, elsewhere `jupyter` in `XDG_DATA_HOME` or `~/.local/share`; `None` without a home folder.
pub(crate) fn data() -> Option<PathBuf> {
    let home = |below: &str| dirs::home_dir().map(|home| home.join(below));
    match named("JUPYTER_DATA_DIR") {
        Some(folder) => Some(folder),
        None if cfg!(target_os = "macos") => home("Library/Jupyter"),
        None if cfg!(windows) => named("APPDATA").map(|folder| folder.join("jupyter")),
        None => named("XDG_DATA_HOME").or_else(|| home(".local/share")).map(|folder| folder.join("jupyter")),
    }
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Whether this user can make files in `folder`, which is created.
pub(crate) fn writable(folder: &Path) -> bool {
    fs::create_dir_all(folder).is_ok() && tempfile::tempfile_in(folder).is_ok()
}

/// Jupyter's variables for folders that stand in for those of a home that cannot be written: in the workspace's set-up, else where
/// the system keeps what is temporary. Empty where the home can be written.
pub(crate) fn stand_ins(root: &Path) -> Vec<(&'static str, PathBuf)> {
    stand_in(root).map_or_else(Vec::new, |folder| {
        vec![
            ("JUPYTER_CONFIG_DIR", folder.join("config")),
            ("JUPYTER_DATA_DIR", folder.join("data")),
            ("JUPYTER_RUNTIME_DIR", folder.join("runtime")),
            ("JUPYTERLAB_SETTINGS_DIR", folder.join("lab/settings")),
            ("JUPYTERLAB_WORKSPACES_DIR", folder.join("lab/workspaces")),
            ("IPYTHONDIR", folder.join("ipython")),
        ]
    })
}

/// The folder that stands in for the home.
pub(crate) fn stand_in(root: &Path) -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = || {
        let data = data();
        let runtime = named("JUPYTER_RUNTIME_DIR").or_else(|| data.as_ref().map(|data| data.join("runtime")));
        let config =
            named("JUPYTER_CONFIG_DIR").or_else(|| dirs::home_dir().map(|home| home.join(".jupyter")));
        if [&runtime, &config].into_iter().all(|folder| folder.as_ref().is_some_and(|f| writable(f))) {
            return None;
        }
        let places =
            [Some(root.join(".rethink/home")), named("XDG_RUNTIME_DIR").map(|f| f.join("rethink-jupyter"))];
        places.into_iter().flatten().find(|place| writable(place)).or_else(|| {
            let made = tempfile::Builder::new().prefix("rethink-jupyter-").tempdir().ok()?;
            Some(made.keep())
        })
    };
    FOLDER.get_or_init(found).as_deref()
}
