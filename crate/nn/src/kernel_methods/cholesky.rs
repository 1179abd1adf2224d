//! Cholesky factorisation of a symmetric matrix in place, and solving with the factor.
//!
//! Left-looking, tile column by tile column: nearly all of the work are products of tiles that are done, through
//! [`crate::ops::gemm`]. A tile that is touched is turned panel by panel (the rows of a panel side by side, step after step), as the
//! product's kernel reads either operand: so nothing is packed again, however often a tile is used. faer factorises the tiles of the
//! diagonal. Every panel is one thread's at a time and sums in a fixed order, so that the bits do not depend on the number
//! of threads.

use crate::instructions::arch;
use crate::kernel_methods::triangle::{AREA, TILE, Triangle};
use crate::ops::gemm::{self, Matrix, Packed, Right};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{
    LltError, LltParams, LltRegularization, cholesky_in_place, cholesky_in_place_scratch,
};
use faer::{MatMut, Par, Spec};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Rows of a tile that a thread updates at a time where a whole tile would leave others without work: whole panels.
const STRIP: usize = 64;
/// Rows that are solved for together.
const BLOCK: usize = 16;

/// A symmetric positive definite matrix, and then its Cholesky factor `L` in its place: below the diagonal, tiles in panels.
#[derive(Debug)]
pub struct Cholesky {
    triangle: Triangle,
    /// Rows of a panel.
    height: usize,
}

/// What a factorisation met that is not positive definite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPositive {
    /// The first row where it shows, within a tile.
    pub row: usize,
}

impl Cholesky {
    /// Of a matrix, to be factorised.
    pub fn of(triangle: Triangle) -> Cholesky {
        Cholesky { triangle, height: gemm::panel_width() }
    }

    /// The factor's element in row `i` and column `j`, where `i` is not less than `j`.
    pub fn get(&self, i: usize, j: usize) -> f32 {
        let (row, column, height) = (i % TILE, j % TILE, self.height);
        let tile = self.triangle.tile(i / TILE, j / TILE);
        if i / TILE == j / TILE {
            return tile[row * TILE + column];
        }
        tile[row / height * height * TILE + column * height + row % height]
    }

    /// Replaces the matrix by its factor. `after` is called as columns are done, with the share of the work that is done, 0 to 1.
    ///
    /// Errors: [`NotPositive`], with the matrix in ruins; so it is left, too, where work is to end early
    /// ([`crate::interrupt`]).
    pub fn factorise(&mut self, mut after: impl FnMut(f64)) -> std::result::Result<(), NotPositive> {
        let t = self.triangle.tile_rows();
        let whole = (t * t * t) as f64;
        for j in 0..t {
            if crate::interrupt::is_wanted() {
                return Err(NotPositive { row: j * TILE });
            }
            self.factorise_column(j).map_err(|row| NotPositive { row: j * TILE + row })?;
            let left = (t - j - 1) as f64;
            // What remains is the factorisation of the rest and its updates from the columns done.
            after(1.0 - (left.powi(3) + 3.0 * left.powi(2) * (j + 1) as f64) / whole);
        }
        Ok(())
    }

    /// Tile column `j`, all before it being done; the row of the tile that is not positive, where there is one.
    fn factorise_column(&mut self, j: usize) -> std::result::Result<(), usize> {
        let height = self.height;
        // Rows behind the last one of the matrix are the identity's, and stay so; up to a strip's end they go along.
        let used = self.triangle.n().div_ceil(STRIP) * STRIP;
        let (done, column) = self.triangle.split_at_column(j);
        let of_row = |i: usize| (0..j).map(move |k| done.tile(i, k));
        let update = |i: usize, first: usize, strip: &mut [f32]| {
            let mut panels = Panels { height, memory: strip };
            panels.turn_negative();
            for (left, right) in of_row(j).zip(of_row(i)) {
                let to_row = if i == j { first + panels.memory.len() / TILE } else { TILE };
                panels.add_products(left, &right[first * TILE..], to_row);
            }
            panels.memory.iter_mut().for_each(|v| *v = -*v);
        };
        let (diagonal, below) = column[..(used - j * TILE).max(TILE) * TILE].split_at_mut(AREA);
        // The tile of the diagonal is the work of one thread at its end, while the others go on below.
        let (outcome, ()) = rayon::join(
            || {
                strips(diagonal, 0).for_each(|(first, rows)| update(j, first, rows));
                turn_back(diagonal, height);
                factorise_tile(diagonal)
            },
            || {
                let whole = below.len() / AREA / rayon::current_num_threads() * rayon::current_num_threads();
                strips(below, whole).for_each(|(row, rows)| update(j + 1 + row / TILE, row % TILE, rows));
            },
        );
        outcome?;
        let negative: Vec<f32> = diagonal.iter().map(|v| -v).collect();
        strips(below, 0).for_each(|(_, memory)| Panels { height, memory }.solve(&negative));
        Ok(())
    }

