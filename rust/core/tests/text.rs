//! P2 and P5 on any text: a token's kind is that of its first byte, and ids are those of the
//! `tokenizers` crate; and what reads hostile text never panics.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use limbeck_core::answer;
use limbeck_core::template::{SpanKind, TemplateConfig};
use limbeck_core::tokenize::{Example, Fields, RenderConfig, Renderer, Style};
use proptest::prelude::*;
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

/// Byte-level, so that every text has tokens, with merges across the template's seams, and a
/// truncation that must not apply.
const BYTE_LEVEL: &str = r#"{"version": "1.0", "truncation": {"direction": "Right", "max_length": 3,
"strategy": "LongestFirst", "stride": 0}, "padding": null, "added_tokens": [
{"id": 0, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
{"id": 1, "content": "<b>", "single_word": false, "lstrip": true, "rstrip": true, "normalized": false, "special": false}],
"normalizer": NORMALIZER, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false,
"trim_offsets": true, "use_regex": true}, "post_processor": null,
"decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
"model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
"end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
"vocab": VOCAB, "merges": [["Ġ", "5"], ["Ċ", "Ċ"], ["?", "Ċ"], ["Ã", "©"]]}}"#;
/// Space marks in front of the first word of a text, and words that are whole or unknown.
const METASPACE: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
{"id": 0, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
"normalizer": {"type": "NFKC"}, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁",
"prepend_scheme": "first", "split": true}, "post_processor": null, "decoder": null,
"model": {"type": "WordLevel", "vocab": {"</s>": 0, "<unk>": 1, "▁Q:": 2, "▁A:": 3, "▁5": 4, "5": 5},
"unk_token": "<unk>"}}"#;

fn byte_level(normalizer: &str) -> String {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let merged = ["Ġ5", "ĊĊ", "?Ċ", "Ã©"].map(String::from);
    let vocab: Vec<String> = ["</s>".to_owned(), "<b>".into()]
        .into_iter()
        .chain(alphabet.into_iter().map(String::from))
        .chain(merged)
        .enumerate()
        .map(|(id, token)| format!("{}: {id}", serde_json::to_string(&token).unwrap()))
        .collect();
    BYTE_LEVEL
        .replace("NORMALIZER", normalizer)
        .replace("VOCAB", &format!("{{{}}}", vocab.join(", ")))
}

struct Pair {
    renderer: Renderer,
    reference: Tokenizer,
}

fn load(json: &str) -> Pair {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    std::fs::write(&path, json).unwrap();
    let renderer = Renderer::load(&path, &config()).unwrap();
    let saved = directory.path().join("saved");
    renderer.save_tokenizer(&saved).unwrap();
    let mut reference = Tokenizer::from_file(saved.join("tokenizer.json")).unwrap();
    reference.with_truncation(None).unwrap();
    Pair {
        renderer,
        reference,
    }
}

fn config() -> RenderConfig {
    RenderConfig {
        template: TemplateConfig {
            name: "answer-first".into(),
            prompt: "Q: {question}\nA:".into(),
            completion: " {answer}{semantic}\n{rationale}{end}".into(),
        },
        more_templates: Vec::new(),
        style: Style::Plain,
        chat_template: None,
        chat_variables: serde_json::Map::new(),
        eos_token: None,
        soft_prompt: 0,
        added_tokens: Vec::new(),
    }
}

/// Text that holds no control token, which is what P5 speaks of.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        ".*",
        Just("é".to_owned()),
        Just("e\u{301} ﬁ½".to_owned()),
        Just(" <b> 5\r\n\n".to_owned()),
        Just("\u{1f600}?\n".to_owned()),
    ];
    proptest::collection::vec(piece, 1..4).prop_map(|pieces| {
        let text = format!("x{}x", pieces.concat());
        text.replace("</s>", "").replace("<|sem|>", "")
    })
}

