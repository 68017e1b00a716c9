//! Where a response stops thinking and begins to answer.

use std::ops::Range;

/// What reasoning models put around their thinking.
const THINKING: [(&str, &str); 2] = [
    ("<think>", "</think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
];

/// What they put around the answer behind it.
const ANSWER: [(&str, &str); 2] = [
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<answer>", "</answer>"),
];

/// The parts of a response, as ranges of its bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts {
    /// The thinking, if it is marked.
    pub thinking: Option<Range<usize>>,
    /// What is said to the user, without white space or marks around it.
    pub said: Range<usize>,
}

/// Splits a response, or says why it has no honest halves.
///
/// The opening mark may be missing: chat templates write it for the model.
pub fn split(response: &str) -> Result<Parts, String> {
    for (open, close) in THINKING {
        let (begin, end) = match (response.find(open), response.find(close)) {
            (None, None) => continue,
            (Some(_), None) => return Err(format!("`{open}` without `{close}`: it was cut off")),
            (Some(begin), Some(end)) if begin < end => {
                if !response[..begin].trim().is_empty() {
                    return Err(format!("text before `{open}`"));
                }
                (begin + open.len(), end)
            }
            (_, Some(end)) => (0, end),
        };
        let rest = end + close.len();
        if response[rest..].contains(open) {
            return Err(format!("more than one `{open}`"));
        }
        let thinking = Some(begin..end);
        let said = unwrap(response, rest)?;
        return Ok(Parts { thinking, said });
    }
    let said = unwrap(response, 0)?;
    Ok(Parts {
        thinking: None,
        said,
    })
}

/// What stands from `start` on, without what is around it.
fn unwrap(response: &str, start: usize) -> Result<Range<usize>, String> {
    let range = trim(response, start..response.len());
    for (open, close) in ANSWER {
        let said = &response[range.clone()];
        if !said.starts_with(open) {
            continue;
        }
        if !said.ends_with(close) {
            return Err(format!("`{open}` without `{close}` at the end"));
        }
        return Ok(trim(
            response,
            range.start + open.len()..range.end - close.len(),
        ));
    }
    Ok(range)
}

fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.end - part.trim_start().len();
    start..start + part.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(response: &str) -> (Option<&str>, &str) {
        let Parts { thinking, said } = split(response).unwrap();
        (thinking.map(|range| &response[range]), &response[said])
    }

    #[test]
    fn thinking_ends_where_the_answer_begins() {
        assert_eq!(parts("<think>\nhm\n</think>\n\n7 "), (Some("\nhm\n"), "7"));
        assert_eq!(parts("hm</think>7"), (Some("hm"), "7")); // the template opened it
        assert_eq!(parts(" \n<think>é</think>"), (Some("é"), ""));
        assert_eq!(parts(" 7\n"), (None, "7"));
        assert_eq!(parts(""), (None, ""));
    }

    #[test]
    fn solutions_are_unwrapped() {
        let sky = "<|begin_of_thought|>hm<|end_of_thought|>\n\n<|begin_of_solution|>\n7 <|end_of_solution|>";
        assert_eq!(parts(sky), (Some("hm"), "7"));
        let zero = "<think>hm</think> <answer> 7 </answer>\n";
        assert_eq!(parts(zero), (Some("hm"), "7"));
        assert_eq!(parts("see <answer>"), (None, "see <answer>"));
    }

    #[test]
    fn what_has_no_honest_halves_is_refused() {
        for (response, problem) in [
            ("<think>hm", "cut off"),
            ("Well. <think>hm</think>7", "text before"),
            ("<think>a</think>b<think>c</think>d", "more than one"),
            ("a</think>b<think>c", "more than one"),
            (
                "<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>7",
                "at the end",
            ),
            ("<think>a</think><answer>7", "at the end"),
        ] {
            let found = split(response).unwrap_err();
            assert!(found.contains(problem), "{response}: {found}");
        }
    }
}
