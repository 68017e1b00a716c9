//! One rationale record, whatever file format it came in.
//!
//! Readers turn a JSON line or a Parquet row into [`Values`]; [`Record::new`] says whether these
//! make a record. Fields are looked at in the order of [`FIELDS`], so the first fault of a record
//! does not depend on how its file orders them.

use std::borrow::Cow;
use std::mem::take;

use smallvec::{SmallVec, smallvec};

use crate::chat::is_space;

/// The fields that are read, in the order in which they are checked.
pub const FIELDS: [&str; 10] = [
    "split",
    "id",
    "question",
    "answer",
    "rationale",
    "domain",
    "teacher_answer",
    "way",
    "rejected_answer",
    "rejected_rationale",
];

/// Index of `split` in [`FIELDS`]; the others follow.
pub const SPLIT: usize = 0;
/// Index of `id`.
pub const ID: usize = 1;
/// Index of `question`.
pub const QUESTION: usize = 2;
/// Index of `answer`.
pub const ANSWER: usize = 3;
/// Index of `rationale`.
pub const RATIONALE: usize = 4;
/// Index of `domain`.
pub const DOMAIN: usize = 5;
/// Index of `teacher_answer`.
pub const TEACHER_ANSWER: usize = 6;
/// Index of `way`.
pub const WAY: usize = 7;
/// Index of `rejected_answer`.
pub const REJECTED_ANSWER: usize = 8;
/// Index of `rejected_rationale`.
pub const REJECTED_RATIONALE: usize = 9;

/// A field as templates and filters use it: without the white space around it.
pub fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        // Nearly all are bare already, and this is asked of each field several times.
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim_matches(is_space),
    }
}

/// What stands in one field.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value<'a> {
    /// Nothing, or null.
    #[default]
    Absent,
    /// Text.
    Text(Cow<'a, str>),
    /// A number, as it was written.
    Number(Cow<'a, str>),
    /// A list.
    List(Vec<Value<'a>>),
    /// An object; importers read it, the record schema has none.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
    /// Something that no field may hold, in words.
    Wrong(Cow<'static, str>),
}

/// The fields of a record, in the order of [`FIELDS`].
pub type Values<'a> = [Value<'a>; FIELDS.len()];

/// Why a record is malformed.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The record's id, where that much could be read.
    pub id: Option<String>,
    /// The field at fault; `line` where it is the whole line.
    pub field: Cow<'static, str>,
    /// What is wrong with it.
    pub problem: Cow<'static, str>,
}

impl Fault {
    /// A fault of the whole line.
    pub fn line(problem: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id: None,
            field: "line".into(),
            problem: problem.into(),
        }
    }

    /// A fault of a field that is none of [`FIELDS`], or of a part of one.
    pub fn at(field: impl Into<Cow<'static, str>>, problem: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id: None,
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// A fault of one of the [`FIELDS`].
    pub fn field(field: usize, problem: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id: None,
            field: FIELDS[field].into(),
            problem: problem.into(),
        }
    }
}

/// A rationale, or why the candidate that it would make is malformed.
pub type Rationale<'a> = Result<Cow<'a, str>, Fault>;

/// Those of a record; nearly all have one.
pub type Rationales<'a> = SmallVec<[Rationale<'a>; 1]>;

/// A record whose fields are of the right types; whether they are blank is the filters' business.
#[derive(Debug, PartialEq)]
pub struct Record<'a> {
    /// What the publisher calls it.
    pub id: Option<Cow<'a, str>>,
    /// The question.
    pub question: Cow<'a, str>,
    /// The gold answer; a number stands as it was written. None of an unlabelled source.
    pub answer: Option<Cow<'a, str>>,
    /// Each makes a candidate; absent for a record without any.
    pub rationales: Option<Rationales<'a>>,
    /// The domain it belongs to.
    pub domain: Option<Cow<'a, str>>,
    /// What the teacher concluded.
    pub teacher_answer: Option<Cow<'a, str>>,
    /// The name of the one template that is to render it; of several, where it names none, all do.
    pub way: Option<Cow<'a, str>>,
    /// The answer and the rationale of a pair's other side; looked at where pairs are asked for.
    pub rejected: [Value<'a>; 2],
}

impl<'a> Record<'a> {
    /// The record that `values` make, or `None` if it belongs to another split than `split`.
    ///
    /// Of one that is not `labelled` neither answer nor rationale is looked at, should they be there.
    pub fn new(mut values: Values<'a>, split: &str, labelled: bool) -> Result<Option<Self>, Fault> {
        if !labelled {
            for field in [ANSWER, RATIONALE, TEACHER_ANSWER, WAY] {
                values[field] = Value::Absent;
            }
        }
        if let Some(own) = text(&mut values, SPLIT)?
            && own != split
        {
            return Ok(None);
        }
        let id = scalar(&mut values, ID)?;
        let name = |fault: &mut Fault| fault.id = id.as_deref().map(str::to_owned);
        let with_id = |mut fault: Fault| {
            name(&mut fault);
            fault
        };
        let question = text(&mut values, QUESTION)
            .and_then(|text| text.ok_or_else(|| Fault::field(QUESTION, "missing")))
            .map_err(with_id)?;
        let answer = scalar(&mut values, ANSWER).map_err(with_id)?;
        if labelled && answer.is_none() {
            return Err(with_id(Fault::field(ANSWER, "missing")));
        }
        let mut rationales = rationales(&mut values).map_err(with_id)?;
        let list = rationales.iter_mut().flatten();
        list.filter_map(|each| each.as_mut().err()).for_each(name);
        let domain = scalar(&mut values, DOMAIN).map_err(with_id)?;
        let teacher_answer = scalar(&mut values, TEACHER_ANSWER).map_err(with_id)?;
        let way = text(&mut values, WAY).map_err(with_id)?;
        Ok(Some(Self {
            id,
            question,
            answer,
            rationales,
            domain,
            teacher_answer,
            way,
            rejected: [REJECTED_ANSWER, REJECTED_RATIONALE].map(|field| take(&mut values[field])),
        }))
    }
}

