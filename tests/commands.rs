//! The program as a user calls it.

use rethink::data::{cifar, shapes10};
use rethink_nn::precision::Precision;
use rethink_tests::skips::{Need, skip};
use rethink_tests::{hearing_rethink, rethink_bin};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn rethink(arguments: &[&str]) -> Output {
    let mut command = Command::new(rethink_bin());
    // What the machine has must not decide what a test sees.
    command.args(arguments).env_remove("RETHINK_DATA").env("XDG_CACHE_HOME", "/nonexistent");
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|l| serde_json::from_str(l).expect("a line of JSON")).collect()
}

fn run(out: &Path, threads: &str, more: &[&str]) -> Value {
    let out = out.to_str().unwrap();
    let mut arguments = vec!["run", "--model", "mlp1x512", "--scale", "smoke", "--out", out, "--json"];
    arguments.extend(["--data", "shapes10", "--threads", threads]);
    arguments.extend(more);
    lines(&rethink(&arguments)).remove(0)
}

/// [`run`] on one thread as a program that a test stops.
fn to_be_stopped(out: &Path, more: &[&str]) -> Command {
    let mut command = hearing_rethink();
    command.args(["run", "--model", "mlp1x512", "--scale", "smoke", "--data", "shapes10", "--threads", "1"]);
    command.arg("--out").arg(out).args(more);
    command
}

/// The folder of the run that has begun.
fn partial(out: &Path) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(out.join("runs")).ok()?.flatten().map(|entry| entry.path());
    entries.find(|path| path.extension().is_some_and(|x| x == "partial"))
}

#[test]
fn the_same_run_twice_and_on_one_and_two_threads_gives_identical_frames() {
    let digests: Vec<Value> = ["1", "2", "2"]
        .map(|threads| {
            let out = tempfile::tempdir().unwrap();
            let record = run(out.path(), threads, &["--corruption", "partial-labels:0.3", "--random-crop"]);
            record["record"]["digest"].clone()
        })
        .to_vec();
    assert!(digests[0].as_str().is_some_and(|d| d.len() == 64));
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[1], digests[2]);
}

#[test]
fn products_in_bf16_are_repeated_to_the_bit_on_any_number_of_threads() {
    let test = "products_in_bf16_are_repeated_to_the_bit_on_any_number_of_threads";
    if let Err(why) = Precision::Bf16.check() {
        return skip(test, Need::Bf16, why);
    }
    let out = tempfile::tempdir().unwrap();
    let digest = |threads: &str, more: &[&str]| {
        let out = out.path().join(format!("{threads}{}", more.len()));
        let small = ["--model", "inception", "--width", "0.5", "--train", "60", "--epochs", "2"];
        let mut arguments =
            vec!["run", "--scale", "smoke", "--data", "shapes10", "--json", "--threads", threads];
        arguments.extend(small.iter().chain(more));
        arguments.extend(["--out", out.to_str().unwrap()]);
        lines(&rethink(&arguments)).remove(0)["record"]["digest"].clone()
    };
    let rounded = ["1", "2", "3"].map(|threads| digest(threads, &["--precision", "bf16"]));
    assert!(rounded[0].as_str().is_some_and(|d| d.len() == 64));
    assert_eq!((&rounded[0], &rounded[0]), (&rounded[1], &rounded[2]));
    assert_ne!(rounded[0], digest("2", &[]), "float32 gives other numbers");
}

/// Buffers are not cleared where all of them is written: here the C library fills them with bytes that no number of a
/// training is made of.
#[test]
#[cfg(target_env = "gnu")]
fn memory_that_nothing_was_written_to_is_not_read() {
    for model in [
        &["inception", "--width", "0.125"][..],
        &["inception", "--width", "0.5"],
        &["alexnet", "--width", "0.25"],
    ] {
        let digests = ["0", "165"].map(|byte| {
            let out = tempfile::tempdir().unwrap();
            let mut command = Command::new(rethink_bin());
            command.env_remove("RETHINK_DATA").env("MALLOC_PERTURB_", byte);
            command.args([
                "run", "--data", "shapes10", "--scale", "smoke", "--epochs", "1", "--train", "100", "--json",
            ]);
            command.arg("--out").arg(out.path()).arg("--model").args(model);
            lines(&command.output().unwrap()).remove(0)["record"]["digest"].clone()
        });
        assert!(digests[0].as_str().is_some_and(|d| d.len() == 64));
        assert_eq!(digests[0], digests[1], "{model:?}");
    }
}

