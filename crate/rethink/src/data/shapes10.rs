//! The embedded default data set: ten shapes drawn by a program, so that everything runs without a
//! download.
//!
//! Each image shows one shape (the class) on a background. Position, size, rotation, stretch and
//! shear of the shape vary; so do the colours and textures of both (plain, stripes, checks, dots, clouds), the
//! light, the shadow, discs that lie behind the shape, and the sensor's noise. As in photographs, colour
//! and texture tell something about the class, not all: 35 % of a class's images have the hue that it
//! favours, and 35 % the texture; the others have any.
//!
//! # How hard it is
//!
//! Test accuracy in % (mean and range over initial weights and orders) after 20 epochs of SGD with momentum
//! 0.9, on pixels prepared as in appendix A of the paper (28x28 centre crop, per-image whitening). The small
//! conv net has three 3x3 convolutions of 16, 32 and 64 channels. Measured with PyTorch 2.8.0 by
//! `tests/fixtures/shapes10_difficulty.py`, on the first n images of the default set:
//!
//! | model | n = 2,000, 3 seeds | n = 2,000, random labels, 3 seeds | n = 10,000, 1 seed |
//! | --- | --- | --- | --- |
//! | linear | 30.0 (29.6 to 30.6) | 11.3 (10.0 to 12.5) | 32.1 |
//! | MLP 1x512 | 53.3 (53.2 to 53.5) | 10.2 (8.5 to 11.2) | 76.3 |
//! | small conv net | 81.0 (80.4 to 81.8) | 10.6 (9.3 to 12.7) | 91.9 |
//!
//! # The same on every machine
//!
//! The images come from ChaCha8 streams by additions, multiplications, divisions, square roots and
//! roundings of 32-bit floats, which IEEE 754 fixes bit for bit; the system's trigonometric functions,
//! which differ between machines, are not used. `tests/data.rs` pins the fingerprint.

