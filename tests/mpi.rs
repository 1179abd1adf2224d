//! One model over many processes, with the real `mpirun`.

use rethink_cli::jupyter::environment::outside_cargo;
use rethink_tests::skips::{Need, skip};
use rethink_tests::{little_optimised, rethink_bin, root};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `rethink-mpi`, built the first time a test asks for it; without MPI, `None`, and `test` is said to be skipped.
fn binary(test: &str) -> Option<&'static Path> {
    static BIN: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = BIN.get_or_init(|| {
        if let Err(error) = Command::new("mpirun").arg("--version").output() {
            return Err(format!("no mpirun ({error})"));
        }
        let shown = Command::new("mpicc").arg("-show").output();
        let header = shown.is_ok_and(|out| {
            let line = text(&out.stdout);
            line.split_whitespace()
                .any(|word| word.strip_prefix("-I").is_some_and(|dir| Path::new(dir).join("mpi.h").exists()))
        });
        if !header {
            return Err("no mpi.h where mpicc looks".into());
        }
        // TARGET/release, beside the other.
        let folder = rethink_bin().parent().expect("a program lies in a folder");
        let target = folder.parent().expect("cargo puts programs two folders deep");
        let mut cargo = Command::new(env!("CARGO"));
        outside_cargo(&mut cargo);
        cargo.args([
            "build",
            "--release",
            "--package",
            "rethink-cli",
            "--features",
            "mpi",
            "--bin",
            "rethink-mpi",
        ]);
        cargo.args(little_optimised(true));
        let out = cargo.arg("--target-dir").arg(target).current_dir(root()).output().expect("cargo runs");
        let said = text(&out.stderr);
        if !out.status.success() && (said.contains("libclang") || said.contains("mpi.h")) {
            return Err("no libclang, with which its bindings are made".into());
        }
        assert!(out.status.success(), "cargo build --features mpi: {said}");
        Ok(folder.join(format!("rethink-mpi{}", std::env::consts::EXE_SUFFIX)))
    });
    match made {
        Ok(path) => Some(path),
        Err(why) => {
            skip(test, Need::Mpi, why);
            None
        }
    }
}

/// Processes of two tests at once would wait for each other's processors.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn mpirun(bin: &Path, ranks: usize, arguments: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "-n", &ranks.to_string()]).arg(bin).args(arguments);
    command.args(["--threads", "1"]).stdin(Stdio::null());
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    // Another MPI, and another test's data, are not for this.
    command.env_remove("RETHINK_DATA").env("XDG_CACHE_HOME", "/nonexistent");
    command
}

fn record(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|l| serde_json::from_str(l).expect("a line of JSON")).collect();
    assert_eq!(lines.len(), 1, "one process speaks: {lines:?}");
    lines[0].clone()
}

/// How far `ranks` processes are from one in repetition `repeat` of a short training: the line of `check --json`.
fn apart(bin: &Path, ranks: usize, model: &str, repeat: u32, more: &[&str]) -> Value {
    // 100 images in batches of 32: the last of an epoch has four.
    let small = ["--train", "100", "--batch-size", "32", "--scale", "smoke", "--data", "shapes10", "--json"];
    // The bound is this test's, below.
    let repeat = ["--repeat", &repeat.to_string(), "--tolerance", "1"];
    let arguments = [&["check", "--model", model][..], &small, &repeat[..], more].concat();
    let apart = record(&mpirun(bin, ranks, &arguments).output().unwrap());
    assert!(apart["rows"].as_u64() > Some(0) && apart["ranks"].as_u64() == Some(ranks as u64));
    // A row's loss alone may be the same to the bit by chance; not the hundred thousand weights.
    assert!(
        apart["weights"].as_f64() > Some(0.0),
        "{model}, {ranks} processes: sums of another order, yet the weights the same to the bit"
    );
    apart
}

