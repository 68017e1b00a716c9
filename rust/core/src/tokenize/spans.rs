//! A text that remembers what each of its bytes is for, and who wrote it.

use std::ops::Range;

use super::encoder::Token;
use crate::template::{Part, Segment, SpanKind};

/// A text with its spans; buffers are kept when it is cleared.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub text: String,
    /// Where each span ends, in bytes, and its kind's code.
    ends: Vec<(usize, u8)>,
    /// What the template wrote, in which a control token is one.
    pub literals: Vec<Range<usize>>,
}

impl Text {
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.literals.clear();
    }

    /// Appends text of the template.
    pub fn literal(&mut self, text: &str, kind: SpanKind) {
        let start = self.text.len();
        self.content(text, kind);
        match self.literals.last_mut() {
            // What the template wrote in one go may hold a control token across segments.
            Some(last) if last.end == start => last.end = self.text.len(),
            _ => self.literals.push(start..self.text.len()),
        }
    }

    /// Appends text of a record.
    pub fn content(&mut self, text: &str, kind: SpanKind) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(text);
        match self.ends.last_mut() {
            Some(last) if last.1 == kind.code() => last.0 = self.text.len(),
            _ => self.ends.push((self.text.len(), kind.code())),
        }
    }

    /// Appends what the segments stand for.
    pub fn segments<'t>(
        &mut self,
        segments: &'t [Segment],
        content_of: impl Fn(&Part) -> Option<&'t str>,
        control_of: impl Fn(&Part) -> &'t str,
    ) {
        for Segment { kind, part } in segments {
            match (part, content_of(part)) {
                (Part::Literal(text), _) => self.literal(text, *kind),
                (_, Some(text)) => self.content(text, *kind),
                (part, None) => self.literal(control_of(part), *kind),
            }
        }
    }

    /// Appends `other` with its spans and literals.
    pub fn append(&mut self, other: &Self) {
        let mut start = 0;
        for &(end, code) in &other.ends {
            let kind = SpanKind::ALL[usize::from(code)];
            self.content(&other.text[start..end], kind);
            start = end;
        }
        let base = self.text.len() - other.text.len();
        for range in &other.literals {
            let range = base + range.start..base + range.end;
            match self.literals.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => self.literals.push(range),
            }
        }
    }

    /// The literals inside `range`, counted from its start.
    pub fn literals_between(&self, range: Range<usize>) -> Vec<Range<usize>> {
        self.literals
            .iter()
            .map(|each| each.start.max(range.start)..each.end.min(range.end))
            .filter(|each| each.start < each.end)
            .map(|each| each.start - range.start..each.end - range.start)
            .collect()
    }

    /// Appends the kind of each token: that of its first byte, counted from `base`.
    pub fn kinds(&self, base: usize, tokens: &[Token], kinds: &mut Vec<u8>) {
        let last = self.ends.len().saturating_sub(1);
        kinds.extend(tokens.iter().map(|token| {
            let byte = base + token.byte_start;
            let span = self.ends.partition_point(|&(end, _)| end <= byte).min(last);
            self.ends
                .get(span)
                .map_or(SpanKind::Prompt.code(), |&(_, kind)| kind)
        }));
    }
}
