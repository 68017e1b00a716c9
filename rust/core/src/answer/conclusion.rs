//! The last explicit conclusion of a text.

use memchr::memmem;

use crate::block::{BLOCK, Block};

/// What `text` explicitly concludes, the last time it does; `None` where it does not.
///
/// Read are `\boxed{…}` and `\fbox{…}`, a last line `#### …`, and `answer is …`,
/// `answer: …` (also `the answer (arabic numerals) is …`) up to the end of the sentence.
/// A number that merely comes last is no conclusion. Linear in the length of `text`.
///
/// ```
/// use limbeck_core::answer::conclusion;
/// assert_eq!(conclusion("4 times 3 is 12. The answer is 12."), Some("12"));
/// assert_eq!(conclusion("so $\\boxed{\\frac{3}{4}}$"), Some("\\frac{3}{4}"));
/// assert_eq!(conclusion("4 times 3 is 12."), None);
/// ```
pub fn conclusion(text: &str) -> Option<&str> {
    later(mark(text), phrase(text)).map(|found| after_calculator(found.content))
}

/// What `text` marks as its result: the last `\boxed{…}` or `\fbox{…}`, or `####` on the last line.
///
/// Unlike [`conclusion`] it reads no prose, so it may be asked of a text of any kind.
///
/// ```
/// use limbeck_core::answer::marked;
/// assert_eq!(marked("3 + 4 = 7\n#### 7"), Some("7"));
/// assert_eq!(marked("The answer is 7."), None);
/// ```
pub fn marked(text: &str) -> Option<&str> {
    mark(text).map(|found| found.content)
}

fn mark(text: &str) -> Option<Found<'_>> {
    // Most texts have neither.
    memchr::memchr2(b'\\', b'#', text.as_bytes())?;
    later(boxed(text), hashes(text))
}

/// What follows the last calculator mark of GSM8K, `<<9*8=72>>72`, which repeats its result.
fn after_calculator(content: &str) -> &str {
    match content.rsplit_once(">>") {
        Some((mark, result)) if mark.contains("<<") && !result.trim().is_empty() => result.trim(),
        _ => content,
    }
}

struct Found<'t> {
    byte_start: usize,
    content: &'t str,
}

fn later<'t>(one: Option<Found<'t>>, other: Option<Found<'t>>) -> Option<Found<'t>> {
    let both = [one, other].into_iter().flatten();
    both.max_by_key(|found| found.byte_start)
}

