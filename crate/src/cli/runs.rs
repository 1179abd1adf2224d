//! `rethink run`, `sweep`, `list` and `compare`: the run store from the command line.

use crate::config::{Init, RunConfig, Scale, Seeds};
use crate::corruption::Corruption;
use crate::measurement::Measured;
use crate::models::ModelKind;
use crate::paper::Table1Row;
use crate::recipe::{self, Results, mean_and_deviation, table1};
use crate::store::{Record, Run, Store};
use crate::study::{Study, describe, thousands};
use crate::{Error, Result};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// What `rethink run` is told; `None` keeps the recipe's choice.
#[derive(Clone, Debug, clap::Args)]
pub struct RunChoice {
    /// inception, inception-no-bn, alexnet, mlp3x512, mlp1x512, inception-v3 or inception-v3-aux
    #[arg(long, value_name = "NAME")]
    pub model: ModelKind,
    /// Factor on the channels and units of every hidden layer
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub width: f64,
    /// true-labels, partial-labels:P, random-labels, shuffled-pixels, random-pixels, gaussian or
    /// gaussian:overall
    #[arg(long, value_name = "NAME", default_value = "true-labels")]
    pub corruption: Corruption,
    /// Most epochs
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Use only the first N training images
    #[arg(long, value_name = "N")]
    pub train: Option<usize>,
    /// Images a step
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Initial learning rate
    #[arg(long, value_name = "X")]
    pub learning_rate: Option<f64>,
    /// Factor on the learning rate
    #[arg(long, value_name = "X")]
    pub decay: Option<f64>,
    /// Initial weights: glorot, fan-in or tutorial
    #[arg(long, value_name = "NAME")]
    pub init: Option<Init>,
    /// L2 coefficient
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub weight_decay: f64,
    /// Train on random 28x28 crops
    #[arg(long)]
    pub random_crop: bool,
    /// Go on to the last epoch when the training set is fitted
    #[arg(long)]
    pub keep_going: bool,
    /// Number of the repetition: other seeds for data, weights and order
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub repeat: u64,
}

impl RunChoice {
    /// The configuration on the study's data and scale.
    pub fn configure(&self, study: &Study) -> RunConfig {
        let seeds = Seeds::repeat(self.repeat);
        let mut config = recipe::setting(&study.data, study.scale, self.model, self.corruption, seeds);
        config.width = self.width;
        let hyper = &mut config.hyper;
        hyper.epochs = self.epochs.unwrap_or(hyper.epochs);
        hyper.batch_size = self.batch_size.unwrap_or(hyper.batch_size);
        hyper.learning_rate = self.learning_rate.unwrap_or(hyper.learning_rate);
        hyper.decay = self.decay.unwrap_or(hyper.decay);
        hyper.init = self.init.unwrap_or(hyper.init);
        hyper.weight_decay = self.weight_decay;
        hyper.random_crop = self.random_crop;
        hyper.stop_when_fitted = !self.keep_going;
        if let Some(train) = self.train {
            config.data.train = train;
        }
        config
    }
}

/// Trains one run, or finds it in the store, and prints its record.
pub fn run(study: &Study, choice: &RunChoice, json: bool) -> Result<()> {
    eprintln!("data: {}", study.why);
    let config = choice.configure(study);
    let runs = study.train_all(std::slice::from_ref(&config), &mut |line| eprintln!("{line}"))?;
    for run in &runs {
        if json {
            println!("{}", line(run));
        } else {
            println!("{}", records(&runs));
            println!("frame:  {}", study.store().path(&config.key()).display());
            println!("digest: {}", run.record.digest);
        }
    }
    Ok(())
}

/// Makes every run or measurement of a recipe that the store lacks.
pub fn sweep(study: &Study, id: &str, json: bool) -> Result<()> {
    let recipe = recipe::find(id)?;
    eprintln!("data: {}", study.why);
    let (runs, measured) = match study.results(recipe, &mut |line| eprintln!("{line}"))? {
        Results::Runs(runs) => (runs, Vec::new()),
        Results::Measured(measured) => (Vec::new(), measured),
    };
    print_all(&runs, &measured, json);
    Ok(())
}

/// Every run of the store in `out`.
pub fn list(out: &Path, json: bool) -> Result<()> {
    let store = Store::new(out.join("runs"));
    let (runs, measured) = (store.all()?, store.measurements()?);
    if !json && runs.is_empty() && measured.is_empty() {
        println!("no runs in {}", store.folder().display());
    } else {
        print_all(&runs, &measured, json);
    }
    Ok(())
}

