//! The paper's measurable sentences (abstract, sections 1 to 3) as checks over the runs of a store.
//!
//! A check looks at runs with the same data, number of images and scale, all in the recipes' setting, and says what
//! it measured and whether the sentence holds there. The thresholds are ours, and stand beside each claim: a
//! sentence such as "only by a small constant factor" gives none.

use crate::augment::Augmentation;
use crate::config::{RunConfig, Scale};
use crate::corruption::Corruption;
use crate::models::ModelKind;
use crate::paper::{TABLE_2, Table2Row};
use crate::recipe::{self, fig1a, fig1b, fig2b, mean, table2, table4};
use crate::store::{FITTED, Run};
use crate::train::Ending;
use crate::{Error, Result};
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
    check: fn(&Group) -> Vec<Item>,
}

/// What the runs say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every measured part of it holds.
    Holds,
    /// Some part of it does not.
    Fails,
    /// The store has no runs for it.
    NotYetMeasured,
}

impl Verdict {
    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Fails => "fails",
            Verdict::NotYetMeasured => "not yet measured",
        }
    }
}

/// A claim on one data set, number of images and scale.
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
    /// What the runs say.
    pub verdict: Verdict,
    /// The measured numbers, a part a model or comparison.
    pub measured: Vec<String>,
    /// The data set's title; empty where nothing was measured.
    pub data: String,
    /// Training images; 0 where nothing was measured.
    pub n: usize,
    /// The scale; `None` where nothing was measured.
    pub scale: Option<Scale>,
    /// Different seeds among the runs.
    pub seeds: usize,
    /// Keys of the runs.
    pub runs: Vec<String>,
}

/// One part of a finding.
struct Item {
    text: String,
    holds: bool,
    runs: Vec<String>,
    seeds: Vec<u64>,
}

impl Item {
    fn new(text: String, holds: bool, runs: &[&[&Run]]) -> Item {
        let all = || runs.iter().flat_map(|runs| runs.iter());
        let keys = all().map(|run| run.record.config.key()).collect();
        Item { text, holds, runs: keys, seeds: all().map(|run| run.record.config.seeds.init).collect() }
    }
}

/// Accuracy of guessing among ten classes.
const CHANCE: f64 = 0.1;
/// Largest slowdown that is "a small constant factor"; figure 1b's axis ends at 3.5.
const SMALL_FACTOR: f64 = 5.0;
/// Standard errors within which an accuracy is that of guessing.
const ERRORS: f64 = 3.0;
/// Points of test accuracy that are no gain, as a fraction: two standard errors of 10,000 images, and of seeds.
const NO_GAIN: f64 = 0.02;
/// Losses between which a network is fitting: well below ln 10 = 2.3, and fitted.
const STARTED: f64 = 2.0;

/// The regularisers of a run.
#[derive(Clone, Copy, PartialEq)]
enum Regularized {
    Not,
    Decay,
    Crop,
    Both,
    Augmented,
    Other,
}

fn regularized(config: &RunConfig) -> Regularized {
    let hyper = &config.hyper;
    match (hyper.weight_decay > 0.0, hyper.random_crop, hyper.augment.is_off()) {
        (false, false, true) => Regularized::Not,
        (true, false, true) => Regularized::Decay,
        (false, true, true) => Regularized::Crop,
        (true, true, true) => Regularized::Both,
        (false, false, false) if hyper.augment == Augmentation::TABLE_4 => Regularized::Augmented,
        _ => Regularized::Other,
    }
}

/// Whether a run is in the recipes' setting, but for corruption, regularisers and seeds: a run that somebody made
/// with another learning rate, for three epochs or by several processes says nothing of the paper's.
fn in_setting(run: &Run) -> bool {
    let (config, scale) = (&run.record.config, run.record.scale);
    if config.model == ModelKind::InceptionV3 {
        let same = |row| table2::configure_on(row, config.data.clone(), scale, config.seeds) == *config;
        return TABLE_2.iter().any(same);
    }
    let size = recipe::size(scale, config.model);
    let base = recipe::sized(config.data.clone(), size, config.model, config.corruption, config.seeds);
    let (ours, theirs) = (&config.hyper, &base.hyper);
    let mut decayed = base.clone();
    recipe::decay_weights(&mut decayed);
    let coefficient = (decayed.hyper.weight_decay, decayed.hyper.weight_decay_on);
    let slow = ours.decay == table4::SLOW_DECAY && config.corruption == Corruption::RandomLabels;
    let epochs = [size.epochs, fig1a::epochs(scale), fig2b::epochs(scale)];
    let lasted = epochs.contains(&ours.epochs) || run.record.ending == Ending::Fitted;
    (wide(run) || as_in_figure_1a(run))
        && config.parallel == base.parallel
        && (ours.weight_decay == 0.0 || (ours.weight_decay, ours.weight_decay_on) == coefficient)
        && (ours.batch_size, ours.decay_every, ours.init)
            == (theirs.batch_size, theirs.decay_every, theirs.init)
        && (ours.learning_rate, ours.momentum) == (theirs.learning_rate, theirs.momentum)
        && (ours.decay == theirs.decay && lasted
            || slow && ours.epochs == table4::long_epochs(scale, config.model))
}

/// Figure 1a's Inception may be narrower than that of tables and other figures: what is said of one is not read off the
/// other.
fn as_in_figure_1a(run: &Run) -> bool {
    let config = &run.record.config;
    config.model == ModelKind::Inception && config.width == fig1a::width(run.record.scale)
}

