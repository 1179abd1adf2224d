//! Products of two by two tiles with seven products of tiles in place of eight: Winograd's variant of Strassen's algorithm, one level.
//!
//! Of `C = A B^T`, whose halves of rows and of steps are tiles, with sums
//!
//! | of `A` | of `B` |
//! | --- | --- |
//! | `S1 = A21 + A22` | `T1 = B21 - B11` |
//! | `S2 = S1 - A11` | `T2 = B22 - T1` |
//! | `S3 = A11 - A21` | `T3 = B22 - B21` |
//! | `S4 = A12 - S2` | `T4 = T2 - B12` |
//!
//! `P1 = A11 B11^T`, `P2 = A12 B12^T`, `P3 = S4 B22^T`, `P4 = A22 T4^T`, `P5 = S1 T1^T`, `P6 = S2 T2^T`, `P7 = S3 T3^T`,
//!
//! `C11 = P1 + P2`, `C12 = P1 + P6 + P5 + P3`, `C21 = P1 + P6 + P7 - P4`, `C22 = P1 + P6 + P7 + P5`.
//!
//! Sums of some pairs of tiles along the steps are subtracted at a time: in a Cholesky factorisation what is left of a matrix becomes
//! small, and so do rounding errors, but not those of sums of the seven over all steps.

use crate::instructions::arch;
use crate::kernel_methods::triangle::{AREA, TILE};
use crate::ops::memory::{LINE, Scratch, before_line};
use crate::ops::panels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Products of tiles.
const PRODUCTS: usize = 7;
/// Pairs of tiles along the steps that are multiplied at a time, while sums of products stay in registers.
const SPAN: usize = 2;
/// Rows whose operands are made at a time: they stay in the second cache.
const ROWS: usize = 64;

/// Rows of two by two tiles in panels, the tiles row by row: `[A11, A12, A21, A22]`.
pub(super) type Quadrants<'a> = [&'a [f32]; 4];

/// Which side of the product.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// The right operands of all products with two rows of tiles, in the order of reading: after each other [`SPAN`]s; of each, the
/// panels; of each, the seven operands; of each, all steps of the span.
pub(super) struct Columns {
    memory: Vec<f32>,
    /// Numbers before the first cache line.
    skip: usize,
    /// Pairs of tiles along the steps.
    pairs: usize,
    /// Rows of a panel.
    height: usize,
}

/// Bytes of the operands of `pairs` pairs of tiles.
pub(super) const fn bytes(pairs: usize) -> usize {
    PRODUCTS * AREA * pairs * size_of::<f32>()
}

impl Columns {
    /// Room for at most `pairs` pairs of tiles in panels of `height` rows.
    pub(super) fn new(pairs: usize, height: usize) -> Columns {
        let memory = vec![0.0; bytes(pairs) / size_of::<f32>() + LINE];
        let skip = before_line(&memory);
        Columns { memory, skip, pairs: 0, height }
    }

    /// Makes the operands of `pairs` pairs of tiles; `four(pair)` are whole tiles.
    pub(super) fn set<'a>(&mut self, pairs: usize, four: impl Fn(usize) -> Quadrants<'a> + Sync) {
        self.pairs = pairs;
        let height = self.height;
        let spans = self.memory[self.skip..][..PRODUCTS * AREA * pairs].chunks_mut(PRODUCTS * AREA * SPAN);
        for (span, to) in spans.enumerate() {
            let pairs = span_of(span, pairs);
            let panel = PRODUCTS * pairs.len() * TILE * height;
            to.par_chunks_exact_mut(panel).enumerate().for_each(|(panel, to)| {
                operands(
                    Side::Right,
                    pairs.clone().map(|pair| at_panel(four(pair), panel, height)),
                    height,
                    to,
                );
            });
        }
    }

    /// Subtracts the products with some rows from `to`, the same rows of four tiles in panels: `[C11, C12, C21, C22]`.
    /// `four(pair)` are those rows.
    pub(super) fn subtract_products<'a>(
        &self,
        mut to: [&mut [f32]; 4],
        four: impl Fn(usize) -> Quadrants<'a>,
    ) {
        let area = TILE * self.height;
        let panels = to[0].len() / area;
        let at_once = ROWS / self.height;
        let mut sums = Scratch::new(ROWS * TILE * PRODUCTS);
        let mut lefts = Scratch::new(ROWS * TILE * PRODUCTS * SPAN);
        let sums = sums.as_mut();
        for span in 0..self.pairs.div_ceil(SPAN) {
            let pairs = span_of(span, self.pairs);
            let operand = pairs.len() * area;
            for first in (0..panels).step_by(at_once) {
                let lefts = &mut lefts.as_mut()[..at_once * PRODUCTS * operand];
                for (panel, to) in lefts.chunks_exact_mut(PRODUCTS * operand).enumerate() {
                    let fours = pairs.clone().map(|pair| at_panel(four(pair), first + panel, self.height));
                    operands(Side::Left, fours, self.height, to);
                }
                sums.fill(0.0);
                self.add_products(sums, lefts, span, first + at_once < panels);
                let places =
                    to.each_mut().map(|tile| tile[first * area..][..at_once * area].chunks_exact_mut(area));
                let [c11, c12, c21, c22] = places;
                let places = c11.zip(c12).zip(c21.zip(c22));
                for (((c11, c12), (c21, c22)), sums) in places.zip(sums.chunks_exact(PRODUCTS * area)) {
                    arch().dispatch(Subtract { sums, to: [c11, c12, c21, c22] });
                }
            }
        }
    }

    /// Adds the products of some panels, of each the seven `lefts`, with a span to `sums`; `again` where that span is needed once more.
    fn add_products(&self, sums: &mut [f32], lefts: &[f32], span: usize, again: bool) {
        let height = self.height;
        let (columns, square) = (TILE / height, height * height);
        let panels = sums.len() / (PRODUCTS * columns * square);
        let operand = lefts.len() / (PRODUCTS * panels);
        for product in 0..PRODUCTS {
            for column in 0..columns {
                let right = self.operand(span, column, product);
                let next = match (column + 1 < columns, product + 1 < PRODUCTS) {
                    (true, _) => self.operand(span, column + 1, product),
                    (false, true) => self.operand(span, 0, product + 1),
                    (false, false) if again => self.operand(span, 0, 0),
                    (false, false) => self.operand(span + 1, 0, 0),
                };
                for panel in 0..panels {
                    let number = panel * PRODUCTS + product;
                    let to = &mut sums[(number * columns + column) * square..][..square];
                    let left = &lefts[number * operand..][..operand];
                    panels::add_product(to, right, left, [panels::part(next, panel, panels), &[]]);
                }
            }
        }
    }

    /// One panel's operand; nothing behind the last span.
    fn operand(&self, span: usize, panel: usize, product: usize) -> &[f32] {
        if span * SPAN >= self.pairs {
            return &[];
        }
        let length = span_of(span, self.pairs).len() * TILE * self.height;
        let first = span * SPAN * PRODUCTS * AREA + (panel * PRODUCTS + product) * length;
        &self.memory[self.skip + first..][..length]
    }
}

