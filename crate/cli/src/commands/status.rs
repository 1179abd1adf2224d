//! `rethink status`: README's table, made from the runs of a store: every item of the paper, what the paper says, what is measured here.

use crate::{Error, Result};
use polars::prelude::DataFrame;
use rethink::claims::{self, Check, Judgement};
use rethink::measure::kernel_equation::Choice;
use rethink::measure::{Measured, Measurement, Quantity};
use rethink::paper::reported::{Regularizer, TABLE_1, TABLE_3, TABLE_4, Table1Row, Table3Row, Table4Row};
use rethink::paper::table3::Solved;
use rethink::paper::{self, Product, Recipe, Results, table1, table3, table4};
use rethink::run::appendix_a::CIFAR_TRAIN;
use rethink::run::comparison::Free;
use rethink::run::config::{RunConfig, Scale};
use rethink::run::row::StopReason;
use rethink::store::{Run, Store};
use rethink::study::{Study, note};
use rethink_nn::text::{counted, thousands};
use rethink_plot::files::write_whole;
use rethink_plot::theme::{Axis, Mark, Plot, SeriesStyle};
use rethink_plot::{Content, Drawing, Note, Style};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What stands before and after the table of items in the file that it is written into.
const ITEMS: [&str; 2] =
    ["<!-- status: written by `rethink status --write README.md` -->", "<!-- status: end -->"];

/// What stands before and after the four numbers.
const NUMBERS: [&str; 2] =
    ["<!-- numbers: written by `rethink status --write README.md` -->", "<!-- numbers: end -->"];

/// The folder of the pictures, from that of the file that shows them.
const PICTURES: &str = "crate/docs/pictures";

/// Pixels that a thumbnail is shown at.
const THUMBNAIL_WIDTH: u32 = 120;

/// Of a thumbnail: two pixels for each that it is shown at.
const THUMBNAIL_DPI: u32 = 160;

/// The figures on top of README, which says beside them what else their small print does.
const SHOWN_FIRST: [&str; 2] = ["fig1a", "fig1c"];

/// What an item says that no published run belongs to.
const NOT_MEASURED: &str = "not measured yet";

/// The four numbers and the table of items, on standard output or, with `write`, between their marks in that file; its pictures then go
/// to `crate/docs/pictures` beside it.
///
/// Errors: those of reading the store and of drawing; [`Error::Format`] for a file without the marks.
pub fn status(out: &Path, write: Option<&Path>) -> Result<()> {
    let items = items(out)?;
    let tables = [(NUMBERS, numbers(&items)?), (ITEMS, markdown(&items))];
    let Some(file) = write else {
        println!("{}", tables.map(|(_, table)| table).join("\n"));
        return Ok(());
    };
    let mut whole = fs::read_to_string(file).map_err(Error::io("read", file))?;
    for (marks, table) in &tables {
        whole = between(&whole, marks, table).ok_or_else(|| {
            let problem = format!("it lacks the lines {:?} and {:?}", marks[0], marks[1]);
            Error::format("write the table of results into", file, problem)
        })?;
    }
    let pictures = file.parent().unwrap_or(Path::new("")).join(PICTURES);
    let mut written = 0;
    for item in &items {
        for (name, bytes) in &item.pictures {
            write_whole(&pictures.join(name), bytes)?;
            written += 1;
        }
    }
    write_whole(file, whole.as_bytes())?;
    let measured = items.iter().filter(|item| item.count > 0).count();
    println!(
        "{}: {measured} of {} measured; {} in {}",
        file.display(),
        counted(items.len(), "item"),
        counted(written, "picture"),
        pictures.display()
    );
    Ok(())
}

/// `text` with `table` between the marks; `None` where it lacks one.
fn between(text: &str, [begin, end]: &[&str; 2], table: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n\n{table}\n{end}{after}"))
}

