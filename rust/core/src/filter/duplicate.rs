//! `exact_duplicate`: an earlier candidate has the same fields.
//!
//! Fields are compared by a 128-bit hash: of 10⁹ candidates two different ones collide with a
//! probability of 10⁻²¹, and the texts need not be kept.

use std::sync::{Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_128;

use crate::ahead::Table;
use crate::asked::Asked;
use crate::record::trimmed;

/// The hash of a candidate's trimmed fields, but for the lowest bit, which is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u128);

impl Key {
    /// The key of these fields. A rationale that the template does without is `None`.
    pub fn of(question: Asked<'_>, answer: &str, rationale: Option<&str>) -> Self {
        // A hash of hashes, so that borders count; one over all texts would keep a state of half
        // a kilobyte.
        let mut digests = [[0; size_of::<u128>()]; 3];
        let texts = [Some(answer), rationale].into_iter().flatten();
        let others = texts.map(|text| xxh3_128(trimmed(text).as_bytes()));
        let mut count = 0;
        for (hash, digest) in std::iter::once(question.hash())
            .chain(others)
            .zip(&mut digests)
        {
            *digest = hash.to_le_bytes();
            count += 1;
        }
        Self::new(xxh3_128(digests[..count].as_flattened()))
    }

    /// The key of the same fields where these stand against them as what is rejected.
    pub fn against(self, answer: &str, rationale: Option<&str>) -> Self {
        Self::new(
            self.0
                ^ Self::of(Asked::default(), answer, rationale)
                    .0
                    .rotate_left(64),
        )
    }

    /// The key of the same fields under the template of this number.
    pub fn under(self, template: usize) -> Self {
        // Beside the bits that choose the shard and the free one.
        Self(self.0 ^ (template as u128) << 64)
    }

    fn new(hash: u128) -> Self {
        Self(hash & !1)
    }
}

/// The keys of all candidates so far, in shards with a lock each.
///
/// The collector adds to it in the order of the candidates. The workers may ask it whether they can
/// spare themselves the tokens of one: what it says yes to came earlier, so the collector will find
/// the same, whoever was faster.
#[derive(Debug, Default)]
pub struct Seen([Mutex<Keys>; SHARDS]);

/// Beside each key whether the candidate was tokenized.
type Keys = Table<1>;

/// So few that each becomes large enough for large pages of memory.
const SHARDS: usize = 4;

impl Seen {
    /// Says which share of the input the candidates so far are of; room is made for as many of the rest.
    pub fn expect(&self, share: f64) {
        for shard in &self.0 {
            locked(shard).expect(share);
        }
    }

    /// Begins to load what the next question for `key` will look at.
    pub fn fetch(&self, key: Key) {
        self.shard(key).fetch(key.0);
    }

    /// Whether `key` is new; it is not the next time. `tokenized` tells whether the candidate could
    /// be: its fields pass the template.
    pub fn insert(&self, key: Key, tokenized: bool) -> bool {
        self.shard(key).insert(key.0, tokenized.into())
    }

    /// Whether a candidate with this key was tokenized; all that follow it are duplicates, and
    /// nothing that comes before duplicates in the order of reasons rejects them.
    pub fn was_tokenized(&self, key: Key) -> bool {
        self.shard(key).get(key.0) == Some(1)
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Keys> {
        locked(&self.0[(key.0 >> 32) as usize % SHARDS])
    }
}

fn locked(shard: &Mutex<Keys>) -> MutexGuard<'_, Keys> {
    // No one panics while holding the lock.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_trimmed_fields_and_their_borders() {
        assert_eq!(
            Key::of(" q\n".into(), "a", Some("r ")),
            Key::of("q".into(), "a", Some("r"))
        );
        assert_ne!(
            Key::of("ab".into(), "c", None),
            Key::of("a".into(), "bc", None)
        );
        assert_ne!(
            Key::of("q".into(), "a", Some("")),
            Key::of("q".into(), "a", None)
        );
        let key = Key::of("q".into(), "a", None);
        assert!(key == key.under(0) && key.under(1) != key && key.under(1) != key.under(2));
        let paired = key.against("b", Some("s"));
        assert!(paired != key && paired == key.against(" b", Some("s ")));
        assert!(paired != key.against("b", None) && paired != Key::of("q".into(), "b", Some("s")));
    }

    #[test]
    fn the_second_is_the_duplicate() {
        let seen = Seen::default();
        let key = Key::of("q".into(), "a", Some("r"));
        assert!(seen.insert(key, true));
        assert!(!seen.insert(key, true));
        assert!(!seen.insert(key, false));
        assert!(seen.insert(Key::of("q".into(), "a", Some("s")), true));
    }

    #[test]
    fn a_worker_hears_of_what_the_first_was() {
        let seen = Seen::default();
        let (rendered, failed) = (
            Key::of("q".into(), "a", None),
            Key::of("q".into(), "b", None),
        );
        assert!(!seen.was_tokenized(rendered));
        seen.insert(rendered, true);
        seen.insert(rendered, false);
        seen.insert(failed, false);
        seen.insert(failed, true);
        assert!(seen.was_tokenized(rendered));
        assert!(!seen.was_tokenized(failed));
    }
}
