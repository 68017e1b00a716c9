//! The whole way from records to rows on real data, and reading alone.
#![allow(
    missing_docs,
    reason = "criterion's macros write undocumented functions"
)]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use limbeck_core::Config;
use limbeck_core::input::Input;
use limbeck_core::read::{Chunk, Reader};
use limbeck_core::record::Record;
use serde_json::json;

/// Real rationales, if there are any here.
fn shared() -> Option<PathBuf> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into();
    let shared = PathBuf::from(std::env::var_os("LIMBECK_SHARED").unwrap_or_else(beside));
    shared.join("data").is_dir().then_some(shared)
}

fn read(criterion: &mut Criterion) {
    let Some(shared) = shared() else { return };
    let path = shared.join("data/gsm8k/train.jsonl");
    let inputs = [Input::of(path.to_str().unwrap())];
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Bytes(path.metadata().unwrap().len()));
    let mut chunk = Chunk::default();
    group.bench_function("gsm8k", |bencher| {
        bencher.iter(|| {
            let mut reader = Reader::open(&inputs).unwrap();
            let mut bytes = 0;
            while reader.next(&mut chunk, &mut || Ok(())).unwrap() {
                chunk.for_each("train", |_, values| {
                    let record = Record::new(values.unwrap(), "train", true)
                        .unwrap()
                        .unwrap();
                    bytes += record.question.len() + record.answer.map_or(0, |answer| answer.len());
                });
            }
            black_box(bytes)
        });
    });
    group.finish();
}

fn prepare(criterion: &mut Criterion) {
    let Some(shared) = shared() else { return };
    let path = shared.join("data/gsm8k/train.jsonl");
    let output = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("prepare");
    group.throughput(Throughput::Bytes(path.metadata().unwrap().len()));
    group.sample_size(10);
    for threads in [1, 2] {
        let config = json!({
            "inputs": [{"path": path}],
            "output_dir": output.path().join("out"),
            "overwrite": true,
            "threads": threads,
            "max_length": 2048,
            "packing": "bfd",
            "packing_window": 16384,
            "filters": [{"name": "answer_mismatch"}, {"name": "exact_duplicate"}],
            "tokenizer": shared.join("tokenizers/qwen.json"),
            "render": {
                "template": {
                    "name": "answer-first",
                    "prompt": "Question: {question}\nAnswer:",
                    "completion": " {answer}{semantic}\n{rationale}{end}",
                },
                "style": "plain",
                "added_tokens": ["<|sem|>"],
            },
        });
        let config = Config::parse(&config.to_string()).unwrap();
        group.bench_function(format!("gsm8k/{threads} threads"), |bencher| {
            bencher.iter(|| {
                limbeck_core::prepare(&config, &mut |_| ControlFlow::Continue(())).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read, prepare);
criterion_main!(benches);
