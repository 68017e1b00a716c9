//! Encoding real rationales on one thread, beside the `tokenizers` crate; equal first, then timed.
//!
//! Caches are new for each pass. `tokenizers` is timed on a part of the texts. Other encoders are
//! compared in `benches/prepare`.
#![allow(
    missing_docs,
    reason = "criterion's macros write undocumented functions"
)]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use limbeck_core::tokenize::Tokens;
use limbeck_core::tokenize::encoder::{Encoder, EncoderScratch, Position};
use serde_json::Value;
use tokenizers::Tokenizer;

/// The share of the texts that `tokenizers` is timed on.
const SAMPLE: usize = 20;

/// Real rationales, if there are any here.
fn shared() -> Option<PathBuf> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into();
    let shared = PathBuf::from(std::env::var_os("LIMBECK_SHARED").unwrap_or_else(beside));
    shared.join("data").is_dir().then_some(shared)
}

fn bytes<'t>(texts: impl Iterator<Item = &'t String>) -> Throughput {
    Throughput::Bytes(texts.map(String::len).sum::<usize>() as u64)
}

fn encode(criterion: &mut Criterion) {
    let Some(shared) = shared() else { return };
    let lines = std::fs::read_to_string(shared.join("data/gsm8k/train.jsonl")).unwrap();
    let texts: Vec<String> = lines
        .lines()
        .flat_map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let text = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
            ["question", "rationale", "answer"].map(text)
        })
        .collect();
    for name in ["qwen", "gpt2"] {
        let source = std::fs::read_to_string(shared.join(format!("tokenizers/{name}.json")));
        let source = source.unwrap();
        let ours = Encoder::read(&source).unwrap();
        let mut reference: Tokenizer = source.parse().unwrap();
        reference.set_encode_special_tokens(true);
        let mut tokens = Tokens::default();
        let mut run = |text: &str, scratch: &mut EncoderScratch| {
            let encoded = ours.encode(text, &[], Position::Start, scratch, &mut tokens);
            encoded.unwrap();
            tokens.ids.clone()
        };
        let mut scratch = EncoderScratch::default();
        for text in texts.iter().step_by(SAMPLE) {
            let expected = reference.encode_fast(text.as_str(), false).unwrap();
            assert_eq!(run(text, &mut scratch), expected.get_ids(), "{text:?}");
        }

        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).throughput(bytes(texts.iter()));
        group.bench_function("limbeck", |bencher| {
            bencher.iter_batched_ref(
                EncoderScratch::default,
                |scratch| {
                    for text in &texts {
                        let at = Position::Start;
                        black_box(ours.encode(text, &[], at, scratch, &mut tokens)).unwrap();
                    }
                },
                BatchSize::PerIteration,
            );
        });
        group.throughput(bytes(texts.iter().step_by(SAMPLE)));
        group.bench_function("tokenizers", |bencher| {
            bencher.iter(|| {
                for text in texts.iter().step_by(SAMPLE) {
                    black_box(reference.encode_fast(text.as_str(), false).unwrap());
                }
            });
        });
        group.throughput(Throughput::Bytes(source.len() as u64));
        group.bench_function("load", |bencher| {
            bencher.iter(|| Encoder::read(black_box(&source)).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);
