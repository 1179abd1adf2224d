//! `--set NAME=VALUE`: other values of what the recipes choose, for every run of a study.

use crate::data::Dataset;
use crate::run::appendix_a;
use crate::run::config::RunConfig;
use crate::{Error, Result};
use rethink_nn::models::{self, CustomModel, ModelKind};
use rethink_nn::numbers::parsed;
use rethink_nn::optim::{DecayOn, Optimizer, is_share, is_size};
use rethink_nn::precision::Precision;
use rethink_nn::text::{hex, thousands};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{self, Path, PathBuf};
use std::str::FromStr;

const OPERATION: &str = "--set";

/// Makes [`Overrides`] of a table. A row is a field, its type, its name (`|` before another that is understood: that of the
/// configuration's field), what it takes, how its text is read (`None`: it is none of what it takes), and how it is shown.
macro_rules! overrides {
    ($($(#[$about:meta])* $field:ident: $type:ty, $name:literal $(| $synonym:literal)?, $range:expr, $read:expr, $show:expr;)*) => {
        /// Values that replace the recipes' own; `None` keeps them. Written as `epochs=20,n=500`, in the order below.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Overrides {
            $($(#[$about])* pub $field: Option<$type>,)*
        }

        /// Names and what they take, as errors and the command line's help list them.
        pub const NAMES: &[(&str, &str)] = &[$(($name, $range)),*];

        impl Overrides {
            fn set(&mut self, name: &str, value: &str) -> Result<()> {
                // Names of fields have underscores.
                match &*name.replace('_', "-") {
                    $($name $(| $synonym)? => put(&mut self.$field, (name, value), $range, $read),)*
                    _ => {
                        let known: Vec<String> =
                            NAMES.iter().map(|(name, range)| format!("{name} ({range})")).collect();
                        let problem = format!("{name:?} is none of {}", known.join(", "));
                        Err(Error::argument(OPERATION, problem))
                    }
                }
            }

            /// What is set. Networks of one's own by their files where `again`, so that it can be read again.
            fn written(&self, again: bool) -> String {
                let all = [$(($name, self.$field.as_ref().map(|value| $show(value, again)))),*];
                let set = all.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
                set.collect::<Vec<_>>().join(",")
            }
        }
    };
}

overrides! {
    /// At most so many epochs.
    epochs: usize, "epochs", "1 to 100,000", |text| count(text, 100_000), plain;
    /// The first so many training images. What a recipe derives from their number follows it.
    n: usize, "n", "1 or more", |text| count(text, usize::MAX), plain;
    /// The first so many test images.
    test: usize, "test", "1 or more", |text| count(text, usize::MAX), plain;
    /// Factor on channels and units of hidden layers.
    width: f64, "width" | "width-factor", "above 0, at most 16", |text| number(text, models::is_width), plain;
    /// Images a step.
    batch: usize, "batch" | "batch-size", "1 to 100,000", |text| count(text, 100_000), plain;
    /// Initial learning rate.
    rate: f64, "rate" | "learning-rate", "above 0, at most 100", |text| number(text, |x| is_size(x) && x <= 100.0), plain;
    /// Momentum.
    momentum: f64, "momentum", "0 or more, below 1", |text| number(text, is_share), plain;
    /// Factor on the learning rate.
    decay: f64, "decay" | "rate-decay", "above 0, at most 1", |text| number(text, |x| x > 0.0 && x <= 1.0), plain;
    /// Epochs between two applications of it.
    decay_every: usize, "decay-every" | "rate-decay-every", "1 or more", |text| count(text, usize::MAX), plain;
    /// L2 coefficient of the runs that have one.
    weight_decay: f64, "weight-decay", "above 0, at most 1", |text| number(text, |x| is_size(x) && x <= 1.0), plain;
    /// What it acts on in the runs that have one.
    weight_decay_on: DecayOn, "weight-decay-on", "all, fc or weights", named, |on: &DecayOn, _| on.name().to_string();
    /// Batch normalisation's memory.
    norm_memory: f64, "norm-memory", "0 or more, below 1", |text| number(text, is_share), plain;
    /// What a step does with a gradient.
    optimizer: Optimizer, "optimizer", Optimizer::FORMS, named, plain;
    /// Share of a label that is spread over all classes.
    label_smoothing: f64, "label-smoothing", "0 or more, below 1", |text| number(text, is_share), plain;
    /// Share of the weights' average that is kept at a step.
    average: f64, "average", "0 or more, below 1", |text| number(text, is_share), plain;
    /// What products round their factors to.
    precision: Precision, "precision", "float32 or bf16", named, plain;
    /// Steps between two rows of the frame.
    log_every: usize, "log-every", "1 or more", |text| count(text, usize::MAX), plain;
    /// Epochs between two evaluations on the test set.
    eval_every: usize, "eval-every", "1 or more", |text| count(text, usize::MAX), plain;
    /// Epochs in a row in which every training image is right, before a run ends; of the runs that end so.
    fitted_epochs: usize, "fitted-epochs", "1 to 100,000", |text| count(text, 100_000), plain;
    /// Only the runs of these networks, such as `mlp1x512+mlp3x512`; a .json file's network enters figures 1a, 1b, 1c and 2b.
    models: Vec<ChosenModel>, "models", "names of the paper's networks, such as mlp1x512+mlp3x512, or .json files of one's own",
        chosen, |models: &Vec<ChosenModel>, again| joined(models.iter().map(|model| model.written(again)));
    /// Shares of corrupted labels in figures 1b and 1c, rising.
    levels: Vec<f64>, "levels", "shares of corrupted labels for figures 1b and 1c, 0 to 1, such as 0+0.25+1", shares,
        |levels: &Vec<f64>, _| joined(levels.iter().map(f64::to_string));
}

fn put<T>(
    place: &mut Option<T>,
    (name, value): (&str, &str),
    range: &str,
    read: impl Fn(&str) -> Result<Option<T>>,
) -> Result<()> {
    let Some(read) = read(value)? else {
        return Err(Error::argument(OPERATION, format!("{name}={value}: {range} is expected")));
    };
    match place.replace(read) {
        None => Ok(()),
        Some(_) => Err(Error::argument(OPERATION, format!("{name} is given twice"))),
    }
}

fn count(text: &str, most: usize) -> Result<Option<usize>> {
    Ok(text.parse().ok().filter(|n| (1..=most).contains(n)))
}

fn number(text: &str, good: impl Fn(f64) -> bool) -> Result<Option<f64>> {
    Ok(parsed(text).ok().filter(|x| good(*x)))
}

fn named<T: FromStr>(text: &str) -> Result<Option<T>> {
    Ok(text.parse().ok())
}

fn chosen(text: &str) -> Result<Option<Vec<ChosenModel>>> {
    text.split('+').map(ChosenModel::read).collect()
}

fn shares(text: &str) -> Result<Option<Vec<f64>>> {
    let share = |text: &str| parsed(text).ok().filter(|p| (0.0..=1.0).contains(p));
    let shares: Option<Vec<f64>> = text.split('+').map(share).collect();
    Ok(shares.map(|mut shares| {
        shares.sort_by(f64::total_cmp);
        shares.dedup();
        shares
    }))
}

fn plain<T: ToString>(value: &T, _: bool) -> String {
    value.to_string()
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("+")
}

/// A network that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenModel {
    /// Which.
    pub model: ModelKind,
    /// Where it is from, if it is one's own.
    file: Option<PathBuf>,
}

impl ChosenModel {
    /// Errors: those of [`CustomModel::read`] for a .json file.
    fn read(text: &str) -> Result<Option<ChosenModel>> {
        if !text.ends_with(".json") {
            let model = ModelKind::ALL.into_iter().find(|model| model.name() == text);
            return Ok(model.map(|model| ChosenModel { model, file: None }));
        }
        let file = path::absolute(text).map_err(Error::io("find the network", Path::new(text)))?;
        if file.to_string_lossy().contains(['+', ',']) {
            let problem = format!("{}: a path here may have no '+' and no ','", file.display());
            return Err(Error::argument(OPERATION, problem));
        }
        let model = ModelKind::Custom(CustomModel::read(&file)?);
        Ok(Some(ChosenModel { model, file: Some(file) }))
    }

    /// One's own with digits of its layers' checksum: a network that is changed under its old name gets figures of its own.
    fn written(&self, again: bool) -> String {
        match &self.file {
            None => self.model.name().into(),
            Some(file) if again => file.to_string_lossy().into_owned(),
            Some(_) => {
                let layers = serde_json::to_vec(&self.model).expect("layers of plain values are JSON");
                format!("{}-{}", self.model.name(), hex(&Sha256::digest(layers)[..4]))
            }
        }
    }
}

impl Overrides {
    /// Whether nothing is replaced.
    pub fn is_empty(&self) -> bool {
        *self == Overrides::default()
    }

    /// Whether `data` has as many images as are asked for.
    ///
    /// Errors: [`Error::Argument`] with the number that there are.
    pub fn check(&self, data: &Dataset) -> Result<()> {
        let there = data.id(usize::MAX, usize::MAX);
        let counts = [("n", self.n, there.train, "training"), ("test", self.test, there.test, "test")];
        for (name, wanted, there, what) in counts {
            if let Some(wanted) = wanted.filter(|wanted| *wanted > there) {
                let there = thousands(there);
                let problem = format!("{name}={wanted}, but {} has {there} {what} images", data.title);
                return Err(Error::argument(OPERATION, problem));
            }
        }
        Ok(())
    }

    /// Whether a run of this network is among those that are wanted.
    pub fn has(&self, model: ModelKind) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|chosen| chosen.model == model))
    }

    /// The networks of one's own among those that are wanted.
    pub fn own(&self) -> Vec<ModelKind> {
        let models = self.models.iter().flatten().filter(|chosen| chosen.file.is_some());
        models.map(|chosen| chosen.model).collect()
    }

    /// As text that gives the same values again, files of one's own networks by their full paths. (What is shown has their
    /// names.)
    pub fn argument(&self) -> String {
        self.written(true)
    }

    /// Puts the values into `config`, a run on `data`. What the recipe derived from a value that changes (how often
    /// the rate decays, how often a row is written, how a narrow network starts) is derived anew, unless it is set
    /// too or the recipe has chosen it.
    pub fn apply(&self, config: &mut RunConfig, data: &Dataset) {
        let with_dependents = |config: &RunConfig| {
            let mut config = config.clone();
            appendix_a::set_dependents(&mut config);
            config
        };
        let before = with_dependents(config);
        let (train, test) = (config.data.train, config.data.test);
        config.data = data.id(self.n.unwrap_or(train), self.test.unwrap_or(test));
        config.width_factor = self.width.unwrap_or(config.width_factor);
        config.hyper.batch_size = self.batch.unwrap_or(config.hyper.batch_size);
        let after = with_dependents(config);
        fn follow<T: PartialEq>(value: &mut T, before: T, after: T) {
            if *value == before {
                *value = after;
            }
        }
        follow(
            &mut config.hyper.rate_decay_every,
            before.hyper.rate_decay_every,
            after.hyper.rate_decay_every,
        );
        follow(&mut config.hyper.init, before.hyper.init, after.hyper.init);
        follow(&mut config.log_every, before.log_every, after.log_every);
        follow(&mut config.eval_every, before.eval_every, after.eval_every);

        let hyper = &mut config.hyper;
        hyper.epochs = self.epochs.unwrap_or(hyper.epochs);
        hyper.learning_rate = self.rate.unwrap_or(hyper.learning_rate);
        hyper.momentum = self.momentum.unwrap_or(hyper.momentum);
        hyper.rate_decay = self.decay.unwrap_or(hyper.rate_decay);
        hyper.rate_decay_every = self.decay_every.unwrap_or(hyper.rate_decay_every);
        if hyper.weight_decay > 0.0 {
            hyper.weight_decay = self.weight_decay.unwrap_or(hyper.weight_decay);
            hyper.weight_decay_on = self.weight_decay_on.unwrap_or(hyper.weight_decay_on);
        }
        hyper.norm_memory = self.norm_memory.unwrap_or(hyper.norm_memory);
        hyper.optimizer = self.optimizer.unwrap_or(hyper.optimizer);
        hyper.label_smoothing = self.label_smoothing.unwrap_or(hyper.label_smoothing);
        hyper.average = self.average.or(hyper.average);
        hyper.precision = self.precision.unwrap_or(hyper.precision);
        if hyper.stop_when_fitted {
            hyper.fitted_epochs = self.fitted_epochs.unwrap_or(hyper.fitted_epochs);
        }
        config.log_every = self.log_every.unwrap_or(config.log_every);
        config.eval_every = self.eval_every.unwrap_or(config.eval_every);
    }
}

impl FromStr for Overrides {
    type Err = Error;

    /// Errors: [`Error::Argument`] with the names and ranges there are.
    fn from_str(text: &str) -> Result<Overrides> {
        let mut overrides = Overrides::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| {
                Error::argument(OPERATION, format!("{part:?} is not of the form NAME=VALUE, as epochs=20"))
            })?;
            overrides.set(name.trim(), value.trim())?;
        }
        Ok(overrides)
    }
}

impl fmt::Display for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written(false))
    }
}
