//! Changes of an image that augmentation draws: turned, flipped, recoloured.
//!
//! Colours are TensorFlow's `adjust_*` of the time, on the scale of [0, 1], in the order of TF-Slim's Inception
//! preprocessing.

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
