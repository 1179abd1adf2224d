//! What a notebook's cell shows of frames and of several figures at once.

use polars::prelude::{Column, DataFrame};
use rethink::paper::Product;
use rethink::run::config::Scale;
use rethink::show::{experiment, html, table, together};
use rethink::study::Study;
use rethink_cli::mathml::in_markdown;
use rethink_plot::export;
use rethink_plot::tables::{Align, Table};

fn frame(rows: usize) -> DataFrame {
    let values: Vec<f64> = (0..rows).map(|row| row as f64 / 3.0).collect();
    let names: Vec<String> = (0..rows).map(|row| format!("row {row}")).collect();
    let columns = vec![Column::new("value".into(), values), Column::new("name".into(), names)];
    DataFrame::new(rows, columns).unwrap()
}

#[test]
fn a_long_frame_shows_its_ends() {
    let short = table(&frame(17)).unwrap();
    assert_eq!((short.rows.len(), short.title.as_str()), (17, "17 rows, 2 columns"));
    assert_eq!(short.align, [Align::Right, Align::Left]);
    let long = table(&frame(1_000)).unwrap();
    assert_eq!(long.title, "1,000 rows, 2 columns");
    let names: Vec<&str> = long.rows.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(names[..2], ["row 0", "row 1"]);
    assert_eq!(names[7..10], ["row 7", "\u{2026}", "row 992"]);
    assert_eq!(names.last(), Some(&"row 999"));
}

#[test]
fn numbers_have_five_digits() {
    let values = vec![
        Some(0.0),
        Some(1.0 / 3.0),
        Some(1234.567),
        Some(-2e-6),
        Some(3e9),
        None,
        Some(f64::NAN),
        Some(99999.96),
    ];
    let frame = DataFrame::new(8, vec![Column::new("v".into(), values)]).unwrap();
    let shown: Vec<String> = table(&frame).unwrap().rows.into_iter().flatten().collect();
    assert_eq!(shown, ["0", "0.33333", "1234.6", "-2.0000e-6", "3.0000e9", "", "NaN", "100000"]);
}

#[test]
fn several_figures_are_one_picture() {
    let out = tempfile::tempdir().unwrap();
    let study = Study::new(Some("shapes10"), Scale::Smoke, out.path()).unwrap();
    let Product::Figure(drawing) = study.show("fig3").unwrap() else { panic!("figure 3 is a figure") };
    let (svg, width, height) = together(&[&drawing, &drawing, &drawing]);
    let gap = 10.0 / 72.0;
    assert!((width - (2.0 * drawing.width + gap)).abs() < 1e-9);
    assert!((height - (2.0 * drawing.height + gap)).abs() < 1e-9);
    let parsed = roxmltree::Document::parse(&svg).unwrap();
    let inner: Vec<(f32, f32)> = parsed
        .root_element()
        .children()
        .filter(|node| node.has_tag_name("svg"))
        .map(|node| ["x", "y"].map(|name| node.attribute(name).unwrap().parse().unwrap()).into())
        .collect();
    let (right, below) = ((72.0 * drawing.width + 10.0) as f32, (72.0 * drawing.height + 10.0) as f32);
    assert_eq!(inner.len(), 3);
    for ((x, y), (wanted_x, wanted_y)) in inner.iter().zip([(0.0, 0.0), (right, 0.0), (0.0, below)]) {
        assert!((x - wanted_x).abs() < 0.01 && (y - wanted_y).abs() < 0.01, "{inner:?}");
    }
    // The first one looks as it does alone.
    let decode = |bytes: Vec<u8>| {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (pixels, info.width as usize, info.height as usize)
    };
    let (alone, alone_width, alone_height) = decode(drawing.png(144).unwrap());
    let (all, all_width, _) = decode(export::png(&svg, export::Family::Sans, 144).unwrap());
    let mut apart = 0;
    for y in 0..alone_height - 1 {
        for x in 0..alone_width - 1 {
            let (a, b) = (alone[3 * (y * alone_width + x)], all[3 * (y * all_width + x)]);
            apart += usize::from(a.abs_diff(b) > 40);
        }
    }
    assert!(apart < alone_width * alone_height / 500, "{apart} pixels differ");
}

#[test]
fn figures_and_tables_together_are_html() {
    let out = tempfile::tempdir().unwrap();
    let study = Study::new(Some("shapes10"), Scale::Smoke, out.path()).unwrap();
    let mut table = Table::new("small", "A table", &[("a", Align::Left)]);
    table.push(vec!["<b>".into()]).unwrap();
    let html = html(&[study.show("fig3").unwrap(), Product::Table(table)]);
    let (figure, table) = (html.find("<svg").unwrap(), html.find("<table").unwrap());
    assert!(figure < table && html.contains("&lt;b&gt;"), "{}", &html[table..]);
}

#[test]
fn formulas_become_mathml_and_the_rest_stays() {
    let text = "Costs `$x$`, but $\\sum_j w_j * x_j$ and\n\n$$\\hat{R}_n \\le 1$$\n\n| a | b |\n| --- | --- |\n| $|x|$ | $\\frac{1}{2}$ |\n";
    let out = in_markdown(text);
    assert!(out.starts_with("Costs `$x$`, but <math"), "{out}");
    assert_eq!(out.matches("<math").count(), out.matches("</math>").count());
    assert!(out.contains("display=\"block\"") && out.contains("<mfrac"), "{out}");
    // What Markdown takes for emphasis or a table's column is none in a formula.
    let formula = &out[out.find("<math").unwrap()..out.find("</math>").unwrap()];
    assert!(formula.contains("&#42;") && !formula.contains('*') && !formula.contains('\n'), "{formula}");
    // What is no LaTeX stays as it is written.
    assert_eq!(in_markdown("so $\\frac{1$ that"), "so $\\frac{1$ that");
}

#[test]
fn an_experiment_shows_what_its_runs_choose() {
    let study = Study::new(Some("shapes10"), Scale::Smoke, "unused").unwrap();
    assert!(study.configs("table3").is_err() && study.configs("fig9").is_err());
    let mut configs = study.configs("fig1a").unwrap();
    let shown = experiment(&configs);
    assert_eq!((shown.rows.len(), shown.title.as_str()), (5, "5 runs"));
    let random: Vec<&str> = shown.rows[1].iter().map(String::as_str).collect();
    assert_eq!(random[..6], ["Inception", "0.125", "random labels", "200", "128", "0.1"]);
    assert_eq!(random[7..], ["none", "3", "no", "2"], "{random:?}");
    let hyper = &mut configs[1].hyper;
    (hyper.learning_rate, hyper.weight_decay, hyper.stop_when_fitted) = (0.05, 5e-4, true);
    let changed = &experiment(&configs).rows[1];
    assert_eq!((changed[5].as_str(), changed[7].as_str()), ("0.05", "0.0005 on all"));
    assert_ne!(changed[9], "no");
}
