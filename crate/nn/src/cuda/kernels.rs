//! The functions of `kernels.cu`, each with the types and lengths that it takes. A length that does not fit is a defect
//! of the caller and panics, as indexing would.

use crate::cuda::{Backend, Buffer, Done, Fault, Sgemm};
use crate::image::AugmentedImage;
use crate::image::Change;
use crate::image::{CROP, Pixels};
use crate::kernel_methods::patches::Patches;
use crate::kernel_methods::random_conv::{BIAS, POOL, STRIDE};
use crate::ops::geometry::Geometry;
use crate::precision::Precision;
use dfdx::prelude::Storage;
use std::ffi::c_void;
use std::sync::Arc;

/// The text that is compiled for a device.
pub const SOURCE: &str = include_str!("kernels.cu");

/// Every function in it.
pub const NAMES: [&str; 54] = [
    "view",
    "recolour",
    "along",
    "contrast",
    "whiten",
    "pixels",
    "columns",
    "rounded",
    "im2col",
    "im2col4",
    "col2im",
    "col2im4",
    "winograd_input",
    "winograd_output",
    "winograd_output_gradient",
    "winograd_weights",
    "winograd_weight_gradient",
    "sum_rows",
    "bias",
    "relu_back",
    "times",
    "scaled",
    "moments",
    "batch_channels",
    "running_channels",
    "normalise",
    "normalise_sums",
    "normalise_back",
    "follow",
    "max_pool",
    "pool_back",
    "mean_pool",
    "global_mean",
    "global_mean_back",
    "lrn",
    "lrn_spread",
    "lrn_back",
    "cross_entropy",
    "weigh",
    "sgd",
    "rms_prop",
    "adam",
    "average",
    "gaussian",
    "mirror",
    "raised",
    "plus",
    "diagonal",
    "apply",
    "whole",
    "patches",
    "rectified",
    "centred",
    "standardised",
];

/// Rows that one thread sums up.
const GROUP: usize = 64;
/// The same of sums that are the last: few threads are left, and another launch takes longer.
const LAST: usize = 128;

/// Checks lengths: `kernel!(backend, name, threads; buffer has length, ...; arguments)`.
macro_rules! kernel {
    ($b:expr, $name:expr, $threads:expr; $($buffer:expr => $length:expr),*; $($argument:expr),* $(,)?) => {{
        $(assert!(length($b, $buffer) >= $length, "{}: {} of {} numbers", $name, length($b, $buffer), $length);)*
        // SAFETY: the types are those of the function of this name in kernels.cu, where its lengths are those that
        // have been checked.
        unsafe { run($b, $name, $threads, &[$($argument),*]) }
    }};
}

/// Sizes of a convolution or pooling, as `kernels.cu` has them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    images: i32,
    height: i32,
    width: i32,
    channels: i32,
    kernel: [i32; 2],
    stride: [i32; 2],
    top: i32,
    left: i32,
    out_height: i32,
    out_width: i32,
    outputs: i32,
}

impl Sizes {
    /// Of `images` of the images.
    fn new(g: &Geometry, images: usize) -> Sizes {
        let int = |v: usize| i32::try_from(v).expect("sizes of an image");
        Sizes {
            images: int(images),
            height: int(g.height),
            width: int(g.width),
            channels: int(g.channels),
            kernel: [int(g.kernel.0), int(g.kernel.1)],
            stride: [int(g.stride.0), int(g.stride.1)],
            top: int(g.top),
            left: int(g.left),
            out_height: int(g.out_height),
            out_width: int(g.out_width),
            outputs: int(g.outputs),
        }
    }

    /// The same for threads of so many channels, the second result: four where that divides them.
    fn by_channels(g: &Geometry, images: usize) -> (Sizes, usize) {
        let at_once = if g.channels.is_multiple_of(4) { 4 } else { 1 };
        let sizes = Sizes::new(g, images);
        (Sizes { channels: sizes.channels / at_once as i32, ..sizes }, at_once)
    }
}

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
pub(super) struct DeviceImages<B: Backend> {
    /// Numbers, or the bits of four bytes each.
    pixels: Buffer<B>,
    bytes: bool,
    pub images: usize,
    shape: [usize; 3],
}

impl<B: Backend> DeviceImages<B> {
    /// Whether there is such an image, with the crop inside.
    pub fn has(&self, view: &AugmentedImage) -> bool {
        let ([_, height, width], (top, left)) = (self.shape, view.corner);
        view.index < self.images && top as usize + CROP <= height && left as usize + CROP <= width
    }
}

/// `pixels` of images of `shape`, on the device.
pub(super) fn keep<B: Backend>(
    b: &B,
    pixels: &Pixels,
    shape: [usize; 3],
) -> Result<DeviceImages<B>, Fault<B>> {
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
fn along<B: Backend>(
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
pub(super) fn views<B: Backend>(
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

/// An argument of a kernel.
#[derive(Clone, Copy)]
enum Arg<'a> {
    Address(u64),
    Count(u32),
    Real(f32),
    Sizes(Sizes),
    Tensors(&'a Tensors),
}

impl Arg<'_> {
    /// Where the value lies: a kernel reads as many bytes as its parameter has.
    fn pointer(&mut self) -> *mut c_void {
        match self {
            Arg::Address(v) => std::ptr::from_mut(v).cast(),
            Arg::Count(v) => std::ptr::from_mut(v).cast(),
            Arg::Real(v) => std::ptr::from_mut(v).cast(),
            Arg::Sizes(v) => std::ptr::from_mut(v).cast(),
            // Only read.
            Arg::Tensors(v) => std::ptr::from_ref(*v).cast_mut().cast(),
        }
    }
}

fn count(v: usize) -> Arg<'static> {
    Arg::Count(u32::try_from(v).expect("fewer than 2^32 numbers"))
}

fn at<B: Backend>(buffer: &Buffer<B>) -> Arg<'static> {
    Arg::Address(B::address(buffer))
}

/// The same of one that is written.
fn into<B: Backend>(buffer: &mut Buffer<B>) -> Arg<'static> {
    at::<B>(buffer)
}

fn from<B: Backend>(buffer: &Buffer<B>, first: usize) -> Arg<'static> {
    Arg::Address(address::<B>(buffer, first))
}

/// Where number `first` of a buffer lies.
fn address<B: Backend>(buffer: &Buffer<B>, first: usize) -> u64 {
    B::address(buffer) + (first * size_of::<f32>()) as u64
}

