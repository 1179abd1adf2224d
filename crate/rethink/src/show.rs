//! What a notebook's cell shows of values that are no figures or tables by themselves: frames, runs, several figures or
//! tables at once.
//!
//! The kernel shows one thing of each kind a cell, so several figures become one picture, and figures beside tables one
//! piece of HTML. A cell ends in the value: `frame`, `runs[0]`, or `vec![study.show("fig1b")?, study.show("fig1c")?]`.

use crate::live;
use crate::measure::{Measured, Measurement};
use crate::paper::Product;
use crate::run::config::RunConfig;
use crate::store::Run;
use crate::{Error, Result};
use polars::prelude::{AnyValue, DataFrame};
use rethink_nn::text::{counted, thousands};
use rethink_plot::tables::{Align, Table};
use rethink_plot::{self, Drawing, export};
use std::fmt::Write;
use std::io::{self, Write as _};

/// Shown as a cell's last value. evcxr calls `evcxr_display` where it finds the method.
pub trait Show {
    /// Writes each form of the value, for a browser and in plain text, to the kernel.
    fn evcxr_display(&self);
}

/// Shows `value` now, in the middle of a cell, and as often as is asked for; a cell's last value is shown without it. Where evcxr
/// runs without this project's kernel, it shows the last value of each kind at the cell's end.
///
/// Errors: [`Error::Io`] where standard output is closed.
pub fn display<T: Show + ?Sized>(value: &T) -> Result<()> {
    // Between these two lines the kernel takes what is shown for itself (crate/cli/src/jupyter/relay.py).
    let say = |line: &str| match live::is_attached() {
        true => writeln!(io::stdout(), "{line}").map_err(Error::io("show the value", "standard output")),
        false => Ok(()),
    };
    say("RETHINK_DISPLAY_BEGIN")?;
    value.evcxr_display();
    say("RETHINK_DISPLAY_END")
}

/// Rows of a frame that are shown from its start and from its end.
const ENDS: usize = 8;
/// Points between two figures.
const GAP: f64 = 10.0;

/// A loop at the end of a cell is no value to show.
impl Show for () {
    fn evcxr_display(&self) {}
}

impl Show for DataFrame {
    fn evcxr_display(&self) {
        match table(self) {
            Ok(table) => table.evcxr_display(),
            Err(error) => rethink_plot::tell!("{error}"),
        }
    }
}

impl Show for Drawing {
    fn evcxr_display(&self) {
        Drawing::evcxr_display(self);
    }
}

impl Show for Table {
    fn evcxr_display(&self) {
        Table::evcxr_display(self);
    }
}

impl Show for Product {
    fn evcxr_display(&self) {
        Product::evcxr_display(self);
    }
}

impl Show for Run {
    fn evcxr_display(&self) {
        // The title has the time; a column of it differs from one execution to the next.
        match table(&self.frame.drop_many(["seconds"])) {
            Ok(mut table) => {
                table.title = crate::study::summary(&self.record);
                table.evcxr_display();
            }
            Err(error) => rethink_plot::tell!("{error}"),
        }
    }
}

impl Show for Vec<RunConfig> {
    fn evcxr_display(&self) {
        experiment(self).evcxr_display();
    }
}

impl Show for Vec<Measurement> {
    fn evcxr_display(&self) {
        plan(self).evcxr_display();
    }
}

impl Show for Vec<Measured> {
    fn evcxr_display(&self) {
        measured(self).evcxr_display();
    }
}

impl Show for Vec<Run> {
    fn evcxr_display(&self) {
        results(self).evcxr_display();
    }
}

impl Show for Vec<Product> {
    fn evcxr_display(&self) {
        self[..].evcxr_display();
    }
}

impl Show for [Product] {
    fn evcxr_display(&self) {
        let drawings: Vec<&Drawing> = self.iter().filter_map(figure).collect();
        let text: Vec<String> = self.iter().map(plain).collect();
        evcxr_runtime::mime_type("text/plain").text(text.join("\n"));
        if drawings.len() < self.len() {
            evcxr_runtime::mime_type("text/html").text(html(self));
            return;
        }
        let (svg, width, height) = together(&drawings);
        let family = drawings.first().map_or(export::Family::Sans, |drawing| drawing.style.family);
        rethink_plot::drawing::display(&svg, (width, height), family);
    }
}

