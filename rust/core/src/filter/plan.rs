//! The filters of a recipe in their order, and which of them look at one candidate alone.

use xxhash_rust::xxh3::xxh3_64;

use super::charset::Scripts;
use super::contaminated::Evaluation;
use super::minhash::{Sketch, signature};
use super::near::{NearDuplicate, NearIndex, NearKey, add_shingles};
use super::repetition::{Repetition, Room};
use super::words::{Words, ngrams};
use super::{Field, Filter, Reason, Rejection, leak};
use crate::choice::{CapKey, OverCap};
use crate::error::{Error, Result};
use crate::record::trimmed;

/// The filters after `exact_duplicate`, ready for use and shared by all threads.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
    cap: Option<OverCap>,
    /// Whether any filter looks at words.
    needs_words: bool,
}

#[derive(Debug)]
enum Step {
    /// Decided by the collector, which knows the candidates before.
    Near(NearDuplicate),
    Repetition(Repetition),
    Contaminated(Evaluation),
    AnswerLeak,
    Charset(Scripts),
}

/// What the filters look at.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// The question.
    pub question: &'a str,
    /// The answer.
    pub answer: &'a str,
    /// The rationale, whether or not the template uses it.
    pub rationale: Option<&'a str>,
    /// Whether the template uses it.
    pub uses_rationale: bool,
    /// The template's number; candidates of different ones are never compared.
    pub template: usize,
}

/// The words of a candidate, and room to work in; one for each thread.
#[derive(Debug, Default)]
pub struct Desk {
    question: Words,
    rationale: Words,
    other: Words,
    shingles: Vec<u64>,
    room: Room,
}

impl Plan {
    /// Checks the options and reads what the filters need.
    ///
    /// # Errors
    /// An option is out of range, or an evaluation set cannot be read.
    pub fn load(filters: &[Filter]) -> Result<Self> {
        let mut steps = Vec::new();
        let mut cap = None;
        for (number, filter) in filters.iter().enumerate() {
            let place = format!("prepare.filters.{number}");
            let refuse = |fault: Option<String>| match fault {
                None => Ok(()),
                Some(fault) => Err(Error::input(&place, fault, "mend the option")),
            };
            steps.push(match filter {
                // These come first, wherever the recipe names them.
                Filter::AnswerMismatch {} | Filter::ExactDuplicate {} => continue,
                Filter::NearDuplicate(options) => {
                    refuse(options.fault())?;
                    Step::Near(options.clone())
                }
                Filter::Repetition(options) => {
                    refuse(options.fault())?;
                    Step::Repetition(options.clone())
                }
                Filter::Contaminated(options) => {
                    refuse(options.fault())?;
                    Step::Contaminated(Evaluation::load(options)?)
                }
                Filter::AnswerLeak {} => Step::AnswerLeak,
                Filter::Charset(options) => Step::Charset(Scripts::new(options, &place)?),
                // Chosen last, among all that could be kept.
                Filter::OverCap(options) => {
                    refuse(options.fault())?;
                    cap = Some(options.clone());
                    continue;
                }
            });
        }
        let of_words = |step: &Step| !matches!(step, Step::Charset(_));
        Ok(Self {
            needs_words: cap.is_some() || steps.iter().any(of_words),
            steps,
            cap,
        })
    }

    /// An index of near duplicates for each template, if the filter is on.
    pub fn near_indices(&self, templates: usize) -> Vec<NearIndex> {
        let indices = self.near().map(|(_, options)| {
            let index = || NearIndex::new(options);
            std::iter::repeat_with(index).take(templates).collect()
        });
        indices.unwrap_or_default()
    }

    /// Where `near_duplicate` stands, and its options.
    pub fn near(&self) -> Option<(usize, &NearDuplicate)> {
        self.steps
            .iter()
            .enumerate()
            .find_map(|(position, step)| match step {
                Step::Near(options) => Some((position, options)),
                _ => None,
            })
    }

    /// Reads a candidate's words for [`Self::first_failure`] and [`Self::near_key`].
    pub fn read(&self, texts: &Texts<'_>, desk: &mut Desk) {
        if self.needs_words {
            desk.question.read(texts.question);
            desk.rationale.read(texts.rationale.unwrap_or_default());
        }
    }

    /// The first filter that rejects the candidate by itself, and its position among all.
    pub fn first_failure(&self, texts: &Texts<'_>, desk: &mut Desk) -> Option<(usize, Rejection)> {
        (0..self.steps.len())
            .find_map(|position| Some((position, self.check(position, texts, desk).err()?)))
    }

    fn check(&self, position: usize, texts: &Texts<'_>, desk: &mut Desk) -> Result<(), Rejection> {
        let rationale = texts.rationale.unwrap_or_default();
        let question = ("question", texts.question);
        match &self.steps[position] {
            Step::Near(_) => Ok(()),
            Step::Repetition(options) => options.check(rationale, &desk.rationale, &mut desk.room),
            Step::Contaminated(evaluation) => evaluation.check([
                (question.0, question.1, &desk.question),
                ("rationale", rationale, &desk.rationale),
            ]),
            Step::AnswerLeak => leak::check(
                texts.question,
                texts.answer,
                texts.rationale,
                &desk.question,
                &mut desk.other,
            ),
            Step::Charset(scripts) => {
                scripts.check(&[question, ("answer", texts.answer), ("rationale", rationale)])
            }
        }
    }

    /// Every filter that rejects the candidate by itself.
    pub fn failures(&self, texts: &Texts<'_>, desk: &mut Desk) -> Vec<Reason> {
        (0..self.steps.len())
            .filter_map(|position| Some(self.check(position, texts, desk).err()?.reason))
            .collect()
    }

    /// What `over_cap` compares, if it is on.
    pub fn cap_key(&self, texts: &Texts<'_>, desk: &mut Desk) -> Option<CapKey> {
        let options = self.cap.as_ref()?;
        let words = &desk.question.hashes;
        let mut key = CapKey::default();
        ngrams(words, words.len(), |_, hash| key.question = hash);
        if words.is_empty() {
            key.question = xxh3_64(trimmed(texts.question).as_bytes());
        }
        desk.shingles.clear();
        add_shingles(&desk.rationale, options.shingle, &mut desk.shingles);
        if let Some(signature) = signature(&desk.shingles) {
            key.sketch = Sketch::of(&signature);
        }
        key.question = key.question.wrapping_add(texts.template as u64);
        Some(key)
    }

    /// What `near_duplicate` compares, if it is on and there are words.
    pub fn near_key(&self, texts: &Texts<'_>, desk: &mut Desk) -> Option<NearKey> {
        let (_, options) = self.near()?;
        if options.fields.contains(&Field::Answer) {
            desk.other.read(texts.answer);
        }
        let fields = options.fields.iter().filter_map(|field| match field {
            Field::Question => Some(&desk.question),
            Field::Rationale => texts.uses_rationale.then_some(&desk.rationale),
            Field::Answer => Some(&desk.other),
        });
        options.key(fields, &mut desk.shingles)
    }
}