/// Whether a network is as wide as in table 1 and figure 2b, or as in figures 1b and 1c and table 4.
fn wide(run: &Run) -> bool {
    let (scale, config) = (run.record.scale, &run.record.config);
    [recipe::size, recipe::narrow].iter().any(|size| size(scale, config.model).width == config.width)
}

/// Runs of one data set, number of images and scale.
struct Group<'a> {
    runs: Vec<&'a Run>,
}

const MODELS: [ModelKind; 5] = [
    ModelKind::Inception,
    ModelKind::InceptionNoBn,
    ModelKind::Alexnet,
    ModelKind::Mlp3x512,
    ModelKind::Mlp1x512,
];

impl<'a> Group<'a> {
    /// Whether `run` is [`wide`], and as wide as the widest such run of its model.
    fn widest(&self, run: &Run) -> bool {
        let config = &run.record.config;
        let wider = |other: &&Run| {
            let theirs = &other.record.config;
            theirs.model == config.model && theirs.width > config.width && wide(other)
        };
        wide(run) && !self.runs.iter().any(wider)
    }

    fn of(&self, model: ModelKind, corruption: Corruption, regularized_as: Regularized) -> Vec<&'a Run> {
        let belongs = |run: &&Run| self.widest(run) && Self::is(run, model, corruption, regularized_as);
        self.runs.iter().copied().filter(belongs).collect()
    }

    fn is(run: &Run, model: ModelKind, corruption: Corruption, regularized_as: Regularized) -> bool {
        let config = &run.record.config;
        config.model == model && config.corruption == corruption && regularized(config) == regularized_as
    }

    /// Figure 1a's.
    fn curves(&self, corruption: Corruption) -> Vec<&'a Run> {
        let belongs = |run: &&Run| {
            as_in_figure_1a(run) && Self::is(run, ModelKind::Inception, corruption, Regularized::Not)
        };
        self.runs.iter().copied().filter(belongs).collect()
    }

    /// Table 2's: augmentation, dropout, weight decay, random labels.
    fn of_table_2(&self, switches: [bool; 4]) -> Vec<&'a Run> {
        let wanted =
            |row: &&Table2Row| [row.augmented, row.dropout, row.weight_decay, row.random_labels] == switches;
        let row = TABLE_2.iter().find(wanted);
        let belongs = |run: &&Run| row.is_some_and(|row| table2::belongs(row, run));
        self.runs.iter().copied().filter(belongs).collect()
    }

    /// Runs of `model` on labels redrawn with probability `p`.
    fn noisy(&self, model: ModelKind, p: f64) -> Vec<&'a Run> {
        let belongs = |run: &&Run| {
            let config = &run.record.config;
            let labels = matches!(
                config.corruption,
                Corruption::TrueLabels | Corruption::PartialLabels { .. } | Corruption::RandomLabels
            );
            config.model == model
                && self.widest(run)
                && labels
                && config.corruption.label_noise() == p
                && regularized(config) == Regularized::Not
        };
        self.runs.iter().copied().filter(belongs).collect()
    }

    /// The levels of label noise that `model` has, rising.
    fn levels(&self, model: ModelKind) -> Vec<f64> {
        let mut levels: Vec<f64> =
            self.runs.iter().map(|r| r.record.config.corruption.label_noise()).collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        levels.retain(|&p| !self.noisy(model, p).is_empty());
        levels
    }
}

fn train(runs: &[&Run]) -> Option<f64> {
    let accuracy = |run: &&Run| match run.record.ending {
        Ending::Diverged => Some(0.0),
        _ => run.record.train_accuracy,
    };
    mean(runs.iter().filter_map(accuracy))
}

fn test(runs: &[&Run]) -> Option<f64> {
    mean(runs.iter().filter_map(|run| run.record.test_accuracy))
}

/// Standard error of the mean test accuracy of `runs` when guessing.
fn error_of_guessing(runs: &[&Run]) -> f64 {
    let images: usize = runs.iter().map(|run| run.record.config.data.test).sum();
    (CHANCE * (1.0 - CHANCE) / images.max(1) as f64).sqrt()
}

/// Mean over runs of the first step with a loss of at most `loss`; `None` unless all runs reach it.
fn steps(runs: &[&Run], loss: f64) -> Option<f64> {
    let steps: Option<Vec<f64>> = runs.iter().map(|run| run.steps_to(loss).map(f64::from)).collect();
    mean(steps?)
}

/// Mean epochs to the training accuracy that counts as fitted; `None` unless all runs that were told to stop when
/// fitted reach it. Not to their ends: of two runs that stay just below 100 %, both end with the last epoch.
fn epochs(runs: &[&Run]) -> Option<f64> {
    let told = runs.iter().filter(|run| run.record.config.hyper.stop_when_fitted);
    let epochs: Option<Vec<f64>> = told.map(|run| run.fitted_at().map(f64::from)).collect();
    mean(epochs?)
}

fn percent(v: f64) -> String {
    format!("{:.2} %", 100.0 * v)
}

fn points(v: f64) -> String {
    format!("{:+.1} points", 100.0 * v)
}

/// Training accuracy of each model that has runs.
fn fitted(group: &Group, models: &[ModelKind], corruption: Corruption, with: Regularized) -> Vec<Item> {
    let item = |model: &ModelKind| {
        let runs = group.of(*model, corruption, with);
        let accuracy = train(&runs)?;
        Some(Item::new(
            format!("{}: train {}", model.title(), percent(accuracy)),
            accuracy >= FITTED,
            &[&runs],
        ))
    };
    models.iter().filter_map(item).collect()
}