#[test]
fn runs_are_listed_compared_and_not_repeated() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().to_str().unwrap();
    let nothing = rethink(&["compare", "--out", path]);
    assert!(!nothing.status.success());
    assert!(text(&nothing.stderr).contains("rethink reproduce"), "{}", text(&nothing.stderr));
    assert_eq!(text(&rethink(&["list", "--out", path]).stdout).lines().count(), 1);

    let first = run(out.path(), "2", &[]);
    let second = run(out.path(), "2", &[]);
    assert_eq!(first, second, "found, seconds and all");
    run(out.path(), "2", &["--corruption", "random-labels", "--repeat", "1"]);
    assert_eq!(lines(&rethink(&["list", "--out", path, "--json"])).len(), 2);

    let compared = lines(&rethink(&["compare", "--out", path, "--json"]));
    // Every cell of tables 1, 3 and 4; measured are training and test accuracy on true and on random labels.
    assert_eq!(compared.len(), 2 * 19 + 6 + 5, "{compared:?}");
    let measured: Vec<&Value> = compared.iter().filter(|c| !c["ours"].is_null()).collect();
    assert_eq!(measured.len(), 4, "{measured:?}");
    let failed =
        compared.iter().find(|c| c["item"].as_str().unwrap().starts_with("table 4, Alexnet")).unwrap();
    assert!(failed["paper"].is_null() && failed["ours"].is_null(), "the paper's Alexnet failed to converge");
    let train = compared.iter().find(|c| c["item"] == "table 1, MLP 1x512, train %").unwrap();
    assert_eq!((train["paper"].as_f64(), train["n"].as_u64()), (Some(100.0), Some(200)));
    assert_eq!(train["ours"].as_f64().unwrap(), 100.0 * first["record"]["train_accuracy"].as_f64().unwrap());
    let shown = text(&rethink(&["compare", "--out", path]).stdout);
    assert!(shown.contains("50.51") && shown.contains("shapes10"), "{shown}");
}

