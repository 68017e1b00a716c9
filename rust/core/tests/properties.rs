//! The numbered properties of rust/README.md, on generated records.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Example, Workshop};
use limbeck_core::template::SpanKind;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Records of all fates: blank, wrong, doubled, too long, of other splits, or no JSON.
fn record() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        6 => "[a-c é\n]{0,12}",
        1 => "[a-z ]{40,200}",
        1 => Just("<|endoftext|> and <|sem|>".to_owned()),
    ];
    let answer = prop_oneof![(0..3).prop_map(Value::from), "[ab]?".prop_map(Value::from)];
    let teacher_answer = prop_oneof![2 => Just(Value::Null), 1 => (0..3).prop_map(Value::from)];
    let rationale = prop_oneof![
        4 => text.clone().prop_map(Value::from),
        1 => prop::collection::vec(text.clone(), 0..4).prop_map(Value::from),
        1 => Just(json!(["fine", 1])),
    ];
    let split = prop_oneof![8 => Just("train"), 1 => Just("test")];
    let fields = (text, answer, rationale, teacher_answer, split);
    let json = fields.prop_map(|(question, answer, rationale, teacher_answer, split)| {
        let fields = json!({
            "question": question,
            "answer": answer,
            "rationale": rationale,
            "teacher_answer": teacher_answer,
            "split": split,
        });
        fields.to_string()
    });
    prop_oneof![12 => json, 1 => Just("{".to_owned()), 1 => Just(" ".to_owned())]
}

/// A record that is kept, so that there is something to publish, and the others.
fn input() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(record(), 0..60).prop_map(|mut lines| {
        lines.push(r#"{"question": "sure", "answer": "1", "rationale": "kept"}"#.to_owned());
        lines.join("\n").into_bytes()
    })
}

fn every_filter(workshop: &Workshop, most: usize) -> Value {
    let path = workshop.path("evaluation.jsonl");
    std::fs::write(&path, "{\"question\": \"a b\", \"answer\": 1}\n").unwrap();
    json!([
        {"name": "over_cap", "max_per_question": most, "shingle": 3},
        {"name": "charset", "scripts": ["Latin"], "min_share": 0.9, "max_broken": 0.0},
        {"name": "answer_leak"},
        {"name": "exact_duplicate"},
        {
            "name": "near_duplicate", "threshold": 0.8, "shingle": 5, "bands": 6, "rows": 4,
            "fields": ["question", "rationale"],
        },
        {
            "name": "contaminated", "against": [path], "ngram": 13, "overlap_ngram": 8,
            "overlap": 0.5, "common": 10,
        },
        {
            "name": "repetition", "min_bytes": 20, "top_ngram": 2, "max_top_share": 0.6,
            "duplicate_ngram": 3, "max_duplicate_share": 0.7, "min_compression": 0.25,
            "loop_repeats": 3,
        },
        {"name": "answer_mismatch"},
    ])
}

