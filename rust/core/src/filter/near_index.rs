//! The candidates that `near_duplicate` knows, found by the bands of their signatures.
//!
//! Only candidates that are not dropped are remembered, so a group keeps its first, and a dropped one
//! names the first that is near enough. As later ones cannot be it, whoever finds one has found the same
//! as the collector will: the workers may look a candidate up among those so far and spare themselves its
//! tokens.
//!
//! Memory: 8 bytes a band at a load of a half at least, 48 for the sketch, 8 for the number: at most 152
//! bytes a candidate with 6 bands; while the list grows, the one before it is there too. Where later candidates
//! are dropped more often than the first ones were, up to 16 MiB more are for those that never come.
//!
//! Performance note: a search waits for memory. So the bands are a list of lines of the processor's cache,
//! of eight entries each that are compared at once, and what a search will look at is loaded ahead. As it
//! grows it becomes at once as large as the rest of the input will need, if that can be told: to put all
//! entries into a larger list every now and then took three per cent of the pass with every filter.

use std::sync::{PoisonError, RwLock};

use smallvec::SmallVec;

use super::minhash::Sketch;
use super::near::{Near, NearDuplicate, NearKey};
use crate::ahead::fetch;
use crate::chunked::Chunked;
use crate::large::{Large, grown};

/// Candidates with the same band that are compared at most; more share a phrase, not a text.
const COMPARED: usize = 4;
/// Of most recipes all that are compared with one.
const ALIKE: usize = 24;

/// The keys of all candidates that were kept so far; may be shared between threads.
#[derive(Debug)]
pub struct NearIndex(RwLock<Index>);

impl NearIndex {
    /// An index of nothing yet.
    pub fn new(options: &NearDuplicate) -> Self {
        Self(RwLock::new(Index {
            threshold: options.threshold,
            bands: Bands::default(),
            known: Chunked::default(),
        }))
    }

    /// Says which share of the input the candidates so far are of; room is made for as many of the rest.
    pub fn expect(&self, share: f64) {
        let mut index = self.0.write().unwrap_or_else(PoisonError::into_inner);
        index.bands.share = share;
    }

    /// Begins to load what [`find`](Self::find) will look at.
    pub fn fetch(&self, key: &NearKey) {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        index.fetch(key);
    }

    /// The first candidate that is near enough; `compared` becomes the number of those known, where
    /// a later search may begin.
    pub fn find(&self, key: &NearKey, compared: &mut u32) -> Option<Near> {
        // No one panics while holding the lock.
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let near = index.find(key, *compared);
        *compared = index.known.len() as u32;
        near
    }

    /// The first candidate that is near enough, the first `compared` being not, or else the new one is
    /// remembered.
    pub fn insert(&self, example_id: i64, key: &NearKey, compared: u32) -> Option<Near> {
        let mut index = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let near = index.find(key, compared);
        if near.is_none() {
            index.insert(example_id, key);
        }
        near
    }
}

#[derive(Debug)]
struct Index {
    threshold: f64,
    bands: Bands,
    known: Chunked<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    sketch: Sketch,
    example_id: i64,
}

impl Index {
    /// Of each band the line of its hash, and the next, as some are full.
    fn fetch(&self, key: &NearKey) {
        for &hash in key.bands.as_slice() {
            let lines = &self.bands.lines[self.bands.home(hash)..];
            lines.iter().take(2).for_each(fetch);
        }
    }

    fn find(&self, key: &NearKey, compared: u32) -> Option<Near> {
        let mut alike: SmallVec<[u32; ALIKE]> = SmallVec::new();
        for &hash in key.bands.as_slice() {
            for index in self.bands.find(hash).filter(|&index| index >= compared) {
                fetch(&self.known[index as usize]);
                alike.push(index);
            }
        }
        alike.sort_unstable();
        alike.dedup();
        alike.into_iter().find_map(|index| {
            let known = &self.known[index as usize];
            let similarity = known.sketch.near(&key.sketch, self.threshold)?;
            Some(Near {
                example_id: known.example_id,
                similarity,
            })
        })
    }

