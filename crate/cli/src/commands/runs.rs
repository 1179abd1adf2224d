//! `rethink run`, `sweep`, `list` and `compare`: the run store from the command line.

use crate::commands::any_of;
use crate::{Error, Result};
use comfy_table::{ContentArrangement, Table, presets};
use polars::prelude::{AnyValue, DataFrame};
use rethink::data::DataId;
use rethink::data::augmentation::Augmentation;
use rethink::data::corruption::Corruption;
use rethink::measure::{Measured, Measurement, Quantity};
use rethink::paper::reported::{TABLE_3, TABLE_4, Table1Row};
use rethink::paper::table3::Solved;
use rethink::paper::{self, Parts, Results, mean_and_deviation, table1, table3, table4};
use rethink::run::appendix_a;
use rethink::run::comparison::Free;
use rethink::run::config::{RunConfig, Scale, Seeds};
use rethink::run::row::StopReason;
use rethink::show;
use rethink::store::{Record, Run, Store};
use rethink::study::{Stored, Study, describe};
use rethink_nn::models::Init;
use rethink_nn::models::ModelKind;
use rethink_nn::numbers::parsed;
use rethink_nn::optim::{DecayOn, Optimizer};
use rethink_nn::precision::Precision;
use rethink_nn::text::{counted, thousands};
use rethink_plot::tables::TEXT_WIDTH;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

static CORRUPTIONS: LazyLock<String> = LazyLock::new(|| any_of(&Corruption::forms()));

/// What `rethink run` is told; `None` keeps the recipe's choice.
#[derive(Clone, Debug, clap::Args)]
pub struct RunChoice {
    /// The network.
    #[arg(long, value_name = "NAME", help = format!("{}, or a .json file with a network of one's own", ModelKind::names()))]
    pub model: ModelKind,
    /// Factor on the channels and units of every hidden layer
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = parsed)]
    pub width: f64,
    /// What is done to labels or images
    #[arg(long, value_name = "NAME", default_value_t = Corruption::TrueLabels, help = CORRUPTIONS.as_str())]
    pub corruption: Corruption,
    /// Height and width of what the network sees; photographs: 299 in the paper [default: 28]
    #[arg(long, value_name = "N")]
    pub input: Option<usize>,
    /// Leave out the network's dropout
    #[arg(long)]
    pub without_dropout: bool,
    /// Most epochs [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Use only the first N training images [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub train: Option<usize>,
    /// Images a step [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Initial learning rate [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub learning_rate: Option<f64>,
    /// Factor on the learning rate after each epoch (each 50,000 images, where an epoch has fewer; every 4 epochs at
    /// scale small) [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub decay: Option<f64>,
    /// Epochs between two applications of it [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub decay_every: Option<usize>,
    /// Momentum, 0 to below 1 [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub momentum: Option<f64>,
    /// What a step does with a gradient: sgd, rmsprop (TensorFlow's, decay 0.9, epsilon 1) or rmsprop+DECAY+EPSILON
    /// [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    pub optimizer: Option<Optimizer>,
    /// Share of every label that is spread over all classes, 0 to below 1 [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub label_smoothing: Option<f64>,
    /// Test with an average of the weights of which so much is kept at a step, 0 to below 1 [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub average: Option<f64>,
    /// Share of batch normalisation's running statistics that is kept at a step, 0 to below 1 [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub norm_memory: Option<f64>,
    /// What products round their factors to: float32 (nothing is rounded), or bf16, on GPUs, and on processors with AVX512-BF16, where it is
    /// twice as many products a second [default: float32]
    #[arg(long, value_name = "NAME")]
    pub precision: Option<Precision>,
    /// Initial weights: glorot, fan-in, he or tutorial [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    pub init: Option<Init>,
    /// L2 coefficient
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parsed)]
    pub weight_decay: f64,
    /// What weight decay acts on: all, fc (weights of fully connected hidden layers) or weights (no biases and shifts)
    #[arg(long, value_name = "WHAT", default_value = "all")]
    pub weight_decay_on: DecayOn,
    /// Train on random 28x28 crops; of photographs on random areas
    #[arg(long)]
    pub random_crop: bool,
    /// Exchange left and right of a training image with probability 1/2
    #[arg(long)]
    pub flip: bool,
    /// Turn training images by up to so many degrees, 0 to 180
    #[arg(long, value_name = "DEGREES", default_value_t = 0.0, value_parser = parsed)]
    pub rotation: f64,
    /// Add up to this to a training image's values, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parsed)]
    pub brightness: f64,
    /// Multiply its saturation by 1 - X to 1 + X, X from 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parsed)]
    pub saturation: f64,
    /// Move its hue by up to this part of the circle of colours, 0 to 0.5
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parsed)]
    pub hue: f64,
    /// Multiply its contrast by 1 - X to 1 + X, X from 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parsed)]
    pub contrast: f64,
    /// End once every training image was right in so many epochs in a row [default: 5]
    #[arg(long, value_name = "K", conflicts_with = "keep_going", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub fitted_epochs: Option<u64>,
    /// Go on to the last epoch when the training set is fitted
    #[arg(long)]
    pub keep_going: bool,
    /// Number of the (first) repetition: other seeds for data, weights and order
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    pub repeat: u64,
}

