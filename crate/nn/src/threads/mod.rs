//! Work shared out among threads that stay awake between one operation and the next.
//!
//! A training step is a dozen short parallel operations. rayon puts its threads to sleep between them,
//! and waking one takes as long as an operation: two threads were no faster than one. A `Team`
//! borrows rayon's threads for a while and lets them wait actively; outside of [`awake`] it is plain rayon.

mod team;

use rayon::iter::plumbing::{Producer, ProducerCallback};
use rayon::prelude::*;
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use team::{MOST_PARTS, Team};

/// Looks at whether there is work again, with a pause before each, before a thread sleeps: some 0.05 ms. Thirty times as many
/// keep processors from other programs for as long as the system lets a thread run: two programs
/// that trained on the same two processors took eight to sixteen times as long as one (`crate/notes/speed.md`).
const LOOKS: u32 = 2048;

/// Whom a thread shares its operations with.
#[derive(Clone, Default)]
enum Helpers {
    /// rayon's threads.
    #[default]
    Rayon,
    /// The team that it leads.
    Team(Arc<Team>),
    /// Nobody: it is doing a part of an operation.
    Nobody,
}

thread_local! {
    static HELPERS: RefCell<Helpers> = RefCell::default();
}

/// Does `work` while the thread shares its operations with `with`.
fn sharing_with<R>(with: Helpers, work: impl FnOnce() -> R) -> R {
    struct Restore(Helpers);
    impl Drop for Restore {
        fn drop(&mut self) {
            HELPERS.set(std::mem::take(&mut self.0));
        }
    }
    let _back = Restore(HELPERS.replace(with));
    work()
}

/// Runs `work` with the current rayon pool's threads kept awake for [`each`] and [`each_chunk`]. To be put around
/// whatever calls many of them in a row: an epoch, a pass over a test set.
///
/// No more threads take part than the machine has processors: one that waits actively for another
/// which has none to run on would wait long.
pub fn awake<R>(work: impl FnOnce() -> R) -> R {
    if !HELPERS.with_borrow(|with| matches!(with, Helpers::Rayon)) {
        // The pool's threads are awake already, or busy with what this is a part of.
        return work();
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let sharing =
        SHARING.with_borrow(|sharing| sharing.as_ref().map_or(1, |sharing| sharing.load(Ordering::Relaxed)));
    let threads = processors.min(rayon::current_num_threads()) / sharing.max(1);
    if threads < 2 {
        return sharing_with(Helpers::Nobody, work);
    }
    struct Dismissed(Arc<Team>);
    impl Drop for Dismissed {
        fn drop(&mut self) {
            self.0.dismiss();
        }
    }
    let team = Arc::new(Team::new(threads));
    rayon::in_place_scope(|scope| {
        // However `work` ends: the scope does not before the members' loops do.
        let _dismissed = Dismissed(team.clone());
        for member in 1..threads {
            let team = team.clone();
            scope.spawn(move |_| sharing_with(Helpers::Nobody, || team.follow(member)));
        }
        sharing_with(Helpers::Team(team.clone()), work)
    })
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
    HELPERS.with_borrow(|with| match with {
        Helpers::Rayon => rayon::current_num_threads(),
        Helpers::Team(team) => team.members(),
        Helpers::Nobody => 1,
    })
}

/// Calls `part` with 0 to `parts - 1`, on all threads.
pub fn each(parts: usize, part: impl Fn(usize) + Sync) {
    match HELPERS.with_borrow(Helpers::clone) {
        Helpers::Team(team) if parts > 1 => {
            sharing_with(Helpers::Nobody, || match parts.div_ceil(MOST_PARTS) {
                1 => team.lead(parts, &part),
                at_once => team.lead(parts.div_ceil(at_once), &|i| {
                    (i * at_once..parts.min((i + 1) * at_once)).for_each(&part);
                }),
            })
        }
        Helpers::Rayon if parts > 1 => (0..parts).into_par_iter().for_each(&part),
        _ => (0..parts).for_each(part),
    }
}

/// Calls `work` with every item, on all threads.
pub fn each_item<I>(items: I, work: impl Fn(I::Item) + Sync)
where
    I: IntoParallelIterator<Iter: IndexedParallelIterator>,
{
    let items = items.into_par_iter();
    // With more parts than threads, one that falls behind does fewer.
    let len = items.len();
    items.with_producer(OneByOne { len, work });
}

/// Calls `work` with every item of a producer of `len`, each a part of its own.
struct OneByOne<W> {
    len: usize,
    work: W,
}

impl<T, W: Fn(T) + Sync> ProducerCallback<T> for OneByOne<W> {
    type Output = ();

    fn callback<P: Producer<Item = T>>(self, mut producer: P) {
        let mut items = Vec::with_capacity(self.len);
        for _ in 1..self.len {
            let (item, rest) = producer.split_at(1);
            items.push(Mutex::new(Some(item)));
            producer = rest;
        }
        items.push(Mutex::new(Some(producer)));
        each(self.len, |i| {
            let item = items[i].lock().unwrap_or_else(PoisonError::into_inner).take();
            item.into_iter().flat_map(Producer::into_iter).for_each(&self.work);
        });
    }
}

/// Calls `work` with every piece of `size` elements of `slice` and its number, on all threads.
pub fn each_chunk<T: Send>(slice: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    each_item(slice.par_chunks_mut(size.max(1)).enumerate(), |(i, chunk)| work(i, chunk));
}
