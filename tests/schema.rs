//! Run files of every schema that there has been stay readable; what is no run of a store, or of a version to come, does not count.
//!
//! `fixtures/schema/N` holds a run and a measurement of schema N, made with
//! `rethink run --model mlp1x512 --corruption random-labels --data shapes10 --scale smoke --epochs 3` and
//! `rethink sweep theorem1 --data shapes10 --scale smoke`.

use clap::Parser;
use rethink::Error;
use rethink::data::augmentation::Augmentation;
use rethink::data::corruption::Corruption;
use rethink::data::{DataId, Dataset, shapes10};
use rethink::measure::{Measurement, Quantity};
use rethink::run::appendix_a;
use rethink::run::config::{Parallel, SCHEMA, Scale, Seeds, TrainConfig};
use rethink::run::strict;
use rethink::store::{self, Store};
use rethink_cli::commands::command::{Action, Command as Line};
use rethink_nn::models::ModelKind;
use rethink_nn::optim::{DecayOn, Optimizer};
use rethink_nn::precision::Precision;
use rethink_tests::{rethink_bin, root};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_sample_of_each_schema_is_read() {
    for schema in 1..=SCHEMA {
        let folder = root().join(format!("tests/fixtures/schema/{schema}"));
        let store = Store::new(&folder);
        let mut contents = store.contents().unwrap();
        assert_eq!(contents.passed_over, [], "schema {schema}");
        let (Some(run), Some(measured)) = (contents.runs.pop(), contents.measured.pop()) else {
            panic!("schema {schema}: a run and a measurement")
        };
        assert_eq!(run.record.config.schema, schema);
        assert_eq!((run.record.epochs, run.frame.height()), (3, 3));
        let losses = run.frame.column("loss").unwrap().f64().unwrap();
        assert!(losses.iter().all(|loss| loss.is_some_and(|loss| loss > 0.0 && loss < 10.0)));
        assert!(measured.frame.height() > 0);
    }
}

/// What has been published is found under its name, to the byte what was written.
#[test]
fn published_runs_are_read() {
    let store = Store::new(root().join("figures/published/runs"));
    let contents = store.contents().unwrap();
    assert_eq!(contents.passed_over, []);
    assert!(!contents.runs.is_empty() && !contents.measured.is_empty());
    for run in &contents.runs {
        let found = store.get(&run.record.config).unwrap().expect("a run lies under its configuration's key");
        assert_eq!(found.record.digest, run.record.digest);
    }
    for measured in &contents.measured {
        // None of them is of data that are called what they are not.
        assert!(measured.record.measurement.data.published().is_some());
        let found = store.get_measured(&measured.record.measurement).unwrap().expect("under its key");
        assert_eq!(found.record.digest, measured.record.digest);
    }
}

/// A key is the name of results that took hours: what is configured the same today has the same name, whatever fields have
/// come since.
#[test]
fn keys_stay() {
    let folder = root().join("figures/published/runs");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let key = match name.strip_suffix(".measured.parquet") {
            Some(_) => store::read_measured(&path).unwrap().record.measurement.key(),
            None => store::read(&path).unwrap().record.config.key(),
        };
        assert_eq!(name.split('.').next(), Some(&*key));
        count += 1;
    }
    assert!(count >= 32, "{count} published files");

    // Begun on a GPU, and gone on with since.
    let published = Store::new(&folder).all().unwrap();
    let cifar =
        published.iter().map(|run| &run.record.config.data).find(|d| d.title == "CIFAR-10 (JPEG q75)");
    let mut cifar = cifar.expect("a published run on CIFAR-10 (JPEG q75)").clone();
    (cifar.train, cifar.test) = (50_000, 10_000);
    let goes_on = "rethink run --model inception --data cifar10 --scale paper --keep-going";
    for (more, key) in [
        ("--epochs 64 --corruption true-labels", "df0ffb38d6c26e94"),
        ("--epochs 64 --corruption random-labels", "4d9c7c108ae94b7f"),
        ("--epochs 64 --corruption gaussian", "863e3f3745f872d4"),
        ("--epochs 30 --corruption shuffled-pixels", "e1e3f4c5ff02c4ec"),
    ] {
        let line = format!("{goes_on} {more}");
        let Action::Run { choice, .. } = Line::try_parse_from(line.split(' ')).unwrap().action else {
            panic!("{line}");
        };
        assert_eq!(choice.configure_on(cifar.clone(), Scale::Paper).key(), key, "{line}");
    }
}

