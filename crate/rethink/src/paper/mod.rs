//! One file per figure or table: which runs it needs, the frame it is drawn from, and what it shows
//! beside the paper.
//!
//! A recipe is the same at every scale and on every data set; [`Scale`] decides how many images,
//! epochs and repetitions it takes.

pub mod beside;
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
pub mod reported;
pub mod stability;
pub mod table1;
pub mod table2;
pub mod table3;
pub mod table4;
pub mod theorem1;

use crate::data::Dataset;
use crate::measure::{Measured, Measurement};
use crate::run::config::{RunConfig, Scale, Seeds};
use crate::store::{Run, stacked};
use crate::{Error, Result};
use polars::prelude::{Column, DataFrame};
use rethink_nn::models::{Family, Init, ModelKind};
use rethink_nn::optim::{DecayOn, SLIM_NORM_MEMORY};
use rethink_nn::text::{every, thousands};
use rethink_plot::columns::mean_sd;
use rethink_plot::frames::with;
use rethink_plot::tables::Table;
use rethink_plot::{Drawing, Note};
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
    pub source: Parts,
}

/// On what a recipe is run, and how much of it.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// The data sets: one or more. Recipes that take one take the first.
    pub datasets: Vec<&'a Dataset>,
    /// How much is run.
    pub scale: Scale,
    /// Filters of table 3's random conv-net, where not the scale's.
    pub filters: Option<usize>,
    /// Networks of one's own, beside those of figures 1a, 1b, 1c and 2b.
    pub own: Vec<ModelKind>,
    /// Shares of corrupted labels of figures 1b and 1c, where not the scale's.
    pub levels: Option<Vec<f64>>,
}

impl<'a> Setting<'a> {
    /// The paper's on `data`.
    pub fn new(data: &'a Dataset, scale: Scale) -> Setting<'a> {
        Setting { datasets: vec![data], scale, filters: None, own: Vec::new(), levels: None }
    }

    /// The first data set.
    pub fn data(&self) -> &'a Dataset {
        self.datasets[0]
    }
}

/// What a recipe is made of, and how: `make` gives the figure or table, `verdict` the paper's finding and
/// ours.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are said above")]
pub enum Parts {
    /// Training runs.
    Runs {
        runs: fn(&Setting) -> Vec<RunConfig>,
        make: fn(&[Run], &Note) -> Result<Product>,
        verdict: fn(&[Run]) -> Verdict,
    },
    /// Computations that are no training runs, on any of the study's data sets.
    Measurements {
        plan: fn(&Setting) -> Vec<Measurement>,
        make: fn(&[Measured], &Note) -> Result<Product>,
        verdict: fn(&[Measured]) -> Verdict,
    },
}

impl Recipe {
    /// The training runs it is made of; none for a recipe of measurements.
    pub fn runs(&self, data: &Dataset, scale: Scale) -> Vec<RunConfig> {
        self.runs_in(&Setting::new(data, scale))
    }

    /// The same with what a setting asks for beside; none for a recipe without levels where it asks for other levels.
    pub fn runs_in(&self, setting: &Setting) -> Vec<RunConfig> {
        match self.source {
            Parts::Runs { runs, .. } if setting.levels.is_none() || self.has_levels() => runs(setting),
            Parts::Runs { .. } | Parts::Measurements { .. } => Vec::new(),
        }
    }

    /// Whether it compares shares of corrupted labels.
    pub fn has_levels(&self) -> bool {
        [fig1b::RECIPE.id, fig1c::RECIPE.id].contains(&self.id)
    }

    /// The measurements it is made of; none for a recipe of training runs.
    pub fn measurements(&self, setting: &Setting) -> Vec<Measurement> {
        match self.source {
            Parts::Runs { .. } => Vec::new(),
            Parts::Measurements { plan, .. } => plan(setting),
        }
    }

