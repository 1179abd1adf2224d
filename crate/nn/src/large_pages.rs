//! The system's allocator with large pages for large blocks.
//!
//! A step of training and a kernel equation run through hundreds of megabytes. With pages of 4 KiB the processor looks up an address for
//! every 64 cache lines, and the system clears and enters each page by itself; with those of 2 MiB, which Linux gives to who asks, a
//! product out of the caches runs at 222 GFLOP/s instead of 208, and a step of Inception V3 takes a seventh less
//! (crate/notes/speed.md). The program allocates by it; a notebook's kernel asks the C library for the same by its environment.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes from which on a block is advised to be in large pages: half of one, as neighbours fill the rest.
const LARGE: usize = 1 << 20;
/// What blocks are cut to: whole pages of any size that processors have by default.
const PAGE: usize = 1 << 16;

/// [`System`], whose blocks of a megabyte and more are in large pages where the system has some.
#[derive(Clone, Copy, Debug, Default)]
pub struct LargePages;

// SAFETY: all is the system allocator's; advice leaves contents and addresses as they are.
unsafe impl GlobalAlloc for LargePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        advised(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        advised(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Advice parts a mapping, and Linux before 6.17 does not move one in parts: growing may be a copy.
        // SAFETY: the caller's promise.
        advised(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
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
