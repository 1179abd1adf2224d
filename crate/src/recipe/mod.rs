//! One file a figure or table: which runs it needs, the frame it is drawn from, and what it shows
//! beside the paper.
//!
//! A recipe is the same at every scale and on every data set; [`Scale`] decides how many images,
//! epochs and repetitions it takes.

pub mod corollary1;
pub mod fig1a;
pub mod fig1b;
pub mod fig1c;
pub mod fig2a;
pub mod fig2b;
pub mod fig3;
pub mod min_norm;
pub mod norms;
pub mod rademacher;
pub mod stability;
pub mod table1;
pub mod table2;
pub mod table3;
pub mod table4;
pub mod theorem1;

use crate::augment::Augmentation;
use crate::config::{
    DataId, DecayOn, Hyper, Init, NORM_MEMORY, Optimizer, RunConfig, SCHEMA, SLIM_NORM_MEMORY, Scale, Seeds,
};
use crate::corruption::Corruption;
use crate::data::Dataset;
use crate::figures::{Drawing, Note};
use crate::measurement::{Measured, Measurement};
use crate::models::ModelKind;
use crate::paper::CIFAR_TRAIN;
use crate::preprocess::CROP;
use crate::store::Run;
use crate::study::Study;
use crate::tables::Table;
use crate::{Error, Result};
use polars::prelude::{Column, DataFrame};
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
        let verdict = match (self.source, results) {
            (Source::Runs { verdict, .. }, Results::Runs(runs)) => verdict(runs),
            (Source::Measurements { verdict, .. }, Results::Measured(measured)) => verdict(measured),
            _ => return Err(self.other_kind()),
        };
        let alone = match results {
            Results::Runs(runs) => runs.iter().all(|run| run.record.config.data.is_comparable()),
            Results::Measured(all) => all.iter().all(|m| m.record.measurement.data.is_comparable()),
        };
        Ok(if alone { verdict } else { Verdict { paper: NOT_COMPARED.into(), ..verdict } })
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

    /// What [`Product::save`] writes: each file's extension and bytes.
    ///
    /// Errors: [`Error::Drawing`].
    pub fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        match self {
            Product::Figure(drawing) => drawing.files(),
            Product::Table(table) => Ok(table.files()),
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
pub const ALL: [Recipe; 16] = [
    fig1a::RECIPE,
    fig1b::RECIPE,
    fig1c::RECIPE,
    rademacher::RECIPE,
    stability::RECIPE,
    table1::RECIPE,
    table4::RECIPE,
    table2::RECIPE,
    fig2a::RECIPE,
    fig2b::RECIPE,
    fig3::RECIPE,
    theorem1::RECIPE,
    corollary1::RECIPE,
    table3::RECIPE,
    norms::RECIPE,
    min_norm::RECIPE,
];

/// The recipes that suit `data` when none is named: photographs are table 2's and figure 2a's, small images all
/// others'.
pub fn suiting(data: &Dataset) -> Vec<Recipe> {
    let of_photographs = |r: &Recipe| [table2::RECIPE.id, fig2a::RECIPE.id].contains(&r.id);
    ALL.into_iter().filter(|r| of_photographs(r) == data.photographs.is_some()).collect()
}

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

/// How much of a data set and of a network, and how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// At most so many training images.
    pub train: usize,
    /// At most so many test images.
    pub test: usize,
    /// At most so many epochs.
    pub epochs: usize,
    /// Factor on the channels and units of hidden layers.
    pub width: f64,
}

/// What `model` gets at `scale` in table 1, and wherever nothing else is said.
///
/// At scale small every model sees as many images, so that table 1's rows can be compared, and is tested on 10,000, as the
/// MLPs differ by less than a point. With 1,000 images of CIFAR-10 (JPEG q75), without regularisers, Inception comes to
/// 41.5 % of test images at a quarter of its width, without batch normalisation to 38.0 %, Alexnet at an eighth to 34.7 %,
/// MLP 3x512 to 33.1 % and MLP 1x512 to 32.7 % (two seeds), which is the paper's order. At an eighth of its width
/// Inception without batch normalisation is no better than Alexnet.
pub fn size(scale: Scale, model: ModelKind) -> Size {
    let small = |epochs, width| Size { train: 1_000, test: 10_000, epochs, width };
    let smoke = |epochs, width| Size { train: 200, test: 200, epochs, width };
    match (scale, model) {
        (Scale::Paper, _) => Size { train: usize::MAX, test: usize::MAX, epochs: 100, width: 1.0 },
        (Scale::Small, ModelKind::Mlp1x512 | ModelKind::Mlp3x512) => small(160, 1.0),
        (Scale::Small, ModelKind::Alexnet) => small(130, 0.125),
        (Scale::Small, ModelKind::Own(_)) => small(110, 1.0),
        (Scale::Small, _) => small(130, 0.25),
        (Scale::Smoke, ModelKind::Mlp1x512 | ModelKind::Mlp3x512 | ModelKind::Own(_)) => smoke(12, 1.0),
        (Scale::Smoke, _) => smoke(2, 0.125),
    }
}

