//! Products of f32 matrices, blocked for the registers and caches of the processor.
//!
//! One kernel: a tile of a few rows by two vectors of columns stays in registers while the inner
//! dimension runs. An element of the result is one chain of fused multiply-adds in the order of the
//! inner dimension, whatever the tile, the vectors' width or the number of threads: the same bits come from
//! one thread and from many, from AVX2 and from AVX-512. In bf16 a step is two of the inner dimension, with one instruction
//! for both (`ops/pairs.rs`).
//!
//! Why not a library: at the sizes of a training step the gemm crate reached 20 to 60 % of this on
//! two threads, faer 60 to 90 %, and the convolutions need the kernel itself (crate/notes/speed.md).

use crate::instructions::{arch, bf16};
use crate::ops::matrix::Shared;
pub use crate::ops::matrix::{Matrix, SLACK};
use crate::ops::memory::{LINE, Scratch, fetch};
use crate::ops::pairs::{self, Pairs};
use crate::precision::Precision;
use crate::threads;
use pulp::{Arch, Simd, WithSimd};
use std::mem::MaybeUninit;
use std::ops::Range;

/// `out = left * right`, or `out += left * right` with `add`; `out` is row-major.
pub fn product(out: &mut [f32], left: Matrix, right: Matrix, add: bool) {
    product_in(Precision::Float32, out, left, right, add);
}

/// [`product`] of factors rounded to `precision`.
///
/// # Panics
/// Where the processor does not have it ([`Precision::check`]): a defect of the caller.
pub fn product_in(precision: Precision, out: &mut [f32], left: Matrix, right: Matrix, add: bool) {
    let (rows, inner, cols) = (left.rows, left.cols, right.cols);
    assert_eq!(out.len(), rows * cols, "product into a {rows}x{cols} matrix");
    // The right operand is packed from its rows. Where neither operand lies so, the smaller one is turned.
    let swapped = right.col_stride != 1 && left.row_stride != 1 && rows < cols;
    if swapped && inner > 0 {
        let mut turned = Scratch::new(rows * cols);
        if add {
            transpose(out, cols, turned.as_mut());
        }
        Packed::with(precision, left.t()).product(turned.as_mut(), right.t(), add);
        transpose(turned.as_ref(), rows, out);
    } else {
        Packed::with(precision, right).product(out, left, add);
    }
}

/// Steps of the inner dimension between two visits to the result: a panel of them fits the first cache, all panels the second.
const INNER: usize = 384;
/// Columns of the widest panel: two vectors of AVX-512.
const MOST_COLS: usize = SLACK;
/// Elements a step of a packed tile of the left operand, with 32 registers and with fewer: the rows of the tallest tile, and two that are
/// not used.
const HEIGHT: usize = 16;
const LOW_HEIGHT: usize = 8;
/// Panels from which on it pays to pack the left operand.
const PACKED_FROM: usize = 24;
/// Multiply-adds below which a second thread is not worth its call.
const ALONE: usize = 1 << 17;

/// Rows of the tallest tile that stays in registers, beside two vectors of the right operand and one
/// of the left.
const fn most_rows<S: Simd>(pairs: bool) -> usize {
    match S::REGISTER_COUNT {
        // With 14, the compiler has no registers left for the next pair's operands, and keeps sums in memory.
        32.. if pairs => 12,
        32.. => 14,
        _ => 6,
    }
}

/// A right operand, laid out for the kernel.
pub struct Packed {
    arch: Arch,
    /// Numbers, or pairs of them.
    inner: usize,
    pairs: bool,
    cols: usize,
    /// Columns of a panel, two vectors; the last one is filled up with zeros.
    width: usize,
    /// The panels in order, each of `inner` steps.
    memory: Scratch,
}

impl Packed {
    /// Lays `right` out, on all threads.
    pub fn new(right: Matrix) -> Packed {
        Packed::with(Precision::Float32, right)
    }

    /// [`Packed::new`] of factors rounded to `precision`; what it is multiplied with is rounded, too.
    ///
    /// # Panics
    /// Where the processor does not have it: a defect of the caller.
    pub fn with(precision: Precision, right: Matrix) -> Packed {
        let parts = 4 * threads::count();
        if precision.is_float32() {
            return Packed::on(right, parts);
        }
        let small = right.rows * right.cols < ALONE / 16;
        let pairs = Pairs::of_right(right, if small { 1 } else { parts });
        Packed { pairs: true, ..Packed::on(pairs.matrix(), parts) }
    }

