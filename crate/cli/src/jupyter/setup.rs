//! Setting up, once, what the notebooks run in: the kernel program, Python, the kernel spec.
//!
//! Each step leaves a mark only when it is finished, so that an interrupted set-up is taken up
//! again; a lock keeps two set-ups of one workspace apart. In a workspace that this user cannot write, a
//! finished set-up is used as it is.

use crate::jupyter::advice::remedy;
use crate::jupyter::environment::{Environment, outside_cargo};
use crate::jupyter::venv::{Base, Wanted};
use crate::jupyter::{kernel, tool, venv};
use crate::{Error, Result};
use rethink_plot::files;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// The version of `evcxr_jupyter`, exactly.
pub const EVCXR: &str = "0.22.0";

/// Sets up what is missing under `root/.rethink` and says on standard error what it is doing.
/// Takes a second when nothing is missing.
///
/// The kernel program is taken from `RETHINK_EVCXR_JUPYTER`, if that is set, else from `.rethink/bin`,
/// `PATH` or cargo's own folder, where cargo's records say that it is of version [`EVCXR`]; else it is
/// compiled. Python is `RETHINK_PYTHON`, if set, else `python3`, `python` or one with its version in its name.
///
/// Errors: [`Error::Missing`] without a usable Python or cargo, and where something is missing in a workspace that cannot be
/// written; [`Error::Argument`] for a workspace whose path Python or cargo cannot use; [`Error::Program`] with the last lines of
/// what cargo or pip said, and what to do.
pub fn ensure(root: &Path) -> Result<Environment> {
    let root = usable(root)?;
    let folder = Environment::folder(&root);
    let environment = match lock(&folder)? {
        None => finished(root)?,
        Some(_lock) => {
            // What fails at once comes before what takes minutes.
            let build = build_folder(&root)?;
            let (python, evcxr) = match venv::wanted(&folder)? {
                Wanted::Nothing(python) => (python, evcxr(&folder, &AtomicBool::new(true))?),
                Wanted::Made(base) => python_and_kernel(&base, &folder)?,
            };
            let environment = Environment { root, python, evcxr, build };
            kernel::install(&environment)?;
            libraries(&environment)?;
            return Ok(environment);
        }
    };
    libraries(&environment)?;
    Ok(environment)
}

/// The Python of the environment alone, set up if it is missing.
///
/// Errors: as for [`ensure`].
pub fn python(root: &Path) -> Result<PathBuf> {
    let root = usable(root)?;
    let folder = Environment::folder(&root);
    match lock(&folder)? {
        None => venv::present(&folder).map_err(|why| unfinished(&root, &why)),
        Some(_lock) => venv::ensure(&folder),
    }
}

/// The workspace's path, in full. Python's environments and the kernel's specification need text without a colon.
fn usable(root: &Path) -> Result<PathBuf> {
    let root = root.canonicalize().map_err(Error::io("find the workspace", root))?;
    let plain = |text: &str| !text.contains(|c: char| c.is_control() || (c == ':' && !cfg!(windows)));
    if root.to_str().is_some_and(plain) {
        return Ok(root);
    }
    let problem = format!(
        "{}: a path with a colon, a control character or bytes that are no UTF-8; move the clone",
        root.display()
    );
    Err(Error::argument("the workspace's folder", problem))
}

/// The lock of the set-up's folder; `None` where this user cannot write there.
fn lock(folder: &Path) -> Result<Option<File>> {
    let path = folder.join("setup.lock");
    let file = match fs::create_dir_all(folder).and_then(|()| File::create(&path)) {
        Ok(file) => file,
        Err(e) if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&e.kind()) => {
            return Ok(None);
        }
        Err(e) => return Err(Error::io("create the lock", &path)(e)),
    };
    if file.try_lock().is_err() {
        rethink_plot::tell!("waiting for another set-up of this workspace ({})", path.display());
        file.lock().map_err(Error::io("lock", &path))?;
    }
    Ok(Some(file))
}

/// The set-up that somebody else has finished, in a workspace that this user cannot write. Writes nothing.
fn finished(root: PathBuf) -> Result<Environment> {
    let python = venv::present(&Environment::folder(&root)).map_err(|why| unfinished(&root, &why))?;
    kernel::installed(&root, python)
        .ok_or_else(|| unfinished(&root, "its kernel is absent, or of another version or place"))
}

fn unfinished(root: &Path, why: &str) -> Error {
    Error::Missing {
        what: format!("{} cannot be written, and is not set up whole: {why}", root.display()),
        remedy: "let its owner run `rethink reproduce` in it, or take a clone of your own".into(),
    }
}

/// cargo, as the program that ran this one says, on `PATH` or where rustup puts it.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").map_or_else(found_cargo, PathBuf::from));
    command.stdin(Stdio::null());
    outside_cargo(&mut command);
    command
}

fn found_cargo() -> PathBuf {
    let name = format!("cargo{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(cargo_bin()).map(|place| place.join(&name));
    places.into_iter().find(|program| program.is_file()).unwrap_or_else(|| name.into())
}

/// The folder of cargo's programs: `CARGO_HOME/bin`, else `~/.cargo/bin`.
fn cargo_bin() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| dirs::home_dir().map(|home| home.join(".cargo"))).map(|home| home.join("bin"))
}

