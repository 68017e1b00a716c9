//! How a record becomes text: two format strings, one for the prompt, one for the completion.
//!
//! `{question}`, `{answer}` and `{rationale}` are a record's fields, `{semantic}`, `{answer_first}`,
//! `{think_first}` and `{end}` are control tokens, `{{` and `}}` are braces. Every segment has a span kind:
//! a field and a control token have their own; a literal of the prompt is `prompt`; a
//! literal of the completion belongs to what follows it, because a token that starts with
//! the space before a word is that word's (the last literal belongs to what precedes it).

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The token whose hidden state carries the rationale's meaning.
pub const SEMANTIC_TOKEN: &str = "<|sem|>";

/// What a token is for; the trainer chooses by it what is learnt, and how hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SpanKind {
    /// Fixed text around the question, and whatever is never learnt.
    Prompt = 0,
    /// The record's question.
    Question = 1,
    /// The record's answer.
    Answer = 2,
    /// The record's rationale.
    Rationale = 3,
    /// The token whose hidden state carries the rationale's meaning.
    Semantic = 4,
    /// Trained prompt rows.
    SoftPrompt = 5,
    /// The token that ends the student's text.
    End = 6,
    /// The token by which the student chooses how to go on.
    Gate = 7,
}

impl SpanKind {
    /// Every kind, in the order of the codes.
    pub const ALL: [Self; 8] = [
        Self::Prompt,
        Self::Question,
        Self::Answer,
        Self::Rationale,
        Self::Semantic,
        Self::SoftPrompt,
        Self::End,
        Self::Gate,
    ];

    /// The name that stands in recipes and manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Question => "question",
            Self::Answer => "answer",
            Self::Rationale => "rationale",
            Self::Semantic => "semantic",
            Self::SoftPrompt => "soft_prompt",
            Self::End => "end",
            Self::Gate => "gate",
        }
    }

    /// The code stored beside each token.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// A template as a recipe writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateConfig {
    /// What the manifest calls it.
    pub name: String,
    /// The text before the student writes.
    pub prompt: String,
    /// The text the student learns to write; none in a template for unlabelled questions.
    pub completion: String,
}

impl TemplateConfig {
    /// Whether it is one for unlabelled questions, which the student reads and does not answer.
    pub fn is_question_only(&self) -> bool {
        self.completion.is_empty()
    }
}

/// What fills a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Fixed text of the template.
    Literal(String),
    /// The record's question.
    Question,
    /// The record's answer.
    Answer,
    /// The record's rationale.
    Rationale,
    /// The semantic token.
    Semantic,
    /// The gate of the answer-first way.
    AnswerFirst,
    /// The gate of the think-first way.
    ThinkFirst,
    /// The token that ends the student's text.
    End,
}

impl Part {
    /// The name between the braces; a literal has none.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Literal(_) => "",
            Self::Question => "question",
            Self::Answer => "answer",
            Self::Rationale => "rationale",
            Self::Semantic => "semantic",
            Self::AnswerFirst => "answer_first",
            Self::ThinkFirst => "think_first",
            Self::End => "end",
        }
    }

    /// The added token that it is, if it is one.
    pub const fn added_token(&self) -> Option<&'static str> {
        match self {
            Self::Semantic => Some(SEMANTIC_TOKEN),
            Self::AnswerFirst => Some("<|answer_first|>"),
            Self::ThinkFirst => Some("<|think_first|>"),
            _ => None,
        }
    }

    const fn own_kind(&self) -> Option<SpanKind> {
        match self {
            Self::Literal(_) => None,
            Self::Question => Some(SpanKind::Question),
            Self::Answer => Some(SpanKind::Answer),
            Self::Rationale => Some(SpanKind::Rationale),
            Self::Semantic => Some(SpanKind::Semantic),
            Self::AnswerFirst | Self::ThinkFirst => Some(SpanKind::Gate),
            Self::End => Some(SpanKind::End),
        }
    }
}

/// A stretch of the text with one span kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What its tokens are for.
    pub kind: SpanKind,
    /// What fills it.
    pub part: Part,
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The prompt's segments: literals and the question.
    pub prompt: Vec<Segment>,
    /// Among several templates the number of the first that has this prompt.
    pub prompt_number: u32,
    /// The completion's segments: everything but the question; none of a question-only template.
    pub completion: Vec<Segment>,
}

const PROMPT: &str = "prepare.template.prompt";
const COMPLETION: &str = "prepare.template.completion";

