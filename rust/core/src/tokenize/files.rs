//! A tokenizer's files: what they say, and how they are written again with more tokens.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// The tokens that `apply_chat_template` hands to the template by name.
const NAMED_TOKENS: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// The files of a tokenizer, as read.
pub(super) struct TokenizerFiles {
    /// Where tokenizer.json is.
    pub path: PathBuf,
    /// Its text, as it stands in the file.
    pub source: String,
    /// Where the value of `added_tokens` stands in it, if that is known.
    pub added_tokens_at: Option<Range<usize>>,
    /// tokenizer_config.json, where there is one.
    config: Option<Map<String, Value>>,
    /// special_tokens_map.json, where there is one.
    special_tokens: Option<Map<String, Value>>,
    /// tokenizer.json with a soft prompt in its post-processor, to be written in its place.
    pub prompted: Option<String>,
    /// The default chat template.
    pub chat_template: Option<String>,
}

/// A token that was not in the vocabulary before.
pub(super) struct NewToken {
    pub content: String,
    pub id: u32,
}

impl TokenizerFiles {
    /// Reads a directory (`tokenizer.json` and what stands beside it) or a bare `tokenizer.json`.
    pub fn read(path: &Path) -> Result<Self> {
        let is_directory = path.is_dir();
        let json_path = if is_directory {
            path.join(TOKENIZER)
        } else {
            path.to_owned()
        };
        if !json_path.is_file() {
            return Err(Error::input(
                json_path.display().to_string(),
                "there is no such file",
                "name a directory with a tokenizer.json, or the file itself \
                 (a fast tokenizer's save_pretrained writes it)",
            ));
        }
        let source = text_of(&json_path)?;
        let (mut config, mut special_tokens, mut chat_template) = (None, None, None);
        if is_directory {
            config = object_of(&path.join(CONFIG))?;
            special_tokens = object_of(&path.join(SPECIAL_TOKENS))?;
            let file = path.join(CHAT_TEMPLATE);
            chat_template = match file.is_file() {
                true => Some(text_of(&file)?),
                false => config.as_ref().and_then(template_of),
            };
        }
        Ok(Self {
            path: json_path,
            source,
            added_tokens_at: None,
            prompted: None,
            config,
            special_tokens,
            chat_template,
        })
    }

    /// The SHA-256 of tokenizer.json, in hexadecimal.
    pub fn sha256(&self) -> String {
        let digest = Sha256::digest(self.source.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The named special tokens (`bos_token`, …).
    pub fn named_tokens(&self) -> Map<String, Value> {
        NAMED_TOKENS
            .iter()
            .filter_map(|name| Some((name.to_string(), self.named_token(name)?.into())))
            .collect()
    }

    /// The text of a named special token.
    pub fn named_token(&self, name: &str) -> Option<&str> {
        [&self.config, &self.special_tokens]
            .into_iter()
            .flatten()
            .find_map(|file| match file.get(name)? {
                Value::String(text) => Some(text.as_str()),
                other => other.get("content")?.as_str(),
            })
    }

    /// The id of text that the vocabulary cannot express, where the model has one.
    pub fn unknown_id(&self, id_of: impl Fn(&str) -> Option<u32>) -> Option<u32> {
        #[derive(Deserialize)]
        struct File {
            model: Model,
        }
        #[derive(Deserialize)]
        struct Model {
            unk_token: Option<String>,
            unk_id: Option<u32>,
        }
        let model = serde_json::from_str::<File>(&self.source).ok()?.model;
        model.unk_id.or_else(|| id_of(&model.unk_token?))
    }

    /// Writes what `AutoTokenizer.from_pretrained` needs into `directory`: the files as they
    /// were, with `new` tokens added, and a minimal configuration where there was none.
    pub fn save(
        &self,
        directory: &Path,
        new: &[NewToken],
        end_token: &str,
        chat_template: Option<&str>,
    ) -> Result<()> {
        fs::create_dir_all(directory).map_err(Error::io(directory))?;
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).map_err(Error::io(path))
        };
        let path = directory.join(TOKENIZER);
        let mut file = File::create(&path).map_err(Error::io(&path))?;
        for piece in self.with_tokens(new)? {
            file.write_all(piece.as_bytes()).map_err(Error::io(&path))?;
        }
        let mut config = self.config.clone().unwrap_or_else(|| {
            let minimal = json!({
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": end_token,
                "clean_up_tokenization_spaces": false,
            });
            minimal.as_object().cloned().unwrap_or_default()
        });
        if let Some(Value::Object(decoder)) = config.get_mut("added_tokens_decoder") {
            for token in new {
                decoder.insert(token.id.to_string(), token.properties());
            }
        }
        if self.prompted.is_some() {
            // Of other classes, and told of a start or an end, transformers writes its own.
            config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
            config.shift_remove("add_bos_token");
            config.shift_remove("add_eos_token");
        }
        if let Some(template) = chat_template {
            config.shift_remove("chat_template");
            write(CHAT_TEMPLATE, template)?;
        }
        write(CONFIG, &pretty(&config))?;
        if let Some(tokens) = &self.special_tokens {
            write(SPECIAL_TOKENS, &pretty(tokens))?;
        }
        Ok(())
    }

