//! How far training is, for another thread that looks on: training writes, and never waits.

use crate::run::row::LogRow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Of one run.
#[derive(Debug, Default)]
pub struct Watch {
    epoch: AtomicU32,
    step: AtomicU32,
    of: AtomicU32,
    curve: Mutex<Vec<(u32, f64)>>,
}

/// Where training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1; 0 before the first step of this sitting.
    pub epoch: u32,
    /// Steps of the epoch that are done.
    pub step: u32,
    /// Steps that the epoch has.
    pub of: u32,
}

impl Watch {
    /// Step `step` of `of` of an epoch is done.
    pub(crate) fn step(&self, epoch: u32, step: usize, of: usize) {
        self.of.store(of as u32, Ordering::Relaxed);
        self.step.store(step as u32, Ordering::Relaxed);
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// Rows of the frame, which come once.
    pub(crate) fn rows(&self, rows: &[LogRow]) {
        let mut curve = self.curve.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        curve.extend(rows.iter().map(|row| (row.step, row.loss)));
    }

    /// Where training is now.
    pub fn place(&self) -> Place {
        let of = |value: &AtomicU32| value.load(Ordering::Relaxed);
        Place { epoch: of(&self.epoch), step: of(&self.step), of: of(&self.of) }
    }

    /// Step and training loss, in nats, of every row so far, an earlier sitting's included.
    pub fn curve(&self) -> Vec<(u32, f64)> {
        self.curve.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}