#[test]
fn a_record_holds_what_the_run_was() {
    let out = tempfile::tempdir().unwrap();
    let record = run(out.path(), "1", &["--weight-decay", "0.001", "--epochs", "3", "--train", "100"]);
    let config = &record["record"]["config"];
    assert_eq!(config["data"]["name"], "shapes10");
    assert_eq!(config["data"]["fingerprint"].as_str().unwrap().len(), 64);
    assert_eq!((config["data"]["train"].as_u64(), config["hyper"]["epochs"].as_u64()), (Some(100), Some(3)));
    assert_eq!(config["hyper"]["weight_decay"].as_f64(), Some(0.001));
    assert_eq!(config["seeds"], serde_json::json!({ "data": 1, "init": 2, "order": 3 }));
    let provenance = &record["record"]["provenance"];
    for field in ["rethink", "revision", "host", "device"] {
        assert!(provenance[field].as_str().is_some_and(|v| !v.is_empty()), "{field}");
    }
    assert_eq!(provenance["threads"], 1);
    assert!(record["record"]["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn bad_arguments_say_what_is_accepted() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().to_str().unwrap();
    for (arguments, part) in [
        (vec!["run", "--model", "resnet"], "alexnet, mlp3x512, mlp1x512"),
        (vec!["run", "--model", "mlp1x512", "--scale", "huge"], "smoke, small, paper"),
        (vec!["run", "--model", "mlp1x512", "--corruption", "partial-labels:7"], "not in 0 to 1"),
        (vec!["run", "--model", "mlp1x512", "--data", "imagenet"], "imagenet"),
        (vec!["run", "--model", "mlp1x512", "--data", "cifar10"], "rethink data fetch cifar10"),
        (vec!["run", "--model", "mlp1x512", "--data", "shapes10", "--train", "0"], "0 training"),
        (vec!["run", "--model", "mlp1x512", "--data", "shapes10", "--learning-rate", "nan"], "learning rate"),
        (vec!["run", "--model", "mlp1x512", "--data", "shapes10", "--batch-size", "0"], "batch size 0"),
        (vec!["sweep", "fig9"], "fig1a, fig1b, fig1c"),
        (vec!["reproduce", "--only", "fig1a,fig9"], "fig1a, fig1b, fig1c"),
        (vec!["bench", "--peer", "/nonexistent/python"], "PyTorch"),
        (vec!["bench", "kernels", "--n", "300", "--peer", "/nonexistent/python"], "SciPy"),
        (vec!["bench", "kernels", "--n", "0"], "no points"),
    ] {
        let mut all = arguments.clone();
        if !["bench"].contains(&arguments[0]) {
            all.extend(["--out", out]);
        }
        let output = rethink(&all);
        let message = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        assert!(message.contains(part), "{arguments:?} says {message:?}, not {part:?}");
        assert!(!message.contains("panicked"), "{message}");
    }
}

#[test]
fn too_few_images_are_an_error_and_not_no_measurements() {
    let folder = tempfile::tempdir().unwrap();
    let five = folder.path().join("five");
    cifar::write(&shapes10::generate(5, 5, 1).unwrap(), &five).unwrap();
    let sweep = |id: &str, more: &[&str]| {
        let mut arguments = vec!["sweep", id, "--scale", "smoke", "--data", five.to_str().unwrap()];
        arguments.extend(["--out", folder.path().to_str().unwrap()]);
        arguments.extend(more);
        rethink(&arguments)
    };
    for (id, fewest) in [("theorem1", "10"), ("rademacher", "50")] {
        for more in [&[] as &[&str], &["--plan"], &["--executor", "slurm"]] {
            let output = sweep(id, more);
            let message = text(&output.stderr);
            let said = format!("{id} takes {fewest} training images or more at scale smoke");
            assert!(!output.status.success() && message.contains(&said), "{more:?}: {message}");
            assert!(output.stdout.is_empty(), "{more:?}: {}", text(&output.stdout));
        }
    }
    // Depths that five images allow.
    assert_eq!(lines(&sweep("corollary1", &["--json"])).len(), 3);
}

/// A variable that is empty is as one that is not set; one that is no text is a bad value.
#[test]
fn empty_variables_are_unset_and_bad_bytes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let list = |out: Option<&str>, more: &[&str]| {
        let mut command = Command::new(rethink_bin());
        command.arg("list").args(more).current_dir(folder.path()).env_remove("RETHINK_OUT");
        command.envs(out.map(|out| ("RETHINK_OUT", out))).output().unwrap()
    };
    for (out, more, said) in [
        (None, &[] as &[&str], "no runs in figures/runs\n"),
        (Some(""), &[], "no runs in figures/runs\n"),
        (Some("there"), &[], "no runs in there/runs\n"),
        (Some(""), &["--out", "here"], "no runs in here/runs\n"),
    ] {
        let output = list(out, more);
        assert_eq!(
            (output.status.success(), text(&output.stdout).as_str()),
            (true, said),
            "{out:?} {more:?}"
        );
    }
    let output = list(None, &["--out", ""]);
    assert!(!output.status.success() && text(&output.stderr).contains("--out"), "{}", text(&output.stderr));
    #[cfg(unix)]
    {
        let bytes: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
        let mut command = Command::new(rethink_bin());
        command
            .args(["run", "--model", "mlp1x512", "--scale", "smoke", "--data", "shapes10", "--epochs", "1"]);
        let output =
            command.arg("--out").arg(folder.path()).env("RETHINK_CHECKPOINT", bytes).output().unwrap();
        let message = text(&output.stderr);
        assert!(
            !output.status.success() && message.contains("RETHINK_CHECKPOINT: \"\\xFF\" is no"),
            "{message}"
        );
    }
}

#[test]
fn a_notebook_by_the_name_of_the_contents_page_is_no_page_of_the_book() {
    let folder = tempfile::tempdir().unwrap();
    let cell = serde_json::json!({"cell_type": "code", "source": "1", "outputs": [], "execution_count": 1});
    let notebook = serde_json::json!({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5});
    for name in ["index.ipynb", "Index.ipynb"] {
        let path = folder.path().join(name);
        std::fs::write(&path, notebook.to_string()).unwrap();
        let (path, out) = (path.to_str().unwrap(), folder.path().join("out"));
        let out = out.to_str().unwrap();
        let output = rethink(&["book", path, "--data", "shapes10", "--scale", "smoke", "--out", out]);
        let message = text(&output.stderr);
        assert!(!output.status.success() && message.contains(path), "{message}");
        assert!(message.contains("index.html is the contents page"), "{message}");
    }
}

#[test]
fn an_unwritable_folder_is_an_error_that_names_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("figures");
    let output = rethink(&[
        "run",
        "--model",
        "mlp1x512",
        "--data",
        "shapes10",
        "--scale",
        "smoke",
        "--out",
        below.to_str().unwrap(),
    ]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains(below.to_str().unwrap()), "{}", text(&output.stderr));
}

