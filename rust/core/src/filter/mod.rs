//! Why a candidate is rejected, and the filters that do so.
//!
//! A candidate gets its first failing reason in the order of [`Reason`]. Filters that look at one candidate
//! alone run in the workers ([`Plan`]); those that know the candidates before are the collector's.

mod answer;
mod blank;
mod charset;
mod contaminated;
mod duplicate;
mod earlier;
mod leak;
mod minhash;
mod near;
mod near_index;
mod plan;
mod repetition;
mod settings;
mod trial;
mod words;

use std::borrow::Cow;

pub use self::answer::check as check_answer;
pub use self::blank::check as check_blank;
pub use self::duplicate::{Key, Seen};
pub use self::earlier::Earlier;
pub use self::minhash::{Signature, Sketch};
pub use self::near::{Near, NearDuplicate, NearKey};
pub use self::near_index::NearIndex;
pub use self::plan::{Desk, Judged, NearLookup, Plan, Texts};
pub use self::settings::{Field, Filter};
pub use self::trial::{Dropped, Trial, Trials};
pub use self::words::mix;

/// Why a candidate is rejected, in the order in which reasons are looked for.
///
/// From [`Self::NearDuplicate`] to [`Self::Charset`] the recipe's order holds instead.
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
    /// An earlier candidate has nearly the same words.
    NearDuplicate,
    /// The rationale goes round in circles.
    Repetition,
    /// The candidate holds text of an evaluation set.
    Contaminated,
    /// The question gives the answer away.
    AnswerLeak,
    /// Letters of other scripts, or characters that no text has.
    Charset,
    /// Fewer tokens than asked for.
    TooShort,
    /// More tokens than a row has; nothing is ever cut.
    TooLong,
    /// Enough others of its question differ more from each other.
    OverCap,
    /// Its source has given as many examples as its weight allows.
    NotSampled,
}

impl Reason {
    /// Every reason, in order.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::Empty,
        Self::AnswerMismatch,
        Self::ExactDuplicate,
        Self::NearDuplicate,
        Self::Repetition,
        Self::Contaminated,
        Self::AnswerLeak,
        Self::Charset,
        Self::TooShort,
        Self::TooLong,
        Self::OverCap,
        Self::NotSampled,
    ];

    /// The name in `manifest.json` and `rejected.jsonl`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::AnswerMismatch => "answer_mismatch",
            Self::ExactDuplicate => "exact_duplicate",
            Self::NearDuplicate => "near_duplicate",
            Self::Repetition => "repetition",
            Self::Contaminated => "contaminated",
            Self::AnswerLeak => "answer_leak",
            Self::Charset => "charset",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::OverCap => "over_cap",
            Self::NotSampled => "not_sampled",
        }
    }
}

/// A reason and what exactly is at fault, `field: what is wrong`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The reason.
    pub reason: Reason,
    /// The field at fault.
    pub field: Cow<'static, str>,
    /// What is wrong with it.
    pub problem: Cow<'static, str>,
}

impl Rejection {
    /// A rejection in its three parts.
    pub fn new(
        reason: Reason,
        field: impl Into<Cow<'static, str>>,
        problem: impl Into<Cow<'static, str>>,
    ) -> Self {
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
