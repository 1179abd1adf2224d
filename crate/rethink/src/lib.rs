//! Zhang et al. 2017, "Understanding deep learning requires rethinking generalization", in Rust
//! notebooks: real data, the paper's corruptions, its models, its figures and tables.
//!
//! | module | what is in it | paper |
//! | --- | --- | --- |
//! | [`data`] | data sets and where they are found, corruption, augmentation, preprocessing | section 2.1, appendix A |
//! | [`run`] | training runs: configuration, training loop, provenance | appendix A |
//! | [`measure`] | what is computed without training a network of table 1: the kernel equation, expressivity, complexity, minimum norm | sections 2.2, 4 and 5, appendix C |
//! | [`store`] | finished runs and measurements, one Parquet file each | |
//! | [`paper`] | one file per figure or table: its runs, its frame, its drawing, its verdict | figures, tables |
//! | [`claims`] | the paper's sentences as checks over the store, one file per section | sections 1 to 5, appendices B and C |
//! | [`study`], [`overrides`] | what a notebook holds: data, scale, store, output folder; other values of what the paper's items choose | |
//! | [`show`], [`prelude`] | what a cell shows of frames, runs and several figures; what it imports | |
//! | [`live`] | a cell and its page while it runs: interrupts, progress | |
//! | [`lock`] | one process at a time at a run or a download | |
//! | [`error`] | the error enum | |
//!
//! Below it are [`nn`] (networks, optimisers, devices, kernel solvers) and [`plot`] (figures and tables); the program
//! `rethink` is above it.
//!
//! A notebook starts with `use rethink::prelude::*;`. Generic code stays inside: everything that
//! a cell calls has concrete types, so that cells compile in about a second.

pub mod claims;
pub mod data;
pub mod error;
pub mod live;
pub mod lock;
pub mod measure;
pub mod overrides;
pub mod paper;
pub mod prelude;
pub mod run;
pub mod show;
pub mod store;
pub mod study;

pub use error::{Error, Result};
pub use rethink_nn as nn;
pub use rethink_plot as plot;
