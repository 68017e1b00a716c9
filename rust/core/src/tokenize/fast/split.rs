//! Where a piece (pre-token) ends: the split patterns of byte-level BPE, without a regex engine.
//!
//! Every pattern is an ordered alternation that matches at any position, so a text is cut into
//! adjacent pieces and it is enough to know where the piece that starts here ends. One scanner
//! serves all patterns; what differs between them are the constants of [`Pattern`].

use super::unicode::{
    CASELESS, DIGIT_FLAGS, FLAGS, LETTER, LOWER, MARK, NEWLINE, NUMBER, SPACE, UPPER, decode,
};
use super::window;

/// Where `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll`, `'d` are cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Contraction {
    /// The pattern knows none.
    None,
    /// `'s|'t|…`: a piece of their own, lower case only.
    Lower,
    /// `(?i:'s|'t|…)`: a piece of their own.
    Any,
    /// `…(?i:'s|'t|…)?`: the end of the word before.
    Suffix,
}

/// What sets one split pattern apart from another.
pub trait Pattern {
    /// How contractions are treated.
    const CONTRACTION: Contraction;
    /// Words end where an upper-case letter follows a lower-case one, and marks are letters.
    const CASED: bool;
    /// A word may begin with any character but `\r`, `\n`, letters and numbers; else with a space.
    const ANY_PREFIX: bool;
    /// Most numbers in one piece.
    const MOST_NUMBERS: usize;
    /// A space may stand before numbers in the same piece.
    const SPACE_BEFORE_NUMBERS: bool;
    /// Numbers are cut out before the pattern runs: to the text before one, the text ends there.
    const NUMBERS_END_TEXT: bool;
    /// Bytes that may follow the symbols in the same piece.
    const SYMBOL_TAIL: &'static [u8];
    /// `\s*[\r\n]+` is a piece.
    const NEWLINES: bool;
}

/// ``'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+``
pub struct Gpt2;
impl Pattern for Gpt2 {
    const CONTRACTION: Contraction = Contraction::Lower;
    const CASED: bool = false;
    const ANY_PREFIX: bool = false;
    const MOST_NUMBERS: usize = usize::MAX;
    const SPACE_BEFORE_NUMBERS: bool = true;
    const NUMBERS_END_TEXT: bool = false;
    const SYMBOL_TAIL: &'static [u8] = b"";
    const NEWLINES: bool = false;
}

/// Each number alone, then the pattern of GPT-2 on the text between (SmolLM, StarCoder).
pub struct Gpt2Digits;
impl Pattern for Gpt2Digits {
    const MOST_NUMBERS: usize = 1;
    const SPACE_BEFORE_NUMBERS: bool = false;
    const NUMBERS_END_TEXT: bool = true;
    const CONTRACTION: Contraction = Gpt2::CONTRACTION;
    const CASED: bool = Gpt2::CASED;
    const ANY_PREFIX: bool = Gpt2::ANY_PREFIX;
    const SYMBOL_TAIL: &'static [u8] = Gpt2::SYMBOL_TAIL;
    const NEWLINES: bool = Gpt2::NEWLINES;
}

/// cl100k and Llama-3: as [`Qwen2`] with up to three numbers in a piece.
pub struct Llama3;
impl Pattern for Llama3 {
    const CONTRACTION: Contraction = Contraction::Any;
    const CASED: bool = false;
    const ANY_PREFIX: bool = true;
    const MOST_NUMBERS: usize = 3;
    const SPACE_BEFORE_NUMBERS: bool = false;
    const NUMBERS_END_TEXT: bool = false;
    const SYMBOL_TAIL: &'static [u8] = b"\r\n";
    const NEWLINES: bool = true;
}

/// ``(?i:'s|…)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+``
pub struct Qwen2;
impl Pattern for Qwen2 {
    const MOST_NUMBERS: usize = 1;
    const CONTRACTION: Contraction = Llama3::CONTRACTION;
    const CASED: bool = Llama3::CASED;
    const ANY_PREFIX: bool = Llama3::ANY_PREFIX;
    const SPACE_BEFORE_NUMBERS: bool = Llama3::SPACE_BEFORE_NUMBERS;
    const NUMBERS_END_TEXT: bool = Llama3::NUMBERS_END_TEXT;
    const SYMBOL_TAIL: &'static [u8] = Llama3::SYMBOL_TAIL;
    const NEWLINES: bool = Llama3::NEWLINES;
}