#[test]
fn a_killed_run_goes_on_and_ends_as_if_it_had_not_been_killed() {
    let arguments = ["--corruption", "random-labels", "--keep-going", "--epochs", "400"];
    let whole = tempfile::tempdir().unwrap();
    let expected = run(whole.path(), "1", &arguments);
    // On a busy machine a run may come to its end before it is killed.
    let killed = (0..5).find_map(|_| {
        let out = tempfile::tempdir().unwrap();
        let mut child = to_be_stopped(out.path(), &arguments).stderr(Stdio::null()).spawn().unwrap();
        // Until it has begun to log; then `kill -9`.
        let logged = || std::fs::metadata(partial(out.path())?.join("log.csv")).ok();
        while logged().is_none() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let listed = rethink(&["list", "--json", "--out", out.path().to_str().unwrap()]);
        lines(&listed).is_empty().then_some(out)
    });
    let out = killed.expect("killed in time");
    let resumed = run(out.path(), "1", &arguments);
    assert_eq!(resumed["record"]["digest"], expected["record"]["digest"]);
}

/// Ctrl-C, and what Slurm, Docker and a shutdown send: the program ends by that signal, as a shell's loop wants it, and with a checkpoint of the
/// step that it had come to.
#[cfg(unix)]
#[test]
fn a_run_that_is_interrupted_or_terminated_keeps_its_last_step() {
    use std::os::unix::process::ExitStatusExt;
    // Long epochs, and more of them than pass before a signal comes.
    let mut arguments = vec!["--corruption", "random-labels", "--keep-going", "--epochs", "60"];
    arguments.extend(["--train", "1000", "--batch-size", "8", "--learning-rate", "0.001"]);
    let whole = tempfile::tempdir().unwrap();
    let expected = run(whole.path(), "1", &arguments);
    let mut out = tempfile::tempdir().unwrap();
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        // Between a look at the log and the signal, a busy machine may let the run come to its end, or to a test after an epoch.
        let mut left = 10;
        loop {
            left -= 1;
            assert!(left > 0, "SIG{name}: never within an epoch");
            let mut child = to_be_stopped(out.path(), &arguments).stderr(Stdio::piped()).spawn().unwrap();
            // Two lines of the log are a step or more after the beginning.
            let rows =
                || Some(std::fs::read_to_string(partial(out.path())?.join("log.csv")).ok()?.lines().count());
            let before = rows().unwrap_or(1);
            while rows().is_none_or(|rows| rows < before + 2) && child.try_wait().unwrap().is_none() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            let id = child.id().to_string();
            assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
            let output = child.wait_with_output().unwrap();
            let said = text(&output.stderr);
            if output.status.success() {
                out = tempfile::tempdir().unwrap();
                continue;
            }
            assert_eq!(output.status.signal(), Some(number), "SIG{name}: {said}");
            assert!(said.contains("The same command, called again, goes on from here"), "SIG{name}: {said}");
            let checkpoint =
                std::fs::read(partial(out.path()).unwrap().join("checkpoint.safetensors")).unwrap();
            if text(&checkpoint).contains("within") {
                break;
            }
        }
    }
    assert_eq!(run(out.path(), "1", &arguments)["record"]["digest"], expected["record"]["digest"]);
}

