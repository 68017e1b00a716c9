//! Which files are read, and what is said of each beyond what stands in it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Standard input, as a path.
pub const STDIN: &str = "-";

/// One input file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The file; [`STDIN`] is standard input.
    pub path: String,
    /// The shape of its records.
    #[serde(default)]
    pub format: Format,
    /// The domain of those records that name none.
    #[serde(default)]
    pub domain: Option<String>,
    /// Its share of the choice among sources; `None` takes all of it.
    #[serde(default)]
    pub weight: Option<f64>,
    /// Whether its questions have answers; of others nothing but the question is read.
    #[serde(default = "yes")]
    pub labelled: bool,
}

fn yes() -> bool {
    true
}

/// The shape of a file's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// What the first records say.
    #[default]
    Auto,
    /// `question`, `answer`, `rationale` and the other fields of the record schema.
    Records,
    /// `messages` or `conversations` of `role` and `content`.
    Messages,
    /// `prompt` and `completion`.
    PromptCompletion,
    /// `chosen` and `rejected`, usually with `prompt`.
    Preference,
    /// `instruction`, `input` and `output`.
    Alpaca,
    /// `conversations` of `from` and `value`.
    Sharegpt,
    /// `question` or `problem`, and what a reasoning model generated.
    R1,
}

impl Format {
    /// What a recipe and the manifest call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Records => "records",
            Self::Messages => "messages",
            Self::PromptCompletion => "prompt_completion",
            Self::Preference => "preference",
            Self::Alpaca => "alpaca",
            Self::Sharegpt => "sharegpt",
            Self::R1 => "r1",
        }
    }
}

impl Input {
    /// A file of which nothing more is said.
    pub fn of(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            format: Format::Auto,
            domain: None,
            weight: None,
            labelled: true,
        }
    }

    /// Checks what no type can say.
    pub fn check(&self) -> Result<()> {
        if !self.labelled && !matches!(self.format, Format::Auto | Format::Records) {
            return Err(Error::input(
                format!("{}: format", self.path),
                format!(
                    "{} is read for its responses, and an unlabelled source has none",
                    self.format.name()
                ),
                "give records that have a `question`, and leave `format` out",
            ));
        }
        match self.weight {
            Some(weight) if !(weight.is_finite() && weight > 0.0) => Err(Error::input(
                format!("{}: weight", self.path),
                format!("{weight} is no positive number"),
                "give the source's share, such as 0.5, or leave the file out",
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_enough_and_unknown_keys_are_refused() {
        let input: Input = serde_json::from_str(r#"{"path": "a"}"#).unwrap();
        assert_eq!(input, Input::of("a"));
        assert!(serde_json::from_str::<Input>(r#"{"path": "a", "wait": 1}"#).is_err());
        assert!(serde_json::from_str::<Input>(r#"{"path": "a", "format": "prose"}"#).is_err());
    }

    #[test]
    fn unlabelled_sources_are_records() {
        let unlabelled = |format| Input {
            format,
            labelled: false,
            ..Input::of("a")
        };
        assert!(unlabelled(Format::Auto).check().is_ok());
        let refusal = unlabelled(Format::Messages).check().unwrap_err();
        assert!(refusal.to_string().starts_with("a: format: messages"));
    }

    #[test]
    fn weights_are_positive() {
        for weight in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            let weight = Some(weight);
            let refusal = Input {
                weight,
                ..Input::of("a")
            }
            .check()
            .unwrap_err();
            assert!(refusal.to_string().starts_with("a: weight: "), "{refusal}");
        }
        assert!(Input::of("a").check().is_ok());
    }
}
