//! Tells the program which commit it is built from (`provenance::revision`), and with which versions of libraries
//! (`Cargo.lock`, beside the compiled program's other parts).
//!
//! A change of the sources compiles the crate anew in any case, and this runs with it. Of later commits only one matters: the one
//! that takes up sources which were built before they were committed. So git's own files are watched only where the sources
//! differ from the commit, and a commit of notes or figures compiles nothing.

use std::path::Path;
use std::process::Command;

/// What numbers can depend on.
const SOURCES: [&str; 7] = [
    "src",
    "build.rs",
    "Cargo.toml",
    "../nn/src",
    "../nn/Cargo.toml",
    "../../Cargo.toml",
    "../../Cargo.lock",
];

fn main() {
    // A path that is not there would count as changed each time.
    for path in SOURCES.into_iter().filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
    let revision = revision().unwrap_or_else(|why| format!("unknown ({why})"));
    println!("cargo::rustc-env=RETHINK_REVISION={revision}");

    // A package has none.
    let lock = std::fs::read("../../Cargo.lock").unwrap_or_default();
    let out = std::env::var_os("OUT_DIR").expect("cargo names the folder");
    std::fs::write(Path::new(&out).join("Cargo.lock"), lock).expect("cargo's folder can be written");
}

/// The commit, with `+changes` where the sources differ from it; or why it is not known.
fn revision() -> Result<String, String> {
    if let Ok(packaged) = std::fs::read_to_string(".cargo_vcs_info.json") {
        return packaged_from(&packaged).ok_or("a package that names no commit".into());
    }
    let tracked = git(&["ls-files", "--error-unmatch", "--", "Cargo.toml"]);
    tracked.map_err(|problem| match problem {
        Problem::NoGit => "no git where it was built".to_string(),
        Problem::Says(said) if said.contains("not a git repository") => {
            "no git repository where it was built".into()
        }
        Problem::Says(said) if said.contains("did not match any file") => {
            "not a file of the git repository around it where it was built".into()
        }
        Problem::Says(said) => format!("git where it was built: {said}"),
    })?;
    let ask = |arguments: &[&str]| {
        git(arguments).map_err(|problem| match problem {
            Problem::NoGit => "no git where it was built".to_string(),
            Problem::Says(said) => format!("git where it was built: {said}"),
        })
    };
    let commit = ask(&["rev-parse", "--verify", "HEAD"])?;
    let status = [&["status", "--porcelain", "--untracked-files=all", "--"], &SOURCES[..]].concat();
    if ask(&status)?.is_empty() {
        return Ok(commit);
    }
    // The log of HEAD grows with each commit and change of branch; in a worktree each has its own.
    for name in ["HEAD", "logs/HEAD"] {
        if let Ok(path) = git(&["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    Ok(format!("{commit}+changes"))
}

/// What `cargo package` writes: `{"git": {"sha1": "...", "dirty": true}, ...}`.
fn packaged_from(json: &str) -> Option<String> {
    let commit = json.split_once("\"sha1\"")?.1.split('"').nth(1)?;
    let whole = commit.len() >= 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
    let changes = if json.replace(' ', "").contains("\"dirty\":true") { "+changes" } else { "" };
    whole.then(|| format!("{commit}{changes}"))
}

enum Problem {
    NoGit,
    /// The first line of git's message.
    Says(String),
}

/// What git says of this folder, whatever repository the environment names (a hook's, for instance).
fn git(arguments: &[&str]) -> Result<String, Problem> {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    // In English, and without taking the index's lock from whoever is at work there.
    command.env("LC_ALL", "C").arg("--no-optional-locks").args(arguments);
    let output = command.output().map_err(|_| Problem::NoGit)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Problem::Says(said.lines().next().unwrap_or("no answer").trim().to_string()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}
