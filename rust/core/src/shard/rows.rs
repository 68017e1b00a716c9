//! The packed rows: `input_ids`, `span_kinds`, and the examples in them.

use std::mem;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Int32Type, Int64Type, UInt8Type};
use arrow_array::{ArrayRef, ListArray, PrimitiveArray, RecordBatch};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Schema};

use super::stream::{Stream, failed};
use crate::error::Result;

/// Rows of a batch, as `datasets` writes them.
const BATCH_ROWS: usize = 1000;
/// Tokens of a batch, unless one row has more: 10 MB.
const BATCH_TOKENS: usize = 2 << 20;

/// Writes rows, example by example.
pub struct RowWriter {
    stream: Stream,
    path: std::path::PathBuf,
    schema: Arc<Schema>,
    input_ids: Column<Int32Type>,
    span_kinds: Column<UInt8Type>,
    example_lengths: Column<Int32Type>,
    example_ids: Column<Int64Type>,
    domains: Column<Int32Type>,
}

impl RowWriter {
    /// Creates the file.
    pub fn create(path: &Path) -> Result<Self> {
        let list = |name: &str, item: DataType| {
            Field::new(name, DataType::List(Arc::new(item_field(item))), true)
        };
        let schema = Arc::new(Schema::new(vec![
            list("input_ids", DataType::Int32),
            list("span_kinds", DataType::UInt8),
            list("example_lengths", DataType::Int32),
            list("example_ids", DataType::Int64),
            list("domains", DataType::Int32),
        ]));
        Ok(Self {
            stream: Stream::create(path, &schema)?,
            path: path.to_owned(),
            schema,
            input_ids: Column::new(),
            span_kinds: Column::new(),
            example_lengths: Column::new(),
            example_ids: Column::new(),
            domains: Column::new(),
        })
    }

    /// Appends an example to the row that is open; a domain of −1 is none.
    pub fn example(&mut self, ids: &[i32], kinds: &[u8], example_id: i64, domain: i32) {
        self.input_ids.values.extend_from_slice(ids);
        self.span_kinds.values.extend_from_slice(kinds);
        self.example_lengths.values.push(ids.len() as i32);
        self.example_ids.values.push(example_id);
        self.domains.values.push(domain);
    }

    /// Ends the row that is open.
    pub fn end_row(&mut self) -> Result<()> {
        self.input_ids.end_row();
        self.span_kinds.end_row();
        self.example_lengths.end_row();
        self.example_ids.end_row();
        self.domains.end_row();
        let rows = self.input_ids.offsets.len() - 1;
        if rows >= BATCH_ROWS || self.input_ids.values.len() >= BATCH_TOKENS {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the file; returns its hash.
    pub fn finish(mut self) -> Result<String> {
        if self.input_ids.offsets.len() > 1 {
            self.flush()?;
        }
        self.stream.finish()
    }

    fn flush(&mut self) -> Result<()> {
        let batch = (|| {
            let columns = vec![
                self.input_ids.take()?,
                self.span_kinds.take()?,
                self.example_lengths.take()?,
                self.example_ids.take()?,
                self.domains.take()?,
            ];
            RecordBatch::try_new(Arc::clone(&self.schema), columns)
        })()
        .map_err(failed(&self.path))?;
        self.stream.write(&batch)?;
        // The memory of a batch is used again: touching new pages is slower than writing.
        let mut columns = batch.columns().to_vec();
        drop(batch);
        self.domains.recover(columns.pop());
        self.example_ids.recover(columns.pop());
        self.example_lengths.recover(columns.pop());
        self.span_kinds.recover(columns.pop());
        self.input_ids.recover(columns.pop());
        Ok(())
    }
}

fn item_field(item: DataType) -> Field {
    Field::new("item", item, true)
}

/// A list column in the making.
struct Column<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    offsets: Vec<i32>,
}

impl<T: ArrowPrimitiveType> Column<T> {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            offsets: vec![0],
        }
    }

    fn end_row(&mut self) {
        // A batch ends long before 2³¹ values: one row has at most `Config::max_length`.
        self.offsets.push(self.values.len() as i32);
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let values = ScalarBuffer::from(mem::take(&mut self.values));
        let offsets = ScalarBuffer::from(mem::replace(&mut self.offsets, vec![0]));
        let list = ListArray::try_new(
            Arc::new(item_field(T::DATA_TYPE)),
            OffsetBuffer::new(offsets),
            Arc::new(PrimitiveArray::<T>::try_new(values, None)?),
            None,
        )?;
        Ok(Arc::new(list))
    }

    /// Takes the values' memory back from a column that has been written.
    fn recover(&mut self, column: Option<ArrayRef>) {
        use arrow_array::cast::AsArray;
        let Some(column) = column else { return };
        let values = Arc::clone(column.as_list::<i32>().values());
        drop(column);
        let buffer = values.as_primitive::<T>().values().inner().clone();
        drop(values);
        if let Ok(mut values) = buffer.into_vec::<T::Native>() {
            values.clear();
            self.values = values;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use arrow_array::cast::AsArray;
    use arrow_ipc::reader::StreamReader;

    use super::*;

    #[test]
    fn rows_come_back_and_memory_is_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.arrow");
        let mut writer = RowWriter::create(&path).unwrap();
        let mut capacity = 0;
        for row in 0..2500_i32 {
            writer.example(&[row, 1], &[0, 2], i64::from(row) * 2, -1);
            writer.example(&[row], &[6], i64::from(row) * 2 + 1, 3);
            writer.end_row().unwrap();
            if row == 999 {
                capacity = writer.input_ids.values.capacity();
            }
        }
        assert!(capacity >= 3000);
        assert_eq!(writer.input_ids.values.capacity(), capacity);
        let hash = writer.finish().unwrap();
        assert_eq!(hash.len(), 32);

        let reader = StreamReader::try_new(File::open(&path).unwrap(), None).unwrap();
        let mut row = 0;
        for batch in reader {
            let batch = batch.unwrap();
            let ids = batch["input_ids"].as_list::<i32>();
            let examples = batch["example_ids"].as_list::<i32>();
            for index in 0..batch.num_rows() {
                let ids = ids.value(index);
                assert_eq!(ids.as_primitive::<Int32Type>().values(), &[row, 1, row]);
                let examples = examples.value(index);
                let first = i64::from(row) * 2;
                assert_eq!(
                    examples.as_primitive::<Int64Type>().values(),
                    &[first, first + 1]
                );
                row += 1;
            }
        }
        assert_eq!(row, 2500);
    }
}
