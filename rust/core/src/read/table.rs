//! Parquet and Arrow IPC: batches of rows.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::Chunk;
use super::stream::Bytes;
use crate::error::{Error, Result};

/// Rows of a chunk.
const CHUNK_ROWS: usize = 512;

/// A file of batches, handed on in chunks.
pub struct Table {
    /// What the file is, for its faults.
    what: &'static str,
    batches: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>,
    /// What is left of a batch; slices share its memory.
    batch: Option<RecordBatch>,
    size: Size,
    row: u64,
    /// Bytes of the file that the chunks so far stand for.
    counted_bytes: u64,
}

/// How to know how much of the file was read.
enum Size {
    /// All rows count alike.
    Rows { rows: u64, bytes: u64 },
    /// All batches count alike.
    Batches { batches: u64, bytes: u64, read: u64 },
    /// As the reading went.
    Read(Arc<AtomicU64>),
}

impl Table {
    /// Opens a Parquet file for those of `keys` that it has, or for all that it has.
    pub fn parquet(name: &str, file: File, keys: Option<&[&str]>) -> Result<Self> {
        let what = "Parquet";
        let bytes = file.metadata().map_err(Error::io(name))?.len();
        // Without the writer's own Arrow schema a column has one of a few plain types.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .map_err(|fault| broken(name, what, &fault))?;
        let schema = builder.parquet_schema();
        let known = |column: &usize| {
            keys.is_none_or(|keys| keys.contains(&schema.get_column_root(*column).name()))
        };
        let mask = ProjectionMask::leaves(schema, (0..schema.num_columns()).filter(known));
        let rows = builder.metadata().file_metadata().num_rows().unsigned_abs();
        let batches = builder
            .with_projection(mask)
            .with_batch_size(CHUNK_ROWS)
            .build()
            .map_err(|fault| broken(name, what, &fault))?;
        Ok(Self::new(what, batches, Size::Rows { rows, bytes }))
    }

    /// Opens an Arrow IPC file.
    pub fn arrow_file(name: &str, file: File) -> Result<Self> {
        let what = "Arrow file";
        let bytes = file.metadata().map_err(Error::io(name))?.len();
        let reader =
            FileReader::try_new_buffered(file, None).map_err(|fault| broken(name, what, &fault))?;
        let size = Size::Batches {
            batches: reader.num_batches() as u64,
            bytes,
            read: 0,
        };
        Ok(Self::new(what, reader, size))
    }

    /// Opens an Arrow IPC stream.
    pub fn arrow_stream(name: &str, bytes: Bytes) -> Result<Self> {
        let what = "Arrow stream";
        let count = Arc::new(AtomicU64::new(0));
        let counted = Counted(bytes, Arc::clone(&count));
        let reader = StreamReader::try_new(BufReader::new(counted), None)
            .map_err(|fault| broken(name, what, &fault))?;
        Ok(Self::new(what, reader, Size::Read(count)))
    }

    fn new(
        what: &'static str,
        batches: impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + 'static,
        size: Size,
    ) -> Self {
        Self {
            what,
            batches: Box::new(batches),
            batch: None,
            size,
            row: 0,
            counted_bytes: 0,
        }
    }

    /// Whether there was any row so far.
    pub fn any(&self) -> bool {
        self.row > 0
    }

    /// Fills `chunk`; false at the end of the file.
    pub fn next(&mut self, name: &str, chunk: &mut Chunk) -> Result<bool> {
        let batch = loop {
            match self.batch.take() {
                Some(batch) if batch.num_rows() > 0 => break batch,
                _ => {}
            }
            let Some(batch) = self.batches.next() else {
                return Ok(false);
            };
            self.batch = Some(batch.map_err(|fault| broken(name, self.what, &fault))?);
            if let Size::Batches { read, .. } = &mut self.size {
                *read += 1;
            }
        };
        let rows = batch.num_rows().min(CHUNK_ROWS);
        chunk.line_start = self.row + 1;
        chunk.table = Some(batch.slice(0, rows));
        self.batch = Some(batch.slice(rows, batch.num_rows() - rows));
        self.row += rows as u64;
        let bytes = self.bytes_so_far();
        chunk.size = bytes.saturating_sub(self.counted_bytes);
        self.counted_bytes = bytes;
        Ok(true)
    }

    fn bytes_so_far(&self) -> u64 {
        let share = |bytes: u64, part: u64, whole: u64| {
            (u128::from(bytes) * u128::from(part) / u128::from(whole.max(1))) as u64
        };
        match &self.size {
            Size::Rows { rows, bytes } => share(*bytes, self.row, *rows),
            Size::Batches {
                batches,
                bytes,
                read,
            } => share(*bytes, *read, *batches),
            Size::Read(count) => count.load(Ordering::Relaxed),
        }
    }
}

