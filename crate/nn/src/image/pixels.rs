//! Pixels of small images: cropped to 28x28 and whitened, each image by itself (appendix A).

use crate::{Error, Result};
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
