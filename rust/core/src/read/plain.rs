//! The usual line of JSON, an object of strings, read in one look at its bytes.
//!
//! What is not that (numbers, lists, nulls, faults of any kind) is left to the parser in `json`,
//! which says the same of a line of strings: a test holds the two together.
//!
//! Performance note: a record of the corpus has eleven escapes. With a call (`memchr`) for the next of them and
//! a look of its own for control characters the pass took 1.08 s, with 64 bytes looked at once for both
//! 1.03 s (default filters, one thread, lower thirds of twelve rounds in turns). Strings without their
//! escapes stand in one room that is used for every line.

use std::ops::Range;

use serde_json::from_str;

use crate::block::{BLOCK, Block};
use crate::record::{FIELDS, Value, Values};

/// Reads the values of a line that is an object of strings, each known field once; of any other `None`.
///
/// `room` is overwritten by the strings that do not stand in the line as they are.
pub fn read<'l>(line: &'l str, room: &'l mut String, values: &mut Values<'l>) -> Option<()> {
    room.clear();
    // There is no more of them, and nothing is moved as they grow.
    room.reserve(line.len());
    let mut found = [const { None }; FIELDS.len()];
    // JSON knows fewer white space than ASCII.
    let mut rest = Rest::new(line.trim_end_matches([' ', '\t', '\r', '\n']));
    rest.expect(b'{')?;
    loop {
        rest.expect(b'"')?;
        let key = rest.string(room)?;
        rest.expect(b':')?;
        rest.expect(b'"')?;
        let value = rest.string(room)?;
        let key = key.of(line, room);
        if let Some(field) = FIELDS.iter().position(|field| *field == key)
            && found[field].replace(value).is_some()
        {
            return None;
        }
        match rest.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    // Control characters are white space between the parts, or faults: rare either way.
    if rest.next().is_some() || rest.has_controls {
        return None;
    }
    let room = &**room;
    for (value, found) in values.iter_mut().zip(found) {
        if let Some(text) = found {
            *value = Value::Text(text.of(line, room).into());
        }
    }
    Some(())
}

/// Where a string stands.
enum Text {
    /// In the line, as it is.
    Line(Range<usize>),
    /// Without its escapes in the room.
    Room(Range<usize>),
}

impl Text {
    fn of<'t>(self, line: &'t str, room: &'t str) -> &'t str {
        match self {
            Self::Line(range) => &line[range],
            Self::Room(range) => &room[range],
        }
    }
}

/// A line from some byte on.
struct Rest<'l> {
    line: &'l str,
    at: usize,
    /// Where the block begins that was looked at last.
    block_start: usize,
    /// Where quotes and backslashes are in it.
    marks: u64,
    /// Whether there were control characters in the blocks so far.
    has_controls: bool,
}

impl<'l> Rest<'l> {
    fn new(line: &'l str) -> Self {
        let mut rest = Self {
            line,
            at: 0,
            block_start: 0,
            marks: 0,
            has_controls: false,
        };
        rest.look();
        rest
    }

    fn look(&mut self) {
        let block = Block::of(&self.line.as_bytes()[self.block_start..], b' ');
        self.marks = (block.equal(b'"') | block.equal(b'\\')).bits();
        self.has_controls |= block.within(0, b' ').bits() != 0;
    }

    /// Goes to the next quote or backslash.
    #[inline]
    fn go_to_mark(&mut self) -> Option<()> {
        loop {
            // The block may begin behind this place, or end before it.
            let ahead = self.at.saturating_sub(self.block_start);
            if ahead < BLOCK && self.marks >> ahead != 0 {
                self.at =
                    self.block_start + ahead + (self.marks >> ahead).trailing_zeros() as usize;
                return Some(());
            }
            self.block_start += BLOCK;
            if self.block_start >= self.line.len() {
                return None;
            }
            self.look();
        }
    }

    /// The next byte that is no space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.line.as_bytes().get(self.at)?;
            self.at += 1;
            if byte != b' ' {
                return Some(byte);
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// The string whose first quote was just read.
    fn string(&mut self, room: &mut String) -> Option<Text> {
        let bytes = self.line.as_bytes();
        let (start, room_start) = (self.at, room.len());
        // Where that begins which is not yet in the room.
        let mut rest = start;
        let mut has_numbers = false;
        loop {
            self.go_to_mark()?;
            let until = &self.line[rest..self.at];
            if bytes[self.at] == b'"' {
                self.at += 1;
                if rest == start {
                    return Some(Text::Line(start..self.at - 1));
                }
                if has_numbers {
                    room.truncate(room_start);
                    room.push_str(&from_str::<String>(&self.line[start - 1..self.at]).ok()?);
                } else {
                    room.push_str(until);
                }
                return Some(Text::Room(room_start..room.len()));
            }
            room.push_str(until);
            match *bytes.get(self.at + 1)? {
                // A character by its number, perhaps half of one: serde_json knows how.
                b'u' => has_numbers = true,
                escape => room.push(unescaped(escape)?),
            }
            self.at += 2;
            rest = self.at;
        }
    }
}

/// The character that a letter stands for behind a backslash.
fn unescaped(escape: u8) -> Option<char> {
    Some(match escape {
        b'n' => '\n',
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::read::json::parsed;

    fn values<'l>(line: &'l str, room: &'l mut String) -> Option<Values<'l>> {
        let mut values = Values::default();
        read(line, room, &mut values).map(|()| values)
    }

    #[test]
    fn strings_are_read_and_the_rest_is_left() {
        let line = r#" {"question" : "a\n\"b\u00e9", "x": "é", "answer":"4"} "#;
        let mut room = "of a line before".to_owned();
        let found = values(line, &mut room).unwrap();
        assert_eq!(found[2], Value::Text("a\n\"bé".into()));
        assert_eq!(found[3], Value::Text("4".into()));
        for line in [
            "",
            "{",
            "{}",
            r#"{"answer": 4}"#,
            r#"{"answer": "4""#,
            r#"{"answer": "4"} x"#,
            "{\"answer\": \"4\"}\u{c}",
            r#"{"answer": "4",}"#,
            r#"{"answer": "4", "answer": "4"}"#,
            r#"{"answer": "\ud800"}"#,
            r#"{"other": "\ud800"}"#,
            r#"{"answer": "\"#,
            "{\"answer\": \"\u{1}\"}",
            r#"{"answer" "4"}"#,
        ] {
            assert_eq!(values(line, &mut String::new()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_the_parser_reads(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "\"", "\"question\"", "\"answer\"", "\"x\"", ":", ",", " ", "\\", "\\n",
                "\\u00e9", "\\t\\r\\b\\f\\\\\\\"", "\\x", "\\ud83d\\ude00", "\\ud800", "\\/", "\u{1}", "é", "plain text of some length",
                "\": \"", "\", \"", "{\"", "\"}", "\t", "\n", "\u{c}", "7", "[", "null",
            ]), 0..24),
        ) {
            let line = pieces.concat();
            let framed = format!("{{\"id\": \"{line}\"}}");
            let before = format!("{{\"id\": \"\"}}{line}");
            for line in [&line, &framed, &before] {
                if let Some(found) = values(line, &mut String::new()) {
                    prop_assert_eq!(parsed(line), Ok(found));
                }
            }
        }
    }
}
