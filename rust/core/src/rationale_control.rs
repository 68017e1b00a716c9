//! Controls of what a rationale teaches: the same words in another order, or only the key ones.
//!
//! Students profit from rationales whose tokens are shuffled or reduced to key tokens (arXiv 2406.14511),
//! so a gain from rationales has to be held against these. Filters judge the rationale as the teacher wrote
//! it; only what is rendered, and stored for targets, is changed. So the same candidates are kept with a
//! control as without, but for their length and for those of which nothing is left.
//!
//! What is a token here is ours: a *word*, parted from others by white space, so that a control is the same
//! text for every student. So is what makes it a key one:
//! - `shuffled` puts the words in a random order and leaves the white space, and so the lines, where it was;
//! - `key_words` keeps a word if it has a digit, is an operator, is a word of the answer, or has four
//!   characters at least and is a word of the question.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::chat::is_space;
use crate::filter::mix;

/// Characters of which an operator is made.
const OPERATORS: &str = "+-−–*/×·÷=≠≈<>≤≥%^→";
/// Characters of a question's word that counts as one of content.
const CONTENT: usize = 4;

/// What is done to rationales.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RationaleControl {
    /// Nothing.
    #[default]
    None,
    /// Their words are put in a random order.
    Shuffled,
    /// Only the words are left that question and answer point to.
    KeyWords,
}

impl RationaleControl {
    /// The rationale of a record under this control; `seed` decides the order of words.
    pub fn apply<'r>(
        self,
        seed: u64,
        question: &str,
        answer: &str,
        rationale: &'r str,
    ) -> Cow<'r, str> {
        match self {
            Self::None => rationale.into(),
            Self::Shuffled => shuffled(seed, rationale).into(),
            Self::KeyWords => key_words(question, answer, rationale).into(),
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The words in the order of random numbers, which seed and text decide.
fn shuffled(seed: u64, text: &str) -> String {
    let state = mix(mix(seed) ^ xxh3_64(text.as_bytes()));
    let mut order: Vec<(u64, usize, &str)> = words(text)
        .enumerate()
        .map(|(index, word)| (mix(state ^ index as u64), index, word))
        .collect();
    order.sort_unstable();
    let mut shuffled = String::with_capacity(text.len());
    let mut rest = text;
    for (.., word) in order {
        let start = rest.len() - rest.trim_start_matches(is_space).len();
        shuffled.push_str(&rest[..start]);
        shuffled.push_str(word);
        rest = &rest[start..];
        rest = &rest[rest.find(is_space).unwrap_or(rest.len())..];
    }
    shuffled.push_str(rest);
    shuffled
}

fn key_words(question: &str, answer: &str, rationale: &str) -> String {
    let is_content = |word: &String| word.chars().count() >= CONTENT;
    let mut known: HashSet<String> = words(question).map(bare).filter(is_content).collect();
    known.extend(words(answer).map(bare).filter(|word| !word.is_empty()));
    let is_key = |word: &&str| {
        word.contains(char::is_numeric)
            || word.chars().all(|sign| OPERATORS.contains(sign))
            || known.contains(&bare(word))
    };
    words(rationale)
        .filter(is_key)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The word without case and without the punctuation around it.
fn bare(word: &str) -> String {
    word.trim_matches(|sign: char| sign.is_ascii_punctuation())
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_change_places_and_white_space_does_not() {
        let text = " 3 cars,\n\n3 trips \t= 9 ";
        let control = |seed| RationaleControl::Shuffled.apply(seed, "q", "a", text);
        let orders: HashSet<_> = (0..40).map(control).collect();
        assert!(orders.len() > 10);
        for order in &orders {
            let space: String = order.split(|c| !is_space(c)).collect();
            assert_eq!(space, "  \n\n  \t  ");
            let mut found: Vec<_> = words(order).collect();
            found.sort_unstable();
            assert_eq!(found, ["3", "3", "9", "=", "cars,", "trips"]);
        }
        assert_eq!(control(7), control(7));
    }

    #[test]
    fn key_words_are_numbers_operators_and_words_of_question_and_answer() {
        let kept = RationaleControl::KeyWords.apply(
            0,
            "How many cars does the ferry take?",
            "(a) on",
            "So the Ferry, as we saw, takes 24 cars * 3 = 72; it is on (A) x2.",
        );
        assert_eq!(kept, "Ferry, 24 cars * 3 = 72; on (A) x2.");
    }

    #[test]
    fn no_control_changes_nothing() {
        let kept = RationaleControl::None.apply(1, "q", "a", " as it is ");
        assert!(matches!(kept, Cow::Borrowed(" as it is ")));
    }
}
