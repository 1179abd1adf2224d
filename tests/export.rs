//! Export for papers: a small paper with every figure and table compiles for every venue, and `rethink export` takes what
//! the store has and says what it lacks.

use rethink::data::corruption::Corruption;
use rethink::data::{Dataset, Split};
use rethink::paper::{self, Parts, Product, Recipe, Results};
use rethink::run::config::{RunConfig, Scale};
use rethink::run::row::{LogRow, StopReason};
use rethink::run::train::TrainedRun;
use rethink::store::{Run, finish};
use rethink::study::{Stored, Study};
use rethink_cli::manuscript::{self, Item, ItemOrigin};
use rethink_plot::Drawing;
use rethink_plot::export::Family;
use rethink_plot::latex;
use rethink_plot::tables::{Align, Table};
use rethink_plot::venue::Venue;
use rethink_tests::rethink_bin;
use rethink_tests::skips::{Need, skip};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// 0 to 1, by the bits of `i`.
fn noise(i: u64) -> f64 {
    let mut x = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678;
    x = (x ^ (x >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((x ^ (x >> 29)) % 10_001) as f64 / 10_000.0
}

/// What training with `config` might have given: the more is corrupted, the later the fall of the loss and the worse the
/// test; of the second seed, Gaussian images and the network without batch norm diverge.
fn trained(config: &RunConfig) -> TrainedRun {
    let of_pixels =
        [("shuffled pixels", 0.2), ("random pixels", 0.5), ("gaussian", 0.4), ("random labels", 0.6)];
    let title = config.corruption.title();
    let other = 0.15 + 0.4 * config.corruption.label_noise().unwrap_or(0.0);
    let late = of_pixels.into_iter().find(|(known, _)| *known == title).map_or(other, |(_, late)| late);
    let second = config.seeds != rethink::run::config::Seeds::repeat(0);
    let lost = second
        && (matches!(config.corruption, Corruption::Gaussian { .. })
            || config.model == rethink_nn::models::ModelKind::InceptionNoBn);
    let photographs = config.model == rethink_nn::models::ModelKind::InceptionV3;
    let count = 24u32;
    let row = |i: u32| {
        let x = f64::from(i) / f64::from(count) + 0.04 * noise(u64::from(second));
        let fall = 1.0 / (1.0 + ((x - late) / 0.06).exp());
        let accuracy = 0.1 + 0.9 * (1.0 - fall);
        let test = 0.1 + 0.45 * (1.0 - late) * (1.0 - fall) - 0.06 * x + 0.02 * noise(u64::from(i * 3 + 7));
        let after = lost && i > count / 2;
        LogRow {
            step: 40 * i,
            epoch: i,
            loss: if after { f64::INFINITY } else { 2.31 * fall + 0.05 * noise(u64::from(i)) },
            batch_accuracy: accuracy,
            train_accuracy: (i == count).then_some(if late > 0.58 && second { 0.97 } else { 1.0 }),
            test_accuracy: Some(test),
            train_top5: photographs.then_some(1.0),
            test_top5: photographs.then_some(0.9),
            learning_rate: 0.01,
            seconds: f64::from(i),
        }
    };
    let ending = match (lost, late > 0.58 && second) {
        (true, _) => StopReason::Diverged,
        (_, true) => StopReason::Completed,
        _ => StopReason::Fitted,
    };
    let rows = (1..=count).map(row).collect();
    TrainedRun {
        rows,
        ending,
        parameters: Vec::new(),
        parameter_count: 1,
        classes: Some(10),
        history: Default::default(),
        left_out: None,
    }
}

fn run(config: &RunConfig) -> Run {
    finish(config, Scale::Smoke, &trained(config)).unwrap()
}

/// Small images under a title that LaTeX would stumble over.
fn data(name: &str, title: &str) -> Dataset {
    let split =
        |n: usize| Split { images: vec![7; n * 3072], labels: (0..n).map(|i| i as u16 % 10).collect() };
    let classes = (0..10).map(|c| format!("class {c}")).collect();
    Dataset::new(name, title, classes, [3, 32, 32], split(600), split(600)).unwrap()
}

/// Every recipe's figure or table: measurements are made at scale smoke, runs are made up, with two seeds.
fn items() -> &'static [Item] {
    static ITEMS: OnceLock<Vec<Item>> = OnceLock::new();
    ITEMS.get_or_init(|| {
        let out = tempfile::tempdir().unwrap();
        let study = Study::new(Some("shapes10"), Scale::Smoke, out.path()).unwrap();
        let odd = Study {
            data: data("odd", "100 % {odd} & \\strange_data #1 ~ 数 \u{201c}x\u{201d} \u{2264} $5"),
            seeds: Some(2),
            ..study.clone()
        };
        let item = |recipe: &Recipe| {
            let (results, study) = match recipe.source {
                Parts::Runs { .. } => (Results::Runs(odd.configs_of(recipe).iter().map(run).collect()), &odd),
                Parts::Measurements { .. } => (study.results(recipe, &mut |_| ()).unwrap(), &study),
            };
            let product = recipe.make(&results, &study.note_of(&results)).unwrap();
            Item { recipe: *recipe, product, origin: ItemOrigin::of(&results) }
        };
        paper::ALL.iter().map(item).collect()
    })
}

fn drawings() -> Vec<&'static Drawing> {
    let drawing = |item: &'static Item| match &item.product {
        Product::Figure(drawing) => Some(drawing),
        Product::Table(_) => None,
    };
    items().iter().filter_map(drawing).collect()
}

