//! Setting up on ordinary and less ordinary machines: Pythons that will not do, settings of pip's, failures and what is advised,
//! clones in odd places, folders that cannot be written. And `rethink kernel`: the kernel among the user's own, and papermill's
//! parameters in it.

use rethink_cli::jupyter::advice::{self, Cause};
use rethink_cli::jupyter::{self, run};
use rethink_tests::skips::{Need, skip};
use rethink_tests::{notebook, rethink_bin, root};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
        skip(test, Need::Packages, "pip has no papermill");
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

// ---- Pythons, pip and their failures ----

/// A stand-in for Python, which does what the variables FAKE_* say: the version and what it lacks, the environment, pip, whether the
/// packages can be imported.
const FAKE_PYTHON: &str = r#"#!/bin/sh
for last; do :; done
case "$*" in
*version_info*) eval "${FAKE_PROBE:-echo 3 12}" ;;
*"-m venv"*) mkdir -p "$last/bin" && cp "$0" "$last/bin/python" && eval "${FAKE_VENV:-:}" ;;
*"Installs packages with pip"*) eval "${FAKE_PIP:-:}" ;;
*import_module*) eval "${FAKE_WORKS:-:}" ;;
*) printf '{"path": "%s", "clean": true}\n' "$last" ;;
esac
"#;

/// A folder that passes for a workspace, and a stand-in for Python in it.
struct Fake(tempfile::TempDir);

impl Fake {
    fn new() -> Fake {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("crate/rethink")).unwrap();
        for name in ["crate/rethink/Cargo.toml", "Cargo.lock", "some.ipynb"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let python = folder.path().join("python");
        fs::write(&python, FAKE_PYTHON).unwrap();
        fs::set_permissions(python, fs::Permissions::from_mode(0o755)).unwrap();
        Fake(folder)
    }

    /// A command that needs the Python environment and nothing else.
    fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(rethink_bin());
        command
            .args(["notebooks", "clean", "--check"])
            .arg(self.0.path().join("some.ipynb"))
            .env("RETHINK_ROOT", self.0.path())
            .env("RETHINK_PYTHON", self.0.path().join("python"))
            .envs(variables.iter().copied());
        command
    }

    fn set_up(&self, variables: &[(&str, &str)]) -> (bool, String) {
        let said = self.command(variables).output().unwrap();
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(!text.contains("panicked"), "{text}");
        (said.status.success(), text)
    }

    /// What is in the set-up's folder.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path().join(".rethink")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    fn marked(&self) -> bool {
        self.0.path().join(".rethink/venv/rethink-requirements.sha256").is_file()
    }
}

#[test]
fn a_python_that_will_not_do_is_named_with_what_to_install() {
    let fake = Fake::new();
    for (probe, expected) in [
        ("echo 3 8", &["python is Python 3.8"][..]),
        ("echo 3 11 ensurepip", &["python (3.11) has no ensurepip", "python3-venv", "python3.11-venv"]),
        ("echo 3 13 _sqlite3", &["has no _sqlite3", "built again"]),
        ("exit 3", &["python does not run (exit status: 3)"]),
        ("echo 'No version is set' >&2; exit 126", &["No version is set"]),
        ("echo hello", &["\"hello\" in place of its version"]),
        // A child of its own that holds the pipes does not count.
        ("sleep 60", &["does not answer within 10 s"]),
    ] {
        let (good, said) = fake.set_up(&[("FAKE_PROBE", probe)]);
        assert!(!good && expected.iter().all(|words| said.contains(words)), "{probe}: {said}");
        assert!(said.contains("RETHINK_PYTHON"), "{probe}: {said}");
    }
    // Where Python has the modules and making the environment fails all the same.
    let debian = "echo 'ensurepip is not available' >&2; exit 1";
    let (good, said) = fake.set_up(&[("FAKE_VENV", debian), ("FAKE_PROBE", "echo 3 12")]);
    assert!(!good && said.contains("python3.12-venv"), "{said}");
    assert_eq!(fake.left(), ["setup.lock"]);
    let (good, said) = fake.set_up(&[("RETHINK_PYTHON", "/nowhere/python")]);
    assert!(
        !good && said.contains("/nowhere/python is not on PATH") && said.contains("python3-venv"),
        "{said}"
    );
}

