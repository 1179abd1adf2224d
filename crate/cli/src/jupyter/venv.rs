//! The notebooks' Python environment: with which Python it is made, making it, and seeing that it works.
//!
//! It is made in a folder of its own name and renamed when it has been seen to work: what a set-up that was killed has left
//! running goes on in a folder that nothing looks at.

use crate::jupyter::{advice, tool};
use crate::{Error, Result};
use rethink_nn::text::hex;
use rethink_plot::files;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Every package, each with its version.
const LOCKED: &str = include_str!("requirements.txt");
/// The packages that are asked for, each with the oldest version that will do.
const RANGES: &str = include_str!("requirements.in");
const INSTALL: &str = include_str!("install.py");

/// The oldest Python that the requirements have versions for.
const OLDEST: (u32, u32) = (3, 9);
/// The newest that the environment was tested with: the names that are tried on `PATH` end there.
const NEWEST: u32 = 14;
/// What of Python's own is needed, and some distributions or builds leave out.
const NEEDED: [&str; 6] = ["venv", "ensurepip", "_ssl", "_sqlite3", "_ctypes", "zlib"];
/// How long a Python may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Imports everything that is asked for, or (`quick`) sees that it is there and imports what is compiled.
const WORKS: &str = r#"
import importlib, importlib.util, sys
names = ["jupyterlab", "nbclient", "nbformat", "jupyter_client", "nbval", "pytest", "ipykernel", "nbconvert"]
for name in names:
    if sys.argv[1] != "quick":
        importlib.import_module(name)
    elif importlib.util.find_spec(name) is None:
        sys.exit("there is no " + name)
import zmq
"#;

/// The environment's Python below the set-up's `folder`, made anew unless it is there, of the present packages, and works. Only
/// one process may do this at a time.
///
/// Errors: [`Error::Missing`] without a usable Python; [`Error::Program`] with pip's last lines and what to do; [`Error::Io`].
pub(crate) fn ensure(folder: &Path) -> Result<PathBuf> {
    match wanted(folder)? {
        Wanted::Nothing(python) => Ok(python),
        Wanted::Made(base) => anew(&base, folder),
    }
}

/// What there is to do for an environment.
pub(crate) enum Wanted {
    /// Its Python is there.
    Nothing(PathBuf),
    /// To be made, by this Python.
    Made(Base),
}

/// Whether the environment is there and works; else with what it can be made. That takes a moment, to make it minutes.
///
/// Errors: [`Error::Missing`] without a usable Python; [`Error::Io`].
pub(crate) fn wanted(folder: &Path) -> Result<Wanted> {
    let venv = folder.join("venv");
    match state(&venv) {
        State::Works => {
            move_here(&venv)?;
            return Ok(Wanted::Nothing(program(&venv)));
        }
        State::Broken(why) => {
            rethink_plot::tell!("the Python environment does not work and is made anew: {why}")
        }
        State::Absent => {}
    }
    base_python().map(Wanted::Made)
}

/// The environment, made by `base`; one that was there goes.
///
/// Errors: [`Error::Program`] with pip's last lines and what to do; [`Error::Io`].
pub(crate) fn anew(base: &Base, folder: &Path) -> Result<PathBuf> {
    let venv = folder.join("venv");
    forget_unfinished(folder);
    let made = make(base, folder)?;
    if venv.exists() {
        fs::rename(&venv, unique(folder))
            .map_err(Error::io("put the old Python environment aside", &venv))?;
    }
    address(&made, &made, &venv)?;
    fs::rename(&made, &venv).map_err(Error::io("rename to", &venv))?;
    forget_unfinished(folder);
    Ok(program(&venv))
}

/// The environment's Python, where it is there and works; else why not. Writes nothing.
pub(crate) fn present(folder: &Path) -> std::result::Result<PathBuf, String> {
    let venv = folder.join("venv");
    match state(&venv) {
        State::Works => Ok(program(&venv)),
        State::Broken(why) => Err(format!("its Python environment does not work: {why}")),
        State::Absent => Err("it has no Python environment of the present packages".into()),
    }
}

