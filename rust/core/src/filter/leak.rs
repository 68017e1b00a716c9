//! `answer_leak`: the question gives the answer away.
//!
//! Either the question states the answer as a conclusion ("… The answer is 12."), or the sentence in which
//! the rationale concludes stands in the question. That the answer's words occur in the question is no
//! leak: a multiple-choice question lists them all, and many answers are a name or number from the text.

use std::ops::Range;

use memchr::memmem;

use super::words::Words;
use super::{Reason, Rejection};
use crate::answer;

/// Words of a concluding sentence at least, for shorter ones stand anywhere.
const SENTENCE_WORDS: usize = 6;

/// What of a candidate is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Leaky<'a> {
    /// The question and its words.
    pub question: (&'a str, &'a Words),
    /// The gold answer.
    pub gold: &'a str,
    /// The rationale and its words.
    pub rationale: (&'a str, &'a Words),
    /// The part of the rationale that is its conclusion, if it has one.
    pub concluded: Option<&'a str>,
}

/// Judges a candidate.
pub fn check(candidate: &Leaky<'_>) -> Result<(), Rejection> {
    let fault = |problem: String| Err(Rejection::new(Reason::AnswerLeak, "question", problem));
    let (question, asked) = candidate.question;
    if let Some(stated) = answer::conclusion(question)
        && !lists_options(stated)
        && answer::equal(candidate.gold, stated)
    {
        return fault(format!("states its answer {:?}", stated.trim()));
    }
    let (rationale, told) = candidate.rationale;
    let Some(sentence) = candidate.concluded.map(|part| sentence(rationale, part)) else {
        return Ok(());
    };
    // A sentence and a conclusion end where no word goes on.
    let wanted = told.within(&sentence);
    if wanted.len() >= SENTENCE_WORDS && asked.holds(wanted.len(), told.run(wanted)) {
        let sentence = rationale[sentence].trim();
        return fault(format!("holds the rationale's conclusion {sentence:?}"));
    }
    Ok(())
}

/// Whether a text offers several options: "(A) 5 (B) 6", "yes or no".
fn lists_options(text: &str) -> bool {
    let bytes = text.as_bytes();
    let labels = bytes
        .windows(2)
        .filter(|pair| pair[0].is_ascii_uppercase() && matches!(pair[1], b')' | b']' | b':'))
        .count();
    labels > 1
        || text
            .split_whitespace()
            .any(|word| word.eq_ignore_ascii_case("or"))
}

/// Where the sentence stands that ends with `concluded`, which is a part of the rationale.
fn sentence(rationale: &str, concluded: &str) -> Range<usize> {
    let start = concluded.as_ptr() as usize - rationale.as_ptr() as usize;
    let before = &rationale.as_bytes()[..start];
    let from = memchr::memrchr3(b'\n', b'!', b'?', before)
        .max(memmem::rfind(before, b". ").map(|dot| dot + 1))
        .map_or(0, |at| at + 1);
    from..start + concluded.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaks(question: &str, gold: &str, rationale: &str) -> bool {
        let [asked, told] = [question, rationale].map(|text| {
            let mut words = Words::default();
            words.read(text);
            words
        });
        let candidate = Leaky {
            question: (question, &asked),
            gold,
            rationale: (rationale, &told),
            concluded: answer::conclusion(rationale),
        };
        check(&candidate).is_err()
    }

    #[test]
    fn a_stated_answer_leaks() {
        assert!(leaks(
            "What is 3 * 4? The answer is 12.",
            "12",
            "3 * 4 = 12"
        ));
        assert!(leaks("What is 3 * 4? Answer: 12", "12", "3 * 4 = 12"));
        assert!(leaks("Check: $\\boxed{12}$. What is 3 * 4?", "12", ""));
        let said = "So Ann has seven red apples and the answer is 7.";
        assert!(leaks(
            &format!("Ann has apples. {said} How many?"),
            "7",
            &format!("Well. {said}")
        ));
    }

    #[test]
    fn an_answer_among_others_does_not() {
        let options = "Answer Choices: (A) 12 (B) 13";
        assert!(!leaks(
            &format!("What is 3 * 4? {options}"),
            "A",
            "The answer is (A)."
        ));
        assert!(!leaks(
            "Is the answer yes or no?",
            "yes",
            "The answer is yes."
        ));
        assert!(!leaks(
            "Ann has 12 apples and eats none. How many?",
            "12",
            "The answer is 12."
        ));
        assert!(!leaks(
            "Bob says the answer is 11. What is 3 * 4?",
            "12",
            "The answer is 12."
        ));
        assert!(!leaks("", "12", ""));
    }
}
