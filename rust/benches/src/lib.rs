//! What the benches compare `limbeck-core` with; an equivalence test beside each.
//!
//! `cargo bench -p limbeck-benches` runs them; those on real data need `LIMBECK_SHARED`.

/// Best fit decreasing with a sorted list of rows: O(n log n), and O(n) to insert into the list.
///
/// The rule is that of `limbeck_core::pack`: of several rows with the least space that suffices, the
/// one touched last. Returns the row of each example.
pub fn pack_sorted(lengths: &[u32], capacity: u32) -> Vec<u32> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&example| std::cmp::Reverse(lengths[example]));
    let mut spaces: Vec<(u32, u32)> = Vec::new(); // space, row; the latest touched first
    let mut rows = vec![0; lengths.len()];
    let mut opened = 0;
    for example in order {
        let length = lengths[example];
        let at = spaces.partition_point(|&(space, _)| space < length);
        let (space, row) = if at < spaces.len() {
            spaces.remove(at)
        } else {
            opened += 1;
            (capacity, opened - 1)
        };
        rows[example] = row;
        let left = space - length;
        let at = spaces.partition_point(|&(space, _)| space < left);
        spaces.insert(at, (left, row));
    }
    rows
}

#[cfg(test)]
mod tests {
    use limbeck_core::pack::Packer;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_packers_agree(
            lengths in prop::collection::vec(1_u32..=512, 0..2000),
        ) {
            let (mut order, mut rows) = (Vec::new(), Vec::new());
            Packer::new(512).pack(&lengths, &mut order, &mut rows);
            prop_assert_eq!(rows, pack_sorted(&lengths, 512));
        }
    }
}