#[test]
fn two_and_four_processes_equal_one_to_a_hundred_thousandth() {
    let name = "two_and_four_processes_equal_one_to_a_hundred_thousandth";
    let Some(bin) = binary(name) else { return };
    let _turn = alone();
    // A unit within rounding of zero may be on in one training and off in the other, and its part of a gradient is then
    // missing in one of them. That is so in about half of the short trainings of the Inceptions, which have many units and
    // batch normalisation over all processes in every layer; small steps keep it small. A wrong sum would be wrong in
    // every repetition: one without such a unit is enough.
    let inception = ["--epochs", "1", "--width", "0.125", "--learning-rate", "0.01"];
    for (ranks, model, repetitions, more) in [
        (2, "mlp1x512", 1, &["--epochs", "3", "--weight-decay", "0.001"][..]),
        (4, "mlp3x512", 1, &["--epochs", "3", "--random-crop", "--flip", "--brightness", "0.2"]),
        (2, "inception", 10, &inception),
        (4, "inception", 10, &inception),
        (
            4,
            "alexnet",
            1,
            &["--epochs", "2", "--width", "0.25", "--weight-decay", "0.004", "--weight-decay-on", "fc"],
        ),
        (
            2,
            "mlp1x512",
            1,
            &[
                &["--epochs", "2", "--optimizer", "rmsprop", "--learning-rate", "0.01"][..],
                &["--label-smoothing", "0.1", "--average", "0.9", "--weight-decay", "0.001"],
                &["--weight-decay-on", "weights"],
            ]
            .concat(),
        ),
        // In the last batch two processes have no image.
        (6, "inception", 10, &inception),
    ] {
        let mut seen = Vec::new();
        let equal = (1..=repetitions).any(|repeat| {
            let line = apart(bin, ranks, model, repeat, more);
            let (loss, weights) = (line["loss"].as_f64().unwrap(), line["weights"].as_f64().unwrap());
            assert!(loss < 1e-3 && weights < 1e-2, "{model}, {ranks} processes, repetition {repeat}: {line}");
            seen.push((loss, weights));
            loss < 1e-5 && weights < 1e-5
        });
        assert!(equal, "{model}, {ranks} processes: loss and weights apart by {seen:?}");
    }
    // The program refuses what is further apart than its bound.
    let arguments =
        ["check", "--model", "mlp1x512", "--scale", "smoke", "--data", "shapes10", "--epochs", "1"];
    let refused = mpirun(bin, 2, &[&arguments[..], &["--tolerance", "1e-12"]].concat()).output().unwrap();
    assert!(!refused.status.success(), "no two orders of sums are this close");
    assert!(text(&refused.stderr).contains("are further apart than 1e-12"), "{}", text(&refused.stderr));
}

#[test]
fn runs_of_many_processes_are_in_the_store_as_others_are_and_repeat() {
    let name = "runs_of_many_processes_are_in_the_store_as_others_are_and_repeat";
    let Some(bin) = binary(name) else { return };
    let _turn = alone();
    let out = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let run = |ranks: usize, out: &Path| {
        let arguments =
            ["run", "--model", "mlp1x512", "--scale", "smoke", "--data", "shapes10", "--json", "--out"];
        let arguments = [&arguments[..], &[out.to_str().unwrap()]].concat();
        mpirun(bin, ranks, &arguments).output().unwrap()
    };
    let mut one = Command::new(rethink_bin());
    one.args(["run", "--model", "mlp1x512", "--scale", "smoke", "--data", "shapes10", "--json", "--out"]);
    let one = record(&one.arg(other.path()).env_remove("RETHINK_DATA").output().unwrap());
    let same = record(&run(1, out.path()));
    assert_eq!(one["key"], same["key"]);
    assert_eq!(one["record"]["digest"], same["record"]["digest"], "one process is `rethink run`, to the bit");

    let two = record(&run(2, out.path()));
    assert_ne!(two["key"], one["key"]);
    let config = &two["record"]["config"];
    assert_eq!(config["parallel"], serde_json::json!({ "mode": "synchronous", "ranks": 2 }));
    assert!(config["data"] == one["record"]["config"]["data"]);
    let processes = &two["record"]["provenance"]["processes"];
    let hosts = processes["hosts"].as_object().unwrap();
    assert_eq!(hosts.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 2, "{processes}");
    assert!(processes["library"].as_str().is_some_and(|library| !library.is_empty()), "{processes}");
    let again = run(2, out.path());
    assert!(text(&again.stderr).contains("in the store"), "{}", text(&again.stderr));
    assert_eq!(record(&again), two, "found, seconds and all");
    assert_eq!(
        record(&run(2, other.path()))["record"]["digest"],
        two["record"]["digest"],
        "the same to the bit"
    );
    // `rethink` lists it, and says that it cannot train it.
    let mut list = Command::new(rethink_bin());
    let listed = text(&list.args(["list", "--out"]).arg(out.path()).output().unwrap().stdout);
    assert!(listed.contains("2 synchronous ranks"), "{listed}");

    let bad = run(2, Path::new("/proc/nowhere"));
    assert!(!bad.status.success() && text(&bad.stderr).contains("/proc/nowhere"), "{}", text(&bad.stderr));
}

