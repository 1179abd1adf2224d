//! The Gaussian kernel on pixels and on Gabor wavelets: features of which all are in memory at once.

use super::held_out::{ChosenOn, HeldOut, Settings, base_gamma, n_chosen_on};
use super::solutions::{Problem, Row, error, inner, rows};
use super::{Arithmetic, KernelEquation, OPERATION, Preprocessing, Width};
use crate::{Error, Result};
use rethink_nn::kernel_methods::cholesky;
use rethink_nn::kernel_methods::dense::Dense;
use rethink_nn::kernel_methods::float64::{self, Gaussian64};
use rethink_nn::kernel_methods::gaussian::Gaussian;
use rethink_nn::kernel_methods::solve::{Solution, solve};
use rethink_nn::kernel_methods::triangle::{check_memory, free_memory};
use std::time::Instant;

/// Bytes of a Gaussian kernel's equation with `n` points of `d` features and `m` for testing: half the matrix, and
/// the points.
pub fn gaussian_bytes(n: usize, m: usize, d: usize) -> u64 {
    // The points as they are read, less their mean, and as products want them; and the vectors of the solution.
    let working = 2 * n * d + n * 10 * 8 * 8;
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
    if let Width::Gamma(gamma) = what.width
        && !(gamma > 0.0 && gamma.is_finite())
    {
        return Err(Error::argument(OPERATION, format!("gamma {gamma}, above 0 is needed")));
    }
    let base = base_gamma(what.width, Gaussian::mean_squared_distance(&points, dimensions));
    let points = Points { dense: *dense, arithmetic: what.arithmetic, train: points, test, dimensions };
    let mut part = Gaussian::new(points.leading().to_vec(), dimensions, base);
    let seconds = started.elapsed().as_secs_f64();
    rows(what, say, |with_l2, say| {
        let held_out = HeldOut { what, with_l2, base: Some(base), mean: 1.0, targets, classes: *classes };
        let settings = held_out.choose(say, |gamma| {
            if what.arithmetic == Arithmetic::Float64 {
                return Ok(ChosenOn::Points { points: points.leading(), d: dimensions, gamma });
            }
            part.gamma = gamma;
            Ok(ChosenOn::Matrix(part.matrix(0.0)))
        })?;
        let (solution, outputs) = points.solve(&settings, targets, *classes, say)?;
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

/// Features of training and test images, and what their Gaussian kernel's equation is solved with.
struct Points<'a> {
    dense: Option<&'a dyn Dense>,
    arithmetic: Arithmetic,
    /// `n x dimensions`.
    train: Vec<f32>,
    /// `m x dimensions`.
    test: Vec<f32>,
    dimensions: usize,
}

impl Points<'_> {
    /// Those that choices are made on.
    fn leading(&self) -> &[f32] {
        &self.train[..n_chosen_on(self.train.len() / self.dimensions) * self.dimensions]
    }

    /// The solution, and its outputs on the test images (`m x classes`).
    fn solve(
        &self,
        settings: &Settings,
        targets: &[f64],
        classes: usize,
        say: &mut dyn FnMut(&str),
    ) -> Result<(Solution, Vec<f64>)> {
        let (gamma, ridge) = (settings.gamma, settings.ridge);
        if self.arithmetic == Arithmetic::Float64 {
            let kernel = Gaussian64::new(&self.train, self.dimensions, gamma);
            let solution = solve(&kernel, targets, classes, ridge, say)?;
            let outputs = kernel.predict(&self.test, &solution.weights, classes);
            return Ok((solution, outputs));
        }
        let kernel = Gaussian::new(self.train.clone(), self.dimensions, gamma);
        let Some(dense) = self.dense else {
            let solution = solve(&kernel, targets, classes, ridge, say)?;
            let outputs = kernel.predict(&self.test, &solution.weights, classes);
            return Ok((solution, outputs));
        };
        let placed = dense.gaussian(&kernel)?;
        let solution = solve(&*placed, targets, classes, ridge, say)?;
        drop(placed);
        let outputs = dense.predict(&kernel, &self.test, &solution.weights, classes)?;
        Ok((solution, outputs))
    }
}