impl Template {
    /// Parses both format strings.
    ///
    /// # Errors
    /// [`Error::Input`] for braces that do not pair, a field that is unknown, stands in the
    /// wrong string or twice, a prompt without `{question}`, or a completion that is not empty
    /// and has neither `{answer}` nor `{rationale}`.
    pub fn parse(config: &TemplateConfig) -> Result<Self> {
        let prompt = parts(PROMPT, &config.prompt)?;
        let completion = parts(COMPLETION, &config.completion)?;
        for part in &prompt {
            if !matches!(part, Part::Literal(_) | Part::Question) {
                return Err(Error::input(
                    PROMPT,
                    format!("{{{}}} stands in the prompt", part.name()),
                    "the prompt is what the student is given, so move it to the completion",
                ));
            }
        }
        if !prompt.contains(&Part::Question) {
            return Err(Error::input(
                PROMPT,
                "there is no {question}",
                "add {question} where the record's question belongs",
            ));
        }
        if completion.contains(&Part::Question) {
            return Err(Error::input(
                COMPLETION,
                "{question} stands in the completion",
                "move it to the prompt, which the student is given",
            ));
        }
        let is_answered = [Part::Answer, Part::Rationale].map(|part| completion.contains(&part));
        if !config.is_question_only() && is_answered == [false, false] {
            return Err(Self::learns_nothing());
        }
        Ok(Self {
            prompt: prompt_kinds(prompt),
            prompt_number: 0,
            completion: completion_kinds(completion),
        })
    }

    /// The refusal of a completion that the student would learn nothing from.
    pub fn learns_nothing() -> Error {
        Error::input(
            COMPLETION,
            "there is neither {answer} nor {rationale}, so the student would learn nothing",
            "add {answer} or {rationale}",
        )
    }

    /// Whether it is one for unlabelled questions.
    pub fn is_question_only(&self) -> bool {
        self.completion.is_empty()
    }

    /// The control tokens of the completion that a vocabulary has to be given.
    pub fn added_tokens(&self) -> impl Iterator<Item = (&'static str, SpanKind)> {
        let segments = self.completion.iter();
        segments.filter_map(|segment| Some((segment.part.added_token()?, segment.kind)))
    }

    /// Whether the completion holds the rationale.
    pub fn needs_rationale(&self) -> bool {
        self.writes(&Part::Rationale)
    }

    /// Whether the completion holds `part`.
    pub fn writes(&self, part: &Part) -> bool {
        self.completion.iter().any(|segment| segment.part == *part)
    }

    /// Checks that a plain text ends in `{end}`: nothing else would tell the student to stop.
    ///
    /// # Errors
    /// [`Error::Input`] when `{end}` is missing or text follows it.
    pub fn check_plain(&self) -> Result<()> {
        if self.is_question_only() {
            return Ok(());
        }
        match self.completion.iter().rposition(|s| s.part == Part::End) {
            None => Err(Error::input(
                COMPLETION,
                "there is no {end}, so the student would never learn to stop",
                "put {end} at its end",
            )),
            Some(at) if at + 1 < self.completion.len() => Err(Error::input(
                COMPLETION,
                "text follows {end}",
                "put {end} at its end",
            )),
            Some(_) => Ok(()),
        }
    }

    /// Checks that a chat message has no `{end}`: the chat template ends the turn.
    ///
    /// # Errors
    /// [`Error::Input`] when `{end}` is there.
    pub fn check_chat(&self) -> Result<()> {
        if self.writes(&Part::End) {
            return Err(Error::input(
                COMPLETION,
                "{end} stands in a chat message, whose turn the chat template ends",
                "remove {end}, or set prepare.style to plain",
            ));
        }
        Ok(())
    }
}

/// Makes literals of a prompt `prompt`, but for the whitespace before a field: it belongs to the field
/// (P2), with whose first word it often makes one token.
fn prompt_kinds(parts: Vec<Part>) -> Vec<Segment> {
    let mut segments = Vec::with_capacity(parts.len() + 1);
    let mut parts = parts.into_iter().peekable();
    while let Some(part) = parts.next() {
        let following = parts.peek().and_then(Part::own_kind);
        match (part, following) {
            (Part::Literal(text), Some(kind)) => {
                let (before, blank) = text.split_at(text.trim_end().len());
                for (text, kind) in [(before, SpanKind::Prompt), (blank, kind)] {
                    if !text.is_empty() {
                        let part = Part::Literal(text.to_owned());
                        segments.push(Segment { part, kind });
                    }
                }
            }
            (part, _) => segments.push(Segment {
                kind: part.own_kind().unwrap_or(SpanKind::Prompt),
                part,
            }),
        }
    }
    segments
}

