//! The images of a batch: kept on the device, seen as a step sees them.

use super::{Arg, alloc, at, count, into, kernel, length, run, upload};
use crate::cuda::{Backend, Buffer, Fault};
use crate::image::{AugmentedImage, CROP, Change, Pixels};

/// How an image of a batch is seen, as `kernels.cu` has it: words of four bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct ViewWords {
    index: u32,
    corner: [u32; 2],
    flip: u32,
    recoloured: u32,
    /// A number as the sum of two.
    sine: [f32; 2],
    cosine: [f32; 2],
    brightness: f32,
    saturation: f32,
    hue: f32,
    contrast: f32,
}

/// Words of a [`ViewWords`].
const WORDS: usize = size_of::<ViewWords>() / size_of::<f32>();

impl ViewWords {
    fn new(view: &AugmentedImage) -> ViewWords {
        let both = |v: f64| [v as f32, (v - f64::from(v as f32)) as f32];
        let (sine, cosine) = view.change.map_or(0.0, |c| c.degrees).to_radians().sin_cos();
        let on = view.change.filter(Change::recolours);
        ViewWords {
            index: u32::try_from(view.index).expect("fewer than 2^32 images"),
            corner: [view.corner.0, view.corner.1],
            flip: view.change.is_some_and(|c| c.flip).into(),
            recoloured: on.is_some().into(),
            sine: both(sine),
            cosine: both(cosine),
            brightness: on.map_or(0.0, |c| c.brightness),
            saturation: on.map_or(1.0, |c| c.saturation),
            hue: on.map_or(0.0, |c| c.hue),
            contrast: on.map_or(1.0, |c| c.contrast),
        }
    }

    /// Its bits, as the numbers in which memory is counted.
    fn words(self) -> [f32; WORDS] {
        let ViewWords { index, corner: [top, left], flip, recoloured, .. } = self;
        let [a, b, c, d, e] = [index, top, left, flip, recoloured].map(f32::from_bits);
        let ([f, g], [h, i]) = (self.sine, self.cosine);
        [a, b, c, d, e, f, g, h, i, self.brightness, self.saturation, self.hue, self.contrast]
    }
}

/// Images on the device.
pub struct DeviceImages<B: Backend> {
    /// Numbers, or the bits of four bytes each.
    pub(super) pixels: Buffer<B>,
    pub(super) bytes: bool,
    pub images: usize,
    pub(super) shape: [usize; 3],
}

impl<B: Backend> DeviceImages<B> {
    /// Whether there is such an image, with the crop inside.
    pub fn has(&self, view: &AugmentedImage) -> bool {
        let ([_, height, width], (top, left)) = (self.shape, view.corner);
        view.index < self.images && top as usize + CROP <= height && left as usize + CROP <= width
    }
}

/// `pixels` of images of `shape`, on the device.
pub fn keep<B: Backend>(b: &B, pixels: &Pixels, shape: [usize; 3]) -> Result<DeviceImages<B>, Fault<B>> {
    let size: usize = shape.iter().product();
    let (buffer, images) = match pixels {
        Pixels::Floats(numbers) => (upload(b, numbers)?, numbers.len() / size),
        Pixels::Bytes(bytes) => {
            let word = |bytes: &[u8]| {
                let mut word = [0; 4];
                word[..bytes.len()].copy_from_slice(bytes);
                f32::from_bits(u32::from_ne_bytes(word))
            };
            let words: Vec<f32> = bytes.chunks(4).map(word).collect();
            (upload(b, &words)?, bytes.len() / size)
        }
    };
    Ok(DeviceImages { pixels: buffer, bytes: matches!(pixels, Pixels::Bytes(_)), images, shape })
}

/// Sums of each of `rows` rows of `length` numbers, or, with those, of the squares of the differences from the mean.
pub(super) fn along<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    of: Option<&Buffer<B>>,
    rows: usize,
    length: usize,
) -> Result<Buffer<B>, Fault<B>> {
    const PARTS: usize = 28;
    let step = |x: &Buffer<B>, of: Option<&Buffer<B>>, length: usize, parts: usize| {
        let mut to = alloc(b, rows * parts)?;
        let of = match of {
            Some(of) => {
                assert!(self::length(b, of) >= rows, "along: sums");
                at::<B>(of)
            }
            None => Arg::Address(0),
        };
        kernel!(
            b, "along", rows * parts; x => rows * length, &to => rows * parts;
            at::<B>(x), of, into::<B>(&mut to), count(length), count(parts)
        )?;
        Ok(to)
    };
    let parts = step(x, of, length, PARTS)?;
    step(&parts, None, PARTS, 1)
}

/// The images of a batch as a step sees them (`n x C x 28 x 28`), each view of one that is kept.
pub fn views<B: Backend>(
    b: &B,
    kept: &DeviceImages<B>,
    views: &[AugmentedImage],
) -> Result<Buffer<B>, Fault<B>> {
    let [channels, height, width] = kept.shape;
    let (n, area) = (views.len(), CROP * CROP);
    assert!(views.iter().all(|view| kept.has(view)), "views of images that are kept");
    let size = kept.images * channels * height * width;
    assert!(length(b, &kept.pixels) >= if kept.bytes { size.div_ceil(4) } else { size }, "images");
    let words: Vec<f32> = views.iter().flat_map(|view| ViewWords::new(view).words()).collect();
    let (seen, all) = (upload(b, &words)?, n * channels * area);
    let (pixels, none) = (at::<B>(&kept.pixels), Arg::Address(0));
    let (bytes, numbers) = if kept.bytes { (pixels, none) } else { (none, pixels) };
    let mut to = alloc(b, all)?;
    kernel!(
        b, "view", all; &seen => n * WORDS, &to => all;
        bytes, numbers, at::<B>(&seen), into::<B>(&mut to), count(channels), count(height), count(width)
    )?;
    if views.iter().any(|view| view.change.is_some_and(|change| change.recolours())) {
        kernel!(
            b, "recolour", n * area; &to => all, &seen => n * WORDS;
            into::<B>(&mut to), at::<B>(&seen), count(channels)
        )?;
        let sums = along(b, &to, None, n * channels, area)?;
        kernel!(
            b, "contrast", all; &to => all, &seen => n * WORDS, &sums => n * channels;
            into::<B>(&mut to), at::<B>(&seen), at::<B>(&sums), count(channels)
        )?;
    }
    let sums = along(b, &to, None, n, channels * area)?;
    let squares = along(b, &to, Some(&sums), n, channels * area)?;
    kernel!(
        b, "whiten", all; &to => all, &sums => n, &squares => n;
        into::<B>(&mut to), at::<B>(&sums), at::<B>(&squares), count(channels * area)
    )?;
    Ok(to)
}
