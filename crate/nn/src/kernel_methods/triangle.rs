//! Symmetric matrices by their lower triangle, in tiles.
//!
//! Half of an n x n matrix is kept: n = 60,000 takes 7.3 GB. Every tile is one thread's at a time and sums in a fixed order, so
//! that the bits do not depend on the number of threads.

use crate::instructions::arch;
use crate::ops::gemm::{Matrix, Packed};
use rayon::prelude::*;

/// Rows and columns of a tile: a packed one fits into the second cache.
pub const TILE: usize = 256;
pub(super) const AREA: usize = TILE * TILE;

/// The lower triangle of a symmetric `n x n` matrix.
///
/// `n` is filled up to whole tiles with rows of the identity, which change nothing.
#[derive(Clone, Debug)]
pub struct Triangle {
    n: usize,
    /// The tile columns in turn, each from the diagonal down; a tile is row-major.
    tiles: Vec<f32>,
}

/// Tile columns of a triangle.
#[derive(Clone, Copy)]
pub(super) struct Tiles<'a> {
    /// Tile rows of the triangle.
    rows: usize,
    tiles: &'a [f32],
}

impl<'a> Tiles<'a> {
    pub(super) fn tile(self, i: usize, j: usize) -> &'a [f32] {
        &self.tiles[(start(self.rows, j) + i - j) * AREA..][..AREA]
    }
}

/// Where tile column `j` of a triangle of `rows` tile rows begins, in tiles.
fn start(rows: usize, j: usize) -> usize {
    j * rows - j * j.saturating_sub(1) / 2
}

/// Tile rows of `n` rows.
pub fn tile_rows(n: usize) -> usize {
    n.div_ceil(TILE)
}

/// Bytes of a [`Triangle`] of `n` rows.
pub fn bytes(n: usize) -> u64 {
    let t = tile_rows(n) as u64;
    t * (t + 1) / 2 * (AREA * size_of::<f32>()) as u64
}

impl Triangle {
    /// Zeros, but for the identity behind row `n`.
    pub fn zeros(n: usize) -> Triangle {
        let t = tile_rows(n);
        let mut triangle = Triangle { n, tiles: vec![0.0; t * (t + 1) / 2 * AREA] };
        triangle.fill_up();
        triangle
    }

    /// Rows.
    pub fn n(&self) -> usize {
        self.n
    }

    /// All numbers kept, in the order of the tiles.
    pub fn numbers(&self) -> &[f32] {
        &self.tiles
    }

    /// All numbers kept, to be filled with those of another matrix of as many rows.
    pub fn numbers_mut(&mut self) -> &mut [f32] {
        &mut self.tiles
    }

    /// Tile rows.
    pub fn tile_rows(&self) -> usize {
        tile_rows(self.n)
    }

    /// Where tile column `j` begins, in tiles.
    fn start(&self, j: usize) -> usize {
        start(self.tile_rows(), j)
    }

    pub(super) fn tile(&self, i: usize, j: usize) -> &[f32] {
        Tiles { rows: self.tile_rows(), tiles: &self.tiles }.tile(i, j)
    }

    /// The tile columns before `j`, and the others in turn, each from the diagonal down.
    pub(super) fn split_at_column(&mut self, j: usize) -> (Tiles<'_>, &mut [f32]) {
        let rows = self.tile_rows();
        let (before, from) = self.tiles.split_at_mut(start(rows, j) * AREA);
        (Tiles { rows, tiles: before }, from)
    }

    /// The element in row `i` and column `j`, whichever triangle that is in.
    pub fn get(&self, i: usize, j: usize) -> f32 {
        let (i, j) = (i.max(j), i.min(j));
        self.tile(i / TILE, j / TILE)[i % TILE * TILE + j % TILE]
    }

    /// The lower triangle of a matrix of `n` rows, kept column by column.
    ///
    /// # Panics
    /// When `columns` has another length: a defect of the caller.
    pub(crate) fn from_columns(columns: &[f32], n: usize) -> Triangle {
        assert_eq!(columns.len(), n * n, "a matrix of {n} rows");
        let mut triangle = Triangle::zeros(n);
        let fill = |_: &(), i: usize, j: usize, tile: &mut [f32]| {
            for (row, to) in tile.chunks_exact_mut(TILE).enumerate().take(n - (i * TILE).min(n)) {
                let first = i * TILE + row;
                for (column, to) in to.iter_mut().enumerate().take(n - j * TILE) {
                    // A tile of the diagonal is kept whole.
                    let (low, high) = (first.min(j * TILE + column), first.max(j * TILE + column));
                    *to = columns[low * n + high];
                }
            }
        };
        triangle.fill(|_| (), fill, |_| ());
        triangle
    }

