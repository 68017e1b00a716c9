//! A record as plain text: a prompt, which may be known already, and a completion behind it.

use super::encoder::{EncoderScratch, Position};
use super::problem::{RenderProblem, in_completion, in_question};
use super::prompts::Question;
use super::spans::{Run, Text};
use super::tokens::Tokens;
use super::{Example, Fields, Renderer, Scratch, write_prompt};
use crate::template::{SpanKind, Template};

impl Renderer {
    /// Appends the tokens of a record's prompt and completion.
    pub(super) fn plain(
        &self,
        template: &Template,
        fields: &Fields<'_>,
        example: &mut Example,
    ) -> Result<(), RenderProblem> {
        let question = Question::of(fields.question, template.prompt_number);
        self.prompts.fetch_bytes(question);
        if template.is_question_only() {
            return self.plain_prompt(template, question, &fields.question, example);
        }
        let Scratch {
            assistant: text,
            completion: tokens,
            encoder,
            ..
        } = &mut example.scratch;
        text.clear();
        self.write_completion(template, fields, text);
        let encoded = self.encode(text, encoder, tokens);
        self.plain_prompt(template, question, &fields.question, example)?;
        encoded.map_err(in_completion)?;
        let Example { ids, runs, scratch } = example;
        self.add(&scratch.assistant, &scratch.completion, ids, runs);
        Ok(())
    }

    /// Appends the prompt of a question, as it is known or new.
    fn plain_prompt(
        &self,
        template: &Template,
        question: Question,
        text: &str,
        example: &mut Example,
    ) -> Result<(), RenderProblem> {
        if self.prompts.get(question, example) {
            return Ok(());
        }
        let (start, run_start) = (example.ids.len(), example.runs.len());
        self.new_prompt(template, text, example)?;
        let (ids, runs) = (&example.ids[start..], &example.runs[run_start..]);
        self.prompts.insert(question, ids, runs);
        Ok(())
    }

    fn new_prompt(
        &self,
        template: &Template,
        question: &str,
        example: &mut Example,
    ) -> Result<(), RenderProblem> {
        let before = [
            (&self.prefix, SpanKind::Prompt),
            (&self.soft_prompt, SpanKind::SoftPrompt),
        ];
        for (ids, kind) in before {
            example.ids.extend_from_slice(ids);
            if !ids.is_empty() {
                example.runs.push(Run {
                    kind: kind.code(),
                    tokens: ids.len() as u32,
                });
            }
        }
        example.scratch.text.clear();
        write_prompt(template, question, &mut example.scratch.text);
        self.side(example).map_err(in_question)
    }

    /// Appends the tokens of the text in the scratch.
    pub(super) fn side(&self, example: &mut Example) -> Result<(), String> {
        let Example { ids, runs, scratch } = example;
        self.encode(&scratch.text, &mut scratch.encoder, &mut scratch.tokens)?;
        self.add(&scratch.text, &scratch.tokens, ids, runs);
        Ok(())
    }

    fn encode(
        &self,
        text: &Text,
        scratch: &mut EncoderScratch,
        tokens: &mut Tokens,
    ) -> Result<(), String> {
        self.encoder
            .encode(&text.text, &text.literals, Position::Start, scratch, tokens)
    }

    /// Appends the tokens of a whole text with their kinds.
    fn add(&self, text: &Text, tokens: &Tokens, ids: &mut Vec<u32>, runs: &mut Vec<Run>) {
        ids.extend_from_slice(&tokens.ids);
        let whole = 0..text.text.len();
        text.runs(whole, tokens, |id| self.encoder.byte_length(id), runs);
    }
}