fn files(folder: &Path, id: &str) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter(|n| n.split(['.']).next().is_some_and(|s| s == id || s == format!("{id}-caption")))
        .collect();
    names.sort();
    names
}

/// Width and height, points, and the names of the fonts of a PDF, by poppler; `None` without it.
fn look(pdf: &Path) -> Option<(f64, f64, Vec<String>)> {
    let run = |program: &str| Command::new(program).arg(pdf).output().ok().map(|out| text(&out.stdout));
    let (info, fonts) = (run("pdfinfo")?, run("pdffonts")?);
    let size = info.lines().find_map(|l| l.strip_prefix("Page size:")).expect("a page size");
    let numbers: Vec<f64> = size.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    // Two lines of header; "ABCDEF+Name" of a font of which only the used glyphs are there.
    let fonts = fonts.lines().skip(2).filter_map(|l| l.split_whitespace().next());
    let fonts = fonts.map(|f| f.split_once('+').map_or(f, |f| f.1).to_string()).collect();
    Some((numbers[0], numbers[1], fonts))
}

#[test]
fn figures_have_the_venues_size_and_type() {
    let sizes = [(Venue::Neurips, 2.7, 2.2), (Venue::Icml, 3.25, 2.4), (Venue::Ieee, 252.0 / 72.27, 2.5)];
    let folder = tempfile::tempdir().unwrap();
    let mut looked = false;
    for (venue, width, height) in sizes {
        for drawing in drawings() {
            let styled = drawing.restyled(&venue.style()).unwrap();
            let network = drawing.id == "fig3";
            let (w, h) = if network { (5.5, styled.height) } else { (width, styled.height.max(height)) };
            assert_eq!((styled.width, styled.height), (w, h), "{}", drawing.id);
            assert!(styled.height < height + 0.7 || network, "{}: {} in high", drawing.id, styled.height);
            let start = format!("width=\"{w:.4}in\" height=\"{h:.4}in\"");
            assert!(styled.svg.contains(&start), "{}: {}", drawing.id, &styled.svg[..200]);
            assert!(
                styled.svg.contains("Liberation Serif, Times") && !styled.svg.contains("Liberation Sans")
            );
            let scale = &drawing.notes[0];
            assert!(!styled.svg.contains("scale smoke"), "{}: {scale} is for the caption", drawing.id);
            let path = folder.path().join(format!("{}.pdf", drawing.id));
            fs::write(&path, styled.pdf().unwrap()).unwrap();
            if let Some((pdf_width, pdf_height, fonts)) = look(&path) {
                looked = true;
                assert!((pdf_width - 72.0 * w).abs() < 0.01 && (pdf_height - 72.0 * h).abs() < 0.01);
                assert_eq!(fonts, ["LiberationSerif"], "{}", drawing.id);
            }
            // The same figure in the project's own style is the same to the byte.
            let own = styled.restyled(&rethink_plot::Style::default()).unwrap();
            assert!(own.svg == drawing.svg && own.svg.contains("Liberation Sans"), "{}", drawing.id);
        }
    }
    if !looked {
        let test = "figures_have_the_venues_size_and_type, the part that reads PDF";
        skip(test, Need::Poppler, "no pdfinfo and pdffonts");
    }
}

