//! `limbeck._native.prepare`.

use std::ops::ControlFlow;

use limbeck_core::{Config, Progress};
use pyo3::prelude::*;

use crate::raise;

/// Prepare records for training and return the manifest, both as JSON.
///
/// The interpreter is free meanwhile. `progress` gets a small JSON object some times a second;
/// an exception in it, or a signal such as Ctrl-C, stops the work and leaves nothing behind.
#[pyfunction]
#[pyo3(signature = (config_json, progress = None))]
pub fn prepare(py: Python<'_>, config_json: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
    let config = Config::parse(config_json).map_err(raise)?;
    let mut stopped = None;
    let mut on_progress = |state: &Progress| match tell(progress.as_ref(), state) {
        Ok(()) => ControlFlow::Continue(()),
        Err(exception) => {
            stopped = Some(exception);
            ControlFlow::Break(())
        }
    };
    let manifest = py.detach(|| limbeck_core::prepare(&config, &mut on_progress));
    match (stopped, manifest) {
        (Some(exception), Err(_)) => Err(exception),
        (_, manifest) => to_json(&manifest.map_err(raise)?),
    }
}

fn tell(progress: Option<&Py<PyAny>>, state: &Progress) -> PyResult<()> {
    Python::attach(|py| {
        py.check_signals()?;
        if let Some(progress) = progress {
            progress.call1(py, (to_json(state)?,))?;
        }
        Ok(())
    })
}

fn to_json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value)
        .map_err(|fault| pyo3::exceptions::PyRuntimeError::new_err(fault.to_string()))
}
