//! Examples to rows of at most `capacity` tokens: best fit decreasing, in O(n + capacity).
//!
//! The longest example goes first, into the row with the least space that still holds it; a row
//! that none holds is opened. Free space is an index: a bitmap of the spaces that some row has, and
//! for each space a stack of such rows. So examples of one length keep their order, of rows with
//! one space the latest touched is taken, and the outcome depends on the lengths alone.

/// Packs examples into rows again and again, with the same memory.
#[derive(Debug)]
pub struct Packer {
    capacity: usize,
    /// Bit `s` says that a row with `s` free tokens exists.
    spaces: Vec<u64>,
    /// The latest row with that space, or [`NONE`].
    tops: Vec<u32>,
    /// The next row with the same space, or [`NONE`]; one for each row.
    below: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Packer {
    /// A packer for rows of `capacity` tokens.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            spaces: vec![0; capacity / 64 + 1],
            tops: vec![NONE; capacity + 1],
            below: Vec::new(),
        }
    }

    /// The row of each example, in `rows`, and the number of rows.
    ///
    /// Rows are numbered as they are opened; `order` is left with the examples from the longest to
    /// the shortest, the order in which they were placed.
    ///
    /// # Panics
    /// If an example is longer than a row.
    pub fn pack(&mut self, lengths: &[u32], order: &mut Vec<u32>, rows: &mut Vec<u32>) -> usize {
        self.pack_behind(0, lengths, order, rows)
    }

    /// [`Self::pack`] into rows of which the first `taken` tokens are taken.
    ///
    /// # Panics
    /// If an example is longer than what is left of a row.
    pub fn pack_behind(
        &mut self,
        taken: usize,
        lengths: &[u32],
        order: &mut Vec<u32>,
        rows: &mut Vec<u32>,
    ) -> usize {
        by_length(lengths, self.capacity, order);
        rows.clear();
        rows.resize(lengths.len(), NONE);
        self.spaces.fill(0);
        self.tops.fill(NONE);
        self.below.clear();
        for &example in &*order {
            let length = lengths[example as usize] as usize;
            let (row, space) = match self.tightest(length) {
                Some(space) => (self.pop(space), space),
                None => {
                    self.below.push(NONE);
                    (self.below.len() as u32 - 1, self.capacity - taken)
                }
            };
            rows[example as usize] = row;
            self.push(row, space - length);
        }
        self.below.len()
    }

    /// The least space of any row that is at least `length`.
    fn tightest(&self, length: usize) -> Option<usize> {
        let first = length / 64;
        let mut word = self.spaces[first] & (u64::MAX << (length % 64));
        let mut index = first;
        while word == 0 {
            index += 1;
            word = *self.spaces.get(index)?;
        }
        Some(index * 64 + word.trailing_zeros() as usize)
    }

    fn push(&mut self, row: u32, space: usize) {
        self.below[row as usize] = self.tops[space];
        self.tops[space] = row;
        self.spaces[space / 64] |= 1 << (space % 64);
    }

    fn pop(&mut self, space: usize) -> u32 {
        let row = self.tops[space];
        self.tops[space] = self.below[row as usize];
        if self.tops[space] == NONE {
            self.spaces[space / 64] &= !(1 << (space % 64));
        }
        row
    }
}

