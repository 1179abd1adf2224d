//! The command line: `rethink reproduce`, `run`, `sweep`, `list`, `compare`, `data`, `lab`, `bench`.

fn main() {}
