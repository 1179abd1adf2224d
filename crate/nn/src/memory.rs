//! Whether there is memory for what is about to be computed, before anything is spent.

use crate::text::thousands;
use crate::{Error, Result};

/// Bytes that are taken for free where the system does not say: more than a processor can address.
const ADDRESSABLE: u64 = 1 << 47;

/// Free memory, bytes, as the system says; `None` where it does not.
pub fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Checks, before anything is spent, that `needed(n)` bytes are free.
///
/// Errors: [`Error::Missing`], which says how many rows would fit.
pub fn check_memory(n: usize, needed: impl Fn(usize) -> u64, free: Option<u64>) -> Result<()> {
    let Some(free) = free else { return Ok(()) };
    if needed(n) <= free {
        return Ok(());
    }
    let (mut fits, mut not) = (0, n);
    while not - fits > 1 {
        let middle = (fits + not) / 2;
        if needed(middle) <= free { fits = middle } else { not = middle }
    }
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    Err(Error::Missing {
        what: format!(
            "the kernel equation of n = {} takes {:.1} GB, {:.1} GB are free",
            thousands(n),
            gigabytes(needed(n)),
            gigabytes(free)
        ),
        remedy: format!("free some, or take n = {}, which would fit", thousands(fits)),
    })
}

/// Checks, before anything is spent, that of `free` bytes (`None`: the system does not say) enough are there for `network`, of so
/// many `parameters`, which takes `bytes`. The system ends a program that asks for too much, whatever it was doing.
///
/// Errors: [`Error::Missing`] with the parameters, the memory that they take and what is free.
pub fn check_room(network: &str, parameters: u128, bytes: u128, free: Option<u64>) -> Result<()> {
    let free = free.unwrap_or(ADDRESSABLE);
    if bytes <= u128::from(free) {
        return Ok(());
    }
    let many = usize::try_from(parameters).map_or_else(|_| format!("{parameters:.1e}"), thousands);
    let (takes, free) = (bytes as f64 / 1e9, free as f64 / 1e9);
    Err(Error::Missing {
        what: format!("{network} of {many} parameters takes {takes:.1} GB of memory, {free:.1} GB are free"),
        remedy: "free some, or take fewer channels and units (a smaller width), smaller images or batches"
            .into(),
    })
}
