//! A text as the filters compare it: its words, without case and punctuation.
//!
//! A word is a run of letters and digits in lower case; a character of a script that is written
//! without spaces (ideographs, kana) is a word of its own. Words are kept as 64-bit hashes.
//!
//! ASCII is read byte by byte in one pass, with eight bytes of a word to a multiplication.

use std::ops::Range;

/// The words of one text.
#[derive(Debug, Default)]
pub struct Words {
    /// A hash of each word.
    pub hashes: Vec<u64>,
    /// Where each word stands in the text.
    pub spans: Vec<Range<usize>>,
}

/// An odd constant without pattern: 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// The multiplier of n-gram hashes, odd and without pattern.
const ROLL: u64 = 0xD6E8_FEB8_6659_FD93;

/// Spreads every bit of `value` over all bits.
#[inline]
pub fn mix(value: u64) -> u64 {
    let product = u128::from(value ^ GOLDEN) * u128::from(ROLL);
    product as u64 ^ (product >> 64) as u64
}

/// A word while it is read.
#[derive(Default)]
struct Reading {
    hash: u64,
    /// The last bytes, which are not in `hash` yet.
    bytes: u64,
    count: usize,
}

impl Reading {
    #[inline]
    fn push(&mut self, byte: u8) {
        self.bytes = self.bytes << 8 | u64::from(byte);
        self.count += 1;
        if self.count.is_multiple_of(8) {
            self.hash = mix(self.hash ^ self.bytes);
            self.bytes = 0;
        }
    }

    #[inline]
    fn finish(&mut self) -> u64 {
        let hash = mix(self.hash ^ self.bytes);
        *self = Self::default();
        hash
    }
}

impl Words {
    /// Reads the words of `text` in place of those that were here.
    pub fn read(&mut self, text: &str) {
        self.hashes.clear();
        self.spans.clear();
        self.add(text);
    }

    /// Adds the words of `text`; their spans are counted from its start.
    pub fn add(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut word = Reading::default();
        let mut start = 0;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if byte.is_ascii_alphanumeric() {
                // Digits have this bit, letters are lower case with it.
                word.push(byte | 0x20);
                at += 1;
                continue;
            }
            let other = if byte.is_ascii() {
                None
            } else {
                text[at..].chars().next()
            };
            let next = at + other.map_or(1, char::len_utf8);
            let alone = match other {
                Some(letter) if letter.is_alphanumeric() => {
                    let alone = stands_alone(letter);
                    if !alone {
                        push_lower(&mut word, letter);
                        at = next;
                        continue;
                    }
                    Some(letter)
                }
                _ => None,
            };
            if word.count > 0 {
                self.push(word.finish(), start..at);
            }
            if let Some(letter) = alone {
                push_lower(&mut word, letter);
                self.push(word.finish(), at..next);
            }
            at = next;
            start = next;
        }
        if word.count > 0 {
            self.push(word.finish(), start..at);
        }
    }

    fn push(&mut self, hash: u64, span: Range<usize>) {
        self.hashes.push(hash);
        self.spans.push(span);
    }

    /// Bytes from the start of word `first` to the end of word `last`.
    pub fn span(&self, first: usize, last: usize) -> Range<usize> {
        self.spans[first].start..self.spans[last].end
    }
}

fn push_lower(word: &mut Reading, letter: char) {
    let mut buffer = [0; 4];
    for lower in letter.to_lowercase() {
        for &byte in lower.encode_utf8(&mut buffer).as_bytes() {
            word.push(byte);
        }
    }
}

/// Ideographs and kana, which no space separates.
fn stands_alone(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Calls `found` with the hash of each run of `length` words, in order.
///
/// A polynomial in the words' hashes, which takes two multiplications however long the run is.
#[inline]
pub fn ngrams(hashes: &[u64], length: usize, mut found: impl FnMut(usize, u64)) {
    if length == 0 || hashes.len() < length {
        return;
    }
    let mut rolling = 0_u64;
    let mut drop = 1_u64;
    for &hash in &hashes[..length] {
        rolling = rolling.wrapping_mul(ROLL).wrapping_add(hash);
        drop = drop.wrapping_mul(ROLL);
    }
    found(0, mix(rolling));
    for (first, (&gone, &new)) in hashes.iter().zip(&hashes[length..]).enumerate() {
        rolling = rolling
            .wrapping_mul(ROLL)
            .wrapping_add(new)
            .wrapping_sub(gone.wrapping_mul(drop));
        found(first + 1, mix(rolling));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> (Vec<u64>, Vec<String>) {
        let mut words = Words::default();
        words.read(text);
        let texts = words.spans.iter().map(|span| text[span.clone()].to_owned());
        (words.hashes.clone(), texts.collect())
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let (_, texts) = words("It's 1,000 €; naïve東京 Straße.");
        assert_eq!(
            texts,
            ["It", "s", "1", "000", "naïve", "東", "京", "Straße"]
        );
        assert_eq!(words(" .\n").1, [""; 0]);
    }

    #[test]
    fn case_and_punctuation_do_not_matter() {
        assert_eq!(words("The ÉCLAIR, is 5!").0, words("the éclair is (5)").0);
        for (a, b) in [("ab c", "a bc"), ("abcdefgh i", "abcdefghi"), ("a1", "a 1")] {
            assert_ne!(words(a).0, words(b).0);
        }
    }

    #[test]
    fn an_ngram_is_known_by_its_words_and_their_order() {
        let (hashes, _) = words("a b c a b d a b c");
        let mut found = Vec::new();
        ngrams(&hashes, 3, |first, hash| {
            assert_eq!(first, found.len());
            found.push(hash);
        });
        assert_eq!(found.len(), 7);
        assert_eq!(found[0], found[6]);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 6);
        ngrams(&hashes, 10, |_, _| unreachable!());
    }
}
