//! The vocabulary and merges of a byte-level BPE, as tables of integers.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::json::{MergeList, Model, TokenList, Vocab, to_bytes};
use crate::large::Large;

/// The rank of two symbols that do not merge; after every other.
pub const NO_MERGE: u32 = u32::MAX;
/// Every other rank is less than the greatest number of so many bits.
pub const RANK_BITS: u32 = 26;

/// Ids are below this, so that tables by id stay small and three ids fit a word.
const ID_LIMIT: u32 = 1 << 21;
/// Odd multipliers (golden ratio, and xxHash's second prime): the high bits of a product are mixed.
const MIX: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];

/// Tables that answer every question of the encoder but added tokens.
pub struct Vocabulary {
    byte_ids: [u32; 256],
    /// Ranks of the merges of two single bytes, by first × 256 + second.
    byte_ranks: Box<[u32]>,
    merges: MergeTable,
    /// Bytes that an id stands for, by id.
    byte_lengths: Vec<u16>,
    tokens: TokenTable,
    /// Tokens that are no byte strings.
    foreign: HashMap<String, u32>,
    /// Whether a piece that is a token is taken as it is.
    takes_whole: bool,
    size: u32,
    next_id: u32,
}

impl Vocabulary {
    /// Builds the tables; `Err` says what keeps the vocabulary from being served.
    pub fn new(model: &Model<'_>) -> Result<Self, String> {
        thread::scope(|scope| {
            let merges = scope.spawn(|| parsed::<MergeList>(model.merges));
            let tokens = Self::of_tokens(parsed(model.vocab)?, model.ignore_merges == Some(true))?;
            let merges = merges.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            tokens.with_merges(&merges)
        })
    }

    fn of_tokens(vocab: Vocab, takes_whole: bool) -> Result<Self, String> {
        let Vocab { tokens, foreign } = vocab;
        let mut byte_lengths = Vec::new();
        for (bytes, id) in tokens.iter() {
            if byte_lengths
                .get(id as usize)
                .is_some_and(|length| *length != 0)
            {
                return Err(format!("two tokens have the id {id}"));
            }
            set_length(&mut byte_lengths, id, bytes.len())?;
        }
        let ids = tokens.iter().map(|(_, id)| id);
        let next_id = ids.chain(foreign.values().copied()).max();
        let size = (tokens.len() + foreign.len()) as u32;
        let tokens = TokenTable::new(tokens)?;
        let mut byte_ids = [0; 256];
        for (byte, id) in (0..=u8::MAX).zip(&mut byte_ids) {
            *id = tokens
                .get(&[byte])
                .ok_or_else(|| format!("no token for byte {byte:#04x}"))?;
        }
        Ok(Self {
            byte_ids,
            byte_ranks: vec![NO_MERGE; 1 << 16].into_boxed_slice(),
            merges: MergeTable::new(&[])?,
            byte_lengths,
            tokens,
            foreign,
            takes_whole,
            size,
            next_id: next_id.map_or(0, |id| id + 1),
        })
    }

    fn with_merges(mut self, merges: &MergeList) -> Result<Self, String> {
        let middle = merges.len() / 2;
        let halves = thread::scope(|scope| {
            let second = scope.spawn(|| self.merge_ids(merges, middle..merges.len()));
            let first = self.merge_ids(merges, 0..middle);
            [
                first,
                second.join().unwrap_or_else(|panic| resume_unwind(panic)),
            ]
        });
        let [first, second] = halves;
        let mut all = first?;
        all.extend(second?);
        self.merges = MergeTable::new(&all)?;
        let byte_ids = self.byte_ids.iter();
        for (first, &first_id) in byte_ids.enumerate() {
            for (second, &second_id) in self.byte_ids.iter().enumerate() {
                self.byte_ranks[first << 8 | second] = self.merges.rank(first_id, second_id);
            }
        }
        Ok(self)
    }

