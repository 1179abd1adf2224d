//! `rethink watch`: what the page is told of a store's runs, whom it is told to, and what it looks like.

use rethink::data::corruption::Corruption;
use rethink::data::{Dataset, shapes10};
use rethink::lock::Lock;
use rethink::run::appendix_a;
use rethink::run::config::{RunConfig, Scale, Seeds};
use rethink::run::train::train;
use rethink::store::Store;
use rethink_nn::models::ModelKind;
use rethink_tests::browser::{chromium, python};
use rethink_tests::{rethink_bin, root};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

fn config(data: &Dataset, corruption: Corruption) -> RunConfig {
    let (model, seeds) = (ModelKind::Mlp1x512, Seeds::default());
    let mut config = appendix_a::config_at(data, Scale::Smoke, model, corruption, seeds);
    (config.width_factor, config.hyper.epochs, config.hyper.stop_when_fitted) = (0.125, 12, false);
    config
}

/// A store with a finished run, one that was left after seven epochs, and files that are no runs.
struct Runs {
    folder: tempfile::TempDir,
    store: Store,
    data: Dataset,
    finished: RunConfig,
    unfinished: RunConfig,
}

impl Runs {
    fn new() -> Runs {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("runs"));
        let data = shapes10::dataset();
        let finished = config(&data, Corruption::RandomLabels);
        store.run(&finished, &data, Scale::Smoke, &mut |_| ()).unwrap();
        let unfinished = config(&data, Corruption::TrueLabels);
        let left = store.run_by((&unfinished, 10), Scale::Smoke, &mut |_| (), &mut |mut progress| {
            (progress.checkpoint_every, progress.leave_after) = (Duration::ZERO, Some(7));
            train(&unfinished, &data, progress)
        });
        assert!(left.is_err(), "it was left");
        let runs = store.folder();
        fs::write(runs.join("notes.parquet"), "one's own").unwrap();
        fs::create_dir(runs.join("other.partial")).unwrap();
        Runs { folder, store, data, finished, unfinished }
    }

    fn lock(&self) -> PathBuf {
        self.store.folder().join(format!("{}.lock", self.unfinished.key()))
    }
}

/// `rethink watch`, ended with its test.
struct Watch {
    program: Child,
    port: u16,
    token: String,
}

impl Watch {
    fn start(out: &Path) -> Watch {
        let mut program = Command::new(rethink_bin())
            .args(["watch", "--no-browser", "--out"])
            .arg(out)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(program.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.map(|line| line.trim().to_string()).find(|line| line.starts_with("http"));
        let address = address.expect("an address");
        let rest = address.strip_prefix("http://127.0.0.1:").expect("on loopback");
        let (port, token) = rest.split_once("/?token=").expect("with a token");
        assert_eq!(token.len(), 64, "{token}");
        Watch { program, port: port.parse().unwrap(), token: token.into() }
    }

    /// Status, headers and body of the answer to a request with these lines after the first.
    fn asked(&self, first: &str, headers: &[String]) -> (u16, String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = headers.concat();
        write!(stream, "{first} HTTP/1.1\r\n{head}Connection: close\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.into())
    }

    fn host(&self) -> String {
        format!("Host: 127.0.0.1:{}\r\n", self.port)
    }

    fn authorization(&self) -> String {
        format!("Authorization: token {}\r\n", self.token)
    }

    fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.asked(&format!("GET {path}"), &[self.host(), self.authorization()]);
        assert_eq!(status, 200, "{path}: {body}");
        // A long answer comes in pieces, each under its length.
        let whole = body.trim_start().starts_with('{');
        let body = if whole { body } else { unchunked(&body) };
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
    }

    /// The run named `key` in the list.
    fn run(&self, key: &str) -> Value {
        let all = self.json("/api/runs");
        let runs = all["runs"].as_array().unwrap();
        runs.iter().find(|run| run["key"] == key).unwrap_or_else(|| panic!("no {key}: {all}")).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole += &rest[..length];
        body = rest[length..].trim_start_matches("\r\n");
    }
    whole
}

/// Every file below `folder`: when it was changed, and its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            found.insert(path.clone(), (changed, fs::read(&path).unwrap()));
        }
    }
    found
}

