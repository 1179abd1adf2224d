//! A sweep as a job array of Slurm: an index of the array makes one run or measurement.
//!
//! What is to be made is written as lines of JSON (the manifest) into the folder `slurm` of the run store, which all nodes
//! reach; a job is named after that folder and the manifest's content. The store alone says what is done: an item that is in it
//! needs no job, and one that is not and has no job in the queue gets one, whatever became of those it had. So
//! the program that follows a sweep keeps nothing, may be interrupted at any time, and is called again. Runs go on from
//! their checkpoints, and their locks keep two jobs from making one run ([`rethink::store`]).

use crate::{Error, Result};
use rethink::data::Dataset;
use rethink::measure::Measurement;
use rethink::paper::{self, Parts};
use rethink::run::config::{RunConfig, Scale};
use rethink::store::Store;
use rethink::study::{Study, describe, summary};
use rethink_nn::device::Device;
use rethink_nn::text::hex;
use rethink_plot::files;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
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

    fn describe(&self) -> String {
        match &self.work {
            Work::Run(config) => describe(config),
            Work::Measurement(measurement) => measurement.describe(),
        }
    }

    /// When a run's last checkpoint was written.
    fn checkpoint(&self, store: &Store) -> Option<SystemTime> {
        let path = store.folder().join(format!("{}.partial", self.key)).join("checkpoint.safetensors");
        fs::metadata(path).ok()?.modified().ok()
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

/// A place in a job array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Task {
    job: String,
    index: String,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.job, self.index)
    }
}

/// A task that is in the queue.
#[derive(Clone, Debug)]
struct Queued {
    task: Task,
    running: bool,
    /// Why it waits, in Slurm's words.
    reason: String,
}

/// The name of all our jobs begins so; what follows is that of the manifest.
const JOB: &str = "rethink-";

/// Slurm's commands, and the folder of manifests.
struct Cluster {
    folder: PathBuf,
    /// Most tasks of an array.
    largest: usize,
    /// Keys by manifest.
    manifests: HashMap<String, Vec<String>>,
}

