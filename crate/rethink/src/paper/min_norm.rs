//! Section 5's argument: SGD from zero converges to the solution of least norm; curvature does not tell solutions apart; other
//! solutions that fit have a larger norm and generalise worse.
//!
//! Expected: from zero the distance falls to rounding, from a random start it stays, the Hessians agree; random centres raise the
//! norm by orders of magnitude and the test error to that of guessing; labels forced on test images raise the norm a little, and are
//! what those images get.

use crate::measure::{Measured, Measurement, Quantity};
use crate::paper::Setting;
use crate::paper::reported;
use crate::paper::{Parts, Product, Recipe, Verdict};
use crate::run::config::Scale;
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::text::counted;
use rethink_plot::columns::{all_numbers, need, numbers, texts};
use rethink_plot::frames::column;
use rethink_plot::{Chart, Drawing, Note, axis};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "min-norm",
    title: "Section 5: SGD and the minimum norm",
    notebook: "09-minimum-norm.ipynb",
    source: Parts::Measurements { plan, make, verdict },
};

fn plan(setting: &Setting) -> Vec<Measurement> {
    let (n, epochs, points, test) = match setting.scale {
        Scale::Smoke => (30, 300, 100, 200),
        Scale::Small => (100, 3_000, 300, 2_000),
        Scale::Paper => (200, 10_000, 4_000, 4_000),
    };
    let path = Quantity::SgdPath { epochs };
    vec![
        Measurement::new(setting.data(), (n, 1), path, 1),
        Measurement::new(setting.data(), (points, test), Quantity::Interpolators, 1),
    ]
}

fn of(measured: &[Measured], wanted: fn(&Quantity) -> bool) -> Result<&Measured> {
    let found = measured.iter().find(|m| wanted(&m.record.measurement.what));
    found.ok_or_else(|| Error::argument("minimum norm", "it has not been measured"))
}

/// SGD's way, one row per start and recorded epoch: `start` (text), `epoch`, `distance`, `loss`, `norm`, `least_norm`, `off_span`,
/// `hessian`, `nullity` (f64).
///
/// Errors: [`Error::Argument`] where it is not among `measured`.
pub fn path(measured: &[Measured]) -> Result<DataFrame> {
    Ok(of(measured, |what| matches!(what, Quantity::SgdPath { .. }))?.frame.clone())
}

/// Solutions that fit, a row each: `solution` (text), `norm`, `train_error`, `test_error`, `forced_error` (f64, 0 to 1).
///
/// Errors: as for [`path`].
pub fn solutions(measured: &[Measured]) -> Result<DataFrame> {
    Ok(of(measured, |what| matches!(what, Quantity::Interpolators))?.frame.clone())
}

const DRAW: &str = "draw the way to the minimum norm";

/// Values below are drawn here: they are rounding, or exactly 0.
const FLOOR: f64 = 1e-16;

/// What the small print says of the series `name` where some of its `values` are below [`FLOOR`].
fn floored(name: &str, values: &[f64]) -> Option<String> {
    let below = values.iter().filter(|value| **value < FLOOR).count();
    let zeros = values.iter().filter(|value| **value == 0.0).count();
    let what = if zeros == below { "exactly 0" } else { "0 or rounding" };
    let all = counted(values.len(), "recorded epoch");
    (below > 0).then(|| format!("{name}: {what} at {below} of {all}, drawn at {FLOOR:e}."))
}

