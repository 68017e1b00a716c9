//! `near_duplicate`: an earlier candidate has nearly the same words (MinHash and LSH).
//!
//! Workers make a [`NearKey`] of each candidate; the collector looks it up among those before. A band of
//! `rows` numbers of the signature finds an earlier candidate that has them too: one of similarity s is
//! found with probability 1 − (1 − s^rows)^bands, and dropped if its estimated similarity reaches the
//! threshold. Only candidates that are not dropped are remembered, so a group keeps its first.
//!
//! Memory: 8 bytes a band at a load of 0.73 at least, 48 for the sketch, 8 for the number: 144 bytes a
//! candidate with 8 bands. Bands are tables of (hash, index) in the order of their hashes, so that growing
//! them is one sequential pass and small steps are cheap; doubling would have cost 64 bytes more.

use serde::Deserialize;

use super::minhash::{BINS, Sketch, signature};
use super::words::{Words, mix, ngrams};
use super::{Field, Reason, Rejection};

/// Options of the filter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearDuplicate {
    /// Estimated Jaccard similarity from which on a candidate is dropped.
    pub threshold: f64,
    /// Words of a shingle.
    pub shingle: usize,
    /// Bands of the signature; one equal band is enough to be compared.
    pub bands: usize,
    /// Numbers of a band.
    pub rows: usize,
    /// The fields that are compared, together.
    pub fields: Vec<Field>,
}

impl NearDuplicate {
    /// What is wrong with the options, if anything is.
    pub fn fault(&self) -> Option<String> {
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return Some(format!(
                "a threshold of {} is not in (0, 1]",
                self.threshold
            ));
        }
        if self.shingle == 0 || self.fields.is_empty() {
            return Some("a shingle has a word at least, and stands in a field".to_owned());
        }
        (self.bands == 0 || self.rows == 0 || self.bands * self.rows > BINS).then(|| {
            format!(
                "{} bands of {} rows are not between 1 and {BINS} numbers",
                self.bands, self.rows
            )
        })
    }

    /// The key of a candidate whose fields have these words; `None` where there are none.
    ///
    /// `shingles` is room to work in.
    pub fn key<'a>(
        &self,
        fields: impl Iterator<Item = &'a Words>,
        shingles: &mut Vec<u64>,
    ) -> Option<NearKey> {
        shingles.clear();
        for words in fields {
            add_shingles(words, self.shingle, shingles);
        }
        let signature = signature(shingles)?;
        let mut numbers = signature.numbers(self.bands * self.rows);
        let mut band = || {
            let rows = numbers.by_ref().take(self.rows);
            (rows.fold(0, |hash, number| mix(hash ^ u64::from(number))) >> 32) as u32
        };
        Some(NearKey {
            bands: (0..self.bands).map(|_| band()).collect(),
            sketch: Sketch::of(&signature),
        })
    }
}

/// Adds the shingles of `words`; fewer words than a shingle make one all the same.
pub fn add_shingles(words: &Words, shingle: usize, shingles: &mut Vec<u64>) {
    let length = shingle.min(words.hashes.len());
    ngrams(&words.hashes, length, |_, hash| shingles.push(hash));
}

/// What is compared of a candidate.
#[derive(Debug, Clone)]
pub struct NearKey {
    bands: Box<[u32]>,
    sketch: Sketch,
}

/// Candidates with the same band that are compared at most; more share a phrase, not a text.
const COMPARED: usize = 16;

/// The keys of all candidates that were kept so far.
#[derive(Debug)]
pub struct NearIndex {
    threshold: f64,
    bands: Vec<Band>,
    sketches: Chunked<Sketch>,
    example_ids: Chunked<i64>,
}

/// An earlier candidate that is nearly the same.
#[derive(Debug, PartialEq)]
pub struct Near {
    /// Its number among the candidates.
    pub example_id: i64,
    /// The estimated similarity.
    pub similarity: f64,
}

impl Near {
    /// The rejection of the later one.
    pub fn rejection(&self) -> Rejection {
        let problem = format!(
            "nearly example {}, estimated similarity {:.2}",
            self.example_id, self.similarity
        );
        Rejection::new(Reason::NearDuplicate, "line", problem)
    }
}

impl NearIndex {
    /// An index of nothing yet.
    pub fn new(options: &NearDuplicate) -> Self {
        Self {
            threshold: options.threshold,
            bands: (0..options.bands).map(|_| Band::default()).collect(),
            sketches: Chunked::default(),
            example_ids: Chunked::default(),
        }
    }

    /// The most similar earlier candidate, if it is near enough; else `key` is remembered.
    pub fn insert(&mut self, example_id: i64, key: &NearKey) -> Option<Near> {
        let mut best: Option<(f64, u32)> = None;
        // Where a band has reached its limit the candidate is found by its other bands.
        let mut is_full = [false; BINS];
        // Eight misses of the cache at once instead of one after the other.
        let touched = self.bands.iter().zip(&key.bands);
        std::hint::black_box(touched.fold(0, |all, (band, &hash)| all ^ band.first(hash)));
        for ((band, &hash), full) in self.bands.iter().zip(&key.bands).zip(&mut is_full) {
            let mut compared = 0;
            for index in band.find(hash) {
                compared += 1;
                let similarity = self.sketches.get(index as usize).similarity(&key.sketch);
                let nearer = best.is_none_or(|(other, first)| {
                    similarity > other || (similarity == other && index < first)
                });
                if similarity >= self.threshold && nearer {
                    best = Some((similarity, index));
                }
            }
            *full = compared >= COMPARED;
        }
        if let Some((similarity, index)) = best {
            let example_id = *self.example_ids.get(index as usize);
            return Some(Near {
                example_id,
                similarity,
            });
        }
        // A table of 2³² candidates would be 600 GB.
        let index = self.sketches.len() as u32;
        self.sketches.push(key.sketch);
        self.example_ids.push(example_id);
        for ((band, &hash), full) in self.bands.iter_mut().zip(&key.bands).zip(is_full) {
            if !full {
                band.insert(hash, index);
            }
        }
        None
    }
}