impl Cluster {
    fn find(store: &Store) -> Result<Cluster> {
        let mut program = Command::new("sbatch");
        if program.arg("--version").output().is_err() {
            return Err(Error::Missing {
                what: "no sbatch on this machine's PATH: --executor slurm submits jobs with it".into(),
                remedy: "call this where jobs are submitted (a login node), or leave --executor out".into(),
            });
        }
        let operation = "create the folder of manifests";
        let folder = store.folder().join("slurm");
        fs::create_dir_all(&folder).map_err(Error::io(operation, &folder))?;
        // Jobs start elsewhere.
        let folder = folder.canonicalize().map_err(Error::io(operation, &folder))?;
        let settings = output(Command::new("scontrol").args(["show", "config"]))?;
        let largest = settings.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == "MaxArraySize").then(|| value.trim().parse().ok())?
        });
        let largest = largest.unwrap_or(1001usize).saturating_sub(1).max(1);
        Ok(Cluster { folder, largest, manifests: HashMap::new() })
    }

    /// Our tasks in the queue, by the key of what they make.
    fn queue(&mut self) -> Result<HashMap<String, Queued>> {
        let mut squeue = Command::new("squeue");
        // A user's own choice of columns and jobs is not for this.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SQUEUE_"))
        {
            squeue.env_remove(name);
        }
        let text = output(squeue.args(["--noheader", "--array", "--all", "--format", "%F|%K|%T|%r|%j"]))?;
        let mut queue = HashMap::new();
        for line in text.lines() {
            let mut fields = line.splitn(4, '|');
            let (Some(job), Some(index), Some(state), Some(rest)) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let Some((reason, name)) = rest.rsplit_once('|') else { continue };
            let Some(name) = name.strip_prefix(JOB) else { continue };
            let Some(key) = self.key(name, index) else { continue };
            let task = Task { job: job.to_string(), index: index.to_string() };
            let running = matches!(state, "RUNNING" | "COMPLETING" | "SUSPENDED" | "STAGE_OUT");
            queue.insert(key, Queued { task, running, reason: reason.to_string() });
        }
        Ok(queue)
    }

    /// What index `index` of a manifest of this store makes; `None` for a manifest of another.
    fn key(&mut self, name: &str, index: &str) -> Option<String> {
        if !self.manifests.contains_key(name) {
            // Not there is another store's, or this one's on a folder that shows new files late: asked for again.
            let items = read(&self.folder.join(format!("{name}.jsonl"))).ok()?;
            self.manifests.insert(name.to_string(), items.into_iter().map(|item| item.key).collect());
        }
        self.manifests[name].get(index.parse::<usize>().ok()?).cloned()
    }

    /// Submits a job array; returns each item's task.
    fn submit(&mut self, items: &[&Item], options: &Slurm) -> Result<Vec<(String, Task)>> {
        let mut tasks = Vec::with_capacity(items.len());
        for items in items.chunks(self.largest) {
            let mut text = String::new();
            for item in items {
                text += &serde_json::to_string(item).expect("plain values are JSON");
                text.push('\n');
            }
            // Two stores may be asked for the same.
            let folder = self.folder.as_os_str().as_encoded_bytes();
            let hash = Sha256::new().chain_update(folder).chain_update([0]).chain_update(&text);
            let name = hex(&hash.finalize()[..8]);
            let manifest = self.folder.join(format!("{name}.jsonl"));
            files::write_whole(&manifest, text.as_bytes())?;
            let script = self.folder.join(format!("{name}.sh"));
            files::write_whole(&script, self.script(&manifest)?.as_bytes())?;
            let mut sbatch = Command::new("sbatch");
            sbatch.arg("--parsable").arg(format!("--job-name={JOB}{name}"));
            sbatch.arg(format!("--array=0-{}", items.len() - 1)).args(["--requeue", "--open-mode=append"]);
            // In a file's name, Slurm takes what follows a % for a field.
            let log = self.folder.to_string_lossy().replace('%', "%%");
            sbatch.arg(format!("--output={log}/{name}-%a.log"));
            for (option, value) in [
                ("partition", options.partition.clone()),
                ("time", options.time.clone()),
                ("cpus-per-task", options.cpus.map(|cpus| cpus.to_string())),
            ] {
                if let Some(value) = value {
                    sbatch.arg(format!("--{option}={value}"));
                }
            }
            let said = output(sbatch.args(&options.sbatch_arg).arg(&script))?;
            // JOB, or JOB;CLUSTER.
            let job = said.trim().lines().last().unwrap_or_default().split(';').next().unwrap_or_default();
            for (index, item) in items.iter().enumerate() {
                let task = Task { job: job.to_string(), index: index.to_string() };
                tasks.push((item.key.clone(), task));
            }
            self.manifests.insert(name, items.iter().map(|item| item.key.clone()).collect());
        }
        Ok(tasks)
    }

    fn script(&self, manifest: &Path) -> Result<String> {
        let operation = "write the batch script";
        let program = std::env::current_exe().map_err(Error::io(operation, "this program"))?;
        let quoted = |path: &Path| match path.to_str() {
            Some(text) => Ok(format!("'{}'", text.replace('\'', r"'\''"))),
            None => Err(Error::argument(operation, format!("{} is not UTF-8", path.display()))),
        };
        Ok(format!(
            "#!/bin/sh\n# One line of the manifest an index of the job array.\nexec {} --threads \
             \"${{SLURM_CPUS_PER_TASK:-${{SLURM_CPUS_ON_NODE:-1}}}}\" --device {} sweep-item {} \
             \"$SLURM_ARRAY_TASK_ID\"\n",
            quoted(&program)?,
            Device::current()?,
            quoted(manifest)?
        ))
    }

    /// What became of a task that has left the queue, where Slurm still knows; else nothing.
    fn fate(&self, task: &Task) -> String {
        let shown =
            output(Command::new("scontrol").args(["--oneliner", "show", "job"]).arg(task.to_string()));
        if let Ok(shown) = shown {
            let field = |name: &str| {
                let word = shown.split_whitespace().find_map(|word| word.strip_prefix(name));
                word.unwrap_or("unknown").to_string()
            };
            let (state, code) = (field("JobState="), field("ExitCode="));
            return format!("{state}, exit code and signal {code}, on {}", field("NodeList="));
        }
        // Slurm forgets a job after minutes, unless it keeps accounts.
        let accounts = ["--noheader", "--parsable2", "--allocations", "--format=State,ExitCode,NodeList"];
        let shown = output(Command::new("sacct").args(accounts).arg("--jobs").arg(task.to_string()));
        match shown.ok().and_then(|text| text.lines().next().map(str::to_string)) {
            Some(line) if !line.is_empty() => line.replace('|', ", "),
            _ => "gone from the queue".into(),
        }
    }

    fn log(&self, key: &str) -> String {
        let places = self.manifests.iter().filter_map(|(name, keys)| {
            let index = keys.iter().position(|k| k == key)?;
            let log = self.folder.join(format!("{name}-{index}.log"));
            Some((fs::metadata(&log).ok()?.modified().ok()?, log))
        });
        places.max().map(|(_, log)| log).map_or("no log".into(), |log| log.display().to_string())
    }
}

