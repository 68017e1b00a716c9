//! `contaminated`: the candidate holds text of an evaluation set.
//!
//! Three ways, all on words without case and punctuation, question and rationale each by itself:
//! - its question is an evaluation question, however short;
//! - it shares a run of 13 words with one (GPT-3, Brown et al. 2020);
//! - it holds half of the 8-grams of one (PaLM asks for 70 %, Tülu 3 for more than half of the tokens).
//!
//! Runs that stand in more than `common` evaluation questions are wording of the task ("Is the coin
//! still heads up?") and do not count, as GPT-3 left out n-grams of more than ten documents.
//!
//! Performance note: filters that never say no to what is there (Bloom 1970; the bits of one run in one
//! integer: Putze, Sanders & Singler 2007) answer for nearly all that is clean. An 8-gram holds a
//! 6-gram at every third word of a text, so these are asked for first, a third of all look-ups; where one
//! may be known, the 8-grams are that hold it. These hold the common ones too, so that a run of 13 words
//! needs no look of its own: all of its 8-grams would be there.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use super::words::Words;
use super::{Reason, Rejection};
use crate::error::{Error, Result};
use crate::hashed::ByHash;
use crate::input::Input;
use crate::read::{Chunk, Reader};
use crate::record::{Record, Value};

/// Options of the filter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contaminated {
    /// Files of evaluation records.
    pub against: Vec<String>,
    /// Words of a shared run that is enough by itself.
    pub ngram: usize,
    /// Words of the runs that are counted.
    pub overlap_ngram: usize,
    /// Share of an evaluation question's runs that is too much.
    pub overlap: f64,
    /// Evaluation questions with the same run from which on it is wording of the task.
    pub common: usize,
}

impl Contaminated {
    /// What is wrong with the options, if anything is.
    pub fn fault(&self) -> Option<String> {
        if self.against.is_empty() {
            return Some("there is no evaluation set; give `against`".to_owned());
        }
        if !(self.overlap > 0.0 && self.overlap <= 1.0) {
            return Some(format!("an overlap of {} is not in (0, 1]", self.overlap));
        }
        (self.overlap_ngram == 0 || self.overlap_ngram > self.ngram || self.common == 0)
            .then(|| "overlap_ngram must be between 1 and ngram, and common 1 at least".to_owned())
    }
}

/// Hits that a rejection lists.
const LISTED: usize = 3;

/// The evaluation questions that hold a run; none are kept of one that is common.
#[derive(Debug, Default)]
struct Holders(Vec<u32>);

/// The evaluation sets, indexed once and then only read.
#[derive(Debug)]
pub struct Evaluation {
    options: Contaminated,
    /// File and line of each question.
    places: Vec<(u32, u64)>,
    whole: HashMap<u64, u32, ByHash>,
    long: HashMap<u64, Holders, ByHash>,
    short: HashMap<u64, Holders, ByHash>,
    /// Different short runs of each question that count.
    totals: Vec<u32>,
    /// All short runs, common ones too.
    screen: Screen,
    /// Parts of them, one of which stands at every third word of each.
    parts: Screen,
    /// Until all sets are read, the hashes of these.
    part_hashes: HashSet<u64, ByHash>,
}

/// Words from a part that is looked at to the next one, fewer where short runs are shorter.
const PARTS_APART: usize = 3;

/// A run of a candidate that an evaluation question may have: its first word and its hash.
pub type Suspect = (usize, u64);

