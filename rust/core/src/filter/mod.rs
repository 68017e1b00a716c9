//! Why a candidate is rejected, and the filters that do so.
//!
//! A candidate gets its first failing reason in the order of [`Reason`].

mod answer;
mod blank;
mod duplicate;
mod settings;

pub use self::answer::check as check_answer;
pub use self::blank::check as check_blank;
pub use self::duplicate::{Key, Seen};
pub use self::settings::Filter;

/// Why a candidate is rejected, in the order in which reasons are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No record of the schema, or the template refuses it.
    Malformed,
    /// A field that the template needs is blank.
    Empty,
    /// The rationale concludes something other than the answer.
    AnswerMismatch,
    /// An earlier candidate has the same fields.
    ExactDuplicate,
    /// Fewer tokens than asked for.
    TooShort,
    /// More tokens than a row has; nothing is ever cut.
    TooLong,
}

impl Reason {
    /// Every reason, in order.
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::Empty,
        Self::AnswerMismatch,
        Self::ExactDuplicate,
        Self::TooShort,
        Self::TooLong,
    ];

    /// The name in `manifest.json` and `rejected.jsonl`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::AnswerMismatch => "answer_mismatch",
            Self::ExactDuplicate => "exact_duplicate",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
        }
    }
}

/// A reason and what exactly is at fault, `field: what is wrong`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The reason.
    pub reason: Reason,
    /// The field at fault.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Rejection {
    /// A rejection in its three parts.
    pub fn new(reason: Reason, field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            reason,
            field: field.into(),
            problem: problem.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_in_their_order() {
        assert!(Reason::ALL.is_sorted());
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
