//! Data augmentation (section 3: "random cropping, random perturbation of brightness, saturation, hue and
//! contrast"; the published table 4: flips and rotations up to 25 degrees), on the fly: an image changes from
//! epoch to epoch, its label stays.
//!
//! Colours are TensorFlow's `adjust_*` of the time, on the scale of [0, 1], in the order of TF-Slim's Inception
//! preprocessing. Random crops are [`crate::config::Hyper::random_crop`].

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Which random changes a training image goes through, each drawn anew in every epoch. Zero or `false` is off, and
/// left out of the JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Augmentation {
    /// Left and right exchanged, with probability 1/2.
    #[serde(skip_serializing_if = "is_false")]
    pub flip: bool,
    /// Turned by a uniform angle of at most so many degrees, 0 to 180, either way.
    #[serde(skip_serializing_if = "is_zero")]
    pub rotation: f64,
    /// A uniform number of at most this size, 0 to 1, added to all values.
    #[serde(skip_serializing_if = "is_zero")]
    pub brightness: f64,
    /// Saturation times a uniform factor of `1 - saturation` to `1 + saturation`; 0 to 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub saturation: f64,
    /// Hue moved by a uniform part of at most this size, 0 to 1/2, of the circle of colours.
    #[serde(skip_serializing_if = "is_zero")]
    pub hue: f64,
    /// Distance from each channel's mean times a uniform factor of `1 - contrast` to `1 + contrast`; 0 to 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub contrast: f64,
}

fn is_false(on: &bool) -> bool {
    !on
}

fn is_zero(size: &f64) -> bool {
    *size == 0.0
}

impl Augmentation {
    /// The last row of the published table 4: flips and rotations up to 25 degrees.
    pub const TABLE_4: Augmentation = Augmentation {
        flip: true,
        rotation: 25.0,
        brightness: 0.0,
        saturation: 0.0,
        hue: 0.0,
        contrast: 0.0,
    };

    /// TF-Slim's for ImageNet, beside its random areas: flips and colours (section 3's list).
    pub const IMAGENET: Augmentation = Augmentation {
        flip: true,
        rotation: 0.0,
        brightness: 32.0 / 255.0,
        saturation: 0.5,
        hue: 0.2,
        contrast: 0.5,
    };

    /// Nothing is changed.
    pub fn is_off(&self) -> bool {
        *self == Augmentation::default()
    }

    /// What is wrong with the sizes, if anything.
    pub fn problem(&self) -> Option<String> {
        let sizes = [
            ("rotation", self.rotation, 180.0),
            ("brightness", self.brightness, 1.0),
            ("saturation", self.saturation, 1.0),
            ("hue", self.hue, 0.5),
            ("contrast", self.contrast, 1.0),
        ];
        let wrong = sizes.into_iter().find(|(_, size, most)| !(0.0..=*most).contains(size));
        wrong.map(|(name, size, most)| format!("{name} {size} (0 to {most})"))
    }

    /// What is on, in a few words ("flip, rotation up to 25 degrees"); empty where nothing is.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if self.flip {
            parts.push("flip".to_string());
        }
        if self.rotation > 0.0 {
            parts.push(format!("rotation up to {} degrees", self.rotation));
        }
        let colours = [
            ("brightness", self.brightness),
            ("saturation", self.saturation),
            ("hue", self.hue),
            ("contrast", self.contrast),
        ];
        for (name, size) in colours.into_iter().filter(|(_, size)| *size > 0.0) {
            parts.push(format!("{name} {}", (1_000.0 * size).round() / 1_000.0));
        }
        parts.join(", ")
    }

    /// The changes of training image `image` in `epoch`: the same for equal arguments, whatever was drawn before,
    /// so that a resumed run sees what it would have seen. All numbers are always drawn: switching one change on
    /// or off moves no other.
    pub fn draw(&self, seed: u64, stream: u64, image: u32) -> Change {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        // Six numbers of two words fit into one block of the generator.
        rng.set_word_pos(u128::from(image) * 16);
        let mut within = |size: f64| size * (2.0 * rng.random::<f64>() - 1.0);
        Change {
            flip: within(1.0) < 0.0 && self.flip,
            degrees: within(self.rotation),
            brightness: within(self.brightness) as f32,
            saturation: 1.0 + within(self.saturation) as f32,
            hue: within(self.hue) as f32,
            contrast: 1.0 + within(self.contrast) as f32,
        }
    }
}

/// What happens to one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Left and right exchanged.
    pub flip: bool,
    /// Counter-clockwise.
    pub degrees: f64,
    /// Added to all values.
    pub brightness: f32,
    /// Factor on the saturation.
    pub saturation: f32,
    /// Part of the circle of colours.
    pub hue: f32,
    /// Factor on the distance from each channel's mean.
    pub contrast: f32,
}

impl Change {
    /// Whether colours change.
    pub fn recolours(&self) -> bool {
        (self.brightness, self.saturation, self.hue, self.contrast) != (0.0, 1.0, 0.0, 1.0)
    }

