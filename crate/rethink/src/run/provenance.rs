//! What is recorded beside the numbers: the code, the libraries, the machine.

use crate::Result;
use rethink_nn::device::Device;
use rethink_nn::distributed::Processes;
use rethink_nn::instructions;
use rethink_nn::precision::Precision;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Where a result comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of this crate.
    pub rethink: String,
    /// Commit of the sources that the program was built from ([`revision`]).
    pub revision: String,
    /// Versions of the libraries that numbers pass through.
    pub crates: BTreeMap<String, String>,
    /// Operating system, processor and its vector instructions.
    pub host: String,
    /// What the arithmetic ran on: `cpu`, or a [`Device`] with its card.
    pub device: String,
    /// Threads of the pool (of each process). They do not change any number.
    pub threads: usize,
    /// Several processes that trained one model; `None`: one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<Processes>,
}

static PROCESSES: OnceLock<Processes> = OnceLock::new();

/// Sets which group of processes this one belongs to; recorded with every result from now on.
pub fn set_processes(processes: Processes) {
    // A second call would tell of the same world.
    let _ = PROCESSES.set(processes);
}

impl Provenance {
    /// The provenance of what this program computes now on the processor.
    pub fn here() -> Provenance {
        Provenance {
            rethink: env!("CARGO_PKG_VERSION").into(),
            revision: revision(),
            crates: crates(),
            host: host(),
            device: "cpu".into(),
            threads: rayon::current_num_threads(),
            processes: PROCESSES.get().cloned(),
        }
    }

    /// The provenance of what this program computes on `device`, with products of networks in `precision`.
    ///
    /// Errors: those of [`Device::describe`].
    pub fn on(device: Device, precision: Precision) -> Result<Provenance> {
        Ok(Provenance { device: device.describe(precision)?, ..Provenance::here() })
    }
}

/// The commit of the sources that this program was built from, with `+changes` where they had uncommitted ones; where it is not
/// known, `unknown` with the reason in parentheses. The build finds it out (`build.rs`): what is checked out while the program
/// runs, and what repository the environment names, has nothing to do with it.
pub fn revision() -> String {
    env!("RETHINK_REVISION").into()
}

fn crates() -> BTreeMap<String, String> {
    const NAMED: [&str; 7] = ["dfdx", "faer", "polars", "plotters", "rand", "rand_chacha", "rand_distr"];
    // build.rs copies it: a file outside the package would tie what is compiled to the place where the clone lay.
    let lock = include_str!(concat!(env!("OUT_DIR"), "/Cargo.lock"));
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(" = "))?;
        Some(line.trim_matches('"').to_string())
    };
    let mut versions = BTreeMap::new();
    for block in lock.split("[[package]]") {
        let (Some(name), Some(version)) = (field(block, "name"), field(block, "version")) else { continue };
        // dfdx brings an older rand of its own; the newest is the one this crate calls.
        if NAMED.contains(&name.as_str()) {
            versions.insert(name, version);
        }
    }
    versions
}

fn host() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    let processor = model.map_or("unknown processor", |(_, name)| name.trim());
    format!("{}, {}, {}", std::env::consts::OS, processor, instructions::name())
}
