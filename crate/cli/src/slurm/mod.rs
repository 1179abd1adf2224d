//! A sweep as a job array of Slurm: an index of the array makes one run or measurement.
//!
//! What is to be made is written as lines of JSON (the manifest) into the folder `slurm` of the run store, which all nodes
//! reach; a job is named after that folder and the manifest's content. The store alone says what is done: an item that is in it
//! needs no job, and one that is not and has no job in the queue gets one, whatever became of those it had. So
//! the program that follows a sweep keeps nothing, may be interrupted at any time, and is called again. Runs go on from
//! their checkpoints, and their locks keep two jobs from making one run ([`rethink::store`]).

mod cluster;
pub mod plan;

use crate::{Error, Result};
use cluster::Cluster;
use plan::{Failed, Failure, Memory, Missing, Plan, Queue};
use rethink::data::Dataset;
use rethink::measure::Measurement;
use rethink::paper::{self, Parts};
use rethink::run::config::{RunConfig, Scale};
use rethink::store::Store;
use rethink::study::{Study, describe, summary};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// What Slurm is told.
#[derive(Clone, Debug, PartialEq, clap::Args)]
#[command(next_help_heading = "With --executor slurm")]
pub struct Slurm {
    /// Partition of the jobs [default: the cluster's]
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
    /// Time limit of each job, as sbatch takes it [default: the partition's]
    #[arg(long, value_name = "LIMIT")]
    pub time: Option<String>,
    /// Processors, and threads, of each job [default: the cluster's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub cpus: Option<u16>,
    /// Passed on to sbatch, as --sbatch-arg=--account=physics; can be given several times
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub sbatch_arg: Vec<String>,
    /// How often an item that has failed without getting further is submitted again
    #[arg(long, value_name = "N", default_value_t = RETRIES)]
    pub retries: u32,
    /// Seconds between two looks at the queue
    #[arg(long, value_name = "SECONDS", default_value_t = POLL, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub poll: u64,
}

const RETRIES: u32 = 3;
const POLL: u64 = 15;

impl Default for Slurm {
    fn default() -> Slurm {
        Slurm {
            partition: None,
            time: None,
            cpus: None,
            sbatch_arg: Vec::new(),
            retries: RETRIES,
            poll: POLL,
        }
    }
}

/// One line of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    /// Its name in the store.
    key: String,
    /// The name by which a node finds the data set.
    data: String,
    scale: Scale,
    work: Work,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Work {
    Run(RunConfig),
    Measurement(Measurement),
}

impl Item {
    fn path(&self, store: &Store) -> PathBuf {
        match &self.work {
            Work::Run(_) => store.path(&self.key),
            Work::Measurement(_) => store.measured_path(&self.key),
        }
    }

    /// Whether the store has it whole: a file of its name that is damaged is no result, and is warned of once.
    ///
    /// Errors: those of [`Store::get`].
    fn is_in(&self, store: &Store) -> Result<bool> {
        match &self.work {
            Work::Run(config) => Ok(store.get(config)?.is_some()),
            Work::Measurement(measurement) => Ok(store.get_measured(measurement)?.is_some()),
        }
    }

    fn describe(&self) -> String {
        match &self.work {
            Work::Run(config) => describe(config),
            Work::Measurement(measurement) => measurement.describe(),
        }
    }

    /// When a run's last checkpoint was written.
    fn checkpoint(&self, store: &Store) -> Option<SystemTime> {
        store.checkpoint_written(&self.key)
    }
}

/// What a recipe is made of, each item once.
fn items(study: &Study, id: &str) -> Result<Vec<Item>> {
    let recipe = paper::find(id)?;
    // The name of each data set: of a single one, all of it, since a folder's may have commas.
    let datasets = study.datasets();
    let names: Vec<&str> =
        if datasets.len() == 1 { vec![&study.named] } else { study.named.split(',').collect() };
    let named = |fingerprint: &str| {
        let found =
            datasets.iter().zip(&names).find(|(data, _): &(&&Dataset, _)| data.fingerprint == fingerprint);
        found.map(|(_, name)| name.to_string())
    };
    let works: Vec<Work> = match recipe.source {
        Parts::Runs { .. } => study.configs_of(recipe).into_iter().map(Work::Run).collect(),
        Parts::Measurements { plan, .. } => {
            plan(&study.setting()).into_iter().map(Work::Measurement).collect()
        }
    };
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(works.len());
    for work in works {
        let (key, data) = match &work {
            Work::Run(config) => (config.key(), &config.data),
            Work::Measurement(measurement) => (measurement.key(), &measurement.data),
        };
        let data = named(&data.fingerprint).ok_or_else(|| {
            Error::argument("sweep", format!("{} is not one of the study's data sets", data.title))
        })?;
        if seen.insert(key.clone()) {
            items.push(Item { key, data, scale: study.scale, work });
        }
    }
    Ok(items)
}

