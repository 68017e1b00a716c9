//! The usual line of JSON, an object of strings, read in one look at its bytes.
//!
//! What is not that (numbers, lists, nulls, faults of any kind) is left to the parser in `json`,
//! which says the same of a line of strings: a test holds the two together.
//!
//! Performance notes, from samples of one thread that prepares 127 MB: sixteen bytes at a time left to
//! the compiler's vectors took 6.6 % of the time, serde_json's two looks at each string 3 %; words of
//! eight bytes are tested here as serde_json tests them, once. Unescaping into a string of known size
//! saves serde_json's growing buffer and the copy out of it.

use serde_json::from_str;

use crate::record::{FIELDS, Value, Values};

/// The values of a line that is an object of strings, each known field once; else `None`.
pub fn values(line: &str) -> Option<Values<'_>> {
    let mut values = Values::default();
    let mut rest = Rest { line, at: 0 };
    rest.expect(b'{')?;
    loop {
        rest.expect(b'"')?;
        let key = rest.string()?;
        rest.expect(b':')?;
        rest.expect(b'"')?;
        let value = rest.string()?;
        if key.is_escaped {
            return None;
        }
        if let Some(field) = FIELDS.iter().position(|field| *field == key.content) {
            let text = match value.is_escaped {
                false => value.content.into(),
                true => match unescaped(value.content) {
                    Some(text) => text.into(),
                    None => from_str::<String>(value.quoted).ok()?.into(),
                },
            };
            if std::mem::replace(&mut values[field], Value::Text(text)) != Value::Absent {
                return None;
            }
        } else if value.is_escaped {
            // Whether the escapes are sound is the parser's to say.
            return None;
        }
        match rest.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    rest.next().is_none().then_some(values)
}

/// A line from some byte on.
struct Rest<'l> {
    line: &'l str,
    at: usize,
}

/// A string between its quotes.
struct Quoted<'l> {
    content: &'l str,
    quoted: &'l str,
    is_escaped: bool,
}

impl<'l> Rest<'l> {
    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.line.as_bytes().get(self.at)?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// The string whose first quote was just read; `None` where a control character is in it.
    fn string(&mut self) -> Option<Quoted<'l>> {
        let (bytes, start) = (self.line.as_bytes(), self.at);
        let mut is_escaped = false;
        loop {
            self.at += plain_bytes(&bytes[self.at..]);
            match bytes.get(self.at)? {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    self.at += 2;
                    bytes.get(self.at)?;
                }
                _ => return None,
            }
        }
        let end = self.at;
        self.at += 1;
        Some(Quoted {
            content: self.line.get(start..end)?,
            quoted: self.line.get(start - 1..=end)?,
            is_escaped,
        })
    }
}

/// The text of a string in which only single characters are escaped, none by its number.
fn unescaped(content: &str) -> Option<String> {
    let mut text = String::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        text.push(match rest.as_bytes()[at + 1] {
            b'n' => '\n',
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            _ => return None,
        });
        rest = &rest[at + 2..];
    }
    text.push_str(rest);
    Some(text)
}

/// How many bytes come before a quote, a backslash or a control character.
///
/// Eight at a time: subtracting sets the high bit of a byte that was smaller (after the exclusive or:
/// zero), perhaps also of bytes above it, so the lowest one that is set is right.
fn plain_bytes(bytes: &[u8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH * 0x80;
    let smaller = |word: u64, than: u8| word.wrapping_sub(EACH * u64::from(than)) & !word;
    let equal = |word: u64, byte: u8| smaller(word ^ (EACH * u64::from(byte)), 1);
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special = (smaller(word, b' ') | equal(word, b'"') | equal(word, b'\\')) & HIGH;
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
    bytes.len() - tail.len() + tail.iter().position(is_special).unwrap_or(tail.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::read::json::parsed;

    #[test]
    fn every_byte_is_plain_or_not_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let expected = byte >= b' ' && !matches!(byte, b'"' | b'\\');
            for at in 0..20 {
                let mut bytes = [b'x'; 20];
                bytes[at] = byte;
                let found = plain_bytes(&bytes);
                assert_eq!(found, if expected { 20 } else { at }, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn strings_are_read_and_the_rest_is_left() {
        let line = r#" {"question" : "a\n\"b\u00e9", "x": "é", "answer":"4"} "#;
        let found = values(line).unwrap();
        assert_eq!(found[2], Value::Text("a\n\"bé".into()));
        assert_eq!(found[3], Value::Text("4".into()));
        for line in [
            "",
            "{",
            "{}",
            r#"{"answer": 4}"#,
            r#"{"answer": "4""#,
            r#"{"answer": "4"} x"#,
            r#"{"answer": "4",}"#,
            r#"{"answer": "4", "answer": "4"}"#,
            r#"{"answer": "\ud800"}"#,
            r#"{"other": "\ud800"}"#,
            r#"{"answer": "\"#,
            "{\"answer\": \"\u{1}\"}",
            r#"{"answer" "4"}"#,
        ] {
            assert_eq!(values(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_the_parser_reads(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "\"", "\"question\"", "\"answer\"", "\"x\"", ":", ",", " ", "\\", "\\n",
                "\\u00e9", "\\t\\r\\b\\f\\\\\\\"", "\\x", "\\ud83d\\ude00", "\\ud800", "\\/", "\u{1}", "é", "plain text of some length",
                "\": \"", "\", \"", "{\"", "\"}", "\t", "\n", "7", "[", "null",
            ]), 0..24),
        ) {
            let line = pieces.concat();
            let framed = format!("{{\"id\": \"{line}\"}}");
            for line in [&line, &framed] {
                if let Some(found) = values(line) {
                    prop_assert_eq!(parsed(line), Ok(found));
                }
            }
        }
    }
}
