//! Examples of one prompt to rows in which it is written once.
//!
//! The prompt of an example is what stands before the first token that the student writes. Examples
//! whose prompts have the same ids and kinds are a *group*. A group becomes one *trie*: the first of
//! its examples whole, then of the others what follows their prompt, in input order. One that is
//! longer than a row becomes several tries, each with the prompt, its completions dealt out best fit
//! decreasing; so the prompt is repeated as rarely as that finds. Tries are packed like examples. A
//! pair is a trie even where no other example has its prompt.

use std::collections::HashMap;

use crate::pack;
use crate::template::SpanKind;
use crate::tokenize::Run;
use crate::window::{Packed, Side, Window};

/// The prompt that an example has in common with others of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// How many of its first tokens it is, of both sides of a pair.
    pub prompt: u32,
    /// Whether it stands in the row already.
    pub is_written: bool,
}

/// Packs groups into rows again and again.
#[derive(Debug)]
pub struct Packer {
    capacity: usize,
    rows: pack::Packer,
}

/// Examples that stand together, the first of them with the prompt.
struct Trie {
    tokens: u32,
    prompt: u32,
    examples: Vec<u32>,
}

impl Packer {
    /// A packer for rows of `capacity` tokens.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            rows: pack::Packer::new(capacity),
        }
    }

    /// The row of each example, in `row_of`; the number of rows; and what each example shares.
    ///
    /// `order` is left with the examples as they stand in their rows.
    ///
    /// # Panics
    /// If an example is longer than a row.
    pub(crate) fn pack(
        &mut self,
        window: &Window,
        order: &mut Vec<u32>,
        row_of: &mut Vec<u32>,
    ) -> (usize, Vec<Option<Shared>>) {
        let tries = self.tries(window);
        let lengths: Vec<_> = tries.iter().map(|trie| trie.tokens).collect();
        let (mut placed, mut rows) = (Vec::new(), Vec::new());
        let count = self.rows.pack(&lengths, &mut placed, &mut rows);
        let mut shared = vec![None; window.len()];
        order.clear();
        row_of.clear();
        row_of.resize(window.len(), 0);
        for number in placed {
            let trie = &tries[number as usize];
            for (place, &example) in trie.examples.iter().enumerate() {
                order.push(example);
                row_of[example as usize] = rows[number as usize];
                shared[example as usize] = (trie.prompt > 0).then_some(Shared {
                    prompt: trie.prompt,
                    is_written: place > 0,
                });
            }
        }
        (count, shared)
    }

    /// The tries of all groups, in the order of the groups' first examples.
    fn tries(&mut self, window: &Window) -> Vec<Trie> {
        let mut groups: Vec<(u32, Vec<u32>)> = Vec::new();
        let mut numbers: HashMap<Prompt<'_>, usize> = HashMap::new();
        for example in 0..window.len() as u32 {
            let prompt = common_prompt(&window.packed(example as usize));
            let tokens = prompt.as_ref().map_or(0, |prompt| prompt.ids.len() as u32);
            let next = groups.len();
            let number = prompt.map_or(next, |prompt| *numbers.entry(prompt).or_insert(next));
            if number == next {
                groups.push((tokens, Vec::new()));
            }
            groups[number].1.push(example);
        }
        groups
            .into_iter()
            .flat_map(|(prompt, examples)| self.split(window, prompt, examples))
            .collect()
    }

    /// One trie, or as many as a group needs that is longer than a row.
    fn split(&mut self, window: &Window, prompt: u32, examples: Vec<u32>) -> Vec<Trie> {
        let shared = (prompt > 0).then_some(Shared {
            prompt,
            is_written: true,
        });
        let own = |&example: &u32| {
            let packed = window.packed(example as usize);
            Packed { shared, ..packed }.stored_tokens() as u32
        };
        let lengths: Vec<_> = examples.iter().map(own).collect();
        let tokens = lengths.iter().map(|&length| length as usize).sum::<usize>();
        if prompt as usize + tokens <= self.capacity {
            let tokens = prompt + tokens as u32;
            return vec![Trie {
                tokens,
                prompt,
                examples,
            }];
        }
        let (mut order, mut trie_of) = (Vec::new(), Vec::new());
        let taken = prompt as usize;
        let count = self
            .rows
            .pack_behind(taken, &lengths, &mut order, &mut trie_of);
        let mut tries: Vec<_> = (0..count)
            .map(|_| Trie {
                tokens: prompt,
                prompt,
                examples: Vec::new(),
            })
            .collect();
        for ((example, length), number) in examples.into_iter().zip(lengths).zip(trie_of) {
            let trie = &mut tries[number as usize];
            trie.tokens += length;
            trie.examples.push(example);
        }
        tries
    }
}

