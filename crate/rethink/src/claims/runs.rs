//! Training runs that may be compared: which are in the recipes' setting, which are controls, and how they are asked for.

use crate::claims::{Key, Part};
use crate::data::augmentation::Augmentation;
use crate::data::corruption::Corruption;
use crate::data::imagenet::ILSVRC_TRAIN;
use crate::data::published::Published;
use crate::paper::reported::{TABLE_2, Table2Row};
use crate::paper::{self, fig1a, fig2b, mean, table2, table4};
use crate::run::appendix_a;
use crate::run::appendix_a::{CIFAR_TRAIN, Size};
use crate::run::comparison::Free;
use crate::run::config::{RunConfig, Scale};
use crate::run::row::StopReason;
use crate::store::{FITTED, Run};
use rethink_nn::models::ModelKind;
use std::collections::BTreeMap;

/// An accuracy within so many standard errors of chance is that of guessing.
pub(super) const ERRORS: f64 = 3.0;

/// The networks of table 1, of which the paper speaks.
pub(super) const MODELS: [ModelKind; 5] = [
    ModelKind::Inception,
    ModelKind::InceptionNoBn,
    ModelKind::Alexnet,
    ModelKind::Mlp3x512,
    ModelKind::Mlp1x512,
];

/// The networks of figures 1b and 1c, as the paper has them; what our figures draw beside is no evidence.
pub(super) const NOISY: [ModelKind; 3] = [ModelKind::Inception, ModelKind::Alexnet, ModelKind::Mlp1x512];

/// The shares of corrupted labels that are looked at: the paper's, at every scale. Others are no evidence.
const LEVELS: [f64; 11] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Figure 2b's networks: with batch normalisation, and without.
pub(super) const NORMALISED_OR_NOT: [ModelKind; 2] = [ModelKind::Inception, ModelKind::InceptionNoBn];

/// Which regularisers a run has.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Regularized {
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

/// What a run may differ in from appendix A's configuration, and still be in the recipes' setting. Some of it is judged elsewhere: the
/// width by [`wide`], the epochs in [`standing`], crops and augmentation by [`regularized`].
const FREE: [Free; 9] = [
    Free::Schema,
    Free::Width,
    Free::Rows,
    Free::Epochs,
    Free::StopWhenFitted,
    Free::FittedEpochs,
    Free::RandomCrop,
    Free::Augment,
    Free::Dropout,
];

/// The key of a configuration but for how many epochs in a row have to be fitted before it stops, and that number. The same
/// run under two such rules is one run.
fn but_for_rule(config: &RunConfig) -> (String, usize) {
    (config.key_but_for(&[Free::FittedEpochs]), config.hyper.fitted_epochs)
}

/// What a run is to the paper's sentences.
#[derive(Clone, Copy, PartialEq)]
enum Standing {
    /// In the recipes' setting, but for corruption, regularisers and seeds.
    Recipe,
    /// The same but for a value that was chosen because it gives the paper's outcome: the coefficient and place of
    /// weight decay, the MLPs' batch size.
    Control,
}

/// What `run` is to the paper's sentences. `None`: nothing, as of a run with another learning rate, for three epochs or by several
/// processes.
fn standing(run: &Run) -> Option<Standing> {
    let (config, scale) = (&run.record.config, run.record.scale);
    if config.model == ModelKind::InceptionV3 {
        let row = |row| {
            let expected = table2::configure_on(row, config.data.clone(), scale, config.seeds);
            expected.key_but_for(&[Free::FittedEpochs]) == config.key_but_for(&[Free::FittedEpochs])
        };
        return TABLE_2.iter().any(row).then_some(Standing::Recipe);
    }
    // Of the items' sizes at scale small, some have more images a step.
    let sizes = [appendix_a::size_at, table4::plain_size, fig1a::size].map(|of| of(scale, config.model));
    let as_wide = sizes.iter().filter(|size| size.width_factor == config.width_factor);
    let all: Vec<Standing> = as_wide.filter_map(|size| standing_of_size(run, size)).collect();
    match all.contains(&Standing::Recipe) {
        true => Some(Standing::Recipe),
        false => all.first().copied(),
    }
}

