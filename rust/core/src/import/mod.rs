//! Records in other people's formats to records of the schema.
//!
//! An importer finds a question and the responses to it; what a response thinks and concludes is
//! read here, alike for all formats. Each response makes a candidate of its own. What a format
//! cannot say honestly, such as a second turn, is malformed, so nothing is lost without a word.

mod alpaca;
mod detect;
mod messages;
mod preference;
mod prompt_completion;
mod r1;
mod response;
mod row;
mod sharegpt;
mod thinking;
mod turns;

use std::borrow::Cow;

pub use self::detect::detect;
use self::response::Response;
pub use self::row::Row;
use crate::held_out::VALIDATION;
use crate::input::Format;
use crate::record::{
    ANSWER, DOMAIN, FIELDS, Fault, ID, QUESTION, RATIONALE, REJECTED_ANSWER, REJECTED_RATIONALE,
    SPLIT, TEACHER_ANSWER, Value, Values, WAY,
};

/// A question, and what was answered.
struct Exchange<'a> {
    question: Cow<'a, str>,
    responses: Vec<Result<Response<'a>, Fault>>,
}

/// Every key that any format reads.
pub const KEYS: [&str; 36] = [
    "split",
    "id",
    "uuid",
    "domain",
    "question",
    "problem",
    "answer",
    "rationale",
    "teacher_answer",
    "final_answer",
    "expected_answer",
    "ground_truth",
    "messages",
    "conversations",
    "system",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "instruction",
    "input",
    "output",
    "history",
    "generations",
    "generation",
    "responses",
    "response",
    "generated_solution",
    "deepseek_reasoning",
    "deepseek_solution",
    "thinking_trajectories",
    "attempt",
    "solution",
    "reasoning_content",
    "reasoning",
    "thinking",
];

impl Format {
    /// The keys that matter in this format.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Records => &FIELDS,
            _ => &KEYS,
        }
    }
}

/// Calls `emit` with the record, or the records of each response, that `row` makes.
///
/// `split` is the one that is asked for: a row of another, but for validation, is handed on for the
/// caller to count.
pub fn for_each<'a>(
    format: Format,
    split: &str,
    mut row: Row<'a>,
    mut emit: impl FnMut(Result<Values<'a>, Fault>),
) {
    let mut values = Values::default();
    values[SPLIT] = row.take("split");
    match &values[SPLIT] {
        Value::Absent => {}
        Value::Text(own) if own == split || own == VALIDATION => {}
        _ => return emit(Ok(values)),
    }
    values[ID] = row
        .first(&["id", "uuid"])
        .map_or(Value::Absent, |(_, id)| id);
    values[DOMAIN] = row.take("domain");
    values[WAY] = row.take("way");
    let id = match &values[ID] {
        Value::Text(id) | Value::Number(id) => Some(id.clone().into_owned()),
        _ => None,
    };
    let with_id = |mut fault: Fault| {
        fault.id.clone_from(&id);
        fault
    };
    let exchange = exchange(format, &mut row);
    let gold = response::gold(&mut row);
    let (
        Exchange {
            question,
            responses,
        },
        gold,
    ) = match (exchange, gold) {
        (Ok(exchange), Ok(gold)) => (exchange, gold),
        (Err(fault), _) | (_, Err(fault)) => return emit(Err(with_id(fault))),
    };
    if format == Format::Preference
        && let Some(response) = preference::rejected(&mut row)
    {
        // Whoever asks for pairs hears of a fault; for all others it is of no concern.
        let solved = response.and_then(|response| response.solve_wrongly(gold.as_ref()));
        (values[REJECTED_ANSWER], values[REJECTED_RATIONALE]) = match solved {
            Ok((answer, rationale)) => (
                Value::Text(answer),
                rationale.map_or(Value::Absent, Value::Text),
            ),
            Err(fault) => (Value::Wrong(fault.problem), Value::Absent),
        };
    }
    values[QUESTION] = Value::Text(question);
    for response in responses {
        let solved = response.and_then(|response| response.solve(gold.as_ref()));
        emit(solved.map_err(with_id).map(|solved| {
            let mut values = values.clone();
            values[ANSWER] = Value::Text(solved.answer);
            values[RATIONALE] = solved.rationale.map_or(Value::Absent, Value::Text);
            values[TEACHER_ANSWER] = solved.concluded.map_or(Value::Absent, Value::Text);
            values
        }));
    }
}

fn exchange<'a>(format: Format, row: &mut Row<'a>) -> Result<Exchange<'a>, Fault> {
    match format {
        Format::Messages => messages::read(row),
        Format::PromptCompletion => prompt_completion::read(row),
        Format::Preference => preference::read(row),
        Format::Alpaca => alpaca::read(row),
        Format::Sharegpt => sharegpt::read(row),
        Format::R1 => r1::read(row),
        Format::Auto | Format::Records => Err(Fault::line("no foreign format")),
    }
}
