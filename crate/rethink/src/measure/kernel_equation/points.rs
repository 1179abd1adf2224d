//! The Gaussian kernel on pixels and on Gabor wavelets: features of which all are in memory at once.

use super::held_out::{ChosenOn, HeldOut, Settings, base_gamma, check_width, n_chosen_on};
use super::solutions::{Problem, Row, error, inner, rows};
use super::{Arithmetic, KernelEquation, Preprocessing};
use crate::Result;
use rethink_nn::kernel_methods::cholesky;
use rethink_nn::kernel_methods::dense::Dense;
use rethink_nn::kernel_methods::float64::{self, Gaussian64};
use rethink_nn::kernel_methods::gaussian::Gaussian;
use rethink_nn::kernel_methods::solve::{Solution, solve};
use rethink_nn::memory::{check_memory, free_memory};
use std::time::Instant;

/// Bytes of a Gaussian kernel's equation with `n` points of `d` features and `m` for testing: half the matrix, and
/// the points.
pub fn gaussian_bytes(n: usize, m: usize, d: usize) -> u64 {
    // The points a second time, as products want them, and the vectors of the solution.
    let working = n * d + n * 10 * 8 * 8;
    cholesky::bytes(n) + 4 * (n * d + m * d + working) as u64
}

/// A row for each of the solutions that are asked for.
pub(super) fn gaussian(
    problem: &Problem,
    what: &KernelEquation,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Row>> {
    let Problem { dense, data, id, classes, targets } = problem;
    let image: usize = data.shape.iter().product();
    let dimensions = match &what.preprocessing {
        Preprocessing::Gabor(gabor) => gabor.dimensions(data.shape),
        _ => image,
    };
    let bytes = |n: usize| {
        let chosen_on = gaussian_bytes(n_chosen_on(n), id.test, dimensions);
        match (dense, what.arithmetic) {
            (Some(_), _) => chosen_on,
            (None, Arithmetic::Float32) => gaussian_bytes(n, id.test, dimensions),
            (None, Arithmetic::Float64) => chosen_on + float64::bytes(n, id.test, dimensions),
        }
    };
    check_memory(id.train, bytes, free_memory())?;
    let started = Instant::now();
    let features = |images: &[u8]| match &what.preprocessing {
        Preprocessing::Gabor(gabor) => gabor.features(images, data.shape),
        _ => Ok(images.iter().map(|&byte| f32::from(byte) / 255.0).collect()),
    };
    let points = features(&data.train.images[..id.train * image])?;
    let test = features(&data.test.images[..id.test * image])?;
    check_width(what.width)?;
    let base = base_gamma(what.width, Gaussian::mean_squared_distance(&points, dimensions));
    let part = points[..n_chosen_on(id.train) * dimensions].to_vec();
    let mut equation = match what.arithmetic {
        Arithmetic::Float32 => Equation::Float32 {
            part: Gaussian::new(part, dimensions, base),
            whole: Gaussian::new(points, dimensions, base),
            dense: *dense,
        },
        Arithmetic::Float64 => {
            Equation::Float64 { part, d: dimensions, whole: Gaussian64::new(&points, dimensions, base) }
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    rows(what, say, |with_l2, say| {
        let held_out = HeldOut { what, with_l2, base: Some(base), mean: 1.0, targets, classes: *classes };
        let settings = held_out.choose(say, |gamma| Ok(equation.chosen_on(gamma)))?;
        let (solution, outputs) = equation.solve(&settings, targets, *classes, &test, say)?;
        Ok(Row {
            dimensions,
            filters: 0,
            gamma: settings.gamma,
            ridge: settings.ridge,
            ends: settings.ends,
            unknowns: id.train,
            train_error: error(&solution.fitted, &data.train.labels, *classes),
            test_error: error(&outputs, &data.test.labels, *classes),
            norm: inner(&solution.weights, &solution.fitted).sqrt(),
            features: seconds,
            solution: Some(solution),
        })
    })
}

/// The kernel of the images that choices are made on, and that of all.
enum Equation<'a> {
    Float32 {
        part: Gaussian,
        whole: Gaussian,
        dense: Option<&'a dyn Dense>,
    },
    /// The part by its features (`n x d`).
    Float64 {
        part: Vec<f32>,
        d: usize,
        whole: Gaussian64,
    },
}

impl Equation<'_> {
    fn chosen_on(&self, gamma: f64) -> ChosenOn<'_> {
        match self {
            Equation::Float32 { part, .. } => ChosenOn::Matrix(part.matrix_of(gamma, 0.0)),
            Equation::Float64 { part, d, .. } => ChosenOn::Points { points: part, d: *d, gamma },
        }
    }

    /// The solution, and its outputs on `test` (`m x d`): `m x classes`.
    fn solve(
        &mut self,
        settings: &Settings,
        targets: &[f64],
        classes: usize,
        test: &[f32],
        say: &mut dyn FnMut(&str),
    ) -> Result<(Solution, Vec<f64>)> {
        let ridge = settings.ridge;
        match self {
            Equation::Float64 { whole, .. } => {
                whole.gamma = settings.gamma;
                let solution = solve(&*whole, targets, classes, ridge, say)?;
                let outputs = whole.predict(test, &solution.weights, classes);
                Ok((solution, outputs))
            }
            Equation::Float32 { whole, dense, .. } => {
                whole.gamma = settings.gamma;
                let placed = dense.map(|dense| dense.gaussian(whole)).transpose()?;
                let solution = solve(placed.as_deref().unwrap_or(&*whole), targets, classes, ridge, say)?;
                drop(placed);
                let outputs = match dense {
                    Some(dense) => dense.predict(whole, test, &solution.weights, classes)?,
                    None => whole.predict(test, &solution.weights, classes),
                };
                Ok((solution, outputs))
            }
        }
    }
}
