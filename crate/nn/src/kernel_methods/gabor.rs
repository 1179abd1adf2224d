//! Gabor wavelets (section 5, table 3): a bank of oriented band-pass filters, the magnitude of their responses,
//! averaged over neighbourhoods. The paper does not describe its bank; this one is recorded with each run.

use crate::kernel_methods::patches::Patches;
use crate::ops::gemm::{Matrix, Packed};
use crate::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use std::sync::{Mutex, PoisonError};

/// The bank and its pooling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gabor {
    /// Directions, equally spaced over half a turn.
    pub orientations: usize,
    /// Wavelengths of the scales, pixels. The Gaussian window's deviation is half a wavelength (about one
    /// octave of bandwidth), its ratio across the wave 1.
    pub wavelengths: Vec<f64>,
    /// Side of the pooling window, pixels.
    pub pool: usize,
    /// Pixels from a window to the next.
    pub stride: usize,
}

/// Features that were computed last. The rows of a table, and the numbers of images of a figure, are made of the same images; their
/// features take longer than the equation that is made of them.
static LAST: Mutex<Vec<Last>> = Mutex::new(Vec::new());
/// So many sets, of training and of test images, of at most so many bytes each.
const SETS: usize = 2;
const BYTES: usize = 64 << 20;

struct Last {
    gabor: Gabor,
    shape: [usize; 3],
    images: Vec<u8>,
    features: Vec<f32>,
}

impl Default for Gabor {
    fn default() -> Self {
        Gabor { orientations: 8, wavelengths: vec![3.0, 5.0, 8.0], pool: 7, stride: 3 }
    }
}

impl Gabor {
    /// Side of the filters: three deviations of the widest window to each side.
    fn side(&self) -> usize {
        let widest = self.wavelengths.iter().copied().fold(1.0, f64::max);
        2 * (1.5 * widest).ceil() as usize + 1
    }

    /// Real and imaginary parts in turn, one filter per row, each of length 1 and the real one without mean.
    fn filters(&self) -> Vec<f32> {
        let side = self.side();
        let middle = (side / 2) as f64;
        let mut filters = Vec::new();
        for &wavelength in &self.wavelengths {
            for k in 0..self.orientations {
                let (sine, cosine) = (PI * k as f64 / self.orientations as f64).sin_cos();
                let deviation = wavelength / 2.0;
                let places =
                    (0..side * side).map(|i| ((i % side) as f64 - middle, (i / side) as f64 - middle));
                let (window, phase): (Vec<f64>, Vec<f64>) = places
                    .map(|(x, y)| {
                        let window = (-(x * x + y * y) / (2.0 * deviation * deviation)).exp();
                        (window, 2.0 * PI * (x * cosine + y * sine) / wavelength)
                    })
                    .unzip();
                for imaginary in [false, true] {
                    let wave = |p: f64| if imaginary { p.sin() } else { p.cos() };
                    let mut filter: Vec<f64> = window.iter().zip(&phase).map(|(w, p)| w * wave(*p)).collect();
                    // The window's share that makes the sum zero: flat regions give no response.
                    let excess = filter.iter().sum::<f64>() / window.iter().sum::<f64>();
                    filter.iter_mut().zip(&window).for_each(|(f, w)| *f -= excess * w);
                    let length = filter.iter().map(|v| v * v).sum::<f64>().sqrt();
                    filters.extend(filter.iter().map(|v| (v / length) as f32));
                }
            }
        }
        filters
    }

    /// Features an image of `shape` (channels, height, width) gives.
    pub fn dimensions(&self, shape: [usize; 3]) -> usize {
        let windows =
            |size: usize| size.checked_sub(self.pool).map_or(0, |left| left / self.stride.max(1) + 1);
        shape[0] * self.wavelengths.len() * self.orientations * windows(shape[1]) * windows(shape[2])
    }

    /// Features of `images` (`n x C x H x W` bytes): `n x dimensions`, each channel by itself. Those of the images that were asked for
    /// last, or of the first of them, are there already.
    ///
    /// Errors: [`Error::Argument`] for a bank without filters or windows larger than the image.
    pub fn features(&self, images: &[u8], shape: [usize; 3]) -> Result<Vec<f32>> {
        let last = || LAST.lock().unwrap_or_else(PoisonError::into_inner);
        let has =
            |last: &&Last| last.gabor == *self && last.shape == shape && last.images.starts_with(images);
        if let Some(found) = last().iter().find(has) {
            let count = images.len() / shape.iter().product::<usize>().max(1) * self.dimensions(shape);
            return Ok(found.features[..count].to_vec());
        }
        let features = self.compute(images, shape)?;
        if size_of_val(&features[..]) <= BYTES {
            let mut last = last();
            last.truncate(SETS - 1);
            let (gabor, images) = (self.clone(), images.to_vec());
            last.insert(0, Last { gabor, shape, images, features: features.clone() });
        }
        Ok(features)
    }

    fn compute(&self, images: &[u8], shape: [usize; 3]) -> Result<Vec<f32>> {
        let dimensions = self.dimensions(shape);
        let wrong = |w: &f64| !(w.is_finite() && *w >= 2.0 && *w <= 1000.0);
        if dimensions == 0 || self.pool == 0 || self.stride == 0 || self.wavelengths.iter().any(wrong) {
            return Err(Error::argument("Gabor wavelets", format!("{self:?} on images of {shape:?}")));
        }
        let [channels, height, width] = shape;
        let side = self.side();
        let plane = Patches { shape: [1, height, width], side, padding: side / 2 };
        let bank = self.filters();
        let count = bank.len() / plane.size();
        let packed = Packed::new(Matrix::new(&bank, count, plane.size()).t());
        let mut features = vec![0.0; images.len() / (channels * height * width) * dimensions];
        let each = features.par_chunks_exact_mut(dimensions / channels);
        each.zip(images.par_chunks_exact(height * width)).for_each_init(
            || (Vec::new(), vec![0.0; height * width * count]),
            |(memory, responses), (out, image)| {
                plane.responses(image, &packed, memory, responses);
                self.pool(responses, height, width, count, out);
            },
        );
        Ok(features)
    }

    /// Magnitudes, averaged over windows: window after window, one value per orientation and scale.
    fn pool(&self, responses: &[f32], height: usize, width: usize, count: usize, out: &mut [f32]) {
        let magnitudes: Vec<f32> =
            responses.chunks_exact(2).map(|pair| (pair[0] * pair[0] + pair[1] * pair[1]).sqrt()).collect();
        let filters = count / 2;
        let starts = |size: usize| (0..=size - self.pool).step_by(self.stride);
        let windows = starts(height).flat_map(|y| starts(width).map(move |x| (y, x)));
        let share = 1.0 / (self.pool * self.pool) as f32;
        for ((top, left), out) in windows.zip(out.chunks_exact_mut(filters)) {
            out.fill(0.0);
            for y in top..top + self.pool {
                for x in left..left + self.pool {
                    let at = &magnitudes[(y * width + x) * filters..][..filters];
                    out.iter_mut().zip(at).for_each(|(to, v)| *to += share * v);
                }
            }
        }
    }
}
