//! Slurm's commands, and the manifests that its jobs read.

use crate::slurm::plan::{Queue, Queued, Task};
use crate::slurm::{Item, Slurm, read};
use crate::{Error, Result};
use rethink::store::Store;
use rethink::study::shell;
use rethink_nn::device::Device;
use rethink_nn::text::hex;
use rethink_plot::files;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of all our jobs begins so; what follows is that of the manifest.
const JOB: &str = "rethink-";

/// Slurm's commands, and the folder of manifests.
pub(super) struct Cluster {
    folder: PathBuf,
    /// Most tasks of an array.
    largest: usize,
    /// Keys by manifest.
    manifests: HashMap<String, Vec<String>>,
}

impl Cluster {
    pub(super) fn find(store: &Store) -> Result<Cluster> {
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
    pub(super) fn queue(&mut self) -> Result<Queue> {
        let mut squeue = Command::new("squeue");
        // A user's own choice of columns and jobs is not for this.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SQUEUE_"))
        {
            squeue.env_remove(name);
        }
        let text = output(squeue.args(["--noheader", "--array", "--all", "--format", "%F|%K|%T|%r|%j"]))?;
        let mut queue = Queue::new();
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

    /// Held until it is dropped, so that of several followers of a store one at a time submits.
    pub(super) fn lock(&self) -> Result<File> {
        let lock = self.folder.join("submit.lock");
        let held = File::create(&lock).map_err(Error::io("create the lock of submissions", &lock))?;
        held.lock().map_err(Error::io("wait for the lock of submissions", &lock))?;
        Ok(held)
    }

    /// Asks for a held task to be queued again. Where Slurm refuses, it is still held at the next look.
    pub(super) fn release(&self, task: &Task) {
        output(Command::new("scontrol").arg("release").arg(task.to_string())).ok();
    }

    /// Submits `items` as job arrays, each as large as Slurm allows; the tasks, in the order of the items.
    pub(super) fn submit(&mut self, items: &[Item], options: &Slurm) -> Result<Vec<Task>> {
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
            let task = |index: usize| Task { job: job.to_string(), index: index.to_string() };
            tasks.extend((0..items.len()).map(task));
            self.manifests.insert(name, items.iter().map(|item| item.key.clone()).collect());
        }
        Ok(tasks)
    }

    fn script(&self, manifest: &Path) -> Result<String> {
        let operation = "write the batch script";
        let program = std::env::current_exe().map_err(Error::io(operation, "this program"))?;
        let quoted = |path: &Path| match path.to_str() {
            Some(text) => Ok(shell(text)),
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
    pub(super) fn fate(&self, task: &Task) -> String {
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

    pub(super) fn log(&self, key: &str) -> String {
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
