//! The random conv-net's equations: the Gaussian kernel on its features, always by images, and its linear last layer, by
//! features where they are fewer than images (the primal).

use super::dual::{block, dual, dual_bytes};
use super::held_out::{CHOSEN_ON, ChosenOn, HeldOut, Settings, base_gamma, check_width, n_chosen_on};
use super::solutions::{Problem, Row, error, inner, rows, wanted};
use super::{Choice, KernelEquation};
use crate::Result;
use crate::data::DataId;
use crate::measure::partial::PartialMeasurement;
use rayon::prelude::*;
use rethink_nn::kernel_methods::cholesky;
use rethink_nn::kernel_methods::dense::{Features, Products, Purpose};
use rethink_nn::kernel_methods::on_features::{OnFeatures, mean_squared_distance};
use rethink_nn::kernel_methods::random_conv::{FILTERS_AT_ONCE, Filters, RandomConv};
use rethink_nn::kernel_methods::solve::solve;
use rethink_nn::kernel_methods::triangle::{self, Triangle};
use rethink_nn::memory::{check_memory, free_memory};
use std::time::Instant;

/// Whether the conv-net's equation is solved by features, and not by images.
pub(super) fn by_features(conv: RandomConv, shape: [usize; 3], train: usize) -> bool {
    conv.dimensions(shape) < train
}