use crate::data::published::Published;
use crate::data::{Dataset, Split};
use crate::{Error, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// The data set as it is known. It needs no files: the program draws it.
pub const EMBEDDED: Published = Published {
    name: "shapes10",
    title: "shapes10 (embedded)",
    fingerprint: Some("49e9b45bab1365d36f328a46a9228462db51f74cde4d49a86fa9c469b3201ad7"),
    paper_name: None,
    comparable: true,
    fetched: false,
    verdict: "the images are those of the name, by their checksum",
};
/// One line for people.
pub const ABOUT: &str = "ten shapes of 32x32x3, drawn by this program";
/// Training images of [`dataset`].
pub const TRAIN: usize = 10_000;
/// Test images of [`dataset`].
pub const TEST: usize = 2_000;
/// Seed of [`dataset`].
pub const SEED: u64 = 10;
/// Class names, in the order of the labels.
pub const CLASSES: [&str; 10] =
    ["disk", "ring", "square", "triangle", "star", "cross", "crescent", "heart", "arrow", "leaf"];

const SIDE: usize = 32;
const PIXELS: usize = SIDE * SIDE;

/// The default set: [`TRAIN`] and [`TEST`] images with seed [`SEED`]. About 1.4 seconds of one core's time,
/// shared among the threads.
pub fn dataset() -> Dataset {
    generate(TRAIN, TEST, SEED).expect("the default sizes are valid")
}

/// `train` and `test` images of 32x32x3 and their labels, drawn from `seed`.
///
/// Image `i` of a split depends on (seed, split, i) alone: a longer set starts with the shorter one, and
/// the number of threads changes nothing. Every ten consecutive labels are the ten classes once, in
/// an order of their own.
///
/// Errors: [`Error::Argument`] when either size is 0 or above 1,000,000.
pub fn generate(train: usize, test: usize, seed: u64) -> Result<Dataset> {
    for size in [train, test] {
        if !(1..=1_000_000).contains(&size) {
            return Err(Error::argument("draw shapes10", format!("{size} images; 1 to 1,000,000")));
        }
    }
    let classes = CLASSES.iter().map(|c| c.to_string()).collect();
    let title = match (train, test, seed) {
        (TRAIN, TEST, SEED) => EMBEDDED.title.to_string(),
        _ => format!("shapes10 (seed {seed})"),
    };
    Dataset::new(EMBEDDED.name, title, classes, [3, SIDE, SIDE], split(train, seed, 0), split(test, seed, 1))
}

fn split(len: usize, seed: u64, split: u64) -> Split {
    let labels: Vec<u16> = (0..len).map(|i| label(seed, split, i as u64)).collect();
    let mut images = vec![0; len * 3 * PIXELS];
    images.par_chunks_exact_mut(3 * PIXELS).zip(&labels).enumerate().for_each(|(i, (image, &label))| {
        let mut draw = Draw::new(seed, split, 0, i as u64);
        Scene::new(label, &mut draw).paint(&mut draw, image);
    });
    Split { images, labels }
}

/// The label of image `index`: its place in the permutation of its block of ten.
fn label(seed: u64, split: u64, index: u64) -> u16 {
    let mut draw = Draw::new(seed, split, 1, index / 10);
    let mut order: [u16; 10] = std::array::from_fn(|i| i as u16);
    for i in (1..10).rev() {
        order.swap(i, draw.below(i + 1));
    }
    order[(index % 10) as usize]
}

/// Uniform draws from one ChaCha8 stream. Our own arithmetic, so that no release of a library changes
/// the images.
struct Draw(ChaCha8Rng);

impl Draw {
    fn new(seed: u64, split: u64, purpose: u64, index: u64) -> Draw {
        let mut key = [0; 32];
        for (part, value) in key.chunks_exact_mut(8).zip([seed, split, purpose, index]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        Draw(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in [0, 1), in steps of 2^-24.
    fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Symmetric about 0 with standard deviation about 1, never beyond 3: a sum of three uniform draws.
    fn bell(&mut self) -> f32 {
        2.0 * (self.unit() + self.unit() + self.unit() - 1.5)
    }

    /// As [`Draw::bell`] from one word instead of three, coarser: a sum of its four bytes.
    fn grain(&mut self) -> f32 {
        let sum: u32 = self.0.next_u32().to_le_bytes().into_iter().map(u32::from).sum();
        (sum as f32 - 510.0) * (1.0 / 148.0)
    }

    fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.0.next_u32()) * n as u64) >> 32) as usize
    }
}

type Point = [f32; 2];
type Rgb = [f32; 3];

fn length(p: Point) -> f32 {
    (p[0] * p[0] + p[1] * p[1]).sqrt()
}

/// A rotation as (cosine, sine), from the tangent of half its angle: the system's trigonometric
/// functions differ between machines, a division does not.
#[derive(Clone, Copy)]
struct Rotation(f32, f32);

impl Rotation {
    fn half_tangent(t: f32) -> Rotation {
        let scale = 1.0 / (1.0 + t * t);
        Rotation((1.0 - t * t) * scale, 2.0 * t * scale)
    }

    fn apply(self, [x, y]: Point) -> Point {
        [self.0 * x - self.1 * y, self.1 * x + self.0 * y]
    }
}

/// 0 below `low`, 1 above `high`, smooth between.
fn smooth(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * t)
}

/// Hue (in turns, any real), saturation and value to red, green and blue, all 0 to 1.
fn colour(hue: f32, saturation: f32, value: f32) -> Rgb {
    [0.0, 2.0 / 3.0, 1.0 / 3.0].map(|shift| {
        let turn = hue + shift;
        let x = ((turn - turn.floor()) * 6.0 - 3.0).abs() - 1.0;
        value * (1.0 - saturation * (1.0 - x.clamp(0.0, 1.0)))
    })
}

const TRIANGLE: [Point; 3] = [[0.0, -1.0], [1.0, 0.75], [-1.0, 0.75]];
const STAR: [Point; 10] = [
    [0.0, -1.1],
    [0.27, -0.37],
    [1.05, -0.34],
    [0.44, 0.14],
    [0.65, 0.89],
    [0.0, 0.46],
    [-0.65, 0.89],
    [-0.44, 0.14],
    [-1.05, -0.34],
    [-0.27, -0.37],
];
const ARROW: [Point; 7] =
    [[0.0, -1.05], [0.9, -0.1], [0.36, -0.1], [0.36, 1.0], [-0.36, 1.0], [-0.36, -0.1], [-0.9, -0.1]];