/// What pip, cargo and the system say, and what it comes from.
const SAID: [(&str, Cause, &str); 20] = [
    (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        Cause::Disk,
        "make room on the disk",
    ),
    (
        "error: failed to write `/x/y.rmeta`\n\nCaused by:\n  Disk quota exceeded (os error 122)",
        Cause::Disk,
        "room",
    ),
    (
        "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x/lib'",
        Cause::Permission,
        "you may write the file",
    ),
    (
        "error: failed to create directory\n  Read-only file system (os error 30)",
        Cause::Permission,
        "may write",
    ),
    ("compiling the kernel: signal: 9 (SIGKILL)\n   Compiling evcxr", Cause::Memory, "CARGO_BUILD_JOBS=1"),
    (
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed \
         certificate in certificate chain (_ssl.c:1006)'))\nERROR: No matching distribution found for anyio==4.12.1",
        Cause::Certificate,
        "SSL_CERT_FILE",
    ),
    (
        "error: failed to get `serde`\n  [60] SSL peer certificate or SSH remote key was not OK (SSL certificate \
         problem: unable to get local issuer certificate)",
        Cause::Certificate,
        "CARGO_HTTP_CAINFO",
    ),
    (
        "ERROR: Could not install packages due to an OSError: Missing dependencies for SOCKS support.",
        Cause::Socks,
        "SOCKS proxy",
    ),
    (
        "WARNING: Retrying after connection broken by 'ProxyError('Cannot connect to proxy.', OSError('Tunnel \
         connection failed: 403 Forbidden'))'\nERROR: No matching distribution found for anyio==4.12.1",
        Cause::Proxy,
        "HTTPS_PROXY",
    ),
    (
        "  [56] Failure when receiving data from the peer (CONNECT tunnel failed, response 407)",
        Cause::Proxy,
        "password",
    ),
    (
        "WARNING: Retrying after connection broken by 'NewConnectionError('<HTTPSConnection>: Failed to establish a new \
         connection: [Errno -3] Temporary failure in name resolution')': /simple/anyio/\nERROR: Could not find a version \
         that satisfies the requirement anyio==4.12.1 (from versions: none)",
        Cause::Network,
        "the network is up",
    ),
    (
        "ReadTimeoutError(\"HTTPSConnectionPool(host='pypi.org', port=443): Read timed out.\")",
        Cause::Network,
        "network",
    ),
    ("error: download of config.json failed\n  [6] Could not resolve hostname", Cause::Network, "network"),
    (
        "ERROR: Ignored the following versions that require a different python version: 4.1.2 Requires-Python \
         >=3.11.5\nERROR: Could not find a version that satisfies the requirement soupsieve==4.1.2 (from versions: \
         1.0, 2.10)\nERROR: No matching distribution found for soupsieve==4.1.2",
        Cause::Version,
        "another Python",
    ),
    (
        "Looking in indexes: http://127.0.0.1:9/simple\nERROR: Could not find a version that satisfies the requirement \
         jupyterlab>=4.3 (from versions: none)\nERROR: No matching distribution found for jupyterlab>=4.3",
        Cause::Network,
        "the network is up",
    ),
    (
        "ERROR: Ignored the following versions that require a different python version: 1.0 Requires-Python >=3.15\nERROR: \
         Could not find a version that satisfies the requirement anyio==1.0 (from versions: none)",
        Cause::Version,
        "another Python",
    ),
    // The names of packages are no signs.
    (
        "Collecting websocket-client==1.9.2\nCollecting pysocks\nCollecting proxy-tools\nERROR: ResolutionImpossible: for \
         help visit https://pip.pypa.io",
        Cause::Version,
        "index",
    ),
    (
        "error: linker `cc` not found\n  |\n  = note: No such file or directory (os error 2)",
        Cause::Compiler,
        "C compiler",
    ),
    ("  psutil/arch/x.c: fatal error: Python.h: No such file or directory", Cause::Compiler, "python3-dev"),
    (
        "error: command 'gcc' failed: No such file or directory\nERROR: Failed building wheel",
        Cause::Compiler,
        "compiler",
    ),
];

