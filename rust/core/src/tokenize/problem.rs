//! Why a record cannot become text: fields that are blank, and what a renderer meets.

use super::Fields;
use crate::record;
use crate::template::{Part, Template};

/// Why a candidate cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderProblem {
    /// The field at fault; `completion` where it may be any that the template writes there.
    pub field: &'static str,
    /// Whether the field is needed and blank.
    pub is_blank: bool,
    /// What is wrong with it.
    pub problem: String,
}

impl RenderProblem {
    pub(super) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self {
            field,
            is_blank: false,
            problem: problem.into(),
        }
    }
}

/// The fields without the white space around them, none of those blank that the template writes.
pub(super) fn trimmed<'r>(
    template: &Template,
    fields: &Fields<'r>,
) -> Result<Fields<'r>, RenderProblem> {
    let needed = |part: &Part, text: &'r str| match template.writes(part) {
        true => required(part.name(), text),
        false => Ok(text),
    };
    required("question", fields.question.text())?;
    Ok(Fields {
        question: fields.question.trimmed(),
        answer: needed(&Part::Answer, fields.answer)?,
        rationale: Some(needed(
            &Part::Rationale,
            fields.rationale.unwrap_or_default(),
        )?),
    })
}

/// The field without the whitespace around it, which must not be all of it.
pub(super) fn required<'r>(field: &'static str, text: &'r str) -> Result<&'r str, RenderProblem> {
    let text = record::trimmed(text);
    if text.is_empty() {
        return Err(RenderProblem {
            field,
            is_blank: true,
            problem: "it is blank".into(),
        });
    }
    Ok(text)
}

pub(super) fn in_question(problem: String) -> RenderProblem {
    RenderProblem::new("question", problem)
}

pub(super) fn in_completion(problem: String) -> RenderProblem {
    RenderProblem::new("completion", problem)
}
