//! Section 5's kernels: their matrices, and the random conv-net's features.

use super::images::{DeviceImages, along};
use super::products::{matrix, product};
use super::{Arg, address, alloc, at, count, from, int, into, kernel, length, run, upload, zeros};
use crate::cuda::{Backend, Buffer, Done, Fault, Sgemm};
use crate::kernel_methods::patches::Patches;
use crate::kernel_methods::random_conv::{BIAS, POOL, STRIDE};
use crate::precision::Precision;

/// `rows x columns` numbers, column after column: of equation 3.
pub struct DeviceMatrix<B: Backend> {
    pub values: Buffer<B>,
    pub rows: usize,
    pub columns: usize,
}

/// Points on the device, and the squares of their lengths.
pub struct Points<B: Backend> {
    pub values: Buffer<B>,
    pub squares: Buffer<B>,
    pub count: usize,
}

/// Columns of a large matrix at a time: fewer than 2^32 numbers.
const PANEL: usize = 1024;

/// Columns of `rows` numbers, some at a time.
fn panels(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    let width = PANEL.min((u32::MAX as usize / rows.max(1)).max(1));
    (0..columns).step_by(width).map(move |first| (first, width.min(columns - first)))
}

impl<B: Backend> DeviceMatrix<B> {
    /// Zeros.
    pub fn new(b: &B, rows: usize, columns: usize) -> Result<DeviceMatrix<B>, Fault<B>> {
        Ok(DeviceMatrix { values: zeros(b, rows * columns)?, rows, columns })
    }

    fn check(&self, b: &B) {
        assert!(length(b, &self.values) >= self.rows * self.columns, "a matrix");
    }

    /// Adds the inner products of `left`'s rows (`rows x d`) with `right`'s (`columns x d`); where they are the same, on and
    /// below the diagonal, and somewhere above.
    pub fn add_products(
        &mut self,
        b: &B,
        left: &Buffer<B>,
        right: &Buffer<B>,
        d: usize,
        same: bool,
    ) -> Done<B> {
        self.check(b);
        assert!(length(b, left) >= self.rows * d && length(b, right) >= self.columns * d, "points");
        panels(self.rows, self.columns).try_for_each(|(first, width)| {
            let top = if same { first } else { 0 };
            let product = Sgemm {
                transpose_a: true,
                transpose_b: false,
                m: int(self.rows - top),
                n: int(width),
                k: int(d),
                a: address::<B>(left, top * d),
                lda: int(d),
                b: address::<B>(right, first * d),
                ldb: int(d),
                beta: 1.0,
                c: address::<B>(&self.values, first * self.rows + top),
                ldc: int(self.rows),
                batch: 1,
                apart: [0; 3],
                precision: Precision::Float32,
            };
            // SAFETY: lengths have been checked: the last number is that of the last column's last row.
            unsafe { b.sgemm(&product) }
        })
    }

    /// Inner products of points become values of the Gaussian kernel, from the squares of their lengths: the rows' and the
    /// columns'.
    pub fn make_gaussian(
        &mut self,
        b: &B,
        left: &Buffer<B>,
        right: &Buffer<B>,
        gamma: f32,
        same: bool,
    ) -> Done<B> {
        self.check(b);
        panels(self.rows, self.columns).try_for_each(|(first, width)| {
            let top = if same { first } else { 0 };
            let rows = self.rows - top;
            kernel!(
                b, "gaussian", rows * width; left => self.rows, right => self.columns;
                from::<B>(&self.values, first * self.rows + top), from::<B>(left, top),
                from::<B>(right, first), count(rows), count(self.rows), Arg::Real(gamma),
                count(usize::from(same))
            )
        })
    }

    /// The lower half becomes the upper one too.
    pub fn mirror(&mut self, b: &B) -> Done<B> {
        self.check(b);
        assert_eq!(self.rows, self.columns, "a symmetric matrix");
        panels(self.rows, self.columns).try_for_each(|(first, width)| {
            kernel!(
                b, "mirror", (self.rows - first) * width;;
                into::<B>(&mut self.values), count(self.rows), count(first), count(width)
            )
        })
    }