/// A size as BLAS takes it.
fn int(size: usize) -> i32 {
    i32::try_from(size).expect("sizes of a matrix")
}

/// # Safety
/// As for [`Backend::launch`]; the number of threads is put before `arguments`.
unsafe fn run<B: Backend>(b: &B, kernel: &'static str, threads: usize, arguments: &[Arg]) -> Done<B> {
    if threads == 0 {
        return Ok(());
    }
    let threads = u32::try_from(threads).expect("fewer than 2^32 threads");
    let mut arguments: Vec<Arg> =
        std::iter::once(Arg::Count(threads)).chain(arguments.iter().copied()).collect();
    let mut pointers: Vec<*mut c_void> = arguments.iter_mut().map(Arg::pointer).collect();
    // SAFETY: the caller's.
    unsafe { b.launch(kernel, threads, &mut pointers) }
}

/// How many numbers a buffer has.
pub(super) fn length<B: Backend>(b: &B, buffer: &Buffer<B>) -> usize {
    Storage::<f32>::len(b.store(), buffer)
}

/// New memory, to be written before it is read.
pub(super) fn alloc<B: Backend>(b: &B, length: usize) -> Result<Buffer<B>, Fault<B>> {
    b.alloc(length.max(1))
}

/// New memory of zeros.
pub(super) fn zeros<B: Backend>(b: &B, length: usize) -> Result<Buffer<B>, Fault<B>> {
    Storage::<f32>::try_alloc_len(b.store(), length)
}

/// Numbers on the device.
pub(super) fn upload<B: Backend>(b: &B, values: &[f32]) -> Result<Buffer<B>, Fault<B>> {
    let mut buffer = alloc(b, values.len())?;
    if !values.is_empty() {
        b.upload(values, &mut buffer)?;
    }
    Ok(buffer)
}

/// `n` images of `channels` and `area` pixels, channel by channel, pixel by pixel.
pub(super) fn pixels<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    to: &mut Buffer<B>,
    [n, area, channels]: [usize; 3],
) -> Done<B> {
    let all = n * area * channels;
    kernel!(b, "pixels", all; x => all, to => all; at::<B>(x), into::<B>(to), count(channels), count(area))
}

/// Columns of a matrix: how many there are in all, and the first of those meant.
pub(super) type Columns = (usize, usize);

/// What a layer gives, or its gradient: columns of a matrix of pixels, which may have others beside them.
pub(super) struct ColumnSlice<'a, B: Backend> {
    buffer: &'a Buffer<B>,
    /// Numbers of a row of the matrix.
    apart: usize,
    first: usize,
}

impl<B: Backend> Clone for ColumnSlice<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for ColumnSlice<'_, B> {}

impl<'a, B: Backend> ColumnSlice<'a, B> {
    /// These columns of a matrix.
    pub fn new(buffer: &'a Buffer<B>, (apart, first): Columns) -> Self {
        ColumnSlice { buffer, apart, first }
    }

    /// Numbers of the whole matrix of `rows` rows, of which `columns` columns are meant.
    fn length(&self, rows: usize, columns: usize) -> usize {
        assert!(
            self.first + columns <= self.apart,
            "{columns} columns from {} of {}",
            self.first,
            self.apart
        );
        rows * self.apart
    }

    /// Where the first one lies, to be read or written.
    fn arg(&self) -> Arg<'static> {
        from::<B>(self.buffer, self.first)
    }

    /// The memory, where no other columns are in it.
    pub fn alone(self) -> &'a Buffer<B> {
        assert_eq!(self.first, 0, "columns beside others");
        self.buffer
    }
}

/// `width` columns of `rows` rows of `x` become those of `to`, or are added.
pub(super) fn columns<B: Backend>(
    b: &B,
    x: ColumnSlice<B>,
    to: ColumnSlice<B>,
    [rows, width]: [usize; 2],
    add: bool,
) -> Done<B> {
    kernel!(
        b, "columns", rows * width; x.buffer => x.length(rows, width), to.buffer => to.length(rows, width);
        x.arg(), count(x.apart), to.arg(), count(to.apart), count(width), count(usize::from(add))
    )
}

/// Room, in numbers of memory, for so many of a product's factor.
pub(super) fn stored(precision: Precision, numbers: usize) -> usize {
    match precision {
        Precision::Float32 => numbers,
        Precision::Bf16 => numbers.div_ceil(2),
    }
}

/// Numbers on the device that products read, as they were made or rounded.
pub(super) struct Numbers<B: Backend> {
    pub buffer: Arc<Buffer<B>>,
    precision: Precision,
}

impl<B: Backend> Numbers<B> {
    /// So many of `x`, in `precision`: a copy where that is not float32.
    pub fn new(b: &B, precision: Precision, x: Arc<Buffer<B>>, all: usize) -> Result<Self, Fault<B>> {
        Ok(rounded(b, precision, &x, all)?.unwrap_or(Numbers { buffer: x, precision }))
    }

    /// `rows x columns` of them, row after row, from the number `first` on.
    pub fn matrix(&self, first: usize, rows: usize, columns: usize) -> Factor<'_, B> {
        Factor { buffer: &self.buffer, first, rows, columns, transposed: false, precision: self.precision }
    }
}

/// A copy of so many of `x`, rounded to `precision`; none for float32, where products read `x` itself.
pub(super) fn rounded<B: Backend>(
    b: &B,
    precision: Precision,
    x: &Buffer<B>,
    all: usize,
) -> Result<Option<Numbers<B>>, Fault<B>> {
    if precision.is_float32() {
        return Ok(None);
    }
    let mut to = alloc(b, stored(precision, all))?;
    kernel!(
        b, "rounded", all; x => all, &to => stored(precision, all);
        at::<B>(x), into::<B>(&mut to)
    )?;
    Ok(Some(Numbers { buffer: Arc::new(to), precision }))
}

fn is_rounded(precision: Precision) -> Arg<'static> {
    count(usize::from(!precision.is_float32()))
}

/// The inputs under the output pixels of `images` images from the `first` on: rows of `to`, in the precision of products.
pub(super) fn im2col<B: Backend>(
    b: &B,
    g: &Geometry,
    x: &Buffer<B>,
    to: &mut Buffer<B>,
    (first, images): (usize, usize),
) -> Done<B> {
    let size = g.pixels() * g.channels;
    let all = images * g.out_pixels() * g.inner();
    let (sizes, at_once) = Sizes::by_channels(g, images);
    let name = if at_once == 4 { "im2col4" } else { "im2col" };
    kernel!(
        b, name, all / at_once; x => (first + images) * size, to => stored(g.precision, all);
        from::<B>(x, first * size), into::<B>(to), Arg::Sizes(sizes), is_rounded(g.precision)
    )
}