/// What a shell started in the background goes on when somebody interrupts what is in front.
#[test]
#[cfg(unix)]
fn an_interrupt_that_a_shell_has_ignored_stays_ignored() {
    let out = tempfile::tempdir().unwrap();
    let mut arguments =
        vec!["run", "--model", "mlp1x512", "--scale", "smoke", "--data", "shapes10", "--keep-going"];
    arguments.extend(["--epochs", "100", "--out", out.path().to_str().unwrap()]);
    let mut child = Command::new("sh")
        .args(["-c", "trap '' INT; exec \"$@\"", "sh"])
        .arg(rethink_bin())
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while partial(out.path()).is_none() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn measurements_are_listed_beside_runs() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().to_str().unwrap();
    let sweep = ["sweep", "theorem1", "--scale", "smoke", "--data", "shapes10", "--out", path, "--json"];
    let first = lines(&rethink(&sweep));
    assert_eq!(first, lines(&rethink(&sweep)), "found, seconds and all");
    run(out.path(), "2", &[]);
    let listed = lines(&rethink(&["list", "--out", path, "--json"]));
    assert_eq!(listed.len(), first.len() + 1);
    let kinds = listed.iter().filter(|l| l["record"]["measurement"]["what"]["kind"] == "theorem1").count();
    assert_eq!(kinds, first.len());
    let shown = text(&rethink(&["list", "--out", path]).stdout);
    assert!(shown.contains("theorem 1, n = 200") && shown.contains("MLP 1x512"), "{shown}");
    // What was found, too: 2n + d weights for n = 200 images of 32x32x3 numbers.
    let of_200 = |l: &&Value| l["rows"][0]["n"] == 200.0;
    assert_eq!(listed.iter().find(of_200).unwrap()["rows"][0]["weights"], 3472.0);
    assert!(shown.contains("3,472 weights"), "{shown}");
}

/// Solutions of one equation differ in what was chosen, and SGD's paths in where they begin: both stand in the list.
#[test]
fn a_listed_measurement_says_what_it_found() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().to_str().unwrap();
    for item in ["min-norm", "norms"] {
        let made = rethink(&["sweep", item, "--scale", "smoke", "--data", "shapes10", "--out", path]);
        assert!(made.status.success(), "{}", text(&made.stderr));
    }
    let shown = text(&rethink(&["list", "--out", path]).stdout);
    for found in ["distance: zero", "norm: minimum norm", "% wrong, norm", "gamma", "no l2"] {
        assert!(shown.contains(found), "{found}: {shown}");
    }
    assert!(!shown.contains("not measured"), "{shown}");
}

#[test]
fn several_data_sets_are_named_with_commas() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().to_str().unwrap();
    let both = rethink(&["sweep", "table3", "--scale", "smoke", "--data", "shapes10,mnist", "--out", path]);
    assert!(!both.status.success());
    assert!(text(&both.stderr).contains("the data set mnist is not"), "{}", text(&both.stderr));
}

#[test]
fn bench_kernels_measures_both_operations() {
    let timings = lines(&rethink(&["bench", "kernels", "--n", "600", "--json"]));
    let names: Vec<&str> = timings.iter().filter_map(|t| t["operation"].as_str()).collect();
    assert_eq!(names, ["Gram matrix", "solve"]);
    assert!(timings.iter().all(|t| t["ours"].as_f64().is_some_and(|v| v > 0.0) && t["ratio"].is_null()));
}

#[test]
fn bench_measures_the_models_that_are_named() {
    let rates = lines(&rethink(&["bench", "--json", "--only", "alexnet,mlp1x512", "--turns", "1"]));
    let models: Vec<&str> = rates.iter().filter_map(|r| r["model"].as_str()).collect();
    assert_eq!(models, ["alexnet", "mlp1x512"]);
    assert!(rates.iter().all(|r| r["ours"].as_f64().is_some_and(|v| v > 0.0) && r["ratio"].is_null()));
    let has_bf16 = Precision::Bf16.check().is_ok();
    assert!(rates.iter().all(|r| r["ours_bf16"].as_f64().is_some_and(|v| v > 0.0) == has_bf16));
    if cfg!(target_os = "linux") {
        assert!(rates.iter().all(|r| r["ours_memory"].as_u64().is_some_and(|v| v > 1 << 24)));
    }
}

