//! What each of 64 bytes of text is, as bits of integers.
#![allow(unsafe_code, reason = "vector instructions; see `Classes::of_block`")]

/// Bytes of a block.
pub const BLOCK: usize = 64;

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
    /// Classifies at most 64 bytes; those that are missing are odd.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes.first_chunk::<BLOCK>() {
            Some(block) => Self::of_block(block),
            None => {
                let mut block = [0; BLOCK];
                block[..bytes.len()].copy_from_slice(bytes);
                Self::of_block(&block)
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn of_block(block: &[u8; BLOCK]) -> Self {
        // SAFETY: every x86-64 processor has SSE2, and nothing else is asked for.
        unsafe { Self::of_vectors(block) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "sse2")]
    #[inline]
    fn of_vectors(block: &[u8; BLOCK]) -> Self {
        use std::arch::x86_64::{
            __m128i, _mm_add_epi8, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_cmplt_epi8,
            _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
        };
        let mut classes = Self::default();
        for (part, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
            let [low, high] = [&bytes[..8], &bytes[8..]].map(|half| {
                half.first_chunk()
                    .map_or(0, |half| i64::from_le_bytes(*half))
            });
            let bytes = _mm_set_epi64x(high, low);
            let each = |byte: u8| _mm_set1_epi8(byte.cast_signed());
            // Moved so that the first of the range is the least there is.
            let within = |bytes: __m128i, first: u8, count: u8| {
                let moved = _mm_add_epi8(bytes, each(0x80_u8.wrapping_sub(first)));
                _mm_cmplt_epi8(moved, each(0x80 + count))
            };
            let equal = |byte: u8| _mm_cmpeq_epi8(bytes, each(byte));
            let bits =
                |lanes: __m128i| u64::from(_mm_movemask_epi8(lanes).cast_unsigned()) << (16 * part);
            let newlines = _mm_or_si128(equal(b'\n'), equal(b'\r'));
            // Bytes beyond ASCII are negative.
            let odd = _mm_or_si128(_mm_cmplt_epi8(bytes, each(b' ')), equal(b'\''));
            classes.letters |= bits(within(_mm_or_si128(bytes, each(0x20)), b'a', 26));
            classes.upper |= bits(within(bytes, b'A', 26));
            classes.digits |= bits(within(bytes, b'0', 10));
            classes.spaces |= bits(equal(b' '));
            classes.newlines |= bits(newlines);
            classes.slashes |= bits(equal(b'/'));
            classes.odd |= bits(_mm_andnot_si128(newlines, odd));
        }
        classes
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of_block(block: &[u8; BLOCK]) -> Self {
        Self::of_bytes(block)
    }

    /// Byte by byte: for other processors, and what the tests compare with.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn of_bytes(block: &[u8; BLOCK]) -> Self {
        let bits = |test: fn(u8) -> bool| {
            let mut bits = 0;
            for (at, &byte) in block.iter().enumerate() {
                bits |= u64::from(test(byte)) << at;
            }
            bits
        };
        Self {
            letters: bits(|byte| byte.is_ascii_alphabetic()),
            upper: bits(|byte| byte.is_ascii_uppercase()),
            digits: bits(|byte| byte.is_ascii_digit()),
            spaces: bits(|byte| byte == b' '),
            newlines: bits(|byte| matches!(byte, b'\r' | b'\n')),
            slashes: bits(|byte| byte == b'/'),
            odd: bits(|byte| {
                byte == b'\'' || byte >= 0x80 || byte < b' ' && !matches!(byte, b'\r' | b'\n')
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_class_wherever_it_stands() {
        for shift in 0..=255_u8 {
            let block: [u8; BLOCK] = std::array::from_fn(|at| (at as u8).wrapping_add(shift));
            assert_eq!(Classes::of(&block), Classes::of_bytes(&block));
        }
    }

    #[test]
    fn what_is_missing_is_odd() {
        assert_eq!(Classes::of(b"a1").odd, !0b11);
        assert_eq!(Classes::of(b"").odd, !0);
    }
}
