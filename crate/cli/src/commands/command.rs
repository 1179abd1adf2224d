//! The program's commands and options, as clap reads them, and which function each calls.

#![expect(missing_docs, reason = "comments here are the help texts, and flattened options bring their own")]

use crate::commands::bench::TURNS;
use crate::commands::kernel::Kernel;
use crate::commands::notebooks::Notebooks;
use crate::commands::run_choice::RunChoice;
use crate::commands::runs;
use crate::commands::{CommonOptions, Out, Set, any_of};
use crate::slurm::{self, Slurm};
use crate::{Error, Result, jupyter, signals, watch};
use clap::{Parser, Subcommand, ValueEnum};
use rethink::paper;
use rethink::study::Study;
use rethink_nn::device::Device;
use rethink_nn::models::ModelKind;
use rethink_nn::precision::Precision;
use rethink_plot::venue::Venue;
use std::path::PathBuf;
use std::sync::LazyLock;

/// Zhang et al. 2017, "Understanding deep learning requires rethinking generalization", in Rust
/// notebooks: regenerates the paper's figures and tables.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub struct Command {
    /// Threads to use [default: all cores]. Results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// What networks are trained on: cpu; cuda:N, a GPU; cuda:N-tf32, the same with products in TensorFloat-32 (in a
    /// program built with the feature `cuda`) [default: RETHINK_DEVICE, else cpu]
    #[arg(long, global = true, value_name = "DEVICE")]
    pub device: Option<Device>,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Subcommand)]
