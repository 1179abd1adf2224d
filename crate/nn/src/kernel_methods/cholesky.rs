//! Cholesky factorisation of a symmetric matrix in place, and solving with the factor.
//!
//! Left-looking, tile column by tile column: nearly all of the work are products of tiles that are done, through `ops/panels.rs`, most
//! of them seven in place of eight (`strassen.rs`). A tile that is touched is turned panel by panel (the rows of a panel side by side,
//! step after step), as the product's kernel reads either operand: so nothing is packed again, however often a tile is used. faer
//! factorises the tiles of the diagonal. Every panel is one thread's at a time and sums in a fixed order, so that the bits do not depend
//! on the number of threads.

use crate::instructions::arch;
use crate::kernel_methods::strassen::{self, Columns, Quadrants};
use crate::kernel_methods::triangle::{self, AREA, TILE, Tiles, Triangle};
use crate::ops::gemm::{self, Matrix, Packed, Right};
use crate::ops::panels;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{
    LltError, LltParams, LltRegularization, cholesky_in_place, cholesky_in_place_scratch,
};
use faer::traits::RealField;
use faer::traits::ext::ComplexFieldExt;
use faer::{MatMut, Par, Spec};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Tile columns whose products are always summed plainly, an even number. They are the largest: with the first two or four, the factor
/// of CIFAR-10's Gram matrix (n = 9,999) is as exact as by plain sums alone; without, errors are three times as large.
const PLAIN: usize = 4;
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

/// Bytes of a matrix of `n` rows and of what factorising it takes beside it.
pub fn bytes(n: usize) -> u64 {
    triangle::bytes(n) + strassen::bytes(most_pairs(triangle::tile_rows(n))) as u64
}

/// Pairs of tile columns whose products with the last pair are fewer.
fn most_pairs(tile_rows: usize) -> usize {
    tile_rows.saturating_sub(PLAIN + 1) / 2
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
        let mut columns = Columns::new(most_pairs(t), self.height);
        for j in 0..t {
            if crate::interrupt::is_wanted() {
                return Err(NotPositive { row: j * TILE });
            }
            self.factorise_column(j, &mut columns).map_err(|row| NotPositive { row: j * TILE + row })?;
            let left = (t - j - 1) as f64;
            // What remains is the factorisation of the rest and its updates from the columns done.
            after(1.0 - (left.powi(3) + 3.0 * left.powi(2) * (j + 1) as f64) / whole);
        }
        Ok(())
    }

    /// Tile column `j`, all before it being done; the row of the tile that is not positive, where there is one.
    ///
    /// Columns go in pairs: the first of one subtracts what all before it give to either, the second what the first gives.
    fn factorise_column(&mut self, j: usize, right: &mut Columns) -> std::result::Result<(), usize> {
        let height = self.height;
        // Rows behind the last one of the matrix are the identity's, and stay so; up to a strip's end they go along.
        let used = self.triangle.n().div_ceil(STRIP) * STRIP;
        let whole = |column: usize| (used - column * TILE).max(TILE) * TILE;
        let t = self.triangle.tile_rows();
        let (tiles, rest) = self.triangle.split_at_column(j);
        let (column, rest) = rest.split_at_mut((t - j) * AREA);
        let (diagonal, below) = column[..whole(j)].split_at_mut(AREA);
        let in_pairs = j >= PLAIN + 2;
        let turned = in_pairs && j % 2 == 1;
        let done = Done { tiles, steps: if turned { j - 1..j } else { 0..j }, turned, height };
        let work = if in_pairs && !turned && j + 1 < t {
            right.set((j - PLAIN) / 2, |pair| done.four(j, pair));
            of_two_columns(j, below, &mut rest[..whole(j + 1)], right)
        } else {
            of_column(j, below)
        };
        // The tile of the diagonal is the work of one thread at its end, while the others go on below.
        let (outcome, ()) = rayon::join(
            || {
                let strips = diagonal.par_chunks_exact_mut(STRIP * TILE).enumerate();
                strips.with_max_len(1).for_each(|(i, rows)| done.subtract_products((j, j), i * STRIP, rows));
                turn_back(diagonal, height);
                factorise_tile(diagonal)
            },
            // In order, so that the largest pieces do not come last.
            || work.into_iter().par_bridge().for_each(|work| done.subtract_from(work)),
        );
        outcome?;
        let negative: Vec<f32> = diagonal.iter().map(|v| -v).collect();
        let strips = below.par_chunks_exact_mut(STRIP * TILE);
        strips.with_max_len(1).for_each(|memory| Panels { height, memory }.solve(&negative));
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

/// Rows that a thread updates at a time.
enum Work<'a> {
    /// Rows of tile `i`, `j`, from `first` on.
    Of { tile: (usize, usize), first: usize, rows: &'a mut [f32] },
    /// The same rows, from `first` on, of four tiles, from tile row `i` on; and the operands of their columns.
    OfFour { i: usize, first: usize, rows: [&'a mut [f32]; 4], right: &'a Columns },
}

/// Work on tile column `j` below its diagonal: whole tiles, and then strips, for threads to end together.
fn of_column(j: usize, below: &mut [f32]) -> Vec<Work<'_>> {
    let threads = rayon::current_num_threads();
    let whole = below.len() / AREA / threads * threads;
    let (tiles, rest) = below.split_at_mut(whole * AREA);
    let mut work = Vec::new();
    for (number, rows) in tiles.chunks_exact_mut(AREA).enumerate() {
        work.push(Work::Of { tile: (j + 1 + number, j), first: 0, rows });
    }
    for (number, rows) in rest.chunks_mut(AREA).enumerate() {
        add_strips(&mut work, (j + 1 + whole + number, j), rows);
    }
    work
}

fn add_strips<'a>(work: &mut Vec<Work<'a>>, tile: (usize, usize), rows: &'a mut [f32]) {
    for (number, rows) in rows.chunks_exact_mut(STRIP * TILE).enumerate() {
        work.push(Work::Of { tile, first: number * STRIP, rows });
    }
}

