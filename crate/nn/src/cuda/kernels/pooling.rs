//! Pooling, and local response normalisation.

use super::columns::ColumnSlice;
use super::conv::Sizes;
use super::{Arg, alloc, at, count, into, kernel, length, run};
use crate::cuda::{Backend, Buffer, Done};
use crate::ops::geometry::Geometry;

/// The largest under each window, and which it is.
pub fn max_pool<B: Backend>(
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
pub fn avg_pool<B: Backend>(b: &B, g: &Geometry, x: &Buffer<B>, y: ColumnSlice<B>) -> Done<B> {
    let rows = g.images * g.out_pixels();
    kernel!(
        b, "mean_pool", rows * g.channels; x => g.images * g.pixels() * g.channels, y.buffer => y.length(rows, g.channels);
        at::<B>(x), y.arg(), Arg::Sizes(Sizes::new(g, g.images)), count(y.apart)
    )
}

/// Back through [`max_pool`], with what it said, or through [`avg_pool`].
pub fn pool_back<B: Backend>(
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
pub fn global_avg_pool<B: Backend>(
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
pub fn global_mean_back<B: Backend>(
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
pub fn lrn<B: Backend>(
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
pub fn lrn_back<B: Backend>(
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
