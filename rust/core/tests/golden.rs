//! A small input and all that becomes of it, written out.

mod common;

use common::{END, SEMANTIC, Workshop};
use serde_json::json;

const INPUT: &str = concat!(
    "\u{feff}",
    r#"{"id": "a", "question": "1+1?", "answer": 2, "rationale": "1+1 is 2.", "domain": "sums"}"#,
    "\r\n\n",
    r#"{"id": "b", "question": "é?", "answer": "4.0", "rationale": ["so", " ", "so ", 7]}"#,
    "\n",
    r#"{"id": "c", "question": "q", "answer": "5", "teacher_answer": "6", "rationale": "r"}"#,
    "\n",
    r#"{"id": "d", "question": "q", "answer": "5", "rationale": "r", "split": "test"}"#,
    "\n",
    "not json\n",
    r#"{"id": 7, "question": "q", "rationale": "r"}"#,
);

/// The bytes of a text, one kind for each.
fn span(kind: u8, text: &str) -> Vec<(i32, u8)> {
    text.bytes().map(|byte| (i32::from(byte), kind)).collect()
}

#[test]
fn every_token_and_every_reason() {
    let workshop = Workshop::new(INPUT.as_bytes());
    let manifest = workshop
        .prepare("out", json!({"keep_rationale": true}))
        .unwrap();

    let expected = |question: &str, answer: &str, rationale: &str| {
        [
            span(0, "Q:"),
            // White space belongs to what follows it.
            span(1, " "),
            span(1, question),
            span(0, "\nA:"),
            span(2, " "),
            span(2, answer),
            vec![(SEMANTIC, 4)],
            span(3, "\n"),
            span(3, rationale),
            vec![(END, 6)],
        ]
        .concat()
    };
    let rows = workshop.rows("out");
    assert_eq!(rows.len(), 1);
    let found: Vec<_> = rows[0]
        .iter()
        .map(|(id, example)| {
            let tokens = example
                .ids
                .iter()
                .copied()
                .zip(example.kinds.iter().copied());
            (*id, example.domain, tokens.collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(
        found,
        [
            (0, 0, expected("1+1?", "2", "1+1 is 2.")),
            (1, -1, expected("é?", "4.0", "so")),
        ]
    );
    assert_eq!(workshop.example_lines("out"), [(0, 1), (1, 3)]);

    let rejected: Vec<_> = workshop
        .rejected("out")
        .iter()
        .map(|line| {
            json!([
                line["example_id"],
                line["record_id"],
                line["line"],
                line["reason"],
                line["detail"]
            ])
        })
        .collect();
    let duplicate = "line: an earlier candidate has the same question, answer and rationale";
    assert_eq!(
        rejected,
        [
            json!([2, "b", 3, "empty", "rationale: blank"]),
            json!([3, "b", 3, "exact_duplicate", duplicate]),
            json!([
                4,
                "b",
                3,
                "malformed",
                "rationale[3]: a number instead of text"
            ]),
            json!([
                5,
                "c",
                4,
                "answer_mismatch",
                r#"teacher_answer: "6" is not the answer "5""#
            ]),
            json!([
                6,
                null,
                6,
                "malformed",
                "line: not JSON: expected ident (column 2)"
            ]),
            json!([7, "7", 7, "malformed", "answer: missing"]),
        ]
    );

    let manifest = serde_json::to_value(&manifest).unwrap();
    let records = json!({
        "read": 8,
        "kept": 2,
        "rejected": {"malformed": 3, "empty": 1, "answer_mismatch": 1, "exact_duplicate": 1},
        "unverified": 2,
        "held_out": 0,
        "other_split": 1,
    });
    assert_eq!(manifest["records"], records);
    assert_eq!(manifest["domains"], json!(["sums"]));
    assert_eq!(manifest["bytes_kept"], json!(14 + 8));
    let stored: serde_json::Value =
        serde_json::from_slice(&workshop.files("out")[std::path::Path::new("manifest.json")])
            .unwrap();
    assert_eq!(stored, manifest);
}

#[test]
fn lines_are_found_by_their_byte_offset() {
    let workshop = Workshop::new(INPUT.as_bytes());
    workshop.prepare("out", json!({})).unwrap();
    for line in workshop.rejected("out") {
        let start = usize::try_from(line["byte_offset"].as_u64().unwrap()).unwrap();
        let number = usize::try_from(line["line"].as_u64().unwrap()).unwrap();
        let text = INPUT[start..].split('\n').next();
        assert_eq!(text, INPUT.split('\n').nth(number - 1));
    }
}

#[test]
fn strict_stops_at_the_first_broken_line() {
    let workshop = Workshop::new(INPUT.as_bytes());
    let refusal = workshop
        .prepare("out", json!({"strict": true}))
        .unwrap_err();
    let place = format!(
        "{}:3: rationale[3]: ",
        workshop.path("records.jsonl").display()
    );
    assert!(refusal.to_string().starts_with(&place), "{refusal}");
    assert!(!workshop.path("out").exists());
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let workshop = Workshop::new(INPUT.as_bytes());
    let dry = workshop.prepare("out", json!({"dry_run": true})).unwrap();
    assert!(!workshop.path("out").exists());
    let real = workshop.prepare("out", json!({})).unwrap();
    assert_eq!(
        (dry.records, dry.rows, dry.tokens),
        (real.records, real.rows, real.tokens)
    );
}
