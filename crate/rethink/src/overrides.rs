//! `--set NAME=VALUE`: other values of what the recipes choose, for every run of a study.

use crate::data::Dataset;
use crate::run::appendix_a;
use crate::run::config::RunConfig;
use crate::{Error, Result};
use rethink_nn::models::ModelKind;
use rethink_nn::optim::{DecayOn, Optimizer, is_share, is_size};
use rethink_nn::text::thousands;
use std::fmt;
use std::str::FromStr;

const OPERATION: &str = "--set";

/// Values that replace the recipes' own; `None` keeps them. Written as `epochs=20,n=500`, in the order below.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `epochs`: at most so many.
    pub epochs: Option<usize>,
    /// `n`: the first so many training images. What a recipe derives from their number follows it.
    pub n: Option<usize>,
    /// `test`: the first so many test images.
    pub test: Option<usize>,
    /// `width`: factor on channels and units of hidden layers.
    pub width: Option<f64>,
    /// `batch`: images a step.
    pub batch: Option<usize>,
    /// `rate`: initial learning rate.
    pub rate: Option<f64>,
    /// `momentum`.
    pub momentum: Option<f64>,
    /// `decay`: factor on the learning rate.
    pub decay: Option<f64>,
    /// `decay-every`: epochs between two applications of it.
    pub decay_every: Option<usize>,
    /// `weight-decay`: L2 coefficient of the runs that have one.
    pub weight_decay: Option<f64>,
    /// `weight-decay-on`: what it acts on in the runs that have one.
    pub weight_decay_on: Option<DecayOn>,
    /// `norm-memory`: batch normalisation's memory.
    pub norm_memory: Option<f64>,
    /// `optimizer`: what a step does with a gradient.
    pub optimizer: Option<Optimizer>,
    /// `label-smoothing`: share of a label that is spread over all classes.
    pub label_smoothing: Option<f64>,
    /// `average`: share of the weights' average that is kept at a step.
    pub average: Option<f64>,
    /// `log-every`: steps between two rows of the frame.
    pub log_every: Option<usize>,
    /// `eval-every`: epochs between two evaluations on the test set.
    pub eval_every: Option<usize>,
    /// `fitted-epochs`: epochs in a row in which every training image is right, before a run ends; of the runs that end so.
    pub fitted_epochs: Option<usize>,
    /// `models`: only the runs of these networks, such as `mlp1x512+mlp3x512`.
    pub models: Option<Vec<ModelKind>>,
}