/// o200k: words by case with their contraction, up to three numbers.
pub struct O200k;
impl Pattern for O200k {
    const CONTRACTION: Contraction = Contraction::Suffix;
    const CASED: bool = true;
    const SYMBOL_TAIL: &'static [u8] = b"\r\n/";
    const ANY_PREFIX: bool = Llama3::ANY_PREFIX;
    const MOST_NUMBERS: usize = Llama3::MOST_NUMBERS;
    const SPACE_BEFORE_NUMBERS: bool = Llama3::SPACE_BEFORE_NUMBERS;
    const NUMBERS_END_TEXT: bool = Llama3::NUMBERS_END_TEXT;
    const NEWLINES: bool = Llama3::NEWLINES;
}

/// Mistral's tekken: as [`O200k`] without contractions and with single numbers.
pub struct Tekken;
impl Pattern for Tekken {
    const CONTRACTION: Contraction = Contraction::None;
    const MOST_NUMBERS: usize = 1;
    const CASED: bool = O200k::CASED;
    const SYMBOL_TAIL: &'static [u8] = O200k::SYMBOL_TAIL;
    const ANY_PREFIX: bool = O200k::ANY_PREFIX;
    const SPACE_BEFORE_NUMBERS: bool = O200k::SPACE_BEFORE_NUMBERS;
    const NUMBERS_END_TEXT: bool = O200k::NUMBERS_END_TEXT;
    const NEWLINES: bool = O200k::NEWLINES;
}

/// What a cased word may begin with, of letters and marks.
const HEAD: u8 = UPPER | CASELESS | MARK;
/// What a cased word may end with.
const BODY: u8 = LOWER | CASELESS | MARK;

/// A text and the table that classifies it.
#[derive(Clone, Copy)]
pub struct Scanner<'t> {
    text: &'t [u8],
    flags: &'static [u8],
}

impl<'t> Scanner<'t> {
    /// A scanner of bytes that are valid UTF-8, for one pattern.
    pub fn new<P: Pattern>(text: &'t [u8]) -> Self {
        let flags = if P::NUMBERS_END_TEXT {
            &*DIGIT_FLAGS
        } else {
            &*FLAGS
        };
        Self { text, flags }
    }

    /// Byte index past the piece that starts at `start`, a character inside the text.
    pub fn piece_end<P: Pattern>(&self, start: usize) -> usize {
        let (first, after_first) = self.step(start);
        let byte = self.text[start];
        if byte == b'\'' && matches!(P::CONTRACTION, Contraction::Lower | Contraction::Any) {
            let end = self.contraction_end(start, P::CONTRACTION == Contraction::Any);
            if end > start {
                return end;
            }
        }
        if let Some(end) = if P::CASED {
            self.cased_word_end::<P>(start, first, after_first)
        } else {
            self.word_end::<P>(start, first, after_first)
        } {
            return end;
        }
        if first & NUMBER != 0 {
            return self.run_end(after_first, NUMBER, P::MOST_NUMBERS - 1);
        }
        if byte == b' ' {
            let (next, _) = self.step(after_first);
            if P::SPACE_BEFORE_NUMBERS && next & NUMBER != 0 {
                return self.run_end(after_first, NUMBER, usize::MAX);
            }
            if after_first < self.text.len() && is_symbol(next) {
                return self.symbols_end::<P>(after_first);
            }
        }
        if first & SPACE == 0 {
            return self.symbols_end::<P>(start);
        }
        self.spaces_end::<P>(start)
    }

    /// The flags of the character at `at` and the index past it; no flags past the end.
    #[inline]
    fn step(&self, at: usize) -> (u8, usize) {
        match self.text.get(at) {
            None => (0, at),
            Some(&byte) if byte < 0x80 => (self.flags[usize::from(byte)], at + 1),
            Some(_) => {
                let (code_point, length) = decode(self.text, at);
                (self.flags[code_point as usize], at + length)
            }
        }
    }

    /// Index past at most `most` characters from `at` that have one of `wanted`.
    #[inline]
    fn run_end(&self, mut at: usize, wanted: u8, mut most: usize) -> usize {
        while most > 0 {
            let (flags, after) = self.step(at);
            if flags & wanted == 0 {
                break;
            }
            at = after;
            most -= 1;
        }
        at
    }

    /// ` ?\p{L}+` or `[^\r\n\p{L}\p{N}]?\p{L}+`.
    fn word_end<P: Pattern>(&self, start: usize, first: u8, after_first: usize) -> Option<usize> {
        let may_precede = if P::ANY_PREFIX {
            first & (NEWLINE | LETTER | NUMBER) == 0
        } else {
            self.text[start] == b' '
        };
        let begins = first & LETTER != 0 || may_precede && self.step(after_first).0 & LETTER != 0;
        begins.then(|| self.letters_end(after_first))
    }

