//! Prompts that were tokenized before: many records ask the same question.
//!
//! Shared by all threads, in shards with a lock each. A prompt is known by a 128-bit hash of its
//! question, as duplicates are (see `filter`). Bounded: a shard that is full forgets everything.
//!
//! Performance note: of 200,448 rationale records (106.5 MB) the questions are 69.8 MB, and distinct
//! ones 27.7 MB, so remembering them saves 40 % of the bytes to encode. They come back late, half of
//! them after more than 26,000 records: to remember the last few would not help, nor would a memory
//! for each thread, which sees only its share of them. So a prompt is in no cache of the processor any more:
//! its place is loaded while the filters are asked, and its tokens while the completion is encoded. Without
//! that the pass without filters took three per cent more.

use std::sync::{Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_128;

use super::Example;
use super::spans::Run;
use crate::ahead::{Table, fetch};

const SHARDS: usize = 16;
/// Words of a shard at most: 4 MiB, in all shards 64 MiB.
const SHARD_WORDS: usize = 1 << 20;
/// Of a prompt the counts of its runs and ids, before them.
const COUNTS: usize = 2;
/// Words in a line of a processor's cache, 64 bytes.
const WORDS_OF_LINE: usize = 16;
/// Lines of a prompt that are loaded ahead; the processor sees by itself that the others follow.
const LINES_AHEAD: usize = 8;

/// Tokens and kinds by question.
#[derive(Default)]
pub(super) struct Prompts {
    shards: [Mutex<Shard>; SHARDS],
}

/// The hash of a question, and of the prompt around it.
#[derive(Clone, Copy)]
pub(super) struct Question(u128);

#[derive(Default)]
struct Shard {
    /// Where in the words the prompt of a question begins.
    starts: Table<32>,
    /// The counts of a prompt, its runs, two words each, then its ids: together, as memory is slow.
    words: Vec<u32>,
}

impl Question {
    pub fn of(text: &str, prompt_number: u32) -> Self {
        // Beside the bits that choose the shard, so that prompts of a question share its lock.
        Self(xxh3_128(text.as_bytes()) ^ u128::from(prompt_number) << 64)
    }
}

impl Prompts {
    /// Begins to load the place of a prompt.
    pub fn fetch(&self, question: Question) {
        self.shard(question).starts.fetch(question.0);
    }

    /// Begins to load a prompt, whose place should be there by now.
    pub fn fetch_words(&self, question: Question) {
        let shard = self.shard(question);
        if let Some(start) = shard.starts.get(question.0) {
            let lines = shard.words[start as usize..].chunks(WORDS_OF_LINE);
            lines.take(LINES_AHEAD).for_each(|line| fetch(&line[0]));
        }
    }

    /// Appends the prompt of a question to an example; `false` where it is not known.
    pub fn get(&self, question: Question, example: &mut Example) -> bool {
        let shard = self.shard(question);
        let Some(start) = shard.starts.get(question.0) else {
            return false;
        };
        let (counts, words) = shard.words[start as usize..].split_at(COUNTS);
        let (runs, rest) = words.split_at(2 * counts[0] as usize);
        let run = |&[kind, tokens]: &[u32; 2]| Run {
            kind: kind as u8,
            tokens,
        };
        example.runs.extend(runs.as_chunks().0.iter().map(run));
        example.ids.extend_from_slice(&rest[..counts[1] as usize]);
        true
    }

    /// Remembers the prompt of a question.
    pub fn insert(&self, question: Question, ids: &[u32], runs: &[Run]) {
        let count = COUNTS + 2 * runs.len() + ids.len();
        if count > SHARD_WORDS {
            return;
        }
        let mut shard = self.shard(question);
        let shard = &mut *shard;
        // Of what is reserved only what is written takes memory, and nothing is moved as it grows.
        shard.words.reserve_exact(SHARD_WORDS - shard.words.len());
        if shard.words.len() + count > SHARD_WORDS {
            shard.starts.clear();
            shard.words.clear();
        }
        let start = shard.words.len();
        if !shard.starts.insert(question.0, start as u128) {
            return;
        }
        let pair = |run: &Run| [u32::from(run.kind), run.tokens];
        shard.words.extend([runs.len() as u32, ids.len() as u32]);
        shard.words.extend(runs.iter().flat_map(pair));
        shard.words.extend_from_slice(ids);
    }

    fn shard(&self, question: Question) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[question.0 as usize % SHARDS];
        // What a thread leaves behind that panicked is at worst not found again.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(prompts: &Prompts, question: Question, id: u32, count: usize) {
        let tokens = count as u32;
        prompts.insert(question, &vec![id; count], &[Run { kind: 1, tokens }]);
    }

    #[test]
    fn a_full_shard_forgets_and_goes_on() {
        let prompts = Prompts::default();
        let question = |number: u32| Question((u128::from(number) + 1) << 32);
        for number in 0..100 {
            insert(&prompts, question(number), number, 100_000);
            let run = |kind, tokens| Run { kind, tokens };
            let mut found = Example {
                ids: vec![7],
                runs: vec![run(0, 1)],
                ..Example::default()
            };
            assert!(prompts.get(question(number), &mut found));
            assert_eq!(found.ids[..2], [7, number]);
            assert_eq!(found.ids.len(), 100_001);
            assert_eq!(found.runs, [run(0, 1), run(1, 100_000)]);
        }
        assert!(!prompts.get(question(0), &mut Example::default()));
        let shard = prompts.shard(question(0));
        assert!(shard.words.len() <= SHARD_WORDS);
    }

    #[test]
    fn a_prompt_without_end_is_not_kept() {
        let prompts = Prompts::default();
        let question = Question::of("q", 0);
        insert(&prompts, question, 0, SHARD_WORDS);
        assert!(!prompts.get(question, &mut Example::default()));
    }
}
