//! Text to token ids.
//!
//! Where added tokens are is decided here (see `control`): a control token only in what a template
//! wrote, the others anywhere. The text between goes to the fast encoder, or where that does not
//! serve a tokenizer to the `tokenizers` crate (`reference`); ids equal those of
//! `Tokenizer::encode` either way. Truncation and padding that a tokenizer.json sets never apply,
//! nor does dropout.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::slice::from_ref;

use tokenizers::normalizers::NFC;
use tokenizers::{NormalizedString, Normalizer};

use super::control::{self, Matcher, Pattern};
use super::fast::{FastEncoder, Scratch};
use super::loaded::Loaded;
use super::reference::Reference;
use super::tokens::Tokens;

/// Whether a text is encoded as one of its own or as the rest of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The start of a text, which may get a prefix (sentencepiece's first space).
    Start,
    /// The rest of a text, which gets none.
    Rest,
}

/// Encodes texts of which some parts are a template's; may be shared between threads.
pub struct Encoder {
    added: Added,
    engine: Engine,
}

/// Where added tokens are looked for.
pub(super) struct Added {
    /// For literals: control tokens, whether or not the tokenizer normalises them.
    pub controls: Matcher,
    /// Those that are looked for before the normaliser runs, and after.
    pub raw: Matcher,
    pub normalized: Matcher,
}

enum Engine {
    Fast {
        encoder: Box<FastEncoder>,
        /// Control tokens that the model might make of a text.
        guarded: Vec<(u32, String)>,
    },
    Reference(Box<Reference>),
}

/// One thread's buffers and cache.
#[derive(Debug, Default)]
pub struct EncoderScratch(Scratch);

impl Encoder {
    /// An encoder of the text of a tokenizer.json.
    ///
    /// # Errors
    /// What the `tokenizers` crate says of a file that is none.
    pub fn read(source: &str) -> Result<Self, tokenizers::Error> {
        Self::new(Loaded::read(source)?.0, &[], None)
    }

    /// The same on the `tokenizers` crate, even where the fast encoder serves.
    ///
    /// # Errors
    /// What the `tokenizers` crate says of a file that is none.
    pub fn read_reference(source: &str) -> Result<Self, tokenizers::Error> {
        Self::new(Loaded::reference(source)?, &[], None)
    }

    /// `controls` are tokens that only a template may write, besides the special ones;
    /// `unknown` is the id of text that the vocabulary cannot express.
    pub(super) fn new(
        loaded: Loaded,
        controls: &[(String, u32)],
        unknown: Option<u32>,
    ) -> Result<Self, tokenizers::Error> {
        let tokens = loaded.added_tokens();
        let control_ids: HashSet<u32> = controls.iter().map(|(_, id)| *id).collect();
        let mut found_in_literals = Vec::new();
        let (mut raw, mut normalized) = (Vec::new(), Vec::new());
        let mut forbidden: HashMap<u32, &str> = HashMap::new();
        for (id, token) in &tokens {
            let is_control = token.special || control_ids.contains(id);
            if is_control && Some(*id) != unknown {
                forbidden.insert(*id, &token.content);
            }
            let pattern = Pattern::new(token, token.content.clone(), *id, is_control);
            if !token.normalized || control_ids.contains(id) {
                found_in_literals.push(pattern.clone());
            }
            if token.normalized {
                let text = loaded.normalize(&token.content)?;
                normalized.push(Pattern { text, ..pattern });
            } else {
                raw.push(pattern);
            }
        }
        let is_added = |id: &u32| tokens.iter().any(|(added, _)| added == id);
        for (text, id) in controls.iter().filter(|(_, id)| !is_added(id)) {
            let token = tokenizers::AddedToken::from(text.as_str(), true);
            found_in_literals.push(Pattern::new(&token, text.clone(), *id, true));
        }
        normalized.retain(|pattern| !pattern.text.is_empty());
        forbidden.extend(controls.iter().map(|(text, id)| (*id, text.as_str())));
        let engine = match loaded {
            Loaded::Fast(tokenizer) => {
                let vocab = tokenizer.encoder.vocab();
                forbidden.retain(|id, text| vocab.produces(text, *id));
                let guarded = forbidden
                    .into_iter()
                    .map(|(id, text)| (id, text.to_owned()));
                Engine::Fast {
                    guarded: guarded.collect(),
                    encoder: Box::new(tokenizer.encoder),
                }
            }
            Loaded::Reference(tokenizer) => {
                let reference = Reference::new(*tokenizer, forbidden.into_keys().collect());
                Engine::Reference(Box::new(reference))
            }
        };
        Ok(Self {
            added: Added {
                controls: Matcher::new(found_in_literals)?,
                raw: Matcher::new(raw)?,
                normalized: Matcher::new(normalized)?,
            },
            engine,
        })
    }