/// The other way: sums of the rows where they came from.
pub(super) fn col2im<B: Backend>(
    b: &B,
    g: &Geometry,
    rows: &Buffer<B>,
    dx: &mut Buffer<B>,
    (first, images): (usize, usize),
    add: bool,
) -> Done<B> {
    let size = g.pixels() * g.channels;
    let (sizes, at_once) = Sizes::by_channels(g, images);
    let name = if at_once == 4 { "col2im4" } else { "col2im" };
    kernel!(
        b, name, images * size / at_once;
        rows => images * g.out_pixels() * g.inner(), dx => (first + images) * size;
        at::<B>(rows), from::<B>(dx, first * size), Arg::Sizes(sizes), count(usize::from(add))
    )
}

/// Transformed numbers of a tile and channel in Winograd's convolution.
pub(super) const POINTS: usize = 36;

/// Pixels a side of a tile of output.
fn tile_side(g: &Geometry) -> usize {
    7 - g.kernel.0
}

/// Tiles of an image of output.
pub(super) fn tiles(g: &Geometry) -> usize {
    g.out_height.div_ceil(tile_side(g)) * g.out_width.div_ceil(tile_side(g))
}

/// Transforms the inputs of some images: a matrix for each of [`POINTS`], with a row of channels a tile.
pub(super) fn winograd_input<B: Backend>(
    b: &B,
    g: &Geometry,
    x: &Buffer<B>,
    (first, images): (usize, usize),
) -> Result<Buffer<B>, Fault<B>> {
    let (size, all) = (g.pixels() * g.channels, images * tiles(g) * g.channels);
    let mut to = alloc(b, stored(g.precision, POINTS * all))?;
    kernel!(
        b, "winograd_input", all; x => (first + images) * size, &to => stored(g.precision, POINTS * all);
        from::<B>(x, first * size), into::<B>(&mut to), Arg::Sizes(Sizes::new(g, images)), is_rounded(g.precision)
    )?;
    Ok(to)
}

/// Transforms products back to the outputs of some images, or adds to them.
pub(super) fn winograd_output<B: Backend>(
    b: &B,
    g: &Geometry,
    products: &Buffer<B>,
    y: &mut Buffer<B>,
    (first, images): (usize, usize),
    add: bool,
) -> Done<B> {
    let (size, all) = (g.out_pixels() * g.outputs, images * tiles(g) * g.outputs);
    kernel!(
        b, "winograd_output", all; products => POINTS * all, y => (first + images) * size;
        at::<B>(products), from::<B>(y, first * size), Arg::Sizes(Sizes::new(g, images)), count(usize::from(add))
    )
}

/// Transforms the gradients of the outputs of some images, for the gradient of the weights.
pub(super) fn winograd_output_gradient<B: Backend>(
    b: &B,
    g: &Geometry,
    dy: &Buffer<B>,
    (first, images): (usize, usize),
) -> Result<Buffer<B>, Fault<B>> {
    let (size, all) = (g.out_pixels() * g.outputs, images * tiles(g) * g.outputs);
    let mut to = alloc(b, stored(g.precision, POINTS * all))?;
    kernel!(
        b, "winograd_output_gradient", all; dy => (first + images) * size, &to => stored(g.precision, POINTS * all);
        from::<B>(dy, first * size), into::<B>(&mut to), Arg::Sizes(Sizes::new(g, images)), is_rounded(g.precision)
    )?;
    Ok(to)
}

/// Transforms the weights; with `flipped`, for the gradient of the input, transposed.
pub(super) fn winograd_weights<B: Backend>(
    b: &B,
    g: &Geometry,
    weights: &Buffer<B>,
    flipped: bool,
) -> Result<Buffer<B>, Fault<B>> {
    let all = g.channels * g.outputs;
    let mut to = alloc(b, stored(g.precision, POINTS * all))?;
    kernel!(
        b, "winograd_weights", all;
        weights => g.inner() * g.outputs, &to => stored(g.precision, POINTS * all);
        at::<B>(weights), into::<B>(&mut to), count(g.kernel.0), count(usize::from(flipped)), is_rounded(g.precision)
    )?;
    Ok(to)
}

/// Transforms products back to the gradient of the weights, or adds to it.
pub(super) fn winograd_weight_gradient<B: Backend>(
    b: &B,
    g: &Geometry,
    products: &Buffer<B>,
    dw: &mut Buffer<B>,
    add: bool,
) -> Done<B> {
    let all = g.channels * g.outputs;
    kernel!(
        b, "winograd_weight_gradient", all; products => POINTS * all, dw => g.inner() * g.outputs;
        at::<B>(products), into::<B>(dw), count(g.kernel.0), count(usize::from(add))
    )
}

/// The sum of all rows, by groups, and groups of groups.
pub(super) fn sum_rows<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    rows: usize,
    columns: usize,
) -> Result<Buffer<B>, Fault<B>> {
    let group = group(rows);
    let sums = sum_groups(b, x, [rows, columns], group)?;
    if group >= rows { Ok(sums) } else { sum_rows(b, &sums, rows.div_ceil(group), columns) }
}

/// Rows that one thread sums up, of so many: as many as there are groups, but no more than [`GROUP`].
fn group(rows: usize) -> usize {
    if rows <= LAST { rows } else { (rows.isqrt() + 1).min(GROUP) }
}

/// The sums of every `group` rows.
pub(super) fn sum_groups<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    [rows, columns]: [usize; 2],
    group: usize,
) -> Result<Buffer<B>, Fault<B>> {
    let parts = rows.div_ceil(group);
    let mut to = alloc(b, parts * columns)?;
    kernel!(
        b, "sum_rows", parts * columns; x => rows * columns, &to => parts * columns;
        at::<B>(x), into::<B>(&mut to), count(rows), count(columns), count(group)
    )?;
    Ok(to)
}

/// A bias a column of `rows` rows, then ReLU with `relu`, from `x` (it may be the result's memory) to `y`.
pub(super) fn bias<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    y: ColumnSlice<B>,
    bias: &Buffer<B>,
    [rows, columns]: [usize; 2],
    relu: bool,
) -> Done<B> {
    kernel!(
        b, "bias", rows * columns; x => rows * columns, y.buffer => y.length(rows, columns), bias => columns;
        at::<B>(x), y.arg(), at::<B>(bias), count(columns), count(y.apart), count(usize::from(relu))
    )
}