    /// The ids of the first, the second and the joined token of some merges.
    fn merge_ids(&self, merges: &MergeList, range: Range<usize>) -> Result<Vec<[u32; 3]>, String> {
        let table = &self.tokens;
        let mut guess = 0;
        let mut ids = Vec::with_capacity(range.len());
        for (first, second, joined) in merges.slice(range) {
            let unknown = |bytes: &[u8]| {
                let token = String::from_utf8_lossy(bytes);
                format!("a merge names {token:?}, which is not in the vocabulary")
            };
            let find = |bytes: &[u8]| match bytes {
                [byte] => Ok(self.byte_ids[usize::from(*byte)]),
                _ => table.get(bytes).ok_or_else(|| unknown(bytes)),
            };
            guess = table
                .find_near(joined, guess)
                .ok_or_else(|| unknown(joined))?;
            ids.push([find(first)?, find(second)?, table.tokens.get(guess).1]);
        }
        Ok(ids)
    }

    /// The id of a single byte.
    #[inline]
    pub fn byte_id(&self, byte: u8) -> u32 {
        self.byte_ids[usize::from(byte)]
    }

    /// A number that is less the sooner the merge of two single bytes is applied, or [`NO_MERGE`].
    #[inline]
    pub fn byte_rank(&self, first: u8, second: u8) -> u32 {
        self.byte_ranks[usize::from(first) << 8 | usize::from(second)]
    }

    /// The same of the symbols `first` and `second`.
    #[inline]
    pub fn rank(&self, first: u32, second: u32) -> u32 {
        self.merges.rank(first, second)
    }

    /// The symbol that the merge of a rank makes.
    #[inline]
    pub fn joined(&self, rank: u32) -> u32 {
        self.merges.joined.of(rank)
    }

    /// The id of a piece that is taken whole, whatever the merges say (`ignore_merges`).
    #[inline]
    pub fn whole(&self, piece: &[u8]) -> Option<u32> {
        if !self.takes_whole {
            return None;
        }
        self.tokens.get(piece)
    }

    /// The id of a token as the file writes it.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        match to_bytes(token) {
            Some(bytes) => self.tokens.get(&bytes),
            None => self.foreign.get(token).copied(),
        }
    }

    /// How many tokens there are.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The largest id, plus one.
    pub fn next_id(&self) -> u32 {
        self.next_id
    }

    /// Whether some text may become this token, which a vocabulary may hold without any merge.
    pub fn produces(&self, token: &str, id: u32) -> bool {
        let is_whole = self.takes_whole && self.id_of(token) == Some(id);
        is_whole || self.byte_ids.contains(&id) || self.merges.makes(id)
    }

    /// Bytes of text that `id` stands for; 0 where there is no such token.
    #[inline]
    pub fn byte_length(&self, id: u32) -> u16 {
        self.byte_lengths.get(id as usize).copied().unwrap_or(0)
    }

    /// Makes the length of an added token known.
    pub fn add(&mut self, id: u32, bytes: usize) -> Result<(), String> {
        set_length(&mut self.byte_lengths, id, bytes)
    }
}

fn parsed<T: DeserializeOwned>(raw: &RawValue) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|fault| fault.to_string())
}

/// Notes that `id` stands for `bytes` bytes, which must not contradict what is known.
fn set_length(byte_lengths: &mut Vec<u16>, id: u32, bytes: usize) -> Result<(), String> {
    let length = u16::try_from(bytes).map_err(|_| format!("token {id} is too long"))?;
    if id >= ID_LIMIT {
        return Err(format!("token id {id} is not below {ID_LIMIT}"));
    }
    if byte_lengths.len() <= id as usize {
        byte_lengths.resize(id as usize + 1, 0);
    }
    let known = &mut byte_lengths[id as usize];
    if *known != 0 && *known != length {
        return Err(format!("two tokens have the id {id}"));
    }
    *known = length;
    Ok(())
}

/// Open addressing from a pair of ids to the rank of its merge.
///
/// A pair that is looked up is usually not in any cache of the processor, so a slot is one word, and
/// one look at memory tells the rank: the table of 294,166 merges takes 4 MiB.
struct MergeTable {
    /// The first and the second id, then the rank + 1; 0 is free.
    slots: Large<u64>,
    shift: u32,
    id_bits: u32,
    rank_bits: u32,
    joined: Joined,
    /// Whether a merge makes it, by id.
    made: Vec<bool>,
}

