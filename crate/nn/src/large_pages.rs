//! The system's allocator with large pages for large blocks, and without clearing what need not be cleared.
//!
//! A step of training and a kernel equation run through hundreds of megabytes. With pages of 4 KiB the processor looks up an address for
//! every 64 cache lines, and the system clears and enters each page by itself; with those of 2 MiB, which Linux gives to who asks, a
//! product out of the caches runs at 222 GFLOP/s instead of 208, and a step of Inception V3 takes a seventh less
//! (crate/notes/speed.md). The program allocates by it; a notebook's kernel asks the C library for the same by its environment.
//!
//! Very large blocks are kept when they are freed, as the C library gives them back to the system, which would clear them for the
//! next step of training. And dfdx makes a gradient of zeros for every tensor, which is then replaced unread (`keep_zeros`).

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Bytes from which on a block is advised to be in large pages: half of one, as neighbours fill the rest.
const LARGE: usize = 1 << 20;
/// Bytes from which on zeros are kept: fewer are cleared as fast as a kept block is found.
const CLEARED: usize = 1 << 16;
/// Bytes of more than which the C library maps a block by itself, whatever it is told.
const VERY_LARGE: usize = 32 << 20;
/// What blocks are cut to: whole pages of any size that processors have by default.
const PAGE: usize = 1 << 16;
/// Most blocks of a kind that are kept, and most bytes of them.
const MOST: usize = 64;
const MOST_BYTES: usize = 160 << 20;
/// Zeros are handed out to who asks for so much less: nearly all are given up again at once, so that a single block serves many.
const MANY_TIMES: usize = 16;
/// The alignment of whatever the C library allocates.
const ALIGNMENT: usize = 16;

/// [`System`], whose blocks of a megabyte and more are in large pages where the system has some.
#[derive(Clone, Copy, Debug, Default)]
pub struct LargePages;

/// Addresses and sizes of blocks in nobody's use, the oldest first.
struct Blocks {
    blocks: [(usize, usize); MOST],
    count: usize,
}

impl Blocks {
    const fn none() -> Blocks {
        Blocks { blocks: [(0, 0); MOST], count: 0 }
    }

    /// The smallest of at least `size` bytes, up to `most`.
    fn take(&mut self, size: usize, most: usize) -> Option<*mut u8> {
        let suits =
            |(at, &(_, own)): (usize, &(usize, usize))| (size..=most).contains(&own).then_some((own, at));
        let (_, at) = self.blocks[..self.count].iter().enumerate().filter_map(suits).min()?;
        Some(self.remove(at).0)
    }

    /// The oldest.
    fn take_oldest(&mut self) -> Option<(*mut u8, usize)> {
        (self.count > 0).then(|| self.remove(0))
    }

    fn remove(&mut self, at: usize) -> (*mut u8, usize) {
        self.blocks[at..self.count].rotate_left(1);
        self.count -= 1;
        let (block, size) = self.blocks[self.count];
        (std::ptr::with_exposed_provenance_mut(block), size)
    }

    /// Adds one. `false` where it has no room.
    fn put(&mut self, block: *mut u8, size: usize) -> bool {
        let bytes: usize = self.blocks[..self.count].iter().map(|(_, own)| own).sum();
        let has_room = self.count < MOST && bytes + size <= MOST_BYTES;
        if has_room {
            self.blocks[self.count] = (block.expose_provenance(), size);
            self.count += 1;
        }
        has_room
    }
}

/// Freed blocks of more than [`VERY_LARGE`] bytes.
static FREED: Mutex<Blocks> = Mutex::new(Blocks::none());
/// Blocks of zeros.
static ZEROS: Mutex<Blocks> = Mutex::new(Blocks::none());
/// Whether this is the allocator of the program.
static IN_USE: AtomicBool = AtomicBool::new(false);

fn lock(blocks: &Mutex<Blocks>) -> MutexGuard<'_, Blocks> {
    blocks.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Gives up zeros that nobody has written to, for who asks for as many next. Clearing them once more would cost as much as many an