#[test]
fn a_figure_of_ones_own_is_saved_at_a_venues_width() {
    let drawing = drawings()[0];
    let folder = tempfile::tempdir().unwrap();
    for venue in Venue::ALL {
        let to = folder.path().join(venue.name());
        let paths = drawing.save_for(venue, &to).unwrap();
        let names: Vec<String> = ["svg", "png", "pdf", "csv", "json"].map(|e| format!("fig1a.{e}")).into();
        assert_eq!(paths, names.iter().map(|name| to.join(name)).collect::<Vec<_>>());
        let styled = drawing.restyled(&venue.style()).unwrap();
        assert_eq!(fs::read_to_string(&paths[0]).unwrap(), styled.svg);
        // What is not printed is beside the figure, for the caption.
        let about: serde_json::Value = serde_json::from_slice(&fs::read(&paths[4]).unwrap()).unwrap();
        assert_eq!(
            (&about["notes"][0], about["width_in"].as_f64()),
            (&drawing.notes[0].clone().into(), Some(styled.width))
        );
        assert!(!styled.svg.contains("scale smoke") && drawing.svg.contains("scale smoke"));
    }
    assert!(drawing.save_for(Venue::Icml, folder.path().join("a.pdf")).is_err(), "a folder is expected");
}

#[test]
fn the_figure_of_stability_says_what_was_trained() {
    let notes = drawings().into_iter().find(|drawing| drawing.id == "stability").unwrap().notes.join(" ");
    let training = "MLP 1x512, mini-batches of 64; the same initial weights and the same order of examples in every training";
    for part in [training, "Thin: mean over both.", "2 training examples replaced"] {
        assert!(notes.contains(part), "no {part:?} in {notes}");
    }
}

/// Columns of a CSV file of numbers, by name.
fn columns(csv: &str) -> Vec<(String, Vec<f64>)> {
    let mut lines = csv.lines();
    let names = lines.next().expect("a header").split(',');
    let mut columns: Vec<(String, Vec<f64>)> = names.map(|name| (name.to_string(), Vec::new())).collect();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), columns.len(), "{line}");
        for (column, cell) in columns.iter_mut().zip(cells) {
            column.1.push(cell.parse().expect("a number"));
        }
    }
    columns
}

#[test]
fn pgfplots_gets_the_plots_own_numbers() {
    let style = Venue::Icml.style();
    let of = |id: &str| {
        let drawing = *drawings().iter().find(|d| d.id == id).unwrap();
        drawing.restyled(&style).unwrap().pgfplots(&format!("{id}.csv")).unwrap()
    };
    let pgf = of("fig1a").unwrap();
    let found = columns(&pgf.data);
    // The first series that is no band, true labels: the mean of two runs.
    let configs = {
        let study = Study::new(Some("shapes10"), Scale::Smoke, "nowhere").unwrap();
        let study = Study { data: data("odd", "odd"), seeds: Some(2), ..study };
        study.configs_of(paper::find("fig1a").unwrap())
    };
    let clean: Vec<TrainedRun> =
        configs.iter().filter(|c| c.corruption == Corruption::TrueLabels).map(trained).collect();
    let mean: Vec<f64> = (0..24).map(|i| (clean[0].rows[i].loss + clean[1].rows[i].loss) / 2.0).collect();
    let wanted = |column: &&(String, Vec<f64>)| {
        column.0.starts_with('y') && column.1.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-12)
    };
    assert!(found.iter().any(|c| wanted(&c)), "no series of {mean:?} in\n{}", pgf.data);
    // A band of each setting with two sound seeds, a cross where one diverged, and each name in the legend.
    assert_eq!(found.iter().filter(|c| c.0.starts_with("low")).count(), 4);
    assert_eq!(pgf.source.matches("fill between").count(), 4, "{}", pgf.source);
    assert_eq!(pgf.source.matches("mark=x,").count(), 1);
    for name in ["true labels", "random labels", "shuffled pixels", "random pixels", "gaussian"] {
        assert!(pgf.source.contains(&format!("\\addlegendentry{{{name}}}")), "{name}");
    }
    assert!(pgf.source.contains("ymin=0, ymax=2.5, ymode=linear"), "{}", pgf.source);
    let log = of("theorem1").unwrap().source;
    assert!(log.contains("xmode=log") && log.contains("ymode=log"), "{log}");
    // Every table that a plot reads is of columns that there are.
    for drawing in drawings() {
        let Some(pgf) = drawing.restyled(&style).unwrap().pgfplots("data.csv").unwrap() else {
            assert_eq!(drawing.id, "fig3");
            continue;
        };
        let names: Vec<String> = columns(&pgf.data).into_iter().map(|c| c.0).collect();
        let read = pgf.source.split("table[").skip(1).map(|s| s.split(']').next().unwrap());
        for pair in read {
            for part in pair.split(", ") {
                let name = part.split_once('=').unwrap().1;
                assert!(names.iter().any(|n| n == name), "{}: no column {name}", drawing.id);
            }
        }
        assert!(pgf.source.matches("\\addplot").count() >= names.len() / 3, "{}", drawing.id);
        assert!(pgf.source.is_ascii(), "{}: {}", drawing.id, pgf.source);
    }
}

