//! `rethink compare`: the paper's numbers beside those of the store.

use crate::commands::runs::terminal_table;
use crate::{Error, Result};
use rethink::measure::Measured;
use rethink::paper::reported::{TABLE_3, TABLE_4, Table1Row};
use rethink::paper::{self, mean_and_deviation, table1, table3, table4};
use rethink::run::appendix_a;
use rethink::run::comparison::Free;
use rethink::run::config::Scale;
use rethink::run::row::StopReason;
use rethink::store::{Run, Store};
use rethink_nn::text::{counted, thousands};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// A cell of the paper beside the runs of one data set, size and scale that belong to it.
#[derive(PartialEq)]
struct Comparison {
    item: String,
    /// Per cent; `None`: "failed to converge".
    paper: Option<f64>,
    /// `None`: the store has no run for the cell.
    ours: Option<OurRow>,
}

#[derive(PartialEq)]
struct OurRow {
    data: String,
    n: usize,
    /// `None`: no training run.
    width: Option<f64>,
    scale: Scale,
    /// `-`: no training run.
    epochs: String,
    /// Per cent, one a seed; those of diverged runs are left out.
    values: Vec<f64>,
    diverged: usize,
}

impl Comparison {
    fn mean(&self) -> Option<f64> {
        paper::mean(self.ours.as_ref()?.values.iter().copied())
    }

    fn difference(&self) -> Option<f64> {
        Some(self.mean()? - self.paper?)
    }
}

/// The store's runs and measurements that may stand beside the paper's; says how many may not.
///
/// Errors: those of [`Store::all`] and [`Store::measurements`].
pub(super) fn comparable(out: &Path) -> Result<(Vec<Run>, Vec<Measured>)> {
    let store = Store::new(out.join("runs"));
    let (mut runs, mut measured) = (store.all()?, store.measurements()?);
    let before = runs.len() + measured.len();
    runs.retain(|run| run.record.config.data.is_comparable());
    measured.retain(|measured| measured.record.measurement.data.is_comparable());
    // A store has them in the order of their keys; who reads of several sizes expects them to rise.
    measured.sort_by_key(|measured| measured.record.measurement.data.train);
    say_left_out(before - runs.len() - measured.len());
    Ok((runs, measured))
}

/// The paper's numbers beside ours: every cell of tables 1, 3 and 4, a line for each data set, size and setting that
/// the store in `out` has for it.
///
/// Errors: [`Error::Missing`] where it has none for any.
pub fn compare(out: &Path, json: bool) -> Result<()> {
    let (runs, measured) = comparable(out)?;
    let mut comparisons = comparisons(&runs);
    comparisons.extend(kernels(&measured));
    if json {
        for c in &comparisons {
            let mut line =
                json!({ "item": c.item, "paper": c.paper, "ours": c.mean(), "difference": c.difference() });
            if let Some(o) = &c.ours {
                line["data"] = json!(o.data);
                line["n"] = json!(o.n);
                line["width"] = json!(o.width);
                line["scale"] = json!(o.scale);
                line["epochs"] = json!(o.epochs);
                line["values"] = json!(o.values);
                line["diverged"] = json!(o.diverged);
            }
            println!("{line}");
        }
        return Ok(());
    }
    if comparisons.iter().all(|c| c.ours.is_none()) {
        let problem = format!("nothing in {} answers to a number of the paper", out.join("runs").display());
        return Err(Error::Missing {
            what: problem,
            remedy: "run `rethink reproduce` or `rethink sweep table1`".into(),
        });
    }
    let header = ["item", "data", "n", "width", "scale", "epochs", "seeds", "paper", "ours", "difference"];
    let mut table = terminal_table(&header);
    for c in &comparisons {
        let number = |v: Option<f64>, absent: &str| v.map_or(absent.to_string(), |v| format!("{v:.2}"));
        let paper = number(c.paper, "failed to converge");
        let mut row = vec![c.item.clone()];
        match &c.ours {
            None => row.extend(["-"; 6].map(String::from).into_iter().chain([paper, "-".into(), "-".into()])),
            Some(o) => {
                let mut ours = Vec::new();
                if !o.values.is_empty() {
                    ours.push(mean_and_deviation(&o.values));
                }
                if o.diverged > 0 {
                    ours.push(format!("{} diverged", o.diverged));
                }
                let width = o.width.map_or("-".into(), |width| width.to_string());
                row.extend([o.data.clone(), thousands(o.n), width, o.scale.to_string()]);
                row.extend([
                    o.epochs.clone(),
                    (o.values.len() + o.diverged).to_string(),
                    paper,
                    ours.join(", "),
                ]);
                row.push(c.difference().map_or("-".into(), |d| format!("{d:+.2}")));
            }
        }
        table.add_row(row);
    }
    println!("{table}");
    Ok(())
}

/// Says on standard error how many runs stand in no comparison with the paper.
fn say_left_out(count: usize) {
    if count > 0 {
        rethink_plot::tell!(
            "left out: {count} of data sets that are not the paper's: others, or files in a published set's format that are not known to be it \
             (`rethink list`)"
        );
    }
}

type Value = fn(&Run) -> Option<f64>;

/// A cell of the paper: its name, its number, which runs belong to it and what is compared.
struct Cell {
    item: String,
    paper: Option<f64>,
    belongs: Box<dyn Fn(&Run) -> bool>,
    value: Value,
}

