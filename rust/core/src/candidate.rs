//! A chunk of records to candidates: read, checked, rendered and tokenized.
//!
//! This is the part of the work that threads share. What depends on other candidates (whether one
//! is a duplicate, its number) is left to the collector, which sees them in order.

use std::ops::Range;

use crate::config::Config;
use crate::filter::{self, Key, Reason, Rejection};
use crate::read::{Chunk, Place};
use crate::record::{Fault, Record, Values, trimmed};
use crate::template::SpanKind;
use crate::tokenize::{Example, Fields, RenderProblem, Renderer, Run};

/// The candidates of one chunk; their texts and tokens lie in shared buffers that are reused.
#[derive(Debug, Default)]
pub struct Batch {
    /// The candidates in order.
    pub candidates: Vec<Candidate>,
    /// Records of other splits.
    pub other_split: u64,
    /// Token ids of all examples.
    pub ids: Vec<u32>,
    /// Span kinds of all examples.
    pub runs: Vec<Run>,
    /// Texts that outlive the chunk: ids, domains, rationales.
    pub text: String,
}

/// One (record, rationale), to be kept or rejected.
#[derive(Debug)]
pub struct Candidate {
    /// Where its record stands.
    pub place: Place,
    /// The record's id, in the batch's text.
    pub record_id: Option<Range<usize>>,
    /// What is known of it so far.
    pub state: State,
}

/// What is known of a candidate when its chunk is done.
#[derive(Debug)]
pub enum State {
    /// It will not be kept.
    Rejected(Rejection),
    /// It will be kept unless it is a duplicate, and then unless its length rejects it.
    Rendered(Rendered),
}

/// A candidate that passed all filters which look at it alone.
#[derive(Debug)]
pub struct Rendered {
    /// Hash of the fields; two candidates with one key are duplicates.
    pub key: Key,
    /// Whether its answer was found to be what the rationale concludes.
    pub verified: bool,
    /// UTF-8 bytes of question, rationale and answer.
    pub text_bytes: u64,
    /// Its tokens in the batch's buffers, or why their number rejects it.
    pub tokens: Result<Range<usize>, Rejection>,
    /// Their span kinds in the batch's buffer.
    pub runs: Range<usize>,
    /// Tokens of each span kind.
    pub tokens_by_kind: [u32; SpanKind::ALL.len()],
    /// The record's domain, in the batch's text.
    pub domain: Option<Range<usize>>,
    /// The rationale, in the batch's text, where it is to be stored.
    pub rationale: Option<Range<usize>>,
}

impl Batch {
    fn clear(&mut self) {
        self.candidates.clear();
        self.other_split = 0;
        self.ids.clear();
        self.runs.clear();
        self.text.clear();
    }

    fn store(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }
}

/// One thread's means to work on chunks.
pub struct Worker<'a> {
    config: &'a Config,
    renderer: &'a Renderer,
    example: Example,
    /// The domain of records that name none.
    domain: Option<&'a str>,
}

impl<'a> Worker<'a> {
    /// A worker of its own for each thread.
    pub fn new(config: &'a Config, renderer: &'a Renderer) -> Self {
        Self {
            config,
            renderer,
            example: Example::default(),
            domain: None,
        }
    }

    /// Fills `batch` with the candidates of `chunk`.
    pub fn work(&mut self, chunk: &Chunk, batch: &mut Batch) {
        batch.clear();
        self.domain = self.config.inputs[chunk.source].domain.as_deref();
        chunk.for_each(&self.config.split, |place, values| {
            self.record(place, values, batch)
        });
    }

    fn record(&mut self, place: Place, values: Result<Values<'_>, Fault>, batch: &mut Batch) {
        let record = match values.and_then(|values| Record::new(values, &self.config.split)) {
            Ok(Some(record)) => record,
            Ok(None) => {
                batch.other_split += 1;
                return;
            }
            Err(fault) => return malformed(place, &fault, batch),
        };
        match &record.rationales {
            None => self.candidate(place, &record, None, batch),
            // A list with nothing in it is one candidate without a rationale, lest it vanish.
            Some(list) if list.is_empty() => self.candidate(place, &record, Some(""), batch),
            Some(list) => {
                for rationale in list {
                    match rationale {
                        Ok(text) => self.candidate(place, &record, Some(text), batch),
                        Err(fault) => malformed(place, fault, batch),
                    }
                }
            }
        }
    }