    /// The split pattern that the fast encoder runs; `None` on the `tokenizers` crate.
    pub fn family(&self) -> Option<&'static str> {
        match &self.engine {
            Engine::Fast { encoder, .. } => Some(encoder.family().name()),
            Engine::Reference(_) => None,
        }
    }

    /// Bytes of text that `id` stands for, where [`Tokens::starts`] may be empty; else 0.
    #[inline]
    pub fn byte_length(&self, id: u32) -> usize {
        match &self.engine {
            Engine::Fast { encoder, .. } => encoder.vocab().byte_length(id).into(),
            Engine::Reference(_) => 0,
        }
    }

    /// Puts the tokens of `text` into `tokens`; only inside `literals`, which are sorted and
    /// apart, is a control token one.
    ///
    /// # Errors
    /// What is wrong, where the model cannot encode the text or makes a control token of it.
    pub fn encode(
        &self,
        text: &str,
        literals: &[Range<usize>],
        position: Position,
        scratch: &mut EncoderScratch,
        tokens: &mut Tokens,
    ) -> Result<(), String> {
        tokens.clear();
        let controls = &self.added.controls;
        let outer = controls.cut(text, literals, |pattern, _| pattern.is_control);
        let (encoder, guarded) = match &self.engine {
            Engine::Fast { encoder, guarded } => (encoder, guarded),
            Engine::Reference(reference) => {
                return reference.encode(&self.added, text, outer, literals, position, tokens);
            }
        };
        let mut work = Work {
            added: &self.added,
            encoder,
            guarded,
            literals,
            scratch: &mut scratch.0,
            tokens,
        };
        for (control, range) in outer {
            match control {
                Some(id) => work.added_token(id, range),
                None => work.between_controls(&text[range.clone()], range.start)?,
            }
        }
        if !work.tokens.starts.is_empty() {
            work.tokens.settle(|id| self.byte_length(id));
        }
        Ok(())
    }
}

/// One text on its way through the fast encoder.
struct Work<'w> {
    added: &'w Added,
    encoder: &'w FastEncoder,
    guarded: &'w [(u32, String)],
    literals: &'w [Range<usize>],
    scratch: &'w mut Scratch,
    tokens: &'w mut Tokens,
}