fn text<'a>(values: &mut Values<'a>, field: usize) -> Result<Option<Cow<'a, str>>, Fault> {
    match take(&mut values[field]) {
        Value::Absent => Ok(None),
        Value::Text(text) => Ok(Some(text)),
        other => Err(Fault::field(field, other.instead_of("text"))),
    }
}

fn scalar<'a>(values: &mut Values<'a>, field: usize) -> Result<Option<Cow<'a, str>>, Fault> {
    match take(&mut values[field]) {
        Value::Absent => Ok(None),
        Value::Text(text) | Value::Number(text) => Ok(Some(text)),
        other => Err(Fault::field(field, other.instead_of("text or a number"))),
    }
}

fn rationales<'a>(values: &mut Values<'a>) -> Result<Option<Rationales<'a>>, Fault> {
    match take(&mut values[RATIONALE]) {
        Value::Absent => Ok(None),
        Value::Text(text) => Ok(Some(smallvec![Ok(text)])),
        Value::List(items) => {
            let rationale = |(index, item)| match item {
                Value::Text(text) => Ok(text),
                other => Err(Fault {
                    id: None,
                    field: format!("rationale[{index}]").into(),
                    problem: other.instead_of("text"),
                }),
            };
            Ok(Some(items.into_iter().enumerate().map(rationale).collect()))
        }
        other => Err(Fault::field(
            RATIONALE,
            other.instead_of("text or a list of texts"),
        )),
    }
}

impl Value<'_> {
    /// Says what stands where `expected` should.
    pub fn instead_of(&self, expected: &str) -> Cow<'static, str> {
        let found = match self {
            Self::Absent => "null",
            Self::Text(_) => "text",
            Self::Number(_) => "a number",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::Wrong(problem) => return problem.clone(),
        };
        format!("{found} instead of {expected}").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value<'_> {
        Value::Text(text.into())
    }

    fn values<'a>(fields: &[(&str, Value<'a>)]) -> Values<'a> {
        let mut values = Values::default();
        for (name, value) in fields {
            let field = FIELDS.iter().position(|known| known == name).unwrap();
            values[field] = value.clone();
        }
        values
    }

    #[test]
    fn every_rationale_of_a_list_stands_for_itself() {
        let list = Value::List(vec![text("r"), Value::Number("1".into())]);
        let record = Record::new(
            values(&[
                ("id", Value::Number("7".into())),
                ("question", text("q")),
                ("answer", Value::Number("40000.0".into())),
                ("rationale", list),
            ]),
            "train",
            true,
        )
        .unwrap()
        .unwrap();
        assert_eq!(record.answer.as_deref(), Some("40000.0"));
        let rationales = record.rationales.unwrap();
        assert_eq!(rationales[0].as_deref(), Ok("r"));
        let fault = rationales[1].as_ref().unwrap_err();
        assert_eq!(fault.id.as_deref(), Some("7"));
        assert_eq!(fault.field, "rationale[1]");
        assert_eq!(fault.problem, "a number instead of text");
    }

    #[test]
    fn another_split_is_left_alone_even_if_broken() {
        let broken = values(&[("split", text("test")), ("question", Value::List(vec![]))]);
        assert_eq!(Record::new(broken, "train", true), Ok(None));
    }

    #[test]
    fn the_first_fault_is_told_with_the_id() {
        let fields = || values(&[("id", text("a")), ("answer", text("b"))]);
        let fault = Record::new(fields(), "train", true).unwrap_err();
        assert_eq!(Record::new(fields(), "train", false), Err(fault.clone()));
        assert_eq!(fault.id.as_deref(), Some("a"));
        assert_eq!((&*fault.field, &*fault.problem), ("question", "missing"));
    }
    #[test]
    fn an_unlabelled_record_is_its_question_alone() {
        let fields = values(&[
            ("question", text("q")),
            ("answer", Value::List(vec![])),
            ("rationale", text("r")),
            ("way", text("w")),
        ]);
        assert!(Record::new(fields.clone(), "train", true).is_err());
        let record = Record::new(fields, "train", false).unwrap().unwrap();
        assert_eq!(
            (&*record.question, record.answer, record.rationales),
            ("q", None, None)
        );
        assert_eq!(record.way, None);
    }
}
