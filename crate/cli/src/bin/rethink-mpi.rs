//! One model over many processes: `mpirun -n 4 rethink-mpi run --model inception`.

use clap::{Parser, Subcommand};
use rethink::Result;
use rethink::run::provenance;
use rethink_cli::commands::CommonOptions;
use rethink_cli::commands::mpi;
use rethink_cli::commands::run_choice::RunChoice;
use rethink_nn::distributed::mpi::World;
use std::process::ExitCode;
use std::time::Duration;

/// Trains one model by all processes that mpirun starts: `mpirun -n 4 rethink-mpi run --model inception`.
#[derive(Parser)]
#[command(version, name = "rethink-mpi", max_term_width = 100)]
struct Command {
    /// Threads of each process [default: the host's cores, shared out among its processes]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Train one run, unless the store has it
    Run {
        #[command(flatten)]
        choice: RunChoice,
        /// Each process takes batches of its own and changes the weights at once; not repeatable [default: each takes
        /// its share of every batch]
        #[arg(long)]
        asynchronous: bool,
        /// Least time between two checkpoints, which come at an epoch's end [default: RETHINK_CHECKPOINT, else 20]
        #[arg(long, value_name = "SECONDS")]
        checkpoint_every: Option<u64>,
        /// Print the record as a line of JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        what: CommonOptions,
    },
    /// Train a run by one process and by all together, and say how far they are apart; keeps neither
    Check {
        #[command(flatten)]
        choice: RunChoice,
        /// Fail where losses or weights are further apart than this part of themselves
        #[arg(long, value_name = "X", default_value_t = 1e-5)]
        tolerance: f64,
        /// Print the differences as a line of JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        what: CommonOptions,
    },
}

fn main() -> ExitCode {
    let world = match World::start() {
        Ok(world) => world,
        Err(error) => {
            rethink_plot::tell!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(processes) = world.processes() {
        provenance::set_processes(processes.clone());
    }
    // Whoever panics must not wait in MPI's end for others that wait for it.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    let command = match Command::try_parse() {
        Ok(command) => command,
        // All processes have the same arguments.
        Err(error) => {
            if world.rank() == 0 {
                let _ = error.print();
            }
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    let threads = world.threads();
    let threads = command.threads.map_or(threads, usize::from);
    // Fails only if a pool exists already, which keeps its size.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    match perform(&world, command.action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What fails in all processes is said by rank 0, which ends the others before they speak.
            if world.rank() > 0 {
                std::thread::sleep(Duration::from_secs(2));
            }
            rethink_plot::tell!("error: rank {}: {error}", world.rank());
            world.abort(1)
        }
    }
}

fn perform(world: &World, action: Action) -> Result<()> {
    match action {
        Action::Run { choice, asynchronous, checkpoint_every, json, what } => {
            let checkpoint_every = checkpoint_every.map(Duration::from_secs);
            mpi::run(world, &what.study()?, &choice, asynchronous, checkpoint_every, json)
        }
        Action::Check { choice, tolerance, json, what } => {
            mpi::check(world, &what.study()?, &choice, tolerance, json)
        }
    }
}
