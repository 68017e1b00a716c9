//! What reasoning models generated for a `question` or `problem`, and solutions of the same shape.

use std::borrow::Cow;

use super::Exchange;
use super::response::{Response, thinking};
use super::row::{Row, text};
use crate::record::{Fault, Value};

/// Keys of what was generated, the first that is there.
pub const GENERATED: [&str; 7] = [
    "generations",
    "generation",
    "responses",
    "response",
    "generated_solution",
    "deepseek_solution",
    "attempt",
];

/// Keys that keep the thinking of [`GENERATED`] apart, one for each response or one for all.
const THOUGHT: [&str; 2] = ["thinking_trajectories", "deepseek_reasoning"];

pub fn read<'a>(row: &mut Row<'a>) -> Result<Exchange<'a>, Fault> {
    let question = match row.first(&["question", "problem"]) {
        Some((key, value)) => text(key, value)?,
        None => return Err(Fault::at("question", "missing")),
    };
    // What people wrote stands in where nothing was generated.
    let written = || Fault::at("generations", "no response of any kind");
    let generated = row.first(&GENERATED);
    let (key, value) = generated
        .or_else(|| row.first(&["solution", "answer"]))
        .ok_or_else(written)?;
    let thoughts = thoughts(row)?;
    let responses = match value {
        Value::List(items) if items.is_empty() => vec![Err(Fault::at(key, "an empty list"))],
        Value::List(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| {
                let field = format!("{key}[{index}]");
                let response = Response::new(field.clone(), text(field, item)?);
                Ok(Response {
                    thinking: thoughts.get(index).cloned(),
                    ..response
                })
            })
            .collect(),
        one => {
            let response = Response::new(key, text(key, one)?);
            if thoughts.len() > 1 {
                let problem = format!("{} trajectories for one response", thoughts.len());
                return Err(Fault::at(THOUGHT[0], problem));
            }
            vec![Ok(Response {
                thinking: thoughts.into_iter().next(),
                ..response
            })]
        }
    };
    Ok(Exchange {
        question,
        responses,
    })
}

/// The thinking that stands apart, one text for each response.
fn thoughts<'a>(row: &mut Row<'a>) -> Result<Vec<Cow<'a, str>>, Fault> {
    let Some((key, value)) = row.first(&THOUGHT) else {
        return Ok(thinking("", |key| row.take(key))?.into_iter().collect());
    };
    let Value::List(items) = value else {
        return Ok(vec![text(key, value)?]);
    };
    let each = |(index, item)| text(format!("{key}[{index}]"), item);
    items.into_iter().enumerate().map(each).collect()
}