    /// Lays `right` out, on this thread.
    pub fn alone(right: Matrix) -> Packed {
        Packed::on(right, 1)
    }

    fn on(right: Matrix, parts: usize) -> Packed {
        let (inner, cols) = (right.rows, right.cols);
        let arch = arch();
        let width = panel_width();
        let panels = cols.div_ceil(width);
        let mut memory = Scratch::new(panels * inner * width);
        if panels * inner > 0 {
            let parts = if inner * cols < ALONE / 16 { 1 } else { parts };
            // From rows: some rows of all panels, so that rows are read from end to end.
            // From columns: some steps of one panel.
            let by_rows = right.col_stride == 1;
            let wanted = if by_rows { parts } else { parts.div_ceil(panels) };
            let piece = inner.div_ceil(wanted);
            let pieces = inner.div_ceil(piece);
            let places = Shared(memory.as_mut().as_mut_ptr());
            let pack_piece = |i: usize| {
                let steps = |i: usize| i * piece..((i + 1) * piece).min(inner);
                let (panels, steps) = if by_rows {
                    (0..panels, steps(i))
                } else {
                    (i / pieces..i / pieces + 1, steps(i % pieces))
                };
                arch.dispatch(Pack { from: right, panels, steps, width, to: places });
            };
            let pieces = if by_rows { pieces } else { panels * pieces };
            if parts == 1 {
                (0..pieces).for_each(pack_piece);
            } else {
                threads::each(pieces, pack_piece);
            }
        }
        Packed { arch, inner, pairs: false, cols, width, memory }
    }

    /// `out = left * self`, or `out += left * self` with `add`, on all threads.
    pub fn product(&self, out: &mut [f32], left: Matrix, add: bool) {
        let rows = self.check(out, left, 0..left.rows);
        let panels = self.cols.div_ceil(self.width);
        let parts = if rows * self.cols * self.inner < ALONE { 1 } else { 4 * threads::count() };
        let out = Shared(out.as_mut_ptr());
        let (right, out_stride) = (self.right(), self.cols);
        let fetch = left.col_stride == 1 && left.row_stride == left.cols && !self.pairs;
        let block =
            |rows, panels| Block { right, left, rows, panels, out, out_stride, add, fetch }.run(self.arch);
        // The longer side is shared out: of the shorter operand every thread reads all.
        if parts == 1 {
            block(0..rows, 0..panels);
        } else if panels >= parts && self.cols >= rows {
            threads::each(parts, |i| block(0..rows, i * panels / parts..(i + 1) * panels / parts));
        } else {
            let parts = parts.min(rows.div_ceil(HEIGHT));
            threads::each(parts, |i| block(i * rows / parts..(i + 1) * rows / parts, 0..panels));
        }
    }

    /// Some rows of `left * self`, to `out` (or added to it), on this thread.
    pub fn product_rows(&self, out: &mut [f32], left: Matrix, rows: Range<usize>, add: bool) {
        self.check(out, left, rows.clone());
        product_alone(out, self.cols, left, rows, self.right(), add);
    }

    /// Inner products of its columns `rows` with its columns `columns`, both from the start of a panel on, to `out`, whose rows have
    /// `out_stride` elements; on this thread. Either operand lies as the kernel reads it.
    ///
    /// # Panics
    /// When sizes do not fit: a defect of the caller.
    pub fn inner_products(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let (width, right) = (self.width, self.right());
        assert!(rows.start.is_multiple_of(width) && columns.start.is_multiple_of(width) && !self.pairs);
        assert!(rows.end <= self.cols && columns.end <= self.cols, "{rows:?}, {columns:?} of {}", self.cols);
        for first in (0..self.inner).step_by(INNER) {
            let inner = INNER.min(self.inner - first);
            let steps = |column: usize| &right.data[column * self.inner + first * width..];
            let right = Right { data: steps(columns.start), inner, cols: columns.len(), ..right };
            for row in rows.clone().step_by(width) {
                let left = Matrix::new(&steps(row)[..inner * width], inner, width).t();
                let many = width.min(rows.end - row);
                let out = &mut out[(row - rows.start) * out_stride..];
                product_alone(out, out_stride, left, 0..many, right, first > 0);
            }
        }
    }