fn at_chance(group: &Group, models: &[ModelKind]) -> Vec<Item> {
    let item = |model: &ModelKind| {
        let runs = group.of(*model, Corruption::RandomLabels, Regularized::Not);
        let accuracy = test(&runs)?;
        let holds = (accuracy - CHANCE).abs() <= ERRORS * error_of_guessing(&runs);
        Some(Item::new(format!("{}: test {}", model.title(), percent(accuracy)), holds, &[&runs]))
    };
    models.iter().filter_map(item).collect()
}

fn small_factor(group: &Group) -> Vec<Item> {
    let item = |&model: &ModelKind| {
        let [clean, random] = [0.0, 1.0].map(|p| group.noisy(model, p));
        let clean_epochs = epochs(&clean)?;
        let told = random.iter().any(|run| run.record.config.hyper.stop_when_fitted);
        let (text, holds) = match epochs(&random) {
            Some(epochs) => {
                let factor = epochs / clean_epochs;
                (
                    format!("{factor:.2} times ({clean_epochs:.1} and {epochs:.1} epochs)"),
                    factor <= SMALL_FACTOR,
                )
            }
            None if told => ("random labels were not fitted".into(), false),
            None => return None,
        };
        Some(Item::new(format!("{}: {text}", model.title()), holds, &[&clean, &random]))
    };
    MODELS.iter().filter_map(item).collect()
}

const NOISE: [Corruption; 2] = [Corruption::RandomPixels, Corruption::Gaussian { per_channel: true }];

fn settings_fit(group: &Group, settings: &[Corruption]) -> Vec<Item> {
    let model = ModelKind::Inception;
    let item = |setting: &Corruption| {
        let tables = group.of(model, *setting, Regularized::Not);
        let runs = if tables.is_empty() { group.curves(*setting) } else { tables };
        let accuracy = train(&runs)?;
        let text = format!("{}, {}: train {}", model.title(), setting.title(), percent(accuracy));
        Some(Item::new(text, accuracy >= FITTED, &[&runs]))
    };
    settings.iter().filter_map(item).collect()
}

fn deterioration(group: &Group) -> Vec<Item> {
    let item = |&model: &ModelKind| {
        let levels = group.levels(model);
        if levels.len() < 3 {
            return None;
        }
        let runs: Vec<Vec<&Run>> = levels.iter().map(|&p| group.noisy(model, p)).collect();
        let errors: Vec<f64> = runs.iter().filter_map(|runs| test(runs)).map(|a| 1.0 - a).collect();
        // A step down within two standard errors of a difference is no fall.
        let images = |runs: &[&Run]| runs.iter().map(|r| r.record.config.data.test).sum::<usize>() as f64;
        let slack = |i: usize| {
            let e = errors[i];
            2.0 * (e * (1.0 - e) * (1.0 / images(&runs[i]) + 1.0 / images(&runs[i + 1]))).sqrt()
        };
        let rises = (0..errors.len().saturating_sub(1)).all(|i| errors[i + 1] >= errors[i] - slack(i));
        let grows = errors.last()? - errors.first()? > 0.05;
        let list: Vec<String> = errors.iter().map(|e| format!("{:.1}", 100.0 * e)).collect();
        let text = format!("{}: test error {} %", model.title(), list.join(", "));
        let all: Vec<&[&Run]> = runs.iter().map(Vec::as_slice).collect();
        Some(Item::new(text, rises && grows && errors.len() == levels.len(), &all))
    };
    MODELS.iter().filter_map(item).collect()
}

fn remaining_signal(group: &Group) -> Vec<Item> {
    let mut items = Vec::new();
    for model in MODELS {
        // Half of the labels or fewer redrawn: most are still right.
        for p in group.levels(model).into_iter().filter(|p| *p > 0.0 && *p <= 0.5) {
            let runs = group.noisy(model, p);
            let (Some(train), Some(test)) = (train(&runs), test(&runs)) else { continue };
            let above = test > CHANCE + ERRORS * error_of_guessing(&runs);
            let text =
                format!("{}, p = {p}: train {}, test {}", model.title(), percent(train), percent(test));
            items.push(Item::new(text, train >= FITTED && above, &[&runs]));
        }
    }
    items
}

fn partial_fitted(group: &Group) -> Vec<Item> {
    let mut items = Vec::new();
    for model in fig1b::MODELS {
        for p in group.levels(model).into_iter().filter(|p| *p > 0.0 && *p < 1.0) {
            let runs = group.noisy(model, p);
            let Some(train) = train(&runs) else { continue };
            let text = format!("{}, p = {p}: train {}", model.title(), percent(train));
            items.push(Item::new(text, train >= FITTED, &[&runs]));
        }
    }
    items
}

