//! `rethink watch`: a page on this machine's loopback address with the runs of a store and their curves as they grow.
//!
//! | file | what it is |
//! | --- | --- |
//! | `guard.rs` | who is answered: whoever has the token, under this server's own name |
//! | `view.rs` | the store as the page's JSON |
//! | `page.html`, `page.css`, `page.js` | the page |
//! | `uplot/` | the library that draws its charts, MIT |
//!
//! Nothing is written to the store, and the page loads nothing from a network.

pub mod guard;
pub mod view;

use crate::{Error, Result};
use guard::Guard;
use rethink::store::Store;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use tiny_http::{Header, Method, Request, Response, Server};
use view::View;

/// Requests that are answered at once.
const WORKERS: usize = 4;

/// Serves the page of the store in `out` on `port` (0: a free one) until the process ends; prints its address, with the token, and
/// opens it in the user's browser where `browser` is set.
///
/// Errors: [`Error::Argument`] where the port cannot be had.
pub fn watch(out: &Path, port: u16, browser: bool) -> Result<()> {
    let server = Server::http((Ipv4Addr::LOCALHOST, port))
        .map_err(|e| Error::argument("--port", format!("127.0.0.1:{port}: {e}")))?;
    let port = server.server_addr().to_ip().map_or(port, |address| address.port());
    let guard = Guard::new(port)?;
    let folder = out.join("runs");
    let address = guard.address();
    println!("watching {}; Ctrl-C ends it", folder.display());
    println!("  {address}");
    let opened = if browser { open(&address) } else { None };
    let view = Mutex::new(View::new(Store::new(folder)));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                server.incoming_requests().for_each(|request| answer(request, &guard, &view));
            });
        }
    });
    drop(opened);
    Ok(())
}

/// What is sent back.
struct Answer {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
}

impl Answer {
    fn text(status: u16, text: &str) -> Answer {
        Answer { status, kind: "text/plain; charset=utf-8", body: text.into() }
    }

    fn json(json: Result<serde_json::Value>) -> Answer {
        match json {
            Ok(json) => Answer { status: 200, kind: "application/json", body: json.to_string().into() },
            Err(error) => Answer::text(500, &error.to_string()),
        }
    }
}

fn answer(request: Request, guard: &Guard, view: &Mutex<View>) {
    let value = |name: &'static str| {
        let header = request.headers().iter().find(|header| header.field.equiv(name));
        header.map(|header| header.value.as_str())
    };
    let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
    let seen = || view.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let answer = if let Err(why) = guard.admits(value("Host"), value("Authorization"), query) {
        Answer::text(403, why)
    } else if !matches!(request.method(), Method::Get | Method::Head) {
        Answer::text(405, "the page only reads")
    } else {
        match path {
            "/" => Answer { status: 200, kind: "text/html; charset=utf-8", body: guard.page().into() },
            "/api/runs" => Answer::json(seen().runs()),
            "/api/curves" => Answer::json(seen().curves(query)),
            _ => Answer::text(404, "there is nothing here"),
        }
    };
    let policy = guard.policy();
    let headers = [
        ("Content-Type", answer.kind),
        ("Content-Security-Policy", policy.as_str()),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ];
    let mut response = Response::from_data(answer.body).with_status_code(answer.status);
    for (name, value) in headers {
        response.add_header(Header::from_bytes(name, value).expect("fixed headers are ASCII"));
    }
    // A reader that has left needs no answer.
    let _ = request.respond(response);
}

/// Opens `address` in the user's browser, if there is one. A command's arguments are seen by every user of the machine, and the
/// address holds the token: so the browser is given a file that leads there and that this user alone can read. It goes with what is
/// returned.
fn open(address: &str) -> Option<tempfile::TempPath> {
    let folder = dirs::cache_dir().filter(|folder| folder.is_dir()).unwrap_or_else(std::env::temp_dir);
    let mut file =
        tempfile::Builder::new().prefix("rethink-watch-").suffix(".html").tempfile_in(folder).ok()?;
    write!(file, "<!doctype html><meta http-equiv=\"refresh\" content=\"0; url={address}\">").ok()?;
    let path = file.into_temp_path();
    let (program, before): (&str, &[&str]) = match std::env::consts::OS {
        "macos" => ("open", &[]),
        "windows" => ("cmd", &["/c", "start", ""]),
        _ => ("xdg-open", &[]),
    };
    let mut command = Command::new(program);
    command.args(before).arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.spawn().is_err() {
        println!("no browser was found: open the address yourself");
    }
    Some(path)
}