/// Draws, against epochs, SGD's relative distance to the solution of least norm from both starts, and the relative
/// distance of the Hessians from the random start; logarithmic axes, epoch 0 left out.
///
/// `frame`, one row per start and epoch: `start` ("zero" or "random"), `epoch`, `distance`, `hessian` (0 or more); rows
/// whose `epoch` is absent are not drawn.
///
/// Errors: absent or mistyped columns, negative numbers, no epoch above 0.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["start", "epoch", "distance", "hessian"])?;
    let start = texts(frame, DRAW, "start")?;
    let epoch = numbers(frame, DRAW, "epoch")?;
    let distance = all_numbers(frame, DRAW, "distance")?;
    let hessian = all_numbers(frame, DRAW, "hessian")?;
    if let Some(value) = distance.iter().chain(&hessian).find(|v| **v < 0.0) {
        return Err(Error::argument(DRAW, format!("a distance of {value}")));
    }
    let series = [
        ("weights, from zero", "zero", &distance),
        ("weights, from a random start", "random", &distance),
        ("Hessian, from a random start", "random", &hessian),
    ];
    let (mut names, mut epochs, mut values, mut notes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (name, from, of) in series {
        let mut exact = Vec::new();
        for row in (0..start.len()).filter(|row| start[*row] == from) {
            let Some(at) = epoch[row].filter(|epoch| *epoch > 0.0) else { continue };
            exact.push(of[row]);
            names.push(name);
            epochs.push(at);
            values.push(of[row].max(FLOOR));
        }
        notes.extend(floored(name, &exact));
    }
    if names.is_empty() {
        return Err(Error::argument(DRAW, "the frame holds no epoch above 0"));
    }
    let last = epochs.iter().copied().fold(2.0, f64::max);
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    let shown = df!("series" => names, "epoch" => epochs, "value" => values).map_err(Error::frame(DRAW))?;
    let chart = Chart::new(&shown, "epoch", "value")
        .colour("series")
        .order(&series.map(|series| series.0))
        .x(axis("epochs").log().from(1.0).to(last).padded(0.02, 0.02))
        .y(axis("relative distance").log().from(low / 2.0).to(high * 3.0))
        .caption(
            "SGD on a linear model: relative distance of the weights to the solution of least norm, from zero and from a \
             random start, and of the Hessian to that solution's. From zero SGD finds the solution; from elsewhere it fits as \
             well, stays away, and the Hessian is the same.",
        );
    let drawing = notes.iter().fold(chart, |chart, said| chart.note(said)).draw("min-norm", note)?;
    Ok(Drawing { frame: frame.clone(), ..drawing })
}

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    // The other measurement has an n of its own.
    let n = of(measured, |what| matches!(what, Quantity::SgdPath { .. }))?.record.measurement.data.train;
    let note = Note { scale_line: format!("{} (drawn: n = {n})", note.scale_line), ..note.clone() };
    Ok(Product::Figure(draw(&path(measured)?, &note)?))
}

/// A norm in whole numbers; of a very large one, that of a nearly singular problem, the order of magnitude alone.
fn norm_text(norm: f64) -> String {
    if norm < 1e6 { format!("{norm:.0}") } else { format!("about {norm:.0e}") }
}

fn verdict(measured: &[Measured]) -> Verdict {
    let ours = || -> Option<String> {
        let path = path(measured).ok()?;
        let start = column(&path, "start").ok()?.str().ok()?.clone();
        let distance = column(&path, "distance").ok()?.f64().ok()?.clone();
        let last = |name: &str| {
            let rows = (0..path.height()).filter(|i| start.get(*i) == Some(name));
            rows.last().and_then(|i| distance.get(i))
        };
        let solutions = solutions(measured).ok()?;
        let number = |name: &str| column(&solutions, name).ok()?.f64().ok().cloned();
        let (norm, error) = (number("norm")?, number("test_error")?);
        let each = (0..solutions.height())
            .filter_map(|i| Some(format!("{} ({:.0} %)", norm_text(norm.get(i)?), 100.0 * error.get(i)?)));
        Some(format!(
            "distance {:.0e} from zero, {:.2} from elsewhere; norm (error): {}",
            last("zero")?,
            last("random")?,
            each.collect::<Vec<_>>().join(", ")
        ))
    };
    Verdict::new(reported::MIN_NORM, ours())
}
