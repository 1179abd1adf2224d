//! A row of table 3: features of the images, their kernel, equation 3 solved on one-hot targets, and the error of
//! the largest output on test images.

use super::dense::{Dense, Products};
use super::gabor::Gabor;
use super::gaussian::Gaussian;
use super::random_conv::{Filters, RandomConv};
use super::solve::{Kernel, Solution, solve};
use super::triangle::{self, TILE, Triangle, check_memory, free_memory};
use crate::config::DataId;
use crate::data::Dataset;
use crate::device::Device;
use crate::ops::gemm::{Matrix, Packed};
use crate::unfinished::Unfinished;
use crate::{Error, Result};
use polars::prelude::*;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::Instant;

const OPERATION: &str = "kernel equation";

/// What is done to the images before the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preprocessing {
    /// Pixels, divided by 255.
    None,
    /// Gabor wavelets.
    Gabor(Gabor),
    /// The random conv-net. Its kernel is linear in its features: the net's last layer.
    RandomConv(RandomConv),
}

impl Preprocessing {
    /// As in the paper's table 3.
    pub fn title(&self) -> &'static str {
        match self {
            Preprocessing::None => "none",
            Preprocessing::Gabor(_) => "gabor filters",
            Preprocessing::RandomConv(_) => "random conv-net",
        }
    }
}

/// How wide the Gaussian kernel `exp(-gamma |x - y|^2)` is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Width {
    /// gamma itself.
    Gamma(f64),
    /// Of 1, 2, 4, 8 and 16 over the mean squared distance between training images (of the first 2,000), the one
    /// with the fewest errors on held-out training images, without l2.
    HeldOut,
}

/// What is solved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelEquation {
    /// Features.
    pub preprocessing: Preprocessing,
    /// Of the Gaussian kernel; not looked at where the kernel is linear.
    pub width: Width,
    /// Solve without l2 regularisation.
    pub plain: bool,
    /// Solve with l2, its weight chosen on held-out training images.
    pub ridge: bool,
}

/// Weights of l2 that are tried, as a share of the kernel's mean diagonal.
pub const RIDGES: [f64; 7] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1];
/// Factors of [`Width::HeldOut`].
pub const FACTORS: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];
/// Weight and width are chosen on at most this many training images, the last fifth of which are held out.
pub const CHOSEN_ON: usize = 12_500;
/// Filters whose features are in memory at a time.
pub(crate) const FILTERS_AT_ONCE: usize = 128;

impl KernelEquation {
    /// In a few words.
    pub fn describe(&self) -> String {
        let mut text = format!("kernel equation, {}", self.preprocessing.title());
        if let Preprocessing::RandomConv(conv) = self.preprocessing {
            text += &format!(", {} filters", crate::study::thousands(conv.filters));
        }
        text + match (self.plain, self.ridge) {
            (true, true) => ", without and with l2",
            (false, true) => ", l2",
            _ => "",
        }
    }
}

impl KernelEquation {
    /// Whether a GPU that is chosen is used, with `train` images of `shape`. Where the conv-net has fewer features than
    /// there are images, the equation is small enough for the processor.
    pub fn on_device(&self, shape: [usize; 3], train: usize) -> bool {
        match self.preprocessing {
            Preprocessing::RandomConv(conv) => !by_features(conv, shape, train),
            _ => true,
        }
    }
}

/// Whether the conv-net's equation is solved by features, and not by images.
fn by_features(conv: RandomConv, shape: [usize; 3], train: usize) -> bool {
    conv.dimensions(shape) < train
}

/// What is the same for all solutions of a measurement.
struct Problem<'a> {
    dense: Option<&'a dyn Dense>,
    data: &'a Dataset,
    id: &'a DataId,
    classes: usize,
    targets: Vec<f64>,
}

/// One row of the frame.
struct Row {
    dimensions: usize,
    filters: usize,
    gamma: f64,
    ridge: f64,
    unknowns: usize,
    train_error: f64,
    test_error: f64,
    norm: f64,
    solution: Option<Solution>,
    features: f64,
}

