//! Examples to rows that mix domains as the window does, in O(n log n).
//!
//! As many rows as the tokens need are there from the start. The longest example goes first, into
//! the row that has the fewest tokens of its domain; a few such rows are tried, then the row with
//! the least space that holds it is taken, then a row is opened. So every domain is dealt out evenly
//! and the short examples, which come last, fill the gaps that are left. A row of three examples
//! still mixes three domains at most: how even it gets depends on how long examples are in rows.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use crate::pack::by_length;

/// Rows of fewest tokens that are tried before balance gives way to fill.
const TRIES: usize = 8;

/// Packs examples into rows of `capacity` tokens, domain by domain.
///
/// Returns the number of rows; `rows` has the row of each example, and `order` the examples as they
/// were placed. The outcome depends on lengths and domains alone.
///
/// # Panics
/// If an example is longer than a row.
pub fn pack(
    lengths: &[u32],
    domains: &[i32],
    capacity: usize,
    order: &mut Vec<u32>,
    rows: &mut Vec<u32>,
) -> usize {
    by_length(lengths, capacity, order);
    let tokens: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
    let mut table = Table::new(tokens.div_ceil(capacity as u64) as usize, capacity as u32);
    let mut shares: HashMap<i32, Share> = HashMap::new();
    rows.clear();
    rows.resize(lengths.len(), 0);
    for &example in &*order {
        let length = lengths[example as usize];
        let next = shares.len();
        let share = shares
            .entry(domains[example as usize])
            .or_insert_with(|| Share::new(next * table.at_first / 7));
        let row = share
            .take(&table, length)
            .or_else(|| table.tightest(length))
            .unwrap_or_else(|| table.open());
        table.fill(row, length);
        share.add(row, length);
        rows[example as usize] = row;
    }
    number_anew(rows, table.spaces.len())
}

/// The rows and their free space.
struct Table {
    capacity: u32,
    at_first: usize,
    spaces: Vec<u32>,
    by_space: BTreeSet<(u32, u32)>,
}

impl Table {
    fn new(rows: usize, capacity: u32) -> Self {
        Self {
            capacity,
            at_first: rows,
            spaces: vec![capacity; rows],
            by_space: (0..rows as u32).map(|row| (capacity, row)).collect(),
        }
    }

    fn tightest(&self, length: u32) -> Option<u32> {
        self.by_space
            .range((length, 0)..)
            .next()
            .map(|&(_, row)| row)
    }

    fn open(&mut self) -> u32 {
        let row = self.spaces.len() as u32;
        self.spaces.push(self.capacity);
        self.by_space.insert((self.capacity, row));
        row
    }

    fn fill(&mut self, row: u32, length: u32) {
        let space = &mut self.spaces[row as usize];
        self.by_space.remove(&(*space, row));
        *space -= length;
        self.by_space.insert((*space, row));
    }
}

/// How the tokens of one domain lie in the rows.
struct Share {
    /// Domains begin at different rows, so that the first ones are not every domain's longest.
    start: usize,
    /// Rows that were looked at; those behind have none of this domain.
    seen: usize,
    /// Rows that were looked at, the fewest tokens of this domain first.
    rows: BinaryHeap<Reverse<(u32, u32)>>,
    /// The row that was taken, and its tokens of this domain before.
    taken: Option<(u32, u32)>,
}

impl Share {
    fn new(start: usize) -> Self {
        Self {
            start,
            seen: 0,
            rows: BinaryHeap::new(),
            taken: None,
        }
    }

    /// The row of the fewest tokens of this domain that holds `length` more, if one of a few does.
    fn take(&mut self, table: &Table, length: u32) -> Option<u32> {
        let mut full = [(0, 0); TRIES];
        let mut count = 0;
        self.taken = None;
        while count < TRIES {
            let (tokens, row) = if self.seen < table.spaces.len() {
                let row = if self.seen < table.at_first {
                    (self.start + self.seen) % table.at_first
                } else {
                    self.seen
                };
                self.seen += 1;
                (0, row as u32)
            } else {
                match self.rows.pop() {
                    Some(Reverse(fewest)) => fewest,
                    None => break,
                }
            };
            if table.spaces[row as usize] >= length {
                self.taken = Some((tokens, row));
                break;
            }
            full[count] = (tokens, row);
            count += 1;
        }
        self.rows.extend(full[..count].iter().copied().map(Reverse));
        self.taken.map(|(_, row)| row)
    }