/// The numbers that a reader looks for first, each beside the paper's.
fn numbers(items: &[Item]) -> Result<String> {
    let results = |id: &str| items.iter().find(|item| item.recipe.id == id).map(|item| &item.results);
    let inception = |random: bool| {
        TABLE_1.iter().find(|row| {
            row.model == "Inception" && !row.random_crop && !row.weight_decay && row.random_labels == random
        })
    };
    let mut lines = vec!["| | the paper | here |".to_string(), "| :--- | ---: | ---: |".to_string()];
    let mut line = |what: &str, paper: String, ours: Option<f64>| {
        let ours = ours.map_or(NOT_MEASURED.into(), |v| format!("**{v:.2} %**"));
        lines.push(format!("| {what} | {paper} % | {ours} |"));
    };
    let train: fn(&Run) -> Option<f64> = |run| run.record.train_accuracy;
    let test: fn(&Run) -> Option<f64> = |run| run.record.test_accuracy;
    for (what, random, value, is_test) in [
        ("CIFAR-10, Inception, **random labels**: training images right", true, train, false),
        ("the same network: test images right (guessing: 10 %)", true, test, true),
        ("CIFAR-10, Inception, **true labels**, no regulariser: test images right", false, test, true),
    ] {
        let (Some(row), Some(results)) = (inception(random), results("table1")) else { continue };
        let ours = mean(of_runs(results), |run| table1::belongs(row, run), value);
        line(what, format!("{:.2}", if is_test { row.test } else { row.train }), ours);
    }
    if let Some(Results::Measured(all)) = results("table3") {
        for row in kernel_rows(all).into_iter().take(1) {
            let what = "MNIST, Gaussian kernel fitted exactly, no regulariser: test images wrong";
            line(what, row.paper.to_string(), row.ours);
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// An item of the paper and the published runs or measurements of its full size.
struct Item {
    recipe: Recipe,
    results: Results,
    /// How many runs or measurements there are of `of`.
    count: usize,
    of: usize,
    paper: String,
    ours: String,
    verdict: String,
    /// Names below [`PICTURES`], and bytes.
    pictures: Vec<(String, Vec<u8>)>,
}

/// Every item, in the paper's order, from the store in `out`.
fn items(out: &Path) -> Result<Vec<Item>> {
    let (runs, measured) = crate::commands::compare::comparable(out)?;
    if Store::new(out.join("runs")).folder().is_dir() {
        let checks = claims::check_all(&runs, &measured);
        let study = Study::new(Some("shapes10"), Scale::Paper, out)?;
        return paper::ALL
            .into_iter()
            .map(|recipe| item(recipe, &study, &runs, &measured, &checks))
            .collect();
    }
    Err(Error::Missing {
        what: format!("no runs in {}", out.join("runs").display()),
        remedy: "name a folder with results: `--out figures/published`".into(),
    })
}

fn item(
    recipe: Recipe,
    study: &Study,
    runs: &[Run],
    measured: &[Measured],
    checks: &[Check],
) -> Result<Item> {
    let configs = study.configs_of(&recipe);
    let plan = recipe.measurements(&study.setting());
    let (results, count, of) = if recipe.id == table3::RECIPE.id {
        let whole = |m: &&Measured| is_equation(m) && m.record.scale == Scale::Paper;
        let all: Vec<Measured> = measured.iter().filter(whole).cloned().collect();
        let rows = kernel_rows(&all);
        // A linear last layer, and what else the paper has not, is no row of its table.
        let shown = |m: &Measured| rows.iter().any(|row| row.measured.contains(&m.record.measurement.key()));
        let solved = all.into_iter().filter(shown).collect();
        let count = rows.iter().filter(|row| row.ours.is_some()).count();
        (Results::Measured(solved), count, rows.len())
    } else if plan.is_empty() {
        let mut found: Vec<Run> = Vec::new();
        for config in &configs {
            for run in published(config, runs) {
                let key = run.record.config.key();
                if found.iter().all(|other| other.record.config.key() != key) {
                    found.push(run.clone());
                }
            }
        }
        // Time to fit is relative to true labels: of a network without either end, nothing can be said.
        let ends = |run: &Run| {
            let at = |p| {
                found.iter().any(|r| {
                    r.record.config.model == run.record.config.model
                        && r.record.config.corruption.label_noise() == Some(p)
                })
            };
            at(0.0) && at(1.0)
        };
        let found: Vec<Run> = match recipe.id {
            "fig1b" => found.iter().filter(|run| ends(run)).cloned().collect(),
            _ => found,
        };
        let count = configs.iter().filter(|config| !published(config, &found).is_empty()).count();
        let of = configs.len();
        // What has no runs is whole.
        (Results::Runs(found), if of == 0 { 1 } else { count }, of.max(1))
    } else {
        let place = |m: &Measured| plan.iter().position(|p| is_planned(p, m));
        let own = |m: &&Measured| m.record.scale == Scale::Paper && place(m).is_some();
        let mut found = of_one_data_set(measured.iter().filter(own).cloned().collect());
        // A store has them by their keys; what is drawn and said of them is in the recipe's order.
        found.sort_by_key(|m| (place(m), m.record.measurement.data.train));
        let count = found.len();
        (Results::Measured(found), count, plan.len())
    };
    let verdict = recipe.verdict(&results)?;
    // A part too small to say anything; table 4's cells speak for themselves.
    let nothing = verdict.ours.is_none() && recipe.id != table4::RECIPE.id;
    let count = if nothing { 0 } else { count };
    let ours = verdict.ours.unwrap_or_default();
    let (paper, ours) = match recipe.id {
        _ if count == 0 => (verdict.paper, NOT_MEASURED.into()),
        "table1" => table1_cells(&results),
        "table3" => table3_cells(&results)?,
        "table4" => table4_cells(&results),
        "fig1c" => (verdict.paper, ours.replace(" to - %", " % on true labels")),
        _ => (verdict.paper, ours),
    };
    let mut item =
        Item { recipe, results, count, of, paper, ours, verdict: String::new(), pictures: Vec::new() };
    if count > 0 {
        item.verdict = verdicts(&item, checks);
        item.pictures = pictures(&item, study)?;
    }
    Ok(item)
}

/// What a published run may differ in from a recipe's configuration on another data set: the data, what follows from their number
/// of images, and when a run ends, which is looked at by itself.
const FREE: [Free; 5] = [Free::Data, Free::Rows, Free::RateDecayEvery, Free::Epochs, Free::FittedEpochs];

/// The published runs of the paper's size that answer to `config`, a recipe's configuration on another data set, one of each seed: of
/// several, the one that ends by the rule of today.
fn published<'a>(config: &RunConfig, runs: &'a [Run]) -> Vec<&'a Run> {
    let free: Vec<Free> = FREE.into_iter().chain([Free::Seeds]).collect();
    let wanted = config.key_but_for(&free);
    let same = |run: &&Run| {
        let own = &run.record.config;
        run.record.scale == Scale::Paper
            && own.data.train >= CIFAR_TRAIN
            // One that is fitted earlier is the same however long it might have gone on.
            && (own.hyper.epochs == config.hyper.epochs || run.record.ending == StopReason::Fitted)
            && own.key_but_for(&free) == wanted
    };
    let mut of_seed: BTreeMap<u64, &Run> = BTreeMap::new();
    for run in runs.iter().filter(same) {
        let kept = of_seed.entry(run.record.config.seeds.init).or_insert(run);
        if run.record.config.hyper.fitted_epochs >= kept.record.config.hyper.fitted_epochs {
            *kept = run;
        }
    }
    of_seed.into_values().collect()
}

/// Whether `measured` is what is `planned`, of whichever data set.
fn is_planned(planned: &Measurement, measured: &Measured) -> bool {
    let own = &measured.record.measurement;
    let mut what = planned.what.clone();
    // The kernel's width is each data set's own: given for MNIST, chosen for others.
    if let (Quantity::KernelEquation(equation), Quantity::KernelEquation(of)) = (&mut what, &own.what) {
        equation.width = of.width;
    }
    what == own.what && planned.seed == own.seed
}

/// Those of the data set of which there is most: a figure shows one, as numbers of several have scales of their own.
fn of_one_data_set(mut all: Vec<Measured>) -> Vec<Measured> {
    let title = |m: &Measured| m.record.measurement.data.title.clone();
    let count = |of: &str| all.iter().filter(|m| title(m) == of).count();
    let most = all.iter().map(title).max_by_key(|title| count(title));
    all.retain(|m| Some(title(m)) == most);
    all
}

fn is_equation(measured: &Measured) -> bool {
    matches!(measured.record.measurement.what, Quantity::KernelEquation(_))
}

/// Per cent with one decimal, "-" for none.
fn percent(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:.1}"))
}

