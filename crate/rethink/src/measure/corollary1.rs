//! Corollary 1 (appendix C): theorem 1's network, folded. Depth k, width O(n/k) and O(n + d) weights.
//!
//! The line on which points are projected is cut into b = k - 3 intervals. Layer after layer, theorem 1's
//! construction is made for one interval, while the projection and the sum of what was selected before are handed on.
//! The multiplexer is one unit per interval, `max(o_j - M (1 - f_j), 0)`: `o_j` is the interval's output, between 0 and
//! `M`, and `f_j` is 1 on its points and 0 on all others, made of four units.

use crate::data::Dataset;
use crate::measure::expressivity::Sample;
use crate::measure::theorem1::{interleaved_knots, knots, project, solve};
use crate::{Error, Result};
use polars::prelude::DataFrame;
use rayon::prelude::*;
use rethink_nn::numbers::largest;
use rethink_nn::text::counted;

const OPERATION: &str = "corollary 1";

/// A unit: what it takes from the layer before, by number and weight, and its bias.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    /// Number in the layer before, weight.
    pub inputs: Vec<(usize, f64)>,
    /// Added to the sum.
    pub bias: f64,
}

impl Unit {
    fn new(inputs: Vec<(usize, f64)>, bias: f64) -> Unit {
        Unit { inputs, bias }
    }
}

/// A network of layers of ReLUs, but for the last layer, which is linear. Only the weights that there are count.
#[derive(Clone, Debug)]
pub struct DeepNetwork {
    /// The layers, each a list of its units.
    pub layers: Vec<Vec<Unit>>,
}

/// Units of a layer besides the interval's own knots: projection, sum, multiplexer, closing knot, four of the
/// indicator.
pub const EXTRA: usize = 8;

/// The largest depth for so many points: each interval has one at least.
pub fn deepest(points: usize) -> usize {
    points.saturating_add(3)
}

impl DeepNetwork {
    /// The network of depth `k` (3 at least; depth 2 is [`crate::measure::theorem1::TwoLayer`]) that takes `targets` (`n`) on
    /// `points` (`n x d`).
    ///
    /// Errors: [`Error::Argument`] for a depth below 3 or above n + 3, points that are not distinct or not finite or too near to
    /// each other, or another number of targets.
    pub fn fit(points: &[f64], d: usize, targets: &[f64], k: usize, seed: u64) -> Result<DeepNetwork> {
        let n = targets.len();
        if k < 3 || k > deepest(n) {
            let problem = format!("depth {k} for {}: 3 to {}", counted(n, "point"), deepest(n));
            return Err(Error::argument(OPERATION, problem));
        }
        if n * d != points.len() || targets.iter().any(|v| !v.is_finite()) {
            let problem = format!("{n} finite targets for {} numbers", points.len());
            return Err(Error::argument(OPERATION, problem));
        }
        let (a, projections, order) = project(points, d, seed)?;
        let x: Vec<f64> = order.iter().map(|&i| projections[i]).collect();
        let lowest = targets.iter().copied().fold(f64::INFINITY, f64::min);
        let y: Vec<f64> = order.iter().map(|&i| targets[i] - lowest).collect();
        // So that the projections, and the first knot, are above zero and pass a ReLU.
        let shift = knots(&x)[0] - (x[n - 1] - x[0]).max(1.0) * 0.01;
        let x: Vec<f64> = x.iter().map(|v| v - shift).collect();
        let b = interleaved_knots(&x, OPERATION)?;

        let mut layers = vec![vec![Unit::new(a.into_iter().enumerate().collect(), -shift)]];
        if k == 3 {
            let w = solve(&x, &b, &y);
            layers.push(b.iter().map(|b| Unit::new(vec![(0, 1.0)], -b)).collect());
            layers.push(vec![Unit::new(w.into_iter().enumerate().collect(), lowest)]);
            return Ok(DeepNetwork { layers });
        }
        let ends = intervals(&x, k - 3);
        // What the layer before holds: its units for the sum and for the selection, and how to select.
        let (mut sum, mut selected) = (None::<usize>, None::<usize>);
        let mut selector: Option<Unit> = None;
        let mut start = 0;
        for &end in &ends {
            let mut layer = vec![Unit::new(vec![(0, 1.0)], 0.0)];
            (sum, selected) = carry(&mut layer, sum, selected, selector.take());
            let Interval { units, output, bound, indicator } = interval(&x, &y, start..end, layer.len());
            // o - M (1 - f), from this layer's units, by the next layer's multiplexer.
            let (f, constant) = indicator;
            let mut inputs = output;
            inputs.extend(f.into_iter().map(|(unit, weight)| (unit, bound * weight)));
            selector = Some(Unit::new(inputs, bound * (constant - 1.0)));
            layer.extend(units);
            layers.push(layer);
            start = end;
        }
        let mut layer = Vec::new();
        (sum, selected) = carry(&mut layer, sum, selected, selector.take());
        layers.push(layer);
        let last = [sum, selected].into_iter().flatten().map(|unit| (unit, 1.0)).collect();
        layers.push(vec![Unit::new(last, lowest)]);
        Ok(DeepNetwork { layers })
    }

