//! Run files of every schema that there has been stay readable.
//!
//! `fixtures/schema/N.parquet` is a run of schema N, `N.measured.parquet` a measurement; made with
//! `rethink run --model mlp1x512 --corruption random-labels --data shapes10 --scale smoke --epochs 3` and
//! `rethink sweep theorem1 --data shapes10 --scale smoke`.

use rethink::config::SCHEMA;
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