/// Makes one item: what an index of the job array does. Found in the store, it is left as it is.
///
/// Errors: [`Error::Format`] for a file that is no manifest, [`Error::Argument`] for an index beyond it; those of
/// [`Study::train_all`] and [`Study::measure_all`].
pub fn item(manifest: &Path, index: usize, say: &mut dyn FnMut(&str)) -> Result<()> {
    let items = read(manifest)?;
    let count = items.len();
    let item = items.into_iter().nth(index);
    let item = item
        .ok_or_else(|| Error::argument("sweep item", format!("index {index} of {count} in the manifest")))?;
    // STORE/slurm/NAME.jsonl, and the store is the folder `runs` of a study's output.
    let out = manifest.ancestors().nth(3).unwrap_or(Path::new("."));
    let study = Study::new(Some(&item.data), item.scale, out)?;
    match item.work {
        Work::Run(config) => study.train_all(&[config], say).map(drop),
        Work::Measurement(measurement) => study.measure_all(&[measurement], say).map(drop),
    }
}

fn read(manifest: &Path) -> Result<Vec<Item>> {
    let operation = "read the manifest";
    let text = fs::read_to_string(manifest).map_err(Error::io(operation, manifest))?;
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|e| Error::format(operation, manifest, format!("line {}: {e}", number + 1)))
    };
    text.lines().enumerate().map(line).collect()
}

/// So many looks at the queue may fail in a row: a controller that is started anew is away for a while.
const UNANSWERED: u32 = 20;

/// Progress is told when it changes, and after so long without a change.
const QUIET: Duration = Duration::from_secs(300);

/// Has Slurm make every run or measurement of recipe `id` that the store lacks, and returns when the store has them
/// all. `say` gets lines of progress. Nothing is trained or measured by this process.
///
/// Errors: [`Error::Missing`] without Slurm; [`Error::Program`] where Slurm does not answer for long, refuses the jobs,
/// or items have failed too often; [`Error::Argument`] for an unknown recipe; those of [`Store::get`].
pub fn sweep(study: &Study, id: &str, options: &Slurm, say: &mut dyn FnMut(&str)) -> Result<()> {
    let items = items(study, id)?;
    let store = study.store();
    let total = items.len();
    let mut made = HashSet::new();
    for item in &items {
        if item.is_in(&store)? {
            made.insert(item.key.clone());
        }
    }
    let missing = total - made.len();
    if missing == 0 {
        say(&format!("all {total} are in the store"));
        return Ok(());
    }
    let cluster = Cluster::find(&store)?;
    say(&format!(
        "{missing} of {total} to be made; interrupt at will: jobs go on, and the same command follows them"
    ));
    let mut follower = Follower::new(items, made, store, cluster, options);
    while !follower.step(say)? {
        std::thread::sleep(Duration::from_secs(options.poll));
    }
    Ok(())
}

/// The effects of a sweep: it asks the queue and the store, and does what [`plan::decide`] makes of the answers.
struct Follower<'a> {
    items: Vec<Item>,
    store: Store,
    cluster: Cluster,
    options: &'a Slurm,
    started: Instant,
    known: Memory,
    /// Keys of what the last look found whole in the store.
    made: HashSet<String>,
    /// Looks at the queue that have failed in a row.
    unanswered: u32,
    /// The last line of progress, and when it was told.
    last: (String, Instant),
}

