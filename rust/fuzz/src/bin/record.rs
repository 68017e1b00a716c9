//! Any bytes are lines, and each line that is not blank is a record or says what it lacks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use limbeck_core::input::Format;
use limbeck_core::read::{Chunk, Stretch};
use limbeck_core::record::Record;
use serde_json::value::RawValue;

const FOREIGN: [Format; 6] = [
    Format::Messages,
    Format::PromptCompletion,
    Format::Preference,
    Format::Alpaca,
    Format::Sharegpt,
    Format::R1,
];

fuzz_target!(|bytes: &[u8]| {
    let mut chunk = Chunk {
        format: Format::Records,
        line_start: 1,
        lines: Stretch::of(bytes.to_vec()),
        ..Chunk::default()
    };
    let mut places = Vec::new();
    chunk.for_each("train", |place, values| {
        places.push(place.line);
        let start = place.byte_offset.unwrap() as usize;
        let line = bytes[start..].split(|&byte| byte == b'\n').next().unwrap();
        let line = match start {
            0 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
            _ => line,
        };
        let object = serde_json::from_slice::<&RawValue>(line)
            .is_ok_and(|value| value.get().starts_with('{'));
        if let Ok(values) = values {
            // Nothing is taken for JSON that is not.
            assert!(object, "{line:?}");
            if let Ok(Some(record)) = Record::new(values, "train", true) {
                let text = String::from_utf8_lossy(line);
                assert!(text.contains("question") || text.contains('\\'));
                assert!(
                    record
                        .rationales
                        .is_none_or(|list| list.len() <= line.len())
                );
            }
        }
    });
    let lines = bytes.split(|&byte| byte == b'\n');
    let blank = |line: &[u8]| line.iter().all(|byte| b" \t\r\n".contains(byte));
    let expected: Vec<u64> = lines
        .zip(1..)
        .filter(|(line, number)| match number {
            1 => !blank(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)),
            _ => !blank(line),
        })
        .map(|(_, number)| number)
        .collect();
    assert_eq!(places, expected);
    // No foreign format loses a line, whatever it makes of it.
    for format in FOREIGN {
        chunk.format = format;
        places.clear();
        chunk.for_each("train", |place, _| places.push(place.line));
        places.dedup();
        assert_eq!(places, expected);
    }
});