    fn insert(&mut self, example_id: i64, key: &NearKey) {
        // A table of 2³² candidates would be 600 GB.
        let index = self.known.len() as u32;
        self.known.push(Known {
            sketch: key.sketch,
            example_id,
        });
        for &hash in key.bands.as_slice() {
            // Where a band has reached its limit the candidate is found by its other bands.
            if self.bands.find(hash).count() < COMPARED {
                self.bands.insert(hash, index);
            }
        }
    }
}

/// Entries of all bands, each in the first line that had a slot free from that one on which its hash says;
/// behind the last line comes the first.
#[derive(Debug)]
struct Bands {
    lines: Large<Line>,
    used: usize,
    /// The share of all entries to come that are in use, as far as that can be told; 1 if it cannot.
    share: f64,
}

/// Slots of a line.
const SLOTS: usize = 8;
/// Lines that there may be in vain after growing: 16 MiB.
const LEAP: usize = 1 << 18;
/// The index of a free slot.
const FREE: u32 = u32::MAX;

/// A line of a processor's cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line {
    hashes: [u32; SLOTS],
    indices: [u32; SLOTS],
}

impl Line {
    const EMPTY: Self = Self {
        hashes: [0; SLOTS],
        indices: [FREE; SLOTS],
    };

    /// Whether a search goes on behind it.
    #[inline]
    fn is_full(&self) -> bool {
        self.indices[SLOTS - 1] != FREE
    }

    /// The slots with this hash, as bits; free ones are among them where it is 0.
    #[inline]
    fn equal(&self, hash: u32) -> u32 {
        let slots = self.hashes.iter().zip(0..);
        slots.fold(0, |bits, (&slot, at)| bits | u32::from(slot == hash) << at)
    }

    /// The candidates with this hash.
    #[inline]
    fn find(&self, hash: u32) -> impl Iterator<Item = u32> {
        let mut bits = self.equal(hash);
        let slots = std::iter::from_fn(move || {
            let slot = bits.trailing_zeros();
            bits &= bits.checked_sub(1)?;
            Some(slot as usize)
        });
        slots
            .map(|slot| self.indices[slot])
            .filter(|&index| index != FREE)
    }
}

impl Default for Bands {
    fn default() -> Self {
        Self {
            lines: Large::of(Line::EMPTY, 1),
            used: 0,
            share: 1.0,
        }
    }
}

