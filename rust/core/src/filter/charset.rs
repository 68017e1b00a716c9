//! `charset`: letters of scripts that were not asked for, or characters that no text has.
//!
//! Performance note: text of ASCII without control characters passes after one vectorized look.

use std::ops::RangeInclusive;

use regex_syntax::hir::{Class, HirKind};
use serde::Deserialize;

use super::{Reason, Rejection};
use crate::block::{BLOCK, Block};
use crate::error::{Error, Result};

/// Options of the filter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charset {
    /// Unicode names of the scripts whose letters are wanted.
    pub scripts: Vec<String>,
    /// Share of all letters that these must be.
    pub min_share: f64,
    /// Share of all characters that may be controls, replacement characters, of private use or unassigned.
    pub max_broken: f64,
}

/// The filter, ready for use.
#[derive(Debug)]
pub struct Scripts {
    options: Charset,
    wanted: Vec<RangeInclusive<char>>,
    letters: Vec<RangeInclusive<char>>,
    broken: Vec<RangeInclusive<char>>,
    /// Whether all ASCII letters are wanted.
    has_latin: bool,
}

/// What is no text: controls but tab and line ends, U+FFFD, private use, unassigned code points.
const BROKEN: &str = r"[\p{Cc}\p{Co}\p{Cn}\x{FFFD}--[\t\n\r]]";

impl Scripts {
    /// Looks the scripts up; `place` is that of the options.
    pub fn new(options: &Charset, place: &str) -> Result<Self> {
        for (key, share) in [
            ("min_share", options.min_share),
            ("max_broken", options.max_broken),
        ] {
            if !(0.0..=1.0).contains(&share) {
                let problem = format!("a share of {share} is not between 0 and 1");
                return Err(Error::input(
                    format!("{place}.{key}"),
                    problem,
                    "give a share",
                ));
            }
        }
        let mut pattern = String::from("[");
        for name in &options.scripts {
            let known =
                !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
            let class = format!(r"\p{{Script_Extensions={name}}}");
            if !known || regex_syntax::parse(&class).is_err() {
                return Err(Error::input(
                    format!("{place}.scripts"),
                    format!("there is no script {name:?}"),
                    "use names of Unicode such as Latin, Greek, Han, Hangul, Cyrillic",
                ));
            }
            pattern += &class;
        }
        // Letters that belong to no script of their own, such as 𝑥 and ª, are welcome.
        pattern += r"\p{Script=Common}\p{Script=Inherited}]";
        let wanted = ranges(&pattern)?;
        Ok(Self {
            has_latin: contains(&wanted, 'a'),
            wanted,
            letters: ranges(r"\p{L}")?,
            broken: ranges(BROKEN)?,
            options: options.clone(),
        })
    }

