//! The commands of the program, one file per family. `command.rs` has the command line, which `main.rs` reads.

pub mod bench;
pub mod book;
pub mod claims;
pub mod command;
pub mod compare;
pub mod data;
pub mod export;
pub mod kernel;
#[cfg(feature = "mpi")]
pub mod mpi;
pub mod notebooks;
pub mod reproduce;
pub mod run_choice;
pub mod runs;
pub mod selftest;
pub mod status;

use crate::{Error, Result};
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::parser::ValueSource;
use rethink::overrides;
use rethink::paper::{self, Parts, Recipe};
use rethink::run::config::Scale;
use rethink::study::Study;
use rethink_nn::models::ModelKind;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::LazyLock;

static DATA: LazyLock<String> = LazyLock::new(|| {
    let names = [&rethink::data::names()[..], &["imagenet:DIR", "a folder"]].concat();
    format!(
        "{}; several, separated by commas, for table 3 and the norms; other items take the first [default: found in RETHINK_DATA; \
         where that is unset, downloaded before, else the embedded shapes10]",
        any_of(&names)
    )
});

/// "a, b or c".
fn any_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => only.to_string(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}

/// Where results are.
#[derive(Clone, Debug, clap::Args)]
pub struct Out {
    /// Folder of figures, tables and runs
    #[arg(long, value_name = "DIR", env = "RETHINK_OUT", default_value = FIGURES, value_parser = OutFolder)]
    pub out: PathBuf,
}

/// Where nothing is said.
const FIGURES: &str = "figures";

/// A path as clap reads it, where the environment variable may be empty: it is then as one that is not set, as all others are.
#[derive(Clone)]
struct OutFolder;

impl TypedValueParser for OutFolder {
    type Value = PathBuf;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<PathBuf, clap::Error> {
        PathBufValueParser::new().parse_ref(command, argument, value)
    }

    fn parse_ref_(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<PathBuf, clap::Error> {
        let unset = source == ValueSource::EnvVariable && value.is_empty();
        if unset { Ok(FIGURES.into()) } else { self.parse_ref(command, argument, value) }
    }
}

/// On what, how much, and where to: the options that the commands share.
#[derive(Clone, Debug, clap::Args)]
pub struct CommonOptions {
    /// smoke (seconds), small (minutes) or paper (hours to days an item)
    #[arg(long, value_name = "SCALE", default_value = "small")]
    pub scale: Scale,
    /// The data set
    #[arg(long, value_name = "NAME", help = DATA.as_str())]
    pub data: Option<String>,
    /// Repetitions of each training run with other seeds, for mean and deviation [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: Option<u64>,
    /// Where results are.
    #[command(flatten)]
    pub out: Out,
}

/// Other values of what the recipes choose.
#[derive(Clone, Debug, clap::Args)]
pub struct Set {
    #[arg(long, value_name = "NAME=VALUE,...", help = help())]
    set: Vec<String>,
}

fn help() -> String {
    let names: Vec<&str> = overrides::NAMES.iter().map(|(name, _)| *name).collect();
    format!(
        "Other values than the recipes', for every training run: {}. models=NAME+NAME takes only these networks' runs; a .json \
         file's network enters figures 1a, 1b, 1c and 2b; levels=0+0.5+1 are figures 1b's and 1c's. Can be given several \
         times. Figures and tables go to a folder of their own",
        names.join(", ")
    )
}

impl Set {
    /// The study with these values, for `recipe`s made of training runs.
    ///
    /// Errors: [`Error::Argument`] for an unknown name, a value out of its range, values or several seeds for a recipe that is made of
    /// measurements, and networks or levels that leave none of a recipe's runs.
    pub fn study(&self, study: Study, only: &[String]) -> Result<Study> {
        let study = study.set(self.set.join(",").parse()?)?;
        for id in only {
            let recipe = paper::find(id)?;
            if study.seeds.is_some_and(|seeds| seeds > 1)
                && matches!(recipe.source, Parts::Measurements { .. })
            {
                let problem = format!(
                    "{id} is made of measurements, which have one seed each: training runs are repeated"
                );
                return Err(Error::argument("--seeds", problem));
            }
        }
        if study.overrides.is_empty() {
            return Ok(study);
        }
        for id in only {
            let recipe = paper::find(id)?;
            if study.configs_of(recipe).is_empty() {
                return Err(Error::argument("--set", why_none(&study, recipe)));
            }
        }
        Ok(study)
    }
}

/// Why a recipe has no run with the values that are set.
fn why_none(study: &Study, recipe: &Recipe) -> String {
    let id = recipe.id;
    if matches!(recipe.source, Parts::Measurements { .. }) {
        return format!("{id} is made of no training runs, so that nothing of it can be set");
    }
    if study.overrides.levels.is_some() && !recipe.has_levels() {
        return format!("{id} has no levels of corruption that could be set");
    }
    let names = |models: &mut dyn Iterator<Item = ModelKind>| {
        let mut names: Vec<&str> = Vec::new();
        for name in models.map(ModelKind::name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        any_of(&names)
    };
    let wanted = names(&mut study.overrides.models.iter().flatten().map(|chosen| chosen.model));
    let there = names(&mut recipe.runs_in(&study.setting()).into_iter().map(|config| config.model));
    format!("no run of {id} is of {wanted}: models can be {there}")
}

impl CommonOptions {
    /// The study they describe.
    ///
    /// Errors: those of [`Study::new`].
    pub fn study(&self) -> Result<Study> {
        let study = Study::new(self.data.as_deref(), self.scale, &self.out.out)?;
        Ok(Study { seeds: self.seeds, ..study })
    }
}
