//! `rejected.jsonl`: for each rejected candidate where it stands and why.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::disk::DiskFile;
use crate::background::{Background, Work};
use crate::error::{Error, Result};
use crate::filter::Rejection;
use crate::read::Place;

/// Lines that become JSON together, fewer where their texts have as many bytes as this.
const LINES: usize = 1024;
const BYTES: usize = 1 << 20;

/// A candidate that is rejected.
#[derive(Debug)]
pub struct Rejected<'a> {
    /// Its number among the candidates.
    pub example_id: i64,
    /// What the record is called.
    pub record_id: Option<&'a str>,
    /// The number of the template, where it got as far as one.
    pub template: Option<usize>,
    /// Index of the input file.
    pub source: usize,
    /// Where its record stands.
    pub place: Place,
}

/// Writes lines in the order in which they come.
///
/// Who rejects only notes what is to be written; a thread of its own makes JSON of it.
pub struct RejectedWriter {
    open: Lines,
    writing: Background<Writing>,
    path: PathBuf,
}

impl RejectedWriter {
    /// Creates the file; `sources` are the input files, `templates` the names of the templates.
    pub fn create<'n>(
        path: &Path,
        sources: impl Iterator<Item = &'n str>,
        templates: impl Iterator<Item = &'n str>,
    ) -> Result<Self> {
        let writing = DiskFile::create(path).and_then(|file| {
            let writing = Writing {
                file,
                sources: sources.map(str::to_owned).collect(),
                templates: templates.map(str::to_owned).collect(),
                bytes: Vec::new(),
            };
            Background::begin("rejected", writing)
        });
        Ok(Self {
            open: Lines::default(),
            writing: writing.map_err(Error::io(path))?,
            path: path.to_owned(),
        })
    }

    /// Writes a line.
    pub fn write(&mut self, rejected: &Rejected<'_>, rejection: &Rejection) -> Result<()> {
        self.open.push(rejected, rejection);
        if self.open.lines.len() < LINES && self.open.texts.len() < BYTES {
            return Ok(());
        }
        let handed = self.writing.hand_over(&mut self.open);
        handed.map_err(Error::io(&self.path))
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<()> {
        let handed = self.writing.hand_over(&mut self.open);
        handed
            .and_then(|()| self.writing.finish())
            .map_err(Error::io(self.path))
    }
}

/// What is to be written.
#[derive(Default)]
struct Lines {
    lines: Vec<Line>,
    texts: String,
}

/// One line; of the texts that follow those of the line before its own are so long.
struct Line {
    example_id: i64,
    record_id: Option<usize>,
    template: Option<usize>,
    source: usize,
    place: Place,
    reason: &'static str,
    detail: usize,
}

/// The same as it is written.
#[derive(Serialize)]
struct JsonLine<'a> {
    example_id: i64,
    record_id: Option<&'a str>,
    /// Where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'a str>,
    source: &'a str,
    /// Line or row in it, from 1.
    line: u64,
    byte_offset: Option<u64>,
    reason: &'a str,
    /// `field: what is wrong`.
    detail: &'a str,
}

impl Lines {
    fn push(&mut self, rejected: &Rejected<'_>, rejection: &Rejection) {
        let record_id = rejected.record_id.map(|id| {
            self.texts.push_str(id);
            id.len()
        });
        let start = self.texts.len();
        for part in [&*rejection.field, ": ", &*rejection.problem] {
            self.texts.push_str(part);
        }
        self.lines.push(Line {
            example_id: rejected.example_id,
            record_id,
            template: rejected.template,
            source: rejected.source,
            place: rejected.place,
            reason: rejection.reason.name(),
            detail: self.texts.len() - start,
        });
    }
}

/// The writing of lines.
struct Writing {
    file: DiskFile,
    sources: Vec<String>,
    templates: Vec<String>,
    /// A line before it goes to the file, which takes it in one piece.
    bytes: Vec<u8>,
}

impl Work for Writing {
    type Block = Lines;
    type Made = ();

    const WAITING: usize = 4;

    fn take(&mut self, block: &mut Lines) -> io::Result<()> {
        let has_templates = self.templates.len() > 1;
        let mut texts = &*block.texts;
        let mut text = |length: usize| {
            let (text, rest) = texts.split_at(length);
            texts = rest;
            text
        };
        for line in block.lines.drain(..) {
            let template = line.template.filter(|_| has_templates);
            let json = JsonLine {
                example_id: line.example_id,
                record_id: line.record_id.map(&mut text),
                template: template.map(|number| &*self.templates[number]),
                source: &self.sources[line.source],
                line: line.place.line,
                byte_offset: line.place.byte_offset,
                reason: line.reason,
                detail: text(line.detail),
            };
            self.bytes.clear();
            serde_json::to_writer(&mut self.bytes, &json)?;
            self.bytes.push(b'\n');
            self.file.write_all(&self.bytes)?;
        }
        block.texts.clear();
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        self.file.finish().map(drop)
    }
}