/// Solves `what` on the first images of `data`. A row a solution, the one without l2 first: `n`, `test`
/// (images), `dimensions` (features), `filters` (0 without a conv-net), `gamma` (NaN where the kernel is
/// linear), `ridge` (share of the mean diagonal, 0 for none), `unknowns` (rows of the system solved),
/// `train_error`, `test_error` (0 to 1), `norm` (of the solution, over all classes, in the kernel's space),
/// `residual` (relative), `steps`, `jitter`, `floor` (of [`Solution`]), `seconds_features`, `seconds_matrix`, `seconds_factor`, `seconds_steps`.
/// With `unfinished`, the conv-net's matrix goes on from what a killed attempt left there. On a GPU that is chosen, in
/// float32 (see [`KernelEquation::on_device`]).
///
/// Errors: [`Error::Missing`] when memory will not do, before anything is spent; [`Error::Argument`] for settings
/// out of range; those of [`Device::dense`].
pub fn measure(
    what: &KernelEquation,
    data: &Dataset,
    id: &DataId,
    seed: u64,
    unfinished: Option<&mut Unfinished>,
    say: &mut dyn FnMut(&str),
) -> Result<DataFrame> {
    let dense = if what.on_device(data.shape, id.train) { Device::current()?.dense()? } else { None };
    measure_on(dense.as_deref(), what, data, id, seed, unfinished, say)
}

/// [`measure`] on a device, or without one; there, the conv-net's matrix is made within minutes, and `unfinished` is left
/// alone.
///
/// Errors: those of [`measure`]; [`Error::Tensor`] for what the device says.
pub fn measure_on(
    dense: Option<&dyn Dense>,
    what: &KernelEquation,
    data: &Dataset,
    id: &DataId,
    seed: u64,
    unfinished: Option<&mut Unfinished>,
    say: &mut dyn FnMut(&str),
) -> Result<DataFrame> {
    if !what.plain && !what.ridge {
        return Err(Error::argument(OPERATION, "neither without nor with l2: nothing to solve"));
    }
    let classes = data.classes.len();
    let mut targets = vec![0.0; id.train * classes];
    for (row, &label) in targets.chunks_exact_mut(classes).zip(&data.train.labels) {
        row[usize::from(label)] = 1.0;
    }
    let problem = Problem { dense, data, id, classes, targets };
    let rows = match &what.preprocessing {
        Preprocessing::RandomConv(conv) => linear(&problem, what, *conv, seed, unfinished, say)?,
        _ => gaussian(&problem, what, say)?,
    };
    frame(id, rows)
}

/// Bytes of a Gaussian kernel's equation with `n` points of `d` features and `m` for testing: half the matrix, and
/// the points.
pub fn gaussian_bytes(n: usize, m: usize, d: usize) -> u64 {
    // Packed columns for the factor, and the vectors of the solution.
    let working = n * TILE + n * 10 * 8 * 8;
    triangle::bytes(n) + 4 * (n * d + m * d + working) as u64
}

