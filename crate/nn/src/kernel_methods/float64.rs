//! The Gaussian kernel's equation in float64 throughout, for a matrix that is singular as float32 rounds it.
//!
//! The matrix takes twice the memory of [`Triangle`](super::triangle::Triangle)'s and its factor twice the time. faer multiplies,
//! factorises and solves the blocks; every block is one thread's, so that the bits do not depend on the number of threads.

use crate::Result;
use crate::interrupt;
use crate::kernel_methods::cholesky::{NotPositive, factorise_block};
use crate::kernel_methods::gaussian::mean;
use crate::kernel_methods::solve::{Factor, Kernel};
use faer::linalg::matmul::matmul;
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;
use std::ops::Range;

/// Rows of a panel of the matrix, and points whose kernel values are made at a time.
const ROWS: usize = 256;

/// `n` points and the kernel `exp(-gamma |x - y|^2)` between any two of them.
#[derive(Clone, Debug)]
pub struct Gaussian64 {
    /// Factor on the squared distance.
    pub gamma: f64,
    d: usize,
    /// `n x d`, less `mean`: distances are the same, and lose fewer digits.
    points: Vec<f64>,
    squares: Vec<f64>,
    mean: Vec<f64>,
}

/// Bytes of the equation of `n` points of `d` features and `m` for testing: half the matrix, the points, and the vectors of
/// the solution.
pub fn bytes(n: usize, m: usize, d: usize) -> u64 {
    let panels = n.div_ceil(ROWS) as u64;
    let matrix = panels * (panels + 1) / 2 * (ROWS * ROWS) as u64;
    8 * (matrix + ((n + m) * d + n * 10 * 8) as u64)
}

impl Gaussian64 {
    /// The kernel of `points` (`n x d`, row-major).
    ///
    /// # Panics
    /// When `points` are no whole rows: a defect of the caller.
    pub fn new(points: &[f32], d: usize, gamma: f64) -> Gaussian64 {
        assert!(d > 0 && points.len().is_multiple_of(d), "{} numbers in rows of {d}", points.len());
        let mean = mean(points, d);
        let (points, squares) = centred(points, &mean);
        Gaussian64 { gamma, d, points, squares, mean }
    }

    /// Kernel values of `rows` (with the squares of their lengths) and the points `columns`, row-major.
    fn block(&self, (rows, squares): (&[f64], &[f64]), columns: Range<usize>, out: &mut [f64]) {
        let (height, width) = (squares.len(), columns.len());
        let points = &self.points[columns.start * self.d..columns.end * self.d];
        matmul(
            MatMut::from_row_major_slice_mut(&mut *out, height, width),
            Accum::Replace,
            MatRef::from_row_major_slice(rows, height, self.d),
            MatRef::from_row_major_slice(points, width, self.d).transpose(),
            -2.0,
            Par::Seq,
        );
        for (row, square) in out.chunks_exact_mut(width).zip(squares) {
            for (v, other) in row.iter_mut().zip(&self.squares[columns.clone()]) {
                *v = libm::exp(-self.gamma * (square + other + *v).max(0.0));
            }
        }
    }

    /// The points `rows`, and the squares of their lengths.
    fn rows(&self, rows: Range<usize>) -> (&[f64], &[f64]) {
        (&self.points[rows.start * self.d..rows.end * self.d], &self.squares[rows])
    }

    /// `sum_i weights_i k(x_i, z)` for each of `others` (`m x d`): `m x columns`. `weights` is `n x columns`.
    pub fn predict(&self, others: &[f32], weights: &[f64], columns: usize) -> Vec<f64> {
        let (others, squares) = centred(others, &self.mean);
        self.sums(&others, &squares, weights, columns)
    }

    /// [`Gaussian64::predict`] for points whose mean is taken away.
    fn sums(&self, others: &[f64], squares: &[f64], weights: &[f64], columns: usize) -> Vec<f64> {
        let mut sums = vec![0.0; squares.len() * columns];
        let rows = others.par_chunks(ROWS * self.d).zip(squares.par_chunks(ROWS));
        rows.zip(sums.par_chunks_mut(ROWS * columns)).for_each_init(
            || vec![0.0; ROWS * ROWS],
            |memory, ((others, squares), sums)| {
                let height = squares.len();
                for first in (0..self.squares.len()).step_by(ROWS) {
                    let span = first..(first + ROWS).min(self.squares.len());
                    let block = &mut memory[..height * span.len()];
                    self.block((others, squares), span.clone(), block);
                    let weights = &weights[span.start * columns..span.end * columns];
                    matmul(
                        MatMut::from_row_major_slice_mut(&mut *sums, height, columns),
                        Accum::Add,
                        MatRef::from_row_major_slice(block, height, span.len()),
                        MatRef::from_row_major_slice(weights, span.len(), columns),
                        1.0,
                        Par::Seq,
                    );
                }
            },
        );
        sums
    }
}

/// `points` less `mean`, and the squares of their lengths.
fn centred(points: &[f32], mean: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let whole = points.chunks_exact(mean.len());
    let points: Vec<f64> =
        whole.flat_map(|point| point.iter().zip(mean).map(|(v, mean)| f64::from(*v) - mean)).collect();
    let squares = points.chunks_exact(mean.len()).map(|point| point.iter().map(|v| v * v).sum()).collect();
    (points, squares)
}

