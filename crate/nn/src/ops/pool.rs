//! Pooling: the largest, or the mean, of the pixels under a window, channel by channel.

use crate::instructions::arch;
use crate::ops::geometry::{Geometry, Window};
use crate::ops::memory::{give_back, lent};
use crate::ops::simd::{load, store};
use crate::ops::{Image, Rows, elements, take_gradient};
use crate::{Error, Result, threads};
use dfdx::prelude::{Cpu, HasShape, PutTape, ReshapeTo, SplitTape, Tape, TensorFromVec};
use pulp::{Simd, WithSimd};

/// The pixels under the window of output pixel `row`: where in the image they are.
fn under(g: &Geometry, row: usize) -> impl Iterator<Item = usize> + use<> {
    let (_, y, column) = g.corner(row);
    let g = *g;
    (0..g.kernel.0 * g.kernel.1).filter_map(move |at| {
        let y = (y + at / g.kernel.1).wrapping_sub(g.top);
        let column = (column + at % g.kernel.1).wrapping_sub(g.left);
        (y < g.height && column < g.width).then_some(y * g.width + column)
    })
}

/// The largest pixel under each window; what lies beyond the edge does not count. Of equal ones the
/// first, from the top left, has the gradient to itself.
///
/// Errors: [`Error::Shape`] for an image smaller than the window; [`Error::Tensor`] when memory is short.
pub fn max_pool<T: Tape<f32, Cpu>>(x: Image<T>, window: Window) -> Result<Image<T>> {
    let operation = "max pooling";
    let g = Geometry::new(operation, *x.shape(), window, x.shape().3)?;
    let c = g.channels;
    let (x, mut tape) = x.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let xs = elements(&x).unwrap_or_default();
    let mut out = lent(g.images * g.out_pixels() * c);
    let arch = arch();
    threads::each_chunk(&mut out, g.out_pixels() * c, |image, out| {
        let x = &xs[image * g.pixels() * c..][..g.pixels() * c];
        arch.dispatch(Largest { g: &g, x, out });
    });
    let shape = (g.images, g.out_height, g.out_width, c);
    let y = x.device().try_tensor_from_vec(out, shape).map_err(Error::tensor(operation))?;
    if T::OWNS_TAPE {
        let (x_ghost, y_ghost, y_kept) = (x.ghost(), y.ghost(), y.clone());
        tape.add_backward_op(move |gradients| {
            let dy = take_gradient(gradients.get_or_alloc_mut(&y_ghost)?);
            let dx = gradients.get_or_alloc_mut(&x_ghost)?;
            let (Some(xs), Some(ys)) = (elements(&x), elements(&y_kept)) else { return Ok(()) };
            threads::each_chunk(dx, g.pixels() * c, |image, dx| {
                let x = &xs[image * g.pixels() * c..][..g.pixels() * c];
                let rows = image * g.out_pixels() * c..(image + 1) * g.out_pixels() * c;
                arch.dispatch(MaxGradient { g: &g, x, y: &ys[rows.clone()], dy: &dy[rows], dx });
            });
            give_back(dy);
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}

/// The largest pixels of an image.
struct Largest<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Largest<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Largest { g, x, out } = self;
        let c = g.channels;
        let mut pixels = Vec::with_capacity(g.kernel.0 * g.kernel.1);
        for (row, out) in out.chunks_exact_mut(c).enumerate() {
            pixels.clear();
            pixels.extend(under(g, row).map(|pixel| &x[pixel * c..][..c]));
            for k in (0..c).step_by(S::F32_LANES) {
                let mut top = s.splat_f32s(f32::NEG_INFINITY);
                for pixel in &pixels {
                    let v = load(s, pixel, k);
                    // A NaN is larger than all.
                    let is_number = s.equal_f32s(top, top);
                    let larger = s.not_m32s(s.less_than_or_equal_f32s(v, top));
                    top = s.select_f32s(s.and_m32s(is_number, larger), v, top);
                }
                store(s, out, k, top);
            }
        }
    }
}

/// What windows have of an image's gradient goes to the pixels that are the largest under them: of each, the first.
struct MaxGradient<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl WithSimd for MaxGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let MaxGradient { g, x, y, dy, dx } = self;
        let (c, zero) = (g.channels, s.splat_f32s(0.0));
        let mut starts = Vec::with_capacity(g.kernel.0 * g.kernel.1);
        for (row, (y, dy)) in y.chunks_exact(c).zip(dy.chunks_exact(c)).enumerate() {
            starts.clear();
            starts.extend(under(g, row).map(|pixel| pixel * c));
            for k in (0..c).step_by(S::F32_LANES) {
                let (y, mut left) = (load(s, y, k), load(s, dy, k));
                for &start in &starts {
                    let wins = s.equal_f32s(load(s, &x[start..][..c], k), y);
                    let dx = &mut dx[start..][..c];
                    let sum = s.add_f32s(load(s, dx, k), s.select_f32s(wins, left, zero));
                    store(s, dx, k, sum);
                    left = s.select_f32s(wins, zero, left);
                }
            }
        }
    }
}

