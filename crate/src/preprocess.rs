//! Appendix A's preprocessing. Small images: scale to [0, 1], crop 28x28, whiten each by itself. Photographs:
//! TensorFlow's "Inception" preprocessing, as TF-Slim has it, to the network's size and to [-1, 1].

use crate::{Error, Result};
use rand::{Rng, RngExt};
use rayon::prelude::*;

/// Height and width of the crop.
pub const CROP: usize = 28;

/// Top-left corner of the centre crop of an image of `height x width`.
///
/// Errors: [`Error::Shape`] for an image smaller than 28x28.
pub fn centre(height: usize, width: usize) -> Result<(usize, usize)> {
    if height < CROP || width < CROP {
        let operation = "crop";
        return Err(Error::Shape { operation, expected: vec![CROP, CROP], got: vec![height, width] });
    }
    Ok(((height - CROP) / 2, (width - CROP) / 2))
}

/// Copies the 28x28 crop at (`top`, `left`) of every channel of `image` (`C x H x W`, any numbers)
/// to `out` (`C x 28 x 28`), through `value`.
pub fn crop<P: Copy>(
    image: &[P],
    shape: [usize; 3],
    (top, left): (usize, usize),
    out: &mut [f32],
    value: impl Fn(P) -> f32,
) {
    let [channels, height, width] = shape;
    for c in 0..channels {
        for y in 0..CROP {
            let from = (c * height + top + y) * width + left;
            let to = (c * CROP + y) * CROP;
            for (o, i) in out[to..to + CROP].iter_mut().zip(&image[from..from + CROP]) {
                *o = value(*i);
            }
        }
    }
}

/// TensorFlow's `per_image_whitening`: subtracts the mean and divides by
/// `max(std, 1 / sqrt(N))`, over all `N` values of the image.
///
/// The sums are in f64: an image's result does not depend on what surrounds it.
pub fn whiten(image: &mut [f32]) {
    let n = image.len() as f64;
    let mean = image.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = image.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    let scale = 1.0 / variance.sqrt().max(1.0 / n.sqrt());
    for v in image {
        *v = ((f64::from(*v) - mean) * scale) as f32;
    }
}

/// Pixels of a split before cropping and whitening.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// Bytes, 0 to 255.
    Bytes(Vec<u8>),
    /// Numbers on the scale of bytes divided by 255, not necessarily within [0, 1]: Gaussian noise
    /// is not rounded to bytes.
    Floats(Vec<f32>),
}

impl Pixels {
    /// Writes crop number `index` at `corner`, scaled to [0, 1] and whitened, to `out`
    /// (`C x 28 x 28`).
    pub fn whitened(&self, index: usize, shape: [usize; 3], corner: (usize, usize), out: &mut [f32]) {
        let size: usize = shape.iter().product();
        let range = index * size..(index + 1) * size;
        match self {
            Pixels::Bytes(p) => crop(&p[range], shape, corner, out, |b| f32::from(b) / 255.0),
            Pixels::Floats(p) => crop(&p[range], shape, corner, out, |v| v),
        }
        whiten(out);
    }

    /// Image number `index`, whole, scaled to [0, 1] (Gaussian noise: about [0, 1]): `C x H x W`.
    pub fn scaled(&self, index: usize, shape: [usize; 3]) -> Vec<f32> {
        let size: usize = shape.iter().product();
        let range = index * size..(index + 1) * size;
        match self {
            Pixels::Bytes(p) => p[range].iter().map(|&b| f32::from(b) / 255.0).collect(),
            Pixels::Floats(p) => p[range].to_vec(),
        }
    }

    /// All `n` images, centre-cropped and whitened: `n x C x 28 x 28`.
    ///
    /// Errors: [`Error::Shape`] for images smaller than 28x28.
    pub fn whitened_all(&self, n: usize, shape: [usize; 3]) -> Result<Vec<f32>> {
        let corner = centre(shape[1], shape[2])?;
        let size = shape[0] * CROP * CROP;
        let mut out = vec![0.0; n * size];
        out.par_chunks_mut(size)
            .enumerate()
            .for_each(|(index, image)| self.whitened(index, shape, corner, image));
        Ok(out)
    }
}

/// A decoded photograph of any size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photograph {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// `height x width x 3` bytes: red, green, blue.
    pub rgb: Vec<u8>,
}

/// A part of a photograph, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Area {
    /// The share of a photograph's height and width that is tested on.
    pub const CENTRAL: f64 = 0.875;

    /// TensorFlow's `central_crop` of [`Area::CENTRAL`].
    pub fn central(height: usize, width: usize) -> Area {
        let from = |size: usize| ((size as f64 - size as f64 * Area::CENTRAL) / 2.0) as usize;
        let (top, left) = (from(height), from(width));
        Area { top, left, height: height - 2 * top, width: width - 2 * left }
    }

    /// TF-Slim's random area, with the whole photograph for an object's box: 5 to 100 % of it, 3/4 to 4/3 times as wide
    /// as high; the whole where a hundred draws do not fit.
    pub fn random(height: usize, width: usize, rng: &mut impl Rng) -> Area {
        for _ in 0..100 {
            let ratio = rng.random_range(0.75..=4.0 / 3.0);
            let pixels = rng.random_range(0.05..=1.0) * (height * width) as f64;
            let high = (pixels / ratio).sqrt();
            let (rows, columns) = (high.round() as usize, (high * ratio).round() as usize);
            let (up, across) = (rng.random::<f64>(), rng.random::<f64>());
            if (1..=height).contains(&rows) && (1..=width).contains(&columns) {
                let place = |share: f64, free: usize| ((share * (free + 1) as f64) as usize).min(free);
                let (top, left) = (place(up, height - rows), place(across, width - columns));
                return Area { top, left, height: rows, width: columns };
            }
        }
        Area { top: 0, left: 0, height, width }
    }
}

impl Photograph {
    /// `area`, resized to `side x side` by TensorFlow's `resize_bilinear` (pixel `y` is taken from `y * height / side`,
    /// between its two neighbours, without smoothing), on the scale of [0, 1], in `out` (`3 x side x side`).
    pub fn resized(&self, area: Area, side: usize, out: &mut [f32]) {
        let along = |size: usize| {
            (0..side).map(move |i| {
                let place = i as f32 * (size as f32 / side as f32);
                let low = (place as usize).min(size - 1);
                (low, (low + 1).min(size - 1), place - low as f32)
            })
        };
        let columns: Vec<_> = along(area.width).collect();
        for (y, (top, bottom, v)) in along(area.height).enumerate() {
            let row = |y: usize| &self.rgb[3 * (area.top + y) * self.width..][..3 * self.width];
            let (above, below) = (row(top), row(bottom));
            for (x, &(left, right, u)) in columns.iter().enumerate() {
                let (left, right) = (3 * (area.left + left), 3 * (area.left + right));
                for c in 0..3 {
                    let mix = |line: &[u8]| {
                        let (a, b) = (f32::from(line[left + c]), f32::from(line[right + c]));
                        a + u * (b - a)
                    };
                    let (a, b) = (mix(above), mix(below));
                    out[(c * side + y) * side + x] = (a + v * (b - a)) / 255.0;
                }
            }
        }
    }
}

/// [0, 1] to [-1, 1].
pub fn centre_values(image: &mut [f32]) {
    image.iter_mut().for_each(|v| *v = 2.0 * (*v - 0.5));
}
