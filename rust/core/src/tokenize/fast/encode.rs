//! The loop over the pieces of a text: cut, look up, append.

use super::cache::{MEDIUM, Medium, SHORT, Short, Tabled};
use super::cut::cut;
use super::split::Pattern;
use super::{FastEncoder, Scratch, cache, merge, window};

impl FastEncoder {
    /// Appends the ids of `text`, cut by the pattern `P`.
    pub(super) fn encode_pieces<P: Pattern>(
        &self,
        text: &str,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) {
        let bytes = text.as_bytes();
        let mut ends = std::mem::take(&mut scratch.ends);
        let mut room = std::mem::take(&mut scratch.room);
        if ends.len() < bytes.len() {
            ends.resize(bytes.len(), 0);
            // A token is at least one byte; a hit is written with more ids than it may have.
            room.resize(bytes.len() + cache::INLINE, 0);
        }
        let pieces = cut::<P>(bytes, &mut ends);
        let mut count = 0;
        let mut start = 0;
        for &end in &ends[..pieces] {
            let end = end as usize;
            let length = end - start;
            let room = &mut room[count..];
            count += if length <= SHORT {
                let key = Short::new(window::load(bytes, start), length);
                match key.get(&mut scratch.cache, room) {
                    Some(found) => found,
                    None => self.miss(key, &bytes[start..end], scratch, room),
                }
            } else if length <= MEDIUM {
                let key = Medium::new(bytes, start, length);
                match key.get(&mut scratch.cache, room) {
                    Some(found) => found,
                    None => self.miss(key, &bytes[start..end], scratch, room),
                }
            } else {
                self.long(&bytes[start..end], scratch, room)
            };
            start = end;
        }
        ids.extend_from_slice(&room[..count]);
        (scratch.ends, scratch.room) = (ends, room);
    }

    /// Encodes a piece that the cache does not know.
    #[cold]
    #[inline(never)]
    fn miss(
        &self,
        key: impl Tabled,
        piece: &[u8],
        scratch: &mut Scratch,
        ids: &mut [u32],
    ) -> usize {
        self.merge(piece, scratch);
        key.insert(&mut scratch.cache, &scratch.merged);
        ids[..scratch.merged.len()].copy_from_slice(&scratch.merged);
        scratch.merged.len()
    }

    /// Encodes a piece that is too long for a key.
    #[cold]
    #[inline(never)]
    fn long(&self, piece: &[u8], scratch: &mut Scratch, ids: &mut [u32]) -> usize {
        if let Some(known) = scratch.cache.get_long(piece) {
            ids[..known.len()].copy_from_slice(known);
            return known.len();
        }
        self.merge(piece, scratch);
        scratch.cache.insert_long(piece, &scratch.merged);
        ids[..scratch.merged.len()].copy_from_slice(&scratch.merged);
        scratch.merged.len()
    }

    /// Fills `scratch.merged` with the ids of a piece.
    fn merge(&self, piece: &[u8], scratch: &mut Scratch) {
        scratch.merged.clear();
        match self.vocab.whole(piece) {
            Some(id) => scratch.merged.push(id),
            None => merge::merge(&self.vocab, piece, &mut scratch.merge, &mut scratch.merged),
        }
    }
}
