//! Setting up, once, what the notebooks run in: the kernel program, Python, the kernel spec.
//!
//! Each step leaves a mark only when it is finished, so that an interrupted set-up is taken up
//! again; a lock keeps two set-ups of one workspace apart.

use crate::jupyter::environment::{Environment, outside_cargo};
use crate::jupyter::kernel;
use crate::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use rethink_plot::files;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The version of `evcxr_jupyter`, exactly.
pub const EVCXR: &str = "0.22.0";
/// The Python packages, each with its version.
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// The oldest Python that the requirements have versions for.
const PYTHON: (u32, u32) = (3, 9);

/// Sets up what is missing under `root/.rethink` and says on standard error what it is doing.
/// Takes a second when nothing is missing.
///
/// The kernel program is taken from `RETHINK_EVCXR_JUPYTER`, if that is set, else from `.rethink/bin`,
/// `PATH` or cargo's own folder, where cargo's records say that it is of version [`EVCXR`]; else it is
/// compiled. Python is `RETHINK_PYTHON`, if set, else `python3`, else `python`.
///
/// Errors: [`Error::Missing`] without a usable Python or cargo; [`Error::Program`] with the last lines of
/// what cargo or pip said, and what to do.
pub fn ensure(root: &Path) -> Result<Environment> {
    let root = root.canonicalize().map_err(Error::io("find the workspace", root))?;
    let folder = Environment::folder(&root);
    fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;
    let _lock = lock(&folder.join("setup.lock"))?;

    // What fails at once comes before what takes minutes.
    let build = build_folder(&root)?;
    let python = venv(&folder)?;
    let evcxr = evcxr(&folder)?;
    let environment = Environment { root, python, evcxr, build };
    kernel::install(&environment)?;
    libraries(&environment)?;
    Ok(environment)
}

/// The Python of the environment alone, set up if it is missing.
///
/// Errors: as for [`ensure`].
pub fn python(root: &Path) -> Result<PathBuf> {
    let root = root.canonicalize().map_err(Error::io("find the workspace", root))?;
    let folder = Environment::folder(&root);
    fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;
    let _lock = lock(&folder.join("setup.lock"))?;
    venv(&folder)
}

fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).map_err(Error::io("create the lock", path))?;
    if file.try_lock().is_err() {
        eprintln!("waiting for another set-up of this workspace ({})", path.display());
        file.lock().map_err(Error::io("lock", path))?;
    }
    Ok(file)
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.stdin(Stdio::null());
    outside_cargo(&mut command);
    command
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

/// The virtual environment, made anew unless its mark says that it is whole and of these packages.
fn venv(folder: &Path) -> Result<PathBuf> {
    let venv = folder.join("venv");
    let mark = venv.join("rethink-requirements.sha256");
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let digest: String = Sha256::digest(format!("{}\n{REQUIREMENTS}", venv.display()))
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    if python.exists() && fs::read_to_string(&mark).is_ok_and(|found| found == digest) {
        return Ok(python);
    }

    let base = base_python()?;
    if venv.exists() {
        fs::remove_dir_all(&venv).map_err(Error::io("remove the unfinished Python environment", &venv))?;
    }
    let mut create = Command::new(&base);
    create.arg("-m").arg("venv").arg(&venv);
    run(create, "making a Python environment", |_| {
        "install Python's venv module (Debian and Ubuntu: `apt install python3-venv`), or set \
         RETHINK_PYTHON to a Python that has it, and run this again"
            .into()
    })?;
    let requirements = venv.join("requirements.txt");
    files::write_whole(&requirements, REQUIREMENTS.as_bytes())?;
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar=off"])
        .arg("--requirement")
        .arg(&requirements)
        .env_remove("PYTHONPATH");
    run(install, "installing JupyterLab, nbclient and nbval", |said| {
        remedy(said, "pip needs about 300 MB once")
    })?;
    files::write_whole(&mark, digest.as_bytes())?;
    Ok(python)
}

/// The Python to build the environment with.
fn base_python() -> Result<PathBuf> {
    let named = std::env::var_os("RETHINK_PYTHON");
    let candidates: Vec<PathBuf> = match &named {
        Some(path) => vec![path.into()],
        None => ["python3", "python"].map(PathBuf::from).to_vec(),
    };
    let probe = "import sys; print(*sys.version_info[:2])";
    let mut found = Vec::new();
    for candidate in &candidates {
        match Command::new(candidate).args(["-c", probe]).stdin(Stdio::null()).output() {
            Ok(said) if said.status.success() => {
                let text = String::from_utf8_lossy(&said.stdout);
                let version: Vec<u32> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
                if version.as_slice() >= [PYTHON.0, PYTHON.1].as_slice() {
                    return Ok(candidate.clone());
                }
                found.push(format!("{} is Python {}", candidate.display(), text.trim().replace(' ', ".")));
            }
            Ok(said) => found.push(format!("{} does not run ({})", candidate.display(), said.status)),
            Err(e) => found.push(format!("{}: {e}", candidate.display())),
        }
    }
    Err(Error::Missing {
        what: format!("Python {}.{} or later for the notebooks: {}", PYTHON.0, PYTHON.1, found.join("; ")),
        remedy: "install Python 3 with its venv module, or set RETHINK_PYTHON to one, and run this again"
            .into(),
    })
}

