//! Which bytes of a text are what, found for 64 of them at once.
//!
//! Sets of bytes are the bits of an integer, the first byte's the lowest; to go through them costs as
//! many steps as there are bytes of the sort that is looked for, not as there are bytes.
#![allow(unsafe_code, reason = "vector instructions; see `lanes`")]

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// Bytes of a vector, and how many vectors make a block.
const LANE: usize = 16;
const LANES: usize = BLOCK / LANE;

/// 64 bytes.
#[derive(Clone, Copy)]
pub struct Block([lanes::Lane; LANES]);

impl Block {
    /// The first 64 bytes of a text; where it is shorter, `filler` stands for what is missing.
    #[inline(always)]
    pub fn of(text: &[u8], filler: u8) -> Self {
        match text.first_chunk::<BLOCK>() {
            Some(bytes) => Self::new(bytes),
            None => {
                let mut bytes = [filler; BLOCK];
                bytes[..text.len()].copy_from_slice(text);
                Self::new(&bytes)
            }
        }
    }

    #[inline(always)]
    fn new(bytes: &[u8; BLOCK]) -> Self {
        let mut block = Self([lanes::load(&[0; LANE]); LANES]);
        for (lane, bytes) in block.0.iter_mut().zip(bytes.as_chunks().0) {
            *lane = lanes::load(bytes);
        }
        block
    }

    /// Where a byte is.
    #[inline(always)]
    pub fn equal(self, byte: u8) -> u64 {
        self.bits(|lane| lanes::equal(lane, byte))
    }

    /// Where bytes are from `first` on, `count` (below 128) different ones.
    #[inline(always)]
    pub fn within(self, first: u8, count: u8) -> u64 {
        self.bits(|lane| lanes::within(lane, first, count))
    }

    /// The block with its letters in lower case; of other bytes none becomes a letter.
    #[inline(always)]
    pub fn lower_case(self) -> Self {
        Self(self.0.map(|lane| lanes::with_bits(lane, 0x20)))
    }

    /// Where `a`–`z` and `A`–`Z` are.
    #[inline(always)]
    pub fn letters(self) -> u64 {
        self.lower_case().within(b'a', 26)
    }

    /// Where `0`–`9` are.
    #[inline(always)]
    pub fn digits(self) -> u64 {
        self.within(b'0', 10)
    }

    /// Where bytes beyond ASCII are.
    #[inline(always)]
    pub fn beyond_ascii(self) -> u64 {
        self.bits(lanes::high_bits)
    }

    #[inline(always)]
    fn bits(self, test: impl Fn(lanes::Lane) -> u16) -> u64 {
        let lanes = self.0.into_iter().rev();
        lanes.fold(0, |bits, lane| bits << LANE | u64::from(test(lane)))
    }
}

#[cfg(target_arch = "x86_64")]
mod lanes {
    //! Sixteen bytes at once, with the instructions that every x86-64 processor has.

    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_loadu_si128, _mm_movemask_epi8,
        _mm_or_si128, _mm_set1_epi8,
    };

    use super::LANE;

    pub type Lane = __m128i;

    #[inline(always)]
    pub fn load(bytes: &[u8; LANE]) -> Lane {
        // SAFETY: as many bytes are read as there are, and none need be aligned.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn each(byte: u8) -> Lane {
        // SAFETY: SSE2, which every x86-64 processor has; as below.
        unsafe { _mm_set1_epi8(byte.cast_signed()) }
    }

    #[inline(always)]
    pub fn high_bits(lane: Lane) -> u16 {
        // SAFETY: SSE2.
        unsafe { _mm_movemask_epi8(lane) as u16 }
    }

    #[inline(always)]
    pub fn equal(lane: Lane, byte: u8) -> u16 {
        // SAFETY: SSE2.
        high_bits(unsafe { _mm_cmpeq_epi8(lane, each(byte)) })
    }

    #[inline(always)]
    pub fn within(lane: Lane, first: u8, count: u8) -> u16 {
        // SAFETY: SSE2. Moved so that the first of the range is the least there is.
        high_bits(unsafe {
            let moved = _mm_add_epi8(lane, each(0x80_u8.wrapping_sub(first)));
            _mm_cmplt_epi8(moved, each(0x80 + count))
        })
    }

    #[inline(always)]
    pub fn with_bits(lane: Lane, bits: u8) -> Lane {
        // SAFETY: SSE2.
        unsafe { _mm_or_si128(lane, each(bits)) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
use bytewise as lanes;

/// Byte by byte: for other processors, and what the tests compare with.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod bytewise {
    use super::LANE;

    pub type Lane = [u8; LANE];

    pub fn load(bytes: &[u8; LANE]) -> Lane {
        *bytes
    }

    fn bits(lane: Lane, test: impl Fn(u8) -> bool) -> u16 {
        let bytes = lane.into_iter().rev();
        bytes.fold(0, |bits, byte| bits << 1 | u16::from(test(byte)))
    }

    pub fn high_bits(lane: Lane) -> u16 {
        bits(lane, |byte| byte >= 0x80)
    }

    pub fn equal(lane: Lane, byte: u8) -> u16 {
        bits(lane, |each| each == byte)
    }

    pub fn within(lane: Lane, first: u8, count: u8) -> u16 {
        bits(lane, |byte| byte.wrapping_sub(first) < count)
    }

    pub fn with_bits(lane: Lane, bits: u8) -> Lane {
        lane.map(|byte| byte | bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_told_wherever_it_stands() {
        for shift in 0..=u8::MAX {
            let text: [u8; BLOCK] = std::array::from_fn(|at| (at as u8).wrapping_add(shift));
            let bits = |test: fn(&u8) -> bool| {
                let bytes = text.iter().rev();
                bytes.fold(0, |bits, byte| bits << 1 | u64::from(test(byte)))
            };
            let block = Block::of(&text, 0);
            assert_eq!(block.letters(), bits(u8::is_ascii_alphabetic));
            let lower = block.lower_case();
            assert_eq!(lower.equal(b'w'), bits(|byte| matches!(byte, b'w' | b'W')));
            assert_eq!(block.digits(), bits(u8::is_ascii_digit));
            assert_eq!(block.beyond_ascii(), bits(|byte| !byte.is_ascii()));
            assert_eq!(block.equal(b'"'), bits(|byte| *byte == b'"'));
            assert_eq!(block.within(0, 32), bits(|byte| *byte < 32));
        }
    }

    #[test]
    fn vectors_say_what_single_bytes_say() {
        for shift in 0..=u8::MAX {
            let bytes = std::array::from_fn(|at| (at as u8 * 37).wrapping_add(shift));
            let (lane, bytes) = (lanes::load(&bytes), bytewise::load(&bytes));
            assert_eq!(lanes::high_bits(lane), bytewise::high_bits(bytes));
            for byte in 0..=u8::MAX {
                assert_eq!(lanes::equal(lane, byte), bytewise::equal(bytes, byte));
                assert_eq!(
                    lanes::high_bits(lanes::with_bits(lane, byte)),
                    bytewise::high_bits(bytewise::with_bits(bytes, byte))
                );
                for count in [1, 26, 127] {
                    assert_eq!(
                        lanes::within(lane, byte, count),
                        bytewise::within(bytes, byte, count)
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_missing_is_the_filler() {
        assert_eq!(Block::of(b"a1", b' ').equal(b' '), !0b11);
        assert_eq!(Block::of(b"", 0).within(0, 1), !0);
    }
}
