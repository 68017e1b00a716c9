//! What pieces were encoded to before: per thread, bounded, no locks.
//!
//! Pieces of at most 7 bytes are one integer, of at most 15 bytes one of twice the width; with up
//! to two ids beside them they live in two-way tables, where a newer piece evicts the one that was
//! not used last. Longer pieces are kept by hash with their bytes. Ids that do not fit beside their
//! piece lie in a shared buffer; when that is full, everything is forgotten.

use super::vocab::hash;
use super::window;
use crate::block::FIRST;
use crate::large::Large;

/// Most bytes of a piece that is a [`Short`].
pub const SHORT: usize = 7;
/// Most bytes of a piece that is a [`Medium`].
pub const MEDIUM: usize = 15;
/// Most bytes of a piece that is kept at all.
const LONG: usize = 128;
/// Slots of the table of long pieces.
const LONG_SLOTS: usize = 1 << 13;
/// Ids in the shared buffer, and bytes of long pieces, before everything is forgotten.
const SHARED: usize = 1 << 19;
/// Ids beside a piece.
pub const INLINE: usize = 2;

/// A piece as an integer: its bytes, then (in the highest byte) its length; the two highest bits
/// are free for the count of its ids.
pub trait Key: Copy + Default {
    /// Mixed bits, the best of them the highest.
    fn hash(self) -> u64;
    /// With the count of ids (1, 2, or 3 for more) in the free bits.
    fn with_count(self, count: u64) -> Self;
    /// The count in the free bits, where the rest is `piece`; else nothing.
    fn count(self, piece: Self) -> Option<u64>;
}

/// A piece of 1 to 7 bytes.
#[derive(Clone, Copy, Default)]
pub struct Short(u64);

/// A piece of 8 to 15 bytes: the first eight, and the others with the length.
#[derive(Clone, Copy, Default)]
pub struct Medium(u64, u64);

/// Lowest bit of the length, lowest of the count.
const LENGTH: u32 = 56;
const COUNT: u32 = 62;

impl Short {
    /// The first `length` (0 to 7) bytes of a window.
    #[inline(always)]
    pub fn new(window: u64, length: usize) -> Self {
        Self(window & FIRST[length] | (length as u64) << LENGTH)
    }
}

impl Medium {
    /// The first `length` (8 to 15) bytes of two windows.
    #[inline]
    pub fn new(low: u64, high: u64, length: usize) -> Self {
        let Short(high) = Short::new(high, length - window::WIDTH);
        // The whole length, which is never 0 as it is in an empty entry: eight NULs are a piece.
        Self(low, high | (window::WIDTH as u64) << LENGTH)
    }
}

impl Key for Short {
    #[inline(always)]
    fn hash(self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[inline(always)]
    fn with_count(self, count: u64) -> Self {
        Self(self.0 | count << COUNT)
    }

    #[inline(always)]
    fn count(self, piece: Self) -> Option<u64> {
        let difference = self.0 ^ piece.0;
        (difference << (64 - COUNT) == 0).then_some(difference >> COUNT)
    }
}

impl Key for Medium {
    #[inline(always)]
    fn hash(self) -> u64 {
        let low = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let high = self.1.wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        low ^ high ^ low >> 32
    }

    #[inline(always)]
    fn with_count(self, count: u64) -> Self {
        Self(self.0, self.1 | count << COUNT)
    }

    #[inline(always)]
    fn count(self, piece: Self) -> Option<u64> {
        Short(self.1)
            .count(Short(piece.1))
            .filter(|_| self.0 == piece.0)
    }
}

/// A piece and its ids; past two, the place of the first in the shared buffer and the count.
#[derive(Clone, Copy, Default)]
struct Entry<K> {
    key: K,
    ids: [u32; INLINE],
}

/// Two-way sets, a power of two of them, each with the entry used last first.
struct Table<K, const SETS: usize>(Large<[Entry<K>; 2]>);

impl<K: Key, const SETS: usize> Table<K, SETS> {
    fn new() -> Self {
        Self(Large::of(Default::default(), SETS))
    }

    fn clear(&mut self) {
        self.0.fill(Default::default());
    }

    #[inline(always)]
    fn set(&mut self, key: K) -> &mut [Entry<K>; 2] {
        &mut self.0[(key.hash() >> (u64::BITS - SETS.trailing_zeros())) as usize]
    }

    /// The count and the ids of a piece.
    #[inline(always)]
    fn get(&mut self, key: K) -> Option<(u64, [u32; INLINE])> {
        let set = self.set(key);
        if let Some(count) = set[0].key.count(key) {
            return Some((count, set[0].ids));
        }
        let count = set[1].key.count(key)?;
        set.swap(0, 1);
        Some((count, set[0].ids))
    }

