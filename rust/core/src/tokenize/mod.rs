//! Records to token ids with one span kind per token.
//!
//! A prompt is encoded apart from its completion, as it is at inference, each as one
//! string, so that a literal and the content beside it merge as they would for HuggingFace's
//! tokenizer. A token's kind is that of its first byte. Content never becomes a control
//! token. In chat style the tokenizer's own chat template writes the text around both
//! messages.

mod control;
pub mod encoder;
mod fast;
mod files;
mod loaded;
mod parts;
mod plain;
mod problem;
mod prompts;
mod reference;
mod setup;
mod soft_prompt;
mod spans;
mod tokens;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::asked::Asked;
use crate::chat::{ChatTemplate, Turn};
pub use crate::template::SEMANTIC_TOKEN;
use crate::template::{Part, SpanKind, Template, TemplateConfig};
use crate::{Error, Result};
use encoder::{Encoder, EncoderScratch, Position};
use files::{NewToken, TokenizerFiles};
pub use problem::RenderProblem;
use problem::{in_completion, in_question, required, trimmed};
use prompts::{Prompts, Question};
pub use spans::Run;
use spans::Text;
pub use tokens::Tokens;

/// What stands around the template's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Nothing but the tokens that the tokenizer puts before a text.
    Plain,
    /// A user's and an assistant's message in the tokenizer's chat template.
    Chat,
}

/// How records become text; the `render` of a recipe, of a manifest and of a student.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenderConfig {
    /// Prompt and completion; where there are several templates the first, used at inference.
    pub template: TemplateConfig,
    /// The others, each of which makes an example of its own of a record.
    #[serde(default)]
    pub more_templates: Vec<TemplateConfig>,
    /// Plain text or chat messages.
    pub style: Style,
    /// A chat template in place of the tokenizer's own.
    #[serde(default)]
    pub chat_template: Option<String>,
    /// Keywords of the chat template (`enable_thinking`, `date_string`, …).
    #[serde(default)]
    pub chat_variables: Map<String, Value>,
    /// The token that ends a completion; a manifest calls it `end_token`.
    #[serde(default, alias = "end_token")]
    pub eos_token: Option<String>,
    /// Tokens of the soft prompt at the start of every example.
    #[serde(default)]
    pub soft_prompt: u32,
    /// Tokens to add to the vocabulary.
    #[serde(default)]
    pub added_tokens: Vec<String>,
}

impl RenderConfig {
    /// All templates in order; a template's number is its place here.
    pub fn templates(&self) -> impl Iterator<Item = &TemplateConfig> {
        std::iter::once(&self.template).chain(&self.more_templates)
    }
}

/// A record's fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'r> {
    /// The question.
    pub question: Asked<'r>,
    /// The answer.
    pub answer: &'r str,
    /// The rationale, where there is one.
    pub rationale: Option<&'r str>,
}

/// A tokenized example; cleared and filled again, so that no record allocates.
#[derive(Debug, Default)]
pub struct Example {
    /// Token ids.
    pub ids: Vec<u32>,
    /// The span kinds of the tokens.
    pub runs: Vec<Run>,
    scratch: Scratch,
}

impl Example {
    /// Forgets all but the first tokens and runs.
    pub fn truncate(&mut self, ids: usize, runs: usize) {
        self.ids.truncate(ids);
        self.runs.truncate(runs);
    }

    /// The code of each token's span kind.
    pub fn kinds(&self) -> Vec<u8> {
        let kinds = |run: &Run| std::iter::repeat_n(run.kind, run.tokens as usize);
        self.runs.iter().flat_map(kinds).collect()
    }
}

#[derive(Debug, Default)]
struct Scratch {
    text: Text,
    user: Text,
    assistant: Text,
    tokens: Tokens,
    /// Those of a completion; it is encoded before its prompt, whose place is loaded meanwhile.
    completion: Tokens,
    encoder: EncoderScratch,
}

/// Turns records into tokens; may be shared between threads.
pub struct Renderer {
    config: RenderConfig,
    templates: Vec<Template>,
    chat: Option<ChatTemplate>,
    encoder: Encoder,
    /// Those of plain texts.
    prompts: Prompts,
    files: TokenizerFiles,
    /// What the tokenizer puts before a plain text.
    prefix: Vec<u32>,
    /// The soft prompt's tokens, in plain texts after the prefix, in chats before everything.
    soft_prompt: Vec<u32>,
    /// Their bytes in a chat.
    soft_prompt_bytes: usize,
    end_token: String,
    new_tokens: Vec<NewToken>,
    vocab_size: usize,
}

