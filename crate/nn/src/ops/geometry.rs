//! Sizes of convolutions and poolings, and how the images of a batch lie in memory.

use crate::precision::Precision;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Images side by side, whatever the width of the processor's vectors: sums come out the same on all.
pub const LANES: usize = 16;

/// How the images of a batch lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// One after the other, pixel by pixel: `n x H x W x C`.
    #[default]
    Pixels,
    /// By [`LANES`]: `ceil(n / 16) x H x W x (C * 16)`, for every number of an image those of sixteen images. Lanes
    /// without an image are zero at first, and their gradients stay zero.
    Lanes {
        /// `n`.
        images: usize,
    },
}

impl Order {
    /// Numbers that stand for one channel of a pixel.
    pub fn lanes(self) -> usize {
        if self == Order::Pixels { 1 } else { LANES }
    }

    /// Lanes of the last sixteen that have no image.
    pub(super) fn empty(self) -> usize {
        match self {
            Order::Pixels => 0,
            Order::Lanes { images } => images.next_multiple_of(LANES) - images,
        }
    }

    /// `values`, one a channel, for every lane.
    pub(super) fn spread(self, values: &[f32]) -> Vec<f32> {
        values.iter().flat_map(|&v| std::iter::repeat_n(v, self.lanes())).collect()
    }

    /// Sums a lane to sums a channel.
    pub(super) fn fold(self, sums: &[f32]) -> Vec<f32> {
        let fold = |lanes: &[f32]| lanes.iter().map(|&v| f64::from(v)).sum::<f64>() as f32;
        sums.chunks_exact(self.lanes()).map(fold).collect()
    }

    /// Of so many numbers, those of sixteens without an empty lane, which come first.
    pub(super) fn full(self, numbers: usize) -> usize {
        match self {
            Order::Lanes { images } if self.empty() > 0 => numbers - numbers / images.div_ceil(LANES),
            _ => numbers,
        }
    }

    /// Sets what a gradient has in lanes without an image to zero.
    pub(super) fn clear(self, gradient: &mut [f32]) {
        let first = self.full(gradient.len());
        self.clear_last(&mut gradient[first..]);
    }

    /// The same of numbers that all belong to the last sixteen images.
    pub(super) fn clear_last(self, numbers: &mut [f32]) {
        if self.empty() > 0 {
            numbers.chunks_exact_mut(LANES).for_each(|lanes| lanes[LANES - self.empty()..].fill(0.0));
        }
    }
}

/// What lies beyond an image's edge, as TensorFlow defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// Zeros, so many that the output has `ceil(input / stride)` pixels; of an odd number, one more
    /// below and to the right.
    Same,
    /// Nothing: the window stays inside.
    Valid,
}

/// A window that moves over an image: heights before widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Pixels.
    pub kernel: (usize, usize),
    /// Pixels from one position to the next.
    pub stride: (usize, usize),
    /// The edge.
    pub padding: Padding,
}

impl Window {
    /// A square window.
    pub fn square(side: usize, stride: usize, padding: Padding) -> Window {
        Window { kernel: (side, side), stride: (stride, stride), padding }
    }

    /// Height and width of what comes out of an image; `None` where the window is larger than the image.
    pub fn output(self, height: usize, width: usize) -> Option<(usize, usize)> {
        let (rows, _) = Window::along(self.padding, height, self.kernel.0, self.stride.0)?;
        let (columns, _) = Window::along(self.padding, width, self.kernel.1, self.stride.1)?;
        Some((rows, columns))
    }

    /// Output pixels and padding before the first pixel, along one axis.
    fn along(padding: Padding, input: usize, kernel: usize, stride: usize) -> Option<(usize, usize)> {
        if kernel == 0 || stride == 0 {
            return None;
        }
        match padding {
            Padding::Valid => Some(((input.checked_sub(kernel)?) / stride + 1, 0)),
            Padding::Same => {
                let output = input.div_ceil(stride);
                let all = ((output.checked_sub(1)?) * stride + kernel).saturating_sub(input);
                Some((output, all / 2))
            }
        }
    }
}

/// All sizes of one convolution or pooling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub kernel: (usize, usize),
    pub stride: (usize, usize),
    /// Rows and columns of zeros before the first pixel.
    pub top: usize,
    pub left: usize,
    pub out_height: usize,
    pub out_width: usize,
    pub outputs: usize,
    /// [`Order::Lanes`]: `images` counts sixteens of them.
    pub lanes: bool,
    /// Of products.
    pub precision: Precision,
}

