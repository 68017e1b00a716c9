//! The sides of a candidate: what a record teaches and, of a pair, what a student should rather not
//! write.

use std::borrow::Cow;

use crate::config::Config;
use crate::filter::{Key, Reason, Rejection};
use crate::record::{FIELDS, REJECTED_ANSWER, REJECTED_RATIONALE, Record, Value, trimmed};
use crate::tokenize::{Example, Fields, RenderProblem, Renderer};

/// A single example, or what is chosen and what is rejected.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'r> {
    chosen: Fields<'r>,
    rejected: Option<Fields<'r>>,
}

/// The rationales as the student sees them; the filters see what the teacher wrote.
#[derive(Debug)]
pub struct Shown<'r> {
    /// That of the single or chosen example.
    pub chosen: Option<Cow<'r, str>>,
    rejected: Option<Cow<'r, str>>,
}

impl<'r> Sides<'r> {
    /// The sides of a record; an unlabelled one has no pair.
    pub fn new(record: &'r Record<'_>, chosen: Fields<'r>, pairs: bool) -> Result<Self, Rejection> {
        let is_pair = pairs && record.answer.is_some();
        let rejected = is_pair.then(|| rejected(record, &chosen)).transpose()?;
        Ok(Self { chosen, rejected })
    }

    /// What tells it from other candidates.
    pub fn key(&self) -> Key {
        let Fields {
            question,
            answer,
            rationale,
        } = self.chosen;
        let key = Key::of(question, answer, rationale);
        match self.rejected {
            Some(other) => key.against(other.answer, other.rationale),
            None => key,
        }
    }

    /// UTF-8 bytes of question, answers and rationales; the chosen one's is given, for a template may
    /// do without it.
    pub fn text_bytes(&self, rationale: Option<&str>) -> u64 {
        let other = self.rejected.unwrap_or_default();
        let texts = [
            self.chosen.question.text(),
            self.chosen.answer,
            other.answer,
        ];
        let rationales = [rationale, other.rationale].into_iter().flatten();
        let texts = texts.into_iter().chain(rationales);
        texts.map(|text| text.len() as u64).sum()
    }

    /// The rationales under `prepare.rationale_control`.
    ///
    /// # Errors
    /// Nothing is left of one.
    pub fn shown(&self, config: &Config) -> Result<Shown<'r>, Rejection> {
        let rejected = self.rejected.map(|fields| shown(fields, config));
        Ok(Shown {
            chosen: shown(self.chosen, config)?,
            rejected: rejected.transpose()?.flatten(),
        })
    }

    /// The sides with the rationales that the student sees.
    pub fn seen<'s>(&'s self, shown: &'s Shown<'_>) -> Sides<'s> {
        let chosen = Fields {
            rationale: shown.chosen.as_deref(),
            ..self.chosen
        };
        let rejected = self.rejected.map(|fields| Fields {
            rationale: shown.rejected.as_deref(),
            ..fields
        });
        Sides { chosen, rejected }
    }

    /// Appends the one example or both; of two says how many tokens the first has, else 0.
    pub fn append(
        &self,
        renderer: &Renderer,
        template: usize,
        example: &mut Example,
    ) -> Result<u32, RenderProblem> {
        let start = example.ids.len();
        renderer.append(template, &self.chosen, example)?;
        let Some(rejected) = &self.rejected else {
            return Ok(0);
        };
        let tokens = example.ids.len() - start;
        renderer.append(template, rejected, example)?;
        Ok(tokens as u32)
    }
}

fn shown<'r>(fields: Fields<'r>, config: &Config) -> Result<Option<Cow<'r, str>>, Rejection> {
    let Some(rationale) = fields.rationale else {
        return Ok(None);
    };
    let control = config.rationale_control;
    let shown = control.apply(config.seed, &fields.question, fields.answer, rationale);
    match shown.is_empty() {
        true => {
            let problem = "prepare.rationale_control leaves nothing of it";
            Err(Rejection::new(Reason::Empty, "rationale", problem))
        }
        false => Ok(Some(shown)),
    }
}

/// The rejected side of a record, with the fields that `chosen` has.
///
/// # Errors
/// A field is missing, blank or of a wrong type, or both sides are the same.
fn rejected<'r>(record: &'r Record<'_>, chosen: &Fields<'r>) -> Result<Fields<'r>, Rejection> {
    let [answer, rationale] = &record.rejected;
    let answer = text(answer, REJECTED_ANSWER)?;
    let rationale = match chosen.rationale {
        Some(_) => Some(text(rationale, REJECTED_RATIONALE)?),
        None => None,
    };
    let sides = [
        (REJECTED_ANSWER, Some(answer)),
        (REJECTED_RATIONALE, rationale),
    ];
    for (field, text) in sides {
        if text.is_some_and(|text| trimmed(text).is_empty()) {
            return Err(Rejection::new(Reason::Empty, FIELDS[field], "blank"));
        }
    }
    if trimmed(answer) == trimmed(chosen.answer)
        && rationale.map(trimmed) == chosen.rationale.map(trimmed)
    {
        let problem = "the same as what is chosen";
        return Err(malformed(REJECTED_ANSWER, problem));
    }
    Ok(Fields {
        question: chosen.question,
        answer,
        rationale,
    })
}

fn text<'r>(value: &'r Value<'_>, field: usize) -> Result<&'r str, Rejection> {
    match value {
        Value::Text(text) | Value::Number(text) => Ok(text),
        Value::Absent => Err(malformed(field, "missing, and prepare.pairs needs it")),
        other => Err(malformed(field, other.instead_of("text or a number"))),
    }
}

fn malformed(field: usize, problem: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::Malformed, FIELDS[field], problem)
}