#[test]
fn the_advice_is_about_the_failure() {
    for (said, cause, words) in SAID {
        assert_eq!(advice::cause(said), Some(cause), "{said}");
        let advised = advice::remedy(said, "300 MB");
        assert!(advised.contains(words), "{said}: {advised}");
    }
    let unknown = "error: unexpected character";
    assert_eq!(advice::cause(unknown), None);
    assert!(advice::remedy(unknown, "").contains("correct what it says above"));
    for (said, words) in [
        ("rethink kernel: no `cargo` on PATH, nor in /home/x/.cargo/bin; install Rust", "https://rustup.rs"),
        ("ModuleNotFoundError: No module named 'zmq'", "remove .rethink/venv"),
        ("got error: DlOpen { desc: \"/x/libcode_1.so: failed to map segment\" }", "noexec"),
        ("OSError: [Errno 28] No space left on device", "room"),
        ("Kernel died before replying to kernel_info", "rethink lab"),
    ] {
        assert!(advice::of_kernel(said).contains(words), "{said}: {}", advice::of_kernel(said));
    }
}

#[test]
fn a_failed_installation_is_told_and_leaves_no_mark() {
    let fake = Fake::new();
    for (said, _, words) in SAID.iter().filter(|(said, _, _)| !said.starts_with("compiling")) {
        let pip = format!("cat >&2 <<'END'\n{said}\nEND\nexit 1");
        let (good, told) = fake.set_up(&[("FAKE_PIP", &pip)]);
        assert!(!good && told.contains(words) && !told.contains("remove .rethink"), "{said}: {told}");
        assert_eq!(fake.left(), ["setup.lock"], "{said}");
    }
    // pip ends well, and the packages are elsewhere (PIP_TARGET).
    let (good, told) = fake.set_up(&[("FAKE_WORKS", "echo 'No module named jupyterlab' >&2; exit 1")]);
    assert!(!good && told.contains("No module named jupyterlab"), "{told}");
    assert_eq!(fake.left(), ["setup.lock"]);
}

#[test]
fn versions_that_cannot_be_had_are_replaced_and_a_broken_environment_is_made_anew() {
    let fake = Fake::new();
    let missing = "if grep -q == \"$last\"; then echo 'ERROR: No matching distribution found for soupsieve==4.1.2'; exit 1; fi";
    let (good, told) = fake.set_up(&[("FAKE_PIP", missing)]);
    assert!(good && told.contains("found for soupsieve==4.1.2); taking others") && fake.marked(), "{told}");
    // It is there now.
    let (good, told) = fake.set_up(&[("FAKE_PIP", "exit 1"), ("FAKE_PROBE", "exit 1")]);
    assert!(good, "{told}");
    // A Python of the system's that went, or an update of it: the packages are not found any more.
    let broken = "case $last in quick) echo \"No module named 'zmq'\" >&2; exit 1;; esac";
    let (good, told) = fake.set_up(&[("FAKE_WORKS", broken)]);
    assert!(good && told.contains("made anew") && told.contains("No module named 'zmq'"), "{told}");
    fs::remove_file(fake.0.path().join(".rethink/venv/bin/python")).unwrap();
    let (good, told) = fake.set_up(&[]);
    assert!(good && told.contains("made anew") && told.contains("there is no "), "{told}");
    assert_eq!(
        {
            let mut left = fake.left();
            left.sort();
            left
        },
        ["setup.lock", "venv"]
    );
}

