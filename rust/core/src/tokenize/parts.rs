//! What a tokenizer's parts do to a text: the prefix they put before it, the bytes of tokens.

use std::collections::HashSet;

use tokenizers::normalizers::Sequence as Normalizers;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

/// The parts that a text goes through before the model.
pub(super) struct Parts {
    pub normalizer: Option<NormalizerWrapper>,
    pub pre_tokenizer: Option<PreTokenizerWrapper>,
}

/// Bytes of every token of a byte-level vocabulary; 0 for one that is no string of bytes.
pub(super) fn byte_lengths(tokenizer: &Tokenizer) -> Option<Vec<u32>> {
    let is_byte_level = |part: &PreTokenizerWrapper| matches!(part, PreTokenizerWrapper::ByteLevel(level) if !level.add_prefix_space);
    let bytes_only = match tokenizer.get_pre_tokenizer()? {
        PreTokenizerWrapper::Sequence(parts) => {
            let parts: &[PreTokenizerWrapper] = parts.as_ref();
            parts.last().is_some_and(is_byte_level)
                && parts[..parts.len() - 1].iter().all(|part| {
                    matches!(
                        part,
                        PreTokenizerWrapper::Split(_) | PreTokenizerWrapper::Digits(_)
                    )
                })
        }
        part => is_byte_level(part),
    };
    let ModelWrapper::BPE(model) = tokenizer.get_model() else {
        return None;
    };
    let is_plain = model.unk_token.is_none()
        && model.continuing_subword_prefix.is_none()
        && model.end_of_word_suffix.is_none();
    if !bytes_only || !is_plain {
        return None;
    }
    let alphabet: HashSet<char> = ByteLevel::alphabet().into_iter().collect();
    let mut lengths = Vec::new();
    let mut set = |id: u32, length: usize| {
        let id = id as usize;
        if id >= lengths.len() {
            lengths.resize(id + 1, 0);
        }
        lengths[id] = u32::try_from(length).unwrap_or(0);
    };
    for (token, id) in model.get_vocab() {
        let is_bytes = token.chars().all(|c| alphabet.contains(&c));
        set(id, if is_bytes { token.chars().count() } else { 0 });
    }
    for (id, token) in &tokenizer.get_added_tokens_decoder() {
        set(*id, token.content.len());
    }
    Some(lengths)
}

/// The tokenizer's parts without what they put before a text; `None` where that is nothing.
pub(super) fn without_prefix(tokenizer: &Tokenizer) -> Option<Parts> {
    let mut normalizer = tokenizer.get_normalizer().cloned();
    let mut pre_tokenizer = tokenizer.get_pre_tokenizer().cloned();
    let mut has_prefix = false;
    normalizer = normalizer.and_then(|part| without_prepend(part, &mut has_prefix));
    if let Some(part) = &mut pre_tokenizer {
        drop_prefix(part, &mut has_prefix);
    }
    has_prefix.then_some(Parts {
        normalizer,
        pre_tokenizer,
    })
}

fn without_prepend(part: NormalizerWrapper, has_prefix: &mut bool) -> Option<NormalizerWrapper> {
    match part {
        NormalizerWrapper::Prepend(_) => {
            *has_prefix = true;
            None
        }
        NormalizerWrapper::Sequence(parts) => {
            let parts = parts.into_iter();
            let kept = parts
                .filter_map(|part| without_prepend(part, has_prefix))
                .collect();
            Some(NormalizerWrapper::Sequence(Normalizers::new(kept)))
        }
        part => Some(part),
    }
}

fn drop_prefix(part: &mut PreTokenizerWrapper, has_prefix: &mut bool) {
    match part {
        PreTokenizerWrapper::Metaspace(metaspace) => {
            *has_prefix |= metaspace.get_prepend_scheme() != PrependScheme::Never;
            metaspace.set_prepend_scheme(PrependScheme::Never);
        }
        PreTokenizerWrapper::ByteLevel(level) => {
            *has_prefix |= level.add_prefix_space;
            level.add_prefix_space = false;
        }
        PreTokenizerWrapper::Sequence(parts) => {
            let parts: &mut [PreTokenizerWrapper] = parts.as_mut();
            parts
                .iter_mut()
                .for_each(|part| drop_prefix(part, has_prefix));
        }
        _ => {}
    }
}
