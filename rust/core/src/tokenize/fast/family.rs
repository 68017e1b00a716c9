//! Which tokenizer pipelines the fast encoder serves, recognised by their exact description.

use serde_json::Value;

use super::json::{Model, TokenizerFile};

/// The split patterns that have a scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// GPT-2.
    Gpt2,
    /// Single digits, then GPT-2 (SmolLM, StarCoder).
    Gpt2Digits,
    /// cl100k and Llama-3.
    Llama3,
    /// Qwen2 and Qwen3.
    Qwen2,
    /// o200k.
    O200k,
    /// Mistral's tekken.
    Tekken,
}

impl Family {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt2",
            Self::Gpt2Digits => "gpt2-digits",
            Self::Llama3 => "llama3",
            Self::Qwen2 => "qwen2",
            Self::O200k => "o200k",
            Self::Tekken => "tekken",
        }
    }
}

/// Each split pattern as tokenizer files write it.
const PATTERNS: [(&str, Family); 5] = [
    (
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        Family::Gpt2,
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Family::Llama3,
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Family::Qwen2,
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Family::O200k,
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Family::Tekken,
    ),
];

/// The family of a pipeline, or what of it is not served.
pub fn recognise(file: &TokenizerFile<'_>) -> Result<Family, String> {
    if file
        .version
        .as_deref()
        .is_some_and(|version| version != "1.0")
    {
        return Err(format!("version {:?}", file.version));
    }
    check_model(&file.model)?;
    let steps = match &file.pre_tokenizer {
        None => return Err("no pre-tokenizer".into()),
        Some(step) => match step.get("type").and_then(Value::as_str) {
            Some("Sequence") => step
                .get("pretokenizers")
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice),
            _ => std::slice::from_ref(step),
        },
    };
    let family = match steps {
        [last] if byte_level(last) == Some(true) => Some(Family::Gpt2),
        [first, last] => match byte_level(last) {
            Some(false) => split_pattern(first),
            Some(true) if is_single_digits(first) => Some(Family::Gpt2Digits),
            _ => None,
        },
        _ => None,
    };
    family.ok_or_else(|| "pre-tokenizer is none of the known byte-level patterns".into())
}

/// Whether the file asks for NFC; `Err` for any other normalizer.
pub fn normalizes(normalizer: Option<&Value>) -> Result<bool, String> {
    let Some(normalizer) = normalizer else {
        return Ok(false);
    };
    match normalizer.get("type").and_then(Value::as_str) {
        Some("NFC") => Ok(true),
        Some("Sequence") => match normalizer.get("normalizers").and_then(Value::as_array) {
            Some(steps) if steps.is_empty() => Ok(false),
            Some(steps) if steps.len() == 1 => normalizes(steps.first()),
            _ => Err("normalizer is a sequence".into()),
        },
        kind => Err(format!("normalizer {}", kind.unwrap_or("without a type"))),
    }
}

fn check_model(model: &Model<'_>) -> Result<(), String> {
    let set = |option: &Option<String>| option.as_deref().is_some_and(|text| !text.is_empty());
    // `dropout` never applies here. `unk_token`, `fuse_unk` and `byte_fallback` say what happens to characters without a token;
    // the vocabulary is later required to have a token for each of the 256 bytes.
    let problem = if model.kind.as_deref().is_some_and(|kind| kind != "BPE") {
        "model is not BPE"
    } else if set(&model.continuing_subword_prefix) {
        "model has a continuing_subword_prefix"
    } else if set(&model.end_of_word_suffix) {
        "model has an end_of_word_suffix"
    } else {
        return Ok(());
    };
    Err(problem.into())
}

/// `use_regex` of a `ByteLevel` step that adds no space.
fn byte_level(step: &Value) -> Option<bool> {
    let flag = |name, default| step.get(name).map_or(Some(default), Value::as_bool);
    let is_byte_level = step.get("type").and_then(Value::as_str) == Some("ByteLevel");
    if !is_byte_level || step.get("add_prefix_space")?.as_bool()? {
        return None;
    }
    flag("use_regex", true)
}

fn is_single_digits(step: &Value) -> bool {
    let individual = step.get("individual_digits").and_then(Value::as_bool);
    step.get("type").and_then(Value::as_str) == Some("Digits") && individual == Some(true)
}

/// The family of a `Split` step that keeps all pieces.
fn split_pattern(step: &Value) -> Option<Family> {
    let text = |name| step.get(name).and_then(Value::as_str);
    let keeps_pieces = text("type") == Some("Split")
        && text("behavior") == Some("Isolated")
        && step.get("invert").and_then(Value::as_bool) == Some(false);
    let regex = step.get("pattern")?.get("Regex")?.as_str()?;
    let known = PATTERNS.iter().find(|(pattern, _)| *pattern == regex);
    known.filter(|_| keeps_pieces).map(|(_, family)| *family)
}