#[test]
fn bench_layers_measures_each_pass_of_each_layer() {
    let layers = lines(&rethink(&["bench", "layers", "--model", "mlp1x512", "--json"]));
    let names: Vec<&str> = layers.iter().filter_map(|l| l["layer"].as_str()).collect();
    assert_eq!(names, ["2352 to 512", "512 to 10", "all"]);
    let passes = |layer: &Value, what: &str| -> Vec<f64> {
        layer[what].as_array().unwrap().iter().filter_map(Value::as_f64).collect()
    };
    for layer in &layers {
        let (seconds, of_peak) = (passes(layer, "seconds"), passes(layer, "of_peak"));
        assert!(seconds.len() == 3 && seconds.iter().all(|&s| s > 0.0), "{layer}");
        assert!(of_peak.len() == 3 && of_peak.iter().all(|&part| part > 0.0), "{layer}");
    }
    // Two operations for each weight and image.
    assert_eq!(layers[0]["flop"], 2.0 * 128.0 * 2352.0 * 512.0);
}

#[test]
fn claims_are_listed_with_verdicts_and_unknown_ones_refused() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().to_str().unwrap();
    let empty = lines(&rethink(&["claims", "--json", "--out", path]));
    assert!(empty.len() >= 20);
    assert!(
        empty.iter().all(|c| c["verdict"] == "not-yet-measured" && c["quote"].as_str().unwrap().len() > 20)
    );
    run(out.path(), "2", &["--corruption", "random-labels"]);
    let only = ["claims", "--only", "random-labels-test-at-chance", "--out", path];
    let shown = text(&rethink(&only).stdout);
    assert!(
        shown.contains("no better than random chance") && shown.contains("n = 200, scale smoke"),
        "{shown}"
    );
    assert!(shown.contains("MLP 1x512: test "), "{shown}");
    let refused = rethink(&["claims", "--only", "everything", "--out", path]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("random-labels-fitted"));
}

