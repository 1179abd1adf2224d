//! Appendix A's setting of each network: what every run of the paper starts from.

use crate::data::augmentation::Augmentation;
use crate::data::corruption::Corruption;
use crate::data::{DataId, Dataset};
use crate::run::config::{RunConfig, SCHEMA, Scale, Seeds, TrainConfig};
use rethink_nn::image::CROP;
use rethink_nn::models::{Family, Init, ModelKind};
use rethink_nn::optim::{DecayOn, NORM_MEMORY, Optimizer};
use rethink_nn::precision::Precision;

/// Training images of CIFAR-10 in the paper.
pub const CIFAR_TRAIN: usize = 50_000;

/// How much of a data set and of a network, and how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// At most so many training images.
    pub train: usize,
    /// At most so many test images.
    pub test: usize,
    /// At most so many epochs.
    pub epochs: usize,
    /// Factor on the channels and units of hidden layers; 1 in the paper.
    pub width_factor: f64,
    /// Images a step; `None`: [`ModelKind::batch_size`].
    pub batch_size: Option<usize>,
    /// Initial learning rate; `None`: [`ModelKind::learning_rate`].
    pub learning_rate: Option<f64>,
    /// Epochs between two decays of the learning rate; `None`: as many as come to 50,000 images, the paper's epoch
    /// ([`set_dependents`]).
    pub rate_decay_every: Option<usize>,
    /// Initial weights; `None`: the model's at this width ([`set_dependents`]).
    pub init: Option<Init>,
}

impl Size {
    /// With appendix A's steps, and a rate that decays every 50,000 images.
    pub fn new(train: usize, test: usize, epochs: usize, width_factor: f64) -> Size {
        let (batch_size, learning_rate, rate_decay_every, init) = (None, None, None, None);
        Size { train, test, epochs, width_factor, batch_size, learning_rate, rate_decay_every, init }
    }

    /// Puts what it says of steps into `config`, a run of as many images: images a step, rate, how often that decays, initial
    /// weights, and what depends on them.
    pub fn set_steps(&self, config: &mut RunConfig) {
        config.hyper.batch_size = self.batch_size.unwrap_or(config.model.batch_size());
        config.hyper.learning_rate = self.learning_rate.unwrap_or(config.model.learning_rate());
        set_dependents(config);
        let hyper = &mut config.hyper;
        hyper.rate_decay_every = self.rate_decay_every.unwrap_or(hyper.rate_decay_every);
        hyper.init = self.init.unwrap_or(hyper.init);
    }
}

/// Images a step at scale small, where an item has no size of its own (figure 1a, table 1's controls, Inception V3).
pub const SMALL_BATCH: usize = 64;
/// Epochs between two decays of the learning rate at scale small.
pub const SMALL_DECAY_EVERY: usize = 4;

/// What `model` gets at `scale` in table 1, and wherever nothing else is said.
///
/// At scale small every model sees as many images, 64 a step, and its rate decays every fourth epoch, so that table 1's rows can
/// be compared. With 128 images a step and a rate that decays every 50,000 images, as at the other scales, 500 images are 4 steps
/// an epoch, and the rate never comes down: Inception then tests no better than its version without batch normalisation. That version does
/// not learn random labels in some hundred epochs from a rate of 0.1, which is Inception's. So at scale small it starts at 0.02, from
/// He's weights, with which a narrow network does not lose the signal layer by layer. Measurements: `crate/notes/fidelity.md`.
pub fn size_at(scale: Scale, model: ModelKind) -> Size {
    let small = |epochs, width_factor| Size {
        batch_size: Some(SMALL_BATCH),
        rate_decay_every: Some(SMALL_DECAY_EVERY),
        ..Size::new(500, 10_000, epochs, width_factor)
    };
    let smoke = |epochs, width_factor| Size::new(200, 200, epochs, width_factor);
    match (scale, model.family()) {
        (Scale::Paper, _) => Size::new(usize::MAX, usize::MAX, 100, 1.0),
        (Scale::Small, Family::Mlp) => small(80, 1.0),
        (Scale::Small, Family::Alexnet) => small(80, 0.25),
        (Scale::Small, Family::Own) => small(110, 1.0),
        (Scale::Small, Family::Inception) if !model.is_normalised() => {
            Size { learning_rate: Some(0.02), init: Some(Init::He), ..small(240, 0.125) }
        }
        (Scale::Small, Family::Inception | Family::InceptionV3) => small(80, 0.125),
        (Scale::Smoke, Family::Mlp | Family::Own) => smoke(12, 1.0),
        (Scale::Smoke, Family::Alexnet | Family::Inception | Family::InceptionV3) => smoke(2, 0.125),
    }
}

