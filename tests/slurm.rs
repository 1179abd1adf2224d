//! A sweep as a job array: what is decided after a look at queue and store, without Slurm; and all of it on a real Slurm of two
//! nodes that the test starts on this machine and stops.

use rethink::data::shapes10;
use rethink::paper;
use rethink::run::config::Scale;
use rethink_cli::slurm::plan::{Failed, Known, Memory, Missing, Plan, Queue, Queued, Task, decide};
use rethink_tests::rethink_bin;
use rethink_tests::skips::{Need, skip};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

const NAME: &str = "a_job_array_survives_a_kill_a_drained_node_and_its_follower";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn there(program: &str, flag: &str) -> bool {
    Command::new(program).arg(flag).output().is_ok_and(|out| out.status.success())
}

/// Debian has the daemons where a user's PATH does not lead.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default())
}

/// A controller and two nodes of a processor each.
struct Slurm {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

impl Slurm {
    fn start() -> Slurm {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_path_buf();
        // munge's socket is for all users, its key for its own.
        fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["munge", "run", "state", "log", "n0", "n1"] {
            fs::create_dir(at.join(name)).unwrap();
        }
        fs::set_permissions(at.join("munge"), fs::Permissions::from_mode(0o700)).unwrap();
        let key: Vec<u8> = (0..1024u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(at.join("munge/key"), key).unwrap();
        fs::set_permissions(at.join("munge/key"), fs::Permissions::from_mode(0o400)).unwrap();

        let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
        drop(listeners);
        let host = text(&Command::new("hostname").arg("-s").output().unwrap().stdout).trim().to_string();
        let dir = at.display();
        let [controller, first, second] = ports[..] else { unreachable!() };
        let conf = format!(
            "ClusterName=rethink\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\n\
             AuthType=auth/munge\nAuthInfo=socket={dir}/run/munge\nCredType=cred/munge\nMpiDefault=none\n\
             SlurmctldPort={controller}\nStateSaveLocation={dir}/state\nSlurmdSpoolDir={dir}/%n\n\
             SlurmctldPidFile={dir}/run/slurmctld.pid\nSlurmdPidFile={dir}/run/slurmd-%n.pid\n\
             SlurmctldLogFile={dir}/log/slurmctld.log\nSlurmdLogFile={dir}/log/slurmd-%n.log\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n\
             AccountingStorageType=accounting_storage/none\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_CPU\nSlurmdParameters=config_overrides\nReturnToService=2\nKillWait=2\n\
             SchedulerParameters=sched_interval=1,batch_sched_delay=0\n\
             NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=1 State=UNKNOWN\n\
             NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=1 State=UNKNOWN\n\
             PartitionName=main Nodes=n0,n1 Default=YES MaxTime=INFINITE State=UP\n"
        );
        fs::write(at.join("slurm.conf"), conf).unwrap();
        let mut slurm = Slurm { folder, daemons: Vec::new() };
        let munge = |name: &str| at.join("munge").join(name).display().to_string();
        let socket = format!("--socket={dir}/run/munge");
        let (key, log) = (format!("--key-file={}", munge("key")), format!("--log-file={}", munge("log")));
        let (pid, seed) =
            (format!("--pid-file={dir}/run/munged.pid"), format!("--seed-file={}", munge("seed")));
        slurm.daemon("munged", &["--foreground", "--num-threads=10", &key, &socket, &pid, &log, &seed]);
        until("munge's socket", || at.join("run/munge").exists());
        slurm.daemon("slurmctld", &["-D", "-c"]);
        // What a node may do with control groups differs from one machine and version to the next.
        for plugin in ["disabled", "cgroup/v1", "autodetect"] {
            fs::write(at.join("cgroup.conf"), format!("CgroupPlugin={plugin}\n")).unwrap();
            slurm.daemon("slurmd", &["-D", "-N", "n0"]);
            std::thread::sleep(Duration::from_secs(2));
            match slurm.daemons.last_mut().unwrap().try_wait().unwrap() {
                None => break,
                Some(_) => drop(slurm.daemons.pop()),
            }
        }
        slurm.daemon("slurmd", &["-D", "-N", "n1"]);
        let nodes = || text(&slurm.command("sinfo", &["-h", "-N", "-o", "%t"]).stdout);
        let up = Instant::now();
        while nodes().lines().filter(|l| *l == "idle").count() < 2 {
            assert!(up.elapsed().as_secs() < 60, "the nodes do not come up: {}\n{}", nodes(), slurm.logs());
            std::thread::sleep(Duration::from_millis(300));
        }
        slurm
    }

    fn set(&self, command: &mut Command) {
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf")).env("PATH", path());
    }

    fn daemon(&mut self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        self.set(&mut command);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.daemons.push(command.spawn().unwrap_or_else(|e| panic!("{program}: {e}")));
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        self.set(&mut command);
        command.args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"))
    }

    /// `JOB_INDEX NODE` of what runs.
    fn running(&self) -> Vec<(String, String)> {
        let out = self.command("squeue", &["-h", "-r", "-t", "running", "-o", "%F_%K %N"]);
        let line = |l: &str| l.split_once(' ').map(|(task, node)| (task.to_string(), node.to_string()));
        text(&out.stdout).lines().filter_map(line).collect()
    }

    fn pending(&self) -> usize {
        text(&self.command("squeue", &["-h", "-r", "-t", "pending", "-o", "%i"]).stdout).lines().count()
    }

    fn state(&self, node: &str) -> String {
        text(&self.command("sinfo", &["-h", "-N", "-n", node, "-o", "%T"]).stdout).trim().to_string()
    }

    fn logs(&self) -> String {
        let mut all = String::new();
        for entry in fs::read_dir(self.folder.path().join("log")).unwrap() {
            let path = entry.unwrap().path();
            let lines = fs::read_to_string(&path).unwrap_or_default();
            let last: Vec<&str> = lines.lines().rev().take(15).collect();
            all +=
                &format!("{}:\n{}\n", path.display(), last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        all
    }

    /// `rethink sweep RECIPE --executor slurm`, at work.
    fn follow(&self, recipe: &str, out: &Path, log: &Path, more: &[&str]) -> Child {
        let mut command = Command::new(rethink_bin());
        self.set(&mut command);
        let log = fs::File::create(log).unwrap();
        command.args(["sweep", recipe, "--scale", "smoke", "--data", "shapes10", "--json", "--out"]).arg(out);
        command.args(["--executor", "slurm", "--poll", "1"]).args(more).env_remove("RETHINK_DATA");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        self.command("scancel", &["--user=root"]);
        self.command("scontrol", &["shutdown"]);
        let end = Instant::now() + Duration::from_secs(5);
        for mut daemon in self.daemons.drain(..).rev() {
            while Instant::now() < end && matches!(daemon.try_wait(), Ok(None)) {
                // munged does not hear Slurm's shutdown, and is asked last.
                if Instant::now() + Duration::from_secs(2) > end {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            daemon.kill().ok();
            daemon.wait().ok();
        }
    }
}

/// Seconds that a crowded machine may take for any of Slurm's steps.
const PATIENCE: u64 = 300;

fn until(what: &str, mut happens: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happens() {
        assert!(started.elapsed().as_secs() < PATIENCE, "{what}: not within {PATIENCE} s");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn finished(runs: &Path) -> usize {
    let names = fs::read_dir(runs)
        .map(|entries| entries.filter_map(|e| e.ok()?.path().extension().map(|e| e.to_owned())));
    names.map_or(0, |names| names.filter(|extension| extension == "parquet").count())
}

/// How many jobs a follower says it has submitted.
fn told_as_submitted(log: &Path) -> usize {
    let number = |line: &str| line.strip_suffix(" submitted")?.parse::<usize>().ok();
    fs::read_to_string(log).unwrap().lines().filter_map(number).sum()
}

/// All that the jobs have said.
fn job_logs(runs: &Path) -> String {
    let entries = fs::read_dir(runs.join("slurm")).unwrap().map(|e| e.unwrap().path());
    let logs: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "log")).collect();
    logs.iter().map(|log| fs::read_to_string(log).unwrap()).collect()
}

#[test]
fn a_job_array_survives_a_kill_a_drained_node_and_its_follower() {
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| text(&out.stdout).trim() == "0");
    // The test's own process looks for programs where its commands do.
    let missing = ["munged", "slurmctld", "slurmd", "sbatch"].into_iter().find(|program| {
        let places = path();
        !places.split(':').any(|dir| Path::new(dir).join(program).exists())
    });
    if !root || missing.is_some() || !there("hostname", "-s") {
        let why = missing.map_or("not root, whom its daemons ask for".into(), |p| format!("no {p}"));
        skip(NAME, Need::Slurm, why);
        return;
    }
    rethink_bin();
    let slurm = Slurm::start();
    let shared = tempfile::tempdir().unwrap();
    let runs = shared.path().join("runs");
    let log = |n: usize| shared.path().join(format!("follower-{n}.log"));

    // Six rows and two controls, two seeds of each.
    let mut first = slurm.follow("table4", shared.path(), &log(1), &["--seeds", "2", "--cpus", "1"]);
    until("a job at its run", || {
        !slurm.running().is_empty()
            && fs::read_dir(&runs).is_ok_and(|entries| {
                entries.filter_map(|e| e.ok()).any(|e| e.path().extension().is_some_and(|e| e == "lock"))
            })
    });
    let (killed, _) = slurm.running().remove(0);
    let done_before = finished(&runs);
    let out = slurm.command("scancel", &["--signal=KILL", "--full", &killed]);
    assert!(out.status.success(), "{}", text(&out.stderr));

    slurm.command("scontrol", &["update", "nodename=n1", "state=drain", "reason=test"]);
    until("the node to be empty", || slurm.state("n1").starts_with("drained"));
    assert!(slurm.pending() > 0, "jobs wait while a node is drained");
    assert!(slurm.running().iter().all(|(_, node)| node == "n0"), "{:?}", slurm.running());

    // Whoever follows is interrupted; another takes up what is there.
    until("the killed job to be submitted again", || {
        fs::read_to_string(log(1)).unwrap().contains("; again") && told_as_submitted(&log(1)) == 17
    });
    first.kill().unwrap();
    first.wait().unwrap();
    let before = finished(&runs);
    assert!(done_before < 16 && before < 16, "{before} runs are done: too quick to tell");
    let in_queue = slurm.pending() + slurm.running().len();
    let second = slurm.follow("table4", shared.path(), &log(2), &["--seeds", "2", "--cpus", "1"]);
    slurm.command("scontrol", &["update", "nodename=n1", "state=resume"]);
    until("the node to be back", || !slurm.state("n1").contains("drain"));
    let out = second.wait_with_output().unwrap();
    let said = fs::read_to_string(log(2)).unwrap();
    assert!(out.status.success(), "{said}\n{}\n{}", job_logs(&runs), slurm.logs());

    let keys: BTreeSet<String> = text(&out.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].as_str().unwrap().to_string())
        .collect();
    assert_eq!((keys.len(), text(&out.stdout).lines().count(), finished(&runs)), (16, 16, 16), "{said}");
    // What waited or ran was not submitted again.
    assert_eq!(told_as_submitted(&log(2)), 0, "{in_queue} in the queue at the change\n{said}");
    // Each was trained to its end once.
    let ends = job_logs(&runs).lines().filter(|l| l.contains("at epoch") && l.starts_with("[1/1]")).count();
    assert_eq!(ends, 16, "{}", job_logs(&runs));
    let left = fs::read_dir(&runs).unwrap().filter(|e| {
        let name = e.as_ref().unwrap().file_name().into_string().unwrap();
        name.ends_with(".lock") || name.ends_with(".partial")
    });
    assert_eq!(left.count(), 0, "locks and unfinished runs");

    let third = slurm.follow("table4", shared.path(), &log(3), &["--seeds", "2"]).wait_with_output().unwrap();
    let said = fs::read_to_string(log(3)).unwrap();
    assert!(third.status.success() && said.contains("all 16 are in the store"), "{said}");
    assert_eq!(slurm.pending() + slurm.running().len(), 0);

    // Measurements, and an item that fails whenever it is tried.
    let out = slurm.follow("theorem1", shared.path(), &log(4), &[]).wait_with_output().unwrap();
    let said = fs::read_to_string(log(4)).unwrap();
    assert!(out.status.success() && said.contains("theorem 1"), "{said}\n{}", job_logs(&runs));
    let data = shapes10::dataset();
    let config = &paper::find("fig2b").unwrap().runs(&data, Scale::Smoke)[0];
    let partial = runs.join(format!("{}.partial", config.key()));
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("checkpoint.safetensors"), b"no checkpoint").unwrap();
    let out = slurm.follow("fig2b", shared.path(), &log(5), &["--retries", "1"]).wait_with_output().unwrap();
    let said = fs::read_to_string(log(5)).unwrap();
    assert!(!out.status.success(), "{said}");
    assert!(
        said.contains("failed 2 times without getting further") && said.contains(&config.key()),
        "{said}"
    );
    assert!(said.contains("FAILED, exit code and signal 1:0"), "{said}");
    let named = said.lines().find_map(|l| l.strip_prefix(&format!("  {} ", config.key()))).unwrap();
    let named = fs::read_to_string(named.rsplit_once(": ").unwrap().1).unwrap();
    assert!(named.contains("remove") && named.contains("to start this run again"), "{named}");
}

fn task(job: u32, index: u32) -> Task {
    Task { job: job.to_string(), index: index.to_string() }
}

fn missing(keys: &[&str]) -> Vec<Missing> {
    keys.iter().map(|key| Missing { key: key.to_string(), checkpoint: None }).collect()
}

fn running(task: Task) -> Queued {
    Queued { task, running: true, reason: "None".into() }
}

fn waiting(task: Task, reason: &str) -> Queued {
    Queued { task, running: false, reason: reason.into() }
}

fn queue<const N: usize>(queued: [(&str, Queued); N]) -> Queue {
    queued.into_iter().map(|(key, queued)| (key.to_string(), queued)).collect()
}

/// What is known of an item that was submitted without a checkpoint.
fn submitted(key: &str, task: Task) -> Memory {
    Memory::from([(key.to_string(), Known::default().submitted(task, None))])
}

/// A checkpoint, so many seconds after the first.
fn checkpoint(seconds: u64) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[test]
fn what_nobody_has_submitted_is_due() {
    let there = queue([
        ("b", running(task(7, 0))),
        ("c", waiting(task(7, 1), "Resources")),
        ("d", waiting(task(8, 0), "ReqNodeNotAvail")),
    ]);
    let (plan, known) = decide(&missing(&["a", "b", "c", "d"]), &there, &Memory::new(), 3);
    assert_eq!((&*plan.due, &*plan.running), (&["a".to_string()][..], &["b".to_string()][..]));
    let waits = [("c", "Resources"), ("d", "ReqNodeNotAvail")].map(|(k, r)| (k.to_string(), r.to_string()));
    assert_eq!(plan.waiting, waits);
    assert_eq!((&*plan.failures, &*plan.given_up, plan.is_over()), (&[][..], &[][..], false));
    assert_eq!((&known["a"].task, &known["c"].task), (&None, &Some(task(7, 1))));
    assert_eq!(plan.progress(10, 0), "6 of 10 done, 1 running, 2 pending, 0 failed (ReqNodeNotAvail)");
    assert_eq!(plan.progress(10, 1), "6 of 10 done, 1 running, 3 pending, 0 failed (ReqNodeNotAvail)");
}

#[test]
fn what_another_follower_has_submitted_meanwhile_is_not_due() {
    let (plan, _) = decide(&missing(&["a", "b"]), &queue([]), &Memory::new(), 3);
    assert_eq!(plan.due, ["a", "b"]);
    assert_eq!(plan.still_due(&queue([("a", waiting(task(9, 0), "None"))])), ["b"]);
    assert_eq!(plan.still_due(&queue([])), ["a", "b"]);
}

/// Out of the queue, the result may not be seen yet; at the second look it is a failure.
#[test]
fn lost_once_is_no_failure_and_lost_twice_is() {
    let item = missing(&["a"]);
    let (first, known) = decide(&item, &queue([]), &submitted("a", task(1, 0)), 3);
    assert_eq!(first, Plan { missing: 1, ..Plan::default() });
    assert!(known["a"].lost && !first.is_over());
    let (second, after) = decide(&item, &queue([]), &known, 3);
    let [failure] = &second.failures[..] else { panic!("{second:?}") };
    assert_eq!(
        (&failure.task, &failure.how, failure.given_up, failure.to_release()),
        (&Some(task(1, 0)), &Failed::Lost, false, None)
    );
    assert_eq!((second.due, after["a"].failures), (vec!["a".to_string()], 1));
    // Seen in between, as a job that Slurm has requeued is, it is lost for the first time again.
    let (_, seen) = decide(&item, &queue([("a", running(task(1, 0)))]), &known, 3);
    let (third, _) = decide(&item, &queue([]), &seen, 3);
    assert_eq!((third.failures, third.due), (vec![], vec![]));
}

#[test]
fn a_failure_is_counted_once_however_long_it_is_due() {
    let item = missing(&["a"]);
    let (_, known) = decide(&item, &queue([]), &submitted("a", task(1, 0)), 3);
    let (_, known) = decide(&item, &queue([]), &known, 3);
    // Slurm does not answer when it is to be submitted.
    let (plan, known) = decide(&item, &queue([]), &known, 3);
    assert_eq!((&*plan.failures, &*plan.due, known["a"].failures), (&[][..], &["a".to_string()][..], 1));
    // Submitted, it fails for the second time.
    let known = Memory::from([("a".to_string(), known["a"].submitted(task(2, 0), None))]);
    let (_, known) = decide(&item, &queue([]), &known, 3);
    let (plan, known) = decide(&item, &queue([]), &known, 3);
    assert_eq!((plan.failures.len(), known["a"].failures), (1, 2));
}

#[test]
fn a_held_task_fails_and_is_released_until_it_is_given_up() {
    let item = missing(&["a"]);
    for reason in ["launch_failed_requeued_held", "launch failed requeued held", "JobHoldMaxRequeue"] {
        let held = queue([("a", waiting(task(4, 2), reason))]);
        let mut known = Memory::new();
        for failures in 1..=4 {
            let (plan, after) = decide(&item, &held, &known, 3);
            let [failure] = &plan.failures[..] else { panic!("{plan:?}") };
            let last = failures == 4;
            assert_eq!((&failure.how, failure.given_up), (&Failed::Held(reason.into()), last), "{reason}");
            assert_eq!(failure.to_release(), (!last).then_some(&task(4, 2)));
            assert_eq!((after["a"].failures, plan.is_over(), plan.waiting.len()), (failures, last, 1));
            known = after;
        }
        // It stays in the queue, and is told no more.
        let (plan, _) = decide(&item, &held, &known, 3);
        assert_eq!((&*plan.failures, &*plan.given_up), (&[][..], &["a".to_string()][..]));
    }
    // Held by a user, it waits.
    let (plan, _) = decide(&item, &queue([("a", waiting(task(4, 2), "JobHeldUser"))]), &Memory::new(), 0);
    assert_eq!((&*plan.failures, plan.waiting.len()), (&[][..], 1));
}

/// A job that meets its time limit again and again gets further each time, and is no failing one.
#[test]
fn a_later_checkpoint_resets_the_failures() {
    let lost = |at: Option<SystemTime>, known: Memory| {
        let item = [Missing { key: "a".into(), checkpoint: at }];
        let (_, known) = decide(&item, &queue([]), &known, 1);
        let (plan, known) = decide(&item, &queue([]), &known, 1);
        let again = known["a"].submitted(task(2, 0), at);
        (known["a"].failures, plan.given_up.len(), Memory::from([("a".to_string(), again)]))
    };
    let (failures, given_up, known) = lost(None, submitted("a", task(1, 0)));
    assert_eq!((failures, given_up), (1, 0));
    let (failures, given_up, known) = lost(checkpoint(0), known);
    assert_eq!((failures, given_up), (1, 0), "its first checkpoint");
    let (failures, given_up, known) = lost(checkpoint(60), known);
    assert_eq!((failures, given_up), (1, 0), "a later one");
    let (failures, given_up, _) = lost(checkpoint(60), known);
    assert_eq!((failures, given_up), (2, 1), "the same");

    // Of a task that another follower has submitted, the checkpoint counts from when it is first seen.
    let item = [Missing { key: "a".into(), checkpoint: checkpoint(5) }];
    let (_, known) = decide(&item, &queue([("a", running(task(1, 0)))]), &Memory::new(), 1);
    assert_eq!(known["a"].checkpoint, checkpoint(5));
    let (failures, ..) = lost(checkpoint(5), known);
    assert_eq!(failures, 1);
}

#[test]
fn with_everything_given_up_the_sweep_is_over() {
    let given_up = Known { given_up: true, failures: 4, ..Known::default() };
    let known = Memory::from(["a", "b"].map(|key| (key.to_string(), given_up.clone())));
    let (plan, after) = decide(&missing(&["a", "b"]), &queue([]), &known, 3);
    assert_eq!((plan.is_over(), &*plan.due, &*plan.failures), (true, &[][..], &[][..]));
    assert_eq!(plan.given_up, ["a", "b"]);
    assert_eq!(plan.progress(3, 0), "1 of 3 done, 0 running, 0 pending, 2 failed");
    assert_eq!(after, known);
    // Not while another is in hand.
    let (plan, _) = decide(&missing(&["a", "b", "c"]), &queue([("c", running(task(1, 0)))]), &known, 3);
    assert!(!plan.is_over());
    // Nor is one that is given up counted out if it runs all the same.
    let (plan, _) = decide(&missing(&["a", "b"]), &queue([("a", running(task(1, 0)))]), &known, 3);
    assert_eq!((plan.given_up.len(), plan.running.len()), (2, 1));
}

#[test]
fn without_slurm_the_sweep_says_so() {
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(rethink_bin());
    command.args(["sweep", "table4", "--scale", "smoke", "--data", "shapes10", "--executor", "slurm"]);
    command.arg("--out").arg(out.path()).env("PATH", "/nonexistent").env_remove("RETHINK_DATA");
    let said = command.output().unwrap();
    assert!(!said.status.success());
    assert!(text(&said.stderr).contains("no sbatch"), "{}", text(&said.stderr));

    let mut command = Command::new(rethink_bin());
    command.args(["sweep", "table4", "--partition", "long", "--scale", "smoke", "--data", "shapes10"]);
    let said = command.arg("--out").arg(out.path()).output().unwrap();
    assert!(!said.status.success());
    assert!(text(&said.stderr).contains("--executor slurm"), "{}", text(&said.stderr));
}

/// A file that is damaged is no result: it gets a job, and nothing is trained where jobs are submitted.
#[test]
fn a_damaged_run_gets_a_job_and_is_not_trained_here() {
    let shared = tempfile::tempdir().unwrap();
    let out = shared.path().join("out");
    let sweep = |more: &[&str], programs: &Path| {
        let mut command = Command::new(rethink_bin());
        command.args(["sweep", "fig1b", "--scale", "smoke", "--data", "shapes10", "--json"]);
        command.args(["--set", "models=mlp1x512,epochs=1,n=50,levels=0+1"]).args(more).arg("--out").arg(&out);
        let said = command.env("PATH", programs).env_remove("RETHINK_DATA").output().unwrap();
        (said.status.success(), text(&said.stdout), text(&said.stderr))
    };
    let nowhere = Path::new("/nonexistent");
    let slurm = ["--executor", "slurm", "--retries", "0", "--poll", "1"];
    let (well, first, said) = sweep(&[], nowhere);
    assert!(well && first.lines().count() == 2, "{said}");
    // Whole, they need no Slurm.
    let (well, second, said) = sweep(&slurm, nowhere);
    assert!(well && said.contains("all 2 are in the store"), "{said}");
    let keys = |lines: &str| -> Vec<Value> {
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].clone()).collect()
    };
    assert_eq!(keys(&second), keys(&first));