/// Open addressing by the high bits of the hash, so slots lie in the order of hashes.
#[derive(Debug, Default)]
struct Band {
    /// Hash above, index below.
    slots: Vec<u64>,
    used: usize,
}

const EMPTY: u64 = u64::MAX;

impl Band {
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    /// The slot where the search for a hash begins.
    fn first(&self, hash: u32) -> u64 {
        self.slots.get(self.home(hash)).copied().unwrap_or(EMPTY)
    }

    /// The candidates with this hash, first ones first.
    fn find(&self, hash: u32) -> impl Iterator<Item = u32> {
        let (before, from) = self.slots.split_at(self.home(hash));
        from.iter()
            .chain(before)
            .take_while(|&&slot| slot != EMPTY)
            .filter(move |&&slot| (slot >> 32) as u32 == hash)
            .map(|&slot| slot as u32)
    }

    fn insert(&mut self, hash: u32, index: u32) {
        if self.used * 8 >= self.slots.len() * 7 {
            let size = (self.slots.len() * 6 / 5).max(64);
            let old = std::mem::replace(&mut self.slots, vec![EMPTY; size]);
            for slot in old.into_iter().filter(|&slot| slot != EMPTY) {
                self.put(slot);
            }
        }
        self.put(u64::from(hash) << 32 | u64::from(index));
        self.used += 1;
    }

    fn put(&mut self, slot: u64) {
        let mut at = self.home((slot >> 32) as u32);
        while self.slots[at] != EMPTY {
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
        self.slots[at] = slot;
    }
}

/// A list that never moves what is in it, so that growing it takes no second copy.
#[derive(Debug)]
struct Chunked<T>(Vec<Vec<T>>);

const CHUNK: usize = 4096;

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Chunked<T> {
    fn len(&self) -> usize {
        self.0
            .last()
            .map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    fn get(&self, index: usize) -> &T {
        &self.0[index / CHUNK][index % CHUNK]
    }

    fn push(&mut self, item: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(item),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(item);
                self.0.push(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> NearDuplicate {
        NearDuplicate {
            threshold: 0.8,
            shingle: 5,
            bands: 8,
            rows: 5,
            fields: vec![Field::Question],
        }
    }

    fn key(text: &str) -> NearKey {
        let mut words = Words::default();
        words.read(text);
        options()
            .key([&words].into_iter(), &mut Vec::new())
            .unwrap()
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
        let mut index = NearIndex::new(&options());
        let pairs = 1000;
        for number in 0..pairs {
            assert_eq!(
                index.insert(number, &key(&text(number as usize, words, &[]))),
                None
            );
        }
        let twin = |number: &i64| {
            let near = index.insert(pairs, &key(&text(*number as usize, words, changed)));
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
        let mut index = NearIndex::new(&options());
        assert_eq!(index.insert(4, &key("the same few words in a row")), None);
        let near = index
            .insert(9, &key("The same, few words in a ROW!"))
            .unwrap();
        assert_eq!((near.example_id, near.similarity), (4, 1.0));
        let problem = "nearly example 4, estimated similarity 1.00";
        assert_eq!(near.rejection().problem, problem);
        // What was dropped is not remembered.
        assert_eq!(index.sketches.len(), 1);
    }

    #[test]
    fn a_candidate_takes_at_most_160_bytes() {
        for count in [20_000_u32, 40_000, 57_000] {
            let mut index = NearIndex::new(&options());
            for number in 0..count {
                let bands = (0..8).map(|band| (mix(u64::from(number) << 8 | band) >> 32) as u32);
                let signature = signature(&[mix(u64::from(number))]).unwrap();
                let key = NearKey {
                    bands: bands.collect(),
                    sketch: Sketch::of(&signature),
                };
                index.insert(i64::from(number), &key);
            }
            let slots: usize = index.bands.iter().map(|band| band.slots.capacity()).sum();
            let each = size_of::<Sketch>() + size_of::<i64>();
            let bytes = slots * size_of::<u64>() + index.sketches.0.len() * CHUNK * each;
            let per_candidate = bytes as f64 / index.sketches.len() as f64;
            assert!(per_candidate <= 160.0, "{per_candidate} bytes for {count}");
        }
    }

    #[test]
    fn a_phrase_that_all_share_costs_bounded_time() {
        let mut index = NearIndex::new(&options());
        for number in 0..200 {
            let mut key = key(&text(number, 60, &[]));
            key.bands[0] = 7;
            index.insert(number as i64, &key);
        }
        assert_eq!(index.bands[0].find(7).count(), COMPARED);
    }
}