/// A run's or measurement's key is the digest of this text. What is published lies under such keys.
#[test]
fn the_text_that_keys_are_made_of_stays() {
    const WHAT_TO_DO: &str = "the text that keys are made of has changed, and every published run and measurement of this form \
        has another key, under which nobody finds it. A new field: give it the value that all runs had before by \
        #[serde(default, skip_serializing_if)]. A new name, order or default: undo it. Numbers that are meant to become others: \
        raise SCHEMA, and add a line here";
    // A published run, and its text as its file holds it.
    let fingerprint = "f43bf6a33f958776c1159c2d0d6dde911aefbf835befaf4056b208d0463966e8".to_string();
    let (name, title) = ("cifar10".to_string(), "CIFAR-10 (JPEG q75)".to_string());
    let data = DataId { name, title, fingerprint, train: 50_000, test: 10_000 };
    let (model, gaussian) = (ModelKind::Inception, Corruption::Gaussian { per_channel: true });
    let size = appendix_a::size_at(Scale::Paper, model);
    let mut run = appendix_a::config_of_size(data.clone(), size, model, gaussian, Seeds::default());
    let id = r#"{"name":"cifar10","title":"CIFAR-10 (JPEG q75)","fingerprint":"f43bf6a33f958776c1159c2d0d6dde911aefbf835befaf4056b208d0463966e8","train":50000,"test":10000}"#;
    let hyper = r#"{"batch_size":128,"learning_rate":0.1,"momentum":0.9,"decay":0.95,"decay_every":1,"weight_decay":0.0,"init":"glorot","random_crop":false,"epochs":100,"stop_when_fitted":true,"fitted_epochs":5}"#;
    let text = format!(
        r#"{{"schema":1,"data":{id},"model":"inception","width":1.0,"corruption":{{"kind":"gaussian","per_channel":true}},"hyper":{hyper},"seeds":{{"data":1,"init":2,"order":3}},"log_every":100,"eval_every":1}}"#
    );
    assert_eq!(serde_json::to_string(&data).unwrap(), id, "{WHAT_TO_DO}");
    assert_eq!(serde_json::to_string(&run.hyper).unwrap(), hyper, "{WHAT_TO_DO}");
    assert_eq!(serde_json::to_string(&run).unwrap(), text, "{WHAT_TO_DO}");
    assert_eq!(run.key(), "13f54366038b6d0e", "{WHAT_TO_DO}");

    // The same with every field that is skipped where it has its default.
    run.input = 299;
    run.parallel = Some(Parallel::Synchronous { ranks: 2 });
    let chosen = TrainConfig {
        weight_decay_on: DecayOn::Weights,
        augment: Augmentation::IMAGENET,
        without_dropout: true,
        norm_memory: 0.5,
        optimizer: Optimizer::INCEPTION_V3,
        label_smoothing: 0.125,
        average: Some(0.25),
        precision: Precision::Bf16,
        ..run.hyper.clone()
    };
    run.hyper = chosen;
    let hyper = r#"{"batch_size":128,"learning_rate":0.1,"momentum":0.9,"decay":0.95,"decay_every":1,"weight_decay":0.0,"weight_decay_on":"weights","init":"glorot","random_crop":false,"augment":{"flip":true,"brightness":0.12549019607843137,"saturation":0.5,"hue":0.2,"contrast":0.5},"without_dropout":true,"norm_memory":0.5,"optimizer":{"name":"rms-prop","decay":0.9,"epsilon":1.0},"label_smoothing":0.125,"average":0.25,"epochs":100,"stop_when_fitted":true,"fitted_epochs":5,"precision":"bf16"}"#;
    let text = format!(
        r#"{{"schema":1,"data":{id},"model":"inception","width":1.0,"input":299,"corruption":{{"kind":"gaussian","per_channel":true}},"hyper":{hyper},"seeds":{{"data":1,"init":2,"order":3}},"log_every":100,"eval_every":1,"parallel":{{"mode":"synchronous","ranks":2}}}}"#
    );
    assert_eq!(serde_json::to_string(&run.hyper).unwrap(), hyper, "{WHAT_TO_DO}");
    assert_eq!(serde_json::to_string(&run).unwrap(), text, "{WHAT_TO_DO}");

    let measurement = Measurement { schema: 1, data, what: Quantity::Theorem1, seed: 1 };
    let text = format!(r#"{{"schema":1,"data":{id},"what":{{"kind":"theorem1"}},"seed":1}}"#);
    assert_eq!(serde_json::to_string(&measurement).unwrap(), text, "{WHAT_TO_DO}");
}

/// A store of a run and a measurement, on few images.
fn small_store(folder: &Path) -> (Store, Dataset, std::path::PathBuf, std::path::PathBuf) {
    let store = Store::new(folder);
    let data = shapes10::generate(20, 10, 1).unwrap();
    let (model, truth) = (ModelKind::Mlp1x512, Corruption::TrueLabels);
    let mut config = appendix_a::config_at(&data, Scale::Smoke, model, truth, Seeds::default());
    (config.width_factor, config.hyper.epochs) = (1.0 / 128.0, 2);
    store.run(&config, &data, Scale::Smoke, &mut |_| ()).unwrap();
    let measurement = Measurement::new(&data, (10, 10), Quantity::Theorem1, 1);
    store.measure(&measurement, &data, Scale::Smoke, &mut |_| ()).unwrap();
    let paths = (store.path(&config.key()), store.measured_path(&measurement.key()));
    (store, data, paths.0, paths.1)
}

/// The copies that synchronising programs and file managers make, and other files that lie in a store.
fn copies(run: &Path, measured: &Path) -> Vec<std::path::PathBuf> {
    let folder = run.parent().unwrap();
    let key = run.file_stem().unwrap().to_str().unwrap().to_string();
    let of = measured.file_name().unwrap().to_str().unwrap().to_string();
    let names = [
        format!("{key}.sync-conflict-20260101-120000-ABCDEFG.parquet"),
        format!("{key} (1).parquet"),
        format!("{key} (laptop's conflicted copy 2026-01-01).parquet"),
        // The run under another run's name.
        format!("{}.parquet", key.chars().rev().collect::<String>()),
        format!("{key}.measured.parquet"),
        of.replace(".measured.parquet", ".sync-conflict-20260101-120000-ABCDEFG.measured.parquet"),
        // A measurement as a run.
        of.replace(".measured", ""),
    ];
    let mut there: Vec<_> = names.into_iter().map(|name| folder.join(name)).collect();
    for (number, path) in there.iter().enumerate() {
        fs::copy(if number < 5 { run } else { measured }, path).unwrap();
    }
    for (name, bytes) in
        [(format!("._{key}.parquet"), &b"\0\x05\x16\x07"[..]), ("mine.parquet".into(), b"PAR1")]
    {
        fs::write(folder.join(&name), bytes).unwrap();
        there.push(folder.join(name));
    }
    let mut damaged = fs::read(run).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let path = folder.join("0123456789abcdef.parquet");
    fs::write(&path, damaged).unwrap();
    there.push(path);
    there.sort();
    there
}

#[test]
fn what_is_no_run_of_the_store_is_passed_over_and_a_run_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _, run, measured) = small_store(folder.path());
    let whole = (fs::read(&run).unwrap(), fs::read(&measured).unwrap());
    let others = copies(&run, &measured);
    let contents = store.contents().unwrap();
    assert_eq!((contents.runs.len(), contents.measured.len()), (1, 1));
    let named: Vec<_> = contents.passed_over.iter().map(|other| other.path.clone()).collect();
    assert_eq!(named, others);
    assert_eq!((store.all().unwrap().len(), store.measurements().unwrap().len()), (1, 1));
    let reason = |name: &str| {
        let file = contents.passed_over.iter().find(|o| o.path.to_string_lossy().contains(name));
        file.unwrap_or_else(|| panic!("{name}")).reason.clone()
    };
    let key = run.file_stem().unwrap().to_str().unwrap();
    assert!(reason("conflicted").contains(&format!("a copy of {key}")), "{}", reason("conflicted"));
    assert!(reason("mine").contains("not that of a run"));
    assert!(reason("0123456789abcdef").contains("damaged"));
    let reversed: String = key.chars().rev().collect();
    assert!(reason(&reversed).contains("the name of another run") && reason(&reversed).contains(key));
    assert!(store::read(&run.with_file_name(format!("{reversed}.parquet"))).is_err());
    assert_eq!((fs::read(&run).unwrap(), fs::read(&measured).unwrap()), whole, "nothing is touched");
}

