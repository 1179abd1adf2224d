//! `rethink watch`: a page on this machine's loopback address with the runs of a store and their curves as they grow.
//!
//! | file | what it is |
//! | --- | --- |
//! | `guard.rs` | who is answered: whoever has the token, under this server's own name |
//! | `http.rs` | requests and answers, with bounds on what a stranger's cost |
//! | `view.rs` | the store as the page's JSON |
//! | `page.html`, `page.css`, `page.js` | the page |
//! | `uplot/` | the library that draws its charts, MIT |
//!
//! Nothing is written to the store, and the page loads nothing from a network.

pub mod guard;
mod http;
pub mod view;

use crate::{Error, Result};
use guard::Guard;
use http::{Answer, Request};
use rethink::store::Store;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use view::View;

/// Serves the page of the store in `out` on `port` (0: a free one) until the process ends; prints its address, with the token, and
/// opens it in the user's browser where `browser` is set.
///
/// Errors: [`Error::Argument`] where the port cannot be had.
pub fn watch(out: &Path, port: u16, browser: bool) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|e| Error::argument("--port", format!("127.0.0.1:{port}: {e}")))?;
    let port = listener.local_addr().map_or(port, |address| address.port());
    let guard = Guard::new(port)?;
    let folder = out.join("runs");
    let address = guard.address();
    println!("watching {}; Ctrl-C ends it", folder.display());
    println!("  {address}");
    let opened = if browser { open(&address) } else { None };
    let view = Mutex::new(View::new(Store::new(folder)));
    let policy = guard.policy();
    let headers = [
        ("Content-Security-Policy", policy.as_str()),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ];
    http::serve(&listener, &headers, &|request: &Request| answer(request, &guard, &view));
    drop(opened);
    Ok(())
}

fn answer(request: &Request, guard: &Guard, view: &Mutex<View>) -> Answer {
    let (path, query) = request.target.split_once('?').unwrap_or((request.target.as_str(), ""));
    let seen = || view.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Err(why) = guard.admits(request.header("host"), request.header("authorization"), query) {
        Answer::text(403, why)
    } else if !["GET", "HEAD"].contains(&request.method.as_str()) {
        Answer::text(405, "the page only reads")
    } else {
        match path {
            "/" => Answer { status: 200, kind: "text/html; charset=utf-8", body: guard.page().into() },
            "/api/runs" => json(seen().runs()),
            "/api/curves" => json(seen().curves(query)),
            _ => Answer::text(404, "there is nothing here"),
        }
    }
}

fn json(json: Result<serde_json::Value>) -> Answer {
    match json {
        Ok(json) => Answer { status: 200, kind: "application/json", body: json.to_string().into() },
        Err(error) => Answer::text(500, &error.to_string()),
    }
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