#[test]
fn finished_and_unfinished_runs_and_their_curves_are_told() {
    let runs = Runs::new();
    let before = files(runs.folder.path());
    let watch = Watch::start(runs.folder.path());

    let finished = watch.run(&runs.finished.key());
    let record = runs.store.get(&runs.finished).unwrap().unwrap().record;
    for (name, expected) in [
        ("state", json!("finished")),
        ("ended", json!("completed")),
        ("model", json!("MLP 1x512")),
        ("data", json!("shapes10 (embedded)")),
        ("corruption", json!("random labels")),
        ("n", json!(runs.finished.data.train)),
        ("width", json!(0.125)),
        ("epochs", json!(12)),
        ("of", json!(12)),
        ("scale", json!("smoke")),
        ("train", json!(record.train_accuracy)),
        ("test", json!(record.test_accuracy)),
    ] {
        assert_eq!(finished[name], expected, "{name}: {finished}");
    }
    // Table 1: MLP 1x512, no regulariser, random labels.
    let table = "table 1 (CIFAR-10, n = 50,000)";
    assert_eq!(finished["paper"], json!([{ "table": table, "train": 99.34, "test": 10.61 }]));

    let key = runs.unfinished.key();
    let unfinished = watch.run(&key);
    assert_eq!(unfinished["state"], "stopped", "{unfinished}");
    assert_eq!((&unfinished["epochs"], &unfinished["of"]), (&json!(7), &json!(12)));
    assert_eq!(unfinished["corruption"], "true labels");
    assert!(unfinished["since"].is_f64() && unfinished["last"].is_f64(), "{unfinished}");
    assert_eq!(unfinished["paper"][0]["test"], 50.51);

    let all = watch.json("/api/runs");
    let passed_over: Vec<&str> =
        all["passed_over"].as_array().unwrap().iter().map(|p| p["path"].as_str().unwrap()).collect();
    assert_eq!(passed_over.len(), 2, "{passed_over:?}");
    assert!(passed_over[0].ends_with("notes.parquet") && passed_over[1].ends_with("other.partial"));

    // The rows as far as they are there; those that are had already do not come again.
    let curve = watch.json(&format!("/api/curves?run={key}:0"))[&key].clone();
    let total = curve["total"].as_u64().unwrap() as usize;
    let column = |curve: &Value, name: &str| curve[name].as_array().unwrap().clone();
    for name in ["step", "epoch", "loss", "batch", "train", "test"] {
        assert_eq!(column(&curve, name).len(), total, "{name}");
    }
    assert_eq!(column(&curve, "epoch").last().unwrap(), 7);
    let rest = watch.json(&format!("/api/curves?run={key}:{}", total - 2))[&key].clone();
    assert_eq!(rest["from"], total - 2);
    assert_eq!(column(&rest, "loss"), column(&curve, "loss")[total - 2..]);
    // Whoever has more rows than there are gets them all.
    assert_eq!(watch.json(&format!("/api/curves?run={key}:100000"))[&key]["from"], 0);
    assert_eq!(watch.json("/api/curves?run=0000000000000000:0&run=..%2f..:0"), json!({}));
    assert!(files(runs.folder.path()) == before, "nothing in the store was written");

    // A process is at it.
    let lock = Lock::take(&runs.lock(), &mut || ()).unwrap();
    assert_eq!(watch.run(&key)["state"], "running");
    drop(lock);
    assert_eq!(watch.run(&key)["state"], "stopped");

    // It goes on to its end while the page is open.
    runs.store.run(&runs.unfinished, &runs.data, Scale::Smoke, &mut |_| ()).unwrap();
    assert_eq!(watch.run(&key)["state"], "finished");
    let whole = watch.json(&format!("/api/curves?run={key}:0"))[&key].clone();
    assert_eq!(column(&whole, "epoch").last().unwrap(), 12);
    assert_eq!(column(&whole, "loss")[..total], column(&curve, "loss"));
}

#[test]
fn only_who_has_the_token_is_answered_and_under_no_other_name() {
    let folder = tempfile::tempdir().unwrap();
    let watch = Watch::start(folder.path());
    let (host, token) = (watch.host(), watch.authorization());
    let status = |first: &str, headers: &[&String]| {
        let headers: Vec<String> = headers.iter().map(|header| header.to_string()).collect();
        let (status, head, body) = watch.asked(first, &headers);
        assert!(!head.contains("access-control"), "{head}");
        assert!(status == 200 || !body.contains("runs\":"), "{body}");
        status
    };
    let page = format!("GET /?token={}", watch.token);
    assert_eq!(status(&page, &[&host]), 200);
    assert_eq!(status("GET /api/runs", &[&host, &token]), 200);
    assert_eq!(status("GET /api/runs", &[&format!("Host: localhost:{}\r\n", watch.port), &token]), 200);

    let almost = format!("Authorization: token {}0\r\n", &watch.token[..63]);
    let short = "Authorization: token \r\n".to_string();
    for path in ["GET /", "GET /api/runs", "GET /api/curves", "GET /no", "POST /api/runs"] {
        assert_eq!(status(path, &[&host]), 403, "{path} without a token");
        assert_eq!(status(path, &[&host, &short]), 403, "{path} with an empty token");
    }
    // One of sixteen tokens ends in a 0.
    if !watch.token.ends_with('0') {
        assert_eq!(status("GET /api/runs", &[&host, &almost]), 403);
    }
    // A page that has led its own name to this address does not know the token; if it did, its name would give it away.
    for other in ["rebound.example", "127.0.0.1", "127.0.0.1:1", "localhost.rebound.example"] {
        assert_eq!(status(&page, &[&format!("Host: {other}\r\n"), &token]), 403, "{other}");
    }
    assert_eq!(status(&page, &[]), 403, "no host");
    assert_eq!(status("POST /api/runs", &[&host, &token]), 405);
    assert_eq!(status("GET /../Cargo.toml", &[&host, &token]), 404);

    let (_, head, body) = watch.asked(&page, std::slice::from_ref(&host));
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(!body.contains("{{"), "every mark of the page is replaced");
    let loads = ["src=\"", "href=\"", "@import", "url("];
    let before_library = body.split("uPlot").next().unwrap_or_default();
    assert!(loads.iter().all(|load| !before_library.contains(load)), "the page loads nothing");
}

