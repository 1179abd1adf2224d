//! The notebooks run in the real kernel, and what fails in them is told.

use rethink::paper;
use rethink::run::config::Scale;
use rethink::study::Study;
use rethink_cli::commands::notebooks::settings;
use rethink_cli::jupyter::expected::Rule;
use rethink_cli::jupyter::outputs::Outputs;
use rethink_cli::jupyter::{self, Environment, expected, kernel, run};
use rethink_tests::{notebook, rethink_bin, root};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

fn environment() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| jupyter::ensure(root()).unwrap_or_else(|e| panic!("set-up: {e}")))
}

pub(crate) fn notebooks() -> Vec<PathBuf> {
    let folder = root().join("notebooks");
    let mut found: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|e| e == "ipynb"))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no notebooks in {}", folder.display());
    found
}

fn cells(notebook: &Path) -> Vec<Value> {
    let text = fs::read(notebook).expect("a readable notebook");
    let json: Value = serde_json::from_slice(&text).expect("a notebook is JSON");
    assert_eq!(json["metadata"]["kernelspec"]["name"], kernel::NAME, "{}", notebook.display());
    let cells = json["cells"].as_array().expect("a notebook has cells").clone();
    cells.into_iter().filter(|cell| cell["cell_type"] == "code").collect()
}

/// A cell's text: nbformat lets it be a string or a list of lines.
fn source(cell: &Value) -> String {
    match &cell["source"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_string(),
    }
}

/// Writes a notebook of these code cells.
fn notebook_of(folder: &Path, name: &str, cells: &[&str]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, notebook(cells).to_string()).expect("a writable temporary folder");
    path
}

/// [`nbval`] twice at once, each with every second notebook: while one compiles a cell, the other trains.
fn nbval_at_once(notebooks: &[PathBuf], out: &Path) -> BTreeMap<String, Option<String>> {
    let every_second =
        |first: usize| -> Vec<PathBuf> { notebooks.iter().skip(first).step_by(2).cloned().collect() };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| nbval(&every_second(1), out));
        let mut cases = nbval(&every_second(0), out);
        cases.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        cases
    })
}

/// What nbval found: test name to the failure's text, `None` where it passed.
fn nbval(notebooks: &[PathBuf], out: &Path) -> BTreeMap<String, Option<String>> {
    let first = notebooks.first().and_then(|path| path.file_stem()).expect("a notebook").to_string_lossy();
    let report = out.join(format!("report-{first}.xml"));
    let said = environment()
        .python()
        .args([
            "-m",
            "pytest",
            "-p",
            "nbval_strict",
            "--nbval-lax",
            "-p",
            "no:cacheprovider",
            "-q",
            "--color=no",
        ])
        .args(["--nbval-kernel-startup-timeout=600", "--nbval-cell-timeout=1800"])
        .arg(format!("--rootdir={}", root().display()))
        .arg(format!("--junitxml={}", report.display()))
        .args(notebooks)
        .env("PYTHONPATH", environment().home())
        .envs(settings(out))
        .env("RETHINK_RECORD", out)
        // Each variable has its type written, as `jupyter::run` sees for itself.
        .env("RETHINK_KERNEL_STD", "0")
        .current_dir(root())
        .output()
        .expect("the environment's Python runs");
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    let xml = fs::read_to_string(&report).unwrap_or_else(|e| panic!("nbval wrote no report: {e}\n{said}"));

    // <testcase classname=".." name=".." time=".." /> or <testcase ..><failure message="..">..</testcase>
    let mut cases = BTreeMap::new();
    for case in xml.split("<testcase ").skip(1) {
        let attribute = |name: &str| {
            // With a space before it: `classname` ends in `name`.
            let (case, start) = (format!(" {case}"), format!(" {name}=\""));
            let rest = case.split_once(&start).unwrap_or_else(|| panic!("no {name}: {case}")).1;
            rest.split('"').next().unwrap_or_default().to_string()
        };
        let failed = ["<failure", "<error", "<skipped"].iter().any(|tag| case.contains(tag));
        let name = format!("{} {}", attribute("classname"), attribute("name"));
        let twice = cases.insert(name, failed.then(|| case.to_string()));
        assert!(twice.is_none(), "two cells of one name:\n{xml}");
    }
    cases
}

#[test]
fn notebooks_are_committed_without_outputs() {
    for notebook in notebooks() {
        let name = notebook.display();
        let cells = cells(&notebook);
        assert!(
            source(&cells[0]).contains(":dep rethink = { path = \"../crate/rethink\" }"),
            "{name}: first code cell"
        );
        for (i, cell) in cells.iter().enumerate() {
            assert_eq!(cell["outputs"], json!([]), "{name}: outputs of code cell {}", i + 1);
            assert!(cell["execution_count"].is_null(), "{name}: execution count of code cell {}", i + 1);
        }
    }
}