/// The content of the last box to be closed, so the outer one of nested boxes.
fn boxed(text: &str) -> Option<Found<'_>> {
    const BOXES: [&str; 2] = ["\\boxed", "\\fbox"];
    let bytes = text.as_bytes();
    let first = memchr::memchr(b'\\', bytes)?;
    if !BOXES
        .iter()
        .any(|name| memmem::find(&bytes[first..], name.as_bytes()).is_some())
    {
        return None;
    }
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut found = None;
    let mut at = 0;
    while let Some(step) = bytes
        .get(at..)
        .and_then(|rest| memchr::memchr3(b'\\', b'{', b'}', rest))
    {
        at += step;
        match bytes[at] {
            // An escaped brace is no brace.
            b'\\' if matches!(bytes.get(at + 1), Some(b'{' | b'}' | b'\\')) => at += 1,
            b'{' => {
                let before = text[..at].trim_end_matches(' ');
                open.push((at, BOXES.iter().any(|name| before.ends_with(name))));
            }
            b'}' => {
                if let Some((byte_start, true)) = open.pop() {
                    let content = text[byte_start + 1..at].trim();
                    if !content.is_empty() {
                        found = Some(Found {
                            byte_start,
                            content,
                        });
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// What follows `####` on the last line; elsewhere it is a heading.
fn hashes(text: &str) -> Option<Found<'_>> {
    let text = text.trim_end();
    let byte_start = memchr::memrchr(b'\n', text.as_bytes()).map_or(0, |newline| newline + 1);
    let line = &text[byte_start..];
    let last = memchr::memrchr(b'#', line.as_bytes())?;
    let at = line[..=last].rfind("####")?;
    if line[..at].ends_with('#') {
        return None;
    }
    let content = line[at + 4..].trim();
    (!content.is_empty()).then_some(Found {
        byte_start: byte_start + at,
        content,
    })
}

/// What follows the last `answer is` or `answer:`.
fn phrase(text: &str) -> Option<Found<'_>> {
    let mut rest = text.as_bytes();
    while let Some(at) = rfind_answer(rest) {
        if let Some(content) = claim(&text[at + b"answer".len()..]) {
            return Some(Found {
                byte_start: at,
                content,
            });
        }
        rest = &rest[..at];
    }
    None
}

/// The last place of the word "answer" in any case.
///
/// Of its pairs of letters a rare one is looked for, 64 bytes at once: half of the time that looking for
/// its rarest letter takes.
fn rfind_answer(text: &[u8]) -> Option<usize> {
    const WORD: &[u8] = b"answer";
    // Where the second of the pair is in it.
    const SECOND: usize = 3;
    // Blocks share a byte, so that each pair stands in one.
    const STEP: usize = BLOCK - 1;
    for block_start in (0..=text.len() / STEP).rev().map(|block| block * STEP) {
        let block = Block::of(&text[block_start..], 0).lower_case();
        let [first, second] = [SECOND - 1, SECOND].map(|letter| block.equal(WORD[letter]).bits());
        let mut seconds = first << 1 & second;
        while let Some(last) = seconds.checked_ilog2() {
            seconds ^= 1 << last;
            let Some(at) = (block_start + last as usize).checked_sub(SECOND) else {
                continue;
            };
            let word = text.get(at..at + WORD.len());
            if word.is_some_and(|word| word.eq_ignore_ascii_case(WORD))
                && (at == 0 || !text[at - 1].is_ascii_alphanumeric())
            {
                return Some(at);
            }
        }
    }
    None
}

/// What is claimed by the text right after the word "answer", if it claims anything.
fn claim(after: &str) -> Option<&str> {
    // "the answer (arabic numerals) is 8": a short remark may stand between.
    const LONGEST_REMARK: usize = 48;
    let mut rest = after.trim_start_matches(['*', '_', ' ']);
    if let Some(remark) = rest.strip_prefix('(') {
        let close = remark
            .bytes()
            .take(LONGEST_REMARK)
            .position(|byte| byte == b')')?;
        rest = remark[close + 1..].trim_start();
    }
    let rest = match rest.strip_prefix(':') {
        Some(claim) => claim,
        None => {
            let verb = rest
                .get(..2)
                .filter(|verb| verb.eq_ignore_ascii_case("is"))?;
            let claim = &rest[verb.len()..];
            // "isn't" and "island" are not "is".
            if claim.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '\'' | '’')) {
                return None;
            }
            claim
        }
    };
    let start =
        rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '*' | '_'));
    // Neither a denial nor a clause is an answer. Looked at before the sentence is measured:
    // a text full of denials must not cost a scan each.
    if ["not ", "that "]
        .iter()
        .any(|word| after_word(start, word).is_some())
    {
        return None;
    }
    let start = [
        "probably ",
        "most likely ",
        "likely ",
        "therefore ",
        "thus ",
    ]
    .iter()
    .find_map(|hedge| after_word(start, hedge))
    .unwrap_or(start);
    let content = &start[..sentence_end(start)];
    let content = content.trim_end_matches(|c: char| c.is_whitespace() || c == '*');
    content
        .chars()
        .any(char::is_alphanumeric)
        .then_some(content)
}

/// What follows `word`, in any case, at the start of `text`.
fn after_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let head = text.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