/// The mean of the pixels under each window, those beyond the edge not counted (as in TensorFlow).
///
/// Errors: as for [`max_pool`].
pub fn avg_pool<T: Tape<f32, Cpu>>(x: Image<T>, window: Window) -> Result<Image<T>> {
    let operation = "mean pooling";
    let g = Geometry::new(operation, *x.shape(), window, x.shape().3)?;
    let c = g.channels;
    let (x, mut tape) = x.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let xs = elements(&x).unwrap_or_default();
    let mut out = vec![0.0; g.images * g.out_pixels() * c];
    threads::each_chunk(&mut out, g.out_pixels() * c, |image, out| {
        let x = &xs[image * g.pixels() * c..][..g.pixels() * c];
        for (row, out) in out.chunks_exact_mut(c).enumerate() {
            let share = 1.0 / under(&g, row).count() as f32;
            for pixel in under(&g, row) {
                for (o, v) in out.iter_mut().zip(&x[pixel * c..][..c]) {
                    *o += v * share;
                }
            }
        }
    });
    let shape = (g.images, g.out_height, g.out_width, c);
    let y = x.device().try_tensor_from_vec(out, shape).map_err(Error::tensor(operation))?;
    if T::OWNS_TAPE {
        let (x_ghost, y_ghost) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let dy = take_gradient(gradients.get_or_alloc_mut(&y_ghost)?);
            let dx = gradients.get_or_alloc_mut(&x_ghost)?;
            threads::each_chunk(dx, g.pixels() * c, |image, dx| {
                let dy = &dy[image * g.out_pixels() * c..][..g.out_pixels() * c];
                for (row, dy) in dy.chunks_exact(c).enumerate() {
                    let share = 1.0 / under(&g, row).count() as f32;
                    for pixel in under(&g, row) {
                        for (d, v) in dx[pixel * c..][..c].iter_mut().zip(dy) {
                            *d += v * share;
                        }
                    }
                }
            });
            give_back(dy);
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}

/// The mean of all pixels: `n x H x W x C` to `n x C`.
///
/// Errors: [`Error::Tensor`] when memory is short.
pub fn global_avg_pool<T: Tape<f32, Cpu>>(x: Image<T>) -> Result<Rows<T>> {
    let operation = "mean over the image";
    let (n, height, width, c) = *x.shape();
    let size = height * width * c;
    let share = 1.0 / (height * width) as f32;
    let (x, mut tape) = x.try_contiguous().map_err(Error::tensor(operation))?.split_tape();
    let xs = elements(&x).unwrap_or_default();
    let mut out = vec![0.0; n * c];
    threads::each_chunk(&mut out, c, |image, out| {
        for pixel in xs[image * size..][..size].chunks_exact(c) {
            out.iter_mut().zip(pixel).for_each(|(o, v)| *o += v);
        }
        out.iter_mut().for_each(|o| *o *= share);
    });
    let y = x.device().try_tensor_from_vec(out, (n, c)).map_err(Error::tensor(operation))?;
    if T::OWNS_TAPE {
        let (x_ghost, y_ghost) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let dy = take_gradient(gradients.get_or_alloc_mut(&y_ghost)?);
            threads::each_chunk(gradients.get_or_alloc_mut(&x_ghost)?, size, |image, dx| {
                for dx in dx.chunks_exact_mut(c) {
                    dx.iter_mut().zip(&dy[image * c..]).for_each(|(d, v)| *d += v * share);
                }
            });
            give_back(dy);
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}