/// What nbval found in all notebooks, and the folder with one for each: what it wrote, and itself with its outputs.
pub(crate) struct Executed {
    cases: BTreeMap<String, Option<String>>,
    out: PathBuf,
    begun: SystemTime,
}

impl Executed {
    /// `notebook` with its outputs.
    pub(crate) fn copy(&self, notebook: &Path) -> PathBuf {
        let stem = notebook.file_stem().expect("a notebook has a name");
        self.out.join(stem).join(notebook.file_name().expect("a notebook has a name"))
    }
}

/// All notebooks, executed once for the tests that look at them.
pub(crate) fn executed() -> &'static Executed {
    static EXECUTED: OnceLock<Executed> = OnceLock::new();
    EXECUTED.get_or_init(|| {
        let out = root().join("target/executed");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir_all(&out).expect("a folder for what notebooks write");
        let begun = SystemTime::now();
        Executed { cases: nbval_at_once(&notebooks(), &out), out, begun }
    })
}

#[test]
fn every_cell_of_every_notebook_runs() {
    let notebooks = notebooks();
    let before: Vec<_> = notebooks.iter().map(|n| fs::read(n).expect("a readable notebook")).collect();
    let Executed { cases, out, begun } = executed();
    let failures: Vec<_> =
        cases.iter().filter_map(|(n, f)| f.as_ref().map(|f| format!("{n}: {f}"))).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let expected: usize = notebooks.iter().map(|n| cells(n).len()).sum();
    assert_eq!(cases.len(), expected, "every code cell is a test of nbval's: {:?}", cases.keys());
    for (notebook, before) in notebooks.iter().zip(before) {
        assert!(fs::read(notebook).expect("a readable notebook") == before, "{} changed", notebook.display());
    }
    versions_are_the_locks(*begun);
    cells_draw_what_the_items_draw(&notebooks, out);
    let wrong: Vec<String> = notebooks.iter().flat_map(|n| differences_from_stored(n, out)).collect();
    assert!(
        wrong.is_empty(),
        "{} differences from tests/expected; where they are right, `rethink notebooks accept` stores them:\n{}",
        wrong.len(),
        wrong.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n")
    );
}

/// The figures that a cell draws by the grammar in full; of corollary 1 and SGD's way, cells draw a part.
const DRAWN: [&str; 9] =
    ["fig1a", "fig1b", "fig1c", "rademacher", "stability", "fig2b", "theorem1", "norms", "fig2a"];

/// A cell's few lines give the same curves, legend and axes as the item's own figure, which the notebook saves.
fn cells_draw_what_the_items_draw(notebooks: &[PathBuf], record: &Path) {
    let mut compared = Vec::new();
    for notebook in notebooks {
        let stem = notebook.file_stem().unwrap().to_str().unwrap();
        let folder = record.join(stem);
        let results: Vec<Value> = cells(&folder.join(format!("{stem}.ipynb")))
            .into_iter()
            .flat_map(|cell| cell["outputs"].as_array().cloned().unwrap_or_default())
            .collect();
        for id in DRAWN {
            let of = |output: &Value, kind: &str| source(&json!({ "source": output["data"][kind] }));
            let mine = |output: &&Value| of(output, "text/plain").starts_with(&format!("{id}: "));
            let Some(shown) = results.iter().find(mine) else { continue };
            let saved = find(&folder, &format!("{id}.svg")).unwrap_or_else(|| panic!("{id} is not saved"));
            let saved = fs::read_to_string(saved).expect("a readable figure");
            assert_eq!(parts(&of(shown, "image/svg+xml")), parts(&saved), "{id}");
            compared.push(id);
        }
    }
    compared.sort();
    let mut all = DRAWN;
    all.sort();
    assert_eq!(compared, all);
}

/// The file `name` in `folder` or below.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    entries.into_iter().find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => (path.file_name()? == name).then_some(path),
    })
}

