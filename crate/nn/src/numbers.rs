//! Numbers of which one may be none, and numbers from text.

use std::num::ParseFloatError;

/// The number that `text` is, as `str::parse` reads it, with 0 for -0. The two are equal, but the digits of a run's numbers are part of its
/// key: with -0 it would be a run of its own, which is made again.
///
/// Errors: those of `str::parse`.
pub fn parsed(text: &str) -> Result<f64, ParseFloatError> {
    // Adding 0 changes -0 and no other number.
    text.parse::<f64>().map(|x| x + 0.0)
}

/// The largest of `values`; 0 where there are none, NaN where one of them is: `f64::max` passes over what is no number.
pub fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    let larger = |most: f64, value: f64| if value <= most || most.is_nan() { most } else { value };
    values.into_iter().reduce(larger).unwrap_or(0.0)
}