pub enum Action {
    /// Set up what is missing, run the notebooks, write figures and tables
    Reproduce {
        /// Only these items, separated by commas, as fig1a,table1 (names: crate/docs/gallery)
        #[arg(long, value_name = "ID,...", value_delimiter = ',')]
        only: Vec<String>,
        /// Filters of table 3's random conv-net, 1 to 32,000 [default: the scale's]
        #[arg(long, value_name = "N")]
        filters: Option<usize>,
        #[command(flatten)]
        set: Set,
        #[command(flatten)]
        what: CommonOptions,
    },
    /// Train one run, or one for each of some values, unless the store has them
    Run {
        #[command(flatten)]
        choice: RunChoice,
        /// A run for each of these values of one of the options, as learning-rate=0.01,0.03,0.1 or random-crop=false,true; given several times, for
        /// all combinations; of several options in one text, as "optimizer=sgd,adam learning-rate=0.1,0.001", for the first values of all, the
        /// second values, ...
        #[arg(long, value_name = "OPTION=VALUE,...")]
        over: Vec<String>,
        /// Print the record as a line of JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        what: CommonOptions,
    },
    /// Make every run or measurement of a recipe that the store lacks
    Sweep {
        /// An item, as fig1a (names: crate/docs/gallery)
        recipe: String,
        /// Filters of table 3's random conv-net, 1 to 32,000 [default: the scale's]
        #[arg(long, value_name = "N")]
        filters: Option<usize>,
        /// Only say what would be made: the runs or measurements, and how many the store lacks
        #[arg(long)]
        plan: bool,
        /// Print each record (with --plan: each configuration) as a line of JSON
        #[arg(long)]
        json: bool,
        /// Who computes
        #[arg(long, value_enum, default_value = "here")]
        executor: Executor,
        #[command(flatten)]
        set: Set,
        #[command(flatten)]
        what: CommonOptions,
        // Last: its heading is for all that follows.
        #[command(flatten)]
        slurm: Slurm,
    },
    /// Make one item of a job array's manifest
    #[command(hide = true)]
    SweepItem {
        /// Written by `sweep --executor slurm`
        manifest: PathBuf,
        /// Line, from 0
        index: usize,
    },
    /// List the runs and measurements of the store
    List {
        #[command(flatten)]
        out: Out,
        /// Print each record as a line of JSON
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// Print the training runs as CSV, a line each: settings, how it ended, accuracies
        #[arg(long)]
        csv: bool,
    },
    /// The runs of the store and their curves as they grow, on a page in the browser
    Watch {
        #[command(flatten)]
        out: Out,
        /// Of this machine's loopback address [default: a free one]
        #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
        port: u16,
        /// Only print the page's address
        #[arg(long)]
        no_browser: bool,
    },
    /// The paper's numbers beside those of the store
    Compare {
        #[command(flatten)]
        out: Out,
        /// Print a line of JSON a number
        #[arg(long)]
        json: bool,
    },
    /// The paper's sentences as checks over the runs and measurements of the store: holds, fails, not yet measured
    Claims {
        /// Only these claims, separated by commas
        #[arg(long, value_name = "ID,...", value_delimiter = ',')]
        only: Vec<String>,
        #[command(flatten)]
        out: Out,
        /// Print a line of JSON a check
        #[arg(long)]
        json: bool,
    },
    /// A row for each item of the paper: what the paper says and what the runs of a store say, in Markdown
    Status {
        /// Folder of figures, tables and runs
        #[arg(long, value_name = "DIR", default_value = "figures/published")]
        out: PathBuf,
        /// Write it into this file, between the marks there, and its pictures into crate/docs/pictures beside it
        #[arg(long, value_name = "FILE")]
        write: Option<PathBuf>,
    },
    /// Figures, tables and captions for a paper, from the runs of the store
    Export {
        /// Whose pages they are to fit
        #[arg(long = "for", value_enum, value_name = "VENUE")]
        venue: Venue,
        /// Only these items, separated by commas, as fig1a,table1 (names: crate/docs/gallery)
        #[arg(long, value_name = "ID,...", value_delimiter = ',')]
        only: Vec<String>,
        /// Filters of table 3's random conv-net, 1 to 32,000 [default: the scale's]
        #[arg(long, value_name = "N")]
        filters: Option<usize>,
        #[command(flatten)]
        what: CommonOptions,
        /// Folder of the files [default: export-VENUE beside the figures]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// The executed notebooks as pages to browse, results first
    Book {
        /// Notebooks that were run in JupyterLab: pages as they were saved, in the place of executed ones of the same name
        #[arg(value_name = "NOTEBOOK")]
        notebooks: Vec<PathBuf>,
        #[command(flatten)]
        what: CommonOptions,
        /// Folder of the pages [default: book beside the figures]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Data sets: what there is, download, check
    Data {
        #[command(subcommand)]
        action: DataAction,
    },
    /// Images per second of training, for every model; or the kernel equation, or a notebook's cells
    #[command(args_conflicts_with_subcommands = true)]
    Bench {
        #[command(subcommand)]
        what: Option<BenchAction>,
        #[arg(long, value_name = "NAME,...", value_delimiter = ',', help = format!("Only these models, separated by commas: {}", ModelKind::names()))]
        only: Vec<ModelKind>,
        /// A Python that has PyTorch: measured in turns with it
        #[arg(long, value_name = "PYTHON")]
        peer: Option<PathBuf>,
        /// Turns of about a second, of which the medians are said
        #[arg(long, value_name = "N", default_value_t = TURNS, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        turns: u64,
        /// Print a line of JSON a model
        #[arg(long)]
        json: bool,
    },
    /// Compare a GPU with the processor: every operation, and training steps of every network; then its images per second
    Selftest {
        /// A Python that has PyTorch for the GPU: measured in turns with it
        #[arg(long, value_name = "PYTHON")]
        peer: Option<PathBuf>,
        /// Compare, and measure nothing
        #[arg(long)]
        checks_only: bool,
        /// Print a line of JSON a check and a model
        #[arg(long)]
        json: bool,
    },
    /// Regression tests of the notebooks, and keeping them free of outputs
    Notebooks {
        #[command(subcommand)]
        action: Notebooks,
    },
    /// The notebooks' kernel for one's own JupyterLab, VS Code, nbconvert and papermill
    Kernel {
        #[command(subcommand)]
        action: Kernel,
    },
    /// Open JupyterLab with the kernel and the notebooks
    Lab {
        /// Passed on to JupyterLab
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Executor {
    /// This program, one item after the other
    Here,
    /// A job array of Slurm, one item per index; --out is on a folder that all nodes share
    Slurm,
}

#[derive(Subcommand)]
pub enum BenchAction {
    /// Seconds of a notebook's cells in the project's kernel
    Notebooks {
        /// The notebook whose code cells are run
        #[arg(long, value_name = "FILE", default_value = "notebooks/01-fitting-random-labels.ipynb")]
        notebook: PathBuf,
        /// Rounds after a first one that is not counted
        #[arg(long, value_name = "N", default_value_t = 5)]
        rounds: usize,
        /// In turns with evcxr as it comes, which first compiles every library for itself
        #[arg(long)]
        peer: bool,
        /// Print a line of JSON a quantity
        #[arg(long)]
        json: bool,
    },
    /// What part of the processor's peak each layer of a network reaches: forward, and both gradients
    Layers {
        /// The network
        #[arg(long, value_name = "NAME", default_value = "inception")]
        model: ModelKind,
        /// What products round their factors to: float32 (nothing is rounded) or bf16
        #[arg(long, value_name = "NAME", default_value_t)]
        precision: Precision,
        /// Print a line of JSON a layer
        #[arg(long)]
        json: bool,
    },
    /// Seconds of building and solving the equation of a Gaussian kernel
    Kernels {
        /// Points
        #[arg(long, value_name = "N", default_value_t = 20_000)]
        n: usize,
        /// A Python that has NumPy and SciPy: measured in turns with it
        #[arg(long, value_name = "PYTHON")]
        peer: Option<PathBuf>,
        /// Print a line of JSON an operation
        #[arg(long)]
        json: bool,
    },
}

static FETCHED: LazyLock<String> = LazyLock::new(|| any_of(&rethink::data::fetch::names()));

#[derive(Subcommand)]
pub enum DataAction {
    /// What is known and where it lies
    List {
        /// Print JSON: an array with an object for each data set
        #[arg(long)]
        json: bool,
    },
    /// Download a data set to the user's cache
    Fetch {
        /// Which one
        #[arg(help = FETCHED.as_str())]
        name: String,
    },
    /// Check the files of a folder
    Verify {
        /// The folder
        dir: PathBuf,
    },
}

impl Action {
    /// Whether the device that is chosen is used here.
    fn computes(&self) -> bool {
        matches!(
            self,
            Action::Reproduce { .. }
                | Action::Run { .. }
                | Action::Sweep { executor: Executor::Here, plan: false, .. }
                | Action::SweepItem { .. }
                | Action::Bench {
                    what: None | Some(BenchAction::Kernels { .. } | BenchAction::Layers { .. }),
                    ..
                }
                | Action::Selftest { .. }
        )
    }
}

impl Command {
    /// Does it.
    ///
    /// Errors: those of the command.
    pub fn perform(self) -> Result<()> {
        if let Some(device) = self.device {
            device.choose()?;
        }
        if self.action.computes() {
            // Before anything is read or computed.
            Device::current()?.open()?;
        }
        match self.action {
            Action::Reproduce { only, filters, set, what } => {
                super::reproduce::reproduce(&only, &Study { filters, ..set.study(what.study()?, &only)? })
            }
            Action::Run { choice, over, json, what } => {
                let choices = choice.over(&over)?;
                let study = what.study()?;
                signals::hear();
                runs::run(&study, &choices, json)
            }
            Action::Sweep { executor: Executor::Here, slurm, .. } if slurm != Slurm::default() => {
                Err(Error::argument("sweep", "options of Slurm are for `--executor slurm`"))
            }
            Action::Sweep { recipe, filters, plan, json, executor, set, what, slurm } => {
                let only = std::slice::from_ref(&recipe);
                let study = Study { filters, ..set.study(what.study()?, only)? };
                paper::find(&recipe)?.check(&study.setting())?;
                if plan {
                    return runs::plan(&study, &recipe, json);
                }
                if executor == Executor::Slurm {
                    slurm::sweep(&study, &recipe, &slurm, &mut |line| rethink_plot::tell!("{line}"))?;
                    return runs::made(&study, &recipe, json);
                }
                signals::hear();
                runs::sweep(&study, &recipe, json)
            }
            Action::SweepItem { manifest, index } => {
                signals::hear();
                slurm::item(&manifest, index, &mut |line| rethink_plot::tell!("{line}"))
            }
            Action::List { out, csv: true, .. } => runs::list_csv(&out.out),
            Action::List { out, json, .. } => runs::list(&out.out, json),
            Action::Watch { out, port, no_browser } => watch::watch(&out.out, port, !no_browser),
            Action::Compare { out, json } => super::compare::compare(&out.out, json),
            Action::Claims { only, out, json } => super::claims::claims(&only, &out.out, json),
            Action::Status { out, write } => super::status::status(&out, write.as_deref()),
            Action::Export { venue, only, filters, what, to } => {
                super::export::export(&only, &Study { filters, ..what.study()? }, venue, to)
            }
            Action::Book { notebooks, what, to } => super::book::book(&what.study()?, &notebooks, to),
            Action::Data { action: DataAction::List { json } } => super::data::list(json),
            Action::Data { action: DataAction::Fetch { name } } => super::data::fetch(&name),
            Action::Data { action: DataAction::Verify { dir } } => super::data::verify(&dir),
            Action::Bench { what: Some(BenchAction::Notebooks { notebook, rounds, peer, json }), .. } => {
                super::bench::notebooks(&notebook, rounds, peer, json)
            }
            Action::Bench { what: Some(BenchAction::Layers { model, precision, json }), .. } => {
                super::bench::layers(model, precision, json)
            }
            Action::Bench { what: Some(BenchAction::Kernels { n, peer, json }), .. } => {
                super::bench::kernels(n, peer.as_deref(), json)
            }
            Action::Bench { what: None, only, peer, turns, json } => {
                super::bench::bench(Device::current()?, &only, peer.as_deref(), turns, json)
            }
            Action::Selftest { peer, checks_only, json } => {
                super::selftest::selftest(peer.as_deref(), checks_only, json)
            }
            Action::Notebooks { action } => action.perform(),
            Action::Kernel { action } => action.perform(),
            Action::Lab { arguments } => jupyter::lab(&jupyter::root()?, &arguments),
        }
    }
}
