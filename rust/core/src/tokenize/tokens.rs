//! The tokens of one text, and where each begins.

/// Ids, and the byte at which each token starts where that is not told by the tokens' lengths.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Token ids.
    pub ids: Vec<u32>,
    /// The byte of the text each token starts at; empty where every token stands for exactly
    /// its own bytes, so that lengths add up.
    pub starts: Vec<usize>,
    /// The byte at which the first id without a start begins.
    base: usize,
}

impl Tokens {
    /// Forgets all tokens; memory is kept.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.starts.clear();
        self.base = 0;
    }

    /// Appends a token that starts at `byte_start`; `byte_end` is where the text goes on.
    pub(super) fn push_at(
        &mut self,
        id: u32,
        byte_start: usize,
        byte_end: usize,
        length_of: impl Fn(u32) -> usize,
    ) {
        self.settle(length_of);
        self.ids.push(id);
        self.starts.push(byte_start);
        self.base = byte_end;
    }

    /// Writes down the starts of all tokens so far.
    pub(super) fn settle(&mut self, length_of: impl Fn(u32) -> usize) {
        for &id in &self.ids[self.starts.len()..] {
            self.starts.push(self.base);
            self.base += length_of(id);
        }
    }
}
