//! `rethink kernel`: the kernel among the user's own, and papermill's parameters in it.

use rethink_cli::jupyter::{self, run};
use rethink_tests::{notebook, rethink_bin, root};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `rethink kernel ...`, whose user has their Jupyter folder in `data`.
fn rethink_kernel(arguments: &[&str], data: &Path) -> (bool, String) {
    let said = Command::new(rethink_bin())
        .arg("kernel")
        .args(arguments)
        .env("JUPYTER_DATA_DIR", data)
        .env("RETHINK_ROOT", root())
        // From anywhere.
        .current_dir(data)
        .output()
        .expect("rethink runs");
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    (said.status.success(), text)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

#[test]
fn the_kernel_is_installed_replaced_and_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let spec = data.join("kernels/rethink");
    for _ in 0..2 {
        let (good, said) = rethink_kernel(&["install"], &data);
        assert!(good && said.contains(spec.to_str().unwrap()), "{said}");
        let line = format!(":dep rethink = {{ path = {:?} }}", root().join("crate/rethink"));
        assert!(said.contains(&line) && said.contains("pip install "), "{said}");
    }
    let kernel = read(&spec.join("kernel.json"));
    assert_eq!((&kernel["display_name"], &kernel["language"]), (&json!("Rust (rethink)"), &json!("rust")));
    let argv = kernel["argv"].as_array().unwrap();
    let paths = argv.iter().filter_map(Value::as_str).filter(|arg| !arg.starts_with(['-', '{']));
    for path in paths {
        assert!(Path::new(path).is_absolute() && Path::new(path).exists(), "{path}");
    }
    assert!(spec.join("logo-64x64.png").is_file());
    // As in the project's own environment.
    let own = root().join(".rethink/venv/share/jupyter/kernels/rethink/kernel.json");
    assert_eq!(kernel, read(&own));

    // Another clone's.
    let mut other = kernel.clone();
    other["metadata"]["rethink_root"] = json!("/another/clone");
    fs::write(spec.join("kernel.json"), other.to_string()).unwrap();
    for command in ["install", "uninstall"] {
        let (good, said) = rethink_kernel(&[command], &data);
        assert!(!good && said.contains("/another/clone") && said.contains("--replace"), "{command}: {said}");
        assert_eq!(read(&spec.join("kernel.json")), other, "{command}: it stays");
    }
    let (good, said) = rethink_kernel(&["install", "--replace"], &data);
    assert!(good && read(&spec.join("kernel.json")) == kernel, "{said}");

    let (good, said) = rethink_kernel(&["uninstall"], &data);
    assert!(good && said.contains("removed") && !spec.exists(), "{said}");
    let (good, said) = rethink_kernel(&["uninstall"], &data);
    assert!(good && said.contains("there is no kernel"), "{said}");

    let prefix = folder.path().join("prefix");
    let (good, said) = rethink_kernel(&["install", "--prefix", prefix.to_str().unwrap()], &data);
    assert!(good && prefix.join("share/jupyter/kernels/rethink/kernel.json").is_file(), "{said}");
    assert!(!spec.exists());
    let (good, said) = rethink_kernel(&["install", "--user", "--prefix", "x"], &data);
    assert!(!good && said.contains("cannot be used with"), "{said}");
}

#[test]
fn a_notebook_outside_the_clone_finds_the_library() {
    let environment = jupyter::ensure(root()).unwrap_or_else(|e| panic!("set-up: {e}"));
    let folder = tempfile::tempdir().unwrap();
    let first =
        format!(":dep rethink = {{ path = {:?} }}\nuse rethink::prelude::*;", root().join("crate/rethink"));
    let notebook = notebook(&[&first, "println!(\"{}\", Scale::Smoke);"]);
    let path = folder.path().join("away.ipynb");
    fs::write(&path, notebook.to_string()).unwrap();
    let mut lines = Vec::new();
    let copy = folder.path().join("copy.ipynb");
    run::notebook(&environment, &path, &[], &copy, &mut |line| lines.push(line.to_string()))
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(lines.last().unwrap(), "  smoke", "{lines:?}");
}