    /// Solves `L L^T x = b`; `b` and the result are `n x columns`, row-major.
    pub fn solve(&self, b: &[f64], columns: usize) -> Vec<f64> {
        let (t, height) = (self.triangle.tile_rows(), self.height);
        let segment = TILE * columns;
        let mut x: Vec<f32> = b.iter().map(|&v| v as f32).collect();
        x.resize(t * segment, 0.0);
        let panels = |i: usize, j: usize| self.triangle.tile(i, j).chunks_exact(height * TILE);
        for j in 0..t {
            let (upper, lower) = x.split_at_mut((j + 1) * segment);
            let own = &mut upper[j * segment..];
            forward(self.triangle.tile(j, j), own, columns);
            let negative: Vec<f32> = own.iter().map(|v| -v).collect();
            let right = Packed::alone(Matrix::new(&negative, TILE, columns));
            lower.par_chunks_exact_mut(segment).enumerate().for_each(|(down, to)| {
                for (panel, to) in panels(j + 1 + down, j).zip(to.chunks_exact_mut(height * columns)) {
                    let left = Matrix::new(panel, TILE, height).t();
                    right.product_rows(to, left, 0..height, true);
                }
            });
        }
        let mut parts = vec![0.0f32; t * segment];
        for j in (0..t).rev() {
            let (upper, lower) = x.split_at_mut((j + 1) * segment);
            let own = &mut upper[j * segment..];
            let parts = &mut parts[..lower.len()];
            parts.par_chunks_exact_mut(segment).zip(lower.par_chunks_exact(segment)).enumerate().for_each(
                |(down, (part, below))| {
                    let rows = below.chunks_exact(height * columns);
                    for (number, (panel, rows)) in panels(j + 1 + down, j).zip(rows).enumerate() {
                        let right = Packed::alone(Matrix::new(rows, height, columns));
                        right.product_rows(part, Matrix::new(panel, TILE, height), 0..TILE, number > 0);
                    }
                },
            );
            for part in parts.chunks_exact(segment) {
                own.iter_mut().zip(part).for_each(|(to, part)| *to -= part);
            }
            backward(self.triangle.tile(j, j), own, columns);
        }
        x.truncate(self.triangle.n() * columns);
        x.into_iter().map(f64::from).collect()
    }
}

/// Rows of tiles as pieces of work, each with its first row: `whole` tiles, the rest in strips.
fn strips(rows: &mut [f32], whole: usize) -> impl ParallelIterator<Item = (usize, &mut [f32])> {
    let (tiles, rest) = rows.split_at_mut(whole * AREA);
    let tiles = tiles.par_chunks_exact_mut(AREA).enumerate().map(|(i, rows)| (i * TILE, rows));
    let rest = rest.par_chunks_exact_mut(STRIP * TILE).enumerate();
    tiles.with_max_len(1).chain(rest.map(move |(i, rows)| (whole * TILE + i * STRIP, rows)).with_max_len(1))
}

/// Some rows of a tile, in panels: `TILE` steps of `height` rows that lie side by side, panel after panel.
struct Panels<'a> {
    height: usize,
    memory: &'a mut [f32],
}

