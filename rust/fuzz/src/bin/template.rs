//! A template either says what is wrong with it or writes exactly its text, whatever the content.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use limbeck_core::tokenize::{Example, Fields, RenderConfig, Renderer};
use limbeck_fuzz::{END, SEMANTIC, byte_tokenizer, decoded, space};
use serde_json::json;

static TOKENIZER: LazyLock<tempfile::TempDir> = LazyLock::new(byte_tokenizer);

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(5, '\0');
    let mut next = || parts.next().unwrap_or_default();
    let (prompt, completion, question, answer, rationale) =
        (next(), next(), next(), next(), next());
    let config: RenderConfig = serde_json::from_value(json!({
        "template": {"name": "fuzzed", "prompt": prompt, "completion": completion},
        "style": "plain",
        "added_tokens": ["<|sem|>"],
    }))
    .unwrap();
    let Ok(renderer) = Renderer::load(TOKENIZER.path(), &config) else {
        return;
    };
    let fields = Fields {
        question: question.into(),
        answer,
        rationale: Some(rationale),
    };
    let mut example = Example::default();
    if renderer.example(&fields, &mut example).is_err() {
        return;
    }
    assert_eq!(example.ids.len(), example.kinds().len());
    let mut expected = Vec::new();
    for format in [prompt, completion] {
        write(format, &fields, &mut expected);
    }
    assert_eq!(decoded(&example.ids), decoded(&expected));
});

/// The slow twin: the format's text with each field put in its place.
fn write(format: &str, fields: &Fields<'_>, ids: &mut Vec<u32>) {
    let mut rest = format;
    let push = |text: &str, ids: &mut Vec<u32>| ids.extend(text.bytes().map(u32::from));
    let names = [
        ("{question}", &*fields.question),
        ("{answer}", fields.answer),
        ("{rationale}", fields.rationale.unwrap_or_default()),
    ];
    'text: while let Some(first) = rest.chars().next() {
        for (brace, text) in [("{{", "{"), ("}}", "}")] {
            if let Some(after) = rest.strip_prefix(brace) {
                push(text, ids);
                rest = after;
                continue 'text;
            }
        }
        for (name, content) in names {
            if let Some(after) = rest.strip_prefix(name) {
                push(content.trim_matches(space), ids);
                rest = after;
                continue 'text;
            }
        }
        for (name, id) in [("{end}", END), ("{semantic}", SEMANTIC)] {
            if let Some(after) = rest.strip_prefix(name) {
                ids.push(id);
                rest = after;
                continue 'text;
            }
        }
        // A literal may write a control token.
        for (text, id) in [("<|endoftext|>", END), ("<|sem|>", SEMANTIC)] {
            if let Some(after) = rest.strip_prefix(text) {
                ids.push(id);
                rest = after;
                continue 'text;
            }
        }
        let length = first.len_utf8();
        push(&rest[..length], ids);
        rest = &rest[length..];
    }
}