    fn candidate(
        &mut self,
        place: Place,
        record: &Record<'_>,
        rationale: Option<&str>,
        batch: &mut Batch,
    ) {
        let record_id = record.id.as_deref().map(|id| batch.store(id));
        let state = match self.render(record, rationale, batch) {
            Ok(rendered) => State::Rendered(rendered),
            Err(rejection) => State::Rejected(rejection),
        };
        batch.candidates.push(Candidate {
            place,
            record_id,
            state,
        });
    }

    fn render(
        &mut self,
        record: &Record<'_>,
        rationale: Option<&str>,
        batch: &mut Batch,
    ) -> Result<Rendered, Rejection> {
        let (question, answer) = (&*record.question, &*record.answer);
        let needed = self.renderer.needs_rationale() || self.config.keep_rationale;
        let used = if needed {
            let missing = || Rejection::new(Reason::Malformed, "rationale", "missing");
            Some(rationale.ok_or_else(missing)?)
        } else {
            None
        };
        filter::check_blank(question, answer, used)?;
        let verified =
            match filter::check_answer(answer, record.teacher_answer.as_deref(), rationale) {
                Err(rejection) if self.config.has(Reason::AnswerMismatch) => {
                    return Err(rejection);
                }
                checked => checked == Ok(true),
            };
        let fields = Fields {
            question,
            answer,
            rationale: used,
        };
        self.renderer
            .example(&fields, &mut self.example)
            .map_err(refused)?;
        let tokens = check_length(self.example.ids.len(), self.config).map(|()| {
            let start = batch.ids.len();
            batch.ids.extend_from_slice(&self.example.ids);
            start..batch.ids.len()
        });
        let mut tokens_by_kind = [0; SpanKind::ALL.len()];
        for run in &self.example.runs {
            tokens_by_kind[usize::from(run.kind)] += run.tokens;
        }
        let run_start = batch.runs.len();
        batch.runs.extend_from_slice(&self.example.runs);
        let domain = record.domain.as_deref().map(trimmed);
        let domain = domain.filter(|own| !own.is_empty()).or(self.domain);
        let texts = [question, answer, rationale.unwrap_or_default()];
        Ok(Rendered {
            key: Key::of(question, answer, used),
            verified,
            text_bytes: texts.map(|text| text.len() as u64).iter().sum(),
            tokens,
            runs: run_start..batch.runs.len(),
            tokens_by_kind,
            domain: domain.map(|text| batch.store(text)),
            rationale: used
                .filter(|_| self.config.keep_rationale)
                .map(|text| batch.store(trimmed(text))),
        })
    }
}

fn malformed(place: Place, fault: &Fault, batch: &mut Batch) {
    let record_id = fault.id.as_deref().map(|id| batch.store(id));
    let rejection = Rejection::new(Reason::Malformed, &*fault.field, &*fault.problem);
    batch.candidates.push(Candidate {
        place,
        record_id,
        state: State::Rejected(rejection),
    });
}

/// What the template says to a record.
fn refused(fault: RenderProblem) -> Rejection {
    let reason = if fault.is_blank {
        Reason::Empty
    } else {
        Reason::Malformed
    };
    Rejection::new(reason, fault.field, fault.problem)
}

/// `too_short` and `too_long`: nothing is ever cut.
fn check_length(tokens: usize, config: &Config) -> Result<(), Rejection> {
    let (reason, bound) = if tokens < config.min_length {
        (
            Reason::TooShort,
            format!("min_length is {}", config.min_length),
        )
    } else if tokens > config.max_length {
        (
            Reason::TooLong,
            format!("max_length is {}", config.max_length),
        )
    } else {
        return Ok(());
    };
    let problem = format!("{tokens} of them, {bound}");
    Err(Rejection::new(reason, "tokens", problem))
}
