//! Text to token ids, each with the byte it starts at.
//!
//! This is the one place that knows the `tokenizers` crate's pipeline. It runs the crate's
//! own parts (normaliser, pre-tokenizer, model) on one string, so that ids equal those of
//! `Tokenizer::encode`, but decides itself where added tokens are (see `control`).
//! Truncation and padding that a tokenizer.json sets never apply here, nor does dropout.

use std::collections::HashSet;
use std::ops::Range;
use std::slice::from_ref;

use tokenizers::{
    Model, ModelWrapper, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Tokenizer,
};

use super::control::{self, Matcher, Pattern};
use super::parts::{self, Parts};

/// A token and the byte of the text it starts at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub id: u32,
    pub byte_start: usize,
}

/// Whether a text is encoded as one of its own or as the rest of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// The start of a text, which may get a prefix (sentencepiece's first space).
    Start,
    /// The rest of a text, which gets none.
    Rest,
}

pub(super) struct Encoder {
    tokenizer: Tokenizer,
    /// For literals: control tokens, whether or not the tokenizer normalises them.
    controls: Matcher,
    /// Added tokens that are looked for before the normaliser runs, and after.
    raw: Matcher,
    normalized: Matcher,
    /// Ids that text must never become.
    forbidden: HashSet<u32>,
    /// The parts that put no prefix before a text; `None` where the usual ones put none.
    bare: Option<Parts>,
    /// Bytes of each token, where tokens are bytes: offsets need not be tracked then.
    byte_lengths: Option<Vec<u32>>,
}

impl Encoder {
    /// `controls` are tokens that only a template may write, besides the special ones;
    /// `unknown` is the id of text that the vocabulary cannot express.
    pub fn new(
        mut tokenizer: Tokenizer,
        controls: &[(String, u32)],
        unknown: Option<u32>,
    ) -> Result<Self, tokenizers::Error> {
        let added = tokenizer.get_added_tokens_decoder();
        let control_ids: HashSet<u32> = controls.iter().map(|(_, id)| *id).collect();
        let mut found_in_literals = Vec::new();
        let (mut raw, mut normalized) = (Vec::new(), Vec::new());
        let mut forbidden = control_ids.clone();
        for (id, token) in &added {
            let is_control = token.special || control_ids.contains(id);
            let pattern = Pattern::new(token, token.content.clone(), *id, is_control);
            if is_control && Some(*id) != unknown {
                forbidden.insert(*id);
            }
            if !token.normalized || control_ids.contains(id) {
                found_in_literals.push(pattern.clone());
            }
            if token.normalized {
                let mut content = tokenizers::NormalizedString::from(token.content.as_str());
                if let Some(normalizer) = tokenizer.get_normalizer() {
                    normalizer.normalize(&mut content)?;
                }
                let text = content.get().to_owned();
                normalized.push(Pattern { text, ..pattern });
            } else {
                raw.push(pattern);
            }
        }
        for (text, id) in controls.iter().filter(|(_, id)| !added.contains_key(id)) {
            let token = tokenizers::AddedToken::from(text.as_str(), true);
            found_in_literals.push(Pattern::new(&token, text.clone(), *id, true));
        }
        normalized.retain(|pattern| !pattern.text.is_empty());
        if let ModelWrapper::BPE(model) = tokenizer.get_model()
            && model.dropout.is_some()
        {
            let mut model = model.clone();
            model.dropout = None;
            tokenizer.with_model(model);
        }
        Ok(Self {
            controls: Matcher::new(found_in_literals)?,
            raw: Matcher::new(raw)?,
            normalized: Matcher::new(normalized)?,
            forbidden,
            bare: parts::without_prefix(&tokenizer),
            byte_lengths: parts::byte_lengths(&tokenizer),
            tokenizer,
        })
    }

    /// Appends the tokens of `text`; only inside `literals`, which are sorted and apart, is
    /// a control token one.
    ///
    /// # Errors
    /// What is wrong, where the model cannot encode the text or makes a control token of it.
    pub fn encode(
        &self,
        text: &str,
        literals: &[Range<usize>],
        position: Position,
        tokens: &mut Vec<Token>,
    ) -> Result<(), String> {
        let outer = self
            .controls
            .cut(text, literals, |pattern, _| pattern.is_control);
        let head = match (position, &self.bare) {
            (Position::Rest, Some(_)) => self.first_added(text, &outer),
            _ => 0,
        };
        if head > 0 {
            let whole = [(None, 0..head)];
            self.run(
                &text[..head],
                0,
                &whole,
                literals,
                self.bare.as_ref(),
                tokens,
            )?;
        }
        let rest: Vec<_> = outer
            .into_iter()
            .filter(|(_, range)| range.end > head)
            .map(|(id, range)| (id, range.start.max(head) - head..range.end - head))
            .collect();
        self.run(&text[head..], head, &rest, literals, None, tokens)
    }

