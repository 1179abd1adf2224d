//! Section 5's last remark, as a figure: the norm of the minimum-norm solution does not predict its test error.
//!
//! Expected at paper scale on MNIST: the norm is near 220 on pixels and larger with wavelets, whose error is half. On
//! each curve, more images give a larger norm and a smaller error. On few images of one channel, the norm against the
//! kernel's width: it halves while the error hardly changes.

use crate::measure::kernel_equation::{KernelEquation, Preprocessing, Width};
use crate::measure::{Measured, Measurement, Quantity};
use crate::paper::Setting;
use crate::paper::reported;
use crate::paper::table3::{Solved, equation, sizes, solved};
use crate::paper::{Parts, Product, Recipe, Verdict};
use crate::{Error, Result};
use polars::prelude::*;
use rethink_nn::kernel_methods::gabor::Gabor;
use rethink_plot::columns::{all_numbers, distinct, need, texts};
use rethink_plot::frames::find;
use rethink_plot::{Chart, Drawing, Note, axis};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    id: "norms",
    title: "Section 5: norm and test error",
    notebook: "08-kernels.ipynb",
    source: Parts::Measurements { plan, make, verdict },
};

/// Gammas of the curve that shows that the norm follows the width: about the first author's 0.02 for MNIST.
pub const GAMMAS: [f64; 6] = [0.005, 0.01, 0.02, 0.03, 0.05, 0.08];
/// The most images of that curve.
pub const GAMMA_IMAGES: usize = 5_000;

/// Sixteenth, fourth and whole of the training images, without l2, and the whole with it.
fn plan(setting: &Setting) -> Vec<Measurement> {
    let mut all = Vec::new();
    for data in setting.datasets.iter().copied() {
        let (train, test) = sizes(setting.scale);
        let train = train.min(data.train.len());
        for preprocessing in [Preprocessing::None, Preprocessing::Gabor(Gabor::default())] {
            for n in [train / 16, train / 4, train] {
                // Fewer than that are no sample of ten classes.
                if n >= 100 {
                    all.push(equation(setting.scale, data, (n, test), preprocessing.clone(), (true, false)));
                }
            }
            all.push(equation(setting.scale, data, (train, test), preprocessing, (false, true)));
        }
        if data.shape[0] == 1 || data.name == crate::data::SHAPES10 {
            let n = GAMMA_IMAGES.min(train / 2);
            all.extend(GAMMAS.map(|gamma| {
                let what = KernelEquation::new(Preprocessing::None, Width::Gamma(gamma), (true, false));
                Measurement::new(data, (n, test), Quantity::KernelEquation(what), 1)
            }));
        }
    }
    all
}

/// The gammas of the solutions on the same points as this one's, where they differ in nothing else, in rising order.
fn gammas(solution: &Solved, all: &[Solved]) -> Vec<f64> {
    let fixed = |s: &Solved| match s.what.width {
        Width::Gamma(gamma) if s.what.plain && s.what.preprocessing == solution.what.preprocessing => {
            Some(gamma)
        }
        _ => None,
    };
    let of = |s: &Solved| s.measured.record.measurement.data.clone();
    if fixed(solution).is_none() {
        return Vec::new();
    }
    let mut gammas: Vec<f64> = all.iter().filter(|s| of(s) == of(solution)).filter_map(fixed).collect();
    gammas.sort_by(f64::total_cmp);
    gammas.dedup();
    gammas
}

/// One row per solution: `series` (data set, pre-processing, and where gamma varies its range), `n`, `gamma`, `ridge` (all that
/// was added to the diagonal, as a share of its mean; 0 without regularisation), `floor` (what of it a matrix needed that is
/// singular without; 0 for others), `norm`, `train_error`, `test_error` (f64, 0 to 1).
///
/// Errors: [`Error::Frame`].
pub fn frame(measured: &[Measured]) -> Result<DataFrame> {
    let all = solved(measured);
    let series = |s: &Solved| {
        let pixels = s.what.preprocessing == Preprocessing::None;
        let what = if pixels { "pixels" } else { s.what.preprocessing.title() };
        let title = &s.measured.record.measurement.data.title;
        match &gammas(s, &all)[..] {
            [low, .., high] => format!("{title}, {what}, gamma {low} to {high}"),
            _ => format!("{title}, {what}"),
        }
    };
    let mut rows: Vec<(String, Solved)> = all.iter().map(|s| (series(s), *s)).collect();
    let names: Vec<String> = rows.iter().map(|row| row.0.clone()).collect();
    // A store has them in no order: a curve goes along its images, or along its widths.
    rows.sort_by(|(a, left), (b, right)| {
        let place = |name: &String| names.iter().position(|other| other == name);
        let gamma = |s: &Solved| s.number("gamma").filter(|_| a.contains(GAMMA)).unwrap_or(0.0);
        (place(a).cmp(&place(b)))
            .then(left.images().cmp(&right.images()))
            .then(gamma(left).total_cmp(&gamma(right)))
    });
    let (series, solutions): (Vec<String>, Vec<Solved>) = rows.into_iter().unzip();
    let mut columns = vec![Column::new("series".into(), series)];
    for name in ["n", "gamma", "ridge", "floor", "norm", "train_error", "test_error"] {
        let value = |s: &Solved| match name {
            "ridge" => s.regularisation(),
            "floor" => s.number(name).unwrap_or(0.0),
            _ => s.number(name).unwrap_or(f64::NAN),
        };
        let values: Vec<f64> = solutions.iter().map(value).collect();
        columns.push(Column::new(name.into(), values));
    }
    DataFrame::new(solutions.len(), columns).map_err(Error::frame("the frame of norms"))
}