    fn right(&self) -> Right<'_> {
        Right {
            data: self.memory.as_ref(),
            inner: self.inner,
            pairs: self.pairs,
            cols: self.cols,
            step: self.width,
            panel: self.inner * self.width,
        }
    }

    fn check(&self, out: &[f32], left: Matrix, rows: Range<usize>) -> usize {
        let (inner, cols) = (self.inner, self.cols);
        let steps = left.steps(self.pairs);
        assert_eq!(steps, inner, "product of {}x{} and {inner}x{cols}", left.rows, left.cols);
        assert!(rows.end <= left.rows, "rows {rows:?} of {}", left.rows);
        assert_eq!(out.len(), rows.len() * cols, "product into a {}x{cols} matrix", rows.len());
        rows.len()
    }
}

/// A right operand of the kernel: `inner` steps of `cols` columns.
#[derive(Clone, Copy)]
pub struct Right<'a> {
    data: &'a [f32],
    inner: usize,
    /// Its elements are pairs of steps.
    pairs: bool,
    cols: usize,
    /// Elements from a step to the next.
    step: usize,
    /// Elements from a panel to the next.
    panel: usize,
}

impl<'a> Right<'a> {
    /// Row-major `inner x cols` as it lies, with [`SLACK`] elements behind it whose values do not matter; without where columns
    /// fill panels.
    ///
    /// # Panics
    /// When `data` is shorter: a defect of the caller.
    pub fn rows(data: &'a [f32], inner: usize, cols: usize) -> Right<'a> {
        let width = panel_width();
        let slack = if cols.is_multiple_of(width) { 0 } else { SLACK };
        assert!(data.len() >= inner * cols + slack, "{inner}x{cols} and slack in {}", data.len());
        Right { data, inner, pairs: false, cols, step: cols, panel: width }
    }

    /// The same whose elements are pairs of steps.
    pub(super) fn of_pairs(self) -> Right<'a> {
        Right { pairs: true, ..self }
    }
}

/// Columns of a panel of a right operand: two vectors.
pub fn panel_width() -> usize {
    2 * arch().dispatch(Lanes)
}

/// Rows of the tallest tile: rows of a result are best made so many, or a multiple, at a time.
pub fn tile_rows() -> usize {
    arch().dispatch(TileRows)
}

struct TileRows;

impl WithSimd for TileRows {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        most_rows::<S>(false)
    }
}

/// Rows `rows` of `left * right`, to `out` (or added to it), on this thread. `out` has rows of `out_stride`
/// elements, the first of which are written.
///
/// # Panics
/// When sizes do not fit: a defect of the caller.
pub fn product_alone(
    out: &mut [f32],
    out_stride: usize,
    left: Matrix,
    rows: Range<usize>,
    right: Right,
    add: bool,
) {
    assert!(left.steps(right.pairs) == right.inner && rows.end <= left.rows && right.cols <= out_stride);
    assert!(rows.is_empty() || out.len() >= (rows.len() - 1) * out_stride + right.cols);
    // As if the block's first row were the result's.
    let out = Shared(out.as_mut_ptr().wrapping_sub(rows.start * out_stride));
    let arch = arch();
    let panels = 0..right.cols.div_ceil(panel_width());
    Block { right, left, rows, panels, out, out_stride, add, fetch: false }.run(arch);
}

/// The vector instructions' number of f32.
pub(super) struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// A block of the result: some rows, and the columns of some panels.
struct Block<'a> {
    right: Right<'a>,
    left: Matrix<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    out: Shared,
    out_stride: usize,
    add: bool,
    /// The left operand's rows come from memory, one after the other: read in order before they are multiplied, they come faster than
    /// by as many streams as a tile has rows.
    fetch: bool,
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.multiply::<S, false>(simd);
    }
}

/// A block whose right operand is of pairs.
struct BlockOfPairs<'a>(Block<'a>);

impl WithSimd for BlockOfPairs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.multiply::<S, true>(simd);
    }
}