/// Gives each literal of a completion the kind of what follows it.
fn completion_kinds(parts: Vec<Part>) -> Vec<Segment> {
    let mut next = parts.iter().rev().find_map(Part::own_kind);
    let mut segments: Vec<Segment> = parts
        .into_iter()
        .rev()
        .map(|part| {
            next = part.own_kind().or(next);
            Segment {
                kind: next.unwrap_or(SpanKind::Prompt),
                part,
            }
        })
        .collect();
    segments.reverse();
    segments
}

/// Splits a format string into literals and fields; no two literals are adjacent.
fn parts(place: &str, format: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..];
        if brace.starts_with("{{") || brace.starts_with("}}") {
            literal.push_str(&brace[..1]);
            rest = &brace[2..];
            continue;
        }
        let Some(close) = brace.starts_with('{').then(|| brace.find('}')).flatten() else {
            return Err(Error::input(
                place,
                format!(
                    "the brace at byte {} has no partner",
                    format.len() - brace.len()
                ),
                "write {{ or }} for a brace, {question} for a field",
            ));
        };
        let field = field(place, &brace[1..close])?;
        if parts.contains(&field) {
            return Err(Error::input(
                place,
                format!("{{{}}} stands there twice", field.name()),
                "keep one",
            ));
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(field);
        rest = &brace[close + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn field(place: &str, name: &str) -> Result<Part> {
    Ok(match name {
        "question" => Part::Question,
        "answer" => Part::Answer,
        "rationale" => Part::Rationale,
        "semantic" => Part::Semantic,
        "answer_first" => Part::AnswerFirst,
        "think_first" => Part::ThinkFirst,
        "end" => Part::End,
        _ => {
            return Err(Error::input(
                place,
                format!("unknown field {{{name}}}"),
                "use {question}, {answer}, {rationale}, {semantic}, {answer_first}, {think_first} or {end}; \
                 {{ writes a brace",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(prompt: &str, completion: &str) -> Result<Template> {
        Template::parse(&TemplateConfig {
            name: "test".into(),
            prompt: prompt.into(),
            completion: completion.into(),
        })
    }

    fn error(prompt: &str, completion: &str) -> String {
        template(prompt, completion).unwrap_err().to_string()
    }

    #[test]
    fn literals_of_the_completion_belong_to_what_follows() {
        let parsed = template(
            "Q: {question}\nA:",
            " {answer}{semantic}\n{rationale}.{end}",
        )
        .unwrap();
        let kinds = |segments: &[Segment]| segments.iter().map(|s| s.kind).collect::<Vec<_>>();
        use SpanKind::*;
        // "Q:", the space before the question, the question, "\nA:".
        assert_eq!(kinds(&parsed.prompt), [Prompt, Question, Question, Prompt]);
        assert_eq!(
            kinds(&parsed.completion),
            [Answer, Answer, Semantic, Rationale, Rationale, End, End]
        );
        assert!(parsed.needs_rationale());
        parsed.check_plain().unwrap();
        assert!(parsed.check_chat().is_err());
    }

    #[test]
    fn the_last_literal_belongs_to_what_precedes_it() {
        let parsed = template("{question}", "{rationale}\nThe answer is {answer}.").unwrap();
        assert_eq!(parsed.completion.last().unwrap().kind, SpanKind::Answer);
        parsed.check_chat().unwrap();
        assert!(parsed.check_plain().is_err());
    }

    #[test]
    fn doubled_braces_are_text() {
        let parsed = template("{{{question}}}", "\\boxed{{{answer}}}{end}").unwrap();
        assert_eq!(parsed.prompt[0].part, Part::Literal("{".into()));
        assert_eq!(parsed.completion[0].part, Part::Literal("\\boxed{".into()));
        assert_eq!(parsed.completion[2].part, Part::Literal("}".into()));
    }

    #[test]
    fn every_fault_names_its_place_and_remedy() {
        assert!(error("no field", "{answer}").contains("there is no {question}"));
        assert!(error("{question}{answer}", "{answer}").contains("stands in the prompt"));
        assert!(error("{question}", "{question}{answer}").contains("stands in the completion"));
        assert!(error("{question}", "done{end}").contains("neither"));
        assert!(error("{question}", "{anwser}").contains("unknown field {anwser}"));
        assert!(error("{question}", "{answer} {answer}").contains("twice"));
        assert!(error("{question}", "{answer").contains("byte 0 has no partner"));
        assert!(error("{question} }", "{answer}").contains("byte 11 has no partner"));
        let late = template("{question}", "{answer}{end} bye").unwrap();
        assert!(
            late.check_plain()
                .unwrap_err()
                .to_string()
                .contains("text follows")
        );
    }

    #[test]
    fn codes_count_up_in_the_order_of_the_kinds() {
        for (code, kind) in SpanKind::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.code()), code);
        }
    }
}
