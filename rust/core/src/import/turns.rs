//! Conversations: who said what, as long as it is one question and one response.

use std::borrow::Cow;

use super::response::{Response, thinking};
use super::row::text;
use crate::record::{Fault, Value};

/// What the two parts of a message are called.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    pub role: &'static str,
    pub content: &'static str,
}

/// The usual names.
pub const ROLE_CONTENT: Names = Names {
    role: "role",
    content: "content",
};

/// Those of ShareGPT.
pub const FROM_VALUE: Names = Names {
    role: "from",
    content: "value",
};

/// A conversation of one turn.
#[derive(Debug, Default)]
pub struct Turns<'a> {
    /// What the system was told first.
    pub system: Option<Cow<'a, str>>,
    /// What the user asked.
    pub question: Option<Cow<'a, str>>,
    /// What was answered.
    pub response: Option<Response<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Role {
    System,
    User,
    Assistant,
}

impl Role {
    fn of(name: &str) -> Option<Self> {
        match name {
            "system" | "developer" => Some(Self::System),
            "user" | "human" => Some(Self::User),
            "assistant" | "gpt" | "model" => Some(Self::Assistant),
            _ => None,
        }
    }
}

/// Reads the list of messages that stands at `field`.
pub fn read<'a>(
    field: &'static str,
    messages: Value<'a>,
    names: Names,
) -> Result<Turns<'a>, Fault> {
    let Value::List(messages) = messages else {
        return Err(Fault::at(field, messages.instead_of("a list of messages")));
    };
    let mut turns = Turns::default();
    for (index, message) in messages.into_iter().enumerate() {
        let place = format!("{field}[{index}]");
        let Value::Object(mut message) = message else {
            return Err(Fault::at(place, message.instead_of("a message")));
        };
        let mut take = |key: &str| {
            let found = message.iter_mut().find(|(name, _)| name == key);
            found.map_or(Value::Absent, |(_, value)| std::mem::take(value))
        };
        let role = text(format!("{place}.{}", names.role), take(names.role))?;
        let content_field = format!("{place}.{}", names.content);
        let content = content(&content_field, take(names.content))?;
        match Role::of(&role) {
            Some(Role::System) if index == 0 => turns.system = Some(content),
            Some(Role::User) if turns.question.is_none() && turns.response.is_none() => {
                turns.question = Some(content);
            }
            Some(Role::Assistant) if turns.response.is_none() => {
                turns.response = Some(Response {
                    thinking: thinking(&format!("{place}."), take)?,
                    ..Response::new(content_field, content)
                });
            }
            Some(role) => {
                let problem = if role == Role::System {
                    "a system message that is not the first".to_owned()
                } else {
                    format!(
                        "a second turn of the {role}; a record has one question and one answer",
                        role = if role == Role::User {
                            "user"
                        } else {
                            "assistant"
                        }
                    )
                };
                return Err(Fault::at(place, problem));
            }
            None => {
                let problem = format!("{role:?} is no role of a record (system, user, assistant)");
                return Err(Fault::at(format!("{place}.{}", names.role), problem));
            }
        }
    }
    Ok(turns)
}

/// A message's content: text, or a list of parts that are all text.
fn content<'a>(field: &str, value: Value<'a>) -> Result<Cow<'a, str>, Fault> {
    let Value::List(parts) = value else {
        return text(field.to_owned(), value);
    };
    let mut whole = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        let Value::Object(part) = part else {
            return Err(Fault::at(
                format!("{field}[{index}]"),
                part.instead_of("a part of text"),
            ));
        };
        let found = part
            .into_iter()
            .find(|(name, value)| name == "text" && *value != Value::Absent);
        match found {
            Some((_, Value::Text(text))) => whole.push_str(&text),
            _ => {
                return Err(Fault::at(
                    format!("{field}[{index}]"),
                    "a part that is no text",
                ));
            }
        }
    }
    Ok(whole.into())
}

impl<'a> Turns<'a> {
    /// The question, after what the system was told.
    pub fn question(
        field: &'static str,
        system: Option<Cow<'a, str>>,
        question: Option<Cow<'a, str>>,
    ) -> Result<Cow<'a, str>, Fault> {
        let question = question.ok_or_else(|| Fault::at(field, "no message of the user"))?;
        Ok(after_system(system, question))
    }

    /// The response, which must be there.
    pub fn response(
        field: &'static str,
        response: Option<Response<'a>>,
    ) -> Result<Response<'a>, Fault> {
        response.ok_or_else(|| Fault::at(field, "no message of the assistant"))
    }
}

/// A question after what the system was told, a blank line between them.
pub fn after_system<'a>(system: Option<Cow<'a, str>>, question: Cow<'a, str>) -> Cow<'a, str> {
    match system {
        Some(system) if !system.trim().is_empty() => {
            format!("{}\n\n{question}", system.trim_end()).into()
        }
        _ => question,
    }
}