/// What Inception gets at `scale` where its runs are many: figures 1b and 1c, table 4. At scale small it is half as wide as
/// in table 1, and a step costs a third.
pub fn narrow(scale: Scale, model: ModelKind) -> Size {
    let size = size(scale, model);
    match (scale, model) {
        (Scale::Small, ModelKind::Inception | ModelKind::InceptionNoBn) => Size { width: 0.125, ..size },
        _ => size,
    }
}

/// Repetitions with other seeds at a scale: several where they are cheap. [`with_seeds`] makes more.
pub fn repeats(scale: Scale, model: ModelKind) -> u64 {
    match (scale, model) {
        (Scale::Small, ModelKind::Mlp1x512 | ModelKind::Mlp3x512) => 2,
        _ => 1,
    }
}

/// `configs` with `seeds` repetitions of each, whatever repetitions they had.
pub fn with_seeds(configs: &[RunConfig], seeds: u64) -> Vec<RunConfig> {
    let first: Vec<&RunConfig> = configs.iter().filter(|c| c.seeds == Seeds::repeat(0)).collect();
    let repeated = |r| first.iter().map(move |&c| RunConfig { seeds: Seeds::repeat(r), ..c.clone() });
    (0..seeds).flat_map(repeated).collect()
}

/// Epochs in a row in which every training image must be right before a run ends. At the first such epoch, a network with
/// batch normalisation may be points away from where it settles: `crate/notes/fidelity.md`.
pub const FITTED_EPOCHS: usize = 5;

/// L2 coefficient of the MLPs where weight decay is on. The paper states none; reproductions use
/// 5e-5 to 5e-4.
pub const MLP_WEIGHT_DECAY: f64 = 5e-4;
/// Of Inception: TF-Slim's default.
pub const INCEPTION_WEIGHT_DECAY: f64 = 4e-5;
/// Of Alexnet's fully connected hidden layers: TensorFlow's CIFAR-10 tutorial, from which the paper's network is. Chosen
/// because with it Alexnet fails to converge on random labels, as in the paper's table 4, where the paper states no
/// coefficient; [`table4`] has a control.
pub const ALEXNET_WEIGHT_DECAY: f64 = 4e-3;

/// Switches weight decay on: coefficient and place for the model. The paper states neither.
pub fn decay_weights(config: &mut RunConfig) {
    let (coefficient, on) = match config.model {
        ModelKind::Alexnet => (ALEXNET_WEIGHT_DECAY, DecayOn::Fc),
        ModelKind::Mlp1x512 | ModelKind::Mlp3x512 => (MLP_WEIGHT_DECAY, DecayOn::All),
        _ => (INCEPTION_WEIGHT_DECAY, DecayOn::Weights),
    };
    (config.hyper.weight_decay, config.hyper.weight_decay_on) = (coefficient, on);
}

