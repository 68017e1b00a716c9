//! Each filter by itself on real rationales, with the reading of their words and the look-up of near
//! duplicates. They are held to their slow twins by `tests/data/test_filters.py`.
#![allow(
    missing_docs,
    reason = "criterion's macros write undocumented functions"
)]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use limbeck_core::answer::conclusion;
use limbeck_core::filter::{Desk, Filter, NearIndex, NearLookup, Plan, Texts};
use serde_json::{Value, json};

/// Question, answer and rationale.
type Candidate = [String; 3];

/// Real rationales, if there are any here.
fn shared() -> Option<PathBuf> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into();
    let shared = PathBuf::from(std::env::var_os("LIMBECK_SHARED").unwrap_or_else(beside));
    shared.join("data").is_dir().then_some(shared)
}

fn candidates(path: &Path) -> Vec<Candidate> {
    let text = std::fs::read_to_string(path).unwrap();
    let field = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|record| ["question", "answer", "rationale"].map(|name| field(&record, name)))
        .collect()
}

/// Every optional filter with the defaults of recipes.
fn options(shared: &Path) -> [Value; 6] {
    [
        json!({"name": "near_duplicate", "threshold": 0.8, "shingle": 5, "bands": 6, "rows": 4,
               "fields": ["question", "rationale"]}),
        json!({"name": "repetition", "min_bytes": 200, "top_ngram": 4, "max_top_share": 0.7,
               "duplicate_ngram": 20, "max_duplicate_share": 0.6, "min_compression": 0.12,
               "loop_repeats": 4}),
        json!({"name": "contaminated", "against": [shared.join("data/gsm8k/test.jsonl")],
               "ngram": 13, "overlap_ngram": 8, "overlap": 0.5, "common": 10}),
        json!({"name": "answer_leak"}),
        json!({"name": "charset", "scripts": ["Latin", "Greek"], "min_share": 0.9,
               "max_broken": 0.0}),
        json!({"name": "over_cap", "max_per_question": 8, "shingle": 3}),
    ]
}

fn filters(criterion: &mut Criterion) {
    let Some(shared) = shared() else { return };
    let candidates = candidates(&shared.join("data/gsm8k/train.jsonl"));
    let bytes = candidates.iter().flatten().map(String::len).sum::<usize>();
    let mut group = criterion.benchmark_group("filter");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.sample_size(20);
    let options = options(&shared);
    let mut plans: Vec<(&str, &[Value])> = options
        .iter()
        .map(|each| (each["name"].as_str().unwrap(), std::slice::from_ref(each)))
        .collect();
    plans.push(("all", &options));
    for (name, options) in plans {
        let parsed = options.iter().cloned().map(serde_json::from_value);
        let filters = parsed.collect::<Result<Vec<Filter>, _>>().unwrap();
        let plan = Plan::load(&filters).unwrap();
        let (mut desk, mut keys) = (Desk::default(), Vec::new());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                keys.clear();
                let index = plan.near().map(NearIndex::new);
                for [question, answer, rationale] in &candidates {
                    let texts = Texts {
                        question,
                        answer: Some(answer),
                        rationale: Some(rationale),
                        uses_rationale: true,
                        concluded: conclusion(rationale).filter(|_| plan.needs_conclusion()),
                        template: 0,
                    };
                    plan.read(&texts, &mut desk);
                    let judged = plan.judge(&texts, index.as_ref(), &mut keys, &mut desk);
                    black_box(plan.cap_key(&texts, &mut desk));
                    if let (Some(index), Some(NearLookup::Pending { key, compared })) =
                        (&index, black_box(judged).near)
                    {
                        index.insert(0, &keys[key], compared);
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, filters);
criterion_main!(benches);
