//! Where the pieces of a text end, 64 bytes at a time.
//!
//! In ordinary ASCII a byte and its neighbours say whether a piece starts there, whatever stands
//! further away; so the starts of a block are found at once, as bits, and no piece waits for the
//! one before it. Where that is not enough (beside an apostrophe, a byte beyond ASCII, in some runs
//! of white space) the place is *unsure*, and the [`Scanner`] cuts the piece that comes to it.

use super::classes::Classes;
use super::split::{Pattern, Scanner};
use crate::block::{BLOCK, put};

/// Where pieces start in a block, and where one may.
struct Starts {
    sure: u64,
    unsure: u64,
}

/// Where each piece of a text ends; `room` is overwritten.
pub fn cut<'r, P: Pattern>(text: &[u8], room: &'r mut Vec<u32>) -> &'r [u32] {
    if room.len() < text.len() + BLOCK {
        room.resize(text.len() + BLOCK, 0);
    }
    let scanner = Scanner::new::<P>(text);
    let mut count = 0;
    let mut start = 0;
    // Before a text all is as after a newline.
    let mut before = Classes {
        newlines: !0,
        ..Classes::default()
    };
    let mut block = classes::<P>(text, 0, &before);
    for base in (0..text.len()).step_by(BLOCK) {
        let after = classes::<P>(text, base + BLOCK, &block);
        let starts = starts::<P>(&before, &block, &after);
        (before, block) = (block, after);
        let mut bits = beyond(start, base) & inside(text.len(), base);
        bits &= starts.sure | starts.unsure;
        if starts.unsure & bits == 0 {
            if let Some(last) = bits.checked_ilog2() {
                count += put(base, bits, &mut room[count..]);
                start = base + last as usize;
            }
            continue;
        }
        while bits != 0 {
            let bit = bits & bits.wrapping_neg();
            if starts.unsure & bit == 0 {
                start = base + bits.trailing_zeros() as usize;
                bits ^= bit;
            } else {
                start = scanner.piece_end::<P>(start);
                bits &= beyond(start, base);
            }
            room[count] = start as u32;
            count += 1;
        }
    }
    if start < text.len() {
        room[count] = text.len() as u32;
        count += 1;
    }
    &room[..count]
}

/// The classes of the block at `base`.
#[inline(always)]
fn classes<P: Pattern>(text: &[u8], base: usize, before: &Classes) -> Classes {
    let mut block = Classes::of(text.get(base..).unwrap_or_default());
    if P::SYMBOL_TAIL.contains(&b'/') {
        // Slashes behind a newline may be the tail of the symbols before it, or the first of others.
        let newline_1 = block.newlines << 1 | before.newlines >> 63;
        let tail_1 = (before.slashes & before.odd) >> 63;
        let first = block.slashes & (newline_1 | tail_1);
        // The sum carries each run that has its first bit in `first` on to the bit behind it.
        block.odd |= block.slashes & !block.slashes.wrapping_add(first);
    }
    block
}

/// The bits of the places beyond one, in the block at `base`.
fn beyond(place: usize, base: usize) -> u64 {
    match place.checked_sub(base) {
        None => !0,
        Some(at) if at < BLOCK => !0 << at << 1,
        Some(_) => 0,
    }
}

/// The bits of the places before the end of the text.
fn inside(length: usize, base: usize) -> u64 {
    match length - base {
        left @ ..BLOCK => !(!0 << left),
        _ => !0,
    }
}

