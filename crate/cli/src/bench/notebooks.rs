//! Seconds of a notebook's cells in this project's kernel, in turns with evcxr as it comes.
//!
//! Both run the same cells on the same results, which a first round leaves in a store; so what is timed is starting,
//! compiling and drawing. evcxr as it comes has its own settings, its own versions of libraries, and a folder of its own
//! for what it compiles.

use crate::bench::{Timing, median};
use crate::jupyter::{self, kernel};
use crate::{Error, Result};
use rethink::study::{DATASET_VARIABLE, OUT_VARIABLE, SCALE_VARIABLE};
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

/// Name of the other kernel's spec, of evcxr's own making.
const PEER: &str = "rust";

#[derive(Deserialize)]
struct Round {
    kernel: String,
    round: usize,
    start: f64,
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    seconds: f64,
    figure: bool,
}

impl Round {
    fn dep(&self) -> f64 {
        self.cells.first().map_or(0.0, |cell| cell.seconds)
    }

    /// From the kernel's start to the end of the first cell that shows a figure.
    fn first_figure(&self) -> f64 {
        let until = self.cells.iter().position(|cell| cell.figure).map_or(self.cells.len(), |at| at + 1);
        self.start + self.cells[..until].iter().map(|cell| cell.seconds).sum::<f64>()
    }

    /// The median cell after the one with `:dep`.
    fn later_cell(&self) -> f64 {
        median(self.cells.iter().skip(1).map(|cell| cell.seconds).collect())
    }

    fn whole(&self) -> f64 {
        self.start + self.cells.iter().map(|cell| cell.seconds).sum::<f64>()
    }
}

/// Runs `notebook` (code cells alone, at scale smoke on `shapes10`) `rounds` times after a first one; with `peer`, in
/// turns with evcxr's own kernel, whose first round compiles every library anew (many minutes). `say` gets one line per round.
///
/// Errors: those of [`jupyter::ensure`]; [`Error::Program`] with what a cell said that failed.
pub fn measure(
    root: &Path,
    notebook: &Path,
    rounds: usize,
    peer: bool,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Timing>> {
    if rounds == 0 {
        return Err(Error::argument("benchmark", "no rounds"));
    }
    let notebook = notebook.canonicalize().map_err(Error::io("read the notebook", notebook))?;
    let environment = jupyter::ensure(root)?;
    let failed = |problem: String| Error::Program {
        program: notebook.display().to_string(),
        problem,
        remedy: "correct the notebook, or name another one with --notebook".into(),
    };
    let aside =
        tempfile::tempdir().map_err(Error::io("create a temporary folder in", std::env::temp_dir()))?;
    let mut paths = vec![environment.venv().join("share/jupyter")];
    let mut kernels = vec![kernel::NAME];
    let own = peer.then(|| kernel::evcxrs_own(&environment.evcxr)).transpose()?;
    if let Some(own) = &own {
        paths.push(own.path().to_path_buf());
        kernels.push(PEER);
    }
    let paths = std::env::join_paths(paths).map_err(|e| failed(e.to_string()))?;
    let mut child = environment
        .python()
        .args(["-c", include_str!("notebooks.py")])
        .arg(&notebook)
        .arg(rounds.to_string())
        .args(&kernels)
        .env("JUPYTER_PATH", paths)
        // As `reproduce` runs notebooks in which each variable has its type written.
        .env("RETHINK_KERNEL_STD", "0")
        .env(DATASET_VARIABLE, "shapes10")
        .env(SCALE_VARIABLE, "smoke")
        .env(OUT_VARIABLE, aside.path().join("figures"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let mut all: Vec<Round> = Vec::new();
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for line in lines.map_while(std::io::Result::ok) {
        let Ok(round) = serde_json::from_str::<Round>(&line) else {
            let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            return Err(failed(said["failed"].as_str().unwrap_or(&line).to_string()));
        };
        let first = if round.round == 0 { "first round" } else { "round" };
        let (whole, dep) = (round.whole(), round.dep());
        say(&format!(
            "{}: {first} {}: start {:.1} s, :dep {dep:.1} s, first figure after {:.1} s, all {} cells {whole:.1} s",
            round.kernel,
            round.round,
            round.start,
            round.first_figure(),
            round.cells.len()
        ));
        all.push(round);
    }
    let status = child.wait().map_err(|e| failed(e.to_string()))?;
    if !status.success() || all.is_empty() {
        return Err(failed(format!("the timing program ended with {status}")));
    }
    let of = |name: &str, value: fn(&Round) -> f64| {
        let values: Vec<f64> = all.iter().filter(|r| r.kernel == name && r.round > 0).map(value).collect();
        (!values.is_empty()).then(|| median(values))
    };
    let timing = |what, value: fn(&Round) -> f64| {
        Some(Timing { what, ours: of(kernel::NAME, value)?, peer: of(PEER, value) })
    };
    let timings = [
        timing("kernel start", |round| round.start),
        timing(":dep cell", Round::dep),
        timing("start to first figure", Round::first_figure),
        timing("median later cell", Round::later_cell),
        timing("whole notebook", Round::whole),
    ];
    Ok(timings.into_iter().flatten().collect())
}
