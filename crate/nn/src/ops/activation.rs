//! What follows a layer's sums: a bias a channel, and the rectifier.

use crate::instructions::arch;
use crate::threads;
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
                    for (y, b) in row.iter_mut().zip(bias) {
                        let value = *y + b;
                        // Not `max`: that would turn a NaN, the mark of divergence, into a zero.
                        *y = if activation == Activation::Relu && value < 0.0 { 0.0 } else { value };
                    }
                }
            },
        );
    });
}

/// Stops the gradient where the result of the rectifier is zero.
pub(super) fn stop(gradient: &mut [f32], result: &[f32]) {
    const CHUNK: usize = 8 * 1024;
    let arch = arch();
    threads::each_chunk(gradient, CHUNK, |i, gradient| {
        let result = &result[i * CHUNK..][..gradient.len()];
        arch.dispatch(
            #[inline(always)]
            || {
                for (d, y) in gradient.iter_mut().zip(result) {
                    *d = if *y <= 0.0 { 0.0 } else { *d };
                }
            },
        );
    });
}

/// The sum of every column of `rows x width`.
pub(super) fn column_sums(rows: &[f32], width: usize) -> Vec<f32> {
    let mut parts = vec![0.0f32; rows.len().div_ceil((ROWS * width).max(1)) * width];
    let arch = arch();
    threads::each_chunk(&mut parts, width, |i, sums| {
        let rows = &rows[i * ROWS * width..rows.len().min((i + 1) * ROWS * width)];
        arch.dispatch(
            #[inline(always)]
            || {
                for row in rows.chunks_exact(width) {
                    sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
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
