//! The one error type of data, runs and studies; those of the networks and of the drawings become this one.

use std::path::{Path, PathBuf};

/// Everything that can go wrong, each with the operation that failed and what it failed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("{operation}: {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb phrase ("read the labels").
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own word.
        source: std::io::Error,
    },
    /// A file does not hold what its format says.
    #[error("{operation}: {}: {problem}", path.display())]
    Format {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, with the place and the numbers.
        problem: String,
    },
    /// A later version of this program wrote the file, and it holds what this one does not know.
    #[error("{operation}: {}: {problem}", path.display())]
    Later {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What is not known.
        problem: String,
    },
    /// Two shapes that should agree do not.
    #[error("{operation}: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// What was being done.
        operation: &'static str,
        /// The shape the operation takes.
        expected: Vec<usize>,
        /// The shape it was given.
        got: Vec<usize>,
    },
    /// A value that the caller chose is outside its range or unknown.
    #[error("{operation}: {problem}")]
    Argument {
        /// What was being done.
        operation: &'static str,
        /// What is wrong, the accepted values with it.
        problem: String,
    },
    /// Something the user has to provide is not there.
    #[error("{what}\n  {remedy}")]
    Missing {
        /// What is missing.
        what: String,
        /// The command or setting that provides it.
        remedy: String,
    },
    /// A result frame could not be built, read or written.
    #[error("{operation}: {source}")]
    Frame {
        /// What was being done.
        operation: &'static str,
        /// polars' own word.
        source: Box<polars::error::PolarsError>,
    },
    /// A tensor operation of dfdx failed.
    #[error("{operation}: {problem}")]
    Tensor {
        /// What was being done.
        operation: &'static str,
        /// dfdx's own word.
        problem: String,
    },
    /// A drawing could not be made.
    #[error("{operation}: {problem}")]
    Drawing {
        /// The figure or step.
        operation: &'static str,
        /// The drawing library's own word.
        problem: String,
    },
    /// A download failed.
    #[error("{operation}: {url}: {problem}")]
    Network {
        /// What was being done.
        operation: &'static str,
        /// From where.
        url: String,
        /// What went wrong.
        problem: String,
    },
    /// Something is not as it is stored or has to be.
    #[error("{what}\n  {remedy}")]
    Different {
        /// What differs.
        what: String,
        /// What to do, if it should.
        remedy: String,
    },
    /// The work was to end early, and what it had kept is kept ([`rethink_nn::interrupt`]).
    #[error("{what}")]
    Interrupted {
        /// What was being done, and what is kept of it.
        what: String,
    },
    /// Another program that this one needs is absent or failed.
    #[error("{program}: {problem}\n  {remedy}")]
    Program {
        /// The program.
        program: String,
        /// What it said or how it ended.
        problem: String,
        /// What the user can do.
        remedy: String,
    },
}

/// The crate's result. In a notebook it stands for the standard library's as well: `Result<f64, String>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err`: an I/O failure of `operation` on `path`.
    pub fn io(operation: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { operation, path, source }
    }

    /// For `map_err`: a polars failure of `operation`.
    pub fn frame(operation: &'static str) -> impl FnOnce(polars::error::PolarsError) -> Error {
        move |source| Error::Frame { operation, source: Box::new(source) }
    }

    /// A malformed file.
    pub fn format(operation: &'static str, path: impl AsRef<Path>, problem: impl Into<String>) -> Error {
        Error::Format { operation, path: path.as_ref().to_path_buf(), problem: problem.into() }
    }

    /// A value out of range.
    pub fn argument(operation: &'static str, problem: impl Into<String>) -> Error {
        Error::Argument { operation, problem: problem.into() }
    }

    /// For `map_err`: a plotters, usvg or svg2pdf failure of `operation`.
    pub fn drawing<E: std::fmt::Display>(operation: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::Drawing { operation, problem: source.to_string() }
    }
}

/// For functions in notebooks. In the crate, [`Error::frame`] says what was being done.
impl From<polars::error::PolarsError> for Error {
    fn from(error: polars::error::PolarsError) -> Error {
        Error::frame("work on a frame")(error)
    }
}

impl From<rethink_nn::Error> for Error {
    fn from(error: rethink_nn::Error) -> Error {
        match error {
            rethink_nn::Error::Io { operation, path, source } => Error::Io { operation, path, source },
            rethink_nn::Error::Format { operation, path, problem } => {
                Error::Format { operation, path, problem }
            }
            rethink_nn::Error::Shape { operation, expected, got } => {
                Error::Shape { operation, expected, got }
            }
            rethink_nn::Error::Argument { operation, problem } => Error::Argument { operation, problem },
            rethink_nn::Error::Missing { what, remedy } => Error::Missing { what, remedy },
            rethink_nn::Error::Interrupted { what } => Error::Interrupted { what },
            rethink_nn::Error::Tensor { operation, problem } => Error::Tensor { operation, problem },
            rethink_nn::Error::Program { program, problem, remedy } => {
                Error::Program { program, problem, remedy }
            }
        }
    }
}

impl From<rethink_plot::Error> for Error {
    fn from(error: rethink_plot::Error) -> Error {
        match error {
            rethink_plot::Error::Io { operation, path, source } => Error::Io { operation, path, source },
            rethink_plot::Error::Shape { operation, expected, got } => {
                Error::Shape { operation, expected, got }
            }
            rethink_plot::Error::Argument { operation, problem } => Error::Argument { operation, problem },
            rethink_plot::Error::Frame { operation, source } => Error::Frame { operation, source },
            rethink_plot::Error::Drawing { operation, problem } => Error::Drawing { operation, problem },
        }
    }
}