fn print_all(runs: &[Run], measured: &[Measured], json: bool) {
    if json {
        runs.iter().for_each(|run| println!("{}", line(run)));
        for Measured { record, .. } in measured {
            println!("{}", json!({ "key": record.measurement.key(), "record": record }));
        }
        return;
    }
    if !runs.is_empty() {
        println!("{}", records(runs));
    }
    if !measured.is_empty() {
        let mut table = terminal_table(&["key", "data", "measurement", "scale", "seconds"]);
        for Measured { record, .. } in measured {
            let measurement = &record.measurement;
            table.add_row(vec![
                measurement.key(),
                measurement.data.title.clone(),
                measurement.describe(),
                record.scale.to_string(),
                format!("{:.1}", record.seconds),
            ]);
        }
        println!("{table}");
    }
}

fn line(run: &Run) -> serde_json::Value {
    json!({ "key": run.record.config.key(), "record": run.record })
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
        let Record { config, scale, epochs, ending, train_accuracy, test_accuracy, seconds, .. } = record;
        table.add_row(vec![
            config.key(),
            config.data.title.clone(),
            thousands(config.data.train),
            describe(config),
            scale.to_string(),
            epochs.to_string(),
            format!("{ending:?}").to_lowercase(),
            percent(*train_accuracy),
            percent(*test_accuracy),
            format!("{seconds:.1}"),
        ]);
    }
    table
}

/// A cell of the paper beside the runs of one data set, size and scale that belong to it.
struct Comparison {
    item: String,
    data: String,
    n: usize,
    scale: Scale,
    epochs: String,
    paper: f64,
    ours: Vec<f64>,
}

/// The paper's numbers beside ours, for every run of the store in `out`.
pub fn compare(out: &Path, json: bool) -> Result<()> {
    let store = Store::new(out.join("runs"));
    let runs = store.all()?;
    let comparisons = comparisons(&runs);
    if json {
        for c in &comparisons {
            let mean = c.ours.iter().sum::<f64>() / c.ours.len() as f64;
            println!(
                "{}",
                json!({ "item": c.item, "data": c.data, "n": c.n, "scale": c.scale, "epochs": c.epochs,
                        "paper": c.paper, "ours": mean, "difference": mean - c.paper, "values": c.ours })
            );
        }
        return Ok(());
    }
    if comparisons.is_empty() {
        let problem = format!("no run in {} answers to a number of the paper", store.folder().display());
        return Err(Error::Missing {
            what: problem,
            remedy: "run `rethink reproduce` or `rethink sweep table1`".into(),
        });
    }
    let header = ["item", "data", "n", "scale", "epochs", "seeds", "paper", "ours", "difference"];
    let mut table = terminal_table(&header);
    for c in &comparisons {
        let mean = c.ours.iter().sum::<f64>() / c.ours.len() as f64;
        table.add_row(vec![
            c.item.clone(),
            c.data.clone(),
            thousands(c.n),
            c.scale.to_string(),
            c.epochs.clone(),
            c.ours.len().to_string(),
            format!("{:.2}", c.paper),
            mean_and_deviation(&c.ours),
            format!("{:+.2}", mean - c.paper),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn comparisons(runs: &[Run]) -> Vec<Comparison> {
    type Ours = fn(&Run) -> Option<f64>;
    type Papers = fn(&Table1Row) -> f64;
    let values: [(&str, Ours, Papers); 2] = [
        ("train %", |r| r.record.train_accuracy, |row| row.train),
        ("test %", |r| r.record.test_accuracy, |row| row.test),
    ];
    let mut all = Vec::new();
    for (row, _) in table1::rows() {
        for (what, value, paper) in values {
            let mut groups: BTreeMap<_, Vec<&Run>> = BTreeMap::new();
            for run in runs.iter().filter(|run| table1::belongs(row, run)) {
                let config = &run.record.config;
                // Repetitions of one configuration differ in their seeds alone.
                let mut same = config.clone();
                same.seeds = Seeds::default();
                let group = (config.data.title.clone(), config.data.train, same.key());
                groups.entry(group).or_default().push(run);
            }
            for ((data, n, _), group) in groups {
                let ours: Vec<f64> = group.iter().filter_map(|run| value(run)).map(|v| 100.0 * v).collect();
                if ours.is_empty() {
                    continue;
                }
                let epochs = group.iter().map(|run| run.record.epochs);
                let (low, high) = (epochs.clone().min().unwrap_or(0), epochs.max().unwrap_or(0));
                all.push(Comparison {
                    item: format!("table 1, {}, {what}", row_name(row)),
                    data,
                    n,
                    scale: group[0].record.scale,
                    epochs: if low == high { low.to_string() } else { format!("{low}-{high}") },
                    paper: paper(row),
                    ours,
                });
            }
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