/// The conv-net's Gaussian kernel, always by images.
pub(super) fn gaussian_on_features(
    problem: &Problem,
    what: &KernelEquation,
    conv: RandomConv,
    seed: u64,
    unfinished: Option<&mut PartialMeasurement>,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Row>> {
    let Problem { dense, data, id, targets, classes } = problem;
    let dimensions = conv.dimensions(data.shape);
    let (n, m) = (id.train, id.test);
    let at_once = FILTERS_AT_ONCE.min(conv.filters) * (dimensions / conv.filters.max(1));
    let bytes = |n: usize| match dense {
        // What choices are made on is here.
        Some(_) => 2 * triangle::bytes(n_chosen_on(n)) + cholesky::bytes(n_chosen_on(n)),
        None => dual_bytes(n, m, at_once),
    };
    check_memory(n, bytes, free_memory())?;
    check_width(what.width)?;
    let filters = conv.draw(&data.train.images, data.shape, n, seed)?;
    let (products, seconds) = products(problem, id, &filters, what.features(), unfinished, say)?;
    let leading = match what.choice {
        Choice::Inside if n_chosen_on(n) < n => chosen_on(problem, what, &filters)?,
        _ => products.leading(n_chosen_on(n))?,
    };
    let mut chosen = Vec::new();
    for with_l2 in wanted(what) {
        let base = base_gamma(what.width, mean_squared_distance(leading.n(), leading.mean_diagonal()));
        let held_out = HeldOut { what, with_l2, base: Some(base), mean: 1.0, targets, classes: *classes };
        let mut settings = held_out
            .choose(say, |gamma| Ok(ChosenOn::Matrix(OnFeatures::new(&leading, gamma).matrix(0.0))))?;
        // The same power of 2, over the mean squared distance of all filters' features.
        let distance = mean_squared_distance(n, products.kernel().mean_diagonal());
        let whole = base_gamma(what.width, distance) / base;
        settings.gamma *= whole;
        settings.ends[0] = (settings.ends[0].0 * whole, settings.ends[0].1 * whole);
        chosen.push(settings);
    }
    // Frees its memory for the factorisation of the kernel matrix.
    drop(leading);
    let mut chosen = chosen.into_iter();
    rows(what, say, |_, say| {
        let settings = chosen.next().expect("as many as rows");
        let kernel = products.gaussian(settings.gamma)?;
        let solution = solve(&*kernel, targets, *classes, settings.ridge, say)?;
        drop(kernel);
        let outputs = products.predict_gaussian(&solution.weights, *classes, settings.gamma)?;
        Ok(Row {
            dimensions,
            filters: conv.filters,
            gamma: settings.gamma,
            ridge: settings.ridge,
            ends: settings.ends,
            unknowns: n,
            train_error: error(&solution.fitted, &data.train.labels, *classes),
            test_error: error(&outputs, &data.test.labels, *classes),
            norm: inner(&solution.weights, &solution.fitted).sqrt(),
            features: seconds,
            solution: Some(solution),
        })
    })
}

/// The conv-net's ridge regression, on centred features and a constant one: by features where they are fewer than
/// images (the primal), else by images.
pub(super) fn linear(
    problem: &Problem,
    what: &KernelEquation,
    conv: RandomConv,
    seed: u64,
    unfinished: Option<&mut PartialMeasurement>,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Row>> {
    let Problem { dense, data, id, .. } = problem;
    let dimensions = conv.dimensions(data.shape);
    let (n, m) = (id.train, id.test);
    let primal = by_features(conv, data.shape, n);
    let per_filter = dimensions / conv.filters.max(1);
    if primal {
        let needed = |n: usize| {
            let rows = dimensions.min(n);
            triangle::bytes(rows)
                + cholesky::bytes(rows)
                + 4 * ((2 * n + m) * dimensions + n.min(CHOSEN_ON) * n / 2) as u64
        };
        check_memory(n, needed, free_memory())?;
    } else if dense.is_none() {
        check_memory(n, |n| dual_bytes(n, m, FILTERS_AT_ONCE * per_filter), free_memory())?;
    }
    let filters = conv.draw(&data.train.images, data.shape, n, seed)?;
    if primal {
        return primal_rows(problem, what, &filters, dimensions, say);
    }
    let (products, seconds) = products(problem, id, &filters, what.features(), unfinished, say)?;
    let mean = products.kernel().mean_diagonal();
    rows(what, say, |with_l2, say| {
        let settings = linear_settings(problem, what, with_l2, say, || match what.choice {
            Choice::Inside if n_chosen_on(n) < n => own_ratio(problem, what, &filters),
            // Shares are of the whole's mean, as they were at first.
            _ => Ok((products.leading(n_chosen_on(n))?, mean)),
        })?;
        let share = settings.ridge;
        let solution = solve(products.kernel(), &problem.targets, problem.classes, share * mean, say)?;
        Ok(Row {
            dimensions,
            filters: conv.filters,
            gamma: f64::NAN,
            ridge: share,
            ends: settings.ends,
            unknowns: n,
            train_error: error(&solution.fitted, &data.train.labels, problem.classes),
            test_error: error(
                &products.predict(&solution.weights, problem.classes)?,
                &data.test.labels,
                problem.classes,
            ),
            norm: inner(&solution.weights, &solution.fitted).sqrt(),
            features: seconds,
            solution: Some(solution),
        })
    })
}

fn primal_rows(
    problem: &Problem,
    what: &KernelEquation,
    filters: &Filters,
    dimensions: usize,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Row>> {
    let Problem { data, id, classes, targets, .. } = problem;
    let n = id.train;
    let started = Instant::now();
    let (train, test, d) = block(data, id, filters, 0..filters.count(), what.standardised);
    // The dual's constant feature.
    let squares: f64 = train.iter().map(|v| f64::from(*v).powi(2)).sum();
    let constant = (squares / n as f64).sqrt() as f32;
    let with_constant = |features: Vec<f32>| -> Vec<f32> {
        features.chunks_exact(d).flat_map(|row| row.iter().copied().chain([constant])).collect()
    };
    let (train, test, d) = (with_constant(train), with_constant(test), d + 1);
    let turned: Vec<f32> = {
        let mut turned = vec![0.0; train.len()];
        turned.par_chunks_exact_mut(n).enumerate().for_each(|(feature, to)| {
            to.iter_mut().zip(train.chunks_exact(d)).for_each(|(to, row)| *to = row[feature]);
        });
        turned
    };
    let mut matrix = Triangle::zeros(d);
    matrix.add_gram(&turned, n);
    let mut right = vec![0.0; d * classes];
    right.par_chunks_exact_mut(*classes).zip(turned.par_chunks_exact(n)).for_each(|(to, feature)| {
        for (v, target) in feature.iter().zip(targets.chunks_exact(*classes)) {
            to.iter_mut().zip(target).for_each(|(to, target)| *to += f64::from(*v) * target);
        }
    });
    drop(turned);
    let seconds = started.elapsed().as_secs_f64();
    // The same weight as the dual's: a share of the images' mean squared length.
    let mean = matrix.mean_diagonal() * d as f64 / n as f64;
    rows(what, say, |with_l2, say| {
        let settings = linear_settings(problem, what, with_l2, say, || {
            let leading = n_chosen_on(n);
            if what.choice == Choice::Inside && leading < n {
                return own_ratio(problem, what, filters);
            }
            let mut kernel = Triangle::zeros(leading);
            kernel.add_gram(&train[..leading * d], d);
            Ok((kernel, mean))
        })?;
        let share = settings.ridge;
        let solution = solve(&matrix, &right, *classes, share * mean, say)?;
        let outputs = |features: &[f32]| times(features, d, &solution.weights, *classes);
        Ok(Row {
            dimensions,
            filters: filters.count(),
            gamma: f64::NAN,
            ridge: share,
            ends: settings.ends,
            unknowns: d,
            train_error: error(&outputs(&train), &data.train.labels, *classes),
            test_error: error(&outputs(&test), &data.test.labels, *classes),
            norm: inner(&solution.weights, &solution.weights).sqrt(),
            features: seconds,
            solution: Some(solution),
        })
    })
}

/// The weight of the linear kernel's l2; `kernel` makes the matrix of the images that it is chosen on, and the mean that it
/// is a share of.
fn linear_settings(
    problem: &Problem,
    what: &KernelEquation,
    with_l2: bool,
    say: &mut dyn FnMut(&str),
    kernel: impl FnOnce() -> Result<(Triangle, f64)>,
) -> Result<Settings> {
    if !with_l2 {
        return Ok(Settings::none(f64::NAN));
    }
    let (matrix, mean) = kernel()?;
    let held_out =
        HeldOut { what, with_l2, base: None, mean, targets: &problem.targets, classes: problem.classes };
    let mut matrix = Some(matrix);
    held_out.choose(say, |_| Ok(ChosenOn::Matrix(matrix.take().expect("asked for once: there is no width"))))
}

/// [`chosen_on`] with the constant feature, and its mean.
fn own_ratio(problem: &Problem, what: &KernelEquation, filters: &Filters) -> Result<(Triangle, f64)> {
    let mut matrix = chosen_on(problem, what, filters)?;
    let constant = matrix.mean_diagonal().sqrt() as f32;
    matrix.add_gram(&vec![constant; matrix.n()], 1);
    let mean = matrix.mean_diagonal();
    Ok((matrix, mean))
}

/// The inner products of features of the images that choices are made on, by as many filters an image as the whole has.
fn chosen_on(problem: &Problem, what: &KernelEquation, filters: &Filters) -> Result<Triangle> {
    let id = problem.id;
    let leading = n_chosen_on(id.train);
    let count = (filters.count() * leading).div_ceil(id.train);
    let id = DataId { train: leading, test: 1, ..id.clone() };
    let features = Features { purpose: Purpose::Choice, ..what.features() };
    let (products, _) = products(problem, &id, &filters.first(count), features, None, &mut |_| ())?;
    Ok(products.leading(leading)?)
}

/// The inner products of `features` of the images of `id`, on the device where there is one, and the seconds that they took.
fn products(
    problem: &Problem,
    id: &DataId,
    filters: &Filters,
    features: Features,
    unfinished: Option<&mut PartialMeasurement>,
    say: &mut dyn FnMut(&str),
) -> Result<(Box<dyn Products>, f64)> {
    let Problem { dense, data, .. } = problem;
    let Some(dense) = dense else {
        let (dual, seconds) = dual(data, id, filters, features, unfinished, say)?;
        return Ok((Box::new(dual), seconds));
    };
    let (started, image) = (Instant::now(), data.shape.iter().product::<usize>());
    let (train, test) = (&data.train.images[..id.train * image], &data.test.images[..id.test * image]);
    let products = dense.conv(filters, features, train, test, say)?;
    Ok((products, started.elapsed().as_secs_f64()))
}

/// `features` (`n x d`) times `weights` (`d x columns`), summed in f64.
fn times(features: &[f32], d: usize, weights: &[f64], columns: usize) -> Vec<f64> {
    let mut out = vec![0.0; features.len() / d * columns];
    out.par_chunks_exact_mut(columns).zip(features.par_chunks_exact(d)).for_each(|(to, row)| {
        for (v, weights) in row.iter().zip(weights.chunks_exact(columns)) {
            to.iter_mut().zip(weights).for_each(|(to, w)| *to += f64::from(*v) * w);
        }
    });
    out
}
