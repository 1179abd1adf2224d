//! The commands of the program, one file per family. `command.rs` has the command line, which `main.rs` reads.

pub mod bench;
pub mod book;
pub mod claims;
pub mod command;
pub mod data;
pub mod export;
pub mod kernel;
#[cfg(feature = "mpi")]
pub mod mpi;
pub mod notebooks;
pub mod reproduce;
pub mod runs;
pub mod selftest;
pub mod status;

use crate::{Error, Result};
use rethink::run::config::Scale;
use rethink::study::Study;
use rethink::{overrides, paper};
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
    #[arg(long, value_name = "DIR", env = "RETHINK_OUT", default_value = "figures")]
    pub out: PathBuf,
}

/// On what, how much, and where to: the options that the commands share.
#[derive(Clone, Debug, clap::Args)]
pub struct What {
    /// smoke (seconds), small (minutes) or paper (hours to days an item)
    #[arg(long, value_name = "SCALE", default_value = "small")]
    pub scale: Scale,
    /// The data set
    #[arg(long, value_name = "NAME", help = DATA.as_str())]
    pub data: Option<String>,
    /// Repetitions of each run with other seeds, for mean and deviation [default: the recipe's]
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
    /// Errors: [`Error::Argument`] for an unknown name, a value out of its range, and values for a recipe that is made
    /// of measurements.
    pub fn study(&self, study: Study, only: &[String]) -> Result<Study> {
        let study = study.set(self.set.join(",").parse()?)?;
        if study.overrides.is_empty() {
            return Ok(study);
        }
        for id in only {
            let recipe = paper::find(id)?;
            if study.configs_of(recipe).is_empty() {
                let problem = if study.overrides.levels.is_some() && !recipe.has_levels() {
                    format!("{id} has no levels of corruption that could be set")
                } else {
                    format!("{id} is made of no training runs, so that nothing of it can be set")
                };
                return Err(Error::argument("--set", problem));
            }
        }
        Ok(study)
    }
}

impl What {
    /// The study they describe.
    ///
    /// Errors: those of [`Study::new`].
    pub fn study(&self) -> Result<Study> {
        let study = Study::new(self.data.as_deref(), self.scale, &self.out.out)?;
        Ok(Study { seeds: self.seeds, ..study })
    }
}
