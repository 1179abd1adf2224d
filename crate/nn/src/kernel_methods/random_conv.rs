//! The random conv-net of table 3: the net of Coates and Ng (2012) with filters that are random patches instead of
//! k-means centres (the paper's footnote 2).
//!
//! A filter is a 6x6 patch of a random training image, its mean removed, of length 1, ZCA-whitened. An image gives
//! `max(c - 1, 0)` and `max(-c - 1, 0)` for every filter and place, `c` being the convolution, averaged over
//! windows of 15x15, 6 apart.

use crate::instructions::arch;
use crate::kernel_methods::patches::Patches;
use crate::ops::gemm::{Matrix, Packed};
use crate::{Error, Result};
use faer::{Mat, Side};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Side of a patch, pixels.
pub const PATCH: usize = 6;
/// What a response has to exceed.
pub const BIAS: f32 = 1.0;
/// Side of a pooling window, places.
pub const POOL: usize = 15;
/// Places from a window to the next.
pub const STRIDE: usize = 6;
/// What is added to the eigenvalues of the patches' covariance before whitening.
pub const ZCA: f64 = 1e-3;
/// Patches that the covariance is taken from.
const COVARIANCE_FROM: usize = 100_000;
/// The most filters of table 3.
pub const MOST: usize = 32_000;

/// Filters whose features are in memory at a time.
pub const FILTERS_AT_ONCE: usize = 128;

/// `0..count` in pieces of `size`, the last one shorter.
pub fn batches(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(size).map(move |first| first..(first + size).min(count))
}

/// How many filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RandomConv {
    /// 1 to [`MOST`].
    pub filters: usize,
}

/// The filters drawn, whitened twice: convolving with them is whitening both the patch and the filter.
pub struct Filters {
    patches: Patches,
    /// `count x patch`, row-major.
    rows: Vec<f32>,
}

impl RandomConv {
    /// Features an image of `shape` (channels, height, width) gives.
    pub fn dimensions(self, shape: [usize; 3]) -> usize {
        let places = |size: usize| (size + 1).saturating_sub(PATCH);
        2 * self.filters * windows(places(shape[1])) * windows(places(shape[2]))
    }

    /// Draws the filters from the first `n` of `images` (bytes, `n x C x H x W`) of `shape`.
    ///
    /// Errors: [`Error::Argument`] for no or too many filters, or images smaller than a pooling window and a patch.
    pub fn draw(self, images: &[u8], shape: [usize; 3], n: usize, seed: u64) -> Result<Filters> {
        let operation = "random conv-net";
        if self.filters == 0 || self.filters > MOST {
            return Err(Error::argument(operation, format!("{} filters (1 to {MOST})", self.filters)));
        }
        if self.dimensions(shape) == 0 {
            return Err(Error::argument(operation, format!("images of {:?} are too small", shape)));
        }
        let patches = Patches { shape, side: PATCH, padding: 0 };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let size = patches.size();
        let count = COVARIANCE_FROM.max(self.filters);
        let mut drawn = vec![0.0f32; count * size];
        for patch in drawn.chunks_exact_mut(size) {
            // A patch without any contrast has no direction: another is drawn, within reason.
            for _ in 0..100 {
                draw_patch(&images[..n * shape.iter().product::<usize>()], shape, &mut rng, patch);
                if normalise(patch) {
                    break;
                }
            }
        }
        let whitening = whitening(&drawn, size)?;
        let mut once = vec![0.0; self.filters * size];
        let first = Matrix::new(&drawn[..self.filters * size], self.filters, size);
        Packed::new(Matrix::new(&whitening, size, size)).product(&mut once, first, false);
        let mut rows = vec![0.0; self.filters * size];
        let once = Matrix::new(&once, self.filters, size);
        Packed::new(Matrix::new(&whitening, size, size)).product(&mut rows, once, false);
        Ok(Filters { patches, rows })
    }
}

fn draw_patch(images: &[u8], shape: [usize; 3], rng: &mut ChaCha8Rng, out: &mut [f32]) {
    let [channels, height, width] = shape;
    let image = rng.random_range(0..images.len() / (channels * height * width));
    let (top, left) = (rng.random_range(0..=height - PATCH), rng.random_range(0..=width - PATCH));
    for (line, to) in out.chunks_exact_mut(PATCH).enumerate() {
        let (channel, y) = (line / PATCH, top + line % PATCH);
        let from = ((image * channels + channel) * height + y) * width + left;
        let from = &images[from..from + PATCH];
        to.iter_mut().zip(from).for_each(|(to, &byte)| *to = f32::from(byte) / 255.0);
    }
}

