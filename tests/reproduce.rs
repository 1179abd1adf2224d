//! The main job, end to end, at scale smoke: `rethink reproduce` in the real kernel.

use rethink::run::config::Scale;
use rethink::study::Study;
use rethink_cli::jupyter::close::Tolerance;
use rethink_cli::jupyter::expected::differences;
use rethink_cli::jupyter::outputs::Outputs;
use rethink_cli::jupyter::{self, run};
use rethink_cli::products::{self, Damage, DamageKind, Manifest};
use rethink_tests::{notebook, rethink_bin, root};
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

fn book(out: &Path, notebooks: &[&Path]) -> Output {
    let mut command = Command::new(rethink_bin());
    command.args(["book", "--scale", "smoke", "--data", "shapes10", "--out"]).arg(out).args(notebooks);
    command.current_dir(root()).output().expect("the program starts")
}

/// What follows each `attribute="` of a page.
fn attributes(html: &str, attribute: &str) -> Vec<String> {
    let start = format!(" {attribute}=\"");
    html.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_string()).collect()
}

/// A notebook that was run elsewhere is a page, one that was not run is refused.
fn check_given_notebooks(out: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.ipynb");
    let mut json = notebook(&["println!(\"from the lab\");"]);
    fs::write(&own, json.to_string()).unwrap();
    let no = book(out, &[own.as_path()]);
    assert!(
        !no.status.success() && text(&no.stderr).contains("none of its cells has been run"),
        "{}",
        text(&no.stderr)
    );
    json["cells"][0]["execution_count"] = 1.into();
    let said = serde_json::json!({"output_type": "stream", "name": "stdout", "text": "from the lab\n"});
    json["cells"][0]["outputs"] = vec![said].into();
    fs::write(&own, json.to_string()).unwrap();
    let yes = book(out, &[own.as_path()]);
    assert!(yes.status.success(), "{}", text(&yes.stderr));
    let page = fs::read_to_string(out.join("shapes10-smoke/book/own.html")).unwrap();
    assert!(page.contains("from the lab") && page.contains("04-regularization.html"));
    let twice = book(out, &[own.as_path(), own.as_path()]);
    assert!(
        !twice.status.success() && text(&twice.stderr).contains("have one name"),
        "{}",
        text(&twice.stderr)
    );
}

/// The book of the two notebooks that have been executed.
fn check_book(out: &Path) {
    check_given_notebooks(out);
    let said = book(out, &[]);
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
    assert!(font == rethink_plot::export::Family::Sans.file().1);
    assert!(read(pages[1]).contains("MLP 1x512"), "the table is in its page");
}

