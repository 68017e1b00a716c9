//! An Arrow IPC stream in a file, and the hash of its bytes.

use std::io;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema};

use super::disk::DiskFile;
use super::message::{self, List};
use crate::error::{Error, Result};

/// Writes record batches, uncompressed, so that readers can map the file into memory.
pub struct Stream {
    path: PathBuf,
    writer: StreamWriter<DiskFile>,
}

impl Stream {
    /// Creates the file and writes the schema.
    pub fn create(path: &Path, schema: &Schema) -> Result<Self> {
        let file = DiskFile::create(path).map_err(Error::io(path))?;
        let writer = StreamWriter::try_new(file, schema).map_err(failed(path))?;
        Ok(Self {
            path: path.to_owned(),
            writer,
        })
    }

    /// Appends a batch.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(failed(&self.path))
    }

    /// Appends a batch of list columns straight from their buffers.
    pub fn write_lists(&mut self, rows: usize, columns: &[List<'_>]) -> Result<()> {
        let written = message::write_lists(self.writer.get_mut(), rows, columns);
        written.map_err(Error::io(&self.path))
    }

    /// Ends the stream; returns the hash of all bytes.
    pub fn finish(self) -> Result<String> {
        let file = self.writer.into_inner().map_err(failed(&self.path))?;
        let hash = file.finish().map_err(Error::io(&self.path))?;
        Ok(format!("{hash:032x}"))
    }
}

/// For `map_err`: what Arrow says of the file at `path`.
pub fn failed(path: &Path) -> impl FnOnce(ArrowError) -> Error {
    let path = path.to_owned();
    move |fault| {
        let source = match fault {
            ArrowError::IoError(_, source) => source,
            other => io::Error::other(other),
        };
        Error::io(path)(source)
    }
}