/// What a ReLU, which gave `y`, lets pass of a gradient, which lies as that does.
pub(super) fn relu_back<B: Backend>(
    b: &B,
    y: ColumnSlice<B>,
    dy: ColumnSlice<B>,
    [rows, columns]: [usize; 2],
) -> Result<Buffer<B>, Fault<B>> {
    let all = rows * columns;
    let mut dx = alloc(b, all)?;
    assert_eq!(y.apart, dy.apart, "relu_back: rows");
    kernel!(
        b, "relu_back", all; y.buffer => y.length(rows, columns), dy.buffer => dy.length(rows, columns), &dx => all;
        y.arg(), dy.arg(), into::<B>(&mut dx), count(columns), count(y.apart)
    )?;
    Ok(dx)
}

/// `to = x * factors`, or `+=`.
pub(super) fn times<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    factors: &Buffer<B>,
    to: &mut Buffer<B>,
    all: usize,
    add: bool,
) -> Done<B> {
    kernel!(
        b, "times", all; x => all, factors => all, to => all;
        at::<B>(x), at::<B>(factors), into::<B>(to), count(usize::from(add))
    )
}

/// `to = x * factor`, one number, or `+=`.
pub(super) fn scaled<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    factor: &Buffer<B>,
    to: &mut Buffer<B>,
    all: usize,
    add: bool,
) -> Done<B> {
    kernel!(
        b, "scaled", all; x => all, factor => 1, to => all;
        at::<B>(x), at::<B>(factor), into::<B>(to), count(usize::from(add))
    )
}

/// Of each column of `rows` rows, the sum of the differences from the first row, and of their squares: in parts, no more than
/// [`LAST`], that are still to be summed.
fn moments_in_parts<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    [rows, columns]: [usize; 2],
) -> Result<(Buffer<B>, usize), Fault<B>> {
    let mut parts = rows.div_ceil(GROUP);
    let mut sums = alloc(b, parts * 2 * columns)?;
    kernel!(
        b, "moments", parts * columns; x => rows * columns, &sums => parts * 2 * columns;
        at::<B>(x), into::<B>(&mut sums), count(rows), count(columns), count(GROUP)
    )?;
    while parts > LAST {
        sums = sum_groups(b, &sums, [parts, 2 * columns], group(parts))?;
        parts = parts.div_ceil(group(parts));
    }
    Ok((sums, parts))
}

/// The same, summed: the differences of all columns, then the squares.
pub(super) fn moments<B: Backend>(b: &B, x: &Buffer<B>, sizes: [usize; 2]) -> Result<Buffer<B>, Fault<B>> {
    let (sums, parts) = moments_in_parts(b, x, sizes)?;
    sum_rows(b, &sums, parts, 2 * sizes[1])
}

/// Of a batch of `rows` pixels: mean, 1 / deviation and `b` of each channel; and mean and unbiased variance for the
/// running statistics.
pub(super) fn batch_channels<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    shift: &Buffer<B>,
    [rows, columns]: [usize; 2],
    epsilon: f32,
) -> Result<(Buffer<B>, Buffer<B>), Fault<B>> {
    let (sums, parts) = moments_in_parts(b, x, [rows, columns])?;
    let (mut channels, mut noted) = (alloc(b, 3 * columns)?, alloc(b, 2 * columns)?);
    kernel!(
        b, "batch_channels", columns;
        &sums => parts * 2 * columns, x => columns, shift => columns, &channels => 3 * columns, &noted => 2 * columns;
        at::<B>(&sums), count(parts), at::<B>(x), at::<B>(shift), into::<B>(&mut channels), into::<B>(&mut noted),
        Arg::Real(rows as f32), Arg::Real(epsilon)
    )?;
    Ok((channels, noted))
}

/// The same from running statistics, which note nothing.
pub(super) fn running_channels<B: Backend>(
    b: &B,
    mean: &Buffer<B>,
    variance: &Buffer<B>,
    shift: &Buffer<B>,
    columns: usize,
    epsilon: f32,
) -> Result<Buffer<B>, Fault<B>> {
    let mut channels = alloc(b, 3 * columns)?;
    kernel!(
        b, "running_channels", columns;
        mean => columns, variance => columns, shift => columns, &channels => 3 * columns;
        at::<B>(mean), at::<B>(variance), at::<B>(shift), into::<B>(&mut channels), Arg::Real(epsilon)
    )?;
    Ok(channels)
}

/// ReLU of the normalised `x`.
pub(super) fn normalise<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    y: ColumnSlice<B>,
    channels: &Buffer<B>,
    [rows, columns]: [usize; 2],
) -> Done<B> {
    let all = rows * columns;
    kernel!(
        b, "normalise", all; x => all, y.buffer => y.length(rows, columns), channels => 3 * columns;
        at::<B>(x), y.arg(), at::<B>(channels), count(columns), count(y.apart)
    )
}

/// The gradient of `x` from that of the result, `own` where the statistics are the batch's, in `precision`; and the sums over the
/// pixels, of which the first `columns` are the gradient of the shift.
pub(super) fn normalise_back<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    dy: ColumnSlice<B>,
    channels: &Buffer<B>,
    [rows, columns]: [usize; 2],
    own: bool,
    precision: Precision,
) -> Result<(Numbers<B>, Buffer<B>), Fault<B>> {
    let (all, parts) = (rows * columns, rows.div_ceil(GROUP));
    let mut sums = alloc(b, parts * 2 * columns)?;
    kernel!(
        b, "normalise_sums", parts * columns;
        x => all, dy.buffer => dy.length(rows, columns), channels => 3 * columns, &sums => parts * 2 * columns;
        at::<B>(x), dy.arg(), at::<B>(channels), into::<B>(&mut sums), count(rows), count(columns), count(dy.apart),
        count(GROUP)
    )?;
    let sums = sum_rows(b, &sums, parts, 2 * columns)?;
    let share = if own { 1.0 / rows as f32 } else { 0.0 };
    let mut dx = alloc(b, stored(precision, all))?;
    kernel!(
        b, "normalise_back", all;
        x => all, dy.buffer => dy.length(rows, columns), channels => 3 * columns, &sums => 2 * columns,
        &dx => stored(precision, all);
        at::<B>(x), dy.arg(), at::<B>(channels), at::<B>(&sums), into::<B>(&mut dx), count(columns), count(dy.apart),
        Arg::Real(share), is_rounded(precision)
    )?;
    Ok((Numbers { buffer: Arc::new(dx), precision }, sums))
}