fn figure(product: &Product) -> Option<&Drawing> {
    match product {
        Product::Figure(drawing) => Some(drawing),
        Product::Table(_) => None,
    }
}

fn plain(product: &Product) -> String {
    match product {
        Product::Figure(drawing) => format!("{}: {}", drawing.id, drawing.caption),
        Product::Table(table) => table.text(),
    }
}

/// An experiment: what distinguishes its runs, and what they have in common.
pub fn experiment(configs: &[RunConfig]) -> Table {
    let title = counted(configs.len(), "run");
    let columns = [
        ("model", Align::Left),
        ("width", Align::Right),
        ("data", Align::Left),
        ("images", Align::Right),
        ("batch", Align::Right),
        ("rate", Align::Right),
        ("times, every", Align::Right),
        ("weight decay", Align::Right),
        ("epochs", Align::Right),
        ("ends when fitted", Align::Left),
        ("seed", Align::Right),
    ];
    let mut table = Table::new("experiment", &title, &columns);
    table.rows = configs.iter().map(choices).collect();
    let further: Vec<String> = configs.iter().map(further).collect();
    if further.iter().any(|text| !text.is_empty()) {
        table.header.push("and".into());
        table.align.push(Align::Left);
        table.rows.iter_mut().zip(further).for_each(|(row, text)| row.push(text));
    }
    table
}

/// Random crops and what else few runs have.
fn further(config: &RunConfig) -> String {
    let crop = config.hyper.random_crop.then(|| "random crop".to_string());
    crop.into_iter().chain(config.hyper.further()).collect::<Vec<_>>().join(", ")
}

/// A plan of measurements: what is measured of what, with which parameters.
pub fn plan(plan: &[Measurement]) -> Table {
    let columns = [
        ("measurement", Align::Left),
        ("parameters", Align::Left),
        ("data", Align::Left),
        ("images", Align::Right),
        ("test images", Align::Right),
        ("seed", Align::Right),
    ];
    let mut table = Table::new("plan", &counted(plan.len(), "measurement"), &columns);
    let row = |measurement: &Measurement| {
        let data = &measurement.data;
        vec![
            measurement.what.title(),
            measurement.what.parameters(),
            data.title.clone(),
            thousands(data.train),
            thousands(data.test),
            measurement.seed.to_string(),
        ]
    };
    table.rows = plan.iter().map(row).collect();
    table
}

/// What has been measured, and how many rows each has.
pub fn measured(measured: &[Measured]) -> Table {
    let columns = [("measurement", Align::Left), ("data", Align::Left), ("rows", Align::Right)];
    let mut table = Table::new("measured", &counted(measured.len(), "measurement"), &columns);
    let row = |measured: &Measured| {
        let measurement = &measured.record.measurement;
        vec![measurement.describe(), measurement.data.title.clone(), measured.frame.height().to_string()]
    };
    table.rows = measured.iter().map(row).collect();
    table
}

fn choices(config: &RunConfig) -> Vec<String> {
    let hyper = &config.hyper;
    let every = if hyper.rate_decay_every == 1 {
        "epoch".into()
    } else {
        format!("{} epochs", hyper.rate_decay_every)
    };
    let decay = match hyper.weight_decay {
        0.0 => "none".into(),
        weight => format!("{weight} on {}", hyper.weight_decay_on.name()),
    };
    let ends = match (hyper.stop_when_fitted, hyper.fitted_epochs) {
        (false, _) => "no".into(),
        (true, 1) => "at once".into(),
        (true, epochs) => format!("{epochs} epochs in a row"),
    };
    vec![
        config.model.title().into(),
        config.width_factor.to_string(),
        config.corruption.title(),
        thousands(config.data.train),
        hyper.batch_size.to_string(),
        hyper.learning_rate.to_string(),
        format!("{}, {every}", hyper.rate_decay),
        decay,
        hyper.epochs.to_string(),
        ends,
        config.seeds.init.to_string(),
    ]
}

