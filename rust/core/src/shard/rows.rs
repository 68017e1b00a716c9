//! The packed rows: `input_ids`, `span_kinds`, and the examples in them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow_buffer::{ArrowNativeType, ToByteSlice};
use arrow_schema::{DataType, Field, Schema};

use super::message::List;
use super::stream::Stream;
use crate::window::{Packed, Side};

/// Rows of a batch, as `datasets` writes them.
const BATCH_ROWS: usize = 1000;
/// Tokens of a batch, unless one row has more: 640 KB.
///
/// Performance note: what is gathered here is written next, so it should still be in the core's own cache
/// then. Batches of 10 MB cost the whole pass 6 to 19 % more (medians of seven and nine, three runs, one thread).
const BATCH_TOKENS: usize = 1 << 17;

/// Writes rows, example by example.
pub struct RowWriter {
    stream: Stream,
    /// Ids of the vocabulary are far below 2³¹, so these are `int32` too.
    input_ids: Column<u32>,
    span_kinds: Column<u8>,
    example_lengths: Column<i32>,
    example_ids: Column<i64>,
    domains: Column<i32>,
    example_templates: Column<i32>,
    /// Of pairs: which of the two an example is.
    example_roles: Option<Column<u8>>,
    /// Where prompts are shared: the example of the row whose prompt comes before the tokens.
    example_parents: Option<Column<i32>>,
    /// The latest example of the open row that begins with its own prompt.
    root: i32,
}

/// The roles of an example, as `example_roles` has them.
const SINGLE: u8 = 0;
const CHOSEN: u8 = 1;
const REJECTED: u8 = 2;

/// The parent of an example that begins with its own prompt.
const NO_PARENT: i32 = -1;

impl RowWriter {
    /// Creates the file; with `pairs` it tells the examples of a pair apart, as a `trie` it tells
    /// which of them share a prompt.
    pub fn create(path: &Path, pairs: bool, trie: bool) -> io::Result<Self> {
        let list = |name: &str, item: DataType| {
            let item = Field::new("item", item, true);
            Field::new(name, DataType::List(Arc::new(item)), true)
        };
        let mut fields = vec![
            list("input_ids", DataType::Int32),
            list("span_kinds", DataType::UInt8),
            list("example_lengths", DataType::Int32),
            list("example_ids", DataType::Int64),
            list("domains", DataType::Int32),
            list("example_templates", DataType::Int32),
        ];
        if pairs {
            fields.push(list("example_roles", DataType::UInt8));
        }
        if trie {
            fields.push(list("example_parents", DataType::Int32));
        }
        let schema = Schema::new(fields);
        Ok(Self {
            stream: Stream::create(path, &schema)?,
            input_ids: Column::new(),
            span_kinds: Column::new(),
            example_lengths: Column::new(),
            example_ids: Column::new(),
            domains: Column::new(),
            example_templates: Column::new(),
            example_roles: pairs.then(Column::new),
            example_parents: trie.then(Column::new),
            root: 0,
        })
    }

    /// Appends an example, or the two of a pair, to the row that is open; a domain of −1 is none.
    ///
    /// A prompt that stands there already is left out.
    pub fn example(&mut self, example: &Packed<'_>) {
        let prompt = example.shared.map_or(0, |shared| shared.prompt as usize);
        let is_written = example.shared.is_some_and(|shared| shared.is_written);
        let (chosen, rejected) = example.sides();
        let role = if rejected.is_some() { CHOSEN } else { SINGLE };
        self.member(example, chosen, if is_written { prompt } else { 0 }, role);
        if let Some(rejected) = rejected {
            self.member(example, rejected, prompt, REJECTED);
        }
    }

    /// Appends one example without the first `left_out` tokens, those of a prompt that stands there.
    fn member(&mut self, example: &Packed<'_>, side: Side<'_>, left_out: usize, role: u8) {
        let ids = &side.ids[left_out..];
        self.input_ids.values.extend_from_slice(ids);
        let kinds = &mut self.span_kinds.values;
        let mut before = left_out;
        for run in side.runs {
            // A prompt ends where a run does.
            let tokens = (run.tokens as usize).saturating_sub(before);
            before = before.saturating_sub(run.tokens as usize);
            kinds.resize(kinds.len() + tokens, run.kind);
        }
        if let Some(parents) = &mut self.example_parents {
            if left_out == 0 {
                self.root = parents.in_row() as i32;
            }
            let parent = if left_out == 0 { NO_PARENT } else { self.root };
            parents.values.push(parent);
        }
        self.example_lengths.values.push(ids.len() as i32);
        self.example_ids.values.push(example.example_id);
        self.domains.values.push(example.domain);
        self.example_templates.values.push(example.template);
        if let Some(roles) = &mut self.example_roles {
            roles.values.push(role);
        }
    }

