//! Standard output and standard error that nobody reads, or whose disk is full.
#![cfg(target_os = "linux")]

use rethink_tests::hearing_rethink;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// A pipe whose reading end is closed.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// The program in an empty folder.
fn program(out: &Path, arguments: &[&str]) -> Command {
    let mut command = hearing_rethink();
    command.args(arguments).env("RETHINK_OUT", out);
    command
}

const LONG: [&str; 16] = [
    "run",
    "--model",
    "mlp1x512",
    "--scale",
    "smoke",
    "--data",
    "shapes10",
    "--train",
    "1000",
    "--epochs",
    "400",
    "--keep-going",
    "--corruption",
    "random-labels",
    "--threads",
    "1",
];

fn partial(out: &Path) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(out.join("runs")).ok()?.flatten().map(|entry| entry.path());
    entries.find(|path| path.extension().is_some_and(|x| x == "partial"))
}

/// `rethink run … 2>&1 | tee log`: Ctrl-C ends `tee` too, and whoever writes then has no reader. The run still ends after its step, with a
/// checkpoint, and by the signal.
#[test]
fn an_interrupted_run_whose_output_nobody_reads_keeps_its_checkpoint() {
    let out = tempfile::tempdir().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stdout = writer.try_clone().unwrap();
    let mut child = program(out.path(), &LONG).stderr(writer).stdout(stdout).spawn().unwrap();
    let begun = || Some(std::fs::read_to_string(partial(out.path())?.join("log.csv")).ok()?.lines().count());
    while begun().is_none_or(|rows| rows < 3) {
        assert!(child.try_wait().unwrap().is_none(), "it has ended already");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(reader.read(&mut [0; 16]).unwrap() > 0, "it says something before");
    drop(reader);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().signal(), Some(2));
    assert!(partial(out.path()).unwrap().join("checkpoint.safetensors").is_file());
}

#[test]
fn what_fails_fails_also_where_nobody_reads_why() {
    let out = tempfile::tempdir().unwrap();
    let compare = ["compare", "--out", "nowhere"];
    for stderr in [unread(), full().into()] {
        let status = program(out.path(), &compare).stdout(Stdio::null()).stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(1));
    }
    // And what does not fail goes on to its end.
    let short = ["run", "--model", "mlp1x512", "--scale", "smoke", "--data", "shapes10", "--epochs", "1"];
    for (index, stderr) in [unread(), full().into()].into_iter().enumerate() {
        let out = out.path().join(index.to_string());
        let status = program(&out, &short).stdout(Stdio::null()).stderr(stderr).status().unwrap();
        assert!(status.success());
        assert!(partial(&out).is_none() && std::fs::read_dir(out.join("runs")).unwrap().count() > 0);
    }
}

#[test]
fn output_without_a_reader_ends_by_sigpipe_and_a_full_disk_is_an_error() {
    let out = tempfile::tempdir().unwrap();
    let ended = |stdout: Stdio| -> (ExitStatus, String) {
        let child = program(out.path(), &["data", "list"]).stdout(stdout).stderr(Stdio::piped()).spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = ended(unread());
    assert_eq!((status.signal(), said.as_str()), (Some(13), ""));
    let (status, said) = ended(full().into());
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: write to standard output: No space left"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}