    /// A copy, with `add` added to the diagonal.
    pub fn raised(&self, b: &B, add: f32) -> Result<DeviceMatrix<B>, Fault<B>> {
        self.check(b);
        let (rows, columns) = (self.rows, self.columns);
        let mut to = DeviceMatrix { values: alloc(b, rows * columns)?, rows, columns };
        panels(self.rows, self.columns).try_for_each(|(first, width)| {
            kernel!(
                b, "raised", self.rows * width;;
                at::<B>(&self.values), into::<B>(&mut to.values), count(self.rows), count(first), Arg::Real(add)
            )
        })?;
        Ok(to)
    }

    /// Adds `value` everywhere.
    pub fn plus(&mut self, b: &B, value: f32) -> Done<B> {
        self.check(b);
        panels(self.rows, self.columns).try_for_each(|(first, width)| {
            let values = from::<B>(&self.values, first * self.rows);
            kernel!(b, "plus", self.rows * width;; values, Arg::Real(value))
        })
    }

    /// The diagonal.
    pub fn diagonal(&self, b: &B) -> Result<Vec<f32>, Fault<B>> {
        self.check(b);
        assert_eq!(self.rows, self.columns, "a symmetric matrix");
        let mut to = alloc(b, self.rows)?;
        kernel!(
            b, "diagonal", self.rows; &to => self.rows;
            at::<B>(&self.values), into::<B>(&mut to)
        )?;
        b.download(&to)
    }

    /// The first `n` rows of the first `n` columns.
    pub fn leading(&self, b: &B, n: usize) -> Result<Vec<f32>, Fault<B>> {
        self.check(b);
        assert!(n <= self.rows && n <= self.columns, "the first {n} rows");
        let (mut to, all) = (alloc(b, n * PANEL.min(n))?, self.rows);
        let mut numbers = Vec::with_capacity(n * n);
        for (first, width) in panels(all, n) {
            // Of the kernel's matrices, its rows are the columns here.
            kernel!(
                b, "columns", width * n; &to => width * n;
                from::<B>(&self.values, first * all), count(all), into::<B>(&mut to), count(n), count(n), count(0)
            )?;
            numbers.extend_from_slice(&b.download(&to)?[..width * n]);
        }
        Ok(numbers)
    }

    /// The matrix times `x` (`columns x width`, row-major), summed in double precision: `rows x width`.
    pub fn apply(&self, b: &B, x: &[f64], width: usize) -> Result<Vec<f64>, Fault<B>> {
        /// Threads enough for any card.
        const THREADS: usize = 1 << 18;
        self.check(b);
        assert_eq!(x.len(), self.columns * width, "the factor");
        let parts = (THREADS / self.rows.max(1)).clamp(1, self.columns.max(1));
        // Numbers of double precision take the room of two.
        let words: Vec<f32> = x.iter().flat_map(|v| halves(*v)).collect();
        let (x, all) = (upload(b, &words)?, self.rows * width);
        let (mut sums, mut to) = (alloc(b, 2 * parts * all)?, alloc(b, 2 * all)?);
        kernel!(
            b, "apply", self.rows * parts; &x => 2 * self.columns * width, &sums => 2 * parts * all;
            at::<B>(&self.values), at::<B>(&x), into::<B>(&mut sums), count(self.rows), count(self.columns),
            count(width), count(parts)
        )?;
        kernel!(
            b, "whole", all; &sums => 2 * parts * all, &to => 2 * all;
            at::<B>(&sums), into::<B>(&mut to), count(parts)
        )?;
        Ok(b.download(&to)?.chunks_exact(2).take(all).map(|pair| joined([pair[0], pair[1]])).collect())
    }
}

/// The bits of a number of double precision.
fn halves(v: f64) -> [f32; 2] {
    let [a, b, c, d, e, f, g, h] = v.to_ne_bytes();
    [f32::from_ne_bytes([a, b, c, d]), f32::from_ne_bytes([e, f, g, h])]
}

