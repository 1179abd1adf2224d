//! Figure 1c: test error on clean labels against the share of corrupted training labels.
//!
//! Expected at paper scale: rises steadily to 90 %, the error of guessing among ten classes; on other data sets, to 1 - 1 / classes.

use crate::paper::fig1b::{check_p, unfitted_note};
use crate::paper::reported;
use crate::paper::{Parts, Product, Recipe, Verdict, fig1b, mean};
use crate::store::Run;
use crate::{Error, Result};
use polars::prelude::DataFrame;
use rethink_nn::models::ModelKind;
use rethink_plot::columns::{all_numbers, distinct, need, numbers, texts};
use rethink_plot::frames::find;
use rethink_plot::{Chart, Drawing, Note, axis};

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

    let is_drawn = |row: usize| errors[row].is_some_and(|error| !error.is_nan());
    if !(0..models.len()).any(is_drawn) {
        return Err(Error::argument(DRAW, "the frame holds no test error"));
    }
    let unfitted: Vec<bool> = match &fitted {
        Some(epochs) => epochs.iter().map(Option::is_none).collect(),
        None => vec![false; models.len()],
    };
    let names = distinct(&models);
    let caption = format!(
        "Test error on clean labels against the share of corrupted training labels: {}.{}",
        names.join(", "),
        chance.map_or(String::new(), |chance| format!(" Dotted: chance, {chance}.")),
    );
    let mut chart = Chart::new(frame, "p", "test_error")
        .colour("model")
        .order(&fig1b::MODELS.map(ModelKind::title))
        .over("seed")
        .markers()
        .x(axis("label corruption").from(0.0).to(1.0).padded(0.05, 0.05))
        .y(axis("test error").from(0.0).to(1.0))
        .caption(&caption);
    for name in &names {
        let of = (0..models.len()).filter(|row| models[*row] == *name && is_drawn(*row));
        chart = unfitted_note(chart, name, &p, of, |row| unfitted[row]);
    }
    if let Some(chance) = chance {
        chart = chart.chance(chance);
    }
    if fitted.is_some() {
        chart = chart.hollow_absent("epochs_to_fit");
    }
    Ok(chart.draw("fig1c", note)?)
}

fn make(runs: &[Run], note: &Note) -> Result<Product> {
    Ok(Product::Figure(draw(&fig1b::frame(runs)?, note)?))
}

fn verdict(runs: &[Run]) -> Verdict {
    let model = |m: ModelKind| {
        let at = |p: f64| {
            let of =
                |r: &&Run| r.record.config.model == m && r.record.config.corruption.label_noise() == Some(p);
            let error = mean(runs.iter().filter(of).filter_map(fig1b::test_error));
            error.map_or("-".into(), |error| format!("{:.0}", 100.0 * error))
        };
        format!("{} {} to {} %", m.title(), at(0.0), at(1.0))
    };
    let each: Vec<String> = fig1b::models(runs).map(model).collect();
    Verdict::new(reported::FIG1C, (!each.is_empty()).then(|| each.join(", ")))
}