/// The largest under each window, and which it is.
pub(super) fn max_pool<B: Backend>(
    b: &B,
    g: &Geometry,
    x: &Buffer<B>,
    y: ColumnSlice<B>,
    which: &mut Buffer<B>,
) -> Done<B> {
    let rows = g.images * g.out_pixels();
    let all = rows * g.channels;
    kernel!(
        b, "max_pool", all; x => g.images * g.pixels() * g.channels, y.buffer => y.length(rows, g.channels), which => all;
        at::<B>(x), y.arg(), into::<B>(which), Arg::Sizes(Sizes::new(g, g.images)), count(y.apart)
    )
}

/// The mean under each window.
pub(super) fn avg_pool<B: Backend>(b: &B, g: &Geometry, x: &Buffer<B>, y: ColumnSlice<B>) -> Done<B> {
    let rows = g.images * g.out_pixels();
    kernel!(
        b, "mean_pool", rows * g.channels; x => g.images * g.pixels() * g.channels, y.buffer => y.length(rows, g.channels);
        at::<B>(x), y.arg(), Arg::Sizes(Sizes::new(g, g.images)), count(y.apart)
    )
}

/// Back through [`max_pool`], with what it said, or through [`avg_pool`].
pub(super) fn pool_back<B: Backend>(
    b: &B,
    g: &Geometry,
    dy: ColumnSlice<B>,
    which: Option<&Buffer<B>>,
    dx: &mut Buffer<B>,
    add: bool,
) -> Done<B> {
    let (all, rows) = (g.images * g.pixels() * g.channels, g.images * g.out_pixels());
    let which = match which {
        Some(which) => {
            assert!(length(b, which) >= rows * g.channels, "pool_back: which");
            at::<B>(which)
        }
        None => Arg::Address(0),
    };
    kernel!(
        b, "pool_back", all; dy.buffer => dy.length(rows, g.channels), dx => all;
        dy.arg(), which, into::<B>(dx), Arg::Sizes(Sizes::new(g, g.images)), count(dy.apart), count(usize::from(add))
    )
}

/// The mean of all `area` pixels of each of `n` images.
pub(super) fn global_avg_pool<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    y: &mut Buffer<B>,
    [n, area, channels]: [usize; 3],
) -> Done<B> {
    kernel!(
        b, "global_mean", n * channels; x => n * area * channels, y => n * channels;
        at::<B>(x), into::<B>(y), count(area), count(channels)
    )
}

/// Back through it.
pub(super) fn global_mean_back<B: Backend>(
    b: &B,
    dy: &Buffer<B>,
    dx: &mut Buffer<B>,
    [n, area, channels]: [usize; 3],
    add: bool,
) -> Done<B> {
    let all = n * area * channels;
    kernel!(
        b, "global_mean_back", all; dy => n * channels, dx => all;
        at::<B>(dy), into::<B>(dx), count(area), count(channels), count(usize::from(add))
    )
}

/// Local response normalisation over windows of `2 * radius + 1` channels.
pub(super) fn lrn<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    y: &mut Buffer<B>,
    [rows, channels]: [usize; 2],
    (radius, alpha): (usize, f32),
) -> Done<B> {
    let all = rows * channels;
    kernel!(
        b, "lrn", all; x => all, y => all;
        at::<B>(x), into::<B>(y), count(channels), count(radius), Arg::Real(alpha)
    )
}

/// Back through it.
pub(super) fn lrn_back<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    dy: &Buffer<B>,
    dx: &mut Buffer<B>,
    [rows, channels]: [usize; 2],
    (radius, alpha): (usize, f32),
    add: bool,
) -> Done<B> {
    let all = rows * channels;
    let (mut spread, mut own) = (alloc(b, all)?, alloc(b, all)?);
    let window = [count(channels), count(radius), Arg::Real(alpha)];
    kernel!(
        b, "lrn_spread", all; x => all, dy => all, &spread => all, &own => all;
        at::<B>(x), at::<B>(dy), into::<B>(&mut spread), into::<B>(&mut own), window[0], window[1], window[2]
    )?;
    kernel!(
        b, "lrn_back", all; x => all, &spread => all, &own => all, dx => all;
        at::<B>(x), at::<B>(&spread), at::<B>(&own), into::<B>(dx), window[0], window[1], window[2],
        count(usize::from(add))
    )
}

/// Cross-entropy and hits of each of `n` rows of scores, side by side, and the gradient of `weight` times the mean. The
/// labels are below `classes`.
pub(super) fn cross_entropy<B: Backend>(
    b: &B,
    scores: &Buffer<B>,
    labels: &Buffer<B>,
    [n, classes]: [usize; 2],
    weight: f32,
    (on, off): (f32, f32),
) -> Result<(Buffer<B>, Buffer<B>), Fault<B>> {
    let (mut rows, mut gradient) = (alloc(b, 2 * n)?, alloc(b, n * classes)?);
    kernel!(
        b, "cross_entropy", n; scores => n * classes, labels => n, &rows => 2 * n, &gradient => n * classes;
        at::<B>(scores), at::<B>(labels), into::<B>(&mut rows), into::<B>(&mut gradient), count(classes), Arg::Real(weight),
        Arg::Real(on), Arg::Real(off)
    )?;
    Ok((rows, gradient))
}

/// `to = weight * x`, one number, or `+=`.
pub(super) fn weigh<B: Backend>(b: &B, x: &Buffer<B>, to: &mut Buffer<B>, weight: f32, add: bool) -> Done<B> {
    kernel!(
        b, "weigh", 1; x => 1, to => 1;
        at::<B>(x), into::<B>(to), Arg::Real(weight), count(usize::from(add))
    )
}

/// Most tensors of a launch: what it is told of them stays below the 4 KB that a kernel's arguments may have.
const TENSORS: usize = 64;

/// Tensors whose numbers one launch works on, as `kernels.cu` has them.
#[repr(C)]
struct Tensors {
    count: u32,
    first: [u32; TENSORS],
    decay: [f32; TENSORS],
    memory: [[u64; TENSORS]; 4],
}

/// A tensor of many that a kernel works on.
pub(super) struct Piece<'a, B: Backend> {
    /// Its memory, each from a number on, in the order in which the kernel has it; some of it is written.
    pub memory: Vec<(&'a Buffer<B>, usize)>,
    pub length: usize,
    pub decay: f32,
}