    /// Whether the data set has as many training images as the smallest of the recipe's samples, of which there are none otherwise. Recipes
    /// without samples of set sizes take what there is.
    ///
    /// Errors: [`Error::Argument`] with the number that is needed.
    pub fn check(&self, setting: &Setting) -> Result<()> {
        let (data, scale) = (setting.data(), setting.scale);
        let there = data.train.len();
        let fewest = [
            (theorem1::RECIPE.id, theorem1::fewest(scale)),
            (rademacher::RECIPE.id, rademacher::fewest(scale)),
        ];
        match fewest.into_iter().find(|(id, fewest)| *id == self.id && there < *fewest) {
            Some((id, fewest)) => {
                let problem = format!(
                    "{id} takes {} training images or more at scale {scale}: {} has {}",
                    thousands(fewest),
                    data.title,
                    thousands(there)
                );
                Err(Error::argument("recipe", problem))
            }
            None => Ok(()),
        }
    }

    /// The figure or table of `results`.
    ///
    /// Errors: those of drawing; [`Error::Argument`] for results of the other kind.
    pub fn make(&self, results: &Results, note: &Note) -> Result<Product> {
        match (self.source, results) {
            (Parts::Runs { make, .. }, Results::Runs(runs)) => make(runs, note),
            (Parts::Measurements { make, .. }, Results::Measured(measured)) => make(measured, note),
            _ => Err(self.other_kind()),
        }
    }