/// Work on tile columns `j`, below its diagonal, and `j + 1`: two tile rows at a time, and plainly what has none beside it. The last
/// ones are in strips.
fn of_two_columns<'a>(
    j: usize,
    below: &'a mut [f32],
    next: &'a mut [f32],
    right: &'a Columns,
) -> Vec<Work<'a>> {
    let threads = rayon::current_num_threads();
    let mut work = Vec::new();
    let (own, below) = below.split_at_mut(AREA.min(below.len()));
    let (own_next, next) = next.split_at_mut(AREA);
    let whole = (below.len() / (2 * AREA) / threads).saturating_sub(1) * threads;
    let two_rows = below.chunks_mut(2 * AREA).zip(next.chunks_mut(2 * AREA));
    for (number, (below, next)) in two_rows.enumerate() {
        let i = j + 2 + 2 * number;
        let strip = if number < whole { AREA } else { STRIP * TILE };
        let (upper, lower) = below.split_at_mut(AREA.min(below.len()));
        let (upper_next, lower_next) = next.split_at_mut(AREA.min(next.len()));
        let mut lower = lower.chunks_exact_mut(strip).zip(lower_next.chunks_exact_mut(strip));
        let upper = upper.chunks_exact_mut(strip).zip(upper_next.chunks_exact_mut(strip));
        for (number, (c11, c12)) in upper.enumerate() {
            let first = number * strip / TILE;
            if let Some((c21, c22)) = lower.next() {
                work.push(Work::OfFour { i, first, rows: [c11, c12, c21, c22], right });
            } else {
                work.push(Work::Of { tile: (i, j), first, rows: c11 });
                work.push(Work::Of { tile: (i, j + 1), first, rows: c12 });
            }
        }
    }
    add_strips(&mut work, (j + 1, j), own);
    add_strips(&mut work, (j + 1, j + 1), own_next);
    work
}

/// Tile columns that are done, and what others get from them.
struct Done<'a> {
    tiles: Tiles<'a>,
    /// Those whose plain products are subtracted.
    steps: Range<usize>,
    /// The other columns are in panels already.
    turned: bool,
    height: usize,
}

