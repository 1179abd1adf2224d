//! `rethink run`, `sweep` and `list`: the run store from the command line.

use crate::commands::run_choice::RunChoice;
use crate::{Error, Result};
use comfy_table::{ContentArrangement, Table, presets};
use polars::prelude::{AnyValue, DataFrame};
use polars_io::prelude::{CsvWriter, SerWriter};
use rethink::measure::{Measured, Measurement, Quantity};
use rethink::paper::table3::{self, Solved};
use rethink::paper::{self, Parts, Results};
use rethink::run::config::RunConfig;
use rethink::show;
use rethink::store::{Record, Run, Store, frame_of};
use rethink::study::{Stored, Study, describe};
use rethink_nn::text::thousands;
use rethink_plot::tables::TEXT_WIDTH;
use serde_json::json;
use std::path::Path;

/// Trains a run of each of `choices`, or as many repetitions of it as the study says, or finds them in the store, and prints their records.
pub fn run(study: &Study, choices: &[RunChoice], json: bool) -> Result<()> {
    rethink_plot::tell!("data: {}", study.why);
    let repeats = |choice: &RunChoice| {
        let (choice, seeds) = (choice.clone(), study.seeds.unwrap_or(1));
        (0..seeds).map(move |more| RunChoice { repeat: choice.repeat.saturating_add(more), ..choice.clone() })
    };
    let configs: Vec<RunConfig> =
        choices.iter().flat_map(repeats).map(|choice| choice.configure(study)).collect();
    let runs = study.train_all(&configs, &mut |line| rethink_plot::tell!("{line}"))?;
    match &runs[..] {
        several if choices.len() > 1 && !json => println!("{}", records(several)),
        runs => runs.iter().for_each(|run| print_run(study, run, json)),
    }
    Ok(())
}

/// What `rethink run` ends with.
pub(crate) fn print_run(study: &Study, run: &Run, json: bool) {
    if json {
        println!("{}", line(run));
    } else {
        println!("{}", records(std::slice::from_ref(run)));
        println!("frame:  {}", study.store().path(&run.record.config.key()).display());
        println!("digest: {}", run.record.digest);
    }
}

/// Makes every run or measurement of a recipe that the store lacks.
pub fn sweep(study: &Study, id: &str, json: bool) -> Result<()> {
    let recipe = paper::find(id)?;
    rethink_plot::tell!("data: {}", study.why);
    print_results(&study.results(recipe, &mut |line| rethink_plot::tell!("{line}"))?, json);
    Ok(())
}

/// Prints what a recipe is made of after others have made it. Nothing is trained or measured here: this may be a cluster's login node.
///
/// Errors: [`Error::Missing`] with what the store lacks; those of [`Study::stored`].
pub fn made(study: &Study, id: &str, json: bool) -> Result<()> {
    match study.stored(paper::find(id)?)? {
        Stored::Whole(results) => print_results(&results, json),
        Stored::Part { missing, of } => {
            let folder = study.store().folder().display().to_string();
            return Err(Error::Missing {
                what: format!("{} of {of} are not in {folder}: {}", missing.len(), missing.join("; ")),
                remedy: "the same command has them made".into(),
            });
        }
    }
    Ok(())
}

fn print_results(results: &Results, json: bool) {
    match results {
        Results::Runs(runs) => print_all(runs, &[], json),
        Results::Measured(measured) => print_all(&[], measured, json),
    }
}

/// What a sweep of the recipe would make: its runs or measurements, and how many of them the store lacks.
pub fn plan(study: &Study, id: &str, json: bool) -> Result<()> {
    let recipe = paper::find(id)?;
    rethink_plot::tell!("data: {}", study.why);
    let (table, lines): (_, Vec<serde_json::Value>) = match recipe.source {
        Parts::Runs { .. } => {
            let configs = study.configs_of(recipe);
            let line = |c: &RunConfig| json!({ "key": c.key(), "config": c });
            (show::experiment(&configs), configs.iter().map(line).collect())
        }
        Parts::Measurements { .. } => {
            let plan = study.plan(id)?;
            let line = |m: &Measurement| json!({ "key": m.key(), "measurement": m });
            (show::plan(&plan), plan.iter().map(line).collect())
        }
    };
    if json {
        lines.iter().for_each(|line| println!("{line}"));
        return Ok(());
    }
    println!("{}", table.text_in(terminal_width()));
    let (missing, of) = match study.stored(recipe)? {
        Stored::Whole(_) => (0, lines.len()),
        Stored::Part { missing, of } => (missing.len(), of),
    };
    println!("{} of {of} are in the store", of - missing);
    Ok(())
}

/// Every run of the store in `out`.
pub fn list(out: &Path, json: bool) -> Result<()> {
    let store = Store::new(out.join("runs"));
    let (runs, measured) = (store.all()?, store.measurements()?);
    if !json && runs.is_empty() && measured.is_empty() {
        println!("no runs in {}", out.join("runs").display());
    } else {
        print_all(&runs, &measured, json);
    }
    Ok(())
}

/// Every training run of the store in `out` as CSV, a line each.
pub fn list_csv(out: &Path) -> Result<()> {
    let mut frame = frame_of(&Store::new(out.join("runs")).all()?)?;
    let mut csv = Vec::new();
    CsvWriter::new(&mut csv).finish(&mut frame).map_err(Error::frame("write the runs as CSV"))?;
    print!("{}", String::from_utf8_lossy(&csv));
    Ok(())
}

