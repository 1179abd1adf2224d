//! Appendix A's preprocessing. Small images: scale to [0, 1], crop 28x28, whiten each by itself. Photographs:
//! TensorFlow's "Inception" preprocessing, as TF-Slim has it, to the network's size and to [-1, 1].

use rand::{Rng, RngExt};

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
