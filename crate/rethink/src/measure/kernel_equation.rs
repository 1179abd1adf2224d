//! A row of table 3: features of the images, their kernel, equation 3 solved on one-hot targets, and the error of
//! the largest output on test images.

use crate::data::DataId;
use crate::data::Dataset;
use crate::measure::partial::PartialMeasurement;
use crate::{Error, Result};
use polars::prelude::*;
use rayon::prelude::*;
use rethink_nn::device::Device;
use rethink_nn::interrupt;
use rethink_nn::kernel_methods::choice::{self, Chosen, Free};
use rethink_nn::kernel_methods::cholesky;
use rethink_nn::kernel_methods::dense::{Dense, Features, Products, Purpose};
use rethink_nn::kernel_methods::gabor::Gabor;
use rethink_nn::kernel_methods::gaussian::{Gaussian, to_kernel_tile};
use rethink_nn::kernel_methods::on_features::{OnFeatures, mean_squared_distance, squares};
use rethink_nn::kernel_methods::random_conv::{FILTERS_AT_ONCE, Filters, RandomConv, batches};
use rethink_nn::kernel_methods::solve::{Kernel, Solution, solve};
use rethink_nn::kernel_methods::triangle::{self, TILE, Triangle, check_memory, free_memory};
use rethink_nn::ops::gemm::{Matrix, Packed};
use rethink_nn::text::counted;
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
    /// The random conv-net; [`KernelEquation::on_features`] says which kernel its features have.
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
    /// Of powers of 2 over the mean squared distance between training images, the one with the fewest errors on held-out
    /// ones; [`Choice`] says which powers.
    HeldOut,
}

/// The kernel of the conv-net's features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnConv {
    /// Inner products: the net's last layer is linear.
    #[default]
    Linear,
    /// `exp(-gamma |f(x) - f(y)|^2)`, as keystone-ml's `RandomPatchCifarKernel` has it. Squared distances come
    /// from the inner products.
    Gaussian,
}

/// How weight and width are chosen on held-out training images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Of [`FACTORS`] (without l2) and [`RIDGES`], whose ends may be chosen, with all filters whatever the number of images.
    #[default]
    Fixed,
    /// On grids that grow until the best is inside ([`choice::search`]), for the solutions without and with l2
    /// by themselves, with as many filters an image as the whole has.
    Inside,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What is solved. Part of a measurement's key: a new field is left out of the JSON where it has the value that all had before, names
/// and order stay ([`Measurement`](crate::measure::Measurement)).
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
    /// Of the conv-net's features.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_features: OnConv,
    /// Whether each of the conv-net's features is divided by its deviation over the training images; its mean over them is
    /// always taken away.
    #[serde(default, skip_serializing_if = "is_default")]
    pub standardised: bool,
    /// Of weight and width.
    #[serde(default, skip_serializing_if = "is_default")]
    pub choice: Choice,
}

/// Weights of l2 that are tried, as a share of the kernel's mean diagonal.
pub const RIDGES: [f64; 7] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1];
/// Factors of [`Width::HeldOut`].
pub const FACTORS: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];
/// Weight and width are chosen on at most this many training images, the last fifth of which are held out.
pub const CHOSEN_ON: usize = 12_500;

impl KernelEquation {
    /// On `preprocessing`, with the choices that were the only ones at first: inner products of the conv-net's features as they
    /// are, fixed grids.
    pub fn new(preprocessing: Preprocessing, width: Width, (plain, ridge): (bool, bool)) -> KernelEquation {
        KernelEquation {
            preprocessing,
            width,
            plain,
            ridge,
            on_features: OnConv::Linear,
            standardised: false,
            choice: Choice::Fixed,
        }
    }

    /// Pre-processing and kernel: the paper's name where both are its table's.
    pub fn title(&self) -> String {
        match (&self.preprocessing, self.on_features) {
            (Preprocessing::RandomConv(_), OnConv::Linear) if self.standardised => {
                "linear last layer, standardised".into()
            }
            (Preprocessing::RandomConv(_), OnConv::Linear) => "linear last layer".into(),
            (Preprocessing::RandomConv(_), OnConv::Gaussian) if !self.standardised => {
                format!("{}, not standardised", self.preprocessing.title())
            }
            (preprocessing, _) => preprocessing.title().into(),
        }
    }

