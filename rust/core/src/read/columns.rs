//! The columns of an Arrow batch to the values of its rows.

use std::borrow::Cow;
use std::fmt::Debug;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::ArrowNativeType;
use arrow_schema::DataType;

use crate::import::Row;
use crate::record::{FIELDS, Value, Values};

/// The columns of the record schema, in the order of [`FIELDS`].
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

/// The columns that importers read.
pub struct Imported<'a>(Vec<(&'static str, &'a ArrayRef)>);

impl<'a> Imported<'a> {
    pub fn of(batch: &'a RecordBatch, keys: &[&'static str]) -> Self {
        let column = |key: &&'static str| Some((*key, batch.column_by_name(key)?));
        Self(keys.iter().filter_map(column).collect())
    }

    /// One row.
    pub fn row(&self, row: usize) -> Row<'a> {
        self.0
            .iter()
            .map(|(key, column)| (*key, value(column, row)))
            .collect()
    }
}

fn value(array: &ArrayRef, row: usize) -> Value<'_> {
    if array.is_null(row) {
        return Value::Absent;
    }
    let list = |items: std::ops::Range<usize>, values| {
        Value::List(items.map(|item| value(values, item)).collect())
    };
    match array.data_type() {
        DataType::Null => Value::Absent,
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => Value::Text(array.as_string::<i64>().value(row).into()),
        DataType::Utf8View => Value::Text(array.as_string_view().value(row).into()),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            // A key that is not null points at a value.
            value(dictionary.values(), index(dictionary.keys(), row))
        }
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
        DataType::Boolean => {
            let truth = array.as_boolean().value(row);
            Value::Wrong(format!("{truth} instead of text").into())
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let offsets = lists.value_offsets();
            list(
                offsets[row] as usize..offsets[row + 1] as usize,
                lists.values(),
            )
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            let offsets = lists.value_offsets();
            list(
                offsets[row] as usize..offsets[row + 1] as usize,
                lists.values(),
            )
        }
        DataType::ListView(_) => {
            let lists = array.as_list_view::<i32>();
            let start = lists.value_offset(row) as usize;
            list(
                start..start + lists.value_size(row) as usize,
                lists.values(),
            )
        }
        DataType::LargeListView(_) => {
            let lists = array.as_list_view::<i64>();
            let start = lists.value_offset(row) as usize;
            list(
                start..start + lists.value_size(row) as usize,
                lists.values(),
            )
        }
        DataType::FixedSizeList(_, size) => {
            let lists = array.as_fixed_size_list();
            let start = lists.value_offset_at(row);
            list(start..start + *size as usize, lists.values())
        }
        DataType::Struct(_) => {
            let parts = array.as_struct();
            let names = parts.column_names().into_iter().map(Cow::Borrowed);
            let values = parts.columns().iter().map(|column| value(column, row));
            Value::Object(names.zip(values).collect())
        }
        other => Value::Wrong(format!("a column of type {other} instead of text").into()),
    }
}

/// The key of a dictionary as an index.
fn index(keys: &dyn Array, row: usize) -> usize {
    fn key<T: ArrowPrimitiveType>(keys: &dyn Array, row: usize) -> usize {
        keys.as_primitive::<T>().value(row).as_usize()
    }
    match keys.data_type() {
        DataType::Int8 => key::<Int8Type>(keys, row),
        DataType::Int16 => key::<Int16Type>(keys, row),
        DataType::Int32 => key::<Int32Type>(keys, row),
        DataType::Int64 => key::<Int64Type>(keys, row),
        DataType::UInt8 => key::<UInt8Type>(keys, row),
        DataType::UInt16 => key::<UInt16Type>(keys, row),
        DataType::UInt32 => key::<UInt32Type>(keys, row),
        _ => key::<UInt64Type>(keys, row),
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