#[test]
fn a_sweep_repeats_with_as_many_seeds_as_asked_for() {
    let out = tempfile::tempdir().unwrap();
    let arguments = ["sweep", "fig3", "--scale", "smoke", "--data", "shapes10", "--json", "--out"];
    let mut all = arguments.to_vec();
    all.push(out.path().to_str().unwrap());
    assert!(lines(&rethink(&all)).is_empty(), "figure 3 has no runs");
    let refused = rethink(&["sweep", "fig1a", "--seeds", "0", "--out", out.path().to_str().unwrap()]);
    let measured = rethink(&["sweep", "theorem1", "--seeds", "2", "--out", out.path().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&measured.stderr);
    assert!(!measured.status.success() && said.contains("theorem1 is made of measurements"), "{said}");
    assert!(!refused.status.success());
}

/// `crate/rethink/build.rs` is compiled and run as cargo does: on sources that are committed, changed, packaged, or in no repository, and with an
/// environment that names another repository, as a git hook's does.
#[test]
fn a_program_knows_the_commit_that_it_was_built_from() {
    let root = tempfile::tempdir().unwrap();
    let script = root.path().join("script");
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let compiled = Command::new(rustc)
        .args(["--edition", "2024", "-o"])
        .arg(&script)
        .arg(rethink_tests::root().join("crate/rethink/build.rs"))
        .status()
        .unwrap();
    assert!(compiled.success());
    let other = root.path().join("other");
    let git = |folder: &Path, arguments: &[&str]| {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        let who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"];
        let said = command.arg("-C").arg(folder).args(who).args(arguments).output().expect("git starts");
        assert!(said.status.success(), "{arguments:?}: {}", text(&said.stderr));
        text(&said.stdout).trim().to_string()
    };
    let build = |folder: &Path| {
        let said = Command::new(&script)
            .current_dir(folder)
            .env("OUT_DIR", root.path())
            .env("GIT_DIR", other.join(".git"))
            .env("GIT_WORK_TREE", &other)
            .env("GIT_CEILING_DIRECTORIES", root.path())
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", text(&said.stderr));
        let lines = text(&said.stdout);
        let revision = lines.lines().find_map(|l| l.strip_prefix("cargo::rustc-env=RETHINK_REVISION="));
        (revision.expect("a revision").to_string(), lines.contains("HEAD"))
    };
    let sources = |folder: &Path| {
        std::fs::create_dir_all(folder.join("crate/rethink/src")).unwrap();
        for file in [
            "Cargo.toml",
            "Cargo.lock",
            "notes.md",
            "crate/rethink/Cargo.toml",
            "crate/rethink/build.rs",
            "crate/rethink/src/lib.rs",
        ] {
            std::fs::write(folder.join(file), file).unwrap();
        }
        folder.join("crate/rethink")
    };
    let commit = |folder: &Path| {
        git(folder, &["add", "-A"]);
        // Equal trees of one second would be one commit.
        git(folder, &["commit", "-qm", &folder.display().to_string()]);
        git(folder, &["rev-parse", "HEAD"])
    };
    sources(&other);
    git(&other, &["init", "-q"]);
    let others = commit(&other);

    let bare = root.path().join("bare");
    let (revision, watches) = build(&sources(&bare));
    assert!(revision.starts_with("unknown (no git repository"), "{revision}");
    assert!(!watches);

    let tree = root.path().join("tree");
    let at = sources(&tree);
    git(&tree, &["init", "-q"]);
    let first = commit(&tree);
    assert_ne!(first, others);
    // Where the sources are the commit's, later commits of other files build nothing anew.
    assert_eq!(build(&at), (first.clone(), false));
    std::fs::write(tree.join("notes.md"), "more").unwrap();
    assert_eq!(build(&at), (first.clone(), false), "notes are no source");
    std::fs::write(at.join("src/new.rs"), "new").unwrap();
    assert_eq!(build(&at), (format!("{first}+changes"), true));
    let second = commit(&tree);
    assert_eq!(build(&at), (second.clone(), false));
    std::fs::write(tree.join("Cargo.lock"), "changed").unwrap();
    assert_eq!(build(&at).0, format!("{second}+changes"));
    // A worktree of its own, at another commit.
    let aside = root.path().join("aside");
    git(&tree, &["worktree", "add", "-q", "--detach", aside.to_str().unwrap(), &first]);
    assert_eq!(build(&aside.join("crate/rethink")), (first.clone(), false));
    std::fs::write(aside.join("crate/rethink/src/lib.rs"), "changed").unwrap();
    assert_eq!(build(&aside.join("crate/rethink")), (format!("{first}+changes"), true));
    // Unpacked within a repository that it is no part of.
    let inside = sources(&tree.join("vendor"));
    let (revision, _) = build(&inside);
    assert!(revision.starts_with("unknown (not a file of the git repository"), "{revision}");
    // As a package, which says where it comes from.
    let named =
        format!("{{\"git\": {{\"sha1\": \"{second}\", \"dirty\": true}}, \"path_in_vcs\": \"crate\"}}");
    std::fs::write(inside.join(".cargo_vcs_info.json"), named).unwrap();
    assert_eq!(build(&inside), (format!("{second}+changes"), false));
}

#[test]
fn fewer_vector_instructions_are_used_where_that_is_asked_for() {
    let bench = |asked: &str| {
        let mut command = Command::new(rethink_bin());
        command.args(["bench", "--only", "mlp1x512", "--turns", "1"]).env("RETHINK_INSTRUCTIONS", asked);
        command.output().expect("the program starts")
    };
    let wrong = bench("avx1024");
    assert!(!wrong.status.success());
    assert!(text(&wrong.stderr).contains("RETHINK_INSTRUCTIONS=\"avx1024\""), "{}", text(&wrong.stderr));
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        let fewer = bench("avx2");
        let said = text(&fewer.stderr) + &text(&fewer.stdout);
        assert!(fewer.status.success() && said.contains("cpu, avx2, "), "{said}");
        let mut run = Command::new(rethink_bin());
        run.args([
            "run",
            "--model",
            "mlp1x512",
            "--scale",
            "smoke",
            "--data",
            "shapes10",
            "--precision",
            "bf16",
        ]);
        let out = tempfile::tempdir().unwrap();
        let refused = run.arg("--out").arg(out.path()).env("RETHINK_INSTRUCTIONS", "avx2").output().unwrap();
        let said = text(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains("the vector instructions in use are avx2"),
            "{said}"
        );
    }
}