/// What `run` is to the paper's sentences among runs of `size`.
fn standing_of_size(run: &Run, size: &Size) -> Option<Standing> {
    let (config, scale) = (&run.record.config, run.record.scale);
    let same = |expected: &RunConfig| expected.key_but_for(&FREE) == config.key_but_for(&FREE);
    let ours = &config.hyper;
    let mut expected =
        appendix_a::config_of_size(config.data.clone(), *size, config.model, config.corruption, config.seeds);
    let epochs = [size.epochs, fig1a::epochs(scale), fig2b::epochs(scale)];
    let lasted = epochs.contains(&ours.epochs) || run.record.ending == StopReason::Fitted;
    let slow = ours.rate_decay == table4::SLOW_DECAY
        && config.corruption == Corruption::RandomLabels
        && ours.epochs == table4::long_epochs(scale, config.model);
    if slow {
        expected.hyper.rate_decay = ours.rate_decay;
    } else if !lasted {
        return None;
    }
    if ours.weight_decay > 0.0 {
        paper::decay_weights(&mut expected);
    } else {
        expected.hyper.weight_decay_on = ours.weight_decay_on;
    }
    if same(&expected) {
        return Some(Standing::Recipe);
    }
    let theirs = &mut expected.hyper;
    if ours.weight_decay > 0.0 {
        (theirs.weight_decay, theirs.weight_decay_on) = (ours.weight_decay, ours.weight_decay_on);
    }
    if config.model.is_mlp() {
        theirs.batch_size = ours.batch_size;
    }
    same(&expected).then_some(Standing::Control)
}

/// Figure 1a's Inception may be narrower than that of tables and other figures: what is said of one is not read off the
/// other.
fn as_in_figure_1a(run: &Run) -> bool {
    let config = &run.record.config;
    config.model == ModelKind::Inception
        && config.width_factor == fig1a::size(run.record.scale, config.model).width_factor
}

/// Whether a network is as wide as in tables 1 and 4 and figures 1b, 1c and 2b.
fn wide(run: &Run) -> bool {
    let (scale, config) = (run.record.scale, &run.record.config);
    appendix_a::size_at(scale, config.model).width_factor == config.width_factor
}

/// Runs of one data set, number of images and scale.
pub(super) struct Runs<'a> {
    runs: Vec<&'a Run>,
    controls: Vec<&'a Run>,
}

impl<'a> Runs<'a> {
    /// All groups. A run that is there under two rules of stopping counts once, under the stricter.
    pub(super) fn sorted(runs: &'a [Run]) -> Vec<(Key, Scale, Runs<'a>)> {
        let mut groups: BTreeMap<Key, (Scale, Runs)> = BTreeMap::new();
        let mut strictest: BTreeMap<String, usize> = BTreeMap::new();
        for run in runs {
            let (config, rule) = but_for_rule(&run.record.config);
            let most = strictest.entry(config).or_insert(rule);
            *most = rule.max(*most);
        }
        for run in runs {
            let (config, rule) = but_for_rule(&run.record.config);
            let Some(standing) = standing(run).filter(|_| strictest.get(&config) == Some(&rule)) else {
                continue;
            };
            let (data, scale) = (&run.record.config.data, run.record.scale);
            let key = (data.title.clone(), data.fingerprint.clone(), scale.name(), data.train);
            let new = || (scale, Runs { runs: Vec::new(), controls: Vec::new() });
            let (_, group) = groups.entry(key).or_insert_with(new);
            match standing {
                Standing::Recipe => group.runs.push(run),
                Standing::Control => group.controls.push(run),
            }
        }
        groups.into_iter().map(|(key, (scale, runs))| (key, scale, runs)).collect()
    }

    /// Classes of the data set.
    fn classes(&self) -> Option<usize> {
        self.runs.iter().chain(&self.controls).find_map(|run| run.record.classes())
    }

    /// Accuracy of guessing among the classes.
    pub(super) fn chance(&self) -> Option<f64> {
        self.classes().map(|classes| 1.0 / classes as f64)
    }

    /// The loss of guessing among the classes, nats.
    pub(super) fn loss_of_guessing(&self) -> Option<f64> {
        self.classes().map(|classes| (classes as f64).ln())
    }

    /// Whether this is the paper's data set of this name, whole: so many training images.
    fn papers(&self, name: &str, images: usize) -> bool {
        let data = |run: &&Run| {
            let data = &run.record.config.data;
            data.train == images && data.published().and_then(Published::in_paper) == Some(name)
        };
        self.runs.first().is_some_and(data)
    }

    /// Whether this is the paper's CIFAR-10, whole.
    pub(super) fn papers_cifar(&self) -> bool {
        self.papers("CIFAR10", CIFAR_TRAIN)
    }

