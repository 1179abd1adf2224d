//! The Gaussian kernel `exp(-gamma |x - y|^2)`, in tiles: distances by matrix products and norms.

use crate::instructions::arch;
use crate::kernel_methods::triangle::{SymmetricProduct, TILE, Triangle, tile_rows};
use crate::ops::gemm::{Matrix, Packed};
use rayon::prelude::*;

/// `n` points and the kernel between any two of them.
#[derive(Clone, Debug)]
pub struct Gaussian {
    /// Factor on the squared distance.
    pub gamma: f64,
    n: usize,
    d: usize,
    /// `n x d`, less `mean`: distances are the same, and lose fewer digits.
    points: Vec<f32>,
    norms: Vec<f32>,
    mean: Vec<f32>,
}

impl Gaussian {
    /// The kernel of `points` (`n x d`, row-major).
    ///
    /// # Panics
    /// When `points` are no whole rows: a defect of the caller.
    pub fn new(mut points: Vec<f32>, d: usize, gamma: f64) -> Gaussian {
        assert!(d > 0 && points.len().is_multiple_of(d), "{} numbers in rows of {d}", points.len());
        let n = points.len() / d;
        let mean: Vec<f32> = mean(&points, d).into_iter().map(|v| v as f32).collect();
        centre(&mut points, &mean);
        let norms = norms(&points, d);
        Gaussian { gamma, n, d, points, norms, mean }
    }

    /// Points.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Features of a point.
    pub(crate) fn dimensions(&self) -> usize {
        self.d
    }

    /// The points (`n x d`), less their mean, and the squares of their lengths.
    pub(crate) fn points(&self) -> (&[f32], &[f32]) {
        (&self.points, &self.norms)
    }

    /// `others` (`m x d`) less the points' mean, and the squares of their lengths.
    pub(crate) fn centred(&self, others: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut others = others.to_vec();
        centre(&mut others, &self.mean);
        let norms = norms(&others, self.d);
        (others, norms)
    }

    fn span(&self, i: usize) -> std::ops::Range<usize> {
        i * TILE..((i + 1) * TILE).min(self.n)
    }

    /// The points as both operands of the products between them.
    fn packed(&self) -> Packed {
        Packed::new(Matrix::new(&self.points, self.n, self.d).t())
    }

    /// The points of tile row `j` as a right operand.
    fn packed_rows(&self, j: usize) -> Packed {
        let span = self.span(j);
        let points = &self.points[span.start * self.d..span.end * self.d];
        Packed::new(Matrix::new(points, span.len(), self.d).t())
    }

    /// Tile `i`, `j` of the matrix: `TILE x TILE`, of which those rows and columns are written that have points.
    fn symmetric_tile(&self, gamma: f64, points: &Packed, (i, j): (usize, usize), out: &mut [f32]) {
        points.inner_products(self.span(i), self.span(j), out, TILE);
        let (left, right) = (&self.norms[self.span(i)], &self.norms[self.span(j)]);
        to_kernel_tile(out, TILE, gamma as f32, left, right);
        if i == j {
            (0..self.span(i).len()).for_each(|k| out[k * TILE + k] = 1.0);
        }
    }

    /// The kernel's matrix, `ridge` added to its diagonal.
    pub fn matrix(&self, ridge: f64) -> Triangle {
        self.matrix_of(self.gamma, ridge)
    }

    /// The matrix of a kernel of another gamma.
    pub fn matrix_of(&self, gamma: f64, ridge: f64) -> Triangle {
        let mut triangle = Triangle::zeros(self.n);
        let points = self.packed();
        triangle.fill(|_| (), |(), i, j, tile| self.symmetric_tile(gamma, &points, (i, j), tile), |_| ());
        if ridge != 0.0 {
            triangle.add_diagonal(ridge as f32);
        }
        triangle
    }

    /// The kernel's matrix times `x` (`n x columns`), its tiles made anew, summed in f64.
    pub fn apply(&self, x: &[f64], columns: usize) -> Vec<f64> {
        let mut product = SymmetricProduct::new(x, self.n, columns);
        let points = self.packed();
        for j in 0..tile_rows(self.n) {
            product.column(j, |i, out| {
                if self.span(i).len() < TILE {
                    out.fill(0.0);
                }
                self.symmetric_tile(self.gamma, &points, (i, j), out);
            });
        }
        product.finish()
    }

