//! `near_duplicate`: an earlier candidate has nearly the same words (MinHash and LSH).
//!
//! Workers make a [`NearKey`] of each candidate, which is looked up among those before
//! ([`NearIndex`](super::NearIndex)). A band of `rows` numbers of the signature finds an earlier candidate
//! that has them too: one of similarity s is found with probability 1 − (1 − s^rows)^bands, and the later
//! one is dropped if their estimated similarity reaches the threshold.

use serde::Deserialize;

use super::minhash::{BINS, Signature, Sketch};
use super::words::{Words, mix};
use super::{Field, Reason, Rejection};

/// Options of the filter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearDuplicate {
    /// Estimated Jaccard similarity from which on a candidate is dropped.
    pub threshold: f64,
    /// Words of a shingle.
    pub shingle: usize,
    /// Bands of the signature; one equal band is enough to be compared.
    pub bands: usize,
    /// Numbers of a band.
    pub rows: usize,
    /// The fields that are compared, together.
    pub fields: Vec<Field>,
}

impl NearDuplicate {
    /// What is wrong with the options, if anything is.
    pub fn fault(&self) -> Option<String> {
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return Some(format!(
                "a threshold of {} is not in (0, 1]",
                self.threshold
            ));
        }
        if self.shingle == 0 || self.fields.is_empty() {
            return Some("a shingle has a word at least, and stands in a field".to_owned());
        }
        (self.bands == 0 || self.rows == 0 || self.bands * self.rows > BINS).then(|| {
            format!(
                "{} bands of {} rows are not between 1 and {BINS} numbers",
                self.bands, self.rows
            )
        })
    }

    /// The key of a candidate whose fields have these words; `None` where there are none.
    pub fn key<'a>(&self, fields: impl Iterator<Item = &'a Words>) -> Option<NearKey> {
        let mut signature = Signature::default();
        fields.for_each(|words| signature.add_words(words, self.shingle));
        let mut numbers = signature.numbers(self.bands * self.rows)?;
        let band = |number: usize| {
            let rows = numbers.by_ref().take(self.rows);
            let hash = rows.fold(number as u64, |hash, number| mix(hash ^ u64::from(number)));
            (hash >> 32) as u32
        };
        Some(NearKey {
            bands: Bands::of(self.bands, band),
            sketch: Sketch::of(&signature),
        })
    }
}

/// What is compared of a candidate.
#[derive(Debug, Clone)]
pub struct NearKey {
    /// A hash of each band and its number.
    pub bands: Bands,
    /// What similarity is estimated from.
    pub sketch: Sketch,
}

/// The hashes of bands, of few without an allocation.
#[derive(Debug, Clone)]
pub enum Bands {
    /// As many as are given, in a place for most recipes.
    Few([u32; FEW], usize),
    /// More.
    Many(Box<[u32]>),
}

/// Bands of most recipes at most.
const FEW: usize = 8;

impl Bands {
    /// As many as `count`, each by its number.
    pub fn of(count: usize, band: impl FnMut(usize) -> u32) -> Self {
        let bands = (0..count).map(band);
        if count > FEW {
            return Self::Many(bands.collect());
        }
        let mut few = [0; FEW];
        for (place, band) in few.iter_mut().zip(bands) {
            *place = band;
        }
        Self::Few(few, count)
    }

    /// All, in order.
    #[inline]
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Self::Few(few, count) => &few[..*count],
            Self::Many(many) => many,
        }
    }
}

/// An earlier candidate that is nearly the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// Its number among the candidates.
    pub example_id: i64,
    /// The estimated similarity.
    pub similarity: f64,
}

impl Near {
    /// The rejection of the later one.
    pub fn rejection(&self) -> Rejection {
        let problem = format!(
            "nearly example {}, estimated similarity {:.2}",
            self.example_id, self.similarity
        );
        Rejection::new(Reason::NearDuplicate, "line", problem)
    }
}