/// How runs ended.
pub fn results(runs: &[Run]) -> Table {
    let columns = [
        ("run", Align::Left),
        ("ended", Align::Left),
        ("epochs", Align::Right),
        ("train %", Align::Right),
        ("test %", Align::Right),
    ];
    let percent = |share: Option<f64>| share.map_or("-".into(), |share| format!("{:.2}", 100.0 * share));
    let row = |run: &Run| {
        let record = &run.record;
        vec![
            crate::study::describe(&record.config),
            record.ended(),
            record.epochs.to_string(),
            percent(record.train_accuracy),
            percent(record.test_accuracy),
        ]
    };
    let mut table = Table::new("results", &counted(runs.len(), "run"), &columns);
    table.rows = runs.iter().map(row).collect();
    table
}

/// Figures and tables in their order, below each other.
pub fn html(products: &[Product]) -> String {
    let mut out = String::new();
    for product in products {
        match product {
            Product::Figure(drawing) => {
                let (svg, ..) = together(&[drawing]);
                let _ = writeln!(out, "<div style=\"background:white;display:inline-block\">{svg}</div><br>");
            }
            Product::Table(table) => out += &table.html(),
        }
    }
    out
}

/// One SVG of several, two side by side; its width and height in inches.
pub fn together(drawings: &[&Drawing]) -> (String, f64, f64) {
    let mut placed = String::new();
    let (mut wide, mut y) = (0.0f64, 0.0);
    for row in drawings.chunks(2) {
        let (mut x, mut high) = (0.0, 0.0f64);
        for drawing in row {
            let (width, height) = (drawing.width * 72.0, drawing.height * 72.0);
            let size = format!("width=\"{:.4}in\" height=\"{:.4}in\"", drawing.width, drawing.height);
            let place = format!("x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\"");
            placed += &drawing.svg.replacen(&size, &place, 1);
            x += width + GAP;
            high = high.max(height);
        }
        wide = wide.max(x - GAP);
        y += high + GAP;
    }
    let high = (y - GAP).max(1.0);
    let (width, height) = (wide / 72.0, high / 72.0);
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.4}in\" height=\"{height:.4}in\" \
         viewBox=\"0 0 {wide:.2} {high:.2}\">{placed}</svg>"
    );
    (svg, width, height)
}

/// A frame's first and last rows, with as many digits as tell values apart.
///
/// Errors: [`Error::Frame`].
pub fn table(frame: &DataFrame) -> Result<Table> {
    let rows = frame.height();
    let title = format!("{}, {}", counted(rows, "row"), counted(frame.width(), "column"));
    let mut table = Table::new("frame", &title, &[]);
    let all = rows <= 2 * ENDS + 1;
    let shown: Vec<Option<usize>> = if all {
        (0..rows).map(Some).collect()
    } else {
        (0..ENDS).map(Some).chain([None]).chain((rows - ENDS..rows).map(Some)).collect()
    };
    table.rows = vec![Vec::new(); shown.len()];
    for column in frame.columns() {
        table.header.push(column.name().to_string());
        table.align.push(Align::of(column.dtype()));
        for (row, cells) in shown.iter().zip(&mut table.rows) {
            cells.push(match row {
                None => "\u{2026}".into(),
                Some(row) => value(column.get(*row).map_err(Error::frame("show the frame"))?),
            });
        }
    }
    Ok(table)
}

fn value(value: AnyValue) -> String {
    match value {
        AnyValue::Null => String::new(),
        AnyValue::Float32(v) => number(f64::from(v)),
        AnyValue::Float64(v) => number(v),
        AnyValue::Boolean(v) => String::from(if v { "yes" } else { "no" }),
        AnyValue::String(v) => v.to_string(),
        AnyValue::StringOwned(v) => v.to_string(),
        other => other.to_string(),
    }
}

/// Five significant digits; very large and very small numbers with an exponent.
fn number(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return v.to_string();
    }
    if !(1e-4..1e7).contains(&v.abs()) {
        return format!("{v:.4e}");
    }
    let digits = (4 - v.abs().log10().floor() as i32).clamp(0, 8) as usize;
    format!("{v:.digits$}")
}
