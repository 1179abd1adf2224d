//! How long a sweep will take, from how long its runs have taken.

use crate::measure::{Measurement, Quantity};
use crate::paper::{Parts, Recipe};
use crate::run::config::RunConfig;
use crate::store::{Record, Store};
use crate::study::Study;
use crate::study::words::duration;
use rethink_nn::models::{ModelKind, plan};
use std::collections::{HashMap, HashSet};

/// How long the rest of a sweep takes, from what has been trained: seconds a multiply-add, by model where one has
/// been seen, and the share of its epochs that a run takes.
pub(super) struct Forecast {
    /// Runs that the store lacks, by key.
    missing: HashSet<String>,
    /// Seconds and multiply-adds of each model and width.
    rates: HashMap<(ModelKind, u64), (f64, f64)>,
    /// Epochs run and allowed.
    epochs: (f64, f64),
    /// Seconds left of the runs that train, by key, if all their epochs are run.
    present: HashMap<String, f64>,
    /// How many train at a time.
    lanes: f64,
}

/// Multiply-adds of forward passes that two AVX-512 cores train in a second, networks of scale small, tests included.
const MULTIPLY_ADDS: f64 = 1.5e10;
/// Epochs in which networks without and with convolutions fit their images, as a rule.
const EPOCHS_TO_FIT: (usize, usize) = (15, 45);
/// Seconds of a measurement at scale small on such cores.
fn measuring(measurement: &Measurement) -> f64 {
    match &measurement.what {
        // Of a thousand points, the filters take longest; of a hundred, nothing does.
        Quantity::KernelEquation(_) => 4.0 * (measurement.data.train as f64 / 1_600.0),
        Quantity::Theorem1 | Quantity::Corollary1 { .. } => 0.1,
        Quantity::SgdPath { .. } | Quantity::Interpolators => 1.0,
        Quantity::Rademacher { .. } => 1.5,
        Quantity::Stability { .. } => 6.0,
    }
}

impl Study {
    /// Seconds that two AVX-512 cores may take for what the store lacks of `recipe`: a first guess, to be corrected by how long the
    /// work takes.
    pub fn seconds(&self, recipe: &Recipe) -> f64 {
        let store = self.store();
        match recipe.source {
            Parts::Runs { .. } => {
                let configs = self.configs_of(recipe);
                let forecast = Forecast::new(&store, &configs, 1);
                let work = |c: &RunConfig| work_of_an_epoch(c).map_or(0.0, |work| work * likely_epochs(c));
                forecast.missing_of(&configs).map(work).sum::<f64>() / MULTIPLY_ADDS
            }
            Parts::Measurements { plan, .. } => {
                let missing =
                    plan(&self.setting()).into_iter().filter(|m| !store.measured_path(&m.key()).exists());
                missing.map(|measurement| measuring(&measurement)).sum()
            }
        }
    }
}

/// How many epochs a run may take.
fn likely_epochs(config: &RunConfig) -> f64 {
    let to_fit = if config.model.is_mlp() { EPOCHS_TO_FIT.0 } else { EPOCHS_TO_FIT.1 };
    let all = config.hyper.epochs;
    if config.hyper.stop_when_fitted { all.min(to_fit) as f64 } else { all as f64 }
}

/// Multiply-adds of the forward pass of an image of three channels; `None` for a model that does not fit the image. The paper's models
/// count as if of ten classes, which is little beside the rest.
pub(super) fn work(config: &RunConfig) -> Option<f64> {
    let input = [config.input, config.input, 3];
    let classes = config.model.own_classes(input).unwrap_or(10);
    let layers = config.model.plan(input, classes, config.width_factor).ok()?;
    Some(plan::work(&layers, input).ok()? as f64)
}

/// The same of all training images; tests are a part of what they take.
fn work_of_an_epoch(config: &RunConfig) -> Option<f64> {
    Some(work(config)? * config.data.train as f64)
}

impl Forecast {
    /// Of `configs` in `store`, of which `lanes` are trained at a time.
    pub(super) fn new(store: &Store, configs: &[RunConfig], lanes: usize) -> Forecast {
        let keys = configs.iter().map(RunConfig::key);
        let missing = keys.filter(|key| !store.path(key).exists()).collect();
        Forecast {
            missing,
            rates: HashMap::new(),
            epochs: (0.0, 0.0),
            present: HashMap::new(),
            lanes: lanes as f64,
        }
    }

    /// Those of `configs` that are missing, each once.
    fn missing_of<'a>(&'a self, configs: &'a [RunConfig]) -> impl Iterator<Item = &'a RunConfig> {
        let mut seen = HashSet::new();
        configs.iter().filter(move |c| self.missing.contains(&c.key()) && seen.insert(c.key()))
    }

    pub(super) fn running(&mut self, config: &RunConfig, epoch: u32, seconds: f64) {
        let left = config.hyper.epochs as f64 - f64::from(epoch);
        self.present.insert(config.key(), seconds * left);
        self.missing.remove(&config.key());
        if let Some(work) = work_of_an_epoch(config) {
            self.rates.insert((config.model, config.width_factor.to_bits()), (seconds, work));
        }
    }

    pub(super) fn finished(&mut self, record: &Record) {
        self.present.remove(&record.config.key());
        self.missing.remove(&record.config.key());
        self.epochs.0 += f64::from(record.epochs);
        self.epochs.1 += record.config.hyper.epochs as f64;
        if let Some(work) = work_of_an_epoch(&record.config) {
            let seconds = record.seconds / f64::from(record.epochs.max(1));
            self.rates.insert((record.config.model, record.config.width_factor.to_bits()), (seconds, work));
        }
    }

    /// ", about 3 min left" of the run that is said first, and of all that train or of `configs` are missing; nothing while nothing has
    /// been measured.
    pub(super) fn left(&self, configs: &[RunConfig]) -> String {
        let share = if self.epochs.1 > 0.0 { self.epochs.0 / self.epochs.1 } else { 1.0 };
        let (seconds, work) = self.rates.values().fold((0.0, 0.0), |sum, r| (sum.0 + r.0, sum.1 + r.1));
        if work == 0.0 {
            return String::new();
        }
        let run = |config: &RunConfig| {
            let (seconds, work) = self
                .rates
                .get(&(config.model, config.width_factor.to_bits()))
                .copied()
                .unwrap_or((seconds, work));
            work_of_an_epoch(config)
                .map_or(0.0, |own| own * seconds / work * config.hyper.epochs as f64 * share)
        };
        let later: f64 = self.missing_of(configs).map(run).sum();
        let own = configs.first().and_then(|config| self.present.get(&config.key()));
        let longest = self.present.values().copied().fold(0.0, f64::max);
        let all = ((self.present.values().sum::<f64>() + later) / self.lanes).max(longest);
        let present = own.map_or(String::new(), |s| format!(", at most {} left", duration(*s)));
        let others = self.present.len() > usize::from(own.is_some());
        let sweep = (later > 0.0 || others) && all >= 1.0;
        if sweep { format!("{present}, about {} for the whole sweep", duration(all)) } else { present }
    }
}
