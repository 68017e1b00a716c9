//! Alpaca: an `instruction`, perhaps with an `input`, and the `output`.

use super::Exchange;
use super::response::{Response, thinking};
use super::row::Row;
use super::turns::after_system;
use crate::record::{Fault, Value};

pub fn read<'a>(row: &mut Row<'a>) -> Result<Exchange<'a>, Fault> {
    let instruction = row.required("instruction")?;
    let question = match row.text("input")? {
        Some(input) if !input.trim().is_empty() => {
            format!("{}\n\n{input}", instruction.trim_end()).into()
        }
        _ => instruction,
    };
    match row.take("history") {
        Value::Absent => {}
        Value::List(turns) if turns.is_empty() => {}
        _ => {
            return Err(Fault::at(
                "history",
                "earlier turns; a record has one question",
            ));
        }
    }
    let system = row.text("system")?;
    let output = Response::new("output", row.required("output")?);
    let thinking = thinking("", |key| row.take(key))?;
    Ok(Exchange {
        question: after_system(system, question),
        responses: vec![Ok(Response { thinking, ..output })],
    })
}
