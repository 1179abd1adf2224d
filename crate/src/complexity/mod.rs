//! Section 2.2: the measures of complexity that the paper rules out, measured.

pub mod rademacher;
pub mod stability;

use crate::config::{RunConfig, Scale, Seeds};
use crate::corruption::Corruption;
use crate::data::Dataset;
use crate::models::ModelKind;
use crate::recipe::setting;

/// A class of networks.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Class {
    /// Architecture.
    pub model: ModelKind,
    /// Factor on its hidden layers.
    pub width: f64,
}

impl Class {
    /// As a legend shows it ("MLP 1x512, width 1/64").
    pub fn title(&self) -> String {
        match self.width {
            1.0 => self.model.title().into(),
            width if width < 1.0 => format!("{}, width 1/{:.0}", self.model.title(), 1.0 / width),
            width => format!("{}, width {width}", self.model.title()),
        }
    }

    /// Appendix A's setting for it on the first `train` and `test` images of `data`, for at most `epochs`, without any
    /// regulariser; tested at the end only.
    fn configure(
        &self,
        data: &Dataset,
        (train, test): (usize, usize),
        corruption: Corruption,
        epochs: usize,
        seeds: Seeds,
    ) -> RunConfig {
        let mut config = setting(data, Scale::Paper, self.model, corruption, seeds);
        config.data = data.id(train, test);
        config.width = self.width;
        config.hyper.epochs = epochs;
        // The paper's decay by images seen, as at the reduced scales.
        config.hyper.decay_every = (crate::paper::CIFAR_TRAIN / config.data.train.max(1)).max(1);
        config.eval_every = epochs;
        config
    }
}