    /// Index past the letters at `at`; eight in ASCII at a time.
    fn letters_end(&self, mut at: usize) -> usize {
        loop {
            let outside = window::first_outside(window::letters(window::load(self.text, at)));
            at += window::index(outside);
            if outside != 0 {
                let (flags, after) = self.step(at);
                if flags & LETTER == 0 {
                    return at;
                }
                at = after;
            }
        }
    }

    /// The two word alternatives of o200k and tekken, their backtracking written out.
    ///
    /// `[^\r\n\p{L}\p{N}]?HEAD*BODY+` is tried with the leading character, then without; then
    /// `[^\r\n\p{L}\p{N}]?HEAD+BODY*` in the same way.
    fn cased_word_end<P: Pattern>(
        &self,
        start: usize,
        first: u8,
        after_first: usize,
    ) -> Option<usize> {
        let prefixed = first & (NEWLINE | LETTER | NUMBER) == 0;
        let with_prefix = prefixed.then(|| self.head_and_body(after_first));
        let bare = (first & (HEAD | BODY) != 0).then(|| self.head_and_body(start));
        let end = [with_prefix, bare]
            .into_iter()
            .flatten()
            .find_map(|word| word.ending_in_body)
            .or_else(|| {
                [with_prefix, bare]
                    .into_iter()
                    .flatten()
                    .find_map(|word| word.all_head)
            })?;
        if P::CONTRACTION == Contraction::Suffix && self.text.get(end) == Some(&b'\'') {
            return Some(self.contraction_end(end, true));
        }
        Some(end)
    }

    /// Matches `HEAD*BODY+` and `HEAD+` (no body follows where the first fails) at `start`.
    fn head_and_body(&self, start: usize) -> CasedWord {
        let mut head_end = start;
        let mut last_shared_end = None;
        loop {
            let (flags, after) = self.step(head_end);
            if flags & HEAD == 0 {
                break;
            }
            head_end = after;
            if flags & BODY != 0 {
                last_shared_end = Some(after);
            }
        }
        let body_end = self.run_end(head_end, BODY, usize::MAX);
        let ending_in_body = if body_end > head_end {
            Some(body_end)
        } else {
            // The greedy head gives back down to the last character that may also be body; what
            // it gave back beyond that is upper case, so the body is that one character.
            last_shared_end
        };
        CasedWord {
            ending_in_body,
            all_head: (head_end > start).then_some(head_end),
        }
    }

    /// Index past the contraction whose apostrophe is at `start`, or `start`.
    fn contraction_end(&self, start: usize, any_case: bool) -> usize {
        let fold = |at: usize| match self.text.get(at) {
            Some(byte) if any_case => byte.to_ascii_lowercase(),
            Some(byte) => *byte,
            None => 0,
        };
        match (fold(start + 1), fold(start + 2)) {
            (b's' | b't' | b'm' | b'd', _) => start + 2,
            (b'r' | b'v', b'e') | (b'l', b'l') => start + 3,
            // U+017F, the long s, is a case of s.
            (0xc5, 0xbf) if any_case => start + 3,
            _ => start,
        }
    }

    /// Index past the symbols at `start` and what may trail them.
    fn symbols_end<P: Pattern>(&self, start: usize) -> usize {
        let mut at = start;
        while at < self.text.len() {
            let (flags, after) = self.step(at);
            if !is_symbol(flags) {
                break;
            }
            at = after;
        }
        if !P::SYMBOL_TAIL.is_empty() {
            while self
                .text
                .get(at)
                .is_some_and(|byte| P::SYMBOL_TAIL.contains(byte))
            {
                at += 1;
            }
        }
        at
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+` at the white space at `start`.
    fn spaces_end<P: Pattern>(&self, start: usize) -> usize {
        let mut at = start;
        let mut last_start = start;
        let mut newline_end = None;
        let next = loop {
            let (flags, after) = self.step(at);
            if flags & SPACE == 0 {
                break flags;
            }
            if flags & NEWLINE != 0 {
                newline_end = Some(after);
            }
            last_start = at;
            at = after;
        };
        if P::NEWLINES
            && let Some(end) = newline_end
        {
            return end;
        }
        let text_ends = at == self.text.len() || P::NUMBERS_END_TEXT && next & NUMBER != 0;
        if text_ends || last_start == start {
            at
        } else {
            last_start
        }
    }
}

/// How the word alternatives match at one place.
#[derive(Clone, Copy)]
struct CasedWord {
    /// End of `HEAD*BODY+`.
    ending_in_body: Option<usize>,
    /// End of `HEAD+`, which is `HEAD+BODY*` where the other does not match.
    all_head: Option<usize>,
}

/// `[^\s\p{L}\p{N}]`.
#[inline]
fn is_symbol(flags: u8) -> bool {
    flags & (SPACE | LETTER | NUMBER) == 0
}
