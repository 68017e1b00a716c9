//! A tokenizer whose ids are bytes, and prepared directories read back.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int32Type, Int64Type, UInt8Type};
use arrow_array::{Array, RecordBatch, StringArray};
use arrow_ipc::reader::StreamReader;
use limbeck_core::template::SpanKind;
use limbeck_core::{Config, Manifest, Result};
use serde_json::{Value, json};

/// The first id that is no byte.
pub const END: i32 = 256;
/// `<|sem|>`, which the template adds.
pub const SEMANTIC: i32 = 257;

/// A directory with a tokenizer and an input file.
pub struct Workshop {
    root: tempfile::TempDir,
}

/// An example as it stands in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub ids: Vec<i32>,
    pub kinds: Vec<u8>,
    pub domain: i32,
    pub template: i32,
}

impl Workshop {
    pub fn new(lines: &[u8]) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::write(
            root.path().join("tokenizer.json"),
            byte_tokenizer().to_string(),
        )
        .unwrap();
        fs::write(root.path().join("records.jsonl"), lines).unwrap();
        Self { root }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Prepares the input into `name` with a few settings other than usual.
    pub fn prepare(&self, name: &str, settings: Value) -> Result<Manifest> {
        let mut config = json!({
            "inputs": [{"path": self.path("records.jsonl")}],
            "output_dir": self.path(name),
            "max_length": 256,
            "packing": "bfd",
            "packing_window": 16384,
            "filters": [{"name": "answer_mismatch"}, {"name": "exact_duplicate"}],
            "tokenizer": self.path("tokenizer.json"),
            "render": {
                "template": {
                    "name": "answer-first",
                    "prompt": "Q: {question}\nA:",
                    "completion": " {answer}{semantic}\n{rationale}{end}",
                },
                "style": "plain",
                "added_tokens": ["<|sem|>"],
            },
        });
        for (key, value) in settings.as_object().unwrap() {
            config[key] = value.clone();
        }
        let config = Config::parse(&config.to_string())?;
        limbeck_core::prepare(&config, &mut |_| ControlFlow::Continue(()))
    }

    /// Every file of a prepared directory.
    pub fn files(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut open = vec![self.path(name)];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let relative = path.strip_prefix(self.path(name)).unwrap().to_owned();
                    files.insert(relative, fs::read(&path).unwrap());
                }
            }
        }
        files
    }

    /// The rows, as the examples in each; one that shares a prompt has it again.
    pub fn rows(&self, name: &str) -> Vec<Vec<(i64, Example)>> {
        let mut rows = Vec::new();
        for batch in batches(&self.path(name).join("data-00000-of-00001.arrow")) {
            for row in 0..batch.num_rows() {
                let ids: Vec<i32> = list::<Int32Type>(&batch, "input_ids", row);
                let kinds: Vec<u8> = list::<UInt8Type>(&batch, "span_kinds", row);
                assert_eq!(ids.len(), kinds.len());
                let lengths = list::<Int32Type>(&batch, "example_lengths", row);
                let example_ids = list::<Int64Type>(&batch, "example_ids", row);
                let domains = list::<Int32Type>(&batch, "domains", row);
                let templates = list::<Int32Type>(&batch, "example_templates", row);
                let parents = match batch.column_by_name("example_parents") {
                    Some(_) => list::<Int32Type>(&batch, "example_parents", row),
                    None => vec![-1; lengths.len()],
                };
                let mut start = 0;
                let mut examples: Vec<(i64, Example)> = Vec::new();
                for (index, &length) in lengths.iter().enumerate() {
                    let end = start + usize::try_from(length).unwrap();
                    let (mut own, mut own_kinds) = (Vec::new(), Vec::new());
                    if let Ok(parent) = usize::try_from(parents[index]) {
                        assert!(parent < index && parents[parent] < 0);
                        let parent = &examples[parent].1;
                        let prompt = parent.kinds.iter().take_while(|&&kind| is_prompt(kind));
                        let prompt = prompt.count();
                        own.extend(&parent.ids[..prompt]);
                        own_kinds.extend(&parent.kinds[..prompt]);
                    }
                    own.extend(&ids[start..end]);
                    own_kinds.extend(&kinds[start..end]);
                    let example = Example {
                        ids: own,
                        kinds: own_kinds,
                        domain: domains[index],
                        template: templates[index],
                    };
                    examples.push((example_ids[index], example));
                    start = end;
                }
                assert_eq!(start, ids.len());
                rows.push(examples);
            }
        }
        rows
    }

    /// The tokens in each row.
    pub fn row_lengths(&self, name: &str) -> Vec<usize> {
        batches(&self.path(name).join("data-00000-of-00001.arrow"))
            .iter()
            .flat_map(|batch| {
                let count = |row| list::<Int32Type>(batch, "input_ids", row).len();
                (0..batch.num_rows()).map(count)
            })
            .collect()
    }

    /// `examples.arrow`, as (example id, line).
    pub fn example_lines(&self, name: &str) -> Vec<(i64, i64)> {
        let batches = batches(&self.path(name).join("examples.arrow"));
        let column = |batch: &RecordBatch, name: &str| {
            batch[name].as_primitive::<Int64Type>().values().to_vec()
        };
        batches
            .iter()
            .flat_map(|batch| {
                column(batch, "example_id")
                    .into_iter()
                    .zip(column(batch, "line"))
            })
            .collect()
    }

    /// The name of each example's template, as `examples.arrow` has it.
    pub fn example_templates(&self, name: &str) -> BTreeMap<i64, String> {
        let mut names = BTreeMap::new();
        for batch in batches(&self.path(name).join("examples.arrow")) {
            let ids = batch["example_id"].as_primitive::<Int64Type>().values();
            let templates = batch["template"].as_dictionary::<Int32Type>();
            let templates = templates.downcast_dict::<StringArray>().unwrap();
            names.extend(
                ids.iter()
                    .copied()
                    .zip(templates)
                    .map(|(id, name)| (id, name.unwrap().to_owned())),
            );
        }
        names
    }

    /// `rejected.jsonl`.
    pub fn rejected(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name).join("rejected.jsonl")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Whether a token of a kind comes before what the student writes.
fn is_prompt(kind: u8) -> bool {
    [SpanKind::Prompt, SpanKind::Question, SpanKind::SoftPrompt]
        .iter()
        .any(|each| each.code() == kind)
}

fn batches(path: &Path) -> Vec<RecordBatch> {
    StreamReader::try_new(File::open(path).unwrap(), None)
        .unwrap()
        .map(|batch| batch.unwrap())
        .collect()
}

fn list<T: ArrowPrimitiveType>(batch: &RecordBatch, column: &str, row: usize) -> Vec<T::Native> {
    let values = batch[column].as_list::<i32>().value(row);
    assert_eq!(values.null_count(), 0);
    values.as_primitive::<T>().values().to_vec()
}

/// A byte-level BPE without merges: the id of a byte is its value.
fn byte_tokenizer() -> Value {
    let mut vocab: BTreeMap<String, u32> = BTreeMap::new();
    let mut beyond = 0;
    for byte in 0..=255_u32 {
        // GPT-2's alphabet: printable bytes stand for themselves, the others from U+0100 on.
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let letter = if printable { byte } else { 256 + beyond };
        beyond += u32::from(!printable);
        vocab.insert(char::from_u32(letter).unwrap().to_string(), byte);
    }
    vocab.insert("<|endoftext|>".into(), END.unsigned_abs());
    json!({
        "version": "1.0",
        "added_tokens": [{
            "id": END, "content": "<|endoftext|>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true,
        }],
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
        },
        "decoder": {
            "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true,
        },
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    })
}
