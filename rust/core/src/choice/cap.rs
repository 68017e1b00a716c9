//! `over_cap`: of each question the few rationales that differ most.
//!
//! PRADA (arXiv 2501.09804) samples several rationales a question for their diversity; the more alike they
//! are, the less each adds. The first is kept, then again and again the one whose nearest kept one is
//! farthest (greedy farthest point, Gonzalez 1985; a 2-approximation of the best spread), by the
//! estimated Jaccard distance of their word shingles. Ties go to the earlier one.
//!
//! Memory: 80 bytes a candidate.

use std::collections::HashMap;

use serde::Deserialize;

use crate::chunked::Chunked;
use crate::filter::{Reason, Rejection, Sketch};

/// Options of the choice.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverCap {
    /// Candidates of one question that are kept at most.
    pub max_per_question: usize,
    /// Words of a shingle.
    pub shingle: usize,
}

impl OverCap {
    /// What is wrong with the options, if anything is.
    pub fn fault(&self) -> Option<String> {
        (self.max_per_question == 0 || self.shingle == 0)
            .then(|| "max_per_question and shingle are 1 at least".to_owned())
    }
}

/// What is known of a candidate.
#[derive(Debug, Clone, Copy, Default)]
pub struct CapKey {
    /// Hash of the question's words, and of the template: each has a cap of its own.
    pub question: u64,
    /// Of the rationale's shingles.
    pub sketch: Sketch,
}

/// All candidates, in input order.
#[derive(Debug)]
pub struct Cap {
    most: usize,
    candidates: Chunked<(i64, CapKey)>,
}

/// The candidates that are dropped: what is nearest to each, and how near.
#[derive(Debug)]
pub struct Capped {
    most: usize,
    nearest: HashMap<usize, (i64, f64)>,
}

impl Cap {
    /// A cap of nothing yet.
    pub fn new(options: &OverCap) -> Self {
        Self {
            most: options.max_per_question,
            candidates: Chunked::default(),
        }
    }

    /// Adds a candidate.
    pub fn add(&mut self, example_id: i64, key: CapKey) {
        self.candidates.push((example_id, key));
    }

    /// Chooses for every question.
    pub fn decide(self) -> Capped {
        let questions = self.candidates.iter().map(|(_, key)| key.question);
        let mut order: Vec<(u64, u32)> = questions.zip(0..).collect();
        order.sort_unstable();
        let mut nearest = HashMap::new();
        for group in order.chunk_by(|(a, _), (b, _)| a == b) {
            self.spread(group, &mut nearest);
        }
        Capped {
            most: self.most,
            nearest,
        }
    }

    /// Drops all of a question's candidates but those that differ most.
    fn spread(&self, group: &[(u64, u32)], nearest: &mut HashMap<usize, (i64, f64)>) {
        if group.len() <= self.most {
            return;
        }
        // Of each that is left the nearest kept one, and the similarity to it.
        let mut left: Vec<(usize, usize, f64)> = group[1..]
            .iter()
            .map(|&(_, index)| (index as usize, 0, -1.0))
            .collect();
        let mut kept = group[0].1 as usize;
        let sketch = |index: usize| &self.candidates[index].1.sketch;
        for round in 1.. {
            for (index, near, similarity) in &mut left {
                let new = sketch(*index).similarity(sketch(kept));
                if new > *similarity {
                    (*near, *similarity) = (kept, new);
                }
            }
            if round == self.most {
                break;
            }
            let mut farthest = 0;
            for (at, candidate) in left.iter().enumerate() {
                if candidate.2 < left[farthest].2 {
                    farthest = at;
                }
            }
            kept = left.remove(farthest).0;
        }
        for (index, near, similarity) in left {
            nearest.insert(index, (self.candidates[near].0, similarity));
        }
    }
}

impl Capped {
    /// Whether the candidate is dropped.
    pub fn drops(&self, index: usize) -> bool {
        self.nearest.contains_key(&index)
    }

    /// How many are.
    pub fn count(&self) -> u64 {
        self.nearest.len() as u64
    }

    /// Why the candidate is dropped, if it is.
    pub fn rejection(&self, index: usize) -> Option<Rejection> {
        let (example_id, similarity) = self.nearest.get(&index)?;
        let problem = format!(
            "{} of this question are kept that differ more; nearest is example {example_id}, \
             estimated similarity {similarity:.2}",
            self.most
        );
        Some(Rejection::new(Reason::OverCap, "rationale", problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Signature, mix};

    fn key(question: u64, shingles: impl Iterator<Item = u64>) -> CapKey {
        let mut signature = Signature::default();
        shingles.for_each(|shingle| signature.add(mix(shingle)));
        CapKey {
            question,
            sketch: Sketch::of(&signature),
        }
    }

    fn dropped(most: usize, keys: &[CapKey]) -> Vec<usize> {
        let options = OverCap {
            max_per_question: most,
            shingle: 3,
        };
        let mut cap = Cap::new(&options);
        for (index, &key) in keys.iter().enumerate() {
            cap.add(index as i64 * 10, key);
        }
        let capped = cap.decide();
        (0..keys.len())
            .filter(|&index| capped.drops(index))
            .collect()
    }

    #[test]
    fn those_that_differ_most_are_kept() {
        // 1 and 3 are nearly 0; 2 and 4 are of their own.
        let keys = [
            key(7, 0..100),
            key(7, 5..105),
            key(7, 1000..1100),
            key(7, 2..102),
            key(7, 2000..2100),
            key(8, 0..100),
        ];
        assert_eq!(dropped(3, &keys), [1, 3]);
        assert_eq!(dropped(2, &keys), [1, 3, 4]);
        assert_eq!(dropped(1, &keys), [1, 2, 3, 4]);
        assert_eq!(dropped(5, &keys), [0; 0]);
    }

    #[test]
    fn of_equal_ones_the_first_are_kept() {
        let keys = [key(7, 0..10); 4];
        assert_eq!(dropped(2, &keys), [2, 3]);
        assert_eq!(dropped(2, &[CapKey::default(); 3]), [2]);
    }
}