impl Tensors {
    /// [`TENSORS`] pieces at most, and how many numbers they have in all.
    fn of<B: Backend>(b: &B, pieces: &[Piece<B>]) -> (Tensors, usize) {
        let count = u32::try_from(pieces.len()).expect("a few tensors");
        let (mut first, mut decay, mut memory) = ([0; TENSORS], [0.0; TENSORS], [[0; TENSORS]; 4]);
        let mut all = 0;
        for (index, piece) in pieces.iter().enumerate() {
            first[index] = u32::try_from(all).expect("fewer than 2^32 numbers");
            decay[index] = piece.decay;
            for (memory, (buffer, from)) in memory.iter_mut().zip(&piece.memory) {
                assert!(length(b, buffer) >= from + piece.length, "a tensor's memory");
                memory[index] = address::<B>(buffer, *from);
            }
            all += piece.length;
        }
        (Tensors { count, first, decay, memory }, all)
    }
}

/// A kernel of many tensors, each of which has `memory` addresses.
fn on_tensors<B: Backend>(
    b: &B,
    kernel: &'static str,
    pieces: &[Piece<B>],
    memory: usize,
    arguments: &[Arg],
) -> Done<B> {
    assert!(pieces.iter().all(|piece| piece.memory.len() == memory), "{kernel}: memory of a tensor");
    let mut rest = pieces;
    while !rest.is_empty() {
        let (pieces, others) = rest.split_at(at_once(rest.iter().map(|piece| piece.length)));
        rest = others;
        let (tensors, all) = Tensors::of(b, pieces);
        let arguments: Vec<Arg> =
            std::iter::once(Arg::Tensors(&tensors)).chain(arguments.iter().copied()).collect();
        // SAFETY: the types are those of the kernel, which works on `memory` addresses of each tensor; lengths have been
        // checked.
        unsafe { run(b, kernel, all, &arguments)? };
    }
    Ok(())
}

/// How many of the first tensors, of so many numbers each, a launch works on: one at least, [`TENSORS`] at most, whose numbers 32 bits count.
fn at_once(lengths: impl Iterator<Item = usize>) -> usize {
    let sums = lengths.take(TENSORS).scan(0, |sum, length| {
        *sum += length;
        Some(*sum)
    });
    sums.take_while(|&sum| u32::try_from(sum).is_ok()).count().max(1)
}

/// One step of SGD for weights, velocities and gradients.
pub(super) fn sgd<B: Backend>(b: &B, pieces: &[Piece<B>], step: crate::optim::SgdStep) -> Done<B> {
    on_tensors(b, "sgd", pieces, 3, &[Arg::Real(step.learning_rate), Arg::Real(step.momentum)])
}

/// One step of RMSProp for weights, velocities, gradients and mean squares, with the share of these that is kept, and
/// epsilon.
pub(super) fn rms_prop<B: Backend>(
    b: &B,
    pieces: &[Piece<B>],
    step: crate::optim::SgdStep,
    (kept, epsilon): (f32, f32),
) -> Done<B> {
    let numbers = [step.learning_rate, step.momentum, kept, epsilon].map(Arg::Real);
    on_tensors(b, "rms_prop", pieces, 4, &numbers)
}

/// One step of Adam for weights, mean gradients, gradients and mean squares.
pub(super) fn adam<B: Backend>(
    b: &B,
    pieces: &[Piece<B>],
    step: crate::optim::SgdStep,
    moments: crate::optim::step::Moments,
) -> Done<B> {
    let rate = step.learning_rate;
    let (coupled, decoupled) = if moments.decoupled { (0.0, rate) } else { (1.0, 0.0) };
    let numbers = [
        rate * moments.mean_correction,
        step.momentum,
        moments.kept,
        moments.square_correction,
        moments.epsilon,
        coupled,
        decoupled,
    ];
    on_tensors(b, "adam", pieces, 4, &numbers.map(Arg::Real))
}

/// Moves averages towards weights.
pub(super) fn average<B: Backend>(b: &B, pieces: &[Piece<B>], kept: f32) -> Done<B> {
    on_tensors(b, "average", pieces, 2, &[Arg::Real(kept)])
}

/// Moves running statistics towards a batch's.
pub(super) fn follow<B: Backend>(b: &B, pieces: &[Piece<B>], kept: f32) -> Done<B> {
    on_tensors(b, "follow", pieces, 2, &[Arg::Real(kept)])
}

/// A row-major matrix in a buffer, from a number on: or its transpose.
pub(super) struct Factor<'a, B: Backend> {
    buffer: &'a Buffer<B>,
    first: usize,
    rows: usize,
    columns: usize,
    transposed: bool,
    /// As its numbers are stored.
    precision: Precision,
}

impl<B: Backend> Clone for Factor<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Factor<'_, B> {}

/// `rows x columns`, row after row, from the number `first` on of a buffer of this backend.
pub(super) fn matrix<'a, B: Backend>(
    _: &B,
    buffer: &'a Buffer<B>,
    first: usize,
    rows: usize,
    columns: usize,
) -> Factor<'a, B> {
    Factor { buffer, first, rows, columns, transposed: false, precision: Precision::Float32 }
}

impl<B: Backend> Factor<'_, B> {
    /// The transpose.
    pub fn t(self) -> Self {
        Factor { transposed: !self.transposed, ..self }
    }

    /// The same of numbers that are stored in `precision`.
    pub fn stored(self, precision: Precision) -> Self {
        Factor { precision, ..self }
    }

    /// Rows and columns of what is multiplied.
    fn sizes(&self) -> (usize, usize) {
        if self.transposed { (self.columns, self.rows) } else { (self.rows, self.columns) }
    }

    fn address(&self) -> u64 {
        match self.precision {
            Precision::Float32 => address::<B>(self.buffer, self.first),
            Precision::Bf16 => B::address(self.buffer) + (self.first * size_of::<u16>()) as u64,
        }
    }
}

/// `to = left * right`, row-major from the number `first` on, or `+=`.
pub(super) fn product<B: Backend>(
    b: &B,
    to: (&mut Buffer<B>, usize),
    left: Factor<B>,
    right: Factor<B>,
    add: bool,
) -> Done<B> {
    products(b, 1, to, left, right, add)
}