struct Counted(Bytes, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn broken(name: &str, what: &str, fault: &dyn std::error::Error) -> Error {
    Error::input(
        name,
        format!("no readable {what} ({fault})"),
        "write it anew",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use arrow_array::builder::{ListBuilder, StringBuilder};
    use arrow_array::types::Int32Type;
    use arrow_array::{
        ArrayRef, DictionaryArray, Float64Array, Int64Array, LargeStringArray, StringArray,
        StringViewArray,
    };
    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
    use parquet::arrow::ArrowWriter;

    use super::super::Reader;
    use super::*;
    use crate::input::Input;
    use crate::record::{Value, Values};

    fn batch() -> RecordBatch {
        let mut rationales = ListBuilder::new(StringBuilder::new());
        rationales.append_value([Some("one"), Some("two")]);
        rationales.append_null();
        let text = |values: [Option<&str>; 2]| Arc::new(StringArray::from(values.to_vec()));
        let domains: DictionaryArray<Int32Type> = [Some("d"), None].into_iter().collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("answer", Arc::new(Float64Array::from(vec![40000.0, 0.5]))),
            ("domain", Arc::new(domains)),
            ("id", Arc::new(Int64Array::from(vec![7, 8]))),
            ("meta", text([Some("ignored"), None])),
            (
                "question",
                Arc::new(StringViewArray::from(vec![Some("é"), None])),
            ),
            ("rationale", Arc::new(rationales.finish())),
            (
                "teacher_answer",
                Arc::new(LargeStringArray::from(vec![Some("4"), None])),
            ),
        ];
        let nullable = columns
            .into_iter()
            .map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(nullable).unwrap()
    }

    /// The batch, written in some way.
    fn written(way: &str, batch: &RecordBatch) -> Vec<u8> {
        let schema = batch.schema();
        let options = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::LZ4_FRAME))
            .unwrap();
        match way {
            "parquet" => {
                let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
                writer.write(batch).unwrap();
                writer.into_inner().unwrap()
            }
            "file" => {
                let mut writer =
                    FileWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
                writer.write(batch).unwrap();
                writer.into_inner().unwrap()
            }
            _ => {
                let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
                writer.write(batch).unwrap();
                writer.into_inner().unwrap()
            }
        }
    }

    type Seen = (u64, Option<u64>, Values<'static>);

    /// The records, the bytes of all chunks, and those of the file.
    fn read(path: &Path) -> Result<(Vec<Seen>, u64, u64)> {
        let mut reader = Reader::open(&[Input::of(path.to_str().unwrap())])?;
        let mut chunk = Chunk::default();
        let (mut seen, mut bytes) = (Vec::new(), 0);
        while reader.next(&mut chunk, &mut || Ok(()))? {
            bytes += chunk.size;
            chunk.for_each("train", |place, values| {
                let owned = |value| match value {
                    Value::Text(text) => Value::Text(text_of(&text)),
                    Value::List(items) => Value::List(
                        items
                            .into_iter()
                            .map(|item| match item {
                                Value::Text(text) => Value::Text(text_of(&text)),
                                _ => panic!("a list of texts"),
                            })
                            .collect(),
                    ),
                    Value::Number(text) => Value::Number(text_of(&text)),
                    _ => Value::Absent,
                };
                seen.push((place.line, place.byte_offset, values.unwrap().map(owned)));
            });
        }
        Ok((seen, bytes, reader.total_bytes))
    }

    fn text_of(text: &str) -> std::borrow::Cow<'static, str> {
        text.to_owned().into()
    }

    #[test]
    fn rows_are_the_records_of_the_same_lines() {
        let directory = tempfile::tempdir().unwrap();
        let number = |text: &'static str| Value::Number(text.into());
        let text = |text: &'static str| Value::Text(text.into());
        let list = Value::List(vec![text("one"), text("two")]);
        let first = [
            Value::Absent,
            number("7"),
            text("é"),
            number("40000.0"),
            list,
            text("d"),
            text("4"),
            Value::Absent,
            Value::Absent,
            Value::Absent,
        ];
        for way in ["parquet", "file", "stream"] {
            let path = directory.path().join(way);
            fs::write(&path, written(way, &batch())).unwrap();
            let (seen, bytes, total_bytes) = read(&path).unwrap();
            assert_eq!(seen[0], (1, None, first.clone()), "{way}");
            assert_eq!(seen[1].0, 2);
            assert_eq!(seen[1].2[2..3], [Value::Absent]);
            assert_eq!(seen[1].2[4..], [const { Value::Absent }; 6]);
            assert_eq!(bytes, total_bytes, "{way}");
        }
    }

    #[test]
    fn large_batches_are_cut_and_counted_on() {
        let directory = tempfile::tempdir().unwrap();
        let questions: StringArray = (0..1300).map(|n| Some(format!("q{n}"))).collect();
        let answers = Int64Array::from_iter_values(0..1300);
        let columns: [(&str, ArrayRef); 2] = [
            ("question", Arc::new(questions)),
            ("answer", Arc::new(answers)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        for way in ["parquet", "file", "stream"] {
            let path = directory.path().join(way);
            fs::write(&path, written(way, &batch)).unwrap();
            let (seen, ..) = read(&path).unwrap();
            let lines: Vec<_> = seen.iter().map(|(line, ..)| *line).collect();
            assert_eq!(lines, (1..=1300).collect::<Vec<_>>());
            assert_eq!(seen[1299].2[2], Value::Text("q1299".into()), "{way}");
        }
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for way in ["parquet", "file", "stream"] {
            let path = directory.path().join(way);
            let whole = written(way, &batch());
            fs::write(&path, &whole[..whole.len() / 2]).unwrap();
            let refusal = read(&path).unwrap_err().to_string();
            assert!(refusal.contains("no readable "), "{way}: {refusal}");
        }
    }
}