/// Without its mean and of length 1; false for a flat patch.
fn normalise(patch: &mut [f32]) -> bool {
    let mean = patch.iter().sum::<f32>() / patch.len() as f32;
    patch.iter_mut().for_each(|v| *v -= mean);
    let length = patch.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length < 1e-3 {
        return false;
    }
    patch.iter_mut().for_each(|v| *v /= length);
    true
}

/// `(C + ZCA I)^(-1/2)` of the patches' second moments `C`, `size x size`.
fn whitening(patches: &[f32], size: usize) -> Result<Vec<f32>> {
    let count = patches.len() / size;
    let mut moments = vec![0.0f32; size * size];
    let all = Matrix::new(patches, count, size);
    Packed::new(all).product(&mut moments, all.t(), false);
    let matrix = Mat::<f64>::from_fn(size, size, |i, j| {
        // Both triangles alike.
        let value = moments[i.max(j) * size + i.min(j)];
        f64::from(value) / count as f64
    });
    let eigen = matrix
        .self_adjoint_eigen(Side::Lower)
        .map_err(|e| Error::argument("whiten the patches", format!("{e:?}")))?;
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    let mut whitening = vec![0.0f32; size * size];
    for i in 0..size {
        for j in 0..size {
            let terms = (0..size).map(|k| {
                let scale = 1.0 / (values[k].max(0.0) + ZCA).sqrt();
                vectors[(i, k)] * scale * vectors[(j, k)]
            });
            whitening[i * size + j] = terms.sum::<f64>() as f32;
        }
    }
    Ok(whitening)
}

impl Filters {
    /// How many.
    pub fn count(&self) -> usize {
        self.rows.len() / self.patches.size()
    }

    /// The first `count` of them.
    pub fn first(&self, count: usize) -> Filters {
        Filters { patches: self.patches, rows: self.rows[..count * self.patches.size()].to_vec() }
    }

    /// The filters, `count x (C x 6 x 6)`, row-major.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// What they are patches of.
    pub(crate) fn patches(&self) -> Patches {
        self.patches
    }

    /// Pooling windows down and across an image.
    pub(crate) fn windows(&self) -> (usize, usize) {
        let (height, width) = self.patches.grid();
        (windows(height), windows(width))
    }

    /// Features of an image by one filter.
    pub fn per_filter(&self) -> usize {
        let (down, across) = self.windows();
        2 * down * across
    }

    /// Features of `images` (`n x C x H x W` bytes) by the filters `range`: `n x features`, window after window, in
    /// each the positive and then the negative side of every filter.
    pub fn features(&self, images: &[u8], range: std::ops::Range<usize>) -> Vec<f32> {
        let size = self.patches.size();
        let count = range.len();
        let rows = &self.rows[range.start * size..range.end * size];
        let filters = Packed::new(Matrix::new(rows, count, size).t());
        let (height, width) = self.patches.grid();
        let image: usize = self.patches.shape.iter().product();
        let features = 2 * count * windows(height) * windows(width);
        let mut out = vec![0.0; images.len() / image * features];
        let arch = arch();
        out.par_chunks_exact_mut(features).zip(images.par_chunks_exact(image)).for_each_init(
            || (Vec::new(), vec![0.0; height * width * count]),
            |(memory, responses), (out, image)| {
                self.patches.responses(image, &filters, memory, responses);
                arch.dispatch(|| pool(responses, (height, width), count, out));
            },
        );
        out
    }
}

/// Pooling windows along `size` places.
fn windows(size: usize) -> usize {
    size.checked_sub(POOL).map_or(0, |left| left / STRIDE + 1)
}

/// Both rectified sides of `responses` (`height x width x count`), averaged over the windows.
#[inline(always)]
fn pool(responses: &[f32], (height, width): (usize, usize), count: usize, out: &mut [f32]) {
    let share = 1.0 / (POOL * POOL) as f32;
    out.fill(0.0);
    // Sums over the columns of each row first: a place is in up to three windows across, and three down.
    let across = windows(width);
    let mut sums = vec![0.0f32; across * 2 * count];
    for (y, row) in responses.chunks_exact(width * count).take(height).enumerate() {
        sums.fill(0.0);
        for (x, place) in row.chunks_exact(count).enumerate() {
            for (w, sums) in sums.chunks_exact_mut(2 * count).enumerate() {
                if (w * STRIDE..w * STRIDE + POOL).contains(&x) {
                    let (positive, negative) = sums.split_at_mut(count);
                    for ((p, n), c) in positive.iter_mut().zip(negative).zip(place) {
                        *p += (c - BIAS).max(0.0);
                        *n += (-c - BIAS).max(0.0);
                    }
                }
            }
        }
        for (v, out) in out.chunks_exact_mut(across * 2 * count).enumerate() {
            if (v * STRIDE..v * STRIDE + POOL).contains(&y) {
                out.iter_mut().zip(&sums).for_each(|(to, v)| *to += share * v);
            }
        }
    }
}
