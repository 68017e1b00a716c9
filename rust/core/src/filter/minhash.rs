//! What two texts share, from a few numbers of each: MinHash (Broder 1997).
//!
//! One permutation makes all numbers (Li, Owen & Zhang 2012): a shingle is thrown into one of 128 bins,
//! and a bin keeps its smallest value, so a shingle costs one multiplication. Of two texts the share of
//! equal bins among those that are not empty in both estimates the Jaccard similarity of their sets of
//! shingles. A [`Sketch`] keeps a few bits of each bin for that.
//!
//! LSH needs numbers that are there in any text. For it bins are put together, every n-th one of n that
//! are asked for, and one that is empty even so copies a full one, which it finds by trying
//! others in an order of its own (optimal densification, Shrivastava 2017). As two texts try them
//! in the same order, copies are equal as often as the numbers themselves.

use super::words::{Words, mix};
use crate::block::{BLOCK, Block};

/// Bins of a signature.
pub const BINS: usize = 128;

/// The smallest value in each bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signature([u32; BINS]);

/// The value of an empty bin, greater than all others, which lack the highest bit.
const EMPTY: u32 = u32::MAX;

impl Default for Signature {
    /// That of no shingle.
    fn default() -> Self {
        Self([EMPTY; BINS])
    }
}

/// The bin that a hash falls into, and its value there.
#[inline]
fn throw(hash: u64) -> (usize, u32) {
    let hash = hash ^ hash >> 32;
    let hash = hash.wrapping_mul(0xE703_7ED1_A0B4_28DB);
    ((hash >> 57) as usize, (hash >> 25) as u32 >> 1)
}

impl Signature {
    /// Adds a shingle, given as its hash.
    #[inline]
    pub fn add(&mut self, shingle: u64) {
        let (bin, value) = throw(shingle);
        self.0[bin] = self.0[bin].min(value);
    }

    /// Adds the shingles of `words`; fewer words than a shingle make one all the same.
    pub fn add_words(&mut self, words: &Words, shingle: usize) {
        words.ngrams(shingle.min(words.count()), |_, hash| self.add(hash));
    }

    /// The first `count` of numbers of which two texts share as many as they share shingles; `None`
    /// where there is no shingle.
    pub fn numbers(&self, count: usize) -> Option<impl Iterator<Item = u32>> {
        let mut together = [EMPTY; BINS];
        for bins in self.0.chunks(count) {
            for (number, &value) in together.iter_mut().zip(bins) {
                *number = (*number).min(value);
            }
        }
        if together.iter().all(|&number| number == EMPTY) {
            return None;
        }
        Some((0..count).map(move |index| match together[index] {
            EMPTY => copy(found(&together[..count], index), index),
            number => number,
        }))
    }
}

/// Hashed with the place, so that copies of one number are as different as others.
fn copy(number: u32, index: usize) -> u32 {
    (mix(u64::from(number) << 7 | index as u64) >> 33) as u32
}

/// The first full number that the empty one at `index` finds.
fn found(numbers: &[u32], index: usize) -> u32 {
    let mut round = 0;
    loop {
        // Four tries in each hash.
        let mut tries = mix(round << 7 | index as u64);
        for _ in 0..4 {
            let number = numbers[((tries & 0xffff) as usize * numbers.len()) >> 16];
            if number != EMPTY {
                return number;
            }
            tries >>= 16;
        }
        round += 1;
    }
}

/// Bits that a sketch keeps of each bin.
const BITS: usize = 3;

/// The low bits of a signature (b-bit MinHash, Li & König 2010), one plane a bit; 48 bytes.
///
/// No bit stands for an empty bin, so where the low bits of a value are none, the first one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sketch([[u64; 2]; BITS]);

impl Sketch {
    /// Keeps of a signature what comparing takes.
    pub fn of(signature: &Signature) -> Self {
        // The low bits of each value, and the highest one where it is that of an empty bin.
        let codes = signature.0.map(|value| {
            let low = value as u8 & ((1 << BITS) - 1);
            low | (value >> (u32::BITS - u8::BITS)) as u8 & 0x80
        });
        let mut planes = [[0; 2]; BITS];
        for (half, codes) in codes.as_chunks::<BLOCK>().0.iter().enumerate() {
            let block = Block::of(codes, 0);
            let (empty, none) = (block.beyond_ascii(), block.equal(0));
            for (bit, plane) in planes.iter_mut().enumerate() {
                let mut set = block.with_bit(bit as u32);
                if bit == 0 {
                    set = set | none;
                }
                plane[half] = set.without(empty).bits();
            }
        }
        Self(planes)
    }