fn cells() -> Vec<Cell> {
    let train: Value = |run| run.record.train_accuracy;
    let test: Value = |run| run.record.test_accuracy;
    let mut cells = Vec::new();
    for (row, _) in table1::rows() {
        for (what, value, paper) in [("train %", train, row.train), ("test %", test, row.test)] {
            let item = format!("table 1, {}, {what}", row_name(row));
            let belongs = Box::new(move |run: &Run| table1::belongs(row, run));
            cells.push(Cell { item, paper: Some(paper), belongs, value });
        }
    }
    for row in &TABLE_4 {
        let item = format!("table 4, {}, random labels, {}, train %", row.model, row.regularizer.title());
        let belongs = Box::new(move |run: &Run| table4::belongs(row, run));
        cells.push(Cell { item, paper: row.train, belongs, value: train });
    }
    cells
}

fn comparisons(runs: &[Run]) -> Vec<Comparison> {
    let mut all = Vec::new();
    for Cell { item, paper, belongs, value } in cells() {
        let mut groups: BTreeMap<_, Vec<&Run>> = BTreeMap::new();
        for run in runs.iter().filter(|run| belongs(run)) {
            let config = &run.record.config;
            // Repetitions of one configuration differ in their seeds alone.
            let same = config.key_but_for(&[Free::Seeds]);
            let group = (config.data.title.clone(), config.data.train, same);
            groups.entry(group).or_default().push(run);
        }
        let before = all.len();
        for ((data, n, _), group) in groups {
            let (lost, sound): (Vec<&Run>, Vec<&Run>) =
                group.iter().partition(|run| run.record.ending == StopReason::Diverged);
            let values = sound.iter().filter_map(|run| value(run)).map(|v| 100.0 * v).collect();
            let epochs = group.iter().map(|run| run.record.epochs);
            let (low, high) = (epochs.clone().min().unwrap_or(0), epochs.max().unwrap_or(0));
            let ours = OurRow {
                data,
                n,
                width: Some(group[0].record.config.width_factor),
                scale: group[0].record.scale,
                epochs: if low == high { low.to_string() } else { format!("{low}-{high}") },
                values,
                diverged: lost.len(),
            };
            let config = &group[0].record.config;
            let mut own = config.hyper.choices();
            if config.hyper.weight_decay > 0.0 {
                own.push(format!("weight decay on {}", config.hyper.weight_decay_on.name()));
            }
            let item = [item.clone()].into_iter().chain(own).collect::<Vec<_>>().join(", ");
            let processes = config.parallel;
            let processes = processes.map_or(String::new(), |parallel| format!(" ({})", parallel.describe()));
            // Runs of before the rule of today stay, and say so.
            let hyper = &group[0].record.config.hyper;
            let rule = match hyper.fitted_epochs {
                appendix_a::FITTED_EPOCHS => String::new(),
                _ if !hyper.stop_when_fitted => " (all epochs)".into(),
                1 => " (rule: ends at the first epoch at 100 %)".into(),
                epochs => format!(" (rule: ends after {epochs} epochs at 100 %)"),
            };
            all.push(Comparison { item: format!("{item}{processes}{rule}"), paper, ours: Some(ours) });
        }
        if all.len() == before {
            all.push(Comparison { item, paper, ours: None });
        }
    }
    all
}

/// Table 3's cells.
fn kernels(measured: &[Measured]) -> Vec<Comparison> {
    let mut all = Vec::new();
    let solutions = table3::solved(measured);
    for row in &TABLE_3 {
        let l2 = if row.l2 { ", l2" } else { "" };
        let item = format!("table 3, {}, {}{l2}, test error %", row.data, row.preprocessing);
        let before = all.len();
        for solution in solutions.iter().filter(|solution| solution.belongs(row)) {
            let record = &solution.measured.record;
            // Solutions of one row differ in these.
            let mut chosen = Vec::new();
            let number = |name| solution.number(name).filter(|v| *v > 0.0);
            chosen.extend(number("filters").map(|filters| counted(filters as usize, "filter")));
            chosen.extend(number("gamma").map(|gamma| format!("gamma {}", table3::gamma_text(gamma))));
            chosen.extend(number("ridge").map(|weight| format!("l2 {weight}")));
            let chosen = if chosen.is_empty() { String::new() } else { format!(" ({})", chosen.join(", ")) };
            let ours = OurRow {
                data: record.measurement.data.title.clone(),
                n: record.measurement.data.train,
                width: None,
                scale: record.scale,
                epochs: "-".into(),
                values: solution.number("test_error").map(|error| 100.0 * error).into_iter().collect(),
                diverged: 0,
            };
            let comparison =
                Comparison { item: format!("{item}{chosen}"), paper: Some(row.test_error), ours: Some(ours) };
            // Two ways of choosing may end with the same solution.
            if !all.contains(&comparison) {
                all.push(comparison);
            }
        }
        if all.len() == before {
            all.push(Comparison { item, paper: Some(row.test_error), ours: None });
        }
    }
    all
}

fn row_name(row: &Table1Row) -> String {
    let mut name = row.model.to_string();
    for (on, what) in
        [(row.random_crop, "crop"), (row.weight_decay, "weight decay"), (row.random_labels, "random labels")]
    {
        if on {
            name += &format!(", {what}");
        }
    }
    name
}
