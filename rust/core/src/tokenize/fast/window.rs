//! The next eight bytes of text as one integer, and which of them are letters.
//!
//! Sets of bytes are kept as *lanes*: the high bit of each byte that is in the set.

/// Bytes of a window.
pub const WIDTH: usize = 8;
/// All lanes.
pub const LANES: u64 = 0x8080_8080_8080_8080;
/// One in each byte.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Eight bytes of text, the first in the lowest bits; zeros past the end of the text.
#[inline(always)]
pub fn load(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    match rest.first_chunk::<WIDTH>() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => {
            let mut bytes = [0; WIDTH];
            bytes[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(bytes)
        }
    }
}

/// Lanes of `a`–`z` and `A`–`Z`.
#[inline(always)]
pub fn letters(window: u64) -> u64 {
    // Setting this bit moves upper case to lower case and no other ASCII to a letter.
    let low = (window | (EACH * 0x20)) & !LANES;
    let at_least = low + EACH * u64::from(0x80 - b'a');
    let beyond = low + EACH * u64::from(0x80 - b'a' - 26);
    at_least & !beyond & !window & LANES
}

/// The lowest lane that is not in `set`, alone; 0 where all are.
#[inline(always)]
pub fn first_outside(set: u64) -> u64 {
    let outside = !set & LANES;
    outside & outside.wrapping_neg()
}

/// How many bytes lie below a lane that is alone; 8 for none.
#[inline(always)]
pub fn index(lane: u64) -> usize {
    (lane.trailing_zeros() / 8) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_agree_with_the_bytes() {
        for shift in 0..=255_u8 {
            let bytes: [u8; WIDTH] = std::array::from_fn(|i| (i as u8 * 33).wrapping_add(shift));
            let window = load(&bytes, 0);
            let expected = |test: fn(&u8) -> bool| {
                (0..WIDTH).fold(0, |lanes, i| {
                    lanes | u64::from(test(&bytes[i])) << (8 * i + 7)
                })
            };
            assert_eq!(letters(window), expected(u8::is_ascii_alphabetic));
        }
    }

    #[test]
    fn loads_zeros_past_the_end() {
        assert_eq!(load(b"abc", 1), 0x6362);
        assert_eq!(load(b"abc", 3), 0);
    }

    #[test]
    fn finds_the_first_lane_outside() {
        assert_eq!(index(first_outside(letters(load(b"the cat", 0)))), 3);
        assert_eq!(index(first_outside(letters(load(b"thecatsat", 0)))), 8);
    }
}
