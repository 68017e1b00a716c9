//! Where added tokens stand in a text, and which of them may.
//!
//! The `tokenizers` crate finds added tokens anywhere in a string, or leaves all special
//! ones as text. Here a control token is found in what the template wrote and nowhere else:
//! a rationale that contains `<|im_end|>` keeps it as text. Matching, its order and its
//! flags are those of `tokenizers`, so that without such content the ids are the same.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use smallvec::SmallVec;
use tokenizers::{AddedToken, NormalizedString, Token, normalizer};

/// A token that is matched as a whole.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub text: String,
    pub id: u32,
    /// Ends or structures a text, so content must not produce it.
    pub is_control: bool,
    pub single_word: bool,
    pub lstrip: bool,
    pub rstrip: bool,
}

impl Pattern {
    pub fn new(token: &AddedToken, text: String, id: u32, is_control: bool) -> Self {
        Self {
            text,
            id,
            is_control,
            single_word: token.single_word,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
        }
    }
}

/// A stretch of a text: an added token, or text between them.
pub(super) type Piece = (Option<u32>, Range<usize>);
/// The pieces of a text: of most, few enough to need no allocation.
pub(super) type Pieces = SmallVec<[Piece; 4]>;
/// What `PreTokenizedString::split` takes.
pub(super) type Split = (NormalizedString, Option<Vec<Token>>);

/// A set of patterns, found leftmost first and longest first.
pub(super) struct Matcher {
    patterns: Vec<Pattern>,
    automaton: Option<AhoCorasick>,
    /// The bytes with which patterns begin.
    starts: Vec<u8>,
}

impl Matcher {
    pub fn new(patterns: Vec<Pattern>) -> Result<Self, aho_corasick::BuildError> {
        let automaton = if patterns.is_empty() {
            None
        } else {
            let texts = patterns.iter().map(|pattern| &pattern.text);
            let mut builder = AhoCorasick::builder();
            Some(
                builder
                    .match_kind(MatchKind::LeftmostLongest)
                    .build(texts)?,
            )
        };
        let first = |pattern: &Pattern| pattern.text.as_bytes().first().copied();
        let mut starts: Vec<u8> = patterns.iter().filter_map(first).collect();
        starts.sort_unstable();
        starts.dedup();
        Ok(Self {
            patterns,
            automaton,
            starts,
        })
    }

    /// Whether it finds nothing.
    pub fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    /// Whether a pattern may begin in a text. Most have none, and to start the automaton costs more.
    fn may_begin(&self, text: &str) -> bool {
        let text = text.as_bytes();
        match *self.starts {
            [] => false,
            [one] => memchr::memchr(one, text).is_some(),
            [one, two] => memchr::memchr2(one, two, text).is_some(),
            [one, two, three] => memchr::memchr3(one, two, three, text).is_some(),
            _ => true,
        }
    }

    /// Cuts `text` at the accepted patterns inside `windows`, which are sorted; the pieces
    /// cover the text.
    pub fn cut(
        &self,
        text: &str,
        windows: &[Range<usize>],
        accepts: impl Fn(&Pattern, &Range<usize>) -> bool,
    ) -> Pieces {
        let mut pieces = Pieces::new();
        let mut done = 0;
        for window in windows {
            let Some(automaton) = &self.automaton else {
                break;
            };
            let inside = &text[window.clone()];
            if !self.may_begin(inside) {
                continue;
            }
            for found in automaton.find_iter(inside) {
                let pattern = &self.patterns[found.pattern().as_usize()];
                let range = window.start + found.start()..window.start + found.end();
                if !accepts(pattern, &range)
                    || pattern.single_word && touches_word(text, &range)
                    || range.start < done
                {
                    continue;
                }
                let start = if pattern.lstrip {
                    text[done..range.start].trim_end().len() + done
                } else {
                    range.start
                };
                let end = if pattern.rstrip {
                    text.len() - text[range.end..].trim_start().len()
                } else {
                    range.end
                };
                if done < start {
                    pieces.push((None, done..start));
                }
                pieces.push((Some(pattern.id), start..end));
                done = end;
            }
        }
        if done < text.len() {
            pieces.push((None, done..text.len()));
        }
        pieces
    }
}