/// The rules of a pattern, on the classes of each byte, of the one and the two before it, and of
/// the next.
#[inline(always)]
fn starts<P: Pattern>(before: &Classes, block: &Classes, after: &Classes) -> Starts {
    let class = |of: fn(&Classes) -> u64| {
        let [before, here, after] = [before, block, after].map(of);
        [
            here,
            here << 1 | before >> 63,
            here << 2 | before >> 62,
            here >> 1 | after << 63,
        ]
    };
    let [letter, letter_1, _, letter_next] = class(|classes| classes.letters);
    let [digit, digit_1, digit_2, digit_next] = class(|classes| classes.digits);
    let [space, space_1, space_2, space_next] = class(|classes| classes.spaces);
    let [newline, newline_1, _, newline_next] = class(|classes| classes.newlines);
    let [odd, odd_1, odd_2, odd_next] = class(|classes| classes.odd);
    let [symbol, symbol_1, symbol_2, symbol_next] = class(|classes| {
        !(classes.letters | classes.digits | classes.spaces | classes.newlines | classes.odd)
    });
    // What may follow a run of white space whose last space goes on its own way.
    let ends_spaces = match P::NUMBERS_END_TEXT {
        true => letter_next | symbol_next,
        false => letter_next | symbol_next | digit_next,
    };

    // A symbol that is a piece of its own but for the letters after it.
    let prefix = match P::ANY_PREFIX {
        true => symbol_1 & !symbol_2 & !space_2,
        false => 0,
    };
    let mut sure = letter & !letter_1 & !space_1 & !prefix;
    sure |= symbol & !symbol_1 & !space_1;
    sure |= space & (letter_1 | digit_1 | symbol_1 | (space_1 | newline_1) & ends_spaces);
    let mut unsure = odd | odd_1 & !digit & !odd;
    unsure |= space & newline_1 & (space_next | newline_next | odd_next);
    unsure |= space & space_1 & odd_next;
    if P::ANY_PREFIX {
        unsure |= letter & symbol_1 & odd_2;
    }
    if P::CASED {
        let [upper, _, _, _] = class(|classes| classes.upper);
        let [_, lower_1, _, _] = class(|classes| classes.letters & !classes.upper);
        sure |= upper & lower_1;
    }
    if P::MOST_NUMBERS == 1 {
        sure |= digit;
    } else {
        let preceded = if P::SPACE_BEFORE_NUMBERS { space_1 } else { 0 };
        sure |= digit & !digit_1 & !preceded;
        unsure |= digit & odd_1;
        if P::MOST_NUMBERS < usize::MAX {
            // Of more numbers than a piece may have, those that are not the last.
            unsure |= digit & digit_1 & digit_2 & digit_next;
        }
    }
    if P::NEWLINES {
        sure |= newline & (letter_1 | digit_1);
    } else {
        sure |= newline & (letter_1 | digit_1 | symbol_1);
        unsure |= newline & (space_1 | newline_1);
    }
    Starts { sure, unsure }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::split::{Gpt2, Gpt2Digits, Llama3, O200k, Qwen2, Tekken};
    use super::*;

    fn check<P: Pattern>(text: &str) {
        let scanner = Scanner::new::<P>(text.as_bytes());
        let mut expected = Vec::new();
        let mut end = 0;
        while end < text.len() {
            end = scanner.piece_end::<P>(end);
            expected.push(end as u32);
        }
        let name = std::any::type_name::<P>();
        let found = cut::<P>(text.as_bytes(), &mut Vec::new()).to_vec();
        assert_eq!(found, expected, "{name} {text:?}");
    }

    fn check_all(text: &str) {
        check::<Gpt2>(text);
        check::<Gpt2Digits>(text);
        check::<Llama3>(text);
        check::<Qwen2>(text);
        check::<O200k>(text);
        check::<Tekken>(text);
    }

    /// One of each class, and what patterns tell apart within one.
    const LETTERS: [&str; 13] = [
        "a", "B", "7", " ", "\n", "\r", ".", "/", "'", "\t", "é", "中", "½",
    ];

    #[test]
    fn short_texts_are_cut_as_the_scanner_cuts_them() {
        for length in 0..=5_u32 {
            for mut number in 0..LETTERS.len().pow(length) {
                let letters = (0..length).map(|_| {
                    let letter = LETTERS[number % LETTERS.len()];
                    number /= LETTERS.len();
                    letter
                });
                check_all(&letters.collect::<String>());
            }
        }
    }

    #[test]
    fn slashes_behind_newlines_are_cut_as_the_scanner_cuts_them() {
        for number in 0..4_usize.pow(8) {
            let text: String = (0..8)
                .map(|place| ["a", ".", "/", "\n"][number >> (2 * place) & 3])
                .collect();
            check_all(&text);
            // The same across the border of two blocks.
            check_all(&(" ".repeat(BLOCK - 4) + &text));
        }
    }

    proptest! {
        #[test]
        fn texts_of_several_blocks_are_cut_as_the_scanner_cuts_them(
            pieces in prop::collection::vec(
                prop_oneof![
                    4 => prop::sample::select(&LETTERS[..]).prop_map(str::to_owned),
                    2 => "[a-z]{1,9}",
                    1 => "[A-Z]?[a-z]{1,9} ",
                    1 => "[0-9]{1,5}",
                    1 => "[!-/:-@]{1,3}",
                    1 => prop::sample::select(vec!["'s", "'LL", "ſ", "  ", "\n\n", " \n", "\n  "])
                        .prop_map(str::to_owned),
                ],
                0..120,
            ),
        ) {
            check_all(&pieces.concat());
        }

        #[test]
        fn any_text_is_cut_as_the_scanner_cuts_it(text in ".{0,200}") {
            check_all(&text);
        }
    }
}
