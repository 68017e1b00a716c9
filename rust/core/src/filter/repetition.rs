//! `repetition`: the rationale goes round in circles.
//!
//! Four measures: the share of characters in the most frequent n-gram and in duplicated n-grams (Gopher,
//! Rae et al. 2021), how well the text compresses, and a block of words that is repeated until the text
//! ends, which is how sampling fails. Reasoning repeats its own sentences ("On day 3 she reads for 2
//! hours." for each day), so the limits are wider than Gopher's for web pages, and the n-grams longer: lines
//! of an enumeration differ in a word each, so that 20 words in a row seldom come twice.
//!
//! Performance note: most texts are far from all limits, and bounds that cost little show it. Both
//! shares are bounded by the duplicated 4-grams, which a bitmap counts, whose collisions can only count
//! too many. The compressed size is no less than the number of different runs of four bytes: a match
//! holds none that did not stand before but the three that reach over its end, and takes three bytes.
//! Every fourth run is looked at, in a bitmap again, until there are enough.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::words::Words;
use super::{Reason, Rejection};
use crate::hashed::ByHash;

/// Options of the filter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repetition {
    /// Bytes of a rationale under which nothing is said about it.
    pub min_bytes: usize,
    /// Words of the n-gram whose most frequent one is looked at.
    pub top_ngram: usize,
    /// Share of the characters of words that the most frequent n-gram may take.
    pub max_top_share: f64,
    /// Words of the n-grams whose repetitions are looked at.
    pub duplicate_ngram: usize,
    /// Share of the characters of words that may stand in n-grams which stood before.
    pub max_duplicate_share: f64,
    /// Size after compression over size, at least.
    pub min_compression: f64,
    /// Repetitions of the last words from which on they are a loop.
    pub loop_repeats: usize,
}

/// Words of a loop at least, lest a list of equal numbers be one.
const LOOP_WORDS: usize = 20;
/// Words of a loop's block at most.
const LOOP_PERIOD: usize = 64;

impl Repetition {
    /// What is wrong with the options, if anything is.
    pub fn fault(&self) -> Option<String> {
        for share in [
            self.max_top_share,
            self.max_duplicate_share,
            self.min_compression,
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Some(format!("a share of {share} is not between 0 and 1"));
            }
        }
        if self.loop_repeats < 2 {
            return Some("a loop has 2 repeats at least".to_owned());
        }
        (self.top_ngram == 0 || self.duplicate_ngram < self.top_ngram)
            .then(|| "duplicate_ngram must not be less than top_ngram, nor that than 1".to_owned())
    }

    /// Judges a rationale and its `words`.
    pub fn check(&self, text: &str, words: &Words, room: &mut Room) -> Result<(), Rejection> {
        if text.len() < self.min_bytes {
            return Ok(());
        }
        let problem = self
            .looped(text, words)
            .or_else(|| self.shares(text, words, room))
            .or_else(|| {
                let text = &text.as_bytes()[..text.len().min(MOST)];
                if room.is_varied(text, self.min_compression) {
                    return None;
                }
                let ratio = room.compression(text);
                let too_good = ratio < self.min_compression;
                too_good.then(|| format!("compresses to {ratio:.2} of its size"))
            });
        match problem {
            None => Ok(()),
            Some(problem) => Err(Rejection::new(Reason::Repetition, "rationale", problem)),
        }
    }

    fn looped(&self, text: &str, words: &Words) -> Option<String> {
        let count = words.count();
        let longest = LOOP_PERIOD.min(count / self.loop_repeats);
        let last = words.hash(count.checked_sub(1)?);
        for period in 1..=longest {
            // True of few periods, and enough to pass over the others.
            if words.hash(count - 1 - period) != last {
                continue;
            }
            let earlier = (0..count - period).rev();
            let equal = earlier
                .take_while(|&word| words.hash(word) == words.hash(word + period))
                .count();
            let repeated = equal + period;
            if repeated >= LOOP_WORDS.max(period * self.loop_repeats) {
                let block = words.slice(text, count - period, count - 1);
                let times = repeated / period;
                return Some(format!("ends with {times} times {:?}", head(block)));
            }
        }
        None
    }

    fn shares(&self, text: &str, words: &Words, room: &mut Room) -> Option<String> {
        let total = words.bytes(0..words.count());
        let share = |bytes: usize| bytes as f64 / total.max(1) as f64;
        let at_most = share(room.duplicated_at_most(words, self.top_ngram));
        // All but the first of an n-gram's occurrences stood before, and it has two at least.
        if 2.0 * at_most > self.max_top_share {
            let (bytes, first) = top(words, self.top_ngram);
            if share(bytes) > self.max_top_share {
                let phrase = words.slice(text, first, first + self.top_ngram - 1);
                let share = share(bytes);
                return Some(format!("{:?} takes {share:.2} of it", head(phrase)));
            }
        }
        // A longer n-gram that stood before consists of shorter ones that did.
        if at_most > self.max_duplicate_share {
            let share = share(duplicated(words, self.duplicate_ngram));
            if share > self.max_duplicate_share {
                let n = self.duplicate_ngram;
                return Some(format!("{share:.2} of it stands in repeated {n}-grams"));
            }
        }
        None
    }
}

