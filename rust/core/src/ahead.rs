//! A table by hashes that can be asked ahead of time.
//!
//! Performance note: a table of some megabytes answers from memory and not from a cache, and the pass
//! looks up each record's question and fields. `HashMap` has no way to let that wait begin while the
//! record is still looked at; here [`Table::fetch`] does. On 200,448 rationale records with the default
//! filters, one thread, the pass took 6 % less time than with `HashMap`; on two it made no difference.
#![allow(unsafe_code, reason = "an instruction that loads ahead; see `fetch`")]

use crate::large::{Large, grown};

/// Slots by which a table may grow for keys to come, 4 MiB, before their number becomes a power of two.
const LEAP: usize = 1 << 18;

/// Keys of 128 mixed bits, and beside each a few bits of value: all in sixteen bytes.
///
/// The lowest `BESIDE` bits of a key are not compared, for there the value stands; the highest choose
/// the slot (open addressing). The key 0 marks a free slot.
#[derive(Debug)]
pub struct Table<const BESIDE: u32> {
    slots: Large<u128>,
    len: usize,
    /// The share of all keys to come that are here, as far as that can be told; 1 if it cannot.
    share: f64,
}

impl<const BESIDE: u32> Default for Table<BESIDE> {
    fn default() -> Self {
        Self {
            slots: Large::of(0, 2),
            len: 0,
            share: 1.0,
        }
    }
}

impl<const BESIDE: u32> Table<BESIDE> {
    const VALUE: u128 = (1 << BESIDE) - 1;

    /// Says which share of all keys these are; as it grows, room is made for as many of the rest.
    pub fn expect(&mut self, share: f64) {
        self.share = share;
    }

    /// Begins to load what [`get`](Self::get) will look at.
    #[inline]
    pub fn fetch(&self, key: u128) {
        fetch(&self.slots[self.home(key)]);
    }

    /// The value beside a key.
    #[inline]
    pub fn get(&self, key: u128) -> Option<u128> {
        let slot = self.slots[self.find(key)];
        (slot != 0).then_some(slot & Self::VALUE)
    }

    /// Puts a key with its value where it is new; whether it is.
    pub fn insert(&mut self, key: u128, value: u128) -> bool {
        // A free slot is left, at which searches end.
        if 4 * (self.len + 1) > 3 * self.slots.len() {
            self.grow();
        }
        let slot = self.find(key);
        if self.slots[slot] != 0 {
            return false;
        }
        self.slots[slot] = key & !Self::VALUE | value & Self::VALUE;
        self.len += 1;
        true
    }

    /// Forgets everything but the room.
    pub fn clear(&mut self) {
        self.slots.fill(0);
        self.len = 0;
    }

    /// Where the search for a key begins.
    #[inline]
    fn home(&self, key: u128) -> usize {
        (key >> (u128::BITS - self.slots.len().trailing_zeros())) as usize
    }

    /// The slot of a key, or the free one where it would be.
    #[inline]
    fn find(&self, key: u128) -> usize {
        let mut slot = self.home(key);
        while self.slots[slot] != 0 && (self.slots[slot] ^ key) & !Self::VALUE != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        slot
    }

    fn grow(&mut self) {
        let count = self.slots.len();
        let slots = grown(count, 2 * count, self.share, LEAP);
        let room = Large::of(0, slots.next_power_of_two());
        let old = std::mem::replace(&mut self.slots, room);
        for &key in old.iter().filter(|key| **key != 0) {
            let slot = self.find(key);
            self.slots[slot] = key;
        }
    }
}

/// Begins to load what stands at a place.
#[inline]
pub fn fetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction; it changes nothing that a program can see.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As a `HashMap` whose keys lack the bits beside which the value stands, also where many
        /// keys have one home.
        #[test]
        fn it_keeps_what_a_map_keeps(
            entries in prop::collection::vec((0_u128..4, 1_u128..40, any::<u32>()), 0..200),
        ) {
            let mut table = Table::<32>::default();
            let mut map = HashMap::new();
            for (high, low, value) in entries {
                let key = high << 126 | low << 32;
                let is_new = !map.contains_key(&key);
                map.entry(key).or_insert(value);
                table.fetch(key);
                prop_assert_eq!(table.insert(key | 7, value.into()), is_new);
                prop_assert_eq!(table.get(key), Some(map[&key].into()));
            }
            for high in 0..4 {
                for low in 1..40 {
                    let key = high << 126 | low << 32;
                    prop_assert_eq!(table.get(key | 9), map.get(&key).map(|value| (*value).into()));
                }
            }
            table.clear();
            prop_assert!(map.keys().all(|key| table.get(*key).is_none()));
        }
    }
}
