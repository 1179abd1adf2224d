//! Numbers of which one may be none.

/// The largest of `values`; 0 where there are none, NaN where one of them is: `f64::max` passes over what is no number.
pub fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    let larger = |most: f64, value: f64| if value <= most || most.is_nan() { most } else { value };
    values.into_iter().reduce(larger).unwrap_or(0.0)
}
