//! Prompts that were tokenized before: many records ask the same question.
//!
//! Shared by all threads, in shards with a lock each. A prompt is known by a 128-bit hash of its
//! question, as duplicates are (see `filter`). Bounded: a shard that is full forgets everything.
//!
//! Performance note: of 200,448 rationale records (106.5 MB) the questions are 69.8 MB, and distinct
//! ones 27.7 MB, so remembering them saves 40 % of the bytes to encode. They come back late, half of
//! them after more than 26,000 records: to remember the last few would not help, nor would a memory
//! for each thread, which sees only its share of them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_128;

use super::Example;
use super::spans::Run;

const SHARDS: usize = 16;
/// Tokens of a shard at most: 4 MiB, in all shards 64 MiB.
const SHARD_TOKENS: usize = 1 << 20;

/// Tokens and kinds by question.
#[derive(Default)]
pub(super) struct Prompts {
    shards: [Mutex<Shard>; SHARDS],
}

/// The hash of a question.
#[derive(Clone, Copy)]
pub(super) struct Question(u128);

#[derive(Default)]
struct Shard {
    prompts: HashMap<u128, Prompt>,
    ids: Vec<u32>,
    runs: Vec<Run>,
}

struct Prompt {
    ids: Range<u32>,
    runs: Range<u32>,
}

impl Question {
    pub fn of(text: &str) -> Self {
        Self(xxh3_128(text.as_bytes()))
    }
}

impl Prompts {
    /// Appends the prompt of a question to an example; `false` where it is not known.
    pub fn get(&self, question: Question, example: &mut Example) -> bool {
        let shard = self.shard(question);
        let Some(Prompt { ids, runs }) = shard.prompts.get(&question.0) else {
            return false;
        };
        let (ids, runs) = (range(ids), range(runs));
        example.ids.extend_from_slice(&shard.ids[ids]);
        example.runs.extend_from_slice(&shard.runs[runs]);
        true
    }

    /// Remembers the prompt of a question, which is all that `example` holds so far.
    pub fn insert(&self, question: Question, example: &Example) {
        if example.ids.len() > SHARD_TOKENS {
            return;
        }
        let mut shard = self.shard(question);
        let shard = &mut *shard;
        if shard.ids.len() + example.ids.len() > SHARD_TOKENS {
            shard.prompts.clear();
            shard.ids.clear();
            shard.runs.clear();
        }
        let prompt = Prompt {
            ids: appended(&mut shard.ids, &example.ids),
            runs: appended(&mut shard.runs, &example.runs),
        };
        shard.prompts.insert(question.0, prompt);
    }

    fn shard(&self, question: Question) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[question.0 as usize % SHARDS];
        // What a thread leaves behind that panicked is at worst not found again.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn appended<T: Copy>(all: &mut Vec<T>, more: &[T]) -> Range<u32> {
    // A shard has fewer than 2³² of either: there is no run without a token.
    let start = all.len() as u32;
    all.extend_from_slice(more);
    start..all.len() as u32
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(id: u32, count: usize) -> Example {
        let tokens = count as u32;
        Example {
            ids: vec![id; count],
            runs: vec![Run { kind: 1, tokens }],
            ..Example::default()
        }
    }

    #[test]
    fn a_full_shard_forgets_and_goes_on() {
        let prompts = Prompts::default();
        let question = |number: u32| Question(u128::from(number) * SHARDS as u128);
        for number in 0..100 {
            prompts.insert(question(number), &example(number, 100_000));
            let mut found = example(7, 1);
            assert!(prompts.get(question(number), &mut found));
            assert_eq!(found.ids[..2], [7, number]);
            assert_eq!(found.runs.len(), 2);
        }
        assert!(!prompts.get(question(0), &mut Example::default()));
        let shard = prompts.shard(question(0));
        assert!(shard.ids.len() <= SHARD_TOKENS && shard.prompts.len() <= 10);
    }

    #[test]
    fn a_prompt_without_end_is_not_kept() {
        let prompts = Prompts::default();
        let question = Question::of("q");
        prompts.insert(question, &example(0, SHARD_TOKENS + 1));
        assert!(!prompts.get(question, &mut Example::default()));
    }
}
