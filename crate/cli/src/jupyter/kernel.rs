//! The project's own kernel spec: what Jupyter starts when a notebook asks for `rethink`. It lies in the project's Python
//! environment, and where it is [installed](install_for) among the user's own.

use crate::jupyter::environment::Environment;
use crate::jupyter::home;
use crate::{Error, Result};
use rethink_plot::files;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The kernel's name in a notebook's metadata.
pub const NAME: &str = "rethink";
/// The kernel's name in JupyterLab.
pub const DISPLAY_NAME: &str = "Rust (rethink)";

/// The programs that run in Python or the shell, and nbconvert's template of a book, as they are written under `.rethink/jupyter`:
/// name, contents, whether it is executable.
const PROGRAMS: &[(&str, &str, bool)] = &[
    ("launch.py", include_str!("launch.py"), false),
    ("cursor.py", include_str!("cursor.py"), false),
    ("relay.py", include_str!("relay.py"), false),
    ("run.py", include_str!("run.py"), false),
    ("nbval_strict.py", include_str!("nbval_strict.py"), false),
    ("papermill/pyproject.toml", include_str!("papermill/pyproject.toml"), false),
    ("papermill/rethink_papermill.py", include_str!("papermill/rethink_papermill.py"), false),
    ("templates/book/conf.json", include_str!("book/conf.json"), false),
    ("templates/book/index.html.j2", include_str!("book/index.html.j2"), false),
    ("tools/bin/cargo", include_str!("tools/bin/cargo"), true),
    ("tools/bin/link-cell", include_str!("tools/bin/link-cell"), true),
    ("tools/bin/rustup", include_str!("tools/bin/rustup"), true),
    ("tools/mirror.py", include_str!("tools/mirror.py"), false),
    ("tools/metadata.py", include_str!("tools/metadata.py"), false),
    ("tools/evcxr/evcxr.toml", include_str!("tools/evcxr/evcxr.toml"), false),
];

/// Writes the programs and the kernel spec, each only where it differs.
pub(crate) fn install(environment: &Environment) -> Result<()> {
    let home = environment.home();
    for &(name, text, executable) in PROGRAMS {
        write_changed(&home.join(name), text.as_bytes(), executable)?;
    }
    // What launch.py shows for the standard library's sources.
    let folder = home.join("tools/no-rust-src/core");
    fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;

    write(environment, &environment.venv().join(SPECS).join(NAME))
}

/// The set-up of `root` as its kernel spec has it, where the programs and the spec are the present ones. Writes nothing.
pub(crate) fn installed(root: &Path, python: PathBuf) -> Option<Environment> {
    let venv = Environment::folder(root).join("venv");
    let text = fs::read(venv.join(SPECS).join(NAME).join("kernel.json")).ok()?;
    let kernel: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let argument = |at: usize| kernel["argv"][at].as_str().map(PathBuf::from);
    // As `write` has them.
    let environment =
        Environment { root: root.to_path_buf(), python, build: argument(4)?, evcxr: argument(5)? };
    let same = |&(name, text, _): &(&str, &str, bool)| {
        fs::read(environment.home().join(name)).is_ok_and(|found| found == text.as_bytes())
    };
    let whole = kernel == specification(&environment) && PROGRAMS.iter().all(same);
    (whole && environment.evcxr.is_file()).then_some(environment)
}

/// Where kernels' specs lie in a Python environment.
const SPECS: &str = "share/jupyter/kernels";

/// Writes the spec into the folder `spec`. Its paths are absolute: Jupyter starts it from anywhere.
fn write(environment: &Environment, spec: &Path) -> Result<()> {
    let kernel = specification(environment);
    let text = serde_json::to_string_pretty(&kernel).expect("strings are JSON");
    if !spec.join("logo-64x64.png").is_file() {
        logos(&environment.evcxr, spec)?;
    }
    write_changed(&spec.join("kernel.json"), text.as_bytes(), false)
}

fn specification(environment: &Environment) -> serde_json::Value {
    let argv: Vec<_> = [
        environment.python.clone(),
        "-I".into(),
        environment.home().join("launch.py"),
        environment.root.clone(),
        environment.build.clone(),
        environment.evcxr.clone(),
    ]
    .iter()
    .map(|p| p.to_string_lossy().into_owned())
    .chain(["{connection_file}".to_string()])
    .collect();
    json!({
        "argv": argv,
        "display_name": DISPLAY_NAME,
        "language": "rust",
        "interrupt_mode": "message",
        "metadata": { ROOT: environment.root },
    })
}

/// The name under which a spec's metadata has the workspace that it belongs to.
const ROOT: &str = "rethink_root";

/// Jupyter's data folder of the user, as `jupyter --paths` names it.
///
/// Errors: [`Error::Missing`] without a home folder.
pub fn user_data() -> Result<PathBuf> {
    home::data().ok_or_else(|| Error::Missing {
        what: "a home folder, in which Jupyter looks for kernels".into(),
        remedy: "set JUPYTER_DATA_DIR, or name a folder with --prefix".into(),
    })
}

