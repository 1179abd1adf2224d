//! Section 4 and appendix C: theorem 1, lemma 1, corollary 1.

use crate::claims::part::Part;
use crate::claims::{Checker, Claim};
use crate::measure::{Measured, Quantity};
use rethink_nn::text::thousands;

/// An output this near to a label (0, 1, ...) is that label.
const EXACT: f64 = 1e-6;
/// "Width O(n/k)": the width of corollary 1's network times its depth k, over n, is at most this.
const WIDTH: f64 = 6.0;
/// "O(n + d) weights": its weights over n + d are at most this.
const WEIGHTS: f64 = 4.0;

fn theorem_1(measured: &[Measured]) -> Vec<Part> {
    let part = |measured: &Measured| {
        let at = |name: &str| measured.number(name).ok();
        let (n, d, weights, error) = (at("n")?, at("d")?, at("weights")?, at("largest_error")?);
        let text = format!(
            "n = {}, d = {}: {} weights, largest error {error:.0e}",
            thousands(n as usize),
            thousands(d as usize),
            thousands(weights as usize)
        );
        Some(Part::measured(text, weights == 2.0 * n + d && error <= EXACT, &[measured]))
    };
    of(measured, |what| *what == Quantity::Theorem1).filter_map(part).collect()
}

fn lemma_1(measured: &[Measured]) -> Vec<Part> {
    let part = |measured: &Measured| {
        let at = |name: &str| measured.number(name).ok();
        let (eigenvalue, largest) = (at("smallest_eigenvalue")?, at("largest_weight")?);
        let (n, bound) = (at("n")?, at("weight_bound")?);
        let text = format!(
            "n = {}: smallest eigenvalue {eigenvalue:.0e}, largest weight {largest:.0e}, bound {bound:.0e}",
            thousands(n as usize)
        );
        let holds = eigenvalue > 0.0 && bound.is_finite() && largest <= bound * (1.0 + 1e-9);
        Some(Part::measured(text, holds, &[measured]))
    };
    of(measured, |what| *what == Quantity::Theorem1).filter_map(part).collect()
}

fn corollary_1(measured: &[Measured]) -> Vec<Part> {
    let part = |measured: &Measured| {
        let at = |name: &str| measured.number(name).ok();
        let (n, d, depth) = (at("n")?, at("d")?, at("depth")?);
        let (width, weights, error) = (at("width")?, at("weights")?, at("largest_error")?);
        let text = format!(
            "depth {depth}: width {}, {} weights, largest error {error:.0e}",
            thousands(width as usize),
            thousands(weights as usize)
        );
        let holds = error <= EXACT && width * depth <= WIDTH * n && weights <= WEIGHTS * (n + d);
        Some(Part::measured(text, holds, &[measured]))
    };
    of(measured, |what| matches!(what, Quantity::Corollary1 { .. })).filter_map(part).collect()
}

fn of(measured: &[Measured], wanted: fn(&Quantity) -> bool) -> impl Iterator<Item = &Measured> {
    measured.iter().filter(move |measured| wanted(&measured.record.measurement.what))
}

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        id: "theorem-1",
        section: "4, theorem 1",
        quote: "There exists a two-layer neural network with ReLU activations and 2n + d weights that can represent any \
                function on a sample of size n in d dimensions.",
        criterion: "exactly 2n + d weights, and random labels 0, 1, ... of n images taken to within 1e-6, at every n",
        recipes: &["theorem1"],
        check: Checker::Measured(theorem_1),
    },
    Claim {
        id: "lemma-1-bounds-the-weights",
        section: "4",
        quote: "Lemma 1 gives a bound on the smallest eigenvalue of the matrix A. This can be used to give reasonable bounds \
                on the weight of the solution w.",
        criterion: "the smallest eigenvalue is above 0 and no weight above the bound that it gives",
        recipes: &["theorem1"],
        check: Checker::Measured(lemma_1),
    },
    Claim {
        id: "corollary-1",
        section: "C, corollary 1",
        quote: "For every k \u{2265} 2, there exists neural network with ReLU activations of depth k, width O(n/k) and O(n + d) \
                weights that can represent any function on a sample of size n in d dimensions.",
        criterion: "random labels of n images taken to within 1e-6, width at most 6 n/k and at most 4 (n + d) weights, at every \
                    depth",
        recipes: &["corollary1"],
        check: Checker::Measured(corollary_1),
    },
];
