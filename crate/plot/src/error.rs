//! The crate's one error type.

use std::path::{Path, PathBuf};

/// Everything that can go wrong, each with the operation that failed and what it failed on.
#[derive(Debug, thiserror::Error)]
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
    /// A result frame could not be built, read or written.
    #[error("{operation}: {source}")]
    Frame {
        /// What was being done.
        operation: &'static str,
        /// polars' own word.
        source: Box<polars::error::PolarsError>,
    },
    /// A drawing could not be made.
    #[error("{operation}: {problem}")]
    Drawing {
        /// The figure or step.
        operation: &'static str,
        /// The drawing library's own word.
        problem: String,
    },
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

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

    /// A value out of range.
    pub fn argument(operation: &'static str, problem: impl Into<String>) -> Error {
        Error::Argument { operation, problem: problem.into() }
    }

    /// For `map_err`: a plotters, usvg or svg2pdf failure of `operation`.
    pub fn drawing<E: std::fmt::Display>(operation: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::Drawing { operation, problem: source.to_string() }
    }
}
