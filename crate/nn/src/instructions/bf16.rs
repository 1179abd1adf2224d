//! The instruction `vdpbf16ps` of AVX512-BF16, and what goes with it: products of bfloat16 numbers with sums in float32.
//!
//! It multiplies pairs: two numbers lie in one 32-bit element, the first in the lower half. Pairs are kept as `f32` elements that are only
//! moved, never computed with. Numbers are rounded to the nearest, to even in the middle; numbers too small for float32's normal range
//! become zero.

use pulp::WithSimd;
pub(crate) use x86::{across, add_products, neighbours, store_half, store_neighbours};

/// Whether the processor has the instruction, and wide vectors are used.
pub(crate) fn is_there() -> bool {
    x86::is_there()
}

/// Runs `operation`, which calls the other functions of this file, with the instructions for them.
///
/// # Panics
/// Where they are not there: a defect of the caller, who is to ask [`is_there`].
pub(crate) fn dispatch<O: WithSimd>(operation: O) -> O::Output {
    assert!(is_there(), "products in bf16 without AVX512-BF16");
    // SAFETY: just asked.
    unsafe { x86::dispatch(operation) }
}

/// `value`, rounded.
pub(crate) fn round(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    // Half a unit of the last place, less the least bit where that makes the middle even.
    let rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    if value.is_subnormal() { ((bits >> 31) << 15) as u16 } else { rounded as u16 }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use crate::instructions::arch;
    use pulp::{Arch, Simd, WithSimd};
    use std::arch::x86_64::*;
    use std::sync::LazyLock;

    static THERE: LazyLock<bool> =
        LazyLock::new(|| matches!(arch(), Arch::V4(_)) && std::is_x86_feature_detected!("avx512bf16"));

    pub(super) fn is_there() -> bool {
        *THERE
    }

    const LANES: usize = 16;

    /// # Safety
    /// Where [`is_there`].
    pub(super) unsafe fn dispatch<O: WithSimd>(operation: O) -> O::Output {
        #[target_feature(
            enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16,avx2,fma,bmi1,bmi2,lzcnt,popcnt"
        )]
        unsafe fn with<O: WithSimd>(operation: O, simd: pulp::x86::V4) -> O::Output {
            operation.with_simd(simd)
        }
        match arch() {
            // SAFETY: V4 has all but the last, which the caller has asked for.
            Arch::V4(simd) => unsafe { with(operation, simd) },
            _ => unreachable!("asked before"),
        }
    }

    /// The same vector under its name in the standard library.
    #[inline(always)]
    unsafe fn vector<S: Simd>(value: S::f32s) -> __m512 {
        const { assert!(size_of::<S::f32s>() <= size_of::<__m512>()) };
        assert!(size_of::<S::f32s>() == size_of::<__m512>());
        // SAFETY: vectors of one size, whatever they are of.
        unsafe { std::mem::transmute_copy(&value) }
    }

    /// `sum`, and in each element both products of a pair.
    ///
    /// # Safety
    /// Within [`super::dispatch`].
    #[inline(always)]
    pub(crate) unsafe fn add_products<S: Simd>(left: S::f32s, right: S::f32s, sum: S::f32s) -> S::f32s {
        // SAFETY: the caller's promise; vectors of one size.
        unsafe {
            let (left, right) = (vector::<S>(left), vector::<S>(right));
            let sum = _mm512_dpbf16_ps(
                vector::<S>(sum),
                std::mem::transmute::<__m512, __m512bh>(left),
                std::mem::transmute::<__m512, __m512bh>(right),
            );
            std::mem::transmute_copy(&sum)
        }
    }

    /// The first `count` of so many.
    #[inline(always)]
    fn first(count: usize) -> u16 {
        if count >= LANES { u16::MAX } else { (1 << count) - 1 }
    }

    /// Writes the first `count` elements of a vector as `ceil(count / 2)` pairs of neighbours; what is behind the last one is zero already.
    ///
    /// # Safety
    /// Within [`super::dispatch`]; so many pairs can be written at `to`.
    #[inline(always)]
    pub(crate) unsafe fn store_neighbours<S: Simd>(to: *mut f32, count: usize, value: S::f32s) {
        // SAFETY: the caller's promises.
        unsafe {
            let rounded: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(vector::<S>(value)));
            if count >= LANES {
                _mm256_storeu_si256(to.cast(), rounded);
            } else {
                _mm256_mask_storeu_epi32(to.cast(), first(count.div_ceil(2)) as u8, rounded);
            }
        }
    }

    /// Writes the first `count` elements of a vector as the lower halves of pairs, with zeros above, or into the upper halves of those that
    /// are there.
    ///
    /// # Safety
    /// Within [`super::dispatch`]; so many pairs can be written at `to`, and read where it is the upper halves.
    #[inline(always)]
    pub(crate) unsafe fn store_half<S: Simd>(to: *mut f32, upper: bool, count: usize, value: S::f32s) {
        // SAFETY: the caller's promises.
        unsafe {
            let rounded = _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(
                _mm512_cvtneps_pbh(vector::<S>(value)),
            ));
            let to = to.cast::<i32>();
            let mask = first(count);
            let pairs = if upper {
                _mm512_or_si512(_mm512_maskz_loadu_epi32(mask, to), _mm512_slli_epi32::<16>(rounded))
            } else {
                rounded
            };
            _mm512_mask_storeu_epi32(to, mask, pairs);
        }
    }

    /// Writes `from` as `ceil(from.len() / 2)` pairs of neighbours, all of `to`.
    ///
    /// # Panics
    /// Where `to` has another length.
    ///
    /// # Safety
    /// Within [`super::dispatch`].
    #[inline(always)]
    pub(crate) unsafe fn neighbours(from: &[f32], to: &mut [f32]) {
        assert!(to.len() == from.len().div_ceil(2));
        let mut at = 0;
        // SAFETY: the caller's promise; both slices are compared with what is read and written.
        unsafe {
            while at + 2 * LANES <= from.len() {
                let low = _mm512_loadu_ps(from.as_ptr().add(at));
                let high = _mm512_loadu_ps(from.as_ptr().add(at + LANES));
                let pairs: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
                _mm512_storeu_si512(to.as_mut_ptr().add(at / 2).cast(), pairs);
                at += 2 * LANES;
            }
            if at < from.len() {
                let left = from.len() - at;
                let low = _mm512_maskz_loadu_ps(first(left), from.as_ptr().add(at));
                let high = _mm512_maskz_loadu_ps(
                    first(left.saturating_sub(LANES)),
                    from.as_ptr().wrapping_add(at + LANES),
                );
                let pairs: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
                _mm512_mask_storeu_epi32(to.as_mut_ptr().add(at / 2).cast(), first(left.div_ceil(2)), pairs);
            }
        }
    }

    /// For each number of `lower` a pair with that of `upper`, or with zero where that is empty, to the first elements of `to`; behind them
    /// whole vectors are written where they fit.
    ///
    /// # Panics
    /// Where lengths do not fit.
    ///
    /// # Safety
    /// Within [`super::dispatch`].
    #[inline(always)]
    pub(crate) unsafe fn across(lower: &[f32], upper: &[f32], to: &mut [f32]) {
        assert!(to.len() >= lower.len() && (upper.is_empty() || upper.len() == lower.len()));
        // SAFETY: the caller's promise; all three slices are compared with what is read and written.
        unsafe {
            // Element `i` of the lower half, then of the upper one.
            let order = _mm512_or_si512(
                _mm512_cvtepu16_epi32(_mm256_set_epi16(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)),
                _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_set_epi16(
                    31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16,
                ))),
            );
            for at in (0..lower.len()).step_by(LANES) {
                let mask = first(lower.len() - at);
                let low = _mm512_maskz_loadu_ps(mask, lower.as_ptr().add(at));
                let high = if upper.is_empty() {
                    _mm512_setzero_ps()
                } else {
                    _mm512_maskz_loadu_ps(mask, upper.as_ptr().add(at))
                };
                let halves: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
                let pairs = _mm512_permutexvar_epi16(order, halves);
                let mask = first(to.len() - at);
                _mm512_mask_storeu_epi32(to.as_mut_ptr().add(at).cast(), mask, pairs);
            }
        }
    }
}