/// Runs a program to its end; its standard output.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |problem: String| Error::Program {
        program: program.clone(),
        problem,
        remedy: "does Slurm answer? `sinfo` says".into(),
    };
    let out = command.output().map_err(|e| failed(e.to_string()))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        return Err(failed(format!("{}: {}", out.status, said.trim())));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// What the follower knows of an item; nothing that it could not do without.
#[derive(Default)]
struct Known {
    /// The last task that was seen or submitted.
    task: Option<Task>,
    /// Failures without progress.
    failures: u32,
    /// Its last checkpoint when it was submitted.
    checkpoint: Option<SystemTime>,
    /// Seen out of queue and store, once.
    lost: bool,
    given_up: bool,
}

/// So many looks at the queue may fail in a row: a controller that is started anew is away for a while.
const UNANSWERED: u32 = 20;

/// Has Slurm make every run or measurement of recipe `id` that the store lacks, and returns when the store has them
/// all. `say` gets lines of progress.
///
/// Errors: [`Error::Missing`] without Slurm; [`Error::Program`] where Slurm does not answer for long, refuses the jobs,
/// or items have failed too often; [`Error::Argument`] for an unknown recipe.
pub fn sweep(study: &Study, id: &str, options: &Slurm, say: &mut dyn FnMut(&str)) -> Result<()> {
    let items = items(study, id)?;
    let store = study.store();
    let started = Instant::now();
    let lacks = |item: &&Item| !item.path(&store).exists();
    let before = items.iter().filter(lacks).count();
    if before == 0 {
        say(&format!("all {} are in the store", items.len()));
        return Ok(());
    }
    let mut cluster = Cluster::find(&store)?;
    say(&format!(
        "{before} of {} to be made; interrupt at will: jobs go on, and the same command follows them",
        items.len()
    ));
    let mut known: HashMap<&str, Known> = HashMap::new();
    let mut done: HashSet<&str> =
        items.iter().filter(|item| !lacks(item)).map(|item| item.key.as_str()).collect();
    let (mut unanswered, mut last, mut said) = (0, String::new(), Instant::now());
    loop {
        // The queue before the store: what leaves the one in between is found in the other.
        let queue = match cluster.queue() {
            Ok(queue) => queue,
            Err(error) if unanswered < UNANSWERED => {
                unanswered += 1;
                say(&format!("{error}; asking again"));
                std::thread::sleep(Duration::from_secs(options.poll));
                continue;
            }
            Err(error) => return Err(error),
        };
        unanswered = 0;
        for item in items.iter().filter(|item| !lacks(item)) {
            if done.insert(&item.key) {
                say(&finished(&store, item));
            }
        }
        let missing: Vec<&Item> = items.iter().filter(lacks).collect();
        if missing.is_empty() {
            say(&format!("all {} are in the store, after {}", items.len(), clock(started)));
            return Ok(());
        }
        let (mut due, mut running, mut waiting, mut given_up) = (Vec::new(), 0, 0, Vec::new());
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for &item in &missing {
            let known = known.entry(&item.key).or_default();
            if let Some(queued) = queue.get(&item.key) {
                known.lost = false;
                if known.task.is_none() {
                    known.checkpoint = item.checkpoint(&store);
                }
                known.task = Some(queued.task.clone());
                if queued.running {
                    running += 1;
                } else {
                    waiting += 1;
                    *reasons.entry(&queued.reason).or_default() += 1;
                }
                if is_held(&queued.reason) && !known.given_up {
                    failure(known, item, &store, options, &format!("held ({})", queued.reason), say);
                    // It stays in the queue for whoever looks after the cluster.
                    if !known.given_up {
                        output(Command::new("scontrol").arg("release").arg(queued.task.to_string())).ok();
                    }
                }
                if known.given_up {
                    given_up.push(item);
                }
                continue;
            }
            if known.given_up {
                given_up.push(item);
            } else if known.task.is_none() {
                due.push(item);
            } else if !known.lost {
                // It may have ended well between two looks, on a folder that shows new files late.
                known.lost = true;
            } else {
                let fate = known.task.as_ref().map_or(String::new(), |task| cluster.fate(task));
                failure(known, item, &store, options, &fate, say);
                if known.given_up { given_up.push(item) } else { due.push(item) }
            }
        }
        if !due.is_empty() {
            // Another follower of the same store may be about to submit the same.
            let lock = cluster.folder.join("submit.lock");
            let held = File::create(&lock).map_err(Error::io("create the lock of submissions", &lock))?;
            held.lock().map_err(Error::io("wait for the lock of submissions", &lock))?;
            let Ok(queue) = cluster.queue() else {
                // It answered a moment ago; the loop's own question counts how often it does not.
                std::thread::sleep(Duration::from_secs(options.poll));
                continue;
            };
            due.retain(|item| lacks(item) && !queue.contains_key(&item.key));
            for (key, task) in cluster.submit(&due, options)? {
                let Some(item) = due.iter().find(|item| item.key == key) else { continue };
                let known = known.entry(&item.key).or_default();
                *known = Known {
                    failures: known.failures,
                    checkpoint: item.checkpoint(&store),
                    task: Some(task),
                    ..Known::default()
                };
            }
            if !due.is_empty() {
                say(&format!("{} submitted", due.len()));
            }
            waiting += due.len();
        }
        let in_hand = missing.len() - given_up.len();
        let mut line = format!(
            "{} of {} done, {running} running, {waiting} pending, {} failed",
            items.len() - missing.len(),
            items.len(),
            given_up.len()
        );
        // Why they wait, but for the usual.
        let unusual =
            |reason: &&str| !["None", "Resources", "Priority", "JobArrayTaskLimit", ""].contains(reason);
        let reasons: Vec<&str> = reasons.into_keys().filter(unusual).collect();
        if !reasons.is_empty() {
            line += &format!(" ({})", reasons.join(", "));
        }
        if line != last || said.elapsed() >= Duration::from_secs(300) {
            say(&format!("{line}; {}", clock(started)));
            (last, said) = (line, Instant::now());
        }
        if in_hand == 0 {
            let lines: Vec<String> = given_up
                .iter()
                .map(|item| format!("{} ({}): {}", item.key, item.describe(), cluster.log(&item.key)))
                .collect();
            return Err(Error::Program {
                program: "slurm".into(),
                problem: format!(
                    "{} of {} failed {} times without getting further:\n  {}",
                    given_up.len(),
                    items.len(),
                    options.retries + 1,
                    lines.join("\n  ")
                ),
                remedy: "the logs say why; the same command tries again".into(),
            });
        }
        std::thread::sleep(Duration::from_secs(options.poll));
    }
}

/// Counts a failure, unless the run has got further than it was.
fn failure(
    known: &mut Known,
    item: &Item,
    store: &Store,
    options: &Slurm,
    fate: &str,
    say: &mut dyn FnMut(&str),
) {
    let checkpoint = item.checkpoint(store);
    let further = checkpoint.is_some() && checkpoint != known.checkpoint;
    known.failures = if further { 1 } else { known.failures + 1 };
    known.checkpoint = checkpoint;
    known.given_up = known.failures > options.retries;
    let task = known.task.as_ref().map_or(String::new(), |task| format!("job {task} "));
    let next = if known.given_up { "given up" } else { "again" };
    say(&format!("{}: {task}ended without a result ({fate}); {next}", item.describe()));
}

/// Whether Slurm keeps a job back until somebody releases it, after a node could not start it.
fn is_held(reason: &str) -> bool {
    let reason = reason.replace('_', " ");
    reason.contains("launch failed requeued held") || reason.contains("JobHoldMaxRequeue")
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
