//! What `rethink run` is told: one run's settings, or several values of some of them.

use crate::commands::any_of;
use crate::{Error, Result};
use clap::error::ErrorKind;
use clap::{ArgAction, Args, FromArgMatches};
use rethink::data::DataId;
use rethink::data::augmentation::Augmentation;
use rethink::data::corruption::Corruption;
use rethink::run::appendix_a;
use rethink::run::config::{RunConfig, Scale, Seeds};
use rethink::study::Study;
use rethink_nn::models::Init;
use rethink_nn::models::ModelKind;
use rethink_nn::numbers::parsed;
use rethink_nn::optim::{DecayOn, Optimizer};
use rethink_nn::precision::Precision;
use rethink_nn::text::counted;
use std::sync::LazyLock;

/// The option whose values [`RunChoice::over`] reads.
const OVER: &str = "--over";

static CORRUPTIONS: LazyLock<String> = LazyLock::new(|| any_of(&Corruption::forms()));

/// What `rethink run` is told; `None` keeps the recipe's choice.
#[derive(Clone, Debug, clap::Args)]
pub struct RunChoice {
    /// The network.
    #[arg(long, value_name = "NAME", help = format!("{}, or a .json file with a network of one's own", ModelKind::names()))]
    pub model: ModelKind,
    /// Factor on the channels and units of every hidden layer
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = parsed)]
    pub width: f64,
    /// What is done to labels or images
    #[arg(long, value_name = "NAME", default_value_t = Corruption::TrueLabels, help = CORRUPTIONS.as_str())]
    pub corruption: Corruption,
    /// Height and width of what the network sees; photographs: 299 in the paper [default: 28]
    #[arg(long, value_name = "N")]
    pub input: Option<usize>,
    /// Leave out the network's dropout
    #[arg(long)]
    pub without_dropout: bool,
    /// Most epochs [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Use only the first N training images [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub train: Option<usize>,
    /// Images a step [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Initial learning rate [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub learning_rate: Option<f64>,
    /// Factor on the learning rate after each epoch (each 50,000 images, where an epoch has fewer; every 4 epochs at
    /// scale small) [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub decay: Option<f64>,
    /// Epochs between two applications of it [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub decay_every: Option<usize>,
    /// Momentum, 0 to below 1 [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub momentum: Option<f64>,
    /// What a step does with a gradient: sgd, rmsprop (TensorFlow's, decay 0.9, epsilon 1), adam or adamw (decay 0.999, epsilon 1e-8; they want
    /// a lower --learning-rate: 0.001), or one of the last three with other numbers: adam+DECAY+EPSILON
    /// [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    pub optimizer: Option<Optimizer>,
    /// Share of every label that is spread over all classes, 0 to below 1 [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub label_smoothing: Option<f64>,
    /// Test with an average of the weights of which so much is kept at a step, 0 to below 1 [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub average: Option<f64>,
    /// Share of batch normalisation's running statistics that is kept at a step, 0 to below 1 [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = parsed)]
    pub norm_memory: Option<f64>,
    /// What products round their factors to: float32 (nothing is rounded), or bf16, on GPUs, and on processors with AVX512-BF16, where it is
    /// twice as many products a second [default: float32]
    #[arg(long, value_name = "NAME")]
    pub precision: Option<Precision>,
    /// Initial weights: glorot, fan-in, he or tutorial [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    pub init: Option<Init>,
    /// L2 coefficient
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parsed)]
    pub weight_decay: f64,
    /// What weight decay acts on: all, fc (weights of fully connected hidden layers) or weights (no biases and shifts)
    #[arg(long, value_name = "WHAT", default_value = "all")]
    pub weight_decay_on: DecayOn,
    /// Train on random 28x28 crops; of photographs on random areas
    #[arg(long)]
    pub random_crop: bool,
    /// Exchange left and right of a training image with probability 1/2
    #[arg(long)]
    pub flip: bool,
    /// Turn training images by up to so many degrees, 0 to 180
    #[arg(long, value_name = "DEGREES", default_value_t = 0.0, value_parser = parsed)]
    pub rotation: f64,
    /// Add up to this to a training image's values, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parsed)]
    pub brightness: f64,
    /// Multiply its saturation by 1 - X to 1 + X, X from 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parsed)]
    pub saturation: f64,
    /// Move its hue by up to this part of the circle of colours, 0 to 0.5
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parsed)]
    pub hue: f64,
    /// Multiply its contrast by 1 - X to 1 + X, X from 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parsed)]
    pub contrast: f64,
    /// End once every training image was right in so many epochs in a row [default: 5]
    #[arg(long, value_name = "K", conflicts_with = "keep_going", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub fitted_epochs: Option<u64>,
    /// Go on to the last epoch when the training set is fitted
    #[arg(long)]
    pub keep_going: bool,
    /// Number of the (first) repetition: other seeds for data, weights and order
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    pub repeat: u64,
}

impl RunChoice {
    /// The configuration on the study's data and scale.
    pub fn configure(&self, study: &Study) -> RunConfig {
        let size = appendix_a::size_at(study.scale, self.model);
        self.configure_on(study.data.id(size.train, size.test), study.scale)
    }

