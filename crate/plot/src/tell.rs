//! Lines for people on standard error.

/// A line on standard error, written as `println!` writes one. What `eprintln!` does, but where nobody reads standard error any more
/// (`2>&1 | tee log`, and an interrupt ends `tee` first) or its disk is full, the line is lost and nothing else: `eprintln!` panics there,
/// and a run would end without its checkpoint.
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
