//! A list that never moves what is in it, so that growing it takes no second copy.

use std::ops::Index;

/// Items in chunks of equal size.
#[derive(Debug)]
pub struct Chunked<T>(Vec<Vec<T>>);

/// Items of a chunk.
pub const CHUNK: usize = 4096;

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Chunked<T> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        let last = self.0.last();
        last.map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All items, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    /// Adds an item.
    pub fn push(&mut self, item: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(item),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(item);
                self.0.push(chunk);
            }
        }
    }
}

impl<T> Index<usize> for Chunked<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.0[index / CHUNK][index % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_where_they_were_put() {
        let mut list = Chunked::default();
        assert!(list.is_empty());
        for item in 0..2 * CHUNK + 3 {
            list.push(item);
            assert_eq!((list.len(), list[item]), (item + 1, item));
        }
        assert!(list.iter().copied().eq(0..2 * CHUNK + 3));
    }
}
