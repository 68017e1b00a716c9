//! What is put aside until it is decided which candidates are kept.

use crate::read::Place;
use crate::tokenize::Run;

/// A candidate that nothing is against but the choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aside<'a> {
    /// Its number among the candidates.
    pub example_id: i64,
    /// The number of its template.
    pub template: usize,
    /// Index of its file.
    pub source: usize,
    /// Where its record stands.
    pub place: Place,
    /// What the record is called.
    pub record_id: Option<&'a str>,
    /// Its domain.
    pub domain: Option<&'a str>,
    /// The rationale, where it is stored.
    pub rationale: Option<&'a str>,
    /// Whether its answer was found to be what the rationale concludes.
    pub verified: bool,
    /// UTF-8 bytes of question, rationale and answer.
    pub text_bytes: u64,
    /// Token ids.
    pub ids: &'a [u32],
    /// Their span kinds.
    pub runs: &'a [Run],
    /// Of a pair, how many of the tokens are what is chosen; 0 of a single example.
    pub chosen: u32,
}

/// Many of them, in few pieces of memory that are used again.
#[derive(Debug, Default)]
pub struct Asides {
    pub(super) entries: Vec<Entry>,
    pub(super) ids: Vec<u32>,
    pub(super) runs: Vec<Run>,
    pub(super) texts: String,
}

/// What is known of one; how many of the tokens, runs and bytes that follow those of the one before are its own.
#[derive(Debug)]
pub(super) struct Entry {
    pub example_id: i64,
    pub template: usize,
    pub source: usize,
    pub place: Place,
    pub verified: bool,
    pub text_bytes: u64,
    pub chosen: u32,
    pub ids: usize,
    pub runs: usize,
    pub record_id: Option<usize>,
    pub domain: Option<usize>,
    pub rationale: Option<usize>,
}

impl Asides {
    /// Adds one.
    pub fn push(&mut self, aside: &Aside<'_>) {
        let mut text = |text: Option<&str>| {
            self.texts.push_str(text?);
            text.map(str::len)
        };
        self.entries.push(Entry {
            example_id: aside.example_id,
            template: aside.template,
            source: aside.source,
            place: aside.place,
            verified: aside.verified,
            text_bytes: aside.text_bytes,
            chosen: aside.chosen,
            ids: aside.ids.len(),
            runs: aside.runs.len(),
            record_id: text(aside.record_id),
            domain: text(aside.domain),
            rationale: text(aside.rationale),
        });
        self.ids.extend_from_slice(aside.ids);
        self.runs.extend_from_slice(aside.runs);
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = Aside<'_>> {
        let (mut ids, mut runs, mut texts) = (&*self.ids, &*self.runs, &*self.texts);
        self.entries.iter().map(move |entry| {
            let mut text = |length: Option<usize>| {
                let (text, rest) = texts.split_at(length?);
                texts = rest;
                Some(text)
            };
            let (record_id, domain) = (text(entry.record_id), text(entry.domain));
            let rationale = text(entry.rationale);
            let (own_ids, other_ids) = ids.split_at(entry.ids);
            let (own_runs, other_runs) = runs.split_at(entry.runs);
            (ids, runs) = (other_ids, other_runs);
            Aside {
                example_id: entry.example_id,
                template: entry.template,
                source: entry.source,
                place: entry.place,
                record_id,
                domain,
                rationale,
                verified: entry.verified,
                text_bytes: entry.text_bytes,
                ids: own_ids,
                runs: own_runs,
                chosen: entry.chosen,
            }
        })
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let tokens = size_of_val(&*self.ids) + size_of_val(&*self.runs);
        size_of_val(&*self.entries) + tokens + self.texts.len()
    }

    /// Forgets all, and keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.ids.clear();
        self.runs.clear();
        self.texts.clear();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const RUNS: [Run; 2] = [
        Run { kind: 3, tokens: 2 },
        Run {
            kind: 6,
            tokens: 300,
        },
    ];
    /// A group that takes two bytes each, one that takes four, and a rest.
    const IDS: [u32; 40] = {
        let mut ids = [0; 40];
        let mut at = 0;
        while at < ids.len() {
            ids[at] = 65_520 + at as u32;
            at += 1;
        }
        ids
    };

    /// One that has all there may be.
    pub fn first() -> Aside<'static> {
        Aside {
            example_id: 3,
            template: 2,
            source: 1,
            place: Place {
                line: 7,
                byte_offset: Some(0),
            },
            record_id: Some("é"),
            domain: Some("sums"),
            rationale: Some("so"),
            verified: true,
            text_bytes: 1 << 40,
            ids: &IDS,
            runs: &RUNS,
            chosen: 2,
        }
    }

    /// One that has little.
    pub fn second() -> Aside<'static> {
        Aside {
            record_id: Some(""),
            domain: None,
            rationale: None,
            place: Place {
                line: 1,
                byte_offset: None,
            },
            ids: &[],
            runs: &[],
            chosen: 0,
            ..first()
        }
    }

    #[test]
    fn they_are_what_was_put_aside() {
        let mut asides = Asides::default();
        for _ in 0..2 {
            assert_eq!(asides.iter().count(), 0);
            for each in [second(), first(), second()] {
                asides.push(&each);
            }
            assert!(asides.iter().eq([second(), first(), second()]));
            assert_eq!(asides.bytes(), 3 * size_of::<Entry>() + 40 * 4 + 2 * 8 + 8);
            asides.clear();
        }
    }
}
