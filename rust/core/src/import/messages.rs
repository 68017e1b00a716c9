//! `messages`, or `conversations`, of `role` and `content`.

use super::Exchange;
use super::row::Row;
use super::turns::{self, Names, ROLE_CONTENT, Turns};
use crate::record::Fault;

pub fn read<'a>(row: &mut Row<'a>) -> Result<Exchange<'a>, Fault> {
    conversation(row, &["messages", "conversations"], ROLE_CONTENT)
}

/// The conversation under the first of `keys`, after a `system` text beside it.
pub fn conversation<'a>(
    row: &mut Row<'a>,
    keys: &[&'static str],
    names: Names,
) -> Result<Exchange<'a>, Fault> {
    let Some((field, messages)) = row.first(keys) else {
        return Err(Fault::at(keys[0], "missing"));
    };
    let beside = row.text("system")?;
    let Turns {
        system,
        question,
        response,
    } = turns::read(field, messages, names)?;
    Ok(Exchange {
        question: Turns::question(field, system.or(beside), question)?,
        responses: vec![Ok(Turns::response(field, response)?)],
    })
}