fn program(venv: &Path) -> PathBuf {
    venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

/// A file with the packages' digest, and the path that the environment's scripts have in them.
fn mark(venv: &Path) -> PathBuf {
    venv.join("rethink-requirements.sha256")
}

fn digest() -> String {
    hex(&Sha256::digest(format!("{LOCKED}\n{RANGES}")))
}

enum State {
    /// Not there, or of other packages.
    Absent,
    Works,
    /// What it said.
    Broken(String),
}

fn state(venv: &Path) -> State {
    let python = program(venv);
    let marked = fs::read_to_string(mark(venv)).unwrap_or_default();
    if marked.lines().next() != Some(&digest()) {
        return State::Absent;
    }
    match works(&python, "quick") {
        Ok(()) => State::Works,
        Err(why) => State::Broken(why),
    }
}

/// Whether `python` has the packages; else what it said last.
fn works(python: &Path, how: &str) -> std::result::Result<(), String> {
    let mut command = isolated(python);
    command.args(["-I", "-c", WORKS, how]);
    // Imports from a cold disk take their time.
    match answer(command, 12 * PATIENCE) {
        Ok(_) => Ok(()),
        Err(None) => Err(format!("there is no {}", python.display())),
        Err(Some(problem)) => Err(format!("{} {problem}", python.display())),
    }
}

/// What a short command prints on standard output. `None` where there is no such program; else what is wrong: it failed, with its
/// last line on standard error, or took longer than `patience` and was ended.
fn answer(mut command: Command, patience: Duration) -> std::result::Result<String, Option<String>> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| (e.kind() != std::io::ErrorKind::NotFound).then(|| format!("does not run ({e})")))?;
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        let (send, text) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes);
            }
            let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
        });
        text
    };
    let out = read(child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let errors = read(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let started = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if started.elapsed() > patience => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Some(format!("does not answer within {} s", patience.as_secs())));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(e) => return Err(Some(format!("does not run ({e})"))),
        }
    };
    // Its children may keep the pipes open for longer.
    let text = |from: mpsc::Receiver<String>| from.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
    if status.success() {
        return Ok(text(out));
    }
    let said = text(errors);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(Some(format!("does not run ({status}) {}", last.trim()).trim_end().to_string()))
}

/// `python` without what the user's variables say of another one.
fn isolated(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PYTHON") || name == "__PYVENV_LAUNCHER__") {
            command.env_remove(name);
        }
    }
    command
}

/// A path below `folder` that nothing has had.
fn unique(folder: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    folder.join(format!("venv-{now}-{}", std::process::id()))
}

/// Takes away what killed set-ups have left, as far as nothing writes there any more.
fn forget_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("venv-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// An environment that works, with its mark, in a new folder below `folder`.
fn make(base: &Base, folder: &Path) -> Result<PathBuf> {
    let venv = unique(folder);
    let made = fill(base, &venv);
    if made.is_err() {
        let _ = fs::remove_dir_all(&venv);
    }
    made.map(|()| venv)
}

fn fill(base: &Base, venv: &Path) -> Result<()> {
    let mut create = isolated(&base.program);
    create.args(["-I", "-m", "venv"]).arg(venv);
    tool::run(create, "making a Python environment", |said| match advice::cause(said) {
        None => base.lacking(&["venv", "ensurepip"]),
        Some(_) => advice::remedy(said, "pip needs about 300 MB once"),
    })?;
    let python = program(venv);
    let install = |requirements: &str, label: &str| {
        let list = venv.join("requirements.txt");
        files::write_whole(&list, requirements.as_bytes())?;
        // pip itself is told which settings count: see install.py.
        let mut command = Command::new(&python);
        command.args(["-I", "-c", INSTALL]).arg(&list);
        tool::run(command, label, |said| advice::remedy(said, "pip needs about 300 MB once"))
    };
    match install(LOCKED, "installing JupyterLab, nbclient and nbval") {
        Err(Error::Program { problem, .. }) if advice::cause(&problem) == Some(advice::Cause::Version) => {
            let named = problem.lines().rfind(|line| line.contains("No matching distribution"));
            rethink_plot::tell!(
                "a version that was tested cannot be had ({}); taking others",
                named.unwrap_or("pip's message is above").trim()
            );
            install(RANGES, "installing JupyterLab, nbclient and nbval, at versions that were not tested")?;
        }
        other => other?,
    }
    works(&python, "whole").map_err(|why| Error::Program {
        program: "the new Python environment".into(),
        problem: why,
        remedy: format!(
            "{} made it; take another Python with RETHINK_PYTHON and run this again",
            base.program.display()
        ),
    })?;
    Ok(files::write_whole(&mark(venv), format!("{}\n{}\n", digest(), venv.display()).as_bytes())?)
}

/// Where the environment was moved since it was made, with the clone, its scripts are told.
fn move_here(venv: &Path) -> Result<()> {
    let marked = fs::read_to_string(mark(venv)).unwrap_or_default();
    match marked.lines().nth(1) {
        Some(before) if Path::new(before) != venv => address(venv, Path::new(before), venv),
        _ => Ok(()),
    }
}

/// Puts `to` in the place of `from` in the scripts of the environment that lies in `venv`, and in its mark.
fn address(venv: &Path, from: &Path, to: &Path) -> Result<()> {
    let (Some(old), Some(new)) = (from.to_str(), to.to_str()) else { return Ok(()) };
    let bin = program(venv).parent().map(Path::to_path_buf).unwrap_or_default();
    let scripts = fs::read_dir(&bin).map_err(Error::io("list", &bin))?.flatten().map(|entry| entry.path());
    // Links lead to Python itself.
    let own = scripts.filter(|path| path.symlink_metadata().is_ok_and(|about| about.is_file()));
    for path in own.chain([venv.join("pyvenv.cfg"), mark(venv)]) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if text.contains(old) {
            // In place, so that a script stays executable.
            fs::write(&path, text.replace(old, new)).map_err(Error::io("write", &path))?;
        }
    }
    Ok(())
}