#[test]
fn wide_tables_span_the_page_or_break_their_cells_and_too_wide_ones_are_refused() {
    let with = |columns: usize, cell: &str| {
        let header: Vec<String> = (0..columns).map(|c| format!("column {c}")).collect();
        let header: Vec<(&str, Align)> = header.iter().map(|h| (h.as_str(), Align::Left)).collect();
        let mut table = Table::new("wide", "Wide", &header);
        table.push(vec![cell.to_string(); columns]).unwrap();
        table
    };
    let latex = |table: &Table, venue| latex::table(table, venue, "c", &[]);
    let short = latex(&with(4, "12.5"), Venue::Icml).unwrap();
    assert!(short.contains("\\begin{table}[htbp]") && short.contains("{@{}llll@{}}"), "{short}");
    assert!(short.contains("\\begin{tabular}[b]{@{}l@{}}column\\\\0\\end{tabular}"), "{short}");
    let long = latex(&with(12, "0123456789"), Venue::Icml).unwrap();
    assert!(long.contains("\\begin{table*}"), "{long}");
    assert!(!latex(&with(9, "0123456789"), Venue::Neurips).unwrap().contains("table*"), "one column");
    let sentences =
        latex(&with(5, "some words that go on and on and on and on and on"), Venue::Ieee).unwrap();
    assert_eq!(sentences.matches("\\raggedright\\arraybackslash}p{").count(), 5, "{sentences}");
    let refused = latex(&with(40, "0123456789"), Venue::Ieee).unwrap_err().to_string();
    assert!(refused.contains("wide has too many columns for IEEE"), "{refused}");
}

/// Letters and digits alone, as they come out of a PDF.
fn letters(text: &str) -> String {
    let text = text.replace('\u{fb01}', "fi").replace('\u{fb02}', "fl").replace('\u{fb00}', "ff");
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// What keeps a paper from being compiled here.
fn no_latex() -> Option<&'static str> {
    let works = |program: &str, argument: &str| {
        Command::new(program).arg(argument).output().is_ok_and(|out| out.status.success())
    };
    let programs = [("pdflatex", "--version"), ("pdftotext", "-v"), ("pdfinfo", "-v"), ("pdffonts", "-v")];
    let absent = programs.into_iter().find(|(program, argument)| !works(program, argument));
    if let Some((program, _)) = absent {
        return Some(program);
    }
    let packages = ["pgfplots.sty", "booktabs.sty", "caption.sty", "mathptmx.sty"];
    packages.into_iter().find(|package| !works("kpsewhich", package))
}

fn compile(folder: &Path) -> (String, PathBuf) {
    let out = Command::new("pdflatex")
        .args(["-interaction=nonstopmode", "-halt-on-error", "paper.tex"])
        // Long lines of the log are not broken.
        .env("max_print_line", "10000")
        .current_dir(folder)
        .output()
        .expect("pdflatex starts");
    let said = text(&out.stdout);
    let end = &said[said.len().saturating_sub(3_000)..];
    assert!(out.status.success(), "{}: {end}", folder.display());
    (text(&fs::read(folder.join("paper.log")).unwrap()), folder.join("paper.pdf"))
}

