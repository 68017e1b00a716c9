//! The examples that are packed together, held until there are enough of them.

use std::ops::Range;

use crate::ahead::fetch;
use crate::tokenize::Run;
use crate::trie::Shared;

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

/// Tokens of a window at most, but for its last example: 64 MiB of ids, however long examples are.
const WINDOW_TOKENS: usize = 1 << 24;
/// Ids in a line of a processor's cache, 64 bytes.
const IDS_OF_LINE: usize = 16;
/// Lines of an example that are loaded ahead; the processor sees by itself that the others follow.
const LINES_AHEAD: usize = 64;

/// A bounded number of examples, in the order in which they came; its memory can be used again.
///
/// Performance note: rows take them in another order, each from memory that no cache holds any more. So
/// what is known of one stands together, and is loaded while those before it are written.
#[derive(Debug)]
pub struct Window {
    ids: Vec<u32>,
    runs: Vec<Run>,
    examples: Vec<Place>,
    /// What rows are chosen by: tokens of each example, and its domain.
    pub(crate) lengths: Vec<u32>,
    pub(crate) domains: Vec<i32>,
    /// Of examples whose prompt is written once; empty where none is.
    pub(crate) shared: Vec<Option<Shared>>,
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

impl Default for Window {
    fn default() -> Self {
        Self {
            // Of this only what is written takes memory, and nothing is moved as it grows.
            ids: Vec::with_capacity(WINDOW_TOKENS),
            runs: Vec::new(),
            examples: Vec::new(),
            lengths: Vec::new(),
            domains: Vec::new(),
            shared: Vec::new(),
        }
    }
}

impl Window {
    /// How many examples it holds.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// Whether it holds `most` examples, or all the tokens it may.
    pub fn is_full(&self, most: usize) -> bool {
        self.len() >= most || self.ids.len() >= WINDOW_TOKENS
    }

    /// Adds an example; what it shares is found out when rows are made.
    pub fn push(&mut self, example: Packed<'_>) {
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

    /// The example with this number among them.
    pub fn packed(&self, example: usize) -> Packed<'_> {
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
    pub(crate) fn fetch(&self, examples: &[u32]) {
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

    /// Forgets all examples, and keeps the memory.
    pub fn clear(&mut self) {
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

    #[test]
    fn it_is_full_by_examples_or_by_tokens() {
        for (length, most, expected) in [(3, 5, 5), ((1 << 20) - 1, 100, 17)] {
            let mut window = Window::default();
            let ids = vec![0; length];
            for _ in 0..2 {
                while !window.is_full(most) {
                    window.push(Packed {
                        ids: &ids,
                        runs: &[],
                        example_id: 0,
                        domain: -1,
                        template: 0,
                        chosen: 0,
                        shared: None,
                    });
                }
                assert_eq!(window.len(), expected);
                window.clear();
                assert!(window.is_empty());
            }
        }
    }
}
