//! What follows a layer's sums: a bias a channel, and the rectifier.

use crate::instructions::arch;
use crate::ops::columns::{ColumnsMut, ColumnsView};
use crate::threads;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// What follows the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Nothing.
    None,
    /// max(x, 0).
    Relu,
}

/// Rows that are summed up in f32 before their sums are added in f64; a thread's share.
pub(super) const ROWS: usize = 64;
/// Rows of a thread's share where nothing is summed: fewer, for the short matrices of linear layers.
const FEW: usize = 16;

/// Adds the bias, if there is one, to every row of `rows x width`, and rectifies.
pub(super) fn finish(rows: &mut [f32], width: usize, bias: Option<&[f32]>, activation: Activation) {
    if bias.is_none() && activation == Activation::None {
        return;
    }
    let zeros = vec![0.0; if bias.is_none() { width } else { 0 }];
    let bias = bias.unwrap_or(&zeros);
    let arch = arch();
    threads::each_chunk(rows, FEW * width, |_, rows| {
        arch.dispatch(
            #[inline(always)]
            || {
                for row in rows.chunks_exact_mut(width) {
                    row.iter_mut().zip(bias).for_each(|(y, b)| *y = finished(*y, *b, activation));
                }
            },
        );
    });
}

/// The same of the rows `from`, of as many numbers as there are biases, into the columns of `to`.
pub(super) fn finish_to(from: &[f32], to: ColumnsMut, bias: &[f32], activation: Activation) {
    arch().dispatch(
        #[inline(always)]
        || {
            let ColumnsMut { rows, first, width } = to;
            for (row, from) in rows.chunks_exact_mut(width).zip(from.chunks_exact(bias.len())) {
                let to = row[first..].iter_mut();
                to.zip(from).zip(bias).for_each(|((y, x), b)| *y = finished(*x, *b, activation));
            }
        },
    );
}

#[inline(always)]
fn finished(sum: f32, bias: f32, activation: Activation) -> f32 {
    let value = sum + bias;
    // Not `max`: that would turn a NaN, the mark of divergence, into a zero.
    if activation == Activation::Relu && value < 0.0 { 0.0 } else { value }
}

/// Turns the gradient of the result, `rows x width`, into that of the sums, in place, or reads it at `from`, where it lies elsewhere; it is
/// stopped where the rectifier's `result`, if there is one, is zero. Returns the sum of every column: the gradient of the bias.
pub(super) fn gradient(
    dy: &mut [f32],
    width: usize,
    from: Option<ColumnsView>,
    result: Option<ColumnsView>,
) -> Vec<f32> {
    let size = (ROWS * width).max(1);
    let mut parts = vec![0.0f32; dy.len().div_ceil(size) * width];
    let arch = arch();
    let pieces = dy.par_chunks_mut(size).zip(parts.par_chunks_mut(width.max(1)));
    threads::each_item(pieces.enumerate(), |(i, (dy, sums))| {
        if let Some(from) = from {
            from.give(i * ROWS, width, dy, false);
        }
        arch.dispatch(
            #[inline(always)]
            || {
                let Some(result) = result else {
                    for row in dy.chunks_exact(width) {
                        sums.iter_mut().zip(row).for_each(|(sum, d)| *sum += d);
                    }
                    return;
                };
                for (row, result) in dy.chunks_exact_mut(width).zip(result.rows(i * ROWS, width)) {
                    for ((d, y), sum) in row.iter_mut().zip(result).zip(sums.iter_mut()) {
                        *d = if *y <= 0.0 { 0.0 } else { *d };
                        *sum += *d;
                    }
                }
            },
        );
    });
    total(&parts, width)
}

/// Sums of rows of `width` elements, in order and in f64.
pub(super) fn total(parts: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; width];
    for part in parts.chunks_exact(width.max(1)) {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}
