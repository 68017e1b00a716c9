//! The examples that are packed together, held until there are enough of them.

use std::ops::Range;

use crate::ahead::fetch;
use crate::balance;
use crate::config::Packing;
use crate::pack::Packer;
use crate::tokenize::Run;
use crate::trie::{self, Shared};

/// One example on its way into a row.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    /// Token ids.
    pub ids: &'a [u32],
    /// Their span kinds.
    pub runs: &'a [Run],
    /// Its number among the candidates.
    pub example_id: i64,
    /// Index of its domain; −1 is none.
    pub domain: i32,
    /// The number of its template.
    pub template: i32,
    /// Of a pair, how many of the tokens are what is chosen; 0 of a single example.
    pub chosen: u32,
    /// The prompt that it has in common with others of its row, where that is written once.
    pub shared: Option<Shared>,
}

/// One example, of a pair or by itself.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Token ids.
    pub ids: &'a [u32],
    /// Their span kinds.
    pub runs: &'a [Run],
}

impl<'a> Packed<'a> {
    /// The single example, or what is chosen and what is rejected.
    pub fn sides(&self) -> (Side<'a>, Option<Side<'a>>) {
        let (ids, runs) = (self.ids, self.runs);
        let chosen = self.chosen as usize;
        if chosen == 0 {
            return (Side { ids, runs }, None);
        }
        let mut tokens = 0;
        let before = runs.iter().take_while(|run| {
            tokens += run.tokens as usize;
            tokens <= chosen
        });
        let (runs, more_runs) = runs.split_at(before.count());
        let (ids, more_ids) = ids.split_at(chosen);
        let rejected = Side {
            ids: more_ids,
            runs: more_runs,
        };
        (Side { ids, runs }, Some(rejected))
    }

    /// How many tokens it takes in its row.
    pub fn stored_tokens(&self) -> usize {
        let full = self.ids.len();
        self.shared.map_or(full, |shared| {
            let sides = if self.chosen == 0 { 1 } else { 2 };
            full - shared.prompt as usize * (sides - usize::from(!shared.is_written))
        })
    }
}

/// How rows are chosen.
#[derive(Debug)]
enum Way {
    BestFit(Packer),
    Balanced { max_length: usize },
    Trie(trie::Packer),
    Alone,
}

/// Tokens of a window at most, but for its last example: 64 MiB of ids, however long examples are.
const WINDOW_TOKENS: usize = 1 << 24;
/// Ids in a line of a processor's cache, 64 bytes.
const IDS_OF_LINE: usize = 16;
/// Lines of an example that are loaded ahead; the processor sees by itself that the others follow.
const LINES_AHEAD: usize = 64;

/// A bounded number of examples; its memory is used for every window.
#[derive(Debug)]
pub struct Window {
    size: usize,
    way: Way,
    held: Held,
    order: Vec<u32>,
    row_of: Vec<u32>,
    /// Where each row begins in `members`, the examples sorted by row.
    row_starts: Vec<u32>,
    members: Vec<u32>,
}

/// The examples of a window, in the order in which they came.
///
/// Performance note: rows take them in another order, each from memory that no cache holds any more. So
/// what is known of one stands together, and is loaded while those before it are written.
#[derive(Debug, Default)]
pub(crate) struct Held {
    ids: Vec<u32>,
    runs: Vec<Run>,
    examples: Vec<Place>,
    /// What rows are chosen by: tokens of each example, and its domain.
    lengths: Vec<u32>,
    domains: Vec<i32>,
    /// Of examples whose prompt is written once; empty where none is.
    shared: Vec<Option<Shared>>,
}

/// Where the tokens of an example are, and the rest of it.
#[derive(Debug)]
struct Place {
    tokens: Range<usize>,
    runs: Range<usize>,
    example_id: i64,
    domain: i32,
    template: i32,
    chosen: u32,
}

