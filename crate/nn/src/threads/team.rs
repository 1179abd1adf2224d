//! A team of threads that stay awake between one short operation and the next.
//!
//! An operation has parts. Each member begins with parts of its own, the same ones in operations that have as many, so that
//! it finds in its cache what it has made itself; one that is done takes parts from the end of another's. Nobody
//! waits for a member that has taken none: where the system gives a processor to another program, the other
//! members do what the one without a processor would have done.

use super::LOOKS;
use std::any::Any;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The most parts of an operation: numbers of parts are 16 bits of a [`Turn`].
pub const MOST_PARTS: usize = u16::MAX as usize;

/// What an operation does with the number of a part.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// The parts of one member that nobody has taken yet, as one number, so that taking a part of an operation that is
/// over fails: its number is another.
#[derive(Clone, Copy)]
struct Turn {
    operation: u32,
    next: u16,
    end: u16,
}

impl Turn {
    fn of(bits: u64) -> Self {
        Self { operation: (bits >> 32) as u32, next: (bits >> 16) as u16, end: bits as u16 }
    }

    fn bits(self) -> u64 {
        u64::from(self.operation) << 32 | u64::from(self.next) << 16 | u64::from(self.end)
    }

    fn left(self) -> u16 {
        self.end - self.next
    }
}

/// A number of its own cache line: members would take the line from each other.
#[repr(align(128))]
struct Line<T>(T);

pub struct Team {
    /// A part's number is below the end of its member's.
    turns: Vec<Line<AtomicU64>>,
    /// Points to the [`Work`] of the operation that `turns` are of.
    work: AtomicPtr<Work<'static>>,
    /// Parts of the operation that are done.
    done: Line<AtomicU32>,
    /// Number of the operation; members without parts wait for it to change.
    operation: Line<AtomicU32>,
    /// Members that sleep until `operation` changes, or are about to.
    asleep: AtomicU32,
    /// Whether the leader sleeps until `done` changes, or is about to.
    leader_asleep: AtomicBool,
    over: AtomicBool,
    /// What the first part that panicked has panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Team {
    /// Of so many members, the leader included.
    pub fn new(members: usize) -> Self {
        Self {
            turns: (0..members).map(|_| Line(AtomicU64::new(0))).collect(),
            work: AtomicPtr::new(ptr::null_mut()),
            done: Line(AtomicU32::new(0)),
            operation: Line(AtomicU32::new(0)),
            asleep: AtomicU32::new(0),
            leader_asleep: AtomicBool::new(false),
            over: AtomicBool::new(false),
            panic: Mutex::new(None),
        }
    }

    pub fn members(&self) -> usize {
        self.turns.len()
    }

    /// Does all `parts` (at most [`MOST_PARTS`]) of `work`, together with the members in [`Team::follow`]. To be called by one
    /// thread at a time, the leader, which is member 0. A panic of a part is the leader's, after all parts.
    pub fn lead(&self, parts: usize, work: Work) {
        assert!(parts <= MOST_PARTS);
        let mut work = work;
        self.work.store(ptr::from_mut(&mut work).cast(), Ordering::Relaxed);
        self.done.0.store(0, Ordering::Relaxed);
        let operation = self.operation.0.load(Ordering::Relaxed).wrapping_add(1);
        for (member, turn) in self.turns.iter().enumerate() {
            let first = |member: usize| (member * parts / self.members()) as u16;
            let own = Turn { operation, next: first(member), end: first(member + 1) };
            turn.0.store(own.bits(), Ordering::Release);
        }
        // In one order with a member's "I sleep" and its last look at the number, so that none sleeps through it.
        self.operation.0.store(operation, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            atomic_wait::wake_all(&self.operation.0);
        }
        self.take_parts(0);
        self.wait_until_done(parts as u32);
        if let Some(panic) = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
            resume_unwind(panic);
        }
    }

    /// Takes part in operations as `member`, 1 to `members - 1`, until [`Team::dismiss`].
    pub fn follow(&self, member: usize) {
        let mut seen = 0;
        while !self.over.load(Ordering::Acquire) {
            self.take_parts(member);
            seen = self.wait_for_another(seen);
        }
    }

    /// Ends [`Team::follow`] on all threads.
    pub fn dismiss(&self) {
        self.over.store(true, Ordering::Release);
        self.operation.0.fetch_add(1, Ordering::SeqCst);
        atomic_wait::wake_all(&self.operation.0);
    }

    fn take_parts(&self, member: usize) {
        while self.take_part(member, false) {}
        while let Some(most) = self.with_most_left() {
            self.take_part(most, true);
        }
    }

    fn with_most_left(&self) -> Option<usize> {
        let left = self.turns.iter().map(|turn| Turn::of(turn.0.load(Ordering::Relaxed)).left());
        let (most, left) = left.enumerate().max_by_key(|&(_, left)| left)?;
        (left > 0).then_some(most)
    }

    /// Does the first or last part of `member`'s; false where none was left or somebody else was faster.
    fn take_part(&self, member: usize, last: bool) -> bool {
        let turn = &self.turns[member].0;
        let bits = turn.load(Ordering::Acquire);
        let left = Turn::of(bits);
        if left.left() == 0 {
            return false;
        }
        let work = self.work.load(Ordering::Relaxed);
        let (part, rest) = match last {
            false => (left.next, Turn { next: left.next + 1, ..left }),
            true => (left.end - 1, Turn { end: left.end - 1, ..left }),
        };
        if turn.compare_exchange(bits, rest.bits(), Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return !last;
        }
        // SAFETY: the part was not taken when `work` was read and is this thread's now, so the operation is
        // the same, and its leader stays in `lead`, where the work lives, until this part is counted as done.
        let work = unsafe { *work };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(usize::from(part)))) {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
        self.done.0.fetch_add(1, Ordering::SeqCst);
        if self.leader_asleep.load(Ordering::SeqCst) {
            atomic_wait::wake_all(&self.done.0);
        }
        true
    }

    fn wait_until_done(&self, parts: u32) {
        for _ in 0..LOOKS {
            if self.done.0.load(Ordering::Acquire) == parts {
                return;
            }
            spin_loop();
        }
        self.leader_asleep.store(true, Ordering::SeqCst);
        loop {
            let done = self.done.0.load(Ordering::SeqCst);
            if done == parts {
                break;
            }
            atomic_wait::wait(&self.done.0, done);
        }
        self.leader_asleep.store(false, Ordering::SeqCst);
    }

    /// Returns the number of the operation once it is not `seen` any more.
    fn wait_for_another(&self, seen: u32) -> u32 {
        for _ in 0..LOOKS {
            let now = self.operation.0.load(Ordering::Acquire);
            if now != seen {
                return now;
            }
            spin_loop();
        }
        self.asleep.fetch_add(1, Ordering::SeqCst);
        let now = loop {
            let now = self.operation.0.load(Ordering::SeqCst);
            if now != seen {
                break now;
            }
            atomic_wait::wait(&self.operation.0, seen);
        };
        self.asleep.fetch_sub(1, Ordering::SeqCst);
        now
    }
}
