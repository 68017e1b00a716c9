//! Input files to chunks of records, never a whole file at once.
//!
//! Chunks are cut by the reading thread, which looks for line ends only; the records in them are
//! read by the workers. What a file holds is told by its first bytes, never by its name: lines,
//! packed lines, Parquet, Arrow. The format of its records is told by the first of them.

mod chunks;
mod columns;
mod json;
mod json_row;
mod lines;
mod list;
mod plain;
mod stream;
mod table;
mod unpack;

use std::fs::File;
use std::io::{self, Read};

use arrow_array::RecordBatch;

pub use self::chunks::Chunks;
use self::columns::{Columns, Imported};
use self::lines::Lines;
pub use self::lines::Stretch;
use self::stream::{Bytes, Content};
use self::table::Table;
use crate::error::{Error, Result};
use crate::import::{self, Row};
use crate::input::{Format, Input, STDIN};
use crate::record::{Fault, Values};

/// A stretch of one input file: whole lines, or whole rows.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Index of the file among the inputs.
    pub source: usize,
    /// What its records are like.
    pub format: Format,
    /// Number of the first line or row, from 1.
    pub line_start: u64,
    /// Where the first line begins in the file, once unpacked.
    pub byte_start: u64,
    /// Bytes of the file, packed as it is, that it stands for.
    pub size: u64,
    /// The lines; none of a table.
    pub lines: Stretch,
    /// Whether it is the beginning of one line that is longer than lines may be.
    pub too_long: bool,
    /// The rows of a table.
    pub table: Option<RecordBatch>,
}

impl Chunk {
    /// Calls `record` with the place and the values of each record, in order; blank lines are none.
    ///
    /// A row in a foreign format may make several records, all of the same place. `split` is the
    /// one that is asked for: what belongs to others is not imported.
    pub fn for_each(&self, split: &str, mut record: impl FnMut(Place, Result<Values<'_>, Fault>)) {
        let native = self.format == Format::Records;
        let keys = self.format.keys();
        let Some(table) = &self.table else {
            let mut room = String::new();
            return lines::for_each(self, |place, line| match line {
                Err(fault) => record(place, Err(fault)),
                Ok(line) if native => record(place, json::values(line, &mut room)),
                Ok(line) => match json_row::row(line, keys) {
                    Ok(row) => {
                        import::for_each(self.format, split, row, |values| record(place, values))
                    }
                    Err(fault) => record(place, Err(fault)),
                },
            });
        };
        let place = |row| Place {
            line: self.line_start + row as u64,
            byte_offset: None,
        };
        if native {
            let columns = Columns::of(table);
            (0..table.num_rows()).for_each(|row| record(place(row), Ok(columns.values(row))));
            return;
        }
        let columns = Imported::of(table, keys);
        for row in 0..table.num_rows() {
            let values = columns.row(row);
            import::for_each(self.format, split, values, |values| {
                record(place(row), values)
            });
        }
    }

    /// The format that the first rows are in.
    fn detect(&self, name: &str) -> Result<Format> {
        let mut rows: Vec<Row<'_>> = Vec::new();
        let mut keys = Vec::new();
        if let Some(table) = &self.table {
            let columns = Imported::of(table, &import::KEYS);
            rows.extend((0..table.num_rows().min(DETECTED_ROWS)).map(|row| columns.row(row)));
            keys.extend(
                table
                    .schema()
                    .fields()
                    .iter()
                    .map(|field| field.name().clone()),
            );
        } else {
            lines::for_each(self, |_, line| {
                if let Ok(line) = line
                    && rows.len() < DETECTED_ROWS
                    && let Ok(row) = json_row::row(line, &import::KEYS)
                {
                    if rows.is_empty() {
                        keys = json_row::keys(line);
                    }
                    rows.push(row);
                }
            });
        }
        import::detect(name, &rows, &keys)
    }
}

/// Records that tell the format of a file.
const DETECTED_ROWS: usize = 16;

/// Where a record stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line, or row of a table, from 1.
    pub line: u64,
    /// First byte of the line, once unpacked; a row of a table has none.
    pub byte_offset: Option<u64>,
}

/// One open input file.
enum Source {
    Lines {
        lines: Lines<Bytes>,
        /// Bytes of a packed file that its chunks so far stand for.
        packed_bytes: u64,
    },
    Table(Table),
}

