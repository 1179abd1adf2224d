//! Helpers of the tests by area.

use rethink::jupyter::setup::outside_cargo;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
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
            .args(["build", "--release", "--package", "rethink", "--target-dir"])
            .arg(target)
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(status.success(), "cargo build --release --package rethink: {status}");
        target.join("release").join(format!("rethink{}", std::env::consts::EXE_SUFFIX))
    })
}

/// The data set `name` from `RETHINK_DATA`; without it, `None`, and `test` is said to be skipped.
pub fn real_data(name: &str, test: &str) -> Option<rethink::data::Dataset> {
    let places = rethink::data::Places { cache: None, ..rethink::data::Places::from_env() };
    let choice = places.named.is_some().then(|| places.pick(Some(name)).ok()).flatten();
    if choice.is_none() {
        println!("skipped: {test}: no {name} in RETHINK_DATA");
    }
    choice.map(|choice| choice.read().unwrap_or_else(|e| panic!("{name} in RETHINK_DATA: {e}")))
}

/// Numbers between minus and plus `scale`, the same as `formula` in fixtures/summary.py.
pub fn formula(count: usize, multiplier: usize, scale: f64) -> Vec<f32> {
    let value = |i: usize| ((i * multiplier + 13) % 1009) as f64 / 1009.0 * 2.0 * scale - scale;
    (0..count).map(|i| value(i) as f32).collect()
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
