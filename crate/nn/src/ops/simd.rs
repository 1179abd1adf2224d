//! Vectors of whatever the processor has: reading and writing them at the end of a slice.
//!
//! Where a loop is left to the compiler it must see that its slices do not overlap; in a closure over several of
//! them it does not, and goes element by element. Such loops are written with these.

use pulp::Simd;

/// A vector of `slice` from element `at` on, zeros after its end.
#[inline(always)]
pub(super) fn load<S: Simd>(s: S, slice: &[f32], at: usize) -> S::f32s {
    if at + S::F32_LANES <= slice.len() {
        // SAFETY: just compared; every bit pattern is an f32.
        unsafe { slice.as_ptr().add(at).cast::<S::f32s>().read_unaligned() }
    } else {
        s.partial_load_f32s(&slice[at..])
    }
}

/// Writes what fits of a vector to `slice` from element `at` on.
#[inline(always)]
pub(super) fn store<S: Simd>(s: S, slice: &mut [f32], at: usize, value: S::f32s) {
    if at + S::F32_LANES <= slice.len() {
        // SAFETY: just compared.
        unsafe { slice.as_mut_ptr().add(at).cast::<S::f32s>().write_unaligned(value) }
    } else {
        s.partial_store_f32s(&mut slice[at..], value);
    }
}

/// A vector from `at` on: a whole one where `WHOLE`, else `count` elements and zeros behind them.
///
/// # Safety
/// So many elements can be read there.
#[inline(always)]
pub(super) unsafe fn load_at<S: Simd, const WHOLE: bool>(s: S, at: *const f32, count: usize) -> S::f32s {
    // SAFETY: the caller's promise.
    unsafe {
        if WHOLE {
            at.cast::<S::f32s>().read_unaligned()
        } else {
            s.partial_load_f32s(std::slice::from_raw_parts(at, count))
        }
    }
}

/// Writes a vector, or its first `count` elements, to `at`.
///
/// # Safety
/// So many elements can be written there.
#[inline(always)]
pub(super) unsafe fn store_at<S: Simd, const WHOLE: bool>(s: S, at: *mut f32, count: usize, value: S::f32s) {
    // SAFETY: the caller's promise.
    unsafe {
        if WHOLE {
            at.cast::<S::f32s>().write_unaligned(value);
        } else {
            s.partial_store_f32s(std::slice::from_raw_parts_mut(at, count), value);
        }
    }
}
