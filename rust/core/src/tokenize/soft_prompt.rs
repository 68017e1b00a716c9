//! A soft prompt: added tokens at the start of every example, whose embedding rows are trained.
//!
//! Tokenizer files put it there, not the template of a record, so that whoever loads the student
//! has it with no extra step. And one file alone, or a chat that is rendered and then tokenized
//! would have it twice: of plain text it is the post-processor of tokenizer.json (behind what that
//! writes there already), of a chat the chat template, in front of all else that it writes.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::NewToken;
use super::files::TokenizerFiles;
use super::loaded::Loaded;
use super::{RenderConfig, Style};
use crate::{Error, Result};

const PLACE: &str = "prepare.soft_prompt";
/// Tokens at most; beyond this a prompt is no longer small beside the text.
const MOST: u32 = 1024;

/// The name of each token.
pub(super) fn names(count: u32) -> Vec<String> {
    (0..count).map(|n| format!("<|prompt_{n}|>")).collect()
}

/// Checks that a tokenizer which has a soft prompt already is asked for the same one.
pub(super) fn check(tokenizer: &Loaded, config: &RenderConfig) -> Result<()> {
    if config.soft_prompt > MOST {
        return Err(Error::input(
            PLACE,
            format!("{} tokens are more than {MOST}", config.soft_prompt),
            "16 are usual",
        ));
    }
    let has = |name: &String| tokenizer.token_to_id(name).is_some();
    let there = names(MOST).iter().take_while(|name| has(name)).count() as u32;
    if config.soft_prompt == 0 || there == 0 || there == config.soft_prompt {
        return Ok(());
    }
    Err(Error::input(
        PLACE,
        format!("the tokenizer has a soft prompt of {there} tokens already"),
        format!("set it to {there}, or to 0 to train the student as it is"),
    ))
}

/// Makes the one file write the soft prompt that is to write it, unless it does already.
///
/// `prefix` is what the post-processor writes before a text; what is the soft prompt is taken off.
pub(super) fn install(
    files: &mut TokenizerFiles,
    config: &mut RenderConfig,
    tokenizer: &Loaded,
    prefix: &mut Vec<u32>,
) -> Result<Vec<u32>> {
    if config.soft_prompt == 0 {
        return Ok(Vec::new());
    }
    let tokens: Vec<NewToken> = names(config.soft_prompt)
        .into_iter()
        .filter_map(|content| {
            let id = tokenizer.token_to_id(&content)?;
            Some(NewToken { content, id })
        })
        .collect();
    let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    let text = names(config.soft_prompt).concat();
    let chat_template = match config.style {
        Style::Chat => config
            .chat_template
            .as_mut()
            .or(files.chat_template.as_mut()),
        Style::Plain => files.chat_template.as_mut(),
    };
    let in_chats = chat_template.as_ref().is_some_and(|t| t.starts_with(&text));
    let in_texts = prefix.ends_with(&ids);
    let elsewhere = |where_: &str, style: &str| {
        Error::input(
            PLACE,
            format!("the tokenizer puts its soft prompt before {where_} already"),
            format!("set prepare.style to {style}, or it would stand there twice"),
        )
    };
    match config.style {
        Style::Plain if in_chats => return Err(elsewhere("a chat", "chat")),
        Style::Chat if in_texts => return Err(elsewhere("a text", "plain")),
        Style::Plain if in_texts => prefix.truncate(prefix.len() - ids.len()),
        Style::Plain => files.prompted = Some(prompted(files, &tokens)?),
        Style::Chat if in_chats => {}
        Style::Chat => {
            if let Some(template) = chat_template {
                template.insert_str(0, &text);
            }
        }
    }
    Ok(ids)
}

/// The tokenizer.json with a post-processor that also writes `tokens`; all other bytes stay.
fn prompted(files: &TokenizerFiles, tokens: &[NewToken]) -> Result<String> {
    #[derive(Deserialize)]
    struct File<'f> {
        #[serde(borrow, default = "null")]
        post_processor: &'f RawValue,
    }
    fn null<'f>() -> &'f RawValue {
        RawValue::NULL
    }
    let source = files.source.as_str();
    let refused = |problem: String| {
        Error::input(
            files.path.display().to_string(),
            problem,
            "save it with a template as post-processor, or prepare chats (prepare.style)",
        )
    };
    let file: File<'_> =
        serde_json::from_str(source).map_err(|error| refused(format!("no JSON: {error}")))?;
    let raw = file.post_processor.get();
    let old: Value =
        serde_json::from_str(raw).map_err(|error| refused(format!("no JSON: {error}")))?;
    let new = with_prompt(old, tokens).map_err(refused)?.to_string();
    let inside = source.as_bytes().as_ptr_range();
    if !inside.contains(&raw.as_ptr()) {
        let brace = source.find('{').map_or(0, |brace| brace + 1);
        let (before, after) = source.split_at(brace);
        return Ok(format!("{before}\"post_processor\": {new}, {after}"));
    }
    let start = raw.as_ptr() as usize - source.as_ptr() as usize;
    let (before, after) = (&source[..start], &source[start + raw.len()..]);
    Ok(format!("{before}{new}{after}"))
}

