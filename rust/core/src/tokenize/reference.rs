//! Text to token ids on the parts of the `tokenizers` crate: normaliser, pre-tokenizer, model.
//!
//! Run on one string with its added tokens cut out as `control` says, so that ids equal those of
//! `Tokenizer::encode`. Dropout that a tokenizer.json sets never applies.

use std::collections::HashSet;
use std::ops::Range;
use std::slice::from_ref;

use tokenizers::{
    Model, ModelWrapper, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Tokenizer,
};

use super::control::{self, Piece, Pieces};
use super::encoder::{Added, Position};
use super::parts::{self, Parts};
use super::tokens::Tokens;

pub(super) struct Reference {
    tokenizer: Tokenizer,
    /// Ids that text must never become.
    forbidden: HashSet<u32>,
    /// The parts that put no prefix before a text; `None` where the usual ones put none.
    bare: Option<Parts>,
    /// Bytes of each token, where tokens are bytes: offsets need not be tracked then.
    byte_lengths: Option<Vec<u32>>,
}

impl Reference {
    pub fn new(mut tokenizer: Tokenizer, forbidden: HashSet<u32>) -> Self {
        if let ModelWrapper::BPE(model) = tokenizer.get_model()
            && model.dropout.is_some()
        {
            let mut model = model.clone();
            model.dropout = None;
            tokenizer.with_model(model);
        }
        Self {
            forbidden,
            bare: parts::without_prefix(&tokenizer),
            byte_lengths: parts::byte_lengths(&tokenizer),
            tokenizer,
        }
    }

    /// Appends the tokens of `text`, cut at its control tokens.
    pub fn encode(
        &self,
        added: &Added,
        text: &str,
        outer: Pieces,
        literals: &[Range<usize>],
        position: Position,
        tokens: &mut Tokens,
    ) -> Result<(), String> {
        let head = match (position, &self.bare) {
            (Position::Rest, Some(_)) => first_added(added, text, &outer),
            _ => 0,
        };
        if head > 0 {
            let whole = [(None, 0..head)];
            let bare = self.bare.as_ref();
            self.run(added, &text[..head], 0, &whole, literals, bare, tokens)?;
        }
        let rest: Vec<_> = outer
            .into_iter()
            .filter(|(_, range)| range.end > head)
            .map(|(id, range)| (id, range.start.max(head) - head..range.end - head))
            .collect();
        self.run(added, &text[head..], head, &rest, literals, None, tokens)
    }

    /// Encodes one string, already cut at its control tokens; `base` is its first byte.
    #[allow(
        clippy::too_many_arguments,
        reason = "two texts, each with where it is cut"
    )]
    fn run(
        &self,
        added: &Added,
        text: &str,
        base: usize,
        outer: &[Piece],
        literals: &[Range<usize>],
        parts: Option<&Parts>,
        tokens: &mut Tokens,
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
                let cut = added.raw.cut(piece.get(), from_ref(&window), |pattern, _| {
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
                let cut = added
                    .normalized
                    .cut(piece.get(), from_ref(&window), |pattern, range| {
                        !pattern.is_control || control::is_literal(&piece, range, base, literals)
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
                    Some(token) => Err(control::kept_as_text(&token.value).into()),
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
        let starts = encoding.get_offsets().iter();
        tokens.ids.extend_from_slice(encoding.get_ids());
        tokens.starts.extend(starts.map(|offsets| base + offsets.0));
        Ok(())
    }

    /// Appends the tokens by adding up their bytes; `false`, and nothing appended, where
    /// that does not come out at the text's length.
    fn by_lengths(
        &self,
        string: &PreTokenizedString,
        base: usize,
        length: usize,
        tokens: &mut Tokens,
    ) -> bool {
        let Some(lengths) = &self.byte_lengths else {
            return false;
        };
        let before = tokens.ids.len();
        let mut at = 0;
        for (_, _, split) in string.get_splits(OffsetReferential::Original, OffsetType::None) {
            for token in split.iter().flatten() {
                tokens.ids.push(token.id);
                tokens.starts.push(base + at);
                at += lengths
                    .get(token.id as usize)
                    .map_or(0, |&bytes| bytes as usize);
            }
        }
        if at != length {
            tokens.ids.truncate(before);
            tokens.starts.truncate(before);
        }
        at == length
    }
}

/// The byte of the first added token of any kind, else the text's length.
fn first_added(added: &Added, text: &str, outer: &[Piece]) -> usize {
    let mut end = text.len();
    if let Some((_, range)) = outer.iter().find(|(id, _)| id.is_some()) {
        end = range.start;
    }
    let window = 0..end;
    let inner = added
        .raw
        .cut(&text[..end], from_ref(&window), |pattern, _| {
            !pattern.is_control
        });
    match inner.iter().find(|(id, _)| id.is_some()) {
        Some((_, range)) => range.start,
        None => end,
    }
}
