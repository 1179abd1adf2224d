//! Everything with notebooks: setting up their kernel, they themselves under nbval and in the browser, the commands that run them. A
//! module is an area: `cargo test --release --test jupyter browser`. The notebooks are executed once for all of it.
//!
//! The first test of a fresh clone sets up the kernel and the Python environment (minutes).

mod browser;
mod install;
mod notebooks;
mod reproduce;
mod watch;
