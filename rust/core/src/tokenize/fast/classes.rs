//! What each byte of a block of text is.

use crate::block::Block;

/// One bit a byte, the first the lowest; what is in none of these is a symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    /// `a`–`z`, `A`–`Z`.
    pub letters: u64,
    /// Of these, `A`–`Z`.
    pub upper: u64,
    /// `0`–`9`.
    pub digits: u64,
    /// `U+0020` alone.
    pub spaces: u64,
    /// `\r`, `\n`.
    pub newlines: u64,
    pub slashes: u64,
    /// Apostrophes, other control characters, and bytes beyond ASCII: these take a closer look.
    pub odd: u64,
}

impl Classes {
    /// Classifies the first 64 bytes of a text; those that are missing are odd.
    #[inline(always)]
    pub fn of(text: &[u8]) -> Self {
        let block = Block::of(text, 0);
        let newlines = block.equal(b'\n') | block.equal(b'\r');
        let controls = block.within(0, b' ').without(newlines);
        Self {
            letters: block.letters().bits(),
            upper: block.within(b'A', 26).bits(),
            digits: block.digits().bits(),
            spaces: block.equal(b' ').bits(),
            newlines: newlines.bits(),
            slashes: block.equal(b'/').bits(),
            odd: (controls | block.beyond_ascii() | block.equal(b'\'')).bits(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BLOCK;

    #[test]
    fn every_byte_has_its_class_wherever_it_stands() {
        for shift in 0..=255_u8 {
            let text: [u8; BLOCK] = std::array::from_fn(|at| (at as u8).wrapping_add(shift));
            let bits = |test: fn(u8) -> bool| {
                let bytes = text.iter().rev();
                bytes.fold(0, |bits, &byte| bits << 1 | u64::from(test(byte)))
            };
            let expected = Classes {
                letters: bits(|byte| byte.is_ascii_alphabetic()),
                upper: bits(|byte| byte.is_ascii_uppercase()),
                digits: bits(|byte| byte.is_ascii_digit()),
                spaces: bits(|byte| byte == b' '),
                newlines: bits(|byte| matches!(byte, b'\r' | b'\n')),
                slashes: bits(|byte| byte == b'/'),
                odd: bits(|byte| {
                    byte == b'\'' || byte >= 0x80 || byte < b' ' && !matches!(byte, b'\r' | b'\n')
                }),
            };
            assert_eq!(Classes::of(&text), expected);
        }
    }

    #[test]
    fn what_is_missing_is_odd() {
        assert_eq!(Classes::of(b"a1").odd, !0b11);
        assert_eq!(Classes::of(b"").odd, !0);
    }
}
