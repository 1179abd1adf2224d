//! Kills at random moments, disks that are full, folders that cannot be written, clocks that jump: nothing that was
//! finished is lost, no half of a file is taken for a whole one, and what is taken up again ends the same.
//!
//! `RETHINK_KILLS=200 cargo test --release --test long faults` makes the kill tests long. A killed process is this test
//! program itself, called again for `as_a_child`.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rethink::data::corruption::Corruption;
use rethink::data::fetch::{Patience, Remote, RemoteFile, fetch_into};
use rethink::data::{Dataset, cifar, shapes10};
use rethink::measure::Measurement;
use rethink::paper::{self, Parts};
use rethink::run::appendix_a;
use rethink::run::config::{RunConfig, Scale, Seeds};
use rethink::run::train::train;
use rethink::store::Store;
use rethink::study::Study;
use rethink_nn::models::ModelKind;
use rethink_tests::rethink_bin;
use rethink_tests::server::Server;
use rethink_tests::skips::{Need, skip};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a child does: the name and the folder it works in, and for a download the server's address and the archive's
/// length and checksum.
const TASK: &str = "RETHINK_FAULTS_CHILD";

/// How often each kill test kills.
fn kills() -> u32 {
    std::env::var("RETHINK_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12)
}

fn child(task: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::as_a_child", "--nocapture"])
        .env(TASK, task)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Does nothing but in a process that another test started.
#[test]
fn as_a_child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let words: Vec<&str> = task.split_whitespace().collect();
    let folder = Path::new(words[1]);
    match words[0] {
        "sweep" => sweep(folder),
        "export" => loop {
            export(folder);
        },
        "fetch" => {
            let file = RemoteFile {
                name: "cifar-10-binary.tar.gz".into(),
                bytes: words[3].parse().unwrap(),
                md5: words[4].into(),
            };
            fetch(folder, words[2], file).unwrap();
        }
        other => panic!("no task {other}"),
    }
}

/// The small studies of a sweep: a checkpoint after every epoch, and measurements.
fn configs(data: &Dataset) -> Vec<RunConfig> {
    let corruptions = [Corruption::TrueLabels, Corruption::RandomLabels, Corruption::ShuffledPixels];
    corruptions
        .into_iter()
        .map(|corruption| {
            let seeds = Seeds::default();
            let mut config =
                appendix_a::config_at(data, Scale::Smoke, ModelKind::Mlp1x512, corruption, seeds);
            (config.width_factor, config.hyper.epochs, config.hyper.stop_when_fitted) = (0.125, 40, false);
            config
        })
        .collect()
}

fn measurements(folder: &Path) -> Vec<Measurement> {
    let study = Study::new(Some("shapes10"), Scale::Smoke, folder).unwrap();
    let Parts::Measurements { plan, .. } = paper::find("theorem1").unwrap().source else {
        panic!("theorem1")
    };
    plan(&study.setting())
}

fn sweep(folder: &Path) {
    let data = shapes10::dataset();
    let store = Store::new(folder.join("runs"));
    for config in configs(&data) {
        store
            .run_by((&config, 10), Scale::Smoke, &mut |_| (), &mut |mut progress| {
                progress.checkpoint_every = Duration::ZERO;
                train(&config, &data, progress)
            })
            .unwrap();
    }
    for measurement in measurements(folder) {
        store.measure(&measurement, &data, Scale::Smoke, &mut |_| ()).unwrap();
    }
}

/// Draws figure 3 and a table again and again.
fn export(folder: &Path) {
    let study = Study::new(Some("shapes10"), Scale::Smoke, folder).unwrap();
    study.show("fig3").unwrap();
}

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(60),
    stall: Duration::from_secs(60),
    tries: 3,
    pause: Duration::from_millis(5),
};

fn fetch(folder: &Path, base: &str, file: RemoteFile) -> rethink::Result<PathBuf> {
    let (name, format) = ("cifar10".into(), &cifar::FORMAT);
    let remote =
        Remote { name, folder: "cifar-10-batches-bin".into(), format, base: base.into(), files: vec![file] };
    fetch_into(&remote, folder, PATIENCE)
}

/// Starts a child, or `together` at once, and kills each after a random part of `longest`; until one ends by itself or
/// `kills()` are done. `check` looks at what is there after each kill. Returns how many were killed.
fn kill_again_and_again(
    task: &str,
    together: usize,
    longest: Duration,
    seed: u64,
    mut check: impl FnMut(),
    mut anew: impl FnMut(),
) -> u32 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut killed = 0;
    while killed < kills() {
        let mut children: Vec<Child> = (0..together).map(|_| child(task)).collect();
        let mut moments: Vec<Duration> =
            (0..together).map(|_| longest.mul_f64(rng.random_range(0.0..1.0))).collect();
        moments.sort();
        let started = Instant::now();
        let mut ended = true;
        for (child, moment) in children.iter_mut().zip(moments) {
            std::thread::sleep(moment.saturating_sub(started.elapsed()));
            match child.try_wait().unwrap() {
                Some(status) => assert!(status.success(), "the child failed by itself: {status}"),
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    killed += 1;
                    ended = false;
                }
            }
        }
        check();
        if ended {
            anew();
        }
    }
    killed
}