#[test]
fn a_paper_with_every_figure_and_table_compiles_for_every_venue() {
    const NAME: &str = "a_paper_with_every_figure_and_table_compiles_for_every_venue";
    let kept = std::env::var_os("RETHINK_TEST_FIGURES").map(PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    let folder = kept.as_deref().unwrap_or(temporary.path());
    let missing = no_latex();
    let paper = |venue: Venue| {
        let folder = folder.join(venue.name());
        let about = "Data: shapes10 & what_is odd; scale smoke.";
        let paths = manuscript::write(items(), about, venue, &folder).unwrap();
        for item in items() {
            let id = item.recipe.id;
            let expected: Vec<String> = match item.product {
                Product::Figure(_) => [format!("{id}-caption.tex")]
                    .into_iter()
                    .chain(["csv", "json", "pdf", "png", "svg", "tex"].map(|e| format!("{id}.{e}")))
                    .collect(),
                Product::Table(_) => ["csv", "json", "tex"].map(|e| format!("{id}.{e}")).to_vec(),
            };
            assert_eq!(files(&folder, id), expected);
            assert!(expected.iter().all(|name| paths.contains(&folder.join(name))), "{id}");
            let source = fs::read_to_string(folder.join(format!("{id}.tex"))).unwrap();
            match &item.product {
                Product::Table(_) => assert!(source.contains("\\toprule") && source.contains("\\caption")),
                Product::Figure(_) if id == "fig3" => {
                    assert!(source.contains("\\includegraphics"), "{source}")
                }
                Product::Figure(_) => assert!(source.contains("\\begin{axis}")),
            }
        }
        if missing.is_some() {
            return;
        }
        let (log, pdf) = compile(&folder);
        for line in log.lines() {
            let wide = line.strip_prefix("Overfull \\hbox (").and_then(|l| l.split_once("pt too wide"));
            assert!(wide.is_none_or(|w| w.0.parse::<f64>().unwrap() < 1.0), "{}: {line}", venue.name());
            for bad in ["Missing character", "Float too large", "undefined", "Overfull \\vbox"] {
                assert!(!line.contains(bad), "{}: {line}", venue.name());
            }
        }
        let read = Command::new("pdftotext").arg(&pdf).arg("-").output().unwrap();
        let read = letters(&text(&read.stdout));
        for item in items() {
            let (caption, notes) = match &item.product {
                Product::Figure(drawing) => (drawing.caption.as_str(), &drawing.notes),
                Product::Table(table) => (table.title.split_once(": ").unwrap().1, &table.notes),
            };
            // The first letter of a title becomes a capital.
            let parts = [&caption[1..], &item.origin.sentence()].map(String::from);
            for part in parts.iter().chain(notes.iter()) {
                // What Latin fonts lack is named.
                let part = part.replace('数', "[U+6570]").replace(['\u{2264}', '\u{201c}', '\u{201d}'], "");
                assert!(
                    read.contains(&letters(&part)),
                    "{} for {}: no {part:?}",
                    item.recipe.id,
                    venue.name()
                );
            }
        }
        let (width, height, fonts) = look(&pdf).unwrap();
        assert_eq!((width, height), (612.0, 792.0), "letter paper");
        assert!(
            fonts.iter().any(|f| f == "LiberationSerif") && fonts.iter().any(|f| f.starts_with("NimbusRom"))
        );
        let embedded = text(&Command::new("pdffonts").arg(&pdf).output().unwrap().stdout);
        assert!(!embedded.contains("Type 3") && !fonts.iter().any(|f| f.contains("Sans")), "{embedded}");
    };
    items();
    std::thread::scope(|scope| {
        Venue::ALL.map(|venue| scope.spawn(move || paper(venue))).into_iter().for_each(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    });
    if let Some(missing) = missing {
        skip(&format!("{NAME}, the part that compiles"), Need::Latex, format_args!("no {missing}"));
    }
}

#[test]
fn captions_say_scale_and_provenance() {
    let folder = tempfile::tempdir().unwrap();
    manuscript::write(items(), "about", Venue::Neurips, folder.path()).unwrap();
    let caption = fs::read_to_string(folder.path().join("fig1b-caption.tex")).unwrap();
    let item = items().iter().find(|i| i.recipe.id == "fig1b").unwrap();
    let revision = rethink::run::provenance::revision();
    for part in [
        "\\caption{Time to fit 99 \\% of the training set",
        " After figure 1b of Zhang et al. (2017). ",
        "n = 200",
        "2 seeds, scale smoke.",
        &item.origin.digest(),
        &revision[..12],
        "\\label{fig:fig1b}",
        "{[}U+6570{]}",
    ] {
        assert!(caption.contains(part), "no {part:?} in {caption}");
    }
    // The digest is of the keys that are listed beside the figure.
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("fig1b.json")).unwrap()).unwrap();
    let runs = json["provenance"]["runs"].as_array().unwrap();
    let mut keys: Vec<&str> = runs.iter().map(|run| run["key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    assert!(caption.contains(&format!("{} runs (keys' digest ", keys.len())), "{caption}");
    assert_ne!(item.origin.digest(), ItemOrigin::of(&Results::Runs(Vec::new())).digest());
    let table = fs::read_to_string(folder.path().join("table4.tex")).unwrap();
    assert!(
        table.contains(
            "\\caption{Training accuracy on random labels with regularisers. After table 4 of Zhang et al. (2017)."
        ),
        "{table}"
    );
}

fn export(out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(rethink_bin());
    command.args(["export", "--data", "shapes10", "--scale", "smoke", "--out"]).arg(out).args(more);
    command.env_remove("RETHINK_DATA").env("XDG_CACHE_HOME", "/nonexistent");
    command.output().expect("the program starts")
}

#[test]
fn export_takes_what_the_store_has_whole_and_names_what_is_missing() {
    let out = tempfile::tempdir().unwrap();
    let nothing = export(out.path(), &["--for", "icml"]);
    let said = text(&nothing.stderr);
    assert!(
        !nothing.status.success() && said.contains("nothing to export") && said.contains("fig1a"),
        "{said}"
    );
    assert!(!out.path().join("shapes10-smoke").exists(), "nothing is written");
    let unknown = text(&export(out.path(), &["--for", "nature"]).stderr);
    assert!(unknown.contains("neurips") && unknown.contains("ieee"), "{unknown}");

    let study = Study::new(Some("shapes10"), Scale::Smoke, out.path()).unwrap();
    let recipe = paper::find("fig1a").unwrap();
    let configs = study.configs_of(recipe);
    let store = study.store();
    let keep = |config: &RunConfig| {
        store.run_by((config, 10), Scale::Smoke, &mut |_| (), &mut |_| Ok(Some(trained(config)))).unwrap()
    };
    configs[1..].iter().for_each(|config| drop(keep(config)));
    let Stored::Part { missing, of } = study.stored(recipe).unwrap() else { panic!("a run is missing") };
    assert_eq!((missing.len(), of), (1, 5));
    let partly = export(out.path(), &["--for", "icml", "--only", "fig1a"]);
    assert!(!partly.status.success(), "four runs of five are no figure");
    let said = text(&partly.stdout);
    assert!(said.contains("fig1a: left out, 1 of 5 missing") && said.contains("true labels"), "{said}");
    let command = format!("rethink sweep fig1a --data shapes10 --scale smoke --out {}", out.path().display());
    assert!(said.contains(&command), "{said}");

    keep(&configs[0]);
    let whole = export(out.path(), &["--for", "icml"]);
    let said = text(&whole.stdout);
    assert!(whole.status.success(), "{said}{}", text(&whole.stderr));
    assert!(
        said.contains("table1: left out, 21 of 21 missing") && !said.contains("fig1a: left out"),
        "{said}"
    );
    let folder = out.path().join("shapes10-smoke/export-icml");
    let paper = fs::read_to_string(folder.join("paper.tex")).unwrap();
    assert!(paper.contains("\\input{fig1a.tex}") && paper.contains("\\input{fig3.tex}"), "{paper}");
    assert!(!paper.contains("fig1b") && !paper.contains("\\section*{Tables}"), "{paper}");
    let runs = fs::read_dir(store.folder()).unwrap().map(|e| e.unwrap().path());
    assert_eq!(
        runs.filter(|p| p.extension().is_some_and(|e| e == "parquet")).count(),
        5,
        "nothing is trained"
    );

    let elsewhere = out.path().join("my paper");
    let to = elsewhere.to_str().unwrap();
    let network = export(out.path(), &["--for", "ieee", "--only", "fig3", "--to", to]);
    assert!(network.status.success(), "{}", text(&network.stderr));
    assert!(elsewhere.join("fig3.pdf").is_file() && elsewhere.join("paper.tex").is_file());
}

#[test]
fn serif_text_has_the_widths_of_times() {
    // Thousandths of the size, from Adobe's metrics of Times-Roman.
    for (letters, width) in [("A", 722.0), ("m", 778.0), ("0", 500.0), ("i", 278.0), (".", 250.0)] {
        let found = Family::Serif.width(&letters.repeat(8), 100.0).unwrap();
        // The box of the ink's advance; kerning of equal letters is none.
        assert!((found - 0.8 * width).abs() < 12.0, "{letters}: {found}, not {}", 0.8 * width);
    }
    assert!(
        Family::Serif.width("training steps", 8.0).unwrap()
            < Family::Sans.width("training steps", 8.0).unwrap()
    );
}