/// Whoever may connect can neither end the server nor keep it from others: no body is waited for or given room, whatever length a request
/// says it has, and no request is waited for by all.
#[test]
fn strangers_requests_leave_the_page_served() {
    let folder = tempfile::tempdir().unwrap();
    let watch = Watch::start(folder.path());
    let served = |after: &str| {
        let (status, ..) = watch.asked(&format!("GET /?token={}", watch.token), &[watch.host()]);
        assert_eq!(status, 200, "after {after}");
    };
    let opened = |head: &str| -> Vec<TcpStream> {
        let open = |_| {
            let mut stream = TcpStream::connect(("127.0.0.1", watch.port)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        };
        (0..12).map(open).collect()
    };
    let answers = |mut stream: TcpStream, status: &str| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {text}");
    };
    for body in [
        "Content-Length: 99999999999999",
        "Content-Length: 18446744073709551615",
        "Content-Length: 18446744073709551616",
        "Content-Length: 2000",
        "Content-Length: 2000\r\nExpect: 100-continue",
        "Content-Length: 2000\r\nConnection: upgrade",
        "Transfer-Encoding: chunked",
    ] {
        let streams = opened(&format!("POST / HTTP/1.1\r\n{body}\r\n\r\n"));
        // While they are open.
        served(body);
        streams.into_iter().for_each(|stream| answers(stream, "403"));
    }
    // With the token, a body is not looked at.
    let page =
        format!("GET /?token={} HTTP/1.1\r\n{}Content-Length: 5000\r\n\r\nabc", watch.token, watch.host());
    opened(&page).into_iter().for_each(|stream| answers(stream, "200"));
    // Without an end, and more than any browser sends; nothing at all; what is no request.
    let endless = format!("GET / HTTP/1.1\r\nCookie: {}", "a".repeat(100_000));
    opened(&endless).into_iter().for_each(|stream| answers(stream, "431"));
    let silent = opened("");
    served("silence");
    drop(silent);
    for nonsense in ["GET / HTTP/2.0\r\n\r\n", "\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\nHost\r\n\r\n"]
    {
        opened(nonsense).into_iter().for_each(|stream| answers(stream, "400"));
    }
    served("nonsense");
    let (status, head, body) = watch.asked(&format!("HEAD /?token={}", watch.token), &[watch.host()]);
    assert!(status == 200 && body.is_empty() && head.contains("content-length: "), "{head}\n{body}");
}

#[test]
fn the_page_shows_the_curves_in_a_browser() {
    let Some(chromium) = chromium("the_page_shows_the_curves_in_a_browser") else { return };
    let runs = Runs::new();
    let _lock = Lock::take(&runs.lock(), &mut || ()).unwrap();
    let watch = Watch::start(runs.folder.path());
    let screenshots = root().join("target/screenshots");
    fs::create_dir_all(&screenshots).unwrap();
    let said = Command::new(python(&root().join("target/browser")))
        .arg(root().join("tests/browser/watch.py"))
        .arg(format!("http://127.0.0.1:{}/?token={}", watch.port, watch.token))
        .args([&chromium, &screenshots])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    let seen: Vec<Value> =
        String::from_utf8_lossy(&said.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(said.status.success() && seen.len() == 3, "{errors}");
    for seen in &seen {
        let name = &seen["name"];
        assert_eq!(seen["problems"], json!([]), "{name}");
        assert_eq!(seen["rows"], 2, "{name}: {seen}");
        assert_eq!(seen["filtered"], 1, "{name}: the filter leaves the run on random labels");
        assert_eq!(seen["legend"], 2, "{name}: both runs are in the charts: {seen}");
        assert_eq!(seen["wide"], false, "{name}: no wider than the window");
        // A chart of curves in several colours, not an empty one.
        for chart in ["loss", "accuracy"] {
            assert!(seen["ink"][chart].as_u64().unwrap() > 500, "{name}, {chart}: {seen}");
        }
    }
    assert_ne!(seen[0]["ground"], seen[1]["ground"], "light and dark");
}
