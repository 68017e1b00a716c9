//! What a response thinks and concludes, and the answer that it should have concluded.

use std::borrow::Cow;
use std::ops::Range;

use super::row::{Row, text};
use super::thinking::{Parts, split};
use crate::answer::{conclusion, marked};
use crate::record::{Fault, Value};

/// What a model, or a person, responded.
#[derive(Debug)]
pub struct Response<'a> {
    /// Where it stands, for faults.
    pub field: Cow<'static, str>,
    /// The thinking, where the format keeps it apart.
    pub thinking: Option<Cow<'a, str>>,
    /// The response, perhaps with the thinking in it.
    pub text: Cow<'a, str>,
}

/// A response as a record of the schema has it.
#[derive(Debug, PartialEq)]
pub struct Solved<'a> {
    pub answer: Cow<'a, str>,
    pub rationale: Option<Cow<'a, str>>,
    /// What the response concluded, where that is known to be its conclusion.
    pub concluded: Option<Cow<'a, str>>,
}

/// Keys of the answer that is known to be right, the first that is there.
const GOLD: [&str; 4] = ["answer", "final_answer", "expected_answer", "ground_truth"];

/// Keys, of a row or of a message, that keep the thinking apart from the response.
const THINKING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// The right answer that a row states; of a solution, its result.
pub fn gold<'a>(row: &mut Row<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    match row.first(&GOLD) {
        Some((_, Value::Text(text) | Value::Number(text))) => {
            let result = marked(&text).map(str::to_owned);
            Ok(Some(result.map_or(text, Cow::Owned)))
        }
        Some((key, other)) => Err(Fault::at(key, other.instead_of("text or a number"))),
        // A person's solution may state a result; its prose is no answer.
        None => Ok(match row.get("solution") {
            Some(Value::Text(solution)) => marked(solution).map(|result| Cow::Owned(result.into())),
            _ => None,
        }),
    }
}

/// The thinking that `take` finds under one of the usual keys.
pub fn thinking<'a>(
    place: &str,
    mut take: impl FnMut(&'static str) -> Value<'a>,
) -> Result<Option<Cow<'a, str>>, Fault> {
    for key in THINKING {
        match take(key) {
            Value::Absent => {}
            Value::Text(blank) if blank.trim().is_empty() => {}
            value => return text(format!("{place}{key}"), value).map(Some),
        }
    }
    Ok(None)
}

impl<'a> Response<'a> {
    /// A response in one piece.
    pub fn new(field: impl Into<Cow<'static, str>>, text: Cow<'a, str>) -> Self {
        Self {
            field: field.into(),
            thinking: None,
            text,
        }
    }

    /// What it thinks and concludes.
    ///
    /// With a `gold` answer that is the answer, and the conclusion is there to be compared. Without
    /// one, the response's conclusion is the answer: what it marks as its result, else all it says.
    /// A response that marks no thinking is itself the rationale, if there is anything to conclude.
    pub fn solve(self, gold: Option<&Cow<'a, str>>) -> Result<Solved<'a>, Fault> {
        let Self {
            field,
            thinking,
            text,
        } = self;
        let Parts {
            thinking: inside,
            said,
        } = split(&text).map_err(|problem| Fault::at(field.clone(), problem))?;
        let inside = inside.map(|range| part(&text, range));
        let thinking = match (thinking, inside) {
            (Some(apart), Some(inside)) if apart.trim() != inside.trim() => {
                return Err(Fault::at(
                    field,
                    "it thinks twice: here, and in a field apart",
                ));
            }
            (apart, inside) => apart.or(inside),
        };
        let said = part(&text, said);
        let result = marked(&said).map(|result| Cow::Owned(result.to_owned()));
        let rationale = match thinking {
            Some(_) => thinking.clone(),
            None if result.is_some() || gold.is_some() => Some(before_hashes(&said)),
            None => None,
        };
        let concluded = match (&thinking, gold) {
            (Some(_), Some(_)) => result
                .or_else(|| conclusion(&said).map(|found| Cow::Owned(found.to_owned())))
                .or_else(|| (!said.contains('\n')).then(|| said.clone())),
            (Some(_), None) | (None, Some(_)) => {
                result.or(thinking.is_some().then(|| said.clone()))
            }
            (None, None) => result,
        };
        let answer = match (gold, &concluded) {
            (Some(gold), _) => gold.clone(),
            (None, Some(concluded)) => concluded.clone(),
            (None, None) => said,
        };
        Ok(Solved {
            answer,
            rationale,
            concluded,
        })
    }
}

impl<'a> Response<'a> {
    /// The answer and the rationale of a response that is not to be followed.
    ///
    /// Its answer is what it concludes itself, whatever is right; the right one only where it
    /// concludes nothing that could be read.
    pub fn solve_wrongly(self, gold: Option<&Cow<'a, str>>) -> Result<Sides<'a>, Fault> {
        let solved = self.solve(gold)?;
        let read = |rationale: &Cow<'a, str>| conclusion(rationale).map(str::to_owned);
        let concluded = solved
            .concluded
            .or_else(|| solved.rationale.as_ref().and_then(read).map(Cow::Owned));
        Ok((concluded.unwrap_or(solved.answer), solved.rationale))
    }
}

/// Answer and rationale.
type Sides<'a> = (Cow<'a, str>, Option<Cow<'a, str>>);

/// A part of a text, borrowed where the text is.
fn part<'a>(text: &Cow<'a, str>, range: Range<usize>) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[range]),
        Cow::Owned(text) => Cow::Owned(text[range].to_owned()),
    }
}

