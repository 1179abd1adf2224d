//! Texts that are equal but for their numbers, and numbers that are equal but for a tolerance.

use regex::Regex;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::sync::LazyLock;

/// How far two numbers may be apart: `absolute + relative * (the larger one's magnitude)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Share of the larger magnitude, 0 or more.
    pub relative: f64,
    /// In the numbers' own unit, 0 or more.
    pub absolute: f64,
}

impl Tolerance {
    /// On processors with the same vector instructions, where results are equal bit for bit: room for the last digit
    /// of a system's logarithm, no more.
    pub const SAME: Tolerance = Tolerance { relative: 1e-6, absolute: 1e-9 };
    /// On processors with other vector instructions, which add in another order.
    pub const OTHER: Tolerance = Tolerance { relative: 0.05, absolute: 0.05 };

    /// Whether `a` and `b` are close enough. NaN is close to NaN alone, infinity to itself.
    pub fn allows(self, a: f64, b: f64) -> bool {
        if !a.is_finite() || !b.is_finite() {
            return a == b || (a.is_nan() && b.is_nan());
        }
        (a - b).abs() <= self.absolute + self.relative * a.abs().max(b.abs())
    }
}

/// Lines that differ.
#[derive(Clone, Debug, PartialEq)]
pub struct LineDifference {
    /// Line of the expected text, from 1.
    pub line: usize,
    /// Empty where there should be nothing.
    pub expected: String,
    /// Empty where there is nothing.
    pub got: String,
    /// The largest relative difference among the line's numbers; `None` where more than numbers differ.
    pub relative: Option<f64>,
}

/// Sign, digits with or without commas between thousands, fraction, exponent.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[-+\u{2212}]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
        .expect("a fixed pattern")
});
/// What widens with the numbers of a table: spaces and rules.
static WIDTH: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[ \t]+|\u{2500}+").expect("a fixed pattern"));

/// A line with `#` for each number and one character for each run of spaces, and the numbers.
fn parts(line: &str) -> (String, Vec<f64>) {
    let number = |m: regex::Match| m.as_str().replace(',', "").replace('\u{2212}', "-").parse();
    let numbers = NUMBER.find_iter(line).map(|m| number(m).unwrap_or(f64::NAN)).collect();
    let text = NUMBER.replace_all(line.trim_end(), "#");
    let text = WIDTH
        .replace_all(&text, |c: &regex::Captures| c[0].chars().next().map_or(String::new(), String::from));
    (text.trim().into(), numbers)
}

/// `|a - b|` over the larger magnitude; 0 for equal numbers.
pub fn relative_difference(a: f64, b: f64) -> f64 {
    let scale = a.abs().max(b.abs());
    if scale == 0.0 || a == b { 0.0 } else { (a - b).abs() / scale }
}

/// Where `got` is not `expected`: line by line, numbers within `tolerance`, everything else equal but for the width
/// of spaces and rules (a wider number makes a wider column).
pub fn lines(expected: &str, got: &str, tolerance: Tolerance) -> Vec<LineDifference> {
    let (theirs, ours): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), got.lines().collect());
    let (a, b): (Vec<_>, Vec<_>) =
        (theirs.iter().map(|l| parts(l)).collect(), ours.iter().map(|l| parts(l)).collect());
    let skeleton = |parts: &[(String, Vec<f64>)]| parts.iter().map(|p| p.0.clone()).collect::<Vec<_>>();
    let mut found = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &skeleton(&a), &skeleton(&b)) {
        let (old, new) = (op.old_range(), op.new_range());
        if let DiffOp::Equal { .. } = op {
            for (i, j) in old.zip(new) {
                let pairs = || a[i].1.iter().copied().zip(b[j].1.iter().copied());
                if pairs().any(|(x, y)| !tolerance.allows(x, y)) {
                    let apart = pairs().map(|(x, y)| relative_difference(x, y)).fold(0.0, f64::max);
                    found.push(LineDifference {
                        line: i + 1,
                        expected: theirs[i].into(),
                        got: ours[j].into(),
                        relative: Some(apart),
                    });
                }
            }
            continue;
        }
        // Lines that have no counterpart, side by side as far as both sides have some.
        for k in 0..old.len().max(new.len()) {
            let at = |lines: &[&str], range: &std::ops::Range<usize>| {
                range.clone().nth(k).map_or(String::new(), |i| lines[i].to_string())
            };
            found.push(LineDifference {
                line: old.start + k.min(old.len()) + 1,
                expected: at(&theirs, &old),
                got: at(&ours, &new),
                relative: None,
            });
        }
    }
    found
}
