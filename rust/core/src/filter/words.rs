//! A text as the filters compare it: its words, without case and punctuation.
//!
//! A word is a run of letters and digits in lower case; a character of a script that is written
//! without spaces (ideographs, kana) is a word of its own. Of words a polynomial in their 64-bit hashes
//! up to each is kept, so that the hash of a run of words is a multiplication and a subtraction however
//! long the run is.
//!
//! Performance note: all filters share one reading. Of ASCII 64 bytes become a bitmap (`block`), whose
//! edges are put down first, for they are where words begin and end; then a word of up to eight bytes is a
//! load and a multiplication. A loop over bytes took four times as long. A word that reaches beyond ASCII is
//! read character by character.

use std::ops::Range;

use crate::block::{BLOCK, Block, FIRST, put};

/// The words of one text.
#[derive(Debug, Default)]
pub struct Words {
    count: usize,
    /// Nothing, then the polynomial up to each word; what is behind is of texts before.
    polynomials: Vec<u64>,
    /// The first byte of each word, and the one behind it.
    spans: Vec<Span>,
}

type Span = [u32; 2];

/// An odd constant without pattern: 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// The variable of the polynomials, odd and without pattern.
const ROLL: u64 = 0xD6E8_FEB8_6659_FD93;

/// Spreads every bit of `value` over all bits.
#[inline]
pub fn mix(value: u64) -> u64 {
    let product = u128::from(value ^ GOLDEN) * u128::from(ROLL);
    product as u64 ^ (product >> 64) as u64
}

/// Bytes of an integer.
const STEP: usize = 8;

impl Words {
    /// Reads the words of `text` in place of those that were here.
    pub fn read(&mut self, text: &str) {
        // Between two words, or in one that stands alone, is a byte more; places are put block by block.
        let most = text.len() / 2 + 1 + BLOCK / 2;
        if self.spans.len() < most {
            self.polynomials.resize(most + 1, 0);
            self.spans.resize(most, Span::default());
        }
        let mut list = List {
            polynomials: &mut self.polynomials[1..],
            spans: &mut self.spans,
            count: 0,
            polynomial: 0,
        };
        let mut at = 0;
        while at < text.len() {
            at = list.read_ascii(text.as_bytes(), at);
            at = list.read_beyond(text, at);
        }
        self.count = list.count;
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The hash of a word, of its letters in lower case.
    #[inline]
    pub fn hash(&self, word: usize) -> u64 {
        self.run(word..word + 1)
    }

    /// The hash of words that follow each other.
    #[inline]
    pub fn run(&self, words: Range<usize>) -> u64 {
        let before = self.polynomials[words.start];
        self.polynomials[words.end].wrapping_sub(before.wrapping_mul(power(words.len())))
    }

    /// The bytes of words as they were written, without what is between them.
    pub fn bytes(&self, words: Range<usize>) -> usize {
        let bytes = |[start, end]: &Span| (end - start) as usize;
        self.spans[words].iter().map(bytes).sum()
    }

    /// The text from the start of word `first` to the end of word `last`.
    pub fn slice<'t>(&self, text: &'t str, first: usize, last: usize) -> &'t str {
        let ([start, _], [_, end]) = (self.spans[first], self.spans[last]);
        &text[start as usize..end as usize]
    }

    /// The words that stand in a part of the text, whose ends cut none in two.
    pub fn within(&self, part: &Range<usize>) -> Range<usize> {
        let spans = &self.spans[..self.count];
        let first = spans.partition_point(|&[start, _]| (start as usize) < part.start);
        let count = spans[first..].partition_point(|&[_, end]| end as usize <= part.end);
        first..first + count
    }

    /// Whether `length` words with this hash follow each other somewhere.
    pub fn holds(&self, length: usize, hash: u64) -> bool {
        self.runs(length).any(|run| run == hash)
    }

    /// The hash of all words together.
    pub fn whole(&self) -> Option<u64> {
        (self.count > 0).then(|| self.polynomials[self.count])
    }

    /// Calls `found` with the first word and the hash of each run of `length` words, in order.
    #[inline]
    pub fn ngrams(&self, length: usize, mut found: impl FnMut(usize, u64)) {
        let runs = self.runs(length).enumerate();
        runs.for_each(|(first, hash)| found(first, hash));
    }

    /// Calls `found` with every `step`-th word and the hash of the run of `length` words that begins there.
    #[inline]
    pub fn ngrams_apart(&self, length: usize, step: usize, mut found: impl FnMut(usize, u64)) {
        let runs = self.runs(length).enumerate().step_by(step);
        runs.for_each(|(first, hash)| found(first, hash));
    }

    /// The hash of each run of `length` words; there is none of no word.
    #[inline]
    fn runs(&self, length: usize) -> impl Iterator<Item = u64> {
        let count = match length {
            0 => 0,
            _ => (self.count + 1).saturating_sub(length),
        };
        let shift = power(length);
        let after = self.polynomials.get(length..).unwrap_or_default();
        let ends = self.polynomials.iter().zip(after).take(count);
        ends.map(move |(before, end)| end.wrapping_sub(before.wrapping_mul(shift)))
    }
}