/// The pairs of tiles of a span.
fn span_of(span: usize, pairs: usize) -> Range<usize> {
    span * SPAN..((span + 1) * SPAN).min(pairs)
}

/// One panel of each.
fn at_panel(four: Quadrants, panel: usize, height: usize) -> Quadrants {
    four.map(|tile| &tile[panel * TILE * height..][..TILE * height])
}

/// The seven operands of a panel of rows, one after the other, from some pairs of tiles along the steps.
fn operands<'a>(
    side: Side,
    fours: impl ExactSizeIterator<Item = Quadrants<'a>>,
    height: usize,
    to: &mut [f32],
) {
    let area = TILE * height;
    let operand = fours.len() * area;
    let mut places: Vec<_> = to.chunks_exact_mut(operand).map(|to| to.chunks_exact_mut(area)).collect();
    for four in fours {
        let to = std::array::from_fn(|i| places[i].next().unwrap_or_default());
        arch().dispatch(Operands { side, four, to });
    }
}

/// Sums of four panels.
struct Operands<'a> {
    side: Side,
    four: Quadrants<'a>,
    to: [&'a mut [f32]; PRODUCTS],
}

impl WithSimd for Operands<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let four = self.four.map(|from| S::as_simd_f32s(from).0);
        let count = four[0].len();
        let [a, b, c, d] = four.map(|from| &from[..count]);
        let [p1, p2, p3, p4, p5, p6, p7] = self.to.map(|to| &mut S::as_mut_simd_f32s(to).0[..count]);
        for i in 0..count {
            let (x11, x12, x21, x22) = (a[i], b[i], c[i], d[i]);
            let operands = match self.side {
                Side::Left => {
                    let s1 = s.add_f32s(x21, x22);
                    let s2 = s.sub_f32s(s1, x11);
                    [x11, x12, s.sub_f32s(x12, s2), x22, s1, s2, s.sub_f32s(x11, x21)]
                }
                Side::Right => {
                    let t1 = s.sub_f32s(x21, x11);
                    let t2 = s.sub_f32s(x22, t1);
                    [x11, x12, x22, s.sub_f32s(t2, x12), t1, t2, s.sub_f32s(x22, x21)]
                }
            };
            [p1[i], p2[i], p3[i], p4[i], p5[i], p6[i], p7[i]] = operands;
        }
    }
}

/// Subtracts a panel of the product, of the sums of its seven products.
struct Subtract<'a> {
    sums: &'a [f32],
    to: [&'a mut [f32]; 4],
}

impl WithSimd for Subtract<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let [c11, c12, c21, c22] = self.to.map(|to| S::as_mut_simd_f32s(to).0);
        let sums = S::as_simd_f32s(self.sums).0;
        let count = c11.len();
        let of = |product: usize| &sums[(product - 1) * count..][..count];
        let (p1, p2, p3, p4, p5, p6, p7) = (of(1), of(2), of(3), of(4), of(5), of(6), of(7));
        let (c12, c21, c22) = (&mut c12[..count], &mut c21[..count], &mut c22[..count]);
        for i in 0..count {
            let u2 = s.add_f32s(p1[i], p6[i]);
            let u3 = s.add_f32s(u2, p7[i]);
            c11[i] = s.sub_f32s(c11[i], s.add_f32s(p1[i], p2[i]));
            c12[i] = s.sub_f32s(c12[i], s.add_f32s(s.add_f32s(u2, p5[i]), p3[i]));
            c21[i] = s.sub_f32s(c21[i], s.sub_f32s(u3, p4[i]));
            c22[i] = s.sub_f32s(c22[i], s.add_f32s(u3, p5[i]));
        }
    }
}
