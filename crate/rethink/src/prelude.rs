//! What a notebook imports: `use rethink::prelude::*;`.

pub use crate::claims::Check;
pub use crate::data::augmentation::Augmentation;
pub use crate::data::corruption::Corruption;
pub use crate::data::{self, Dataset};
pub use crate::measure::complexity::Class;
pub use crate::measure::kernel_equation::Width as KernelWidth;
pub use crate::measure::{Measured, Measurement, Quantity};
pub use crate::overrides::Overrides;
pub use crate::paper::{self, Product};
pub use crate::run::config::{RunConfig, Scale, Seeds, TrainConfig};
pub use crate::show::{Show, display};
pub use crate::store::{Run, Store};
pub use crate::study::Study;
pub use ::plotters;
pub use ::polars;
pub use polars::prelude::*;
pub use rand::{RngExt, SeedableRng};
pub use rand_chacha::ChaCha8Rng;
pub use rethink_nn::models::Init;
pub use rethink_nn::models::plan::Layer;
pub use rethink_nn::models::{CustomModel, ModelKind};
pub use rethink_nn::optim::DecayOn;
pub use rethink_plot::cell::{CellFigure, evcxr_figure, evcxr_figure_with_saving};
pub use rethink_plot::frames;
pub use rethink_plot::tables::{self, Table};
pub use rethink_plot::{Chart, Drawing, Note, axis};