impl Follower<'_> {
    /// Of `items`, of which those with the keys `made` are in the store.
    fn new(
        items: Vec<Item>,
        made: HashSet<String>,
        store: Store,
        cluster: Cluster,
        options: &Slurm,
    ) -> Follower<'_> {
        let started = Instant::now();
        let (known, last) = (Memory::new(), (String::new(), started));
        Follower { items, store, cluster, options, started, known, made, unanswered: 0, last }
    }

    /// One look, and what follows from it. Returns whether the store has everything.
    fn step(&mut self, say: &mut dyn FnMut(&str)) -> Result<bool> {
        let Some(queue) = self.queue(say)? else { return Ok(false) };
        self.look(say)?;
        let missing = self.missing();
        if missing.is_empty() {
            say(&format!("all {} are in the store, after {}", self.items.len(), clock(self.started)));
            return Ok(true);
        }
        let (plan, known) = plan::decide(&missing, &queue, &self.known, self.options.retries);
        self.known = known;
        for failure in &plan.failures {
            self.tell(failure, say);
        }
        let Some(submitted) = self.submit(&plan, say)? else { return Ok(false) };
        self.report(plan.progress(self.items.len(), submitted), say);
        if plan.is_over() { Err(self.failed(&plan)) } else { Ok(false) }
    }

    /// `None`: Slurm does not answer, as it may for a while.
    fn queue(&mut self, say: &mut dyn FnMut(&str)) -> Result<Option<Queue>> {
        match self.cluster.queue() {
            Ok(queue) => {
                self.unanswered = 0;
                Ok(Some(queue))
            }
            Err(error) if self.unanswered < UNANSWERED => {
                self.unanswered += 1;
                say(&format!("{error}; asking again"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Looks what is whole in the store, and tells what has come into it.
    ///
    /// Errors: [`Error::Later`] for a file that a later version wrote.
    fn look(&mut self, say: &mut dyn FnMut(&str)) -> Result<()> {
        for item in &self.items {
            // A finished file is never written again: one that was whole is not read at every look.
            if self.made.contains(&item.key) && item.path(&self.store).exists() {
                continue;
            }
            let is_in = match item.is_in(&self.store) {
                // A folder that is shared may not answer for a moment.
                Err(Error::Io { .. }) => false,
                is_in => is_in?,
            };
            if !is_in {
                self.made.remove(&item.key);
            } else if self.made.insert(item.key.clone()) {
                say(&finished(&self.store, item));
            }
        }
        Ok(())
    }

    fn missing(&self) -> Vec<Missing> {
        let missing = self.items.iter().filter(|item| !self.made.contains(&item.key));
        let now = |item: &Item| Missing { key: item.key.clone(), checkpoint: item.checkpoint(&self.store) };
        missing.map(now).collect()
    }

    fn item(&self, key: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.key == key)
    }

    /// Tells a failure, and releases a task that is held.
    fn tell(&self, failure: &Failure, say: &mut dyn FnMut(&str)) {
        let fate = match (&failure.how, &failure.task) {
            (Failed::Held(reason), _) => format!("held ({reason})"),
            (Failed::Lost, Some(task)) => self.cluster.fate(task),
            (Failed::Lost, None) => String::new(),
        };
        let what = self.item(&failure.key).map_or_else(|| failure.key.clone(), Item::describe);
        let task = failure.task.as_ref().map_or(String::new(), |task| format!("job {task} "));
        let next = if failure.given_up { "given up" } else { "again" };
        say(&format!("{what}: {task}ended without a result ({fate}); {next}"));
        if let Some(task) = failure.to_release() {
            self.cluster.release(task);
        }
    }

    /// Submits what is due; how many. `None`: Slurm does not answer.
    fn submit(&mut self, plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<Option<usize>> {
        if plan.due.is_empty() {
            return Ok(Some(0));
        }
        // Another follower of the same store may be about to submit the same.
        let _alone = self.cluster.lock()?;
        // It answered a moment ago; the next look counts how often it does not.
        let Ok(queue) = self.cluster.queue() else { return Ok(None) };
        let mut due: Vec<Item> = Vec::new();
        for item in plan.still_due(&queue).into_iter().filter_map(|key| self.item(key)) {
            if !item.is_in(&self.store)? {
                due.push(item.clone());
            }
        }
        if due.is_empty() {
            return Ok(Some(0));
        }
        for (item, task) in due.iter().zip(self.cluster.submit(&due, self.options)?) {
            let known = self.known.entry(item.key.clone()).or_default();
            *known = known.submitted(task, item.checkpoint(&self.store));
        }
        say(&format!("{} submitted", due.len()));
        Ok(Some(due.len()))
    }

    fn report(&mut self, line: String, say: &mut dyn FnMut(&str)) {
        let (last, told) = &self.last;
        if line != *last || told.elapsed() >= QUIET {
            say(&format!("{line}; {}", clock(self.started)));
            self.last = (line, Instant::now());
        }
    }

    /// The error of a sweep of which all that is missing is given up.
    fn failed(&self, plan: &Plan) -> Error {
        let items = plan.given_up.iter().filter_map(|key| self.item(key));
        let lines: Vec<String> = items
            .map(|item| format!("{} ({}): {}", item.key, item.describe(), self.cluster.log(&item.key)))
            .collect();
        Error::Program {
            program: "slurm".into(),
            problem: format!(
                "{} of {} failed {} times without getting further:\n  {}",
                plan.given_up.len(),
                self.items.len(),
                self.options.retries + 1,
                lines.join("\n  ")
            ),
            remedy: "the logs say why; the same command tries again".into(),
        }
    }
}

/// A line for what has come into the store.
fn finished(store: &Store, item: &Item) -> String {
    match &item.work {
        Work::Run(config) => match store.get(config) {
            Ok(Some(run)) => summary(&run.record),
            _ => item.describe(),
        },
        Work::Measurement(_) => format!("{}: made", item.describe()),
    }
}

/// Time since `started`, as 1:02:03.
fn clock(started: Instant) -> String {
    let seconds = started.elapsed().as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