    /// Whether this is the whole of ImageNet.
    pub(super) fn papers_imagenet(&self) -> bool {
        self.papers("ImageNet", ILSVRC_TRAIN)
    }

    /// The runs of `model` with such labels or images and such regularisers.
    pub(super) fn of(&self, model: ModelKind, corruption: Corruption, with: Regularized) -> Vec<&'a Run> {
        let belongs = |run: &&Run| wide(run) && is(run, model, corruption, with);
        self.runs.iter().copied().filter(belongs).collect()
    }

    /// The same, each set of controls that differ in nothing but seeds apart, with what tells it from the recipe's.
    pub(super) fn controls(
        &self,
        model: ModelKind,
        corruption: Corruption,
        with: Regularized,
    ) -> Vec<(String, Vec<&'a Run>)> {
        let belongs = |run: &&Run| wide(run) && is(run, model, corruption, with);
        let mut sets: BTreeMap<String, Vec<&Run>> = BTreeMap::new();
        for run in self.controls.iter().copied().filter(belongs) {
            let hyper = &run.record.config.hyper;
            let mut parts = Vec::new();
            if hyper.batch_size != model.batch_size() {
                parts.push(format!("batches of {}", hyper.batch_size));
            }
            if hyper.weight_decay > 0.0 {
                let place = if hyper.weight_decay_on.is_all() { " on all weights" } else { "" };
                parts.push(format!("weight decay {:e}{place}", hyper.weight_decay));
            }
            sets.entry(parts.join(", ")).or_default().push(run);
        }
        sets.into_iter().collect()
    }

    /// The runs of figure 1a's curve of this corruption.
    pub(super) fn curves(&self, corruption: Corruption) -> Vec<&'a Run> {
        let belongs =
            |run: &&Run| as_in_figure_1a(run) && is(run, ModelKind::Inception, corruption, Regularized::Not);
        self.runs.iter().copied().filter(belongs).collect()
    }

    /// The runs of a row of table 2.
    pub(super) fn of_table_2(&self, row: &Table2Row) -> Vec<&'a Run> {
        self.runs.iter().copied().filter(|run| table2::belongs(row, run)).collect()
    }

    /// Runs of `model` on labels redrawn with probability `p`.
    pub(super) fn noisy(&self, model: ModelKind, p: f64) -> Vec<&'a Run> {
        let belongs = |run: &&Run| {
            let config = &run.record.config;
            config.model == model
                && wide(run)
                && config.corruption.label_noise() == Some(p)
                && regularized(config) == Regularized::Not
        };
        self.runs.iter().copied().filter(belongs).collect()
    }

    /// Which of [`LEVELS`] `model` has, rising.
    pub(super) fn levels(&self, model: ModelKind) -> Vec<f64> {
        LEVELS.into_iter().filter(|&p| !self.noisy(model, p).is_empty()).collect()
    }

    /// Test accuracy of a model on true labels.
    pub(super) fn tested(&self, model: ModelKind, with: Regularized) -> Option<(f64, Vec<&'a Run>)> {
        let runs = self.of(model, Corruption::TrueLabels, with);
        Some((test(&runs)?, runs))
    }

    /// Standard error of the mean test accuracy of `runs` when guessing; 0 where chance is not known. Of the test images, and
    /// of the labels' draw: random labels of n images are the true ones for chance of them, give or take as much as n
    /// guesses.
    pub(super) fn error_of_guessing(&self, runs: &[&Run]) -> f64 {
        let chance = self.chance().unwrap_or(0.0);
        let labelled = runs.iter().map(|run| run.record.config.data.train).sum::<usize>().max(1) as f64;
        (chance * (1.0 - chance) * (1.0 / tested_images(runs) + 1.0 / labelled)).sqrt()
    }
}

fn is(run: &Run, model: ModelKind, corruption: Corruption, with: Regularized) -> bool {
    let config = &run.record.config;
    config.model == model && config.corruption == corruption && regularized(config) == with
}

fn tested_images(runs: &[&Run]) -> f64 {
    runs.iter().map(|run| run.record.config.data.test).sum::<usize>().max(1) as f64
}