fn rectangle([x, y]: Point, [half_width, half_height]: Point) -> f32 {
    let (dx, dy) = (x.abs() - half_width, y.abs() - half_height);
    length([dx.max(0.0), dy.max(0.0)]) + dx.max(dy).min(0.0)
}

fn polygon(p: Point, corners: &[Point]) -> f32 {
    let mut nearest = f32::MAX;
    let mut inside = false;
    let mut b = corners[corners.len() - 1];
    for &a in corners {
        let edge = [b[0] - a[0], b[1] - a[1]];
        let from = [p[0] - a[0], p[1] - a[1]];
        let along = (from[0] * edge[0] + from[1] * edge[1]) / (edge[0] * edge[0] + edge[1] * edge[1]);
        let along = along.clamp(0.0, 1.0);
        let off = [from[0] - edge[0] * along, from[1] - edge[1] * along];
        nearest = nearest.min(off[0] * off[0] + off[1] * off[1]);
        // A ray to the left crosses this edge: even-odd rule.
        if (a[1] > p[1]) != (b[1] > p[1]) && p[0] < edge[0] * (p[1] - a[1]) / edge[1] + a[0] {
            inside = !inside;
        }
        b = a;
    }
    if inside { -nearest.sqrt() } else { nearest.sqrt() }
}

/// Signed distance from `p` to the outline of shape `label`, negative inside, in units of the
/// shape's radius; `p` is relative to its centre with y downwards. Beyond 1.6 it is only a bound.
fn distance(label: u16, p: Point) -> f32 {
    let r = length(p);
    if r > 1.6 {
        return r - 1.2;
    }
    let from = |x: f32, y: f32| length([p[0] - x, p[1] - y]);
    match label {
        0 => r - 0.85,
        1 => (r - 0.7).abs() - 0.24,
        2 => rectangle(p, [0.76, 0.76]),
        3 => polygon(p, &TRIANGLE),
        4 => polygon(p, &STAR),
        5 => rectangle(p, [1.0, 0.32]).min(rectangle(p, [0.32, 1.0])),
        6 => (r - 0.98).max(0.8 - from(0.45, -0.1)),
        7 => {
            // A square on its corner, and a disc on each of its two upper sides.
            let half = std::f32::consts::FRAC_1_SQRT_2;
            let square = rectangle([half * (p[0] + p[1]), half * (p[1] - p[0])], [0.62, 0.62]);
            square.min(from(-0.44, -0.44) - 0.62).min(from(0.44, -0.44) - 0.62)
        }
        8 => polygon(p, &ARROW),
        _ => (from(0.55, 0.0) - 1.1).max(from(-0.55, 0.0) - 1.1),
    }
}

/// A repeated pattern with values 0 to 1.
enum Texture {
    Plain,
    Stripes,
    Checks,
    Dots,
    /// Two octaves of smoothed lattice noise.
    Clouds(Box<[f32; 100]>),
}

struct Pattern {
    texture: Texture,
    turn: Rotation,
    offset: Point,
    per_pixel: f32,
}

impl Pattern {
    fn new(kind: usize, draw: &mut Draw) -> Pattern {
        let texture = match kind {
            0 => Texture::Plain,
            1 => Texture::Stripes,
            2 => Texture::Checks,
            3 => Texture::Dots,
            _ => Texture::Clouds(Box::new(std::array::from_fn(|_| draw.unit()))),
        };
        let period = match texture {
            Texture::Clouds(_) => draw.between(6.0, 12.0),
            _ => draw.between(4.5, 9.0),
        };
        Pattern {
            texture,
            turn: Rotation::half_tangent(draw.between(-1.0, 1.0)),
            offset: [draw.between(0.0, 8.0), draw.between(0.0, 8.0)],
            per_pixel: 1.0 / period,
        }
    }

