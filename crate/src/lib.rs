//! Zhang et al. 2017, "Understanding deep learning requires rethinking generalization", in Rust
//! notebooks: real data, the paper's corruptions, its models, its figures and tables.
//!
//! # The house, room by room
//!
//! | module | what is in it | paper |
//! | --- | --- | --- |
//! | [`data`] | data sets and where they are found: CIFAR-10, MNIST, ImageNet, the embedded `shapes10` | appendix A |
//! | [`corruption`] | the six modifications of labels and images | section 2.1 |
//! | [`augment`] | flips, rotations, colours: random changes of training images | section 3, table 4 |
//! | [`preprocess`] | scaling, crops, per-image whitening; photographs' areas and sizes | appendix A |
//! | [`examples`] | a run's images and labels, ready for the network | |
//! | [`models`] | the architectures, one file each | appendix A, figure 3 |
//! | [`ops`] | the layers' operations on dfdx's tape, on fast matrix products | |
//! | [`device`], [`cuda`] | what is computed on; networks and kernel equations on a GPU | |
//! | [`optim`] | SGD with momentum and weight decay | appendix A |
//! | [`config`] | what a run is: every choice that can change its numbers | |
//! | [`overrides`] | `--set`: other values of what the recipes choose | |
//! | [`threads`] | work shared out among threads | |
//! | [`train`] | the training loop: frames, checkpoints, resuming | appendix A |
//! | [`tensorboard`] | curves while a run goes | |
//! | [`cluster`] | more than one machine: job arrays of Slurm, one model over many processes (MPI) | appendix A |
//! | [`store`], [`history`] | finished runs, one Parquet file each; where their parts were trained | |
//! | [`lock`] | one process at a time at a run or a measurement | |
//! | [`measurement`], [`unfinished`] | computations that are no training runs, kept beside them; what a killed one goes on from | |
//! | [`expressivity`] | networks that fit any labels by construction | section 4, appendix C |
//! | [`kernels`] | the kernel equation, solved exactly | section 5, table 3 |
//! | [`min_norm`] | what SGD converges to, and other solutions | section 5 |
//! | [`complexity`] | Rademacher complexity, VC bound, uniform stability | section 2.2 |
//! | [`products`] | checksums of what a notebook wrote | |
//! | [`provenance`] | what is recorded beside the numbers: code, host, versions | |
//! | [`recipe`] | one file a figure or table: its runs, its frame, its verdict | figures, tables |
//! | [`claims`] | the paper's sentences as checks over the store, a file a section | sections 1 to 5, appendices B and C |
//! | [`paper`] | the paper's own numbers | figures, tables |
//! | [`figures`] | the theme, one drawing function a figure, export | figures |
//! | [`tables`] | tables as Markdown, LaTeX, CSV and HTML | tables |
//! | [`frames`] | columns of frames by name, in every cell | |
//! | [`show`] | what a cell shows of frames, runs and several figures | |
//! | [`venue`], [`latex`] | the measures of a venue's pages; tables that fit them | |
//! | [`manuscript`] | figures, tables and captions for a paper, and a small paper of them | figures, tables |
//! | [`book`], [`mathml`] | the executed notebooks as pages to browse, results first; their formulas | |
//! | [`study`] | what a notebook holds: data, scale, store, output folder | |
//! | [`jupyter`] | the kernel, the Python environment, running notebooks | |
//! | [`cli`] | the commands of the program | |
//! | [`mod@bench`] | images per second, beside PyTorch | |
//! | [`error`], [`files`], [`strict`] | the error enum; files that are whole or absent; records that are read whole or not at all | |
//!
//! A notebook starts with `use rethink::prelude::*;`. Generic code stays inside: everything that
//! a cell calls has concrete types, so that cells compile in about a second.

pub mod augment;
pub mod bench;
pub mod book;
pub mod claims;
pub mod cli;
pub mod cluster;
pub mod complexity;
pub mod config;
pub mod corruption;
pub mod cuda;
pub mod data;
pub mod device;
mod ending;
pub mod error;
pub mod examples;
pub mod expressivity;
pub mod figures;
pub mod files;
pub mod frames;
pub mod history;
pub mod jupyter;
pub mod kernels;
pub mod latex;
pub mod lock;
pub mod manuscript;
pub mod mathml;
pub mod measurement;
pub mod min_norm;
pub mod models;
pub mod ops;
pub mod optim;
mod origin;
pub mod overrides;
pub mod paper;
pub mod prelude;
pub mod preprocess;
pub mod products;
pub mod provenance;
pub mod recipe;
pub mod show;
pub mod store;
pub mod strict;
pub mod study;
pub mod tables;
pub mod tensorboard;
pub mod threads;
pub mod train;
pub mod unfinished;
pub mod venue;

pub use error::{Error, Result};
