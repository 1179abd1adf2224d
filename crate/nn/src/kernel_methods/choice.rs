//! Width of the Gaussian kernel and weight of l2, chosen on held-out images: the fewest errors, on grids that grow around the
//! best until all its neighbours have been tried.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;

/// Where gammas are looked for: powers of 2 over the mean squared distance. Beyond, the kernel is linear or the identity, as
/// far as single precision tells.
pub const WIDTHS: RangeInclusive<i32> = -10..=10;
/// Where weights of l2 are looked for, as a share of the mean diagonal: 1 and 3 times powers of 10, from 1e-9, which single
/// precision does not tell from none, to 100, where the outputs are the targets' weighted means.
pub const WEIGHTS: RangeInclusive<i32> = -18..=4;

/// Powers of 2 and half powers of 10.
pub type GridPoint = (i32, i32);

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// The width.
    pub gamma: bool,
    /// The weight of l2.
    pub ridge: bool,
}

/// What was found, and the ends of what was tried; they are the value itself where there was no choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen {
    /// The place.
    pub place: GridPoint,
    /// The least and greatest power of 2 that was tried.
    pub widths: (i32, i32),
    /// The least and greatest half power of 10 that was tried with the chosen width.
    pub weights: (i32, i32),
}

/// A weight of l2: 1 or 3 times a power of 10.
pub fn weight(half_power: i32) -> f64 {
    let digit = if half_power.rem_euclid(2) == 1 { 3 } else { 1 };
    format!("{digit}e{}", half_power.div_euclid(2)).parse().expect("a number")
}

/// The share of errors is asked for at `(width, weight)`, infinite where the equation cannot be solved. Of equal
/// ones the greater weight, then the smaller gamma, is better: the smoother solution; of insoluble ones the greater gamma,
/// whose matrix is better conditioned.
///
/// Errors: those of `errors`.
pub fn search<E>(free: Free, mut errors: impl FnMut(GridPoint) -> Result<f64, E>) -> Result<Chosen, E> {
    let mut tried: BTreeMap<GridPoint, f64> = BTreeMap::new();
    let starts = |free: bool, starts: &[i32]| if free { starts.to_vec() } else { vec![0] };
    let (widths, weights) = (starts(free.gamma, &[0, 2, 4]), starts(free.ridge, &[-8, -6, -4, -2]));
    // The widths at a middling weight, then the weights at the best of these widths.
    let middle = if free.ridge { -6 } else { 0 };
    let mut next: Vec<GridPoint> = widths.iter().map(|&width| (width, middle)).collect();
    let mut steps = 0;
    loop {
        let before = best(&tried);
        for place in next {
            if let Entry::Vacant(free) = tried.entry(place) {
                free.insert(errors(place)?);
            }
        }
        let Some((width, weight)) = best(&tried) else { unreachable!("a place is tried first") };
        steps += 1;
        if steps == 1 {
            next = weights.iter().map(|&weight| (width, weight)).collect();
            continue;
        }
        if steps > 2 && before == Some((width, weight)) {
            let of = |values: Vec<i32>| (values.iter().copied().min(), values.iter().copied().max());
            let widths = of(tried.keys().map(|place| place.0).collect());
            let weights = of(tried.keys().filter(|place| place.0 == width).map(|place| place.1).collect());
            let ends =
                |(low, high): (Option<i32>, Option<i32>), own| (low.unwrap_or(own), high.unwrap_or(own));
            return Ok(Chosen {
                place: (width, weight),
                widths: ends(widths, width),
                weights: ends(weights, weight),
            });
        }
        // Two to each side, as one may differ from the best by chance.
        next = Vec::new();
        for step in [-2, -1, 1, 2] {
            if free.gamma && WIDTHS.contains(&(width + step)) {
                next.push((width + step, weight));
            }
            if free.ridge && WEIGHTS.contains(&(weight + step)) {
                next.push((width, weight + step));
            }
        }
    }
}

fn best(tried: &BTreeMap<GridPoint, f64>) -> Option<GridPoint> {
    let smooth = |width: i32, error: f64| if error.is_finite() { width } else { -width };
    let order = |a: &(&GridPoint, &f64), b: &(&GridPoint, &f64)| {
        let ((a, x), (b, y)) = (a, b);
        x.total_cmp(y).then(b.1.cmp(&a.1)).then(smooth(a.0, **x).cmp(&smooth(b.0, **y)))
    };
    tried.iter().min_by(order).map(|(place, _)| *place)
}
