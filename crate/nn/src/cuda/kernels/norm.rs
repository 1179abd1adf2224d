//! Sums over rows, and batch normalisation.

use super::columns::ColumnSlice;
use super::products::{Numbers, is_rounded, stored};
use super::{Arg, alloc, at, count, into, kernel, length, run};
use crate::cuda::{Backend, Buffer, Done, Fault};
use crate::precision::Precision;
use std::sync::Arc;

/// Rows that one thread sums up.
const GROUP: usize = 64;
/// The same of sums that are the last: few threads are left, and another launch takes longer.
const LAST: usize = 128;

/// The sum of all rows, by groups, and groups of groups.
pub fn sum_rows<B: Backend>(
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
pub fn sum_groups<B: Backend>(
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
pub fn moments<B: Backend>(b: &B, x: &Buffer<B>, sizes: [usize; 2]) -> Result<Buffer<B>, Fault<B>> {
    let (sums, parts) = moments_in_parts(b, x, sizes)?;
    sum_rows(b, &sums, parts, 2 * sizes[1])
}

/// Of a batch of `rows` pixels: mean, 1 / deviation and `b` of each channel; and mean and unbiased variance for the
/// running statistics.
pub fn batch_channels<B: Backend>(
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
pub fn running_channels<B: Backend>(
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
pub fn normalise<B: Backend>(
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
pub fn normalise_back<B: Backend>(
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
