//! `rethink reproduce`: sets up what is missing, runs the notebooks, writes figures and tables, and
//! ends with the paper's findings beside ours.

use crate::commands::runs::terminal_width;
use crate::products::{self, Manifest};
use crate::{Error, Result, jupyter};
use rethink::data::Dataset;
use rethink::paper::{self, Recipe};
use rethink::run::config::Scale;
use rethink::study::{
    DATASET_VARIABLE, FILTERS_VARIABLE, OUT_VARIABLE, SCALE_VARIABLE, SEEDS_VARIABLE, SET_VARIABLE, Stored,
    Study, duration,
};
use rethink_nn::device::Device;
use rethink_nn::text::hex;
use rethink_plot::files;
use rethink_plot::tables::{Align, Table};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The recipes named in `only` (where empty, those that suit the data), in the paper's order.
///
/// Errors: [`Error::Argument`] for an unknown name.
pub fn chosen(only: &[String], data: &Dataset) -> Result<Vec<Recipe>> {
    only.iter().try_for_each(|id| paper::find(id).map(|_| ()))?;
    if only.is_empty() {
        return Ok(paper::suiting(data));
    }
    Ok(paper::ALL.into_iter().filter(|r| only.iter().any(|id| id == r.id)).collect())
}

/// Runs the notebooks of the recipes named in `only` on `study`.
///
/// A notebook whose text, code, data and scale are those of its last execution, and whose files are all what was
/// written, by their checksums, is not executed again. Figures and tables that are not are made again from the stored results;
/// where that does not give what was written, or the executed copy itself is another, the notebook is executed again, with the
/// runs that are stored. What somebody changed is kept under another name.
pub fn reproduce(only: &[String], study: &Study) -> Result<()> {
    let mut recipes = chosen(only, &study.data)?;
    if !study.overrides.is_empty() {
        // What is made of no training runs is what it is without `--set`.
        recipes.retain(|recipe| !study.configs_of(recipe).is_empty());
    }
    let root = jupyter::root()?;
    study.own_folder()?;
    let out = study.out.canonicalize().map_err(Error::io("find the folder", &study.out))?;
    let study = &Study { out, ..study.clone() };
    println!("{study}");

    if Device::current()? != Device::Cpu {
        // The notebooks' kernel is built without CUDA: it finds in the store what it would train.
        for recipe in &recipes {
            study.results(recipe, &mut |line| println!("{line}"))?;
        }
    }
    let code = code_fingerprint(&root)?;
    let mut seconds = BTreeMap::new();
    let mut steps = Vec::new();
    for recipe in &recipes {
        if seconds.contains_key(recipe.notebook) {
            continue;
        }
        let started = Instant::now();
        let execution = Execution::new(&root, study, recipe.notebook, &code)?;
        if !execution.stands(&recipes, study)? {
            steps.push(Step::new(execution, recipe.notebook, &recipes, study));
        }
        seconds.insert(recipe.notebook, started.elapsed().as_secs_f64());
    }
    if !steps.is_empty() {
        let lanes = lanes(steps.len(), study);
        println!("{}", plan(&steps, lanes)?.text_in(terminal_width()));
        let environment = jupyter::ensure(&root)?;
        seconds.extend(execute(steps, lanes, &environment, study)?);
    }
    report(&recipes, study, &seconds)
}

/// A notebook that is to be executed.
struct Step {
    execution: Execution,
    notebook: &'static str,
    items: Vec<&'static str>,
    /// How long it may take, with what its items lack.
    seconds: f64,
}

/// Of a notebook beside its training: the kernel's start, its cells, its figures.
const NOTEBOOK_SECONDS: f64 = 8.0;

impl Step {
    fn new(execution: Execution, notebook: &'static str, recipes: &[Recipe], study: &Study) -> Step {
        let own: Vec<&Recipe> = recipes.iter().filter(|recipe| recipe.notebook == notebook).collect();
        let seconds = NOTEBOOK_SECONDS + own.iter().map(|recipe| study.seconds(recipe)).sum::<f64>();
        Step { execution, notebook, items: own.iter().map(|recipe| recipe.id).collect(), seconds }
    }