/// What is damaged, or another run, under the name of a run that is wanted: the run is made anew, and the file kept.
#[test]
fn a_damaged_file_of_a_wanted_run_is_kept_beside_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (store, data, run, measured) = small_store(folder.path());
    let first = store.contents().unwrap();
    let (config, measurement) = (&first.runs[0].record.config, &first.measured[0].record.measurement);
    for path in [&run, &measured] {
        let mut bytes = fs::read(path).unwrap();
        bytes[100] ^= 1;
        fs::write(path, &bytes).unwrap();
    }
    let damaged = [&run, &measured].map(|path| fs::read(path).unwrap());
    assert!(store.get(config).unwrap().is_none() && store.get_measured(measurement).unwrap().is_none());
    let again = store.run(config, &data, Scale::Smoke, &mut |_| ()).unwrap();
    let (measured_again, new) = store.measure(measurement, &data, Scale::Smoke, &mut |_| ()).unwrap();
    assert!(new);
    assert_eq!(again.record.digest, first.runs[0].record.digest);
    assert_eq!(measured_again.record.digest, first.measured[0].record.digest);
    for (path, damaged) in [&run, &measured].into_iter().zip(&damaged) {
        let kept = path.with_added_extension("passed-over-1");
        assert_eq!(&fs::read(kept).unwrap(), damaged);
    }
    assert_eq!(store.contents().unwrap().passed_over, []);
}

