//! The main job, end to end, at scale smoke: `rethink reproduce` in the real kernel.

use rethink::jupyter::close::Tolerance;
use rethink::jupyter::expected::differences;
use rethink::jupyter::outputs::Outputs;
use rethink::jupyter::{self, run};
use rethink_tests::{rethink_bin, root};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn reproduce(out: &Path, only: &str, more: &[&str]) -> Output {
    let mut command = Command::new(rethink_bin());
    command.args(["reproduce", "--only", only, "--scale", "smoke", "--data", "shapes10", "--out"]).arg(out);
    command.args(more);
    command.current_dir(root()).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn reproduce_writes_figures_and_tables_and_does_not_repeat_itself() {
    let folder = tempfile::tempdir().unwrap();
    let first = reproduce(folder.path(), "fig1a,table1", &[]);
    let (said, errors) = (text(&first.stdout), text(&first.stderr));
    assert!(first.status.success(), "{said}{errors}");
    assert!(said.contains("shapes10, the embedded data set") && said.contains("not the paper's"), "{said}");
    for item in ["fig1a", "table1"] {
        assert!(said.lines().any(|l| l.trim_start().starts_with(item) && l.contains("smoke")), "{said}");
    }
    let made = folder.path().join("shapes10-smoke");
    let names = ["fig1a.svg", "fig1a.png", "fig1a.pdf", "fig1a.csv", "table1.md", "table1.tex", "table1.csv"];
    for name in names.iter().chain(&["fig1a.json", "table1.json"]) {
        assert!(fs::metadata(made.join(name)).is_ok_and(|m| m.len() > 100), "{name}");
    }
    assert!(!made.join("fig1b.svg").exists(), "only what was asked for");
    assert!(
        fs::read_to_string(made.join("fig1a.svg")).unwrap().contains("n = 200"),
        "the figure states its scale"
    );
    assert!(fs::read_to_string(made.join("table1.tex")).unwrap().contains("\\toprule"));

    // Beside the figure: the five runs that it is made of, each with its record.
    let json: Value = serde_json::from_slice(&fs::read(made.join("fig1a.json")).unwrap()).unwrap();
    let runs = json["provenance"]["runs"].as_array().expect("the runs");
    assert_eq!(runs.len(), 5);
    for run in runs {
        let file = folder.path().join("runs").join(format!("{}.parquet", run["key"].as_str().unwrap()));
        let stored = rethink::store::read(&file).unwrap();
        assert_eq!(serde_json::to_value(&stored.record).unwrap(), run["record"]);
    }

    // The executed copy shows what a reader of the notebook would see.
    let executed = fs::read_to_string(made.join("notebooks/01-fitting-random-labels.ipynb")).unwrap();
    assert!(executed.contains("image/svg+xml") && executed.contains("image/png"));

    let figure = fs::read(made.join("fig1a.svg")).unwrap();
    let second = reproduce(folder.path(), "fig1a,table1", &[]);
    assert!(second.status.success(), "{}", text(&second.stderr));
    assert_eq!(text(&second.stdout).matches("nothing changed since it was executed").count(), 2);
    assert_eq!(figure, fs::read(made.join("fig1a.svg")).unwrap());
}

#[test]
fn an_executed_copy_is_the_record_of_its_run_and_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().canonicalize().unwrap();
    let first = reproduce(&out, "fig1a", &["--set", "epochs=1", "--set", "n=100"]);
    let said = text(&first.stdout);
    assert!(first.status.success(), "{said}{}", text(&first.stderr));
    assert!(said.contains("set:   epochs=1,n=100"), "{said}");
    assert!(
        said.lines().any(|l| l.trim_start().starts_with("fig1a") && l.contains("smoke, set epochs=1")),
        "{said}"
    );
    let made = out.join("shapes10-smoke,epochs=1,n=100");
    assert!(!out.join("shapes10-smoke").exists(), "the plain scale's folder is its own");
    let svg = fs::read_to_string(made.join("fig1a.svg")).unwrap();
    for part in ["n = 100", "at most 1 epochs", "set epochs=1, n=100"] {
        assert!(svg.contains(part), "the figure states {part:?}");
    }

    // The record.
    let copy = made.join("notebooks/01-fitting-random-labels.ipynb");
    let json: Value = serde_json::from_slice(&fs::read(&copy).unwrap()).unwrap();
    let cells = json["cells"].as_array().unwrap();
    assert_eq!(cells[0]["metadata"]["tags"], serde_json::json!([run::INJECTED]));
    let source: String = cells[0]["source"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let set = format!(":env RETHINK_OUT={}", out.display());
    for line in
        [":env RETHINK_SCALE=smoke", ":env RETHINK_DATASET=shapes10", ":env RETHINK_SET=epochs=1,n=100", &set]
    {
        assert!(source.lines().any(|l| l == line), "no {line:?} in {source}");
    }
    let record = &json["metadata"]["rethink"];
    assert_eq!(record["parameters"]["RETHINK_SET"], "epochs=1,n=100");
    assert_eq!(record["exception"], Value::Null);
    assert_eq!(record["by"]["provenance"]["revision"], rethink::provenance::revision());
    assert!(record["by"]["provenance"]["crates"]["dfdx"].is_string(), "{record}");
    let times = |of: &Value| {
        let text = |name: &str| of[name].as_str().unwrap_or_else(|| panic!("no {name}: {of}")).to_string();
        (text("start_time"), text("end_time"), of["duration"].as_f64().expect("a duration"))
    };
    let (start, end, duration) = times(record);
    let timed: Vec<_> =
        cells.iter().filter(|c| c["cell_type"] == "code").map(|c| times(&c["metadata"]["rethink"])).collect();
    assert!(start <= timed[0].0 && timed.last().unwrap().1 <= end, "{start} {timed:?} {end}");
    let sum: f64 = timed.iter().map(|(_, _, seconds)| seconds).sum();
    assert!(sum > 0.5 && sum <= duration, "{timed:?} in {duration} s");

    // It runs again, where it lies, without any variable in the environment, and gives the same.
    let was = Outputs::of(&copy, &out, root()).unwrap();
    fs::remove_dir_all(out.join("runs")).unwrap();
    for entry in fs::read_dir(&made).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
        fs::remove_file(entry).unwrap();
    }
    let environment = jupyter::ensure(root()).unwrap();
    let again = made.join("notebooks/again.ipynb");
    run::notebook(&environment, &copy, &[], &again, &mut |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let now = Outputs::of(&again, &out, root()).unwrap();
    assert!(was.tables.contains_key("fig1a.csv") && was.cells.len() > 5);
    assert_eq!(differences(&was, &now, Tolerance::SAME).unwrap(), []);
    assert_eq!(svg, fs::read_to_string(made.join("fig1a.svg")).unwrap());
}
