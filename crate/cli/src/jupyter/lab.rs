//! JupyterLab on the notebooks, with the kernel.

use crate::jupyter::{home, kernel, setup};
use crate::{Error, Result};
use std::path::Path;

/// Sets up what is missing and opens JupyterLab on `root`'s notebooks: on this machine's loopback
/// address, behind the token that JupyterLab prints. `args` go to JupyterLab (`--no-browser`, `--port`).
/// What they set of what is set here (`--ServerApp.root_dir`) counts. Returns when JupyterLab ends.
///
/// Errors: those of [`setup::ensure`]; [`Error::Program`] when JupyterLab does not run or ends badly.
pub fn lab(root: &Path, args: &[String]) -> Result<()> {
    let environment = setup::ensure(root)?;
    setup::standard_library_sources(&environment)?;
    if !home::writable(&environment.root.join("notebooks")) {
        let root = environment.root.display();
        rethink_plot::tell!(
            "{root} cannot be written: notebooks run, and changes of them can be saved elsewhere only"
        );
    }
    if let Some(folder) = home::stand_in(&environment.root) {
        let folder = folder.display();
        rethink_plot::tell!(
            "Jupyter's folders in your home cannot be written: its settings are kept in {folder}"
        );
    }
    let failed = |problem: String| Error::Program {
        program: "JupyterLab".into(),
        problem,
        remedy: "correct what it says above (its options go behind `rethink lab`, as `--port=8889`)".into(),
    };
    let own = [
        format!("--ServerApp.root_dir={}", environment.root.display()),
        "--ServerApp.ip=127.0.0.1".into(),
        "--LabApp.default_url=/lab/tree/notebooks".into(),
        format!("--MappingKernelManager.default_kernel_name={}", kernel::NAME),
    ];
    let status = environment
        .python()
        .args(["-m", "jupyterlab"])
        .args(own.iter().filter(|option| !is_set(args, option)))
        .args(args)
        .current_dir(&environment.root)
        .status()
        .map_err(|e| failed(e.to_string()))?;
    // Ctrl-C is how JupyterLab is meant to be ended.
    if status.success() || status.code().is_none() { Ok(()) } else { Err(failed(status.to_string())) }
}

/// Whether `args` set what `option` sets: JupyterLab takes each option once.
fn is_set(args: &[String], option: &str) -> bool {
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_string();
    args.iter().any(|arg| name(arg) == name(option))
}

#[cfg(test)]
mod tests {
    use super::is_set;

    #[test]
    fn an_option_of_the_user_takes_the_place_of_the_same_one_here() {
        let args =
            ["--no-browser", "--ServerApp.root_dir=/tmp", "--ServerApp.ip", "0.0.0.0"].map(String::from);
        assert!(is_set(&args, "--ServerApp.root_dir=/work"));
        assert!(is_set(&args, "--ServerApp.ip=127.0.0.1"));
        assert!(!is_set(&args, "--LabApp.default_url=/lab"));
    }
}