/// Of a figure: each series' colour, dashes and number of points, and its texts but for the small print.
fn parts(svg: &str) -> (Vec<String>, Vec<String>) {
    let document = roxmltree::Document::parse(svg).expect("a figure is XML");
    let (mut curves, mut texts) = (Vec::new(), Vec::new());
    for node in document.descendants() {
        let attribute = |name: &str| node.attribute(name).unwrap_or_default();
        if node.has_tag_name("polyline") && attribute("stroke-width") == "25" {
            let points = attribute("points").split_whitespace().count();
            curves.push(format!("{} {} {points}", attribute("stroke"), attribute("stroke-dasharray")));
        }
        // The small print is set in grey.
        if node.has_tag_name("text") && attribute("fill") != "#595959" {
            texts.push(node.text().unwrap_or_default().trim().to_string());
        }
    }
    assert!(!curves.is_empty() && !texts.is_empty(), "{svg}");
    (curves, texts)
}

/// Of what the notebook showed and wrote under nbval.
fn differences_from_stored(notebook: &Path, record: &Path) -> Vec<String> {
    let stem = notebook.file_stem().unwrap().to_str().unwrap();
    let folder = record.join(stem);
    let got = Outputs::of(&folder.join(format!("{stem}.ipynb")), &folder, root()).unwrap();
    let stored = Outputs::read(&expected::folder(&root().join("tests/expected"), notebook));
    let stored = stored.unwrap_or_else(|e| panic!("{e}"));
    let rule = Rule::of(&stored, &got);
    let found = expected::differences(&stored, &got, rule.tolerance).unwrap();
    if rule.allows(&stored, &found) {
        return Vec::new();
    }
    found.iter().map(|difference| format!("{stem}: {difference}")).collect()
}

/// Every library that the cells run since `begun` were built from is one of Cargo.lock's. (A kernel's folder that was not used since may be of an
/// earlier one.)
fn versions_are_the_locks(begun: SystemTime) {
    let packages = |lock: &Path| -> Vec<String> {
        let text = fs::read_to_string(lock).unwrap_or_else(|e| panic!("{}: {e}", lock.display()));
        text.split("[[package]]")
            .skip(1)
            .map(|p| p.lines().filter(|l| l.starts_with("name") || l.starts_with("version")).collect())
            .collect()
    };
    let locked = packages(&root().join("Cargo.lock"));
    let kernels = fs::read_dir(root().join(".rethink/kernels")).expect("kernels have run");
    let mut seen = 0;
    for kernel in kernels {
        let lock = kernel.expect("a readable folder").path().join("mirror/Cargo.lock");
        let written = fs::metadata(&lock).and_then(|file| file.modified());
        if !written.is_ok_and(|written| written >= begun) {
            continue;
        }
        let used = packages(&lock);
        seen += usize::from(used.iter().any(|p| p.contains("polars-core")));
        // The cell, and the dynamic library that it loads.
        let own = |p: &&String| p.contains("name = \"ctx-") || p.contains("name = \"rethink-cells\"");
        let strange: Vec<_> = used.iter().filter(|p| !own(p) && !locked.contains(p)).collect();
        assert!(strange.is_empty(), "{}: not in Cargo.lock: {strange:?}", lock.display());
    }
    assert!(seen > 0, "no kernel's lock file has polars in it");
}

/// evcxr answers "ok" to the first two; plain nbval would pass them.
#[test]
fn nbval_sees_errors_and_panics() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let notebook = notebook_of(
        out.path(),
        "failing.ipynb",
        &["Err::<(), String>(\"no such thing\".into())?;", "panic!(\"out of range\");", "let one: i32 = 1;"],
    );
    let cases = nbval(&[notebook], out.path());
    let texts: Vec<_> = cases.values().map(|f| f.as_deref().unwrap_or("passed")).collect();
    assert_eq!(texts.len(), 3, "{cases:?}");
    assert!(texts[0].contains("no such thing"), "{}", texts[0]);
    assert!(texts[1].contains("out of range"), "{}", texts[1]);
    assert_eq!(texts[2], "passed");
}

/// A notebook of these code cells, each with a tag.
fn tagged_notebook(folder: &Path, name: &str, cells: &[(&str, &str)]) -> PathBuf {
    let sources: Vec<&str> = cells.iter().map(|(_, source)| *source).collect();
    let (path, mut json) = (folder.join(name), notebook(&sources));
    for (cell, (tag, _)) in json["cells"].as_array_mut().expect("cells").iter_mut().zip(cells) {
        cell["metadata"]["tags"] = json!([tag]);
    }
    fs::write(&path, json.to_string()).expect("a writable temporary folder");
    path
}

