//! The command line. `rethink help` lists the commands; `rethink help COMMAND` explains one.

use clap::Parser;
use rethink_cli::commands::command::Command;
use rethink_cli::signals;
use rethink_nn::large_pages::LargePages;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: LargePages = LargePages;

fn main() -> ExitCode {
    quiet_when_the_reader_leaves();
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
            eprintln!("error: {error}");
            if matches!(error, rethink::Error::Interrupted { .. }) {
                signals::end_as_heard();
            }
            ExitCode::FAILURE
        }
    }
}

/// `rethink list | head` is no defect: printing to a closed pipe ends the program without a message.
fn quiet_when_the_reader_leaves() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // What `println!` panics with. Another broken pipe, as a child process's, is a defect.
        let closed = panic
            .payload_as_str()
            .is_some_and(|text| text.starts_with("failed printing to std") && text.contains("Broken pipe"));
        if closed {
            std::process::exit(0);
        }
        report(panic);
    }));
}