impl Work<'_> {
    /// An added token that takes `range` of the text, which may be more than its own bytes.
    fn added_token(&mut self, id: u32, range: Range<usize>) {
        if self.length(id) == range.len() {
            self.tokens.ids.push(id);
        } else {
            self.push_at(id, range.start, range.end);
        }
    }

    fn between_controls(&mut self, text: &str, base: usize) -> Result<(), String> {
        if self.added.raw.is_empty() {
            return self.normalize(text, base);
        }
        let window = 0..text.len();
        let added = self.added;
        for (token, range) in added
            .raw
            .cut(text, from_ref(&window), |pattern, _| !pattern.is_control)
        {
            match token {
                Some(id) => self.added_token(id, base + range.start..base + range.end),
                None => self.normalize(&text[range.clone()], base + range.start)?,
            }
        }
        Ok(())
    }

    fn normalize(&mut self, text: &str, base: usize) -> Result<(), String> {
        if !self.encoder.is_normal(text, self.scratch) {
            return self.changed(text, base);
        }
        if self.added.normalized.is_empty() {
            return self.plain(text);
        }
        let window = 0..text.len();
        let (added, literals) = (self.added, self.literals);
        let accepts = |pattern: &Pattern, range: &Range<usize>| {
            let range = base + range.start..base + range.end;
            !pattern.is_control || control::lies_within(literals, &range)
        };
        for (token, range) in added.normalized.cut(text, from_ref(&window), accepts) {
            match token {
                Some(id) => self.added_token(id, base + range.start..base + range.end),
                None => self.plain(&text[range])?,
            }
        }
        Ok(())
    }

    /// Text of which NFC is another text: each token gets its start from the alignment.
    fn changed(&mut self, text: &str, base: usize) -> Result<(), String> {
        let mut string = NormalizedString::from(text);
        NFC.normalize(&mut string)
            .map_err(|error| error.to_string())?;
        let window = 0..string.len();
        let (added, literals) = (self.added, self.literals);
        let pieces = added
            .normalized
            .cut(string.get(), from_ref(&window), |pattern, range| {
                !pattern.is_control || control::is_literal(&string, range, base, literals)
            });
        let end = base + text.len();
        for (token, range) in pieces {
            let mut at = range.start;
            let mut place = |work: &mut Self, id: u32, length: usize| {
                let original = control::original(&string, &(at..at + length));
                work.push_at(id, base + original.map_or(0, |range| range.start), end);
                at += length;
            };
            match token {
                Some(id) => place(self, id, range.len()),
                None => {
                    let mut ids = Vec::new();
                    self.encoder
                        .encode(&string.get()[range], self.scratch, &mut ids);
                    self.check(&ids)?;
                    for id in ids {
                        place(self, id, self.length(id));
                    }
                }
            }
        }
        Ok(())
    }

    /// Text that is NFC and holds no added token.
    fn plain(&mut self, text: &str) -> Result<(), String> {
        let before = self.tokens.ids.len();
        self.encoder
            .encode(text, self.scratch, &mut self.tokens.ids);
        self.check(&self.tokens.ids[before..])
    }

    fn check(&self, ids: &[u32]) -> Result<(), String> {
        if self.guarded.is_empty() {
            return Ok(());
        }
        let made = |(id, _): &&(u32, String)| ids.contains(id);
        match self.guarded.iter().find(made) {
            Some((_, token)) => Err(control::kept_as_text(token)),
            None => Ok(()),
        }
    }

    fn push_at(&mut self, id: u32, byte_start: usize, byte_end: usize) {
        let vocab = self.encoder.vocab();
        let length_of = |id| usize::from(vocab.byte_length(id));
        self.tokens.push_at(id, byte_start, byte_end, length_of);
    }

    fn length(&self, id: u32) -> usize {
        self.encoder.vocab().byte_length(id).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = r#"{"version": "1.0", "added_tokens": [
        {"id": 0, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": true}],
        "normalizer": NORMALIZER, "pre_tokenizer": PRE, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "unk_token": "?",
                  "vocab": {"</s>": 0, "?": 1, "▁5": 2, "5": 3, "x": 4, "▁x": 5}}}"#;
    const METASPACE: &str =
        r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "SCHEME", "split": true}"#;

    fn encoder(normalizer: &str, pre_tokenizer: &str) -> Encoder {
        let json = WORDS
            .replace("NORMALIZER", normalizer)
            .replace("PRE", pre_tokenizer);
        let loaded = Loaded::reference(&json).unwrap();
        Encoder::new(loaded, &[], Some(1)).unwrap()
    }

    fn encode(
        encoder: &Encoder,
        text: &str,
        literals: &[Range<usize>],
        position: Position,
    ) -> Result<Tokens, String> {
        let mut tokens = Tokens::default();
        let scratch = &mut EncoderScratch::default();
        encoder.encode(text, literals, position, scratch, &mut tokens)?;
        Ok(tokens)
    }

    fn ids(encoder: &Encoder, text: &str, position: Position) -> Vec<u32> {
        let all = 0..text.len();
        encode(encoder, text, from_ref(&all), position).unwrap().ids
    }

    #[test]
    fn only_the_start_of_a_text_gets_a_prefix() {
        for (scheme, later) in [("first", 4), ("always", 5), ("never", 4)] {
            let encoder = encoder("null", &METASPACE.replace("SCHEME", scheme));
            let start = if scheme == "never" { 3 } else { 2 };
            assert_eq!(
                ids(&encoder, "5</s>x", Position::Start),
                [start, 0, later],
                "{scheme}"
            );
            assert_eq!(
                ids(&encoder, "5</s>x", Position::Rest),
                [3, 0, later],
                "{scheme}"
            );
            assert_eq!(ids(&encoder, " 5", Position::Rest), [2], "{scheme}");
        }
        let prepends = encoder(r#"{"type": "Prepend", "prepend": "▁"}"#, "null");
        assert_eq!(ids(&prepends, "5</s>x", Position::Start), [2, 0, 5]);
        assert_eq!(ids(&prepends, "5</s>x", Position::Rest), [3, 0, 5]);
    }

    #[test]
    fn a_model_that_makes_a_control_token_of_text_is_found_out() {
        let encoder = encoder("null", r#"{"type": "WhitespaceSplit"}"#);
        let error = encode(&encoder, "x </s>", &[], Position::Start).unwrap_err();
        assert!(error.contains("\"</s>\""), "{error}");
        encode(&encoder, "x ?", &[], Position::Start).unwrap();
    }

    #[test]
    fn starts_are_counted_from_the_whole_text() {
        let encoder = encoder("null", &METASPACE.replace("SCHEME", "first"));
        let literal = 2..6;
        let tokens = encode(&encoder, "5 </s> x", from_ref(&literal), Position::Rest).unwrap();
        assert_eq!(tokens.starts, [0, 1, 2, 6]);
    }
}
