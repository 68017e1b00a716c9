//! `examples.arrow`: for each kept example where it came from, and its rationale if that is asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, Int64Builder, LargeStringBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};

use super::stream::{Stream, failed};
use crate::error::{Error, Result};
use crate::input::Input;

/// Examples of a batch.
const BATCH_EXAMPLES: usize = 8192;
/// Bytes of text in a batch, unless one example has more.
const BATCH_BYTES: usize = 8 << 20;

/// One kept example.
#[derive(Debug)]
pub struct ExampleEntry<'a> {
    /// Its number among the candidates.
    pub example_id: i64,
    /// The number of its template.
    pub template: usize,
    /// What the record is called.
    pub record_id: Option<&'a str>,
    /// Index of the input file.
    pub source: usize,
    /// Line or row in it, from 1.
    pub line: i64,
    /// Where the line begins.
    pub byte_offset: Option<i64>,
    /// Index of the domain; −1 is none.
    pub domain: i32,
    /// The rationale, where it is stored.
    pub rationale: Option<&'a str>,
}

/// Writes entries in the order in which they come.
pub struct ExampleWriter {
    stream: Stream,
    path: PathBuf,
    schema: Arc<Schema>,
    sources: Arc<StringArray>,
    templates: Arc<StringArray>,
    example_id: Int64Builder,
    record_id: StringBuilder,
    source: Int32Builder,
    line: Int64Builder,
    byte_offset: Int64Builder,
    domain: Int32Builder,
    template: Int32Builder,
    rationale: LargeStringBuilder,
    examples: usize,
    bytes: usize,
}

impl ExampleWriter {
    /// Creates the file; `inputs` are the files that `source` numbers, `templates` the names of those
    /// that `template` does.
    pub fn create<'t>(
        path: &Path,
        inputs: &[Input],
        templates: impl Iterator<Item = &'t str>,
    ) -> Result<Self> {
        let dictionary =
            || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let schema = Arc::new(Schema::new(vec![
            Field::new("example_id", DataType::Int64, false),
            Field::new("record_id", DataType::Utf8, true),
            Field::new("source", dictionary(), false),
            Field::new("line", DataType::Int64, false),
            Field::new("byte_offset", DataType::Int64, true),
            Field::new("domain", DataType::Int32, false),
            Field::new("template", dictionary(), false),
            Field::new("rationale", DataType::LargeUtf8, true),
        ]));
        Ok(Self {
            stream: Stream::create(path, &schema).map_err(Error::io(path))?,
            path: path.to_owned(),
            schema,
            sources: Arc::new(inputs.iter().map(|input| Some(&input.path)).collect()),
            templates: Arc::new(templates.map(Some).collect()),
            example_id: Int64Builder::new(),
            record_id: StringBuilder::new(),
            source: Int32Builder::new(),
            line: Int64Builder::new(),
            byte_offset: Int64Builder::new(),
            domain: Int32Builder::new(),
            template: Int32Builder::new(),
            rationale: LargeStringBuilder::new(),
            examples: 0,
            bytes: 0,
        })
    }

    /// Appends an entry.
    pub fn write(&mut self, entry: &ExampleEntry<'_>) -> Result<()> {
        self.example_id.append_value(entry.example_id);
        self.record_id.append_option(entry.record_id);
        self.source.append_value(entry.source as i32);
        self.line.append_value(entry.line);
        self.byte_offset.append_option(entry.byte_offset);
        self.domain.append_value(entry.domain);
        self.template.append_value(entry.template as i32);
        self.rationale.append_option(entry.rationale);
        self.examples += 1;
        self.bytes += entry.rationale.map_or(0, str::len) + entry.record_id.map_or(0, str::len);
        if self.examples >= BATCH_EXAMPLES || self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<()> {
        if self.examples > 0 {
            self.flush()?;
        }
        self.stream.finish().map_err(Error::io(&self.path))?;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        (self.examples, self.bytes) = (0, 0);
        let sources = Arc::clone(&self.sources) as ArrayRef;
        let templates = Arc::clone(&self.templates) as ArrayRef;
        let named = |numbers, names| DictionaryArray::<Int32Type>::try_new(numbers, names);
        let batch = named(self.source.finish(), sources)
            .and_then(|source| Ok((source, named(self.template.finish(), templates)?)))
            .and_then(|(source, template)| {
                let columns: Vec<ArrayRef> = vec![
                    Arc::new(self.example_id.finish()),
                    Arc::new(self.record_id.finish()),
                    Arc::new(source),
                    Arc::new(self.line.finish()),
                    Arc::new(self.byte_offset.finish()),
                    Arc::new(self.domain.finish()),
                    Arc::new(template),
                    Arc::new(self.rationale.finish()),
                ];
                RecordBatch::try_new(Arc::clone(&self.schema), columns)
            })
            .map_err(failed);
        batch
            .and_then(|batch| self.stream.write(&batch))
            .map_err(Error::io(&self.path))
    }
}
