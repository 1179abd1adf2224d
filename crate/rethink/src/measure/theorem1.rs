//! Theorem 1 (section 4, proof in appendix C): a network of two layers with ReLUs and 2n + d weights that
//! takes any n values on any n distinct points in d dimensions.
//!
//! `c(x) = sum_j w_j max(<a, x> - b_j, 0)`. The points are projected on `a`, the knots `b` interleave with the
//! projections, and `w` solves a lower triangular system (lemma 1). Its solution is piecewise linear between
//! the knots, so that differences of slopes give it in O(n).

use crate::data::Dataset;
use crate::measure::expressivity::Sample;
use crate::{Error, Result};
use polars::prelude::DataFrame;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use rethink_nn::numbers::largest;

const OPERATION: &str = "theorem 1";

/// Directions tried; the one whose projections lie farthest apart is taken.
const DIRECTIONS: usize = 8;

/// Where a knot lies between two projections, as a share of their distance: nearer to the lower one, so
/// that an error in one slope is damped, not carried on, in the next.
const KNOT: f64 = 0.25;

/// The theorem's network.
#[derive(Clone, Debug)]
pub struct TwoLayer {
    /// `d` weights: the direction on which points are projected, of length 1.
    pub a: Vec<f64>,
    /// `n` weights: the knots, rising.
    pub b: Vec<f64>,
    /// `n` weights of the second layer.
    pub w: Vec<f64>,
    /// Projections of the points it was made for, rising, interleaving with `b`.
    pub x: Vec<f64>,
}

/// Lemma 1's matrix `max(x_i - b_j, 0)`, `n x n`, row-major.
pub fn matrix(x: &[f64], b: &[f64]) -> Vec<f64> {
    x.iter().flat_map(|x| b.iter().map(move |b| (x - b).max(0.0))).collect()
}

/// Lemma 1's smallest eigenvalue, `min_i x_i - b_i`.
pub fn smallest_eigenvalue(x: &[f64], b: &[f64]) -> f64 {
    x.iter().zip(b).map(|(x, b)| x - b).fold(f64::INFINITY, f64::min)
}

