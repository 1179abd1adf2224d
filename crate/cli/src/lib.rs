//! The program `rethink`: its commands, the notebook kernel, job arrays, benchmarks, and the pages and manuscripts made of
//! results. No notebook's cell needs it.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`commands`] | the command line, one file per family of commands |
//! | [`jupyter`] | the kernel, the Python environment, running notebooks |
//! | [`slurm`] | a sweep as a job array of Slurm |
//! | [`mod@bench`], [`selftest`] | images per second beside PyTorch; a GPU against the processor |
//! | [`book`], [`mathml`] | the executed notebooks as pages to browse, results first; their formulas |
//! | [`manuscript`] | figures, tables and captions for a paper, and a small paper of them |
//! | [`watch`] | the store's runs as they grow, on a page in the browser |
//! | [`products`] | checksums of what a notebook wrote |
//! | [`signals`] | what a signal does to work that goes on |

pub mod bench;
pub mod book;
pub mod commands;
pub mod jupyter;
pub mod manuscript;
pub mod mathml;
pub mod products;
pub mod selftest;
pub mod signals;
pub mod slurm;
pub mod watch;

pub use rethink::{Error, Result};
