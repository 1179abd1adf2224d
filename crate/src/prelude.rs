//! What a notebook imports: `use rethink::prelude::*;`.

pub use crate::augment::Augmentation;
pub use crate::claims::Check;
pub use crate::config::{DecayOn, Hyper, Init, RunConfig, Scale, Seeds};
pub use crate::corruption::Corruption;
pub use crate::data::{self, Dataset};
pub use crate::figures::{self, Drawing, Note};
pub use crate::frames;
pub use crate::measurement::{Measured, Measurement};
pub use crate::models::plan::Layer;
pub use crate::models::{ModelKind, Own};
pub use crate::overrides::Overrides;
pub use crate::recipe::{self, Product};
pub use crate::show::Show;
pub use crate::store::{Run, Store};
pub use crate::study::Study;
pub use crate::tables::{self, Table};
pub use polars::prelude::DataFrame;
pub use rand::{RngExt, SeedableRng};
pub use rand_chacha::ChaCha8Rng;
