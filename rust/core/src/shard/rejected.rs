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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::filter::Reason;

    /// The file of `count` lines, of records called `id`.
    fn written(count: usize, id: &str, templates: &[&str]) -> String {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("rejected.jsonl");
        let sources = ["a.jsonl", "b.jsonl"].into_iter();
        let mut writer = RejectedWriter::create(&path, sources, templates.iter().copied()).unwrap();
        for number in 0..count {
            let rejected = Rejected {
                example_id: number as i64,
                record_id: number.is_multiple_of(2).then_some(id),
                template: Some(number % 2),
                source: number % 2,
                place: Place {
                    line: 7,
                    byte_offset: None,
                },
            };
            let rejection = Rejection::new(Reason::Empty, "answer", format!("\"{number}\""));
            writer.write(&rejected, &rejection).unwrap();
        }
        writer.finish().unwrap();
        fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn lines_say_where_and_why() {
        assert_eq!(written(0, "", &["t"]), "");
        let expected = concat!(
            r#"{"example_id":0,"record_id":"é","template":"t","source":"a.jsonl","line":7,"#,
            r#""byte_offset":null,"reason":"empty","detail":"answer: \"0\""}"#,
            "\n",
            r#"{"example_id":1,"record_id":null,"template":"u","source":"b.jsonl","line":7,"#,
            r#""byte_offset":null,"reason":"empty","detail":"answer: \"1\""}"#,
            "\n",
        );
        assert_eq!(written(2, "é", &["t", "u"]), expected);
        let one_template = expected.replace(r#""template":"t","#, "");
        assert_eq!(
            written(1, "é", &["t"]),
            one_template.lines().next().unwrap().to_owned() + "\n"
        );
    }

    #[test]
    fn many_lines_and_long_ones_come_in_order() {
        for (count, id) in [(2 * LINES + 3, "id"), (5, &*"x".repeat(BYTES))] {
            let text = written(count, id, &["t"]);
            let mut numbers = 0..count;
            for line in text.lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let number = numbers.next().unwrap();
                assert_eq!(line["example_id"], number);
                assert_eq!(
                    line["record_id"].as_str().is_some_and(|found| found == id),
                    number % 2 == 0
                );
                assert_eq!(line["detail"], format!("answer: \"{number}\""));
            }
            assert!(numbers.is_empty());
        }
    }
}
