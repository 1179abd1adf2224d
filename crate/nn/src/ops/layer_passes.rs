//! A layer's forward pass and gradients each by itself, and the processor's peak, for benchmarks: what part of the peak each
//! reaches, layer by layer.

use crate::instructions::{arch, bf16};
use crate::ops::conv;
use crate::ops::gemm::{Lanes, Matrix, product_in};
use crate::ops::geometry::{Geometry, Window};
use crate::ops::{Size3, winograd};
use crate::precision::Precision;
use crate::{Result, threads};
use pulp::{Simd, WithSimd};
use std::fmt;
use std::hint::black_box;
use std::time::Instant;

/// A layer that multiplies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Product {
    /// A convolution.
    Conv {
        /// Height, width and channels of what comes in.
        input: Size3,
        /// How the window moves.
        window: Window,
        /// Channels of what comes out.
        outputs: usize,
    },
    /// A fully connected layer.
    Linear {
        /// Numbers that come in.
        inputs: usize,
        /// Units.
        outputs: usize,
    },
}

impl Product {
    /// How it is computed.
    pub fn kind(&self) -> &'static str {
        match self {
            Product::Conv { .. } => match self.geometry(1) {
                Ok(g) if winograd::suits(&g) => match g.kernel {
                    (3, 3) => "Winograd 3x3",
                    (5, 5) => "Winograd 5x5",
                    _ => "Winograd 1x7, 7x1",
                },
                Ok(g) if g.pointwise() => "1x1",
                _ => "gathered",
            },
            Product::Linear { .. } => "fully connected",
        }
    }

    /// Multiplications and additions of one of its passes over `images` images, as it is computed: Winograd's way, there are 36
    /// products for 16 pixels of a 3x3 kernel, where the plain sums have 144, and for 4 of a 5x5 one, where they have 100; and 10 for 4 of
    /// a 1x7 or 7x1 one, where they have 28.
    pub fn work(&self, images: usize) -> f64 {
        let products = match (self, self.geometry(images)) {
            (Product::Conv { .. }, Ok(g)) if winograd::suits(&g) => winograd::products(&g) * g.outputs,
            (Product::Conv { .. }, Ok(g)) => g.images * g.out_pixels() * g.inner() * g.outputs,
            (Product::Conv { .. }, Err(_)) => 0,
            (Product::Linear { inputs, outputs }, _) => images * inputs * outputs,
        };
        2.0 * products as f64
    }

    /// As a convolution; a fully connected layer is one of a single pixel.
    fn geometry(&self, images: usize) -> Result<Geometry> {
        let (input, window, outputs) = match *self {
            Product::Conv { input, window, outputs } => (input, window, outputs),
            Product::Linear { inputs, outputs } => {
                ([1, 1, inputs], Window::square(1, 1, conv::Padding::Valid), outputs)
            }
        };
        let [height, width, channels] = input;
        Geometry::new("layer by itself", (images, height, width, channels), window, outputs)
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Product::Conv { input: [height, width, channels], window, outputs } => {
                let (rows, columns) = window.kernel;
                write!(f, "{height}x{width}x{channels}, {rows}x{columns}")?;
                if window.stride != (1, 1) {
                    write!(f, " by {}", window.stride.0)?;
                }
                write!(f, " to {outputs}")
            }
            Product::Linear { inputs, outputs } => write!(f, "{inputs} to {outputs}"),
        }
    }
}

/// One of a layer's three passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Output from input and weights.
    Forward,
    /// The input's gradient.
    InputGradient,
    /// The weights' gradient.
    WeightGradient,
}

/// A layer with a batch of its own, each number of it some number.
pub struct LayerPasses {
    layer: Product,
    g: Geometry,
    x: Vec<f32>,
    dy: Vec<f32>,
    weights: Vec<f32>,
    y: Vec<f32>,
    dx: Vec<f32>,
    dw: Vec<f32>,
}

