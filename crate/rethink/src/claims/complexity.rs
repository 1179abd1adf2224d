//! Sections 1.2 and 2.2: Rademacher complexity, VC dimension, uniform stability.

use crate::claims::part::Part;
use crate::claims::{Checker, Claim};
use crate::data::corruption::Corruption;
use crate::measure::complexity::Class;
use crate::measure::{Measured, Quantity};
use crate::paper::mean;
use crate::store::FITTED;
use rethink_nn::text::counted;

/// Least correlation with random signs at which these count as fitted: 99 % of the signs right.
const ONE: f64 = 2.0 * FITTED - 1.0;
/// Classes with a width factor below this are not the paper's: they are there to show that the estimate can be below 1.
const NARROW: f64 = 1.0 / 16.0;
/// Training is not uniformly stable where replacing one example changes some loss by this much, in nats.
const UNSTABLE: f64 = 1.0;
/// Epochs from which on training has made "many passes over the data".
const MANY: f64 = 10.0;

fn numbers(measured: &Measured, name: &str) -> Vec<f64> {
    let column = measured.column(name).ok().and_then(|column| column.f64().ok().cloned());
    column.map_or(Vec::new(), |column| column.iter().flatten().filter(|v| v.is_finite()).collect())
}

/// Each class's measurement.
fn classes(measured: &[Measured]) -> impl Iterator<Item = (Class, &Measured)> {
    measured.iter().filter_map(|measured| match measured.record.measurement.what {
        Quantity::Rademacher { class, .. } => Some((class, measured)),
        _ => None,
    })
}

fn complexity_one(measured: &[Measured]) -> Vec<Part> {
    let part = |(class, measured): (Class, &Measured)| {
        let correlation = mean(numbers(measured, "correlation"))?;
        let n = measured.record.measurement.data.train;
        let text = format!("{}, n = {n}: {correlation:.3}", class.title());
        let part = Part::measured(text, correlation >= ONE, &[measured]);
        Some(if class.width_factor < NARROW { part.silent() } else { part })
    };
    classes(measured).filter_map(part).collect()
}

fn vc_bound(measured: &[Measured]) -> Vec<Part> {
    let part = |(class, measured): (Class, &Measured)| {
        let (parameters, bound) = (measured.number("parameters").ok()?, measured.number("vc_bound").ok()?);
        let n = measured.record.measurement.data.train;
        let text = format!("{}, n = {n}: {parameters} parameters, bound {bound:.2}", class.title());
        let part = Part::measured(text, parameters > n as f64 && bound >= 1.0, &[measured]);
        Some(if class.width_factor < NARROW { part.silent() } else { part })
    };
    classes(measured).filter_map(part).collect()
}

/// A labelling's largest changes of a loss, nats, after the fewest and the most epochs: of the replaced example with the
/// least of them, and of the one with the most.
struct Changes<'a> {
    measured: &'a Measured,
    labels: Corruption,
    epochs: [f64; 2],
    least: [f64; 2],
    largest: [f64; 2],
}

fn changes(measured: &[Measured]) -> Vec<Changes<'_>> {
    let of = |measured| -> Option<Changes> {
        let measured: &Measured = measured;
        let Quantity::Stability { corruption: labels, .. } = measured.record.measurement.what else {
            return None;
        };
        let (epochs, changes) = (numbers(measured, "epochs"), numbers(measured, "largest_change"));
        if epochs.len() != changes.len() || epochs.is_empty() {
            return None;
        }
        let ends = [
            epochs.iter().copied().fold(f64::INFINITY, f64::min),
            epochs.iter().copied().fold(0.0, f64::max),
        ];
        let at = |end: f64| epochs.iter().zip(&changes).filter(move |(e, _)| **e == end).map(|(_, c)| *c);
        let least = ends.map(|end| at(end).fold(f64::INFINITY, f64::min));
        Some(Changes {
            measured,
            labels,
            epochs: ends,
            least,
            largest: ends.map(|end| at(end).fold(0.0, f64::max)),
        })
    };
    measured.iter().filter_map(of).collect()
}