fn slowdown(group: &Group) -> Vec<Item> {
    let item = |&model: &ModelKind| {
        let levels = group.levels(model);
        let runs: Vec<Vec<&Run>> = levels.iter().map(|&p| group.noisy(model, p)).collect();
        let times: Vec<f64> = runs.iter().filter_map(|runs| epochs(runs)).collect();
        if levels.len() < 3 || times.len() < 2 || levels.first() != Some(&0.0) {
            return None;
        }
        // Of all pairs of levels, the share in the right order, equal ones counting half.
        let pairs = (0..times.len()).flat_map(|i| (i + 1..times.len()).map(move |j| (i, j)));
        let order = mean(pairs.map(|(i, j)| match times[j].total_cmp(&times[i]) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        }))?;
        let unfitted = levels.len() - times.len();
        let list: Vec<String> = times.iter().map(|t| format!("{:.2}", t / times[0])).collect();
        let more = if unfitted > 0 { format!(", {unfitted} levels not fitted") } else { String::new() };
        let text = format!("{}: {} times{more}", model.title(), list.join(", "));
        let all: Vec<&[&Run]> = runs.iter().map(Vec::as_slice).collect();
        Some(Item::new(text, times.last()? > &times[0] && order >= 0.75, &all))
    };
    fig1b::MODELS.iter().filter_map(item).collect()
}

fn slow_start(group: &Group) -> Vec<Item> {
    let (clean, random) = (group.curves(Corruption::TrueLabels), group.curves(Corruption::RandomLabels));
    let (Some(a), Some(b)) = (steps(&clean, STARTED), steps(&random, STARTED)) else { return Vec::new() };
    let text = format!("steps to a loss of {STARTED}: true labels {a:.0}, random labels {b:.0}");
    vec![Item::new(text, b > a, &[&clean, &random])]
}

fn quick_convergence(group: &Group) -> Vec<Item> {
    let (clean, random) = (group.curves(Corruption::TrueLabels), group.curves(Corruption::RandomLabels));
    let fall = |runs: &[&Run]| Some(steps(runs, fig1a::FITTED_LOSS)? - steps(runs, STARTED)?);
    let (Some(a), Some(b)) = (fall(&clean), fall(&random)) else { return Vec::new() };
    let text = format!(
        "steps from a loss of {STARTED} to {}: true labels {a:.0}, random labels {b:.0}",
        fig1a::FITTED_LOSS
    );
    vec![Item::new(text, b <= 2.0 * a, &[&clean, &random])]
}

fn noise_first(group: &Group) -> Vec<Item> {
    let random = group.curves(Corruption::RandomLabels);
    let half = fig1a::HALF_LOSS;
    let Some(labels) = steps(&random, half) else { return Vec::new() };
    let item = |setting: Corruption| {
        let runs = group.curves(setting);
        let noise = steps(&runs, half)?;
        let text =
            format!("steps to half the loss: {} {noise:.0}, random labels {labels:.0}", setting.title());
        Some(Item::new(text, noise < labels, &[&runs, &random]))
    };
    NOISE.into_iter().filter_map(item).collect()
}

/// Test accuracy of a model on true labels.
fn tested<'a>(group: &Group<'a>, model: ModelKind, with: Regularized) -> Option<(f64, Vec<&'a Run>)> {
    let runs = group.of(model, Corruption::TrueLabels, with);
    Some((test(&runs)?, runs))
}

fn regularizers_help(group: &Group) -> Vec<Item> {
    let mut items = Vec::new();
    for model in MODELS {
        let Some((without, plain)) = tested(group, model, Regularized::Not) else { continue };
        for (name, with) in [("weight decay", Regularized::Decay), ("random crop", Regularized::Crop)] {
            let Some((accuracy, runs)) = tested(group, model, with) else { continue };
            let text = format!("{}, {name}: {}", model.title(), points(accuracy - without));
            items.push(Item::new(text, accuracy >= without - NO_GAIN / 2.0, &[&plain, &runs]));
        }
    }
    items
}

/// The best test accuracy of a model with a regulariser.
fn best_regularized<'a>(group: &Group<'a>, model: ModelKind) -> Option<(f64, Vec<&'a Run>)> {
    let with = [Regularized::Decay, Regularized::Crop, Regularized::Both];
    let all = with.into_iter().filter_map(|with| tested(group, model, with));
    all.max_by(|a, b| a.0.total_cmp(&b.0))
}

fn generalize_without(group: &Group) -> Vec<Item> {
    let item = |&model: &ModelKind| {
        let (without, plain) = tested(group, model, Regularized::Not)?;
        let (best, runs) = best_regularized(group, model)?;
        let above = without > CHANCE + ERRORS * error_of_guessing(&plain);
        let text = format!("{}: {} without, at best {} with", model.title(), percent(without), percent(best));
        Some(Item::new(text, above && without >= 0.8 * best, &[&plain, &runs]))
    };
    MODELS.iter().filter_map(item).collect()
}

fn not_sufficient(group: &Group) -> Vec<Item> {
    let mut items = Vec::new();
    for model in MODELS {
        for (name, with) in [
            ("weight decay", Regularized::Decay),
            ("random crop", Regularized::Crop),
            ("augmentation", Regularized::Augmented),
        ] {
            let runs = group.of(model, Corruption::RandomLabels, with);
            let (Some(train), Some(test)) = (train(&runs), test(&runs)) else { continue };
            let text = format!("{}, {name}: train {}, test {}", model.title(), percent(train), percent(test));
            let at_chance = (test - CHANCE).abs() <= ERRORS * error_of_guessing(&runs);
            // Alexnet is the paper's own exception.
            let exception = model == ModelKind::Alexnet && with == Regularized::Decay;
            if !exception {
                items.push(Item::new(text, train >= 0.95 && at_chance, &[&runs]));
            }
        }
    }
    items
}