fn gaussian(problem: &Problem, what: &KernelEquation, say: &mut dyn FnMut(&str)) -> Result<Vec<Row>> {
    let Problem { dense, data, id, classes, targets } = problem;
    let image: usize = data.shape.iter().product();
    let dimensions = match &what.preprocessing {
        Preprocessing::Gabor(gabor) => gabor.dimensions(data.shape),
        _ => image,
    };
    let bytes =
        |n: usize| gaussian_bytes(if dense.is_some() { n_chosen_on(n) } else { n }, id.test, dimensions);
    check_memory(id.train, bytes, free_memory())?;
    let started = Instant::now();
    let features = |images: &[u8]| match &what.preprocessing {
        Preprocessing::Gabor(gabor) => gabor.features(images, data.shape),
        _ => Ok(images.iter().map(|&byte| f32::from(byte) / 255.0).collect()),
    };
    let points = features(&data.train.images[..id.train * image])?;
    let test = features(&data.test.images[..id.test * image])?;
    let gamma = match what.width {
        Width::Gamma(gamma) => gamma,
        Width::HeldOut => {
            let part = &points[..n_chosen_on(id.train) * dimensions];
            let distance = Gaussian::mean_squared_distance(&points, dimensions);
            let candidates = FACTORS.map(|factor| factor / distance);
            let mut errors = Vec::new();
            for gamma in candidates {
                let kernel = Gaussian::new(part.to_vec(), dimensions, gamma).matrix(0.0);
                errors.push(held_out_error(&kernel, 0.0, targets, *classes)?);
            }
            say(&listed("gamma", &candidates, &errors));
            candidates[least(&errors)]
        }
    };
    if !(gamma > 0.0 && gamma.is_finite()) {
        return Err(Error::argument(OPERATION, format!("gamma {gamma}, above 0 is needed")));
    }
    let kernel = Gaussian::new(points, dimensions, gamma);
    let seconds = started.elapsed().as_secs_f64();
    let placed = dense.map(|dense| dense.gaussian(&kernel)).transpose()?;
    rows(what, say, |ridge, say| {
        let share = match ridge {
            true => {
                let leading = kernel.leading(n_chosen_on(kernel.n()));
                choose_ridge(leading.matrix(0.0), 1.0, targets, *classes, say)?
            }
            false => 0.0,
        };
        let solution = solve(placed.as_deref().unwrap_or(&kernel), targets, *classes, share, say)?;
        let outputs = match dense {
            Some(dense) => dense.predict(&kernel, &test, &solution.weights, *classes)?,
            None => kernel.predict(&test, &solution.weights, *classes),
        };
        Ok(Row {
            dimensions,
            filters: 0,
            gamma,
            ridge: share,
            unknowns: kernel.n(),
            train_error: error(&solution.fitted, &data.train.labels, *classes),
            test_error: error(&outputs, &data.test.labels, *classes),
            norm: inner(&solution.weights, &solution.fitted).sqrt(),
            features: seconds,
            solution: Some(solution),
        })
    })
}

/// Kernel values between `m` test and `n` training points: for each tile row of training points, `m` rows of as many
/// elements as it has points.
struct Cross {
    m: usize,
    n: usize,
    blocks: Vec<f32>,
}

impl Cross {
    fn new(m: usize, n: usize) -> Cross {
        Cross { m, n, blocks: vec![0.0; m * n] }
    }

    /// Adds `test train^T`, of `d` features.
    fn add(&mut self, test: &[f32], train: &[f32], d: usize) {
        for (block, train) in self.blocks.chunks_mut(self.m * TILE).zip(train.chunks(TILE * d)) {
            let width = train.len() / d;
            let right = Packed::new(Matrix::new(train, width, d).t());
            block.par_chunks_mut(TILE * width).zip(test.par_chunks(TILE * d)).for_each(|(out, test)| {
                let rows = test.len() / d;
                right.product_rows(out, Matrix::new(test, rows, d), 0..rows, true);
            });
        }
    }

    fn predict(&self, weights: &[f64], columns: usize) -> Vec<f64> {
        let mut out = vec![0.0; self.m * columns];
        for (j, block) in self.blocks.chunks(self.m * TILE).enumerate() {
            let width = TILE.min(self.n - j * TILE);
            let weights = &weights[j * TILE * columns..][..width * columns];
            out.par_chunks_exact_mut(columns).zip(block.par_chunks_exact(width)).for_each(|(to, row)| {
                for (k, weights) in row.iter().zip(weights.chunks_exact(columns)) {
                    to.iter_mut().zip(weights).for_each(|(to, w)| *to += f64::from(*k) * w);
                }
            });
        }
        out
    }
}

/// Bytes of the conv-net's equation by its dual: the matrix and its factor, half of each, the test images' kernel
/// values, and the features of some filters.
pub fn dual_bytes(n: usize, m: usize, at_once: usize) -> u64 {
    2 * triangle::bytes(n) + 4 * (m * n + (n + m) * at_once + n * TILE) as u64
}