    /// The rows of the identity behind row `n`.
    fn fill_up(&mut self) {
        let t = self.tile_rows();
        let rows = self.n - (t - 1).min(self.n) * TILE;
        if t == 0 || rows == TILE {
            return;
        }
        for j in 0..t {
            let at = (self.start(j) + t - 1 - j) * AREA;
            let tile = &mut self.tiles[at..at + AREA];
            tile[rows * TILE..].fill(0.0);
            if j == t - 1 {
                for row in tile.chunks_exact_mut(TILE) {
                    row[rows..].fill(0.0);
                }
                (rows..TILE).for_each(|k| tile[k * TILE + k] = 1.0);
            }
        }
    }

    /// Fills every tile by `fill(packed, i, tile)`, tile column by tile column: `pack(j)` is made once a column,
    /// tile row `i` goes down from `j`. `after` is called behind each column with its number.
    pub fn fill<P: Sync>(
        &mut self,
        pack: impl Fn(usize) -> P,
        fill: impl Fn(&P, usize, usize, &mut [f32]) + Sync,
        mut after: impl FnMut(usize),
    ) {
        let t = self.tile_rows();
        for j in 0..t {
            let packed = pack(j);
            let start = self.start(j);
            let column = &mut self.tiles[start * AREA..(start + t - j) * AREA];
            column.par_chunks_exact_mut(AREA).enumerate().for_each(|(down, tile)| {
                fill(&packed, j + down, j, tile);
            });
            after(j);
        }
        self.fill_up();
    }

    /// Adds `rows rows^T`; `rows` is `n x d`, row-major. Products of some hundred features are summed by themselves
    /// first, so that rounding grows with their number's root.
    ///
    /// # Panics
    /// When `rows` has another length: a defect of the caller.
    pub fn add_gram(&mut self, rows: &[f32], d: usize) {
        assert_eq!(rows.len(), self.n * d, "{} rows of {d}", self.n);
        let n = self.n;
        let span = |i: usize| i * TILE..((i + 1) * TILE).min(n);
        let part = |i: usize| &rows[span(i).start * d..span(i).end * d];
        let features = |i: usize, first: usize| {
            let count = TILE.min(d - first);
            Matrix::strided(&part(i)[first..], span(i).len(), count, d)
        };
        self.fill(
            |j| (0..d).step_by(TILE).map(|first| Packed::new(features(j, first).t())).collect::<Vec<_>>(),
            |rights, i, j, tile| {
                let (height, width) = (span(i).len(), span(j).len());
                // The last column's rows are shorter than a tile's.
                let mut product = vec![0.0; height * width];
                for (number, right) in rights.iter().enumerate() {
                    right.product_rows(&mut product, features(i, number * TILE), 0..height, false);
                    for (row, add) in tile.chunks_exact_mut(TILE).zip(product.chunks_exact(width)) {
                        row.iter_mut().zip(add).for_each(|(to, add)| *to += add);
                    }
                }
            },
            |_| (),
        );
    }

    /// Adds `value` to the diagonal.
    pub fn add_diagonal(&mut self, value: f32) {
        for i in 0..self.n {
            let at = self.start(i / TILE) * AREA + i % TILE * (TILE + 1);
            self.tiles[at] += value;
        }
    }

    /// The mean of the diagonal.
    pub fn mean_diagonal(&self) -> f64 {
        (0..self.n).map(|i| f64::from(self.get(i, i))).sum::<f64>() / self.n as f64
    }

    /// The first `n` rows and columns.
    ///
    /// # Panics
    /// When there are fewer: a defect of the caller.
    pub fn leading(&self, n: usize) -> Triangle {
        assert!(n <= self.n, "the first {n} of {} rows", self.n);
        let t = tile_rows(n);
        let mut part = Triangle { n, tiles: Vec::with_capacity(t * (t + 1) / 2 * AREA) };
        for j in 0..t {
            let from = self.start(j) * AREA;
            part.tiles.extend_from_slice(&self.tiles[from..from + (t - j) * AREA]);
        }
        part.fill_up();
        part
    }

