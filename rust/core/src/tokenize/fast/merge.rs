//! The merges of one piece, exactly as the BPE of `tokenizers` applies them.
//!
//! At every step the mergeable pair of lowest rank is merged, the leftmost where ranks are equal.
//! Short pieces search for it in an array; long ones keep a heap, so that a megabyte of one letter
//! costs n log n.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::vocab::{NO_MERGE, Vocabulary};

/// Pieces up to this many bytes are merged in an array: quadratic, but without a heap.
const SHORT: usize = 48;

/// Buffers of [`merge`], kept between calls.
#[derive(Default)]
pub struct MergeScratch {
    parts: Vec<Part>,
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Reverse<Candidate>>,
}

/// A symbol and the rank of its merge with the one after it.
#[derive(Clone, Copy)]
struct Part {
    id: u32,
    with_next: u32,
}

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

fn merge_short(vocab: &Vocabulary, piece: &[u8], parts: &mut Vec<Part>, ids: &mut Vec<u32>) {
    parts.clear();
    parts.extend(piece.iter().enumerate().map(|(i, &byte)| Part {
        id: vocab.byte_id(byte),
        with_next: match piece.get(i + 1) {
            Some(&next) => vocab.byte_rank(byte, next),
            None => NO_MERGE,
        },
    }));
    while let Some((at, best)) = parts
        .iter()
        .map(|part| part.with_next)
        .enumerate()
        .min_by_key(|(_, rank)| *rank)
        && best != NO_MERGE
    {
        let id = vocab.joined(best);
        parts.remove(at + 1);
        parts[at].id = id;
        parts[at].with_next = match parts.get(at + 1) {
            Some(next) => vocab.rank(id, next.id),
            None => NO_MERGE,
        };
        if at > 0 {
            parts[at - 1].with_next = vocab.rank(parts[at - 1].id, id);
        }
    }
    ids.extend(parts.iter().map(|part| part.id));
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