/// A rationale without a last line `#### …`, which is no part of the reasoning.
fn before_hashes<'a>(said: &Cow<'a, str>) -> Cow<'a, str> {
    let line_start = said.rfind('\n').map_or(0, |newline| newline + 1);
    if said[line_start..].trim_start().starts_with("#### ") {
        part(said, 0..line_start)
    } else {
        said.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solve<'a>(text: &'a str, gold: Option<&'a str>) -> [Option<String>; 3] {
        let gold = gold.map(Cow::Borrowed);
        let solved = Response::new("response", text.into())
            .solve(gold.as_ref())
            .unwrap();
        [Some(solved.answer), solved.rationale, solved.concluded]
            .map(|part| part.map(|text| text.trim().to_owned()))
    }

    fn parts(
        answer: &str,
        rationale: Option<&str>,
        concluded: Option<&str>,
    ) -> [Option<String>; 3] {
        [Some(answer), rationale, concluded].map(|part| part.map(str::to_owned))
    }

    #[test]
    fn thinking_is_the_rationale_and_what_follows_the_answer() {
        let found = solve("<think>hm</think>A poem.", None);
        assert_eq!(found, parts("A poem.", Some("hm"), Some("A poem.")));
        let found = solve("<think>hm</think>So $\\boxed{7}$.", None);
        assert_eq!(found, parts("7", Some("hm"), Some("7")));
    }

    #[test]
    fn a_gold_answer_is_compared_with_the_conclusion() {
        let gold = Some("7");
        let found = solve("<think>hm</think>So\n$\\boxed{8}$.", gold);
        assert_eq!(found, parts("7", Some("hm"), Some("8")));
        let found = solve("<think>hm</think>So.\nThe answer is 8.", gold);
        assert_eq!(found, parts("7", Some("hm"), Some("8")));
        let found = solve("<think>hm</think>8", gold);
        assert_eq!(found, parts("7", Some("hm"), Some("8")));
        // Prose that concludes nothing is no wrong answer.
        let found = solve("<think>hm</think>Well,\nwho knows", gold);
        assert_eq!(found, parts("7", Some("hm"), None));
        let found = solve("Seven, I say.", gold);
        assert_eq!(found, parts("7", Some("Seven, I say."), None));
    }

    #[test]
    fn a_marked_result_makes_the_response_a_rationale() {
        let found = solve("3 + 4 = 7\n#### 7", None);
        assert_eq!(found, parts("7", Some("3 + 4 = 7"), Some("7")));
        let found = solve("3 + 4 = \\boxed{7}", None);
        assert_eq!(found, parts("7", Some("3 + 4 = \\boxed{7}"), Some("7")));
        assert_eq!(solve("seven", None), parts("seven", None, None));
        assert_eq!(
            solve("# A\n#### B\ntext", None),
            parts("# A\n#### B\ntext", None, None)
        );
    }

    #[test]
    fn what_is_rejected_has_its_own_conclusion() {
        let wrongly = |text: &'static str, gold: Option<&'static str>| {
            let gold = gold.map(Cow::Borrowed);
            let response = Response::new("rejected", text.into());
            let (answer, rationale) = response.solve_wrongly(gold.as_ref()).unwrap();
            (answer.into_owned(), rationale.map(Cow::into_owned))
        };
        let some = |text: &str| Some(text.to_owned());
        for gold in [None, Some("7")] {
            let found = wrongly("<think>hm</think>8", gold);
            assert_eq!(found, ("8".into(), some("hm")));
            let found = wrongly("3 + 4 = \\boxed{8}", gold);
            assert_eq!(found, ("8".into(), some("3 + 4 = \\boxed{8}")));
        }
        assert_eq!(wrongly("27", None), ("27".into(), None));
        let found = wrongly("Well. The answer is 8.", Some("7"));
        assert_eq!(found, ("8".into(), some("Well. The answer is 8.")));
        assert_eq!(wrongly("Who knows", Some("7")).0, "7");
    }

    #[test]
    fn thinking_apart_is_the_same_as_inside_and_not_both() {
        let response = |apart: &'static str, text: &'static str| Response {
            thinking: Some(apart.into()),
            ..Response::new("content", text.into())
        };
        let solved = response("hm", "7").solve(None).unwrap();
        assert_eq!(
            (&*solved.answer, solved.rationale.as_deref()),
            ("7", Some("hm"))
        );
        assert!(response("hm", "<think> hm </think>7").solve(None).is_ok());
        let fault = response("hm", "<think>oh</think>7")
            .solve(None)
            .unwrap_err();
        assert_eq!(fault.field, "content");
        assert!(fault.problem.contains("twice"));
    }
}
