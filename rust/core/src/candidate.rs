//! A chunk of records to candidates: read, checked, rendered and tokenized.
//!
//! This is the part of the work that threads share. What depends on other candidates (whether one
//! is a duplicate, its number) is left to the collector, which sees them in order.

use std::mem::swap;

use crate::answer;
use crate::asked::Asked;
use crate::batch::{Accepted, Batch, Candidate, Rendered, State};
use crate::config::Config;
use crate::filter::{
    self, Desk, Earlier, Judged, NearLookup, Plan, Reason, Rejection, Seen, Texts, Trial,
};
use crate::held_out::{VALIDATION, append, is_drawn, is_marked};
use crate::input::Input;
use crate::pair::Sides;
use crate::read::{Chunk, Place};
use crate::record::{Fault, Record, Values, WAY, trimmed};
use crate::tokenize::{Example, Fields, RenderProblem, Renderer};

/// One thread's means to work on chunks.
pub struct Worker<'a> {
    config: &'a Config,
    renderer: &'a Renderer,
    plan: &'a Plan,
    /// What the collector has seen.
    earlier: &'a Earlier,
    /// Of that the fields, where duplicates are rejected.
    seen: Option<&'a Seen>,
    /// Holds the batch's tokens while it is worked on.
    example: Example,
    desk: Desk,
    /// The file that the chunk is of.
    input: &'a Input,
}

impl<'a> Worker<'a> {
    /// A worker of its own for each thread.
    pub fn new(
        config: &'a Config,
        renderer: &'a Renderer,
        plan: &'a Plan,
        earlier: &'a Earlier,
    ) -> Self {
        let exact = config.has(Reason::ExactDuplicate);
        Self {
            config,
            renderer,
            plan,
            earlier,
            seen: exact.then_some(&earlier.exact),
            example: Example::default(),
            desk: Desk::default(),
            input: &config.inputs[0],
        }
    }

    /// Fills `batch` with the candidates of `chunk`.
    pub fn work(&mut self, chunk: &Chunk, batch: &mut Batch) {
        batch.clear();
        self.swap_tokens(batch);
        self.input = &self.config.inputs[chunk.source];
        chunk.for_each(&self.config.split, |place, values| {
            self.record(place, values, batch)
        });
        self.swap_tokens(batch);
    }

    /// Examples are rendered straight into the batch's buffers.
    fn swap_tokens(&mut self, batch: &mut Batch) {
        swap(&mut self.example.ids, &mut batch.ids);
        swap(&mut self.example.runs, &mut batch.runs);
    }

    fn record(&mut self, place: Place, values: Result<Values<'_>, Fault>, batch: &mut Batch) {
        let split = &self.config.split;
        let labelled = self.input.labelled;
        // A question without an answer judges no student.
        let marked = labelled && values.as_ref().is_ok_and(|each| is_marked(each, split));
        let split = if marked { VALIDATION } else { split };
        let made = values.and_then(|values| Record::new(values, split, labelled));
        let record = match &made {
            Ok(Some(record)) if self.hold_out(marked, record, batch) => return,
            Ok(Some(record)) => record,
            Ok(None) => {
                batch.other_split += 1;
                return;
            }
            Err(fault) => return malformed(place, fault, batch),
        };
        match self.templates_of(record) {
            Ok(templates) => {
                templates.for_each(|template| self.candidates(place, record, template, batch))
            }
            Err(fault) => malformed(place, &fault, batch),
        }
    }

