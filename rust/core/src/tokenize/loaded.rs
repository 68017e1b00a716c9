//! A tokenizer as it is set up: on our own encoder where that serves it, else on `tokenizers`.
//!
//! The crate's `Tokenizer` takes most of a second to load a large vocabulary, so where it is not
//! needed it is not built; its rule for the ids of added tokens is followed here.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use tokenizers::normalizers::NFC;
use tokenizers::{
    AddedToken, Encoding, NormalizedString, Normalizer, PostProcessor, PostProcessorWrapper, Token,
    Tokenizer,
};

use super::fast::{FastEncoder, TokenizerFile};

/// A tokenizer to which tokens can still be added.
pub(super) enum Loaded {
    /// Our own encoder.
    Fast(Box<FastTokenizer>),
    /// The `tokenizers` crate.
    Reference(Box<Tokenizer>),
}

/// The fast encoder, and what surrounds a model in a tokenizer.json.
pub(super) struct FastTokenizer {
    pub encoder: FastEncoder,
    added: BTreeMap<u32, AddedToken>,
    ids: HashMap<String, u32>,
    post_processor: Option<PostProcessorWrapper>,
    unknown: Option<String>,
}

impl Loaded {
    /// Reads the text of a tokenizer.json; also tells where in it the added tokens stand, if that
    /// came to light.
    pub fn read(source: &str) -> Result<(Self, Option<Range<usize>>), tokenizers::Error> {
        match FastTokenizer::read(source) {
            Ok((tokenizer, place)) => Ok((Self::Fast(Box::new(tokenizer)), place)),
            Err(_unserved) => Ok((Self::reference(source)?, None)),
        }
    }

    /// Reads it with the `tokenizers` crate, whatever it is.
    pub fn reference(source: &str) -> Result<Self, tokenizers::Error> {
        let mut tokenizer: Tokenizer = source.parse()?;
        // What the file sets for batches of its own must not touch ours.
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        Ok(Self::Reference(Box::new(tokenizer)))
    }

    /// The id of a token, added or of the model.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Self::Fast(fast) => fast.token_to_id(token),
            Self::Reference(tokenizer) => tokenizer.token_to_id(token),
        }
    }

    /// All added tokens by id.
    pub fn added_tokens(&self) -> Vec<(u32, AddedToken)> {
        match self {
            Self::Fast(fast) => fast.added.clone().into_iter().collect(),
            Self::Reference(tokenizer) => {
                let added = tokenizer.get_added_tokens_decoder();
                added.into_iter().collect()
            }
        }
    }

    /// The largest id, plus one.
    pub fn next_id(&self) -> u32 {
        match self {
            Self::Fast(fast) => {
                let added = fast.added.keys().next_back().map_or(0, |id| id + 1);
                added.max(fast.encoder.vocab().next_id())
            }
            Self::Reference(tokenizer) => {
                let vocab = tokenizer.get_vocab(true);
                vocab.values().max().map_or(0, |id| id + 1)
            }
        }
    }

    /// A text as the model gets it.
    pub fn normalize(&self, text: &str) -> Result<String, tokenizers::Error> {
        let mut string = NormalizedString::from(text);
        match self {
            Self::Fast(fast) if fast.encoder.normalizes() => NFC.normalize(&mut string)?,
            Self::Fast(_) => {}
            Self::Reference(tokenizer) => {
                if let Some(normalizer) = tokenizer.get_normalizer() {
                    normalizer.normalize(&mut string)?;
                }
            }
        }
        Ok(string.get().to_owned())
    }

    /// Adds a special token.
    pub fn add_special(&mut self, content: &str) -> Result<(), tokenizers::Error> {
        let token = AddedToken::from(content, true);
        match self {
            Self::Fast(fast) => fast.add(vec![token])?,
            Self::Reference(tokenizer) => {
                tokenizer.add_special_tokens([token])?;
            }
        }
        Ok(())
    }

    /// The tokens that the tokenizer puts before a text.
    pub fn prefix(&self) -> Result<Vec<u32>, tokenizers::Error> {
        let encoding = match self {
            Self::Fast(fast) => {
                let text = vec![Token::new(0, "a".into(), (0, 1))];
                let encoding = Encoding::from_tokens(text, 0);
                match &fast.post_processor {
                    Some(processor) => processor.process(encoding, None, true)?,
                    None => encoding,
                }
            }
            Self::Reference(tokenizer) => tokenizer.encode_fast("a", true)?,
        };
        let is_special = encoding.get_special_tokens_mask().iter();
        let ids = encoding.get_ids().iter().copied();
        let prefix = ids.zip(is_special).take_while(|(_, mask)| **mask == 1);
        Ok(prefix.map(|(id, _)| id).collect())
    }

    /// The id of text that the vocabulary cannot express, where the model has one; `of_file` reads
    /// it from the file.
    pub fn unknown_id(&self, of_file: impl FnOnce() -> Option<u32>) -> Option<u32> {
        match self {
            Self::Fast(fast) => self.token_to_id(fast.unknown.as_ref()?),
            Self::Reference(_) => of_file(),
        }
    }
}

impl FastTokenizer {
    /// `Err` says what the fast encoder does not serve.
    fn read(source: &str) -> Result<(Self, Option<Range<usize>>), String> {
        let file: TokenizerFile<'_> =
            serde_json::from_str(source).map_err(|fault| fault.to_string())?;
        let mut tokenizer = Self {
            encoder: FastEncoder::new(&file)?,
            added: BTreeMap::new(),
            ids: HashMap::new(),
            post_processor: parsed(file.post_processor)?,
            unknown: file.model.unk_token,
        };
        let place = file.added_tokens.map(|raw| {
            let start = raw.get().as_ptr() as usize - source.as_ptr() as usize;
            start..start + raw.get().len()
        });
        let added = file.added_tokens.map_or("[]", |raw| raw.get());
        let added = serde_json::from_str(added).map_err(|fault| fault.to_string())?;
        tokenizer.add(added)?;
        Ok((tokenizer, place))
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        let added = self.ids.get(token).copied();
        added.or_else(|| self.encoder.vocab().id_of(token))
    }

    /// Adds tokens in order; one that the vocabulary knows keeps its id, others get the next.
    fn add(&mut self, tokens: Vec<AddedToken>) -> Result<(), String> {
        let size = self.encoder.vocab().size();
        let after_added = self.added.keys().next_back().map(|id| id + 1);
        let mut next = after_added.filter(|&id| id > size).unwrap_or(size);
        for token in tokens {
            if token.content.is_empty() {
                continue;
            }
            let id = self.token_to_id(&token.content).unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            self.encoder.add(id, token.content.len())?;
            self.ids.insert(token.content.clone(), id);
            let before = self.added.insert(id, token);
            if let (Some(before), Some(token)) = (before, self.added.get_mut(&id)) {
                // Once special, always special.
                token.special |= before.special;
            }
        }
        Ok(())
    }
}

fn parsed<T: serde::de::DeserializeOwned>(
    value: Option<serde_json::Value>,
) -> Result<Option<T>, String> {
    let value = value.map(serde_json::from_value);
    value.transpose().map_err(|fault| fault.to_string())
}
