//! Tables whose keys are hashes already, which need no other.

use std::hash::{BuildHasherDefault, Hasher};

/// For the hasher of a table whose keys are hashes of 64 or 128 bits.
pub type ByHash = BuildHasherDefault<UpperHalf>;

/// The upper half of a 128-bit hash, whose lower one is free to choose a shard; a 64-bit one as it is.
#[derive(Debug, Default)]
pub struct UpperHalf(u64);

impl Hasher for UpperHalf {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // For keys that are written neither as one u64 nor as one u128.
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = (key >> 64) as u64;
    }
}
