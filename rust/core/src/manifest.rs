//! `manifest.json`: what was read, kept and written, and how.
//!
//! It says nothing of time, host or threads, so that the same input gives the same bytes.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::filter::{Dropped, Reason};
use crate::input::Format;
use crate::template::SpanKind;

/// The layout of the directory; it changes when a reader would have to.
pub const FORMAT: u32 = 1;

/// The manifest of a prepared directory.
#[derive(Debug, Clone, Serialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Candidates of all files together.
    pub records: Counts,
    /// Candidates of each file.
    pub sources: Vec<SourceCounts>,
    /// UTF-8 bytes of question, rationale and answer of the kept.
    pub bytes_kept: u64,
    /// Tokens of the kept.
    pub tokens: Tokens,
    /// Tokens in the rows, where prompts are shared; else all of the kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_tokens: Option<u64>,
    /// The names of the numbers in `span_kinds`.
    pub span_kind_codes: Map<String, Value>,
    /// The names of the numbers in `domains`.
    pub domains: Vec<String>,
    /// Packed rows.
    pub rows: u64,
    /// Examples in them.
    pub examples: u64,
    /// Share of `rows × max_length` that is tokens.
    pub fill: f64,
    /// Tokens of a row at most.
    pub max_length: usize,
    /// Optimizer steps of one epoch at batch size 1.
    pub steps: Steps,
    /// The name of the template that answers at inference: of several the first.
    pub template: String,
    /// The names of the numbers in `example_templates`.
    pub templates: Vec<String>,
    /// How text is rendered, with all choices made.
    pub render: Value,
    /// Hash of the rows; also the `_fingerprint` of the data set.
    pub fingerprint: String,
    /// Hash of `tokenizer.json`.
    pub tokenizer_sha256: String,
    /// Hash of the recipe.
    pub recipe_sha256: String,
    /// Versions of the software.
    pub versions: Map<String, Value>,
    /// In a dry run, what each filter would drop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Vec<Dropped>>,
}

/// How many candidates met which fate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All candidates.
    pub read: u64,
    /// Those that became examples.
    pub kept: u64,
    /// Those that did not, by reason.
    pub rejected: Rejected,
    /// Of the kept, those whose rationale has no conclusion that can be read.
    pub unverified: u64,
    /// Records held out for validation, which are no candidates.
    pub held_out: u64,
    /// Records of other splits, which are no candidates.
    pub other_split: u64,
}

impl Counts {
    /// Adds those of another file.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.kept += other.kept;
        self.unverified += other.unverified;
        self.held_out += other.held_out;
        self.other_split += other.other_split;
        for (count, more) in self.rejected.0.iter_mut().zip(other.rejected.0) {
            *count += more;
        }
    }
}

/// [`Counts`] of one input file.
#[derive(Debug, Clone, Serialize)]
pub struct SourceCounts {
    /// The file, as the caller named it.
    pub path: String,
    /// What its records are like.
    pub format: Format,
    /// Its candidates.
    pub records: Counts,
}

/// Rejected candidates by reason; reasons that never held are not written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected([u64; Reason::ALL.len()]);

impl Rejected {
    /// Counts one.
    pub fn add(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }

    /// The reasons that held, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL
            .into_iter()
            .zip(self.0)
            .filter(|&(_, count)| count > 0)
    }

    /// How many were rejected for one reason.
    pub fn count(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Serialize for Rejected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(reason, count)| (reason.name(), count)))
    }
}

/// Tokens by span kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens(pub [u64; SpanKind::ALL.len()]);

impl Tokens {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Serialize for Tokens {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("total", &self.total())?;
        for kind in SpanKind::ALL {
            map.serialize_entry(kind.name(), &self.0[usize::from(kind.code())])?;
        }
        map.end()
    }
}

/// Optimizer steps of one epoch: few steps hurt small data, and packing makes them few.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Steps {
    /// With rows as they are.
    pub packed: u64,
    /// With one example a row.
    pub unpacked: u64,
}

/// The table of span kinds for [`Manifest::span_kind_codes`].
pub fn span_kind_codes() -> Map<String, Value> {
    SpanKind::ALL
        .into_iter()
        .map(|kind| (kind.name().to_owned(), kind.code().into()))
        .collect()
}