/// papermill with the project's translator, in an environment of its own; `None` where it cannot be had.
fn papermill(test: &str) -> Option<PathBuf> {
    let folder = root().join("target/papermill");
    let program = folder.join("bin/papermill");
    let translator = root().join("crate/cli/src/jupyter/papermill");
    let text = fs::read_to_string(translator.join("rethink_papermill.py")).unwrap();
    let mark = folder.join("translator.py");
    if program.is_file() && fs::read_to_string(&mark).is_ok_and(|before| before == text) {
        return Some(program);
    }
    let base = jupyter::setup::python(root()).unwrap_or_else(|e| panic!("set-up: {e}"));
    let run = |command: &mut Command| command.output().is_ok_and(|said| said.status.success());
    // pip builds in the folder that it installs from.
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&translator).unwrap() {
        let from = entry.unwrap().path();
        if from.is_file() {
            fs::copy(&from, copy.path().join(from.file_name().unwrap())).unwrap();
        }
    }
    let made = run(Command::new(base).args(["-m", "venv"]).arg(&folder));
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "papermill",
        "--force-reinstall",
    ]);
    if !made || !run(pip.arg(copy.path())) {
        println!("skipped: {test}: pip has no papermill");
        return None;
    }
    fs::write(mark, text).unwrap();
    Some(program)
}

#[test]
fn papermills_parameters_are_variables_in_rust() {
    let Some(papermill) = papermill("papermills_parameters_are_variables_in_rust") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut notebook =
        notebook(&["let epochs: i64 = 3; // passes over the data\nlet names: Vec<String> = vec![];"]);
    notebook["cells"][0]["metadata"]["tags"] = json!(["parameters"]);
    let (path, out) = (folder.path().join("in.ipynb"), folder.path().join("out.ipynb"));
    fs::write(&path, notebook.to_string()).unwrap();
    let prepared = |yaml: &str| {
        let said = Command::new(&papermill)
            .args(["--prepare-only", "--no-progress-bar", "-y", yaml])
            .args([&path, &out])
            .output()
            .unwrap();
        let text =
            String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        (said.status.success(), text)
    };
    let yaml = r#"{epochs: 20, rate: 0.5, tiny: 1.0e-9, keep: true, title: "a \"b\" \\ \n{c} é", sizes: [1, 2.5], names: [a, b], nested: [[1], [2, 3]], type: 1}"#;
    let (good, said) = prepared(yaml);
    assert!(good, "{said}");
    let cells = read(&out)["cells"].as_array().unwrap().clone();
    assert_eq!(cells[1]["metadata"]["tags"], json!(["injected-parameters"]));
    let source = match &cells[1]["source"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap().to_string(),
    };
    let expected = [
        "// Parameters",
        "let epochs: i64 = 20;",
        "let rate: f64 = 0.5;",
        "let tiny: f64 = 1e-09;",
        "let keep: bool = true;",
        r#"let title: String = String::from("a \"b\" \\ \n{c} é");"#,
        "let sizes: Vec<f64> = vec![1.0, 2.5];",
        r#"let names: Vec<String> = vec![String::from("a"), String::from("b")];"#,
        "let nested: Vec<Vec<i64>> = vec![vec![1], vec![2, 3]];",
        "let r#type: i64 = 1;",
    ];
    assert_eq!(source.lines().collect::<Vec<_>>(), expected);

    for (yaml, problem) in [
        ("{epochs: null}", "parameter epochs: nothing (null) has no type in Rust"),
        ("{epochs: {a: 1}}", "a dict is no parameter"),
        ("{epochs: []}", "an empty list has no type"),
        ("{epochs: [1, a]}", "a list of String and i64"),
        ("{epochs: 9223372036854775808}", "does not fit i64"),
        ("{\"a b\": 1}", "not the name of a variable"),
    ] {
        let (good, said) = prepared(yaml);
        assert!(!good && said.contains(problem), "{yaml}: {said}");
    }

    let said = Command::new(&papermill).arg("--help-notebook").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("epochs: i64") && said.contains("passes over the data"), "{said}");
}
