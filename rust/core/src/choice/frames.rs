//! Candidates as bytes.
//!
//! Each is its numbers (LEB128), its runs, its texts and its token ids (`narrow`).
//!
//! Performance note: of 134,850 candidates these are 56 MB, and 105 where each id takes four bytes and each
//! number eight.

use super::aside::{Aside, Asides, Entry};
use crate::narrow;
use crate::read::Place;
use crate::tokenize::Run;

/// Appends the bytes of all candidates; without `has_tokens` only how many tokens they have.
pub fn put(asides: &Asides, has_tokens: bool, bytes: &mut Vec<u8>) {
    for aside in asides.iter() {
        put_one(&aside, has_tokens, bytes);
    }
}

fn put_one(aside: &Aside<'_>, has_tokens: bool, bytes: &mut Vec<u8>) {
    let texts = [aside.record_id, aside.domain, aside.rationale];
    let lengths = texts.map(|text| text.map_or(0, |text| text.len() as u64 + 1));
    let numbers = [
        aside.example_id as u64,
        aside.template as u64,
        aside.source as u64,
        aside.place.line,
        aside.place.byte_offset.map_or(0, |offset| offset + 1),
        u64::from(aside.verified),
        aside.text_bytes,
        u64::from(aside.chosen),
        aside.ids.len() as u64,
        aside.runs.len() as u64,
    ];
    for number in numbers.into_iter().chain(lengths) {
        put_number(number, bytes);
    }
    for run in aside.runs {
        bytes.push(run.kind);
        put_number(run.tokens.into(), bytes);
    }
    for text in texts.into_iter().flatten() {
        bytes.extend_from_slice(text.as_bytes());
    }
    if has_tokens {
        narrow::put(aside.ids, bytes);
    }
}

fn put_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Adds all candidates that some bytes are; tokens that these do not have are 0. `None` where they say something
/// else than was put into them.
pub fn take(mut bytes: &[u8], has_tokens: bool, asides: &mut Asides) -> Option<()> {
    while !bytes.is_empty() {
        take_one(&mut bytes, has_tokens, asides)?;
    }
    Some(())
}

fn take_one(bytes: &mut &[u8], has_tokens: bool, asides: &mut Asides) -> Option<()> {
    let mut number = || take_number(bytes);
    let example_id = number()? as i64;
    let (template, source) = (number()? as usize, number()? as usize);
    let (line, offset, verified) = (number()?, number()?, number()? == 1);
    let (text_bytes, chosen) = (number()?, number()? as u32);
    let (ids, runs) = (number()? as usize, number()? as usize);
    let lengths = [number()?, number()?, number()?];
    let [record_id, domain, rationale] =
        lengths.map(|length| length.checked_sub(1).map(|length| length as usize));
    for _ in 0..runs {
        let [kind] = *take_bytes(bytes)?;
        let tokens = take_number(bytes)? as u32;
        asides.runs.push(Run { kind, tokens });
    }
    for length in [record_id, domain, rationale].into_iter().flatten() {
        let (text, rest) = bytes.split_at_checked(length)?;
        asides.texts.push_str(str::from_utf8(text).ok()?);
        *bytes = rest;
    }
    match has_tokens {
        true => narrow::take(bytes, ids, &mut asides.ids)?,
        false => asides.ids.resize(asides.ids.len() + ids, 0),
    }
    asides.entries.push(Entry {
        example_id,
        template,
        source,
        place: Place {
            line,
            byte_offset: offset.checked_sub(1),
        },
        verified,
        text_bytes,
        chosen,
        ids,
        runs,
        record_id,
        domain,
        rationale,
    });
    Some(())
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let [byte] = *take_bytes(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte <= 0x7f {
            return Some(number);
        }
    }
    None
}

fn take_bytes<'a, const COUNT: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; COUNT]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::choice::aside::tests::{first, second};

    #[test]
    fn candidates_come_back() {
        let mut asides = Asides::default();
        asides.push(&first());
        asides.push(&second());
        for has_tokens in [true, false] {
            let (mut bytes, mut found) = (Vec::new(), Asides::default());
            put(&asides, has_tokens, &mut bytes);
            assert_eq!(take(&bytes, has_tokens, &mut found), Some(()));
            assert_eq!(found.iter().count(), 2);
            for (found, aside) in found.iter().zip(asides.iter()) {
                // Of tokens that are not put only the number is known.
                let zeros = vec![0; aside.ids.len()];
                let ids = if has_tokens { aside.ids } else { &zeros };
                assert_eq!(found, Aside { ids, ..aside });
            }
            // Nothing of a candidate can be left out.
            for length in 1..bytes.len() {
                let mut part = Asides::default();
                let cut = take(&bytes[..length], has_tokens, &mut part);
                assert!(cut.is_none() || part.entries.len() == 1, "{length}");
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(number in any::<u64>(), shift in 0..64_u32) {
            let mut bytes = Vec::new();
            put_number(number >> shift, &mut bytes);
            let mut rest = &*bytes;
            prop_assert_eq!(take_number(&mut rest), Some(number >> shift));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bytes_are_taken_amiss(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            // Whatever it says, it ends, and asks for no memory that these bytes cannot fill.
            let _ = take(&bytes, true, &mut Asides::default());
        }
    }
}