    /// Ends the row that is open.
    pub fn end_row(&mut self) -> io::Result<()> {
        self.input_ids.end_row();
        self.span_kinds.end_row();
        self.example_lengths.end_row();
        self.example_ids.end_row();
        self.domains.end_row();
        self.example_templates.end_row();
        self.example_roles.iter_mut().for_each(Column::end_row);
        self.example_parents.iter_mut().for_each(Column::end_row);
        if self.rows() >= BATCH_ROWS || self.input_ids.values.len() >= BATCH_TOKENS {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the file; returns its hash.
    pub fn finish(mut self) -> io::Result<String> {
        if self.rows() > 0 {
            self.flush()?;
        }
        self.stream.finish()
    }

    /// Rows that are not yet written.
    fn rows(&self) -> usize {
        self.input_ids.offsets.len() - 1
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut columns = vec![
            self.input_ids.list(),
            self.span_kinds.list(),
            self.example_lengths.list(),
            self.example_ids.list(),
            self.domains.list(),
            self.example_templates.list(),
        ];
        columns.extend(self.example_roles.as_ref().map(Column::list));
        columns.extend(self.example_parents.as_ref().map(Column::list));
        self.stream.write_lists(self.rows(), &columns)?;
        self.input_ids.clear();
        self.span_kinds.clear();
        self.example_lengths.clear();
        self.example_ids.clear();
        self.domains.clear();
        self.example_templates.clear();
        self.example_roles.iter_mut().for_each(Column::clear);
        self.example_parents.iter_mut().for_each(Column::clear);
        Ok(())
    }
}

/// A list column in the making; its memory is used for every batch.
struct Column<T> {
    values: Vec<T>,
    offsets: Vec<i32>,
}

impl<T: ArrowNativeType> Column<T> {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            offsets: vec![0],
        }
    }

    /// How many values the open row has.
    fn in_row(&self) -> usize {
        let start = self.offsets.last().map_or(0, |&offset| offset as usize);
        self.values.len() - start
    }

    fn end_row(&mut self) {
        // A batch ends long before 2³¹ values: one row has at most `Config::max_length`.
        self.offsets.push(self.values.len() as i32);
    }

    fn list(&self) -> List<'_> {
        List {
            count: self.values.len(),
            offsets: self.offsets.to_byte_slice(),
            values: self.values.to_byte_slice(),
        }
    }

    fn clear(&mut self) {
        self.values.clear();
        self.offsets.truncate(1);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, Int64Type, UInt8Type};
    use arrow_ipc::reader::StreamReader;

    use super::*;
    use crate::tokenize::Run;
    use crate::trie::Shared;

    #[test]
    fn rows_come_back_and_memory_is_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.arrow");
        let mut writer = RowWriter::create(&path, true, true).unwrap();
        let mut capacity = 0;
        for row in 0..2500_i32 {
            let of = |kind| Run { kind, tokens: 1 };
            let first = Packed {
                ids: &[row as u32, 1],
                runs: &[of(0), of(2)],
                example_id: i64::from(row) * 2,
                domain: -1,
                template: 0,
                chosen: 0,
                shared: None,
            };
            writer.example(&first);
            writer.example(&Packed {
                ids: &[row as u32, 4, 5],
                runs: &[of(6), of(2), of(6)],
                example_id: first.example_id + 1,
                domain: 3,
                template: 1,
                chosen: 1,
                shared: None,
            });
            let mut pair = Packed {
                ids: &[7, 8, row as u32, 7, 8, 9, 9],
                runs: &[
                    of(0),
                    of(1),
                    of(2),
                    of(0),
                    of(1),
                    Run { kind: 2, tokens: 2 },
                ],
                example_id: 5,
                domain: -1,
                template: 0,
                chosen: 3,
                shared: Some(Shared {
                    prompt: 2,
                    is_written: false,
                }),
            };
            writer.example(&pair);
            pair.shared = Some(Shared {
                prompt: 2,
                is_written: true,
            });
            writer.example(&pair);
            writer.end_row().unwrap();
            if row == 999 {
                capacity = writer.input_ids.values.capacity();
            }
        }
        assert!(capacity >= 5000);
        assert_eq!(writer.input_ids.values.capacity(), capacity);
        let hash = writer.finish().unwrap();
        assert_eq!(hash.len(), 32);

        let reader = StreamReader::try_new(File::open(&path).unwrap(), None).unwrap();
        let mut row = 0;
        for batch in reader {
            let batch = batch.unwrap();
            let ids = batch["input_ids"].as_list::<i32>();
            let kinds = batch["span_kinds"].as_list::<i32>();
            let examples = batch["example_ids"].as_list::<i32>();
            let templates = batch["example_templates"].as_list::<i32>();
            let lengths = batch["example_lengths"].as_list::<i32>();
            let roles = batch["example_roles"].as_list::<i32>();
            let parents = batch["example_parents"].as_list::<i32>();
            for index in 0..batch.num_rows() {
                let ids = ids.value(index);
                assert_eq!(
                    ids.as_primitive::<Int32Type>().values(),
                    &[row, 1, row, 4, 5, 7, 8, row, 9, 9, row, 9, 9]
                );
                let kinds = kinds.value(index);
                assert_eq!(
                    kinds.as_primitive::<UInt8Type>().values(),
                    &[0, 2, 6, 2, 6, 0, 1, 2, 2, 2, 2, 2, 2]
                );
                let examples = examples.value(index);
                let first = i64::from(row) * 2;
                assert_eq!(
                    examples.as_primitive::<Int64Type>().values(),
                    &[first, first + 1, first + 1, 5, 5, 5, 5]
                );
                let templates = templates.value(index);
                assert_eq!(
                    templates.as_primitive::<Int32Type>().values(),
                    &[0, 1, 1, 0, 0, 0, 0]
                );
                let lengths = lengths.value(index);
                assert_eq!(
                    lengths.as_primitive::<Int32Type>().values(),
                    &[2, 1, 2, 3, 2, 1, 2]
                );
                let roles = roles.value(index);
                assert_eq!(
                    roles.as_primitive::<UInt8Type>().values(),
                    &[0, 1, 2, 1, 2, 1, 2]
                );
                let parents = parents.value(index);
                assert_eq!(
                    parents.as_primitive::<Int32Type>().values(),
                    &[-1, -1, -1, -1, 3, 3, 3]
                );
                row += 1;
            }
        }
        assert_eq!(row, 2500);
    }
}
