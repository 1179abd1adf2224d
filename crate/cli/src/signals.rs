//! Interrupts (Ctrl-C) and termination signals: what is being trained or measured ends after its step, with a checkpoint, and the program
//! then ends as the signal would have ended it.
//!
//! The first signal asks for that ([`rethink_nn::interrupt`]), a second one ends the program at once. What the program was started to
//! ignore, as a shell has it for what it starts in the background, stays ignored.

#[cfg(unix)]
pub use here::{end_as_heard, end_by_closed_pipe, hear};

/// Signals are Unix's; elsewhere the program ends as it always has.
#[cfg(not(unix))]
pub fn hear() {}

/// There are none.
#[cfg(not(unix))]
pub fn end_as_heard() {}

/// There are none.
#[cfg(not(unix))]
pub fn end_by_closed_pipe() {}

#[cfg(unix)]
mod here {
    use rethink_nn::interrupt;
    use rethink_plot::tell;
    use signal_hook::consts::{SIGINT, SIGPIPE, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    use std::fs;
    use std::sync::atomic::{AtomicI32, Ordering};
    use std::thread;

    /// The last signal that was heard; 0 before the first.
    static HEARD: AtomicI32 = AtomicI32::new(0);

    /// From now on, work that can end early does so at a signal. For commands whose long work looks for that wish.
    pub fn hear() {
        // Where the system refuses, a signal ends the program as it always has.
        let Ok(mut signals) =
            Signals::new([SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal)))
        else {
            return;
        };
        let listen = move || {
            for signal in signals.forever() {
                if HEARD.swap(signal, Ordering::Relaxed) != 0 {
                    let _ = emulate_default_handler(signal);
                }
                interrupt::want(true);
                tell!(
                    "interrupted: what runs ends after this step and is kept; a second time, the program ends at once"
                );
            }
        };
        let _ = thread::Builder::new().name("signals".into()).spawn(listen);
    }

    /// Ends the program by the signal that was heard, if there was one: so a shell's loop ends too, and Slurm knows why.
    pub fn end_as_heard() {
        let signal = HEARD.load(Ordering::Relaxed);
        if signal != 0 {
            let _ = emulate_default_handler(signal);
        }
    }

    /// Ends the program as the system ends one whose output nobody reads. (Rust ignores that signal from the start.)
    pub fn end_by_closed_pipe() {
        let _ = emulate_default_handler(SIGPIPE);
    }

    /// Whether the program was started to ignore `signal`. Known on Linux; elsewhere none is.
    fn is_ignored(signal: i32) -> bool {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
    }
}
