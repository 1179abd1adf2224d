//! The main job, end to end, at scale smoke: `rethink reproduce` in the real kernel.

use rethink_tests::{rethink_bin, root};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn reproduce(out: &Path, only: &str) -> Output {
    let mut command = Command::new(rethink_bin());
    command.args(["reproduce", "--only", only, "--scale", "smoke", "--data", "shapes10", "--out"]).arg(out);
    command.current_dir(root()).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn reproduce_writes_figures_and_tables_and_does_not_repeat_itself() {
    let folder = tempfile::tempdir().unwrap();
    let first = reproduce(folder.path(), "fig1a,table1");
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
    let second = reproduce(folder.path(), "fig1a,table1");
    assert!(second.status.success(), "{}", text(&second.stderr));
    assert_eq!(text(&second.stdout).matches("nothing changed since it was executed").count(), 2);
    assert_eq!(figure, fs::read(made.join("fig1a.svg")).unwrap());
}
