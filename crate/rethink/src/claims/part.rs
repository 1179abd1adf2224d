//! Parts of a check's result: what one model or comparison says of a claim.

use crate::measure::Measured;
use crate::store::Run;
use rethink_nn::models::ModelKind;
use std::collections::BTreeSet;

/// What a part says of its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It agrees with the claim.
    Holds,
    /// It contradicts it.
    Fails,
    /// The claim cannot be judged without it.
    Missing,
    /// It says nothing; other parts may.
    Silent,
    /// The sentence speaks of it too, and it was not run.
    Absent,
}

/// One part of a result, of a model or a comparison.
pub(super) struct Part {
    /// The numbers, or what is lacking, in words.
    pub(super) text: String,
    pub(super) outcome: Outcome,
    /// Keys of the runs or measurements.
    pub(super) keys: Vec<String>,
    /// Their seeds.
    pub(super) seeds: Vec<u64>,
    /// How many seeds the side of a comparison has that has fewest.
    pub(super) fewest_seeds: usize,
    /// Their largest number of training images.
    pub(super) n: usize,
    /// The networks of the training runs.
    pub(super) models: Vec<ModelKind>,
}

fn distinct(seeds: impl Iterator<Item = u64>) -> usize {
    seeds.collect::<BTreeSet<u64>>().len()
}

fn judged(holds: bool) -> Outcome {
    if holds { Outcome::Holds } else { Outcome::Fails }
}

impl Part {
    /// A part that is judged on training runs.
    pub(super) fn runs(text: String, holds: bool, runs: &[&[&Run]]) -> Part {
        let all = || runs.iter().flat_map(|runs| runs.iter()).map(|run| &run.record.config);
        Part {
            text,
            outcome: judged(holds),
            keys: all().map(|config| config.key()).collect(),
            seeds: all().map(|config| config.seeds.init).collect(),
            fewest_seeds: runs
                .iter()
                .filter(|runs| !runs.is_empty())
                .map(|runs| distinct(runs.iter().map(|run| run.record.config.seeds.init)))
                .min()
                .unwrap_or(0),
            n: all().map(|config| config.data.train).max().unwrap_or(0),
            models: all().map(|config| config.model).collect(),
        }
    }

    /// A part that is judged on measurements.
    pub(super) fn measured(text: String, holds: bool, measured: &[&Measured]) -> Part {
        let all = || measured.iter().map(|measured| &measured.record.measurement);
        Part {
            text,
            outcome: judged(holds),
            keys: all().map(|measurement| measurement.key()).collect(),
            seeds: all().map(|measurement| measurement.seed).collect(),
            fewest_seeds: distinct(all().map(|measurement| measurement.seed)),
            n: all().map(|measurement| measurement.data.train).max().unwrap_or(0),
            models: Vec::new(),
        }
    }

    /// A part of what the sentence speaks of that was not run.
    pub(super) fn absent(what: &str) -> Part {
        let text = format!("{what}: not run");
        Part { outcome: Outcome::Absent, ..Part::runs(text, false, &[]) }
    }

    fn is_judged(&self) -> bool {
        matches!(self.outcome, Outcome::Holds | Outcome::Fails)
    }

    /// The same part as one that is lacking: without it the claim cannot be judged.
    pub(super) fn missing(self) -> Part {
        Part { outcome: Outcome::Missing, ..self }
    }

    /// The same part as one that says nothing of the claim; its text says why.
    pub(super) fn silent(self) -> Part {
        Part { outcome: Outcome::Silent, ..self }
    }
}

/// `parts` of a sentence that speaks of `models`, and those of which none is: where nothing is judged, the sentence is not judged
/// in part either.
pub(super) fn speaking_of(models: &[ModelKind], mut parts: Vec<Part>) -> Vec<Part> {
    if parts.iter().any(Part::is_judged) {
        let is_there = |model: &&ModelKind| parts.iter().any(|part| part.models.contains(model));
        let absent: Vec<Part> =
            models.iter().filter(|model| !is_there(model)).map(|model| Part::absent(model.title())).collect();
        parts.extend(absent);
    }
    parts
}

pub(super) fn percent(v: f64) -> String {
    format!("{:.2} %", 100.0 * v)
}

pub(super) fn points(v: f64) -> String {
    format!("{:+.1} points", 100.0 * v)
}

/// Whether two numbers are at most `tolerance` apart, whatever rounding makes of a difference that is just as large.
pub(super) fn within(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance + 1e-9
}
