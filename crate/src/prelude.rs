//! What a notebook imports: `use rethink::prelude::*;`.

pub use crate::augment::Augmentation;
pub use crate::claims::Check;
pub use crate::config::{DecayOn, Hyper, Init, RunConfig, Scale, Seeds};
pub use crate::corruption::Corruption;
pub use crate::data::{self, Dataset};
pub use crate::figures::{self, Drawing, Note};
pub use crate::measurement::{Measured, Measurement};
pub use crate::models::ModelKind;
pub use crate::overrides::Overrides;
pub use crate::recipe::{self, Product};
pub use crate::store::{Run, Store};
pub use crate::study::Study;
pub use crate::tables::Table;
pub use polars::prelude::DataFrame;