fn not_stable(measured: &[Measured]) -> Vec<Part> {
    let part = |changes: Changes| {
        let ([first, last], [early, late]) = (changes.epochs, changes.largest);
        let text = format!(
            "{}: a loss changes by up to {early:.2} nats after {}, {late:.2} after {last}",
            changes.labels.title(),
            counted(first as usize, "epoch")
        );
        let holds = late >= UNSTABLE && late > early;
        let part = Part::measured(text, holds, &[changes.measured]);
        if last >= MANY {
            return part;
        }
        let few = if last == 1.0 { "one pass is".into() } else { format!("{last} passes are") };
        let text = format!("{}: {few} not many", part.text);
        Part { text, ..part.missing() }
    };
    changes(measured).into_iter().map(part).collect()
}

fn ignores_labels(measured: &[Measured]) -> Vec<Part> {
    let all = changes(measured);
    let of = |wanted| move |changes: &&Changes| changes.labels == wanted;
    let mut parts = Vec::new();
    for clean in all.iter().filter(of(Corruption::TrueLabels)) {
        let same = |other: &&Changes| {
            other.measured.record.measurement.data == clean.measured.record.measurement.data
                && other.epochs == clean.epochs
        };
        let Some(random) = all.iter().filter(of(Corruption::RandomLabels)).find(same) else { continue };
        let range = |of: &Changes| format!("{:.2} to {:.2} nats", of.least[1], of.largest[1]);
        let apart = clean.least[1] > random.largest[1] || random.least[1] > clean.largest[1];
        let text = format!(
            "after {} a replaced example changes some loss by {} with true labels, by {} with random ones{}",
            counted(clean.epochs[1] as usize, "epoch"),
            range(clean),
            range(random),
            if apart { ": not the same" } else { "" }
        );
        let both = clean.largest[1].min(random.largest[1]) >= UNSTABLE;
        let part = Part::measured(text, both, &[clean.measured, random.measured]);
        if clean.epochs[1] >= MANY {
            parts.push(part);
        } else {
            let text = format!("{}: not many passes", part.text);
            parts.push(Part { text, ..part.missing() });
        }
    }
    parts
}

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        id: "stability-ignores-labels",
        section: "1.2",
        quote: "uniform stability of a learning algorithm is independent of the labeling of the training data. Hence, the \
                concept is not strong enough to distinguish between the models trained on the true labels [...] and models \
                trained on random labels",
        criterion: "the definition does not look at labels, which no run can test; what it leads to is checked: after 10 passes \
                    or more, replacing an example changes some loss by a nat or more with true labels as with random ones, so \
                    that a bound by stability says nothing of either",
        recipes: &["stability"],
        check: Checker::Measured(ignores_labels),
    },
    Claim {
        id: "not-uniformly-stable",
        section: "1.2",
        quote: "Our results show that even empirically training neural networks is not uniformly stable for many passes over \
                the data.",
        criterion: "replacing an example changes some loss by a nat or more after 10 passes or more, and by more than after the \
                    fewest",
        recipes: &["stability"],
        check: Checker::Measured(not_stable),
    },
    Claim {
        id: "rademacher-complexity-one",
        section: "2.2",
        quote: "since the randomization tests suggests the neural networks fit the training set with random labels perfectly, \
                we get R\u{302}_n(H) = 1",
        criterion: "correlation with random signs, mean over draws, at least 0.98 (99 % of them right) for every class of the \
                    paper (a sixteenth of its width or more), at every n",
        recipes: &["rademacher"],
        check: Checker::Measured(complexity_one),
    },
    Claim {
        id: "vc-bound-trivial",
        section: "2.2",
        quote: "Deep neural networks with more than n parameters have VC-dimension greater than n, which leads to trivial \
                uniform convergence bounds.",
        criterion: "more parameters than images, and a bound of 1 or more, for every class of the paper at every n",
        recipes: &["rademacher"],
        check: Checker::Measured(vc_bound),
    },
];
