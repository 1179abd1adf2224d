//! What takes more than seconds and needs no notebook: the program as a user calls it, kills and full disks, a hundred steps beside
//! PyTorch, Slurm, a GPU's code on the processor. A module is an area: `cargo test --release --test long slurm`. In one program, one test
//! waits for its cluster while another computes.

// The first by its name, with which it is started first: it waits for its daemons, most of the time.
#[path = "slurm.rs"]
mod a_slurm;
mod commands;
mod cuda;
mod faults;
mod hostile;
mod overrides;
mod parity;