impl MergeTable {
    /// A table at most two thirds full, of the ids of the first, the second and the joined token of each
    /// merge; the last of several merges of one pair counts.
    fn new(merges: &[[u32; 3]]) -> Result<Self, String> {
        let last = merges.as_flattened().iter().max().map_or(0, |id| *id);
        let id_bits = u32::BITS - last.leading_zeros();
        let rank_bits = RANK_BITS.min(u64::BITS - 2 * id_bits);
        let (joined, ranks) =
            Joined::by_rank(merges, rank_bits).ok_or_else(|| format!("{} merges", merges.len()))?;
        let size = (merges.len() * 3 / 2 + 1).next_power_of_two().max(2);
        let mut table = Self {
            slots: Large::of(0, size),
            shift: u64::BITS - size.trailing_zeros(),
            id_bits,
            rank_bits,
            joined,
            made: vec![false; last as usize + 1],
        };
        for (&[first, second, joined], rank) in merges.iter().zip(ranks) {
            let slot = table.find(first, second);
            let pair = table.pair(first, second);
            table.slots[slot] = pair << rank_bits | u64::from(rank + 1);
            table.made[joined as usize] = true;
        }
        Ok(table)
    }

    #[inline]
    fn pair(&self, first: u32, second: u32) -> u64 {
        u64::from(first) << self.id_bits | u64::from(second)
    }

    /// The slot of a pair, or the free one where it would be.
    #[inline]
    fn find(&self, first: u32, second: u32) -> usize {
        let pair = self.pair(first, second);
        let mut slot = (pair.wrapping_mul(MIX[0]) >> self.shift) as usize;
        while self.slots[slot] >> self.rank_bits != pair && self.slots[slot] != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        slot
    }

    /// The rank of a pair's merge; [`NO_MERGE`] where it does not merge.
    #[inline]
    fn rank(&self, first: u32, second: u32) -> u32 {
        let rank = self.slots[self.find(first, second)] & ((1 << self.rank_bits) - 1);
        // The rank of a free slot wraps around to none.
        (rank as u32).wrapping_sub(1)
    }

    fn makes(&self, id: u32) -> bool {
        self.made.get(id as usize).is_some_and(|made| *made)
    }
}

/// What pairs become, by the rank of their merge.
enum Joined {
    /// A rank begins with the id; so many bits tell the merges apart that make the same.
    ///
    /// This can be where merges make tokens in the order of their ids, as those of GPT-2 and Qwen do, and saves a
    /// look at memory: a fifth of the samples of merging.
    Told { tie_bits: u32 },
    /// Ranks are numbers from 0 on.
    Listed(Vec<u32>),
}

impl Joined {
    /// What some merges make, and their ranks, in the order in which they are applied; `None` if ranks of so
    /// many bits are not enough.
    fn by_rank(merges: &[[u32; 3]], rank_bits: u32) -> Option<(Self, Vec<u32>)> {
        let limit = (1 << rank_bits) - 1;
        let same = || merges.chunk_by(|[.., one], [.., next]| one == next);
        let ties = same().map(<[_]>::len).max().unwrap_or(1);
        let tie_bits = ties.next_power_of_two().trailing_zeros();
        let last = merges.last().map_or(0, |[.., joined]| *joined);
        let is_told = merges.is_sorted_by_key(|[.., joined]| *joined)
            && (u64::from(last) + 1) << tie_bits <= limit;
        if is_told {
            let ranks = same().flat_map(|same| (0..).zip(same));
            let ranks = ranks.map(|(tie, [.., joined])| joined << tie_bits | tie);
            return Some((Self::Told { tie_bits }, ranks.collect()));
        }
        let ids = merges.iter().map(|[.., joined]| *joined);
        let count = u32::try_from(merges.len()).ok()?;
        (u64::from(count) <= limit).then(|| (Self::Listed(ids.collect()), (0..count).collect()))
    }

    #[inline]
    fn of(&self, rank: u32) -> u32 {
        match self {
            Self::Told { tie_bits } => rank >> tie_bits,
            Self::Listed(ids) => ids[rank as usize],
        }
    }
}

