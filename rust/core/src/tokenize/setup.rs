//! How a renderer is put together, and what is checked before the first record.

use std::path::Path;

use super::loaded::Loaded;
use super::prompts::Prompts;
use super::{
    Encoder, Error, Example, Fields, NewToken, RenderConfig, Renderer, Result, Style,
    TokenizerFiles, soft_prompt,
};
use crate::chat::{ChatTemplate, DATE_VARIABLE, DEFAULT_DATE};
use crate::template::{SpanKind, Template};

/// What a bare tokenizer.json may call its end, in the order of preference.
const ENDS: [&str; 5] = [
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
    "<eos>",
    "<|im_end|>",
];
const EOS: &str = "prepare.eos_token";

pub(super) fn load(path: &Path, config: &RenderConfig) -> Result<Renderer> {
    let mut config = config.clone();
    let templates = templates(&config)?;
    for (token, _) in templates.iter().flat_map(Template::added_tokens) {
        if !config.added_tokens.iter().any(|known| known == token) {
            config.added_tokens.push(token.into());
        }
    }
    for token in soft_prompt::names(config.soft_prompt) {
        if !config.added_tokens.contains(&token) {
            config.added_tokens.push(token);
        }
    }
    let mut files = TokenizerFiles::read(path)?;
    let place = files.path.display().to_string();
    let (mut tokenizer, added_tokens_at) = Loaded::read(&files.source).map_err(|error| {
        let remedy = "save the tokenizer again with a current `tokenizers`";
        Error::input(&place, format!("no tokenizer: {error}"), remedy)
    })?;
    let saved_again = |error: tokenizers::Error| {
        Error::input(&place, error.to_string(), "save the tokenizer again")
    };
    files.added_tokens_at = added_tokens_at;
    let mut prefix = tokenizer.prefix().map_err(saved_again)?;
    soft_prompt::check(&tokenizer, &config)?;
    let new_tokens = add(&place, &mut tokenizer, &config.added_tokens)?;
    let soft_prompt = soft_prompt::install(&mut files, &mut config, &tokenizer, &mut prefix)?;
    let chat = chat(&place, &files, &mut config)?;
    let end_token = match &chat {
        Some(chat) => turn_end(chat, &tokenizer, config.eos_token.as_deref())?,
        None => text_end(&files, &tokenizer, config.eos_token.as_deref())?,
    };
    let vocab_size = tokenizer.next_id() as usize;
    let controls: Vec<(String, u32)> = config
        .added_tokens
        .iter()
        .chain([&end_token])
        .filter_map(|token| Some((token.clone(), tokenizer.token_to_id(token)?)))
        .collect();
    let unknown = tokenizer.unknown_id(|| files.unknown_id(|token| tokenizer.token_to_id(token)));
    let encoder = Encoder::new(tokenizer, &controls, unknown).map_err(saved_again)?;
    let renderer = Renderer {
        config,
        templates,
        chat,
        encoder,
        prompts: Prompts::default(),
        files,
        prefix,
        soft_prompt_bytes: soft_prompt::names(soft_prompt.len() as u32).concat().len(),
        soft_prompt,
        end_token,
        new_tokens,
        vocab_size,
    };
    check(&renderer, &controls)?;
    Ok(renderer)
}

/// The parsed templates; the place of a fault says which it is, where there are several.
fn templates(config: &RenderConfig) -> Result<Vec<Template>> {
    let mut templates: Vec<Template> = Vec::new();
    for (number, written) in config.templates().enumerate() {
        if config
            .templates()
            .take(number)
            .any(|earlier| earlier.name == written.name)
        {
            return Err(Error::input(
                format!("prepare.template.{number}.name"),
                format!("{:?} is the name of another template", written.name),
                "give each a name of its own: the examples are told apart by it",
            ));
        }
        let checked = Template::parse(written).and_then(|template| {
            if number == 0 && template.is_question_only() {
                return Err(Template::learns_nothing()); // nor would it answer at inference
            }
            match config.style {
                Style::Plain => template.check_plain()?,
                Style::Chat => template.check_chat()?,
            }
            Ok(template)
        });
        let mut template = checked.map_err(|error| match error {
            Error::Input {
                place,
                problem,
                remedy,
            } if !config.more_templates.is_empty() => {
                let place = place.replacen("template", &format!("template.{number}"), 1);
                Error::input(place, problem, remedy)
            }
            error => error,
        })?;
        let alike = |other: &Template| other.prompt == template.prompt;
        template.prompt_number = templates.iter().position(alike).unwrap_or(number) as u32;
        templates.push(template);
    }
    Ok(templates)
}

/// Adds the tokens that are not there yet, each at the next free id.
fn add(place: &str, tokenizer: &mut Loaded, tokens: &[String]) -> Result<Vec<NewToken>> {
    let mut new = Vec::new();
    for content in tokens {
        if content.trim() != content || content.is_empty() {
            return Err(Error::input(
                "prepare.added_tokens",
                format!("{content:?} is blank or has whitespace around it"),
                "name it like <|sem|>",
            ));
        }
        if tokenizer.token_to_id(content).is_some() {
            continue;
        }
        let free = tokenizer.next_id();
        let refused = |problem: String| {
            Error::input(
                place,
                problem,
                "save the tokenizer again so that its ids have no gaps",
            )
        };
        tokenizer
            .add_special(content)
            .map_err(|error| refused(error.to_string()))?;
        match tokenizer.token_to_id(content) {
            Some(id) if id == free => new.push(NewToken {
                content: content.clone(),
                id,
            }),
            _ => return Err(refused(format!("there is no free id for {content}"))),
        }
    }
    Ok(new)
}