/// Names and what they take, as an error lists them.
const NAMES: [(&str, &str); 19] = [
    ("epochs", "1 to 100,000"),
    ("n", "1 or more"),
    ("test", "1 or more"),
    ("width", "above 0, at most 16"),
    ("batch", "1 to 100,000"),
    ("rate", "above 0, at most 100"),
    ("momentum", "0 or more, below 1"),
    ("decay", "above 0, at most 1"),
    ("decay-every", "1 or more"),
    ("weight-decay", "above 0, at most 1"),
    ("weight-decay-on", "all, fc or weights"),
    ("norm-memory", "0 or more, below 1"),
    ("optimizer", "sgd, rmsprop or rmsprop+DECAY+EPSILON"),
    ("label-smoothing", "0 or more, below 1"),
    ("average", "0 or more, below 1"),
    ("log-every", "1 or more"),
    ("eval-every", "1 or more"),
    ("fitted-epochs", "1 to 100,000"),
    ("models", "names of the paper's networks, such as mlp1x512+mlp3x512"),
];

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
        self.models.as_ref().is_none_or(|models| models.contains(&model))
    }

    /// Puts the values into `config`, a run on `data`. What the recipe derived from a value that changes (how often
    /// the rate decays, how often a row is written, how a narrow network starts) is derived anew, unless it is set
    /// too or the recipe has chosen it.
    pub fn apply(&self, config: &mut RunConfig, data: &Dataset) {
        let before = appendix_a::derived(config);
        let (train, test) = (config.data.train, config.data.test);
        config.data = data.id(self.n.unwrap_or(train), self.test.unwrap_or(test));
        config.width = self.width.unwrap_or(config.width);
        config.hyper.batch_size = self.batch.unwrap_or(config.hyper.batch_size);
        let after = appendix_a::derived(config);
        fn follow<T: PartialEq>(value: &mut T, before: T, after: T) {
            if *value == before {
                *value = after;
            }
        }
        follow(&mut config.hyper.decay_every, before.decay_every, after.decay_every);
        follow(&mut config.hyper.init, before.init, after.init);
        follow(&mut config.log_every, before.log_every, after.log_every);
        follow(&mut config.eval_every, before.eval_every, after.eval_every);

        let hyper = &mut config.hyper;
        hyper.epochs = self.epochs.unwrap_or(hyper.epochs);
        hyper.learning_rate = self.rate.unwrap_or(hyper.learning_rate);
        hyper.momentum = self.momentum.unwrap_or(hyper.momentum);
        hyper.decay = self.decay.unwrap_or(hyper.decay);
        hyper.decay_every = self.decay_every.unwrap_or(hyper.decay_every);
        if hyper.weight_decay > 0.0 {
            hyper.weight_decay = self.weight_decay.unwrap_or(hyper.weight_decay);
            hyper.weight_decay_on = self.weight_decay_on.unwrap_or(hyper.weight_decay_on);
        }
        hyper.norm_memory = self.norm_memory.unwrap_or(hyper.norm_memory);
        hyper.optimizer = self.optimizer.unwrap_or(hyper.optimizer);
        hyper.label_smoothing = self.label_smoothing.unwrap_or(hyper.label_smoothing);
        hyper.average = self.average.or(hyper.average);
        if hyper.stop_when_fitted {
            hyper.fitted_epochs = self.fitted_epochs.unwrap_or(hyper.fitted_epochs);
        }
        config.log_every = self.log_every.unwrap_or(config.log_every);
        config.eval_every = self.eval_every.unwrap_or(config.eval_every);
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let accepted = || NAMES.map(|(name, range)| format!("{name} ({range})")).join(", ");
        let Some((_, range)) = NAMES.iter().find(|(known, _)| *known == name) else {
            return Err(Error::argument(OPERATION, format!("{name:?} is none of {}", accepted())));
        };
        let bad = || Error::argument(OPERATION, format!("{name}={value}: {range} is expected"));
        let count = |most: usize| value.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(bad);
        let number = |good: fn(f64) -> bool| value.parse().ok().filter(|x| good(*x)).ok_or_else(bad);
        fn put<T>(place: &mut Option<T>, name: &str, value: T) -> Result<()> {
            match place.replace(value) {
                None => Ok(()),
                Some(_) => Err(Error::argument(OPERATION, format!("{name} is given twice"))),
            }
        }
        match name {
            "epochs" => put(&mut self.epochs, name, count(100_000)?),
            "n" => put(&mut self.n, name, count(usize::MAX)?),
            "test" => put(&mut self.test, name, count(usize::MAX)?),
            "width" => put(&mut self.width, name, number(|x| x > 0.0 && x <= 16.0)?),
            "batch" => put(&mut self.batch, name, count(100_000)?),
            "rate" => put(&mut self.rate, name, number(|x| is_size(x) && x <= 100.0)?),
            "momentum" => put(&mut self.momentum, name, number(is_share)?),
            "decay" => put(&mut self.decay, name, number(|x| x > 0.0 && x <= 1.0)?),
            "decay-every" => put(&mut self.decay_every, name, count(usize::MAX)?),
            "weight-decay" => put(&mut self.weight_decay, name, number(|x| is_size(x) && x <= 1.0)?),
            "weight-decay-on" => put(&mut self.weight_decay_on, name, value.parse().map_err(|_| bad())?),
            "norm-memory" => put(&mut self.norm_memory, name, number(is_share)?),
            "optimizer" => put(&mut self.optimizer, name, value.parse().map_err(|_| bad())?),
            "label-smoothing" => put(&mut self.label_smoothing, name, number(is_share)?),
            "average" => put(&mut self.average, name, number(is_share)?),
            "log-every" => put(&mut self.log_every, name, count(usize::MAX)?),
            "eval-every" => put(&mut self.eval_every, name, count(usize::MAX)?),
            "fitted-epochs" => put(&mut self.fitted_epochs, name, count(100_000)?),
            _ => {
                let named =
                    |text: &str| ModelKind::ALL.into_iter().find(|m| m.name() == text).ok_or_else(bad);
                put(&mut self.models, name, value.split('+').map(named).collect::<Result<_>>()?)
            }
        }
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
        let count = |value: Option<usize>| value.map(|value| value.to_string());
        let number = |value: Option<f64>| value.map(|value| value.to_string());
        let values = [
            count(self.epochs),
            count(self.n),
            count(self.test),
            number(self.width),
            count(self.batch),
            number(self.rate),
            number(self.momentum),
            number(self.decay),
            count(self.decay_every),
            number(self.weight_decay),
            self.weight_decay_on.map(|on| on.name().to_string()),
            number(self.norm_memory),
            self.optimizer.map(|optimizer| optimizer.to_string()),
            number(self.label_smoothing),
            number(self.average),
            count(self.log_every),
            count(self.eval_every),
            count(self.fitted_epochs),
            self.models.as_ref().map(|models| models.iter().map(|m| m.name()).collect::<Vec<_>>().join("+")),
        ];
        let set =
            NAMES.iter().zip(values).filter_map(|((name, _), value)| Some(format!("{name}={}", value?)));
        f.write_str(&set.collect::<Vec<_>>().join(","))
    }
}