fn by_id(workshop: &Workshop, name: &str) -> BTreeMap<i64, Example> {
    let mut examples = BTreeMap::new();
    for (id, example) in workshop.rows(name).into_iter().flatten() {
        assert!(examples.insert(id, example).is_none(), "{id} stands twice");
    }
    examples
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// P1 conservation, over rows and files.
    #[test]
    fn p1_every_candidate_is_kept_or_rejected_and_every_token_stands_once(
        input in input(),
        window in 1_usize..20,
    ) {
        let workshop = Workshop::new(&input);
        let settings = json!({"max_length": 64, "packing_window": window});
        let manifest = workshop.prepare("packed", settings).unwrap();
        let records = &manifest.records;
        prop_assert_eq!(records.kept + records.rejected.total(), records.read);

        let packed = by_id(&workshop, "packed");
        let kept: Vec<_> = workshop.example_lines("packed");
        prop_assert!(packed.keys().eq(kept.iter().map(|(id, _)| id)));
        let rejected = workshop.rejected("packed");
        let mut all: Vec<_> = packed.keys().copied().collect();
        all.extend(rejected.iter().map(|line| line["example_id"].as_i64().unwrap()));
        all.sort_unstable();
        prop_assert!(all.iter().copied().eq(0..records.read as i64));

        // The same tokens as when no row is shared.
        let settings = json!({"max_length": 64, "packing": "none"});
        let unpacked = workshop.prepare("unpacked", settings).unwrap();
        prop_assert_eq!(unpacked.rows, manifest.examples);
        prop_assert_eq!(&by_id(&workshop, "unpacked"), &packed);
        let tokens: usize = packed.values().map(|example| example.ids.len()).sum();
        prop_assert_eq!(tokens as u64, manifest.tokens.total());
        for kind in SpanKind::ALL {
            let code = kind.code();
            let kinds = packed.values().flat_map(|example| &example.kinds);
            let count = kinds.filter(|&&found| found == code).count();
            prop_assert_eq!(count as u64, manifest.tokens.0[usize::from(code)]);
        }
        for row in workshop.rows("packed") {
            prop_assert!(row.iter().map(|(_, example)| example.ids.len()).sum::<usize>() <= 64);
        }
    }

    /// P1 and P4 where prompts are shared: with the prompt that stands before it in its row, every
    /// example is what it is alone; and what that saves is counted.
    #[test]
    fn p1_p4_shared_prompts_lose_no_token(
        input in input(),
        window in 1_usize..80,
        soft_prompt in 0..2,
    ) {
        let workshop = Workshop::new(&input);
        let settings = |packing: &str, threads: usize| json!({
            "packing": packing, "max_length": 96, "packing_window": window, "threads": threads,
            "render": {
                "template": {"name": "r", "prompt": "Q: {question}\n", "completion": "{rationale}{end}"},
                "style": "plain", "soft_prompt": soft_prompt,
            },
        });
        let manifest = workshop.prepare("one", settings("trie", 1)).unwrap();
        workshop.prepare("three", settings("trie", 3)).unwrap();
        prop_assert_eq!(workshop.files("one"), workshop.files("three"));
        let alone = workshop.prepare("alone", settings("none", 1)).unwrap();
        prop_assert_eq!(by_id(&workshop, "one"), by_id(&workshop, "alone"));
        prop_assert_eq!(&manifest.tokens, &alone.tokens);
        let lengths = workshop.row_lengths("one");
        prop_assert!(lengths.iter().all(|&length| length <= 96));
        let stored = lengths.iter().sum::<usize>() as u64;
        prop_assert_eq!((manifest.stored_tokens, alone.stored_tokens), (Some(stored), None));
        prop_assert!(stored <= manifest.tokens.total());
        let share = stored as f64 / (lengths.len() * 96) as f64;
        prop_assert!((manifest.fill - share).abs() < 1e-12);
    }

    /// P4 repeatable: the same bytes for any number of threads.
    #[test]
    fn p4_threads_change_no_byte(input in input()) {
        let workshop = Workshop::new(&input);
        let mut expected = None;
        for threads in [1, 2, 4] {
            let name = format!("threads{threads}");
            workshop.prepare(&name, json!({"threads": threads})).unwrap();
            let files = workshop.files(&name);
            prop_assert_eq!(expected.get_or_insert_with(|| files.clone()), &files);
        }
    }

    /// P1 and P4 with every filter and choice on: no candidate is lost, no thread is seen.
    #[test]
    fn p1_p4_with_every_filter_on(input in input(), most in 1_usize..4) {
        let workshop = Workshop::new(&input);
        let mut expected = None;
        for threads in [1, 3] {
            let name = format!("threads{threads}");
            let settings = json!({"threads": threads, "filters": every_filter(&workshop, most)});
            let manifest = workshop.prepare(&name, settings).unwrap();
            let records = &manifest.records;
            prop_assert_eq!(records.kept + records.rejected.total(), records.read);
            let mut all: Vec<_> = by_id(&workshop, &name).into_keys().collect();
            let rejected = workshop.rejected(&name);
            all.extend(rejected.iter().map(|line| line["example_id"].as_i64().unwrap()));
            all.sort_unstable();
            prop_assert!(all.iter().copied().eq(0..records.read as i64));
            let files = workshop.files(&name);
            prop_assert!(!files.contains_key(Path::new("choice.spill")));
            prop_assert_eq!(expected.get_or_insert_with(|| files.clone()), &files);
        }
    }

    /// Several templates give what each of them gives alone: what one keeps touches no other.
    #[test]
    fn p1_p4_templates_do_not_see_each_other(input in input(), most in 1_usize..4) {
        let workshop = Workshop::new(&input);
        let filters = every_filter(&workshop, most);
        let templates = [" {answer}{semantic}\n{rationale}{end}", " {answer}{end}", "{rationale}{end}"]
            .map(|completion| json!({"name": completion, "prompt": "Q: {question}", "completion": completion}));
        let render = |first: &Value, more: &[Value]| json!({
            "template": first, "more_templates": more, "style": "plain", "added_tokens": ["<|sem|>"],
        });
        let mut expected = None;
        for threads in [1, 3] {
            let name = format!("threads{threads}");
            let render = render(&templates[0], &templates[1..]);
            let settings = json!({"threads": threads, "filters": filters, "render": render});
            let records = workshop.prepare(&name, settings).unwrap().records;
            prop_assert_eq!(records.kept + records.rejected.total(), records.read);
            let files = workshop.files(&name);
            prop_assert_eq!(expected.get_or_insert_with(|| files.clone()), &files);
        }
        let together = by_id(&workshop, "threads1");
        let named = workshop.example_templates("threads1");
        for (number, template) in templates.iter().enumerate() {
            let alone = json!({"filters": filters, "render": render(template, &[])});
            let alone = match workshop.prepare(&number.to_string(), alone) {
                Ok(_) => by_id(&workshop, &number.to_string()).into_values().collect(),
                Err(_) => Vec::new(), // nothing is kept
            };
            let own = together.iter().filter(|(id, example)| {
                example.template == number as i32 && template["name"] == *named[*id]
            });
            let own: Vec<_> = own.map(|(_, example)| Example { template: 0, ..example.clone() }).collect();
            prop_assert_eq!(own, alone);
        }
    }

    /// Unlabelled questions touch no labelled example, are prompts and no more, and are not held out.
    #[test]
    fn p1_p4_unlabelled_questions_are_prompts_alone(
        input in input(),
        questions in input(),
        most in 1_usize..4,
    ) {
        let workshop = Workshop::new(&input);
        let path = workshop.path("questions.jsonl");
        std::fs::write(&path, questions).unwrap();
        let labelled = json!({"path": workshop.path("records.jsonl")});
        let unlabelled = json!({"path": path, "domain": "target", "labelled": false});
        let prompt = "Q: {question}\nA:";
        let template = json!({"name": "a", "prompt": prompt, "completion": "{rationale}{end}"});
        let question = json!({"name": "q", "prompt": prompt, "completion": ""});
        let settings = |threads, inputs: &[&Value], more: &[&Value]| json!({
            "threads": threads, "inputs": inputs, "filters": every_filter(&workshop, most),
            "validation": 0.2, "keep_rationale": true, "packing": "domain_balanced",
            "render": {"template": template, "more_templates": more, "style": "plain"},
        });
        let mut expected = None;
        for threads in [1, 3] {
            let name = format!("threads{threads}");
            let settings = settings(threads, &[&labelled, &unlabelled], &[&question]);
            let manifest = workshop.prepare(&name, settings).unwrap();
            let records = &manifest.records;
            prop_assert_eq!(records.kept + records.rejected.total(), records.read);
            let own = &manifest.sources[1].records;
            prop_assert_eq!((own.held_out, own.unverified), (0, 0));
            prop_assert!(own.kept > 0);
            let files = workshop.files(&name);
            prop_assert_eq!(expected.get_or_insert_with(|| files.clone()), &files);
        }
        workshop.prepare("alone", settings(1, &[&labelled], &[])).unwrap();
        let mut together = by_id(&workshop, "threads1");
        let asked = together.split_off(&together.iter().find(|(_, each)| each.template == 1).map_or(0, |(id, _)| *id));
        let with_no_domain = |(id, each): (i64, Example)| (id, Example { domain: -1, ..each });
        let alone: BTreeMap<_, _> = by_id(&workshop, "alone").into_iter().map(with_no_domain).collect();
        prop_assert_eq!(together, alone);
        for each in asked.values() {
            prop_assert_eq!((each.template, each.domain), (1, 0));
            let text: Vec<u8> = each.ids.iter().map(|&id| id as u8).collect();
            prop_assert!(text.starts_with(b"Q: ") && text.ends_with(b"\nA:"));
            prop_assert!(each.kinds.iter().all(|&kind| kind <= SpanKind::Question.code()));
        }
    }

    /// A dry run counts what a real one does, and no filter drops more first than on its own.
    #[test]
    fn a_dry_run_agrees_with_a_real_one(input in input(), most in 1_usize..4) {
        let workshop = Workshop::new(&input);
        let settings = |dry_run| {
            json!({"dry_run": dry_run, "filters": every_filter(&workshop, most)})
        };
        let real = workshop.prepare("out", settings(false)).unwrap();
        let dry = workshop.prepare("dry", settings(true)).unwrap();
        prop_assert!(!workshop.path("dry").exists());
        prop_assert_eq!(&dry.records, &real.records);
        prop_assert_eq!((dry.rows, &dry.tokens), (real.rows, &real.tokens));
        for each in dry.dropped.unwrap() {
            let is_choice = each.reason == "over_cap" || each.reason == "near_duplicate";
            prop_assert!(is_choice || each.first <= each.alone, "{:?}", each);
        }
    }

    /// P8 truth: steps are rows and examples, and `fill` is what it says.
    #[test]
    fn p8_steps_are_counted(input in input()) {
        let workshop = Workshop::new(&input);
        let manifest = workshop.prepare("out", json!({})).unwrap();
        let rows = workshop.rows("out");
        prop_assert_eq!(manifest.steps.packed, rows.len() as u64);
        prop_assert_eq!(manifest.steps.unpacked, rows.iter().map(Vec::len).sum::<usize>() as u64);
        let share = manifest.tokens.total() as f64 / (rows.len() * 256) as f64;
        prop_assert!((manifest.fill - share).abs() < 1e-12);
    }
}

