//! Run files of every schema that there has been stay readable.
//!
//! `fixtures/schema/N.parquet` is a run of schema N, `N.measured.parquet` a measurement; made with
//! `rethink run --model mlp1x512 --corruption random-labels --data shapes10 --scale smoke --epochs 3` and
//! `rethink sweep theorem1 --data shapes10 --scale smoke`.

use clap::Parser;
use rethink::cli::command::{Action, Command};
use rethink::config::{SCHEMA, Scale};
use rethink::store::{self, Store};
use rethink_tests::root;

#[test]
fn a_sample_of_each_schema_is_read() {
    let folder = root().join("tests/fixtures/schema");
    for schema in 1..=SCHEMA {
        let path = folder.join(format!("{schema}.parquet"));
        let run = store::read(&path).unwrap_or_else(|e| panic!("schema {schema}: {e}"));
        assert_eq!(run.record.config.schema, schema);
        assert_eq!((run.record.epochs, run.frame.height()), (3, 3));
        let losses = run.frame.column("loss").unwrap().f64().unwrap();
        assert!(losses.iter().all(|loss| loss.is_some_and(|loss| loss > 0.0 && loss < 10.0)));
        let measured = store::read_measured(&folder.join(format!("{schema}.measured.parquet")));
        let measured = measured.unwrap_or_else(|e| panic!("schema {schema}: {e}"));
        assert!(measured.frame.height() > 0);
    }
}

/// What has been published is found under its name, to the byte what was written.
#[test]
fn published_runs_are_read() {
    let store = Store::new(root().join("figures/published/runs"));
    let runs = store.all().unwrap();
    assert!(!runs.is_empty());
    for run in &runs {
        let found = store.get(&run.record.config).unwrap().expect("a run lies under its configuration's key");
        assert_eq!(found.record.digest, run.record.digest);
    }
    for measured in store.measurements().unwrap() {
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
        let Action::Run { choice, .. } = Command::try_parse_from(line.split(' ')).unwrap().action else {
            panic!("{line}");
        };
        assert_eq!(choice.configure_on(cifar.clone(), Scale::Paper).key(), key, "{line}");
    }
}