/// Under nbval itself, with the project's plugin.
#[test]
fn nbvals_tags_hold_under_nbval() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let cells = [
        ("raises-exception", "panic!(\"expected\");"),
        ("raises-exception", "let b: i32 = \"x\";"),
        ("skip-execution", "panic!(\"skipped\");"),
        ("nbval-ignore-output", "std::process::id()"),
    ];
    let notebook = tagged_notebook(out.path(), "tagged.ipynb", &cells);
    let cases = nbval(&[notebook], out.path());
    let texts: Vec<_> = cases.values().map(|f| f.as_deref().unwrap_or("passed")).collect();
    assert_eq!(texts.len(), 4, "{cases:?}");
    assert_eq!((texts[0], texts[1], texts[3]), ("passed", "passed", "passed"), "{cases:?}");
    assert!(texts[2].contains("<skipped"), "{}", texts[2]);
}

#[test]
fn a_run_reports_cells_and_lines_and_writes_the_copy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let notebook = notebook_of(
        folder.path(),
        "good.ipynb",
        &[
            "let name: String = std::env::var(\"RETHINK_TEST\")?;",
            "for i in 0..2 { println!(\"{name} {i}\"); }\n7 * 6",
        ],
    );
    let copy = folder.path().join("out/good.ipynb");
    let mut lines = Vec::new();
    let envs = [("RETHINK_TEST".to_string(), "epoch".to_string())];
    run::notebook(environment(), &notebook, &envs, &copy, &mut |line| lines.push(line.to_string()))
        .unwrap_or_else(|e| panic!("{e}"));
    let expected = [
        "[1/2] let name: String = std::env::var(\"RETHINK_TEST\")?;",
        "[2/2] for i in 0..2 { println!(\"{name} {i}\"); }",
        "  epoch 0",
        "  epoch 1",
    ];
    assert_eq!(lines, expected);
    let executed = cells(&copy);
    assert_eq!(executed[1]["execution_count"], 2);
    let result = executed[1]["outputs"]
        .as_array()
        .expect("outputs")
        .iter()
        .find(|o| o["output_type"] == "execute_result");
    assert_eq!(source(&json!({"source": result.expect("a result")["data"]["text/plain"]})), "42");
}

/// Cells that fail, and what the error has to say: a compiler's message, a returned error, a panic, a
/// kernel process that is gone.
#[test]
fn a_failing_cell_is_named_with_what_it_said() {
    let failing = [
        ("let b: i32 = a + \"x\";", "cannot add `&str` to `i32`"),
        ("Err::<(), String>(\"no such thing\".into())?;", "no such thing"),
        ("panic!(\"out of range\");", "out of range"),
        ("std::process::exit(3)", "exit status: 3"),
    ];
    for (i, (cell, expected)) in failing.into_iter().enumerate() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let notebook =
            notebook_of(folder.path(), "bad.ipynb", &["let a: i32 = 1;", cell, "println!(\"unreached\")"]);
        let copy = folder.path().join("copy.ipynb");
        // A copy of an earlier run does not stay as if it were this run's.
        fs::write(&copy, "{}").expect("a writable temporary folder");
        let mut lines = Vec::new();
        let error =
            run::notebook(environment(), &notebook, &[], &copy, &mut |line| lines.push(line.to_string()))
                .expect_err(cell)
                .to_string();
        for part in ["bad.ipynb", "cell 2", cell, expected, "copy.failed.ipynb"] {
            assert!(error.contains(part), "case {i}: no {part:?} in {error}");
        }
        assert!(!error.contains('\x1b'), "colours in {error:?}");
        assert!(!lines.iter().any(|l| l.contains("unreached")), "{lines:?}");
        assert!(!copy.exists());
        assert!(folder.path().join("copy.failed.ipynb").is_file());
    }
}