    /// `sum_i weights_i k(x_i, z)` for each of `others` (`m x d`): `m x columns`. `weights` is `n x columns`.
    pub fn predict(&self, others: &[f32], weights: &[f64], columns: usize) -> Vec<f64> {
        let d = self.d;
        let mut sums = vec![0.0; others.len() / d * columns];
        // Some thousand at a time: their centred copies are what takes memory.
        for (others, sums) in others.chunks(4096 * d).zip(sums.chunks_mut(4096 * columns)) {
            let (others, other_norms) = self.centred(others);
            for j in 0..tile_rows(self.n) {
                let (right, right_norms) = (self.packed_rows(j), &self.norms[self.span(j)]);
                let weights = &weights[self.span(j).start * columns..self.span(j).end * columns];
                let groups = others.par_chunks(TILE * d).zip(other_norms.par_chunks(TILE));
                groups.zip(sums.par_chunks_mut(TILE * columns)).for_each_init(
                    || vec![0.0f32; TILE * TILE],
                    |memory, ((rows, norms), sums)| {
                        let width = right_norms.len();
                        let kernel = &mut memory[..norms.len() * width];
                        right.product_rows(kernel, Matrix::new(rows, norms.len(), d), 0..norms.len(), false);
                        to_kernel_tile(kernel, width, self.gamma as f32, norms, right_norms);
                        for (kernel, to) in kernel.chunks_exact(width).zip(sums.chunks_exact_mut(columns)) {
                            for (k, weights) in kernel.iter().zip(weights.chunks_exact(columns)) {
                                let k = f64::from(*k);
                                to.iter_mut().zip(weights).for_each(|(to, w)| *to += k * w);
                            }
                        }
                    },
                );
            }
        }
        sums
    }

    /// The mean squared distance between two of the first 2,000 points.
    pub fn mean_squared_distance(points: &[f32], d: usize) -> f64 {
        let points = &points[..points.len().min(2_000 * d)];
        let n = (points.len() / d) as f64;
        let mut sum = vec![0.0f64; d];
        let mut squares = 0.0;
        for point in points.chunks_exact(d) {
            for (sum, v) in sum.iter_mut().zip(point) {
                *sum += f64::from(*v);
                squares += f64::from(*v).powi(2);
            }
        }
        // 2 n sum |x|^2 - 2 |sum x|^2, over the n (n - 1) ordered pairs.
        let whole = sum.iter().map(|v| v * v).sum::<f64>();
        2.0 * (n * squares - whole) / (n * (n - 1.0)).max(1.0)
    }
}

/// The mean of `points` (`n x d`).
pub(super) fn mean(points: &[f32], d: usize) -> Vec<f64> {
    let mut mean = vec![0.0; d];
    for point in points.chunks_exact(d) {
        mean.iter_mut().zip(point).for_each(|(to, v)| *to += f64::from(*v));
    }
    let n = (points.len() / d).max(1) as f64;
    mean.iter_mut().for_each(|v| *v /= n);
    mean
}

fn centre(points: &mut [f32], mean: &[f32]) {
    points.par_chunks_exact_mut(mean.len()).for_each(|point| {
        point.iter_mut().zip(mean).for_each(|(v, mean)| *v -= mean);
    });
}

fn norms(points: &[f32], d: usize) -> Vec<f32> {
    let norm = |point: &[f32]| point.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() as f32;
    points.par_chunks_exact(d).map(norm).collect()
}

/// Inner products to kernel values, in place: rows of `width` products of points whose squared lengths are `left`, with
/// points whose squared lengths are `right`.
pub fn to_kernel_tile(products: &mut [f32], width: usize, gamma: f32, left: &[f32], right: &[f32]) {
    arch().dispatch(|| to_kernel(products, width, gamma, left, right));
}

/// Inner products to kernel values, in place.
#[inline(always)]
fn to_kernel(products: &mut [f32], width: usize, gamma: f32, left: &[f32], right: &[f32]) {
    for (row, left) in products.chunks_exact_mut(width).zip(left) {
        for (v, right) in row.iter_mut().zip(right) {
            let squared = (left + right - 2.0 * *v).max(0.0);
            *v = exp_negative(-gamma * squared);
        }
    }
}

/// `e^x` for `x` of at most 0, to within 2e-7 of itself; 0 below -87. Without a table or a branch, so that the
/// compiler makes vectors of it, and the same on every machine.
#[inline(always)]
pub fn exp_negative(x: f32) -> f32 {
    let kept = x.max(-87.0);
    // Adding and taking away 1.5 * 2^23 rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let shifted = kept.mul_add(std::f32::consts::LOG2_E, ROUND);
    let power = shifted - ROUND;
    let rest = power.mul_add(-0.693_359_4, kept);
    let rest = power.mul_add(2.121_944_4e-4, rest);
    // Cephes' polynomial for e^rest, |rest| <= ln 2 / 2.
    let mut p = 1.987_569_1e-4f32;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(rest, c);
    }
    let p = (p * rest).mul_add(rest, rest) + 1.0;
    let scale = f32::from_bits(((shifted.to_bits() as i32).wrapping_add(127) << 23) as u32);
    let value = p * scale;
    if x < -87.0 { 0.0 } else { value }
}
