//! What is done to each number, or to each row of scores, by itself: biases, ReLU, dropout's factors, the loss.

use super::columns::ColumnSlice;
use super::{Arg, alloc, at, count, into, kernel, length, run};
use crate::cuda::{Backend, Buffer, Done, Fault};

/// A bias a column of `rows` rows, then ReLU with `relu`, from `x` (it may be the result's memory) to `y`.
pub fn bias<B: Backend>(
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
pub fn relu_back<B: Backend>(
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
pub fn times<B: Backend>(
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
pub fn scaled<B: Backend>(
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

/// Cross-entropy and hits of each of `n` rows of scores, side by side, and the gradient of `weight` times the mean. The
/// labels are below `classes`.
pub fn cross_entropy<B: Backend>(
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
pub fn weigh<B: Backend>(b: &B, x: &Buffer<B>, to: &mut Buffer<B>, weight: f32, add: bool) -> Done<B> {
    kernel!(
        b, "weigh", 1; x => 1, to => 1;
        at::<B>(x), into::<B>(to), Arg::Real(weight), count(usize::from(add))
    )
}
