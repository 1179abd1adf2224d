//! Figure 1c: test error on clean labels against the share of corrupted training labels.
//!
//! Expected at paper scale: rises steadily to 90 %, the error of guessing among ten classes; on other data sets, to 1 - 1 / classes.

use crate::paper::fig1b::{check_p, drawn_levels, unfitted};
use crate::paper::reported;
use crate::paper::{Parts, Product, Recipe, Verdict, batch_note, extended, fig1b, mean, norm_note};
use crate::store::Run;
use crate::{Error, Result};
use polars::prelude::DataFrame;
use rethink_nn::models::ModelKind;
use rethink_plot::columns::{all_numbers, distinct, mean_sd, need, numbers, texts};
use rethink_plot::frames::find;
use rethink_plot::theme::{Axis, Key, Mark, Plot, SeriesStyle};
use rethink_plot::{Drawing, Note};

/// The recipe; its frame is [`fig1b::frame`].
pub const RECIPE: Recipe = Recipe {
    id: "fig1c",
    title: "Figure 1c: test error",
    notebook: "02-partially-corrupted-labels.ipynb",
    source: Parts::Runs { runs: fig1b::runs, make, verdict },
};

const DRAW: &str = "draw figure 1c";

/// Draws figure 1c.
///
/// `frame`, one row per run: `model` (text, as the legend shows it), `p` (share of labels drawn anew, 0 to
/// 1), `seed`, `test_error` (on clean test labels, 0 to 1), `chance` (the error of guessing, one value
/// in all rows: 0.9 for ten classes; none where it is not known), drawn as a dotted line. Where training error is zero, test error is
/// the generalization error; if the frame has `epochs_to_fit` (as for figure 1b), a level at which a run
/// never fitted has a hollow marker and is named under the plot.
///
/// Several seeds give mean and sample standard deviation. Runs without a test error are counted under
/// the plot.
///
/// Errors: absent or mistyped columns, shares outside 0 to 1, more than one `chance`, no test error.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["model", "p", "seed", "test_error", "chance"])?;
    let models = texts(frame, DRAW, "model")?;
    let p = all_numbers(frame, DRAW, "p")?;
    all_numbers(frame, DRAW, "seed")?;
    let errors = numbers(frame, DRAW, "test_error")?;
    let fitted = match find(frame, "epochs_to_fit") {
        Ok(_) => Some(numbers(frame, DRAW, "epochs_to_fit")?),
        Err(_) => None,
    };
    let chances = numbers(frame, DRAW, "chance")?;
    for row in 0..models.len() {
        check_p(DRAW, row, p[row])?;
        if let Some(error) = errors[row].filter(|e| !e.is_nan())
            && !(0.0..=1.0).contains(&error)
        {
            let problem = format!("column test_error, row {row}: {error} is outside 0 to 1");
            return Err(Error::argument(DRAW, problem));
        }
    }
    let Some(chance) = chances.first().copied() else {
        return Err(Error::argument(DRAW, "the frame has no row"));
    };
    let no_error = |c: &Option<f64>| c.is_some_and(|c| !(0.0..=1.0).contains(&c));
    if let Some(row) = chances.iter().position(|c| *c != chance || no_error(c)) {
        let text = |c: Option<f64>| c.map_or("no value".into(), |c| c.to_string());
        let problem = format!(
            "column chance, row {row}: {} beside {}; one value of 0 to 1 is needed",
            text(chances[row]),
            text(chance)
        );
        return Err(Error::argument(DRAW, problem));
    }

    let names = distinct(&models);
    let mut notes = vec![note.scale_line.clone()];
    let rule = |y| Mark::Rule { y, label: "chance".into() };
    let mut marks: Vec<Mark> = chance.map(rule).into_iter().collect();
    let mut points = Vec::new();
    let mut several = false;
    for (index, name) in names.iter().enumerate() {
        let look = SeriesStyle::new(index);
        let mut line = Vec::new();
        let mut lost = Vec::new();
        for at in drawn_levels(&models, &p, name) {
            let rows: Vec<usize> = (0..models.len())
                .filter(|r| models[*r] == *name && p[*r] == at && !errors[*r].is_none_or(f64::is_nan))
                .collect();
            let failed = fitted.as_ref().map_or(0, |f| rows.iter().filter(|r| f[**r].is_none()).count());
            let values: Vec<f64> = rows.iter().filter_map(|r| errors[*r]).collect();
            if values.is_empty() {
                continue;
            }
            if failed > 0 {
                lost.push(unfitted(at, failed, rows.len()));
            }
            several |= values.len() > 1;
            let (mean, sd) = mean_sd(&values);
            line.push((at, mean));
            if sd > 0.0 {
                points.push(Mark::Bar { x: at, span: (mean - sd, mean + sd), look });
            }
            points.push(Mark::Point { at: (at, mean), look, hollow: failed > 0, shift: 0.0 });
        }
        marks.push(Mark::Line { points: line, look, fine: false });
        if !lost.is_empty() {
            notes.push(format!("Did not fit (hollow): {name}, {}.", lost.join("; ")));
        }
        let rows = (0..models.len()).filter(|r| models[*r] == *name);
        let without = rows.filter(|r| errors[*r].is_none_or(f64::is_nan)).count();
        if without > 0 {
            let runs = if without == 1 { "run" } else { "runs" };
            notes.push(format!("{name}: {without} {runs} without a test error not drawn."));
        }
    }
    if points.is_empty() {
        return Err(Error::argument(DRAW, "the frame holds no test error"));
    }
    marks.extend(points);

    let caption = format!(
        "Test error on clean labels against the share of corrupted training labels: {}.{}{}",
        names.join(", "),
        chance.map_or(String::new(), |chance| format!(" Dotted: chance, {chance}.")),
        if several { " Mean over seeds; bars are one standard deviation." } else { "" },
    );
    let plot = Plot {
        x: Axis::linear("label corruption", 0.0, 1.0, 7)?.padded(0.05, 0.05),
        y: Axis::linear("test error", 0.0, 1.0, 7)?,
        legend: names
            .iter()
            .enumerate()
            .map(|(i, n)| (n.clone(), SeriesStyle::new(i), Key::Marked))
            .collect(),
        marks,
        notes,
        description: caption,
    };
    Ok(plot.drawing("fig1c", note, frame)?)
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    let note = extended(note, norm_note(runs.iter()).into_iter().chain(batch_note(runs.iter())));
    Ok(Product::Figure(draw(&fig1b::frame(runs)?, &note)?))
}

fn verdict(runs: &[Run]) -> Verdict {
    let model = |m: ModelKind| {
        let at = |p: f64| {
            let of = |r: &&Run| r.record.config.model == m && r.record.config.corruption.label_noise() == p;
            let error = mean(runs.iter().filter(of).filter_map(fig1b::test_error));
            error.map_or("-".into(), |error| format!("{:.0}", 100.0 * error))
        };
        format!("{} {} to {} %", m.title(), at(0.0), at(1.0))
    };
    Verdict {
        paper: reported::FIG1C.into(),
        ours: fig1b::models(runs).map(model).collect::<Vec<_>>().join(", "),
    }
}
