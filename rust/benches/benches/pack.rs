//! Packing a window of 65,536 examples into rows of 2048 and 8192.
#![allow(
    missing_docs,
    reason = "criterion's macros write undocumented functions"
)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use limbeck_benches::pack_sorted;
use limbeck_core::pack::Packer;

/// Lengths like those of rationales: most between 50 and 400 tokens, a long tail.
fn lengths(count: usize) -> Vec<u32> {
    let mut state = 7_u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    (0..count)
        .map(|_| ((50.0 / (1.0 - 0.975 * uniform())) as u32).min(2048))
        .collect()
}

fn pack(criterion: &mut Criterion) {
    let lengths = lengths(65_536);
    for capacity in [2048, 8192] {
        let mut group = criterion.benchmark_group(format!("pack/{capacity}"));
        group.throughput(Throughput::Elements(lengths.len() as u64));
        let mut packer = Packer::new(capacity);
        let (mut order, mut rows) = (Vec::new(), Vec::new());
        group.bench_function("bitmap", |bencher| {
            bencher.iter(|| packer.pack(&lengths, &mut order, &mut rows));
        });
        group.bench_function("sorted", |bencher| {
            bencher.iter(|| pack_sorted(&lengths, capacity as u32));
        });
        group.finish();
    }
}

criterion_group!(benches, pack);
criterion_main!(benches);
