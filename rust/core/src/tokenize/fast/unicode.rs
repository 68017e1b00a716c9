//! Unicode classes of the split patterns, one byte of flags per code point.
//!
//! The ranges are asked of `regex-syntax`, the tables that the regex engine of the `tokenizers`
//! crate itself uses, so that the two cannot drift apart with a Unicode version. A flat table of
//! 1.1 MB is filled once per process; text touches few of its cache lines.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// `\p{Ll}`.
pub const LOWER: u8 = 1;
/// `\p{Lu}` and `\p{Lt}`.
pub const UPPER: u8 = 2;
/// `\p{Lm}` and `\p{Lo}`: letters without case.
pub const CASELESS: u8 = 4;
/// `\p{M}`.
pub const MARK: u8 = 8;
/// `\p{N}`.
pub const NUMBER: u8 = 16;
/// `\s`, newlines included.
pub const SPACE: u8 = 32;
/// `[\r\n]`.
pub const NEWLINE: u8 = 64;
/// `\p{L}`.
pub const LETTER: u8 = LOWER | UPPER | CASELESS;

const CODE_POINTS: usize = 0x11_0000;

/// The flags of every code point.
pub static FLAGS: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let mut flags = vec![0; CODE_POINTS].into_boxed_slice();
    let classes = [
        (r"\p{Ll}", LOWER),
        (r"[\p{Lu}\p{Lt}]", UPPER),
        (r"[\p{Lm}\p{Lo}]", CASELESS),
        (r"\p{M}", MARK),
        (r"\p{N}", NUMBER),
        (r"\s", SPACE),
        (r"[\r\n]", NEWLINE),
    ];
    for (class, flag) in classes {
        for range in ranges(class) {
            for code_point in &mut flags[range.0 as usize..=range.1 as usize] {
                *code_point |= flag;
            }
        }
    }
    flags
});

/// The same where a `Digits` pre-tokenizer cuts numbers out first: that asks the standard library,
/// whose Unicode version may know more of them than the regex tables.
pub static DIGIT_FLAGS: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let mut flags = FLAGS.clone();
    for c in ('\0'..=char::MAX).filter(|c| c.is_numeric()) {
        flags[c as usize] = NUMBER;
    }
    flags
});

/// The code point ranges of a regex that is one character class.
fn ranges(class: &str) -> Vec<(u32, u32)> {
    let hir = regex_syntax::parse(class).map(regex_syntax::hir::Hir::into_kind);
    match hir {
        Ok(HirKind::Class(Class::Unicode(class))) => class
            .ranges()
            .iter()
            .map(|range| (u32::from(range.start()), u32::from(range.end())))
            .collect(),
        other => unreachable!("{class} is a class of the Unicode tables built in: {other:?}"),
    }
}

/// The code point of the UTF-8 character at `at` and its length in bytes.
///
/// `text` must be valid UTF-8 and `at` a character boundary inside of it.
#[inline]
pub fn decode(text: &[u8], at: usize) -> (u32, usize) {
    let continuation = |i: usize| u32::from(text[at + i] & 0x3f);
    match text[at] {
        byte @ 0..0x80 => (u32::from(byte), 1),
        byte @ 0x80..0xe0 => (u32::from(byte & 0x1f) << 6 | continuation(1), 2),
        byte @ 0xe0..0xf0 => (
            u32::from(byte & 0x0f) << 12 | continuation(1) << 6 | continuation(2),
            3,
        ),
        byte => (
            u32::from(byte & 0x07) << 18
                | continuation(1) << 12
                | continuation(2) << 6
                | continuation(3),
            4,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_every_character() {
        for c in '\0'..=char::MAX {
            let mut buffer = [0; 4];
            let bytes = c.encode_utf8(&mut buffer).as_bytes();
            assert_eq!(decode(bytes, 0), (u32::from(c), c.len_utf8()));
        }
    }

    #[test]
    fn what_the_regex_takes_for_a_number_the_standard_library_does_too() {
        // Else it would not be cut out, and join the spaces or numbers beside it.
        for c in '\0'..=char::MAX {
            let number = FLAGS[c as usize] & NUMBER != 0;
            assert!(!number || c.is_numeric(), "{:#x}", u32::from(c));
        }
    }

    #[test]
    fn a_character_has_at_most_one_kind() {
        for flags in &**FLAGS {
            let kinds = flags & (LETTER | MARK | NUMBER | SPACE);
            assert!(kinds.count_ones() <= 1);
        }
    }
}