/// pip outlives a set-up that is killed and goes on writing where it was.
#[test]
fn a_set_up_right_after_one_that_was_killed_works() {
    let fake = Fake::new();
    let writes = "i=0; while [ $i -lt 300 ]; do i=$((i + 1)); mkdir -p \"${last%/*}/lib/$i\"; \
                  : > \"${last%/*}/lib/$i/$i\"; sleep 0.01; done";
    for _ in 0..8 {
        let mut first = fake.command(&[("FAKE_PIP", writes)]).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        let writing = |name: &String| fake.0.path().join(".rethink").join(name).join("lib/3").exists();
        while !fake.left().iter().any(writing) {
            assert!(started.elapsed() < Duration::from_secs(60), "pip does not write");
            std::thread::sleep(Duration::from_millis(5));
        }
        first.kill().unwrap();
        first.wait().unwrap();
        let (good, told) = fake.set_up(&[]);
        assert!(good && fake.marked(), "{told}");
        assert!(!fake.0.path().join(".rethink/venv/lib").exists(), "the killed one's files are in it");
        fs::remove_dir_all(fake.0.path().join(".rethink/venv")).unwrap();
    }
}

/// The user's settings of pip and Python that would lead packages elsewhere, and those that say where packages come from.
#[test]
fn pip_installs_here_whatever_its_settings_and_from_where_they_say() {
    let base = jupyter::setup::python(root()).unwrap_or_else(|e| panic!("set-up: {e}"));
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = |command: &mut Command| {
        let said = command.output().unwrap();
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(said.status.success(), "{command:?}: {text}");
        text
    };
    let wheel = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1] + '/rethink_tiny-1.0-py3-none-any.whl', 'w') as z:\n \
                 d = 'rethink_tiny-1.0.dist-info/'\n z.writestr('rethink_tiny.py', 'here = __file__')\n \
                 z.writestr(d + 'METADATA', 'Metadata-Version: 2.1\\nName: rethink-tiny\\nVersion: 1.0\\n')\n \
                 z.writestr(d + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n \
                 z.writestr(d + 'RECORD', '')";
    for name in ["wheels", "home/.config/pip", "shadow"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    run(Command::new(&base).args(["-I", "-c", wheel]).arg(at("wheels")));
    run(Command::new(&base).args(["-I", "-m", "venv"]).arg(at("venv")));
    fs::write(at("list.txt"), "rethink-tiny==1.0\n").unwrap();
    fs::write(at("shadow/ast.py"), "raise SystemExit('the wrong ast')").unwrap();
    let conf = format!(
        "[global]\nno-index = true\nfind-links =\n    {}\n[install]\nuser = true\ntarget = {}\nprefix = {}\n\
         no-deps = true\nrequire-virtualenv = true\n",
        at("wheels").display(),
        at("target").display(),
        at("prefix").display()
    );
    fs::write(at("home/.config/pip/pip.conf"), conf).unwrap();
    let mut install = Command::new(at("venv/bin/python"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PIP_")) {
        install.env_remove(name);
    }
    install
        .args(["-I", "-c", include_str!("../crate/cli/src/jupyter/install.py")])
        .arg(at("list.txt"))
        .env("HOME", at("home"))
        .env_remove("XDG_CONFIG_HOME")
        .envs([("PIP_USER", "1"), ("PIP_REQUIRE_VIRTUALENV", "0"), ("PIP_DRY_RUN", "1")])
        .envs([("PIP_TARGET", at("target")), ("PIP_PREFIX", at("prefix")), ("PYTHONHOME", at("nowhere"))])
        .envs([("PYTHONPATH", at("shadow")), ("PYTHONSTARTUP", at("shadow/ast.py"))])
        .env("PYTHONWARNINGS", "error");
    run(&mut install);
    let here = run(Command::new(at("venv/bin/python")).args([
        "-I",
        "-c",
        "import rethink_tiny as t; print(t.here)",
    ]));
    assert!(Path::new(here.trim()).starts_with(at("venv")), "{here}");
    assert!(!at("target").exists() && !at("prefix").exists());
}

// ---- Clones in odd places ----

/// The clone's sources and its finished set-up at `to`, with the files' times, by which cargo sees that nothing changed.
fn copy_of_the_clone(to: &Path) {
    fs::create_dir_all(to).unwrap();
    // Folders whole: cargo looks at their times, too.
    let script = "cp -a crate notebooks tests Cargo.toml Cargo.lock \"$0\" && mkdir \"$0/.rethink\" && cp -a .rethink/venv \
                  .rethink/jupyter \"$0/.rethink\"";
    let status = Command::new("sh").args(["-c", script]).arg(to).current_dir(root()).status().unwrap();
    assert!(status.success());
    // Of the same commit: the library says in its results which it was built from, and would be compiled again.
    let git =
        Command::new("git").args(["rev-parse", "--absolute-git-dir"]).current_dir(root()).output().unwrap();
    fs::write(to.join(".git"), [b"gitdir: ", &git.stdout[..]].concat()).unwrap();
}

/// The names of the crates that the cells of kernels below `kernels` were.
fn names_of_cells(kernels: &Path) -> Vec<String> {
    let manifests = fs::read_dir(kernels).into_iter().flatten().flatten();
    let texts = manifests.filter_map(|entry| fs::read_to_string(entry.path().join("mirror/Cargo.toml")).ok());
    let names =
        texts.filter_map(|text| Some(text.split_once("name = \"ctx-")?.1.split_once('"')?.0.to_string()));
    names.collect()
}

/// A clone whose path has what cuts, quotes and comments in shells, URLs and TOML, on the build folder of another clone; with cargo
/// off PATH; moved there with its set-up. Then the same for a user who cannot write there, nor at home.
#[test]
fn cells_run_in_a_clone_in_an_odd_place_and_in_one_that_cannot_be_written() {
    let test = "cells_run_in_a_clone_in_an_odd_place_and_in_one_that_cannot_be_written";
    let environment = jupyter::ensure(root()).unwrap_or_else(|e| panic!("set-up: {e}"));
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let clone = at("a b'\"#%$ é,c");
    copy_of_the_clone(&clone);
    for name in ["home", "cache", "tmp"] {
        fs::create_dir(at(name)).unwrap();
    }
    let write = |number: u32| {
        let sources = [
            ":dep rethink = { path = \"../crate/rethink\" }\nuse rethink::prelude::*;",
            &format!("println!(\"{{}} {number}\", Scale::Smoke);"),
        ];
        fs::write(clone.join("notebooks/odd.ipynb"), notebook(&sources).to_string()).unwrap();
    };
    let home = |name: &str| {
        let set = std::env::var_os(name).map(PathBuf::from);
        set.unwrap_or_else(|| {
            std::env::home_dir().unwrap().join(format!(".{}", name[..name.len() - 5].to_lowercase()))
        })
    };
    let set = |command: &mut Command, out: &str| {
        let (cargo, rustup) = (home("CARGO_HOME"), home("RUSTUP_HOME"));
        command
            .args(["notebooks", "accept"])
            .arg(clone.join("notebooks/odd.ipynb"))
            .arg("--expected")
            .arg(at("expected"))
            .arg("--out")
            .arg(at(out))
            .env("RETHINK_ROOT", &clone)
            .env("RETHINK_EVCXR_JUPYTER", &environment.evcxr)
            .env("CARGO_TARGET_DIR", &environment.build)
            .envs([("CARGO_HOME", cargo), ("RUSTUP_HOME", rustup)])
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env_remove("CARGO")
            .env_remove("XDG_RUNTIME_DIR");
    };
    let shown = |command: &mut Command, out: &str| {
        let said = command.output().unwrap();
        let told = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(said.status.success(), "{out}: {told}");
        assert!(!told.contains("installing JupyterLab"), "the environment came with the clone: {told}");
        fs::read_to_string(at(out).join("odd/odd.ipynb")).unwrap()
    };
    write(1);
    let mut first = Command::new(rethink_bin());
    set(&mut first, "first");
    let text = shown(first.env("XDG_CACHE_HOME", at("cache")), "first");
    assert!(text.contains("smoke 1"), "{text}");
    let script = fs::read_to_string(clone.join(".rethink/venv/bin/activate")).unwrap();
    assert!(script.contains(clone.to_str().unwrap()), "the environment's scripts know where it is");

    // No two kernels on this build folder have cells of one name.
    let own = fs::read_dir(at("cache/rethink")).unwrap().next().unwrap().unwrap().path().join("kernels");
    let (ours, theirs) = (names_of_cells(&own), names_of_cells(&root().join(".rethink/kernels")));
    assert!(!ours.is_empty() && ours.iter().all(|name| !theirs.contains(name)), "{ours:?} {theirs:?}");

    // In a namespace of its own, in which the clone, the build folder and the home are read-only.
    write(2);
    let read_only = "n=$1; shift; while [ $n -gt 0 ]; do mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || \
                     exit 99; shift; n=$((n - 1)); done; exec \"$@\"";
    let within = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", read_only, "sh", "3"]);
        command.args([&clone, &environment.build, &at("home")]).env("HOME", at("home"));
        command.env_remove("XDG_CACHE_HOME").env("TMPDIR", at("tmp"));
        command
    };
    if !within().arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        skip(
            &format!("{test}, the part that cannot be written"),
            Need::Mounts,
            "no namespace of its own for mounts",
        );
        return;
    }
    let mut second = within();
    set(second.arg(rethink_bin()), "second");
    let text = shown(&mut second, "second");
    assert!(text.contains("smoke 2"), "{text}");
    assert!(at("tmp").join(format!("rethink-{}", user())).is_dir());

    // What is written into the clone by default is said to be impossible at once.
    let mut reproduce = within();
    let said = reproduce
        .arg(rethink_bin())
        .args(["reproduce", "--only", "fig3", "--scale", "smoke"])
        .env("RETHINK_ROOT", &clone)
        .current_dir(&clone)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && told.contains("Read-only") && told.contains("figures"), "{told}");

    let mut lab = within();
    lab.arg(rethink_bin()).args(["lab", "--no-browser", "--allow-root", "--port=0"]);
    let mut lab = lab
        .env("RETHINK_ROOT", &clone)
        .env("CARGO_TARGET_DIR", &environment.build)
        .envs([("CARGO_HOME", home("CARGO_HOME")), ("RUSTUP_HOME", home("RUSTUP_HOME"))])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut told = String::new();
    for line in BufReader::new(lab.stderr.take().unwrap()).lines().map_while(Result::ok) {
        told += &(line + "\n");
        if told.contains("http://127.0.0.1:") {
            break;
        }
    }
    // The server, too.
    let _ = Command::new("kill").args(["-9", "--", &format!("-{}", lab.id())]).status();
    let _ = lab.wait();
    for words in
        ["http://127.0.0.1:", "changes of them can be saved elsewhere only", "Jupyter's folders in your home"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("Traceback"), "{told}");
}

/// This user's number.
fn user() -> String {
    String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim().to_string()
}

#[test]
fn a_clone_whose_path_python_cannot_use_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    let colon = folder.path().join("a:b");
    fs::create_dir_all(colon.join("crate/rethink")).unwrap();
    for name in ["crate/rethink/Cargo.toml", "Cargo.lock"] {
        fs::write(colon.join(name), "").unwrap();
    }
    let (good, told) = fake.set_up(&[("RETHINK_ROOT", colon.to_str().unwrap())]);
    assert!(!good && told.contains("a:b") && told.contains("a path with a colon"), "{told}");
}
