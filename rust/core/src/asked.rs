//! A question and its hash, which all who ask whether it came before share.

use std::ops::Deref;

use xxhash_rust::xxh3::xxh3_128;

use crate::record::trimmed;

/// A question, hashed once.
///
/// ```
/// use limbeck_core::asked::Asked;
/// let question = Asked::from(" What is 3 * 4? ");
/// assert_eq!(&*question, " What is 3 * 4? ");
/// assert_eq!(question.hash(), Asked::from("What is 3 * 4?").hash());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Asked<'r> {
    text: &'r str,
    hash: u128,
}

impl<'r> Asked<'r> {
    /// The text as it was written.
    pub fn text(&self) -> &'r str {
        self.text
    }

    /// The same without the white space around it.
    pub fn trimmed(self) -> Self {
        Self {
            text: trimmed(self.text),
            ..self
        }
    }

    /// The 128-bit hash of the text without the white space around it.
    pub fn hash(&self) -> u128 {
        self.hash
    }
}

impl<'r> From<&'r str> for Asked<'r> {
    fn from(text: &'r str) -> Self {
        let hash = xxh3_128(trimmed(text).as_bytes());
        Self { text, hash }
    }
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self::from("")
    }
}

impl Deref for Asked<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.text
    }
}
