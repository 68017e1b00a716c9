//! Input files to chunks of records, never a whole file at once.
//!
//! Chunks are cut by the reading thread, which looks for line ends only; the records in them are
//! read by the workers.

mod json;
mod lines;
mod parquet;
mod plain;

use std::fs::File;
use std::io::{self, Read, Seek};

use arrow_array::RecordBatch;

use self::lines::Lines;
use self::parquet::Table;
use crate::error::{Error, Result};
use crate::input::{Input, STDIN};
use crate::record::{Fault, Values};

/// A stretch of one input file: whole lines, or whole rows.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Index of the file among the inputs.
    pub source: usize,
    /// Number of the first line or row, from 1.
    pub line_start: u64,
    /// Where the first line begins in the file.
    pub byte_start: u64,
    /// Bytes of the file that it stands for.
    pub size: u64,
    /// The lines' bytes; empty for a table.
    pub bytes: Vec<u8>,
    /// The rows of a Parquet file.
    pub table: Option<RecordBatch>,
}

impl Chunk {
    /// Calls `record` with the place and the values of each record, in order; blank lines are none.
    pub fn for_each<'a>(&'a self, mut record: impl FnMut(Place, Result<Values<'a>, Fault>)) {
        if let Some(table) = &self.table {
            let columns = parquet::Columns::of(table);
            for row in 0..table.num_rows() {
                let place = Place {
                    line: self.line_start + row as u64,
                    byte_offset: None,
                };
                record(place, Ok(columns.values(row)));
            }
        } else {
            lines::for_each(self, |place, line| record(place, json::values(line)));
        }
    }
}

/// Where a record stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line, or row of a table, from 1.
    pub line: u64,
    /// First byte of the line; a row of a table has none.
    pub byte_offset: Option<u64>,
}

/// One open input file.
enum Source {
    Lines(Lines<Box<dyn Read>>),
    Table(Table),
}

/// All input files, one after the other.
pub struct Reader {
    inputs: Vec<Input>,
    /// Bytes of all files; standard input counts as none, for no one knows.
    pub total_bytes: u64,
    next: usize,
    current: Option<Source>,
}

impl Reader {
    /// Checks that every file can be read, so that the last one does not fail an hour later.
    pub fn open(inputs: &[Input]) -> Result<Self> {
        let names = || inputs.iter().map(|input| &*input.path);
        let mut total_bytes = 0;
        for name in names().filter(|name| *name != STDIN) {
            let file = File::open(name).map_err(|fault| unreadable(name, &fault))?;
            let metadata = file.metadata().map_err(|fault| unreadable(name, &fault))?;
            if metadata.is_dir() {
                return Err(Error::input(
                    name,
                    "a directory, not a file",
                    format!(
                        "name its files, such as '{}/*.jsonl'",
                        name.trim_end_matches('/')
                    ),
                ));
            }
            if metadata.is_file() && metadata.len() == 0 {
                return Err(empty(name));
            }
            total_bytes += metadata.len();
        }
        if names().filter(|name| *name == STDIN).count() > 1 {
            return Err(Error::input(
                STDIN,
                "given twice",
                "standard input ends only once",
            ));
        }
        Ok(Self {
            inputs: inputs.to_vec(),
            total_bytes,
            next: 0,
            current: None,
        })
    }

    /// Fills `chunk` with what comes next; false at the end of the last file.
    ///
    /// `waiting` is called when a signal interrupts a read, so that a caller who waits for standard
    /// input can be stopped.
    pub fn next(
        &mut self,
        chunk: &mut Chunk,
        waiting: &mut dyn FnMut() -> Result<()>,
    ) -> Result<bool> {
        chunk.table = None;
        chunk.bytes.clear();
        loop {
            let source = match &mut self.current {
                Some(source) => source,
                None if self.next == self.inputs.len() => return Ok(false),
                None => {
                    let source = open(&self.inputs[self.next].path)?;
                    self.next += 1;
                    self.current.insert(source)
                }
            };
            chunk.source = self.next - 1;
            let name = &*self.inputs[chunk.source].path;
            let (more, any) = match source {
                Source::Lines(lines) => (lines.next(name, chunk, waiting)?, lines.any()),
                Source::Table(table) => (table.next(name, chunk)?, table.any()),
            };
            if more {
                return Ok(true);
            }
            if !any {
                return Err(empty(name));
            }
            self.current = None;
        }
    }
}

fn open(name: &str) -> Result<Source> {
    if name == STDIN {
        return Ok(Source::Lines(Lines::new(Box::new(io::stdin()))));
    }
    let mut file = File::open(name).map_err(|fault| unreadable(name, &fault))?;
    if is_parquet(&mut file).map_err(|fault| unreadable(name, &fault))? {
        return Ok(Source::Table(Table::open(name, file)?));
    }
    Ok(Source::Lines(Lines::new(Box::new(file))))
}

/// Whether a file begins as Parquet files do. Pipes cannot be read twice and hold lines.
fn is_parquet(file: &mut File) -> io::Result<bool> {
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut magic = Vec::with_capacity(4);
    file.take(4).read_to_end(&mut magic)?;
    file.rewind()?;
    Ok(magic == b"PAR1")
}

fn unreadable(name: &str, fault: &io::Error) -> Error {
    Error::input(name, format!("cannot be read ({fault})"), "check the path")
}

fn empty(name: &str) -> Error {
    Error::input(name, "holds no record", "leave it out or fill it")
}
