//! A dry run's second look: what each filter would drop on its own, were the others off.

use serde::Serialize;

use super::{Earlier, Key, NearKey, Plan, Reason};
use crate::choice::{Cap, CapKey, Choice, Mixture};
use crate::config::Config;
use crate::error::Result;

/// All that is against a well-formed candidate by itself, and what is compared with others.
#[derive(Debug)]
pub struct Trial {
    /// The number of its template.
    pub template: usize,
    /// The reasons, in any order.
    pub reasons: Vec<Reason>,
    /// For `exact_duplicate`.
    pub key: Key,
    /// For `near_duplicate`.
    pub near: Option<NearKey>,
    /// For `over_cap`.
    pub cap: Option<CapKey>,
}

/// What one filter would drop.
#[derive(Debug, Clone, Serialize)]
pub struct Dropped {
    /// The filter's reason.
    pub reason: &'static str,
    /// Candidates that it is the first to reject.
    pub first: u64,
    /// Candidates that it would reject if it were the only filter.
    pub alone: u64,
    /// Where the first of these stands; unknown of `over_cap` and `not_sampled`, which come to it last.
    pub example: Option<String>,
}

/// The counts so far.
#[derive(Debug)]
pub struct Trials {
    active: Vec<Reason>,
    alone: [u64; Reason::ALL.len()],
    examples: [Option<String>; Reason::ALL.len()],
    earlier: Earlier,
    cap: Option<Cap>,
    mixture: Option<Mixture>,
}

impl Trials {
    /// Counts of nothing yet, for the filters of `config`.
    pub fn new(config: &Config, plan: &Plan) -> Self {
        let mixture = Mixture::new(&config.inputs, config.seed);
        Self {
            active: active(config, mixture.is_some()),
            alone: [0; Reason::ALL.len()],
            examples: [const { None }; Reason::ALL.len()],
            earlier: Earlier::new(plan, config.render.templates().count()),
            cap: Choice::cap(config),
            mixture,
        }
    }

    /// Counts a candidate that stands at `place`.
    pub fn add(
        &mut self,
        example_id: i64,
        source: usize,
        trial: &Trial,
        place: impl Fn() -> String,
    ) {
        let mut reasons = trial.reasons.clone();
        if !self.earlier.exact.insert(trial.key, true) {
            reasons.push(Reason::ExactDuplicate);
        }
        if let (Some(index), Some(key)) = (self.earlier.near.get(trial.template), &trial.near)
            && index.insert(example_id, key, 0).is_some()
        {
            reasons.push(Reason::NearDuplicate);
        }
        if let Some(cap) = &mut self.cap {
            cap.add(example_id, trial.cap.unwrap_or_default());
        }
        if let Some(mixture) = &mut self.mixture {
            mixture.add(source, example_id);
        }
        for reason in reasons {
            self.alone[reason as usize] += 1;
            self.examples[reason as usize].get_or_insert_with(&place);
        }
    }

    /// What each active filter drops; `first` says of how many it is the first to reject.
    pub fn finish(mut self, first: impl Fn(Reason) -> u64) -> Result<Vec<Dropped>> {
        if let Some(cap) = self.cap {
            self.alone[Reason::OverCap as usize] = cap.decide().count();
        }
        if let Some(mixture) = self.mixture {
            self.alone[Reason::NotSampled as usize] = mixture.draw(|_| false)?.count();
        }
        let dropped = |&reason: &Reason| Dropped {
            reason: reason.name(),
            first: first(reason),
            alone: self.alone[reason as usize],
            example: self.examples[reason as usize].clone(),
        };
        Ok(self.active.iter().map(dropped).collect())
    }
}

/// The filters that are on, in the order in which reasons are looked for.
fn active(config: &Config, is_mixture: bool) -> Vec<Reason> {
    let on = |&reason: &Reason| config.has(reason);
    let early = [Reason::AnswerMismatch, Reason::ExactDuplicate];
    let late = [Reason::OverCap];
    let middle = config.filters.iter().map(super::Filter::reason);
    let middle = middle.filter(|reason| !early.contains(reason) && !late.contains(reason));
    let mut active: Vec<_> = early.into_iter().filter(on).chain(middle).collect();
    if config.min_length > 0 {
        active.push(Reason::TooShort);
    }
    active.push(Reason::TooLong);
    active.extend(late.into_iter().filter(on));
    if is_mixture {
        active.push(Reason::NotSampled);
    }
    active
}