/// polars finds columns from an index whose hash is seeded once a process; a cell with a polars of its own would find none.
#[test]
fn columns_of_stored_runs_are_found_in_every_later_cell() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let crate_folder = root().join("crate/rethink");
    let read = "for run in &runs { println!(\"seen {:?} {:?} {:?}\", paper::fig2b::early_stopping_gain(run).unwrap(), \
                run.steps_to(2.3), run.column(\"loss\")?.f64()?.iter().flatten().sum::<f64>()); };\n\
                println!(\"seen {:?}\", frame.column(\"test_accuracy\")?.f64()?.iter().flatten().sum::<f64>());\n\
                study.show(\"fig2b\")?;";
    let cells = [
        &format!(":dep rethink = {{ path = {crate_folder:?} }}\nuse rethink::prelude::*;"),
        "let study: Study = Study::from_environment()?;\nprintln!(\"{} runs\", study.runs(\"fig2b\")?.len());",
        "let runs: Vec<Run> = study.runs(\"fig2b\")?;\nlet frame: DataFrame = paper::fig2b::frame(&runs)?;",
        read,
        read,
    ];
    let notebook = notebook_of(folder.path(), "columns.ipynb", &cells);
    let mut said = Vec::new();
    let copy = folder.path().join("copy.ipynb");
    run::notebook(environment(), &notebook, &settings(folder.path()), &copy, &mut |line| {
        said.extend(line.trim().strip_prefix("seen ").map(String::from));
    })
    .unwrap_or_else(|e| panic!("{e}"));

    let study = Study::new(Some("shapes10"), Scale::Smoke, folder.path()).unwrap();
    let runs = study.runs("fig2b").unwrap();
    let mut expected: Vec<String> = runs
        .iter()
        .map(|run| {
            let losses = run.column("loss").unwrap().f64().unwrap().iter().flatten().sum::<f64>();
            let gain = paper::fig2b::early_stopping_gain(run).unwrap();
            format!("{gain:?} {:?} {losses:?}", run.steps_to(2.3))
        })
        .collect();
    let frame = paper::fig2b::frame(&runs).unwrap();
    let tests = rethink_plot::frames::column(&frame, "test_accuracy").unwrap();
    expected.push(format!("{:?}", tests.f64().unwrap().iter().flatten().sum::<f64>()));
    assert_eq!(said, [expected.clone(), expected].concat());
}

/// Several notebooks are open at once in JupyterLab. Their cells are compiled in one build folder.
#[test]
fn kernels_at_once_do_not_get_each_others_cells() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = &|name: &str| {
        let cells: Vec<String> = (0..6)
            .map(|i| match i {
                0 => format!("let mut said: Vec<String> = vec![\"{name}0\".to_string()];"),
                i => format!("said.push(\"{name}{i}\".to_string()); println!(\"{{}}\", said.join(\" \"));"),
            })
            .collect();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let notebook = notebook_of(folder.path(), &format!("{name}.ipynb"), &cells);
        let copy = folder.path().join(format!("{name}-copy.ipynb"));
        run::notebook(environment(), &notebook, &[], &copy, &mut |_| {})
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let text = fs::read_to_string(&copy).expect("an executed notebook");
        let said = (0..6).map(|i| format!("{name}{i}")).collect::<Vec<_>>().join(" ");
        assert!(text.contains(&said), "{name}: no {said:?} in {text}");
    };
    std::thread::scope(|scope| {
        ["a", "b", "c"].map(|name| scope.spawn(move || run(name))).into_iter().for_each(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    });
}

#[test]
fn a_broken_notebook_is_told_before_a_kernel_starts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("half.ipynb");
    fs::write(&path, "{\"cells\": [").expect("a writable temporary folder");
    let copy = folder.path().join("copy.ipynb");
    let error =
        run::notebook(environment(), &path, &[], &copy, &mut |_| {}).expect_err("half a file").to_string();
    assert!(error.contains("half.ipynb") && error.contains("not a notebook"), "{error}");
    assert!(error.contains("git checkout"), "{error}");
    let absent = run::notebook(environment(), &folder.path().join("none.ipynb"), &[], &copy, &mut |_| {});
    assert!(absent.expect_err("no file").to_string().contains("none.ipynb"));
}

/// `rethink notebooks ...` in the workspace.
fn rethink_notebooks(arguments: &[&str]) -> (bool, String) {
    let said = Command::new(rethink_bin())
        .arg("notebooks")
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("rethink runs");
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    (said.status.success(), text)
}

/// What nbval's tags say holds in `rethink notebooks` too.
#[test]
fn a_check_skips_and_ignores_what_is_tagged_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cells = [
        ("skip-execution", "panic!(\"skipped\");"),
        ("nbval-ignore-output", "std::process::id()"),
        ("raises-exception", "panic!(\"so\");"),
        ("raises-exception", "let b: i32 = \"x\";"),
        ("other", "7 * 6"),
    ];
    let notebook = tagged_notebook(folder.path(), "tagged.ipynb", &cells);
    let stored = folder.path().join("expected");
    for command in ["accept", "check"] {
        let path = [command, notebook.to_str().unwrap(), "--expected", stored.to_str().unwrap()];
        let (good, said) = rethink_notebooks(&path);
        assert!(good, "{command}: {said}");
    }
    let cells = fs::read_to_string(stored.join("tagged/cells.txt")).expect("stored cells");
    assert!(cells.contains("[2] std::process::id()\n\n[3] "), "{cells}");
    assert!(cells.contains("[5] 7 * 6\nshows: text/plain\nresult:\n| 42"), "{cells}");
}