/// Epochs in a row in which every training image must be right before a run ends. At the first such epoch, a network with
/// batch normalisation may be points away from where it settles: `crate/notes/fidelity.md`.
pub const FITTED_EPOCHS: usize = 5;

/// Appendix A's configuration of `model` at `scale`, on as many of the images of `data` as [`size_at`] says: without any
/// regulariser, until the network is fitted.
pub fn config_at(
    data: &Dataset,
    scale: Scale,
    model: ModelKind,
    corruption: Corruption,
    seeds: Seeds,
) -> RunConfig {
    let size = size_at(scale, model);
    config_of_size(data.id(size.train, size.test), size, model, corruption, seeds)
}

/// Appendix A's configuration of `model` on as many images as `data` says, as wide and for as many epochs as `size` says: without
/// any regulariser, until the network is fitted.
pub fn config_of_size(
    data: DataId,
    size: Size,
    model: ModelKind,
    corruption: Corruption,
    seeds: Seeds,
) -> RunConfig {
    let mut config = RunConfig {
        schema: SCHEMA,
        data,
        model,
        width_factor: size.width_factor,
        input: CROP,
        corruption,
        hyper: TrainConfig {
            batch_size: model.batch_size(),
            learning_rate: model.learning_rate(),
            momentum: 0.9,
            rate_decay: 0.95,
            rate_decay_every: 1,
            weight_decay: 0.0,
            weight_decay_on: DecayOn::All,
            init: model.init(),
            random_crop: false,
            augment: Augmentation::default(),
            without_dropout: false,
            norm_memory: NORM_MEMORY,
            optimizer: Optimizer::Sgd,
            label_smoothing: 0.0,
            average: None,
            epochs: size.epochs,
            stop_when_fitted: true,
            fitted_epochs: FITTED_EPOCHS,
            precision: Precision::Float32,
        },
        seeds,
        log_every: 1,
        eval_every: 1,
        parallel: None,
    };
    size.set_steps(&mut config);
    config
}

/// Epochs between two decays of the learning rate without batch normalisation, at most. A reduced run ends before a
/// rate of 0.1 has come down much, and at that this network does not settle: 2,000 images of CIFAR-10 (25 epochs between
/// two decays) are not fitted after 120 epochs (94 %), with two epochs after 84; 1,000 after 95.
const NO_BN_DECAY: usize = 2;

/// Sets the values that depend on others of `config`: epochs between two decays of the rate, initial weights, how often a row is
/// written and the network tested. To be called after its number of images, batch size, model or width has changed.
pub fn set_dependents(config: &mut RunConfig) {
    let train = config.data.train;
    // One decay an epoch of 50,000 images; a smaller set keeps about as many steps between decays.
    let whole = ((CIFAR_TRAIN as f64 / train as f64).round() as usize).max(1);
    let steps = config.steps_per_epoch();
    let plain = config.model.family() == Family::Inception && !config.model.is_normalised();
    let often = if train <= 1_000 { 10 } else { 5 };
    config.hyper.rate_decay_every = if plain { whole.min(NO_BN_DECAY) } else { whole };
    config.hyper.init = init(config.model, config.width_factor);
    config.log_every = steps.min(100);
    // Tests of a reduced training set's network cost about as much as its training.
    config.eval_every = whole.min((4 * config.data.test / train.max(1)).clamp(often, 20));
}

/// Initial weights of `model`, `width_factor` times as wide as the paper's. The tutorial's deviations are made for Alexnet's
/// own width. At an eighth of it the signal is lost layer by layer: 1,000 images take 140 epochs to fit instead of 57,
/// and random labels leave the loss of guessing not once in 80.
pub(crate) fn init(model: ModelKind, width_factor: f64) -> Init {
    match model.init() {
        Init::Tutorial if width_factor < 1.0 => Init::Glorot,
        other => other,
    }
}
