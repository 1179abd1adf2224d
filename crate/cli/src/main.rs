//! The command line. `rethink help` lists the commands; `rethink help COMMAND` explains one.

use clap::Parser;
use rethink_cli::commands::command::Command;
use rethink_cli::signals;
use rethink_nn::large_pages::LargePages;
use rethink_plot::tell;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: LargePages = LargePages;

fn main() -> ExitCode {
    end_where_output_does();
    let command = Command::parse();
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = command.threads {
        pool = pool.num_threads(threads.into());
    }
    // Fails only if a pool exists already, which keeps its size.
    let _ = pool.build_global();
    match rethink_nn::instructions::check().map_err(rethink::Error::from).and_then(|()| command.perform()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell!("error: {error}");
            if matches!(error, rethink::Error::Interrupted { .. }) {
                signals::end_as_heard();
            }
            ExitCode::FAILURE
        }
    }
}

/// `println!` panics where it cannot write. A closed pipe (`rethink list | head`) ends the program as it ends others, by SIGPIPE and without a
/// message; another failure, as of a full disk, is an error like others.
fn end_where_output_does() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        let Some(problem) = text.strip_prefix("failed printing to stdout: ") else { return report(panic) };
        if problem.contains("Broken pipe") {
            signals::end_by_closed_pipe();
        } else {
            tell!("error: write to standard output: {problem}");
        }
        std::process::exit(1);
    }));
}
