//! Tables whose keys are hashes already, which need no other.

use std::hash::{BuildHasherDefault, Hasher};

/// For the hasher of a table whose keys are hashes of 64 bits.
pub type ByHash = BuildHasherDefault<Itself>;

/// A 64-bit hash as it is.
#[derive(Debug, Default)]
pub struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // For keys that are not written as one u64.
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