    fn insert(&mut self, key: K, count: u64, ids: [u32; INLINE]) {
        let set = self.set(key);
        set[1] = set[0];
        set[0] = Entry {
            key: key.with_count(count),
            ids,
        };
    }
}

/// A long piece: hash, place of its bytes and of its ids.
#[derive(Clone, Copy, Default)]
struct LongEntry {
    hash: u64,
    byte_start: u32,
    byte_count: u32,
    id_start: u32,
    id_count: u32,
}

/// The cache of one thread.
pub struct Cache {
    short: Table<Short, { 1 << 15 }>,
    medium: Table<Medium, { 1 << 15 }>,
    long: Box<[LongEntry]>,
    bytes: Vec<u8>,
    ids: Vec<u32>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            short: Table::new(),
            medium: Table::new(),
            long: vec![LongEntry::default(); LONG_SLOTS].into_boxed_slice(),
            bytes: Vec::new(),
            ids: Vec::new(),
        }
    }
}

/// Which table of a [`Cache`] a key belongs to.
pub trait Tabled: Key {
    /// Writes the ids of a piece to the front of `ids`, which has room for two more than there
    /// are, and returns their count; `None` where the piece is not known.
    fn get(self, cache: &mut Cache, ids: &mut [u32]) -> Option<usize>;
    /// Remembers the ids of a piece.
    fn insert(self, cache: &mut Cache, ids: &[u32]);
}

macro_rules! tabled {
    ($key:ty, $table:ident) => {
        impl Tabled for $key {
            #[inline(always)]
            fn get(self, cache: &mut Cache, ids: &mut [u32]) -> Option<usize> {
                let (count, found) = cache.$table.get(self)?;
                if count > INLINE as u64 {
                    return Some(cache.unshare(found, ids));
                }
                if let Some(first) = ids.first_chunk_mut() {
                    *first = found;
                }
                Some(count as usize)
            }

            fn insert(self, cache: &mut Cache, ids: &[u32]) {
                let (count, inline) = cache.inline_ids(ids);
                cache.$table.insert(self, count, inline);
            }
        }
    };
}
tabled!(Short, short);
tabled!(Medium, medium);

impl Cache {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.short.clear();
        self.medium.clear();
        self.long.fill(LongEntry::default());
        self.bytes.clear();
        self.ids.clear();
    }

    /// The ids of a long piece.
    pub fn get_long(&self, piece: &[u8]) -> Option<&[u32]> {
        if piece.len() > LONG {
            return None;
        }
        let hash = hash(piece);
        let entry = self.long[hash as usize % LONG_SLOTS];
        let byte_start = entry.byte_start as usize;
        let known = &self.bytes[byte_start..byte_start + entry.byte_count as usize];
        let id_start = entry.id_start as usize;
        (entry.hash == hash && known == piece)
            .then(|| &self.ids[id_start..id_start + entry.id_count as usize])
    }

    /// Remembers the ids of a long piece, unless it is very long.
    pub fn insert_long(&mut self, piece: &[u8], ids: &[u32]) {
        if piece.len() > LONG {
            return;
        }
        let id_start = self.share(ids);
        let hash = hash(piece);
        self.long[hash as usize % LONG_SLOTS] = LongEntry {
            hash,
            byte_start: self.bytes.len() as u32,
            byte_count: piece.len() as u32,
            id_start,
            id_count: ids.len() as u32,
        };
        self.bytes.extend_from_slice(piece);
    }

    /// The count and the ids of an entry.
    fn inline_ids(&mut self, ids: &[u32]) -> (u64, [u32; INLINE]) {
        match *ids {
            [id] => (1, [id, 0]),
            [first, second] => (2, [first, second]),
            _ => (3, [self.share(ids), ids.len() as u32]),
        }
    }

    /// Puts ids into the shared buffer, which is emptied, with all that points to it, when full.
    fn share(&mut self, ids: &[u32]) -> u32 {
        if self.ids.len() + ids.len() > SHARED || self.bytes.len() + LONG > SHARED {
            self.clear();
        }
        let start = self.ids.len() as u32;
        self.ids.extend_from_slice(ids);
        start
    }

    /// Copies what [`share`](Self::share) put away.
    #[cold]
    fn unshare(&self, [start, count]: [u32; INLINE], ids: &mut [u32]) -> usize {
        let (start, count) = (start as usize, count as usize);
        ids[..count].copy_from_slice(&self.ids[start..start + count]);
        count
    }
}