/// The start of a text, for a message.
fn head(text: &str) -> &str {
    const QUOTED: usize = 60;
    text.char_indices()
        .nth(QUOTED)
        .map_or(text, |(end, _)| &text[..end])
}

/// The bytes of the most frequent n-gram's occurrences that do not overlap, and its first word.
fn top(words: &Words, n: usize) -> (usize, usize) {
    let mut seen: HashMap<u64, (usize, usize, usize), ByHash> = HashMap::default();
    words.ngrams(n, |first, hash| {
        let (count, _, free) = seen.entry(hash).or_insert((0, first, 0));
        if first >= *free {
            *count += 1;
            *free = first + n;
        }
    });
    seen.into_values()
        .filter(|&(count, ..)| count > 1)
        .map(|(count, first, _)| (count * words.bytes(first..first + n), first))
        .max_by_key(|&(bytes, first)| (bytes, std::cmp::Reverse(first)))
        .unwrap_or((0, 0))
}

/// The bytes of words in n-grams that stood before.
fn duplicated(words: &Words, n: usize) -> usize {
    let mut seen: HashSet<u64, ByHash> = HashSet::default();
    covered(words, n, |hash| !seen.insert(hash))
}

/// The bytes of words in the n-grams that `is_covered`.
fn covered(words: &Words, n: usize, mut is_covered: impl FnMut(u64) -> bool) -> usize {
    let mut sum = 0;
    let mut free = 0;
    words.ngrams(n, |first, hash| {
        if is_covered(hash) {
            sum += words.bytes(free.max(first)..first + n);
            free = first + n;
        }
    });
    sum
}

/// Room to work in.
#[derive(Debug)]
pub struct Room {
    bitmap: Vec<u64>,
    /// Where each hash of four bytes stood last, counted over all texts, so that none is cleared.
    last: Vec<u32>,
    base: u32,
}

/// Bytes of a match at least.
const MATCH: usize = 4;
/// Bytes of a text that are compressed.
const MOST: usize = 1 << 30;
const TABLE_BITS: u32 = 12;

impl Default for Room {
    fn default() -> Self {
        Self {
            bitmap: Vec::new(),
            last: vec![0; 1 << TABLE_BITS],
            base: 1,
        }
    }
}

impl Room {
    /// No less than [`duplicated`], and seldom more.
    fn duplicated_at_most(&mut self, words: &Words, n: usize) -> usize {
        let bits = (words.count() * 32).next_power_of_two().max(64);
        self.bitmap.clear();
        self.bitmap.resize(bits / 64, 0);
        let bitmap = &mut self.bitmap;
        covered(words, n, |hash| {
            let bit = hash as usize & (bits - 1);
            let word = &mut bitmap[bit / 64];
            let was = *word >> (bit % 64) & 1 == 1;
            *word |= 1 << (bit % 64);
            was
        })
    }

    /// Whether `text` has so many different runs of four bytes that [`Self::compression`] cannot be less
    /// than `share`; `false` where that is not certain.
    fn is_varied(&mut self, text: &[u8], share: f64) -> bool {
        // In texts of megabytes, which are rare, it becomes full and says nothing.
        let bits = (text.len() * 4).next_power_of_two().clamp(1 << 6, 1 << 20);
        self.bitmap.clear();
        self.bitmap.resize(bits / 64, 0);
        let shift = u32::BITS - bits.trailing_zeros();
        let wanted = share * text.len() as f64;
        let mut different = 0;
        for group in text.as_chunks::<MATCH>().0.chunks(32) {
            if f64::from(different) >= wanted {
                return true;
            }
            for &four in group {
                let bit = u32::from_le_bytes(four).wrapping_mul(0x9E37_79B1) >> shift;
                let word = &mut self.bitmap[bit as usize / 64];
                different += u32::from(*word >> (bit % 64) & 1 == 0);
                *word |= 1 << (bit % 64);
            }
        }
        f64::from(different) >= wanted
    }