/// All input files, one after the other.
pub struct Reader {
    inputs: Vec<Input>,
    /// Bytes of all files; standard input counts as none, for no one knows.
    pub total_bytes: u64,
    /// The format of each file so far.
    formats: Vec<Format>,
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
            formats: Vec::with_capacity(inputs.len()),
            current: None,
        })
    }

    /// Fills `chunk` with what comes next; false at the end of the last file.
    ///
    /// `waiting` is called when a signal interrupts a read, or a read takes long, so that a caller
    /// who waits for standard input can be stopped.
    pub fn next(
        &mut self,
        chunk: &mut Chunk,
        waiting: &mut dyn FnMut() -> Result<()>,
    ) -> Result<bool> {
        chunk.table = None;
        loop {
            let source = match &mut self.current {
                Some(source) => source,
                None if self.formats.len() == self.inputs.len() => return Ok(false),
                None => {
                    let input = &self.inputs[self.formats.len()];
                    let (source, format) = open(input, waiting)?;
                    self.formats.push(format);
                    self.current.insert(source)
                }
            };
            chunk.source = self.formats.len() - 1;
            let name = &*self.inputs[chunk.source].path;
            let (more, any) = match source {
                Source::Lines {
                    lines,
                    packed_bytes,
                } => {
                    let more = lines.next(name, chunk, waiting)?;
                    if let Some(bytes) = lines.source().packed_bytes() {
                        chunk.size = bytes - std::mem::replace(packed_bytes, bytes);
                    }
                    (more, lines.any())
                }
                Source::Table(table) => {
                    chunk.lines.clear();
                    (table.next(name, chunk)?, table.any())
                }
            };
            if more {
                let format = &mut self.formats[chunk.source];
                if *format == Format::Auto {
                    *format = chunk.detect(name)?;
                }
                chunk.format = *format;
                return Ok(true);
            }
            if !any {
                return Err(empty(name));
            }
            self.current = None;
        }
    }
}

/// An input that can be read, and its format where that is known by now.
fn open(input: &Input, waiting: &mut dyn FnMut() -> Result<()>) -> Result<(Source, Format)> {
    let name = &*input.path;
    let file = || File::open(name).map_err(|fault| unreadable(name, &fault));
    let source: Box<dyn Read + Send> = match name {
        STDIN => Box::new(io::stdin()),
        _ => Box::new(file()?),
    };
    let (content, bytes) = Bytes::open(name, source, waiting)?;
    // What has its index at the end is opened anew, which a pipe cannot be.
    let again = || match name != STDIN && file()?.metadata().is_ok_and(|data| data.is_file()) {
        true => file(),
        false => Err(Error::input(
            name,
            "Parquet and Arrow files cannot be read from a pipe",
            "give the file by its name, or pipe an Arrow stream",
        )),
    };
    // Of an unlabelled source only the question is read, which no other format has.
    let mut format = match input.labelled {
        true => input.format,
        false => Format::Records,
    };
    let source = match content {
        Content::Lines => Source::Lines {
            lines: Lines::new(bytes),
            packed_bytes: 0,
        },
        Content::ArrowStream => Source::Table(Table::arrow_stream(name, bytes)?),
        Content::ArrowFile => Source::Table(Table::arrow_file(name, again()?)?),
        Content::Parquet => {
            if format == Format::Auto {
                let mut first = Chunk::default();
                if Table::parquet(name, again()?, None)?.next(name, &mut first)? {
                    format = first.detect(name)?;
                }
            }
            Source::Table(Table::parquet(name, again()?, Some(format.keys()))?)
        }
    };
    Ok((source, format))
}

/// What reading `name` said.
fn failed(name: &str, fault: io::Error) -> Error {
    let inner = fault.get_ref();
    if let Some(broken) = inner.and_then(|inner| inner.downcast_ref::<unpack::Broken>()) {
        return Error::input(
            format!("{name}: byte {}", broken.packed_bytes),
            broken.to_string(),
            "fetch or pack the file again",
        );
    }
    if let Some(unended) = inner.and_then(|inner| inner.downcast_ref::<list::Unended>()) {
        return Error::input(name, unended.to_string(), "fetch the file again");
    }
    Error::io(name)(fault)
}

fn unreadable(name: &str, fault: &io::Error) -> Error {
    Error::input(name, format!("cannot be read ({fault})"), "check the path")
}

fn empty(name: &str) -> Error {
    Error::input(name, "holds no record", "leave it out or fill it")
}
