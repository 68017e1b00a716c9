//! What the filters know of the candidates before one.

use super::{NearIndex, Plan, Seen};

/// The candidates so far, for the filters that compare.
///
/// The collector adds to it, in input order. Workers may ask it too: what they find came before the
/// candidate they are at, and the collector will find the same.
#[derive(Debug)]
pub struct Earlier {
    /// For `exact_duplicate`.
    pub exact: Seen,
    /// For `near_duplicate`, one for each template if it is on.
    pub near: Vec<NearIndex>,
}

impl Earlier {
    /// Knows of none yet.
    pub fn new(plan: &Plan, templates: usize) -> Self {
        let indices = plan
            .near()
            .map(|options| (0..templates).map(|_| NearIndex::new(options)).collect());
        Self {
            exact: Seen::default(),
            near: indices.unwrap_or_default(),
        }
    }

    /// Says which share of the input has been looked at.
    pub fn expect(&self, share: f64) {
        self.exact.expect(share);
        self.near.iter().for_each(|index| index.expect(share));
    }
}