    /// Brightness, saturation, hue, contrast; then values outside [0, 1] become 0 or 1. An image (`C x H x W`)
    /// whose colours do not change keeps its values as they are, outside [0, 1] too.
    pub fn colours(&self, image: &mut [f32], channels: usize) {
        if !self.recolours() {
            return;
        }
        image.iter_mut().for_each(|v| *v += self.brightness);
        saturate(image, channels, self.saturation);
        turn_hue(image, channels, self.hue);
        contrast(image, channels, self.contrast);
        image.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
    }
}

/// Exchanges left and right of every channel of `image` (`C x H x width`).
pub fn flip(image: &mut [f32], width: usize) {
    image.chunks_exact_mut(width).for_each(<[f32]>::reverse);
}

/// `image` (`C x H x W`) turned counter-clockwise about its centre, in `out`. Values between pixels are bilinear;
/// what comes from outside the image is 0, black.
pub fn rotate(image: &[f32], [channels, height, width]: [usize; 3], degrees: f64, out: &mut [f32]) {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (centre_x, centre_y) = (width as f64 / 2.0, height as f64 / 2.0);
    // The pixel at or before a place, the next one (at the edge, itself), and the next one's share.
    let beside = |place: f64, size: usize| {
        let (place, last) = (place - 0.5, size - 1);
        let low = place.floor();
        (low.max(0.0) as usize, ((low + 1.0).max(0.0) as usize).min(last), (place - low) as f32)
    };
    for y in 0..height {
        for x in 0..width {
            let (dx, dy) = (x as f64 + 0.5 - centre_x, y as f64 + 0.5 - centre_y);
            let (from_x, from_y) = (centre_x + cos * dx - sin * dy, centre_y + sin * dx + cos * dy);
            let inside = (0.0..width as f64).contains(&from_x) && (0.0..height as f64).contains(&from_y);
            let ((left, right, u), (top, bottom, v)) = (beside(from_x, width), beside(from_y, height));
            for c in 0..channels {
                let plane = &image[c * height * width..(c + 1) * height * width];
                let row = |y: usize| {
                    let (a, b) = (plane[y * width + left], plane[y * width + right]);
                    a + u * (b - a)
                };
                let value = if inside { row(top) + v * (row(bottom) - row(top)) } else { 0.0 };
                out[(c * height + y) * width + x] = value;
            }
        }
    }
}

/// Each channel's distance from its mean times `factor`.
fn contrast(image: &mut [f32], channels: usize, factor: f32) {
    if factor == 1.0 {
        return;
    }
    let size = image.len() / channels;
    for plane in image.chunks_exact_mut(size) {
        let mean = (plane.iter().map(|&v| f64::from(v)).sum::<f64>() / size as f64) as f32;
        plane.iter_mut().for_each(|v| *v = (*v - mean) * factor + mean);
    }
}

fn saturate(image: &mut [f32], channels: usize, factor: f32) {
    if factor != 1.0 {
        each_colour(image, channels, |[hue, saturation, value]| {
            [hue, (saturation * factor).clamp(0.0, 1.0), value]
        });
    }
}

fn turn_hue(image: &mut [f32], channels: usize, part: f32) {
    if part != 0.0 {
        each_colour(image, channels, |[hue, saturation, value]| {
            [(hue + part + 1.0).rem_euclid(1.0), saturation, value]
        });
    }
}

/// Changes each pixel's hue, saturation and value. A grey image (one channel) has none to change.
fn each_colour(image: &mut [f32], channels: usize, change: impl Fn([f32; 3]) -> [f32; 3]) {
    if channels != 3 {
        return;
    }
    let size = image.len() / 3;
    let (red, rest) = image.split_at_mut(size);
    let (green, blue) = rest.split_at_mut(size);
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        [*r, *g, *b] = rgb(change(hsv([*r, *g, *b])));
    }
}

/// Hue and saturation (0 to 1) and value of a colour, as TensorFlow's `rgb_to_hsv`.
fn hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let value = r.max(g).max(b);
    let range = value - r.min(g).min(b);
    let saturation = if value > 0.0 { range / value } else { 0.0 };
    if range <= 0.0 {
        return [0.0, saturation, value];
    }
    let sixth = 1.0 / (6.0 * range);
    let hue = if r == value {
        sixth * (g - b)
    } else if g == value {
        sixth * (b - r) + 2.0 / 6.0
    } else {
        sixth * (r - g) + 4.0 / 6.0
    };
    [if hue < 0.0 { hue + 1.0 } else { hue }, saturation, value]
}

/// The colour of a hue, saturation and value, as TensorFlow's `hsv_to_rgb`.
fn rgb([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let sixths = 6.0 * hue;
    let parts = [(sixths - 3.0).abs() - 1.0, 2.0 - (sixths - 2.0).abs(), 2.0 - (sixths - 4.0).abs()];
    parts.map(|part| ((1.0 - saturation) + saturation * part.clamp(0.0, 1.0)) * value)
}
