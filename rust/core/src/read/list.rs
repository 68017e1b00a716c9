//! A list of records, `[{…}, {…}]`, as lines: many data sets are published so.
//!
//! Every byte keeps its place: the comma between two records becomes the end of a line, an end of
//! line within one a space, and the brackets around them spaces. So a record's line is its number in
//! the list, and its byte offset is that in the file.

use std::io;

/// A list without its closing bracket.
#[derive(Debug, thiserror::Error)]
#[error("a list of records that does not end")]
pub struct Unended;

/// Turns a stream into lines, if it is a list.
#[derive(Debug, Default)]
pub struct List {
    state: State,
    /// Brackets and braces that are open within the list.
    depth: u64,
    in_string: bool,
    is_escaped: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but white space came so far.
    #[default]
    Start,
    /// It is no list, or the list has ended.
    Lines,
    Inside,
}

impl List {
    /// Turns the next bytes of the stream.
    pub fn turn(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Lines {
            if self.in_string && !self.is_escaped {
                match memchr::memchr2(b'"', b'\\', &bytes[at..]) {
                    None => return,
                    Some(more) => at += more,
                }
            }
            self.turn_one(&mut bytes[at]);
            at += 1;
        }
    }

    fn turn_one(&mut self, byte: &mut u8) {
        if self.state == State::Start {
            match byte {
                // White space, or a byte order mark.
                b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => {}
                b'[' => {
                    *byte = b' ';
                    self.state = State::Inside;
                }
                _ => self.state = State::Lines,
            }
            return;
        }
        if self.in_string {
            let was_escaped = std::mem::take(&mut self.is_escaped);
            self.is_escaped = !was_escaped && *byte == b'\\';
            self.in_string = was_escaped || *byte != b'"';
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b']' if self.depth == 0 => {
                *byte = b' ';
                self.state = State::Lines;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b',' if self.depth == 0 => *byte = b'\n',
            b'\r' | b'\n' => *byte = b' ',
            _ => {}
        }
    }

    /// Says at the end of the stream that a list must have ended.
    ///
    /// # Errors
    /// With [`Unended`] inside.
    pub fn end(&self) -> io::Result<()> {
        match self.state {
            State::Inside => Err(io::Error::other(Unended)),
            State::Start | State::Lines => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The lines of a text that comes in parts of `step` bytes.
    fn turned(text: &str, step: usize) -> String {
        let mut list = List::default();
        let mut bytes = text.as_bytes().to_vec();
        bytes.chunks_mut(step).for_each(|part| list.turn(part));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn records_keep_their_bytes_and_their_places() {
        let text = "\u{feff}[\n  {\"a\": \"], [\\\"\\\\\",\n   \"b\": [1, 2]},\n  {}\n]\n";
        let lines = turned(text, 3);
        let expected = "\u{feff}    {\"a\": \"], [\\\"\\\\\",    \"b\": [1, 2]}\n   {}  \n";
        assert_eq!(lines, expected);
        assert_eq!(lines.len(), text.len());
    }

    #[test]
    fn lines_stay_as_they_are() {
        for text in [
            "",
            " \n",
            "{\"a\": [1,\n2]}\n{}",
            "x [",
            "\u{feff}{}\n[1, 2]\n",
        ] {
            assert_eq!(turned(text, 2), text);
        }
    }

    #[test]
    fn a_list_must_end() {
        for (text, ends) in [
            ("[{}", false),
            ("[{}, {}]", true),
            ("[\"]", false),
            ("{}", true),
        ] {
            let mut list = List::default();
            list.turn(&mut text.as_bytes().to_vec());
            assert_eq!(list.end().is_ok(), ends, "{text}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<i32>().prop_map(Value::from),
            "[\\[\\]{},\"\\\\\n a-c]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a,\"\\]]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_list_becomes_its_values(
            values in prop::collection::vec(value(), 0..6),
            is_pretty in any::<bool>(),
            step in 1_usize..40,
        ) {
            let list = Value::from(values.clone());
            let text = if is_pretty { format!("{list:#}") } else { list.to_string() };
            let lines = turned(&text, step);
            let found: Vec<Value> = lines
                .lines()
                .filter(|line| !line.trim().is_empty())
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            prop_assert_eq!(found, values);
        }
    }
}