/// Words on their way into a list; the polynomial stays in a register, as each waits for the last.
struct List<'w> {
    polynomials: &'w mut [u64],
    spans: &'w mut [Span],
    count: usize,
    polynomial: u64,
}

impl List<'_> {
    /// Reads from `at`, where no word goes on, up to the end or to the first word that is not of ASCII
    /// alone; returns where that begins.
    #[inline]
    fn read_ascii(&mut self, text: &[u8], at: usize) -> usize {
        // Where words begin and end, in turn.
        let edges = self.spans.as_flattened_mut();
        let mut count = 2 * self.count;
        let mut was_word = 0;
        let mut end = text.len();
        for block_start in (at..text.len()).step_by(BLOCK) {
            let block = Block::of(&text[block_start..], 0);
            let is_word = (block.letters() | block.digits()).bits();
            let is_beyond = block.beyond_ascii().bits();
            // The bytes before the first one that is beyond ASCII, all if there is none.
            let before = (is_beyond & is_beyond.wrapping_neg()).wrapping_sub(1);
            let changes = (is_word ^ (is_word << 1 | was_word)) & before;
            count += put(block_start, changes, &mut edges[count..]);
            was_word = is_word >> (BLOCK - 1);
            if is_beyond != 0 {
                end = block_start + is_beyond.trailing_zeros() as usize;
                break;
            }
        }
        if count % 2 == 1 {
            if end == text.len() {
                edges[count] = end as u32;
                count += 1;
            } else {
                count -= 1;
                end = edges[count] as usize;
            }
        }
        let new = self.count..count / 2;
        let polynomials = self.polynomials[new.clone()].iter_mut();
        for (&[start, end], place) in self.spans[new].iter().zip(polynomials) {
            let hash = hash(text, start as usize, end as usize);
            self.polynomial = self.polynomial.wrapping_mul(ROLL).wrapping_add(hash);
            *place = self.polynomial;
        }
        self.count = count / 2;
        end
    }

    /// Reads characters from `at` up to the next of ASCII that belongs to no word; returns where it is.
    fn read_beyond(&mut self, text: &str, at: usize) -> usize {
        let mut letters = Letters::default();
        let mut word_start = at;
        for (offset, letter) in text[at..].char_indices() {
            let letter_start = at + offset;
            let is_word = letter.is_alphanumeric();
            if is_word && !stands_alone(letter) {
                letters.push(letter);
                continue;
            }
            if let Some(hash) = letters.finish() {
                self.push(hash, word_start, letter_start);
            }
            word_start = letter_start + letter.len_utf8();
            if is_word {
                letters.push(letter);
                let hash = letters.finish().unwrap_or_default();
                self.push(hash, letter_start, word_start);
            } else if letter.is_ascii() {
                return word_start;
            }
        }
        if let Some(hash) = letters.finish() {
            self.push(hash, word_start, text.len());
        }
        text.len()
    }

    #[inline]
    fn push(&mut self, hash: u64, byte_start: usize, byte_end: usize) {
        self.polynomial = self.polynomial.wrapping_mul(ROLL).wrapping_add(hash);
        self.polynomials[self.count] = self.polynomial;
        self.spans[self.count] = [byte_start as u32, byte_end as u32];
        self.count += 1;
    }
}

/// [`ROLL`] to a power.
fn power(exponent: usize) -> u64 {
    (0..exponent).fold(1, |power, _| power.wrapping_mul(ROLL))
}

/// Repeats a byte in an integer.
const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; STEP])
}

/// The hash of a word of ASCII letters and digits, of which nearly all have eight bytes at most.
#[inline(always)]
fn hash(text: &[u8], byte_start: usize, byte_end: usize) -> u64 {
    let length = byte_end - byte_start;
    match text[byte_start..].first_chunk() {
        Some(eight) if length <= STEP => mix(folded(eight) & FIRST[length]),
        _ => hash_in_steps(&text[byte_start..byte_end]),
    }
}

/// The same of any word.
#[inline(never)]
fn hash_in_steps(word: &[u8]) -> u64 {
    let (steps, rest) = word.as_chunks();
    let hash = |hash: u64, step: &[u8; STEP]| mix(hash ^ folded(step));
    match (steps, rest) {
        (steps, []) => steps.iter().fold(0, hash),
        (steps, rest) => {
            let mut last = [0; STEP];
            last[..rest.len()].copy_from_slice(rest);
            mix(steps.iter().fold(0, hash) ^ folded(&last) & FIRST[rest.len()])
        }
    }
}