impl Evaluation {
    /// Reads the evaluation sets.
    ///
    /// # Errors
    /// A file cannot be read, or one of its lines is no record.
    pub fn load(options: &Contaminated) -> Result<Self> {
        let mut evaluation = Self {
            options: options.clone(),
            places: Vec::new(),
            whole: HashMap::default(),
            long: HashMap::default(),
            short: HashMap::default(),
            totals: Vec::new(),
            screen: Screen::default(),
            parts: Screen::default(),
            part_hashes: HashSet::default(),
        };
        let inputs: Vec<_> = options.against.iter().map(Input::of).collect();
        let mut reader = Reader::open(&inputs)?;
        let mut chunk = Chunk::default();
        let mut words = Words::default();
        while reader.next(&mut chunk, &mut || Ok(()))? {
            let mut fault = None;
            // Of foreign formats the test split, or records without one; of our own every split.
            chunk.for_each("test", |place, values| {
                let record = values.and_then(|mut values| {
                    values[0] = Value::Absent;
                    Record::new(values, "", true)
                });
                match record {
                    Ok(Some(record)) => {
                        words.read(&record.question);
                        evaluation.add(chunk.source, place.line, &words);
                    }
                    Ok(None) => {}
                    Err(broken) => {
                        fault.get_or_insert((place.line, broken));
                    }
                }
            });
            if let Some((line, broken)) = fault {
                return Err(Error::input(
                    format!("{}:{line}: {}", options.against[chunk.source], broken.field),
                    broken.problem,
                    "mend the evaluation record or leave the file out of `against`",
                ));
            }
        }
        evaluation.seal();
        Ok(evaluation)
    }

    fn add(&mut self, source: usize, line: u64, words: &Words) {
        let question = self.places.len() as u32;
        self.places.push((source as u32, line));
        if let Some(hash) = words.whole() {
            self.whole.entry(hash).or_insert(question);
        }
        words.ngrams(self.part().0, |_, hash| {
            self.part_hashes.insert(hash);
        });
        let limit = self.options.common;
        for (length, holders) in [
            (self.options.ngram, &mut self.long),
            (self.options.overlap_ngram, &mut self.short),
        ] {
            words.ngrams(length, |_, hash| {
                let Holders(list) = holders.entry(hash).or_default();
                // One more than the limit says that it is common.
                if list.len() <= limit && list.last() != Some(&question) {
                    list.push(question);
                }
            });
        }
    }

    /// Forgets what is common, and counts the rest.
    fn seal(&mut self) {
        let limit = self.options.common;
        self.screen = Screen::of(self.short.keys().copied());
        let parts = std::mem::take(&mut self.part_hashes);
        self.parts = Screen::of(parts.into_iter());
        for holders in [&mut self.long, &mut self.short] {
            holders.retain(|_, Holders(list)| list.len() <= limit);
            holders.shrink_to_fit();
        }
        self.totals = vec![0; self.places.len()];
        for Holders(list) in self.short.values() {
            for &question in list {
                self.totals[question as usize] += 1;
            }
        }
    }

