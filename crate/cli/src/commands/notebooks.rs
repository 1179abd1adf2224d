//! `rethink notebooks`: regression tests of the notebooks, and keeping them free of outputs.

use crate::jupyter::close::Tolerance;
use crate::jupyter::expected::Rule;
use crate::jupyter::outputs::Outputs;
use crate::jupyter::{self, Environment, clean, expected};
use crate::{Error, Result};
use rethink::run::config::Scale;
use rethink::study::{
    DATASET_VARIABLE, FILTERS_VARIABLE, OUT_VARIABLE, SCALE_VARIABLE, SEEDS_VARIABLE, SET_VARIABLE,
};
use rethink_nn::text::{are, counted};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Which notebooks, and where what belongs to them lies.
#[derive(Clone, Debug, clap::Args)]
pub struct NotebookOptions {
    /// Names in `notebooks` (01-fitting-random-labels, or just 01) or paths [default: all in `notebooks`]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Folder of stored outputs, one folder per notebook [default: tests/expected]
    #[arg(long, value_name = "DIR")]
    expected: Option<PathBuf>,
    /// Keep runs, figures and the executed notebook in one folder per notebook below DIR [default: temporary]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The family's commands.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Notebooks {
    /// Execute notebooks at scale smoke on shapes10 and compare texts and numbers with what is stored
    Check {
        /// Which, and where.
        #[command(flatten)]
        options: NotebookOptions,
        /// Largest relative difference of two numbers [default: 1e-6; 0.05 where the stored ones were recorded
        /// with other vector instructions than this processor has: there a tenth of the lines may differ]
        #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
        rtol: Option<f64>,
        /// Largest absolute difference, added to the relative one [default: 1e-9; 0.05 likewise]
        #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
        atol: Option<f64>,
    },
    /// Execute notebooks and store what they show and write
    Accept {
        /// Which, and where.
        #[command(flatten)]
        options: NotebookOptions,
    },
    /// Take outputs and execution counts out of notebooks
    Clean {
        /// Change nothing; fail where a notebook is not clean
        #[arg(long)]
        check: bool,
        /// Notebooks or folders of them [default: `notebooks`]
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
}

fn not_negative(text: &str) -> std::result::Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|x| *x >= 0.0 && x.is_finite());
    number.ok_or_else(|| "a number of 0 or more is expected".into())
}

impl Notebooks {
    /// Does it.
    ///
    /// Errors: [`Error::Different`] where outputs differ, a cell fails, or (`clean --check`) a notebook is not clean;
    /// [`Error::Argument`] for an unknown notebook; those of setting up and of files.
    pub fn perform(self) -> Result<()> {
        let root = jupyter::root()?;
        match self {
            Notebooks::Check { options, rtol, atol } => check(&root, &options, (rtol, atol)),
            Notebooks::Accept { options } => accept(&root, &options),
            Notebooks::Clean { check, paths } => clean_all(&root, &paths, check),
        }
    }
}