    /// In a few words.
    pub fn describe(&self) -> String {
        let mut text = format!("kernel equation, {}", self.title());
        if let Preprocessing::RandomConv(conv) = self.preprocessing {
            text += &format!(", {}", counted(conv.filters, "filter"));
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
    /// there are images, its linear equation is small enough for the processor.
    pub fn on_device(&self, shape: [usize; 3], train: usize) -> bool {
        match self.preprocessing {
            Preprocessing::RandomConv(conv) if self.on_features == OnConv::Linear => {
                !by_features(conv, shape, train)
            }
            _ => true,
        }
    }

    /// What is made of the conv-net's features.
    fn features(&self) -> Features {
        let purpose = match self.on_features {
            OnConv::Linear => Purpose::Linear,
            OnConv::Gaussian => Purpose::Gaussian,
        };
        Features { standardised: self.standardised, purpose }
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
    /// Ends of the grids of gamma and of l2.
    ends: [(f64, f64); 2],
    unknowns: usize,
    train_error: f64,
    test_error: f64,
    norm: f64,
    solution: Option<Solution>,
    features: f64,
}

/// Solves `what` on the first images of `data`. One row per solution, the one without l2 first: `n`, `test`
/// (images), `dimensions` (features), `filters` (0 without a conv-net), `gamma` (NaN where the kernel is
/// linear), `ridge` (share of the mean diagonal, 0 for none), `unknowns` (rows of the system solved),
/// `train_error`, `test_error` (0 to 1), `norm` (of the solution, over all classes, in the kernel's space),
/// `residual` (relative), `steps`, `jitter`, `floor` (of [`Solution`]), with [`Choice::Inside`] `gamma_low`, `gamma_high`,
/// `ridge_low`, `ridge_high` (ends of what was tried; NaN without a choice), `seconds_features`, `seconds_matrix`, `seconds_factor`, `seconds_steps`.
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
    unfinished: Option<&mut PartialMeasurement>,
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
    unfinished: Option<&mut PartialMeasurement>,
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
    let rows = match (&what.preprocessing, what.on_features) {
        (Preprocessing::RandomConv(conv), OnConv::Linear) => {
            linear(&problem, what, *conv, seed, unfinished, say)?
        }
        (Preprocessing::RandomConv(conv), OnConv::Gaussian) => {
            gaussian_on_features(&problem, what, *conv, seed, unfinished, say)?
        }
        _ => gaussian(&problem, what, say)?,
    };
    frame(what.choice, id, rows)
}

/// Bytes of a Gaussian kernel's equation with `n` points of `d` features and `m` for testing: half the matrix, and
/// the points.
pub fn gaussian_bytes(n: usize, m: usize, d: usize) -> u64 {
    // The points a second time, as products want them, and the vectors of the solution.
    let working = n * d + n * 10 * 8 * 8;
    cholesky::bytes(n) + 4 * (n * d + m * d + working) as u64
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
    if let Width::Gamma(gamma) = what.width
        && !(gamma > 0.0 && gamma.is_finite())
    {
        return Err(Error::argument(OPERATION, format!("gamma {gamma}, above 0 is needed")));
    }
    let base = base_gamma(what.width, Gaussian::mean_squared_distance(&points, dimensions));
    let part = points[..n_chosen_on(id.train) * dimensions].to_vec();
    let mut part = Gaussian::new(part, dimensions, base);
    let mut kernel = Gaussian::new(points, dimensions, base);
    let seconds = started.elapsed().as_secs_f64();
    rows(what, say, |with_l2, say| {
        let held_out = HeldOut { what, with_l2, base: Some(base), mean: 1.0, targets, classes: *classes };
        let settings = held_out.choose(say, |gamma| {
            part.gamma = gamma;
            Ok(part.matrix(0.0))
        })?;
        kernel.gamma = settings.gamma;
        let placed = dense.map(|dense| dense.gaussian(&kernel)).transpose()?;
        let solution = solve(placed.as_deref().unwrap_or(&kernel), targets, *classes, settings.ridge, say)?;
        drop(placed);
        let outputs = match dense {
            Some(dense) => dense.predict(&kernel, &test, &solution.weights, *classes)?,
            None => kernel.predict(&test, &solution.weights, *classes),
        };
        Ok(Row {
            dimensions,
            filters: 0,
            gamma: settings.gamma,
            ridge: settings.ridge,
            ends: settings.ends,
            unknowns: kernel.n(),
            train_error: error(&solution.fitted, &data.train.labels, *classes),
            test_error: error(&outputs, &data.test.labels, *classes),
            norm: inner(&solution.weights, &solution.fitted).sqrt(),
            features: seconds,
            solution: Some(solution),
        })
    })
}

/// What powers of 2 are multiplied with, where the mean squared distance is `distance`.
fn base_gamma(width: Width, distance: f64) -> f64 {
    match width {
        Width::Gamma(gamma) => gamma,
        // Images that are all alike have no distance.
        Width::HeldOut if distance > 0.0 => 1.0 / distance,
        Width::HeldOut => 1.0,
    }
}

/// The conv-net's Gaussian kernel, always by images.
fn gaussian_on_features(
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
    if let Width::Gamma(gamma) = what.width
        && !(gamma > 0.0 && gamma.is_finite())
    {
        return Err(Error::argument(OPERATION, format!("gamma {gamma}, above 0 is needed")));
    }
    let filters = conv.draw(&data.train.images, data.shape, n, seed)?;
    let (products, seconds) = products(problem, id, &filters, what.features(), unfinished, say)?;
    let leading = match what.choice {
        Choice::Inside if n_chosen_on(n) < n => chosen_on(problem, what, &filters)?,
        _ => products.leading(n_chosen_on(n))?,
    };
    let wanted = [(what.plain, false), (what.ridge, true)];
    let mut chosen = Vec::new();
    for (_, with_l2) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
        let base = base_gamma(what.width, mean_squared_distance(leading.n(), leading.mean_diagonal()));
        let held_out = HeldOut { what, with_l2, base: Some(base), mean: 1.0, targets, classes: *classes };
        let mut settings = held_out.choose(say, |gamma| Ok(OnFeatures::new(&leading, gamma).matrix(0.0)))?;
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
        self.predict_by(weights, columns, |_, _, _| ())
    }

    /// With each row of a block changed by `change`: it gets the test point, the block, and the row.
    fn predict_by(
        &self,
        weights: &[f64],
        columns: usize,
        change: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Vec<f64> {
        let mut out = vec![0.0; self.m * columns];
        for (j, block) in self.blocks.chunks(self.m * TILE).enumerate() {
            let width = TILE.min(self.n - j * TILE);
            let weights = &weights[j * TILE * columns..][..width * columns];
            let rows = out.par_chunks_exact_mut(columns).zip(block.par_chunks_exact(width)).enumerate();
            rows.for_each_init(
                || vec![0.0; width],
                |memory, (i, (to, row))| {
                    memory.copy_from_slice(row);
                    change(i, j, memory);
                    for (k, weights) in memory.iter().zip(weights.chunks_exact(columns)) {
                        to.iter_mut().zip(weights).for_each(|(to, w)| *to += f64::from(*k) * w);
                    }
                },
            );
        }
        out
    }
}

/// Bytes of the conv-net's equation by its dual: the matrix and its factor, half of each, the test images' kernel
/// values, and the features of some filters.
pub fn dual_bytes(n: usize, m: usize, at_once: usize) -> u64 {
    triangle::bytes(n) + cholesky::bytes(n) + 4 * (m * n + (n + m) * at_once + n * TILE + n + 2 * m) as u64
}

/// The conv-net's ridge regression, on centred features and a constant one: by features where they are fewer than
/// images (the primal), else by images.
fn linear(
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
    held_out.choose(say, |_| Ok(matrix.take().expect("asked for once: there is no width")))
}

/// [`chosen_on`] with the constant feature, and its mean.
fn own_ratio(problem: &Problem, what: &KernelEquation, filters: &Filters) -> Result<(Triangle, f64)> {
    let mut matrix = chosen_on(problem, what, filters)?;
    let constant = matrix.mean_diagonal().sqrt() as f32;
    matrix.add_gram(&vec![constant; matrix.n()], 1);
    let mean = matrix.mean_diagonal();
    Ok((matrix, mean))
}

/// The conv-net's inner products on the processor.
pub struct Dual {
    matrix: Triangle,
    cross: Cross,
    /// Squared lengths of the test images' features.
    test_squares: Vec<f32>,
    purpose: Purpose,
}

impl Dual {
    /// One constant feature, as long as the others together: what stands for an intercept.
    fn add_constant(&mut self) {
        let (n, m) = (self.matrix.n(), self.cross.m);
        let constant = self.matrix.mean_diagonal().sqrt() as f32;
        self.matrix.add_gram(&vec![constant; n], 1);
        self.cross.add(&vec![constant; m], &vec![constant; n], 1);
    }
}

impl Products for Dual {
    fn kernel(&self) -> &dyn Kernel {
        &self.matrix
    }

    fn leading(&self, n: usize) -> rethink_nn::Result<Triangle> {
        Ok(self.matrix.leading(n))
    }

    fn predict(&self, weights: &[f64], columns: usize) -> rethink_nn::Result<Vec<f64>> {
        Ok(self.cross.predict(weights, columns))
    }

    fn gaussian(&self, gamma: f64) -> rethink_nn::Result<Box<dyn Kernel + '_>> {
        assert_ne!(self.purpose, Purpose::Linear, "features for the Gaussian kernel");
        Ok(Box::new(OnFeatures::new(&self.matrix, gamma)))
    }

    fn predict_gaussian(&self, weights: &[f64], columns: usize, gamma: f64) -> rethink_nn::Result<Vec<f64>> {
        let squares = squares(&self.matrix);
        Ok(self.cross.predict_by(weights, columns, |i, j, row| {
            let (left, right) = (&self.test_squares[i..=i], &squares[j * TILE..][..row.len()]);
            to_kernel_tile(row, right.len(), gamma as f32, left, right);
        }))
    }
}

/// The inner products of `features`, and the seconds that they took, earlier attempts included.
///
/// Errors: those of [`PartialMeasurement::read_parts`] and [`PartialMeasurement::keep_parts`].
pub fn dual(
    data: &Dataset,
    id: &DataId,
    filters: &Filters,
    features: Features,
    mut unfinished: Option<&mut PartialMeasurement>,
    say: &mut dyn FnMut(&str),
) -> Result<(Dual, f64)> {
    let (n, m) = (id.train, id.test);
    let started = Instant::now();
    let mut said = Instant::now();
    let mut matrix = Triangle::zeros(n);
    let mut cross = Cross::new(m, n);
    let mut test_squares = vec![0.0; m];
    let (mut before, mut earlier) = (0, 0.0);
    if let Some(unfinished) = &mut unfinished {
        before = unfinished.read_parts(&mut [matrix.numbers_mut(), &mut cross.blocks, &mut test_squares])?;
        earlier = unfinished.earlier;
        if before > 0 {
            say(&format!("going on after {before} of {} filters", filters.count()));
        }
    }
    for range in batches(filters.count(), FILTERS_AT_ONCE).skip_while(|range| range.end <= before) {
        let (train, test, d) = block(data, id, filters, range.clone(), features.standardised);
        matrix.add_gram(&train, d);
        cross.add(&test, &train, d);
        for (to, row) in test_squares.iter_mut().zip(test.chunks_exact(d)) {
            *to += row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() as f32;
        }
        if let Some(unfinished) = &mut unfinished {
            let seconds = earlier + started.elapsed().as_secs_f64();
            unfinished.keep_parts(
                range.end,
                seconds,
                &[matrix.numbers(), &cross.blocks, &test_squares],
                say,
            )?;
        }
        interrupt::check("sum the kernel matrix over filters")?;
        if said.elapsed().as_secs() >= 10 {
            said = Instant::now();
            let each = started.elapsed().as_secs_f64() / (range.end - before) as f64;
            let left = each * (filters.count() - range.end) as f64;
            say(&format!("{} of {} filters, {left:.0} s left", range.end, filters.count()));
        }
    }
    let mut dual = Dual { matrix, cross, test_squares, purpose: features.purpose };
    if features.purpose == Purpose::Linear {
        dual.add_constant();
    }
    Ok((dual, earlier + started.elapsed().as_secs_f64()))
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

/// Features of training and test images by the filters `range`, less their means over the training images, where
/// `standardised` over their deviations (of n, not n - 1; a feature that never varies stays 0), and how many.
fn block(
    data: &Dataset,
    id: &DataId,
    filters: &Filters,
    range: Range<usize>,
    standardised: bool,
) -> (Vec<f32>, Vec<f32>, usize) {
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
    if standardised {
        let mut variance = vec![0.0f64; d];
        for row in train.chunks_exact(d) {
            variance.iter_mut().zip(row).for_each(|(to, v)| *to += f64::from(*v).powi(2) / id.train as f64);
        }
        let share = |v: f64| if v > 0.0 { (1.0 / v.sqrt()) as f32 } else { 0.0 };
        let scale: Vec<f32> = variance.into_iter().map(share).collect();
        for features in [&mut train, &mut test] {
            features.par_chunks_exact_mut(d).for_each(|row| {
                row.iter_mut().zip(&scale).for_each(|(v, scale)| *v *= scale);
            });
        }
    }
    (train, test, d)
}

/// Training images on which weight and width are chosen.
fn n_chosen_on(n: usize) -> usize {
    n.min(CHOSEN_ON)
}

/// What a solution is made with.
struct Settings {
    gamma: f64,
    ridge: f64,
    /// Of the grids of gamma and of l2; NaN without a choice.
    ends: [(f64, f64); 2],
}

impl Settings {
    fn none(gamma: f64) -> Settings {
        Settings { gamma, ridge: 0.0, ends: [(f64::NAN, f64::NAN); 2] }
    }
}

/// A choice on held-out images, for the solution without l2 or with it.
struct HeldOut<'a> {
    what: &'a KernelEquation,
    with_l2: bool,
    /// Of the Gaussian kernel: what powers of 2 are multiplied with.
    base: Option<f64>,
    /// What weights of l2 are a share of.
    mean: f64,
    targets: &'a [f64],
    classes: usize,
}

impl HeldOut<'_> {
    /// Chooses width and weight, as far as they are free. `kernel` makes the matrix of a gamma (NaN for the linear kernel).
    fn choose(
        &self,
        say: &mut dyn FnMut(&str),
        mut kernel: impl FnMut(f64) -> Result<Triangle>,
    ) -> Result<Settings> {
        let free =
            Free { gamma: self.base.is_some() && self.what.width == Width::HeldOut, ridge: self.with_l2 };
        let base = self.base.unwrap_or(f64::NAN);
        if !free.gamma && !free.ridge {
            return Ok(Settings::none(base));
        }
        match self.what.choice {
            Choice::Fixed => self.fixed(free, base, say, &mut kernel),
            Choice::Inside => self.inside(free, base, say, &mut kernel),
        }
    }