/// The error names it.
#[test]
fn a_failed_notebooks_copy_is_where_the_message_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let notebook = notebook_of(folder.path(), "bad.ipynb", &["println!(\"before\");", "panic!(\"here\");"]);
    let (good, said) = rethink_notebooks(&["check", notebook.to_str().unwrap()]);
    assert!(!good && said.contains("here"), "{said}");
    let copy = said.lines().find_map(|line| line.split_once("as far as it came: ")).expect(&said).1.trim();
    assert!(fs::read_to_string(copy).expect(copy).contains("before\\n"), "{copy}");
    fs::remove_dir_all(Path::new(copy).parent().expect("its folder")).expect("it was kept alone");
}

/// Store, compare, change a number of the notebook, compare, store, compare.
#[test]
fn a_changed_number_fails_the_check_until_it_is_accepted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stored = folder.path().join("expected");
    let write = |loss: &str| {
        let csv = format!(
            "let out: String = format!(\"{{}}/shapes10-smoke\", std::env::var(\"RETHINK_OUT\")?);\n\
             std::fs::create_dir_all(&out)?;\n\
             std::fs::write(format!(\"{{out}}/fig.csv\"), \"step,loss,seconds\\n1,{loss},0.5\\n\")?;"
        );
        let show = format!("println!(\"loss {loss}, {{}}\", std::env::var(\"RETHINK_SCALE\")?);\n{loss}");
        notebook_of(folder.path(), "small.ipynb", &[&csv, &show])
    };
    let notebook = write("2.3025");
    let of = |command: &str, more: &[&str]| {
        let path = [command, notebook.to_str().unwrap(), "--expected", stored.to_str().unwrap()];
        rethink_notebooks(&[&path, more].concat())
    };
    let (good, said) = of("check", &[]);
    assert!(!good && said.contains("no outputs are stored") && said.contains("notebooks accept"), "{said}");
    let (good, said) = of("accept", &[]);
    assert!(good && said.contains("small: stored, 2 files"), "{said}");
    let cells = fs::read_to_string(stored.join("small/cells.txt")).expect("stored cells");
    assert!(cells.contains("| loss 2.3025, smoke\n") && cells.contains("result:\n| 2.3025\n"), "{cells}");
    let (good, said) = of("check", &[]);
    assert!(good && said.contains("small: as stored"), "{said}");

    write("2.3125");
    let (good, said) = of("check", &[]);
    assert!(!good && said.contains("1 of 1 notebook is not as stored"), "{said}");
    for part in
        ["expected  loss 2.3025, smoke", "got       loss 2.3125, smoke", "fig.csv, line 2, column loss"]
    {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let (good, said) = of("check", &["--rtol", "0.01"]);
    // The number is within the tolerance, the source of the cell that has it in its first line is not.
    assert!(!good && !said.contains("fig.csv"), "{said}");
    let (good, said) = of("accept", &[]);
    assert!(good && said.contains("differences accepted") && said.contains("changed: fig.csv"), "{said}");
    let (good, said) = of("check", &[]);
    assert!(good, "{said}");

    let (good, said) = rethink_notebooks(&["check", "99-nothing"]);
    assert!(!good && said.contains("01-fitting-random-labels"), "{said}");
    let (good, said) = rethink_notebooks(&["check", "0"]);
    assert!(!good && said.contains("none or several"), "{said}");
    // The beginning of a name is enough; a folder that is there already stops it before the kernel starts.
    fs::create_dir(folder.path().join("06-batch-normalization")).unwrap();
    let (good, said) = rethink_notebooks(&["check", "06", "--out", folder.path().to_str().unwrap()]);
    assert!(!good && said.contains("06-batch-normalization is there already"), "{said}");
    let (good, said) = rethink_notebooks(&["check", "--rtol=-1"]);
    assert!(!good && said.contains("0 or more"), "{said}");
}

