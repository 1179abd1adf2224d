//! The wish that work ends early, as a notebook's stop button has it: long loops look for it and leave.

use crate::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};

static WANTED: AtomicBool = AtomicBool::new(false);

/// Asks running and later work to end early (`true`), or takes the request back (`false`).
pub fn want(wanted: bool) {
    WANTED.store(wanted, Ordering::Relaxed);
}

/// Whether the work that goes on is to end early.
pub fn is_wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}

/// For a loop without anything to keep.
///
/// Errors: [`Error::Interrupted`] where the work is to end early.
pub fn check(operation: &'static str) -> Result<()> {
    if is_wanted() { Err(Error::Interrupted { what: format!("{operation}: interrupted") }) } else { Ok(()) }
}
