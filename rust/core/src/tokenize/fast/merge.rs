//! The merges of one piece, exactly as the BPE of `tokenizers` applies them.
//!
//! At every step the mergeable pair of lowest rank is merged, the leftmost where ranks are equal.
//! Short pieces search for it in an array; long ones keep a heap, so that a megabyte of one letter
//! costs n log n.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::vocab::{NO_MERGE, RANK_BITS, Vocabulary};

/// Bits of a place in a short piece, and places that they tell apart.
const PLACE_BITS: u32 = 5;
const PLACES: usize = 1 << PLACE_BITS;
/// Pieces up to this many bytes are merged in an array: quadratic, but without a heap. There is a place
/// behind the last byte.
const SHORT: usize = PLACES - 1;
/// Places among which the least merge is found at once.
const LANES: usize = 16;

/// Buffers of [`merge`], kept between calls.
#[derive(Default)]
pub struct MergeScratch {
    parts: Parts,
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Reverse<Candidate>>,
}

/// The symbols of a short piece, each at the place of its first byte.
#[derive(Default)]
struct Parts {
    /// The rank of the merge with the next symbol, and in the lowest bits the place, so that the least of
    /// them is the merge to apply; [`IDLE`] or more where there is none.
    merges: [[i32; LANES]; PLACES / LANES],
    ids: [u32; PLACES],
    /// Where the next symbol is, and the one before; the end is behind the last byte.
    next: [u8; PLACES],
    previous: [u8; PLACES],
}

/// The highest bit is that of the sign, for numbers with one are quicker compared.
const _: () = assert!(RANK_BITS + PLACE_BITS < i32::BITS);
/// From here on it is no merge.
const IDLE: i32 = i32::MAX - (PLACES as i32 - 1);

/// A symbol in a doubly linked list.
#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    previous: u32,
    next: u32,
}

/// A merge of the symbol at `at` with its next, valid while both have these ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    at: u32,
    id: u32,
    next_id: u32,
}

/// No symbol.
const NONE: u32 = u32::MAX;

/// Appends the ids of `piece` (at least one byte) to `ids`.
pub fn merge(vocab: &Vocabulary, piece: &[u8], scratch: &mut MergeScratch, ids: &mut Vec<u32>) {
    if piece.len() <= SHORT {
        merge_short(vocab, piece, &mut scratch.parts, ids);
    } else {
        merge_long(vocab, piece, scratch, ids);
    }
}

fn merge_short(vocab: &Vocabulary, piece: &[u8], parts: &mut Parts, ids: &mut Vec<u32>) {
    let Parts {
        merges,
        ids: symbols,
        next,
        previous,
    } = parts;
    let blocks = &mut merges[..piece.len().div_ceil(LANES)];
    blocks.fill([i32::MAX; LANES]);
    for (at, &byte) in piece.iter().enumerate() {
        symbols[at] = vocab.byte_id(byte);
        next[at] = at as u8 + 1;
        previous[at + 1] = at as u8;
        if let Some(&after) = piece.get(at + 1) {
            blocks.as_flattened_mut()[at] = merge_at(vocab.byte_rank(byte, after), at);
        }
    }
    loop {
        let best = least(blocks);
        if best >= IDLE {
            break;
        }
        let merges = blocks.as_flattened_mut();
        let at = best as usize % PLACES;
        let id = vocab.joined((best >> PLACE_BITS) as u32);
        let gone = usize::from(next[at]) % PLACES;
        let after = usize::from(next[gone]) % PLACES;
        symbols[at] = id;
        next[at] = after as u8;
        previous[after] = at as u8;
        merges[gone] = i32::MAX;
        merges[at] = match after < piece.len() {
            true => merge_at(vocab.rank(id, symbols[after]), at),
            false => i32::MAX,
        };
        if at > 0 {
            let before = usize::from(previous[at]) % PLACES;
            merges[before] = merge_at(vocab.rank(symbols[before], id), before);
        }
    }
    let mut at = 0;
    while at < piece.len() {
        ids.push(symbols[at]);
        at = usize::from(next[at]);
    }
}

/// The merge of a rank at a place; where there is none, all bits but those of the place are set.
#[inline]
fn merge_at(rank: u32, place: usize) -> i32 {
    (rank << PLACE_BITS | place as u32) as i32 & i32::MAX
}

/// The least number in some blocks.
#[inline]
fn least(blocks: &[[i32; LANES]]) -> i32 {
    let lesser = |least: [i32; LANES], block: &[i32; LANES]| {
        std::array::from_fn(|lane| least[lane].min(block[lane]))
    };
    let mut least = blocks.iter().fold([i32::MAX; LANES], lesser);
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            least[lane] = least[lane].min(least[lane + half]);
        }
    }
    least[0]
}

fn merge_long(vocab: &Vocabulary, piece: &[u8], scratch: &mut MergeScratch, ids: &mut Vec<u32>) {
    let MergeScratch { symbols, heap, .. } = scratch;
    let length = u32::try_from(piece.len()).unwrap_or(NONE);
    symbols.clear();
    symbols.extend(piece.iter().zip(0..length).map(|(&byte, at)| Symbol {
        id: vocab.byte_id(byte),
        previous: at.checked_sub(1).unwrap_or(NONE),
        next: if at + 1 < length { at + 1 } else { NONE },
    }));
    let candidate = |symbols: &[Symbol], at: u32| {
        let symbol = symbols[at as usize];
        let next_id = symbols.get(symbol.next as usize)?.id;
        let rank = vocab.rank(symbol.id, next_id);
        (rank != NO_MERGE).then_some(Reverse(Candidate {
            rank,
            at,
            id: symbol.id,
            next_id,
        }))
    };
    let mut first = std::mem::take(heap).into_vec();
    first.clear();
    first.extend((0..length).filter_map(|at| candidate(symbols, at)));
    *heap = BinaryHeap::from(first);
    while let Some(Reverse(best)) = heap.pop() {
        let left = symbols[best.at as usize];
        let Some(&right) = symbols.get(left.next as usize) else {
            continue;
        };
        if left.id != best.id || right.id != best.next_id {
            continue;
        }
        // A symbol that is merged away keeps no id, so candidates that name it are stale.
        symbols[left.next as usize].id = NONE;
        symbols[best.at as usize].id = vocab.joined(best.rank);
        symbols[best.at as usize].next = right.next;
        if let Some(after) = symbols.get_mut(right.next as usize) {
            after.previous = best.at;
        }
        if left.previous != NONE {
            heap.extend(candidate(symbols, left.previous));
        }
        heap.extend(candidate(symbols, best.at));
    }
    ids.extend(
        symbols
            .iter()
            .map(|symbol| symbol.id)
            .filter(|id| *id != NONE),
    );
}