    /// The matrix times `x` (`n x columns`, row-major), in f64.
    pub fn apply(&self, x: &[f64], columns: usize) -> Vec<f64> {
        let mut product = SymmetricProduct::new(x, self.n, columns);
        for j in 0..self.tile_rows() {
            product.column(j, |i, tile| tile.copy_from_slice(self.tile(i, j)));
        }
        product.finish()
    }
}

/// A symmetric matrix times a few columns, tile column by tile column, each tile made once.
///
/// Inside, the columns lie one after the other for each tile row.
pub struct SymmetricProduct {
    n: usize,
    columns: usize,
    x: Vec<f64>,
    y: Vec<f64>,
    /// What each tile of the present column gives its column's rows, added up in order afterwards.
    parts: Vec<f64>,
}

impl SymmetricProduct {
    /// For `x` of `n x columns`, row-major.
    pub fn new(x: &[f64], n: usize, columns: usize) -> SymmetricProduct {
        let size = tile_rows(n) * TILE * columns;
        let mut turned = vec![0.0; size];
        for (i, row) in x.chunks_exact(columns).enumerate() {
            for (c, &value) in row.iter().enumerate() {
                turned[(i / TILE * columns + c) * TILE + i % TILE] = value;
            }
        }
        SymmetricProduct { n, columns, x: turned, y: vec![0.0; size], parts: vec![0.0; size] }
    }

    /// Adds tile column `j`; `tile(i, out)` makes tile `i`, `j`.
    pub fn column(&mut self, j: usize, tile: impl Fn(usize, &mut [f32]) + Sync) {
        let segment = TILE * self.columns;
        let x = &self.x;
        let own = &x[j * segment..(j + 1) * segment];
        let below = self.y[j * segment..].par_chunks_exact_mut(segment);
        let parts = self.parts[j * segment..].par_chunks_exact_mut(segment);
        let arch = arch();
        below.zip(parts).enumerate().for_each_init(
            || vec![0.0f32; AREA],
            |memory, (down, (y, part))| {
                let i = j + down;
                tile(i, memory);
                part.fill(0.0);
                let there = &x[i * segment..(i + 1) * segment];
                arch.dispatch(|| add_tile(memory, i == j, own, there, y, part));
            },
        );
        let rest = &self.parts[j * segment..];
        for part in rest.chunks_exact(segment) {
            let own = &mut self.y[j * segment..(j + 1) * segment];
            own.iter_mut().zip(part).for_each(|(to, v)| *to += v);
        }
    }

    /// The product, `n x columns`.
    pub fn finish(self) -> Vec<f64> {
        let at = |i: usize, c: usize| self.y[(i / TILE * self.columns + c) * TILE + i % TILE];
        (0..self.n).flat_map(|i| (0..self.columns).map(move |c| at(i, c))).collect()
    }
}

/// `y += tile own` and `part += tile^T there`, for columns of `TILE` elements one after the other; a tile on the
/// diagonal counts once.
#[inline(always)]
fn add_tile(tile: &[f32], diagonal: bool, own: &[f64], there: &[f64], y: &mut [f64], part: &mut [f64]) {
    const LANES: usize = 16;
    let mut wide = [0.0f64; TILE];
    for (r, row) in tile.chunks_exact(TILE).enumerate() {
        for (to, v) in wide.iter_mut().zip(row) {
            *to = f64::from(*v);
        }
        if diagonal {
            wide[r + 1..].fill(0.0);
        }
        for (x, y) in own.chunks_exact(TILE).zip(y.chunks_exact_mut(TILE)) {
            let mut sums = [0.0f64; LANES];
            for (w, x) in wide.chunks_exact(LANES).zip(x.chunks_exact(LANES)) {
                for lane in 0..LANES {
                    sums[lane] = w[lane].mul_add(x[lane], sums[lane]);
                }
            }
            y[r] += sums.iter().sum::<f64>();
        }
        if diagonal {
            wide[r] = 0.0;
        }
        for (x, part) in there.chunks_exact(TILE).zip(part.chunks_exact_mut(TILE)) {
            let factor = x[r];
            for (to, w) in part.iter_mut().zip(&wide) {
                *to = w.mul_add(factor, *to);
            }
        }
    }
}
