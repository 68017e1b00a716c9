//! The loop over the pieces of a text: cut, look up, append.

use super::cache::{MEDIUM, Medium, SHORT, Short, Tabled};
use super::split::{Contraction, Pattern, Scanner};
use super::{FastEncoder, Scratch, cache, merge, window};

impl FastEncoder {
    /// Appends the ids of `text`, cut by the pattern `P`.
    pub(super) fn encode_pieces<P: Pattern>(
        &self,
        text: &str,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) {
        let bytes = text.as_bytes();
        let scanner = Scanner::new::<P>(bytes);
        let openings = self.openings;
        let first = ids.len();
        // A token is at least one byte, so this is room for all, and for what a hit writes beyond
        // the ids it counts: nothing grows in the loop.
        ids.resize(first + bytes.len() + cache::INLINE, 0);
        let room = &mut ids[first..];
        let mut count = 0;
        let mut start = 0;
        while start < bytes.len() {
            let window = window::load(bytes, start);
            let length = match openings.piece_length::<P>(window) {
                0 => scanner.piece_end::<P>(start) - start,
                length => length,
            };
            let end = start + length;
            let room = &mut room[count..];
            count += if length <= SHORT {
                let key = Short::new(window, length);
                match key.get(&mut scratch.cache, room) {
                    Some(found) => found,
                    None => self.miss(key, &bytes[start..end], scratch, room),
                }
            } else if length <= MEDIUM {
                let key = Medium::new(bytes, start, length);
                match key.get(&mut scratch.cache, room) {
                    Some(found) => found,
                    None => self.miss(key, &bytes[start..end], scratch, room),
                }
            } else {
                self.long(&bytes[start..end], scratch, room)
            };
            start = end;
        }
        ids.truncate(first + count);
    }

    /// Encodes a piece that the cache does not know.
    #[cold]
    #[inline(never)]
    fn miss(
        &self,
        key: impl Tabled,
        piece: &[u8],
        scratch: &mut Scratch,
        ids: &mut [u32],
    ) -> usize {
        self.merge(piece, scratch);
        key.insert(&mut scratch.cache, &scratch.merged);
        ids[..scratch.merged.len()].copy_from_slice(&scratch.merged);
        scratch.merged.len()
    }

    /// Encodes a piece that is too long for a key.
    #[cold]
    #[inline(never)]
    fn long(&self, piece: &[u8], scratch: &mut Scratch, ids: &mut [u32]) -> usize {
        if let Some(known) = scratch.cache.get_long(piece) {
            ids[..known.len()].copy_from_slice(known);
            return known.len();
        }
        self.merge(piece, scratch);
        scratch.cache.insert_long(piece, &scratch.merged);
        ids[..scratch.merged.len()].copy_from_slice(&scratch.merged);
        scratch.merged.len()
    }

    /// Fills `scratch.merged` with the ids of a piece.
    fn merge(&self, piece: &[u8], scratch: &mut Scratch) {
        scratch.merged.clear();
        match self.vocab.whole(piece) {
            Some(id) => scratch.merged.push(id),
            None => merge::merge(&self.vocab, piece, &mut scratch.merge, &mut scratch.merged),
        }
    }
}

/// What the first two bytes of a piece say about it, for one pattern.
pub struct Openings(Box<[u8; 1 << 16]>);

/// The first byte is a piece, whatever follows the second.
const ALONE: u8 = 1;
/// A space and a symbol: a piece of two bytes where the symbol's opening is [`RUN_ENDS`].
const JOINED: u8 = 2;
/// A symbol and a newline: a piece of two bytes where the newline's opening is [`TAIL_ENDS`].
const TAILED: u8 = 4;
/// The first byte is a symbol, and the second neither goes on with symbols nor is their tail.
const RUN_ENDS: u8 = JOINED << 2;
/// The first byte is a newline, and the second does not go on with the tail of symbols.
const TAIL_ENDS: u8 = TAILED << 2;
/// The first byte is not a letter, and stands before a word in the same piece.
const LEADS: u8 = 0x80;

impl Openings {
    /// Asks the scanner of the pattern.
    pub fn new<P: Pattern>() -> Self {
        let mut openings = Box::new([0; 1 << 16]);
        for first in 0..0x80_u8 {
            for second in 0..0x80_u8 {
                openings[usize::from(first) | usize::from(second) << 8] =
                    opening::<P>(first, second);
            }
        }
        Self(openings)
    }

    /// Length of the piece at the start of a window, where it is a word in ASCII of at most seven
    /// bytes or one or two other bytes; else 0: then [`Scanner::piece_end`] decides.
    #[inline(always)]
    fn piece_length<P: Pattern>(&self, window: u64) -> usize {
        let opening = self.0[usize::from(window as u16)];
        let second = self.0[usize::from((window >> 8) as u16)];
        let prefix = u64::from(opening & LEADS);
        let word = if P::CASED {
            let head = window::first_outside(window::upper(window) | prefix);
            // All lanes below the head's end count as matched, then the body goes on.
            window::lower(window) | head.wrapping_sub(1) & window::LANES
        } else {
            window::letters(window) | prefix
        };
        let outside = window::first_outside(word);
        let pair = opening << 2 & second & (RUN_ENDS | TAIL_ENDS) != 0;
        let length = window::index(outside) | usize::from(opening & ALONE) | usize::from(pair) << 1;
        // A character beyond ASCII may go on with the word, and so may a contraction.
        let goes_on = window & outside != 0
            || P::CONTRACTION == Contraction::Suffix
                && length < window::WIDTH
                && (window >> (8 * length)) as u8 == b'\'';
        if length > SHORT || goes_on { 0 } else { length }
    }
}

/// What two ASCII bytes at the start of a piece say.
fn opening<P: Pattern>(first: u8, second: u8) -> u8 {
    // After the second byte: the end, and a character of every kind that a pattern tells apart.
    const AFTER: [&str; 20] = [
        "", "a", "A", "s", "e", "l", "E", "1", " ", "\n", "\r", "!", "/", "'", "é", "É", "中",
        "\u{301}", "½", "\u{a0}",
    ];
    let piece_end = |after: &str| {
        let text = [[first, second].as_slice(), after.as_bytes()].concat();
        Scanner::new::<P>(&text).piece_end::<P>(0)
    };
    let contracts = matches!(P::CONTRACTION, Contraction::Lower | Contraction::Any);
    let leads = !first.is_ascii_alphabetic()
        && second.is_ascii_alphabetic()
        && !(first == b'\'' && contracts);
    let mut opening = 0;
    if leads && piece_end("") == 2 {
        opening |= LEADS;
    } else if AFTER.iter().all(|after| piece_end(after) == 1) {
        opening |= ALONE;
    }
    let is_space = |byte: u8| matches!(byte, b'\t'..=b'\r' | b' ');
    let is_symbol = |byte: u8| !byte.is_ascii_alphanumeric() && !is_space(byte);
    let is_tail = |byte: u8| P::SYMBOL_TAIL.contains(&byte);
    if first == b' ' && is_symbol(second) {
        opening |= JOINED;
    }
    if is_symbol(first) && is_tail(second) && !is_symbol(second) {
        opening |= TAILED;
    }
    if is_symbol(first) && !is_symbol(second) && !is_tail(second) {
        opening |= RUN_ENDS;
    }
    if is_tail(first) && !is_symbol(first) && !is_tail(second) {
        opening |= TAIL_ENDS;
    }
    opening
}
