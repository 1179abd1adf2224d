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

fn book(out: &Path) -> Output {
    let mut command = Command::new(rethink_bin());
    command.args(["book", "--scale", "smoke", "--data", "shapes10", "--out"]).arg(out);
    command.current_dir(root()).output().expect("the program starts")
}

/// What follows each `attribute="` of a page.
fn attributes(html: &str, attribute: &str) -> Vec<String> {
    let start = format!(" {attribute}=\"");
    html.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_string()).collect()
}

/// The book of the two notebooks that have been executed.
fn check_book(out: &Path) {
    let said = book(out);
    assert!(said.status.success(), "{}", text(&said.stderr));
    let folder = out.join("shapes10-smoke/book");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let index = read("index.html");
    assert!(text(&said.stdout).trim().ends_with("book/index.html"));
    let places = ["<h2>Results", "Table 1: training and test accuracy", "<h2>Claims", "<h2>Notebooks"];
    let places = places.map(|part| index.find(part).unwrap_or_else(|| panic!("no {part:?} in {index}")));
    assert!(places.is_sorted(), "results first, then claims, then pages: {places:?}");
    // Figure 1a's verdict, and what is not there.
    assert!(index.contains("steps to half the loss") && index.contains("not measured: "), "{index}");
    assert!(index.contains(rethink::claims::all()[0].id) && index.contains("not yet measured"));
    let pages = ["01-fitting-random-labels.html", "04-regularization.html"];
    for name in ["index.html"].into_iter().chain(pages) {
        let html = read(name);
        let links: Vec<String> =
            attributes(&html, "href").into_iter().filter(|l| !l.starts_with('#')).collect();
        for link in &links {
            let local = !link.contains("://");
            assert!(!local || folder.join(link).is_file(), "{name} leads to {link}");
        }
        let here = |page: &str| links.iter().any(|link| link == page);
        assert!(pages.iter().all(|page| here(page) || *page == name), "{name}: {links:?}");
        assert!(name == "index.html" || here("index.html"), "{name}: {links:?}");
        assert!(!html.contains("rethink-links"), "{name}");
        let loaded = attributes(&html, "src").into_iter().filter(|src| src.contains("://"));
        assert_eq!(loaded.collect::<Vec<_>>(), Vec::<String>::new(), "{name} needs no network");
    }
    let first = read(pages[0]);
    assert!(first.contains("<svg") && first.contains("average training loss"), "the figure is in its page");
    assert!(first.contains("url(\"LiberationSans-Regular.ttf\")"), "in its font");
    let font = fs::read(folder.join("LiberationSans-Regular.ttf")).unwrap();
    assert!(font == rethink::figures::export::Family::Sans.file().1);
    assert!(read(pages[1]).contains("MLP 1x512"), "the table is in its page");
}

#[test]
fn a_book_of_nothing_names_the_command_that_executes_notebooks() {
    let folder = tempfile::tempdir().unwrap();
    let said = book(folder.path());
    let errors = text(&said.stderr);
    assert!(!said.status.success() && errors.contains("no executed notebook in"), "{errors}");
    let command =
        format!("rethink reproduce --data shapes10 --scale smoke --out {}", folder.path().display());
    assert!(errors.contains(&command), "{errors}");
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

    // The command line's runs, on one thread, are those of the notebook's kernel.
    let other = tempfile::tempdir().unwrap();
    let swept = Command::new(rethink_bin())
        .args(["sweep", "fig1a", "--scale", "smoke", "--data", "shapes10", "--threads", "1", "--out"])
        .arg(other.path())
        .output()
        .unwrap();
    assert!(swept.status.success(), "{}", text(&swept.stderr));
    for run in runs {
        let file = other.path().join("runs").join(format!("{}.parquet", run["key"].as_str().unwrap()));
        assert_eq!(
            rethink::store::read(&file).unwrap().record.digest,
            run["record"]["digest"].as_str().unwrap()
        );
    }

    // The executed copy shows what a reader of the notebook would see.
    let executed = fs::read_to_string(made.join("notebooks/01-fitting-random-labels.ipynb")).unwrap();
    assert!(executed.contains("image/svg+xml") && executed.contains("image/png"));

    check_book(folder.path());
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
