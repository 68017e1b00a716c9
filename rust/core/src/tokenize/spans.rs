//! A text that remembers what each of its bytes is for, and who wrote it.

use std::ops::Range;

use super::tokens::Tokens;
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

    /// Appends how many tokens of each kind follow one another, `tokens` being those of `range`.
    ///
    /// A token has the kind of its first byte. Where lengths tell the starts, they are added up
    /// from both ends to the longest span, which gets what is left: most tokens are not looked at.
    pub fn runs(
        &self,
        range: Range<usize>,
        tokens: &Tokens,
        length_of: impl Fn(u32) -> usize,
        runs: &mut Vec<Run>,
    ) {
        let first = self.ends.partition_point(|&(end, _)| end <= range.start);
        let last = self.ends.partition_point(|&(end, _)| end < range.end);
        let spans = &self.ends[first..self.ends.len().min(last + 1)];
        if !tokens.starts.is_empty() {
            let kind_at = |&start: &usize| {
                let byte = range.start + start;
                let span = spans.partition_point(|&(end, _)| end <= byte);
                let (_, kind) = spans[span.min(spans.len() - 1)];
                Run { kind, tokens: 1 }
            };
            runs.extend(tokens.starts.iter().map(kind_at));
            return;
        }
        let start_of = |span: usize| match span {
            0 => range.start,
            _ => spans[span - 1].0,
        };
        let length = |&span: &usize| spans[span].0.min(range.end) - start_of(span);
        let Some(longest) = (0..spans.len()).max_by_key(length) else {
            return;
        };
        let ids = &tokens.ids;
        let mut push = |span: usize, tokens: usize| {
            let (kind, tokens) = (spans[span].1, tokens as u32);
            if tokens > 0 {
                runs.push(Run { kind, tokens });
            }
            runs.len()
        };
        let (mut front, mut byte) = (0, range.start);
        for (span, &(end, _)) in spans[..longest].iter().enumerate() {
            let before = front;
            while front < ids.len() && byte < end {
                byte += length_of(ids[front]);
                front += 1;
            }
            push(span, front - before);
        }
        let front_runs = push(longest, 0);
        let (mut back, mut byte) = (ids.len(), range.end);
        for span in (longest + 1..spans.len()).rev() {
            let before = back;
            while back > front && byte - length_of(ids[back - 1]) >= start_of(span) {
                back -= 1;
                byte -= length_of(ids[back]);
            }
            push(span, before - back);
        }
        push(longest, back - front);
        runs[front_runs..].reverse();
    }
}

/// So many tokens of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The span kind's code.
    pub kind: u8,
    /// How many.
    pub tokens: u32,
}