fn alexnet_decay(group: &Group) -> Vec<Item> {
    let runs = group.of(ModelKind::Alexnet, Corruption::RandomLabels, Regularized::Decay);
    let Some(accuracy) = train(&runs) else { return Vec::new() };
    vec![Item::new(format!("Alexnet: train {}", percent(accuracy)), accuracy < 0.95, &[&runs])]
}

fn crops_beat_decay(group: &Group) -> Vec<Item> {
    let item = |&model: &ModelKind| {
        let (without, plain) = tested(group, model, Regularized::Not)?;
        let (decay, a) = tested(group, model, Regularized::Decay)?;
        let (crop, b) = tested(group, model, Regularized::Crop)?;
        let text = format!(
            "{}: random crop {}, weight decay {}",
            model.title(),
            points(crop - without),
            points(decay - without)
        );
        Some(Item::new(text, crop > decay, &[&plain, &a, &b]))
    };
    MODELS.iter().filter_map(item).collect()
}

fn architecture(group: &Group) -> Vec<Item> {
    let plain: Vec<_> =
        MODELS.iter().filter_map(|&m| Some((m, tested(group, m, Regularized::Not)?))).collect();
    let gain = |(model, (without, _)): &(ModelKind, (f64, Vec<&Run>))| {
        best_regularized(group, *model).map(|(best, _)| best - without)
    };
    let Some(regularizers) = plain.iter().filter_map(gain).max_by(f64::total_cmp) else { return Vec::new() };
    let best = plain.iter().max_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let worst = plain.iter().min_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let (Some((high, (a, high_runs))), Some((low, (b, low_runs)))) = (best, worst) else { return Vec::new() };
    if high == low {
        return Vec::new();
    }
    let text = format!(
        "from {} to {}: {}; regularisers at most {}",
        low.title(),
        high.title(),
        points(a - b),
        points(regularizers)
    );
    vec![Item::new(text, a - b > regularizers, &[high_runs, low_runs])]
}

fn model_order(group: &Group) -> Vec<Item> {
    let plain: Vec<_> =
        MODELS.iter().filter_map(|&m| Some((m, tested(group, m, Regularized::Not)?))).collect();
    let pairs = plain.windows(2).map(|pair| {
        let ((a, (first, runs)), (b, (second, others))) = (&pair[0], &pair[1]);
        let text = format!("{} {}, {} {}", a.title(), percent(*first), b.title(), percent(*second));
        Item::new(text, first >= &(second - NO_GAIN / 2.0), &[runs, others])
    });
    pairs.collect()
}

fn early_stopping(group: &Group) -> Vec<Item> {
    let item = |&model: &ModelKind| {
        let all = group.of(model, Corruption::TrueLabels, Regularized::Not);
        // Runs that stop when fitted have not gone on to where stopping early could have won.
        let runs: Vec<&Run> = all.into_iter().filter(|r| !r.record.config.hyper.stop_when_fitted).collect();
        let gain = mean(runs.iter().filter_map(|run| fig2b::early_stopping_gain(run)))?;
        Some(Item::new(format!("{}: {}", model.title(), points(gain)), gain <= NO_GAIN, &[&runs]))
    };
    MODELS.iter().filter_map(item).collect()
}

fn batch_norm(group: &Group) -> Vec<Item> {
    let with = tested(group, ModelKind::Inception, Regularized::Not);
    let without = tested(group, ModelKind::InceptionNoBn, Regularized::Not);
    let (Some((a, with)), Some((b, without))) = (with, without) else { return Vec::new() };
    let text = format!("{} ({} with, {} without)", points(a - b), percent(a), percent(b));
    // "3~4 %", and the standard error of a single pair of runs.
    vec![Item::new(text, (0.02..=0.05).contains(&(a - b)), &[&with, &without])]
}

const ALL_REGULARIZERS: [bool; 4] = [true, true, true, false];
const AUGMENTATION_ALONE: [bool; 4] = [true, false, false, false];
const DECAY_ALONE: [bool; 4] = [false, false, true, false];
const NO_REGULARIZER: [bool; 4] = [false; 4];

fn photographs_fitted(group: &Group, rows: &[(&str, [bool; 4])], enough: f64) -> Vec<Item> {
    let item = |(name, switches): &(&str, [bool; 4])| {
        let runs = group.of_table_2(*switches);
        let accuracy = train(&runs)?;
        Some(Item::new(format!("{name}: top-1 train {}", percent(accuracy)), accuracy >= enough, &[&runs]))
    };
    rows.iter().filter_map(item).collect()
}

/// Test accuracy of one of table 2's rows less another's, which has to be more than [`NO_GAIN`].
fn photographs_gain(
    group: &Group,
    (more, with): (&str, [bool; 4]),
    (less, without): (&str, [bool; 4]),
) -> Vec<Item> {
    let (a, b) = (group.of_table_2(with), group.of_table_2(without));
    let (Some(high), Some(low)) = (test(&a), test(&b)) else { return Vec::new() };
    let text = format!("{more} {}, {less} {}: {}", percent(high), percent(low), points(high - low));
    vec![Item::new(text, high - low > NO_GAIN, &[&a, &b])]
}

fn photographs_stop_early(group: &Group) -> Vec<Item> {
    let item = |(name, switches): (&str, [bool; 4])| {
        let runs = group.of_table_2(switches);
        let gain = mean(runs.iter().filter_map(|run| fig2b::early_stopping_gain(run)))?;
        Some(Item::new(format!("{name}: {}", points(gain)), gain > NO_GAIN, &[&runs]))
    };
    [("weight decay alone", DECAY_ALONE), ("nothing", NO_REGULARIZER)].into_iter().filter_map(item).collect()
}

