//! Every example has one row, no row is over-full, and no two rows would fit into one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use limbeck_core::pack::Packer;

fuzz_target!(|bytes: &[u8]| {
    let Some((capacity, lengths)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let capacity = u32::from(u16::from_le_bytes(*capacity)).max(1);
    let lengths: Vec<u32> = lengths
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&pair| u32::from(u16::from_le_bytes(pair)) % capacity + 1)
        .collect();
    let (mut order, mut row_of) = (Vec::new(), Vec::new());
    let mut packer = Packer::new(capacity as usize);
    // Twice: what a window leaves behind must not reach the next.
    for _ in 0..2 {
        let rows = packer.pack(&lengths, &mut order, &mut row_of);
        assert_eq!(row_of.len(), lengths.len());
        let mut sums = vec![0_u64; rows];
        for (&row, &length) in row_of.iter().zip(&lengths) {
            sums[row as usize] += u64::from(length);
        }
        assert!(
            sums.iter()
                .all(|&sum| sum > 0 && sum <= u64::from(capacity))
        );
        sums.sort_unstable();
        if let [first, second, ..] = sums[..] {
            assert!(first + second > u64::from(capacity));
        }
        let mut placed = order.clone();
        placed.sort_unstable();
        assert!(placed.iter().copied().eq(0..lengths.len() as u32));
    }
});
