//! One line of JSON to the values of a record.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::plain;
use crate::record::{FIELDS, Fault, Value, Values};

/// Reads a line that holds one JSON object.
///
/// Fields that no one reads are checked for syntax only. Values are cut out of the line first
/// (`RawValue`): numbers stay as written, most texts need no copy, and a fault has its field. `room` is
/// for texts that do; it is overwritten.
pub fn values<'l>(line: &'l str, room: &'l mut String) -> Result<Values<'l>, Fault> {
    let mut values = Values::default();
    match plain::read(line, room, &mut values) {
        Some(()) => Ok(values),
        None => parsed(line),
    }
}

/// The same of any line.
pub(super) fn parsed(line: &str) -> Result<Values<'_>, Fault> {
    let raw = raw_fields(line).map_err(|fault| Fault::line(not_json(&fault)))?;
    if let Some(field) = raw.twice {
        return Err(Fault::field(field, "given twice"));
    }
    Ok(raw
        .values
        .map(|value| value.map_or(Value::Absent, |value| parse(value.get()))))
}

pub fn not_json(fault: &serde_json::Error) -> String {
    let text = fault.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("not JSON: {what} (column {})", fault.column())
}

/// A value's text to the value; the text is known to be well-formed JSON.
fn parse(raw: &str) -> Value<'_> {
    match raw.as_bytes()[0] {
        b'[' => match serde_json::from_str::<Vec<&RawValue>>(raw) {
            Ok(items) => Value::List(items.into_iter().map(|item| parse(item.get())).collect()),
            Err(fault) => Value::Wrong(fault.to_string().into()),
        },
        b'{' => Value::Wrong("an object instead of text".into()),
        _ => scalar(raw),
    }
}

/// The text of a string, a number or a word to its value.
pub fn scalar(raw: &str) -> Value<'_> {
    match raw.as_bytes()[0] {
        b'"' => match string(raw) {
            Ok(text) => Value::Text(text),
            Err(_) => Value::Wrong("a lone surrogate is no Unicode text".into()),
        },
        b'n' => Value::Absent,
        b'-' | b'0'..=b'9' => Value::Number(raw.into()),
        _ => Value::Wrong(format!("{raw} instead of text").into()),
    }
}

fn string(raw: &str) -> serde_json::Result<Cow<'_, str>> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Ok(raw[1..raw.len() - 1].into());
    }
    serde_json::from_str(raw).map(Cow::Owned)
}

#[derive(Default)]
struct Raw<'a> {
    values: [Option<&'a RawValue>; FIELDS.len()],
    twice: Option<usize>,
}

fn raw_fields(line: &str) -> serde_json::Result<Raw<'_>> {
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let raw = deserializer.deserialize_map(Object)?;
    deserializer.end()?;
    Ok(raw)
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Raw<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut raw = Raw::default();
        while let Some(field) = map.next_key_seed(Key)? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if raw.values[field].replace(map.next_value()?).is_some() {
                raw.twice.get_or_insert(field);
            }
        }
        Ok(raw)
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(FIELDS.iter().position(|field| *field == key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> (String, String) {
        let fault = values(line, &mut String::new())
            .and_then(|values| crate::record::Record::new(values, "train", true))
            .unwrap_err();
        (fault.field.into_owned(), fault.problem.into_owned())
    }

    #[test]
    fn numbers_stay_as_written() {
        let mut room = String::new();
        let values = values(r#"{"answer": 40000.0, "teacher_answer": 1E5}"#, &mut room).unwrap();
        assert_eq!(values[3], Value::Number("40000.0".into()));
        assert_eq!(values[6], Value::Number("1E5".into()));
    }

    #[test]
    fn escapes_are_read_and_plain_text_is_borrowed() {
        let line = r#"{"question": "a\n\ud83d\ude00", "answer": "é"}"#;
        let mut room = String::new();
        let values = values(line, &mut room).unwrap();
        assert_eq!(values[2], Value::Text("a\n😀".into()));
        assert!(matches!(&values[3], Value::Text(Cow::Borrowed("é"))));
    }

    #[test]
    fn faults_name_their_field() {
        let lone = r#"{"question": "\ud800", "answer": "1"}"#;
        assert_eq!(fault(lone).0, "question");
        assert!(fault(lone).1.contains("surrogate"));
        let twice = r#"{"question": "a", "answer": "b", "question": "c"}"#;
        assert_eq!(fault(twice), ("question".into(), "given twice".into()));
        let flag = r#"{"question": "a", "answer": true}"#;
        assert_eq!(
            fault(flag),
            ("answer".into(), "true instead of text".into())
        );
    }

    #[test]
    fn broken_lines_say_where() {
        for line in [
            "",
            "[1]",
            "{\"a\": NaN}",
            "{} {}",
            "{\"a\": 1",
            "{\"a\": \"\u{1}\"}",
        ] {
            let (field, problem) = fault(line);
            assert_eq!(field, "line", "{line}");
            assert!(problem.contains("(column "), "{problem}");
        }
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!(
            "{{\"meta\": {}1{}}}",
            "[".repeat(200_000),
            "]".repeat(200_000)
        );
        assert_eq!(values(&deep, &mut String::new()), Ok(Values::default()));
    }
}
