//! Running a notebook headless in the kernel, with its progress and its errors told as they come.

use crate::jupyter::environment::Environment;
use crate::jupyter::{advice, kernel, setup};
use crate::{Error, Result};
use rethink::run::provenance::Provenance;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// As [`notebook`], on so many threads, on which no number depends, and the copy at `executed` is the record of the run, in
/// papermill's manner: its first cell, tagged [`INJECTED`], sets `parameters` (variables of the environment) in the kernel, its
/// metadata holds them, what it was run by, and when and how long each cell ran. It runs in its own folder, in which JupyterLab
/// runs it again.
///
/// Errors: those of [`notebook`].
pub fn recorded(
    environment: &Environment,
    path: &Path,
    threads: usize,
    parameters: &[(String, String)],
    executed: &Path,
    on_line: &mut dyn FnMut(&str),
) -> Result<()> {
    let record = json!({
        "tag": INJECTED,
        "parameters": parameters.iter().cloned().collect::<BTreeMap<_, _>>(),
        "root": environment.root,
        "by": { "evcxr": setup::EVCXR, "provenance": Provenance::here() },
    });
    let threads = ("RAYON_NUM_THREADS".to_string(), threads.to_string());
    execute(environment, path, &[threads], Some(&record), executed, on_line)
}

/// The tag of the first cell of a [`recorded`] copy.
pub const INJECTED: &str = "injected-parameters";

/// Executes the notebook at `path`, with `envs` added to the kernel's environment, and writes it with
/// its outputs to `executed`, whole or not at all. `on_line` gets a line as each cell starts
/// (`[3/8] let frame = ...`) and each line that a cell prints, indented by two spaces.
///
/// Errors: [`Error::Program`] with the notebook, the cell's number and first line, and what the compiler
/// or the cell said, when a cell fails to compile, panics, returns an error from `?` or writes to
/// standard error, when the kernel dies, and when it says and does nothing for ten minutes (`RETHINK_SILENT`, seconds). The notebook as far as it came is then beside `executed`
/// under the name `*.failed.ipynb`.
pub fn notebook(
    environment: &Environment,
    path: &Path,
    envs: &[(String, String)],
    executed: &Path,
    on_line: &mut dyn FnMut(&str),
) -> Result<()> {
    execute(environment, path, envs, None, executed, on_line)
}

fn execute(
    environment: &Environment,
    path: &Path,
    envs: &[(String, String)],
    record: Option<&Value>,
    executed: &Path,
    on_line: &mut dyn FnMut(&str),
) -> Result<()> {
    let path = path.canonicalize().map_err(Error::io("read the notebook", path))?;
    let executed = std::path::absolute(executed).map_err(Error::io("find", executed))?;
    let shown = path.strip_prefix(&environment.root).unwrap_or(&path).display().to_string();
    let failed = |problem: String, remedy: String| Error::Program { program: shown.clone(), problem, remedy };

    let mut child = environment
        .python()
        .arg("-I")
        .arg(environment.home().join("run.py"))
        .arg(&path)
        .arg(&executed)
        .arg(kernel::NAME)
        .args(record.map(Value::to_string))
        .envs(envs.iter().map(|(k, v)| (k, v)))
        // What is shown for a while only belongs to no copy.
        .env(rethink::live::LIVE_VARIABLE, "0")
        // The notebook runs in another folder.
        .envs(data_folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| {
            let problem = format!("{}: {e}", environment.python.display());
            failed(problem, "remove .rethink/venv and run this again; it will be set up anew".into())
        })?;

    // Open as long as this process lives; run.py ends the kernel when it closes.
    let _alive = child.stdin.take();

    // The kernel's own standard error (a kernel that cannot start says why there).
    let mut errors = child.stderr.take().expect("piped");
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = errors.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });

    let mut end = None;
    for line in
        BufReader::new(child.stdout.take().expect("piped")).split(b'\n').map_while(std::io::Result::ok)
    {
        let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
        if let Some(text) = event["line"].as_str() {
            on_line(&format!("  {text}"));
        } else if event["of"].is_u64() {
            on_line(&format!(
                "[{}/{}] {}",
                event["cell"],
                event["of"],
                event["source"].as_str().unwrap_or("")
            ));
        } else {
            end = Some(event);
        }
    }
    let status = child.wait().map_err(|e| failed(e.to_string(), "run this again".into()))?;
    let errors = errors.join().unwrap_or_default();

    match end {
        Some(event) if event["done"] == true && status.success() => Ok(()),
        Some(event) => {
            let said = event["failed"].as_str().unwrap_or_default();
            let Some(cell) = event["cell"].as_u64() else {
                let remedy = match said.starts_with("not a notebook") {
                    true => format!("`git checkout -- {shown}` restores the committed one"),
                    false => advice::of_kernel(&format!("{said}\n{errors}")),
                };
                return Err(failed(format!("{said}\n{}", tail(&errors)).trim_end().to_string(), remedy));
            };
            let source = event["source"].as_str().unwrap_or_default();
            let mut problem = format!("cell {cell} (`{source}`):\n{}", indented(said));
            if said.contains("the kernel died") {
                problem += &format!("\n{}", indented(&tail(&errors)));
            }
            let copy = event["copy"].as_str().unwrap_or_default();
            Err(failed(
                problem,
                format!("as far as it came: {copy}\n  `rethink lab` opens the notebook to mend it"),
            ))
        }
        None => Err(failed(
            format!("its runner ended early ({status})\n{}", tail(&errors)),
            advice::of_kernel(&errors),
        )),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|l| format!("    {l}")).collect::<Vec<_>>().join("\n")
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// `RETHINK_DATA`, where it is set, from the root.
fn data_folder() -> Option<(&'static str, PathBuf)> {
    let folder = rethink::data::Places::from_env().named?;
    Some((rethink::data::DATA_VARIABLE, std::path::absolute(folder).ok()?))
}
