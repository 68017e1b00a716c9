//! Which bytes of a text are what, found for 64 of them at once.
//!
//! Sets of bytes are the bits of an integer, the first byte's the lowest; to go through them costs as
//! many steps as there are bytes of the sort that is looked for, not as there are bytes.
#![allow(unsafe_code, reason = "vector instructions; see `lanes`")]

use std::ops::BitOr;

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// Bytes of a vector, and how many vectors make a block.
const LANE: usize = 16;
const LANES: usize = BLOCK / LANE;

/// The first bytes of an integer, by their number.
pub const FIRST: [u64; size_of::<u64>() + 1] = {
    let mut masks = [0; size_of::<u64>() + 1];
    let mut count = 1;
    while count < masks.len() {
        masks[count] = masks[count - 1] << u8::BITS | 0xff;
        count += 1;
    }
    masks
};

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
    pub fn equal(self, byte: u8) -> Mask {
        Mask(self.0.map(|lane| lanes::equal(lane, byte)))
    }

    /// Where bytes are from `first` on, `count` (below 128) different ones.
    #[inline(always)]
    pub fn within(self, first: u8, count: u8) -> Mask {
        Mask(self.0.map(|lane| lanes::within(lane, first, count)))
    }

    /// The block with its letters in lower case; of other bytes none becomes a letter.
    #[inline(always)]
    pub fn lower_case(self) -> Self {
        Self(self.0.map(|lane| lanes::with_bits(lane, 0x20)))
    }

    /// Where `a`–`z` and `A`–`Z` are.
    #[inline(always)]
    pub fn letters(self) -> Mask {
        self.lower_case().within(b'a', 26)
    }

    /// Where `0`–`9` are.
    #[inline(always)]
    pub fn digits(self) -> Mask {
        self.within(b'0', 10)
    }

    /// Where bytes have a bit, the lowest being 0.
    #[inline(always)]
    pub fn with_bit(self, bit: u32) -> Mask {
        let all = Self(self.0.map(|lane| lanes::with_bits(lane, !(1 << bit))));
        all.equal(0xff)
    }

    /// Where bytes beyond ASCII are.
    #[inline(always)]
    pub fn beyond_ascii(self) -> Mask {
        Mask(self.0)
    }
}

/// Some of 64 bytes: those whose highest bit is set. Sets are joined here before they become bits, which
/// costs the most.
#[derive(Clone, Copy)]
pub struct Mask([lanes::Lane; LANES]);

impl Mask {
    /// The bytes as the bits of an integer.
    #[inline(always)]
    pub fn bits(self) -> u64 {
        let lanes = self.0.into_iter().rev();
        lanes.fold(0, |bits, lane| {
            bits << LANE | u64::from(lanes::high_bits(lane))
        })
    }

    /// The bytes that are in this set and not in the other.
    #[inline(always)]
    pub fn without(mut self, other: Self) -> Self {
        for (lane, other) in self.0.iter_mut().zip(other.0) {
            *lane = lanes::without(*lane, other);
        }
        self
    }
}

impl BitOr for Mask {
    type Output = Self;

    #[inline(always)]
    fn bitor(mut self, other: Self) -> Self {
        for (lane, other) in self.0.iter_mut().zip(other.0) {
            *lane = lanes::or(*lane, other);
        }
        self
    }
}

/// Puts the places that are `bits` of the block at `base` into `room`, which has room for [`BLOCK`] at least;
/// how many there are.
#[inline(always)]
pub fn put(base: usize, mut bits: u64, room: &mut [u32]) -> usize {
    debug_assert!(room.len() >= BLOCK);
    let mut count = 0;
    if let Some(room) = room.first_chunk_mut::<BLOCK>() {
        while bits != 0 {
            // There are no more bits than that; so the processor need not be asked.
            room[count % BLOCK] = base as u32 + bits.trailing_zeros();
            bits &= bits - 1;
            count += 1;
        }
    }
    count
}

#[cfg(target_arch = "x86_64")]
mod lanes {
    //! Sixteen bytes at once, with the instructions that every x86-64 processor has.

    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_loadu_si128,
        _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
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
    pub fn or(lane: Lane, other: Lane) -> Lane {
        // SAFETY: SSE2.
        unsafe { _mm_or_si128(lane, other) }
    }

    #[inline(always)]
    pub fn without(lane: Lane, other: Lane) -> Lane {
        // SAFETY: SSE2.
        unsafe { _mm_andnot_si128(other, lane) }
    }

    #[inline(always)]
    pub fn equal(lane: Lane, byte: u8) -> Lane {
        // SAFETY: SSE2.
        unsafe { _mm_cmpeq_epi8(lane, each(byte)) }
    }