    /// The estimated similarity if it is `threshold` at least.
    ///
    /// Most sketches that are compared are not, and half of the bins show it.
    #[inline]
    pub fn near(&self, other: &Self, threshold: f64) -> Option<f64> {
        let [mut left, mut right, mut differing] = [0; 3];
        for (a, b) in self.0.iter().zip(&other.0) {
            left |= a[0];
            right |= b[0];
            differing |= a[0] ^ b[0];
        }
        // No more is estimated than the share of equal ones, of all bins at most.
        let unequal = ((left | right) & (!left | !right | differing)).count_ones();
        if f64::from(unequal) > (1.0 - threshold) * BINS as f64 {
            return None;
        }
        let similarity = self.similarity(other);
        (similarity >= threshold).then_some(similarity)
    }

    /// The estimated Jaccard similarity; its standard error is 0.04 at 0.8 in texts of 100 words.
    pub fn similarity(&self, other: &Self) -> f64 {
        // Of two values that differ both are 1 with chance (2/8)², or the same other with 6 · (1/8)².
        const CHANCE: f64 = 10.0 / 64.0;
        let (mut full, mut both, mut equal) = (0, 0, 0);
        for half in 0..2 {
            let [mut left, mut right, mut differing] = [0; 3];
            for (a, b) in self.0.iter().zip(&other.0) {
                left |= a[half];
                right |= b[half];
                differing |= a[half] ^ b[half];
            }
            full += (left | right).count_ones();
            both += (left & right).count_ones();
            equal += (left & right & !differing).count_ones();
        }
        let by_chance = CHANCE * f64::from(both - equal) / (1.0 - CHANCE);
        ((f64::from(equal) - by_chance) / f64::from(full.max(1))).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(shingles: &[u64]) -> Signature {
        let mut signature = Signature::default();
        shingles.iter().for_each(|&shingle| signature.add(shingle));
        signature
    }

    /// Two sets of `size` shingles that share `shared` of them.
    fn pair(seed: u64, size: u64, shared: u64) -> (Vec<u64>, Vec<u64>) {
        let shingle = |number| mix(mix(seed) ^ number);
        let left = (0..size).map(shingle).collect();
        let right = (size - shared..2 * size - shared).map(shingle).collect();
        (left, right)
    }

    #[test]
    fn the_estimate_is_unbiased_for_sets_of_any_size() {
        for (size, shared) in [
            (3, 2),
            (10, 9),
            (50, 40),
            (100, 50),
            (400, 300),
            (2000, 200),
        ] {
            let exact = shared as f64 / (2 * size - shared) as f64;
            let (mut sum, mut squares) = (0.0, 0.0);
            let trials = 400;
            for seed in 0..trials {
                let (left, right) = pair(seed, size, shared);
                let [left, right] = [left, right].map(|set| Sketch::of(&signature(&set)));
                let fault = left.similarity(&right) - exact;
                sum += fault;
                squares += fault * fault;
            }
            let (bias, error) = (sum / trials as f64, (squares / trials as f64).sqrt());
            assert!(bias.abs() < 0.012, "{size} {shared}: bias {bias}");
            // Two of very few shingles in one bin count as one.
            let most = if size < 10 { 0.08 } else { 0.06 };
            assert!(error < most, "{size} {shared}: error {error}");
        }
    }

    #[test]
    fn near_is_as_similar_as_the_threshold() {
        for shared in 0..60 {
            let (left, right) = pair(shared, 60, shared);
            let [left, right] = [left, right].map(|set| Sketch::of(&signature(&set)));
            let similarity = left.similarity(&right);
            for threshold in [0.1, 0.5, 0.8, 0.95, 1.0] {
                let expected = (similarity >= threshold).then_some(similarity);
                assert_eq!(left.near(&right, threshold), expected);
            }
        }
    }

    #[test]
    fn equal_sets_have_equal_signatures_in_any_order() {
        let (mut left, _) = pair(1, 40, 0);
        let before = signature(&left);
        left.reverse();
        left.push(left[3]);
        assert_eq!(signature(&left), before);
        assert!(signature(&[]).numbers(24).is_none() && before.numbers(24).is_some());
    }

    #[test]
    fn numbers_are_there_in_any_text_and_shared_like_its_shingles() {
        for (size, shared) in [(1, 1), (3, 2), (20, 18), (100, 90), (1000, 800)] {
            let exact = shared as f64 / (2 * size - shared) as f64;
            for count in [1, 40, 100, 128] {
                let (mut equal, trials) = (0, 200);
                for seed in 0..trials {
                    let (left, right) = pair(seed, size, shared);
                    let [left, right] = [left, right].map(|set| signature(&set));
                    let numbers = |set: &Signature| set.numbers(count).unwrap().collect::<Vec<_>>();
                    let pairs = numbers(&left).into_iter().zip(numbers(&right));
                    equal += pairs.filter(|(a, b)| a == b).count();
                }
                let share = equal as f64 / (trials as usize * count) as f64;
                let error = (exact * (1.0 - exact) / trials as f64).sqrt();
                assert!(
                    (share - exact).abs() < 3.5 * error + 0.01,
                    "{size} {count}: {share}"
                );
            }
        }
    }
}