fn touches_word(text: &str, range: &Range<usize>) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(regex_syntax::is_word_character);
    is_word(text[..range.start].chars().next_back()) || is_word(text[range.end..].chars().next())
}

/// The pieces of a string as `tokenizers` wants them; an added token comes with its id.
pub(super) fn splits(string: NormalizedString, pieces: &[Piece]) -> Vec<Split> {
    if let [(None, _)] = pieces[..] {
        return vec![(string, None)];
    }
    pieces
        .iter()
        .filter_map(|(id, range)| {
            let slice = string.slice(normalizer::Range::Normalized(range.clone()))?;
            let tokens = id.map(|id| {
                let text = slice.get().to_owned();
                let length = text.len();
                vec![Token::new(id, text, (0, length))]
            });
            Some((slice, tokens))
        })
        .collect()
}

/// The bytes of the original text that `range` of a normalised string comes from.
pub(super) fn original(string: &NormalizedString, range: &Range<usize>) -> Option<Range<usize>> {
    let base = string.offsets_original().0;
    let range = string.convert_offsets(normalizer::Range::Normalized(range.clone()))?;
    Some(base + range.start..base + range.end)
}

/// Whether `range` of a normalised string, whose original begins at byte `base`, was written by
/// a template.
pub(super) fn is_literal(
    string: &NormalizedString,
    range: &Range<usize>,
    base: usize,
    literals: &[Range<usize>],
) -> bool {
    original(string, range)
        .is_some_and(|range| lies_within(literals, &(base + range.start..base + range.end)))
}

/// Says that a model made a control token of text.
pub(super) fn kept_as_text(token: &str) -> String {
    format!("it contains {token:?}, a control token that this tokenizer cannot keep as text")
}

/// Whether one of `ranges`, which are sorted and apart, holds `range`.
pub(super) fn lies_within(ranges: &[Range<usize>], range: &Range<usize>) -> bool {
    let after = ranges.partition_point(|each| each.start <= range.start);
    after > 0 && range.end <= ranges[after - 1].end
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice::from_ref;

    fn pattern(text: &str, id: u32) -> Pattern {
        Pattern::new(&AddedToken::from(text, true), text.into(), id, true)
    }

    fn ids(pieces: &[Piece]) -> Vec<(u32, Range<usize>)> {
        pieces
            .iter()
            .filter_map(|(id, range)| Some(((*id)?, range.clone())))
            .collect()
    }

    #[test]
    fn the_longest_pattern_wins_and_only_windows_count() {
        let matcher = Matcher::new(vec![pattern("<a>", 1), pattern("<a>b", 2)]).unwrap();
        let text = "<a> <a>b <a>";
        let everywhere = matcher.cut(text, from_ref(&(0..text.len())), |_, _| true);
        assert_eq!(ids(&everywhere), [(1, 0..3), (2, 4..8), (1, 9..12)]);
        let in_window = matcher.cut(text, from_ref(&(4..text.len() - 1)), |_, _| true);
        assert_eq!(ids(&in_window), [(2, 4..8)]);
        assert_eq!(in_window.first(), Some(&(None, 0..4)));
        assert_eq!(in_window.last(), Some(&(None, 8..12)));
    }

    #[test]
    fn flags_take_whitespace_and_refuse_words() {
        let mut strips = pattern("<m>", 1);
        (strips.lstrip, strips.rstrip) = (true, true);
        let mut word = pattern("w", 2);
        word.single_word = true;
        let matcher = Matcher::new(vec![strips, word]).unwrap();
        let text = "a  <m> \n<m>w ww é";
        let found = matcher.cut(text, from_ref(&(0..text.len())), |_, _| true);
        assert_eq!(ids(&found), [(1, 1..8), (1, 8..11), (2, 11..12)]);
    }

    #[test]
    fn ranges() {
        let ranges = [2..4, 6..9];
        assert!(lies_within(&ranges, &(2..4)) && lies_within(&ranges, &(7..8)));
        assert!(!lies_within(&ranges, &(3..5)) && !lies_within(&ranges, &(0..1)));
        assert!(!lies_within(&[], &(0..0)));
    }
}