impl Panels<'_> {
    /// Row-major rows become panels, of their negatives: products only add.
    fn turn_negative(&mut self) {
        let mut rows = vec![0.0; self.height * TILE];
        for panel in self.memory.chunks_exact_mut(self.height * TILE) {
            rows.copy_from_slice(panel);
            for (step, to) in panel.chunks_exact_mut(self.height).enumerate() {
                for (to, row) in to.iter_mut().zip(rows.chunks_exact(TILE)) {
                    *to = -row[step];
                }
            }
        }
    }

    /// Adds to each panel its rows of `right` times the rows of `left`, both tiles in panels, the latter up to `to_row`.
    fn add_products(&mut self, left: &[f32], right: &[f32], to_row: usize) {
        let (height, panel) = (self.height, self.height * TILE);
        for (number, left) in left.chunks_exact(panel).enumerate().take(to_row / height) {
            let left = Matrix::new(left, TILE, height).t();
            for (to, right) in self.memory.chunks_exact_mut(panel).zip(right.chunks_exact(panel)) {
                let to = &mut to[number * height * height..][..height * height];
                gemm::product_alone(to, height, left, 0..height, Right::rows(right, TILE, height), true);
            }
        }
    }

    /// `X L^T = B` for these rows of `B`, in place; `negative` is `-L`, row-major.
    fn solve(&mut self, negative: &[f32]) {
        let height = self.height;
        let lower = Matrix::new(negative, TILE, TILE);
        for panel in self.memory.chunks_exact_mut(height * TILE) {
            for first in (0..TILE).step_by(BLOCK) {
                let (done, rest) = panel.split_at_mut(first * height);
                let own = &mut rest[..BLOCK * height];
                if first > 0 {
                    let rows = lower.columns(0..first);
                    let right = Right::rows(done, first, height);
                    gemm::product_alone(own, height, rows, first..first + BLOCK, right, true);
                }
                let negative = &negative[first * TILE + first..];
                arch().dispatch(SolveBlock { negative, steps: own, height });
            }
        }
    }
}

/// Solves for [`BLOCK`] steps of a panel, all before them being done.
struct SolveBlock<'a> {
    /// `-L` from the block's corner on, row-major.
    negative: &'a [f32],
    steps: &'a mut [f32],
    height: usize,
}

impl WithSimd for SolveBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (steps, _) = S::as_mut_simd_f32s(self.steps);
        let vectors = self.height / S::F32_LANES;
        for vector in 0..vectors {
            let mut x = [s.splat_f32s(0.0); BLOCK];
            for step in 0..BLOCK {
                let factors = &self.negative[step * TILE..][..=step];
                let mut sum = steps[step * vectors + vector];
                for before in 0..step {
                    sum = s.mul_add_f32s(s.splat_f32s(factors[before]), x[before], sum);
                }
                x[step] = s.div_f32s(sum, s.splat_f32s(-factors[step]));
                steps[step * vectors + vector] = x[step];
            }
        }
    }
}

/// A tile in panels becomes row-major.
fn turn_back(tile: &mut [f32], height: usize) {
    let mut steps = vec![0.0; height * TILE];
    for panel in tile.chunks_exact_mut(height * TILE) {
        steps.copy_from_slice(panel);
        for (row, to) in panel.chunks_exact_mut(TILE).enumerate() {
            to.iter_mut().zip(steps.chunks_exact(height)).for_each(|(to, step)| *to = step[row]);
        }
    }
}

/// Cholesky of one tile, with zeros above its diagonal; the row that is not positive where there is one.
fn factorise_tile(tile: &mut [f32]) -> std::result::Result<(), usize> {
    let params: Spec<LltParams, f32> = Spec::default();
    let scratch = cholesky_in_place_scratch::<f32>(TILE, Par::Seq, params);
    let mut memory = MemBuffer::new(scratch);
    let matrix = MatMut::from_row_major_slice_mut(&mut *tile, TILE, TILE);
    let done =
        cholesky_in_place(matrix, LltRegularization::default(), Par::Seq, MemStack::new(&mut memory), params);
    done.map_err(|LltError::NonPositivePivot { index }| index)?;
    for (i, row) in tile.chunks_exact_mut(TILE).enumerate() {
        if row[..=i].iter().any(|v| !v.is_finite()) {
            return Err(i);
        }
        row[i + 1..].fill(0.0);
    }
    Ok(())
}

/// `L x = b` for one tile, in place.
fn forward(tile: &[f32], x: &mut [f32], columns: usize) {
    for i in 0..TILE {
        let (before, own) = x.split_at_mut(i * columns);
        let own = &mut own[..columns];
        for (k, row) in before.chunks_exact(columns).enumerate() {
            let factor = tile[i * TILE + k];
            own.iter_mut().zip(row).for_each(|(to, v)| *to -= factor * v);
        }
        own.iter_mut().for_each(|v| *v /= tile[i * TILE + i]);
    }
}

/// `L^T x = b` for one tile, in place.
fn backward(tile: &[f32], x: &mut [f32], columns: usize) {
    for i in (0..TILE).rev() {
        let (before, own) = x.split_at_mut(i * columns);
        let own = &mut own[..columns];
        own.iter_mut().for_each(|v| *v /= tile[i * TILE + i]);
        for (k, row) in before.chunks_exact_mut(columns).enumerate() {
            let factor = tile[i * TILE + k];
            row.iter_mut().zip(&*own).for_each(|(to, v)| *to -= factor * v);
        }
    }
}
