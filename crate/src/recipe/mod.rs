//! One file a figure or table: which runs it needs, the frame it is drawn from, and what it shows
//! beside the paper.
//!
//! A recipe is the same at every scale and on every data set; [`Scale`] decides how many images,
//! epochs and repetitions it takes.

pub mod corollary1;
pub mod fig1a;
pub mod fig1b;
pub mod fig1c;
pub mod min_norm;
pub mod norms;
pub mod rademacher;
pub mod stability;
pub mod table1;
pub mod table3;
pub mod theorem1;

use crate::config::{Hyper, RunConfig, SCHEMA, Scale, Seeds};
use crate::corruption::Corruption;
use crate::data::Dataset;
use crate::figures::{Drawing, Note};
use crate::measurement::{Measured, Measurement};
use crate::models::ModelKind;
use crate::paper::CIFAR_TRAIN;
use crate::store::Run;
use crate::study::Study;
use crate::tables::Table;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// A figure or table of the paper.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Its name on the command line and of its files (`fig1a`).
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// The notebook that tells its story, under `notebooks/`.
    pub notebook: &'static str,
    /// What it is made of.
    pub source: Source,
}

/// What a recipe is made of, and how: `make` gives the figure or table, `verdict` the paper's finding and
/// ours.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are said above")]
pub enum Source {
    /// Training runs.
    Runs {
        runs: fn(&Dataset, Scale) -> Vec<RunConfig>,
        make: fn(&[Run], &Note) -> Result<Product>,
        verdict: fn(&[Run]) -> Verdict,
    },
    /// Computations that are no training runs, on any of the study's data sets.
    Measurements {
        plan: fn(&Study) -> Vec<Measurement>,
        make: fn(&[Measured], &Note) -> Result<Product>,
        verdict: fn(&[Measured]) -> Verdict,
    },
}

impl Recipe {
    /// The training runs it is made of; none for a recipe of measurements.
    pub fn runs(&self, data: &Dataset, scale: Scale) -> Vec<RunConfig> {
        match self.source {
            Source::Runs { runs, .. } => runs(data, scale),
            Source::Measurements { .. } => Vec::new(),
        }
    }

    /// The measurements it is made of; none for a recipe of training runs.
    pub fn measurements(&self, study: &Study) -> Vec<Measurement> {
        match self.source {
            Source::Runs { .. } => Vec::new(),
            Source::Measurements { plan, .. } => plan(study),
        }
    }

    /// The figure or table of `results`.
    ///
    /// Errors: those of drawing; [`Error::Argument`] for results of the other kind.
    pub fn make(&self, results: &Results, note: &Note) -> Result<Product> {
        match (self.source, results) {
            (Source::Runs { make, .. }, Results::Runs(runs)) => make(runs, note),
            (Source::Measurements { make, .. }, Results::Measured(measured)) => make(measured, note),
            _ => Err(self.other_kind()),
        }
    }

    /// The paper's finding, and ours from `results`.
    ///
    /// Errors: [`Error::Argument`] for results of the other kind.
    pub fn verdict(&self, results: &Results) -> Result<Verdict> {
        match (self.source, results) {
            (Source::Runs { verdict, .. }, Results::Runs(runs)) => Ok(verdict(runs)),
            (Source::Measurements { verdict, .. }, Results::Measured(measured)) => Ok(verdict(measured)),
            _ => Err(self.other_kind()),
        }
    }

    fn other_kind(&self) -> Error {
        let kind = match self.source {
            Source::Runs { .. } => "training runs",
            Source::Measurements { .. } => "measurements",
        };
        Error::argument("recipe", format!("{} is made of {kind}", self.id))
    }
}

/// What a recipe is drawn from.
#[derive(Clone, Debug)]
pub enum Results {
    /// Training runs.
    Runs(Vec<Run>),
    /// Measurements.
    Measured(Vec<Measured>),
}