    fn fixed(
        &self,
        free: Free,
        base: f64,
        say: &mut dyn FnMut(&str),
        kernel: &mut dyn FnMut(f64) -> Result<Triangle>,
    ) -> Result<Settings> {
        let mut settings = Settings::none(base);
        if free.gamma {
            let candidates = FACTORS.map(|factor| factor * base);
            let mut errors = Vec::new();
            for gamma in candidates {
                errors.push(held_out_error(&kernel(gamma)?, 0.0, self.targets, self.classes)?.0);
            }
            say(&listed("gamma", &candidates, &errors));
            settings.gamma = candidates[least(&errors)];
            settings.ends[0] = (candidates[0], candidates[FACTORS.len() - 1]);
        }
        if free.ridge {
            let matrix = kernel(settings.gamma)?;
            let mut errors = Vec::new();
            for share in RIDGES {
                errors.push(held_out_error(&matrix, share * self.mean, self.targets, self.classes)?.0);
            }
            say(&listed("l2", &RIDGES, &errors));
            settings.ridge = RIDGES[least(&errors)];
            settings.ends[1] = (RIDGES[0], RIDGES[RIDGES.len() - 1]);
        }
        Ok(settings)
    }

    fn inside(
        &self,
        free: Free,
        base: f64,
        say: &mut dyn FnMut(&str),
        kernel: &mut dyn FnMut(f64) -> Result<Triangle>,
    ) -> Result<Settings> {
        let gamma = |power: i32| base * 2f64.powi(power);
        let mut made: Option<(i32, Triangle)> = None;
        let Chosen { place, widths, weights } = choice::search(free, |(power, half)| -> Result<f64> {
            if made.as_ref().is_none_or(|(of, _)| *of != power) {
                made = None;
                made = Some((power, kernel(gamma(power))?));
            }
            let Some((_, matrix)) = &made else { unreachable!("just made") };
            let share = if free.ridge { choice::weight(half) } else { 0.0 };
            let (error, floor) = held_out_error(matrix, share * self.mean, self.targets, self.classes)?;
            let mut text = "held-out images:".to_string();
            if self.base.is_some() {
                text += &format!(" gamma {:.3e},", gamma(power));
            }
            if free.ridge {
                text += &format!(" l2 {share:.0e},");
            }
            // What needs regularisation to be solved is no solution without.
            if floor > 0.0 {
                say(&format!("{text} singular"));
                return Ok(f64::INFINITY);
            }
            say(&format!("{text} {:.2} % wrong", 100.0 * error));
            Ok(error)
        })?;
        let mut settings = Settings::none(base);
        if free.gamma {
            settings.gamma = gamma(place.0);
            settings.ends[0] = (gamma(widths.0), gamma(widths.1));
            if [widths.0, widths.1].contains(&place.0) {
                say(
                    "the best gamma is the last that is tried: beyond, single precision does not tell kernels apart",
                );
            }
        }
        if free.ridge {
            settings.ridge = choice::weight(place.1);
            settings.ends[1] = (choice::weight(weights.0), choice::weight(weights.1));
            if place.1 == weights.0 {
                say(
                    "the best weight of l2 is the least that is tried: single precision does not tell less from none",
                );
            } else if place.1 == weights.1 {
                say(
                    "the best weight of l2 is the greatest that is tried: beyond, the outputs are weighted means of the targets",
                );
            }
        }
        Ok(settings)
    }
}