/// The bytes of a store's file with the record changed by `change`, sealed as a later version would seal it.
fn with_record(path: &Path, change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    store::with_record(path, change).unwrap()
}

#[test]
fn records_of_a_version_to_come_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (store, data, run, measured) = small_store(folder.path());
    let config = store.all().unwrap()[0].record.config.clone();
    type Change = fn(&mut serde_json::Value);
    let cases: [(&Path, Change, &str); 8] = [
        (
            &run,
            |r| r["config"]["schema"] = 7.into(),
            "a later version of rethink (schema 7; this one reads up to 1)",
        ),
        (&run, |r| r["config"]["hyper"]["novelty"] = 0.5.into(), "\"config.hyper.novelty\""),
        (&run, |r| r["config"]["data"]["crop"] = "x".into(), "\"config.data.crop\""),
        (&run, |r| r["retold"] = true.into(), "\"retold\""),
        (&run, |r| r["provenance"]["weather"] = "fair".into(), "\"provenance.weather\""),
        (&run, |r| r["config"]["model"] = "transformer".into(), "transformer"),
        (&measured, |r| r["measurement"]["schema"] = 9.into(), "(schema 9; this one reads up to 1)"),
        (&measured, |r| r["measurement"]["what"]["kind"] = "theorem7".into(), "theorem7"),
    ];
    for (path, change, words) in cases {
        let before = fs::read(path).unwrap();
        fs::write(path, with_record(path, change)).unwrap();
        let error = if path == run { store::read(path).err() } else { store::read_measured(path).err() };
        let error = error.unwrap_or_else(|| panic!("{words} is read"));
        assert!(matches!(error, Error::Later { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
        let contents = store.contents().unwrap();
        assert_eq!(contents.runs.len() + contents.measured.len(), 1, "{words}");
        assert_eq!(contents.passed_over.len(), 1);
        if path == run {
            // Never trained over: the later version's numbers are somebody's.
            assert!(matches!(store.run(&config, &data, Scale::Smoke, &mut |_| ()), Err(Error::Later { .. })));
        }
        fs::write(path, before).unwrap();
    }
    // What is written here is read here.
    fs::write(&run, with_record(&run, |_| ())).unwrap();
    assert_eq!(store.all().unwrap().len(), 1);
    let own = serde_json::to_string(&config).unwrap();
    assert_eq!(strict::from_json::<rethink::run::config::RunConfig>(&own).unwrap(), config);
}

/// Every command counts a run once and says what it passes over, once.
#[test]
fn every_command_passes_over_what_is_no_run() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().to_str().unwrap();
    let rethink = |arguments: &[&str]| {
        let mut command = Command::new(rethink_bin());
        command.args(arguments).args(["--out", path]);
        command.env_remove("RETHINK_DATA").env("XDG_CACHE_HOME", "/nonexistent");
        let said = command.output().unwrap();
        let [text, problems] = [said.stdout, said.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
        assert!(said.status.success(), "{arguments:?}: {problems}");
        (text, problems)
    };
    let of_shapes = ["--data", "shapes10", "--scale", "smoke"];
    let run = [&["run", "--model", "mlp1x512", "--epochs", "2"][..], &of_shapes].concat();
    let sweep = [&["sweep", "theorem1"][..], &of_shapes].concat();
    rethink(&run);
    rethink(&sweep);
    let before: Vec<String> = ["list", "compare", "claims"].map(|c| rethink(&[c, "--json"]).0).to_vec();
    let store = Store::new(out.path().join("runs"));
    let contents = store.contents().unwrap();
    let at = store.path(&contents.runs[0].record.config.key());
    let measured = store.measured_path(&contents.measured[0].record.measurement.key());
    let others = copies(&at, &measured);
    let named =
        |problems: &str, path: &Path| problems.matches(&format!("{} is passed over", path.display())).count();
    for (command, before) in ["list", "compare", "claims"].into_iter().zip(&before) {
        let (text, problems) = rethink(&[command, "--json"]);
        assert_eq!(&text, before, "{command}");
        for other in
            others.iter().filter(|o| command != "claims" || !o.to_string_lossy().contains(".measured"))
        {
            assert_eq!(named(&problems, other), 1, "{command}: {} in {problems}", other.display());
        }
    }
    // These look for runs by their keys, and see by the names alone what is none.
    let export = [&["export", "--for", "neurips"][..], &of_shapes].concat();
    for command in [&run, &sweep, &export] {
        let (_, problems) = rethink(command);
        for name in ["conflicted", "._", "mine"] {
            let other = others.iter().find(|other| other.to_string_lossy().contains(name)).unwrap();
            assert_eq!(named(&problems, other), 1, "{command:?}: {} in {problems}", other.display());
        }
    }
    assert_eq!(store.contents().unwrap().passed_over.len(), others.len());
}
