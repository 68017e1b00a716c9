//! An Arrow IPC stream in a file, and the hash of its bytes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema};
use xxhash_rust::xxh3::Xxh3Default;

use super::flusher::Flusher;
use super::message::{self, List};
use crate::error::{Error, Result};

/// Writes record batches, uncompressed, so that readers can map the file into memory.
pub struct Stream {
    path: PathBuf,
    writer: StreamWriter<BufWriter<Hashed>>,
}

impl Stream {
    /// Creates the file and writes the schema.
    pub fn create(path: &Path, schema: &Schema) -> Result<Self> {
        let file = File::create(path).map_err(Error::io(path))?;
        let file = Hashed {
            flusher: Flusher::new(&file).map_err(Error::io(path))?,
            file,
            hash: Xxh3Default::new(),
        };
        let writer = StreamWriter::try_new_buffered(file, schema).map_err(failed(path))?;
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
        let buffered = self.writer.into_inner().map_err(failed(&self.path))?;
        let mut file = buffered
            .into_inner()
            .map_err(|fault| Error::io(&self.path)(fault.into_error()))?;
        file.flusher.finish().map_err(Error::io(&self.path))?;
        Ok(format!("{:032x}", file.hash.digest128()))
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

/// A file that hashes what goes into it.
struct Hashed {
    file: File,
    flusher: Flusher,
    hash: Xxh3Default,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.flusher.wrote(count)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