impl Bands {
    /// The line where the search for a hash begins.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.lines.len() as u64) >> 32) as usize
    }

    /// The candidates with this hash.
    #[inline]
    fn find(&self, hash: u32) -> impl Iterator<Item = u32> {
        let mut goes_on = true;
        let (others, lines) = self.lines.split_at(self.home(hash));
        let lines = lines.iter().chain(others);
        let lines = lines.take_while(move |line| std::mem::replace(&mut goes_on, line.is_full()));
        lines.flat_map(move |line| line.find(hash))
    }

    fn insert(&mut self, hash: u32, index: u32) {
        if self.used * 4 >= self.lines.len() * SLOTS * 3 {
            self.grow();
        }
        self.put(hash, index);
        self.used += 1;
    }

    fn put(&mut self, hash: u32, index: u32) {
        let mut at = self.home(hash);
        while self.lines[at].is_full() {
            at = (at + 1) % self.lines.len();
        }
        let line = &mut self.lines[at];
        let slot = line
            .indices
            .iter()
            .take_while(|&&index| index != FREE)
            .count();
        (line.hashes[slot], line.indices[slot]) = (hash, index);
    }

    fn grow(&mut self) {
        let count = self.lines.len();
        let count = grown(count, (count * 3 / 2).max(count + 8), self.share, LEAP);
        let lines = Large::of(Line::EMPTY, count);
        for line in std::mem::replace(&mut self.lines, lines).iter() {
            let entries = line.hashes.into_iter().zip(line.indices);
            for (hash, index) in entries.filter(|(_, index)| *index != FREE) {
                self.put(hash, index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunked::CHUNK;
    use crate::filter::Field;
    use crate::filter::minhash::Signature;
    use crate::filter::near;
    use crate::filter::words::{Words, mix};

    fn options() -> NearDuplicate {
        NearDuplicate {
            threshold: 0.8,
            shingle: 5,
            bands: 6,
            rows: 4,
            fields: vec![Field::Question],
        }
    }

    fn key(text: &str) -> NearKey {
        let mut words = Words::default();
        words.read(text);
        options().key([&words].into_iter()).unwrap()
    }

    /// A text of `words` words, of which those at `changed` are others.
    fn text(number: usize, words: usize, changed: &[usize]) -> String {
        let word = |at: usize| match changed.contains(&at) {
            true => format!("other{number}x{at} "),
            false => format!("w{number}x{at} "),
        };
        (0..words).map(word).collect()
    }

    /// The exact similarity where single words far from each other and the ends are changed.
    fn jaccard(words: usize, changed: usize) -> f64 {
        let (all, lost) = ((words - 4) as f64, 5.0 * changed as f64);
        (all - lost) / (all + lost)
    }

    /// Of many pairs of exact similarity J, how many are found.
    fn found(words: usize, changed: &[usize]) -> f64 {
        let index = NearIndex::new(&options());
        let pairs = 1000;
        for number in 0..pairs {
            assert_eq!(
                index.insert(number, &key(&text(number as usize, words, &[])), 0),
                None
            );
        }
        let twin = |number: &i64| {
            let near = index.insert(pairs, &key(&text(*number as usize, words, changed)), 0);
            near.inspect(|near| assert_eq!(near.example_id, *number))
                .is_some()
        };
        (0..pairs).filter(twin).count() as f64 / pairs as f64
    }

    #[test]
    fn near_pairs_are_found_and_others_are_not() {
        // 104 words are 100 shingles.
        for (changed, least, most) in [
            (&[50][..], 0.99, 1.0),         // J = 0.90
            (&[30, 60], 0.5, 0.85),         // J = 0.82, near the threshold
            (&[20, 45, 70], 0.0, 0.12),     // J = 0.74
            (&[20, 40, 60, 80], 0.0, 0.01), // J = 0.67
        ] {
            let share = found(104, changed);
            let exact = jaccard(104, changed.len());
            assert!((least..=most).contains(&share), "J {exact}: found {share}");
        }
    }

    #[test]
    fn the_first_of_a_group_is_kept_and_named() {
        let index = NearIndex::new(&options());
        assert_eq!(
            index.insert(4, &key("the same few words in a row"), 0),
            None
        );
        let near = index
            .insert(9, &key("The same, few words in a ROW!"), 0)
            .unwrap();
        assert_eq!((near.example_id, near.similarity), (4, 1.0));
        let problem = "nearly example 4, estimated similarity 1.00";
        assert_eq!(near.rejection().problem, problem);
        // What was dropped is not remembered.
        assert_eq!(index.0.read().unwrap().known.len(), 1);
    }

    #[test]
    fn of_several_near_ones_the_first_is_named_whichever_band_finds_it() {
        let index = NearIndex::new(&options());
        let NearKey { sketch, .. } = key("the same few words in a row");
        let key = |bands: [u32; 6]| NearKey {
            bands: near::Bands::of(6, |band| bands[band]),
            sketch,
        };
        assert_eq!(index.insert(4, &key([1, 2, 3, 4, 5, 6]), 0), None);
        assert_eq!(index.insert(9, &key([11, 12, 13, 14, 15, 16]), 0), None);
        for bands in [[1, 12, 0, 0, 0, 0], [11, 2, 0, 0, 0, 0]] {
            let near = index.insert(20, &key(bands), 0).unwrap();
            assert_eq!(near.example_id, 4);
        }
    }

    #[test]
    fn what_was_compared_before_is_not_again() {
        let index = NearIndex::new(&options());
        let (one, other) = (
            key("the same few words in a row"),
            key("quite another text, that is"),
        );
        index.insert(4, &one, 0);
        let mut compared = 0;
        assert_eq!(index.find(&one, &mut compared).unwrap().example_id, 4);
        assert_eq!(compared, 1);
        assert_eq!(index.find(&one, &mut compared), None);
        assert_eq!(index.find(&other, &mut compared), None);
        index.insert(6, &other, compared);
        assert_eq!(index.insert(7, &other, compared).unwrap().example_id, 6);
    }

    #[test]
    fn a_candidate_takes_at_most_160_bytes() {
        for count in [20_000_u32, 40_000, 57_000, 90_000] {
            let index = NearIndex::new(&options());
            for number in 0..count {
                let mut signature = Signature::default();
                signature.add(mix(u64::from(number)));
                let band = |band| (mix(u64::from(number) << 8 | band as u64) >> 32) as u32;
                let key = NearKey {
                    bands: near::Bands::of(6, band),
                    sketch: Sketch::of(&signature),
                };
                index.insert(i64::from(number), &key, 0);
            }
            let index = index.0.into_inner().unwrap();
            let lines = index.bands.lines.len();
            let chunks = index.known.len().next_multiple_of(CHUNK) * size_of::<Known>();
            let bytes = lines * size_of::<Line>() + chunks;
            let per_candidate = bytes as f64 / index.known.len() as f64;
            assert!(per_candidate <= 160.0, "{per_candidate} bytes for {count}");
        }
    }

    #[test]
    fn what_is_to_come_is_made_room_for_at_once() {
        let index = NearIndex::new(&options());
        let all = 40_000;
        let mut sizes = std::collections::BTreeSet::new();
        for number in 0..all {
            // Of the input, as far as it has been read.
            index.expect(f64::from(number / 100 + 1) * 100.0 / f64::from(all));
            let band = |band| (mix(u64::from(number) << 8 | band as u64) >> 32) as u32;
            let key = NearKey {
                bands: near::Bands::of(6, band),
                sketch: Sketch::default(),
            };
            index.insert(i64::from(number), &key, number);
            sizes.insert(index.0.read().unwrap().bands.lines.len());
        }
        assert!(sizes.len() < 8, "{sizes:?}");
        let index = index.0.into_inner().unwrap();
        let slots = index.bands.lines.len() * SLOTS;
        assert!(
            slots < 2 * index.bands.used,
            "{slots} for {}",
            index.bands.used
        );
        for number in 0..all {
            let hash = (mix(u64::from(number) << 8) >> 32) as u32;
            assert!(index.bands.find(hash).any(|found| found == number));
        }
    }

    #[test]
    fn a_phrase_that_all_share_costs_bounded_time() {
        let index = NearIndex::new(&options());
        for number in 0..200 {
            let NearKey { sketch, bands } = key(&text(number, 60, &[]));
            let band = |band| if band == 0 { 7 } else { bands.as_slice()[band] };
            let bands = near::Bands::of(6, band);
            index.insert(number as i64, &NearKey { bands, sketch }, 0);
        }
        let index = index.0.into_inner().unwrap();
        assert_eq!(index.bands.find(7).count(), COMPARED);
    }

    #[test]
    fn a_band_finds_what_was_put_into_it() {
        let mut band = Bands::default();
        let mut expected: std::collections::BTreeMap<u32, Vec<u32>> = Default::default();
        for index in 0..5000_u32 {
            // Few hashes, some of them at the very end, and crowds of neighbours.
            let random = (mix(u64::from(index)) >> 32) as u32;
            let hash = match index % 4 {
                0 => u32::MAX - random % 5,
                1 => random % 300,
                _ => random,
            };
            band.insert(hash, index);
            expected.entry(hash).or_default().push(index);
        }
        for (&hash, indices) in &expected {
            let mut found: Vec<_> = band.find(hash).collect();
            found.sort_unstable();
            assert_eq!(&found, indices, "{hash}");
            let next = hash.wrapping_add(7);
            assert_eq!(
                band.find(next).count(),
                expected.get(&next).map_or(0, Vec::len)
            );
        }
        let went_round =
            |(at, line): (usize, &Line)| line.hashes.iter().any(|&hash| band.home(hash) > at);
        assert!(
            band.lines.iter().enumerate().any(went_round),
            "the last ones found room"
        );
    }
}