    /// tokenizer.json with more added tokens, in pieces; all other bytes stay as they are, scores
    /// and merges included.
    fn with_tokens(&self, new: &[NewToken]) -> Result<[Cow<'_, str>; 3]> {
        let source = self.prompted.as_ref().unwrap_or(&self.source).as_str();
        if new.is_empty() {
            return Ok([source.into(), "".into(), "".into()]);
        }
        let broken = |error| no_json(&self.path, &error);
        let range = match &self.added_tokens_at {
            Some(range) if self.prompted.is_none() => Some(range.clone()),
            _ => added_tokens_in(source).map_err(broken)?,
        };
        let mut tokens: Vec<Value> = match &range {
            Some(range) => serde_json::from_str(&source[range.clone()]).map_err(broken)?,
            None => Vec::new(),
        };
        tokens.extend(new.iter().map(|token| {
            let mut entry = Map::new();
            entry.insert("id".into(), token.id.into());
            if let Value::Object(properties) = token.properties() {
                entry.extend(properties);
            }
            Value::Object(entry)
        }));
        let tokens = Value::Array(tokens).to_string();
        let (tokens, range) = match range {
            Some(range) => (tokens, range),
            None => {
                let inside = source.find('{').map_or(0, |brace| brace + 1);
                (format!("\"added_tokens\": {tokens}, "), inside..inside)
            }
        };
        let (before, after) = (&source[..range.start], &source[range.end..]);
        Ok([before.into(), tokens.into(), after.into()])
    }
}

/// Where the value of `added_tokens` stands in a tokenizer.json.
fn added_tokens_in(source: &str) -> serde_json::Result<Option<Range<usize>>> {
    #[derive(Deserialize)]
    struct File<'f> {
        #[serde(borrow)]
        added_tokens: Option<&'f RawValue>,
    }
    let file: File<'_> = serde_json::from_str(source)?;
    Ok(file.added_tokens.map(|raw| {
        let start = raw.get().as_ptr() as usize - source.as_ptr() as usize;
        start..start + raw.get().len()
    }))
}

impl NewToken {
    fn properties(&self) -> Value {
        json!({
            "content": self.content,
            "single_word": false,
            "lstrip": false,
            "rstrip": false,
            "normalized": false,
            "special": true,
        })
    }
}

/// The template of tokenizer_config.json: text, or the one named "default" of a list.
fn template_of(config: &Map<String, Value>) -> Option<String> {
    match config.get("chat_template")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(named) => named
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
            .and_then(|entry| entry.get("template")?.as_str().map(str::to_owned)),
        _ => None,
    }
}

fn text_of(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    String::from_utf8(bytes).map_err(|error| {
        Error::input(
            path.display().to_string(),
            format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()),
            "save the file as UTF-8",
        )
    })
}

fn object_of(path: &Path) -> Result<Option<Map<String, Value>>> {
    if !path.is_file() {
        return Ok(None);
    }
    let parsed = serde_json::from_str(&text_of(path)?);
    parsed.map(Some).map_err(|error| no_json(path, &error))
}

fn no_json(path: &Path, error: &serde_json::Error) -> Error {
    Error::input(
        format!("{}:{}", path.display(), error.line()),
        format!("no JSON object: {error}"),
        "save the tokenizer again",
    )
}

fn pretty(object: &Map<String, Value>) -> String {
    format!("{:#}\n", Value::Object(object.clone()))
}
