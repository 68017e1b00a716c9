//! The rows of a window: which examples each has, in which order.

use crate::balance;
use crate::config::Packing;
use crate::pack;
use crate::trie;
use crate::window::{Packed, Window};

/// How rows are chosen.
#[derive(Debug)]
enum Way {
    BestFit(pack::Packer),
    Balanced { max_length: usize },
    Trie(trie::Packer),
    Alone,
}

/// Arranges window after window, with the same memory.
#[derive(Debug)]
pub struct Arranger {
    way: Way,
    order: Vec<u32>,
    row_of: Vec<u32>,
    /// Where each row begins in `members`, the examples sorted by row.
    row_starts: Vec<u32>,
    members: Vec<u32>,
}

impl Arranger {
    /// An arranger of rows of `max_length` tokens.
    pub fn new(packing: Packing, max_length: usize) -> Self {
        let way = match packing {
            Packing::Bfd => Way::BestFit(pack::Packer::new(max_length)),
            Packing::DomainBalanced => Way::Balanced { max_length },
            Packing::Trie => Way::Trie(trie::Packer::new(max_length)),
            Packing::None => Way::Alone,
        };
        Self {
            way,
            order: Vec::new(),
            row_of: Vec::new(),
            row_starts: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Hands every row to `row` and empties the window; returns the number of rows.
    pub fn empty<E>(
        &mut self,
        window: &mut Window,
        mut row: impl FnMut(&mut dyn Iterator<Item = Packed<'_>>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let rows = self.arrange(window);
        for index in 0..rows {
            let members = self.row_starts[index] as usize..self.row_starts[index + 1] as usize;
            row(&mut members.map(|at| {
                window.fetch(&self.members[at + 1..]);
                window.packed(self.members[at] as usize)
            }))?;
        }
        window.clear();
        Ok(rows as u64)
    }

    /// Sorts the examples by row into `members`, within a row as they were placed.
    fn arrange(&mut self, window: &mut Window) -> usize {
        let examples = window.len();
        let (order, row_of) = (&mut self.order, &mut self.row_of);
        let rows = match &mut self.way {
            Way::BestFit(packer) => packer.pack(&window.lengths, order, row_of),
            Way::Balanced { max_length } => {
                balance::pack(&window.lengths, &window.domains, *max_length, order, row_of)
            }
            Way::Trie(packer) => {
                let (rows, shared) = packer.pack(window, order, row_of);
                window.shared = shared;
                rows
            }
            Way::Alone => {
                order.clear();
                order.extend(0..examples as u32);
                row_of.clone_from(order);
                examples
            }
        };
        self.row_starts.clear();
        self.row_starts.resize(rows + 2, 0);
        for &row in &self.row_of {
            self.row_starts[row as usize + 2] += 1;
        }
        for row in 2..self.row_starts.len() {
            self.row_starts[row] += self.row_starts[row - 1];
        }
        self.members.clear();
        self.members.resize(examples, 0);
        for &example in &self.order {
            // One ahead: after the loop each entry is where its row begins.
            let slot = &mut self.row_starts[self.row_of[example as usize] as usize + 1];
            self.members[*slot as usize] = example;
            *slot += 1;
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenize::Run;

    fn rows(packing: Packing, lengths: &[usize]) -> Vec<Vec<(i64, Vec<u32>)>> {
        let mut window = Window::default();
        let mut arranger = Arranger::new(packing, 8);
        let mut found = Vec::new();
        for _ in 0..2 {
            found.clear();
            for (number, &length) in lengths.iter().enumerate() {
                window.push(Packed {
                    ids: &vec![number as u32; length],
                    runs: &[Run {
                        kind: number as u8,
                        tokens: length as u32,
                    }],
                    example_id: number as i64 * 10,
                    domain: -1,
                    template: 0,
                    chosen: 0,
                    shared: None,
                });
            }
            let count = arranger.empty(&mut window, |row| {
                found.push(row.map(|one| (one.example_id, one.ids.to_vec())).collect());
                Ok::<_, ()>(())
            });
            assert_eq!(count, Ok(found.len() as u64));
            assert!(window.is_empty());
        }
        found
    }

    #[test]
    fn packed_rows_hold_each_example_once() {
        let found = rows(Packing::Bfd, &[3, 8, 5, 1, 2]);
        let one = |number: u32, length| (i64::from(number) * 10, vec![number; length]);
        let expected = vec![
            vec![one(1, 8)],
            vec![one(2, 5), one(0, 3)],
            vec![one(4, 2), one(3, 1)],
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn unpacked_rows_keep_the_order() {
        let found = rows(Packing::None, &[1, 3, 2]);
        let ids: Vec<_> = found.iter().map(|row| (row.len(), row[0].0)).collect();
        assert_eq!(ids, [(1, 0), (1, 10), (1, 20)]);
    }
}
