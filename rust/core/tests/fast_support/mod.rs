//! A tokenizer loaded twice, and small trained ones.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::cell::RefCell;
use std::ops::Range;
use std::path::PathBuf;
use std::slice::from_ref;

use limbeck_core::tokenize::Tokens;
use limbeck_core::tokenize::encoder::{Encoder, EncoderScratch, Position};
use tokenizers::Tokenizer;

pub mod synthetic;

/// A file of the shared test data, or `None`, said aloud, where there is none.
pub fn shared(path: &str) -> Option<String> {
    let root = std::env::var_os("LIMBECK_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let file = std::fs::read_to_string(root.join(path));
    if file.is_err() {
        eprintln!("skipped: LIMBECK_SHARED has no {path}");
    }
    file.ok()
}

/// Question, rationale and answer of each record of a JSONL file.
pub fn corpus_texts(path: &str) -> Vec<String> {
    let corpus = std::fs::read_to_string(path).unwrap();
    let records = corpus
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    records
        .flat_map(|record: serde_json::Value| {
            ["question", "rationale", "answer"]
                .map(|field| record[field].as_str().unwrap_or_default().to_owned())
        })
        .collect()
}

/// The pattern that the fast encoder runs for a file, if it serves it.
pub fn family(file: &serde_json::Value) -> Option<&'static str> {
    Encoder::read(&file.to_string()).unwrap().family()
}

/// One tokenizer three times: ours, ours without the fast path, and that of `tokenizers`, which is
/// told to leave control tokens of content alone, then to find them everywhere.
pub struct Pair {
    ours: Encoder,
    slow: Encoder,
    content: Tokenizer,
    literal: Tokenizer,
    state: RefCell<(EncoderScratch, Tokens, Tokens)>,
}

impl Pair {
    pub fn load(json: &str, family: &str) -> Self {
        let ours = Encoder::read(json).unwrap();
        assert_eq!(ours.family(), Some(family));
        let mut content: Tokenizer = json.parse().unwrap();
        let literal = content.clone();
        content.set_encode_special_tokens(true);
        Self {
            ours,
            slow: Encoder::read_reference(json).unwrap(),
            content,
            literal,
            state: RefCell::default(),
        }
    }

    /// How many tokens our encoder makes of `text`, and the starts that it writes down.
    pub fn encode(&self, text: &str) -> (usize, Vec<usize>) {
        let (scratch, ours, _) = &mut *self.state.borrow_mut();
        let encoded = self.ours.encode(text, &[], Position::Start, scratch, ours);
        encoded.unwrap();
        (ours.ids.len(), ours.starts.clone())
    }

    /// Fails where ids or the bytes of tokens differ from those of the reference, for `text` as
    /// content.
    pub fn check(&self, text: &str) {
        self.check_against(text, &[], &self.content);
    }

    /// The same, also for `text` as a template's, and with where each token starts.
    pub fn check_starts(&self, text: &str) {
        let everything = 0..text.len();
        for (literals, reference) in [
            (&[][..], &self.content),
            (from_ref(&everything), &self.literal),
        ] {
            self.check_against(text, literals, reference);
            // What an added token strips is not in the offsets of the text after it.
            if text.contains(synthetic::STRIPPING) {
                continue;
            }
            let (scratch, ours, slow) = &mut *self.state.borrow_mut();
            let at = Position::Start;
            self.slow.encode(text, literals, at, scratch, slow).unwrap();
            if ours.starts.is_empty() {
                let mut end = 0;
                ours.starts.extend(ours.ids.iter().map(|&id| {
                    end += self.ours.byte_length(id);
                    end - self.ours.byte_length(id)
                }));
            }
            // Offsets of `tokenizers` are those of characters, lengths tell bytes.
            let of_character = |tokens: &Tokens| -> Vec<usize> {
                let starts = tokens.starts.iter().copied();
                let floor = |at| (0..=at).rev().find(|&at| text.is_char_boundary(at));
                starts.map(|at| floor(at).unwrap()).collect()
            };
            let (ours, slow) = (of_character(ours), of_character(slow));
            assert_eq!(ours, slow, "starts in {text:?}");
        }
    }

    fn check_against(&self, text: &str, literals: &[Range<usize>], reference: &Tokenizer) {
        let (scratch, ours, _) = &mut *self.state.borrow_mut();
        let encoded = self
            .ours
            .encode(text, literals, Position::Start, scratch, ours);
        encoded.unwrap();
        let expected = reference.encode_fast(text, false).unwrap();
        assert_eq!(ours.ids, expected.get_ids(), "{text:?}");
        if ours.starts.is_empty() {
            let lengths = ours.ids.iter().map(|&id| self.ours.byte_length(id));
            assert_eq!(lengths.sum::<usize>(), text.len(), "bytes of {text:?}");
        }
    }
}