/// Mean size of the change of test accuracy from one measurement to the next.
fn unrest(run: &Run) -> Option<f64> {
    let tests: Vec<f64> = run.column("test_accuracy").ok()?.f64().ok()?.iter().flatten().collect();
    mean(tests.windows(2).map(|pair| (pair[1] - pair[0]).abs()))
}

fn batch_norm_steadies(group: &Group) -> Vec<Item> {
    let going_on = |model| {
        let runs = group.of(model, Corruption::TrueLabels, Regularized::Not);
        runs.into_iter().filter(|r| !r.record.config.hyper.stop_when_fitted).collect::<Vec<_>>()
    };
    let [with, without] = fig2b::MODELS.map(going_on);
    // Steps to fit say whether learning is steady where accuracies of two lengths cannot be compared.
    let (Some(a), Some(b)) = (train(&with), train(&without)) else { return Vec::new() };
    let (fast, slow) = (steps(&with, fig1a::FITTED_LOSS), steps(&without, fig1a::FITTED_LOSS));
    let number = |v: Option<f64>| v.map_or("never".into(), |v| format!("{v:.0}"));
    let moves = |runs: &[&Run]| mean(runs.iter().filter_map(|run| unrest(run)));
    let (Some(restless), Some(rest)) = (moves(&without), moves(&with)) else { return Vec::new() };
    let text = format!(
        "steps to a loss of {}: {} with, {} without; train {} and {}; test accuracy moves by {:.2} and {:.2} points \
         between measurements",
        fig1a::FITTED_LOSS,
        number(fast),
        number(slow),
        percent(a),
        percent(b),
        100.0 * rest,
        100.0 * restless
    );
    let sooner = fast.is_some_and(|fast| slow.is_none_or(|slow| fast < slow));
    vec![Item::new(text, sooner, &[&with, &without])]
}

fn more_parameters(group: &Group) -> Vec<Item> {
    let item = |&model: &ModelKind| {
        let runs = group.of(model, Corruption::TrueLabels, Regularized::Not);
        let record = &runs.first()?.record;
        let (p, n) = (record.parameters, record.config.data.train);
        Some(Item::new(format!("{}: {p} parameters, {n} images", model.title()), p > n, &[&runs]))
    };
    MODELS.iter().filter_map(item).collect()
}

