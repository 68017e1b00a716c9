//! `validation.jsonl`: the records that are held out, as records again; absent where there are none.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::disk::DiskFile;
use crate::error::{Error, Result};

/// Writes lines in the order in which they come.
pub struct HeldOutWriter {
    file: Option<DiskFile>,
    path: PathBuf,
}

impl HeldOutWriter {
    /// A writer that creates the file when there is something to write.
    pub fn new(path: &Path) -> Self {
        Self {
            file: None,
            path: path.to_owned(),
        }
    }

    /// Writes whole lines.
    pub fn write(&mut self, lines: &[u8]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => DiskFile::create(&self.path).map_err(Error::io(&self.path))?,
        };
        self.file
            .insert(file)
            .write_all(lines)
            .map_err(Error::io(&self.path))
    }

    /// Ends the file.
    pub fn finish(self) -> Result<()> {
        if let Some(file) = self.file {
            file.finish().map_err(Error::io(&self.path))?;
        }
        Ok(())
    }
}
