//! Which format a file is in, as the keys of its first records tell.

use super::r1::GENERATED;
use super::row::Row;
use crate::error::{Error, Result};
use crate::input::Format;
use crate::record::Value;

/// What the formats need, for people.
const KNOWN: &str = "records (question, answer, rationale), messages (messages or conversations of role and content), \
    prompt_completion (prompt, completion), preference (chosen, rejected), alpaca (instruction, output), \
    sharegpt (conversations of from and value), r1 (question or problem, with generations, response or solution)";

/// The format of a file whose first records are `rows`; `keys` are those of the first one.
///
/// A file with no readable record counts as one in the record schema, where each is malformed.
pub fn detect(name: &str, rows: &[Row<'_>], keys: &[String]) -> Result<Format> {
    let mut found = None;
    for row in rows {
        let format = match of(row)[..] {
            [] => continue,
            [format] => format,
            [one, other, ..] => return Err(ambiguous(name, one, other, keys)),
        };
        match found {
            Some(before) if before != format => {
                return Err(ambiguous(name, before, format, keys));
            }
            _ => found = Some(format),
        }
    }
    match found {
        Some(format) => Ok(format),
        None if rows.is_empty() => Ok(Format::Records),
        None => Err(Error::input(
            name,
            format!(
                "no known format: its first record has the keys {}",
                keys.join(", ")
            ),
            format!("rename them to those of a format: {KNOWN}"),
        )),
    }
}

fn ambiguous(name: &str, one: Format, other: Format, keys: &[String]) -> Error {
    let (one, other) = (one.name(), other.name());
    Error::input(
        name,
        format!(
            "its first records may be {one} or {other} (keys {})",
            keys.join(", ")
        ),
        format!("say `format: {one}` or `format: {other}` of this path"),
    )
}

/// The formats that a row may be in.
fn of(row: &Row<'_>) -> Vec<Format> {
    let generated = row.has(&GENERATED);
    if row.has(&["question"]) {
        if row.has(&["rationale"]) {
            return vec![Format::Records]; // whatever else is there, it says all that a record says
        }
        let solved = generated || row.has(&["solution"]) || ends_in_hashes(row.get("answer"));
        if row.has(&["answer"]) && !solved {
            return vec![Format::Records];
        }
    }
    // Dumps often repeat as `messages` one of the responses that they list.
    if row.has(&["question", "problem"]) && (generated || row.has(&["solution", "answer"])) {
        return vec![Format::R1];
    }
    // Likewise pairs, whose chosen response it is.
    if row.has(&["chosen"]) && row.has(&["rejected"]) {
        return vec![Format::Preference];
    }
    let mut formats = Vec::new();
    formats.extend(
        ["messages", "conversations"]
            .into_iter()
            .find_map(|key| conversation(row.get(key)?)),
    );
    if row.has(&["prompt"]) && row.has(&["completion"]) {
        formats.push(Format::PromptCompletion);
    }
    if row.has(&["instruction"]) && row.has(&["output"]) {
        formats.push(Format::Alpaca);
    }
    formats
}

/// GSM8K's answers: the reasoning, then `#### …` on a line of its own.
fn ends_in_hashes(answer: Option<&Value<'_>>) -> bool {
    let Some(Value::Text(answer)) = answer else {
        return false;
    };
    let last = answer.trim_end().rsplit_once('\n');
    last.is_some_and(|(_, line)| line.starts_with("#### "))
}

fn conversation(value: &Value<'_>) -> Option<Format> {
    let Value::List(messages) = value else {
        return None;
    };
    let Some(Value::Object(message)) = messages.first() else {
        return None;
    };
    let has = |key: &str| {
        message
            .iter()
            .any(|(name, value)| name == key && *value != Value::Absent)
    };
    if has("role") {
        Some(Format::Messages)
    } else if has("from") {
        Some(Format::Sharegpt)
    } else {
        None
    }
}
