//! Running a tool that sets something up: what it is doing is shown, and on failure what it said and what to do.

use crate::{Error, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

/// The lines of all tools that run at once.
static LINES: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Runs a tool to its end with a line that shows what it is doing; on failure, an error with its last
/// lines and what `remedy` makes of them.
pub(crate) fn run(command: Command, label: &str, remedy: impl Fn(&str) -> String) -> Result<()> {
    run_while(&AtomicBool::new(true), command, label, remedy)
}

/// As [`run`], as long as the tool is `wanted`.
pub(crate) fn run_while(
    wanted: &AtomicBool,
    mut command: Command,
    label: &str,
    remedy: impl Fn(&str) -> String,
) -> Result<()> {
    let program = [command.get_program()]
        .into_iter()
        .chain(command.get_args().take(2))
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ");
    let failed =
        |problem: String, remedy: String| Error::Program { program: program.clone(), problem, remedy };
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(e.to_string(), "see that it is installed and on PATH".into()))?;

    let (send, lines) = mpsc::channel();
    let pipes: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
    for pipe in pipes {
        let send = send.clone();
        std::thread::spawn(move || {
            use std::io::BufRead;
            for line in BufReader::new(pipe).split(b'\n').map_while(std::io::Result::ok) {
                let _ = send.send(String::from_utf8_lossy(&line).trim_end().to_string());
            }
        });
    }
    drop(send);

    let bar = LINES.add(
        ProgressBar::new_spinner().with_style(
            ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}")
                .expect("a template of fixed text"),
        ),
    );
    bar.set_prefix(label.to_string());
    let mut tail = VecDeque::new();
    let (mut quiet, mut announced) = (Instant::now(), false);
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                bar.set_message(line.trim().to_string());
                if tail.len() == 40 {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if !wanted.load(Ordering::Relaxed) {
            let _ = child.kill();
            break;
        }
        bar.tick();
        // Off a terminal nothing of the bar is seen: a line at the start, and one a half minute.
        if bar.is_hidden() && !announced && started.elapsed() > Duration::from_secs(1) {
            rethink_plot::tell!("{label}");
            announced = true;
        }
        if bar.is_hidden() && quiet.elapsed() > Duration::from_secs(30) {
            quiet = Instant::now();
            let last: String =
                tail.back().map(|l: &String| l.trim().chars().take(90).collect()).unwrap_or_default();
            rethink_plot::tell!("  {label}, {:.0} s: {last}", started.elapsed().as_secs_f64());
        }
    }
    bar.finish_and_clear();
    let status = child.wait().map_err(|e| failed(e.to_string(), "run this again".into()))?;
    if status.success() {
        if started.elapsed() > Duration::from_secs(1) {
            let seconds = started.elapsed().as_secs_f64();
            LINES.suspend(|| rethink_plot::tell!("{label}: done in {seconds:.0} s"));
        }
        return Ok(());
    }
    let problem = format!("{label}: {status}\n{}", Vec::from(tail).join("\n"));
    let advice = remedy(&problem);
    Err(failed(problem, advice))
}
