//! Work shared out among threads that stay awake between one operation and the next.
//!
//! A training step is a dozen short parallel operations. rayon puts its threads to sleep between them,
//! and waking one takes as long as an operation: two threads were no faster than one. spindle borrows
//! rayon's threads for a while and lets them wait actively; outside of [`awake`] it is plain rayon.

use rayon::prelude::*;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Looks at whether there is work again, with a pause before each, before a thread sleeps: some 0.05 ms. spindle's own
/// 65,536, some 1.5 ms, keep processors from other programs for as long as the system lets a thread run: two programs
/// that trained on the same two processors took eight to sixteen times as long as one (`crate/notes/speed.md`).
const LOOKS: u32 = 2048;

/// Runs `work` with the current rayon pool's threads kept awake for [`each`] and [`each_chunk`]. To be put around
/// whatever calls many of them in a row: an epoch, a pass over a test set.
///
/// No more threads take part than the machine has processors: one that waits actively for another
/// which has none to run on would wait long.
pub fn awake<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    spindle::SPIN_LIMIT.store(LOOKS, Ordering::Relaxed);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let sharing =
        SHARING.with_borrow(|sharing| sharing.as_ref().map_or(1, |sharing| sharing.load(Ordering::Relaxed)));
    let threads = processors.min(rayon::current_num_threads()) / sharing.max(1);
    spindle::with_lock(threads.max(1), work)
}

thread_local! {
    /// How many share the threads with what this thread does.
    static SHARING: RefCell<Option<Arc<AtomicUsize>>> = const { RefCell::new(None) };
}

/// Does `work`, in which every [`awake`] takes its part of the threads: one of as many parts as `among` says when it begins.
pub fn sharing<R>(among: &Arc<AtomicUsize>, work: impl FnOnce() -> R) -> R {
    let before = SHARING.replace(Some(among.clone()));
    let done = work();
    SHARING.set(before);
    done
}

/// How many threads take part in the next [`each`].
pub fn count() -> usize {
    spindle::max_num_threads()
}

/// Calls `part` with 0 to `parts - 1`, on all threads.
pub fn each(parts: usize, part: impl Fn(usize) + Sync) {
    if parts > 0 {
        spindle::for_each_raw(parts, part);
    }
}

/// Calls `work` with every item, on all threads.
pub fn each_item<I>(items: I, work: impl Fn(I::Item) + Sync)
where
    I: IntoParallelIterator<Iter: IndexedParallelIterator>,
{
    let items = items.into_par_iter();
    match items.len() {
        0 => (),
        // With more parts than threads, one that falls behind does fewer.
        parts => spindle::for_each(parts, items, work),
    }
}

/// Calls `work` with every piece of `size` elements of `slice` and its number, on all threads.
pub fn each_chunk<T: Send>(slice: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    each_item(slice.par_chunks_mut(size.max(1)).enumerate(), |(i, chunk)| work(i, chunk));
}
