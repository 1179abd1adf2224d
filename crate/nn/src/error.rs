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
    /// A tensor operation of dfdx failed.
    #[error("{operation}: {problem}")]
    Tensor {
        /// What was being done.
        operation: &'static str,
        /// dfdx's own word.
        problem: String,
    },
    /// The work was to end early, and what it had kept is kept ([`crate::interrupt`]).
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

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err`: an I/O failure of `operation` on `path`.
    pub fn io(operation: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { operation, path, source }
    }

    /// A malformed file.
    pub fn format(operation: &'static str, path: impl AsRef<Path>, problem: impl Into<String>) -> Error {
        Error::Format { operation, path: path.as_ref().to_path_buf(), problem: problem.into() }
    }

    /// A value out of range.
    pub fn argument(operation: &'static str, problem: impl Into<String>) -> Error {
        Error::Argument { operation, problem: problem.into() }
    }

    /// For `map_err`: a dfdx failure of `operation`.
    pub fn tensor<E: std::fmt::Debug>(operation: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::Tensor { operation, problem: format!("{source:?}") }
    }
}