    /// Says where the notebook's figures and tables are.
    ///
    /// Errors: those of [`products::files_of`].
    fn made(&self, study: &Study, mark: &str) -> Result<()> {
        let folder = study.folder();
        for name in products::files_of(&folder, &self.items)? {
            if name.ends_with(".svg") || name.ends_with(".md") {
                println!("  {mark}{}", folder.join(name).display());
            }
        }
        Ok(())
    }
}

/// What will be executed.
fn plan(steps: &[Step], lanes: usize) -> Result<Table> {
    let all = TimeLeft::new(steps, lanes).left();
    let title = format!("to be executed, about {} on two fast cores", duration(all));
    let columns = [("notebook", Align::Left), ("items", Align::Left), ("about", Align::Right)];
    let mut table = Table::new("plan", &title, &columns);
    for step in steps {
        let cells = vec![step.notebook.to_string(), step.items.join(", "), duration(step.seconds)];
        table.push(cells)?;
    }
    Ok(table)
}

/// Notebooks that are executed at a time, each with its part of the threads: while a cell of one compiles or draws, on one thread, the
/// other trains.
const AT_ONCE: usize = 2;
/// What two notebooks at a time take of their seconds one after the other (`crate/notes/speed.md`).
const TOGETHER: f64 = 0.75;

/// How many of so many notebooks are executed at a time.
fn lanes(steps: usize, study: &Study) -> usize {
    // Networks of the paper's size fill all threads and caches by themselves.
    let most = if study.scale == Scale::Paper { 1 } else { AT_ONCE };
    most.min(steps).min(rayon::current_num_threads())
}

