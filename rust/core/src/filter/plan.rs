//! The filters of a recipe in their order, and which of them look at one candidate alone.

use xxhash_rust::xxh3::xxh3_64;

use super::charset::Scripts;
use super::contaminated::{Evaluation, Suspect};
use super::leak::{self, Leaky};
use super::minhash::{Signature, Sketch};
use super::near::{Near, NearDuplicate, NearKey};
use super::repetition::{Repetition, Room};
use super::words::Words;
use super::{Field, Filter, NearIndex, Reason, Rejection};
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
    /// The answer; an unlabelled question has none.
    pub answer: Option<&'a str>,
    /// The rationale, whether or not the template uses it.
    pub rationale: Option<&'a str>,
    /// Whether the template uses it.
    pub uses_rationale: bool,
    /// The template's number; candidates of different ones are never compared.
    pub template: usize,
    /// The part of the rationale that is its conclusion, where [`Plan::needs_conclusion`].
    pub concluded: Option<&'a str>,
}

/// What the filters say to a candidate, as far as they need no other one for it.
#[derive(Debug)]
pub struct Judged {
    /// What `near_duplicate` says, if it comes to that.
    pub near: Option<NearLookup>,
    /// The first filter that rejects the candidate by itself.
    pub rejection: Option<Rejection>,
}

/// A candidate among those before it.
#[derive(Debug, Clone, Copy)]
pub enum NearLookup {
    /// Nothing near is among the first ones, as many as are given; the collector knows the others.
    Pending {
        /// Which of the batch's keys it has.
        key: usize,
        /// How many it was compared with.
        compared: u32,
    },
    /// The first one that is near enough, of which the collector will find the same.
    Found(Near),
}

/// The words of a candidate, and room to work in; one for each thread.
#[derive(Debug, Default)]
pub struct Desk {
    question: Words,
    rationale: Words,
    answer: Words,
    room: Room,
    suspects: Vec<Suspect>,
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

    /// The options of `near_duplicate`, if it is on.
    pub fn near(&self) -> Option<&NearDuplicate> {
        self.steps.iter().find_map(|step| match step {
            Step::Near(options) => Some(options),
            _ => None,
        })
    }

    /// Whether any filter looks at what a rationale concludes.
    pub fn needs_conclusion(&self) -> bool {
        let of_conclusion = |step: &Step| matches!(step, Step::AnswerLeak);
        self.steps.iter().any(of_conclusion)
    }

    /// Reads a candidate's words for all that follows.
    pub fn read(&self, texts: &Texts<'_>, desk: &mut Desk) {
        if self.needs_words {
            desk.question.read(texts.question);
            desk.rationale.read(texts.rationale.unwrap_or_default());
        }
    }

    /// Asks the filters in their order, up to the first that rejects the candidate; `known` are
    /// candidates before it, not always all. What the collector has to look up is added to `keys`.
    pub fn judge(
        &self,
        texts: &Texts<'_>,
        known: Option<&NearIndex>,
        keys: &mut Vec<NearKey>,
        desk: &mut Desk,
    ) -> Judged {
        let (mut key, mut rejection) = (None, None);
        for step in &self.steps {
            if let Step::Near(_) = step {
                // Looked for at last: by then the places are loaded, and few are found.
                key = self.near_key(texts, desk);
                if let (Some(known), Some(key)) = (known, &key) {
                    known.fetch(key);
                }
            } else if let Err(fault) = check(step, texts, desk) {
                rejection = Some(fault);
                break;
            }
        }
        let near = key.map(|key| {
            let mut compared = 0;
            let found = known.and_then(|known| known.find(&key, &mut compared));
            found.map_or_else(
                || {
                    keys.push(key);
                    let key = keys.len() - 1;
                    NearLookup::Pending { key, compared }
                },
                NearLookup::Found,
            )
        });
        Judged { near, rejection }
    }

    /// Every filter that rejects the candidate by itself.
    pub fn failures(&self, texts: &Texts<'_>, desk: &mut Desk) -> impl Iterator<Item = Reason> {
        let steps = self.steps.iter();
        steps.filter_map(|step| Some(check(step, texts, desk).err()?.reason))
    }

    /// What `over_cap` compares, if it is on.
    pub fn cap_key(&self, texts: &Texts<'_>, desk: &mut Desk) -> Option<CapKey> {
        let options = self.cap.as_ref()?;
        let blank = || xxh3_64(trimmed(texts.question).as_bytes());
        let question = desk.question.whole().unwrap_or_else(blank);
        let mut signature = Signature::default();
        signature.add_words(&desk.rationale, options.shingle);
        Some(CapKey {
            question: question.wrapping_add(texts.template as u64),
            sketch: Sketch::of(&signature),
        })
    }

    /// What `near_duplicate` compares, if it is on and there are words.
    pub fn near_key(&self, texts: &Texts<'_>, desk: &mut Desk) -> Option<NearKey> {
        let options = self.near()?;
        if options.fields.contains(&Field::Answer) {
            desk.answer.read(texts.answer.unwrap_or_default());
        }
        let fields = options.fields.iter().filter_map(|field| match field {
            Field::Question => Some(&desk.question),
            Field::Rationale => texts.uses_rationale.then_some(&desk.rationale),
            Field::Answer => Some(&desk.answer),
        });
        options.key(fields)
    }
}

/// What one filter says to a candidate by itself.
fn check(step: &Step, texts: &Texts<'_>, desk: &mut Desk) -> Result<(), Rejection> {
    let rationale = texts.rationale.unwrap_or_default();
    match step {
        Step::Near(_) => Ok(()),
        Step::Repetition(options) => options.check(rationale, &desk.rationale, &mut desk.room),
        Step::Contaminated(evaluation) => evaluation.check(
            [
                ("question", texts.question, &desk.question),
                ("rationale", rationale, &desk.rationale),
            ],
            &mut desk.suspects,
        ),
        Step::AnswerLeak => texts.answer.map_or(Ok(()), |gold| {
            leak::check(&Leaky {
                question: (texts.question, &desk.question),
                gold,
                rationale: (rationale, &desk.rationale),
                concluded: texts.concluded,
            })
        }),
        Step::Charset(scripts) => scripts.check(&[
            ("question", texts.question),
            ("answer", texts.answer.unwrap_or_default()),
            ("rationale", rationale),
        ]),
    }
}
