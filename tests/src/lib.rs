//! Helpers of the tests by area.

pub mod browser;
pub mod emulated;
pub mod server;
pub mod skips;

use rethink::data::Dataset;
use rethink::run::config::RunConfig;
use rethink::run::train::{Progress, TrainedRun, train};
use rethink_cli::jupyter::environment::outside_cargo;
use rethink_cli::jupyter::kernel;
use rethink_nn::models::plan::{self, Layer};
use rethink_nn::models::{Network, Parameter};
use serde_json::{Value, json};
use skips::{Need, skip};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// A notebook of these code cells, for the project's kernel.
pub fn notebook(cells: &[&str]) -> Value {
    let cell = |(at, source): (usize, &&str)| {
        json!({"cell_type": "code", "id": format!("cell-{at}"), "metadata": {}, "source": source,
               "outputs": [], "execution_count": null})
    };
    let spec = json!({"name": kernel::NAME, "display_name": kernel::DISPLAY_NAME, "language": "rust"});
    json!({
        "cells": cells.iter().enumerate().map(cell).collect::<Vec<_>>(),
        "nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec},
    })
}

/// The workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// [`rethink_bin`] as a program that a test interrupts. A shell has what it starts in the background ignore interrupts, as it may have
/// done with the test.
pub fn hearing_rethink() -> Command {
    let hearing = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = Command::new("python3");
    command.args(["-c", hearing]).arg(rethink_bin());
    command
}

/// The command line, built in release from the present sources the first time a test asks for it.
pub fn rethink_bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        // TARGET/PROFILE/deps/this-test
        let test = std::env::current_exe().expect("a running test has a path");
        let target = test.ancestors().nth(3).expect("cargo puts tests three folders deep");
        let mut cargo = Command::new(env!("CARGO"));
        outside_cargo(&mut cargo);
        let status = cargo
            .args(["build", "--release", "--package", "rethink-cli", "--target-dir"])
            .arg(target)
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(status.success(), "cargo build --release --package rethink-cli: {status}");
        target.join("release").join(format!("rethink{}", std::env::consts::EXE_SUFFIX))
    })
}

/// Options of cargo for a program that one test builds for itself: the command line crunches no numbers. Nor does the library, but
/// where it `draws` the embedded data set, for which a process takes five seconds without optimisation.
pub fn little_optimised(draws: bool) -> &'static [&'static str] {
    let options = &[
        "--config",
        "profile.release.package.rethink-cli.opt-level=0",
        "--config",
        "profile.release.package.rethink.opt-level=0",
    ];
    if draws { &options[..2] } else { options }
}

/// The data set `name` from `RETHINK_DATA`; without it, `None`, and `test` is said to be skipped.
pub fn real_data(name: &str, test: &str) -> Option<Dataset> {
    let places = rethink::data::Places { cache: None, ..rethink::data::Places::from_env() };
    let choice = places.named.is_some().then(|| places.pick(Some(name)).ok()).flatten();
    if choice.is_none() {
        skip(test, Need::Data, format_args!("no {name} in RETHINK_DATA"));
    }
    choice.map(|choice| choice.read().unwrap_or_else(|e| panic!("{name} in RETHINK_DATA: {e}")))
}

/// Trains `config` with checkpoints in `folder`, from the one that is there on, and leaves after `epochs` as a kill would;
/// `None` where it did.
pub fn leaving(
    config: &RunConfig,
    data: &Dataset,
    folder: &Path,
    epochs: u32,
) -> rethink::Result<Option<TrainedRun>> {
    let mut on_epoch = |_: &_| {};
    let progress = Progress {
        folder: Some(folder.to_path_buf()),
        checkpoint_every: Duration::ZERO,
        leave_after: Some(epochs),
        observer: None,
        ..Progress::quiet(&mut on_epoch)
    };
    train(config, data, progress)
}

/// Trains `config`, killed after every single epoch and taken up again; and says how often it was killed.
pub fn killed_after_each_epoch(config: &RunConfig, data: &Dataset) -> (TrainedRun, u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut kills = 0;
    loop {
        match leaving(config, data, folder.path(), kills + 1).expect("it goes on") {
            Some(trained) => return (trained, kills),
            None => kills += 1,
        }
    }
}

/// Numbers between minus and plus `scale`, the same as `formula` in fixtures/summary.py.
pub fn formula(count: usize, multiplier: usize, scale: f64) -> Vec<f32> {
    let value = |i: usize| ((i * multiplier + 13) % 1009) as f64 / 1009.0 * 2.0 * scale - scale;
    (0..count).map(|i| value(i) as f32).collect()
}

/// Fills a network as `fill` in fixtures/conv_step.py does.
pub fn fill(network: &mut Box<dyn Network>, shift: f32, factor: f64) {
    let filled: Vec<Parameter> = network
        .parameters()
        .unwrap()
        .into_iter()
        .enumerate()
        .map(|(number, p)| {
            let fan_in = match p.shape[..] {
                [h, w, c, _] => h * w * c,
                [_, inputs] => inputs,
                _ => 0,
            };
            let scale = if fan_in > 0 { factor * (6.0 / fan_in as f64).sqrt() } else { 0.1 };
            if p.name.ends_with("mean") || p.name.ends_with("variance") {
                return p;
            }
            let mut values = formula(p.values.len(), 7919 + 2 * number, scale);
            if p.name.ends_with("norm.shift") {
                let signs = [shift, shift, shift, -shift].into_iter().cycle();
                values.iter_mut().zip(signs).for_each(|(v, s)| *v += s);
            }
            Parameter { values, ..p }
        })
        .collect();
    network.restore(&filled, Vec::new()).expect("parameters of this network");
}

/// A plan without dropout, whose draws are nobody else's, and without batch normalisation where that is asked for.
pub fn without_dropout(layers: Vec<Layer>, normalised: bool) -> Vec<Layer> {
    let layers = plan::without_dropout(layers);
    if normalised { layers } else { without_normalisation(layers) }
}

fn without_normalisation(layers: Vec<Layer>) -> Vec<Layer> {
    let one = |layer| match layer {
        Layer::Conv { window, outputs, .. } => Layer::Conv { window, outputs, normalised: false },
        Layer::Branches(branches) => {
            Layer::Branches(branches.into_iter().map(without_normalisation).collect())
        }
        Layer::Auxiliary(layers) => Layer::Auxiliary(without_normalisation(layers)),
        other => other,
    };
    layers.into_iter().map(one).collect()
}

/// Whether `values` are those that `summary` in fixtures/summary.py has kept: their norm within `tolerance` of
/// it, and 16 values within `tolerance` of the values' root mean square (or of themselves, where they are larger).
pub fn compare(values: &[f32], expected: &serde_json::Value, tolerance: f64) -> Result<(), String> {
    let number = |v: &serde_json::Value| v.as_f64().ok_or(format!("{v} is no number"));
    if expected["count"].as_u64() != Some(values.len() as u64) {
        return Err(format!("{} values, PyTorch has {}", values.len(), expected["count"]));
    }
    let norm = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let wanted = number(&expected["norm"])?;
    let unit = wanted / (values.len() as f64).sqrt();
    if (norm - wanted).abs() > tolerance * wanted {
        return Err(format!("norm {norm}, PyTorch has {wanted}"));
    }
    for k in 0..16 {
        let (ours, wanted) = (f64::from(values[k * values.len() / 16]), number(&expected["picked"][k])?);
        if (ours - wanted).abs() > tolerance * wanted.abs().max(unit) {
            return Err(format!("value {k}/16: {ours}, PyTorch has {wanted} (root mean square {unit})"));
        }
    }
    Ok(())
}