    /// Judges the question and the rationale of a candidate; `room` is overwritten.
    pub fn check(
        &self,
        texts: [(&'static str, &str, &Words); 2],
        room: &mut Vec<Suspect>,
    ) -> Result<(), Rejection> {
        for (field, text, words) in texts {
            let hits = self.hits(text, words, field == "question", room);
            if !hits.is_empty() {
                let more = hits.len().saturating_sub(LISTED);
                let mut problem = hits[..hits.len() - more].join("; ");
                if more > 0 {
                    problem += &format!("; {more} more");
                }
                return Err(Rejection::new(Reason::Contaminated, field, problem));
            }
        }
        Ok(())
    }

    fn hits(
        &self,
        text: &str,
        words: &Words,
        is_question: bool,
        suspects: &mut Vec<Suspect>,
    ) -> Vec<String> {
        let whole = words.whole().filter(|_| is_question);
        if let Some(&question) = whole.and_then(|hash| self.whole.get(&hash)) {
            return vec![format!("is the question of {}", self.place(question))];
        }
        let (length, apart) = self.part();
        let mut is_clean = true;
        words.ngrams_apart(length, apart, |_, hash| {
            is_clean &= !self.parts.may_hold(hash)
        });
        if is_clean {
            return Vec::new();
        }
        let short = self.options.overlap_ngram;
        suspects.clear();
        words.ngrams_apart(length, apart, |part, hash| {
            if self.parts.may_hold(hash) {
                // The short runs that hold this part; the others hold one before or behind it.
                let firsts = (part + 1).saturating_sub(apart)..=part;
                let firsts = firsts.filter(|first| first + short <= words.count());
                let runs = firsts.map(|first| (first, words.run(first..first + short)));
                suspects.extend(runs.filter(|(_, hash)| self.screen.may_hold(*hash)));
            }
        });
        if suspects.is_empty() {
            return Vec::new();
        }
        let hits = self.long_hits(text, words, suspects);
        if hits.is_empty() {
            return self.overlaps(suspects);
        }
        hits
    }

    /// The long runs that stand in a question, of which all short ones must be `suspects`.
    fn long_hits(&self, text: &str, words: &Words, suspects: &[Suspect]) -> Vec<String> {
        let mut hits = Vec::new();
        let length = self.options.ngram;
        let shorts = length - self.options.overlap_ngram + 1;
        let in_a_row = |run: &[Suspect]| run[shorts - 1].0 == run[0].0 + shorts - 1;
        if !suspects.windows(shorts).any(in_a_row) {
            return hits;
        }
        let mut last: HashMap<u32, usize> = HashMap::new();
        words.ngrams(length, |first, hash| {
            for &question in self.long.get(&hash).map_or(&[][..], |holders| &holders.0) {
                // Of a longer run its first words are enough.
                let is_new = match last.entry(question) {
                    Entry::Occupied(mut end) => first > end.insert(first) + 1,
                    Entry::Vacant(end) => {
                        end.insert(first);
                        true
                    }
                };
                if is_new {
                    let run = words.slice(text, first, first + length - 1);
                    hits.push(format!("{run:?} stands in {}", self.place(question)));
                }
            }
        });
        hits
    }

    /// The questions of which too many of their runs are among `suspects`.
    fn overlaps(&self, suspects: &mut Vec<Suspect>) -> Vec<String> {
        suspects.sort_unstable_by_key(|&(_, hash)| hash);
        suspects.dedup_by_key(|&mut (_, hash)| hash);
        let mut shared: BTreeMap<u32, u32> = BTreeMap::new();
        for &mut (_, hash) in suspects {
            for &question in self.short.get(&hash).map_or(&[][..], |holders| &holders.0) {
                *shared.entry(question).or_default() += 1;
            }
        }
        let runs = self.options.overlap_ngram;
        shared
            .into_iter()
            .filter_map(|(question, count)| {
                let share = f64::from(count) / f64::from(self.totals[question as usize]);
                (share >= self.options.overlap).then(|| {
                    format!(
                        "holds {share:.2} of the {runs}-grams of {}",
                        self.place(question)
                    )
                })
            })
            .collect()
    }

    /// The words of a part, and how far apart parts must be looked at to find one of each short run.
    fn part(&self) -> (usize, usize) {
        let short = self.options.overlap_ngram;
        let apart = PARTS_APART.min(short);
        (short - apart + 1, apart)
    }

    fn place(&self, question: u32) -> String {
        let (source, line) = self.places[question as usize];
        format!("{}:{line}", self.options.against[source as usize])
    }
}

/// Which runs there may be: never says no to one that is there, seldom yes to another.
#[derive(Debug, Default)]
struct Screen(Vec<u64>);

/// Bits for a run; three of them are set.
const SCREEN_BITS: usize = 16;

impl Screen {
    fn of(hashes: impl ExactSizeIterator<Item = u64>) -> Self {
        let words = hashes.len() * SCREEN_BITS / u64::BITS as usize;
        let mut screen = Self(vec![0; words.next_power_of_two()]);
        for hash in hashes {
            let (at, bits) = screen.place(hash);
            screen.0[at] |= bits;
        }
        screen
    }

    #[inline]
    fn may_hold(&self, hash: u64) -> bool {
        let (at, bits) = self.place(hash);
        self.0[at] & bits == bits
    }

    #[inline]
    fn place(&self, hash: u64) -> (usize, u64) {
        let at = (hash >> 32) as usize & (self.0.len() - 1);
        let bit = |shift: u32| 1_u64 << (hash >> shift & 63);
        (at, bit(0) | bit(6) | bit(12))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(against: &[&std::path::Path]) -> Contaminated {
        Contaminated {
            against: against
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            ngram: 13,
            overlap_ngram: 8,
            overlap: 0.5,
            common: 2,
        }
    }

    const LONG: &str = "Ann buys three red apples and four green pears at the market on a Monday \
                        morning. How many fruits does she carry home to her mother?";
    const SHORT: &str = "What is two plus two?";

    fn problem(evaluation: &Evaluation, question: &str, rationale: &str) -> Option<String> {
        let (mut left, mut right) = (Words::default(), Words::default());
        left.read(question);
        right.read(rationale);
        let texts = [
            ("question", question, &left),
            ("rationale", rationale, &right),
        ];
        let fault = evaluation.check(texts, &mut Vec::new()).err()?;
        assert_eq!(fault.reason, Reason::Contaminated);
        Some(format!("{}: {}", fault.field, fault.problem))
    }

    fn evaluation(questions: &[&str]) -> (tempfile::TempDir, Evaluation, String) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("test.jsonl");
        let lines = questions.iter().map(|question| {
            let line = serde_json::json!({"question": question, "answer": 1, "split": "test"});
            format!("{line}\n")
        });
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        let evaluation = Evaluation::load(&options(&[&path])).unwrap();
        (root, evaluation, path.display().to_string())
    }

    #[test]
    fn the_three_ways() {
        let (_root, evaluation, path) = evaluation(&[SHORT, LONG]);
        let whole = format!("question: is the question of {path}:1");
        assert_eq!(
            problem(&evaluation, "what is TWO plus two", "4"),
            Some(whole)
        );
        let run = "three red apples and four green pears at the market on a Monday";
        let found = problem(&evaluation, "Who?", &format!("She said: {run} evening.")).unwrap();
        assert_eq!(found, format!("rationale: {run:?} stands in {path}:2"));
        // Two halves with a word between them that is another.
        let halves = LONG.replace("Monday", "Sunday");
        let found = problem(&evaluation, &halves, "").unwrap();
        assert!(
            found.contains("stands in") || found.contains("of the 8-grams"),
            "{found}"
        );
        let bits = LONG.replace("pears", "plums").replace("fruits", "things");
        let found = problem(&evaluation, &bits, "");
        assert_eq!(found, None, "13 words and half of the runs are broken");
        assert_eq!(
            problem(&evaluation, "What is two plus three?", "two plus two"),
            None
        );
    }

    #[test]
    fn wording_of_the_task_does_not_count() {
        let wording = "Is the coin still heads up? Note that flip here means reverse, of course.";
        let tasks: Vec<_> = ["Ann", "Bob", "Cid"]
            .map(|name| format!("A coin is heads up. {name} flips it twice, they say. {wording}"))
            .into();
        let (_root, evaluation, path) =
            evaluation(&tasks.iter().map(String::as_str).collect::<Vec<_>>());
        let mine = format!("A penny lies there and Dan turned it. {wording}");
        assert_eq!(problem(&evaluation, &mine, ""), None);
        let same = format!("question: is the question of {path}:2");
        assert_eq!(problem(&evaluation, &tasks[1], ""), Some(same));
    }

    #[test]
    fn a_broken_evaluation_set_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("broken.jsonl");
        std::fs::write(&path, "{\"question\": \"q\", \"answer\": 1}\n{}\n").unwrap();
        let refusal = Evaluation::load(&options(&[&path]))
            .unwrap_err()
            .to_string();
        assert!(
            refusal.starts_with(&format!("{}:2: question: missing", path.display())),
            "{refusal}"
        );
    }
}