fn least(errors: &[f64]) -> usize {
    let by_value = |a: &(usize, &f64), b: &(usize, &f64)| a.1.total_cmp(b.1);
    errors.iter().enumerate().min_by(by_value).map_or(0, |(i, _)| i)
}

fn listed(what: &str, candidates: &[f64], errors: &[f64]) -> String {
    let pairs = candidates.iter().zip(errors).map(|(c, e)| format!("{c:.1e}: {:.2} %", 100.0 * e));
    format!("error on held-out images by {what}: {}", pairs.collect::<Vec<_>>().join(", "))
}

/// The share of errors on the last fifth of `kernel`'s points, when it is fitted to the others; and the floor of the
/// solution.
fn held_out_error(kernel: &Triangle, ridge: f64, targets: &[f64], columns: usize) -> Result<(f64, f64)> {
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
    Ok((error(&outputs, &labels, columns), solution.floor))
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

/// An inner product that is 0 or more but for rounding; NaN where one of the numbers is.
fn inner(a: &[f64], b: &[f64]) -> f64 {
    let sum = a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    if sum < 0.0 { 0.0 } else { sum }
}

fn frame(choice: Choice, id: &DataId, rows: Vec<Row>) -> Result<DataFrame> {
    let count = |name: &str, value: &dyn Fn(&Row) -> usize| {
        Column::new(name.into(), rows.iter().map(|row| value(row) as f64).collect::<Vec<_>>())
    };
    let number = |name: &str, value: &dyn Fn(&Row) -> f64| {
        Column::new(name.into(), rows.iter().map(value).collect::<Vec<_>>())
    };
    let of = |value: fn(&Solution) -> f64| move |row: &Row| row.solution.as_ref().map_or(f64::NAN, value);
    let mut columns = vec![
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
    ];
    if choice == Choice::Inside {
        columns.extend([
            number("gamma_low", &|r| r.ends[0].0),
            number("gamma_high", &|r| r.ends[0].1),
            number("ridge_low", &|r| r.ends[1].0),
            number("ridge_high", &|r| r.ends[1].1),
        ]);
    }
    columns.extend([
        number("seconds_features", &|r| r.features),
        number("seconds_matrix", &of(|s| s.seconds[0])),
        number("seconds_factor", &of(|s| s.seconds[1])),
        number("seconds_steps", &of(|s| s.seconds[2])),
    ]);
    DataFrame::new(rows.len(), columns).map_err(Error::frame(OPERATION))
}

/// Bytes of a square f32 matrix of `n` rows, by which the paper counts ("the kernel matrix requires 30GB" in f64).
pub fn square_bytes(n: usize) -> u64 {
    4 * (n as u64).pow(2)
}
