//! The notebooks in JupyterLab in a real browser: `rethink lab`, headless Chromium, the Rust kernel. All are looked at as they were
//! executed for the other tests; the first one is executed here as well, and so is a notebook of research.
//!
//! `browser/drive.py` drives Chromium; its one package is installed into `target/browser/venv`. Screenshots, of the
//! whole height of each notebook, go to `target/screenshots`.

use crate::notebooks::{executed, notebooks};
use rethink_cli::commands::notebooks::settings;
use rethink_cli::jupyter::outputs::Outputs;
use rethink_cli::jupyter::{self, expected, kernel};
use rethink_tests::browser::{chromium, python};
use rethink_tests::{notebook, rethink_bin, root};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const NAME: &str = "every_notebook_shows_its_figures_and_tables_in_a_browser";

/// A copy of each executed notebook that JupyterLab may save, from which their `../crate` leads to the crate.
fn copies(folder: &Path) -> Vec<PathBuf> {
    let copies = folder.join("notebooks");
    let _ = fs::remove_dir_all(&copies);
    fs::create_dir_all(&copies).unwrap();
    let link = folder.join("crate");
    if !link.exists() {
        std::os::unix::fs::symlink(root().join("crate"), &link).unwrap();
    }
    let copy = |notebook: &PathBuf| {
        let to = copies.join(notebook.file_name().unwrap());
        fs::copy(executed().copy(notebook), &to).unwrap();
        to
    };
    notebooks().iter().map(copy).collect()
}