/// The Python that the environment is made with.
pub(crate) struct Base {
    program: PathBuf,
    version: (u32, u32),
    /// What it lacks of [`NEEDED`].
    missing: Vec<String>,
}

impl Base {
    /// What to do where it lacks modules of Python's own.
    fn lacking(&self, modules: &[&str]) -> String {
        let (major, minor) = self.version;
        let packages = if modules.iter().any(|module| ["venv", "ensurepip"].contains(module)) {
            format!("`apt install python3-venv` or `python{major}.{minor}-venv`")
        } else {
            format!(
                "`apt install python{major}.{minor}`; a Python of your own is built again with the libraries' headers"
            )
        };
        format!(
            "install what Python's {} needs (Debian and Ubuntu: {packages}), or set RETHINK_PYTHON to a Python that has \
             it, and run this again",
            modules.join(", ")
        )
    }
}

/// The first that will do of `RETHINK_PYTHON`, or, where that is not set, of `python3`, `python` and those with a version in
/// their name.
fn base_python() -> Result<Base> {
    let candidates: Vec<PathBuf> = match std::env::var_os("RETHINK_PYTHON").filter(|named| !named.is_empty())
    {
        Some(path) => vec![path.into()],
        None => ["python3".to_string(), "python".into()]
            .into_iter()
            .chain((OLDEST.1..=NEWEST).rev().map(|minor| format!("python3.{minor}")))
            .map(PathBuf::from)
            .collect(),
    };
    let mut problems = Vec::new();
    let mut remedy = None;
    for (tried, program) in candidates.into_iter().enumerate() {
        let shown = program.display().to_string();
        match probe(&program) {
            Ok(base) if base.version < OLDEST => {
                problems.push(format!("{shown} is Python {}.{}", base.version.0, base.version.1));
            }
            Ok(base) if base.missing.is_empty() => return Ok(base),
            Ok(base) => {
                let missing: Vec<&str> = base.missing.iter().map(String::as_str).collect();
                let (major, minor) = base.version;
                problems.push(format!("{shown} ({major}.{minor}) has no {}", missing.join(", ")));
                remedy = remedy.or_else(|| Some(base.lacking(&missing)));
            }
            // Of the names with a version, most are not there.
            Err(None) if tried >= 2 => {}
            Err(None) => problems.push(format!("{shown} is not on PATH")),
            Err(Some(problem)) => problems.push(format!("{shown} {problem}")),
        }
    }
    Err(Error::Missing {
        what: format!("Python {}.{} or later for the notebooks: {}", OLDEST.0, OLDEST.1, problems.join("; ")),
        remedy: remedy.unwrap_or_else(|| {
            "install Python 3 with its venv module (Debian and Ubuntu: `apt install python3 python3-venv`), or set \
             RETHINK_PYTHON to one, and run this again"
                .into()
        }),
    })
}

/// A Python, as it describes itself; `None` where there is no such program, or what is wrong with it.
fn probe(program: &Path) -> std::result::Result<Base, Option<String>> {
    let code = format!(
        "import sys, importlib.util as u; print(*sys.version_info[:2], *[m for m in {NEEDED:?} if u.find_spec(m) is None])"
    );
    let mut command = isolated(program);
    command.args(["-I", "-c", &code]);
    let text = answer(command, PATIENCE)?;
    let mut words = text.split_whitespace();
    let mut number = || words.next().and_then(|word| word.parse().ok());
    match (number(), number()) {
        (Some(major), Some(minor)) => Ok(Base {
            program: program.to_path_buf(),
            version: (major, minor),
            missing: words.map(str::to_string).collect(),
        }),
        _ => Err(Some(format!("says {:?} in place of its version", text.trim()))),
    }
}