/// The byte at which the first sentence or line of `text` ends.
fn sentence_end(text: &str) -> usize {
    const TITLES: [&str; 8] = ["Mr", "Mrs", "Ms", "Dr", "St", "Prof", "Mt", "vs"];
    let mut from = 0;
    while let Some(step) = text[from..].find(['.', '!', '?', '。', '\n', '\r']) {
        let at = from + step;
        if matches!(text.as_bytes()[at], b'\n' | b'\r') {
            return at;
        }
        let marks = ['.', '!', '?', '。', '"', '\'', '”', '’', '*', ')', '$'];
        let after = text[at..].trim_start_matches(marks);
        // A mark in the middle of a word or a number closes nothing, '。' always does.
        let closes =
            after.chars().next().is_none_or(char::is_whitespace) || text[at..].starts_with('。');
        let word = || text[..at].rsplit(char::is_whitespace).next().unwrap_or("");
        if closes && !(text[at..].starts_with('.') && TITLES.contains(&word())) {
            return at;
        }
        from = text.len() - after.len();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn reads(text: &str, expected: &str) {
        assert_eq!(conclusion(text), Some(expected), "{text}");
    }

    #[track_caller]
    fn reads_nothing(text: &str) {
        assert_eq!(conclusion(text), None, "{text}");
    }

    #[test]
    fn phrases() {
        reads("The answer is 5.", "5");
        reads("So the final answer is: $1,000.50.", "$1,000.50");
        reads("Therefore, the answer (arabic numerals) is 8.", "8");
        reads("**Answer:** 42", "42");
        reads("**Final Answer**: 42.", "42");
        reads("ANSWER IS (B). Indeed.", "(B)");
        reads("The answer is yes! Of course.", "yes");
        reads("The answer is most likely England.", "England");
        reads("The answer is therefore 3.", "3");
        reads("The answer is 9 * 8 = <<9*8=72>>72 cents.", "72 cents");
        reads("The answer is <<72>>.", "<<72>>");
        reads("The answer is:\n\n3.5", "3.5");
        reads("The answer is Mr. Smith. He came.", "Mr. Smith");
        reads("The answer is \"nan.\" Really.", "\"nan");
        reads("答案 answer: 七。然后", "七");
    }

    #[test]
    fn boxes_and_hashes() {
        reads("so \\boxed{\\frac{3}{4}} it is", "\\frac{3}{4}");
        reads("\\fbox{70}\\%", "70");
        reads("\\boxed {x} and \\{", "x");
        reads("\\boxed{a \\fbox{b}}", "a \\fbox{b}");
        reads("{ \\boxed{7}", "7");
        reads("10 - 4 = 6\n#### 6\n", "6");
        reads("easy #### 6", "6");
    }

    #[test]
    fn the_last_one_counts() {
        reads("The answer is 5. Wait, the answer is 6.", "6");
        reads("The answer is 5. No: \\boxed{6}", "6");
        reads("\\boxed{6} hence the answer is 6 apples.", "6 apples");
        reads("The answer is 5. What is the answer?", "5");
        reads("The answer is 5. The answer isn't 6.", "5");
    }

    proptest! {
        #[test]
        fn the_last_word_is_found_wherever_it_stands(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "answer", " answer", "Answer", "ANSWER", "unanswered", "answ", "swer", "w", "s", "\u{13}w", " ", "é",
                "a text of some length that holds no such word ",
            ]), 0..30),
        ) {
            let text = pieces.concat();
            let lower = text.to_ascii_lowercase();
            let places = lower.match_indices("answer").map(|(at, _)| at);
            let starts = |&at: &usize| !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric());
            prop_assert_eq!(rfind_answer(text.as_bytes()), places.filter(starts).last());
        }
    }

    #[test]
    fn nothing_is_guessed() {
        reads_nothing("");
        reads_nothing("2 + 2 = 4");
        reads_nothing("The answer is not 5.");
        reads_nothing("The answer is that the coin is heads up.");
        reads_nothing("The answer is");
        reads_nothing("The answer is ...");
        reads_nothing("What is the answer? She answered: yes");
        reads_nothing("\\boxed{unclosed");
        reads_nothing("\\boxed{}");
        reads_nothing("#### Step 1\nadd");
        reads_nothing("##### 5");
        reads_nothing("The answer (which is a remark that never comes to any end at all) is 5");
    }

    #[test]
    fn hostile_text_takes_linear_time() {
        let start = std::time::Instant::now();
        for piece in [
            "\\boxed{",
            "answer (",
            "answer is ",
            "answer is . ",
            "answer is not ",
            ". . .x",
            "answer is ....x",
            "{",
            "}",
            "####",
            "a",
        ] {
            let text = piece.repeat(1_000_000);
            let _ = conclusion(&text);
        }
        // A quadratic scan would take minutes.
        assert!(start.elapsed().as_secs() < 10);
    }
}