impl Renderer {
    /// Loads a tokenizer directory or a bare `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Input`] for a tokenizer, a template, a chat template or a token that does
    /// not serve, found by rendering a sample; [`Error::Io`] for files that cannot be read.
    pub fn load(tokenizer: &Path, config: &RenderConfig) -> Result<Self> {
        setup::load(tokenizer, config)
    }

    /// Tokenizes a record into `example`, by the first template.
    ///
    /// # Errors
    /// Why the candidate must be rejected; `example` then holds nothing of use.
    pub fn example(&self, fields: &Fields<'_>, example: &mut Example) -> Result<(), RenderProblem> {
        example.truncate(0, 0);
        self.append(0, fields, example)
    }

    /// Tokenizes a record by the template of this number behind what `example` holds.
    ///
    /// # Errors
    /// Why the candidate must be rejected; what was appended is then of no use.
    pub fn append(
        &self,
        template: usize,
        fields: &Fields<'_>,
        example: &mut Example,
    ) -> Result<(), RenderProblem> {
        let template = &self.templates[template];
        let fields = &trimmed(template, fields)?;
        match &self.chat {
            None => self.plain(template, fields, example),
            Some(chat) => self.chat(chat, template, fields, example),
        }
    }

    /// Tokenizes what the student is given before it answers; `ids` is replaced.
    ///
    /// # Errors
    /// Why the question cannot be rendered.
    pub fn prompt(&self, question: &str, ids: &mut Vec<u32>) -> Result<(), RenderProblem> {
        ids.clear();
        let question = required("question", question)?;
        let mut text = Text::default();
        let mut user = Text::default();
        write_prompt(&self.templates[0], question, &mut user);
        match &self.chat {
            None => {
                ids.extend_from_slice(&self.prefix);
                ids.extend_from_slice(&self.soft_prompt);
                text.append(&user);
            }
            Some(chat) => {
                let turn = chat.turn(&user.text, None).map_err(in_question)?;
                text.literal(&turn.text[..turn.user.start], SpanKind::Prompt);
                text.append(&user);
                text.literal(&turn.text[turn.user.end..], SpanKind::Prompt);
            }
        }
        let mut tokens = Tokens::default();
        let scratch = &mut EncoderScratch::default();
        self.encoder
            .encode(
                &text.text,
                &text.literals,
                Position::Start,
                scratch,
                &mut tokens,
            )
            .map_err(in_question)?;
        ids.extend_from_slice(&tokens.ids);
        Ok(())
    }

    /// Begins to load the place of a question's prompt.
    pub fn fetch(&self, template: usize, question: Asked<'_>) {
        if self.chat.is_none() {
            let number = self.templates[template].prompt_number;
            self.prompts.fetch(Question::of(question, number));
        }
    }

    /// How many templates there are.
    pub fn template_count(&self) -> usize {
        self.templates.len()
    }

    /// The number of the template of this name.
    pub fn template_named(&self, name: &str) -> Option<usize> {
        self.config
            .templates()
            .position(|template| template.name == name)
    }

    /// Whether the template of this number is one for unlabelled questions.
    pub fn is_question_only(&self, template: usize) -> bool {
        self.templates[template].is_question_only()
    }

    /// Whether an example of the template of this number needs a rationale.
    pub fn needs_rationale(&self, template: usize) -> bool {
        self.templates[template].needs_rationale()
    }

    /// Writes the tokenizer, added tokens included, for `AutoTokenizer.from_pretrained`.
    ///
    /// # Errors
    /// [`Error::Io`] when `directory` cannot be written.
    pub fn save_tokenizer(&self, directory: &Path) -> Result<()> {
        let template = match (&self.config.chat_template, self.chat.is_some()) {
            (Some(template), true) => Some(template),
            _ => self.files.chat_template.as_ref(),
        };
        self.files.save(
            directory,
            &self.new_tokens,
            &self.end_token,
            template.map(String::as_str),
        )
    }

    /// The manifest's `render`, from which the same renderer is loaded with the saved tokenizer.
    pub fn resolved(&self) -> Value {
        let mut render = json!({
            "template": self.config.template,
            "style": self.config.style,
            "chat_variables": self.config.chat_variables,
            "end_token": self.end_token,
            "added_tokens": self.config.added_tokens,
        });
        if let (Value::Object(render), [_, ..]) = (&mut render, &*self.config.more_templates) {
            render.insert("more_templates".into(), json!(self.config.more_templates));
        }
        if let (Value::Object(render), 1..) = (&mut render, self.config.soft_prompt) {
            render.insert("soft_prompt".into(), self.config.soft_prompt.into());
        }
        render
    }

