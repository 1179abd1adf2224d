//! The commands of the program, one file a family. `main.rs` only reads the command line.

pub mod bench;
pub mod claims;
pub mod data;
pub mod reproduce;
pub mod runs;