#[test]
fn cleaning_gives_back_the_committed_notebook() {
    let (good, said) = rethink_notebooks(&["clean", "--check"]);
    assert!(good, "{said}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let committed = &notebooks()[0];
    let copy = folder.path().join("copy.ipynb");
    // As JupyterLab would leave it.
    let mut json: Value = serde_json::from_slice(&fs::read(committed).expect("a notebook")).expect("JSON");
    let cells = json["cells"].as_array_mut().expect("cells");
    let code = cells.iter_mut().find(|c| c["cell_type"] == "code").expect("a code cell");
    code["execution_count"] = json!(3);
    code["outputs"] = json!([{"output_type": "stream", "name": "stdout", "text": ["epoch 1\n"]}]);
    code["metadata"]["execution"] = json!({"iopub.status.busy": "2026-01-01T00:00:00Z"});
    let injected = json!({"cell_type": "code", "id": "x", "source": ":env A=B", "outputs": [],
                          "execution_count": 1, "metadata": {"tags": [run::INJECTED]}});
    cells.insert(0, injected);
    json["metadata"]["rethink"] = json!({"duration": 3.0});
    fs::write(&copy, json.to_string()).expect("a writable temporary folder");
    let path = copy.to_str().unwrap();

    let (good, said) = rethink_notebooks(&["clean", "--check", path]);
    assert!(!good && said.contains("copy.ipynb") && said.contains("not clean"), "{said}");
    assert_eq!(fs::read_to_string(&copy).unwrap(), json.to_string(), "checking changes nothing");
    let (good, said) = rethink_notebooks(&["clean", folder.path().to_str().unwrap()]);
    assert!(good && said.contains("cleaned:"), "{said}");
    assert_eq!(fs::read_to_string(&copy).unwrap(), fs::read_to_string(committed).unwrap());
    fs::write(&copy, "{\"cells\": [").expect("a writable temporary folder");
    let (good, said) = rethink_notebooks(&["clean", path]);
    assert!(!good && said.contains("copy.ipynb"), "{said}");
}

/// Starts a cell, interrupts it when the run has a checkpoint, runs the same cells again.
const INTERRUPT: &str = r#"
import os, pathlib, queue, sys, time
from jupyter_client.manager import start_new_kernel

def say(message):
    if message["msg_type"] == "stream":
        print(message["content"]["name"], message["content"]["text"], flush=True)
    if message["msg_type"] == "error":
        print("error", message["content"]["evalue"], flush=True)

manager, client = start_new_kernel(kernel_name="rethink", startup_timeout=600, cwd=sys.argv[1])
cells = sys.argv[2:]
try:
    for cell in cells[:-1]:
        print(client.execute_interactive(cell, timeout=600, output_hook=say)["content"]["status"], flush=True)
    client.execute(cells[-1])
    store = pathlib.Path(os.environ["RETHINK_OUT"]) / "runs"
    started = time.monotonic()
    while not list(store.glob("*.partial/checkpoint.safetensors")) and time.monotonic() - started < 120:
        if list(store.glob("*.parquet")):
            break
        time.sleep(0.005)
    manager.interrupt_kernel()
    print("finished before:", len(list(store.glob("*.parquet"))), f"after {time.monotonic() - started:.0f} s", flush=True)
    while True:
        message = client.get_iopub_msg(timeout=60)
        say(message)
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            break
    for cell in cells[1:]:
        print(client.execute_interactive(cell, timeout=600, output_hook=say)["content"]["status"], flush=True)
finally:
    manager.shutdown_kernel(now=True)
"#;

#[test]
fn an_interrupted_cell_goes_on_where_it_was_and_ends_as_if_it_had_not_been() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let set = "epochs=100";
    let whole = tempfile::tempdir().expect("a temporary folder");
    let study =
        Study::new(Some("shapes10"), Scale::Smoke, whole.path()).unwrap().set(set.parse().unwrap()).unwrap();
    let config = study.configs_of(paper::find("fig2b").unwrap()).remove(0);
    let expected = study.train_all(std::slice::from_ref(&config), &mut |_| {}).unwrap();

    let cells = [
        ":dep rethink = { path = \"../crate/rethink\" }\nuse rethink::prelude::*;",
        "let study: Study = Study::from_environment()?;\n\
         let config: RunConfig = study.configs_of(paper::find(\"fig2b\")?).remove(0);",
        "let mut first: Option<u32> = None;\n\
         let run: Run = study.store().run(&config, &study.data, study.scale, &mut |event| {\n\
             if let rethink::store::Event::Epoch(row) = event { first.get_or_insert(row.epoch); }\n\
         })?;\n\
         println!(\"first {} digest {}\", first.unwrap_or(0), run.record.digest);",
    ];
    let said = environment()
        .python()
        .args(["-I", "-c", INTERRUPT])
        .arg(root().join("notebooks"))
        .args(cells)
        .envs(settings(out.path()))
        .env("RETHINK_SET", set)
        .env("RETHINK_CHECKPOINT", "0.2")
        .output()
        .expect("the environment's Python runs");
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("finished before: 0"), "interrupted in time: {said}");
    let line = said.lines().rfind(|l| l.contains("digest")).unwrap_or_else(|| panic!("no run: {said}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |name: &str| words[words.iter().position(|w| *w == name).expect(name) + 1];
    assert!(after("first").parse::<u32>().expect("an epoch") > 1, "it went on from a checkpoint: {line}");
    assert_eq!(after("digest"), expected[0].record.digest, "as the run that nobody interrupted");
}

/// A kernel that went on would train what nobody asked for any more, and hold the store's locks.
#[cfg(unix)]
#[test]
fn a_killed_program_leaves_no_kernel_behind() {
    environment();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let beats = folder.path().join("beats");
    let cell = format!(
        "for beat in 0u64.. {{\n    std::fs::write({beats:?}, beat.to_string())?;\n    \
         std::thread::sleep(std::time::Duration::from_millis(20));\n}};"
    );
    let notebook = notebook_of(folder.path(), "endless.ipynb", &[&cell]);
    let mut program = Command::new(rethink_bin())
        .args(["notebooks", "check"])
        .arg(&notebook)
        .current_dir(root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let wait = |what: &str, there: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !there() {
            assert!(began.elapsed() < Duration::from_secs(600), "{what}");
        }
    };
    let beats_on = || {
        let before = fs::read(&beats).ok();
        std::thread::sleep(Duration::from_secs(2));
        fs::read(&beats).ok() != before
    };
    wait("the cell did not start", &beats_on);
    program.kill().expect("killed");
    program.wait().expect("ended");
    wait("the cell goes on after its program was killed", &|| !beats_on());
}

/// Cells are linked from the very files that the command line is linked from.
#[test]
fn the_kernel_compiles_no_library_again() {
    let polars = |messages: &[u8]| -> String {
        String::from_utf8_lossy(messages)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|m| m["reason"] == "compiler-artifact" && m["target"]["name"] == "polars_core")
            .expect("polars-core is among the artifacts")["filenames"][0]
            .to_string()
    };
    rethink_bin();
    let environment = environment();
    let build = |mut command: Command| {
        let said = command.output().expect("cargo runs");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        polars(&said.stdout)
    };
    let mut cell = environment.python();
    cell.arg("-I").arg(environment.home().join("launch.py"));
    cell.args([&environment.root, &environment.build, &environment.evcxr])
        .args(["--build", "--message-format=json"]);
    let mut workspace = Command::new(env!("CARGO"));
    jupyter::environment::outside_cargo(&mut workspace);
    workspace
        .args(["build", "--release", "--package=rethink-cli", "--message-format=json"])
        .current_dir(root());
    assert_eq!(build(cell), build(workspace));
}