fn of_runs(results: &Results) -> &[Run] {
    match results {
        Results::Runs(runs) => runs,
        Results::Measured(_) => &[],
    }
}

/// The mean over the seeds of what `value` says of the runs that belong to a row, in per cent.
fn mean(runs: &[Run], belongs: impl Fn(&Run) -> bool, value: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
    paper::mean(runs.iter().filter(|run| belongs(run)).filter_map(value)).map(|mean| 100.0 * mean)
}

/// What is measured of an item's rows, in the paper's order, as "Inception 85.8, Alexnet -".
fn list(cells: impl Iterator<Item = (String, String)>) -> String {
    cells.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// Test accuracies of the rows without regularisers: the paper's and ours.
fn table1_cells(results: &Results) -> (String, String) {
    let ours = |row| mean(of_runs(results), |run| table1::belongs(row, run), |run| run.record.test_accuracy);
    let line = |value: &dyn Fn(&'static Table1Row) -> Option<f64>| {
        let plain = |random: bool| {
            let rows = TABLE_1.iter().filter(|row| !row.random_crop && !row.weight_decay);
            rows.filter(move |row| row.random_labels == random)
        };
        let name = |row: &Table1Row| row.model.replace("Inception w/o BatchNorm", "without batch norm");
        let random: Vec<f64> = plain(true).filter_map(value).collect();
        let (low, high) = (random.iter().copied().reduce(f64::min), random.iter().copied().reduce(f64::max));
        format!(
            "test, %: {}; random labels {} to {}",
            list(plain(false).map(|row| (name(row), percent(value(row))))),
            percent(low),
            percent(high)
        )
    };
    (line(&|row| Some(row.test)), line(&ours))
}

/// Training accuracies: the paper's and ours.
fn table4_cells(results: &Results) -> (String, String) {
    let ours = |row| mean(of_runs(results), |run| table4::belongs(row, run), |run| run.record.train_accuracy);
    let name = |row: &Table4Row| match row.regularizer {
        Regularizer::WeightDecay => row.model.to_string(),
        Regularizer::RandomCrop => format!("{} with crops", row.model),
        Regularizer::Augmentation => format!("{} with augmentation", row.model),
    };
    let line = |value: &dyn Fn(&'static Table4Row) -> String| {
        format!("train, %: {}", list(TABLE_4.iter().map(|row| (name(row), value(row)))))
    };
    (line(&|row| row.train.map_or("fails".into(), |v| format!("{v:.1}"))), line(&|row| percent(ours(row))))
}

/// A row of table 3: its name, the paper's test error, ours, and ours with a regularised solution where the paper has none; per cent.
struct KernelRow {
    name: String,
    paper: f64,
    ours: Option<f64>,
    regularised: Option<f64>,
    /// Of a conv-net: "4,000 filters".
    filters: Option<String>,
    /// Keys of the measurements that it is taken from.
    measured: Vec<String>,
}

fn kernel_rows(measured: &[Measured]) -> Vec<KernelRow> {
    let solutions = table3::solved(measured);
    let percent = |s: &Solved| s.number("test_error").map(|error| (1e4 * error).round() / 100.0);
    let row = |row: &Table3Row| {
        // The norms are measured on parts of the training images, too: the row is that of the most. Of several, the one whose
        // weight and width were chosen inside their grids, then the one of the most filters.
        let own = || solutions.iter().filter(|s| s.belongs(row) || s.is_singular(row));
        let most = own().map(Solved::images).max();
        let whole = || own().filter(|s| Some(s.images()) == most);
        let best = |s: &&Solved| (s.what.choice == Choice::Inside, s.filters());
        let ours = whole().filter(|s| s.belongs(row)).max_by_key(best);
        let filters = ours.map(Solved::filters).filter(|filters| *filters > 0);
        KernelRow {
            name: match (row.data, row.preprocessing, row.l2) {
                (data, "none", _) => data.replace("CIFAR10", "CIFAR-10"),
                (_, "gabor filters", _) => "with Gabor wavelets".into(),
                (_, what, false) => what.into(),
                (_, what, true) => format!("{what} and l2"),
            },
            paper: row.test_error,
            ours: ours.and_then(percent),
            regularised: whole().find(|s| s.is_singular(row)).and_then(percent),
            measured: whole().map(|s| s.measured.record.measurement.key()).collect(),
            filters: filters.map(|filters| counted(filters, "filter")),
        }
    };
    TABLE_3.iter().map(row).collect()
}

fn table3_cells(results: &Results) -> Result<(String, String)> {
    let Results::Measured(measured) = results else { return Ok(Default::default()) };
    let rows = kernel_rows(measured);
    let line = |value: &dyn Fn(&KernelRow) -> String| {
        let cell = |row: &KernelRow| format!("{} {}", row.name, value(row));
        format!("test error, %: {}", rows.iter().map(cell).collect::<Vec<_>>().join("; "))
    };
    let ours = |row: &KernelRow| match (row.ours, row.regularised) {
        (None, Some(error)) => format!("{error:.1} (regularised)"),
        (Some(error), _) => match &row.filters {
            Some(filters) => format!("{error} ({filters})"),
            None => percent(Some(error)),
        },
        (None, None) => percent(None),
    };
    Ok((line(&|row| percent(Some(row.paper))), line(&ours)))
}

/// How many of the claims that the item's recipe serves hold, hold for a part of what they speak of, fail or cannot be judged on the runs that are shown.
fn verdicts(item: &Item, checks: &[Check]) -> String {
    let keys: BTreeSet<String> = match &item.results {
        Results::Runs(runs) => runs.iter().map(|run| run.record.config.key()).collect(),
        Results::Measured(all) => all.iter().map(|m| m.record.measurement.key()).collect(),
    };
    let (mut hold, mut in_part, mut fail, mut open) = (0, 0, Vec::new(), 0);
    for claim in claims::all().iter().filter(|claim| claim.recipes.contains(&item.recipe.id)) {
        let own = checks.iter().filter(|c| c.id == claim.id && c.runs.iter().any(|key| keys.contains(key)));
        let own: Vec<&Check> = own.collect();
        let is = |verdict| own.iter().any(|check| check.verdict == verdict);
        match () {
            _ if is(Judgement::Fails) => fail.push(claim.id),
            _ if own.iter().any(|check| check.verdict == Judgement::Holds && !check.in_part) => hold += 1,
            _ if is(Judgement::Holds) => in_part += 1,
            _ => open += 1,
        }
    }
    let mut parts = Vec::new();
    if !fail.is_empty() {
        parts.push(format!("**{} fail** ({})", fail.len(), fail.join(", ")));
    }
    for (count, what) in [(hold, "hold"), (in_part, "hold in part"), (open, "open")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if parts.is_empty() { "no claim".into() } else { parts.join(", ") }
}

/// Minutes of the runs on processors and on GPUs.
fn minutes(results: &Results) -> String {
    let (mut cpu, mut gpu) = (0.0, 0.0);
    let mut add = |device: &str, seconds: f64| {
        *(if device.starts_with("cpu") { &mut cpu } else { &mut gpu }) += seconds / 60.0;
    };
    match results {
        Results::Runs(runs) => runs.iter().for_each(|r| add(&r.record.provenance.device, r.record.seconds)),
        Results::Measured(all) => all.iter().for_each(|m| add(&m.record.provenance.device, m.record.seconds)),
    }
    let shown = |value: f64| if value < 1.0 { "< 1".into() } else { format!("{value:.0}") };
    match (cpu > 0.0, gpu > 0.0) {
        (true, true) => format!("{} + {} (GPU)", shown(cpu), shown(gpu)),
        (false, true) => format!("{} (GPU)", shown(gpu)),
        (true, false) => shown(cpu),
        (false, false) => "< 1".into(),
    }
}

/// Number of images, and how many of the item's runs there are, where not all.
fn size(item: &Item) -> String {
    let mut sizes: Vec<usize> = match &item.results {
        Results::Runs(runs) => runs.iter().map(|run| run.record.config.data.train).collect(),
        Results::Measured(all) => all.iter().map(|m| m.record.measurement.data.train).collect(),
    };
    sizes.sort_unstable();
    sizes.dedup();
    let sizes = sizes.into_iter().map(thousands).collect::<Vec<_>>().join(", ");
    let what = match item.results {
        _ if item.recipe.id == table3::RECIPE.id => "rows",
        Results::Runs(_) => "runs",
        Results::Measured(_) => "measurements",
    };
    match (sizes.is_empty(), item.count < item.of) {
        (true, _) => "-".into(),
        (false, false) => sizes,
        (false, true) => format!("{sizes} ({} of {} {what})", item.count, item.of),
    }
}

/// How many seeds each of the item's runs or measurements has, as "1" or "1 to 5".
fn seeds(results: &Results) -> String {
    match results {
        Results::Runs(runs) => note::seeds_each(runs.iter().map(|run| note::of_run(&run.record.config))),
        Results::Measured(all) => {
            note::seeds_each(all.iter().map(|measured| note::of_measurement(&measured.record.measurement)))
        }
    }
}

/// A row an item.
fn markdown(items: &[Item]) -> String {
    // Pages show a picture no wider than its column, and a column no wider than its longest word.
    let room = "&nbsp;".repeat(24);
    let mut lines = vec![
        format!("| item{room} | the paper | here | n | seeds | verdict | notebook | minutes |"),
        "| :--- | :--- | :--- | :--- | ---: | :--- | :---: | ---: |".to_string(),
    ];
    for item in items {
        let Recipe { id, title, notebook, .. } = item.recipe;
        let number = notebook.split('-').next().unwrap_or(notebook);
        let thumbnail = format!("thumbnails/{id}.png");
        let mut name = format!("[{title}](crate/docs/gallery/{id}.md)");
        if item.pictures.iter().any(|(picture, _)| *picture == thumbnail) {
            name += &format!(
                "<br><img src=\"{PICTURES}/{thumbnail}\" width=\"{THUMBNAIL_WIDTH}\" alt=\"{title}\">"
            );
        }
        let notebook = format!("[{number}](notebooks/{notebook})");
        let (n, seeds, verdict, minutes) = match item.count {
            0 => ("-".into(), "-".into(), "-".into(), "-".into()),
            _ => (size(item), seeds(&item.results), item.verdict.clone(), minutes(&item.results)),
        };
        let Item { paper, ours, .. } = item;
        lines.push(format!(
            "| {name} | {paper} | {ours} | {n} | {seeds} | {verdict} | {notebook} | {minutes} |"
        ));
    }
    lines.join("\n") + "\n"
}

/// The item's thumbnail, and its figure in full size where it is one.
fn pictures(item: &Item, study: &Study) -> Result<Vec<(String, Vec<u8>)>> {
    let id = item.recipe.id;
    let note = study.note_of(&item.results);
    let line = match &item.results {
        Results::Runs(runs) => runs.first().map(|run| run.record.config.data.title.clone()),
        Results::Measured(_) => None,
    };
    // The study is of another data set: what it says of the runs is said of theirs.
    let scale_line = match line {
        Some(title) => note.scale_line.replacen(&study.data.title, &title, 1),
        None => note.scale_line.clone(),
    };
    let note = Note { scale_line, ..note };
    let drawing = match id {
        "table1" | "table3" | "table4" => {
            return Ok(vec![(format!("thumbnails/{id}.png"), small(&against(item, &note)?)?)]);
        }
        _ => match item.recipe.make(&item.results, &note)? {
            Product::Figure(drawing) => without_loose_lines(drawing, &note, id == "fig1c")?,
            Product::Table(_) => return Ok(Vec::new()),
        },
    };
    let mut pictures = vec![
        (format!("{id}.svg"), drawing.svg.clone().into_bytes()),
        (format!("thumbnails/{id}.png"), small(&drawing)?),
    ];
    if SHOWN_FIRST.contains(&id) {
        let plain = drawing.restyled(&Style { small_print: false, ..drawing.style })?;
        pictures.push((format!("{id}-plain.svg"), plain.svg.into_bytes()));
    }
    Ok(pictures)
}

/// A PNG of a few kilobytes: small type, no small print, and at most 256 colours.
fn small(drawing: &Drawing) -> Result<Vec<u8>> {
    if matches!(drawing.content, Content::Custom(_)) {
        let dpi = (f64::from(2 * THUMBNAIL_WIDTH) / drawing.width).round() as u32;
        return indexed(&drawing.png(dpi.max(24))?);
    }
    let style = Style {
        width_in: 1.5,
        height_in: 1.2,
        title_pt: 5.5,
        label_pt: 5.5,
        small_print: false,
        ..drawing.style
    };
    indexed(&drawing.restyled(&style)?.png(THUMBNAIL_DPI)?)
}

/// An RGB image with a palette, which takes a third: colours rounded to as many bits as 256 of them allow.
fn indexed(image: &[u8]) -> Result<Vec<u8>> {
    let failed = |e: String| Error::Drawing { operation: "make a thumbnail", problem: e };
    let mut reader = png::Decoder::new(image).read_info().map_err(|e| failed(e.to_string()))?;
    let mut rgb = vec![0; reader.output_buffer_size()];
    let size = reader.next_frame(&mut rgb).map_err(|e| failed(e.to_string()))?;
    for bits in (1..=8u32).rev() {
        // To the nearest of 2^bits levels, of which the last is white.
        let levels = (1u32 << bits) - 1;
        let round = |c: u8| ((u32::from(c) * levels + 127) / 255 * 255 / levels) as u8;
        let pixels: Vec<[u8; 3]> =
            rgb.chunks_exact(3).map(|p| [round(p[0]), round(p[1]), round(p[2])]).collect();
        let palette: Vec<[u8; 3]> = pixels.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        if palette.len() > 256 {
            continue;
        }
        let index = |pixel: &[u8; 3]| palette.binary_search(pixel).unwrap_or(0) as u8;
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, size.width, size.height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Best);
        encoder.set_palette(palette.concat());
        let mut writer = encoder.write_header().map_err(|e| failed(e.to_string()))?;
        let indices: Vec<u8> = pixels.iter().map(index).collect();
        writer.write_image_data(&indices).map_err(|e| failed(e.to_string()))?;
        writer.finish().map_err(|e| failed(e.to_string()))?;
        return Ok(bytes);
    }
    Err(failed("more than 256 colours".into()))
}

/// A figure of which not every run is published: two levels of corruption are points, and no curve between them. Of
/// figure 1c, with the paper's errors of table 1 beside them.
fn without_loose_lines(drawing: Drawing, note: &Note, papers: bool) -> Result<Drawing> {
    let (Content::Plot(plot), true) = (&drawing.content, ["fig1b", "fig1c"].contains(&drawing.id.as_str()))
    else {
        return Ok(drawing);
    };
    let mut plot: Plot = (**plot).clone();
    plot.marks.retain(|mark| !matches!(mark, Mark::Line { points, .. } if points.len() < 3));
    if papers {
        for (name, look, _) in &plot.legend {
            for (p, random, shift) in [(0.0, false, -7.5), (1.0, true, 7.5)] {
                let row = TABLE_1.iter().find(|row| {
                    row.model == name && !row.random_crop && !row.weight_decay && row.random_labels == random
                });
                let Some(row) = row else { continue };
                plot.marks.push(Mark::Point {
                    at: (p, 1.0 - row.test / 100.0),
                    look: *look,
                    hollow: true,
                    shift,
                });
            }
        }
        plot.notes.push(
            "Hollow, beside the axis' ends: the paper's table 1. Points are joined where every level was trained."
                .into(),
        );
    }
    Ok(plot.drawing(&drawing.id, note, &drawing.frame)?)
}

/// Ours against the paper's, one point a row that both have.
fn against(item: &Item, note: &Note) -> Result<Drawing> {
    let pairs: Vec<(f64, f64)> = match item.recipe.id {
        "table1" => TABLE_1
            .iter()
            .filter_map(|row| {
                let ours =
                    mean(of_runs(&item.results), |r| table1::belongs(row, r), |r| r.record.test_accuracy)?;
                Some((row.test, ours))
            })
            .collect(),
        "table4" => TABLE_4
            .iter()
            .filter_map(|row| {
                let ours =
                    mean(of_runs(&item.results), |r| table4::belongs(row, r), |r| r.record.train_accuracy)?;
                Some((row.train?, ours))
            })
            .collect(),
        _ => match &item.results {
            Results::Measured(all) => {
                kernel_rows(all).into_iter().filter_map(|row| Some((row.paper, row.ours?))).collect()
            }
            Results::Runs(_) => Vec::new(),
        },
    };
    let top = if item.recipe.id == "table3" { 50.0 } else { 100.0 };
    let line = Mark::Line { points: vec![(0.0, 0.0), (top, top)], look: SeriesStyle::new(5), fine: true };
    let point = |&at: &(f64, f64)| Mark::Point { at, look: SeriesStyle::new(0), hollow: false, shift: 0.0 };
    let plot = Plot {
        x: Axis::linear("the paper, %", 0.0, top, 3)?.padded(0.03, 0.06),
        y: Axis::linear("here, %", 0.0, top, 3)?.padded(0.03, 0.06),
        legend: Vec::new(),
        marks: std::iter::once(line).chain(pairs.iter().map(point)).collect(),
        notes: Vec::new(),
        description: format!("{}: ours against the paper's", item.recipe.title),
    };
    Ok(plot.drawing(item.recipe.id, note, &DataFrame::empty())?)
}
