//! The paper's measurable sentences as checks over the runs and measurements of a store.
//!
//! A check looks at results of the same data set and scale (runs also of the same number of images), all in the recipes'
//! setting, and says what it measured and whether the sentence holds there. The thresholds are ours, and stand beside each
//! claim: a sentence such as "only by a small constant factor" gives none. The paper's own numbers are compared on its data
//! sets, whole, alone; elsewhere only orderings are. What cannot be judged is "not yet measured", with what is lacking.
//!
//! The paper's sentences, section by section, and the claims that check them:
//!
//! | section | sentence, abridged | claim |
//! | --- | --- | --- |
//! | abstract | networks easily fit a random labeling | `random-labels-fitted` |
//! | abstract | ... unaffected by explicit regularization | `regularization-not-sufficient` |
//! | abstract | ... even if the images are noise | `noise-images-fitted` |
//! | abstract | depth two suffices for finite sample expressivity | `theorem-1` |
//! | 1 | far more parameters than samples | `more-parameters-than-samples` |
//! | 1.1 | 0 training error on random labels | `random-labels-fitted` |
//! | 1.1 | test error no better than chance | `random-labels-test-at-chance` |
//! | 1.1 | labels alone force the generalization error up | `labels-alone-raise-the-error` |
//! | 1.1 | training time rises by a small constant factor | `small-constant-factor` |
//! | 1.1 | random pixels are fitted | `noise-images-fitted` |
//! | 1.1 | steady deterioration with noise | `steady-deterioration` |
//! | 1.1 | the remaining signal is captured | `remaining-signal` |
//! | 1.1, 3, 3.1 | regularization is not necessary; models generalize and perform well without | `regularization-not-necessary` |
//! | 1.1, 3 | nor sufficient | `regularization-not-sufficient` |
//! | 1.1, 4 | `p = 2n + d` | `theorem-1` |
//! | 1.1, C | depth k, O(n/k) a layer | `corollary-1` |
//! | 1.1, 5 | Gaussian kernels generalize without regularization | `kernels-generalize` |
//! | 1.1, 5 | SGD converges to a solution with small norm | `sgd-finds-the-minimum-norm` |
//! | 1.2, 2.2 | uniform stability is independent of the labeling | `stability-ignores-labels` |
//! | 1.2 | training is not uniformly stable for many passes | `not-uniformly-stable` |
//! | 2.1 | random labels, unchanged hyperparameters | `unchanged-hyperparameters` |
//! | 2.1 | shuffled and resampled pixels are fitted | `broken-images-fitted` |
//! | 2.1 | random labels start later; converge quickly once started; noise starts faster | `random-labels-start-later`, `quick-once-started`, `noise-before-random-labels` |
//! | 2.1 | Alexnet and MLPs converge to zero loss | `alexnet-and-mlps-fit` |
//! | 2.1 | ImageNet: 95.20 %, ~90 % with regularizers | `imagenet-random-labels-fitted`, `imagenet-random-labels-regularized` |
//! | 2.1 | partially corrupted labels: fitted, slower, test error to 90 % | `partial-labels-fitted`, `slower-with-noise`, `error-converges-to-chance` |
//! | 2.2 | Rademacher complexity 1 | `rademacher-complexity-one` |
//! | 2.2 | trivial bounds by VC dimension | `vc-bound-trivial` |
//! | 3 | Inception and MLPs fit with weight decay; Alexnet does not | `fitted-with-weight-decay`, `alexnet-with-weight-decay-fails` |
//! | 3 | both regularizers help | `regularizers-help` |
//! | 3 | 18 % drop; 59.80 %, 0.1 % by guessing; 72.95 % with augmentation | `imagenet-drop-without-regularizers`, `imagenet-above-guessing`, `augmentation-beats-weight-decay` |
//! | 3 | augmentation above weight decay (on CIFAR-10) | `crops-beat-weight-decay` |
//! | 3 | 80.38 % top-5 without regularization | `imagenet-top-5-without-regularizers` |
//! | 3 | bigger gains by changing the architecture | `architecture-over-regularizers` |
//! | 3, table 1 | the models' order | `order-of-models` |
//! | 3.1 | early stopping: ImageNet, CIFAR-10 | `early-stopping-could-help-imagenet`, `early-stopping-no-help` |
//! | 3.1 | batch normalization stabilizes, 3 to 4 % | `batch-norm-steadies`, `batch-norm-worth-3-to-4` |
//! | 4 | bounds on the weights by lemma 1 | `lemma-1-bounds-the-weights` |
//! | 5 | curvature is the same; Hessian degenerate | `equal-curvature`, `hessian-degenerate` |
//! | 5 | SGD stays in the span of the data | `sgd-stays-in-the-span` |
//! | 5 | SGD finds the minimum norm | `sgd-finds-the-minimum-norm` |
//! | 5 | MNIST 1.2 %, 0.6 %; l2 does not improve | `kernel-mnist-1.2`, `kernel-mnist-gabor-0.6`, `l2-no-help-on-mnist` |
//! | 5 | CIFAR-10 46 %, 17 %, l2 15 % | `kernel-cifar10-46`, `kernel-cifar10-conv-net-17`, `kernel-cifar10-conv-net-l2-15` |
//! | 5 | preprocessing lowers the error | `preprocessing-lowers-the-error` |
//! | 5 | l2 reduces the conv-net's error | `l2-helps-the-conv-net` |
//! | 5 | other solutions have a larger norm and don't generalize | `larger-norms-elsewhere` |
//! | 5 | norm 220 to 390, error halves | `norm-not-predictive` |
//! | B | random labels on ImageNet: 0.09 to 0.12 % top-1, 0.49 to 0.56 % top-5 | `imagenet-random-labels-at-chance` |
//!
//! Left out, for they are no statement about results: the memory (30 GB) and minutes of section 5's solve, what other papers
//! reported (Livni et al.'s construction, Krizhevsky et al.'s weight decay that helps optimization), and expectations.

