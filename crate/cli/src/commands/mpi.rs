//! `rethink-mpi`: one model over many processes, from the command line. Only rank 0 speaks.

use crate::commands::run_choice::RunChoice;
use crate::commands::runs::print_run;
use crate::{Error, Result};
use rethink::run::config::{Parallel, RunConfig};
use rethink::run::row::LogRow;
use rethink::run::setup;
use rethink::run::train::{Progress, TrainedRun, train, train_by};
use rethink::store::Event;
use rethink::study::{Study, begun, describe, summary, taken};
use rethink_nn::distributed::Parallelism;
use rethink_nn::distributed::mpi::World;
use rethink_nn::models::Parameter;
use rethink_nn::numbers::largest;
use rethink_nn::text::counted;
use serde_json::json;
use std::time::{Duration, Instant};

/// Trains one run by all processes, unless the store has it, and prints its record. One process
/// trains what `rethink run` trains.
///
/// Errors: those of [`setup::check`], of [`rethink::store::Store::run`] and of [`train_by`].
pub fn run(
    world: &World,
    study: &Study,
    choice: &RunChoice,
    asynchronous: bool,
    checkpoint_every: Option<Duration>,
    json: bool,
) -> Result<()> {
    one_seed(study)?;
    let mut config = choice.configure(study);
    config.parallel = match world.size() {
        workers if asynchronous => Some(Parallel::Asynchronous { workers }),
        1 => None,
        ranks => Some(Parallel::Synchronous { ranks }),
    };
    // Before anything is written for it, and in every process, so that all of them end.
    setup::check(&config, &study.data)?;
    let mut processes = if asynchronous { world.asynchronous() } else { world.synchronous() };
    if world.rank() > 0 {
        // Rank 0 looks into the store first.
        if world.team().broadcast(None).is_some() {
            train_by(&config, &study.data, Progress::quiet(&mut |_| {}), &mut processes)?;
        }
        return Ok(());
    }
    rethink_plot::tell!("data: {}", study.why);
    let mut told = false;
    let (name, mut said) = (describe(&config), Instant::now());
    let run = study.store().run_by(
        (&config, study.data.classes.len()),
        study.scale,
        &mut |event| match event {
            Event::Found(_) => rethink_plot::tell!("{name}: in the store"),
            Event::Waiting => rethink_plot::tell!("{name}: another process is training it, waiting"),
            Event::Epoch(row) if said.elapsed().as_secs() >= 5 => {
                said = Instant::now();
                let (epoch, of, loss) = (row.epoch, config.hyper.epochs, row.loss);
                let train = 100.0 * row.batch_accuracy;
                rethink_plot::tell!("{name}: epoch {epoch} of {of}, loss {loss:.4}, train {train:.1} %");
            }
            Event::Epoch(_) | Event::Training(..) => {}
            Event::Taken(record) => rethink_plot::tell!("{name}: {}", taken(&record)),
            Event::Begun(origin) => rethink_plot::tell!("{name}: {}", begun(&origin)),
            Event::PassedOver(why) => rethink_plot::tell!("{name}: {why}"),
        },
        &mut |progress| {
            told = true;
            world.team().broadcast(Some(Vec::new()));
            let checkpoint_every = checkpoint_every.unwrap_or(progress.checkpoint_every);
            train_by(&config, &study.data, Progress { checkpoint_every, ..progress }, &mut processes)
        },
    )?;
    if told {
        rethink_plot::tell!("{}", summary(&run.record));
    } else {
        world.team().broadcast(None);
    }
    print_run(study, &run, json);
    Ok(())
}