impl LayerPasses {
    /// For `images` images.
    ///
    /// Errors: [`crate::Error::Shape`] where the image is smaller than the window; those of [`Precision::check`].
    pub fn new(layer: Product, images: usize, precision: Precision) -> Result<LayerPasses> {
        precision.check()?;
        let g = layer.geometry(images)?.rounded(precision);
        let some = |length: usize, step: usize| -> Vec<f32> {
            (0..length).map(|i| (i * step % 251) as f32 / 251.0 - 0.5).collect()
        };
        let (inputs, outputs) = (images * g.pixels() * g.channels, images * g.out_pixels() * g.outputs);
        let weights = g.inner() * g.outputs;
        Ok(LayerPasses {
            layer,
            g,
            x: some(inputs, 7),
            dy: some(outputs, 11),
            weights: some(weights, 13),
            y: vec![0.0; outputs],
            dx: vec![0.0; inputs],
            dw: vec![0.0; weights],
        })
    }

    /// Seconds of `pass`, once. To be called within [`threads::awake`].
    pub fn run(&mut self, pass: Pass) -> f64 {
        let LayerPasses { layer, g, x, dy, weights, y, dx, dw } = self;
        let start = Instant::now();
        match (layer, pass) {
            (Product::Conv { .. }, Pass::Forward) => conv::forward(g, x, weights, y, false),
            (Product::Conv { .. }, Pass::InputGradient) => conv::input_gradient(g, dy, weights, dx, false),
            (Product::Conv { .. }, Pass::WeightGradient) => conv::weight_gradient(g, x, dy, dw),
            (Product::Linear { inputs: i, outputs: o }, pass) => {
                let (i, o, n) = (*i, *o, g.images);
                let (x, dy) = (Matrix::new(x, n, i), Matrix::new(dy, n, o));
                let weights = Matrix::new(weights, o, i);
                let (to, left, right) = match pass {
                    Pass::Forward => (y, x, weights.t()),
                    Pass::InputGradient => (dx, dy, weights),
                    Pass::WeightGradient => (dw, dy.t(), x),
                };
                product_in(g.precision, to, left, right, false);
            }
        }
        start.elapsed().as_secs_f64()
    }
}

/// Sums that a processor can have under way: more than its fused multiply-adds take steps.
const SUMS: usize = 12;
/// Rounds of one measurement: some milliseconds.
const ROUNDS: usize = 1 << 20;

/// Multiplications and additions in registers, of pairs in bf16 where `PAIRS`.
struct Chains<const PAIRS: bool>;

impl<const PAIRS: bool> WithSimd for Chains<PAIRS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (a, b) = (s.splat_f32s(black_box(0.5)), s.splat_f32s(black_box(1.0)));
        let mut sums = [s.splat_f32s(black_box(0.0)); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = if PAIRS {
                    // SAFETY: pairs are only sent to their own instructions.
                    unsafe { bf16::add_products::<S>(a, b, *sum) }
                } else {
                    s.mul_add_f32s(*sum, a, b)
                };
            }
        }
        black_box(sums);
    }
}

/// Multiplications and additions a second that the processor's vectors can do on `threads` threads, at most all that there are:
/// the best of six measurements.
///
/// # Panics
/// For a precision that the processor does not have ([`Precision::check`]).
pub fn peak(threads: usize, precision: Precision) -> f64 {
    let products = if precision.is_float32() { 1 } else { 2 };
    let each = 2 * products * ROUNDS * SUMS * arch().dispatch(Lanes);
    let once = || {
        let start = Instant::now();
        threads::each(threads, |_| {
            if precision.is_float32() {
                arch().dispatch(Chains::<false>);
            } else {
                bf16::dispatch(Chains::<true>);
            }
        });
        (threads * each) as f64 / start.elapsed().as_secs_f64()
    };
    threads::awake(|| (0..6).map(|_| once()).fold(0.0, f64::max))
}