    /// The templates that render a record: all that are for its kind, or of several the one that it
    /// names.
    fn templates_of(
        &self,
        record: &Record<'_>,
    ) -> Result<impl Iterator<Item = usize> + use<'a>, Fault> {
        let (renderer, asked) = (self.renderer, record.answer.is_none());
        let fitting = (0..renderer.template_count())
            .filter(move |number| renderer.is_question_only(*number) == asked);
        let is_choice = fitting.clone().nth(1).is_some();
        let named = match record.way.as_deref().filter(|_| is_choice) {
            None => None,
            Some(way) => {
                let number = renderer.template_named(way);
                let number = number.filter(|number| fitting.clone().any(|each| each == *number));
                Some(number.ok_or_else(|| Fault {
                    id: record.id.as_deref().map(str::to_owned),
                    ..Fault::field(WAY, format!("there is no template {way:?} to take it"))
                })?)
            }
        };
        Ok(fitting.filter(move |number| named.is_none_or(|named| named == *number)))
    }

    /// The candidates of a record and a template.
    fn candidates(
        &mut self,
        place: Place,
        record: &Record<'_>,
        template: usize,
        batch: &mut Batch,
    ) {
        let Some(list) = &record.rationales else {
            return self.candidate(place, record, None, template, batch);
        };
        // A list with nothing in it is one candidate without a rationale, lest it vanish.
        let Some(first) = list.first() else {
            return self.candidate(place, record, Some(""), template, batch);
        };
        if list.len() > 1 && !self.uses_rationale(record, template) {
            // All examples would be the same: the first rationale that stands speaks for them.
            let mut sound = list.iter().flatten();
            let stands = sound
                .clone()
                .find(|text| self.stands(record, text, template));
            return match (stands.or_else(|| sound.next()), first) {
                (None, Err(fault)) => malformed(place, fault, batch),
                (text, _) => {
                    self.candidate(place, record, text.map(|text| &**text), template, batch)
                }
            };
        }
        for rationale in list {
            match rationale {
                Ok(text) => self.candidate(place, record, Some(text), template, batch),
                Err(fault) => malformed(place, fault, batch),
            }
        }
    }

    /// Whether no filter of one candidate is against a rationale that the template does without.
    fn stands(&mut self, record: &Record<'_>, rationale: &str, template: usize) -> bool {
        let Ok(fields) = self.fields(record, Some(rationale), template) else {
            return false;
        };
        let concluded = self.concluded(record, Some(rationale));
        if self.config.has(Reason::AnswerMismatch) && check_answer(record, concluded).is_err() {
            return false;
        }
        let texts = filter_texts(record, &fields, Some(rationale), concluded, template);
        self.plan.read(&texts, &mut self.desk);
        self.plan.failures(&texts, &mut self.desk).next().is_none()
    }

    /// Puts a record aside if it is for validation; a blank one is left for the filters to reject.
    fn hold_out(&self, marked: bool, record: &Record<'_>, batch: &mut Batch) -> bool {
        let held_out = (marked || is_drawn(&record.question, self.config.validation))
            && append(record, self.domain(), &mut batch.held_out_lines);
        batch.held_out += u64::from(held_out);
        held_out
    }

    /// The domain of records that name none.
    fn domain(&self) -> Option<&'a str> {
        self.input.domain.as_deref()
    }

    fn candidate(
        &mut self,
        place: Place,
        record: &Record<'_>,
        rationale: Option<&str>,
        template: usize,
        batch: &mut Batch,
    ) {
        let record_id = record.id.as_deref().map(|id| batch.store(id));
        let trial = match self.config.dry_run {
            true => self.try_all(record, rationale, template).map(Box::new),
            false => None,
        };
        let state = match self.render(record, rationale, template, batch) {
            Ok(state) => state,
            Err(rejection) => State::Rejected(rejection),
        };
        batch.candidates.push(Candidate {
            place,
            record_id,
            template: Some(template),
            state,
            trial,
        });
    }

    fn render(
        &mut self,
        record: &Record<'_>,
        rationale: Option<&str>,
        template: usize,
        batch: &mut Batch,
    ) -> Result<State, Rejection> {
        let fields = self.fields(record, rationale, template)?;
        self.renderer.fetch(template, fields.question);
        let sides = Sides::new(record, fields, self.config.pairs)?;
        let shown = sides.shown(self.config)?;
        let key = sides.key().under(template);
        if let Some(seen) = self.seen {
            seen.fetch(key);
        }
        let concluded = self.concluded(record, rationale);
        let verified = match check_answer(record, concluded) {
            Err(rejection) if self.config.has(Reason::AnswerMismatch) => return Err(rejection),
            checked => checked == Ok(true),
        };
        if self.seen.is_some_and(|seen| seen.was_tokenized(key)) {
            return Ok(State::Duplicate);
        }
        let texts = filter_texts(record, &fields, rationale, concluded, template);
        self.plan.read(&texts, &mut self.desk);
        let known = self.earlier.near.get(template);
        let keys = &mut batch.near_keys;
        let Judged { near, rejection } = self.plan.judge(&texts, known, keys, &mut self.desk);
        let rejection = match &near {
            Some(NearLookup::Found(near)) => Some(near.rejection()),
            _ => rejection,
        };
        let mut cap = None;
        let mut accepted = Accepted::Unasked;
        let mut chosen = 0;
        let start = self.example.ids.len();
        let run_start = self.example.runs.len();
        let tokens = match rejection {
            // Those before may make it a duplicate yet, but it needs no tokens for that.
            Some(rejection) => Err(rejection),
            None => {
                let seen = sides.seen(&shown);
                let appended = seen.append(self.renderer, template, &mut self.example);
                accepted = match appended {
                    Ok(_) => Accepted::Yes,
                    Err(_) => Accepted::No,
                };
                let end = self.example.ids.len();
                let checked = appended.map_err(refused).and_then(|tokens| {
                    chosen = tokens;
                    check_length(end - start, self.config)
                });
                if checked.is_err() {
                    self.example.truncate(start, run_start);
                }
                if checked.is_ok() {
                    let keys = &mut batch.cap_keys;
                    keys.extend(self.plan.cap_key(&texts, &mut self.desk));
                    cap = keys.len().checked_sub(1);
                }
                checked.map(|()| start..end)
            }
        };
        let domain = record.domain.as_deref().map(trimmed);
        let domain = domain.filter(|own| !own.is_empty()).or(self.domain());
        Ok(State::Rendered(Rendered {
            template,
            key,
            near,
            cap,
            accepted,
            verified,
            text_bytes: sides.text_bytes(rationale),
            tokens,
            runs: run_start..self.example.runs.len(),
            chosen,
            domain: domain.map(|text| batch.store(text)),
            rationale: shown
                .chosen
                .filter(|_| self.config.keep_rationale)
                .map(|text| batch.store(trimmed(&text))),
        }))
    }

    /// Whether the template writes the rationale, or what is made of its text needs it.
    fn uses_rationale(&self, record: &Record<'_>, template: usize) -> bool {
        let is_kept = self.config.keep_rationale && record.answer.is_some();
        self.renderer.needs_rationale(template) || is_kept
    }

    /// The fields that the template uses, none of them blank.
    fn fields<'r>(
        &self,
        record: &'r Record<'_>,
        rationale: Option<&'r str>,
        template: usize,
    ) -> Result<Fields<'r>, Rejection> {
        let used = if self.uses_rationale(record, template) {
            let missing = || Rejection::new(Reason::Malformed, "rationale", "missing");
            Some(rationale.ok_or_else(missing)?)
        } else {
            None
        };
        let answer = record.answer.as_deref();
        filter::check_blank(&record.question, answer, used)?;
        Ok(Fields {
            question: Asked::from(&*record.question),
            answer: answer.unwrap_or_default(),
            rationale: used,
        })
    }

    /// The conclusion of a rationale, if anything is going to ask for it.
    fn concluded<'r>(&self, record: &Record<'_>, rationale: Option<&'r str>) -> Option<&'r str> {
        let is_wanted = record.teacher_answer.is_none() || self.plan.needs_conclusion();
        answer::conclusion(rationale.filter(|_| is_wanted)?)
    }

    /// What every filter says to a candidate; `None` if it is malformed or empty.
    fn try_all(
        &mut self,
        record: &Record<'_>,
        rationale: Option<&str>,
        template: usize,
    ) -> Option<Trial> {
        let fields = self.fields(record, rationale, template).ok()?;
        let (start, run_start) = (self.example.ids.len(), self.example.runs.len());
        let sides = Sides::new(record, fields, self.config.pairs).ok()?;
        let shown = sides.shown(self.config).ok()?;
        let seen = sides.seen(&shown);
        let appended = seen.append(self.renderer, template, &mut self.example);
        let length = self.example.ids.len() - start;
        self.example.truncate(start, run_start);
        appended.ok()?;
        let concluded = self.concluded(record, rationale);
        let texts = filter_texts(record, &fields, rationale, concluded, template);
        self.plan.read(&texts, &mut self.desk);
        let mut reasons: Vec<_> = self.plan.failures(&texts, &mut self.desk).collect();
        let mismatch = check_answer(record, concluded).err();
        let length = check_length(length, self.config).err();
        reasons.extend(
            [mismatch, length]
                .into_iter()
                .flatten()
                .map(|fault| fault.reason),
        );
        Some(Trial {
            template,
            reasons,
            key: sides.key().under(template),
            near: self.plan.near_key(&texts, &mut self.desk),
            cap: self.plan.cap_key(&texts, &mut self.desk),
        })
    }
}

/// Whether the rationale concludes the answer; of a question without one there is nothing to verify.
fn check_answer(record: &Record<'_>, concluded: Option<&str>) -> Result<bool, Rejection> {
    match &record.answer {
        Some(answer) => filter::check_answer(answer, record.teacher_answer.as_deref(), concluded),
        None => Ok(true),
    }
}

fn filter_texts<'a>(
    record: &'a Record<'_>,
    fields: &Fields<'a>,
    rationale: Option<&'a str>,
    concluded: Option<&'a str>,
    template: usize,
) -> Texts<'a> {
    Texts {
        question: fields.question.text(),
        answer: record.answer.as_deref(),
        rationale,
        uses_rationale: fields.rationale.is_some(),
        concluded,
        template,
    }
}

fn malformed(place: Place, fault: &Fault, batch: &mut Batch) {
    let record_id = fault.id.as_deref().map(|id| batch.store(id));
    let rejection = Rejection::new(
        Reason::Malformed,
        fault.field.clone(),
        fault.problem.clone(),
    );
    batch.candidates.push(Candidate {
        place,
        record_id,
        template: None,
        state: State::Rejected(rejection),
        trial: None,
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
