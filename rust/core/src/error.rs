//! What can go wrong, said so that the user knows where and what to do.

use std::path::PathBuf;

/// The error of every fallible function of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's input or settings are at fault.
    #[error("{place}: {problem}; {remedy}")]
    Input {
        /// `file:line: field`, a file, or a recipe key.
        place: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// The system refused to read or write.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory concerned.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// An [`Error::Input`] from its three parts.
    pub fn input(
        place: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Input {
            place: place.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// For `map_err`: an [`Error::Io`] at `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
