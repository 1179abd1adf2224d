//! What the follower of a sweep does next: a decision, without effects, from what the store lacks, what is in the queue, and
//! what is known of each item from the looks before.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::SystemTime;

/// One job of a job array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Number of the array's job.
    pub job: String,
    /// Index in the array.
    pub index: String,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.job, self.index)
    }
}

/// A task that is in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Which.
    pub task: Task,
    /// Whether it runs; else it waits.
    pub running: bool,
    /// Why it waits, in Slurm's words.
    pub reason: String,
}

/// The queue's answer: the task of each item that has one, by the item's key.
pub type Queue = HashMap<String, Queued>;

/// An item that the store lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its key.
    pub key: String,
    /// When its last checkpoint was written; `None`: it has none.
    pub checkpoint: Option<SystemTime>,
}

/// What is known of an item from before. A follower that starts anew knows nothing, and can do without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The last task that was seen or submitted; `None`: there is none, or it has failed and another is due.
    pub task: Option<Task>,
    /// Failures in a row after which the run had got no further.
    pub failures: u32,
    /// Its last checkpoint when it was submitted, first seen in the queue, or failed, whichever was last.
    pub checkpoint: Option<SystemTime>,
    /// The last look found it neither in the queue nor in the store.
    pub lost: bool,
    /// It has failed too often, and is submitted no more.
    pub given_up: bool,
}

impl Known {
    /// An item of which `self` was known, once it is submitted as `task` with this checkpoint.
    pub fn submitted(&self, task: Task, checkpoint: Option<SystemTime>) -> Known {
        Known { failures: self.failures, checkpoint, task: Some(task), ..Known::default() }
    }

    /// Counts a failure. One after a new checkpoint is the first again: the run got further.
    fn fail(&mut self, checkpoint: Option<SystemTime>, retries: u32) {
        let further = checkpoint.is_some() && checkpoint != self.checkpoint;
        self.failures = if further { 1 } else { self.failures + 1 };
        self.checkpoint = checkpoint;
        self.given_up = self.failures > retries;
    }
}

/// What is known of the items, by key.
pub type Memory = HashMap<String, Known>;

/// How a task failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Slurm holds it back, with this reason.
    Held(String),
    /// It has left the queue, and the store has no result.
    Lost,
}

/// A failure that is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The item's key.
    pub key: String,
    /// The task that failed.
    pub task: Option<Task>,
    /// How.
    pub how: Failed,
    /// Whether the item is given up with it.
    pub given_up: bool,
}

impl Failure {
    /// The task that Slurm is asked to release. One that is given up stays held, for whoever looks after the cluster.
    pub fn to_release(&self) -> Option<&Task> {
        match self.how {
            Failed::Held(_) if !self.given_up => self.task.as_ref(),
            Failed::Held(_) | Failed::Lost => None,
        }
    }
}

/// What is to be done after a look at queue and store. Lists hold keys of items, in the order of those that are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How many items are missing.
    pub missing: usize,
    /// Those whose task runs.
    pub running: Vec<String>,
    /// Those whose task waits, each with Slurm's reason.
    pub waiting: Vec<(String, String)>,
    /// What has failed since the last look.
    pub failures: Vec<Failure>,
    /// Those that have failed too often, now or before.
    pub given_up: Vec<String>,
    /// Those to submit.
    pub due: Vec<String>,
}

/// What to do with the items that are `missing`, given the `queue` and what is `known`; and what is known after it. An item that
/// has failed more than `retries` times without getting further is given up.
///
/// The queue is to be asked before the store: an item that leaves the one for the other in between is then in both, and
/// not in neither.
pub fn decide(missing: &[Missing], queue: &Queue, known: &Memory, retries: u32) -> (Plan, Memory) {
    let mut plan = Plan { missing: missing.len(), ..Plan::default() };
    let mut memory = known.clone();
    for item in missing {
        let known = memory.entry(item.key.clone()).or_default();
        match queue.get(&item.key) {
            Some(queued) => plan.in_queue(item, queued, known, retries),
            None => plan.not_in_queue(item, known, retries),
        }
        if known.given_up {
            plan.given_up.push(item.key.clone());
        }
    }
    (plan, memory)
}

impl Plan {
    fn in_queue(&mut self, item: &Missing, queued: &Queued, known: &mut Known, retries: u32) {
        known.lost = false;
        if known.task.is_none() {
            known.checkpoint = item.checkpoint;
        }
        known.task = Some(queued.task.clone());
        if queued.running {
            self.running.push(item.key.clone());
        } else {
            self.waiting.push((item.key.clone(), queued.reason.clone()));
        }
        if is_held(&queued.reason) && !known.given_up {
            self.fail(item, Failed::Held(queued.reason.clone()), known, retries);
        }
    }

    fn not_in_queue(&mut self, item: &Missing, known: &mut Known, retries: u32) {
        if known.given_up {
            return;
        }
        if known.task.is_none() {
            self.due.push(item.key.clone());
        } else if !known.lost {
            // It may have ended well between two looks, on a folder that shows new files late.
            known.lost = true;
        } else {
            self.fail(item, Failed::Lost, known, retries);
            if !known.given_up {
                self.due.push(item.key.clone());
                // Due until it is submitted: this task has failed once, even if Slurm does not answer then.
                (known.task, known.lost) = (None, false);
            }
        }
    }

    fn fail(&mut self, item: &Missing, how: Failed, known: &mut Known, retries: u32) {
        known.fail(item.checkpoint, retries);
        let (key, task) = (item.key.clone(), known.task.clone());
        self.failures.push(Failure { key, task, how, given_up: known.given_up });
    }

    /// Those of the items to submit that are not in `queue`, a later one: another follower of the same store may have submitted
    /// some.
    pub fn still_due<'a>(&'a self, queue: &Queue) -> Vec<&'a str> {
        self.due.iter().map(String::as_str).filter(|key| !queue.contains_key(*key)).collect()
    }

    /// Whether nothing is left to wait for: all that is missing is given up.
    pub fn is_over(&self) -> bool {
        self.given_up.len() == self.missing
    }

    /// "3 of 16 done, 2 running, 11 pending, 0 failed (ReqNodeNotAvail)", of `total` items, after `submitted` have been. In
    /// brackets is why tasks wait, unless they do so for their turn.
    pub fn progress(&self, total: usize, submitted: usize) -> String {
        let mut line = format!(
            "{} of {total} done, {} running, {} pending, {} failed",
            total - self.missing,
            self.running.len(),
            self.waiting.len() + submitted,
            self.given_up.len()
        );
        let reasons: BTreeSet<&str> = self.waiting.iter().map(|(_, reason)| reason.as_str()).collect();
        let unusual =
            |reason: &&str| !["None", "Resources", "Priority", "JobArrayTaskLimit", ""].contains(reason);
        let reasons: Vec<&str> = reasons.into_iter().filter(unusual).collect();
        if !reasons.is_empty() {
            line += &format!(" ({})", reasons.join(", "));
        }
        line
    }
}

/// Whether Slurm keeps a task back until somebody releases it, after a node could not start it.
fn is_held(reason: &str) -> bool {
    let reason = reason.replace('_', " ");
    reason.contains("launch failed requeued held") || reason.contains("JobHoldMaxRequeue")
}
