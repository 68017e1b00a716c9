//! Candidates in input order to kept examples and rejected lines.
//!
//! Runs on one thread, so that numbers, duplicates and rows do not depend on how many others work.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use crate::batch::{Accepted, Batch, Candidate, Rendered, State};
use crate::choice::{Aside, Choice};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::filter::{Dropped, Earlier, NearLookup, Plan, Reason, Rejection, Trials};
use crate::manifest::{Counts, SourceCounts, Tokens};
use crate::shard::{
    EXAMPLES_FILE, ExampleEntry, ExampleWriter, HELD_OUT_FILE, HeldOutWriter, REJECTED_FILE,
    Rejected, RejectedWriter,
};
use crate::window::Packed;
use crate::windows::{Rows, Windows};

/// What has been collected so far.
pub struct Collector<'a> {
    config: &'a Config,
    /// Absent in a dry run.
    writers: Option<Writers>,
    earlier: &'a Earlier,
    /// Where what could be kept waits, if there is a choice to be made.
    choice: Option<Choice>,
    /// In a dry run.
    trials: Option<Trials>,
    windows: Windows,
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
    /// At the end, the rows.
    pub rows: Rows,
    /// After a dry run, what each filter would drop.
    pub dropped: Option<Vec<Dropped>>,
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
    examples: ExampleWriter,
    rejected: RejectedWriter,
    held_out: HeldOutWriter,
}