impl<'a> Done<'a> {
    fn subtract_from(&self, work: Work) {
        match work {
            Work::Of { tile, first, rows } => self.subtract_products(tile, first, rows),
            Work::OfFour { i, first, mut rows, right } => {
                let plain = Done { steps: 0..PLAIN, ..*self };
                let j = self.steps.end;
                for (rows, tile) in rows.iter_mut().zip([(i, j), (i, j + 1), (i + 1, j), (i + 1, j + 1)]) {
                    plain.subtract_products(tile, first, rows);
                }
                right.subtract_products(rows, |pair| self.four(i, pair).map(|tile| &tile[first * TILE..]));
            }
        }
    }

    /// Tile rows `i` and `i + 1` at a pair of tile columns behind the first ones.
    fn four(&self, i: usize, pair: usize) -> Quadrants<'a> {
        let k = PLAIN + 2 * pair;
        [(i, k), (i, k + 1), (i + 1, k), (i + 1, k + 1)].map(|(i, k)| self.tiles.tile(i, k))
    }

    /// From rows of tile `i`, `j`, from `first` on, which are in panels afterwards.
    fn subtract_products(&self, (i, j): (usize, usize), first: usize, rows: &mut [f32]) {
        let length = rows.len();
        let mut panels = Panels { height: self.height, memory: rows };
        if self.turned {
            panels.memory.iter_mut().for_each(|v| *v = -*v);
        } else {
            panels.turn_negative();
        }
        let to_row = if i == j { first + length / TILE } else { TILE };
        let operands = |k: usize| {
            let right = &self.tiles.tile(i, k)[first * TILE..][..length];
            (&self.tiles.tile(j, k)[..to_row * TILE], right)
        };
        for k in self.steps.clone() {
            let next = if k + 1 < self.steps.end { operands(k + 1) } else { (&[][..], &[][..]) };
            panels.add_products(operands(k), next);
        }
        panels.memory.iter_mut().for_each(|v| *v = -*v);
    }
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

    /// Adds to each panel the product of its rows and some of another tile, both in panels; `next` are the operands after these.
    fn add_products(&mut self, (left, right): (&[f32], &[f32]), next: (&[f32], &[f32])) {
        let (height, panel) = (self.height, self.height * TILE);
        let (columns, rows) = (left.len() / panel, right.len() / panel);
        for column in 0..columns {
            let next_left =
                left[(column + 1) * panel..].chunks_exact(panel).chain(next.0.chunks_exact(panel)).next();
            for row in 0..rows {
                let to = &mut self.memory[row * panel + column * height * height..][..height * height];
                let (left, right) = (&left[column * panel..][..panel], &right[row * panel..][..panel]);
                let ahead = [
                    panels::part(next_left.unwrap_or_default(), row, rows),
                    panels::part(next.1, column * rows + row, columns * rows),
                ];
                panels::add_product(to, left, right, ahead);
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
    factorise_block(MatMut::from_row_major_slice_mut(&mut *tile, TILE, TILE))?;
    for (i, row) in tile.chunks_exact_mut(TILE).enumerate() {
        row[i + 1..].fill(0.0);
    }
    Ok(())
}

/// Cholesky of a square block by its lower triangle, in place; the row that is not positive, or not finite, where there is one.
pub(super) fn factorise_block<T: RealField>(mut block: MatMut<'_, T>) -> std::result::Result<(), usize> {
    let params: Spec<LltParams, T> = Spec::default();
    let scratch = cholesky_in_place_scratch::<T>(block.nrows(), Par::Seq, params);
    let mut memory = MemBuffer::new(scratch);
    let memory = MemStack::new(&mut memory);
    let done = cholesky_in_place(block.as_mut(), LltRegularization::default(), Par::Seq, memory, params);
    done.map_err(|LltError::NonPositivePivot { index }| index)?;
    let finite = |i: usize| (0..=i).all(|j| block[(i, j)].is_finite());
    (0..block.nrows()).find(|&i| !finite(i)).map_or(Ok(()), Err)
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