/// `batch` products, of factors that lie one after the other, as the results do.
pub(super) fn products<B: Backend>(
    b: &B,
    batch: usize,
    (to, first): (&mut Buffer<B>, usize),
    left: Factor<B>,
    right: Factor<B>,
    add: bool,
) -> Done<B> {
    let ((rows, inner), (inner_too, columns)) = (left.sizes(), right.sizes());
    assert_eq!(inner, inner_too, "inner sizes of a product");
    for factor in [&left, &right] {
        let last = factor.first + batch * factor.rows * factor.columns;
        assert!(length(b, factor.buffer) >= stored(factor.precision, last), "a factor");
    }
    assert_eq!(left.precision, right.precision, "precision of a product's factors");
    assert!(length(b, to) >= first + batch * rows * columns, "a product");
    // Column-major, the transpose of everything: to' = right' left'. A row-major matrix is a column-major transpose.
    let product = Sgemm {
        transpose_a: right.transposed,
        transpose_b: left.transposed,
        m: int(columns),
        n: int(rows),
        k: int(inner),
        a: right.address(),
        lda: int(right.columns),
        b: left.address(),
        ldb: int(left.columns),
        beta: if add { 1.0 } else { 0.0 },
        c: address::<B>(to, first),
        ldc: int(columns),
        batch: int(batch),
        apart: [right.rows * right.columns, left.rows * left.columns, rows * columns].map(|n| n as i64),
        precision: left.precision,
    };
    // SAFETY: lengths have been checked.
    unsafe { b.sgemm(&product) }
}

/// `rows x columns` numbers, column after column: of equation 3.
pub(super) struct DeviceMatrix<B: Backend> {
    pub values: Buffer<B>,
    pub rows: usize,
    pub columns: usize,
}

/// Points on the device, and the squares of their lengths.
pub(super) struct Points<B: Backend> {
    pub values: Buffer<B>,
    pub squares: Buffer<B>,
    pub count: usize,
}

/// Columns of a large matrix at a time: fewer than 2^32 numbers.
const PANEL: usize = 1024;

/// Columns of `rows` numbers, some at a time.
fn panels(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    let width = PANEL.min((u32::MAX as usize / rows.max(1)).max(1));
    (0..columns).step_by(width).map(move |first| (first, width.min(columns - first)))
}

impl<B: Backend> DeviceMatrix<B> {
    /// Zeros.
    pub fn new(b: &B, rows: usize, columns: usize) -> Result<DeviceMatrix<B>, Fault<B>> {
        Ok(DeviceMatrix { values: zeros(b, rows * columns)?, rows, columns })
    }

    fn check(&self, b: &B) {
        assert!(length(b, &self.values) >= self.rows * self.columns, "a matrix");
    }

    /// Adds the inner products of `left`'s rows (`rows x d`) with `right`'s (`columns x d`); where they are the same, on and
    /// below the diagonal, and somewhere above.
    pub fn add_products(
        &mut self,
        b: &B,
        left: &Buffer<B>,
        right: &Buffer<B>,
        d: usize,
        same: bool,
    ) -> Done<B> {
        self.check(b);
        assert!(length(b, left) >= self.rows * d && length(b, right) >= self.columns * d, "points");
        panels(self.rows, self.columns).try_for_each(|(first, width)| {
            let top = if same { first } else { 0 };
            let product = Sgemm {
                transpose_a: true,
                transpose_b: false,
                m: int(self.rows - top),
                n: int(width),
                k: int(d),
                a: address::<B>(left, top * d),
                lda: int(d),
                b: address::<B>(right, first * d),
                ldb: int(d),
                beta: 1.0,
                c: address::<B>(&self.values, first * self.rows + top),
                ldc: int(self.rows),
                batch: 1,
                apart: [0; 3],
                precision: Precision::Float32,
            };
            // SAFETY: lengths have been checked: the last number is that of the last column's last row.
            unsafe { b.sgemm(&product) }
        })
    }

    /// Inner products of points become values of the Gaussian kernel, from the squares of their lengths: the rows' and the
    /// columns'.
    pub fn make_gaussian(
        &mut self,
        b: &B,
        left: &Buffer<B>,
        right: &Buffer<B>,
        gamma: f32,
        same: bool,
    ) -> Done<B> {
        self.check(b);
        panels(self.rows, self.columns).try_for_each(|(first, width)| {
            let top = if same { first } else { 0 };
            let rows = self.rows - top;
            kernel!(
                b, "gaussian", rows * width; left => self.rows, right => self.columns;
                from::<B>(&self.values, first * self.rows + top), from::<B>(left, top),
                from::<B>(right, first), count(rows), count(self.rows), Arg::Real(gamma),
                count(usize::from(same))
            )
        })
    }

    /// The lower half becomes the upper one too.
    pub fn mirror(&mut self, b: &B) -> Done<B> {
        self.check(b);
        assert_eq!(self.rows, self.columns, "a symmetric matrix");
        panels(self.rows, self.columns).try_for_each(|(first, width)| {
            kernel!(
                b, "mirror", (self.rows - first) * width;;
                into::<B>(&mut self.values), count(self.rows), count(first), count(width)
            )
        })
    }

    /// A copy, with `add` added to the diagonal.
    pub fn raised(&self, b: &B, add: f32) -> Result<DeviceMatrix<B>, Fault<B>> {
        self.check(b);
        let (rows, columns) = (self.rows, self.columns);
        let mut to = DeviceMatrix { values: alloc(b, rows * columns)?, rows, columns };
        panels(self.rows, self.columns).try_for_each(|(first, width)| {
            kernel!(
                b, "raised", self.rows * width;;
                at::<B>(&self.values), into::<B>(&mut to.values), count(self.rows), count(first), Arg::Real(add)
            )
        })?;
        Ok(to)
    }

    /// Adds `value` everywhere.
    pub fn plus(&mut self, b: &B, value: f32) -> Done<B> {
        self.check(b);
        panels(self.rows, self.columns).try_for_each(|(first, width)| {
            let values = from::<B>(&self.values, first * self.rows);
            kernel!(b, "plus", self.rows * width;; values, Arg::Real(value))
        })
    }

    /// The diagonal.
    pub fn diagonal(&self, b: &B) -> Result<Vec<f32>, Fault<B>> {
        self.check(b);
        assert_eq!(self.rows, self.columns, "a symmetric matrix");
        let mut to = alloc(b, self.rows)?;
        kernel!(
            b, "diagonal", self.rows; &to => self.rows;
            at::<B>(&self.values), into::<B>(&mut to)
        )?;
        b.download(&to)
    }