/// Executes `steps`, the longest first, so many at a time, and says what each makes; returns the seconds of each notebook. After a failure no other one is
/// begun.
///
/// Errors: the first of [`Execution::run`].
fn execute(
    mut steps: Vec<Step>,
    lanes: usize,
    environment: &jupyter::Environment,
    study: &Study,
) -> Result<Vec<(&'static str, f64)>> {
    steps.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let threads = rayon::current_num_threads() / lanes;
    let ahead = Mutex::new(TimeLeft::new(&steps, lanes));
    let failed = Mutex::new(None);
    // A function, for the locks are not to be held while the notebook runs.
    let next = || if locked(&failed).is_none() { locked(&ahead).begin() } else { None };
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                while let Some((at, words)) = next() {
                    let step = &steps[at];
                    println!("[{}/{}] {}, {words}:", at + 1, steps.len(), step.notebook);
                    let mark = if lanes > 1 { format!("{}: ", &step.notebook[..2]) } else { String::new() };
                    let done = step.execution.run(environment, threads, study, &mark);
                    locked(&ahead).end(at);
                    if let Err(error) = done.and_then(|()| step.made(study, &mark)) {
                        println!("{}: failed; what is executed beside it comes to its end", step.notebook);
                        locked(&failed).get_or_insert(error);
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(steps.iter().map(|step| step.notebook).zip(locked(&ahead).taken()).collect()),
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much is ahead: the plan's seconds, corrected by what those so far took.
struct TimeLeft {
    lanes: f64,
    /// Of each step, the plan's seconds.
    planned: Vec<f64>,
    begun: Vec<Instant>,
    /// Of each that has ended, how long it took.
    ended: BTreeMap<usize, f64>,
}

impl TimeLeft {
    fn new(steps: &[Step], lanes: usize) -> TimeLeft {
        let planned = steps.iter().map(|step| step.seconds).collect();
        TimeLeft { lanes: lanes as f64, planned, begun: Vec::new(), ended: BTreeMap::new() }
    }

    /// The next step, and how much is left before it.
    fn begin(&mut self) -> Option<(usize, String)> {
        let at = self.begun.len();
        let words = format!("about {} left in all", duration(self.left()));
        (at < self.planned.len()).then(|| {
            self.begun.push(Instant::now());
            (at, words)
        })
    }

    fn end(&mut self, at: usize) {
        self.ended.insert(at, self.begun[at].elapsed().as_secs_f64());
    }

    /// Seconds, if what is left takes as long, by its plan, as what has ended did.
    fn left(&self) -> f64 {
        let planned: f64 = self.ended.keys().map(|&at| self.planned[at]).sum();
        let together = if self.lanes > 1.0 { self.lanes * TOGETHER } else { 1.0 };
        let rate = if planned > 0.0 { self.ended.values().sum::<f64>() / planned } else { together };
        let lane = |(at, planned): (usize, &f64)| {
            let passed = self.begun.get(at).map_or(0.0, |begun| begun.elapsed().as_secs_f64());
            if self.ended.contains_key(&at) { 0.0 } else { (planned * rate - passed).max(0.0) }
        };
        self.planned.iter().enumerate().map(lane).sum::<f64>() / self.lanes
    }

    /// How long each took.
    fn taken(&self) -> Vec<f64> {
        self.ended.values().copied().collect()
    }
}

/// A notebook on a study, and the marks of its last execution.
struct Execution {
    notebook: PathBuf,
    executed: PathBuf,
    mark: PathBuf,
    fingerprint: String,
    figures: PathBuf,
}

impl Execution {
    fn new(root: &Path, study: &Study, name: &str, code: &str) -> Result<Execution> {
        let notebook = root.join("notebooks").join(name);
        let text = fs::read(&notebook).map_err(Error::io("read the notebook", &notebook))?;
        let mut hash = Sha256::new();
        hash.update(text);
        let data = study.datasets().into_iter().map(|data| data.fingerprint.as_str());
        let seeds = study.seeds.map_or(String::new(), |n| n.to_string());
        let (filters, set) = (filters(study), study.overrides.to_string());
        for part in [code].into_iter().chain(data).chain([study.scale.name(), &seeds, &filters, &set]) {
            hash.update(part);
            hash.update([0]);
        }
        let folder = study.folder().join("notebooks");
        Ok(Execution {
            notebook,
            executed: folder.join(name),
            mark: products::mark(&folder.join(name)),
            fingerprint: hex(&hash.finalize()),
            figures: study.folder(),
        })
    }

    /// Whether the last execution was of the same, its runs are in the store, and its files are what was written, or can be
    /// made so without another one, which this does. Says what it finds.
    ///
    /// Errors: [`Error::Io`] for a file that cannot be written.
    fn stands(&self, recipes: &[Recipe], study: &Study) -> Result<bool> {
        let name = self.notebook.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Some(manifest) = Manifest::read(&self.mark) else {
            if self.executed.exists() {
                println!("{name}: no checksums of its files are known");
            }
            return Ok(false);
        };
        let mut say = |line: &str| println!("{name}: {line}");
        let known = |recipe: &Recipe| {
            manifest.has(&format!("{}.json", recipe.id))
                && matches!(study.stored(recipe), Ok(Stored::Whole(_)))
        };
        let same = manifest.fingerprint == self.fingerprint
            && manifest.has(&self.executed_name())
            && recipes.iter().filter(|r| r.notebook == name).all(known);
        let damaged = manifest.damaged(&self.figures);
        if same && damaged.is_empty() {
            say("nothing changed since it was executed");
            return Ok(true);
        }
        let remade = if same { manifest.remade(study, &damaged) } else { None };
        products::keep_changed(&self.figures, &damaged, &mut say)?;
        let next = if remade.is_some() { "made again from the stored results" } else { "executed again" };
        damaged.iter().for_each(|damage| say(&format!("{damage}; {next}")));
        for (path, bytes) in remade.iter().flatten() {
            files::write_whole(path, bytes)?;
        }
        Ok(remade.is_some())
    }

    /// The executed copy's name below the study's folder.
    fn executed_name(&self) -> String {
        format!("notebooks/{}", self.executed.file_name().unwrap_or_default().to_string_lossy())
    }

    /// Executes it on so many threads; lines of progress begin with `mark`.
    ///
    /// Errors: those of [`jupyter::run::recorded`]; I/O errors.
    fn run(
        &self,
        environment: &jupyter::Environment,
        threads: usize,
        study: &Study,
        mark: &str,
    ) -> Result<()> {
        // The data set by the name or folder that this command was given resolves the same way there.
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let variables = [
            (DATASET_VARIABLE.to_string(), study.named.clone()),
            (SCALE_VARIABLE.to_string(), study.scale.to_string()),
            (SEEDS_VARIABLE.to_string(), study.seeds.map_or(String::new(), |n| n.to_string())),
            (OUT_VARIABLE.to_string(), text(&study.out)),
            (FILTERS_VARIABLE.to_string(), filters(study)),
            (SET_VARIABLE.to_string(), study.overrides.argument()),
        ];
        // What is written from now on is not what it says.
        files::remove_if_there(&self.mark)?;
        let mut say = |line: &str| println!("  {mark}{line}");
        jupyter::run::recorded(environment, &self.notebook, threads, &variables, &self.executed, &mut say)?;
        let name = self.notebook.file_name().and_then(|n| n.to_str());
        let ids: Vec<&str> = paper::ALL.iter().filter(|r| Some(r.notebook) == name).map(|r| r.id).collect();
        let mut names = products::files_of(&self.figures, &ids)?;
        names.push(self.executed_name());
        Manifest::of(&self.figures, &self.fingerprint, &names)?.write(&self.mark)
    }
}

/// The study's own number of filters, empty for the scale's.
fn filters(study: &Study) -> String {
    study.filters.map_or(String::new(), |filters| filters.to_string())
}

/// SHA-256 of everything a notebook's cells are compiled from.
fn code_fingerprint(root: &Path) -> Result<String> {
    let mut paths =
        vec![root.join("Cargo.lock"), root.join("Cargo.toml"), root.join("crate/rethink/build.rs")];
    let mut folders = Vec::new();
    for name in ["nn", "plot", "rethink"] {
        paths.push(root.join("crate").join(name).join("Cargo.toml"));
        folders.push(root.join("crate").join(name).join("src"));
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("read the folder", &folder))? {
            let path = entry.map_err(Error::io("read the folder", &folder))?.path();
            if path.is_dir() { folders.push(path) } else { paths.push(path) }
        }
    }
    paths.sort();
    let mut hash = Sha256::new();
    for path in paths {
        hash.update(path.to_string_lossy().as_bytes());
        hash.update(fs::read(&path).map_err(Error::io("read", &path))?);
    }
    Ok(hex(&hash.finalize()))
}

/// The paper's findings and ours, in the terminal's width.
fn report(recipes: &[Recipe], study: &Study, seconds: &BTreeMap<&str, f64>) -> Result<()> {
    let columns =
        [("item", Align::Left), ("the paper", Align::Left), ("ours", Align::Left), ("seconds", Align::Right)];
    let mut table =
        Table::new("findings", &format!("{}, scale {}", study.title(), study.scale_title()), &columns);
    for recipe in recipes {
        let verdict = study.verdict(recipe.id)?;
        // Two items of one notebook share its time.
        let shared = recipes.iter().filter(|r| r.notebook == recipe.notebook).count() as f64;
        let seconds = seconds.get(recipe.notebook).copied().unwrap_or(0.0) / shared;
        let ours = verdict.ours().to_string();
        table.push(vec![recipe.id.to_string(), verdict.paper, ours, format!("{seconds:.1}")])?;
    }
    println!("\n{}", table.text_in(terminal_width()));
    println!("figures and tables: {}", study.folder().display());
    Ok(())
}