mod complexity;
mod expressivity;
mod fitting;
mod imagenet;
mod linear;
mod part;
mod regularization;
mod runs;

use crate::measure::Measured;
use crate::run::config::Scale;
use crate::store::Run;
use crate::{Error, Result};
use part::{Outcome, Part};
use runs::Runs;
use serde::Serialize;
use std::collections::BTreeMap;

/// A sentence of the paper and how it is checked.
#[derive(Clone, Copy)]
pub struct Claim {
    /// Its name on the command line.
    pub id: &'static str,
    /// Where it stands.
    pub section: &'static str,
    /// The paper's words.
    pub quote: &'static str,
    /// What has to be measured for it to hold.
    pub criterion: &'static str,
    /// The recipes that make what it is checked on.
    pub recipes: &'static [&'static str],
    check: Checker,
}

/// What a claim is checked on.
#[derive(Clone, Copy)]
enum Checker {
    /// Training runs of one data set, number of images and scale.
    Runs(fn(&Runs) -> Vec<Part>),
    /// Measurements of one data set and scale.
    Measured(fn(&[Measured]) -> Vec<Part>),
}

/// What the results say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// Every measured part of it holds.
    Holds,
    /// Some part of it does not.
    Fails,
    /// The store has not what it takes to judge it.
    NotYetMeasured,
}

/// A claim on one data set and scale, and number of images.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The claim's name.
    pub id: &'static str,
    /// Where it stands.
    pub section: &'static str,
    /// The paper's words.
    pub quote: &'static str,
    /// What has to be measured for it to hold.
    pub criterion: &'static str,
    /// What the results say.
    pub verdict: Judgement,
    /// Whether it holds for a part of what the sentence speaks of, and the rest was not run.
    pub in_part: bool,
    /// The measured numbers, one part per model or comparison.
    pub measured: Vec<String>,
    /// What it would take to judge what is not judged.
    pub lacking: Vec<String>,
    /// The data set's title; empty where nothing was measured.
    pub data: String,
    /// Training images (of measurements of several numbers, the most); 0 where nothing was measured.
    pub n: usize,
    /// The scale; `None` where nothing was measured.
    pub scale: Option<Scale>,
    /// Different seeds among the runs.
    pub seeds: usize,
    /// Seeds of that part, or side of a comparison, which has the fewest; 0 where nothing was measured.
    pub fewest_seeds: usize,
    /// Keys of the runs and measurements.
    pub runs: Vec<String>,
}

impl Check {
    /// The verdict, for people.
    pub fn title(&self) -> &'static str {
        match self.verdict {
            Judgement::Holds if self.in_part => "holds in part",
            Judgement::Holds => "holds",
            Judgement::Fails => "fails",
            Judgement::NotYetMeasured => "not yet measured",
        }
    }
}

/// Every claim, in the paper's order.
pub fn all() -> Vec<Claim> {
    let mut all = Vec::new();
    for section in [
        fitting::CLAIMS,
        complexity::CLAIMS,
        regularization::CLAIMS,
        imagenet::CLAIMS,
        expressivity::CLAIMS,
        linear::CLAIMS,
    ] {
        all.extend_from_slice(section);
    }
    all
}

