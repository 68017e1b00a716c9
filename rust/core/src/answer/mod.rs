//! Whether a rationale ends where the record's answer says it should.
//!
//! [`conclusion`] reads what a text concludes, [`equal`] compares two answers, [`verify`]
//! judges a candidate. Nothing is guessed: a text without an explicit conclusion is
//! unverified, not wrong.

mod conclusion;
mod equal;
mod number;

pub use conclusion::{conclusion, marked};
pub use equal::equal;

/// What is known about a candidate's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The teacher concluded the record's answer.
    Match,
    /// The teacher concluded something else, or nothing although it was asked.
    Mismatch,
    /// Nothing says what the teacher concluded.
    Unverified,
}

/// Judges a candidate: by what the teacher answered, else by what its rationale `concluded`.
///
/// A `teacher_answer` that is there but blank is a mismatch: the teacher gave no answer. One that is
/// the answer word for word is a match, whatever prose it concludes in.
pub fn verify(answer: &str, teacher_answer: Option<&str>, concluded: Option<&str>) -> Verdict {
    let concluded = match teacher_answer {
        Some(text) if !text.trim().is_empty() && text.trim() == answer.trim() => {
            return Verdict::Match;
        }
        Some(text) => Some(conclusion(text).unwrap_or(text)),
        None => concluded,
    };
    match concluded {
        None => Verdict::Unverified,
        Some(text) if equal(answer, text) => Verdict::Match,
        Some(_) => Verdict::Mismatch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_teacher_answer_goes_before_the_rationale() {
        let rationale = conclusion("2 + 2 = 4. The answer is 4.");
        assert_eq!(verify("4", Some("4.0"), None), Verdict::Match);
        assert_eq!(verify("4", Some("5"), rationale), Verdict::Mismatch);
        assert_eq!(verify("4", Some(" "), rationale), Verdict::Mismatch);
        assert_eq!(
            verify("4", Some("So the answer is 4."), None),
            Verdict::Match
        );
        let prose = "The answer is 4, I think.\nOr so.";
        assert_eq!(verify(prose, Some(prose), None), Verdict::Match);
        assert_eq!(verify("4", None, rationale), Verdict::Match);
        assert_eq!(verify("5", None, rationale), Verdict::Mismatch);
        assert_eq!(verify("4", None, None), Verdict::Unverified);
    }
}