/// operation, and is one thread's work.
///
/// That they are zeros is the caller's promise, for a look would cost as much. The one caller gives up a gradient as dfdx has made it,
/// into which no operation has written yet: [`InputGradient::First`](crate::ops::linear::InputGradient) is given to the operation whose
/// backward pass comes first alone.
pub(crate) fn keep_zeros(zeros: Vec<f32>) {
    let size = size_of_val(zeros.as_slice());
    if size < CLEARED || zeros.capacity() != zeros.len() || !IN_USE.load(Ordering::Relaxed) {
        return;
    }
    let mut zeros = std::mem::ManuallyDrop::new(zeros);
    let block = zeros.as_mut_ptr().cast();
    keep(&ZEROS, block, usable_size(block, size));
}

/// Bytes that a block is known to have, which was asked for with `size` bytes and may be a larger one: `size` at least, never more than
/// there are.
fn usable_size(block: *mut u8, size: usize) -> usize {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_usable_size(block: *mut u8) -> usize;
        }
        // What the library has added at the end need not be zeros.
        const ADDED: usize = 64;
        // SAFETY: a block of the C library's, from `System`.
        size.max(unsafe { malloc_usable_size(block) }.saturating_sub(ADDED))
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        let _ = block;
        size
    }
}

/// Whether a block is kept when it is freed.
fn is_kept(layout: Layout) -> bool {
    layout.size() > VERY_LARGE && layout.align() <= ALIGNMENT
}

/// Keeps a block, in the place of older ones where there is no room.
fn keep(kept: &Mutex<Blocks>, block: *mut u8, size: usize) {
    if size > MOST_BYTES {
        return give_up(block, size);
    }
    loop {
        let mut blocks = lock(kept);
        if blocks.put(block, size) {
            return;
        }
        let oldest = blocks.take_oldest();
        drop(blocks);
        if let Some((block, size)) = oldest {
            give_up(block, size);
        }
    }
}

/// Gives back to the system what is kept.
pub(crate) fn release() {
    for kept in [&FREED, &ZEROS] {
        let next = || lock(kept).take_oldest();
        while let Some((block, size)) = next() {
            give_up(block, size);
        }
    }
}

fn give_up(block: *mut u8, size: usize) {
    if let Ok(layout) = Layout::from_size_align(size, ALIGNMENT) {
        // SAFETY: what is kept came from `System`, with no larger an alignment, and is in nobody's use. `System` is the C library's: it
        // frees a block by its address, whatever size is said. A block may be larger than `size` (`alloc_zeroed`, `usable_size`).
        unsafe { System.dealloc(block, layout) };
    }
}

// SAFETY: all is the system allocator's; advice leaves contents and addresses as they are. What is kept is handed out again by what it
// is known to have, so that a block is never smaller than what is asked for, and only for alignments that the C library gives every
// block. It may be larger: the C library finds a block's own size by its address, and is told none when it frees or grows one.
unsafe impl GlobalAlloc for LargePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_kept(layout)
            && let Some(block) = lock(&FREED).take(layout.size(), layout.size())
        {
            return block;
        }
        // SAFETY: the caller's promise.
        advised(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= CLEARED && layout.align() <= ALIGNMENT {
            IN_USE.store(true, Ordering::Relaxed);
            if let Some(block) = lock(&ZEROS).take(layout.size(), MANY_TIMES * layout.size()) {
                return block;
            }
        }
        // SAFETY: the caller's promise.
        advised(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Advice parts a mapping, and Linux before 6.17 does not move one in parts: growing may be a copy.
        // SAFETY: the caller's promise.
        advised(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_kept(layout) {
            return keep(&FREED, block, layout.size());
        }
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

fn advised(block: *mut u8, size: usize) -> *mut u8 {
    if size >= LARGE && !block.is_null() {
        let skip = block.align_offset(PAGE);
        advise(block.wrapping_add(skip), size.saturating_sub(skip) / PAGE * PAGE);
    }
    block
}

#[cfg(target_os = "linux")]
fn advise(start: *mut u8, length: usize) {
    unsafe extern "C" {
        fn madvise(start: *mut u8, length: usize, advice: i32) -> i32;
    }
    const HUGE_PAGES: i32 = 14;
    // SAFETY: whole pages inside of a block; a refusal, where there are no large pages, changes nothing.
    unsafe { madvise(start, length, HUGE_PAGES) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: *mut u8, _: usize) {}