/// Bytes of every finished run and measurement.
fn finished(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder.join("runs")) else { return BTreeMap::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "parquet"))
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

/// Each run's and measurement's key and digest.
fn digests(folder: &Path) -> BTreeMap<String, String> {
    let store = Store::new(folder.join("runs"));
    let runs = store.all().unwrap().into_iter().map(|run| (run.record.config.key(), run.record.digest));
    let measured = store.measurements().unwrap();
    let measured = measured.into_iter().map(|m| (m.record.measurement.key(), m.record.digest));
    runs.chain(measured).collect()
}

fn killed_sweeps(together: usize, seed: u64) {
    let whole = tempfile::tempdir().unwrap();
    sweep(whole.path());
    let expected = digests(whole.path());
    assert_eq!(expected.len(), configs(&shapes10::dataset()).len() + measurements(whole.path()).len());

    let folder = tempfile::tempdir().unwrap();
    let (mut before, mut sweeps) = (BTreeMap::<PathBuf, Vec<u8>>::new(), 0);
    // As long as a whole sweep takes, so that kills fall everywhere.
    let begun = Instant::now();
    sweep(tempfile::tempdir().unwrap().path());
    let longest = begun.elapsed().mul_f64(0.8).max(Duration::from_millis(300));
    let path = folder.path().to_path_buf();
    let task = format!("sweep {}", path.display());
    let seen = std::cell::RefCell::new(&mut before);
    let killed = kill_again_and_again(
        &task,
        together,
        longest,
        seed,
        || {
            let now = finished(&path);
            for (file, bytes) in seen.borrow().iter() {
                assert!(now.get(file) == Some(bytes), "{} was lost or changed by a kill", file.display());
            }
            for (key, digest) in digests(&path) {
                assert_eq!(expected.get(&key), Some(&digest), "{key}");
            }
            **seen.borrow_mut() = now;
        },
        || {
            assert_eq!(digests(&path), expected);
            sweeps += 1;
            fs::remove_dir_all(&path).unwrap();
            seen.borrow_mut().clear();
        },
    );
    sweep(&path);
    assert_eq!(digests(&path), expected);
    let left: Vec<_> = fs::read_dir(path.join("runs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".partial") || name.ends_with(".lock"))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    println!("{killed} kills of {together} at once, {sweeps} whole sweeps between them");
}

#[test]
fn killed_sweeps_lose_nothing_and_end_the_same() {
    killed_sweeps(1, 1);
}

#[test]
fn two_processes_on_one_store_killed() {
    killed_sweeps(2, 2);
}

#[test]
fn killed_exports_leave_whole_files() {
    let whole = tempfile::tempdir().unwrap();
    export(whole.path());
    let folder = tempfile::tempdir().unwrap();
    let drawn = |folder: &Path| folder.join("shapes10-smoke");
    let expected: BTreeMap<_, _> = fs::read_dir(drawn(whole.path()))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap()))
        .collect();
    // Five of the figure, and the mark of the data set that the folder is of.
    assert_eq!(expected.len(), 6, "{:?}", expected.keys());
    let killed = kill_again_and_again(
        &format!("export {}", folder.path().display()),
        1,
        Duration::from_millis(600),
        3,
        || {
            let Ok(entries) = fs::read_dir(drawn(folder.path())) else { return };
            for entry in entries.map(|entry| entry.unwrap()) {
                let name = entry.file_name();
                if name.to_string_lossy().ends_with(".partial") {
                    continue;
                }
                assert!(expected[&name] == fs::read(entry.path()).unwrap(), "{name:?} is not whole");
            }
        },
        || panic!("it draws without end"),
    );
    export(folder.path());
    println!("{killed} kills");
}