#[test]
fn a_book_of_nothing_names_the_command_that_executes_notebooks() {
    let folder = tempfile::tempdir().unwrap();
    let said = book(folder.path(), &[]);
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
    // The last table says once what it is of, and fits a page.
    let (_, table) = said.split_once("\nshapes10 (embedded), scale smoke\n").expect("a table of findings");
    let table = table.split("figures and tables:").next().unwrap();
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    for item in ["fig1a", "table1"] {
        assert!(table.lines().any(|l| l.trim_start().starts_with(item)), "{said}");
    }
    // What is ahead is said beforehand, and what is made as it is made.
    let place = |text: &str| said.find(text).unwrap_or_else(|| panic!("no {text:?} in {said}"));
    let ahead = place("to be executed, about ");
    let begun = place("[2/2] ");
    assert!(ahead < begun && begun < place("shapes10-smoke/fig1a.svg"), "{said}");
    assert!(begun < place("shapes10-smoke/table1.md"), "{said}");
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

    // Whatever is missing, empty or another is named and made again, as it was, without the kernel.
    type Kind = (&'static str, fn(&Path));
    let kinds: [Kind; 3] = [
        ("missing", |path| fs::remove_file(path).unwrap()),
        ("empty", |path| fs::write(path, b"").unwrap()),
        ("not what was written", |path| fs::write(path, b"by hand").unwrap()),
    ];
    for (name, (how, harm)) in names.iter().chain(&["fig1a.json", "table1.json"]).zip(kinds.iter().cycle()) {
        let path = made.join(name);
        let was = fs::read(&path).unwrap();
        harm(&path);
        let again = reproduce(folder.path(), "fig1a,table1", &[]);
        let said = text(&again.stdout);
        assert!(again.status.success(), "{}", text(&again.stderr));
        let line = said.lines().find(|line| line.contains(&format!(": {name}: {how}")));
        assert!(
            line.is_some_and(|line| line.ends_with("made again from the stored results")),
            "{name}: {said}"
        );
        assert!(was == fs::read(&path).unwrap(), "{name}");
        if how.starts_with("not") {
            assert_eq!(fs::read(made.join(format!("{name}.old"))).unwrap(), b"by hand");
        }
    }

    // An executed copy comes back by another execution, which trains nothing; what it was is kept.
    let copy = made.join("notebooks/04-regularization.ipynb");
    fs::write(&copy, b"garbage").unwrap();
    let again = reproduce(folder.path(), "fig1a,table1", &[]);
    let said = text(&again.stdout);
    assert!(again.status.success(), "{said}{}", text(&again.stderr));
    assert!(
        said.contains("notebooks/04-regularization.ipynb: not what was written")
            && said.contains("executed again"),
        "{said}"
    );
    assert_eq!(said.matches("nothing changed since it was executed").count(), 1, "{said}");
    assert_eq!(fs::read(made.join("notebooks/04-regularization.ipynb.old")).unwrap(), b"garbage");
    assert!(fs::read_to_string(&copy).unwrap().contains("MLP 1x512"));
    let last = reproduce(folder.path(), "fig1a,table1", &[]);
    assert_eq!(text(&last.stdout).matches("nothing changed since it was executed").count(), 2);
}

/// Without the kernel: the same by the parts that `reproduce` is made of.
#[test]
fn damaged_products_are_named_and_made_again_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let study = Study::new(Some("shapes10"), Scale::Smoke, folder.path()).unwrap();
    study.show("fig3").unwrap();
    study.show("theorem1").unwrap();
    let made = study.folder();
    let copy = made.join("notebooks/a.ipynb");
    fs::create_dir(made.join("notebooks")).unwrap();
    fs::write(&copy, b"{}").unwrap();
    fs::write(made.join("fig3.svg.old"), b"not a product").unwrap();
    let mut names = products::files_of(&made, &["fig3", "theorem1"]).unwrap();
    let endings = ["csv", "json", "pdf", "png", "svg"];
    let expected: Vec<String> =
        ["fig3", "theorem1"].iter().flat_map(|id| endings.map(|ending| format!("{id}.{ending}"))).collect();
    assert_eq!(names, expected);
    names.push("notebooks/a.ipynb".into());
    let path = products::mark(&copy);
    Manifest::of(&made, "fingerprint", &names).unwrap().write(&path).unwrap();
    let manifest = Manifest::read(&path).unwrap();
    assert_eq!((manifest.fingerprint.as_str(), manifest.damaged(&made)), ("fingerprint", vec![]));
    assert!(!products::is_altered(&copy));

    for name in &expected {
        let file = made.join(name);
        let was = fs::read(&file).unwrap();
        let garbage = [&was[..was.len() / 2], b"?"].concat();
        for (bytes, kind) in [
            (None, DamageKind::Missing),
            (Some(&b""[..]), DamageKind::Empty),
            (Some(&garbage), DamageKind::Changed),
        ] {
            match bytes {
                None => fs::remove_file(&file).unwrap(),
                Some(bytes) => fs::write(&file, bytes).unwrap(),
            }
            let damaged = manifest.damaged(&made);
            assert_eq!(damaged, [Damage { name: name.clone(), kind }]);
            let mut said = Vec::new();
            products::keep_changed(&made, &damaged, &mut |line| said.push(line.to_string())).unwrap();
            assert_eq!(said.len(), usize::from(kind == DamageKind::Changed), "{said:?}");
            let remade = manifest.remade(&study, &damaged).unwrap();
            assert!(remade == [(file.clone(), was.clone())], "{name}");
            fs::write(&file, &was).unwrap();
        }
    }
    // What was changed is kept, whatever has that name already; the same twice, once.
    assert_eq!(fs::read(made.join("fig3.svg.old")).unwrap(), b"not a product");
    assert!(made.join("fig3.svg.old-2").is_file() && made.join("fig3.png.old").is_file());
    assert!(!made.join("fig3.png.old-2").exists());

    // A copy that differs, or a figure that the stored results do not give, wants an execution.
    fs::write(&copy, b"garbage").unwrap();
    assert!(products::is_altered(&copy));
    assert_eq!(manifest.remade(&study, &manifest.damaged(&made)), None);
    fs::write(made.join("fig3.csv"), b"by the notebook's own cell").unwrap();
    let own = Manifest::of(&made, "fingerprint", &names).unwrap();
    fs::remove_file(made.join("fig3.csv")).unwrap();
    assert_eq!(own.remade(&study, &own.damaged(&made)), None);
    // Half a manifest is none.
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    assert_eq!(Manifest::read(&path), None);
}

#[test]
fn an_executed_copy_is_the_record_of_its_run_and_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().canonicalize().unwrap();
    let first = reproduce(&out, "fig1a", &["--set", "epochs=1", "--set", "n=100"]);
    let said = text(&first.stdout);
    assert!(first.status.success(), "{said}{}", text(&first.stderr));
    assert!(said.contains("set:   epochs=1,n=100"), "{said}");
    assert!(said.contains("\nshapes10 (embedded), scale smoke, set epochs=1, n=100\n"), "{said}");
    assert!(said.lines().any(|l| l.trim_start().starts_with("fig1a")), "{said}");
    let made = out.join("shapes10-smoke,epochs=1,n=100");
    assert!(!out.join("shapes10-smoke").exists(), "the plain scale's folder is its own");
    let svg = fs::read_to_string(made.join("fig1a.svg")).unwrap();
    for part in ["n = 100", "width 0.125, 1 epoch, ", "set epochs=1, n=100"] {
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
    assert_eq!(record["by"]["provenance"]["revision"], rethink::run::provenance::revision());
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
