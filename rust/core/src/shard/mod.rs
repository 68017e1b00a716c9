//! The files of a prepared directory that `datasets.load_from_disk` and the trainer open.

mod disk;
mod examples;
mod held_out;
mod message;
mod rejected;
mod rows;
mod stream;

use std::fs;
use std::path::Path;

use serde_json::json;

pub use self::examples::{ExampleEntry, ExampleWriter};
pub use self::held_out::HeldOutWriter;
pub use self::rejected::{Rejected, RejectedWriter};
pub use self::rows::RowWriter;
use crate::error::{Error, Result};

/// The rows.
pub const ROWS_FILE: &str = "data-00000-of-00001.arrow";
/// Where each example came from.
pub const EXAMPLES_FILE: &str = "examples.arrow";
/// What was not kept, and why.
pub const REJECTED_FILE: &str = "rejected.jsonl";
/// What is held out for validation.
pub const HELD_OUT_FILE: &str = "validation.jsonl";
/// What is in the directory.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The tokenizer, with the tokens that the method adds.
pub const TOKENIZER_DIR: &str = "tokenizer";
/// Written last: a directory without it is no data set.
pub const STATE_FILE: &str = "state.json";

/// `dataset_info.json`; empty, so that every version of `datasets` takes the types from the rows.
pub fn write_dataset_info(directory: &Path) -> Result<()> {
    write(&directory.join("dataset_info.json"), "{}\n")
}

/// `state.json`, which makes the directory a data set.
pub fn write_state(directory: &Path, fingerprint: &str) -> Result<()> {
    let state = json!({
        "_data_files": [{"filename": ROWS_FILE}],
        "_fingerprint": fingerprint,
        "_format_columns": null,
        "_format_kwargs": {},
        "_format_type": null,
        "_output_all_columns": false,
        "_split": null,
    });
    write(&directory.join(STATE_FILE), &format!("{state:#}\n"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::io(path))
}
