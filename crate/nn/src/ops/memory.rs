//! Memory kept from operation to operation: the system's fresh pages, and clearing them, cost more than much of what is
//! done with them.
//!
//! A step of training needs the same lengths as the step before. What an operation alone uses is a [`Scratch`]. What goes on to another
//! one, as a gradient does, is a vector that is [`lent`] and given back by whoever uses it last.

use crate::large_pages;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Elements of a cache line, at whose start vectors are best read.
pub(crate) const LINE: usize = 16;

/// Vectors of one capacity that are waited for: what has become a tensor does not come back, however many steps there are.
const MOST_OUT: usize = 64;

/// What is not in use.
#[derive(Default)]
struct Kept {
    scratch: Vec<Vec<f32>>,
    /// What was [`lent`] and has come back.
    returned: Vec<Vec<f32>>,
    /// How many vectors of each capacity have been lent and have not come back, at most [`MOST_OUT`].
    out: HashMap<usize, usize>,
}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

fn kept() -> MutexGuard<'static, Option<Kept>> {
    KEPT.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The shortest of `kept` that has `length` elements and suits; so long ones stay for those who need them.
fn take(kept: &mut Vec<Vec<f32>>, length: usize, most: usize) -> Option<Vec<f32>> {
    let suits = |(i, memory): (usize, &Vec<f32>)| {
        (length..=most).contains(&memory.len()).then_some((memory.len(), i))
    };
    let (_, at) = kept.iter().enumerate().filter_map(suits).min()?;
    Some(kept.swap_remove(at))
}

impl Kept {
    fn new() -> Kept {
        allocator::keep_freed();
        Kept::default()
    }
}

/// Gives the memory that is kept between operations back to the system.
pub(super) fn release() {
    *kept() = None;
    large_pages::release();
    allocator::release();
}

/// The allocator of Linux's usual C library gives freed memory at the end of its heap back to the system at once, which tells every
/// processor of it; a step of training frees, and wants again, hundreds of megabytes. A sixth of a step of Alexnet went into that.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator {
    unsafe extern "C" {
        fn mallopt(parameter: i32, value: i32) -> i32;
        fn malloc_trim(pad: usize) -> i32;
    }

    const TRIM_THRESHOLD: i32 = -1;
    const MMAP_THRESHOLD: i32 = -3;

    /// Freed memory stays with the process, but for blocks of more than 32 MiB, the most that can be said, which are mapped by
    /// themselves and cost nothing as long as nobody looks at them.
    pub(super) fn keep_freed() {
        // SAFETY: sets two numbers of the allocator's, under its own lock.
        unsafe {
            mallopt(MMAP_THRESHOLD, 32 << 20);
            mallopt(TRIM_THRESHOLD, i32::MAX);
        }
    }

    pub(super) fn release() {
        // SAFETY: gives back what is free, under the allocator's own lock.
        unsafe { malloc_trim(0) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod allocator {
    pub(super) fn keep_freed() {}

    pub(super) fn release() {}
}

/// `length` numbers, whatever they are. The system need not clear memory that is written before it is read: of blocks that were used
/// before, one thread would do so.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn unwritten(length: usize) -> Vec<f32> {
    let mut memory = Vec::with_capacity(length);
    // SAFETY: there is room for so many. To the compiler, fresh memory has no value, not even an unknown one, until it is written; so
    // here are instructions of which it has to assume that they have written it. There are none, and any bits are a number.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) memory.as_mut_ptr(), options(nostack, preserves_flags));
        memory.set_len(length);
    }
    memory
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn unwritten(length: usize) -> Vec<f32> {
    vec![0.0; length]
}

/// Has `pieces` brought into the cache: read in order, they come faster than when whoever uses them goes along many at once.
#[inline(always)]
pub(super) fn fetch<'a>(pieces: impl Iterator<Item = &'a [f32]>) {
    let mut sum = 0.0;
    pieces.for_each(|piece| piece.iter().step_by(LINE).for_each(|v| sum += v));
    std::hint::black_box(sum);
}

/// Asks for a cache line; any address will do.
#[inline(always)]
pub(super) fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program sees, and never fails.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Numbers before the first that starts a cache line, of memory of [`LINE`] or more.
pub(crate) fn before_line(memory: &[f32]) -> usize {
    memory.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE)
}

/// `length` numbers, whatever they are: to be written before they are read, and given back ([`give_back`]).
pub(super) fn lent(length: usize) -> Vec<f32> {
    let mut guard = kept();
    let kept = guard.get_or_insert_with(Kept::new);
    // Not a much longer one, of a larger batch's: what it is longer by is cleared when it comes back.
    let mut memory = take(&mut kept.returned, length, 2 * length).unwrap_or_else(|| unwritten(length));
    let out = kept.out.entry(memory.capacity()).or_default();
    *out = (*out + 1).min(MOST_OUT);
    memory.truncate(length);
    memory
}

/// Keeps what was [`lent`]. Of vectors that were made elsewhere, as many as have been lent of their capacity: that many are needed
/// again, and more would pile up.
pub(super) fn give_back(mut memory: Vec<f32>) {
    let mut guard = kept();
    let Some(kept) = guard.as_mut() else { return };
    if let Some(out) = kept.out.get_mut(&memory.capacity()).filter(|out| **out > 0) {
        *out -= 1;
        memory.resize(memory.capacity(), 0.0);
        kept.returned.push(memory);
    }
}

/// [`give_back`] of what several had, when nobody else has it any more.
pub(super) fn give_back_last(memory: Arc<Vec<f32>>) {
    if let Ok(memory) = Arc::try_unwrap(memory) {
        give_back(memory);
    }
}

/// Memory for one operation, from the start of a cache line on.
pub(crate) struct Scratch {
    memory: Vec<f32>,
    skip: usize,
    length: usize,
}

impl Scratch {
    /// What was in it is still there.
    pub(crate) fn new(length: usize) -> Scratch {
        let fitting = take(&mut kept().get_or_insert_with(Kept::new).scratch, length + LINE, usize::MAX);
        let memory = fitting.unwrap_or_else(|| unwritten(length + LINE));
        let skip = before_line(&memory);
        Scratch { memory, skip, length }
    }
}

impl AsRef<[f32]> for Scratch {
    fn as_ref(&self) -> &[f32] {
        &self.memory[self.skip..self.skip + self.length]
    }
}

impl AsMut<[f32]> for Scratch {
    fn as_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.skip..self.skip + self.length]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        kept().get_or_insert_with(Kept::new).scratch.push(std::mem::take(&mut self.memory));
    }
}