#[test]
fn killed_downloads_go_on() {
    // A small CIFAR-10 in the official archive's form, served slowly by as many faults as there are kills.
    let root = tempfile::tempdir().unwrap();
    let records = root.path().join("cifar-10-batches-bin");
    let data = shapes10::generate(200, 50, 1).unwrap();
    cifar::write(&data, &records).unwrap();
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(encoder);
    tar.append_dir_all("cifar-10-batches-bin", &records).unwrap();
    let archive = tar.into_inner().unwrap().finish().unwrap();
    let server = Server::start(vec![("cifar-10-binary.tar.gz".into(), archive)], vec![]);
    let file = server.remote("cifar10").files.remove(0);
    let folder = root.path().join("cache");
    fs::create_dir(&folder).unwrap();
    let task = format!("fetch {} {} {} {}", folder.display(), server.base, file.bytes, file.md5);
    let target = folder.join("cifar-10-batches-bin");
    let killed = kill_again_and_again(
        &task,
        1,
        Duration::from_millis(250),
        4,
        || {
            // What is in place is whole: the folder appears under its name when everything is in it.
            if target.exists() {
                assert_eq!(cifar::read(&target).unwrap().fingerprint, data.fingerprint);
                rethink::data::verify(&target).unwrap();
            }
        },
        || fs::remove_dir_all(&target).unwrap(),
    );
    fetch(&folder, &server.base, file).unwrap();
    assert_eq!(cifar::read(&target).unwrap().fingerprint, data.fingerprint);
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["cifar-10-batches-bin"]);
    println!("{killed} kills, {} requests", server.ranges().len());
}