/// The conv-net's ridge regression, on centred features and a constant one: by features where they are fewer than
/// images (the primal), else by images.
fn linear(
    problem: &Problem,
    what: &KernelEquation,
    conv: RandomConv,
    seed: u64,
    unfinished: Option<&mut Unfinished>,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Row>> {
    let Problem { dense, data, id, .. } = problem;
    let dimensions = conv.dimensions(data.shape);
    let (n, m) = (id.train, id.test);
    let primal = by_features(conv, data.shape, n);
    let per_filter = dimensions / conv.filters.max(1);
    if primal {
        let needed = |n: usize| {
            2 * triangle::bytes(dimensions.min(n))
                + 4 * ((2 * n + m) * dimensions + n.min(CHOSEN_ON) * n / 2) as u64
        };
        check_memory(n, needed, free_memory())?;
    } else if dense.is_none() {
        check_memory(n, |n| dual_bytes(n, m, FILTERS_AT_ONCE * per_filter), free_memory())?;
    }
    let filters = conv.draw(data, n, seed)?;
    if primal {
        return primal_rows(problem, what, &filters, dimensions, say);
    }
    let started = Instant::now();
    let (products, seconds): (Box<dyn Products>, f64) = match dense {
        Some(dense) => {
            let image: usize = data.shape.iter().product();
            let (train, test) = (&data.train.images[..n * image], &data.test.images[..m * image]);
            let products = dense.conv(&filters, train, test, say)?;
            (products, started.elapsed().as_secs_f64())
        }
        None => {
            let (dual, seconds) = dual(data, id, &filters, unfinished, say)?;
            (Box::new(dual), seconds)
        }
    };
    let mean = products.kernel().mean_diagonal();
    rows(what, say, |ridge, say| {
        let share = match ridge {
            true => {
                let leading = products.leading(n_chosen_on(n))?;
                choose_ridge(leading, mean, &problem.targets, problem.classes, say)?
            }
            false => 0.0,
        };
        let solution = solve(products.kernel(), &problem.targets, problem.classes, share * mean, say)?;
        Ok(Row {
            dimensions,
            filters: conv.filters,
            gamma: f64::NAN,
            ridge: share,
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

/// The conv-net's inner products on the processor.
pub(crate) struct Dual {
    matrix: Triangle,
    cross: Cross,
}

impl Products for Dual {
    fn kernel(&self) -> &dyn Kernel {
        &self.matrix
    }

    fn leading(&self, n: usize) -> Result<Triangle> {
        Ok(self.matrix.leading(n))
    }

    fn predict(&self, weights: &[f64], columns: usize) -> Result<Vec<f64>> {
        Ok(self.cross.predict(weights, columns))
    }
}

/// The inner products, and the seconds that they took, earlier attempts included.
///
/// Errors: those of [`Unfinished::read_parts`].
pub(crate) fn dual(
    data: &Dataset,
    id: &DataId,
    filters: &Filters,
    mut unfinished: Option<&mut Unfinished>,
    say: &mut dyn FnMut(&str),
) -> Result<(Dual, f64)> {
    let (n, m) = (id.train, id.test);
    let started = Instant::now();
    let mut said = Instant::now();
    let mut matrix = Triangle::zeros(n);
    let mut cross = Cross::new(m, n);
    let (mut before, mut earlier) = (0, 0.0);
    if let Some(unfinished) = &mut unfinished {
        before = unfinished.read_parts(&mut [matrix.numbers_mut(), &mut cross.blocks])?;
        earlier = unfinished.earlier;
        if before > 0 {
            say(&format!("going on after {before} of {} filters", filters.count()));
        }
    }
    for range in batches(filters.count(), FILTERS_AT_ONCE).skip_while(|range| range.end <= before) {
        let (train, test, d) = block(data, id, filters, range.clone());
        matrix.add_gram(&train, d);
        cross.add(&test, &train, d);
        if let Some(unfinished) = &mut unfinished {
            let seconds = earlier + started.elapsed().as_secs_f64();
            unfinished.keep_parts(range.end, seconds, &[matrix.numbers(), &cross.blocks], say);
        }
        if said.elapsed().as_secs() >= 10 {
            said = Instant::now();
            let each = started.elapsed().as_secs_f64() / (range.end - before) as f64;
            let left = each * (filters.count() - range.end) as f64;
            say(&format!("{} of {} filters, {left:.0} s left", range.end, filters.count()));
        }
    }
    // One constant feature, as long as the others together: what stands for an intercept.
    let constant = matrix.mean_diagonal().sqrt() as f32;
    matrix.add_gram(&vec![constant; n], 1);
    cross.add(&vec![constant; m], &vec![constant; n], 1);
    Ok((Dual { matrix, cross }, earlier + started.elapsed().as_secs_f64()))
}

/// A row for each of the solutions that are asked for.
fn rows(
    what: &KernelEquation,
    say: &mut dyn FnMut(&str),
    mut row: impl FnMut(bool, &mut dyn FnMut(&str)) -> Result<Row>,
) -> Result<Vec<Row>> {
    let wanted = [(what.plain, false), (what.ridge, true)];
    wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, ridge)| row(ridge, say)).collect()
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
    let (train, test, d) = block(data, id, filters, 0..filters.count());
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
    rows(what, say, |ridge, say| {
        let share = match ridge {
            true => {
                let leading = n_chosen_on(n);
                let mut kernel = Triangle::zeros(leading);
                kernel.add_gram(&train[..leading * d], d);
                choose_ridge(kernel, mean, targets, *classes, say)?
            }
            false => 0.0,
        };
        let solution = solve(&matrix, &right, *classes, share * mean, say)?;
        let outputs = |features: &[f32]| times(features, d, &solution.weights, *classes);
        Ok(Row {
            dimensions,
            filters: filters.count(),
            gamma: f64::NAN,
            ridge: share,
            unknowns: d,
            train_error: error(&outputs(&train), &data.train.labels, *classes),
            test_error: error(&outputs(&test), &data.test.labels, *classes),
            norm: inner(&solution.weights, &solution.weights).sqrt(),
            features: seconds,
            solution: Some(solution),
        })
    })
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

pub(crate) fn batches(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(size).map(move |first| first..(first + size).min(count))
}

/// Features of training and test images by the filters `range`, less their means over the training images, and how
/// many.
fn block(data: &Dataset, id: &DataId, filters: &Filters, range: Range<usize>) -> (Vec<f32>, Vec<f32>, usize) {
    let image: usize = data.shape.iter().product();
    let d = range.len() * filters.per_filter();
    let mut train = filters.features(&data.train.images[..id.train * image], range.clone());
    let mut test = filters.features(&data.test.images[..id.test * image], range);
    let mut mean = vec![0.0f64; d];
    for row in train.chunks_exact(d) {
        mean.iter_mut().zip(row).for_each(|(to, v)| *to += f64::from(*v) / id.train as f64);
    }
    for features in [&mut train, &mut test] {
        features.par_chunks_exact_mut(d).for_each(|row| {
            row.iter_mut().zip(&mean).for_each(|(v, mean)| *v -= *mean as f32);
        });
    }
    (train, test, d)
}

/// Training images on which weight and width are chosen.
fn n_chosen_on(n: usize) -> usize {
    n.min(CHOSEN_ON)
}

/// The weight of [`RIDGES`] (as a share of `mean`) with the fewest errors on held-out points; the smaller of two
/// equal ones.
fn choose_ridge(
    kernel: Triangle,
    mean: f64,
    targets: &[f64],
    columns: usize,
    say: &mut dyn FnMut(&str),
) -> Result<f64> {
    let mut errors = Vec::new();
    for share in RIDGES {
        errors.push(held_out_error(&kernel, share * mean, targets, columns)?);
    }
    say(&listed("l2", &RIDGES, &errors));
    Ok(RIDGES[least(&errors)])
}

fn least(errors: &[f64]) -> usize {
    let by_value = |a: &(usize, &f64), b: &(usize, &f64)| a.1.total_cmp(b.1);
    errors.iter().enumerate().min_by(by_value).map_or(0, |(i, _)| i)
}

fn listed(what: &str, candidates: &[f64], errors: &[f64]) -> String {
    let pairs = candidates.iter().zip(errors).map(|(c, e)| format!("{c:.1e}: {:.2} %", 100.0 * e));
    format!("error on held-out images by {what}: {}", pairs.collect::<Vec<_>>().join(", "))
}

/// The share of errors on the last fifth of `kernel`'s points, when it is fitted to the others.
fn held_out_error(kernel: &Triangle, ridge: f64, targets: &[f64], columns: usize) -> Result<f64> {
    let fit = kernel.n() - kernel.n() / 5;
    if fit == kernel.n() {
        return Err(Error::argument(OPERATION, "too few images to hold some out"));
    }
    let solution = solve(&kernel.leading(fit), &targets[..fit * columns], columns, ridge, &mut |_| ())?;
    let held_out = &targets[fit * columns..kernel.n() * columns];
    let labels: Vec<u16> = held_out.chunks_exact(columns).map(|row| largest(row) as u16).collect();
    let mut outputs = vec![0.0; held_out.len()];
    outputs.par_chunks_exact_mut(columns).enumerate().for_each(|(i, to)| {
        for (j, weights) in solution.weights.chunks_exact(columns).enumerate() {
            let k = f64::from(kernel.get(fit + i, j));
            to.iter_mut().zip(weights).for_each(|(to, w)| *to += k * w);
        }
    });
    Ok(error(&outputs, &labels, columns))
}

fn largest(row: &[f64]) -> usize {
    let by_value = |a: &(usize, &f64), b: &(usize, &f64)| a.1.total_cmp(b.1);
    row.iter().enumerate().max_by(by_value).map_or(0, |(i, _)| i)
}

/// The share of rows whose largest output is not the label's.
pub fn error(outputs: &[f64], labels: &[u16], columns: usize) -> f64 {
    let rows = outputs.len() / columns;
    let wrong = outputs.chunks_exact(columns).zip(labels).filter(|(row, l)| largest(row) != usize::from(**l));
    wrong.count() as f64 / rows.max(1) as f64
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>().max(0.0)
}

fn frame(id: &DataId, rows: Vec<Row>) -> Result<DataFrame> {
    let count = |name: &str, value: &dyn Fn(&Row) -> usize| {
        Column::new(name.into(), rows.iter().map(|row| value(row) as f64).collect::<Vec<_>>())
    };
    let number = |name: &str, value: &dyn Fn(&Row) -> f64| {
        Column::new(name.into(), rows.iter().map(value).collect::<Vec<_>>())
    };
    let of = |value: fn(&Solution) -> f64| move |row: &Row| row.solution.as_ref().map_or(f64::NAN, value);
    let columns = vec![
        count("n", &|_| id.train),
        count("test", &|_| id.test),
        count("dimensions", &|r| r.dimensions),
        count("filters", &|r| r.filters),
        number("gamma", &|r| r.gamma),
        number("ridge", &|r| r.ridge),
        count("unknowns", &|r| r.unknowns),
        number("train_error", &|r| r.train_error),
        number("test_error", &|r| r.test_error),
        number("norm", &|r| r.norm),
        number("residual", &of(|s| s.residual)),
        number("steps", &of(|s| s.steps as f64)),
        number("jitter", &of(|s| s.jitter)),
        number("floor", &of(|s| s.floor)),
        number("seconds_features", &|r| r.features),
        number("seconds_matrix", &of(|s| s.seconds[0])),
        number("seconds_factor", &of(|s| s.seconds[1])),
        number("seconds_steps", &of(|s| s.seconds[2])),
    ];
    DataFrame::new(rows.len(), columns).map_err(Error::frame(OPERATION))
}

/// Bytes of a square f32 matrix of `n` rows, by which the paper counts ("the kernel matrix requires 30GB" in f64).
pub fn square_bytes(n: usize) -> u64 {
    4 * (n as u64).pow(2)
}
