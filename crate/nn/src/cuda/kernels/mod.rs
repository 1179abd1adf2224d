//! The functions of `kernels.cu`, each with the types and lengths that it takes. A length that does not fit is a defect
//! of the caller and panics, as indexing would.

mod columns;
mod conv;
mod elementwise;
mod images;
mod kernel_methods;
mod norm;
mod optim;
mod pooling;
mod products;

use crate::cuda::{Backend, Buffer, Done, Fault};
use dfdx::prelude::Storage;
use std::ffi::c_void;

pub(super) use columns::{ColumnSlice, Columns, columns, pixels};
pub(super) use conv::{
    POINTS, col2im, im2col, tiles, winograd_input, winograd_output, winograd_output_gradient,
    winograd_weight_gradient, winograd_weights,
};
pub(super) use elementwise::{bias, cross_entropy, relu_back, scaled, times, weigh};
pub(super) use images::{DeviceImages, keep, views};
pub(super) use kernel_methods::{
    Bank, DeviceMatrix, Points, centre, conv_features, squared_lengths, standardise,
};
pub(super) use norm::{
    batch_channels, moments, normalise, normalise_back, running_channels, sum_groups, sum_rows,
};
pub(super) use optim::{Piece, adam, average, follow, rms_prop, sgd};
pub(super) use pooling::{avg_pool, global_avg_pool, global_mean_back, lrn, lrn_back, max_pool, pool_back};
pub(super) use products::{Factor, Numbers, matrix, product, products, rounded, stored};

/// The text that is compiled for a device.
pub const SOURCE: &str = include_str!("../kernels.cu");

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

/// Checks lengths: `kernel!(backend, name, threads; buffer has length, ...; arguments)`.
macro_rules! kernel {
    ($b:expr, $name:expr, $threads:expr; $($buffer:expr => $length:expr),*; $($argument:expr),* $(,)?) => {{
        $(assert!(length($b, $buffer) >= $length, "{}: {} of {} numbers", $name, length($b, $buffer), $length);)*
        // SAFETY: the types are those of the function of this name in kernels.cu, where its lengths are those that
        // have been checked.
        unsafe { run($b, $name, $threads, &[$($argument),*]) }
    }};
}

use kernel;

/// An argument of a kernel.
#[derive(Clone, Copy)]
enum Arg<'a> {
    Address(u64),
    Count(u32),
    Real(f32),
    Sizes(conv::Sizes),
    Tensors(&'a optim::Tensors),
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
