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
