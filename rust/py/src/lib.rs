//! `limbeck._native`: options in, core call, error out.

mod prepare;
mod text;

use limbeck_core::Error;
use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError};
use pyo3::prelude::*;

pyo3::import_exception!(limbeck.errors, InputError);

/// The Python exception for a core error.
fn raise(error: Error) -> PyErr {
    match error {
        Error::Input { .. } => InputError::new_err(error.to_string()),
        Error::Io { path, source } => {
            PyOSError::new_err((source.raw_os_error(), source.to_string(), path))
        }
        Error::Cancelled => PyKeyboardInterrupt::new_err(()),
    }
}

/// The Rust core of limbeck.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::prepare::prepare;
    #[pymodule_export]
    use super::text::{Renderer, answers_equal, conclusion, render_chat};

    /// The version of the package.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "a Python name")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
