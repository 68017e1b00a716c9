//! What is held out for validation: records that say so, and a share of the questions.
//!
//! A held-out record is no candidate and never becomes a row. The question's text alone decides, so
//! that all rationales of a question, whatever file they stand in, are on one side.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::record::{Record, SPLIT, Value, Values, trimmed};

/// The split of records that are held out.
pub const VALIDATION: &str = "validation";

/// Whether a record names the validation split, and another one is being prepared.
pub fn is_marked(values: &Values<'_>, split: &str) -> bool {
    split != VALIDATION && matches!(&values[SPLIT], Value::Text(own) if own == VALIDATION)
}

/// Whether a question is of the share that is held out: by the SHA-256 of its text.
pub fn is_drawn(question: &str, share: f64) -> bool {
    if share <= 0.0 {
        return false;
    }
    let mut head = [0; 8];
    head.copy_from_slice(&Sha256::digest(trimmed(question).as_bytes())[..8]);
    (u64::from_be_bytes(head) as f64) < share * 2_f64.powi(64)
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    question: &'a str,
    answer: &'a str,
    split: &'a str,
}

/// Appends a record to `lines` as JSON; `false` where it has no question or no answer to ask for,
/// as those of unlabelled sources have none.
pub fn append(record: &Record<'_>, domain: Option<&str>, lines: &mut Vec<u8>) -> bool {
    let own = record.domain.as_deref().map(trimmed);
    let line = Line {
        id: record.id.as_deref(),
        domain: own.filter(|own| !own.is_empty()).or(domain),
        question: trimmed(&record.question),
        answer: trimmed(record.answer.as_deref().unwrap_or_default()),
        split: VALIDATION,
    };
    let start = lines.len();
    let asks = !line.question.is_empty() && !line.answer.is_empty();
    // Writing text to memory cannot fail.
    if !asks || serde_json::to_writer(&mut *lines, &line).is_err() {
        lines.truncate(start);
        return false;
    }
    lines.push(b'\n');
    true
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::record::Value;

    #[test]
    fn the_text_decides_and_the_share_is_kept() {
        let drawn = |share| {
            (0..10_000)
                .filter(|n| is_drawn(&format!("question {n}"), share))
                .count()
        };
        assert_eq!(drawn(0.0), 0);
        assert!((900..1100).contains(&drawn(0.1)), "{}", drawn(0.1));
        assert!((4800..5200).contains(&drawn(0.5)), "{}", drawn(0.5));
        for n in 0..1000 {
            let question = format!("question {n}");
            assert_eq!(
                is_drawn(&question, 0.3),
                is_drawn(&format!(" {question}\n"), 0.3)
            );
            // A larger share holds out what a smaller one does, and more.
            assert!(!is_drawn(&question, 0.1) || is_drawn(&question, 0.2));
        }
    }

    #[test]
    fn a_line_has_what_is_asked_and_nothing_of_the_rationale() {
        let mut record = Record {
            id: None,
            question: " a \"b\"? ".into(),
            answer: Some("2\n".into()),
            rationales: Some(smallvec![Ok("so".into())]),
            domain: Some(" ".into()),
            teacher_answer: None,
            way: None,
            rejected: [Value::Absent, Value::Absent],
        };
        let mut lines = Vec::new();
        assert!(append(&record, Some("file's"), &mut lines));
        record.answer = Some(" ".into());
        assert!(!append(&record, None, &mut lines));
        record.answer = None;
        assert!(!append(&record, None, &mut lines));
        let line = r#"{"domain":"file's","question":"a \"b\"?","answer":"2","split":"validation"}"#;
        assert_eq!(String::from_utf8(lines).unwrap(), format!("{line}\n"));
    }
}