    fn at(&self, p: Point) -> f32 {
        let [u, v] = self.turn.apply(p);
        let [u, v] = [u * self.per_pixel + self.offset[0], v * self.per_pixel + self.offset[1]];
        let wave = |x: f32| (2.0 * (x - x.floor()) - 1.0).abs() * 2.0 - 1.0;
        match &self.texture {
            Texture::Plain => 0.0,
            Texture::Stripes => smooth(-0.35, 0.35, wave(u)),
            Texture::Checks => smooth(-0.2, 0.2, wave(u) * wave(v)),
            Texture::Dots => {
                let cell = [u - u.floor() - 0.5, v - v.floor() - 0.5];
                1.0 - smooth(0.22, 0.36, length(cell))
            }
            Texture::Clouds(lattice) => 0.65 * cloud(lattice, u, v) + 0.35 * cloud(lattice, 2.0 * u, 2.0 * v),
        }
    }
}

fn cloud(lattice: &[f32; 100], u: f32, v: f32) -> f32 {
    let (column, row) = (u.floor(), v.floor());
    let (s, t) = (smooth(0.0, 1.0, u - column), smooth(0.0, 1.0, v - row));
    let value = |dx: i32, dy: i32| {
        let (x, y) = ((column as i32 + dx).rem_euclid(10), (row as i32 + dy).rem_euclid(10));
        lattice[(10 * y + x) as usize]
    };
    let upper = value(0, 0) + (value(1, 0) - value(0, 0)) * s;
    let lower = value(0, 1) + (value(1, 1) - value(0, 1)) * s;
    upper + (lower - upper) * t
}

/// A filled area: two colours and the pattern that mixes them.
struct Paint {
    colours: [Rgb; 2],
    pattern: Pattern,
}

impl Paint {
    fn at(&self, p: Point) -> Rgb {
        mix(self.colours[0], self.colours[1], self.pattern.at(p))
    }
}

/// Everything about an image but its noise.
struct Scene {
    label: u16,
    ground: Paint,
    /// Of the ground: brightness at the image's edges, relative to its middle.
    slope: Point,
    /// Discs behind the shape: centre, radius, colour.
    clutter: Vec<(Point, f32, Rgb)>,
    shape: Paint,
    centre: Point,
    /// Pixels.
    radius: f32,
    turn: Rotation,
    /// Height over width.
    stretch: f32,
    shear: f32,
    shadow: (Point, f32),
    light: Rotation,
    noise: f32,
}

/// Share of the images whose shape has the hue that its class favours.
const FAVOURED_HUE: f32 = 0.35;
/// Share of the images whose shape has the texture that its class favours.
const FAVOURED_TEXTURE: f32 = 0.35;
/// Share of the images whose shape is brighter than the background.
const BRIGHT_ON_DARK: f32 = 0.7;
/// Standard deviation of the centre, pixels.
const SHIFT: f32 = 2.0;
/// Largest tangent of half the angle of rotation.
const ROTATION: f32 = 0.3;