impl Kernel for Gaussian64 {
    fn n(&self) -> usize {
        self.squares.len()
    }

    fn mean_diagonal(&self) -> f64 {
        1.0
    }

    fn copy(&self, ridge: f64) -> Result<Box<dyn Factor>> {
        let n = self.n();
        let panel = |first: usize| {
            let height = ROWS.min(n - first);
            let stride = first + height;
            let mut panel = vec![0.0; height * stride];
            let mut block = vec![0.0; height * ROWS];
            for column in (0..stride).step_by(ROWS) {
                let span = column..(column + ROWS).min(stride);
                let block = &mut block[..height * span.len()];
                self.block(self.rows(first..stride), span.clone(), block);
                for (to, row) in panel.chunks_exact_mut(stride).zip(block.chunks_exact(span.len())) {
                    to[span.clone()].copy_from_slice(row);
                }
            }
            for (i, row) in panel.chunks_exact_mut(stride).enumerate() {
                row[first + i] = 1.0 + ridge;
            }
            panel
        };
        let firsts: Vec<usize> = (0..n).step_by(ROWS).collect();
        Ok(Box::new(Cholesky64 { n, panels: firsts.into_par_iter().map(panel).collect() }))
    }

    fn apply(&self, x: &[f64], columns: usize) -> Result<Vec<f64>> {
        Ok(self.sums(&self.points, &self.squares, x, columns))
    }
}

/// A symmetric positive definite matrix, and then its Cholesky factor `L` in its place.
struct Cholesky64 {
    n: usize,
    /// [`ROWS`] rows each, row-major, as far as the end of the diagonal's block.
    panels: Vec<Vec<f64>>,
}

impl Cholesky64 {
    /// First row, rows and columns of panel `j`.
    fn shape(&self, j: usize) -> (usize, usize, usize) {
        let (first, end) = (j * ROWS, ((j + 1) * ROWS).min(self.n));
        (first, end - first, end)
    }

    /// Left-looking, block column by block column: all that a block needs lies in its own panel and in its column's.
    fn factorise_column(&mut self, j: usize) -> std::result::Result<(), NotPositive> {
        let (first, height, stride) = self.shape(j);
        let n = self.n;
        let [own, below @ ..] = &mut self.panels[j..] else { return Ok(()) };
        let own = MatMut::from_row_major_slice_mut(own, height, stride);
        let (before, mut diagonal) = own.split_at_col_mut(first);
        let before = before.as_ref();
        matmul(diagonal.as_mut(), Accum::Add, before, before.transpose(), -1.0, Par::Seq);
        factorise_block(diagonal.as_mut()).map_err(|row| NotPositive { row: first + row })?;
        let diagonal = diagonal.as_ref();
        below.par_iter_mut().enumerate().for_each(|(down, panel)| {
            let row = (j + 1 + down) * ROWS;
            let rows = ROWS.min(n - row);
            let panel = MatMut::from_row_major_slice_mut(panel, rows, row + rows);
            let (left, right) = panel.split_at_col_mut(first);
            let mut block = right.get_mut(.., ..height);
            matmul(block.as_mut(), Accum::Add, left.as_ref(), before.transpose(), -1.0, Par::Seq);
            solve_lower_triangular_in_place(diagonal, block.transpose_mut(), Par::Seq);
        });
        Ok(())
    }
}

impl Factor for Cholesky64 {
    fn factorise(&mut self, after: &mut dyn FnMut(f64)) -> Result<std::result::Result<(), NotPositive>> {
        let count = self.panels.len();
        for j in 0..count {
            interrupt::check("factorise the kernel matrix")?;
            if let Err(not) = self.factorise_column(j) {
                return Ok(Err(not));
            }
            let done = (j + 1) as f64 / count as f64;
            // Of the products, of which there are as many as columns done times rows left.
            after(done * done * (3.0 - 2.0 * done));
        }
        Ok(Ok(()))
    }

    fn solve(&self, b: &[f64], columns: usize) -> Result<Vec<f64>> {
        let mut x = b.to_vec();
        let parts = |j: usize| {
            let (first, height, stride) = self.shape(j);
            let panel = MatRef::from_row_major_slice(&self.panels[j], height, stride);
            (first, height, panel.split_at_col(first))
        };
        for j in 0..self.panels.len() {
            let (first, height, (before, diagonal)) = parts(j);
            let (done, rest) = x.split_at_mut(first * columns);
            let mut own = MatMut::from_row_major_slice_mut(&mut rest[..height * columns], height, columns);
            let done = MatRef::from_row_major_slice(done, first, columns);
            matmul(own.as_mut(), Accum::Add, before, done, -1.0, Par::Seq);
            solve_lower_triangular_in_place(diagonal, own, Par::Seq);
        }
        for j in (0..self.panels.len()).rev() {
            let (first, height, (before, diagonal)) = parts(j);
            let (above, rest) = x.split_at_mut(first * columns);
            let mut own = MatMut::from_row_major_slice_mut(&mut rest[..height * columns], height, columns);
            solve_upper_triangular_in_place(diagonal.transpose(), own.as_mut(), Par::Seq);
            let above = MatMut::from_row_major_slice_mut(above, first, columns);
            matmul(above, Accum::Add, before.transpose(), own.as_ref(), -1.0, Par::Seq);
        }
        Ok(x)
    }
}