    /// Layers of weights.
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// Units of the widest layer.
    pub fn width(&self) -> usize {
        self.layers.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Weights and biases.
    pub fn weight_count(&self) -> usize {
        self.layers.iter().flatten().map(|unit| unit.inputs.len() + 1).sum()
    }

    /// Its values on `points` (`n x d`), layer by layer.
    pub fn outputs(&self, points: &[f64]) -> Vec<f64> {
        let d = self.layers[0][0].inputs.len();
        let last = self.layers.len() - 1;
        let output = |z: &[f64]| {
            let mut values = z.to_vec();
            for (index, layer) in self.layers.iter().enumerate() {
                let value = |unit: &Unit| {
                    let sum: f64 = unit.inputs.iter().map(|&(from, weight)| weight * values[from]).sum();
                    if index == last { sum + unit.bias } else { (sum + unit.bias).max(0.0) }
                };
                values = layer.iter().map(value).collect();
            }
            values[0]
        };
        points.par_chunks_exact(d).map(output).collect()
    }
}

/// Adds to `layer` the unit that keeps the sum of what was selected so far, and the multiplexer of the interval
/// before; returns where they are.
fn carry(
    layer: &mut Vec<Unit>,
    sum: Option<usize>,
    selected: Option<usize>,
    selector: Option<Unit>,
) -> (Option<usize>, Option<usize>) {
    let kept: Vec<(usize, f64)> = [sum, selected].into_iter().flatten().map(|unit| (unit, 1.0)).collect();
    let mut place = |unit: Unit| {
        layer.push(unit);
        layer.len() - 1
    };
    let sum = (!kept.is_empty()).then(|| place(Unit::new(kept, 0.0)));
    (sum, selector.map(place))
}

/// Where each of `count` intervals ends (an index into the rising `x`): near to equal shares, at the widest gap in
/// a tenth of a share around.
fn intervals(x: &[f64], count: usize) -> Vec<usize> {
    let n = x.len();
    let mut ends = Vec::with_capacity(count);
    let mut before = 0;
    for j in 1..count {
        let nominal = j * n / count;
        let reach = n / count / 10;
        let low = nominal.saturating_sub(reach).max(before + 1);
        let high = (nominal + reach).min(n - (count - j));
        let widest = (low..=high.max(low)).max_by(|&i, &j| (x[i] - x[i - 1]).total_cmp(&(x[j] - x[j - 1])));
        before = widest.unwrap_or(nominal);
        ends.push(before);
    }
    ends.push(n);
    ends
}

/// One interval's units, and how the next layer reads them.
struct Interval {
    units: Vec<Unit>,
    /// The interval's output as weights of its units.
    output: Vec<(usize, f64)>,
    /// The output is nowhere above it.
    bound: f64,
    /// The indicator as weights of units, and a constant.
    indicator: (Vec<(usize, f64)>, f64),
}

fn interval(x: &[f64], y: &[f64], range: std::ops::Range<usize>, first_unit: usize) -> Interval {
    let own = &x[range.clone()];
    let before = range.start.checked_sub(1).map(|i| x[i]);
    let after = x.get(range.end).copied();
    let (first, last) = (own[0], own[own.len() - 1]);
    let mut b = knots(own);
    if let Some(before) = before {
        b[0] = before + 0.25 * (first - before);
    }
    let mut w = solve(own, &b, &y[range.clone()]);
    if let Some(after) = after {
        // Flat behind the last point, so that the output stays bounded.
        b.push(last + 0.25 * (after - last));
        w.push(-w.iter().sum::<f64>());
    }
    let value = |at: f64| b.iter().zip(&w).map(|(b, w)| w * (at - b).max(0.0)).sum::<f64>();
    let breaks = b.iter().chain(own).chain(after.as_ref());
    let bound = 1.0 + breaks.map(|&at| value(at)).fold(0.0, f64::max);
    let knot = |b: &f64| Unit::new(vec![(0, 1.0)], -b);
    let mut units: Vec<Unit> = b.iter().map(knot).collect();
    let output = w.iter().enumerate().map(|(i, &w)| (first_unit + i, w)).collect();
    // f rises from 0 to 1 between the interval before and this one's first point, and falls behind the last.
    let mut indicator = Vec::new();
    let mut ramp = |from: f64, to: f64, sign: f64| {
        let slope = sign / (to - from);
        for (at, weight) in [(from, slope), (to, -slope)] {
            indicator.push((first_unit + units.len(), weight));
            units.push(knot(&at));
        }
    };
    if let Some(before) = before {
        ramp(before, first, 1.0);
    }
    if let Some(after) = after {
        ramp(last, after, -1.0);
    }
    // The first interval's indicator starts at 1.
    let constant = if before.is_none() { 1.0 } else { 0.0 };
    Interval { units, output, bound, indicator: (indicator, constant) }
}

/// Fits random labels (classes as numbers) of the first `n` training images at depth `k`. A row: `n` (distinct
/// images), `d`, `depth`, `width`, `weights`, `largest_error`.
///
/// Errors: [`Error::Argument`] where fewer images are distinct than the depth takes; those of [`DeepNetwork::fit`].
pub(crate) fn measure(data: &Dataset, n: usize, k: usize, seed: u64) -> Result<DataFrame> {
    let Sample { points, targets, d, repeated } = Sample::random_labels(data, n, seed);
    if k > deepest(targets.len()) {
        let (all, distinct, needed) = (targets.len() + repeated, targets.len(), k.saturating_sub(3));
        let problem = format!(
            "depth {k} takes {needed} distinct images or more: of the first {} of {}, {distinct} {} distinct",
            counted(all, "training image"),
            data.title,
            if distinct == 1 { "is" } else { "are" }
        );
        return Err(Error::argument(OPERATION, problem));
    }
    let network = DeepNetwork::fit(&points, d, &targets, k, seed)?;
    let n = targets.len();
    let intervals = k.saturating_sub(3).max(1);
    // A share and the tenth by which either end may move.
    let widest = n.div_ceil(intervals) + 2 * (n / intervals / 10) + 1 + EXTRA;
    let most = 3 * n + d + 24 * k;
    if network.depth() != k || network.width() > widest || network.weight_count() > most {
        let (depth, width, weights) = (network.depth(), network.width(), network.weight_count());
        let problem =
            format!("depth {depth}, width {width} (at most {widest}), {weights} weights (at most {most})");
        return Err(Error::argument(OPERATION, problem));
    }
    let outputs = network.outputs(&points);
    let error = largest(outputs.iter().zip(&targets).map(|(o, t)| (o - t).abs()));
    let row = [
        ("n", n as f64),
        ("d", d as f64),
        ("depth", k as f64),
        ("width", network.width() as f64),
        ("weights", network.weight_count() as f64),
        ("largest_error", error),
    ];
    super::row(OPERATION, &row)
}
