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

use super::Example;
use super::spans::Run;
use crate::ahead::{Table, fetch};
use crate::asked::Asked;
use crate::narrow;

const SHARDS: usize = 16;
/// Bytes of a shard at most: 4 MiB, in all shards 64 MiB.
const SHARD_BYTES: usize = 4 << 20;
/// Bytes of a line of a processor's cache.
const LINE: usize = 64;
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
    /// Where in the bytes the prompt of a question begins.
    starts: Table<32>,
    /// The counts of a prompt's runs and ids, its runs, of which each is two numbers too, then its ids.
    bytes: Vec<u8>,
}

/// Bytes of two numbers.
const PAIR: usize = size_of::<u64>();

impl Question {
    pub fn of(asked: Asked<'_>, prompt_number: u32) -> Self {
        // Beside the bits that choose the shard, so that prompts of a question share its lock.
        Self(asked.hash() ^ u128::from(prompt_number) << 64)
    }
}

impl Prompts {
    /// Begins to load the place of a prompt.
    pub fn fetch(&self, question: Question) {
        self.shard(question).starts.fetch(question.0);
    }

    /// Begins to load a prompt, whose place should be there by now.
    pub fn fetch_bytes(&self, question: Question) {
        let shard = self.shard(question);
        if let Some(start) = shard.starts.get(question.0) {
            let lines = shard.bytes[start as usize..].chunks(LINE);
            lines.take(LINES_AHEAD).for_each(|line| fetch(&line[0]));
        }
    }

    /// Appends the prompt of a question to an example; `false` where it is not known.
    pub fn get(&self, question: Question, example: &mut Example) -> bool {
        let shard = self.shard(question);
        let Some(start) = shard.starts.get(question.0) else {
            return false;
        };
        let prompt = shard.bytes.get(start as usize..);
        prompt.is_some_and(|prompt| take(prompt, example).is_some())
    }

    /// Remembers the prompt of a question.
    pub fn insert(&self, question: Question, ids: &[u32], runs: &[Run]) {
        let most = PAIR * (1 + runs.len()) + narrow::bytes_at_most(ids.len());
        if most > SHARD_BYTES {
            return;
        }
        let mut shard = self.shard(question);
        let shard = &mut *shard;
        // Of what is reserved only what is written takes memory, and nothing is moved as it grows.
        shard.bytes.reserve_exact(SHARD_BYTES - shard.bytes.len());
        if shard.bytes.len() + most > SHARD_BYTES {
            shard.starts.clear();
            shard.bytes.clear();
        }
        let start = shard.bytes.len();
        if !shard.starts.insert(question.0, start as u128) {
            return;
        }
        put_pair([runs.len() as u32, ids.len() as u32], &mut shard.bytes);
        for run in runs {
            put_pair([run.kind.into(), run.tokens], &mut shard.bytes);
        }
        narrow::put(ids, &mut shard.bytes);
    }

    fn shard(&self, question: Question) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[question.0 as usize % SHARDS];
        // What a thread leaves behind that panicked is at worst not found again.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends to an example the prompt at the front of some bytes.
fn take(mut bytes: &[u8], example: &mut Example) -> Option<()> {
    let [runs, ids] = take_pair(&mut bytes)?;
    for _ in 0..runs {
        let [kind, tokens] = take_pair(&mut bytes)?;
        let kind = kind as u8;
        example.runs.push(Run { kind, tokens });
    }
    narrow::take(&mut bytes, ids as usize, &mut example.ids)
}

fn put_pair([first, second]: [u32; 2], bytes: &mut Vec<u8>) {
    let pair = u64::from(first) | u64::from(second) << u32::BITS;
    bytes.extend_from_slice(&pair.to_le_bytes());
}

fn take_pair(bytes: &mut &[u8]) -> Option<[u32; 2]> {
    let (pair, rest) = bytes.split_first_chunk::<PAIR>()?;
    *bytes = rest;
    let pair = u64::from_le_bytes(*pair);
    Some([pair as u32, (pair >> u32::BITS) as u32])
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
        assert!(shard.bytes.len() <= SHARD_BYTES);
    }

    #[test]
    fn a_prompt_without_end_is_not_kept() {
        let prompts = Prompts::default();
        let question = Question::of("q".into(), 0);
        insert(&prompts, question, 0, SHARD_BYTES / 4);
        assert!(!prompts.get(question, &mut Example::default()));
    }
}
