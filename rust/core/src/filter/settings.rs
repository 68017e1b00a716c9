//! The filters that a recipe switches on, and their options.

use serde::Deserialize;

use super::Reason;
use super::charset::Charset;
use super::contaminated::Contaminated;
use super::near::NearDuplicate;
use super::repetition::Repetition;
use crate::choice::OverCap;

/// One entry of `prepare.filters`; every option is resolved.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Filter {
    /// The rationale concludes something other than the answer.
    AnswerMismatch {},
    /// An earlier candidate has the same fields.
    ExactDuplicate {},
    /// An earlier candidate has nearly the same words.
    NearDuplicate(NearDuplicate),
    /// The rationale goes round in circles.
    Repetition(Repetition),
    /// The candidate holds text of an evaluation set.
    Contaminated(Contaminated),
    /// The question gives the answer away.
    AnswerLeak {},
    /// Letters of other scripts, or characters that no text has.
    Charset(Charset),
    /// Of each question the few rationales that differ most.
    OverCap(OverCap),
}

/// A field of a record that a filter may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The question.
    Question,
    /// The rationale, where the template uses it.
    Rationale,
    /// The answer.
    Answer,
}

impl Filter {
    /// The reason it gives.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::AnswerMismatch {} => Reason::AnswerMismatch,
            Self::ExactDuplicate {} => Reason::ExactDuplicate,
            Self::NearDuplicate(_) => Reason::NearDuplicate,
            Self::Repetition(_) => Reason::Repetition,
            Self::Contaminated(_) => Reason::Contaminated,
            Self::AnswerLeak {} => Reason::AnswerLeak,
            Self::Charset(_) => Reason::Charset,
            Self::OverCap(_) => Reason::OverCap,
        }
    }
}