/// The other way.
fn joined([low, high]: [f32; 2]) -> f64 {
    let ([a, b, c, d], [e, f, g, h]) = (low.to_ne_bytes(), high.to_ne_bytes());
    f64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// The random conv-net's filters, some of them, on the device.
pub struct Bank<'a, B: Backend> {
    pub patches: Patches,
    /// `count x patch`.
    pub filters: &'a Buffer<B>,
    pub count: usize,
    /// Pooling windows down and across.
    pub windows: (usize, usize),
}

/// Images whose responses are in memory at a time.
const IMAGES_AT_ONCE: usize = 128;

/// The conv-net's features of kept images (bytes): `images x (windows x 2 count)`.
pub fn conv_features<B: Backend>(
    b: &B,
    kept: &DeviceImages<B>,
    bank: &Bank<B>,
) -> Result<Buffer<B>, Fault<B>> {
    let Bank { patches, filters, count: filter_count, windows: (down, across) } = *bank;
    let ([channels, height, width], (rows, columns)) = (kept.shape, patches.grid());
    assert!(kept.bytes && kept.shape == patches.shape && patches.padding == 0, "images of bytes");
    assert!((down - 1) * STRIDE + POOL <= rows && (across - 1) * STRIDE + POOL <= columns, "windows");
    let (image, size) = (channels * height * width, patches.size());
    assert!(length(b, &kept.pixels) >= (kept.images * image).div_ceil(4), "images");
    let (places, per_image) = (rows * columns, down * across * 2 * filter_count);
    let to = alloc(b, kept.images * per_image)?;
    let mut gathered = alloc(b, IMAGES_AT_ONCE * places * size)?;
    let mut responses = alloc(b, IMAGES_AT_ONCE * places * filter_count)?;
    for first in (0..kept.images).step_by(IMAGES_AT_ONCE) {
        let images = IMAGES_AT_ONCE.min(kept.images - first);
        let bytes = Arg::Address(B::address(&kept.pixels) + (first * image) as u64);
        kernel!(
            b, "patches", images * places * size; &gathered => images * places * size;
            bytes, into::<B>(&mut gathered), count(channels), count(height), count(width), count(patches.side)
        )?;
        let gathered = matrix(b, &gathered, 0, images * places, size);
        product(b, (&mut responses, 0), gathered, matrix(b, filters, 0, filter_count, size).t(), false)?;
        kernel!(
            b, "rectified", images * down * across * filter_count;
            &responses => images * places * filter_count, &to => (first + images) * per_image;
            at::<B>(&responses), from::<B>(&to, first * per_image), count(filter_count), count(rows), count(columns),
            count(POOL), count(STRIDE), count(down), count(across), Arg::Real(BIAS)
        )?;
    }
    Ok(to)
}

/// Takes from each column of `x` its mean, which `sums` over `of` rows give.
pub fn centre<B: Backend>(
    b: &B,
    x: &mut Buffer<B>,
    sums: &Buffer<B>,
    [rows, columns, of]: [usize; 3],
) -> Done<B> {
    let all = rows * columns;
    kernel!(b, "centred", all; x => all, sums => columns; into::<B>(x), at::<B>(sums), count(columns), count(of))
}

/// Divides each column of `x`, whose mean over `of` rows has been taken away, by its deviation: from the sums that gave the mean, and
/// [`moments`] of such rows.
pub fn standardise<B: Backend>(
    b: &B,
    x: &mut Buffer<B>,
    (sums, moments): (&Buffer<B>, &Buffer<B>),
    [rows, columns, of]: [usize; 3],
) -> Done<B> {
    let all = rows * columns;
    kernel!(
        b, "standardised", all; x => all, sums => columns, moments => 2 * columns;
        into::<B>(x), at::<B>(sums), at::<B>(moments), count(columns), count(of)
    )
}

/// The squared length of each of `rows` rows of `x`.
pub fn squared_lengths<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    rows: usize,
    columns: usize,
) -> Result<Buffer<B>, Fault<B>> {
    // Of differences from a mean of 0.
    let none = zeros(b, rows)?;
    along(b, x, Some(&none), rows, columns)
}
