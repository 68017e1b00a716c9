//! Candidates in input order to kept examples and rejected lines.
//!
//! Runs on one thread, so that numbers, duplicates and rows do not depend on how many others work.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::candidate::{Batch, Candidate, Rendered, State};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::filter::{Reason, Rejection, Seen};
use crate::manifest::{Counts, SourceCounts, Tokens};
use crate::shard::{
    EXAMPLES_FILE, ExampleEntry, ExampleWriter, REJECTED_FILE, ROWS_FILE, RowWriter,
};
use crate::window::{Packed, Window};

/// What has been collected so far.
pub struct Collector<'a> {
    config: &'a Config,
    /// Absent in a dry run.
    writers: Option<Writers>,
    seen: Seen,
    window: Window,
    domain_numbers: HashMap<String, i32>,
    next_example_id: i64,
    first_rejection: Option<String>,
    /// The totals.
    pub totals: Totals,
}

/// The figures of the manifest.
#[derive(Debug, Default)]
pub struct Totals {
    /// Candidates of each file.
    pub sources: Vec<SourceCounts>,
    /// UTF-8 bytes of question, rationale and answer of the kept.
    pub bytes_kept: u64,
    /// Tokens of the kept.
    pub tokens: Tokens,
    /// Domains of the kept, as they appeared.
    pub domains: Vec<String>,
    /// Rows so far; those of the window are not counted.
    pub rows: u64,
}

impl Totals {
    /// Candidates of all files.
    pub fn records(&self) -> Counts {
        let mut all = Counts::default();
        for source in &self.sources {
            all.add(&source.records);
        }
        all
    }
}

struct Writers {
    rows: RowWriter,
    examples: ExampleWriter,
    rejected: BufWriter<File>,
    rejected_path: PathBuf,
}

/// A line of `rejected.jsonl`.
#[derive(Serialize)]
struct RejectedLine<'a> {
    example_id: i64,
    record_id: Option<&'a str>,
    source: &'a str,
    line: u64,
    byte_offset: Option<u64>,
    reason: &'a str,
    detail: String,
}

impl<'a> Collector<'a> {
    /// A collector that writes to `directory`, or nowhere.
    pub fn new(config: &'a Config, directory: Option<&Path>) -> Result<Self> {
        let writers = directory
            .map(|path| Writers::create(path, config))
            .transpose()?;
        let sources = config.inputs.iter().map(|input| SourceCounts {
            path: input.path.clone(),
            format: input.format,
            records: Counts::default(),
        });
        Ok(Self {
            config,
            writers,
            seen: Seen::default(),
            window: Window::new(config.packing, config.packing_window, config.max_length),
            domain_numbers: HashMap::new(),
            next_example_id: 0,
            first_rejection: None,
            totals: Totals {
                sources: sources.collect(),
                ..Totals::default()
            },
        })
    }

    /// Takes the candidates of the next chunk.
    pub fn add(&mut self, source: usize, batch: &Batch) -> Result<()> {
        self.totals.sources[source].records.other_split += batch.other_split;
        for candidate in &batch.candidates {
            let example_id = self.next_example_id;
            self.next_example_id += 1;
            self.totals.sources[source].records.read += 1;
            let kept = match &candidate.state {
                State::Rejected(rejection) => Err(rejection.clone()),
                State::Rendered(rendered) => self.last_filters(rendered),
            };
            match kept {
                Ok((rendered, tokens)) => {
                    self.keep(source, example_id, candidate, batch, rendered, tokens)?;
                }
                Err(rejection) => self.reject(source, example_id, candidate, batch, &rejection)?,
            }
        }
        Ok(())
    }

    /// Packs what is left and ends the files; returns the hash of the rows.
    ///
    /// # Errors
    /// If nothing was kept.
    pub fn finish(&mut self) -> Result<Option<String>> {
        self.refuse_nothing_kept()?;
        self.empty_window()?;
        self.writers.take().map(Writers::finish).transpose()
    }