/// P4 again, where there are chunks enough for threads to overtake each other.
#[test]
fn p4_threads_change_no_byte_of_a_large_input() {
    let mut input = String::new();
    for number in 0..12_000 {
        let rationale = "step ".repeat(number % 5);
        let fields = json!({"question": number % 5000, "answer": 1, "rationale": rationale});
        let fields = match number % 7 {
            0 => fields, // a question that is a number is malformed
            _ => {
                json!({"question": format!("q{}", number % 5000), "answer": 1, "rationale": rationale})
            }
        };
        input += &format!("{fields}\n");
    }
    let workshop = Workshop::new(input.as_bytes());
    let settings = |threads| json!({"threads": threads, "packing_window": 1000});
    let manifest = workshop.prepare("one", settings(1)).unwrap();
    workshop.prepare("three", settings(3)).unwrap();
    assert_eq!(workshop.files("one"), workshop.files("three"));
    assert!(manifest.records.rejected.iter().count() == 3 && manifest.rows > 100);
}

/// A source without answers and a template for it go together.
#[test]
fn unlabelled_sources_and_question_only_templates_need_each_other() {
    let workshop = Workshop::new(b"{\"question\": \"q\"}\n");
    let template = |completion: &str| json!({"name": completion, "prompt": "{question}", "completion": completion});
    let refusal = |labelled: bool, first: &str, more: &[&str]| {
        let more: Vec<_> = more.iter().copied().map(template).collect();
        let render = json!({"template": template(first), "more_templates": more, "style": "plain"});
        let input = json!({"path": workshop.path("records.jsonl"), "labelled": labelled});
        let settings = json!({"inputs": [input], "render": render});
        workshop
            .prepare("out", settings)
            .map_err(|error| error.to_string())
    };
    let error = refusal(false, "{answer}{end}", &[]).unwrap_err();
    assert!(
        error.contains("records.jsonl: labelled: no template has an empty completion"),
        "{error}"
    );
    let error = refusal(true, "{answer}{end}", &[""]).unwrap_err();
    assert!(error.contains("no source is unlabelled"), "{error}");
    let error = refusal(false, "", &[]).unwrap_err();
    assert!(
        error.contains("there is neither {answer} nor {rationale}"),
        "{error}"
    );
    assert_eq!(
        refusal(false, "{answer}{end}", &[""]).unwrap().records.kept,
        1
    );
}

/// P7 crash-safe: a run that fails leaves nothing, and what stood there stands.
#[test]
fn p7_a_failed_run_leaves_nothing_behind() {
    let workshop =
        Workshop::new(b"{\"question\": \"q\", \"answer\": 1, \"rationale\": \"r\"}\nbroken\n");
    let before = names(&workshop);
    workshop
        .prepare("out", json!({"strict": true}))
        .unwrap_err();
    assert_eq!(names(&workshop), before);

    workshop.prepare("out", json!({})).unwrap();
    let files = workshop.files("out");
    workshop.prepare("out", json!({})).unwrap_err(); // it exists
    workshop
        .prepare("out", json!({"overwrite": true, "strict": true}))
        .unwrap_err();
    assert_eq!(workshop.files("out"), files);
    let settings = json!({"overwrite": true, "packing": "none", "max_length": 99});
    workshop.prepare("out", settings).unwrap();
    assert_ne!(
        workshop.files("out")[Path::new("manifest.json")],
        files[Path::new("manifest.json")]
    );
    assert_eq!(names(&workshop).len(), before.len() + 1);
}

fn names(workshop: &Workshop) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = std::fs::read_dir(workshop.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    names
}