impl<'a> Collector<'a> {
    /// A collector that writes to `directory`, or nowhere.
    pub fn new(
        config: &'a Config,
        plan: &Plan,
        earlier: &'a Earlier,
        directory: Option<&Path>,
    ) -> Result<Self> {
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
            earlier,
            choice: Choice::new(config, directory),
            trials: config.dry_run.then(|| Trials::new(config, plan)),
            windows: Windows::new(config, directory)?,
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
        self.totals.sources[source].records.held_out += batch.held_out;
        if let Some(writers) = &mut self.writers {
            writers.held_out.write(&batch.held_out_lines)?;
        }
        for (number, candidate) in batch.candidates.iter().enumerate() {
            if let Some(next) = batch.candidates.get(number + 1) {
                self.fetch(next, batch);
            }
            let example_id = self.next_example_id;
            self.next_example_id += 1;
            self.totals.sources[source].records.read += 1;
            let stored = |text: &Option<Range<usize>>| Some(&batch.text[text.clone()?]);
            let standing = Rejected {
                example_id,
                template: candidate.template,
                source,
                place: candidate.place,
                record_id: stored(&candidate.record_id),
            };
            if let (Some(trials), Some(trial)) = (&mut self.trials, &candidate.trial) {
                let path = &self.totals.sources[source].path;
                let place = || format!("{path}:{}", candidate.place.line);
                trials.add(example_id, source, trial, place);
            }
            let kept = match &candidate.state {
                State::Rejected(rejection) => Err(Cow::Borrowed(rejection)),
                State::Duplicate => Err(Cow::Owned(duplicate())),
                State::Rendered(rendered) => self.last_filters(example_id, rendered, batch),
            };
            match kept {
                Err(rejection) => self.reject(&standing, &rejection)?,
                Ok((rendered, tokens)) => {
                    let aside = Aside {
                        example_id,
                        template: rendered.template,
                        source,
                        place: candidate.place,
                        record_id: standing.record_id,
                        domain: stored(&rendered.domain),
                        rationale: stored(&rendered.rationale),
                        verified: rendered.verified,
                        text_bytes: rendered.text_bytes,
                        ids: &batch.ids[tokens],
                        runs: &batch.runs[rendered.runs.clone()],
                        chosen: rendered.chosen,
                    };
                    match &mut self.choice {
                        Some(choice) => {
                            choice.add(&aside, rendered.cap.map(|key| batch.cap_keys[key]))?
                        }
                        None => self.keep(&aside)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Chooses, packs what is left and ends the files.
    ///
    /// # Errors
    /// If nothing was kept, or a source with a weight has given nothing. A dry run that rejects everything
    /// says what rejected it instead.
    pub fn finish(mut self) -> Result<Totals> {
        let records = self.totals.records();
        let is_nothing = records.read == records.rejected.total();
        if is_nothing && (records.read == 0 || self.trials.is_none()) {
            return Err(self.nothing_kept());
        }
        if let Some(choice) = self.choice.take().filter(|_| !is_nothing) {
            choice.decide(|aside, rejection| match rejection {
                None => self.keep(aside),
                Some(rejection) => {
                    let standing = Rejected {
                        example_id: aside.example_id,
                        template: Some(aside.template),
                        source: aside.source,
                        place: aside.place,
                        record_id: aside.record_id,
                    };
                    self.reject(&standing, &rejection)
                }
            })?;
        }
        if let Some(trials) = self.trials.take() {
            let records = self.totals.records();
            self.totals.dropped = Some(trials.finish(|reason| records.rejected.count(reason))?);
        }
        self.totals.rows = self.windows.finish()?;
        self.writers.map_or(Ok(()), Writers::finish)?;
        Ok(self.totals)
    }

    /// Begins to load what the last filters will look at; it is long since the worker did.
    fn fetch(&self, candidate: &Candidate, batch: &Batch) {
        let State::Rendered(rendered) = &candidate.state else {
            return;
        };
        let Earlier { exact, near } = self.earlier;
        if self.config.has(Reason::ExactDuplicate) {
            exact.fetch(rendered.key);
        }
        if let (Some(index), Some(NearLookup::Pending { key, .. })) =
            (near.get(rendered.template), rendered.near)
        {
            index.fetch(&batch.near_keys[key]);
        }
    }

    /// The filters that need the candidates before this one, and those that come after them.
    fn last_filters<'b>(
        &mut self,
        example_id: i64,
        rendered: &'b Rendered,
        batch: &Batch,
    ) -> Result<(&'b Rendered, Range<usize>), Cow<'b, Rejection>> {
        let Earlier { exact, near } = self.earlier;
        let near = near.get(rendered.template);
        // A worker that finds a near one does not ask the template, so what another one was told by it
        // must not count before the near ones either, nor before their duplicates.
        let is_malformed = rendered.accepted == Accepted::No
            && match (near, rendered.near) {
                (Some(index), Some(NearLookup::Pending { key, mut compared })) => {
                    let key = &batch.near_keys[key];
                    index.find(key, &mut compared).is_none()
                }
                _ => true,
            };
        if let (true, Err(rejection)) = (is_malformed, &rendered.tokens) {
            return Err(Cow::Borrowed(rejection));
        }
        let is_example = rendered.accepted == Accepted::Yes;
        if self.config.has(Reason::ExactDuplicate) && !exact.insert(rendered.key, is_example) {
            return Err(Cow::Owned(duplicate()));
        }
        // The worker looked for near ones only if no filter before that rejects the candidate.
        if let (Some(index), Some(NearLookup::Pending { key, compared })) = (near, rendered.near)
            && let Some(near) = index.insert(example_id, &batch.near_keys[key], compared)
        {
            return Err(Cow::Owned(near.rejection()));
        }
        match &rendered.tokens {
            Ok(tokens) => Ok((rendered, tokens.clone())),
            Err(rejection) => Err(Cow::Borrowed(rejection)),
        }
    }

    fn keep(&mut self, kept: &Aside<'_>) -> Result<()> {
        let counts = &mut self.totals.sources[kept.source].records;
        counts.kept += 1;
        counts.unverified += u64::from(!kept.verified);
        self.totals.bytes_kept += kept.text_bytes;
        for run in kept.runs {
            self.totals.tokens.0[usize::from(run.kind)] += u64::from(run.tokens);
        }
        let domain = kept.domain.map_or(-1, |name| self.domain_number(name));
        if let Some(writers) = &mut self.writers {
            writers.examples.write(&ExampleEntry {
                example_id: kept.example_id,
                template: kept.template,
                record_id: kept.record_id,
                source: kept.source,
                line: kept.place.line as i64,
                byte_offset: kept.place.byte_offset.map(|offset| offset as i64),
                domain,
                rationale: kept.rationale,
            })?;
        }
        self.windows.push(Packed {
            ids: kept.ids,
            runs: kept.runs,
            example_id: kept.example_id,
            domain,
            template: kept.template as i32,
            chosen: kept.chosen,
            shared: None,
        })
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

    fn reject(&mut self, candidate: &Rejected<'_>, rejection: &Rejection) -> Result<()> {
        let Rejection {
            reason,
            field,
            problem,
        } = rejection;
        let counts = &mut self.totals.sources[candidate.source];
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
                &**problem,
                "mend it or do without --strict",
            ));
        }
        self.first_rejection
            .get_or_insert_with(|| format!("{} at {}: {problem}", reason.name(), place()));
        let Some(writers) = &mut self.writers else {
            return Ok(());
        };
        writers.rejected.write(candidate, rejection)
    }

    fn nothing_kept(&self) -> Error {
        let records = self.totals.records();
        let paths: Vec<_> = self
            .config
            .inputs
            .iter()
            .map(|input| &*input.path)
            .collect();
        let place = paths.join(", ");
        let Some(first) = &self.first_rejection else {
            return Error::input(
                place,
                format!(
                    "no record of split {:?} ({} of other splits, {} held out for validation)",
                    self.config.split, records.other_split, records.held_out
                ),
                "choose another `prepare.split`, or a smaller `data.validation`",
            );
        };
        let reasons: Vec<_> = records
            .rejected
            .iter()
            .map(|(reason, count)| format!("{} {count}", reason.name()))
            .collect();
        Error::input(
            place,
            format!(
                "every one of {} candidates was rejected: {} (first {first})",
                records.read,
                reasons.join(", ")
            ),
            "mend the records or change `prepare`",
        )
    }
}

fn duplicate() -> Rejection {
    let problem = "an earlier candidate has the same question, answer and rationale";
    Rejection::new(Reason::ExactDuplicate, "line", problem)
}

impl Writers {
    fn create(directory: &Path, config: &Config) -> Result<Self> {
        Ok(Self {
            examples: ExampleWriter::create(
                &directory.join(EXAMPLES_FILE),
                &config.inputs,
                config.template_names(),
            )?,
            rejected: RejectedWriter::create(
                &directory.join(REJECTED_FILE),
                config.inputs.iter().map(|input| &*input.path),
                config.template_names(),
            )?,
            held_out: HeldOutWriter::new(&directory.join(HELD_OUT_FILE)),
        })
    }

    fn finish(self) -> Result<()> {
        self.rejected.finish()?;
        self.held_out.finish()?;
        self.examples.finish()
    }
}