    /// Counts `length` tokens in `row`; one that was taken for its space alone is counted later.
    fn add(&mut self, row: u32, length: u32) {
        if let Some((tokens, taken)) = self.taken {
            debug_assert_eq!(row, taken);
            self.rows.push(Reverse((tokens + length, row)));
        }
    }
}

/// Leaves out the rows that no example is in; returns how many there are.
fn number_anew(rows: &mut [u32], count: usize) -> usize {
    let mut numbers = vec![0; count];
    for &row in &*rows {
        numbers[row as usize] = 1;
    }
    let mut used = 0;
    for number in &mut numbers {
        used += std::mem::replace(number, used);
    }
    for row in rows {
        *row = numbers[*row as usize];
    }
    used as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pack::Packer;

    /// Rows of only a few examples could not mix well, however they were packed.
    const CAPACITY: usize = 8192;

    /// Lengths like those of rationales; domains of very different size, in stretches.
    fn corpus(count: usize) -> (Vec<u32>, Vec<i32>) {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f64 / f64::from(1 << 24)
        };
        let lengths = (0..count)
            .map(|_| ((50.0 / (1.0 - 0.975 * uniform())) as u32).min(2048))
            .collect();
        let domains = (0..count)
            .map(|n| ((n * 8 / count) as i32 - 1).min(4))
            .collect();
        (lengths, domains)
    }

    /// The mean over rows of half the sum of what each domain's share is off the whole's, and fill.
    fn measure(lengths: &[u32], domains: &[i32], rows: &[u32], count: usize) -> (f64, f64) {
        let mut tokens = vec![[0.0; 6]; count];
        let mut whole = [0.0; 6];
        for ((&length, &domain), &row) in lengths.iter().zip(domains).zip(rows) {
            tokens[row as usize][(domain + 1) as usize] += f64::from(length);
            whole[(domain + 1) as usize] += f64::from(length);
        }
        let total: f64 = whole.iter().sum();
        let off = |row: &[f64; 6]| {
            let sum: f64 = row.iter().sum();
            let parts = row.iter().zip(whole);
            parts
                .map(|(part, all)| (part / sum - all / total).abs())
                .sum::<f64>()
                / 2.0
        };
        let mean = tokens.iter().map(off).sum::<f64>() / count as f64;
        (mean, total / (count * CAPACITY) as f64)
    }

    #[test]
    fn rows_mix_domains_as_the_whole_does_at_little_cost() {
        let (lengths, domains) = corpus(30_000);
        let (mut order, mut rows) = (Vec::new(), Vec::new());
        let count = Packer::new(CAPACITY).pack(&lengths, &mut order, &mut rows);
        let (plain_off, plain_fill) = measure(&lengths, &domains, &rows, count);
        let count = pack(&lengths, &domains, CAPACITY, &mut order, &mut rows);
        let (off, fill) = measure(&lengths, &domains, &rows, count);
        assert!(off < plain_off / 3.0, "{off} {plain_off}");
        assert!(fill > plain_fill - 0.005, "{fill} {plain_fill}");
    }

    proptest! {
        #[test]
        fn every_example_fits_its_row_and_no_row_is_empty(
            examples in prop::collection::vec((1_u32..=64, -1..3), 0..300),
        ) {
            let (lengths, domains): (Vec<_>, Vec<_>) = examples.into_iter().unzip();
            let (mut order, mut rows) = (Vec::new(), Vec::new());
            let count = pack(&lengths, &domains, 64, &mut order, &mut rows);
            let mut fill = vec![0; count];
            for (&row, &length) in rows.iter().zip(&lengths) {
                fill[row as usize] += length;
            }
            prop_assert!(fill.iter().all(|&tokens| 0 < tokens && tokens <= 64));
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..lengths.len() as u32));
        }
    }
}