/// A workspace that has nothing set up; its crate is this one's.
#[cfg(unix)]
fn bare_workspace() -> tempfile::TempDir {
    let bare = tempfile::tempdir().expect("a temporary folder");
    for name in ["Cargo.toml", "Cargo.lock"] {
        fs::copy(root().join(name), bare.path().join(name)).expect("a writable temporary folder");
    }
    for name in ["crate", "tests", "notebooks"] {
        std::os::unix::fs::symlink(root().join(name), bare.path().join(name)).expect("a link");
    }
    bare
}

#[cfg(unix)]
fn lab_fails(bare: &Path, envs: &[(&str, &str)]) -> String {
    let said = Command::new(rethink_bin())
        .arg("lab")
        .env("RETHINK_ROOT", bare)
        .envs(envs.iter().copied())
        .current_dir(bare)
        .output()
        .expect("rethink runs");
    assert_eq!(said.status.code(), Some(1));
    String::from_utf8_lossy(&said.stderr).into_owned()
}

#[cfg(unix)]
#[test]
fn missing_python_and_missing_network_say_what_to_do() {
    let bare = bare_workspace();
    let said = lab_fails(bare.path(), &[("RETHINK_PYTHON", "/nonexistent/python3")]);
    assert!(said.contains("error: Python 3.9 or later") && said.contains("/nonexistent/python3"), "{said}");
    assert!(said.contains("RETHINK_PYTHON"), "{said}");

    // Nothing listens on port 9; no cache and no folder of packages helps out.
    let offline = [
        ("PIP_INDEX_URL", "http://127.0.0.1:9/simple"),
        ("PIP_FIND_LINKS", ""),
        ("PIP_NO_CACHE_DIR", "1"),
        ("PIP_RETRIES", "0"),
        ("PIP_CONFIG_FILE", "/dev/null"),
    ];
    for _ in 0..2 {
        // The second time too: the unfinished environment is not taken for a whole one.
        let said = lab_fails(bare.path(), &offline);
        assert!(said.contains("installing JupyterLab"), "{said}");
        assert!(said.contains("network"), "{said}");
    }
}
