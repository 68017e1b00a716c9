//! NFC as the `NFC` normalizer of `tokenizers` does it.
//!
//! The tables are those of its own dependency (an old Unicode version: characters that are newer
//! stay as they are), so "already NFC" and "made NFC" mean here what they mean there.

use std::sync::LazyLock;

use unicode_normalization_alignments::{
    IsNormalized, UnicodeNormalization, char::canonical_combining_class, is_nfc_quick,
};

/// Code points below this are asked of [`SAFE`].
const BMP: usize = 0x1_0000;

/// For each code point of the basic plane: NFC in any neighbourhood (a bit of a word of 64).
static SAFE: LazyLock<Box<[u64]>> = LazyLock::new(|| {
    let mut safe = vec![0; BMP / 64].into_boxed_slice();
    for c in '\0'..='\u{ffff}' {
        let alone = is_nfc_quick(std::iter::once(c)) == IsNormalized::Yes;
        if alone && canonical_combining_class(c) == 0 {
            safe[c as usize / 64] |= 1 << (c as usize % 64);
        }
    }
    safe
});

/// The NFC of `text`, or `None` where `text` is already that.
pub fn normalize<'b>(text: &str, buffer: &'b mut String) -> Option<&'b str> {
    // Bytes below 0xcc are ASCII or begin code points below U+0300, all of which are NFC.
    let largest = text.bytes().fold(0, u8::max);
    if largest < 0xcc || is_safe(text) {
        return None;
    }
    if is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return None;
    }
    buffer.clear();
    buffer.extend(text.nfc().map(|(c, _)| c));
    (buffer.as_str() != text).then_some(buffer.as_str())
}

/// Whether no character of `text` can compose, decompose or change places.
fn is_safe(text: &str) -> bool {
    let safe = &**SAFE;
    text.chars().all(|c| {
        let word = safe.get(c as usize / 64).copied().unwrap_or(0);
        word >> (c as usize % 64) & 1 == 1
    })
}