/// Counting sort, longest first, stable.
pub(crate) fn by_length(lengths: &[u32], capacity: usize, order: &mut Vec<u32>) {
    let mut starts = vec![0_u32; capacity + 2];
    for &length in lengths {
        starts[capacity - length as usize + 1] += 1;
    }
    for slot in 1..starts.len() {
        starts[slot] += starts[slot - 1];
    }
    order.clear();
    order.resize(lengths.len(), 0);
    for (example, &length) in lengths.iter().enumerate() {
        let start = &mut starts[capacity - length as usize];
        order[*start as usize] = example as u32;
        *start += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Best fit decreasing as the textbook has it.
    fn naive(lengths: &[u32], capacity: u32) -> (Vec<u32>, usize) {
        let mut order: Vec<_> = (0..lengths.len()).collect();
        order.sort_by_key(|&example| std::cmp::Reverse(lengths[example]));
        let mut rows = vec![NONE; lengths.len()];
        let mut spaces: Vec<(u32, usize)> = Vec::new(); // space, time of the last touch
        for (time, &example) in order.iter().enumerate() {
            let length = lengths[example];
            let best = (0..spaces.len())
                .filter(|&row| spaces[row].0 >= length)
                .min_by_key(|&row| (spaces[row].0, std::cmp::Reverse(spaces[row].1)));
            let row = best.unwrap_or_else(|| {
                spaces.push((capacity, 0));
                spaces.len() - 1
            });
            spaces[row] = (spaces[row].0 - length, time);
            rows[example] = row as u32;
        }
        (rows, spaces.len())
    }

    proptest! {
        #[test]
        fn best_fit_is_the_textbooks(
            capacity in 1_u32..300,
            shares in prop::collection::vec(0.0..1.0_f64, 0..200),
        ) {
            let lengths: Vec<_> = shares
                .iter()
                .map(|share| 1 + (share * f64::from(capacity)) as u32)
                .map(|length| length.min(capacity))
                .collect();
            let mut packer = Packer::new(capacity as usize);
            let (mut order, mut rows) = (Vec::new(), Vec::new());
            for _ in 0..2 {
                let count = packer.pack(&lengths, &mut order, &mut rows);
                prop_assert_eq!((rows.clone(), count), naive(&lengths, capacity));
            }
            let mut fill = vec![0; rows.iter().max().map_or(0, |row| *row as usize + 1)];
            for (&row, &length) in rows.iter().zip(&lengths) {
                fill[row as usize] += length;
            }
            prop_assert!(fill.iter().all(|&tokens| tokens <= capacity));
        }
    }

    /// A window costs next to nothing beside packing everything at once.
    #[test]
    fn windows_fill_rows_as_the_whole_does() {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f64 / f64::from(1 << 24)
        };
        let capacity = 2048_u32;
        let mut shapes: Vec<(&str, Vec<u32>)> = Vec::new();
        let mut shape = |name, length: &mut dyn FnMut(f64) -> f64| {
            let lengths = (0..200_000).map(|_| (length(uniform()) as u32).clamp(1, capacity));
            shapes.push((name, lengths.collect()));
        };
        shape("rationales", &mut |x| 50.0 / (1.0 - 0.975 * x));
        shape("any length", &mut |x| 2048.0 * x);
        shape("just over a half", &mut |x| 1025.0 + 100.0 * x);
        shape("just over a third", &mut |x| 683.0 + 20.0 * x);
        shape("two lengths", &mut |x| if x < 0.3 { 1500.0 } else { 300.0 });
        let mut packer = Packer::new(capacity as usize);
        let (mut order, mut rows) = (Vec::new(), Vec::new());
        for (name, lengths) in shapes {
            let tokens: f64 = lengths.iter().map(|&length| f64::from(length)).sum();
            let fill = |rows: usize| tokens / (rows as f64 * f64::from(capacity));
            let whole = fill(packer.pack(&lengths, &mut order, &mut rows));
            let windows = lengths.chunks(65_536);
            let windowed = fill(
                windows
                    .map(|window| packer.pack(window, &mut order, &mut rows))
                    .sum(),
            );
            assert!(whole - windowed < 0.002, "{name}: {whole} {windowed}");
        }
    }

    #[test]
    fn full_rows_take_nothing_more() {
        let (mut order, mut rows) = (Vec::new(), Vec::new());
        let count = Packer::new(8).pack(&[3, 8, 5, 1], &mut order, &mut rows);
        assert_eq!((count, rows), (3, vec![1, 0, 1, 2]));
        assert_eq!(order, [1, 2, 0, 3]);
    }
}
