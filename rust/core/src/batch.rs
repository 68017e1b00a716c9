//! What is known of the candidates of a chunk when the workers are done with it.

use std::ops::Range;

use crate::choice::CapKey;
use crate::filter::{Key, NearKey, NearLookup, Rejection, Trial};
use crate::read::Place;
use crate::tokenize::Run;

/// The candidates of one chunk; their texts and tokens lie in shared buffers that are reused.
#[derive(Debug, Default)]
pub struct Batch {
    /// The candidates in order.
    pub candidates: Vec<Candidate>,
    /// Records of other splits.
    pub other_split: u64,
    /// Records held out for validation.
    pub held_out: u64,
    /// These, as lines of JSON.
    pub held_out_lines: Vec<u8>,
    /// Token ids of all examples.
    pub ids: Vec<u32>,
    /// Span kinds of all examples.
    pub runs: Vec<Run>,
    /// What `near_duplicate` compares.
    pub near_keys: Vec<NearKey>,
    /// What `over_cap` compares.
    pub cap_keys: Vec<CapKey>,
    /// Texts that outlive the chunk: ids, domains, rationales.
    pub text: String,
}

/// One (record, rationale, template), to be kept or rejected.
#[derive(Debug)]
pub struct Candidate {
    /// Where its record stands.
    pub place: Place,
    /// The record's id, in the batch's text.
    pub record_id: Option<Range<usize>>,
    /// The number of its template; none of a record that is malformed.
    pub template: Option<usize>,
    /// What is known of it so far.
    pub state: State,
    /// In a dry run, all that is known of it if it is well-formed.
    pub trial: Option<Box<Trial>>,
}

/// What is known of a candidate when its chunk is done.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are rendered, and a box for each costs more than the room"
)]
pub enum State {
    /// It will not be kept.
    Rejected(Rejection),
    /// An earlier candidate has the same fields, as the collector knew already.
    Duplicate,
    /// It will be kept unless it is a duplicate, and then unless its length rejects it.
    Rendered(Rendered),
}

/// A candidate that only those before it, or a filter that comes after these, can reject.
#[derive(Debug)]
pub struct Rendered {
    /// The number of its template.
    pub template: usize,
    /// Hash of the fields; two candidates with one key are duplicates.
    pub key: Key,
    /// What `near_duplicate` says, if it comes to that.
    pub near: Option<NearLookup>,
    /// Which of the batch's keys `over_cap` compares.
    pub cap: Option<usize>,
    /// What the template says to it.
    pub accepted: Accepted,
    /// Whether its answer was found to be what the rationale concludes.
    pub verified: bool,
    /// UTF-8 bytes of question, rationale and answer.
    pub text_bytes: u64,
    /// Its tokens in the batch's buffers, or why a filter, the template or their number rejects it.
    pub tokens: Result<Range<usize>, Rejection>,
    /// Their span kinds in the batch's buffer.
    pub runs: Range<usize>,
    /// Of a pair, how many of the tokens are what is chosen; 0 of a single example.
    pub chosen: u32,
    /// The record's domain, in the batch's text.
    pub domain: Option<Range<usize>>,
    /// The rationale, in the batch's text, where it is to be stored.
    pub rationale: Option<Range<usize>>,
}

/// What a template says to a candidate; it is not asked where a filter rejects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It makes an example of it.
    Yes,
    /// It cannot be rendered.
    No,
    /// A filter was first.
    Unasked,
}

impl Batch {
    /// Forgets all; the buffers stay.
    pub fn clear(&mut self) {
        self.candidates.clear();
        self.other_split = 0;
        self.held_out = 0;
        self.held_out_lines.clear();
        self.ids.clear();
        self.runs.clear();
        self.near_keys.clear();
        self.cap_keys.clear();
        self.text.clear();
    }

    /// Keeps a text beyond its chunk.
    pub fn store(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }
}
