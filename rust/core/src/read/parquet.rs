//! Parquet with the columns of the record schema.

use std::borrow::Cow;
use std::fmt::Debug;
use std::fs::File;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;

use super::Chunk;
use crate::error::{Error, Result};
use crate::record::{FIELDS, Value, Values};

/// Rows of a chunk.
const CHUNK_ROWS: usize = 512;

/// A Parquet file, read batch by batch.
pub struct Table {
    batches: ParquetRecordBatchReader,
    row: u64,
    rows: u64,
    size: u64,
}

impl Table {
    /// Opens `file` for the columns that records have.
    pub fn open(name: &str, file: File) -> Result<Self> {
        let size = file.metadata().map_err(Error::io(name))?.len();
        // Without the writer's own Arrow schema a column has one of a few plain types.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .map_err(|fault| broken(name, &fault))?;
        let schema = builder.parquet_schema();
        let known = |column: &usize| FIELDS.contains(&schema.get_column_root(*column).name());
        let mask = ProjectionMask::leaves(schema, (0..schema.num_columns()).filter(known));
        let rows = builder.metadata().file_metadata().num_rows().unsigned_abs();
        let batches = builder
            .with_projection(mask)
            .with_batch_size(CHUNK_ROWS)
            .build()
            .map_err(|fault| broken(name, &fault))?;
        Ok(Self {
            batches,
            row: 0,
            rows,
            size,
        })
    }

    /// Whether there was any row so far.
    pub fn any(&self) -> bool {
        self.row > 0
    }

    /// Fills `chunk`; false at the end of the file.
    pub fn next(&mut self, name: &str, chunk: &mut Chunk) -> Result<bool> {
        let Some(batch) = self.batches.next() else {
            return Ok(false);
        };
        let batch = batch.map_err(|fault| broken(name, &fault))?;
        chunk.line_start = self.row + 1;
        let before = self.bytes_until(self.row);
        self.row += batch.num_rows() as u64;
        chunk.size = self.bytes_until(self.row) - before;
        chunk.table = Some(batch);
        Ok(true)
    }

    /// The file's bytes as if all rows had the same.
    fn bytes_until(&self, row: u64) -> u64 {
        (u128::from(self.size) * u128::from(row) / u128::from(self.rows.max(1))) as u64
    }
}

fn broken(name: &str, fault: &dyn std::error::Error) -> Error {
    Error::input(
        name,
        format!("no readable Parquet ({fault})"),
        "write it anew",
    )
}

/// The columns of a batch, in the order of [`FIELDS`].
pub struct Columns<'a>([Option<&'a ArrayRef>; FIELDS.len()]);

impl<'a> Columns<'a> {
    pub fn of(batch: &'a RecordBatch) -> Self {
        Self(FIELDS.map(|field| batch.column_by_name(field)))
    }

    /// The values of one row.
    pub fn values(&self, row: usize) -> Values<'a> {
        self.0
            .map(|column| column.map_or(Value::Absent, |column| value(column, row)))
    }
}

fn value(array: &ArrayRef, row: usize) -> Value<'_> {
    if array.is_null(row) {
        return Value::Absent;
    }
    match array.data_type() {
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => Value::Text(array.as_string::<i64>().value(row).into()),
        DataType::Int8 => number::<Int8Type>(array, row),
        DataType::Int16 => number::<Int16Type>(array, row),
        DataType::Int32 => number::<Int32Type>(array, row),
        DataType::Int64 => number::<Int64Type>(array, row),
        DataType::UInt8 => number::<UInt8Type>(array, row),
        DataType::UInt16 => number::<UInt16Type>(array, row),
        DataType::UInt32 => number::<UInt32Type>(array, row),
        DataType::UInt64 => number::<UInt64Type>(array, row),
        DataType::Float32 => number::<Float32Type>(array, row),
        DataType::Float64 => number::<Float64Type>(array, row),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            let items = offsets[row] as usize..offsets[row + 1] as usize;
            Value::List(items.map(|item| value(list.values(), item)).collect())
        }
        other => Value::Wrong(format!("a column of type {other} instead of text").into()),
    }
}

/// `{:?}` is the shortest text that reads back as the same number, with `.0` on whole floats.
fn number<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef, row: usize) -> Value<'a>
where
    T::Native: Debug,
{
    let number = array.as_primitive::<T>().value(row);
    Value::Number(Cow::Owned(format!("{number:?}")))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use ::parquet::arrow::ArrowWriter;
    use arrow_array::builder::{ListBuilder, StringBuilder};
    use arrow_array::{Float64Array, Int64Array, StringArray};

    use super::super::Reader;
    use super::*;
    use crate::input::Input;

    #[test]
    fn rows_are_the_records_of_the_same_lines() {
        let mut rationales = ListBuilder::new(StringBuilder::new());
        rationales.append_value([Some("one"), Some("two")]);
        rationales.append_null();
        let text = |values: [Option<&str>; 2]| Arc::new(StringArray::from(values.to_vec()));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("answer", Arc::new(Float64Array::from(vec![40000.0, 0.5]))),
            ("id", Arc::new(Int64Array::from(vec![7, 8]))),
            ("meta", text([Some("ignored"), None])),
            ("question", text([Some("é"), None])),
            ("rationale", Arc::new(rationales.finish())),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns
                .into_iter()
                .map(|(name, column)| (name, column, true)),
        )
        .unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        file.write_all(&writer.into_inner().unwrap()).unwrap();

        let mut reader = Reader::open(&[Input::of(file.path().to_str().unwrap())]).unwrap();
        let mut chunk = Chunk::default();
        assert!(reader.next(&mut chunk, &mut || Ok(())).unwrap());
        assert_eq!(chunk.size, reader.total_bytes);
        let mut seen = Vec::new();
        chunk.for_each(|place, values| seen.push((place.line, place.byte_offset, values.unwrap())));
        let number = |text: &'static str| Value::Number(text.into());
        let text = |text: &'static str| Value::Text(text.into());
        let list = Value::List(vec![text("one"), text("two")]);
        let first = [
            Value::Absent,
            number("7"),
            text("é"),
            number("40000.0"),
            list,
            Value::Absent,
            Value::Absent,
        ];
        assert_eq!(seen[0], (1, None, first));
        assert_eq!(seen[1].2[2], Value::Absent);
        assert_eq!(seen[1].2[4], Value::Absent);
        assert!(!reader.next(&mut chunk, &mut || Ok(())).unwrap());
    }
}