    /// The paper's finding, and ours from `results`.
    ///
    /// Errors: [`Error::Argument`] for results of the other kind.
    pub fn verdict(&self, results: &Results) -> Result<Verdict> {
        let verdict = match (self.source, results) {
            (Parts::Runs { verdict, .. }, Results::Runs(runs)) => verdict(runs),
            (Parts::Measurements { verdict, .. }, Results::Measured(measured)) => verdict(measured),
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
            Parts::Runs { .. } => "training runs",
            Parts::Measurements { .. } => "measurements",
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

impl From<&Vec<Run>> for Results {
    fn from(runs: &Vec<Run>) -> Results {
        Results::Runs(runs.clone())
    }
}

impl From<&Vec<Measured>> for Results {
    fn from(measured: &Vec<Measured>) -> Results {
        Results::Measured(measured.clone())
    }
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
    /// Gives it, and so its files, another name.
    pub fn rename(&mut self, id: &str) {
        match self {
            Product::Figure(drawing) => drawing.id = id.into(),
            Product::Table(table) => table.id = id.into(),
        }
    }

    /// Writes every format into `folder`, each file whole or not at all; returns their paths.
    ///
    /// Errors: [`Error::Io`] naming the file, [`Error::Drawing`].
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        match self {
            Product::Figure(drawing) => Ok(drawing.save(folder)?),
            Product::Table(table) => Ok(table.save(folder)?),
        }
    }

    /// What [`Product::save`] writes: each file's extension and bytes.
    ///
    /// Errors: [`Error::Drawing`].
    pub fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        match self {
            Product::Figure(drawing) => Ok(drawing.files()?),
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
    /// Ours; `None` where what it is said of is not measured.
    pub ours: Option<String>,
}

impl Verdict {
    fn new(paper: impl Into<String>, ours: impl Into<Option<String>>) -> Verdict {
        Verdict { paper: paper.into(), ours: ours.into() }
    }

    /// Of findings that are separated by semicolons, as many as there are.
    fn of_parts(paper: impl Into<String>, ours: Vec<String>) -> Verdict {
        Verdict::new(paper, (!ours.is_empty()).then(|| ours.join("; ")))
    }

    /// Ours, or that it is not measured.
    pub fn ours(&self) -> &str {
        self.ours.as_deref().unwrap_or("not measured")
    }
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

/// Repetitions with other seeds at a scale: several where they are cheap. [`with_seeds`] makes more.
pub fn repeats(scale: Scale, model: ModelKind) -> u64 {
    if scale == Scale::Small && model.is_mlp() { 2 } else { 1 }
}

/// `configs` with `seeds` repetitions of each, whatever repetitions they had.
pub fn with_seeds(configs: &[RunConfig], seeds: u64) -> Vec<RunConfig> {
    let first: Vec<&RunConfig> = configs.iter().filter(|c| c.seeds == Seeds::repeat(0)).collect();
    let repeated = |r| first.iter().map(move |&c| RunConfig { seeds: Seeds::repeat(r), ..c.clone() });
    (0..seeds).flat_map(repeated).collect()
}

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
    let (coefficient, on) = match config.model.family() {
        Family::Alexnet => (ALEXNET_WEIGHT_DECAY, DecayOn::Fc),
        Family::Mlp => (MLP_WEIGHT_DECAY, DecayOn::All),
        Family::Inception | Family::InceptionV3 | Family::Own => (INCEPTION_WEIGHT_DECAY, DecayOn::Weights),
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

/// What the small print says of batch normalisation's memory; nothing where no network has any.
pub(crate) fn norm_note<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<String> {
    let mut memories: Vec<f64> = Vec::new();
    for config in runs.map(|run| &run.record.config).filter(|config| config.model.is_normalised()) {
        if !memories.contains(&config.hyper.norm_memory) {
            memories.push(config.hyper.norm_memory);
        }
    }
    let list = memories.iter().map(f64::to_string).collect::<Vec<_>>().join(" and ");
    let slim = match memories.iter().all(|memory| *memory == SLIM_NORM_MEMORY) {
        true => "as TF-Slim's".to_string(),
        false => {
            format!(
                "TF-Slim's {SLIM_NORM_MEMORY}: a shorter memory makes test accuracies vary more from epoch to epoch"
            )
        }
    };
    (!memories.is_empty()).then(|| format!("Batch norm's running statistics keep {list} at a step ({slim})."))
}

/// What the small print says of the MLPs' batches; nothing without MLPs.
pub(crate) fn batch_note<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<String> {
    // At scale small the others take as many ([`reduced_note`]).
    let larger = runs.filter(|run| run.record.scale != Scale::Small).map(|run| &run.record.config);
    let mut mlps = larger.filter(|config| config.model.is_mlp());
    let chosen = mlps.any(|config| config.hyper.batch_size == config.model.batch_size());
    chosen.then(|| {
        "MLPs: mini-batches of 64, not 128 as the others, chosen because with them random labels are fitted as well as in \
         the paper, which states no number."
            .to_string()
    })
}

/// What the small print says of products that are rounded; nothing where none is.
fn precision_note(runs: &[Run]) -> Option<String> {
    let rounded = |run: &&Run| !run.record.config.hyper.precision.is_float32();
    let number = runs.iter().filter(rounded).count();
    let which = if number == runs.len() { "products" } else { "some runs' products" };
    (number > 0)
        .then(|| format!("Factors of {which} are rounded to bf16 (8 bits of mantissa; not the paper's)."))
}

/// What the small print says of steps at scale small, which are fewer than the paper's and not appendix A's; nothing at other
/// scales, nor of Inception V3.
pub(crate) fn reduced_note(runs: &[Run]) -> Option<String> {
    let small = |run: &&Run| run.record.scale == Scale::Small;
    let configs: Vec<&RunConfig> = runs.iter().filter(small).map(|run| &run.record.config).collect();
    let configs: Vec<&RunConfig> =
        configs.into_iter().filter(|config| config.model.family() != Family::InceptionV3).collect();
    let each = |value: &dyn Fn(&RunConfig) -> usize| {
        let mut values: Vec<usize> = configs.iter().map(|config| value(config)).collect();
        values.sort_unstable();
        values.dedup();
        values.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ")
    };
    let mut note = format!(
        "Mini-batches of {}; the learning rate decays {}",
        each(&|config| config.hyper.batch_size),
        match each(&|config| config.hyper.rate_decay_every) {
            one if one == "1" => every(1, "epoch"),
            epochs => format!("every {epochs} epochs"),
        }
    );
    let other_rate = |config: &&&RunConfig| config.hyper.learning_rate != config.model.learning_rate();
    if let Some(config) = configs.iter().find(other_rate) {
        let (rate, usual) = (config.hyper.learning_rate, config.model.learning_rate());
        let weights = if config.hyper.init == Init::He { ", from He's weights" } else { "" };
        note += &format!("; {} starts at a rate of {rate}, not {usual}{weights}", config.model.title());
    }
    (!configs.is_empty()).then(|| note + ".")
}

/// What was chosen in `runs` where the paper states nothing, a sentence each: for the small print of all that is made of
/// them.
pub fn choices(runs: &[Run]) -> Vec<String> {
    let all = [
        reduced_note(runs),
        decay_note(runs.iter()),
        rate_note(runs),
        norm_note(runs.iter()),
        batch_note(runs.iter()),
        precision_note(runs),
    ];
    all.into_iter().flatten().collect()
}

/// A note with more sentences after its line.
pub(crate) fn extended(note: &Note, more: impl IntoIterator<Item = String>) -> Note {
    let mut note = note.clone();
    for sentence in more {
        note.scale_line += &format!(". {}", sentence.trim_end_matches('.'));
    }
    note
}

/// What the small print says where Inception's learning rate decays at other intervals without batch normalisation.
pub(crate) fn rate_note(runs: &[Run]) -> Option<String> {
    let decays = |model: ModelKind| {
        let config = &runs.iter().find(|run| run.record.config.model == model)?.record.config;
        Some(config.hyper.rate_decay_every)
    };
    let (with, without) = (decays(ModelKind::Inception)?, decays(ModelKind::InceptionNoBn)?);
    (with != without).then(|| {
        format!(
            "The learning rate decays {} for Inception w/o BatchNorm, every {with} for Inception.",
            every(without, "epoch")
        )
    })
}

/// The frame's rows of all `runs`, one run below the other, without their seconds, each row with `name` (text, from the run's
/// configuration) and `seed` (u64) before it.
///
/// Errors: [`Error::Frame`]; [`Error::Argument`] for no runs.
pub(crate) fn curves(
    runs: &[Run],
    operation: &'static str,
    name: &str,
    value: impl Fn(&RunConfig) -> String,
) -> Result<DataFrame> {
    let part = |run: &Run| {
        let (n, config) = (run.frame.height(), &run.record.config);
        let mut columns = vec![
            Column::new(name.into(), vec![value(config); n]),
            Column::new("seed".into(), vec![config.seeds.init; n]),
        ];
        // Equal runs give equal frames: how long they took stays with the run.
        columns.extend(run.frame.columns().iter().filter(|column| column.name() != "seconds").cloned());
        DataFrame::new(n, columns).map_err(Error::frame(operation))
    };
    stacked(runs.iter().map(part), operation)
}

/// The frames of `runs` below each other, with `setting` (what `label` says of a run) and `seed` before their columns, which
/// [`crate::paper::fig1a::draw`] draws, and `model` (its title) after them.
///
/// Errors: [`Error::Frame`]; [`Error::Argument`] for no runs.
pub fn learning_curves(runs: &[Run], label: impl Fn(&RunConfig) -> String) -> Result<DataFrame> {
    let frame = curves(runs, "learning curves", "setting", label)?;
    let of = |run: &Run| std::iter::repeat_n(run.record.config.model.title(), run.frame.height());
    Ok(with(&frame, Column::new("model".into(), runs.iter().flat_map(of).collect::<Vec<_>>()))?)
}

/// Mean of values; `None` of none.
pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.into_iter().fold((0.0, 0u32), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

/// Beside the numbers of files in a published set's format that are not that set.
const NOT_COMPARED: &str = "not compared: not the paper's data";

/// The paper's number, where `runs` are of data that it may stand beside ([`DataId::is_comparable`]); else "-".
///
/// [`DataId::is_comparable`]: crate::data::DataId::is_comparable
pub(crate) fn papers(runs: &[Run], number: String) -> String {
    if runs.iter().all(|run| run.record.config.data.is_comparable()) { number } else { "-".into() }
}

/// `mean` with two decimals, and the standard deviation where there are several values.
pub fn mean_and_deviation(values: &[f64]) -> String {
    let (mean, deviation) = mean_sd(values);
    if values.len() < 2 { format!("{mean:.2}") } else { format!("{mean:.2} ± {deviation:.2}") }
}