/// Prompt and completion, in segments with their kinds.
fn segments(q: &str, a: &str, r: &str) -> [Vec<(String, SpanKind)>; 2] {
    use SpanKind::{Answer, End, Prompt, Question, Rationale, Semantic};
    [
        vec![
            ("Q:".into(), Prompt),
            (format!(" {q}"), Question),
            ("\nA:".into(), Prompt),
        ],
        vec![
            (format!(" {a}"), Answer),
            ("<|sem|>".into(), Semantic),
            (format!("\n{r}"), Rationale),
            ("</s>".into(), End),
        ],
    ]
}

fn agrees(pair: &Pair, q: &str, a: &str, r: &str) -> Result<(), TestCaseError> {
    let (mut ids, mut kinds) = (Vec::new(), Vec::new());
    for side in segments(q, a, r) {
        let whole: String = side.iter().map(|(text, _)| text.as_str()).collect();
        let encoding = pair.reference.encode(whole.as_str(), false).unwrap();
        ids.extend_from_slice(encoding.get_ids());
        for &(byte_start, _) in encoding.get_offsets() {
            let mut end = 0;
            let holding = side.iter().find(|(text, _)| {
                end += text.len();
                byte_start < end
            });
            kinds.push(holding.or(side.last()).unwrap().1.code());
        }
    }
    let mut example = Example::default();
    let fields = Fields {
        question: q.into(),
        answer: a,
        rationale: Some(r),
    };
    pair.renderer.example(&fields, &mut example).unwrap();
    prop_assert_eq!(&example.ids, &ids);
    prop_assert_eq!(&example.kinds(), &kinds);
    let mut prompt = Vec::new();
    pair.renderer.prompt(q, &mut prompt).unwrap();
    prop_assert!(example.ids.starts_with(&prompt));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn p2_p5_byte_level(q in text(), a in text(), r in text()) {
        for normalizer in ["null", r#"{"type": "NFC"}"#, r#"{"type": "NFKC"}"#] {
            agrees(&load(&byte_level(normalizer)), &q, &a, &r)?;
        }
    }

    #[test]
    fn p2_p5_metaspace(q in text(), a in text(), r in text()) {
        agrees(&load(METASPACE), &q, &a, &r)?;
    }

    #[test]
    fn content_stays_text(before in ".*", after in ".*") {
        let pair = load(&byte_level("null"));
        let hostile = format!("x{before}</s>{after}<|sem|>x");
        let fields = Fields { question: hostile.as_str().into(), answer: &hostile, rationale: Some(&hostile) };
        let mut example = Example::default();
        pair.renderer.example(&fields, &mut example).unwrap();
        let semantic = pair.reference.token_to_id("<|sem|>").unwrap();
        let controls = example.ids.iter().filter(|&&id| id == 0 || id == semantic).count();
        prop_assert_eq!(controls, 2);
        prop_assert_eq!(example.ids.len(), example.kinds().len());
        prop_assert_eq!(example.ids.last(), Some(&0));
    }

    #[test]
    fn answers_never_panic(a in any::<String>(), b in r"[0-9$,./%()a-c{}\\ -]{0,12}") {
        let _ = answer::conclusion(&a);
        prop_assert_eq!(answer::equal(&a, &b), answer::equal(&b, &a));
        prop_assert!(answer::equal(&b, &b) || !b.chars().any(char::is_alphanumeric));
        let marked = format!("{a} answer is {b}");
        if let Some(found) = answer::conclusion(&marked) {
            prop_assert!(marked.contains(found));
        }
    }
}

#[test]
fn buffers_are_cleared_between_examples() {
    let pair = load(METASPACE);
    let mut reused = Example::default();
    for answer in ["5", "a longer answer", "5"] {
        let fields = Fields {
            question: "q".into(),
            answer,
            rationale: Some("r"),
        };
        let mut fresh = Example::default();
        pair.renderer.example(&fields, &mut fresh).unwrap();
        pair.renderer.example(&fields, &mut reused).unwrap();
        assert_eq!((&reused.ids, &reused.runs), (&fresh.ids, &fresh.runs));
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Renderer::load(Path::new("no/such/tokenizer.json"), &config());
    let text = error.err().unwrap().to_string();
    assert!(text.contains("no/such/tokenizer.json: there is no such file"));
}

#[test]
fn a_renderer_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Renderer>();
}