#[test]
fn a_killed_run_of_two_processes_goes_on_to_the_same_end() {
    let name = "a_killed_run_of_two_processes_goes_on_to_the_same_end";
    let Some(bin) = binary(name) else { return };
    let _turn = alone();
    let (killed, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let command = |out: &Path| {
        let arguments =
            ["run", "--model", "mlp1x512", "--scale", "smoke", "--data", "shapes10", "--json", "--out"];
        let more = ["--keep-going", "--epochs", "40", "--checkpoint-every", "0"];
        mpirun(bin, 2, &[&arguments[..], &[out.to_str().unwrap()], &more].concat())
    };
    let mut first: Child =
        command(killed.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let checkpoint = || {
        let entries = std::fs::read_dir(killed.path().join("runs")).ok()?;
        let folder = entries
            .filter_map(|e| Some(e.ok()?.path()))
            .find(|p| p.extension().is_some_and(|e| e == "partial"))?;
        Some(folder.join("checkpoint.safetensors")).filter(|path| path.exists())
    };
    let started = Instant::now();
    while checkpoint().is_none() {
        assert!(started.elapsed().as_secs() < 60, "no checkpoint");
        std::thread::sleep(Duration::from_millis(20));
    }
    // mpirun takes its processes with it.
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(checkpoint().is_some(), "the run was over before it was killed");
    let resumed = record(&command(killed.path()).output().unwrap());
    let whole = record(&command(whole.path()).output().unwrap());
    assert_eq!(resumed["record"]["digest"], whole["record"]["digest"]);
}

#[test]
fn asynchronous_workers_refuse_what_their_server_does_not_keep() {
    let Some(bin) = binary("asynchronous_workers_refuse_what_their_server_does_not_keep") else { return };
    let _turn = alone();
    for (option, value, part) in [
        ("--optimizer", "rmsprop", "optimizer rmsprop is not for asynchronous workers"),
        ("--optimizer", "adam", "optimizer adam is not for asynchronous workers"),
        ("--average", "0.99", "average is not for asynchronous workers"),
    ] {
        let out = tempfile::tempdir().unwrap();
        let arguments =
            ["run", "--asynchronous", "--model", "mlp1x512", "--scale", "smoke", "--data", "shapes10"];
        let more = ["--out", out.path().to_str().unwrap(), option, value];
        let output = mpirun(bin, 2, &[&arguments[..], &more].concat()).output().unwrap();
        assert!(!output.status.success() && text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
}

/// A folder in MNIST's format: so many images of noise, with random labels.
fn noise(train: u32, test: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 1u32;
    let mut draw = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for (name, count) in [("train", train), ("t10k", test)] {
        let header = |magic: u32, sizes: &[u32]| {
            let numbers = std::iter::once(magic).chain(sizes.iter().copied());
            numbers.flat_map(u32::to_be_bytes).collect::<Vec<u8>>()
        };
        let mut images = header(0x803, &[count, 28, 28]);
        images.extend((0..count * 28 * 28).map(|_| draw()));
        let mut labels = header(0x801, &[count]);
        labels.extend((0..count).map(|_| draw() % 10));
        std::fs::write(folder.path().join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(folder.path().join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
    folder
}

#[test]
fn fifty_asynchronous_workers_fit_random_labels() {
    let name = "fifty_asynchronous_workers_fit_random_labels";
    let Some(bin) = binary(name) else { return };
    let _turn = alone();
    let (data, out) = (noise(500, 100), tempfile::tempdir().unwrap());
    let arguments = ["run", "--asynchronous", "--model", "mlp1x512", "--width", "0.125", "--corruption"];
    let more =
        ["random-labels", "--batch-size", "5", "--learning-rate", "0.0005", "--epochs", "60", "--json"];
    let folders = ["--data", data.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let started = Instant::now();
    let output = mpirun(bin, 50, &[&arguments[..], &more, &folders].concat()).output().unwrap();
    let run = record(&output);
    println!("50 workers: {:.1} s", started.elapsed().as_secs_f64());
    let record = &run["record"];
    assert_eq!(record["config"]["parallel"], serde_json::json!({ "mode": "asynchronous", "workers": 50 }));
    assert_eq!(record["ending"], "fitted", "{record}");
    assert_eq!(record["train_accuracy"].as_f64(), Some(1.0));
    // Random labels teach nothing of other images.
    assert!(record["test_accuracy"].as_f64().unwrap() < 0.3, "{record}");
    let epochs = record["epochs"].as_u64().unwrap();
    assert!((2..=60).contains(&epochs), "{epochs}");
}