/// Every claim, in the paper's order.
pub const ALL: [Claim; 31] = [
    Claim {
        id: "more-parameters-than-samples",
        section: "1",
        quote: "Deep artificial neural networks often have far more trainable model parameters than the number of \
                samples they are trained on.",
        criterion: "every model has more parameters than training images",
        check: more_parameters,
    },
    Claim {
        id: "random-labels-fitted",
        section: "1.1",
        quote: "when trained on a completely random labeling of the true data, neural networks achieve 0 training \
                error.",
        criterion: "training accuracy on random labels at least 99 % (the paper's least: 99.34 %)",
        check: |group| fitted(group, &MODELS, Corruption::RandomLabels, Regularized::Not),
    },
    Claim {
        id: "random-labels-test-at-chance",
        section: "1.1",
        quote: "The test error, of course, is no better than random chance as there is no correlation between the \
                training labels and the test labels.",
        criterion: "test accuracy after random labels within 3 standard errors of 10 %",
        check: |group| at_chance(group, &MODELS),
    },
    Claim {
        id: "small-constant-factor",
        section: "1.1",
        quote: "training time increases only by a small constant factor compared with training on the true labels.",
        criterion: "epochs to 99 % training accuracy on random labels at most 5 times those on true labels",
        check: small_factor,
    },
    Claim {
        id: "noise-images-fitted",
        section: "1.1",
        quote: "we also replace the true images by completely random pixels (e.g., Gaussian noise) and observe that \
                convolutional neural networks continue to fit the data with zero training error.",
        criterion: "training accuracy on random pixels and Gaussian noise at least 99 %",
        check: |group| settings_fit(group, &NOISE),
    },
    Claim {
        id: "steady-deterioration",
        section: "1.1",
        quote: "We observe a steady deterioration of the generalization error as we increase the noise level.",
        criterion: "test error never falls by more than two standard errors from one level to the next, and rises in \
                    all by more than 5 points",
        check: deterioration,
    },
    Claim {
        id: "remaining-signal",
        section: "1.1",
        quote: "neural networks are able to capture the remaining signal in the data, while at the same time fit the \
                noisy part using brute-force.",
        criterion: "with at most half of the labels redrawn: training accuracy at least 99 %, test accuracy more than \
                    3 standard errors above chance",
        check: remaining_signal,
    },
    Claim {
        id: "regularization-not-necessary",
        section: "1.1",
        quote: "Explicit regularization may improve generalization performance, but is neither necessary [...]",
        criterion: "test accuracy without any regulariser above chance, and at least four fifths of the best with one",
        check: generalize_without,
    },
    Claim {
        id: "regularization-not-sufficient",
        section: "1.1",
        quote: "[...] nor by itself sufficient for controlling generalization error.",
        criterion: "with a regulariser, random labels are still fitted (at least 95 %), and test accuracy is that of \
                    guessing; Alexnet with weight decay is the paper's own exception",
        check: not_sufficient,
    },
    Claim {
        id: "unchanged-hyperparameters",
        section: "2.1",
        quote: "stochastic gradient descent with unchanged hyperparameter settings can optimize the weights to fit to \
                random labels perfectly",
        criterion: "Inception's training accuracy on random labels at least 99 %, in the setting of true labels",
        check: |group| settings_fit(group, &[Corruption::RandomLabels]),
    },
    Claim {
        id: "broken-images-fitted",
        section: "2.1",
        quote: "We further break the structure of the images by shuffling the image pixels, and even completely \
                re-sampling random pixels from a Gaussian distribution. But the networks we tested are still able to \
                fit.",
        criterion: "Inception's training accuracy on shuffled pixels, random pixels and Gaussian noise at least 99 %",
        check: |group| settings_fit(group, &[Corruption::ShuffledPixels, NOISE[0], NOISE[1]]),
    },
    Claim {
        id: "random-labels-start-later",
        section: "2.1",
        quote: "We expect the objective function to take longer to start decreasing on random labels",
        criterion: "more steps to a loss of 2 nats than on true labels",
        check: slow_start,
    },
    Claim {
        id: "quick-once-started",
        section: "2.1",
        quote: "once the fitting starts, it converges quickly",
        criterion: "from a loss of 2 nats to 0.1 in at most twice the steps that true labels take",
        check: quick_convergence,
    },
    Claim {
        id: "noise-before-random-labels",
        section: "2.1",
        quote: "\u{201c}random pixels\u{201d} and \u{201c}Gaussian\u{201d} start converging faster than \
                \u{201c}random labels\u{201d}.",
        criterion: "fewer steps to half the loss of guessing, ln 10 / 2",
        check: noise_first,
    },
    Claim {
        id: "alexnet-and-mlps-fit",
        section: "2.1",
        quote: "On the CIFAR10 dataset, Alexnet and MLPs all converge to zero loss on the training set.",
        criterion: "training accuracy on true and on random labels at least 99 %",
        check: |group| {
            let models = [ModelKind::Alexnet, ModelKind::Mlp3x512, ModelKind::Mlp1x512];
            let mut items = fitted(group, &models, Corruption::TrueLabels, Regularized::Not);
            for item in fitted(group, &models, Corruption::RandomLabels, Regularized::Not) {
                items.push(Item { text: format!("{} (random labels)", item.text), ..item });
            }
            items
        },
    },
    Claim {
        id: "partial-labels-fitted",
        section: "2.1",
        quote: "The networks fit the corrupted training set perfectly for all the cases.",
        criterion: "training accuracy at least 99 % at every level of corruption",
        check: partial_fitted,
    },
    Claim {
        id: "slower-with-noise",
        section: "2.1",
        quote: "Figure 1b shows the slowdown of the convergence time with increasing level of label noises.",
        criterion: "random labels take longer than true ones, and three of four pairs of levels are in order",
        check: slowdown,
    },
    Claim {
        id: "error-converges-to-chance",
        section: "2.1",
        quote: "As the noise level approaches 1, the generalization errors converge to 90%",
        criterion: "test error at p = 1 within 3 standard errors of 90 %",
        check: |group| at_chance(group, &fig1b::MODELS),
    },
    Claim {
        id: "fitted-with-weight-decay",
        section: "3",
        quote: "on CIFAR10, both Inception and MLPs still fit perfectly the random training set with weight decay \
                turned on.",
        criterion: "training accuracy on random labels with weight decay at least 99 %",
        check: |group| {
            let models = [ModelKind::Inception, ModelKind::Mlp3x512, ModelKind::Mlp1x512];
            fitted(group, &models, Corruption::RandomLabels, Regularized::Decay)
        },
    },
    Claim {
        id: "alexnet-with-weight-decay-fails",
        section: "3",
        quote: "However, AlexNet with weight decay turned on fails to converge on random labels.",
        criterion: "training accuracy below 95 %",
        check: alexnet_decay,
    },
    Claim {
        id: "regularizers-help",
        section: "3",
        quote: "Both regularization techniques help to improve the generalization performance",
        criterion: "test accuracy with weight decay or random crops no more than a point below that without",
        check: regularizers_help,
    },
    Claim {
        id: "crops-beat-weight-decay",
        section: "3",
        quote: "the ability to augment the data using known symmetries is significantly more powerful than just tuning \
                weight decay",
        criterion: "random crops gain more test accuracy than weight decay (said of ImageNet, measured here)",
        check: crops_beat_decay,
    },
    Claim {
        id: "architecture-over-regularizers",
        section: "3",
        quote: "while regularization is important, bigger gains can be achieved by simply changing the model \
                architecture.",
        criterion: "the best model is farther above the worst than any regulariser lifts a model (said of ImageNet, \
                    measured here)",
        check: architecture,
    },
    Claim {
        id: "order-of-models",
        section: "3, table 1",
        quote: "Table 1: The training and test accuracy (in percentage) of various models on the CIFAR10 dataset.",
        criterion: "test accuracy without regularisers falls, within a point, from Inception over Inception w/o \
                    BatchNorm, Alexnet and MLP 3x512 to MLP 1x512",
        check: model_order,
    },
    Claim {
        id: "early-stopping-no-help",
        section: "3.1",
        quote: "on the CIFAR10 dataset, we do not observe any potential benefit of early stopping.",
        criterion: "the best test accuracy of a run at most 2 points above its last one",
        check: early_stopping,
    },
    Claim {
        id: "batch-norm-worth-3-to-4",
        section: "3.1",
        quote: "The normalization operator helps stabilize the learning dynamics, but the impact on the generalization \
                performance is only 3\u{223c}4%.",
        criterion: "with batch norm, a loss of 0.1 after fewer steps, and 2 to 5 points more test accuracy",
        check: |group| {
            let mut items = batch_norm_steadies(group);
            items.extend(batch_norm(group));
            items
        },
    },
    Claim {
        id: "imagenet-random-labels-fitted",
        section: "2.1",
        quote: "95.20% accuracy is still very surprising for a million random labels from 1000 categories.",
        criterion: "Inception V3's top-1 training accuracy on random labels without regularisers at least 90 %",
        check: |group| photographs_fitted(group, &[("nothing", [false, false, false, true])], 0.9),
    },
    Claim {
        id: "imagenet-random-labels-regularized",
        section: "2.1",
        quote: "The network also manages to reach \u{223c}90% top-1 accuracy even with explicit regularizers turned on.",
        criterion: "top-1 training accuracy on random labels with weight decay, and with dropout too, at least 85 %",
        check: |group| {
            let rows = [
                ("dropout, weight decay", [false, true, true, true]),
                ("weight decay", [false, false, true, true]),
            ];
            photographs_fitted(group, &rows, 0.85)
        },
    },
    Claim {
        id: "imagenet-drop-without-regularizers",
        section: "3",
        quote: "A 18% top-1 accuracy drop is observed when we turn off all the regularizers.",
        criterion: "top-1 test accuracy with all regularisers more than 2 points above that without any",
        check: |group| photographs_gain(group, ("all", ALL_REGULARIZERS), ("nothing", NO_REGULARIZER)),
    },
    Claim {
        id: "augmentation-beats-weight-decay",
        section: "3",
        quote: "the ability to augment the data using known symmetries is significantly more powerful than just tuning \
                weight decay or preventing low training error.",
        criterion: "top-1 test accuracy with augmentation alone more than 2 points above that with weight decay alone",
        check: |group| {
            photographs_gain(group, ("augmentation", AUGMENTATION_ALONE), ("weight decay", DECAY_ALONE))
        },
    },
    Claim {
        id: "early-stopping-could-help-imagenet",
        section: "3.1, figure 2",
        quote: "early stopping could potentially improve generalization when other regularizers are absent.",
        criterion: "without augmentation and dropout, the best test accuracy along the training more than 2 points above \
                    the last",
        check: photographs_stop_early,
    },
];