fn chat(
    place: &str,
    files: &TokenizerFiles,
    config: &mut RenderConfig,
) -> Result<Option<ChatTemplate>> {
    if config.style == Style::Plain {
        return Ok(None);
    }
    let (place, source) = match (&config.chat_template, &files.chat_template) {
        (Some(source), _) => ("prepare.chat_template".to_owned(), source),
        (None, Some(source)) => (format!("the chat template of {place}"), source),
        (None, None) => {
            return Err(Error::input(
                place,
                "the tokenizer has no chat template",
                "set prepare.style to plain, or prepare.chat_template",
            ));
        }
    };
    if source.contains(DATE_VARIABLE) {
        // The day is part of what was rendered, so the manifest tells it.
        let date = config.chat_variables.entry(DATE_VARIABLE);
        date.or_insert_with(|| DEFAULT_DATE.into());
    }
    let mut variables = files.named_tokens();
    variables.extend(config.chat_variables.clone());
    ChatTemplate::compile(&place, source, &variables).map(Some)
}

/// The token that ends a plain text.
fn text_end(files: &TokenizerFiles, tokenizer: &Loaded, wanted: Option<&str>) -> Result<String> {
    let place = files.path.display().to_string();
    if let Some(token) = wanted.or(files.named_token("eos_token")) {
        return known(tokenizer, token);
    }
    let found = ENDS
        .iter()
        .find(|token| tokenizer.token_to_id(token).is_some());
    found.map(|token| (*token).to_owned()).ok_or_else(|| {
        Error::input(
            place,
            format!(
                "nothing says which token ends a text, and it has none of {}",
                ENDS.join(" ")
            ),
            format!("name it: {EOS}"),
        )
    })
}

fn known(tokenizer: &Loaded, token: &str) -> Result<String> {
    if tokenizer.token_to_id(token).is_some() {
        return Ok(token.to_owned());
    }
    Err(Error::input(
        EOS,
        format!("the tokenizer has no token {token:?}"),
        "name one of its tokens",
    ))
}

/// The first special token that the chat template writes after the assistant's content.
fn turn_end(chat: &ChatTemplate, tokenizer: &Loaded, wanted: Option<&str>) -> Result<String> {
    let refused = |problem: String| {
        let remedy = "set prepare.style to plain, or prepare.chat_template";
        Error::input("prepare.style", problem, remedy)
    };
    let turn = chat.turn("Question", Some("Answer")).map_err(refused)?;
    let tail = &turn.text[turn.assistant.end..];
    if let Some(token) = wanted {
        let token = known(tokenizer, token)?;
        if tail.contains(&token) {
            return Ok(token);
        }
        return Err(Error::input(
            EOS,
            format!("the chat template does not write {token:?} after the assistant's message"),
            "leave it unset",
        ));
    }
    let added = tokenizer.added_tokens();
    let special = added
        .iter()
        .filter(|(_, token)| token.special && !token.content.is_empty());
    let found = special.filter_map(|(_, token)| {
        let at = tail.find(&token.content)?;
        Some((
            at,
            std::cmp::Reverse(token.content.len()),
            token.content.clone(),
        ))
    });
    let (_, _, token) = found.min().ok_or_else(|| {
        refused("the chat template writes no special token after the assistant's message".into())
    })?;
    Ok(token)
}

/// Renders samples, so that a fault of a template is not found in every record.
fn check(renderer: &Renderer, controls: &[(String, u32)]) -> Result<()> {
    (0..renderer.templates.len()).try_for_each(|template| check_one(renderer, template, controls))
}

fn check_one(renderer: &Renderer, template: usize, controls: &[(String, u32)]) -> Result<()> {
    let fields = Fields {
        question: "Question".into(),
        answer: "Answer",
        rationale: Some("Rationale"),
    };
    let mut example = Example::default();
    let refused = |problem: String| {
        Error::input(
            "prepare.template",
            format!("a sample cannot be rendered: {problem}"),
            "mend the template, or set prepare.style to plain",
        )
    };
    renderer
        .append(template, &fields, &mut example)
        .map_err(|problem| refused(problem.problem))?;
    let id_of = |token: &str| {
        controls
            .iter()
            .find(|(text, _)| text == token)
            .map(|(_, id)| *id)
    };
    let tokens = || example.ids.iter().copied().zip(example.kinds());
    let template = &renderer.templates[template];
    let mut expected = Vec::new();
    if !template.is_question_only() {
        expected.push((renderer.end_token.as_str(), SpanKind::End));
    }
    for (token, kind) in template.added_tokens() {
        expected.push((token, kind));
    }
    let opening: Vec<u32> = tokens()
        .filter(|(_, code)| *code == SpanKind::SoftPrompt.code())
        .map(|(id, _)| id)
        .collect();
    let inserted = tokens().filter(|(id, _)| renderer.soft_prompt.contains(id));
    if opening != renderer.soft_prompt || inserted.count() != opening.len() {
        return Err(refused(
            "the soft prompt does not stand once at the start".into(),
        ));
    }
    for (token, kind) in expected {
        let id = id_of(token);
        if !tokens().any(|(found, code)| Some(found) == id && code == kind.code()) {
            return Err(refused(format!("{token} is not a token of its own there")));
        }
    }
    Ok(())
}
