//! `not_sampled`: sources with weights give examples in proportion to them.
//!
//! The mixture is the largest without repetition: the source that has the fewest examples for its weight
//! gives all of them. Which of the others are drawn depends on the seed and each candidate's number alone,
//! so that a smaller draw is a part of a larger one. Sources without a weight give all they have.
//!
//! Memory: 12 bytes a candidate, up to 24 with the room that growing lists leave.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::filter::{Reason, Rejection, mix};
use crate::input::Input;

/// The sources and all their candidates, in input order.
#[derive(Debug)]
pub struct Mixture {
    paths: Vec<String>,
    weights: Vec<Option<f64>>,
    seed: u64,
    sources: Vec<u32>,
    example_ids: Vec<i64>,
}

/// What is drawn.
#[derive(Debug)]
pub struct Drawn {
    left_out: HashSet<usize>,
    /// Of each source how many are drawn, and how many there are.
    counts: Vec<(usize, usize)>,
    weights: Vec<Option<f64>>,
}

impl Mixture {
    /// A mixture of `inputs`, if any of them has a weight.
    pub fn new(inputs: &[Input], seed: u64) -> Option<Self> {
        let weights: Vec<_> = inputs.iter().map(|input| input.weight).collect();
        weights.iter().any(Option::is_some).then(|| Self {
            paths: inputs.iter().map(|input| input.path.clone()).collect(),
            weights,
            seed,
            sources: Vec::new(),
            example_ids: Vec::new(),
        })
    }

    /// Adds a candidate.
    pub fn add(&mut self, source: usize, example_id: i64) {
        self.sources.push(source as u32);
        self.example_ids.push(example_id);
    }

    /// Draws among the candidates that are not dropped already.
    ///
    /// # Errors
    /// A source with a weight has none.
    pub fn draw(self, is_dropped: impl Fn(usize) -> bool) -> Result<Drawn> {
        let mut members: Vec<Vec<(u64, usize)>> = vec![Vec::new(); self.weights.len()];
        for (index, (&source, &id)) in self.sources.iter().zip(&self.example_ids).enumerate() {
            if !is_dropped(index) {
                let lot = mix(mix(self.seed) ^ id as u64);
                members[source as usize].push((lot, index));
            }
        }
        let sizes: Vec<_> = members.iter().map(Vec::len).collect();
        let counts = self.counts(&sizes)?;
        let mut left_out = HashSet::new();
        for (list, &(take, _)) in members.iter_mut().zip(&counts) {
            list.sort_unstable();
            left_out.extend(list[take..].iter().map(|&(_, index)| index));
        }
        Ok(Drawn {
            left_out,
            counts,
            weights: self.weights,
        })
    }

    /// Of each source how many of its `sizes` are drawn.
    fn counts(&self, sizes: &[usize]) -> Result<Vec<(usize, usize)>> {
        let mut scale = f64::INFINITY;
        for ((weight, &size), path) in self.weights.iter().zip(sizes).zip(&self.paths) {
            let Some(weight) = weight else { continue };
            if size == 0 {
                return Err(Error::input(
                    path,
                    format!("has weight {weight}, but no example of it is kept"),
                    "leave the source out, or see why it was rejected with --dry-run",
                ));
            }
            scale = scale.min(size as f64 / weight);
        }
        let take = |(weight, &size): (&Option<f64>, &usize)| {
            // A hair more, lest rounding lose one of a share that is whole.
            let share = weight.map_or(size, |weight| (weight * scale * (1.0 + 1e-12)) as usize);
            (share.min(size), size)
        };
        Ok(self.weights.iter().zip(sizes).map(take).collect())
    }
}

impl Drawn {
    /// How many are left out.
    pub fn count(&self) -> u64 {
        self.left_out.len() as u64
    }

    /// Why the candidate is left out, if it is.
    pub fn rejection(&self, index: usize, source: usize) -> Option<Rejection> {
        if !self.left_out.contains(&index) {
            return None;
        }
        let (drawn, size) = self.counts[source];
        let weight = self.weights[source]?;
        let problem = format!("{drawn} of {size} examples are drawn at weight {weight}");
        Some(Rejection::new(Reason::NotSampled, "line", problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(weights: &[Option<f64>], sizes: &[usize], seed: u64) -> Result<Vec<usize>> {
        let inputs: Vec<_> = weights
            .iter()
            .map(|&weight| Input {
                weight,
                ..Input::of("a")
            })
            .collect();
        let mut mixture = Mixture::new(&inputs, seed).unwrap();
        for (source, &size) in sizes.iter().enumerate() {
            (0..size).for_each(|_| mixture.add(source, mixture.example_ids.len() as i64));
        }
        let total = sizes.iter().sum();
        let drawn = mixture.draw(|_| false)?;
        Ok((0..total)
            .filter(|index| !drawn.left_out.contains(index))
            .collect())
    }

    fn of(indices: &[usize], sizes: &[usize]) -> Vec<usize> {
        let mut start = 0;
        let count = |&size: &usize| {
            let range = start..start + size;
            start += size;
            indices.iter().filter(|index| range.contains(index)).count()
        };
        sizes.iter().map(count).collect()
    }

    #[test]
    fn the_largest_mixture_in_proportion() {
        for (weights, sizes, expected) in [
            ([Some(0.5), Some(0.5), None], [100, 30, 7], [30, 30, 7]),
            (
                [Some(3.0), Some(1.0), Some(1.0)],
                [90, 100, 100],
                [90, 30, 30],
            ),
            ([Some(0.1), Some(0.3), None], [10, 30, 0], [10, 30, 0]),
        ] {
            assert_eq!(of(&drawn(&weights, &sizes, 0).unwrap(), &sizes), expected);
        }
        assert!(Mixture::new(&[Input::of("a")], 0).is_none());
    }

    #[test]
    fn the_seed_decides_who_is_drawn() {
        let (weights, sizes) = ([Some(1.0), Some(1.0)], [200, 50]);
        let first = drawn(&weights, &sizes, 1).unwrap();
        assert_eq!(first, drawn(&weights, &sizes, 1).unwrap());
        assert_ne!(first, drawn(&weights, &sizes, 2).unwrap());
        let smaller = drawn(&[Some(1.0), Some(2.0)], &sizes, 1).unwrap();
        assert!(smaller.iter().all(|index| first.contains(index)));
    }

    #[test]
    fn a_source_of_which_nothing_is_left_is_refused() {
        let refusal = drawn(&[Some(1.0), Some(1.0)], &[5, 0], 0).unwrap_err();
        assert!(refusal.to_string().contains("no example of it is kept"));
    }
}