impl Block<'_> {
    fn run(self, arch: Arch) {
        if self.right.pairs {
            bf16::dispatch(BlockOfPairs(self));
        } else {
            arch.dispatch(self);
        }
    }

    #[inline(always)]
    fn multiply<S: Simd, const PAIRS: bool>(self, simd: S) {
        let Right { data: from_panels, inner, cols: all_cols, step, panel: panel_stride, .. } = self.right;
        let width = 2 * S::F32_LANES;
        let Matrix { data, row_stride, col_stride, .. } = self.left;
        if inner == 0 && !self.add {
            for row in self.rows.clone() {
                for panel in self.panels.clone() {
                    for col in panel * width..((panel + 1) * width).min(all_cols) {
                        // SAFETY: inside this block, which no other thread writes.
                        unsafe { *self.out.at(row * self.out_stride + col) = 0.0 };
                    }
                }
            }
        }
        let tiles = self.rows.len().div_ceil(most_rows::<S>(PAIRS));
        let rounds = PAIRS && !self.left.pairs;
        let lies_packed = row_stride == 1 && col_stride <= MOST_COLS;
        let packs = rounds || self.panels.len() >= PACKED_FROM && !lies_packed;
        // Not an array: clearing it takes as long as many a product.
        let mut room = packs.then(|| Scratch::new(INNER * HEIGHT));
        let packed: &mut [f32] = room.as_mut().map_or(&mut [], Scratch::as_mut);
        for first in (0..inner).step_by(INNER) {
            let steps = INNER.min(inner - first);
            let mut row = self.rows.start;
            // Rows outside, panels inside: the other way round, every tile of the result would lie on
            // other pages of memory.
            for number in 0..tiles {
                // Tiles of equal height, or one less: the last is never a sliver.
                let height = (self.rows.end - row).div_ceil(tiles - number);
                let left = if rounds {
                    let steps = 2 * first..(2 * (first + steps)).min(self.left.cols);
                    // SAFETY: pairs are only sent to their own instructions.
                    let (row_stride, col_stride) =
                        unsafe { pairs::pack_left::<S>(self.left, row..row + height, steps, packed, INNER) };
                    LeftTile { from: packed.as_ptr(), row_stride, col_stride }
                } else if packs {
                    let (rows, steps) = (row..row + height, first..first + steps);
                    let col_stride = if const { S::REGISTER_COUNT >= 32 } {
                        pack_left::<HEIGHT>(self.left, rows, steps, packed)
                    } else {
                        pack_left::<LOW_HEIGHT>(self.left, rows, steps, packed)
                    };
                    LeftTile { from: packed.as_ptr(), row_stride: 1, col_stride }
                } else {
                    let from = data[row * row_stride + first * col_stride..].as_ptr();
                    LeftTile { from, row_stride, col_stride }
                };
                if self.fetch {
                    fetch((row..row + height).map(|row| &data[row * row_stride + first..][..steps]));
                }
                for panel in self.panels.clone() {
                    let right = (from_panels[panel * panel_stride + first * step..].as_ptr(), step);
                    let to = (self.out.at(row * self.out_stride + panel * width), self.out_stride);
                    let cols = (all_cols - panel * width).min(width);
                    let add = self.add || first > 0;
                    // SAFETY: the rows and steps are inside the left operand, the panel inside the right
                    // one, and the tile inside this block, which no other thread writes.
                    macro_rules! of_height { ($($m:literal)*) => { match height {
                        $($m if cols > S::F32_LANES => unsafe { tile::<S, $m, 2, PAIRS>(simd, steps, left, right, to, cols, add) },
                        $m => unsafe { tile::<S, $m, 1, PAIRS>(simd, steps, left, right, to, cols, add) },)*
                        _ => unreachable!("at most {} rows", most_rows::<S>(PAIRS)),
                    } } }
                    if const { S::REGISTER_COUNT >= 32 } {
                        of_height!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
                    } else {
                        of_height!(1 2 3 4 5 6);
                    }
                }
                row += height;
            }
        }
    }
}

/// A tile's left operand where it lies: rows or steps of it are neighbours in memory.
#[derive(Clone, Copy)]
struct LeftTile {
    from: *const f32,
    row_stride: usize,
    col_stride: usize,
}