/// Letters and digits, in lower case.
#[inline(always)]
fn folded(bytes: &[u8; STEP]) -> u64 {
    // Digits have this bit, letters are lower case with it.
    u64::from_le_bytes(*bytes) | every(0x20)
}

/// A word that is read letter by letter; its hash is that of [`hash`].
#[derive(Default)]
struct Letters {
    hash: u64,
    /// The last bytes, which are not in `hash` yet.
    bytes: u64,
    count: usize,
}

impl Letters {
    fn push(&mut self, letter: char) {
        let mut buffer = [0; 4];
        for lower in letter.to_lowercase() {
            for &byte in lower.encode_utf8(&mut buffer).as_bytes() {
                if self.count > 0 && self.count.is_multiple_of(STEP) {
                    self.hash = mix(self.hash ^ self.bytes);
                    self.bytes = 0;
                }
                self.bytes |= u64::from(byte) << (8 * (self.count % STEP));
                self.count += 1;
            }
        }
    }

    /// Ends the word, if there is one.
    fn finish(&mut self) -> Option<u64> {
        let word = std::mem::take(self);
        (word.count > 0).then(|| mix(word.hash ^ word.bytes))
    }
}

/// Ideographs and kana, which no space separates.
fn stands_alone(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> (Vec<u64>, Vec<&str>) {
        let mut words = Words::default();
        words.read(text);
        let texts = (0..words.count()).map(|at| words.slice(text, at, at));
        let texts = texts.collect();
        (
            (0..words.count()).map(|word| words.hash(word)).collect(),
            texts,
        )
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

    /// The words by their definition.
    fn slow(text: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for letter in text.chars() {
            let is_word = letter.is_alphanumeric();
            if !is_word || stands_alone(letter) {
                found.push(String::new());
            }
            if let (true, Some(word)) = (is_word, found.last_mut()) {
                word.push(letter);
            }
            if is_word && stands_alone(letter) {
                found.push(String::new());
            }
        }
        found.retain(|word| !word.is_empty());
        found
    }

    #[test]
    fn words_are_where_they_are_at_any_border_of_a_block() {
        let pieces = [
            "a",
            "word",
            "12345678",
            "longer than",
            "é",
            "東",
            " ",
            ", ",
            "ß1",
            "\u{212a}",
            "x\u{301}",
        ];
        let mut state = 1;
        for round in 0..3000 {
            let mut text = String::new();
            for _ in 0..round % 90 {
                state = mix(state);
                text += pieces[state as usize % pieces.len()];
            }
            let (hashes, texts) = words(&text);
            assert_eq!(texts, slow(&text), "{text:?}");
            for (hash, word) in hashes.iter().zip(texts) {
                // Alone it stands at the end of a text; in capitals some are read letter by letter.
                assert_eq!(words(word).0, [*hash], "{word:?}");
                let lower: String = word.chars().flat_map(char::to_lowercase).collect();
                assert_eq!(words(&lower).0, [*hash], "{word:?}");
            }
        }
    }

    #[test]
    fn an_ngram_is_known_by_its_words_and_their_order() {
        let mut words = Words::default();
        words.read("a b c a b d a b c");
        let mut found = Vec::new();
        words.ngrams(3, |first, hash| {
            assert_eq!(first, found.len());
            found.push(hash);
        });
        assert_eq!(found.len(), 7);
        assert_eq!(found[0], found[6]);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 6);
        words.ngrams(10, |_, _| unreachable!());
        words.ngrams(9, |_, hash| assert_eq!(Some(hash), words.whole()));
        let (mut all, mut apart) = (Vec::new(), Vec::new());
        words.ngrams(2, |_, hash| all.push(hash));
        words.ngrams_apart(2, 3, |first, hash| apart.push((first, hash)));
        assert_eq!(apart, [0, 3, 6].map(|first| (first, all[first])));
        words.ngrams(0, |_, _| unreachable!());
    }

    #[test]
    fn runs_are_found_wherever_they_stand() {
        let text = "One two, three. TWO three four";
        let (mut words, mut run) = (Words::default(), Words::default());
        words.read(text);
        for (part, expected) in [
            ("two three four", true),
            ("two three", true),
            ("one", true),
            ("", false),
            ("three one", false),
            ("one two three two three four five", false),
        ] {
            run.read(part);
            let length = run.count();
            assert_eq!(words.holds(length, run.run(0..length)), expected, "{part}");
        }
        assert_eq!(words.within(&(4..14)).len(), 2);
        assert_eq!(words.within(&(8..9)).len(), 0);
    }
}