/// Each claim on each data set, number of images and scale for which `runs` hold something; once, as
/// [`Verdict::NotYetMeasured`], where they hold nothing.
pub fn check_all(runs: &[Run]) -> Vec<Check> {
    let mut groups: BTreeMap<(String, String, &str, usize), Group> = BTreeMap::new();
    for run in runs.iter().filter(|run| in_setting(run)) {
        let (data, scale) = (&run.record.config.data, run.record.scale);
        let key = (data.title.clone(), data.fingerprint.clone(), scale.name(), data.train);
        groups.entry(key).or_insert_with(|| Group { runs: Vec::new() }).runs.push(run);
    }
    let mut checks = Vec::new();
    for claim in &ALL {
        let before = checks.len();
        for ((data, ..), group) in &groups {
            let items = (claim.check)(group);
            let Some(first) = group.runs.first().filter(|_| !items.is_empty()) else { continue };
            let holds = items.iter().all(|item| item.holds);
            let mark =
                |item: &Item| if item.holds { item.text.clone() } else { format!("{} (fails)", item.text) };
            let mut seeds: Vec<u64> = items.iter().flat_map(|item| item.seeds.clone()).collect();
            let mut keys: Vec<String> = items.iter().flat_map(|item| item.runs.clone()).collect();
            seeds.sort_unstable();
            seeds.dedup();
            keys.sort_unstable();
            keys.dedup();
            checks.push(Check {
                verdict: if holds { Verdict::Holds } else { Verdict::Fails },
                measured: items.iter().map(mark).collect(),
                data: data.clone(),
                n: first.record.config.data.train,
                scale: Some(first.record.scale),
                seeds: seeds.len(),
                runs: keys,
                ..unmeasured(claim)
            });
        }
        if checks.len() == before {
            checks.push(unmeasured(claim));
        }
    }
    checks
}

/// [`check_all`] of the claims named in `only`, in the paper's order; of all where it is empty.
///
/// Errors: [`Error::Argument`] for an unknown name, with those there are.
pub fn check_named(runs: &[Run], only: &[&str]) -> Result<Vec<Check>> {
    let names = || ALL.map(|claim| claim.id);
    if let Some(unknown) = only.iter().find(|id| !names().contains(id)) {
        return Err(Error::argument("claim", format!("{unknown:?} is none of {}", names().join(", "))));
    }
    let mut checks = check_all(runs);
    checks.retain(|check| only.is_empty() || only.contains(&check.id));
    Ok(checks)
}

fn unmeasured(claim: &Claim) -> Check {
    Check {
        id: claim.id,
        section: claim.section,
        quote: claim.quote,
        criterion: claim.criterion,
        verdict: Verdict::NotYetMeasured,
        measured: Vec::new(),
        data: String::new(),
        n: 0,
        scale: None,
        seeds: 0,
        runs: Vec::new(),
    }
}