/// Other processors have none of it.
#[cfg(not(target_arch = "x86_64"))]
mod x86 {
    use pulp::{Simd, WithSimd};

    pub(super) fn is_there() -> bool {
        false
    }

    pub(super) unsafe fn dispatch<O: WithSimd>(_: O) -> O::Output {
        unreachable!("asked before")
    }

    pub(crate) unsafe fn add_products<S: Simd>(_: S::f32s, _: S::f32s, _: S::f32s) -> S::f32s {
        unreachable!("only within dispatch")
    }

    pub(crate) unsafe fn store_neighbours<S: Simd>(_: *mut f32, _: usize, _: S::f32s) {
        unreachable!("only within dispatch")
    }

    pub(crate) unsafe fn store_half<S: Simd>(_: *mut f32, _: bool, _: usize, _: S::f32s) {
        unreachable!("only within dispatch")
    }

    pub(crate) unsafe fn neighbours(_: &[f32], _: &mut [f32]) {
        unreachable!("only within dispatch")
    }

    pub(crate) unsafe fn across(_: &[f32], _: &[f32], _: &mut [f32]) {
        unreachable!("only within dispatch")
    }
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    fn numbers_are_rounded_to_the_nearest_and_to_even_in_the_middle() {
        for (value, rounded) in [
            (1.0, 0x3f80),
            (1.0 + 1.0 / 256.0, 0x3f80), // the middle of 1 and 1 + 1/128: even
            (1.0 + 3.0 / 256.0, 0x3f82), // the middle of 1 + 1/128 and 1 + 2/128: even
            (1.004, 0x3f81),             // just above the middle
            (-2.5, 0xc020),
            (3.4e38, 0x7f80), // above the largest: infinity
            (1e-40, 0),       // below the normal range
            (-1e-40, 0x8000),
        ] {
            assert_eq!(round(value), rounded, "{value}");
        }
        assert!(round(f32::NAN) & 0x7fff > 0x7f80);
    }
}