const DRAW: &str = "draw the norms";
/// In the name of a series along which the kernel's width varies, and not n.
const GAMMA: &str = ", gamma ";

/// Draws test error against norm, the norm on a logarithmic axis, one curve per series in the order of n, then of the rows; hollow
/// markers are regularised solutions.
///
/// `frame`, one row per solution: `series` (text, as the legend shows it), `n`, `ridge` (0 without regularisation), `floor` (what of
/// it a singular matrix needed; without the column, none did), `norm` (above 0), `test_error` (0 to 1).
///
/// Errors: absent or mistyped columns, numbers out of range, no row.
pub fn draw(frame: &DataFrame, note: &Note) -> Result<Drawing> {
    need(frame, DRAW, &["series", "n", "ridge", "norm", "test_error"])?;
    let series = texts(frame, DRAW, "series")?;
    all_numbers(frame, DRAW, "n")?;
    let ridge = all_numbers(frame, DRAW, "ridge")?;
    let norm = all_numbers(frame, DRAW, "norm")?;
    let error = all_numbers(frame, DRAW, "test_error")?;
    for row in 0..series.len() {
        if norm[row] <= 0.0 || !(0.0..=1.0).contains(&error[row]) {
            let problem = format!("row {row}: norm {}, test error {}", norm[row], error[row]);
            return Err(Error::argument(DRAW, problem));
        }
    }
    if series.is_empty() {
        return Err(Error::argument(DRAW, "the frame has no row"));
    }
    let names = distinct(&series);
    let mut chart = Chart::new(frame, "norm", "test_error")
        .colour("series")
        .markers()
        .path("n")
        .hollow_above("ridge", 0.0)
        .x(axis("norm of the solution").log())
        .y(axis("test error"))
        .caption(&format!(
            "Test error of the kernel equation's solution against its norm, as the number of training images (where it says \
             gamma: the kernel's width) grows along each curve: {}.",
            names.join("; ")
        ));
    let floor = if find(frame, "floor").is_ok() {
        all_numbers(frame, DRAW, "floor")?
    } else {
        vec![0.0; ridge.len()]
    };
    if ridge.iter().any(|ridge| *ridge > 0.0) {
        chart = chart.note(hollow(&ridge, &floor));
    }
    if names.iter().any(|name| name.contains(GAMMA)) {
        chart = chart.note(
            "Where gamma varies, n is the same. The paper gives neither gamma nor the coding of labels, so its norms \
             (220 and 390) cannot be compared.",
        );
    }
    Ok(chart.draw("norms", note)?)
}

/// What the small print says of hollow markers: why those that are drawn are regularised.
fn hollow(ridge: &[f64], floor: &[f64]) -> &'static str {
    let l2 = ridge.iter().zip(floor).any(|(all, floor)| all > floor);
    match (l2, floor.iter().any(|floor| *floor > 0.0)) {
        (_, false) => "Hollow: regularised by l2.",
        (false, true) => "Hollow: regularised, because the matrix is singular in single precision without.",
        (true, true) => {
            "Hollow: regularised, by l2 or because the matrix is singular in single precision without."
        }
    }
}

fn make(measured: &[Measured], note: &Note) -> Result<Product> {
    Ok(Product::Figure(draw(&frame(measured)?, note)?))
}

fn verdict(measured: &[Measured]) -> Verdict {
    let solutions = solved(measured);
    let largest = solutions.iter().map(Solved::images).max();
    let mut parts = Vec::new();
    for preprocessing in ["none", "gabor filters"] {
        let of = |ridge: bool| {
            let found = solutions.iter().find(|s| {
                s.what.preprocessing.title() == preprocessing
                    && s.regularised() == ridge
                    && Some(s.images()) == largest
            })?;
            Some((found.number("norm")?, 100.0 * found.number("test_error")?))
        };
        if let (Some((norm, error)), Some((_, with))) = (of(false), of(true)) {
            parts.push(format!("{preprocessing}: norm {norm:.0}, {error:.1} % (l2: {with:.1} %)"));
        }
    }
    let gamma: Vec<_> = solutions.iter().filter(|s| gammas(s, &solutions).len() > 1).collect();
    let ends = |name: &str| {
        let values = gamma.iter().filter(|s| !s.regularised()).filter_map(|s| s.number(name));
        values.fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((low, high), (least, most)) = (ends("norm"), ends("test_error"));
    if low < high {
        let (least, most) = (100.0 * least, 100.0 * most);
        parts.push(format!("by gamma alone: norm {low:.0} to {high:.0}, {least:.1} to {most:.1} %"));
    }
    Verdict::of_parts(reported::NORMS, parts)
}
