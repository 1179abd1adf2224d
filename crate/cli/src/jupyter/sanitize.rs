//! What two executions of one notebook may differ in without a difference in results: times, places, names of
//! files. Each is replaced before texts are compared, as nbval's sanitizers are.

use regex::Regex;
use std::path::Path;
use std::sync::LazyLock;

/// A pattern and what stands for it, in order of application.
const SANITIZERS: [(&str, &str); 8] = [
    // Lines that come only where a run takes more than some seconds.
    (r"(?m)^\[\d+/\d+\] .*: epoch \d+ of \d+, loss .*(?:\n|\z)", ""),
    (r"(?m)^\[\d+/\d+\] .*: (?:\d+ of \d+ filters, .* left|factorised \d+ %, .* left)(?:\n|\z)", ""),
    (r"(?m)^\[\d+/\d+\] .*: step \d+ of conjugate gradients, .*(?:\n|\z)", ""),
    (r"(?m)^\[\d+/\d+\] .*another process is (?:training|measuring) it, waiting(?:\n|\z)", ""),
    // Forecasts and durations.
    (r", (?:at most \S+ \S+ left|about \S+ \S+ for the whole sweep)", ""),
    (r"\b\d+(?:\.\d+)? (?:s|min|h)\b", "<time>"),
    (r"\b[\d,.]+ (?:images|examples) (?:a|per) second\b", "<speed>"),
    // Keys of runs, digests of frames, fingerprints, commits.
    (r"\b[0-9a-f]{16,64}(?:\+changes)?\b", "<hash>"),
];

/// `text` without what changes from one execution to the next; `places` are folders and the names that stand for
/// them, inner ones first.
pub fn sanitize(text: &str, places: &[(&Path, &str)]) -> String {
    static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        SANITIZERS.iter().map(|(p, with)| (Regex::new(p).expect("a fixed pattern"), *with)).collect()
    });
    let mut text = text.replace("\r\n", "\n");
    for (place, name) in places {
        text = text.replace(&*place.to_string_lossy(), name);
    }
    for (pattern, with) in PATTERNS.iter() {
        text = pattern.replace_all(&text, *with).into_owned();
    }
    text
}