impl Window {
    /// A window of `size` examples for rows of `max_length` tokens.
    pub fn new(packing: Packing, size: usize, max_length: usize) -> Self {
        let way = match packing {
            Packing::Bfd => Way::BestFit(Packer::new(max_length)),
            Packing::DomainBalanced => Way::Balanced { max_length },
            Packing::Trie => Way::Trie(trie::Packer::new(max_length)),
            Packing::None => Way::Alone,
        };
        Self {
            size,
            way,
            held: Held {
                // Of this only what is written takes memory, and nothing is moved as it grows.
                ids: Vec::with_capacity(WINDOW_TOKENS),
                ..Held::default()
            },
            order: Vec::new(),
            row_of: Vec::new(),
            row_starts: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Whether it holds as many examples as it should, or all the tokens it may.
    pub fn is_full(&self) -> bool {
        // Unpacked rows gain nothing from waiting.
        let alone = matches!(self.way, Way::Alone);
        let most = if alone { 1 } else { self.size };
        self.held.len() >= most || self.held.ids.len() >= WINDOW_TOKENS
    }

    /// Adds an example; what it shares is found out here.
    pub fn push(&mut self, example: Packed<'_>) {
        self.held.push(example);
    }

    /// Hands every row to `row` and empties the window; returns the number of rows.
    pub fn empty<E>(
        &mut self,
        mut row: impl FnMut(&mut dyn Iterator<Item = Packed<'_>>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let rows = self.arrange();
        for index in 0..rows {
            let members = self.row_starts[index] as usize..self.row_starts[index + 1] as usize;
            row(&mut members.map(|at| {
                self.held.fetch(&self.members[at + 1..]);
                self.held.packed(self.members[at] as usize)
            }))?;
        }
        self.held.clear();
        Ok(rows as u64)
    }

    /// Sorts the examples by row into `members`, within a row as they were placed.
    fn arrange(&mut self) -> usize {
        let examples = self.held.len();
        let (held, order, row_of) = (&mut self.held, &mut self.order, &mut self.row_of);
        let rows = match &mut self.way {
            Way::BestFit(packer) => packer.pack(&held.lengths, order, row_of),
            Way::Balanced { max_length } => {
                balance::pack(&held.lengths, &held.domains, *max_length, order, row_of)
            }
            Way::Trie(packer) => {
                let (rows, shared) = packer.pack(held, order, row_of);
                held.shared = shared;
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

impl Held {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.examples.len()
    }

    pub(crate) fn push(&mut self, example: Packed<'_>) {
        let (token_start, run_start) = (self.ids.len(), self.runs.len());
        self.ids.extend_from_slice(example.ids);
        self.runs.extend_from_slice(example.runs);
        self.examples.push(Place {
            tokens: token_start..self.ids.len(),
            runs: run_start..self.runs.len(),
            example_id: example.example_id,
            domain: example.domain,
            template: example.template,
            chosen: example.chosen,
        });
        self.lengths.push(example.ids.len() as u32);
        self.domains.push(example.domain);
    }

    pub(crate) fn packed(&self, example: usize) -> Packed<'_> {
        let place = &self.examples[example];
        Packed {
            ids: &self.ids[place.tokens.clone()],
            runs: &self.runs[place.runs.clone()],
            example_id: place.example_id,
            domain: place.domain,
            template: place.template,
            chosen: place.chosen,
            shared: self.shared.get(example).copied().flatten(),
        }
    }

    /// Begins to load the tokens of the first of these examples, and what is known of the second.
    fn fetch(&self, examples: &[u32]) {
        let mut examples = examples
            .iter()
            .map(|&example| &self.examples[example as usize]);
        if let Some(next) = examples.next() {
            let lines = self.ids[next.tokens.clone()].chunks(IDS_OF_LINE);
            lines.take(LINES_AHEAD).for_each(|line| fetch(&line[0]));
            if let Some(run) = self.runs[next.runs.clone()].first() {
                fetch(run);
            }
        }
        if let Some(after) = examples.next() {
            fetch(after);
        }
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.runs.clear();
        self.examples.clear();
        self.lengths.clear();
        self.domains.clear();
        self.shared.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(packing: Packing, lengths: &[usize]) -> Vec<Vec<(i64, Vec<u32>)>> {
        let mut window = Window::new(packing, 100, 8);
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
            let count = window.empty(|row| {
                found.push(row.map(|one| (one.example_id, one.ids.to_vec())).collect());
                Ok::<_, ()>(())
            });
            assert_eq!(count, Ok(found.len() as u64));
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
    fn long_examples_fill_a_window_before_their_number_does() {
        let mut window = Window::new(Packing::Bfd, 100, 1 << 20);
        let ids = vec![0; (1 << 20) - 1];
        let mut count = 0;
        while !window.is_full() {
            window.push(Packed {
                ids: &ids,
                runs: &[],
                example_id: count,
                domain: -1,
                template: 0,
                chosen: 0,
                shared: None,
            });
            count += 1;
        }
        assert_eq!(count, 17);
    }

    #[test]
    fn unpacked_rows_keep_the_order() {
        let found = rows(Packing::None, &[1, 3, 2]);
        let ids: Vec<_> = found.iter().map(|row| (row.len(), row[0].0)).collect();
        assert_eq!(ids, [(1, 0), (1, 10), (1, 20)]);
    }
}
