//! Products of two panels of [`crate::ops::gemm`] at a time, where a caller knows what it multiplies next.
//!
//! Operands that are read once from the third cache or from memory keep the kernel waiting for a tenth of its time, as the
//! processor's own prefetching ends at every page of 4 KiB. Told what comes next, it asks for it in time.

use crate::instructions::arch;
use crate::ops::gemm::panel_width;
use crate::ops::memory::{LINE, prefetch};
use pulp::{Simd, WithSimd};

/// Steps between two requests for what comes next.
const GROUP: usize = 4;

/// Adds to `out`, a square of as many rows and columns as a panel is wide, the product of two panels of as many steps. Sums stay in
/// registers over all of them; meanwhile `ahead` is brought into the second cache.
///
/// # Panics
/// When sizes do not fit: a defect of the caller.
pub(crate) fn add_product(out: &mut [f32], left: &[f32], right: &[f32], ahead: [&[f32]; 2]) {
    let width = panel_width();
    let steps = left.len() / width;
    assert!(out.len() == width * width && left.len() == right.len() && left.len() == steps * width);
    arch().dispatch(AddProduct { out, left, right, steps, ahead });
}

/// Part `number` of `parts` of what is to be read next.
pub(crate) fn part(next: &[f32], number: usize, parts: usize) -> &[f32] {
    &next[number * next.len() / parts..(number + 1) * next.len() / parts]
}

struct AddProduct<'a> {
    out: &'a mut [f32],
    left: &'a [f32],
    right: &'a [f32],
    steps: usize,
    ahead: [&'a [f32]; 2],
}

impl WithSimd for AddProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let width = 2 * S::F32_LANES;
        let (out, left, right) = (self.out.as_mut_ptr(), self.left.as_ptr(), self.right.as_ptr());
        let [first, second] = self.ahead;
        // SAFETY: `add_product` has checked the sizes; the rows of all tiles are those of a panel.
        macro_rules! rows {
            ($m:literal from $row:literal, $ahead:expr) => {
                unsafe { rows::<S, $m>(s, self.steps, left.add($row), right, out.add($row * width), $ahead) }
            };
        }
        // As many sums as registers hold beside the operands.
        match width {
            32 => {
                rows!(11 from 0, first);
                rows!(11 from 11, second);
                rows!(10 from 22, &[]);
            }
            16 => {
                rows!(6 from 0, first);
                rows!(5 from 6, second);
                rows!(5 from 11, &[]);
            }
            8 => {
                rows!(4 from 0, first);
                rows!(4 from 4, second);
            }
            _ => {
                assert_eq!(width, 2, "panels of two numbers where there are no vectors");
                rows!(2 from 0, first);
            }
        }
    }
}

/// `M` rows of the square.
///
/// # Safety
/// `left` has `M` numbers each of `steps` steps, `right` two vectors, both two vectors apart; `out` has `M` rows of two vectors.
#[inline(always)]
unsafe fn rows<S: Simd, const M: usize>(
    s: S,
    steps: usize,
    left: *const f32,
    right: *const f32,
    out: *mut f32,
    ahead: &[f32],
) {
    let lanes = S::F32_LANES;
    let (mut left, mut right) = (left, right);
    let at = |i: usize, n: usize| out.wrapping_add((2 * i + n) * lanes).cast::<S::f32s>();
    let lines = ahead.len().div_ceil(LINE);
    let at_once = lines.div_ceil((steps / GROUP).max(1));
    let mut ahead = ahead.as_ptr();
    // SAFETY: the caller's promises.
    unsafe {
        let mut sum: [[S::f32s; 2]; M] =
            std::array::from_fn(|i| std::array::from_fn(|n| at(i, n).read_unaligned()));
        macro_rules! step {
            () => {
                let of_right = [0, lanes].map(|n| right.add(n).cast::<S::f32s>().read_unaligned());
                for (i, sum) in sum.iter_mut().enumerate() {
                    let of_left = s.splat_f32s(*left.add(i));
                    for (sum, of_right) in sum.iter_mut().zip(of_right) {
                        *sum = s.mul_add_f32s(of_left, of_right, *sum);
                    }
                }
                left = left.wrapping_add(2 * lanes);
                right = right.wrapping_add(2 * lanes);
            };
        }
        for _ in 0..steps / GROUP {
            for _ in 0..at_once {
                prefetch(ahead);
                ahead = ahead.wrapping_add(LINE);
            }
            step!();
            step!();
            step!();
            step!();
        }
        for _ in 0..steps % GROUP {
            step!();
        }
        for (i, sum) in sum.into_iter().enumerate() {
            for (n, sum) in sum.into_iter().enumerate() {
                at(i, n).write_unaligned(sum);
            }
        }
    }
}
