//! The fast path of encoding: byte-level BPE with a known split pattern.
//!
//! A text is cut into pieces (`cut`; by a hand-written scanner, `split`, where that is not enough),
//! a piece is answered from a per-thread cache (`cache`), and what the cache does not know is merged
//! by rank (`merge`). The ids are those of the `tokenizers` crate for any text (property P5,
//! `tests/fast_equal.rs`); a file that asks for anything else is refused here and left to that crate.
//!
//! # Performance notes
//!
//! Counted on every tenth of 200,448 rationale records: half of the pieces are one byte long, 41 %
//! are words, 7 % have more than seven bytes; of 25,823 different pieces 256 make 85 % of all, and
//! 4,096 make 98 %.
//!
//! - Where pieces start is found for 64 bytes at a time (`classes`, SSE2). Before, each piece waited
//!   for the end of the one before it; finding them together took encoding from 198 to 244 MB/s with
//!   a warm cache, from 170 to 190 with a cold one. Letting four stretches of a text take turns
//!   instead made it slower (167): it was the number of instructions, not the wait.
//! - Half of the time that is left waits for a cache entry. A cache entry takes 16 bytes: seven of
//!   text, length, two ids, their count. Tried and slower: one table for all pieces of up to 15
//!   bytes, a small table before the large one, and keys of sixteen pieces looked at ahead; no
//!   faster: single bytes side by side.
//! - A piece that the cache does not know waits for memory too: nine tenths of the samples in its
//!   merge were at the loads of the table of merges. So a rank tells what its merge makes where it can
//!   (`vocab`), and the table is in large pages. No faster: to keep what a merge makes beside its rank, and
//!   to load ahead what pairs of bytes will be looked up with.

mod cache;
mod classes;
mod cut;
mod encode;
mod family;
mod json;
mod merge;
mod nfc;
mod split;
mod unicode;
mod vocab;
mod window;

use std::sync::atomic::{AtomicU64, Ordering};

use cache::Cache;
pub use family::Family;
pub(super) use json::TokenizerFile;
use merge::MergeScratch;
use vocab::Vocabulary;

/// Encodes text that holds no added tokens; what those are, `super::encoder` decides.
pub(super) struct FastEncoder {
    /// Tells encoders apart, so that a scratch of another is not believed.
    identity: u64,
    family: Family,
    normalizes: bool,
    vocab: Vocabulary,
}

/// Buffers and cache of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    /// The encoder that filled the cache; 0 is none.
    owner: u64,
    cache: Cache,
    merge: MergeScratch,
    merged: Vec<u32>,
    normalized: String,
    /// A text, and zeros behind it.
    padded: Vec<u8>,
    /// Where its pieces end.
    ends: Vec<u32>,
    /// Room for its ids.
    room: Vec<u32>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A megabyte of cache tells no one anything.
        formatter.debug_struct("Scratch").finish_non_exhaustive()
    }
}

static NEXT_IDENTITY: AtomicU64 = AtomicU64::new(1);

impl FastEncoder {
    /// Builds the tables of a file's model.
    ///
    /// # Errors
    /// What the file asks for that this encoder is not proven to serve exactly; whether it is a
    /// valid file at all is for the `tokenizers` crate to say.
    pub fn new(file: &TokenizerFile<'_>) -> Result<Self, String> {
        let family = family::recognise(file)?;
        let normalizes = family::normalizes(file.normalizer.as_ref())?;
        let vocab = Vocabulary::new(&file.model)?;
        Ok(Self {
            identity: NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed),
            family,
            normalizes,
            vocab,
        })
    }

    /// The split pattern that was recognised.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The model's tokens.
    pub fn vocab(&self) -> &Vocabulary {
        &self.vocab
    }

    /// Notes that the added token `id` stands for `bytes` bytes.
    ///
    /// # Errors
    /// Where that contradicts the vocabulary.
    pub fn add(&mut self, id: u32, bytes: usize) -> Result<(), String> {
        self.vocab.add(id, bytes)
    }

    /// Whether normalization leaves `text` as it is.
    #[inline]
    pub fn is_normal(&self, text: &str, scratch: &mut Scratch) -> bool {
        !self.normalizes || nfc::normalize(text, &mut scratch.normalized).is_none()
    }

    /// Whether there is a normalizer at all: NFC, then.
    pub fn normalizes(&self) -> bool {
        self.normalizes
    }

    /// Appends the ids of `text`, taken as it is, to `ids`; their byte lengths add up to its own.
    pub fn encode(&self, text: &str, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        if scratch.owner != self.identity {
            scratch.cache.clear();
            scratch.owner = self.identity;
        }
        match self.family {
            Family::Gpt2 => self.encode_pieces::<split::Gpt2>(text, scratch, ids),
            Family::Gpt2Digits => self.encode_pieces::<split::Gpt2Digits>(text, scratch, ids),
            Family::Llama3 => self.encode_pieces::<split::Llama3>(text, scratch, ids),
            Family::Qwen2 => self.encode_pieces::<split::Qwen2>(text, scratch, ids),
            Family::O200k => self.encode_pieces::<split::O200k>(text, scratch, ids),
            Family::Tekken => self.encode_pieces::<split::Tekken>(text, scratch, ids),
        }
    }
}
