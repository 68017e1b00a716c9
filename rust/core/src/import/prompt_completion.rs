//! `prompt` and `completion`: texts, or lists of messages.

use std::borrow::Cow;

use super::Exchange;
use super::response::{Response, thinking};
use super::row::{Row, text};
use super::turns::{self, ROLE_CONTENT, Turns};
use crate::record::{Fault, Value};

pub fn read<'a>(row: &mut Row<'a>) -> Result<Exchange<'a>, Fault> {
    let question = prompt(row)?.ok_or_else(|| Fault::at("prompt", "missing"))?;
    Ok(Exchange {
        question,
        responses: vec![Ok(response(row)?)],
    })
}

/// The question in `prompt`, if that is there.
pub fn prompt<'a>(row: &mut Row<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let messages = match row.take("prompt") {
        Value::Absent => return Ok(None),
        messages @ Value::List(_) => messages,
        prompt => return text("prompt", prompt).map(Some),
    };
    let turns = turns::read("prompt", messages, ROLE_CONTENT)?;
    if let Some(response) = turns.response {
        let problem = "the assistant speaks before the completion; a record has one question";
        return Err(Fault::at(response.field, problem));
    }
    Turns::question("prompt", turns.system, turns.question).map(Some)
}

fn response<'a>(row: &mut Row<'a>) -> Result<Response<'a>, Fault> {
    let messages = match row.take("completion") {
        Value::Absent => return Err(Fault::at("completion", "missing")),
        messages @ Value::List(_) => messages,
        completion => {
            return Ok(Response {
                thinking: thinking("", |key| row.take(key))?,
                ..Response::new("completion", text("completion", completion)?)
            });
        }
    };
    let turns = turns::read("completion", messages, ROLE_CONTENT)?;
    if turns.question.is_some() || turns.system.is_some() {
        return Err(Fault::at(
            "completion",
            "holds more than the assistant's message",
        ));
    }
    Turns::response("completion", turns.response)
}