/// A direction of length 1 on which all points have different projections, the projections (in the points'
/// order), and the points' order by projection.
///
/// Errors: [`Error::Argument`] for no point, or two that are equal.
pub fn project(points: &[f64], d: usize, seed: u64) -> Result<(Vec<f64>, Vec<f64>, Vec<usize>)> {
    if d == 0 || points.is_empty() || !points.len().is_multiple_of(d) {
        let problem = format!("{} numbers are no points in {d} dimensions", points.len());
        return Err(Error::argument(OPERATION, problem));
    }
    if points.iter().any(|v| !v.is_finite()) {
        return Err(Error::argument(OPERATION, "a point that is not finite"));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut widest = 0.0;
    let mut best = None;
    let mut equal = (0, 0);
    for _ in 0..DIRECTIONS {
        let mut a: Vec<f64> = (0..d).map(|_| StandardNormal.sample(&mut rng)).collect();
        let length = a.iter().map(|v: &f64| v * v).sum::<f64>().sqrt();
        a.iter_mut().for_each(|v| *v /= length);
        let x: Vec<f64> = points.par_chunks_exact(d).map(|z| dot(&a, z)).collect();
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|&i, &j| x[i].total_cmp(&x[j]));
        let gaps = order.windows(2).map(|pair| (x[pair[1]] - x[pair[0]], (pair[0], pair[1])));
        let (gap, pair) =
            gaps.min_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or((f64::INFINITY, (0, 0)));
        equal = pair;
        if gap > widest {
            widest = gap;
            best = Some((a, x, order));
        }
    }
    best.ok_or_else(|| {
        let (i, j) = (equal.0.min(equal.1), equal.0.max(equal.1));
        Error::argument(OPERATION, format!("points {i} and {j} are not distinct"))
    })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Knots that interleave with the rising projections `x`: `b_1 < x_1 < b_2 < x_2 < ...`.
pub fn knots(x: &[f64]) -> Vec<f64> {
    let Some((first, last)) = x.first().zip(x.last()) else { return Vec::new() };
    let before = if x.len() > 1 { (last - first) / (x.len() - 1) as f64 } else { 1.0 };
    let between = x.windows(2).map(|pair| pair[0] + KNOT * (pair[1] - pair[0]));
    std::iter::once(first - before).chain(between).collect()
}

/// The [`knots`] of `x`, each below its point and above the one before.
///
/// Errors: [`Error::Argument`] where two points have no f64 between them.
pub(super) fn interleaved_knots(x: &[f64], operation: &'static str) -> Result<Vec<f64>> {
    let b = knots(x);
    if b.iter().zip(x).all(|(b, x)| b < x) && x.iter().zip(&b[1..]).all(|(x, b)| x < b) {
        return Ok(b);
    }
    Err(Error::argument(operation, "projections so near to each other that no f64 lies between them"))
}

/// Solves `A w = y` with lemma 1's matrix in O(n): the slope behind knot `i` follows from the one before.
pub fn solve(x: &[f64], b: &[f64], y: &[f64]) -> Vec<f64> {
    let (mut slope, mut from, mut value) = (0.0, 0.0, 0.0);
    let mut w = Vec::with_capacity(x.len());
    for i in 0..x.len() {
        let at_knot = if i == 0 { 0.0 } else { value + slope * (b[i] - from) };
        let next = (y[i] - at_knot) / (x[i] - b[i]);
        w.push(next - slope);
        (slope, from, value) = (next, x[i], y[i]);
    }
    w
}

impl TwoLayer {
    /// The network that takes `targets` (`n`) on `points` (`n x d`).
    ///
    /// Errors: [`Error::Argument`] for points that are not distinct or not finite, or another number of
    /// targets.
    pub fn fit(points: &[f64], d: usize, targets: &[f64], seed: u64) -> Result<TwoLayer> {
        if targets.len() * d != points.len() || targets.iter().any(|v| !v.is_finite()) {
            let problem = format!("{} finite targets for {} numbers", targets.len(), points.len());
            return Err(Error::argument(OPERATION, problem));
        }
        let (a, projections, order) = project(points, d, seed)?;
        let x: Vec<f64> = order.iter().map(|&i| projections[i]).collect();
        let y: Vec<f64> = order.iter().map(|&i| targets[i]).collect();
        let b = interleaved_knots(&x, OPERATION)?;
        let w = solve(&x, &b, &y);
        Ok(TwoLayer { a, b, w, x })
    }

    /// How many weights it has: 2n + d.
    pub fn weight_count(&self) -> usize {
        self.a.len() + self.b.len() + self.w.len()
    }

    /// Its values on `points` (`n x d`), layer by layer.
    pub fn outputs(&self, points: &[f64]) -> Vec<f64> {
        let output = |z: &[f64]| {
            let x = dot(&self.a, z);
            // All terms but those of knots below x are zero.
            let active = self.b.iter().zip(&self.w).map(|(b, w)| w * (x - b).max(0.0));
            active.sum()
        };
        points.par_chunks_exact(self.a.len()).map(output).collect()
    }

    /// What bounds every weight of `w`: `3 D / (smallest eigenvalue)`, `D` being the largest step between the
    /// targets of neighbouring projections (and from 0 to the first).
    ///
    /// By induction on the slopes: with the knot at a quarter of the gap, a slope is at most
    /// `D / (x_i - b_i)` plus a third of the one before, so at most 1.5 of the largest `D / (x_i - b_i)`; `w` is a
    /// difference of two slopes.
    pub fn weight_bound(&self, sorted_targets: &[f64]) -> f64 {
        let first = sorted_targets.first().map_or(0.0, |y| y.abs());
        let step = sorted_targets.windows(2).map(|p| (p[1] - p[0]).abs()).fold(first, f64::max);
        let ratio = KNOT / (1.0 - KNOT);
        2.0 / (1.0 - ratio) * step / smallest_eigenvalue(&self.x, &self.b)
    }
}

/// Fits random labels (classes as numbers) of the first `n` training images. A row: `n` (distinct images),
/// `repeated` (images left out), `d`, `weights`, `largest_error`, `smallest_eigenvalue`, `largest_weight`,
/// `weight_bound`.
pub(crate) fn measure(data: &Dataset, n: usize, seed: u64) -> Result<DataFrame> {
    let Sample { points, targets, d, repeated } = Sample::random_labels(data, n, seed);
    let network = TwoLayer::fit(&points, d, &targets, seed)?;
    let n = targets.len();
    if network.weight_count() != 2 * n + d {
        return Err(Error::argument(OPERATION, format!("{} weights, not 2n + d", network.weight_count())));
    }
    let outputs = network.outputs(&points);
    let error = largest(outputs.iter().zip(&targets).map(|(o, t)| (o - t).abs()));
    let (_, _, order) = project(&points, d, seed)?;
    let sorted: Vec<f64> = order.iter().map(|&i| targets[i]).collect();
    let largest_weight = largest(network.w.iter().map(|w| w.abs()));
    let row = [
        ("n", n as f64),
        ("repeated", repeated as f64),
        ("d", d as f64),
        ("weights", network.weight_count() as f64),
        ("largest_error", error),
        ("smallest_eigenvalue", smallest_eigenvalue(&network.x, &network.b)),
        ("largest_weight", largest_weight),
        ("weight_bound", network.weight_bound(&sorted)),
    ];
    super::row(OPERATION, &row)
}