    /// The byte of the first added token of any kind, else the text's length.
    fn first_added(&self, text: &str, outer: &[control::Piece]) -> usize {
        let mut end = text.len();
        if let Some((_, range)) = outer.iter().find(|(id, _)| id.is_some()) {
            end = range.start;
        }
        let window = 0..end;
        let inner = self.raw.cut(&text[..end], from_ref(&window), |pattern, _| {
            !pattern.is_control
        });
        match inner.iter().find(|(id, _)| id.is_some()) {
            Some((_, range)) => range.start,
            None => end,
        }
    }

    /// Encodes one string, already cut at its control tokens; `base` is its first byte.
    fn run(
        &self,
        text: &str,
        base: usize,
        outer: &[control::Piece],
        literals: &[Range<usize>],
        parts: Option<&Parts>,
        tokens: &mut Vec<Token>,
    ) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        let (normalizer, pre_tokenizer) = match parts {
            Some(parts) => (parts.normalizer.as_ref(), parts.pre_tokenizer.as_ref()),
            None => (
                self.tokenizer.get_normalizer(),
                self.tokenizer.get_pre_tokenizer(),
            ),
        };
        let mut is_unchanged = true;
        let mut string = PreTokenizedString::from(text);
        let encoded = (|| {
            string.split(|_, whole| Ok(control::splits(whole, outer)))?;
            string.split(|_, piece| {
                let window = 0..piece.len();
                let cut = self.raw.cut(piece.get(), from_ref(&window), |pattern, _| {
                    !pattern.is_control
                });
                Ok(control::splits(piece, &cut))
            })?;
            string.split(|_, mut piece| {
                if let Some(normalizer) = normalizer {
                    normalizer.normalize(&mut piece)?;
                    is_unchanged &= piece.get() == piece.get_original();
                }
                let window = 0..piece.len();
                let cut = self
                    .normalized
                    .cut(piece.get(), from_ref(&window), |pattern, range| {
                        !pattern.is_control
                            || control::original(&piece, range).is_some_and(|range| {
                                control::lies_within(
                                    literals,
                                    &(base + range.start..base + range.end),
                                )
                            })
                    });
                Ok(control::splits(piece, &cut))
            })?;
            if let Some(pre_tokenizer) = pre_tokenizer {
                pre_tokenizer.pre_tokenize(&mut string)?;
            }
            string.tokenize(|piece| {
                let tokens = self.tokenizer.get_model().tokenize(piece.get())?;
                match tokens
                    .iter()
                    .find(|token| self.forbidden.contains(&token.id))
                {
                    Some(token) => Err(format!(
                        "it contains {:?}, a control token that this tokenizer cannot keep as text",
                        token.value
                    )
                    .into()),
                    None => Ok(tokens),
                }
            })
        })();
        encoded.map_err(|error: tokenizers::Error| error.to_string())?;
        if is_unchanged && self.by_lengths(&string, base, text.len(), tokens) {
            return Ok(());
        }
        let encoding = string
            .into_encoding(None, 0, OffsetType::Byte)
            .map_err(|error| error.to_string())?;
        let starts = encoding
            .get_offsets()
            .iter()
            .map(|offsets| base + offsets.0);
        let ids = encoding.get_ids().iter().copied();
        tokens.extend(
            ids.zip(starts)
                .map(|(id, byte_start)| Token { id, byte_start }),
        );
        Ok(())
    }

    /// Appends the tokens by adding up their bytes; `false`, and nothing appended, where
    /// that does not come out at the text's length.
    fn by_lengths(
        &self,
        string: &PreTokenizedString,
        base: usize,
        length: usize,
        tokens: &mut Vec<Token>,
    ) -> bool {
        let Some(lengths) = &self.byte_lengths else {
            return false;
        };
        let before = tokens.len();
        let mut at = 0;
        for (_, _, split) in string.get_splits(OffsetReferential::Original, OffsetType::None) {
            for token in split.iter().flatten() {
                tokens.push(Token {
                    id: token.id,
                    byte_start: base + at,
                });
                at += lengths
                    .get(token.id as usize)
                    .map_or(0, |&bytes| bytes as usize);
            }
        }
        if at != length {
            tokens.truncate(before);
        }
        at == length
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
        Encoder::new(json.parse().unwrap(), &[], Some(1)).unwrap()
    }

    fn ids(encoder: &Encoder, text: &str, position: Position) -> Vec<u32> {
        let mut tokens = Vec::new();
        let all = 0..text.len();
        encoder
            .encode(text, from_ref(&all), position, &mut tokens)
            .unwrap();
        tokens.iter().map(|token| token.id).collect()
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
        let mut tokens = Vec::new();
        let error = encoder
            .encode("x </s>", &[], Position::Start, &mut tokens)
            .unwrap_err();
        assert!(error.contains("\"</s>\""), "{error}");
        encoder
            .encode("x ?", &[], Position::Start, &mut tokens)
            .unwrap();
    }

    #[test]
    fn starts_are_counted_from_the_whole_text() {
        let encoder = encoder("null", &METASPACE.replace("SCHEME", "first"));
        let mut tokens = Vec::new();
        let literal = 2..6;
        encoder
            .encode("5 </s> x", from_ref(&literal), Position::Rest, &mut tokens)
            .unwrap();
        let starts: Vec<usize> = tokens.iter().map(|token| token.byte_start).collect();
        assert_eq!(starts, [0, 1, 2, 6]);
    }
}
