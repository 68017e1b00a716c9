//! The filters that a recipe switches on, and their options.

use serde::Deserialize;

use super::Reason;

/// One entry of `prepare.filters`; every option is resolved.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Filter {
    /// The rationale concludes something other than the answer.
    AnswerMismatch {},
    /// An earlier candidate has the same fields.
    ExactDuplicate {},
}

impl Filter {
    /// The reason it gives.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::AnswerMismatch {} => Reason::AnswerMismatch,
            Self::ExactDuplicate {} => Reason::ExactDuplicate,
        }
    }
}