    /// The first `n` rows of the first `n` columns.
    pub fn leading(&self, b: &B, n: usize) -> Result<Vec<f32>, Fault<B>> {
        self.check(b);
        assert!(n <= self.rows && n <= self.columns, "the first {n} rows");
        let (mut to, all) = (alloc(b, n * PANEL.min(n))?, self.rows);
        let mut numbers = Vec::with_capacity(n * n);
        for (first, width) in panels(all, n) {
            // Of the kernel's matrices, its rows are the columns here.
            kernel!(
                b, "columns", width * n; &to => width * n;
                from::<B>(&self.values, first * all), count(all), into::<B>(&mut to), count(n), count(n), count(0)
            )?;
            numbers.extend_from_slice(&b.download(&to)?[..width * n]);
        }
        Ok(numbers)
    }

    /// The matrix times `x` (`columns x width`, row-major), summed in double precision: `rows x width`.
    pub fn apply(&self, b: &B, x: &[f64], width: usize) -> Result<Vec<f64>, Fault<B>> {
        /// Threads enough for any card.
        const THREADS: usize = 1 << 18;
        self.check(b);
        assert_eq!(x.len(), self.columns * width, "the factor");
        let parts = (THREADS / self.rows.max(1)).clamp(1, self.columns.max(1));
        // Numbers of double precision take the room of two.
        let words: Vec<f32> = x.iter().flat_map(|v| halves(*v)).collect();
        let (x, all) = (upload(b, &words)?, self.rows * width);
        let (mut sums, mut to) = (alloc(b, 2 * parts * all)?, alloc(b, 2 * all)?);
        kernel!(
            b, "apply", self.rows * parts; &x => 2 * self.columns * width, &sums => 2 * parts * all;
            at::<B>(&self.values), at::<B>(&x), into::<B>(&mut sums), count(self.rows), count(self.columns),
            count(width), count(parts)
        )?;
        kernel!(
            b, "whole", all; &sums => 2 * parts * all, &to => 2 * all;
            at::<B>(&sums), into::<B>(&mut to), count(parts)
        )?;
        Ok(b.download(&to)?.chunks_exact(2).take(all).map(|pair| joined([pair[0], pair[1]])).collect())
    }
}

/// The bits of a number of double precision.
fn halves(v: f64) -> [f32; 2] {
    let [a, b, c, d, e, f, g, h] = v.to_ne_bytes();
    [f32::from_ne_bytes([a, b, c, d]), f32::from_ne_bytes([e, f, g, h])]
}

/// The other way.
fn joined([low, high]: [f32; 2]) -> f64 {
    let ([a, b, c, d], [e, f, g, h]) = (low.to_ne_bytes(), high.to_ne_bytes());
    f64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// The random conv-net's filters, some of them, on the device.
pub(super) struct Bank<'a, B: Backend> {
    pub patches: Patches,
    /// `count x patch`.
    pub filters: &'a Buffer<B>,
    pub count: usize,
    /// Pooling windows down and across.
    pub windows: (usize, usize),
}

/// Images whose responses are in memory at a time.
const IMAGES_AT_ONCE: usize = 128;

/// The conv-net's features of kept images (bytes): `images x (windows x 2 count)`.
pub(super) fn conv_features<B: Backend>(
    b: &B,
    kept: &DeviceImages<B>,
    bank: &Bank<B>,
) -> Result<Buffer<B>, Fault<B>> {
    let Bank { patches, filters, count: filter_count, windows: (down, across) } = *bank;
    let ([channels, height, width], (rows, columns)) = (kept.shape, patches.grid());
    assert!(kept.bytes && kept.shape == patches.shape && patches.padding == 0, "images of bytes");
    assert!((down - 1) * STRIDE + POOL <= rows && (across - 1) * STRIDE + POOL <= columns, "windows");
    let (image, size) = (channels * height * width, patches.size());
    assert!(length(b, &kept.pixels) >= (kept.images * image).div_ceil(4), "images");
    let (places, per_image) = (rows * columns, down * across * 2 * filter_count);
    let to = alloc(b, kept.images * per_image)?;
    let mut gathered = alloc(b, IMAGES_AT_ONCE * places * size)?;
    let mut responses = alloc(b, IMAGES_AT_ONCE * places * filter_count)?;
    for first in (0..kept.images).step_by(IMAGES_AT_ONCE) {
        let images = IMAGES_AT_ONCE.min(kept.images - first);
        let bytes = Arg::Address(B::address(&kept.pixels) + (first * image) as u64);
        kernel!(
            b, "patches", images * places * size; &gathered => images * places * size;
            bytes, into::<B>(&mut gathered), count(channels), count(height), count(width), count(patches.side)
        )?;
        let gathered = matrix(b, &gathered, 0, images * places, size);
        product(b, (&mut responses, 0), gathered, matrix(b, filters, 0, filter_count, size).t(), false)?;
        kernel!(
            b, "rectified", images * down * across * filter_count;
            &responses => images * places * filter_count, &to => (first + images) * per_image;
            at::<B>(&responses), from::<B>(&to, first * per_image), count(filter_count), count(rows), count(columns),
            count(POOL), count(STRIDE), count(down), count(across), Arg::Real(BIAS)
        )?;
    }
    Ok(to)
}

/// Takes from each column of `x` its mean, which `sums` over `of` rows give.
pub(super) fn centre<B: Backend>(
    b: &B,
    x: &mut Buffer<B>,
    sums: &Buffer<B>,
    [rows, columns, of]: [usize; 3],
) -> Done<B> {
    let all = rows * columns;
    kernel!(b, "centred", all; x => all, sums => columns; into::<B>(x), at::<B>(sums), count(columns), count(of))
}

/// Divides each column of `x`, whose mean over `of` rows has been taken away, by its deviation: from the sums that gave the mean, and
/// [`moments`] of such rows.
pub(super) fn standardise<B: Backend>(
    b: &B,
    x: &mut Buffer<B>,
    (sums, moments): (&Buffer<B>, &Buffer<B>),
    [rows, columns, of]: [usize; 3],
) -> Done<B> {
    let all = rows * columns;
    kernel!(
        b, "standardised", all; x => all, sums => columns, moments => 2 * columns;
        into::<B>(x), at::<B>(sums), at::<B>(moments), count(columns), count(of)
    )
}

/// The squared length of each of `rows` rows of `x`.
pub(super) fn squared_lengths<B: Backend>(
    b: &B,
    x: &Buffer<B>,
    rows: usize,
    columns: usize,
) -> Result<Buffer<B>, Fault<B>> {
    // Of differences from a mean of 0.
    let none = zeros(b, rows)?;
    along(b, x, Some(&none), rows, columns)
}