/// The spec in Jupyter's folder `data`.
fn spec_in(data: &Path) -> PathBuf {
    data.join("kernels").join(NAME)
}

/// Whose the spec in a folder is.
enum Owner {
    /// There is none.
    Nobody,
    /// This workspace's.
    Ours,
    /// Another workspace's, or a kernel of the same name by somebody else: what it is.
    Other(String),
}

fn owner(spec: &Path, root: &Path) -> Owner {
    if !spec.exists() {
        return Owner::Nobody;
    }
    let text = fs::read(spec.join("kernel.json")).unwrap_or_default();
    let kernel: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    match kernel["metadata"][ROOT].as_str().map(Path::new) {
        Some(named) if named == root => Owner::Ours,
        Some(named) => Owner::Other(format!("the clone {}", named.display())),
        None => Owner::Other("another program (its kernel.json names no clone of rethink)".into()),
    }
}

/// Writes the spec into Jupyter's folder `data`, for every Jupyter that looks there, and returns its folder. One that is this
/// workspace's is brought up to date; another one stays, unless `replace` is set.
///
/// Errors: [`Error::Different`] where it stays; [`Error::Io`]; [`Error::Program`] of the kernel program.
pub fn install_for(environment: &Environment, data: &Path, replace: bool) -> Result<PathBuf> {
    let data = std::path::absolute(data).map_err(Error::io("find", data))?;
    let spec = spec_in(&data);
    match owner(&spec, &environment.root) {
        Owner::Other(whose) if !replace => {
            return Err(Error::Different {
                what: format!("{}: this kernel belongs to {whose}", spec.display()),
                remedy: format!(
                    "`rethink kernel install --replace` makes it that of {}",
                    environment.root.display()
                ),
            });
        }
        Owner::Other(_) => remove(&spec)?,
        Owner::Ours | Owner::Nobody => {}
    }
    write(environment, &spec)?;
    Ok(spec)
}

/// Removes the spec of the workspace `root` from Jupyter's folder `data`, and returns where it was; `None` where there was none. One
/// of another workspace stays, unless `replace` is set.
///
/// Errors: [`Error::Different`] where it stays; [`Error::Io`].
pub fn uninstall_from(root: &Path, data: &Path, replace: bool) -> Result<Option<PathBuf>> {
    let root = root.canonicalize().map_err(Error::io("find the workspace", root))?;
    let data = std::path::absolute(data).map_err(Error::io("find", data))?;
    let spec = spec_in(&data);
    match owner(&spec, &root) {
        Owner::Nobody => Ok(None),
        Owner::Other(whose) if !replace => Err(Error::Different {
            what: format!("{}: this kernel belongs to {whose}", spec.display()),
            remedy: "`rethink kernel uninstall --replace` removes it all the same".into(),
        }),
        Owner::Ours | Owner::Other(_) => {
            remove(&spec)?;
            Ok(Some(spec))
        }
    }
}

fn remove(spec: &Path) -> Result<()> {
    fs::remove_dir_all(spec).map_err(Error::io("remove the kernel spec", spec))
}

/// evcxr carries the Rust logo with its licence; it gives them out by installing its own spec.
fn logos(evcxr: &Path, spec: &Path) -> Result<()> {
    let aside = evcxrs_own(evcxr)?;
    for name in ["logo-LICENSE.md", "logo-32x32.png", "logo-64x64.png"] {
        let from = aside.path().join("kernels/rust").join(name);
        let bytes = fs::read(&from).map_err(Error::io("read the kernel's logo", &from))?;
        files::write_whole(&spec.join(name), &bytes)?;
    }
    Ok(())
}

/// A folder for `JUPYTER_PATH` with the kernel spec of evcxr's own making, which is called `rust`.
pub(crate) fn evcxrs_own(evcxr: &Path) -> Result<TempDir> {
    let folder =
        tempfile::tempdir().map_err(Error::io("create a temporary folder in", std::env::temp_dir()))?;
    let said = Command::new(evcxr).arg("--install").env("JUPYTER_PATH", folder.path()).output();
    let failed = |problem: String| Error::Program {
        program: evcxr.display().to_string(),
        problem,
        remedy: "remove .rethink/bin and run this again; it will be installed anew".into(),
    };
    let said = said.map_err(|e| failed(e.to_string()))?;
    if !said.status.success() {
        return Err(failed(String::from_utf8_lossy(&said.stderr).trim().to_string()));
    }
    Ok(folder)
}

fn write_changed(path: &Path, bytes: &[u8], executable: bool) -> Result<()> {
    if fs::read(path).ok().as_deref() != Some(bytes) {
        files::write_whole(path, bytes)?;
    }
    #[cfg(unix)]
    if executable {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("make executable", path))?;
    }
    let _ = executable;
    Ok(())
}
