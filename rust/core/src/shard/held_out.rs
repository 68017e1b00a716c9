//! `validation.jsonl`: the records that are held out, as records again; absent where there are none.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes lines in the order in which they come.
pub struct HeldOutWriter {
    file: Option<BufWriter<File>>,
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
            None => BufWriter::new(File::create(&self.path).map_err(Error::io(&self.path))?),
        };
        self.file
            .insert(file)
            .write_all(lines)
            .map_err(Error::io(&self.path))
    }

    /// Ends the file.
    pub fn finish(self) -> Result<()> {
        match self.file {
            Some(mut file) => file.flush().map_err(Error::io(&self.path)),
            None => Ok(()),
        }
    }
}
