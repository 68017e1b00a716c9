//! Pairs: beside what a record teaches, what a student should rather not write.

use std::borrow::Cow;

use crate::filter::{Reason, Rejection};
use crate::record::{FIELDS, REJECTED_ANSWER, REJECTED_RATIONALE, Record, Value, trimmed};
use crate::tokenize::Fields;

/// The rejected side of a record, with the fields that `chosen` has.
///
/// # Errors
/// A field is missing, blank or of a wrong type, or both sides are the same.
pub fn rejected<'r>(record: &'r Record<'_>, chosen: &Fields<'r>) -> Result<Fields<'r>, Rejection> {
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
