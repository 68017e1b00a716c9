//! What the targets share: a vocabulary whose ids are bytes, and a reading of its ids.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;

/// The first id that is no byte.
pub const END: u32 = 256;
/// `<|sem|>`, which a template adds.
pub const SEMANTIC: u32 = 257;

/// A directory with a byte-level BPE without merges: the id of a byte is its value.
pub fn byte_tokenizer() -> tempfile::TempDir {
    let mut vocab: BTreeMap<String, u32> = BTreeMap::new();
    let mut beyond = 0;
    for byte in 0..=255_u32 {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let letter = if printable { byte } else { 256 + beyond };
        beyond += u32::from(!printable);
        vocab.insert(char::from_u32(letter).unwrap().to_string(), byte);
    }
    vocab.insert("<|endoftext|>".into(), END);
    let level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    let json = json!({
        "version": "1.0",
        "added_tokens": [{
            "id": END, "content": "<|endoftext|>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true,
        }],
        "pre_tokenizer": level,
        "decoder": level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("tokenizer.json"), json.to_string()).unwrap();
    directory
}

/// The ids as text, control tokens in brackets.
pub fn decoded(ids: &[u32]) -> String {
    let mut bytes = Vec::new();
    for &id in ids {
        match u8::try_from(id) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend(format!("[{id}]").bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What Python's `str.strip` takes for white space.
pub fn space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}
