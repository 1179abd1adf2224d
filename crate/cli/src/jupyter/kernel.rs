//! The project's own kernel spec: what Jupyter starts when a notebook asks for `rethink`.

use crate::jupyter::environment::Environment;
use crate::{Error, Result};
use rethink_plot::files;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The kernel's name in a notebook's metadata.
pub const NAME: &str = "rethink";
/// The kernel's name in JupyterLab.
pub const DISPLAY_NAME: &str = "Rust (rethink)";

/// The programs that run in Python or the shell, and nbconvert's template of a book, as they are written under `.rethink/jupyter`:
/// name, contents, whether it is executable.
const PROGRAMS: [(&str, &str, bool); 11] = [
    ("launch.py", include_str!("launch.py"), false),
    ("relay.py", include_str!("relay.py"), false),
    ("run.py", include_str!("run.py"), false),
    ("nbval_strict.py", include_str!("nbval_strict.py"), false),
    ("templates/book/conf.json", include_str!("book/conf.json"), false),
    ("templates/book/index.html.j2", include_str!("book/index.html.j2"), false),
    ("tools/bin/cargo", include_str!("tools/bin/cargo"), true),
    ("tools/bin/rustup", include_str!("tools/bin/rustup"), true),
    ("tools/mirror.py", include_str!("tools/mirror.py"), false),
    ("tools/metadata.py", include_str!("tools/metadata.py"), false),
    ("tools/evcxr/evcxr.toml", include_str!("tools/evcxr/evcxr.toml"), false),
];

/// Writes the programs and the kernel spec, each only where it differs.
pub(crate) fn install(environment: &Environment) -> Result<()> {
    let home = environment.home();
    for (name, text, executable) in PROGRAMS {
        write_changed(&home.join(name), text.as_bytes(), executable)?;
    }
    // What launch.py shows for the standard library's sources.
    let folder = home.join("tools/no-rust-src/core");
    fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;

    let spec = environment.venv().join("share/jupyter/kernels").join(NAME);
    let argv: Vec<_> = [
        environment.python.clone(),
        "-I".into(),
        home.join("launch.py"),
        environment.root.clone(),
        environment.build.clone(),
        environment.evcxr.clone(),
    ]
    .iter()
    .map(|p| p.to_string_lossy().into_owned())
    .chain(["{connection_file}".to_string()])
    .collect();
    let kernel = json!({
        "argv": argv,
        "display_name": DISPLAY_NAME,
        "language": "rust",
        "interrupt_mode": "message",
    });
    let text = serde_json::to_string_pretty(&kernel).expect("strings are JSON");
    if !spec.join("logo-64x64.png").is_file() {
        logos(&environment.evcxr, &spec)?;
    }
    write_changed(&spec.join("kernel.json"), text.as_bytes(), false)
}

/// evcxr carries the Rust logo with its licence; it gives them out by installing its own spec.
fn logos(evcxr: &Path, spec: &Path) -> Result<()> {
    let aside = evcxrs_own(evcxr)?;
    for name in ["logo-LICENSE.md", "logo-32x32.png", "logo-64x64.png"] {
        let from = aside.path().join("kernels/rust").join(name);
        let bytes = fs::read(&from).map_err(Error::io("read the kernel's logo", &from))?;
        files::write_whole(&spec.join(name), &bytes)?;
    }
    Ok(())
}

/// A folder for `JUPYTER_PATH` with the kernel spec of evcxr's own making, which is called `rust`.
pub(crate) fn evcxrs_own(evcxr: &Path) -> Result<TempDir> {
    let folder =
        tempfile::tempdir().map_err(Error::io("create a temporary folder in", std::env::temp_dir()))?;
    let said = Command::new(evcxr).arg("--install").env("JUPYTER_PATH", folder.path()).output();
    let failed = |problem: String| Error::Program {
        program: evcxr.display().to_string(),
        problem,
        remedy: "remove .rethink/bin and run this again; it will be installed anew".into(),
    };
    let said = said.map_err(|e| failed(e.to_string()))?;
    if !said.status.success() {
        return Err(failed(String::from_utf8_lossy(&said.stderr).trim().to_string()));
    }
    Ok(folder)
}

fn write_changed(path: &Path, bytes: &[u8], executable: bool) -> Result<()> {
    if fs::read(path).ok().as_deref() != Some(bytes) {
        files::write_whole(path, bytes)?;
    }
    #[cfg(unix)]
    if executable {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("make executable", path))?;
    }
    let _ = executable;
    Ok(())
}
