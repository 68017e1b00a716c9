//! `rejected.jsonl`: for each rejected candidate where it stands and why.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::disk::DiskFile;
use crate::error::{Error, Result};

/// One line of the file.
#[derive(Debug, Serialize)]
pub struct RejectedLine<'a> {
    /// Its number among the candidates.
    pub example_id: i64,
    /// What the record is called.
    pub record_id: Option<&'a str>,
    /// The name of the template, where there are several and it got as far as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<&'a str>,
    /// The input file.
    pub source: &'a str,
    /// Line or row in it, from 1.
    pub line: u64,
    /// Where the line begins.
    pub byte_offset: Option<u64>,
    /// The reason's name.
    pub reason: &'a str,
    /// `field: what is wrong`.
    pub detail: String,
}

/// Writes lines in the order in which they come.
pub struct RejectedWriter {
    file: DiskFile,
    /// A line before it goes to the file, which takes it in one piece.
    bytes: Vec<u8>,
    path: PathBuf,
}

impl RejectedWriter {
    /// Creates the file.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self {
            file: DiskFile::create(path).map_err(Error::io(path))?,
            bytes: Vec::new(),
            path: path.to_owned(),
        })
    }

    /// Writes a line.
    pub fn write(&mut self, line: &RejectedLine<'_>) -> Result<()> {
        self.bytes.clear();
        serde_json::to_writer(&mut self.bytes, line)
            .map_err(std::io::Error::from)
            .and_then(|()| {
                self.bytes.push(b'\n');
                self.file.write_all(&self.bytes)
            })
            .map_err(Error::io(&self.path))
    }

    /// Ends the file.
    pub fn finish(self) -> Result<()> {
        self.file.finish().map_err(Error::io(&self.path))?;
        Ok(())
    }
}