/// A prompt; adjacent runs of one kind are one.
#[derive(PartialEq, Eq, Hash)]
struct Prompt<'a> {
    ids: &'a [u32],
    runs: Vec<Run>,
}

impl<'a> Prompt<'a> {
    /// That of an example which goes on behind it.
    fn of(side: Side<'a>) -> Option<Self> {
        let mut runs: Vec<Run> = Vec::new();
        let mut tokens = 0;
        for run in side.runs.iter().take_while(|run| is_prompt(run.kind)) {
            tokens += run.tokens as usize;
            match runs.last_mut() {
                Some(last) if last.kind == run.kind => last.tokens += run.tokens,
                _ => runs.push(*run),
            }
        }
        let ids = &side.ids[..tokens];
        (0 < tokens && tokens < side.ids.len()).then_some(Self { ids, runs })
    }
}

/// The prompt of an example, of a pair that of both sides; none if they differ.
fn common_prompt<'a>(example: &Packed<'a>) -> Option<Prompt<'a>> {
    let (chosen, rejected) = example.sides();
    let prompt = Prompt::of(chosen)?;
    match rejected {
        Some(rejected) => (Prompt::of(rejected)? == prompt).then_some(prompt),
        None => Some(prompt),
    }
}

/// Whether tokens of a kind come before all that the student writes.
fn is_prompt(kind: u8) -> bool {
    [SpanKind::Prompt, SpanKind::Question, SpanKind::SoftPrompt]
        .into_iter()
        .any(|each| each.code() == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of examples of `(prompt, tokens behind it)`, as (example, tokens that it takes).
    fn rows(capacity: usize, examples: &[(&[u32], u32)]) -> Vec<Vec<(usize, usize)>> {
        let mut window = Window::default();
        for &(prompt, more) in examples {
            let ids: Vec<_> = prompt.iter().copied().chain(100..100 + more).collect();
            let run = |kind, tokens| Run { kind, tokens };
            window.push(Packed {
                ids: &ids,
                // The prompt's runs are cut as they come.
                runs: &[run(0, 1), run(0, prompt.len() as u32 - 1), run(2, more)],
                example_id: 0,
                domain: -1,
                template: 0,
                chosen: 0,
                shared: None,
            });
        }
        let (mut order, mut row_of) = (Vec::new(), Vec::new());
        let (count, shared) = Packer::new(capacity).pack(&window, &mut order, &mut row_of);
        let mut rows = vec![Vec::new(); count];
        for example in order {
            let example = example as usize;
            let packed = Packed {
                shared: shared[example],
                ..window.packed(example)
            };
            rows[row_of[example] as usize].push((example, packed.stored_tokens()));
        }
        rows
    }

    #[test]
    fn examples_of_one_prompt_stand_together_and_it_is_written_once() {
        let (a, b): (&[u32], &[u32]) = (&[1, 2, 3], &[1, 2, 4]);
        let found = rows(16, &[(a, 2), (b, 1), (a, 4), (a, 1), (b, 2)]);
        assert_eq!(found, [vec![(0, 5), (2, 4), (3, 1), (1, 4), (4, 2)]]);
    }

    #[test]
    fn a_group_longer_than_a_row_repeats_its_prompt_in_each() {
        let a: &[u32] = &[1, 2, 3];
        let found = rows(10, &[(a, 4), (a, 2), (a, 5), (a, 3), (&[9, 9], 1)]);
        // Behind the prompt there is room for 7: 5 + 2, and 4 + 3.
        assert_eq!(
            found,
            [vec![(1, 5), (2, 5)], vec![(0, 7), (3, 3)], vec![(4, 3)]]
        );
    }

    #[test]
    fn a_prompt_alone_is_no_group() {
        let found = rows(10, &[(&[1, 2], 0), (&[1, 2], 0), (&[1, 2], 1)]);
        assert_eq!(found, [vec![(2, 3), (0, 2), (1, 2)]]);
    }
}