    #[inline(always)]
    pub fn within(lane: Lane, first: u8, count: u8) -> Lane {
        // SAFETY: SSE2. Moved so that the first of the range is the least there is.
        unsafe {
            let moved = _mm_add_epi8(lane, each(0x80_u8.wrapping_sub(first)));
            _mm_cmplt_epi8(moved, each(0x80 + count))
        }
    }

    #[inline(always)]
    pub fn with_bits(lane: Lane, bits: u8) -> Lane {
        or(lane, each(bits))
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

    fn each(lane: Lane, test: impl Fn(u8) -> bool) -> Lane {
        lane.map(|byte| if test(byte) { 0xff } else { 0 })
    }

    pub fn high_bits(lane: Lane) -> u16 {
        let bytes = lane.into_iter().rev();
        bytes.fold(0, |bits, byte| bits << 1 | u16::from(byte >= 0x80))
    }

    pub fn or(mut lane: Lane, other: Lane) -> Lane {
        lane.iter_mut()
            .zip(other)
            .for_each(|(byte, other)| *byte |= other);
        lane
    }

    pub fn without(mut lane: Lane, other: Lane) -> Lane {
        lane.iter_mut()
            .zip(other)
            .for_each(|(byte, other)| *byte &= !other);
        lane
    }

    pub fn equal(lane: Lane, byte: u8) -> Lane {
        each(lane, |here| here == byte)
    }

    pub fn within(lane: Lane, first: u8, count: u8) -> Lane {
        each(lane, |byte| byte.wrapping_sub(first) < count)
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
            assert_eq!(block.letters().bits(), bits(u8::is_ascii_alphabetic));
            let lower = block.lower_case();
            assert_eq!(
                lower.equal(b'w').bits(),
                bits(|byte| matches!(byte, b'w' | b'W'))
            );
            assert_eq!(block.digits().bits(), bits(u8::is_ascii_digit));
            assert_eq!(block.with_bit(2).bits(), bits(|byte| byte & 4 != 0));
            assert_eq!(block.beyond_ascii().bits(), bits(|byte| !byte.is_ascii()));
            assert_eq!(block.equal(b'"').bits(), bits(|byte| *byte == b'"'));
            assert_eq!(block.within(0, 32).bits(), bits(|byte| *byte < 32));
            let joined = block.digits() | block.beyond_ascii();
            assert_eq!(
                joined.bits(),
                bits(|byte| byte.is_ascii_digit() || !byte.is_ascii())
            );
            let left = joined.without(block.equal(b'7') | block.within(0x80, 100));
            assert_eq!(
                left.bits(),
                bits(|byte| byte.is_ascii_digit() && *byte != b'7' || *byte >= 228)
            );
        }
    }

    #[test]
    fn vectors_say_what_single_bytes_say() {
        for shift in 0..=u8::MAX {
            let bytes = std::array::from_fn(|at| (at as u8 * 37).wrapping_add(shift));
            let (lane, bytes) = (lanes::load(&bytes), bytewise::load(&bytes));
            let same = |lane, bytes| assert_eq!(lanes::high_bits(lane), bytewise::high_bits(bytes));
            same(lane, bytes);
            for byte in 0..=u8::MAX {
                let (equal, is_equal) = (lanes::equal(lane, byte), bytewise::equal(bytes, byte));
                same(equal, is_equal);
                same(lanes::or(lane, equal), bytewise::or(bytes, is_equal));
                same(
                    lanes::without(lane, equal),
                    bytewise::without(bytes, is_equal),
                );
                same(
                    lanes::with_bits(lane, byte),
                    bytewise::with_bits(bytes, byte),
                );
                for count in [1, 26, 127] {
                    same(
                        lanes::within(lane, byte, count),
                        bytewise::within(bytes, byte, count),
                    );
                }
            }
        }
    }

    #[test]
    fn places_are_put_in_order() {
        let mut room = [7; BLOCK + 1];
        assert_eq!(put(640, 1 << 63 | 0b101, &mut room), 3);
        assert_eq!(room[..4], [640, 642, 703, 7]);
        assert_eq!(put(0, !0, &mut room), BLOCK);
        assert!(room[..BLOCK].iter().copied().eq(0..BLOCK as u32) && room[BLOCK] == 7);
        assert_eq!(put(0, 0, &mut room), 0);
    }

    #[test]
    fn what_is_missing_is_the_filler() {
        assert_eq!(Block::of(b"a1", b' ').equal(b' ').bits(), !0b11);
        assert_eq!(Block::of(b"", 0).within(0, 1).bits(), !0);
    }
}