impl RunChoice {
    /// The configuration on the study's data and scale.
    pub fn configure(&self, study: &Study) -> RunConfig {
        let size = appendix_a::size_at(study.scale, self.model);
        self.configure_on(study.data.id(size.train, size.test), study.scale)
    }

    /// The same on so many images of a data set.
    pub fn configure_on(&self, data: DataId, scale: Scale) -> RunConfig {
        let (seeds, size) = (Seeds::repeat(self.repeat), appendix_a::size_at(scale, self.model));
        let mut config = appendix_a::config_of_size(data, size, self.model, self.corruption, seeds);
        config.width_factor = self.width;
        config.input = self.input.unwrap_or(config.input);
        config.data.train = self.train.unwrap_or(config.data.train);
        // How a narrow network starts, how often the rate decays and a row is written follow from these.
        appendix_a::Size { batch_size: self.batch_size.or(size.batch_size), ..size }.set_steps(&mut config);
        let hyper = &mut config.hyper;
        hyper.epochs = self.epochs.unwrap_or(hyper.epochs);
        hyper.learning_rate = self.learning_rate.unwrap_or(hyper.learning_rate);
        hyper.rate_decay = self.decay.unwrap_or(hyper.rate_decay);
        hyper.rate_decay_every = self.decay_every.unwrap_or(hyper.rate_decay_every);
        hyper.momentum = self.momentum.unwrap_or(hyper.momentum);
        hyper.optimizer = self.optimizer.unwrap_or(hyper.optimizer);
        hyper.label_smoothing = self.label_smoothing.unwrap_or(hyper.label_smoothing);
        hyper.average = self.average.or(hyper.average);
        hyper.norm_memory = self.norm_memory.unwrap_or(hyper.norm_memory);
        hyper.precision = self.precision.unwrap_or(hyper.precision);
        hyper.init = self.init.unwrap_or(hyper.init);
        hyper.weight_decay = self.weight_decay;
        hyper.weight_decay_on = self.weight_decay_on;
        hyper.random_crop = self.random_crop;
        hyper.without_dropout = self.without_dropout;
        let RunChoice { flip, rotation, brightness, saturation, hue, contrast, .. } = *self;
        hyper.augment = Augmentation { flip, rotation, brightness, saturation, hue, contrast };
        hyper.fitted_epochs = self.fitted_epochs.map_or(hyper.fitted_epochs, |k| k as usize);
        if self.keep_going {
            hyper.keep_going();
        }
        config
    }
}

/// Trains one run, or as many repetitions of it as the study says, or finds it in the store, and prints its record.
pub fn run(study: &Study, choice: &RunChoice, json: bool) -> Result<()> {
    rethink_plot::tell!("data: {}", study.why);
    let repeats = 0..study.seeds.unwrap_or(1);
    let repeat = |more| RunChoice { repeat: choice.repeat.saturating_add(more), ..choice.clone() };
    let configs: Vec<RunConfig> = repeats.map(|more| repeat(more).configure(study)).collect();
    let runs = study.train_all(&configs, &mut |line| rethink_plot::tell!("{line}"))?;
    runs.iter().for_each(|run| print_run(study, run, json));
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

/// A cell of the paper beside the runs of one data set, size and scale that belong to it.
struct Comparison {
    item: String,
    /// Per cent; `None`: "failed to converge".
    paper: Option<f64>,
    /// `None`: the store has no run for the cell.
    ours: Option<Ours>,
}

struct Ours {
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
            let ours = Ours {
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
                1 => " (to the first epoch at 100 %)".into(),
                epochs => format!(" ({epochs} epochs at 100 %)"),
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
            chosen.extend(number("gamma").map(|gamma| format!("gamma {gamma:.3}")));
            chosen.extend(number("ridge").map(|weight| format!("l2 {weight}")));
            let chosen = if chosen.is_empty() { String::new() } else { format!(" ({})", chosen.join(", ")) };
            let ours = Ours {
                data: record.measurement.data.title.clone(),
                n: record.measurement.data.train,
                width: None,
                scale: record.scale,
                epochs: "-".into(),
                values: solution.number("test_error").map(|error| 100.0 * error).into_iter().collect(),
                diverged: 0,
            };
            all.push(Comparison {
                item: format!("{item}{chosen}"),
                paper: Some(row.test_error),
                ours: Some(ours),
            });
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
