//! Preference pairs: the chosen response makes the record, the rejected one its other side.

use super::Exchange;
use super::prompt_completion::prompt;
use super::response::Response;
use super::row::{Row, text};
use super::turns::{self, ROLE_CONTENT, Turns, after_system};
use crate::record::{Fault, Value};

pub fn read<'a>(row: &mut Row<'a>) -> Result<Exchange<'a>, Fault> {
    let prompt = prompt(row)?;
    let system = row.text("system")?;
    let missing = || Fault::at("prompt", "missing, and `chosen` does not begin with it");
    let messages = match row.take("chosen") {
        Value::Absent => return Err(Fault::at("chosen", "missing")),
        messages @ Value::List(_) => messages,
        chosen => {
            let response = Response::new("chosen", text("chosen", chosen)?);
            return Ok(Exchange {
                question: after_system(system, prompt.ok_or_else(missing)?),
                responses: vec![Ok(response)],
            });
        }
    };
    let turns = turns::read("chosen", messages, ROLE_CONTENT)?;
    // The conversation says more than `prompt`, which often is its last question alone.
    let question = match turns.question {
        Some(question) => after_system(turns.system.or(system), question),
        None => after_system(turns.system.or(system), prompt.ok_or_else(missing)?),
    };
    Ok(Exchange {
        question,
        responses: vec![Ok(Turns::response("chosen", turns.response)?)],
    })
}

/// The response that is not chosen, if there is one.
pub fn rejected<'a>(row: &mut Row<'a>) -> Option<Result<Response<'a>, Fault>> {
    match row.take("rejected") {
        Value::Absent => None,
        messages @ Value::List(_) => Some(
            turns::read("rejected", messages, ROLE_CONTENT)
                .and_then(|turns| Turns::response("rejected", turns.response)),
        ),
        rejected => Some(text("rejected", rejected).map(|text| Response::new("rejected", text))),
    }
}