    /// The size of `text` in LZ77, a byte for a literal and three for a match, over its own.
    pub fn compression(&mut self, text: &[u8]) -> f64 {
        let text = &text[..text.len().min(MOST)];
        if u32::MAX - self.base <= text.len() as u32 {
            self.last.fill(0);
            self.base = 1;
        }
        let mut size = 0;
        let mut at = 0;
        while let Some(next) = text.get(at..at + MATCH) {
            let four = u32::from_le_bytes([next[0], next[1], next[2], next[3]]);
            let slot = (four.wrapping_mul(0x9E37_79B1) >> (32 - TABLE_BITS)) as usize;
            let now = self.base + at as u32;
            let before = std::mem::replace(&mut self.last[slot], now);
            let length = if before < self.base {
                0
            } else {
                let from = &text[(before - self.base) as usize..];
                from.iter()
                    .zip(&text[at..])
                    .take_while(|(a, b)| a == b)
                    .count()
            };
            if length < MATCH {
                size += 1;
                at += 1;
            } else {
                size += 3;
                at += length;
            }
        }
        size += text.len() - at;
        self.base += text.len() as u32;
        size as f64 / text.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), String> {
        let options = Repetition {
            min_bytes: 200,
            top_ngram: 4,
            max_top_share: 0.7,
            duplicate_ngram: 20,
            max_duplicate_share: 0.6,
            min_compression: 0.12,
            loop_repeats: 4,
        };
        let mut words = Words::default();
        words.read(text);
        options
            .check(text, &words, &mut Room::default())
            .map_err(|rejection| rejection.problem.into_owned())
    }

    fn numbered(count: usize, line: impl Fn(usize) -> String) -> String {
        (0..count).map(line).collect()
    }

    #[test]
    fn loops_are_found() {
        let question = "Let us think.\n".to_owned() + &"How many are left?\n".repeat(12);
        assert_eq!(
            check(&question),
            Err(r#"ends with 12 times "How many are left""#.to_owned())
        );
        // Cut off in the middle of a block, which therefore begins elsewhere.
        let cut = &question[..question.len() - 10];
        assert!(check(cut).unwrap_err().starts_with("ends with 11 times"));
        let then_ended = question + "So the answer is 4, as was to be shown.";
        assert!(check(&then_ended).unwrap_err().contains("takes"));
        let digits = format!("10 / 3 = 3.{}", "3".repeat(400));
        assert!(check(&digits).unwrap_err().starts_with("compresses to 0.0"));
        let long = numbered(60, |n| format!("word{n} "));
        assert!(
            check(&long.repeat(5))
                .unwrap_err()
                .starts_with("ends with 5 times")
        );
    }

    #[test]
    fn reasoning_repeats_itself_without_going_in_circles() {
        let letters = numbered(8, |n| {
            format!(
                "The last letter of the word number {n} is \"{}\".\n",
                ["a", "b", "c"][n % 3]
            )
        });
        assert_eq!(check(&letters), Ok(()));
        let table = numbered(30, |n| format!("{n} * 7 = {}\n", n * 7));
        assert_eq!(check(&table), Ok(()));
        assert_eq!(check(&"no ".repeat(60)), Ok(()), "too short to be judged");
        assert_eq!(check(""), Ok(()));
    }

    #[test]
    fn the_bitmap_counts_no_less() {
        let mut words = Words::default();
        let mut room = Room::default();
        for seed in 0..200_usize {
            let text = numbered(20 + seed, |n| format!("{} ", n * n * seed % (3 + seed / 4)));
            words.read(&text);
            for n in [1, 4, 10] {
                let exact = duplicated(&words, n);
                let at_most = room.duplicated_at_most(&words, n);
                assert!(at_most >= exact, "{at_most} < {exact}");
                assert!(2 * exact >= top(&words, n).0);
                assert!(duplicated(&words, n + 3) <= exact);
            }
        }
    }

    #[test]
    fn compression_does_not_depend_on_the_texts_before() {
        let mut room = Room::default();
        let text = b"one two three one two three four";
        let first = room.compression(text);
        room.compression(b"one two three one two three one two three");
        assert_eq!(room.compression(text), first);
        assert!((first - (18.0 + 3.0 + 1.0) / 32.0).abs() < 0.1, "{first}");
        room.base = u32::MAX - 3;
        assert_eq!(room.compression(text), first);
        assert_eq!(room.compression(b""), 0.0);
    }
}