/// The kernel program, compiled if it is nowhere.
fn evcxr(folder: &Path) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("RETHINK_EVCXR_JUPYTER") {
        let named = PathBuf::from(named);
        return named.canonicalize().ok().filter(|p| p.is_file()).ok_or_else(|| {
            Error::argument("RETHINK_EVCXR_JUPYTER", format!("{} is no file", named.display()))
        });
    }
    let name = format!("evcxr_jupyter{}", std::env::consts::EXE_SUFFIX);
    let own = folder.join("bin").join(&name);
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| dirs::home_dir().map(|home| home.join(".cargo")))
        .map(|home| home.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = [folder.join("bin")].into_iter().chain(cargo_home).chain(std::env::split_paths(&path));
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
    run(install, "compiling the kernel, evcxr_jupyter 0.22.0 (some minutes)", |said| {
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
    if let Err(problem) = run(command, "adding rust-src, to find the types of variables", |_| String::new()) {
        eprintln!("without rust-src, a `let` in a cell needs its type written: {problem}");
    }
    Ok(files::write_whole(&mark, b"")?)
}

/// Compiles what every kernel is linked from, so that no cell waits for it unseen.
fn libraries(environment: &Environment) -> Result<()> {
    let mut build = environment.python();
    build
        .arg("-I")
        .arg(environment.home().join("launch.py"))
        .args([&environment.root, &environment.build, &environment.evcxr])
        .arg("--build");
    run(build, "compiling the libraries for the notebooks", |said| {
        if said.contains("error[E") || said.contains("error: could not compile `rethink`") {
            "correct the crate (`cargo build --release` shows the same error) and run this again".into()
        } else {
            remedy(said, "cargo needs 4 GB for the libraries")
        }
    })
}

/// What to do about a failed installation, from what the tool said.
fn remedy(said: &str, space: &str) -> String {
    let said = said.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| said.contains(w));
    if any(&["no space left", "disk quota", "os error 28"]) {
        format!("make room on the disk ({space}) and run this again; what is done stays done")
    } else if any(&[
        "resolve host",
        "name resolution",
        "network",
        "connection",
        "timed out",
        "timeout",
        "proxy",
        "ssl",
        "failed to download",
        "no matching distribution",
        "spurious",
    ]) {
        "see that the network is up (a proxy: HTTPS_PROXY) and run this again; what is done stays done".into()
    } else {
        "correct what it says above and run this again; what is done stays done".into()
    }
}

/// Runs a tool to its end with a line that shows what it is doing; on failure, an error with its last
/// lines and what `remedy` makes of them.
fn run(mut command: Command, label: &str, remedy: impl Fn(&str) -> String) -> Result<()> {
    let program = [command.get_program()]
        .into_iter()
        .chain(command.get_args().take(2))
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ");
    let failed =
        |problem: String, remedy: String| Error::Program { program: program.clone(), problem, remedy };
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(e.to_string(), "see that it is installed and on PATH".into()))?;

    let (send, lines) = mpsc::channel();
    let pipes: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
    for pipe in pipes {
        let send = send.clone();
        std::thread::spawn(move || {
            use std::io::BufRead;
            for line in BufReader::new(pipe).split(b'\n').map_while(std::io::Result::ok) {
                let _ = send.send(String::from_utf8_lossy(&line).trim_end().to_string());
            }
        });
    }
    drop(send);

    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}")
            .expect("a template of fixed text"),
    );
    bar.set_prefix(label.to_string());
    let mut tail = VecDeque::new();
    let (mut quiet, mut announced) = (Instant::now(), false);
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                bar.set_message(line.trim().to_string());
                if tail.len() == 40 {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        bar.tick();
        // Off a terminal nothing of the bar is seen: a line at the start, and one a half minute.
        if bar.is_hidden() && !announced && started.elapsed() > Duration::from_secs(1) {
            eprintln!("{label}");
            announced = true;
        }
        if bar.is_hidden() && quiet.elapsed() > Duration::from_secs(30) {
            quiet = Instant::now();
            let last: String =
                tail.back().map(|l: &String| l.trim().chars().take(90).collect()).unwrap_or_default();
            eprintln!("  {:.0} s: {last}", started.elapsed().as_secs_f64());
        }
    }
    bar.finish_and_clear();
    let status = child.wait().map_err(|e| failed(e.to_string(), "run this again".into()))?;
    if status.success() {
        if started.elapsed() > Duration::from_secs(1) {
            eprintln!("{label}: done in {:.0} s", started.elapsed().as_secs_f64());
        }
        return Ok(());
    }
    let said = Vec::from(tail).join("\n");
    let advice = remedy(&said);
    Err(failed(format!("{label}: {status}\n{said}"), advice))
}