    /// Judges the named texts of a candidate together.
    pub fn check(&self, texts: &[(&'static str, &str)]) -> Result<(), Rejection> {
        if self.has_latin && texts.iter().all(|(_, text)| is_plain(text)) {
            return Ok(());
        }
        let (mut letters, mut wanted, mut broken, mut characters) = (0_usize, 0, 0, 0_usize);
        let mut first_broken = None;
        let mut first_unwanted = None;
        for &(field, text) in texts {
            for character in text.chars() {
                characters += 1;
                let is_letter = if character.is_ascii() {
                    character.is_ascii_alphabetic()
                } else {
                    contains(&self.letters, character)
                };
                if is_letter {
                    letters += 1;
                    let is_wanted = if character.is_ascii() {
                        self.has_latin
                    } else {
                        contains(&self.wanted, character)
                    };
                    wanted += usize::from(is_wanted);
                    if !is_wanted {
                        first_unwanted.get_or_insert((field, character));
                    }
                } else if !matches!(character, ' '..='~') && contains(&self.broken, character) {
                    broken += 1;
                    first_broken.get_or_insert((field, character));
                }
            }
        }
        if let Some((field, character)) = first_broken
            && broken as f64 > self.options.max_broken * characters as f64
        {
            let code = u32::from(character);
            let problem = format!("{broken} broken characters, first U+{code:04X}");
            return Err(Rejection::new(Reason::Charset, field, problem));
        }
        if let Some((field, character)) = first_unwanted
            && (wanted as f64) < self.options.min_share * letters as f64
        {
            let share = wanted as f64 / letters as f64;
            let scripts = self.options.scripts.join(", ");
            let problem =
                format!("{share:.2} of the letters are {scripts}; first other {character:?}");
            return Err(Rejection::new(Reason::Charset, field, problem));
        }
        Ok(())
    }
}

/// Whether there is nothing but printable ASCII, tabs and line ends.
fn is_plain(text: &str) -> bool {
    text.as_bytes().chunks(BLOCK).all(|chunk| {
        let block = Block::of(chunk, b' ');
        let printable = block.within(b' ', 0x7f - b' ');
        (printable | block.within(b'\t', 2) | block.equal(b'\r')).bits() == !0
    })
}

fn contains(ranges: &[RangeInclusive<char>], character: char) -> bool {
    let after = ranges.partition_point(|range| *range.start() <= character);
    after > 0 && character <= *ranges[after - 1].end()
}

fn ranges(pattern: &str) -> Result<Vec<RangeInclusive<char>>> {
    let unknown = || Error::input("prepare.filters", pattern, "name scripts of Unicode");
    let hir = regex_syntax::parse(pattern).map_err(|_| unknown())?;
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => Ok(class
            .iter()
            .map(|range| range.start()..=range.end())
            .collect()),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts(names: &[&str]) -> Scripts {
        let options = Charset {
            scripts: names.iter().map(|&name| name.to_owned()).collect(),
            min_share: 0.9,
            max_broken: 0.0,
        };
        Scripts::new(&options, "prepare.filters.0").unwrap()
    }

    fn problem(scripts: &Scripts, text: &str) -> Option<String> {
        let fault = scripts.check(&[("question", "fine"), ("rationale", text)]);
        fault
            .err()
            .map(|fault| format!("{}: {}", fault.field, fault.problem))
    }

    #[test]
    fn mathematics_and_typography_pass() {
        let latin = scripts(&["Latin", "Greek"]);
        for text in [
            "x\t=\n\r5",
            "naïve “quotes” – dashes… 10 °C, €5, ½, × ÷ ≤ ≥ √2 ≈ 1.41 ✓ 😀",
            "∑ αβγδε ∈ ℝⁿ, 𝑥 = 𝟓, Δ, µ, π",
            "",
            "12 + 5 = 17",
        ] {
            assert_eq!(problem(&latin, text), None, "{text}");
        }
    }

    #[test]
    fn other_scripts_are_rejected_where_they_prevail() {
        let latin = scripts(&["Latin"]);
        let found = problem(&latin, "это по-русски, not English").unwrap();
        assert!(
            found.starts_with("rationale: 0.") && found.ends_with("'э'"),
            "{found}"
        );
        assert_eq!(
            problem(&latin, "the word да is Russian and not English at all"),
            None
        );
        assert_eq!(
            problem(&scripts(&["Cyrillic", "Latin"]), "это по-русски"),
            None
        );
        assert_eq!(
            problem(&scripts(&["Han", "Hiragana", "Latin"]), "東京です"),
            None
        );
        assert!(problem(&scripts(&["Han"]), "plain English").is_some());
    }

    #[test]
    fn characters_that_no_text_has_are_rejected() {
        let latin = scripts(&["Latin"]);
        for broken in [
            "\u{fffd}", "\0", "\u{7f}", "\u{85}", "\u{e000}", "\u{ffff}", "\u{378}",
        ] {
            let found = problem(&latin, &format!("some {broken} text")).unwrap();
            assert!(found.starts_with("rationale: 1 broken"), "{found}");
        }
    }

    #[test]
    fn unknown_scripts_are_refused() {
        for name in ["Latn1", "Klingon", "", "Latin}"] {
            let options = Charset {
                scripts: vec![name.to_owned()],
                min_share: 0.9,
                max_broken: 0.0,
            };
            let refusal = Scripts::new(&options, "prepare.filters.2")
                .unwrap_err()
                .to_string();
            assert!(
                refusal.starts_with("prepare.filters.2.scripts: there is no"),
                "{refusal}"
            );
        }
    }
}
