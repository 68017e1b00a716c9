//! Just what the encoder needs of a `tokenizer.json`.
//!
//! Tokens are turned from the printable byte alphabet of GPT-2 into raw bytes while they are
//! parsed, into one buffer: no string is allocated for any of the half million in a large file.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A `tokenizer.json`; what is not named here does not change ids.
#[derive(Deserialize)]
pub struct TokenizerFile<'f> {
    #[serde(default)]
    pub version: Option<String>,
    /// As it stands in the file, so that its place is known.
    #[serde(default, borrow)]
    pub added_tokens: Option<&'f RawValue>,
    pub normalizer: Option<Value>,
    pub pre_tokenizer: Option<Value>,
    pub post_processor: Option<Value>,
    #[serde(borrow)]
    pub model: Model<'f>,
}

/// The `model` of a BPE.
#[derive(Deserialize)]
pub struct Model<'f> {
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    #[serde(default)]
    pub unk_token: Option<String>,
    #[serde(default)]
    pub continuing_subword_prefix: Option<String>,
    #[serde(default)]
    pub end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub ignore_merges: Option<bool>,
    /// Most of the file is these two, so they are cut out first and read side by side.
    #[serde(borrow)]
    pub vocab: &'f RawValue,
    #[serde(borrow)]
    pub merges: &'f RawValue,
}

/// The tokens of a `vocab`.
#[derive(Default)]
pub struct Vocab {
    /// Those that the byte alphabet can write.
    pub tokens: TokenList,
    /// The others, which no text can reach except as added tokens.
    pub foreign: HashMap<String, u32>,
}

/// Byte strings with an id, in one buffer.
#[derive(Default)]
pub struct TokenList {
    bytes: Vec<u8>,
    /// End of each token in `bytes`, and its id.
    ends: Vec<(u32, u32)>,
}

impl TokenList {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes and the id of a token.
    #[inline]
    pub fn get(&self, index: usize) -> (&[u8], u32) {
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1].0,
        };
        let (end, id) = self.ends[index];
        (&self.bytes[start as usize..end as usize], id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// Pairs of byte strings, in one buffer.
#[derive(Default)]
pub struct MergeList {
    bytes: Vec<u8>,
    /// End of the first and of the second string of each merge in `bytes`.
    ends: Vec<(u32, u32)>,
}

impl MergeList {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The first, the second and the joined bytes of some of the merges.
    pub fn slice(&self, merges: Range<usize>) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
        let mut start = match merges.start {
            0 => 0,
            index => self.ends[index - 1].1 as usize,
        };
        self.ends[merges].iter().map(move |&(middle, end)| {
            let joined = &self.bytes[start..end as usize];
            let (first, second) = joined.split_at(middle as usize - start);
            start = end as usize;
            (first, second, joined)
        })
    }
}

/// Index past the last byte of `bytes`.
fn end_of<E: Error>(bytes: &[u8]) -> Result<u32, E> {
    u32::try_from(bytes.len()).map_err(|_| E::custom("more than 4 GiB of tokens"))
}

/// The byte that a character of GPT-2's printable alphabet stands for.
fn byte_of(c: char) -> Option<u8> {
    // 33–126, 161–172 and 174–255 stand for themselves; the 68 others, in order, for 256 and up.
    match u32::from(c) {
        code @ (33..=126 | 161..=172 | 174..=255) => u8::try_from(code).ok(),
        code @ 256..=288 => u8::try_from(code - 256).ok(),
        code @ 289..=322 => u8::try_from(code - 289 + 127).ok(),
        323 => Some(173),
        _ => None,
    }
}

/// Appends the bytes that `token` stands for; `false`, and nothing, where it has others.
fn push_bytes(token: &str, bytes: &mut Vec<u8>) -> bool {
    let start = bytes.len();
    for c in token.chars() {
        let Some(byte) = byte_of(c) else {
            bytes.truncate(start);
            return false;
        };
        bytes.push(byte);
    }
    true
}

/// The bytes that `token` stands for in the byte alphabet.
pub fn to_bytes(token: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    push_bytes(token, &mut bytes).then_some(bytes)
}

/// Hands a JSON string to a closure without allocating it.
struct WithText<F>(F);

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for WithText<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> T> Visitor<'_> for WithText<F> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a token")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text))
    }
}

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VocabVisitor;
        impl<'de> Visitor<'de> for VocabVisitor {
            type Value = Vocab;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a map from token to id")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let mut vocab = Vocab::default();
                let bytes = &mut vocab.tokens.bytes;
                while let Some(foreign) = map.next_key_seed(WithText(|token: &str| {
                    (!push_bytes(token, bytes)).then(|| token.to_owned())
                }))? {
                    let id = map.next_value()?;
                    match foreign {
                        Some(token) => {
                            vocab.foreign.insert(token, id);
                        }
                        None => vocab.tokens.ends.push((end_of(bytes)?, id)),
                    }
                }
                Ok(vocab)
            }
        }
        deserializer.deserialize_map(VocabVisitor)
    }
}

impl<'de> Deserialize<'de> for MergeList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = MergeList;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a list of merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MergeList, A::Error> {
                let mut merges = MergeList::default();
                while seq.next_element_seed(MergeSeed(&mut merges))?.is_some() {}
                Ok(merges)
            }
        }
        deserializer.deserialize_seq(ListVisitor)
    }
}

/// Reads one merge, `["a", "b"]` or `"a b"`, to the end of a list.
struct MergeSeed<'m>(&'m mut MergeList);

impl MergeSeed<'_> {
    fn push<E: Error>(bytes: &mut Vec<u8>, part: &str) -> Result<u32, E> {
        if !push_bytes(part, bytes) {
            let problem = format_args!("merge of {part:?}, which is not byte-level");
            return Err(E::custom(problem));
        }
        end_of(bytes)
    }
}

impl<'de> DeserializeSeed<'de> for MergeSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MergeSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a merge of two tokens")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let bytes = &mut self.0.bytes;
        let mut part = || {
            seq.next_element_seed(WithText(|part: &str| Self::push(bytes, part)))?
                .unwrap_or_else(|| Err(A::Error::custom("merge of fewer than two tokens")))
        };
        let ends = (part()?, part()?);
        self.0.ends.push(ends);
        match seq.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::custom("merge of more than two tokens")),
        }
    }

    fn visit_str<E: Error>(self, line: &str) -> Result<(), E> {
        if line.starts_with("#version") {
            return Ok(());
        }
        let Some((first, second)) = line.split_once(' ') else {
            return Err(E::custom("merge of fewer than two tokens"));
        };
        let bytes = &mut self.0.bytes;
        let ends = (Self::push(bytes, first)?, Self::push(bytes, second)?);
        self.0.ends.push(ends);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_has_every_byte_once() {
        let mut bytes: Vec<u8> = ('\0'..=char::MAX).filter_map(byte_of).collect();
        assert_eq!(byte_of('Ġ'), Some(b' '));
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }
}
