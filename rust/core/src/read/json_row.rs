//! One line of JSON to the row that importers read.
//!
//! Unlike [`super::json`], which reads the record schema, this keeps objects and lists as they nest.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{not_json, scalar};
use crate::import::Row;
use crate::record::{Fault, Value};

/// Messages need four levels; a stack is not for an attacker to fill.
const DEEPEST: usize = 16;

/// Reads those of `keys` that stand on a line.
pub fn row<'a>(line: &'a str, keys: &[&'static str]) -> Result<Row<'a>, Fault> {
    let mut fields: Vec<(&'static str, Value<'a>)> = Vec::new();
    for (key, value) in object(line)? {
        let Some(known) = keys.iter().find(|known| **known == key) else {
            continue;
        };
        if fields.iter().any(|(before, _)| before == known) {
            return Err(Fault::at(*known, "given twice"));
        }
        fields.push((known, tree(value.get(), DEEPEST)));
    }
    Ok(fields.into_iter().collect())
}

/// The keys on a line that holds an object, in its order.
pub fn keys(line: &str) -> Vec<String> {
    let fields = object(line).unwrap_or_default();
    fields
        .into_iter()
        .map(|(key, _)| key.into_owned())
        .collect()
}

type Fields<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

fn object(line: &str) -> Result<Fields<'_>, Fault> {
    fields(line).map_err(|fault| Fault::line(not_json(&fault)))
}

fn fields(text: &str) -> serde_json::Result<Fields<'_>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer.deserialize_map(Object)?;
    deserializer.end()?;
    Ok(fields)
}

/// A value's text to the value; the text is known to be well-formed JSON.
fn tree(raw: &str, depth: usize) -> Value<'_> {
    if depth == 0 {
        return Value::Wrong("a value nested too deeply".into());
    }
    let wrong = |fault: serde_json::Error| Value::Wrong(fault.to_string().into());
    match raw.as_bytes()[0] {
        b'[' => match serde_json::from_str::<Vec<&RawValue>>(raw) {
            Ok(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| tree(item.get(), depth - 1))
                    .collect(),
            ),
            Err(fault) => wrong(fault),
        },
        b'{' => match fields(raw) {
            Ok(fields) => Value::Object(
                fields
                    .into_iter()
                    .map(|(key, value)| (key, tree(value.get(), depth - 1)))
                    .collect(),
            ),
            Err(fault) => wrong(fault),
        },
        _ => scalar(raw),
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            fields.push((key, map.next_value()?));
        }
        Ok(fields)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_nest_and_numbers_stay_as_written() {
        let line = r#"{"messages": [{"role": "user", "n": 4.50}], "x": 1, "id": null}"#;
        let found = row(line, &["messages", "id"]).unwrap();
        let message = vec![
            ("role".into(), Value::Text("user".into())),
            ("n".into(), Value::Number("4.50".into())),
        ];
        let messages = Value::List(vec![Value::Object(message)]);
        assert_eq!(found, [("messages", messages)].into_iter().collect());
        assert_eq!(keys(line), ["messages", "x", "id"]);
    }

    #[test]
    fn faults_are_told_and_depth_is_bounded() {
        let twice = row(r#"{"prompt": 1, "prompt": 2}"#, &["prompt"]).unwrap_err();
        assert_eq!((&*twice.field, &*twice.problem), ("prompt", "given twice"));
        assert_eq!(row("[1]", &[]).unwrap_err().field, "line");
        let deep = format!(
            "{{\"input\": {}{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let found = row(&deep, &["input"]);
        assert!(matches!(found.unwrap().get("input"), Some(Value::List(_))));
    }
}