    /// The filters that need the candidates before this one, and those that come after them.
    fn last_filters<'b>(
        &mut self,
        rendered: &'b Rendered,
    ) -> Result<(&'b Rendered, std::ops::Range<usize>), Rejection> {
        if self.config.has(Reason::ExactDuplicate) && !self.seen.insert(rendered.key) {
            let problem = "an earlier candidate has the same question, answer and rationale";
            return Err(Rejection::new(Reason::ExactDuplicate, "line", problem));
        }
        rendered.tokens.clone().map(|tokens| (rendered, tokens))
    }

    fn keep(
        &mut self,
        source: usize,
        example_id: i64,
        candidate: &Candidate,
        batch: &Batch,
        rendered: &Rendered,
        tokens: std::ops::Range<usize>,
    ) -> Result<()> {
        let counts = &mut self.totals.sources[source].records;
        counts.kept += 1;
        counts.unverified += u64::from(!rendered.verified);
        self.totals.bytes_kept += rendered.text_bytes;
        for (total, &count) in self
            .totals
            .tokens
            .0
            .iter_mut()
            .zip(&rendered.tokens_by_kind)
        {
            *total += u64::from(count);
        }
        let domain = match &rendered.domain {
            Some(name) => self.domain_number(&batch.text[name.clone()]),
            None => -1,
        };
        if let Some(writers) = &mut self.writers {
            writers.examples.write(&ExampleEntry {
                example_id,
                record_id: candidate.record_id.clone().map(|id| &batch.text[id]),
                source,
                line: candidate.place.line as i64,
                byte_offset: candidate.place.byte_offset.map(|offset| offset as i64),
                domain,
                rationale: rendered.rationale.clone().map(|text| &batch.text[text]),
            })?;
        }
        self.window.push(Packed {
            ids: &batch.ids[tokens],
            runs: &batch.runs[rendered.runs.clone()],
            example_id,
            domain,
        });
        if self.window.is_full() {
            self.empty_window()?;
        }
        Ok(())
    }

    fn domain_number(&mut self, name: &str) -> i32 {
        if let Some(&number) = self.domain_numbers.get(name) {
            return number;
        }
        let number = self.totals.domains.len() as i32;
        self.totals.domains.push(name.to_owned());
        self.domain_numbers.insert(name.to_owned(), number);
        number
    }

    fn reject(
        &mut self,
        source: usize,
        example_id: i64,
        candidate: &Candidate,
        batch: &Batch,
        rejection: &Rejection,
    ) -> Result<()> {
        let Rejection {
            reason,
            field,
            problem,
        } = rejection;
        let counts = &mut self.totals.sources[source];
        counts.records.rejected.add(*reason);
        let place = || {
            let line = format!("{}:{}", counts.path, candidate.place.line);
            if field == "line" {
                line
            } else {
                format!("{line}: {field}")
            }
        };
        if self.config.strict && *reason == Reason::Malformed {
            return Err(Error::input(
                place(),
                problem,
                "mend it or do without --strict",
            ));
        }
        self.first_rejection
            .get_or_insert_with(|| format!("{} at {}: {problem}", reason.name(), place()));
        let Some(writers) = &mut self.writers else {
            return Ok(());
        };
        let line = RejectedLine {
            example_id,
            record_id: candidate.record_id.clone().map(|id| &batch.text[id]),
            source: &self.totals.sources[source].path,
            line: candidate.place.line,
            byte_offset: candidate.place.byte_offset,
            reason: reason.name(),
            detail: format!("{field}: {problem}"),
        };
        serde_json::to_writer(&mut writers.rejected, &line)
            .map_err(std::io::Error::from)
            .and_then(|()| writers.rejected.write_all(b"\n"))
            .map_err(Error::io(&writers.rejected_path))
    }

    fn empty_window(&mut self) -> Result<()> {
        let Self {
            window, writers, ..
        } = self;
        self.totals.rows += window.empty(|row| {
            let Some(writers) = writers else {
                return Ok(());
            };
            for example in row {
                let Packed {
                    ids,
                    runs,
                    example_id,
                    domain,
                } = example;
                writers.rows.example(ids, runs, example_id, domain);
            }
            writers.rows.end_row()
        })?;
        Ok(())
    }

    fn refuse_nothing_kept(&self) -> Result<()> {
        let records = self.totals.records();
        if records.kept > 0 {
            return Ok(());
        }
        let paths: Vec<_> = self
            .config
            .inputs
            .iter()
            .map(|input| &*input.path)
            .collect();
        let place = paths.join(", ");
        let Some(first) = &self.first_rejection else {
            return Err(Error::input(
                place,
                format!(
                    "no record of split {:?} ({} of other splits)",
                    self.config.split, records.other_split
                ),
                "choose another `prepare.split`",
            ));
        };
        let reasons: Vec<_> = records
            .rejected
            .iter()
            .map(|(reason, count)| format!("{} {count}", reason.name()))
            .collect();
        Err(Error::input(
            place,
            format!(
                "every one of {} candidates was rejected: {} (first {first})",
                records.read,
                reasons.join(", ")
            ),
            "mend the records or change `prepare`",
        ))
    }
}

impl Writers {
    fn create(directory: &Path, config: &Config) -> Result<Self> {
        let rejected_path = directory.join(REJECTED_FILE);
        let rejected = File::create(&rejected_path).map_err(Error::io(&rejected_path))?;
        Ok(Self {
            rows: RowWriter::create(&directory.join(ROWS_FILE))?,
            examples: ExampleWriter::create(&directory.join(EXAMPLES_FILE), &config.inputs)?,
            rejected: BufWriter::new(rejected),
            rejected_path,
        })
    }

    fn finish(mut self) -> Result<String> {
        self.rejected
            .flush()
            .map_err(Error::io(&self.rejected_path))?;
        self.examples.finish()?;
        self.rows.finish()
    }
}