/// JupyterLab draws the outputs of notebooks that it has executed itself, or that are said to be trusted.
fn trust(notebooks: &[PathBuf]) {
    let python = jupyter::setup::python(root()).unwrap();
    let said = Command::new(python).args(["-m", "jupyter", "trust"]).args(notebooks).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// `rethink lab`, ended with its test.
struct Lab {
    program: Child,
    /// With the token.
    address: String,
    _settings: tempfile::TempDir,
}

impl Lab {
    fn start(out: &Path) -> Lab {
        let settings_folder = tempfile::tempdir().unwrap();
        let at = settings_folder.path();
        let write = |name: &str, settings: Value| {
            let path = at.join("lab").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, settings.to_string()).unwrap();
        };
        // All cells are on the page whatever the window shows; no question covers it.
        write("@jupyterlab/notebook-extension/tracker.jupyterlab-settings", json!({"windowingMode": "none"}));
        let quiet = json!({"fetchNews": "false", "checkForUpdates": false});
        write("@jupyterlab/apputils-extension/notification.jupyterlab-settings", quiet);

        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(rethink_bin());
        command.args(["lab", "--no-browser", "--allow-root", "--port", &port.to_string()]);
        // A group of its own, to end all of it after a failure.
        command.process_group(0);
        let program = command
            .envs(settings(out))
            .env("JUPYTERLAB_SETTINGS_DIR", at.join("lab"))
            .env("JUPYTERLAB_WORKSPACES_DIR", at.join("workspaces"))
            .env("JUPYTER_CONFIG_DIR", at.join("config"))
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lab = Lab { program, address: String::new(), _settings: settings_folder };
        let errors = BufReader::new(lab.program.stderr.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || errors.lines().map_while(Result::ok).for_each(|l| drop(send.send(l))));
        let (started, mut said) = (Instant::now(), Vec::new());
        // The first time, everything is set up.
        while started.elapsed() < Duration::from_secs(1800) {
            match lines.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => {
                    let start = line.find(&format!("http://127.0.0.1:{port}/"));
                    if let Some(address) = start.map(|i| &line[i..]).filter(|a| a.contains("token=")) {
                        lab.address = address.trim().to_string();
                        return lab;
                    }
                    said.push(line);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        panic!("JupyterLab named no address:\n{}", said.join("\n"));
    }

    /// As from JupyterLab's menu; what it exits with.
    fn shut_down(mut self) -> Option<i32> {
        let (base, token) = self.address.split_once("token=").expect("an address with a token");
        let base = base.split("/lab").next().unwrap_or(base);
        let request = format!("{base}/api/shutdown?token={token}");
        let post = "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], method='POST'))";
        let python = jupyter::setup::python(root()).unwrap();
        let said = Command::new(python).args(["-c", post, &request]).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(60) {
            if let Some(status) = self.program.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // After a clean end there is nothing to end; JupyterLab takes its kernels along.
        if self.program.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        let group = format!("-{}", self.program.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let _ = self.program.wait();
    }
}

/// Code cells of a notebook of research: polars' and plotters' own words, and a training that is stopped and goes on.
const RESEARCH: [&str; 7] = [
    ":dep rethink = { path = \"../crate/rethink\" }\nuse rethink::prelude::*;",
    "let study: Study = Study::from_environment()?;\nlet kept: Vec<i32> = vec![1, 2, 3];\n\
     let runs: Vec<Run> = study.runs(\"fig1a\")?;\nlet frame: DataFrame = paper::fig1a::frame(&runs)?;",
    "frame.clone().lazy().filter(col(\"epoch\").gt(lit(1))).group_by([col(\"setting\")]).agg([col(\"loss\").mean()]).collect()?",
    // From plotters' documentation.
    "use plotters::prelude::*;\n\
     evcxr_figure((640, 480), |root| {\n\
     \x20   root.fill(&WHITE)?;\n\
     \x20   let mut chart = ChartBuilder::on(&root)\n\
     \x20       .caption(\"y=x^2\", (\"Arial\", 50).into_font())\n\
     \x20       .margin(5)\n\
     \x20       .x_label_area_size(30)\n\
     \x20       .y_label_area_size(30)\n\
     \x20       .build_cartesian_2d(-1f32..1f32, -0.1f32..1f32)?;\n\
     \x20   chart.configure_mesh().draw()?;\n\
     \x20   chart.draw_series(LineSeries::new(\n\
     \x20       (-50..=50).map(|x| x as f32 / 50.0).map(|x| (x, x * x)),\n\
     \x20       &RED,\n\
     \x20   ))?\n\
     \x20       .label(\"y = x^2\")\n\
     \x20       .legend(|(x,y)| PathElement::new(vec![(x,y), (x + 20,y)], &RED));\n\
     \x20   chart.configure_series_labels()\n\
     \x20       .background_style(&WHITE.mix(0.8))\n\
     \x20       .border_style(&BLACK)\n\
     \x20       .draw()?;\n\
     \x20   Ok(())\n\
     })",
    "let mut long: Vec<RunConfig> = study.configs(\"fig1a\")?;\nlong.truncate(1);\n\
     long[0].hyper.epochs = 200;\nlong[0].hyper.keep_going();\nlet part: Vec<Run> = study.train(&long)?;",
    "println!(\"kept {kept:?}, {}\", part[0].record.ended());",
    "let whole: Vec<Run> = study.train(&long)?;\nprintln!(\"{} after {} epochs\", whole[0].record.ended(), whole[0].record.epochs);",
];

/// What the page showed of [`RESEARCH`].
fn check_research(seen: &Value) {
    assert_eq!(seen["errors"], json!([]), "{seen}");
    assert_eq!(seen["executed"], seen["cells"], "{seen}");
    assert_eq!(counts(seen, "tables")[2], 1, "polars' frame: {seen}");
    assert_eq!(counts(seen, "figures")[3], 1, "plotters' figure: {seen}");
    let running = seen["running"].as_str().unwrap_or_default();
    assert!(running.contains(": epoch "), "progress: {seen}");
    let text = |cell: usize| seen["texts"][cell].as_str().unwrap_or_default();
    assert!(text(4).contains("interrupted in or after epoch") && !text(4).contains(": epoch "), "{seen}");
    assert_eq!(counts(seen, "figures")[4], 0, "the growing curve is gone: {seen}");
    assert_eq!(text(5).trim(), "kept [1, 2, 3], interrupted", "{seen}");
    assert!(text(6).contains("goes on after epoch"), "{seen}");
    assert!(text(6).contains("completed after 200 epochs"), "{seen}");
}

/// What each code cell of a notebook has to show: whether a figure, whether a table.
fn expected_shows(notebook: &Path) -> Vec<(usize, usize)> {
    let folder = expected::folder(&root().join("tests/expected"), notebook);
    let stored = Outputs::read(&folder).unwrap_or_else(|e| panic!("{e}"));
    let has = |shows: &str, kind: &str| usize::from(shows.split(' ').any(|s| s == kind));
    stored.cells.iter().map(|c| (has(&c.shows, "image/png"), has(&c.shows, "text/html"))).collect()
}

fn counts(seen: &Value, what: &str) -> Vec<usize> {
    let counts = seen[what].as_array().expect("a list");
    counts.iter().map(|n| n.as_u64().expect("a number") as usize).collect()
}

#[test]
fn every_notebook_shows_its_figures_and_tables_in_a_browser() {
    let Some(chromium) = chromium(NAME) else { return };
    let committed: Vec<(PathBuf, Vec<u8>)> =
        notebooks().into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    let folder = root().join("target/browser");
    let screenshots = root().join("target/screenshots");
    fs::create_dir_all(&screenshots).unwrap();
    let copies = copies(&folder);
    trust(&copies);
    let python = python(&folder);
    let out = tempfile::tempdir().unwrap();
    let lab = Lab::start(out.path());

    let stem = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    let place = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    let mut steps: Vec<Value> = copies
        .iter()
        .map(|path| json!({"notebook": place(path), "look": true, "screenshot": stem(path)}))
        .collect();
    // The first one is executed here, too. Its reader then changes the parameters: two more epochs.
    steps[0]["look"] = false.into();
    let text =
        "let study: Study = Study::from_environment()?.set(\"epochs=5\".parse()?)?;\nprintln!(\"{study}\");";
    let edit = json!({"cell": 2, "text": text});
    let edited = format!("{}-edited", stem(&copies[0]));
    steps.insert(1, json!({"notebook": place(&copies[0]), "edit": edit, "screenshot": edited}));
    let with_research = folder.join("notebooks/research.ipynb");
    fs::write(&with_research, notebook(&RESEARCH).to_string()).unwrap();
    let last = json!({"notebook": place(&with_research), "screenshot": "research", "stop": 5});
    steps.push(last);
    let plan = json!({
        "address": lab.address, "kernel": kernel::DISPLAY_NAME, "chromium": chromium, "screenshots": screenshots, "steps": steps,
    });
    let file = out.path().join("plan.json");
    fs::write(&file, plan.to_string()).unwrap();
    let said = Command::new(python).arg(root().join("tests/browser/drive.py")).arg(&file).output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    let seen: Vec<Value> = String::from_utf8_lossy(&said.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert!(
        said.status.success() && seen.len() == steps.len(),
        "{} of {} steps: {errors}",
        seen.len(),
        steps.len()
    );

    check_research(seen.last().unwrap());
    for (step, seen) in steps.iter().zip(&seen).take(steps.len() - 1) {
        let name = step["screenshot"].as_str().unwrap();
        println!("{name}: {} s", seen["seconds"]);
        assert_eq!(seen["errors"], json!([]), "{name}");
        assert_eq!(seen["executed"], seen["cells"], "{name}: every code cell has a number");
        let expected = expected_shows(Path::new(step["notebook"].as_str().unwrap()));
        let figures: Vec<usize> = expected.iter().map(|(figure, _)| *figure).collect();
        let tables: Vec<usize> = expected.iter().map(|(_, table)| *table).collect();
        assert_eq!(counts(seen, "figures"), figures, "{name}: figures of each code cell");
        assert_eq!(counts(seen, "tables"), tables, "{name}: tables of each code cell");
        assert!(figures.iter().chain(&tables).sum::<usize>() > 0, "{name} shows something");
        assert!(fs::metadata(screenshots.join(format!("{name}.png"))).unwrap().len() > 50_000, "{name}");
    }
    // JupyterLab's window is 1,000 high: the screenshot is of all of the notebook.
    let height = |name: &str| {
        let bytes = fs::read(screenshots.join(format!("{name}.png"))).unwrap();
        u32::from_be_bytes(bytes[20..24].try_into().unwrap())
    };
    assert!(copies.iter().all(|path| height(&stem(path)) > 1_200), "whole notebooks");
    // The data are the same after the edit, the curves are not; and what was there stays there.
    let (before, after) = (&seen[0]["pictures"], &seen[1]["pictures"]);
    assert_eq!(before[0], after[0], "the images of the data set");
    assert_ne!(before[1], after[1], "figure 1a with more epochs");
    for name in ["shapes10-smoke", "shapes10-smoke,epochs=5"] {
        assert!(out.path().join(name).join("fig1a.svg").is_file(), "{name}");
    }

    assert_eq!(lab.shut_down(), Some(0), "JupyterLab ends cleanly");
    for (path, bytes) in committed {
        assert!(fs::read(&path).unwrap() == bytes, "{} changed", path.display());
    }
}
