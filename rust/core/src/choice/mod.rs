//! The choice among candidates that could all be kept: `over_cap`, then `not_sampled`.
//!
//! Both need every candidate before they can keep one. So, when either is on, what would be kept is put
//! aside in a file of the draft directory, in input order, and taken up again when it is decided.

mod aside;
mod cap;
mod frames;
mod mixture;
mod spill;
mod spill_file;

use std::path::Path;

pub use self::aside::Aside;
pub use self::cap::{Cap, CapKey, OverCap};
pub use self::mixture::Mixture;
pub use self::spill::Spill;
use crate::config::Config;
use crate::error::Result;
use crate::filter::{Filter, Rejection};

/// What is put aside, and what is known of it.
#[derive(Debug)]
pub struct Choice {
    cap: Option<Cap>,
    mixture: Option<Mixture>,
    spill: Spill,
}

impl Choice {
    /// The choice that `config` asks for, if it does; its file is made in `directory`.
    ///
    /// Without a directory the tokens themselves are not kept, only how many there are.
    pub fn new(config: &Config, directory: Option<&Path>) -> Option<Self> {
        let (cap, mixture) = (Self::cap(config), Mixture::new(&config.inputs, config.seed));
        if cap.is_none() && mixture.is_none() {
            return None;
        }
        Some(Self {
            cap,
            mixture,
            spill: Spill::new(directory),
        })
    }

    /// The cap of `config`, of nothing yet.
    pub fn cap(config: &Config) -> Option<Cap> {
        config.filters.iter().find_map(|filter| match filter {
            Filter::OverCap(options) => Some(Cap::new(options)),
            _ => None,
        })
    }

    /// Puts a candidate aside.
    pub fn add(&mut self, aside: &Aside<'_>, key: Option<CapKey>) -> Result<()> {
        if let Some(cap) = &mut self.cap {
            cap.add(aside.example_id, key.unwrap_or_default());
        }
        if let Some(mixture) = &mut self.mixture {
            mixture.add(aside.source, aside.example_id);
        }
        self.spill.write(aside)
    }

    /// Decides, and hands back every candidate in input order, with what is against it.
    ///
    /// # Errors
    /// A source that has a weight has no candidate left, or the file cannot be read back.
    pub fn decide(
        self,
        mut take: impl FnMut(&Aside<'_>, Option<Rejection>) -> Result<()>,
    ) -> Result<()> {
        let capped = self.cap.map(|cap| cap.decide());
        let is_capped = |index: usize| capped.as_ref().is_some_and(|capped| capped.drops(index));
        let drawn = self
            .mixture
            .map(|mixture| mixture.draw(is_capped))
            .transpose()?;
        let mut index = 0;
        self.spill.replay(|aside| {
            let rejection = capped
                .as_ref()
                .and_then(|capped| capped.rejection(index))
                .or_else(|| drawn.as_ref()?.rejection(index, aside.source));
            index += 1;
            take(aside, rejection)
        })
    }
}