impl Geometry {
    /// Errors: [`Error::Shape`] where the image is smaller than the window.
    pub fn new(
        operation: &'static str,
        (images, height, width, channels): (usize, usize, usize, usize),
        window: Window,
        outputs: usize,
    ) -> Result<Geometry> {
        let Window { kernel, stride, padding } = window;
        let rows = Window::along(padding, height, kernel.0, stride.0);
        let columns = Window::along(padding, width, kernel.1, stride.1);
        match (rows, columns) {
            (Some((out_height, top)), Some((out_width, left))) => Ok(Geometry {
                images,
                height,
                width,
                channels,
                kernel,
                stride,
                top,
                left,
                out_height,
                out_width,
                outputs,
                lanes: false,
                precision: Precision::Float32,
            }),
            _ => {
                let expected = vec![kernel.0, kernel.1];
                Err(Error::Shape { operation, expected, got: vec![height, width] })
            }
        }
    }

    /// For images in `order`, whose last size is channels times lanes.
    pub fn ordered(self, order: Order) -> Geometry {
        Geometry { channels: self.channels / order.lanes(), lanes: order != Order::Pixels, ..self }
    }

    /// With products of factors rounded to `precision`.
    pub fn rounded(self, precision: Precision) -> Geometry {
        Geometry { precision, ..self }
    }

    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    pub fn out_pixels(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Inputs of one output: the height of the weight matrix.
    pub fn inner(&self) -> usize {
        self.kernel.0 * self.kernel.1 * self.channels
    }

    pub fn pointwise(&self) -> bool {
        self.kernel == (1, 1) && self.stride == (1, 1)
    }

    /// The convolution with flipped weights that makes the input's gradient from the output's.
    pub fn backwards(&self) -> Geometry {
        Geometry {
            height: self.out_height,
            width: self.out_width,
            channels: self.outputs,
            top: self.kernel.0 - 1 - self.top,
            left: self.kernel.1 - 1 - self.left,
            out_height: self.height,
            out_width: self.width,
            outputs: self.channels,
            ..*self
        }
    }

    /// Of output row number `row` (all images' pixels in order): the image, and the first input row and
    /// column under the window, counted from the padding's.
    pub fn corner(&self, row: usize) -> (usize, usize, usize) {
        let (image, pixel) = (row / self.out_pixels(), row % self.out_pixels());
        (image, pixel / self.out_width * self.stride.0, pixel % self.out_width * self.stride.1)
    }

    /// An image in the middle of `to`, whose rows have `wide` elements, as far as they reach: with zeros above and to the left of it as the
    /// padding says, and zeros behind it.
    pub(super) fn pad(&self, image: &[f32], wide: usize, to: &mut [f32]) {
        let (row, left) = (self.width * self.channels, self.left * self.channels);
        let there = row.min(wide - left);
        for (y, to) in to.chunks_exact_mut(wide).enumerate() {
            let y = y.wrapping_sub(self.top);
            if y >= self.height {
                to.fill(0.0);
                continue;
            }
            to[..left].fill(0.0);
            to[left..left + there].copy_from_slice(&image[y * row..][..there]);
            to[left + there..].fill(0.0);
        }
    }

    /// The inputs `part` of `0..self.inner()` for each of the output pixels `rows`, side by side.
    pub(super) fn gather(&self, x: &[f32], rows: Range<usize>, part: Range<usize>, to: &mut [f32]) {
        let (c, line) = (self.channels, self.kernel.1 * self.channels);
        for (row, to) in rows.zip(to.chunks_exact_mut(part.len())) {
            let (image, y, column) = self.corner(row);
            let mut rest = to;
            for ky in part.start / line..part.end.div_ceil(line) {
                let wanted = part.start.max(ky * line) - ky * line..part.end.min((ky + 1) * line) - ky * line;
                let (to, after) = rest.split_at_mut(wanted.len());
                rest = after;
                let y = (y + ky).wrapping_sub(self.top);
                if y >= self.height {
                    to.fill(0.0);
                    continue;
                }
                // Element `e` of the line under the window is element `column * c + e - left * c` of the row.
                let source = &x[(image * self.height + y) * self.width * c..][..self.width * c];
                let skipped = (self.left * c).saturating_sub(column * c + wanted.start).min(to.len());
                let start = (column * c + wanted.start + skipped).saturating_sub(self.left * c);
                let there = source.len().saturating_sub(start).min(to.len() - skipped);
                to[..skipped].fill(0.0);
                to[skipped..skipped + there].copy_from_slice(&source[start.min(source.len())..][..there]);
                to[skipped + there..].fill(0.0);
            }
        }
    }
}
