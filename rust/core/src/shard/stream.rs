//! An Arrow IPC stream in a file, and the hash of its bytes.

use std::io;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema};

use super::disk::DiskFile;
use super::message::{self, List};

/// Writes record batches, uncompressed, so that readers can map the file into memory.
pub struct Stream(StreamWriter<DiskFile>);

impl Stream {
    /// Creates the file and writes the schema.
    pub fn create(path: &Path, schema: &Schema) -> io::Result<Self> {
        let writer = StreamWriter::try_new(DiskFile::create(path)?, schema);
        writer.map(Self).map_err(failed)
    }

    /// Appends a batch.
    pub fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.0.write(batch).map_err(failed)
    }

    /// Appends a batch of list columns straight from their buffers.
    pub fn write_lists(&mut self, rows: usize, columns: &[List<'_>]) -> io::Result<()> {
        message::write_lists(self.0.get_mut(), rows, columns)
    }

    /// Ends the stream; returns the hash of all bytes.
    pub fn finish(self) -> io::Result<String> {
        let hash = self.0.into_inner().map_err(failed)?.finish()?;
        Ok(format!("{hash:032x}"))
    }
}

/// For `map_err`: what Arrow says of the file.
pub fn failed(fault: ArrowError) -> io::Error {
    match fault {
        ArrowError::IoError(_, source) => source,
        other => io::Error::other(other),
    }
}