/// `M` rows by `N` vectors of columns, one or two, of which `cols` are wanted: `inner` steps along `left` and down the
/// panel `right` (a place and the steps' distance). The result is stored to `to` (a place and the rows'
/// distance), or added to what is there.
///
/// # Safety
/// With `PAIRS`, within [`bf16::dispatch`]. `left` has `M` rows of `inner` steps, `right` `inner` steps of `N` vectors, `to` `M` rows of `cols`
/// elements that nobody else uses meanwhile.
#[inline(always)]
unsafe fn tile<S: Simd, const M: usize, const N: usize, const PAIRS: bool>(
    simd: S,
    inner: usize,
    left: LeftTile,
    (right, right_step): (*const f32, usize),
    (to, to_stride): (*mut f32, usize),
    cols: usize,
    add: bool,
) {
    let lanes = S::F32_LANES;
    // A tile over the edge is made aside.
    let mut aside = [[const { MaybeUninit::<f32>::uninit() }; MOST_COLS]; M];
    let whole = cols == N * lanes;
    let (at, stride) = if whole { (to, to_stride) } else { (aside.as_mut_ptr().cast(), MOST_COLS) };
    let mut sum = [[simd.splat_f32s(0.0); N]; M];
    // SAFETY: the caller's promises; `aside` has `M` rows of a panel's width, written before it is read
    // but for columns that are not wanted.
    unsafe {
        if add {
            if !whole {
                std::ptr::write_bytes(at, 0, M * MOST_COLS);
                for i in 0..M {
                    std::ptr::copy_nonoverlapping(to.add(i * to_stride), at.add(i * stride), cols);
                }
            }
            for (i, sum) in sum.iter_mut().enumerate() {
                for (n, sum) in sum.iter_mut().enumerate() {
                    *sum = at.add(i * stride + n * lanes).cast::<S::f32s>().read_unaligned();
                }
            }
        }
        let (mut from, mut right) = (left.from, right);
        macro_rules! step {
            ($offset:expr) => {
                let mut of_right = [simd.splat_f32s(0.0); N];
                for (n, of_right) in of_right.iter_mut().enumerate() {
                    *of_right = right.add(n * lanes).cast::<S::f32s>().read_unaligned();
                }
                for (i, sum) in sum.iter_mut().enumerate() {
                    let of_left = simd.splat_f32s(*from.add($offset(i)));
                    for (sum, of_right) in sum.iter_mut().zip(of_right) {
                        *sum = if PAIRS {
                            bf16::add_products::<S>(of_left, of_right, *sum)
                        } else {
                            simd.mul_add_f32s(of_left, of_right, *sum)
                        };
                    }
                }
                right = right.wrapping_add(right_step);
            };
        }
        if left.row_stride == 1 {
            for _ in 0..inner {
                step!(|i: usize| i);
                from = from.wrapping_add(left.col_stride);
            }
        } else {
            // Four steps from one set of addresses: computing them takes as long as a step.
            for _ in 0..inner / 4 {
                step!(|i: usize| i * left.row_stride);
                step!(|i: usize| i * left.row_stride + left.col_stride);
                step!(|i: usize| i * left.row_stride + 2 * left.col_stride);
                step!(|i: usize| i * left.row_stride + 3 * left.col_stride);
                from = from.wrapping_add(4 * left.col_stride);
            }
            for _ in 0..inner % 4 {
                step!(|i: usize| i * left.row_stride);
                from = from.wrapping_add(left.col_stride);
            }
        }
        for (i, sum) in sum.iter().enumerate() {
            for (n, sum) in sum.iter().enumerate() {
                at.add(i * stride + n * lanes).cast::<S::f32s>().write_unaligned(*sum);
            }
        }
        if !whole {
            for i in 0..M {
                std::ptr::copy_nonoverlapping(at.add(i * stride), to.add(i * to_stride), cols);
            }
        }
    }
}

/// Some steps of some panels of a right operand.
struct Pack<'a> {
    from: Matrix<'a>,
    panels: Range<usize>,
    steps: Range<usize>,
    width: usize,
    to: Shared,
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Pack { from, width, .. } = self;
        // A few rows at a time: they are still in the cache when the next panel comes.
        const ROWS: usize = 16;
        for first in self.steps.clone().step_by(ROWS) {
            let steps = first..(first + ROWS).min(self.steps.end);
            for panel in self.panels.clone() {
                let at = self.to.at((panel * from.rows + first) * width);
                // SAFETY: these steps of this panel are inside the memory and nobody else's.
                let to = unsafe { std::slice::from_raw_parts_mut(at, steps.len() * width) };
                let cols = panel * width..((panel + 1) * width).min(from.cols);
                pack(from, cols, steps.clone(), width, to);
            }
        }
    }
}