/// What a claim is looked for in.
enum Group<'a> {
    Runs(Runs<'a>),
    Measured(Vec<Measured>),
}

/// Data set, scale, and for runs the number of images.
type Key = (String, String, &'static str, usize);

/// The results that may be compared with each other.
fn groups<'a>(runs: &'a [Run], measured: &[Measured]) -> BTreeMap<Key, (Scale, Group<'a>)> {
    let mut groups: BTreeMap<Key, (Scale, Group)> = BTreeMap::new();
    for (key, scale, runs) in Runs::sorted(runs) {
        groups.insert(key, (scale, Group::Runs(runs)));
    }
    for measured in measured {
        let (data, scale) = (&measured.record.measurement.data, measured.record.scale);
        // Runs have at least one image.
        let key = (data.title.clone(), data.fingerprint.clone(), scale.name(), 0);
        let (_, group) = groups.entry(key).or_insert_with(|| (scale, Group::Measured(Vec::new())));
        if let Group::Measured(all) = group {
            all.push(measured.clone());
        }
    }
    groups
}

/// Each claim on each data set, number of images and scale for which `runs` or `measured` hold something; once, as
/// [`Judgement::NotYetMeasured`], where they hold nothing.
pub fn check_all(runs: &[Run], measured: &[Measured]) -> Vec<Check> {
    let groups = groups(runs, measured);
    let mut checks = Vec::new();
    for claim in all() {
        let before = checks.len();
        for ((data, ..), (scale, group)) in &groups {
            let parts = match (claim.check, group) {
                (Checker::Runs(check), Group::Runs(runs)) => check(runs),
                (Checker::Measured(check), Group::Measured(measured)) => check(measured),
                _ => continue,
            };
            if !parts.is_empty() {
                checks.push(Check { data: data.clone(), scale: Some(*scale), ..together(&claim, &parts) });
            }
        }
        if checks.len() == before {
            let lacking = format!("results of {}", claim.recipes.join(", "));
            checks.push(Check { lacking: vec![lacking], ..together(&claim, &[]) });
        }
    }
    checks
}

/// [`check_all`] of the claims named in `only`, in the paper's order; of all where it is empty.
///
/// Errors: [`Error::Argument`] for an unknown name, with those there are.
pub fn check_named(runs: &[Run], measured: &[Measured], only: &[&str]) -> Result<Vec<Check>> {
    let names: Vec<&str> = all().iter().map(|claim| claim.id).collect();
    if let Some(unknown) = only.iter().find(|id| !names.contains(id)) {
        return Err(Error::argument("claim", format!("{unknown:?} is none of {}", names.join(", "))));
    }
    let mut checks = check_all(runs, measured);
    checks.retain(|check| only.is_empty() || only.contains(&check.id));
    Ok(checks)
}

/// A claim's verdict from its parts: one that fails is enough; it holds where some part does and no part that it needs is
/// missing.
fn together(claim: &Claim, parts: &[Part]) -> Check {
    let any = |outcome| parts.iter().any(|part| part.outcome == outcome);
    let verdict = match (any(Outcome::Fails), any(Outcome::Missing), any(Outcome::Holds)) {
        (true, ..) => Judgement::Fails,
        (false, false, true) => Judgement::Holds,
        _ => Judgement::NotYetMeasured,
    };
    let (mut measured, mut lacking) = (Vec::new(), Vec::new());
    for part in parts {
        match part.outcome {
            Outcome::Holds => measured.push(part.text.clone()),
            Outcome::Fails => measured.push(format!("{} (fails)", part.text)),
            Outcome::Missing | Outcome::Silent | Outcome::Absent => lacking.push(part.text.clone()),
        }
    }
    let mut seeds: Vec<u64> = parts.iter().flat_map(|part| part.seeds.clone()).collect();
    let mut keys: Vec<String> = parts.iter().flat_map(|part| part.keys.clone()).collect();
    seeds.sort_unstable();
    seeds.dedup();
    keys.sort_unstable();
    keys.dedup();
    Check {
        id: claim.id,
        section: claim.section,
        quote: claim.quote,
        criterion: claim.criterion,
        verdict,
        in_part: verdict == Judgement::Holds && any(Outcome::Absent),
        measured,
        lacking,
        data: String::new(),
        n: parts.iter().map(|part| part.n).max().unwrap_or(0),
        scale: None,
        seeds: seeds.len(),
        fewest_seeds: parts.iter().map(|part| part.fewest_seeds).filter(|n| *n > 0).min().unwrap_or(0),
        runs: keys,
    }
}