fn print_all(runs: &[Run], measured: &[Measured], json: bool) {
    if json {
        runs.iter().for_each(|run| println!("{}", line(run)));
        for Measured { record, frame } in measured {
            println!(
                "{}",
                json!({ "key": record.measurement.key(), "record": record, "rows": json_rows(frame) })
            );
        }
        return;
    }
    if !runs.is_empty() {
        println!("{}", records(runs));
    }
    if !measured.is_empty() {
        let mut table = terminal_table(&["key", "data", "measurement", "found", "scale", "seconds"]);
        for one in measured {
            let (record, measurement) = (&one.record, &one.record.measurement);
            table.add_row(vec![
                measurement.key(),
                measurement.data.title.clone(),
                measurement.describe(),
                found(one),
                record.scale.to_string(),
                format!("{:.1}", record.seconds),
            ]);
        }
        println!("{table}");
    }
}

/// A measurement's numbers in a line.
fn found(measured: &Measured) -> String {
    let id = match measured.record.measurement.what {
        Quantity::KernelEquation(_) => {
            let solved = table3::solved(std::slice::from_ref(measured));
            return solved.iter().map(solution).collect::<Vec<_>>().join("; ");
        }
        Quantity::Theorem1 => "theorem1",
        Quantity::Corollary1 { .. } => "corollary1",
        Quantity::SgdPath { .. } => return last_of_each(&measured.frame, "start", "distance"),
        Quantity::Interpolators => return last_of_each(&measured.frame, "solution", "norm"),
        Quantity::Rademacher { .. } => "rademacher",
        Quantity::Stability { .. } => "stability",
    };
    let results = Results::Measured(vec![measured.clone()]);
    let verdict = paper::find(id).and_then(|recipe| recipe.verdict(&results));
    verdict.ok().and_then(|verdict| verdict.ours).unwrap_or("-".into())
}

/// Of each value of the text column `by`, in order, the last of `what`: "distance: zero 7e-14, random 0.95".
fn last_of_each(frame: &DataFrame, by: &str, what: &str) -> String {
    let (Ok(names), Ok(values)) = (frame.column(by), frame.column(what)) else { return "-".into() };
    let (Ok(names), Ok(values)) = (names.str(), values.f64()) else { return "-".into() };
    let mut last: Vec<(&str, f64)> = Vec::new();
    for (name, value) in names.iter().zip(values.iter()) {
        let (Some(name), Some(value)) = (name, value) else { continue };
        match last.iter_mut().find(|(other, _)| *other == name) {
            Some(kept) => kept.1 = value,
            None => last.push((name, value)),
        }
    }
    let each = last.iter().map(|(name, value)| format!("{name} {}", short(*value)));
    format!("{what}: {}", each.collect::<Vec<_>>().join(", "))
}

/// A number in a few characters.
fn short(value: f64) -> String {
    if value == 0.0 || (0.01..1e5).contains(&value.abs()) {
        format!("{value:.2}")
    } else {
        format!("{value:.0e}")
    }
}

/// "1.22 % wrong, norm 145, gamma 0.02, no l2".
fn solution(solved: &Solved) -> String {
    let mut parts = Vec::new();
    let number = |name| solved.number(name).filter(|v| v.is_finite());
    parts.extend(number("test_error").map(|error| format!("{:.2} % wrong", 100.0 * error)));
    parts.extend(number("norm").map(|norm| format!("norm {norm:.0}")));
    parts.extend(number("gamma").filter(|gamma| *gamma > 0.0).map(|gamma| format!("gamma {gamma:.3e}")));
    parts.push(match (number("ridge"), number("floor")) {
        (Some(weight), _) if weight > 0.0 => format!("l2 {weight:.0e}"),
        (_, Some(floor)) if floor > 0.0 => format!("singular: {floor:.0e} added"),
        _ => "no l2".into(),
    });
    parts.join(", ")
}

/// The rows of a measurement's frame, each an object by column.
fn json_rows(frame: &DataFrame) -> Vec<serde_json::Value> {
    let value = |value: AnyValue| match value {
        AnyValue::Null => serde_json::Value::Null,
        AnyValue::Float64(v) => json!(v),
        AnyValue::String(text) => json!(text),
        other => json!(other.to_string()),
    };
    let row = |i: usize| {
        let cells = frame.columns().iter().map(|column| {
            let cell = column.get(i).map_or(serde_json::Value::Null, value);
            (column.name().to_string(), cell)
        });
        serde_json::Value::Object(cells.collect())
    };
    (0..frame.height()).map(row).collect()
}

fn line(run: &Run) -> serde_json::Value {
    json!({ "key": run.record.config.key(), "hyper": run.record.config.hyper.shown(), "record": run.record })
}

/// Characters in a line of the terminal; a page's where output is not a terminal.
pub(crate) fn terminal_width() -> usize {
    Table::new().width().map_or(TEXT_WIDTH, usize::from)
}

/// A table for the terminal: as wide as it needs where output is not a terminal.
pub(crate) fn terminal_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

fn percent(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{:.2}", 100.0 * v))
}

fn records(runs: &[Run]) -> Table {
    let mut table = terminal_table(&[
        "key", "data", "n", "run", "scale", "epochs", "ended", "train %", "test %", "seconds",
    ]);
    for Run { record, .. } in runs {
        let Record { config, scale, epochs, train_accuracy, test_accuracy, seconds, .. } = record;
        let from = record.origin.as_ref().map_or(String::new(), |origin| format!(", from {}", origin.key));
        table.add_row(vec![
            config.key(),
            config.data.title.clone(),
            thousands(config.data.train),
            describe(config),
            scale.to_string(),
            epochs.to_string(),
            record.ended() + &from,
            percent(*train_accuracy),
            percent(*test_accuracy),
            format!("{seconds:.1}"),
        ]);
    }
    table
}