/// A post-processor that also writes `tokens`, right before the text.
fn with_prompt(mut processor: Value, tokens: &[NewToken]) -> std::result::Result<Value, String> {
    let kind = processor["type"].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "" if processor.is_null() => Ok(template(tokens)),
        "ByteLevel" => Ok(json!({"type": "Sequence", "processors": [processor, template(tokens)]})),
        "TemplateProcessing" => {
            write_prompt(&mut processor, tokens)?;
            Ok(processor)
        }
        "Sequence" => {
            let parts = processor["processors"].as_array_mut();
            let parts = parts.ok_or("its post-processor is a sequence of nothing")?;
            let is = |part: &Value, kind: &str| part["type"] == kind;
            if let Some(part) = parts.iter_mut().find(|part| is(part, "TemplateProcessing")) {
                write_prompt(part, tokens)?;
            } else if parts.iter().all(|part| is(part, "ByteLevel")) {
                parts.push(template(tokens));
            } else {
                return Err("its post-processor holds parts that take no soft prompt".into());
            }
            Ok(processor)
        }
        _ => Err(format!(
            "its post-processor, a {kind}, takes no soft prompt"
        )),
    }
}

/// A template of nothing but the prompt and the text.
fn template(tokens: &[NewToken]) -> Value {
    let text = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
    let (pieces, special) = (pieces(tokens), special_tokens(tokens));
    let single: Vec<Value> = pieces.iter().cloned().chain([text("A", 0)]).collect();
    let pair: Vec<Value> = single.iter().cloned().chain([text("B", 1)]).collect();
    json!({
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": Value::Object(special),
    })
}

fn write_prompt(template: &mut Value, tokens: &[NewToken]) -> std::result::Result<(), String> {
    for form in ["single", "pair"] {
        let list = template[form].as_array_mut();
        let list = list.ok_or_else(|| format!("its post-processor has no {form:?}"))?;
        let text = list
            .iter()
            .position(|piece| piece.get("Sequence").is_some());
        let at = text.ok_or_else(|| format!("its post-processor's {form:?} has no text"))?;
        list.splice(at..at, pieces(tokens));
    }
    let special = template["special_tokens"].as_object_mut();
    let special = special.ok_or("its post-processor has no \"special_tokens\"")?;
    special.extend(special_tokens(tokens));
    Ok(())
}

fn pieces(tokens: &[NewToken]) -> Vec<Value> {
    let piece = |token: &NewToken| json!({"SpecialToken": {"id": token.content, "type_id": 0}});
    tokens.iter().map(piece).collect()
}

fn special_tokens(tokens: &[NewToken]) -> serde_json::Map<String, Value> {
    let entry = |token: &NewToken| {
        let content = &token.content;
        let value = json!({"id": content, "ids": [token.id], "tokens": [content]});
        (content.clone(), value)
    };
    tokens.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Vec<NewToken> {
        let token = |(id, content): (u32, String)| NewToken { content, id };
        (7..).zip(names(2)).map(token).collect()
    }

    #[test]
    fn the_prompt_stands_right_before_the_text_whatever_was_there() {
        let bare = with_prompt(Value::Null, &tokens()).unwrap();
        assert_eq!(bare["single"][1]["SpecialToken"]["id"], "<|prompt_1|>");
        assert_eq!(bare["single"][2]["Sequence"]["id"], "A");
        assert_eq!(bare["special_tokens"]["<|prompt_0|>"]["ids"], json!([7]));
        let levels = json!({"type": "ByteLevel", "trim_offsets": false});
        let both = with_prompt(levels.clone(), &tokens()).unwrap();
        assert_eq!(both["processors"], json!([levels, bare]));

        let mut with_start = bare.clone();
        let start = json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
        let text = json!({"Sequence": {"id": "A", "type_id": 0}});
        with_start["single"] = json!([start, text]);
        with_start["pair"] = with_start["single"].clone();
        let after = with_prompt(with_start.clone(), &tokens()).unwrap();
        assert_eq!(after["single"][0], start);
        assert_eq!(after["single"][1]["SpecialToken"]["id"], "<|prompt_0|>");
        assert_eq!(after["single"].as_array().unwrap().len(), 4);
        let listed = json!({"type": "Sequence", "processors": [levels, with_start]});
        let listed = with_prompt(listed, &tokens()).unwrap();
        assert_eq!(listed["processors"][1], after);
    }

    #[test]
    fn what_has_no_place_for_it_is_refused() {
        let refused = with_prompt(json!({"type": "BertProcessing"}), &tokens()).unwrap_err();
        assert!(refused.contains("BertProcessing"));
        let parts = json!({"type": "Sequence", "processors": [{"type": "RobertaProcessing"}]});
        assert!(with_prompt(parts, &tokens()).is_err());
    }
}