/// Columns `cols` of the rows `steps` of `from`: `width` elements a step, zeros after the last column.
#[inline(always)]
fn pack(from: Matrix, cols: Range<usize>, steps: Range<usize>, width: usize, to: &mut [f32]) {
    let count = cols.len();
    if from.col_stride == 1 {
        for (to, step) in to.chunks_exact_mut(width).zip(steps) {
            let row = &from.data[step * from.row_stride + cols.start..][..count];
            // As below: lines of a size that the compiler knows.
            let (lines, rest) = row.as_chunks::<LINE>();
            for (to, line) in to.as_chunks_mut::<LINE>().0.iter_mut().zip(lines) {
                *to = *line;
            }
            let to = &mut to[count - rest.len()..];
            if !to.is_empty() {
                to[..rest.len()].copy_from_slice(rest);
                to[rest.len()..].fill(0.0);
            }
        }
        return;
    }
    // Against the grain: by squares, so that neither side leaves the cache half read.
    const SIDE: usize = 16;
    for (first, to) in steps.step_by(SIDE).zip(to.chunks_mut(SIDE * width)) {
        let depth = to.len() / width;
        for j in (0..count).step_by(SIDE) {
            let many = SIDE.min(count - j);
            let mut square = [[0.0f32; SIDE]; SIDE];
            for (i, row) in square[..many].iter_mut().enumerate() {
                let start = (cols.start + j + i) * from.col_stride + first * from.row_stride;
                // Of a size that the compiler knows: a call for each row takes longer than its copy.
                match from.data[start..start + depth].as_array::<SIDE>() {
                    Some(whole) => *row = *whole,
                    None => row[..depth].copy_from_slice(&from.data[start..start + depth]),
                }
            }
            if depth == SIDE && many == SIDE {
                for (step, to) in to.chunks_exact_mut(width).enumerate() {
                    let to: &mut [f32; SIDE] =
                        (&mut to[j..j + SIDE]).try_into().unwrap_or_else(|_| unreachable!());
                    for (to, row) in to.iter_mut().zip(&square) {
                        *to = row[step];
                    }
                }
                continue;
            }
            for (step, to) in to.chunks_exact_mut(width).enumerate() {
                for (to, row) in to[j..j + many].iter_mut().zip(&square) {
                    *to = row[step];
                }
            }
        }
        for to in to.chunks_exact_mut(width) {
            to[count..].fill(0.0);
        }
    }
}

/// Rows `rows` of the left operand, at most `H`, step by step: `H` elements a step, whatever they are after the last row. Returns `H`.
#[inline(always)]
fn pack_left<const H: usize>(from: Matrix, rows: Range<usize>, steps: Range<usize>, to: &mut [f32]) -> usize {
    let to = &mut to.as_chunks_mut::<H>().0[..steps.len()];
    let Matrix { data, row_stride, col_stride, .. } = from;
    if row_stride == 1 {
        for (to, step) in to.iter_mut().zip(steps) {
            let from = &data[step * col_stride + rows.start..];
            match from.first_chunk::<H>() {
                Some(whole) => *to = *whole,
                None => to[..rows.len()].copy_from_slice(&from[..rows.len()]),
            }
        }
        return H;
    }
    const SIDE: usize = 16;
    for (to, first) in to.chunks_mut(SIDE).zip(steps.step_by(SIDE)) {
        let mut square = [[0.0f32; SIDE]; H];
        for (line, row) in square.iter_mut().zip(rows.clone()) {
            let from = &data[row * row_stride + first * col_stride..][..to.len()];
            match from.as_array::<SIDE>() {
                Some(whole) => *line = *whole,
                None => line[..from.len()].copy_from_slice(from),
            }
        }
        for (step, to) in to.iter_mut().enumerate() {
            for (to, line) in to.iter_mut().zip(&square) {
                *to = line[step];
            }
        }
    }
    H
}

/// `to` becomes the transpose of `from`, whose rows have `cols` elements.
fn transpose(from: &[f32], cols: usize, to: &mut [f32]) {
    let rows = from.len() / cols;
    let part = cols.div_ceil(4 * threads::count());
    threads::each_chunk(to, part * rows, |i, to| {
        let steps = i * part..i * part + to.len() / rows;
        pack(Matrix::new(from, rows, cols).t(), 0..rows, steps, rows, to);
    });
}
