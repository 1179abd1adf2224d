//! The inner products of the random conv-net's features between images, summed over some filters at a time: what its equation by
//! images (the dual) is made of.

use crate::Result;
use crate::data::{DataId, Dataset};
use crate::measure::partial::PartialMeasurement;
use rayon::prelude::*;
use rethink_nn::interrupt;
use rethink_nn::kernel_methods::cholesky;
use rethink_nn::kernel_methods::dense::{Features, Products, Purpose};
use rethink_nn::kernel_methods::gaussian::to_kernel_tile;
use rethink_nn::kernel_methods::on_features::{OnFeatures, squares};
use rethink_nn::kernel_methods::random_conv::{FILTERS_AT_ONCE, Filters, batches};
use rethink_nn::kernel_methods::solve::Kernel;
use rethink_nn::kernel_methods::triangle::{self, TILE, Triangle};
use rethink_nn::ops::gemm::{Matrix, Packed};
use std::ops::Range;
use std::time::Instant;

/// Bytes of the conv-net's equation by its dual: the matrix and its factor, half of each, the test images' kernel
/// values, and the features of some filters.
pub fn dual_bytes(n: usize, m: usize, at_once: usize) -> u64 {
    triangle::bytes(n) + cholesky::bytes(n) + 4 * (m * n + (n + m) * at_once + n * TILE + n + 2 * m) as u64
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

/// Features of training and test images by the filters `range`, less their means over the training images, where
/// `standardised` over their deviations (of n, not n - 1; a feature that never varies stays 0), and how many.
pub(super) fn block(
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