/// Trains a run by one process, then by all of them synchronously, keeps neither, and prints how far they are apart:
/// in every row's loss, and in the weights at the end. The first step differs by the order of sums alone; with each further
/// one, units that are within rounding of zero may be on in one training and off in the other.
///
/// Errors: [`Error::Argument`] where they are further apart than `tolerance`; those of [`train`].
pub fn check(world: &World, study: &Study, choice: &RunChoice, tolerance: f64, json: bool) -> Result<()> {
    one_seed(study)?;
    let alone = choice.configure(study);
    let ranks = world.size();
    let parallel = (ranks > 1).then_some(Parallel::Synchronous { ranks });
    let together = RunConfig { parallel, ..alone.clone() };
    let started = Instant::now();
    let one = match world.rank() {
        0 => train(&alone, &study.data, Progress::quiet(&mut |_| {}))?,
        _ => None,
    };
    let one_seconds = started.elapsed().as_secs_f64();
    world.team().gather(&[0.0]);
    let started = Instant::now();
    let mut processes: Parallelism = world.synchronous();
    let all = train_by(&together, &study.data, Progress::quiet(&mut |_| {}), &mut processes)?;
    let all_seconds = started.elapsed().as_secs_f64();
    let (Some(one), Some(all)) = (one, all) else { return Ok(()) };
    let LargestDifferences { loss, weights, worst, accuracy } = apart(&one, &all)?;
    let (rows, tensors) = (one.rows.len(), one.parameters.len());
    if json {
        let line = json!({
            "run": describe(&alone), "ranks": ranks, "rows": rows, "tensors": tensors, "loss": loss,
            "weights": weights, "worst": { "tensor": worst.1, "apart": worst.0 }, "accuracy": accuracy,
            "one_seconds": one_seconds, "all_seconds": all_seconds,
        });
        println!("{line}");
    } else {
        let steps = counted(one.rows[rows - 1].step as usize, "step");
        println!("{}: one process and {ranks} together, {steps}", describe(&alone));
        println!("loss of {}:     apart by {loss:.2e} of itself at most", counted(rows, "row"));
        println!("weights, {tensors} tensors: apart by {weights:.2e} of their norm");
        println!("                    {} by {:.2e} of its own", worst.1, worst.0);
        println!("accuracies:         apart by {:.3} % at most", 100.0 * accuracy);
        println!("seconds:            {one_seconds:.2} and {all_seconds:.2}");
    }
    let close = |apart: f64| apart <= tolerance;
    if !close(loss) || !close(weights) {
        let problem = format!("{ranks} processes and one are further apart than {tolerance:e}");
        return Err(Error::argument("check", problem));
    }
    Ok(())
}

fn one_seed(study: &Study) -> Result<()> {
    match study.seeds {
        Some(seeds) if seeds > 1 => Err(Error::argument(
            "rethink-mpi",
            "one run at a time: --repeat names the repetition, --seeds is not taken",
        )),
        _ => Ok(()),
    }
}

/// The largest differences between two trainings.
struct LargestDifferences {
    /// As a part of a row's loss.
    loss: f64,
    /// Of all trained numbers, as a part of their norm.
    weights: f64,
    /// The largest of a tensor, running statistics too, as a part of its norm, and its name.
    worst: (f64, String),
    /// Of any kind, 0 to 1.
    accuracy: f64,
}

fn apart(one: &TrainedRun, other: &TrainedRun) -> Result<LargestDifferences> {
    let (a, b): (Vec<&LogRow>, Vec<&LogRow>) = (one.rows.iter().collect(), other.rows.iter().collect());
    let steps = |rows: &[&LogRow]| rows.iter().map(|row| row.step).collect::<Vec<u32>>();
    if steps(&a) != steps(&b) || one.parameters.len() != other.parameters.len() {
        return Err(Error::argument("check", "the two trainings have other steps"));
    }
    let accuracies = |row: &LogRow| {
        [Some(row.batch_accuracy), row.train_accuracy, row.test_accuracy].map(|v| v.unwrap_or(-1.0))
    };
    // Squares of the differences, and of the weights.
    let squares = |a: &Parameter, b: &Parameter| {
        let pairs = a.values.iter().zip(&b.values).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        pairs.fold((0.0, 0.0), |(apart, size), (a, b)| (apart + (a - b) * (a - b), size + a * a))
    };
    let ratio = |(apart, size): (f64, f64)| if apart == 0.0 { 0.0 } else { (apart / size).sqrt() };
    let (mut whole, mut worst) = ((0.0, 0.0), (0.0, String::new()));
    for (a, b) in one.parameters.iter().zip(&other.parameters) {
        let this = squares(a, b);
        // A running variance can be larger than all weights together.
        if a.is_trained() {
            whole = (whole.0 + this.0, whole.1 + this.1);
        }
        let apart = ratio(this);
        if apart > worst.0 || apart.is_nan() {
            worst = (apart, a.name.clone());
        }
    }
    let rows = || a.iter().zip(&b);
    Ok(LargestDifferences {
        loss: largest(rows().map(|(a, b)| (a.loss - b.loss).abs() / a.loss.abs())),
        weights: ratio(whole),
        worst,
        accuracy: largest(
            rows()
                .flat_map(|(a, b)| accuracies(a).into_iter().zip(accuracies(b)).map(|(a, b)| (a - b).abs())),
        ),
    })
}
