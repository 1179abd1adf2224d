//! `rethink kernel`: the notebooks' kernel for the user's own JupyterLab, VS Code, nbconvert and papermill.

use crate::Result;
use crate::jupyter::{self, kernel};
use std::path::PathBuf;

/// Into which of Jupyter's folders.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The user's own, which every Jupyter of the user looks into [the default]
    #[arg(long, conflicts_with = "prefix")]
    user: bool,
    /// That of the Python environment in DIR (DIR/share/jupyter)
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Also where the kernel there belongs to another clone or program
    #[arg(long)]
    replace: bool,
}

/// The family's commands.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Kernel {
    /// Set up what is missing, and show this clone's kernel to every Jupyter of the user
    Install {
        /// Where.
        #[command(flatten)]
        place: Place,
    },
    /// Take it away again; the clone stays as it is
    Uninstall {
        /// Where.
        #[command(flatten)]
        place: Place,
    },
}

impl Place {
    fn data(&self) -> Result<PathBuf> {
        match &self.prefix {
            Some(prefix) => Ok(prefix.join("share/jupyter")),
            None => kernel::user_data(),
        }
    }
}

impl Kernel {
    /// Does it.
    ///
    /// Errors: [`crate::Error::Different`] where the kernel belongs to another clone; those of setting up and of files.
    pub fn perform(self) -> Result<()> {
        let root = jupyter::root()?;
        match self {
            Kernel::Install { place } => install(&root, &place),
            Kernel::Uninstall { place } => uninstall(&root, &place),
        }
    }
}

fn install(root: &std::path::Path, place: &Place) -> Result<()> {
    let data = place.data()?;
    let environment = jupyter::ensure(root)?;
    let spec = kernel::install_for(&environment, &data, place.replace)?;
    println!("the kernel {:?} is in {}", kernel::DISPLAY_NAME, spec.display());
    println!("a notebook in any folder begins with");
    println!("    :dep rethink = {{ path = {:?} }}", environment.root.join("crate/rethink"));
    println!("    use rethink::prelude::*;");
    println!("papermill needs once, in its own Python environment:");
    println!("    pip install {}", environment.home().join("papermill").display());
    println!("`rethink kernel uninstall` takes the kernel away; a clone that is moved installs it again");
    Ok(())
}

fn uninstall(root: &std::path::Path, place: &Place) -> Result<()> {
    let data = place.data()?;
    match kernel::uninstall_from(root, &data, place.replace)? {
        Some(spec) => println!("removed: {}", spec.display()),
        None => println!("there is no kernel {:?} in {}", kernel::NAME, data.join("kernels").display()),
    }
    Ok(())
}