/// What the tables' small print says of weight decay in `runs`; nothing where none has it.
pub(crate) fn decay_note<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<String> {
    // What is decayed how, each with the models.
    let mut kinds: Vec<(f64, DecayOn, Vec<&str>)> = Vec::new();
    let (mut chosen, mut slim) = (false, false);
    for config in runs.map(|run| &run.record.config).filter(|config| config.hyper.weight_decay > 0.0) {
        let (coefficient, on, title) =
            (config.hyper.weight_decay, config.hyper.weight_decay_on, config.model.title());
        match kinds.iter_mut().find(|(c, o, _)| (*c, *o) == (coefficient, on)) {
            Some((_, _, models)) if models.contains(&title) => (),
            Some((_, _, models)) => models.push(title),
            None => kinds.push((coefficient, on, vec![title])),
        }
        chosen |=
            config.model == ModelKind::Alexnet && (coefficient, on) == (ALEXNET_WEIGHT_DECAY, DecayOn::Fc);
        slim |= (coefficient, on) == (INCEPTION_WEIGHT_DECAY, DecayOn::Weights);
    }
    let kind = |(coefficient, on, models): &(f64, DecayOn, Vec<&str>)| {
        format!("{coefficient:e} on {} ({})", on.title(), models.join(", "))
    };
    let list = kinds.iter().map(kind).collect::<Vec<_>>().join("; ");
    let mut note = format!("Weight decay {list}. The paper states no coefficient and no place");
    if slim {
        note += "; Inception's are TF-Slim's";
    }
    if chosen {
        note += "; Alexnet's are its tutorial's, chosen because with them it fails on random labels, as in the paper";
    }
    (!kinds.is_empty()).then(|| note + ".")
}

/// Whether a network of the paper has batch normalisation.
fn normalised(model: ModelKind) -> bool {
    matches!(model, ModelKind::Inception | ModelKind::InceptionV3 | ModelKind::InceptionV3Aux)
}

/// What the small print says of batch normalisation's memory; nothing where no network has any.
pub(crate) fn norm_note<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<String> {
    let mut memories: Vec<f64> = Vec::new();
    for config in runs.map(|run| &run.record.config).filter(|config| normalised(config.model)) {
        if !memories.contains(&config.hyper.norm_memory) {
            memories.push(config.hyper.norm_memory);
        }
    }
    let list = memories.iter().map(f64::to_string).collect::<Vec<_>>().join(" and ");
    let slim = match memories.iter().all(|memory| *memory == SLIM_NORM_MEMORY) {
        true => "as TF-Slim's".to_string(),
        false => {
            format!("TF-Slim's {SLIM_NORM_MEMORY}: test accuracies vary more from epoch to epoch with less")
        }
    };
    (!memories.is_empty()).then(|| format!("Batch norm's running statistics keep {list} at a step ({slim})."))
}

/// What the small print says of the MLPs' batches; nothing without MLPs.
pub(crate) fn batch_note<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<String> {
    let mut mlps =
        runs.map(|run| &run.record.config).filter(|config| ModelKind::MLPS.contains(&config.model));
    let chosen = mlps.any(|config| config.hyper.batch_size == config.model.batch_size());
    chosen.then(|| {
        "MLPs: 64 images a step, not 128 as the others, chosen because with them random labels are fitted as well as in \
         the paper, which states no number."
            .to_string()
    })
}

/// A note with more sentences after its line.
pub(crate) fn extended(note: &Note, more: impl IntoIterator<Item = String>) -> Note {
    let mut note = note.clone();
    for sentence in more {
        note.scale_line += &format!(". {}", sentence.trim_end_matches('.'));
    }
    note
}

/// Appendix A's setting of `model` at `scale`, without any regulariser, until it is fitted.
pub fn setting(
    data: &Dataset,
    scale: Scale,
    model: ModelKind,
    corruption: Corruption,
    seeds: Seeds,
) -> RunConfig {
    let size = size(scale, model);
    sized(data.id(size.train, size.test), size, model, corruption, seeds)
}

/// Appendix A's setting of `model` on `data`, as wide and as long as `size` says, without any regulariser, until it
/// is fitted.
pub fn sized(data: DataId, size: Size, model: ModelKind, corruption: Corruption, seeds: Seeds) -> RunConfig {
    let mut config = RunConfig {
        schema: SCHEMA,
        data,
        model,
        width: size.width,
        input: CROP,
        corruption,
        hyper: Hyper {
            batch_size: model.batch_size(),
            learning_rate: model.learning_rate(),
            momentum: 0.9,
            decay: 0.95,
            decay_every: 1,
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
        },
        seeds,
        log_every: 1,
        eval_every: 1,
        parallel: None,
    };
    derive(&mut config);
    config
}

/// Sets what follows from a run's number of images, batch size, model and width.
pub(crate) fn derive(config: &mut RunConfig) {
    let Derived { decay_every, init, log_every, eval_every } = derived(config);
    (config.hyper.decay_every, config.hyper.init) = (decay_every, init);
    (config.log_every, config.eval_every) = (log_every, eval_every);
}