/// What a recipe ends in. As the last value of a notebook's cell, it is shown.
#[derive(Clone, Debug)]
pub enum Product {
    /// A figure.
    Figure(Drawing),
    /// A table.
    Table(Table),
}

impl Product {
    /// Writes every format into `folder`, each file whole or not at all; returns their paths.
    ///
    /// Errors: [`Error::Io`] naming the file, [`Error::Drawing`].
    pub fn save(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        match self {
            Product::Figure(drawing) => drawing.save(folder),
            Product::Table(table) => table.save(folder),
        }
    }

    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        match self {
            Product::Figure(drawing) => drawing.evcxr_display(),
            Product::Table(table) => table.evcxr_display(),
        }
    }
}

/// The paper's finding beside ours, in a few words each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The paper's.
    pub paper: String,
    /// Ours.
    pub ours: String,
}

/// Every recipe, in the paper's order.
pub const ALL: [Recipe; 11] = [
    fig1a::RECIPE,
    fig1b::RECIPE,
    fig1c::RECIPE,
    rademacher::RECIPE,
    stability::RECIPE,
    table1::RECIPE,
    theorem1::RECIPE,
    corollary1::RECIPE,
    table3::RECIPE,
    norms::RECIPE,
    min_norm::RECIPE,
];

/// The recipe named `id`.
///
/// Errors: [`Error::Argument`] with the names there are.
pub fn find(id: &str) -> Result<&'static Recipe> {
    static RECIPES: [Recipe; ALL.len()] = ALL;
    RECIPES.iter().find(|r| r.id == id).ok_or_else(|| {
        let names = ALL.map(|r| r.id).join(", ");
        Error::argument("recipe", format!("{id:?} is none of {names}"))
    })
}

/// How much of a data set and how long, at each scale.
struct Size {
    train: usize,
    test: usize,
    epochs: usize,
    repeats: u64,
}

fn size(scale: Scale) -> Size {
    match scale {
        Scale::Smoke => Size { train: 200, test: 200, epochs: 12, repeats: 1 },
        Scale::Small => Size { train: 2_000, test: 2_000, epochs: 150, repeats: 2 },
        Scale::Paper => Size { train: usize::MAX, test: usize::MAX, epochs: 100, repeats: 1 },
    }
}

/// Repetitions with other seeds at a scale.
pub fn repeats(scale: Scale) -> u64 {
    size(scale).repeats
}

/// L2 coefficient of the MLPs where weight decay is on. The paper states none; reproductions use
/// 5e-5 to 5e-4.
pub const MLP_WEIGHT_DECAY: f64 = 5e-4;

/// Appendix A's setting of `model` at `scale`, without any regulariser, until it is fitted.
pub fn setting(
    data: &Dataset,
    scale: Scale,
    model: ModelKind,
    corruption: Corruption,
    seeds: Seeds,
) -> RunConfig {
    let size = size(scale);
    let id = data.id(size.train, size.test);
    // One decay an epoch of 50,000 images; a smaller set keeps about as many steps between decays.
    let decay_every = ((CIFAR_TRAIN as f64 / id.train as f64).round() as usize).max(1);
    let batch_size = model.batch_size();
    let steps = id.train.div_ceil(batch_size);
    RunConfig {
        schema: SCHEMA,
        data: id,
        model,
        width: 1.0,
        corruption,
        hyper: Hyper {
            batch_size,
            learning_rate: model.learning_rate(),
            momentum: 0.9,
            decay: 0.95,
            decay_every,
            weight_decay: 0.0,
            init: model.init(),
            random_crop: false,
            epochs: size.epochs,
            stop_when_fitted: true,
        },
        seeds,
        log_every: steps.min(100),
        // A reduced training set is no larger than its test set.
        eval_every: decay_every.min(5),
    }
}

/// `mean` with two decimals, and the standard deviation where there are several values.
pub fn mean_and_deviation(values: &[f64]) -> String {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return format!("{mean:.2}");
    }
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    format!("{mean:.2} ± {:.2}", variance.sqrt())
}