    let files = || -> Vec<PathBuf> {
        let entries = fs::read_dir(out.join("runs")).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
        files.sort();
        files
    };
    let runs = files();
    assert_eq!(runs.len(), 2, "{runs:?}");
    for run in &runs {
        fs::write(run, &fs::read(run).unwrap()[..100]).unwrap();
    }
    let (well, printed, said) = sweep(&slurm, nowhere);
    assert!(!well && said.contains("no sbatch") && printed.is_empty(), "{said}");

    // A cluster that takes every job and does none.
    let programs = shared.path().join("programs");
    fs::create_dir(&programs).unwrap();
    for (name, says) in [("sbatch", "[ \"$1\" = --version ] || echo 7"), ("squeue", ":"), ("scontrol", ":")] {
        let program = programs.join(name);
        fs::write(&program, format!("#!/bin/sh\n{says}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (well, printed, said) = sweep(&slurm, &programs);
    assert!(!well && said.contains("2 of 2 to be made") && said.contains("2 submitted"), "{said}");
    assert!(said.contains("2 of 2 failed 1 times") && printed.is_empty(), "{said}");
    assert_eq!(files(), runs, "none is made anew");
    assert!(runs.iter().all(|run| fs::metadata(run).unwrap().len() == 100), "nor written to");
}
