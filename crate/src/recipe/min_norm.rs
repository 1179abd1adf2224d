//! Section 5's argument: SGD from zero converges to the solution of least norm; curvature does not tell solutions apart; other
//! solutions that fit have a larger norm and generalise worse.
//!
//! Expected: from zero the distance falls to rounding, from a random start it stays, the Hessians agree; random centres and
//! labels forced on test images raise the norm many times and the test error to that of guessing.

use super::{Product, Recipe, Source, Verdict};
use crate::config::Scale;
use crate::figures::{self, Note};
use crate::frames::column;
use crate::measurement::{Measured, Measurement, Quantity};
use crate::study::Study;
use crate::{Error, Result, paper};
use polars::prelude::*;

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "min-norm",
    title: "Section 5: SGD and the minimum norm",
    notebook: "09-minimum-norm.ipynb",
    source: Source::Measurements { plan, make, verdict },
};

fn plan(study: &Study) -> Vec<Measurement> {
    let (n, epochs, points, test) = match study.scale {
        Scale::Smoke => (30, 300, 100, 200),
        Scale::Small => (100, 3_000, 1_000, 1_000),
        Scale::Paper => (200, 10_000, 4_000, 4_000),
    };
    let path = Quantity::SgdPath { epochs };
    vec![
        Measurement::new(&study.data, (n, 1), path, 1),
        Measurement::new(&study.data, (points, test), Quantity::Interpolators, 1),
    ]
}

fn of(measured: &[Measured], wanted: fn(&Quantity) -> bool) -> Result<&Measured> {
    let found = measured.iter().find(|m| wanted(&m.record.measurement.what));
    found.ok_or_else(|| Error::argument("minimum norm", "it has not been measured"))
}

/// SGD's way, a row a start and recorded epoch: `start` (text), `epoch`, `distance`, `loss`, `norm`, `least_norm`, `off_span`,
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

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    // The other measurement has an n of its own.
    let n = of(measured, |what| matches!(what, Quantity::SgdPath { .. }))?.record.measurement.data.train;
    let note = Note { scale_line: format!("{} (drawn: n = {n})", note.scale_line), ..note.clone() };
    Ok(Product::Figure(figures::min_norm::draw(&path(measured)?, &note)?))
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
            .filter_map(|i| Some(format!("{:.0} ({:.0} %)", norm.get(i)?, 100.0 * error.get(i)?)));
        Some(format!(
            "distance {:.0e} from zero, {:.1} from elsewhere; norm (error): {}",
            last("zero")?,
            last("random")?,
            each.collect::<Vec<_>>().join(", ")
        ))
    };
    Verdict { paper: paper::MIN_NORM.into(), ours: ours().unwrap_or("not measured".into()) }
}
