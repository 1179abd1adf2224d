//! Training runs: what a run is, how it goes, and what is recorded of it.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`config`] | every choice that can change a run's numbers, and the key made of them |
//! | [`comparison`] | which runs are of one setting |
//! | [`appendix_a`] | the paper's setting of each network |
//! | [`loader`] | a run's images and labels, ready for the network |
//! | `setup`, `steps` | what is made and checked before the first step; the steps of an epoch |
//! | `checkpoint` | from which a killed run goes on; the live log |
//! | [`train`] | the training loop: frames, checkpoints, resuming |
//! | `stopping` | when a run ends |
//! | [`history`] | where the parts of a run were trained |
//! | [`watch`] | how far training is, for whoever looks on |
//! | [`row`] | a row of a run's frame, and how a run ends |
//! | [`provenance`] | what is recorded beside the numbers: code, host, versions |
//! | [`tensorboard`] | curves while a run goes |
//! | `streams` | a run's streams of random numbers |
//! | [`strict`] | records that are read whole or not at all |

pub mod appendix_a;
pub mod checkpoint;
pub mod comparison;
pub mod config;
pub mod history;
pub mod loader;
pub mod provenance;
pub mod row;
pub mod setup;
mod steps;
pub(crate) mod stopping;
pub(crate) mod streams;
pub mod strict;
pub mod tensorboard;
pub mod train;
pub mod watch;
