//! `answer_mismatch`: the rationale concludes something other than the gold answer.

use super::{Reason, Rejection};
use crate::answer::{self, Verdict};

/// Characters of a conclusion that a rejection quotes.
const QUOTED: usize = 60;

/// Compares what the teacher or else the rationale `concluded` with the gold answer; `Ok(false)` where
/// there is no conclusion.
pub fn check(
    gold: &str,
    teacher_answer: Option<&str>,
    concluded: Option<&str>,
) -> Result<bool, Rejection> {
    match answer::verify(gold, teacher_answer, concluded) {
        Verdict::Match => Ok(true),
        Verdict::Unverified => Ok(false),
        Verdict::Mismatch => {
            let (field, concluded) = match teacher_answer {
                Some(text) => ("teacher_answer", Some(text)),
                None => ("rationale", concluded),
            };
            let problem = match concluded.map(str::trim) {
                None | Some("") => format!("no conclusion, the answer is {}", quote(gold)),
                Some(text) => format!("{} is not the answer {}", quote(text), quote(gold)),
            };
            Err(Rejection::new(Reason::AnswerMismatch, field, problem))
        }
    }
}

fn quote(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(QUOTED) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_quotes_both_sides() {
        let fault = check("12", Some("4"), None).unwrap_err();
        assert_eq!(fault.problem, r#""4" is not the answer "12""#);
        let fault = check("12", Some(" "), Some("12")).unwrap_err();
        assert_eq!(fault.problem, r#"no conclusion, the answer is "12""#);
        let long = "x".repeat(100);
        let fault = check("12", Some(&long), None).unwrap_err();
        assert!(fault.problem.len() < 100 && fault.problem.contains('…'));
    }

    #[test]
    fn without_a_conclusion_nothing_is_verified() {
        assert_eq!(check("12", None, None), Ok(false));
        assert_eq!(check("12", Some("12.0"), None), Ok(true));
    }
}