impl Scene {
    fn new(label: u16, draw: &mut Draw) -> Scene {
        let class = usize::from(label);
        let favoured = class as f32 / 10.0 + 0.05;
        let hue = if draw.chance(FAVOURED_HUE) { favoured + 0.04 * draw.bell() } else { draw.unit() };
        let kind = if draw.chance(FAVOURED_TEXTURE) { class % 5 } else { draw.below(5) };
        let bright = draw.chance(BRIGHT_ON_DARK);

        let value = if bright { draw.between(0.75, 1.0) } else { draw.between(0.15, 0.42) };
        let second =
            (value + if bright { -draw.between(0.1, 0.32) } else { draw.between(0.1, 0.25) }).clamp(0.0, 1.0);
        let saturation = draw.between(0.35, 0.95);
        let shape = Paint {
            colours: [
                colour(hue, saturation, value),
                colour(hue + 0.05 * draw.bell(), saturation * draw.between(0.6, 1.0), second),
            ],
            pattern: Pattern::new(kind, draw),
        };

        let ground_hue = draw.unit();
        let ground_value = if bright { draw.between(0.15, 0.5) } else { draw.between(0.6, 0.95) };
        let ground_second = (ground_value + 0.16 * draw.bell()).clamp(0.05, 1.0);
        let ground_saturation = draw.between(0.1, 0.7);
        let kind = draw.below(5);
        let ground = Paint {
            colours: [
                colour(ground_hue, ground_saturation, ground_value),
                colour(ground_hue + 0.08 * draw.bell(), ground_saturation, ground_second),
            ],
            pattern: Pattern::new(kind, draw),
        };
        let clutter = (0..draw.below(4))
            .map(|_| {
                let value = (ground_value + 0.25 * draw.bell()).clamp(0.05, 1.0);
                let tint = colour(draw.unit(), draw.between(0.1, 0.8), value);
                ([draw.between(0.0, 32.0), draw.between(0.0, 32.0)], draw.between(1.5, 4.5), tint)
            })
            .collect();
        Scene {
            label,
            ground,
            slope: [0.12 * draw.bell(), 0.12 * draw.bell()],
            clutter,
            shape,
            centre: [16.0 + SHIFT * draw.bell(), 16.0 + SHIFT * draw.bell()],
            radius: draw.between(7.5, 11.5),
            turn: Rotation::half_tangent(ROTATION * draw.between(-1.0, 1.0)),
            stretch: draw.between(0.82, 1.22),
            shear: 0.08 * draw.bell(),
            shadow: ([draw.between(-2.5, 2.5), draw.between(1.0, 3.0)], draw.between(0.0, 0.5)),
            light: Rotation::half_tangent(draw.between(-1.0, 1.0)),
            noise: draw.between(0.01, 0.05),
        }
    }

    /// From pixels to the shape's own frame.
    fn local(&self, p: Point) -> Point {
        let [x, y] = self.turn.apply([p[0] - self.centre[0], p[1] - self.centre[1]]);
        [(x + self.shear * y) / self.radius * self.stretch, y / (self.radius * self.stretch)]
    }

    /// Writes the image's three planes of bytes.
    fn paint(&self, draw: &mut Draw, image: &mut [u8]) {
        for row in 0..SIDE {
            for column in 0..SIDE {
                let p = [column as f32 + 0.5, row as f32 + 0.5];
                let rgb = self.colour_at(p);
                for (plane, value) in rgb.into_iter().enumerate() {
                    let value = (value + self.noise * draw.grain()).clamp(0.0, 1.0);
                    image[plane * PIXELS + row * SIDE + column] = (value * 255.0 + 0.5) as u8;
                }
            }
        }
    }

    fn colour_at(&self, p: Point) -> Rgb {
        let mut rgb = self.ground.at(p);
        let brightness = 1.0 + (self.slope[0] * (p[0] - 16.0) + self.slope[1] * (p[1] - 16.0)) * (1.0 / 16.0);
        rgb = rgb.map(|c| c * brightness);
        for &(centre, radius, tint) in &self.clutter {
            let d = length([p[0] - centre[0], p[1] - centre[1]]) - radius;
            if d < 0.5 {
                rgb = mix(rgb, tint, (0.5 - d).clamp(0.0, 1.0));
            }
        }
        let (offset, darkness) = self.shadow;
        let below = distance(self.label, self.local([p[0] - offset[0], p[1] - offset[1]])) * self.radius;
        rgb = rgb.map(|c| c * (1.0 - darkness * (1.0 - smooth(-1.0, 2.0, below))));
        let own = self.local(p);
        let d = distance(self.label, own) * self.radius;
        if d < 0.5 {
            let [toward, _] = self.light.apply([own[1], own[0]]);
            let lit = 1.0 - 0.16 * toward;
            let ink = self.shape.at([p[0] - self.centre[0], p[1] - self.centre[1]]).map(|c| c * lit);
            rgb = mix(rgb, ink, (0.5 - d).clamp(0.0, 1.0));
        }
        rgb
    }
}
