//! Section 2.2: the measures of complexity that the paper rules out, measured.

use crate::data::Dataset;
use crate::data::corruption::Corruption;
use crate::run::appendix_a::{Size, config_of_size, init};
use crate::run::config::{RunConfig, Seeds};
use polars::prelude::Column;
use rethink_nn::models::Init;
use rethink_nn::models::ModelKind;

/// A column of each name, of `rows` with as many numbers.
pub(super) fn columns(names: &[&str], rows: &[Vec<f64>]) -> Vec<Column> {
    let column = |(index, name): (usize, &&str)| {
        Column::new((*name).into(), rows.iter().map(|row| row[index]).collect::<Vec<_>>())
    };
    names.iter().enumerate().map(column).collect()
}

/// A class of networks.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Class {
    /// Architecture.
    pub model: ModelKind,
    /// Factor on its hidden layers.
    #[serde(rename = "width")]
    pub width_factor: f64,
    /// Initial weights; `None`: the model's own, whatever the width, as files of earlier versions have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,
}

impl Class {
    /// The class of `model`, `width_factor` times as wide as the paper's, with the initial weights of its recipes.
    pub fn new(model: ModelKind, width_factor: f64) -> Class {
        let init = init(model, width_factor);
        Class { model, width_factor, init: (init != model.init()).then_some(init) }
    }

    /// As a legend shows it ("MLP 1x512, width 1/64").
    pub fn title(&self) -> String {
        match self.width_factor {
            1.0 => self.model.title().into(),
            width if width < 1.0 => format!("{}, width 1/{:.0}", self.model.title(), 1.0 / width),
            width => format!("{}, width {width}", self.model.title()),
        }
    }

    /// Appendix A's setting for it on the first `train` and `test` images of `data`, for at most `epochs`, without any
    /// regulariser; tested at the end only.
    pub(super) fn configure(
        &self,
        data: &Dataset,
        (train, test): (usize, usize),
        corruption: Corruption,
        epochs: usize,
        seeds: Seeds,
    ) -> RunConfig {
        let size = Size::new(train, test, epochs, self.width_factor);
        let mut config = config_of_size(data.id(train, test), size, self.model, corruption, seeds);
        config.hyper.init = self.init.unwrap_or_else(|| self.model.init());
        // Whether a class fits the labels is asked, not how it does on others: the first time will do.
        config.hyper.fitted_epochs = 1;
        config.eval_every = epochs;
        config
    }
}