    /// The same on so many images of a data set.
    pub fn configure_on(&self, data: DataId, scale: Scale) -> RunConfig {
        let (seeds, size) = (Seeds::repeat(self.repeat), appendix_a::size_at(scale, self.model));
        let mut config = appendix_a::config_of_size(data, size, self.model, self.corruption, seeds);
        config.width_factor = self.width;
        config.input = self.input.unwrap_or(config.input);
        config.data.train = self.train.unwrap_or(config.data.train);
        // How a narrow network starts, how often the rate decays and a row is written follow from these.
        appendix_a::Size { batch_size: self.batch_size.or(size.batch_size), ..size }.set_steps(&mut config);
        let hyper = &mut config.hyper;
        hyper.epochs = self.epochs.unwrap_or(hyper.epochs);
        hyper.learning_rate = self.learning_rate.unwrap_or(hyper.learning_rate);
        hyper.rate_decay = self.decay.unwrap_or(hyper.rate_decay);
        hyper.rate_decay_every = self.decay_every.unwrap_or(hyper.rate_decay_every);
        hyper.momentum = self.momentum.unwrap_or(hyper.momentum);
        hyper.optimizer = self.optimizer.unwrap_or(hyper.optimizer);
        hyper.label_smoothing = self.label_smoothing.unwrap_or(hyper.label_smoothing);
        hyper.average = self.average.or(hyper.average);
        hyper.norm_memory = self.norm_memory.unwrap_or(hyper.norm_memory);
        hyper.precision = self.precision.unwrap_or(hyper.precision);
        hyper.init = self.init.unwrap_or(hyper.init);
        hyper.weight_decay = self.weight_decay;
        hyper.weight_decay_on = self.weight_decay_on;
        hyper.random_crop = self.random_crop;
        hyper.without_dropout = self.without_dropout;
        let RunChoice { flip, rotation, brightness, saturation, hue, contrast, .. } = *self;
        hyper.augment = Augmentation { flip, rotation, brightness, saturation, hue, contrast };
        hyper.fitted_epochs = self.fitted_epochs.map_or(hyper.fitted_epochs, |k| k as usize);
        if self.keep_going {
            hyper.keep_going();
        }
        config
    }
}

impl RunChoice {
    /// All combinations of what the parts of `over` say: this choice with their values in the place of its own. A part is "OPTION=VALUE,...",
    /// or several of these with spaces between, whose values change together.
    ///
    /// Errors: [`Error::Argument`] for another form, for options of one part with different numbers of values, and for what an option does
    /// not take.
    pub fn over(&self, over: &[String]) -> Result<Vec<RunChoice>> {
        over.iter().try_fold(vec![self.clone()], |choices, part| {
            let together = together(part)?;
            let of_values = |choice: &RunChoice| {
                let count = together.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
                let with = |at| {
                    together.iter().try_fold(choice.clone(), |c, (name, values)| c.with(name, values[at]))
                };
                (0..count).map(with).collect()
            };
            let all: Vec<Vec<RunChoice>> = choices.iter().map(of_values).collect::<Result<_>>()?;
            Ok(all.concat())
        })
    }

    /// The same with another value of one option, as if it had been given.
    fn with(&self, name: &str, value: &str) -> Result<RunChoice> {
        // Only what is given here is taken over: no option has a default, and a switch takes a value.
        let bare = |option: clap::Arg| match option.get_action() {
            ArgAction::SetTrue => option.action(ArgAction::Set).value_parser(clap::value_parser!(bool)),
            _ => option.default_value(None),
        };
        let command = clap::Command::new("run").no_binary_name(true).disable_help_flag(true);
        let command = RunChoice::augment_args_for_update(command).mut_args(bare);
        let options: Vec<String> =
            command.get_arguments().map(|option| option.get_id().to_string()).collect();
        let failed = |error: clap::Error| {
            let said = error.to_string();
            let problem = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let tip = said.lines().find_map(|line| line.trim().strip_prefix("tip: "));
            let problem = match tip {
                Some(tip) => format!("{problem}; {tip}"),
                None if error.kind() == ErrorKind::UnknownArgument => {
                    format!("{problem}; there are {}", options.join(", ").replace('_', "-"))
                }
                None => problem.to_string(),
            };
            Error::argument(OVER, problem)
        };
        let given = [format!("--{}={}", name.trim().replace('_', "-"), value.trim())];
        let mut changed = self.clone();
        changed
            .update_from_arg_matches(&command.try_get_matches_from(given).map_err(failed)?)
            .map_err(failed)?;
        Ok(changed)
    }
}

/// The options of a part of `--over`, each with as many values as the others: `optimizer=sgd,adam learning-rate=0.1,0.001`.
fn together(part: &str) -> Result<Vec<(&str, Vec<&str>)>> {
    let mut options: Vec<(&str, Vec<&str>)> = Vec::new();
    let wrong = |text: &str| {
        let problem = format!("{text:?} is not of the form OPTION=VALUE,..., as learning-rate=0.01,0.1");
        Error::argument(OVER, problem)
    };
    for option in part.split_whitespace() {
        let (name, values) = option.split_once('=').ok_or_else(|| wrong(option))?;
        options.push((name, values.split(',').collect()));
    }
    let (first, of_first) =
        options.first().map(|(name, values)| (*name, values.len())).ok_or_else(|| wrong(part))?;
    match options.iter().find(|(_, values)| values.len() != of_first) {
        Some((name, values)) => {
            let problem = format!(
                "{name} has {}, {first} has {of_first}: values of one --over change together; give --over twice for all \
                 combinations",
                counted(values.len(), "value"),
            );
            Err(Error::argument(OVER, problem))
        }
        None => Ok(options),
    }
}