/// Open addressing from the bytes of a token to its id.
struct TokenTable {
    tokens: TokenList,
    /// Upper half: part of the hash; lower half: index of a token + 1, or 0.
    slots: Large<u64>,
    shift: u32,
}

impl TokenTable {
    fn new(tokens: TokenList) -> Result<Self, String> {
        let size = (tokens.len() * 2).next_power_of_two().max(2);
        let mut table = Self {
            tokens,
            slots: Large::of(0, size),
            shift: u64::BITS - size.trailing_zeros(),
        };
        for index in 0..table.tokens.len() {
            let bytes = table.tokens.get(index).0;
            let hash = hash(bytes);
            match table.find(bytes, hash) {
                Err(free) => {
                    table.slots[free] = hash << 32 | (index as u64 + 1);
                }
                Ok(_) => {
                    let token = String::from_utf8_lossy(bytes);
                    return Err(format!("token {token:?} is in the vocabulary twice"));
                }
            }
        }
        Ok(table)
    }

    #[inline]
    fn get(&self, bytes: &[u8]) -> Option<u32> {
        let index = self.find(bytes, hash(bytes)).ok()?;
        Some(self.tokens.get(index).1)
    }

    /// Index of the token; fast where it is at `guess` or next: merges usually name what they
    /// make in the order of the vocabulary.
    #[inline]
    fn find_near(&self, bytes: &[u8], guess: usize) -> Option<usize> {
        let near = guess..self.tokens.len().min(guess + 2);
        near.into_iter()
            .find(|index| self.tokens.get(*index).0 == bytes)
            .or_else(|| self.find(bytes, hash(bytes)).ok())
    }

    /// Index of the token, or the slot where it would be.
    #[inline]
    fn find(&self, bytes: &[u8], hash: u64) -> Result<usize, usize> {
        let tag = hash << 32;
        let mut slot = (hash >> self.shift) as usize;
        loop {
            let entry = self.slots[slot];
            if entry == 0 {
                return Err(slot);
            }
            let index = (entry as u32 - 1) as usize;
            if entry & !u64::from(u32::MAX) == tag && self.tokens.get(index).0 == bytes {
                return Ok(index);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

/// A hash of few bytes.
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(MIX[0]);
        hash ^= hash >> 32;
        rest = after;
    }
    let mut word = [0; 8];
    word[..rest.len()].copy_from_slice(rest);
    hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MIX[1]);
    hash ^ hash >> 29
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(made: &[u32], rank_bits: u32) -> Option<(bool, Vec<u32>)> {
        let merges: Vec<_> = made.iter().map(|&joined| [0, 1, joined]).collect();
        let (joined, ranks) = Joined::by_rank(&merges, rank_bits)?;
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
        assert!(
            ranks
                .iter()
                .map(|&rank| joined.of(rank))
                .eq(made.iter().copied())
        );
        assert!(ranks.iter().all(|&rank| rank + 1 < 1 << rank_bits));
        Some((matches!(joined, Joined::Told { .. }), ranks))
    }

    #[test]
    fn a_rank_tells_what_its_merge_makes_where_it_can() {
        assert_eq!(ranks(&[5, 6, 9], 4), Some((true, vec![5, 6, 9])));
        assert_eq!(
            ranks(&[5, 5, 5, 6, 9], 6),
            Some((true, vec![20, 21, 22, 24, 36]))
        );
        // Not in the order of ids, or with too few bits.
        assert_eq!(ranks(&[6, 5, 9], 6), Some((false, vec![0, 1, 2])));
        assert_eq!(
            ranks(&[5, 5, 5, 6, 9], 5),
            Some((false, vec![0, 1, 2, 3, 4]))
        );
        assert_eq!(ranks(&[5, 6, 15], 4), Some((false, vec![0, 1, 2])));
        assert_eq!(ranks(&[5, 6, 14], 4), Some((true, vec![5, 6, 14])));
        assert_eq!(ranks(&[9; 4], 2), None);
        assert_eq!(ranks(&[], 26), Some((true, Vec::new())));
    }
}
