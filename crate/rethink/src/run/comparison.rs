//! Which runs are of one setting: their configurations have one key, but for what the comparison leaves free. What is not named
//! here is compared, a field that is yet to come included.

use crate::data::DataId;
use crate::data::augmentation::Augmentation;
use crate::run::config::{RunConfig, Seeds};

/// A part of a configuration that a comparison leaves free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    /// `schema`.
    Schema,
    /// `data`: the set and its numbers of images.
    Data,
    /// `width_factor`.
    Width,
    /// `seeds`: repetitions of a run differ in nothing else.
    Seeds,
    /// `log_every` and `eval_every`: how often a row is written and the network tested.
    Rows,
    /// `epochs`, the most that are trained.
    Epochs,
    /// `stop_when_fitted`.
    StopWhenFitted,
    /// `fitted_epochs`: how many in a row a run that stops when fitted has to be right in.
    FittedEpochs,
    /// `rate_decay_every`, which follows from the number of images.
    RateDecayEvery,
    /// `random_crop`.
    RandomCrop,
    /// `augment`.
    Augment,
    /// `without_dropout`.
    Dropout,
}

impl Free {
    /// Sets the part to one value for all.
    fn equalise(self, config: &mut RunConfig) {
        let hyper = &mut config.hyper;
        match self {
            Free::Schema => config.schema = 0,
            Free::Data => {
                let none = String::new;
                config.data = DataId { name: none(), title: none(), fingerprint: none(), train: 0, test: 0 };
            }
            Free::Width => config.width_factor = 1.0,
            Free::Seeds => config.seeds = Seeds::default(),
            Free::Rows => (config.log_every, config.eval_every) = (1, 1),
            Free::Epochs => hyper.epochs = 1,
            Free::StopWhenFitted => hyper.stop_when_fitted = false,
            Free::FittedEpochs => hyper.fitted_epochs = 1,
            Free::RateDecayEvery => hyper.rate_decay_every = 1,
            Free::RandomCrop => hyper.random_crop = false,
            Free::Augment => hyper.augment = Augmentation::default(),
            Free::Dropout => hyper.without_dropout = false,
        }
    }
}

impl RunConfig {
    /// What two configurations have in common that differ, if at all, in what is `free`: the key of this one with that part set to
    /// one value for all. (It names no stored run.)
    pub fn key_but_for(&self, free: &[Free]) -> String {
        let mut config = self.clone();
        free.iter().for_each(|free| free.equalise(&mut config));
        config.key()
    }
}
