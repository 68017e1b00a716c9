//! `exact_duplicate`: an earlier candidate has the same fields.
//!
//! Fields are compared by a 128-bit hash: of 10⁹ candidates two different ones collide with a
//! probability of 10⁻²¹, and the texts need not be kept.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_128;

use crate::record::trimmed;

/// The hash of a candidate's trimmed fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u128);

impl Key {
    /// The key of these fields. A rationale that the template does without is `None`.
    pub fn of(question: &str, answer: &str, rationale: Option<&str>) -> Self {
        // A hash of hashes, so that borders count; one over all texts would keep a state of half
        // a kilobyte.
        let mut digests = [0; 3 * size_of::<u128>()];
        let texts = [Some(question), Some(answer), rationale];
        let texts = texts.into_iter().flatten();
        let mut length = 0;
        for (text, digest) in texts.zip(digests.as_chunks_mut::<{ size_of::<u128>() }>().0) {
            *digest = xxh3_128(trimmed(text).as_bytes()).to_le_bytes();
            length += digest.len();
        }
        Self(xxh3_128(&digests[..length]))
    }
}

/// The keys of all candidates so far.
#[derive(Debug, Default)]
pub struct Seen(HashSet<Key, BuildHasherDefault<Truncate>>);

impl Seen {
    /// Whether `key` is new; it is not the next time.
    pub fn insert(&mut self, key: Key) -> bool {
        self.0.insert(key)
    }
}

/// A key is a hash already.
#[derive(Debug, Default)]
struct Truncate(u64);

impl Hasher for Truncate {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only for keys, which are written as one u128.
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_trimmed_fields_and_their_borders() {
        assert_eq!(
            Key::of(" q\n", "a", Some("r ")),
            Key::of("q", "a", Some("r"))
        );
        assert_ne!(Key::of("ab", "c", None), Key::of("a", "bc", None));
        assert_ne!(Key::of("q", "a", Some("")), Key::of("q", "a", None));
    }

    #[test]
    fn the_second_is_the_duplicate() {
        let mut seen = Seen::default();
        let key = Key::of("q", "a", Some("r"));
        assert!(seen.insert(key));
        assert!(!seen.insert(key));
        assert!(seen.insert(Key::of("q", "a", Some("s"))));
    }
}
