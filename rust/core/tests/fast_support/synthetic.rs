//! Small tokenizers, trained here, for every family.

use serde_json::{Value, json};
use tokenizers::Tokenizer;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

/// Family and its `pre_tokenizer`.
pub const PRE_TOKENIZERS: [(&str, &str); 6] = [
    (
        "gpt2",
        r#"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#,
    ),
    (
        "gpt2-digits",
        r#"{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]}"#,
    ),
    (
        "llama3",
        r#"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}"#,
    ),
    (
        "qwen2",
        r#"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,"use_regex":false}]}"#,
    ),
    (
        "o200k",
        r#"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}"#,
    ),
    (
        "tekken",
        r#"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}"#,
    ),
];

/// A `tokenizer.json` with some 700 tokens, learnt from this file and a few other texts.
pub fn train(pre_tokenizer: &str) -> Value {
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(
        serde_json::from_str::<tokenizers::PreTokenizerWrapper>(pre_tokenizer).unwrap(),
    ));
    let trainer = BpeTrainerBuilder::new()
        .vocab_size(700)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut trainer = TrainerWrapper::BpeTrainer(trainer);
    let texts = [
        include_str!("synthetic.rs"),
        include_str!("../fast_equal.rs"),
        "It's what they're told: we'll see the Word, THE WORD, the words' 'S.  aaaaaaa   \n\n\n1234",
        "中文字符中文字符 é É éé e\u{301}e\u{301} ½½ 😀😀 =====-----===== \u{a0}\u{a0} it'S I'LL",
    ];
    tokenizer.train(&mut trainer, texts.into_iter()).unwrap();
    let mut file = serde_json::to_value(&tokenizer).unwrap();
    // Tokens that no merge leads to: they are found only where merges are ignored.
    let vocab = file["model"]["vocab"].as_object_mut().unwrap();
    for token in [
        "Ġwhole",
        "zqz",
        "ĠĠĠĠĠĠĠĠĠĠĠĠĠĠĠĠĠĠĠĠĠ",
        "WORDs",
        "é",
        "ÃīÃī",
    ] {
        let id = vocab.len();
        vocab.entry(token).or_insert(json!(id));
    }
    file
}

/// An added token as a file writes it.
pub fn added(content: &str, special: bool, normalized: bool) -> Value {
    json!({
        "id": 0, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": normalized, "special": special,
    })
}

/// The name of [`stripping`].
pub const STRIPPING: &str = "<strip>";

/// An added token that takes the white space around it.
pub fn stripping() -> Value {
    let mut token = added(STRIPPING, false, false);
    (token["lstrip"], token["rstrip"]) = (json!(true), json!(true));
    token
}