    /// The SHA-256 of the tokenizer.json that was loaded.
    pub fn tokenizer_sha256(&self) -> String {
        self.files.sha256()
    }

    /// The rows an embedding needs: the largest id, added tokens included, plus one.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn chat(
        &self,
        chat: &ChatTemplate,
        template: &Template,
        fields: &Fields<'_>,
        example: &mut Example,
    ) -> Result<(), RenderProblem> {
        let Scratch {
            text,
            user,
            assistant,
            tokens,
            encoder,
            ..
        } = &mut example.scratch;
        for buffer in [&mut *text, &mut *user, &mut *assistant] {
            buffer.clear();
        }
        write_prompt(template, &fields.question, user);
        if template.is_question_only() {
            return self.chat_prompt(chat, example);
        }
        self.write_completion(template, fields, assistant);
        let turn = chat
            .turn(&user.text, Some(&assistant.text))
            .map_err(in_completion)?;
        let prompt_length = self.prompt_length(chat, &user.text, &turn)?;
        let end = turn.assistant.end;
        let end = match turn.text[end..].find(&self.end_token) {
            Some(at) => end + at + self.end_token.len(),
            None => {
                let problem = format!(
                    "the chat template does not end the turn with {:?}",
                    self.end_token
                );
                return Err(in_completion(problem));
            }
        };
        let (soft_prompt, opening) = turn.text[..turn.user.start].split_at(self.soft_prompt_bytes);
        text.literal(soft_prompt, SpanKind::SoftPrompt);
        text.literal(opening, SpanKind::Prompt);
        text.append(user);
        text.literal(&turn.text[turn.user.end..prompt_length], SpanKind::Prompt);
        let first = template.completion.first();
        let opening = first.map_or(SpanKind::Answer, |segment| segment.kind);
        text.literal(&turn.text[prompt_length..turn.assistant.start], opening);
        text.append(assistant);
        text.literal(&turn.text[turn.assistant.end..end], SpanKind::End);
        text.literal(&turn.text[end..], SpanKind::Prompt);

        let sides = [
            (0..prompt_length, Position::Start),
            (prompt_length..text.text.len(), Position::Rest),
        ];
        for (range, position) in sides {
            let literals = text.literals_between(range.clone());
            let side = &text.text[range.clone()];
            self.encoder
                .encode(side, &literals, position, encoder, tokens)
                .map_err(if range.start == 0 {
                    in_question
                } else {
                    in_completion
                })?;
            example.ids.extend_from_slice(&tokens.ids);
            text.runs(
                range,
                tokens,
                |id| self.encoder.byte_length(id),
                &mut example.runs,
            );
        }
        Ok(())
    }

    /// Appends the tokens of what the student is given, its user's message being in the scratch.
    fn chat_prompt(&self, chat: &ChatTemplate, example: &mut Example) -> Result<(), RenderProblem> {
        let Scratch { text, user, .. } = &mut example.scratch;
        let turn = chat.turn(&user.text, None).map_err(in_question)?;
        let (soft_prompt, opening) = turn.text[..turn.user.start].split_at(self.soft_prompt_bytes);
        text.literal(soft_prompt, SpanKind::SoftPrompt);
        text.literal(opening, SpanKind::Prompt);
        text.append(user);
        text.literal(&turn.text[turn.user.end..], SpanKind::Prompt);
        self.side(example).map_err(in_question)
    }

    /// The bytes of the whole chat that are the prompt the student is given.
    fn prompt_length(
        &self,
        chat: &ChatTemplate,
        user: &str,
        turn: &Turn,
    ) -> Result<usize, RenderProblem> {
        let prompt = chat.prompt(user).map_err(in_question)?;
        let length = prompt.len();
        if turn.text.starts_with(&prompt)
            && (turn.user.end..=turn.assistant.start).contains(&length)
        {
            return Ok(length);
        }
        Err(RenderProblem::new(
            "question",
            "the chat template's prompt for the assistant is not how the whole chat begins",
        ))
    }

    fn write_completion(&self, template: &Template, fields: &Fields<'_>, text: &mut Text) {
        text.segments(
            &template.completion,
            |part| match part {
                Part::Answer => Some(fields.answer),
                Part::Rationale => fields.rationale,
                _ => None,
            },
            |part| match part {
                Part::End => &self.end_token,
                part => part.added_token().unwrap_or_default(),
            },
        );
    }
}

fn write_prompt(template: &Template, question: &str, text: &mut Text) {
    text.segments(&template.prompt, |_| Some(question), |_| "");
}