/// Asks cargo where the workspace's artifacts are: a setting of the user's can move them.
fn build_folder(root: &Path) -> Result<PathBuf> {
    let said = cargo()
        .args(["metadata", "--no-deps", "--format-version=1", "--offline", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .output()
        .map_err(|e| Error::Missing {
            what: format!("cargo, which compiles the notebooks' cells ({e})"),
            remedy: "install Rust from https://rustup.rs and see that `cargo` is on PATH".into(),
        })?;
    let failed = |problem: String| Error::Program {
        program: "cargo metadata".into(),
        problem,
        remedy: format!("see that {} is a whole clone of the repository", root.display()),
    };
    if !said.status.success() {
        return Err(failed(String::from_utf8_lossy(&said.stderr).trim().to_string()));
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&said.stdout).map_err(|e| failed(e.to_string()))?;
    ["build_directory", "target_directory"]
        .iter()
        .find_map(|key| metadata[key].as_str())
        .map(PathBuf::from)
        .ok_or_else(|| failed("no target_directory in its answer".into()))
}

/// The Python environment, made while the kernel compiles: pip waits for the network, the compiler for the processor. Without the
/// environment, the kernel is not waited for.
fn python_and_kernel(base: &Base, folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let wanted = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let python = scope.spawn(|| {
            let made = venv::anew(base, folder);
            wanted.store(made.is_ok(), Ordering::Relaxed);
            made
        });
        let kernel = evcxr(folder, &wanted);
        let python = python.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((python?, kernel?))
    })
}

/// Of what the kernel program is made of, what it needs little of or nothing: an editor's part of rust-analyzer, whose analysis of names
/// and types is what evcxr waits for, and what passes messages on. They are built in half the time without any optimisation.
const NEVER_BUSY: [&str; 18] = [
    "backtrace",
    "cargo_metadata",
    "chrono",
    "gimli",
    "notify",
    "object",
    "pulldown-cmark",
    "ra_ap_ide",
    "ra_ap_ide_assists",
    "ra_ap_ide_diagnostics",
    "ra_ap_ide_ssr",
    "ra_ap_project_model",
    "ra_ap_vfs-notify",
    "regex-automata",
    "regex-syntax",
    "tokio",
    "toml",
    "zeromq",
];

/// The kernel program, compiled if it is nowhere, as long as it is `wanted`.
fn evcxr(folder: &Path, wanted: &AtomicBool) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("RETHINK_EVCXR_JUPYTER") {
        let named = PathBuf::from(named);
        return named.canonicalize().ok().filter(|p| p.is_file()).ok_or_else(|| {
            Error::argument("RETHINK_EVCXR_JUPYTER", format!("{} is no file", named.display()))
        });
    }
    let name = format!("evcxr_jupyter{}", std::env::consts::EXE_SUFFIX);
    let own = folder.join("bin").join(&name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = [folder.join("bin")].into_iter().chain(cargo_bin()).chain(std::env::split_paths(&path));
    for place in places {
        let program = place.join(&name);
        if program.is_file() && recorded_version(&place).as_deref() == Some(EVCXR) {
            return Ok(program);
        }
    }

    // A target folder of our own: an interrupted build goes on where it stopped.
    let target = folder.join("evcxr-build");
    let mut install = cargo();
    install
        .args(["install", "evcxr_jupyter", "--version", EVCXR, "--locked", "--force", "--root"])
        .arg(folder)
        .arg("--target-dir")
        .arg(&target);
    // It starts compilers and passes messages on: optimising it fully takes longer than it ever saves.
    install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    for package in NEVER_BUSY {
        install.args(["--config", &format!("profile.release.package.{package}.opt-level=0")]);
    }
    tool::run_while(wanted, install, "compiling the kernel, evcxr_jupyter 0.22.0 (some minutes)", |said| {
        remedy(said, "cargo needs 2 GB while it compiles")
    })?;
    // Only space is lost if this fails.
    let _ = fs::remove_dir_all(&target);
    Ok(own)
}

/// The version of evcxr_jupyter that `cargo install` has recorded beside the folder `bin`.
fn recorded_version(bin: &Path) -> Option<String> {
    let records = fs::read_to_string(bin.parent()?.join(".crates.toml")).ok()?;
    let line = records.lines().find_map(|l| l.trim().strip_prefix("\"evcxr_jupyter "))?;
    line.split_whitespace().next().map(str::to_string)
}

/// Asks rustup once for the standard library's sources, from which evcxr finds the types of variables.
/// Without them, a variable needs its type written down: a loss, not a failure.
pub(crate) fn standard_library_sources(environment: &Environment) -> Result<()> {
    let mark = Environment::folder(&environment.root).join("rust-src-asked");
    if mark.exists() {
        return Ok(());
    }
    let mut command = Command::new("rustup");
    command.args(["component", "add", "rust-src"]);
    if let Err(problem) =
        tool::run(command, "adding rust-src, to find the types of variables", |_| String::new())
    {
        rethink_plot::tell!("without rust-src, a `let` in a cell needs its type written: {problem}");
    }
    // Where it cannot be written, it is asked again.
    let _ = files::write_whole(&mark, b"");
    Ok(())
}

/// Compiles what every kernel is linked from, so that no cell waits for it unseen.
fn libraries(environment: &Environment) -> Result<()> {
    let mut build = environment.python();
    build
        .arg("-I")
        .arg(environment.home().join("launch.py"))
        .args([&environment.root, &environment.build, &environment.evcxr])
        .arg("--build");
    tool::run(build, "compiling the libraries for the notebooks", |said| {
        if said.contains("error[E") || said.contains("error: could not compile `rethink`") {
            "correct the crate (`cargo build --release` shows the same error) and run this again".into()
        } else {
            remedy(said, "cargo needs 4 GB for the libraries")
        }
    })
}