/// Epochs between two decays of the learning rate without batch normalisation, at most. A reduced run ends before a
/// rate of 0.1 has come down much, and at that this network does not settle: 2,000 images of CIFAR-10 (25 epochs between
/// two decays) are not fitted after 120 epochs (94 %), with two epochs after 84; 1,000 after 95.
const NO_BN_DECAY: usize = 2;

/// What the small print says where Inception's learning rate decays at other intervals without batch normalisation.
pub(crate) fn rate_note(runs: &[Run]) -> Option<String> {
    let every = |model: ModelKind| {
        let config = &runs.iter().find(|run| run.record.config.model == model)?.record.config;
        Some(config.hyper.decay_every)
    };
    let (with, without) = (every(ModelKind::Inception)?, every(ModelKind::InceptionNoBn)?);
    (with != without).then(|| {
        format!(
            "The learning rate decays every {without} epochs for Inception w/o BatchNorm, every {with} for Inception."
        )
    })
}

/// What [`derive`] sets.
pub(crate) struct Derived {
    pub decay_every: usize,
    pub init: Init,
    pub log_every: usize,
    pub eval_every: usize,
}

pub(crate) fn derived(config: &RunConfig) -> Derived {
    let train = config.data.train;
    // One decay an epoch of 50,000 images; a smaller set keeps about as many steps between decays.
    let whole = ((CIFAR_TRAIN as f64 / train as f64).round() as usize).max(1);
    let steps = train.div_ceil(config.hyper.batch_size.max(1));
    let often = if train <= 1_000 { 10 } else { 5 };
    Derived {
        decay_every: if config.model == ModelKind::InceptionNoBn { whole.min(NO_BN_DECAY) } else { whole },
        init: init(config.model, config.width),
        log_every: steps.min(100),
        // Tests of a reduced training set's network cost about as much as its training.
        eval_every: whole.min((4 * config.data.test / train.max(1)).clamp(often, 20)),
    }
}

/// Initial weights of `model`, `width` times as wide as the paper's. The tutorial's deviations are made for Alexnet's
/// own width. At an eighth of it the signal is lost layer by layer: 1,000 images take 140 epochs to fit instead of 57,
/// and random labels leave the loss of guessing not once in 80.
pub(crate) fn init(model: ModelKind, width: f64) -> Init {
    match model.init() {
        Init::Tutorial if width < 1.0 => Init::Glorot,
        other => other,
    }
}

/// The frame's rows of all `runs`, one run below the other, each row with `name` (text, from the run's
/// configuration) and `seed` (u64) before it.
///
/// Errors: [`Error::Frame`]; [`Error::Argument`] for no runs.
pub(crate) fn curves(
    runs: &[Run],
    operation: &'static str,
    name: &str,
    value: impl Fn(&RunConfig) -> String,
) -> Result<DataFrame> {
    let mut whole: Option<DataFrame> = None;
    for run in runs {
        let (n, config) = (run.frame.height(), &run.record.config);
        let mut columns = vec![
            Column::new(name.into(), vec![value(config); n]),
            Column::new("seed".into(), vec![config.seeds.init; n]),
        ];
        columns.extend(run.frame.columns().iter().cloned());
        let part = DataFrame::new(n, columns).map_err(Error::frame(operation))?;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => {
                whole.vstack_mut(&part).map_err(Error::frame(operation))?;
            }
        }
    }
    whole.ok_or_else(|| Error::argument(operation, "no runs"))
}

/// The frames of `runs` below each other, with `setting` (what `label` says of a run) and `seed` before their columns:
/// what [`crate::figures::fig1a::draw`] draws.
///
/// Errors: [`Error::Frame`]; [`Error::Argument`] for no runs.
pub fn learning_curves(runs: &[Run], label: impl Fn(&RunConfig) -> String) -> Result<DataFrame> {
    curves(runs, "learning curves", "setting", label)
}

/// Mean of values; `None` of none.
pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.into_iter().fold((0.0, 0u32), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

/// Beside the numbers of files in a published set's format that are not that set.
const NOT_COMPARED: &str = "not compared: not the paper's data";

/// The paper's number, where `runs` are of data that it may stand beside ([`DataId::is_comparable`]); else "-".
///
/// [`DataId::is_comparable`]: crate::config::DataId::is_comparable
pub(crate) fn papers(runs: &[Run], number: String) -> String {
    if runs.iter().all(|run| run.record.config.data.is_comparable()) { number } else { "-".into() }
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