/// The notebooks of `folder`, by name.
fn all(folder: &Path) -> Result<Vec<PathBuf>> {
    let operation = "list the notebooks";
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(operation, folder))? {
        let path = entry.map_err(Error::io(operation, folder))?.path();
        if path.extension().is_some_and(|e| e == "ipynb") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// An execution of a notebook from an empty store: so that its lines of progress do not depend on what ran before.
struct Execution {
    folder: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl Execution {
    /// Of the notebook in its folder. Where a cell fails, the folder stays, with the copy that the error names.
    fn perform(self, environment: &Environment, notebook: &Path) -> Result<Outputs> {
        let said = execute(environment, notebook, &self.folder);
        if said.is_err()
            && let Some(temporary) = self.temporary
            && temporary.path().join(format!("{}.failed.ipynb", stem(notebook))).is_file()
        {
            let _ = temporary.keep();
        }
        said
    }
}

impl NotebookOptions {
    fn notebooks(&self, root: &Path) -> Result<Vec<PathBuf>> {
        let there = all(&root.join("notebooks"))?;
        if self.names.is_empty() {
            return Ok(there);
        }
        let named = |name: &String| {
            let path = Path::new(name);
            if path.extension().is_some_and(|e| e == "ipynb") && path.is_file() {
                return path.canonicalize().map_err(Error::io("find the notebook", path));
            }
            let same = |p: &&PathBuf| [p.file_stem(), p.file_name()].contains(&Some(name.as_ref()));
            if let Some(path) = there.iter().find(same) {
                return Ok(path.clone());
            }
            let mut begin = there.iter().filter(|p| stem(p).starts_with(name));
            if let (Some(path), None) = (begin.next(), begin.next()) {
                return Ok(path.clone());
            }
            let names: Vec<_> = there.iter().map(|p| stem(p)).collect();
            let problem = format!(
                "{name:?} is no file, and none or several of these begin with it: {}",
                names.join(", ")
            );
            Err(Error::argument("notebook", problem))
        };
        self.names.iter().map(named).collect()
    }

    fn expected(&self, root: &Path) -> PathBuf {
        self.expected.clone().unwrap_or_else(|| root.join("tests").join("expected"))
    }

    fn execution(&self, notebook: &Path) -> Result<Execution> {
        match &self.out {
            Some(out) => {
                let folder = std::path::absolute(out).map_err(Error::io("find", out))?.join(stem(notebook));
                if folder.exists() {
                    let problem = format!("{} is there already; an execution starts empty", folder.display());
                    return Err(Error::argument("--out", problem));
                }
                fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;
                Ok(Execution { folder, temporary: None })
            }
            None => {
                let place = std::env::temp_dir();
                let temporary =
                    tempfile::tempdir().map_err(Error::io("create a temporary folder in", place))?;
                Ok(Execution { folder: temporary.path().to_path_buf(), temporary: Some(temporary) })
            }
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The environment of an execution: `rethink notebooks` and the tests compare what the same settings give.
pub fn settings(out: &Path) -> Vec<(String, String)> {
    let out = out.to_string_lossy();
    let set = [
        (DATASET_VARIABLE, "shapes10"),
        (SCALE_VARIABLE, Scale::Smoke.name()),
        (SEEDS_VARIABLE, ""),
        (FILTERS_VARIABLE, ""),
        (SET_VARIABLE, ""),
        (OUT_VARIABLE, &*out),
    ];
    set.map(|(name, value)| (name.to_string(), value.to_string())).to_vec()
}

fn execute(environment: &Environment, notebook: &Path, folder: &Path) -> Result<Outputs> {
    let copy = folder.join(format!("{}.ipynb", stem(notebook)));
    jupyter::run::notebook(environment, notebook, &settings(folder), &copy, &mut |_| {})?;
    Outputs::of(&copy, folder, &environment.root)
}

/// So many differences of a notebook are printed.
const SHOWN: usize = 20;

fn check(root: &Path, options: &NotebookOptions, (rtol, atol): (Option<f64>, Option<f64>)) -> Result<()> {
    let notebooks = options.notebooks(root)?;
    let stored = options.expected(root);
    let environment = jupyter::ensure(root)?;
    let mut wrong = Vec::new();
    for notebook in &notebooks {
        let (name, started) = (stem(notebook), Instant::now());
        let execution = options.execution(notebook)?;
        let compared = execution.perform(&environment, notebook).and_then(|got| {
            let stored = Outputs::read(&expected::folder(&stored, notebook))?;
            let rule = Rule::of(&stored, &got);
            let tolerance = Tolerance {
                relative: rtol.unwrap_or(rule.tolerance.relative),
                absolute: atol.unwrap_or(rule.tolerance.absolute),
            };
            let same = stored.instructions == got.instructions;
            let other = if same { String::new() } else { format!(", recorded with {}", stored.instructions) };
            let found = expected::differences(&stored, &got, tolerance)?;
            Ok((rule.allows(&stored, &found), found, tolerance, other))
        });
        let seconds = started.elapsed().as_secs_f64();
        match compared {
            Ok((good, differences, tolerance, other)) => {
                let Tolerance { relative, absolute } = tolerance;
                let within = format!("within {relative:e} relative, {absolute:e} absolute{other}");
                let verdict = if good { "as stored" } else { "not as stored" };
                let beyond = match differences.len() {
                    0 => String::new(),
                    n => format!(", {n} differences beyond that"),
                };
                println!("{name}: {verdict}, {within}{beyond} ({seconds:.0} s)");
                for difference in differences.iter().take(SHOWN) {
                    println!("  {}", difference.to_string().replace('\n', "\n  "));
                }
                if differences.len() > SHOWN {
                    println!("  ... and {} more", differences.len() - SHOWN);
                }
                if good {
                    continue;
                }
            }
            Err(error) => println!("{name}: {error}"),
        }
        wrong.push(name);
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::Different {
        what: format!(
            "{} of {} not as stored in {}: {}",
            wrong.len(),
            are(notebooks.len(), "notebook"),
            stored.display(),
            wrong.join(", ")
        ),
        remedy: "where the new outputs are right, `rethink notebooks accept NAME...` stores them".into(),
    })
}

fn accept(root: &Path, options: &NotebookOptions) -> Result<()> {
    let stored = options.expected(root);
    let notebooks = options.notebooks(root)?;
    let environment = jupyter::ensure(root)?;
    for notebook in notebooks {
        let execution = options.execution(&notebook)?;
        let got = execution.perform(&environment, &notebook)?;
        let folder = expected::folder(&stored, &notebook);
        // What becomes of the numbers, before the old ones are gone.
        let old = Outputs::read(&folder).ok();
        let moved = match &old {
            Some(old) => expected::differences(old, &got, Rule::of(old, &got).tolerance)?.len(),
            None => 0,
        };
        let said = got.write(&folder)?;
        let name = stem(&notebook);
        match (said.is_empty(), old) {
            (true, _) => println!("{name}: unchanged"),
            (false, None) => println!("{name}: stored, {}", counted(said.len(), "file")),
            (false, Some(_)) => {
                println!("{name}: {} accepted", counted(moved, "difference"));
                said.iter().for_each(|line| println!("  {line}"));
            }
        }
    }
    Ok(())
}

fn clean_all(root: &Path, paths: &[PathBuf], check: bool) -> Result<()> {
    let default = [root.join("notebooks")];
    let mut notebooks = Vec::new();
    for path in if paths.is_empty() { &default } else { paths } {
        if path.is_dir() {
            notebooks.extend(all(path)?);
        } else {
            notebooks.push(path.clone());
        }
    }
    let dirty = clean::clean(root, &notebooks, check)?;
    let shown: Vec<String> = dirty.iter().map(|path| path.display().to_string()).collect();
    if check && !dirty.is_empty() {
        return Err(Error::Different {
            what: format!(
                "{} of {} not clean:\n  {}",
                shown.len(),
                are(notebooks.len(), "notebook"),
                shown.join("\n  ")
            ),
            remedy: "`rethink notebooks clean` takes their outputs out".into(),
        });
    }
    shown.iter().for_each(|path| println!("cleaned: {path}"));
    println!("{} clean", are(notebooks.len(), "notebook"));
    Ok(())
}
