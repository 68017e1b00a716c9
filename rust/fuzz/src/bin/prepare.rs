//! The whole way on any lines: nothing is lost, and the files say so (P1).

#![no_main]

use std::fs;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use limbeck_core::Config;
use limbeck_fuzz::byte_tokenizer;
use serde_json::json;

static WORKSHOP: LazyLock<tempfile::TempDir> = LazyLock::new(byte_tokenizer);

fuzz_target!(|bytes: &[u8]| {
    let root = WORKSHOP.path();
    let input = root.join("records.jsonl");
    fs::write(&input, bytes).unwrap();
    let config = json!({
        "inputs": [{"path": input, "format": "auto"}],
        "output_dir": root.join("out"),
        "overwrite": true,
        "threads": 1,
        "max_length": 64,
        "packing": "bfd",
        "packing_window": 4,
        "filters": [{"name": "answer_mismatch"}, {"name": "exact_duplicate"}],
        "tokenizer": root.join("tokenizer.json"),
        "render": {
            "template": {
                "name": "answer-first",
                "prompt": "Q: {question}\nA:",
                "completion": " {answer}{semantic}\n{rationale}{end}",
            },
            "style": "plain",
            "added_tokens": ["<|sem|>"],
        },
    });
    let config = Config::parse(&config.to_string()).unwrap();
    let Ok(manifest) = limbeck_core::prepare(&config, &mut |_| ControlFlow::Continue(())) else {
        return;
    };
    let records = &manifest.records;
    assert_eq!(records.read, records.kept + records.rejected.total());
    let rejected = fs::read(root.join("out/rejected.jsonl")).unwrap();
    let lines = rejected.iter().filter(|&&byte| byte == b'\n').count() as u64;
    assert_eq!(lines, records.rejected.total());
    assert!(manifest.tokens.total() <= manifest.rows * 64);
});