/// What Student's t exceeds in one case in forty, of 2 degrees of freedom and more; the last stands for all that follow.
const STUDENT: [f64; 9] = [4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

/// How far apart two mean test accuracies are by chance, in nineteen cases of twenty at most: less is no difference. Where both
/// have three seeds or more in common, by the differences of the runs with the same seed (a paired t test). Of fewer, two standard
/// errors of a difference of test images alone, as if the two were tested on different ones: how much seeds add is not known then.
pub(super) fn noise(a: &[&Run], b: &[&Run]) -> f64 {
    let differences = a.iter().filter_map(|run| {
        let twin = b.iter().find(|other| other.record.config.seeds == run.record.config.seeds)?;
        Some(run.record.test_accuracy? - twin.record.test_accuracy?)
    });
    let differences: Vec<f64> = differences.collect();
    let pairs = differences.len();
    if let (Some(middle), 3..) = (mean(differences.iter().copied()), pairs) {
        let squares: f64 = differences.iter().map(|difference| (difference - middle).powi(2)).sum();
        let variance = squares / (pairs - 1) as f64;
        return STUDENT[(pairs - 3).min(STUDENT.len() - 1)] * (variance / pairs as f64).sqrt();
    }
    let variance = |runs: &[&Run]| {
        let accuracy = test(runs).unwrap_or(0.5);
        // Every seed's run is tested on the same images.
        let images = runs.iter().map(|run| run.record.config.data.test).max().unwrap_or(0).max(1);
        accuracy * (1.0 - accuracy) / images as f64
    };
    2.0 * (variance(a) + variance(b)).sqrt()
}

/// Mean training accuracy; that of a diverged run is 0.
pub(super) fn train(runs: &[&Run]) -> Option<f64> {
    mean(runs.iter().filter_map(|run| trained(run)))
}

fn trained(run: &Run) -> Option<f64> {
    match run.record.ending {
        StopReason::Diverged => Some(0.0),
        _ => run.record.train_accuracy,
    }
}

/// Mean test accuracy.
pub(super) fn test(runs: &[&Run]) -> Option<f64> {
    mean(runs.iter().filter_map(|run| run.record.test_accuracy))
}

/// The runs that have fitted their training set, and those that have not.
pub(super) fn by_fit(runs: Vec<&Run>, enough: f64) -> (Vec<&Run>, Vec<&Run>) {
    runs.into_iter().partition(|run| trained(run).is_some_and(|accuracy| accuracy >= enough))
}

/// Whether a run was not ended by its first fit: it ran all its epochs, or those in a row that the rule asks for, as the rows
/// that are taken from a run that ran on.
pub(super) fn went_on(run: &Run) -> bool {
    let hyper = &run.record.config.hyper;
    !hyper.stop_when_fitted || hyper.fitted_epochs > 1 || run.record.origin.is_some()
}

/// Mean over runs of the first step with a loss of at most `loss`; `None` unless all runs reach it.
pub(super) fn steps(runs: &[&Run], loss: f64) -> Option<f64> {
    let steps: Option<Vec<f64>> = runs.iter().map(|run| run.steps_to(loss).map(f64::from)).collect();
    mean(steps?)
}

/// Mean epochs to the training accuracy that counts as fitted; `None` unless all runs that were told to stop when
/// fitted reach it. Not to their ends: of two runs that stay just below 100 %, both end with the last epoch.
pub(super) fn epochs(runs: &[&Run]) -> Option<f64> {
    let told = runs.iter().filter(|run| run.record.config.hyper.stop_when_fitted);
    let epochs: Option<Vec<f64>> = told.map(|run| run.fitted_at().map(f64::from)).collect();
    mean(epochs?)
}

/// Training accuracy of each model that has runs, and of its controls: at least [`FITTED`].
pub(super) fn fitted(
    group: &Runs,
    models: &[ModelKind],
    corruption: Corruption,
    with: Regularized,
) -> Vec<Part> {
    let mut parts = Vec::new();
    for &model in models {
        let runs = group.of(model, corruption, with);
        let Some(accuracy) = train(&runs) else { continue };
        let text = format!("{}: train {}", model.title(), crate::claims::part::percent(accuracy));
        parts.push(Part::runs(text, accuracy >= FITTED, &[&runs]));
        for (what, runs) in group.controls(model, corruption, with) {
            let Some(accuracy) = train(&runs) else { continue };
            let accuracy_text = crate::claims::part::percent(accuracy);
            let text = format!("{}, control ({what}): train {accuracy_text}", model.title());
            parts.push(Part::runs(text, accuracy >= FITTED, &[&runs]));
        }
    }
    parts
}