/// Runs the command line; its success and what it said.
fn rethink(arguments: &[&str], out: &Path) -> (bool, String) {
    let said = Command::new(rethink_bin()).args(arguments).arg("--out").arg(out).output().unwrap();
    (said.status.success(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
}

const RUN: [&str; 9] =
    ["run", "--model", "mlp1x512", "--data", "shapes10", "--scale", "smoke", "--corruption", "random-labels"];

/// A file system in memory of so many bytes; `None` where this process may not mount one.
#[cfg(target_os = "linux")]
struct Mounted(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl Mounted {
    fn new(options: &str) -> Option<Mounted> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "rethink-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Mounted(folder))
    }

    fn again(&self, options: &str) {
        let status = Command::new("mount").args(["-o", options]).arg(self.0.path()).status().unwrap();
        assert!(status.success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// The error names the file; what was finished before is still whole; with room again, everything ends well.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_costs_nothing_finished() {
    let name = "a_full_disk_is_told_and_costs_nothing_finished";
    let Some(disk) = Mounted::new("size=200k") else {
        skip(name, Need::Mounts, "no tmpfs can be mounted");
        return;
    };
    let out = disk.0.path();
    // Run after run, until one does not fit.
    let mut said = None;
    for epochs in 10..200 {
        let epochs = epochs.to_string();
        let (well, text) = rethink(&[&RUN[..], &["--epochs", &epochs]].concat(), out);
        if !well {
            said = Some((epochs, text));
            break;
        }
    }
    let (epochs, said) = said.expect("200 kB do not hold 190 runs");
    assert!(said.contains("No space left") && said.contains(out.to_str().unwrap()), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let kept = finished(out);
    let (well, list) = rethink(&["list"], out);
    assert!(well, "{list}");
    disk.again("remount,size=20m");
    let (well, text) = rethink(&[&RUN[..], &["--epochs", &epochs]].concat(), out);
    assert!(well, "{text}");
    let now = finished(out);
    assert_eq!(now.len(), kept.len() + 1);
    assert!(kept.iter().all(|(path, bytes)| now.get(path) == Some(bytes)));
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let name = "a_folder_that_cannot_be_written_is_told";
    let Some(disk) = Mounted::new("size=20m") else {
        skip(name, Need::Mounts, "no tmpfs can be mounted");
        return;
    };
    let (well, said) = rethink(&RUN, disk.0.path());
    assert!(well, "{said}");
    disk.again("remount,ro");
    // What is there can be read; what is not cannot be made.
    let (well, said) = rethink(&RUN, disk.0.path());
    assert!(well, "{said}");
    for arguments in
        [&[&RUN[..], &["--epochs", "3"]].concat()[..], &["sweep", "theorem1", "--data", "shapes10"]]
    {
        let (well, said) = rethink(arguments, disk.0.path());
        assert!(
            !well && said.contains("Read-only") && said.contains(disk.0.path().to_str().unwrap()),
            "{said}"
        );
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// Before 1970, far ahead, and running backwards: the numbers do not depend on the clock, and nothing fails.
#[cfg(target_os = "linux")]
#[test]
fn a_clock_that_jumps_changes_no_number() {
    let name = "a_clock_that_jumps_changes_no_number";
    let version = Command::new("faketime").arg("--version").stdout(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        skip(name, Need::Faketime, "no faketime");
        return;
    }
    let digest = |faked: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        let (program, before) = match faked.split_first() {
            Some((program, rest)) => (*program, rest),
            None => (rethink_bin().to_str().unwrap(), &[][..]),
        };
        let mut command = Command::new(program);
        command.args(before);
        if !faked.is_empty() {
            command.arg(rethink_bin());
        }
        let said = command.args(RUN).arg("--out").arg(out.path()).output().unwrap();
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(said.status.success(), "{faked:?}: {text}");
        digests(out.path())
    };
    let expected = digest(&[]);
    assert_eq!(expected.len(), 1);
    for faked in [
        &["faketime", "1969-12-31 12:00:00"][..],
        &["faketime", "2099-01-01 00:00:00"],
        // A thousand times as fast.
        &["faketime", "-f", "+0 x1000"],
    ] {
        assert_eq!(digest(faked), expected, "{faked:?}");
    }
}

/// By the names of a store's files: links that lead nowhere, pipes, of which a reader waits for a writer, and folders. They are no runs; what is
/// wanted under such a name is made at the first call, and what lay there is kept.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_passed_over_and_kept() {
    let out = tempfile::tempdir().unwrap();
    let pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let sweep = ["sweep", "theorem1", "--data", "shapes10", "--scale", "smoke"];
    assert!(rethink(&RUN, out.path()).0 && rethink(&sweep, out.path()).0);
    let whole = digests(out.path());
    let paths: Vec<PathBuf> = finished(out.path()).into_keys().collect();
    assert_eq!(paths.len(), 1 + measurements(out.path()).len());
    for (number, what) in [(1, "link"), (2, "pipe"), (3, "folder")] {
        for path in &paths {
            fs::remove_file(path).unwrap();
            match what {
                "link" => std::os::unix::fs::symlink("nowhere", path).unwrap(),
                "pipe" => pipe(path),
                _ => fs::create_dir(path).unwrap(),
            }
        }
        let store = Store::new(out.path().join("runs"));
        let contents = store.contents().unwrap();
        let named: Vec<PathBuf> = contents.passed_over.into_iter().map(|other| other.path).collect();
        assert_eq!((contents.runs.len(), contents.measured.len(), &named), (0, 0, &paths), "{what}");
        let look = rethink::store::growing::Growing::new(store).look().unwrap();
        assert_eq!((look.finished.len(), look.passed_over.len()), (0, 1), "{what}: runs alone");
        let (well, said) = rethink(&["list"], out.path());
        assert!(well && paths.iter().all(|path| said.contains(path.to_str().unwrap())), "{what}: {said}");
        for arguments in [&RUN[..], &sweep] {
            let (well, said) = rethink(arguments, out.path());
            assert!(well && said.contains("is kept as"), "{what}: {said}");
        }
        assert_eq!(digests(out.path()), whole, "{what}");
        for path in &paths {
            let kept = path.with_added_extension(format!("passed-over-{number}"));
            assert!(fs::symlink_metadata(&kept).is_ok_and(|kept| !kept.is_file()), "{}", kept.display());
        }
    }
}

/// What a measurement goes on from, as a pipe, or in bytes that are no text.
#[cfg(unix)]
#[test]
fn an_unfinished_measurement_that_is_none_is_told_with_what_to_do() {
    use rethink::measure::partial::{PartialMeasurement, each};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.unfinished");
    let at = || PartialMeasurement::new(path.clone(), "key".into(), Duration::ZERO);
    let said = || {
        let units = each((4, 3), Some(&mut at()), &mut |_| (), |_, _| Ok(vec![0.0; 3])).unwrap_err();
        [units, at().read_parts(&mut [&mut [0.0; 100]]).unwrap_err()].map(|error| error.to_string())
    };
    let advice = "remove it to start this measurement again";
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    for error in said() {
        assert!(
            error.contains("key.unfinished: it is no regular file; ") && error.contains(advice),
            "{error}"
        );
    }
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"\xff\xfe\n").unwrap();
    for error in said() {
        assert!(error.contains("key.unfinished: ") && error.contains(advice), "{error}");
    }
}

/// A folder of runs that cannot be one is no empty one.
#[cfg(unix)]
#[test]
fn a_store_that_is_no_folder_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "one's own").unwrap();
    let (around, nowhere) = (folder.path().join("around"), folder.path().join("nowhere"));
    for (out, target) in [(&around, "runs"), (&nowhere, "not-there")] {
        fs::create_dir(out).unwrap();
        std::os::unix::fs::symlink(target, out.join("runs")).unwrap();
    }
    for out in [&file, &around, &nowhere] {
        for command in ["list", "compare", "claims"] {
            let (well, said) = rethink(&[command], out);
            assert!(!well && said.contains(out.join("runs").to_str().unwrap()), "{command}: {said}");
        }
    }
    let (well, said) = rethink(&["list"], &folder.path().join("new"));
    assert!(well && said.contains("no runs in"), "{said}");
}
